"""Room for large bodies: how much of them one process keeps in memory at once.

One body has a limit, and a client may send many at a time; all of them stay in memory until
they are answered. Where there is no room for another it is refused, which costs one request,
and not the process with everybody's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import current_app

from gateway.core.errors import ServerBusy
from gateway.settings import Settings

_EXTENSION = "faregate.body_room"


class BodyRoom:
    """Counts the bytes of the large bodies that a process keeps."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.used = 0

    def take(self, size: int) -> None:
        """Set ``size`` bytes aside. Raises ServerBusy where they are not there."""
        if self.used + size > self._bytes_max:
            raise ServerBusy(
                "This gateway process has no room for another large request body: it keeps at"
                f" most {self._bytes_max:,} bytes of them at once"
                " (FAREGATE_LARGE_BODIES_BYTES_MAX). Nothing was sent and nothing is charged."
                " Try again shortly.",
                headers={"retry-after": "1"},
            )
        self.used += size

    def give_back(self, size: int) -> None:
        """Let others have ``size`` bytes."""
        self.used -= size


class Share:
    """What one body has of the room; given back with the last reference to it."""

    def __init__(self, room: BodyRoom) -> None:
        self._room = room
        self._size = 0

    def add(self, size: int) -> None:
        """Take ``size`` bytes more. Raises ServerBusy."""
        self._room.take(size)
        self._size += size

    @contextmanager
    def given_back_on_failure(self) -> Iterator[None]:
        """Give all of it back at an error, which may live on with all that it refers to."""
        try:
            yield
        except BaseException:
            self.give_back()
            raise

    def give_back(self) -> None:
        """Let others have all of it."""
        size, self._size = self._size, 0
        self._room.give_back(size)

    def __del__(self) -> None:
        self.give_back()


class LargeBody(dict[str, Any]):
    """A parsed body that has its share of the room for as long as somebody refers to it."""

    def __init__(self, parsed: dict[str, Any], share: Share) -> None:
        super().__init__(parsed)
        self._share = share


def own_share(settings: Settings) -> Share:
    """A share, still empty, of the room of the process that serves the current request."""
    # Only asked for in a request, so one process's greenlets never make it twice.
    extensions = current_app.extensions
    if _EXTENSION not in extensions:
        extensions[_EXTENSION] = BodyRoom(settings.large_bodies_bytes_max)
    room = extensions[_EXTENSION]
    assert isinstance(room, BodyRoom)
    return Share(room)
