from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import BadRequest
from gateway.core.strict_json import TOKEN_VALUES_MAX, VALUES_MAX, parse_object

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=8,
)


@settings(max_examples=50)
@given(st.dictionaries(TEXT, VALUES, max_size=5), st.booleans())
def test_reads_what_json_writes(value: dict[str, Any], ascii_only: bool) -> None:
    assert parse_object(json.dumps(value, ensure_ascii=ascii_only).encode(), 64) == value


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b" ", "line 1, column 2"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"a":1', "line 1"),
        (b'{"a":1}x', "Extra data"),
        (b'{"a":1}{"a":1}', "Extra data"),
        (b'{"a":1,}', "line 1"),
        (b"{'a':1}", "line 1"),
        (b'{"a":01}', "line 1"),
        (b'{"a":.5}', "line 1"),
        (b'{"a":"\x01"}', "Invalid control character"),
        (b'{"a":1}\x00', "Extra data"),
        (b'\xef\xbb\xbf{"a":1}', "line 1, column 1"),
        (b'{"a":"\xff"}', "not UTF-8 (byte 6)"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
        ('{"a":1}'.encode("utf-16"), "not UTF-8"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":Infinity}', "Infinity"),
        (b'{"a":[-Infinity]}', "-Infinity"),
        (b'{"a":1e400}', "not finite"),
        (b'{"a":-1e400}', "not finite"),
        (b'{"a":1e' + b"9" * 500 + b"}", "not finite"),
        (b'{"a":9223372036854775808}', "64 bits"),
        (b'{"a":-9223372036854775808}', "64 bits"),
        (b'{"a":' + b"9" * 100_000 + b"}", "64 bits"),
        (b'{"a":1,"a":2}', "'a' twice"),
        (b'{"a":1,"\\u0061":2}', "'a' twice"),
        (b'{"b":[{"c":1,"c":1}]}', "'c' twice"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"a":"x\\uDFFFy"}', "surrogate"),
        (b'{"\\udbff":1}', "surrogate"),
        (b'{"a":"\\udc00\\ud800"}', "surrogate"),
    ],
)
def test_what_has_no_single_meaning_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(BadRequest) as raised:
        parse_object(body, 64)
    assert says in raised.value.message
    assert raised.value.status == 400
    # The message goes into a JSON answer, so it must be text itself.
    raised.value.message.encode()


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":9223372036854775807}', 2**63 - 1),
        (b'{"a":-9223372036854775807}', -(2**63) + 1),
        (b'{"a":-0}', 0),
        (b'{"a":1E2}', 100.0),
        (b'{"a":1e-400}', 0.0),
        (b'{"a":0.' + b"1" * 300 + b"}", 1 / 9),
        (b'{"a":"\\ud83d\\ude00"}', "\U0001f600"),
        (b'{"a":"\\\\ud800"}', "\\ud800"),
        (b'{"a":"\\u0000"}', "\0"),
        (b' \n\t\r{"a":{}} \n', {}),
    ],
)
def test_what_is_unusual_and_clear_is_taken(body: bytes, value: object) -> None:
    assert parse_object(body, 64) == {"a": value}


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_counts_every_level(opening: str, closing: str) -> None:
    closed = "1" if closing == "}" else ""
    for levels, taken in ((8, True), (9, False), (100_000, False)):
        inner = opening * (levels - 1) + closed + closing * (levels - 1)
        body = f'{{"a":{inner}}}'.encode()
        if taken:
            assert parse_object(body, 8)["a"]
        else:
            with pytest.raises(BadRequest, match="deeper than 8 levels"):
                parse_object(body, 8)


@pytest.mark.parametrize(
    ("values", "limit", "taken"),
    [
        (99_000, VALUES_MAX, True),
        (101_000, VALUES_MAX, False),
        (101_000, TOKEN_VALUES_MAX, True),
        (1_001_000, TOKEN_VALUES_MAX, False),
    ],
)
def test_a_body_has_so_many_values(values: int, limit: int, taken: bool) -> None:
    body = b'{"input":[' + b",".join([b"1"] * values) + b"]}"
    if taken:
        assert len(parse_object(body, 8, limit)["input"]) == values
    else:
        with pytest.raises(BadRequest, match=f"more than {limit:,} values"):
            parse_object(body, 8, limit)


def test_brackets_in_text_are_not_depth() -> None:
    body = json.dumps({"a": "[{" * 1000, "b": [[]] * 100}).encode()
    assert parse_object(body, 8)["a"] == "[{" * 1000


def test_depth_of_a_broken_body_is_refused_too() -> None:
    with pytest.raises(BadRequest):
        parse_object(b'{"a":' * 200_000, 64)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_a_bad_request(body: bytes) -> None:
    try:
        found = parse_object(body, 8)
    except BadRequest:
        return
    assert json.loads(body) == found
