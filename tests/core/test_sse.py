from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import sse
from gateway.core.sse import EventSplitter, EventTooLarge, comment, data_event, event_data

STREAMS = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"\n\n", b"data: x", b"data:", b": c", b"id: 1", b"\xff"]
    )
).map(b"".join)

ENDS = (b"\n", b"\r\n", b"\r")
PAIRS = [(first, second) for first in ENDS for second in ENDS if first + second != b"\r\n"]


def split(chunks: list[bytes]) -> tuple[list[bytes], bytes]:
    splitter = EventSplitter()
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    return events, splitter.rest


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


@given(STREAMS, st.lists(st.integers(0, 60)))
def test_any_chunking_gives_the_same_events(stream: bytes, places: list[int]) -> None:
    assert split(cut(stream, places)) == split([stream])
    assert split([bytes([byte]) for byte in stream]) == split([stream])


@given(st.lists(st.binary(max_size=30)))
def test_no_byte_is_changed_or_lost(chunks: list[bytes]) -> None:
    events, rest = split(chunks)
    assert b"".join(events) + rest == b"".join(chunks)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_line_ends_of_any_kind_end_an_event(first: bytes, second: bytes) -> None:
    stream = b"data: one" + first + second + b"data: two\n\n"
    events, rest = split([stream])
    assert [event_data(event) for event in events] == [b"one", b"two"]
    assert rest == b""


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_one_line_end_ends_no_event(end: bytes) -> None:
    lines = b"data: one" + end + b"data: two" + end
    assert split([lines]) == ([], lines)


@pytest.mark.parametrize("ends", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_an_event_is_given_as_soon_as_it_ends(ends: bytes) -> None:
    splitter = EventSplitter()
    for byte in (b"data: one" + ends)[:-1]:
        assert splitter.feed(bytes([byte])) == []
    assert splitter.feed(ends[-1:]) == [b"data: one" + ends]
    assert splitter.rest == b""


def test_an_event_without_end_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES_MAX", 1000)
    splitter = EventSplitter()
    assert splitter.feed(b"x" * 1000) == []
    with pytest.raises(EventTooLarge):
        splitter.feed(b"x")
    # The limit is on one event, however much arrives at once.
    assert len(EventSplitter().feed(b"data: x\n\n" * 1000)) == 1000


def test_a_large_event_is_searched_once_however_many_pieces_it_comes_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A picture has megabytes, and comes in pieces of a few kilobytes."""
    searched = 0

    class Counted:
        def search(self, data: bytes, position: int) -> re.Match[bytes] | None:
            nonlocal searched
            searched += len(data) - position
            return boundary.search(data, position)

    boundary = sse._BOUNDARY
    monkeypatch.setattr(sse, "_BOUNDARY", Counted())
    event = b"data: " + b"x" * 4_000_000 + b"\n\n"
    assert split(cut(event, list(range(0, len(event), 4_096)))) == ([event], b"")
    assert searched < len(event) + 3 * (len(event) // 4_096 + 2)


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: x\n\n", b"x"),
        (b"data:x\n\n", b"x"),
        (b"data:  x\n\n", b" x"),
        (b"data: x\r\n\r\n", b"x"),
        (b"data: x\r\r", b"x"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"data: a\ndata: b", b"a\nb"),
        (b"data: a\ndata: [DONE]\n", b"a\n[DONE]"),
        (b"data: a\nid: 7\n", b"a"),
        (b"event: m\nid: 1\ndata: x\nretry: 5\n\n", b"x"),
        (b"\ndata: x\n\n", b"x"),
        (b": comment\n\n", b""),
        (b"data:\n\n", b""),
        (b"data: \n\n", b""),
        (b"metadata: x\n\n", b""),
        (b"", b""),
    ],
)
def test_data_of_an_event(event: bytes, data: bytes) -> None:
    assert event_data(event) == data


@given(st.binary(max_size=50).filter(lambda b: b"\n" not in b and b"\r" not in b))
def test_data_goes_in_and_comes_out(payload: bytes) -> None:
    (event,) = EventSplitter().feed(data_event(payload))
    assert event_data(event) == payload


def test_comments_carry_no_data() -> None:
    assert comment("cost 1") == b": cost 1\n\n"
    assert event_data(comment("data: x")) == b""
