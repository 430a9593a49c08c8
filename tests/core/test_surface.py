from __future__ import annotations

import pytest

from gateway.core.surface import NOT_SERVED, why_not_served


def test_a_family_is_known_by_the_start_of_its_path() -> None:
    assert why_not_served("/v1/vector_stores") == NOT_SERVED["vector_stores"]
    assert why_not_served("/v1/videos/video_1/content") == NOT_SERVED["videos"]


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/", "", "/v1/chat/completions", "/v2/videos", "/v1/nothing", "/videos"]
)
def test_other_paths_are_of_no_such_family(path: str) -> None:
    assert why_not_served(path) is None
