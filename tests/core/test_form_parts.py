from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.form_parts import (
    HEAD_BYTES_MAX,
    Content,
    Head,
    HeadTooLarge,
    PartSplitter,
    UnreadableForm,
)

Part = tuple[dict[str, str], bytes]


def parts(chunks: list[bytes], boundary: bytes = b"b") -> list[Part]:
    splitter, found = PartSplitter(boundary), []
    headers: dict[str, str] = {}
    content = b""
    for chunk in chunks:
        for one in splitter.feed(chunk):
            if isinstance(one, Head):
                headers, content = one.headers, b""
            else:
                assert isinstance(one, Content)
                content += one.data
                if one.last:
                    found.append((headers, content))
    splitter.end()
    return found


def part(content: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"--b", *(headers or (b"A: b",)), b"", content]) + b"\r\n"


FORM = part(b"one") + part(b"\r\n--", b"A: b", b"c:d e ") + part(b"") + b"--b--\r\n"


def test_parts_have_their_headers_and_contents() -> None:
    assert parts([FORM]) == [
        ({"a": "b"}, b"one"),
        ({"a": "b", "c": "d e"}, b"\r\n--"),
        ({"a": "b"}, b""),
    ]


@pytest.mark.parametrize("size", range(1, 30))
def test_pieces_of_any_size_give_the_same_parts(size: int) -> None:
    """Also where one ends within a boundary: a value must not get a part of its line break."""
    cut = [FORM[at : at + size] for at in range(0, len(FORM), size)]
    assert parts(cut) == parts([FORM])


TRICKY = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"--", b"-", b"b", b"a", b"\r\n-"]))


@given(st.lists(TRICKY.map(b"".join), max_size=3), st.lists(st.integers(0, 200)))
def test_contents_come_whole_however_they_are_cut(contents: list[bytes], places: list[int]) -> None:
    contents = [one for one in contents if b"\r\n--b" not in b"\r\n" + one + b"\r\n"]
    form = b"".join(part(one) for one in contents) + b"--b--"
    edges = [0, *sorted(min(place, len(form)) for place in places), len(form)]
    found = parts([form[a:b] for a, b in pairwise(edges)])
    assert [content for _, content in found] == contents


def test_a_part_may_have_no_headers_and_no_content() -> None:
    assert parts([b"--b\r\n\r\nx\r\n--b\r\nA: b\r\n\r\n--b--"]) == [({}, b"x"), ({"a": "b"}, b"")]


def test_what_is_around_the_form_is_no_part_of_it() -> None:
    assert parts([b"\r\n" + FORM + b"--b\r\nmore"]) == parts([FORM])


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"--b",
        b"--b\r\n",
        FORM[:-4],
        FORM.replace(b"\r\n", b"\n"),
        b"--bc\r\n" + FORM,
        b"--b \r\nA: b\r\n\r\nx\r\n--b--",
        b"x" * 2000 + b"\r\n" + FORM,
        part(b"x\r\n--bc") + b"--b--",
        part(b"x", b"A: b", b" folded") + b"--b--",
        part(b"x", b"A: b", b"a: c") + b"--b--",
        part(b"x", b"A") + b"--b--",
        part(b"x", b": b") + b"--b--",
        part(b"x", b"A : b") + b"--b--",
        part(b"x", b"A: \xff") + b"--b--",
        part(b"x", b"A: b\nC: d") + b"--b--",
    ],
)
def test_what_readers_would_take_for_something_else_is_refused(form: bytes) -> None:
    for chunks in ([form], [form[at : at + 1] for at in range(len(form))]):
        with pytest.raises(UnreadableForm):
            parts(chunks)


def test_headers_have_a_limit() -> None:
    most = b"A: " + b"x" * (HEAD_BYTES_MAX - 5)
    assert len(parts([part(b"x", most) + b"--b--"])[0][0]["a"]) == HEAD_BYTES_MAX - 5
    for form in (part(b"x", most + b"yyyyyy") + b"--b--", b"--b\r\n" + b"x" * 20_000):
        with pytest.raises(HeadTooLarge):
            parts([form])
