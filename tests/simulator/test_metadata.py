from __future__ import annotations

from typing import Any

import pytest

from gateway.simulator.errors import ProviderError
from gateway.simulator.metadata import checked_metadata


def test_metadata_within_the_limits_is_taken() -> None:
    most = {f"{number:064d}": "v" * 512 for number in range(16)}
    assert checked_metadata(most) == most
    assert checked_metadata(None) == {}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ([], "invalid_type"),
        ({"a": 1}, "invalid_type"),
        ({"a": "v" * 513}, "string_above_max_length"),
        ({"k" * 65: "v"}, "string_above_max_length"),
        ({str(number): "v" for number in range(17)}, "object_above_max_properties"),
    ],
)
def test_other_metadata_is_refused(given: Any, code: str) -> None:
    with pytest.raises(ProviderError) as refused:
        checked_metadata(given)
    assert refused.value.code == code
