"""Splits a ``multipart/form-data`` body into its parts, strictly and as it arrives.

However the bytes come, the parts are the same: nothing is decided before the bytes that decide it
are there. What no program that sends forms does, and readers of forms disagree about (lines that
end otherwise than CR LF, a boundary inside a part, folded headers), is refused.

Source: RFC 7578, and RFC 2046, section 5.1.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

HEAD_BYTES_MAX = 16 * 1024
_PREAMBLE_BYTES_MAX = 1024
_BREAK = b"\r\n"
_BLANK_LINE = b"\r\n\r\n"


class UnreadableForm(ValueError):
    """The body is no form; the message says where it stops being one."""


class HeadTooLarge(ValueError):
    """A part has more than HEAD_BYTES_MAX bytes of headers."""


@dataclass(frozen=True, slots=True)
class Head:
    """A part begins. ``headers`` are by name, in small letters."""

    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes of the part that began last; ``last`` where nothing of it follows."""

    data: bytes
    last: bool


class _State(Enum):
    BEFORE = auto()
    """Before the first boundary."""
    BOUNDARY = auto()
    """Behind a boundary, which may be the last one."""
    HEAD = auto()
    CONTENT = auto()
    AFTER = auto()
    """Behind the last boundary."""


class PartSplitter:
    """Takes a body in pieces of any size, and gives what is known of its parts by then."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        # The first boundary stands at the start, as if a line had ended there.
        self._rest = bytearray(_BREAK)
        self._state = _State.BEFORE
        self._begun = False
        """Whether some of the part's content has been looked at."""

    def feed(self, data: bytes) -> Iterator[Head | Content]:
        """What ``data`` completes. Raises UnreadableForm and HeadTooLarge."""
        self._rest += data
        while (found := self._next()) is not None:
            if not isinstance(found, _State):
                yield found
                continue
            self._state = found

    def end(self) -> None:
        """The body is over. Raises UnreadableForm where it was cut short."""
        if self._state is not _State.AFTER:
            raise UnreadableForm("it ends before its last boundary")

    def _next(self) -> Head | Content | _State | None:
        """One step: something known, the next state, or None where more must come first."""
        match self._state:
            case _State.BEFORE:
                return self._before()
            case _State.BOUNDARY:
                return self._boundary()
            case _State.HEAD:
                return self._head()
            case _State.CONTENT:
                return self._content()
            case _State.AFTER:
                self._rest.clear()
        return None

    def _before(self) -> _State | None:
        at = self._rest.find(self._delimiter)
        before = at if at >= 0 else len(self._rest) - len(self._delimiter)
        if before > _PREAMBLE_BYTES_MAX:
            raise UnreadableForm("it does not begin with its boundary")
        if at < 0:
            return None
        del self._rest[: at + len(self._delimiter)]
        return _State.BOUNDARY

    def _boundary(self) -> _State | None:
        if len(self._rest) < 2:
            return None
        mark = bytes(self._rest[:2])
        if mark == b"--":
            return _State.AFTER
        if mark != _BREAK:
            raise UnreadableForm(
                "a part has the boundary inside, or a line does not end with CR LF"
            )
        # The break stays: it is also the one before a head's blank line where there is no head.
        return _State.HEAD

    def _head(self) -> Head | None:
        at = self._rest.find(_BLANK_LINE)
        if at > HEAD_BYTES_MAX or (at < 0 and len(self._rest) > HEAD_BYTES_MAX + len(_BLANK_LINE)):
            raise HeadTooLarge
        if at < 0:
            return None
        head = bytes(self._rest[2:at])
        # The second break stays: a boundary may follow at once.
        del self._rest[: at + 2]
        self._state = _State.CONTENT
        self._begun = False
        return Head(_headers(head))

    def _content(self) -> Content | _State | None:
        if not self._begun:
            if len(self._rest) < len(self._delimiter):
                return None
            if not self._rest.startswith(self._delimiter):
                del self._rest[:2]
            self._begun = True
        at = self._rest.find(self._delimiter)
        if at >= 0:
            data = bytes(self._rest[:at])
            del self._rest[: at + len(self._delimiter)]
            self._state = _State.BOUNDARY
            return Content(data, last=True)
        # The last bytes may be the beginning of a boundary.
        known = len(self._rest) - len(self._delimiter) + 1
        if known <= 0:
            return None
        data = bytes(self._rest[:known])
        del self._rest[:known]
        return Content(data, last=False)


def _headers(head: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in head.split(_BREAK) if head else []:
        if line[:1] in (b" ", b"\t") or b"\r" in line or b"\n" in line or b"\0" in line:
            raise UnreadableForm("a header of a part goes over several lines")
        try:
            name, colon, value = line.decode("utf-8").partition(":")
        except UnicodeDecodeError:
            raise UnreadableForm("a header of a part is not UTF-8") from None
        name = name.lower()
        if not colon or not name or name != name.strip():
            raise UnreadableForm("a header of a part has no name")
        if name in found:
            raise UnreadableForm(f"a part has two headers {name[:64]!r}")
        found[name] = value.strip(" \t")
    return found
