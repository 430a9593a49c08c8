from __future__ import annotations

import pytest

from gateway.core.image_variants import image_variant


@pytest.mark.parametrize(
    ("model", "size", "quality", "tier"),
    [
        ("dall-e-2", "256x256", None, "standard-256x256"),
        ("dall-e-2", "512x512", "standard", "standard-512x512"),
        ("dall-e-2", None, None, "standard-1024x1024"),
        ("dall-e-2", "256x256", "auto", "standard-256x256"),
        ("dall-e-3", None, None, "standard-1024x1024"),
        ("dall-e-3", "1024x1792", None, "standard-1024x1792"),
        ("dall-e-3", "1792x1024", "hd", "hd-1792x1024"),
        ("dall-e-3", None, "hd", "hd-1024x1024"),
        # What the provider may choose is the dearest that it can.
        ("dall-e-3", "1024x1024", "auto", "hd-1024x1024"),
        ("dall-e-3", "auto", None, "default"),
        # What is no variant is bounded and billed at the dearest.
        ("dall-e-2", "256x256", "hd", "default"),
        ("dall-e-2", "1024x1792", None, "default"),
        ("dall-e-3", "256x256", None, "default"),
        ("dall-e-3", "", "", "default"),
        ("dall-e-3", "1024x1024", "high", "default"),
        # Billed by tokens, or not known.
        ("gpt-image-1", "1024x1024", "high", "default"),
        ("gpt-image-1", None, None, "default"),
        ("dall-e-4", "1024x1024", "standard", "default"),
        ("", None, None, "default"),
    ],
)
def test_size_and_quality_name_the_variant(
    model: str, size: str | None, quality: str | None, tier: str
) -> None:
    assert image_variant(model, size, quality) == tier
