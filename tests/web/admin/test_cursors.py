from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import BadRequest
from gateway.web.admin import cursors


@given(st.integers(0, 2**63 - 1), st.text(st.characters(codec="ascii", exclude_categories=["C"])))
def test_a_cursor_is_read_back(number: int, text: str) -> None:
    written = cursors.written(number, text)
    assert written.replace("-", "").replace("_", "").isalnum()
    assert cursors.read(written, int, str) == [number, text]
    assert cursors.read(None, int, str) is None
    with pytest.raises(BadRequest):
        cursors.read(written, int)


def coded(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "ééé",
        coded(b"5"),
        coded(b"[-1]"),
        coded(b"[true]"),
        coded(b"[1.0]"),
        coded(b"[9223372036854775808]"),
        coded(b'{"0": 1}'),
        coded(b"[1"),
        coded(b"\xff\xfe"),
    ],
)
def test_what_no_list_gave_is_refused(cursor: str) -> None:
    with pytest.raises(BadRequest) as refused:
        cursors.read(cursor, int)
    assert refused.value.param == "cursor"


def test_text_that_cannot_be_stored_is_no_place() -> None:
    with pytest.raises(BadRequest):
        cursors.read(coded(b'["a\\u0000b"]'), str)
