"""Server-sent events as bytes: splits a stream into events without changing a byte.

Source: WHATWG HTML, section 9.2 (event stream format); a line ends in LF, CR LF or CR.
"""

from __future__ import annotations

import re

EVENT_BYTES_MAX = 16 * 1024 * 1024
"""Largest single event; above it the stream is not believed to be one."""

# Two line ends in a row. LF CR waits for the byte after it, which may make it LF CR LF.
_BOUNDARY = re.compile(rb"\n\r\n|\n\n|\r\r|\n\r(?=[^\n])")
DONE = b"[DONE]"


class EventTooLarge(ValueError):
    """An event grew past EVENT_BYTES_MAX without ending."""


class EventSplitter:
    """Feeds on chunks of any size and gives back whole events, each with its blank line."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._scanned = 0

    @property
    def rest(self) -> bytes:
        """Bytes of an event that has not ended."""
        return bytes(self._rest)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that ``chunk`` completes. Raises EventTooLarge.

        A large event (a picture has megabytes) grows in place: each byte is looked at once.
        """
        data: bytes | bytearray = chunk
        position = 0
        if self._rest:
            self._rest += chunk
            data = self._rest
            # A boundary may straddle the chunks: look again at the last three bytes.
            position = max(self._scanned - 3, 0)
        events = []
        start = 0
        while match := _BOUNDARY.search(data, position):
            events.append(bytes(data[start : match.end()]))
            start = position = match.end()
        if start or data is not self._rest:
            self._rest = bytearray(data[start:])
        self._scanned = len(self._rest)
        if len(self._rest) > EVENT_BYTES_MAX:
            raise EventTooLarge(f"an event of more than {EVENT_BYTES_MAX} bytes")
        return events


def event_data(event: bytes) -> bytes:
    """The data of one event, its ``data:`` lines joined; empty for a comment."""
    if event.startswith(b"data: "):
        only = event[6:].rstrip(b"\n")
        if b"\n" not in only and b"\r" not in only:
            return only
    lines = []
    for line in re.split(rb"\r\n|\n|\r", event):
        if line.startswith(b"data:"):
            lines.append(line[5:].removeprefix(b" "))
    return b"\n".join(lines)


def comment(text: str) -> bytes:
    """A comment, which every SSE client skips."""
    return f": {text}\n\n".encode()


def data_event(payload: bytes) -> bytes:
    """An event that carries ``payload``."""
    return b"data: " + payload + b"\n\n"
