"""Names of models resolve to the right facts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.catalog import facts_for


@pytest.mark.parametrize(
    ("model", "window", "output"),
    [
        ("gpt-3.5-turbo", 16_385, 4_096),
        ("gpt-3.5-turbo-0125", 16_385, 4_096),
        ("gpt-3.5-turbo-0613", 4_096, 4_096),
        ("gpt-4", 8_192, 8_192),
        ("gpt-4-turbo-2024-04-09", 128_000, 4_096),
        ("gpt-4-0125-preview", 128_000, 4_096),
        ("gpt-4o", 128_000, 16_384),
        ("gpt-4o-2024-05-13", 128_000, 4_096),
        ("gpt-4o:extended", 128_000, 64_000),
        ("gpt-4o-2024-08-06", 128_000, 16_384),
        ("gpt-4o-mini-2024-07-18", 128_000, 16_384),
        ("gpt-4.1-nano", 1_047_576, 32_768),
        ("o1-2024-12-17", 200_000, 100_000),
        ("o4-mini", 200_000, 100_000),
        ("codex-mini-latest", 200_000, 100_000),
        ("gpt-5-2025-08-07", 400_000, 128_000),
        ("gpt-5-chat-latest", 128_000, 16_384),
        ("gpt-5-pro", 400_000, 272_000),
        ("gpt-5.1-codex-max", 400_000, 128_000),
        ("gpt-5.6-sol", 1_050_000, 128_000),
        ("gpt-6-astra", 1_050_000, 128_000),
        ("gpt-audio-mini", 128_000, 16_384),
        ("gpt-7", None, None),
        ("my-own-model", None, None),
    ],
)
def test_limits(model: str, window: int | None, output: int | None) -> None:
    facts = facts_for(model)
    assert (facts.context_window, facts.output_tokens_max) == (window, output)


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-3.5-turbo-1106", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("text-embedding-3-large", "cl100k_base"),
        ("text-embedding-ada-002", "cl100k_base"),
        ("davinci-002", "cl100k_base"),
        ("ft:babbage-002:org::x", "cl100k_base"),
        ("ft:gpt-3.5-turbo-0125:org::x", "cl100k_base"),
        ("ft:gpt-4.1-mini-2025-04-14:org::x", "o200k_base"),
        ("gpt-4o", "o200k_base"),
        ("chatgpt-4o-latest", "o200k_base"),
        ("gpt-4.5-preview", "o200k_base"),
        ("o3", "o200k_base"),
        ("gpt-realtime", "o200k_base"),
        ("anything-else", "o200k_base"),
    ],
)
def test_encoding(model: str, encoding: str) -> None:
    assert facts_for(model).encoding == encoding


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ("ft:gpt-4o-mini-2024-07-18:acme:bot:abc123", "gpt-4o-mini"),
        ("ft:gpt-4o-mini-2024-07-18:acme::abc123:ckpt-step-90", "gpt-4o-mini"),
        ("gpt-4o-mini-2024-07-18.ft-0123456789abcdef", "gpt-4o-mini"),
        ("gpt-4.1-2025-04-14", "gpt-4.1"),
        ("ft:unknown", "unknown"),
    ],
)
def test_base_name(model: str, base: str) -> None:
    assert facts_for(model).name == base


@pytest.mark.parametrize(
    ("model", "reasoning"),
    [
        ("o3", True),
        ("o5-mini", True),
        ("gpt-5-nano", True),
        ("gpt-7.2-sol", True),
        ("gpt-12", True),
        ("gpt-4o", False),
        ("gpt-5-chat-latest", False),
        ("gpt-5.1-chat-latest", True),
        ("gpt-5.2-chat-latest", True),
        ("gpt-5.3-chat-latest", True),
        ("gpt-5.9-chat-latest", True),
        ("omni-moderation-latest", True),
    ],
)
def test_reasoning(model: str, reasoning: bool) -> None:
    assert facts_for(model).reasoning is reasoning


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("gpt-4o-2099-01-01", True),
        ("gpt-35-turbo", True),
        ("gpt-4.2-mini", True),
        ("gpt-7", True),
        ("gpt-8o-mini", True),
        ("ft:gpt-7-nano:org::x", True),
        ("chatgpt-9-latest", True),
        ("codex-large", True),
        ("o7-mini", True),
        ("gpt-realtime-3", True),
        ("gpt-image-2", True),
        ("text-embedding-3-huge", True),
        ("text-embedding-ada-002-v2", True),
        ("omni-moderation-latest", True),
        ("gpt-oss-120b", False),
        ("gpt-oss", False),
        ("gpt-neox-20b", False),
        ("gpt-neo-2.7B", False),
        ("gpt-j-6b", False),
        ("gpt-4all-13b", False),
        ("gpt-2b-001", False),
        ("gpt-audiobook", False),
        ("text-embedding-004", False),
        ("text-embedding-v3", False),
        ("text-embedding-nomic-embed-text-v1.5", False),
        ("text-embedding-30-small", False),
        ("ada-llm", False),
        ("davinci-7b", False),
        ("o12-large", False),
        ("openai/gpt-oss-20b", False),
        ("llama-3", False),
    ],
)
def test_only_models_of_openai_have_its_tokenizers(model: str, known: bool) -> None:
    assert facts_for(model).tokenizer_known is known


def test_open_models_have_room_for_their_template() -> None:
    assert facts_for("gpt-oss-120b").template_tokens == 128


def test_a_fine_tuned_model_has_its_base_facts() -> None:
    assert facts_for("ft:gpt-4o-2024-08-06:acme::1") == facts_for("gpt-4o")


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_name_has_facts(model: str) -> None:
    assert facts_for(model).encoding in ("cl100k_base", "o200k_base")
