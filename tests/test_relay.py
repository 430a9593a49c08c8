from __future__ import annotations

import pytest

from gateway.relay import _is_refusal

ENVELOPE = b'{"error": {"message": "overloaded", "type": "server_error"}}'


@pytest.mark.parametrize(
    ("status", "body", "refused"),
    [
        (400, b"", True),
        (404, b"<html>", True),
        (429, ENVELOPE, True),
        (302, b"", True),
        (500, ENVELOPE, True),
        (503, ENVELOPE, True),
        (408, ENVELOPE, False),
        (408, b"", False),
        (499, b"", False),
        (499, ENVELOPE, False),
        (504, ENVELOPE, False),
        (524, ENVELOPE, False),
        (500, b"", False),
        (502, b"<html>Bad Gateway</html>", False),
        (504, b'{"message": "upstream timed out"}', False),
        (520, b'{"error": "origin"}', False),
        (524, b"[]", False),
    ],
)
def test_who_answered_decides_whether_it_can_have_been_billed(
    status: int, body: bytes, refused: bool
) -> None:
    assert _is_refusal(status, body) is refused
