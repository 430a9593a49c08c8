"""A local file of endings that Redis has not taken yet, so that no death of a process loses one.

Every process has a file of its own, which it keeps locked. The lock ends with the process, however
that dies: then any other process that shares the folder adopts the file, and brings what is in it.
An ending is a line: a checksum, and JSON. Bringing one twice changes nothing (``lua/settle.lua``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import gevent
import structlog
from gevent.event import AsyncResult

from gateway import failpoints
from gateway.core.endings import Ending

WAIT_SECONDS = 5.0
"""How long a client's answer waits for a disk that hangs."""

_SUFFIX = ".spool"
_ATTEMPTS = 3

_log = structlog.get_logger(__name__)

Run = Callable[..., Any]
"""Runs a call that waits for a disk, without holding up other greenlets."""


@dataclass(frozen=True, eq=False)
class Adopted:
    """The file of a process that died, locked: what it held, and how to be rid of it."""

    path: Path
    descriptor: int
    endings: list[Ending]
    damaged: list[tuple[int, str]]
    """Numbers of lines that cannot be read, and why."""

    def done(self) -> None:
        """Remove it: everything in it has reached Redis."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self.descriptor)


class Spool:
    """The file of this process, made when it is first needed. For greenlets of one process."""

    def __init__(self, folder: Path, run: Run) -> None:
        self._folder = folder
        self._run = run
        self._file: tuple[Path, int] | None = None
        self._queue: list[tuple[bytes, AsyncResult[None]]] = []
        self._writing = False
        self._torn = False
        """Whether the file may end within a line, since a write of it failed."""

    def write(self, ending: Ending) -> bool:
        """Write ``ending`` down and return once it is on disk; False where that cannot be.

        Those that come while the disk is busy share the next sync.
        """
        written: AsyncResult[None] = AsyncResult()
        try:
            self._queue.append((_line(ending), written))
            if not self._writing:
                self._writing = True
                gevent.spawn(self._write_queue)
            written.wait(timeout=WAIT_SECONDS)
            if not written.ready():
                raise TimeoutError(f"the disk took more than {WAIT_SECONDS:g} s")
            written.get()
            failpoints.hit("spool.written")
        except Exception as error:
            # Whatever it is: the client gets its answer, and memory has the ending.
            reason = f"{type(error).__name__}: {error}"
            _log.error("spool.not_written", reason=reason, request_id=ending.hold.request_id)
            return False
        return True

    def clear(self) -> None:
        """Forget what is written: all of it has reached Redis. Nothing while a write goes on."""
        if self._file is not None and not self._writing:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file[1], 0)

    def adopt(self) -> list[Adopted]:
        """Take over the files of processes that died."""
        found: list[Adopted] = self._run(_adopt, self._folder)
        for adopted in found:
            for number, reason in adopted.damaged:
                # Torn by the death of its process: its hold expires, and is charged as unknown.
                _log.error("spool.damaged_line", file=adopted.path.name, line=number, reason=reason)
        return found

    def close(self) -> None:
        """Let go of the file; it stays where something in it has not reached Redis."""
        if self._file is None or self._writing:
            # The lock ends with the process.
            return
        (path, descriptor), self._file = self._file, None
        if os.fstat(descriptor).st_size == 0:
            path.unlink(missing_ok=True)
        os.close(descriptor)

    def _write_queue(self) -> None:
        """Write what waits, and what comes to wait meanwhile: a write and a sync for each batch."""
        try:
            while self._queue:
                batch, self._queue = self._queue, []
                lines = b"".join(line for line, _ in batch)
                try:
                    self._file = self._run(_append, self._folder, self._file, self._torn, lines)
                except Exception as error:
                    self._torn = True
                    for _, written in batch:
                        written.set_exception(error)
                    continue
                self._torn = False
                for _, written in batch:
                    written.set()
        finally:
            self._writing = False


# What runs in a native thread


def _append(
    folder: Path, file: tuple[Path, int] | None, torn: bool, lines: bytes
) -> tuple[Path, int]:
    """Append ``lines`` and sync them, to a new file where there is none. Raises OSError."""
    # Where somebody has deleted the file, what is written to it is lost with this process.
    usable = file if file is not None and os.fstat(file[1]).st_nlink else None
    path, descriptor = usable or _new_file(folder)
    try:
        # A full disk takes a part of a line. The next must not be glued to it.
        data = b"\n" + lines if torn else lines
        while data:
            data = data[os.write(descriptor, data) :]
        os.fdatasync(descriptor)
    except OSError:
        if usable is None:
            path.unlink(missing_ok=True)
            os.close(descriptor)
        raise
    if file is not None and usable is None:
        os.close(file[1])
    return path, descriptor


def _new_file(folder: Path) -> tuple[Path, int]:
    """A new file, locked, whose name survives a power loss. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for _ in range(_ATTEMPTS):
        path = folder / f"{os.getpid()}-{uuid4().hex[:8]}{_SUFFIX}"
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                for one in (folder, folder.parent):
                    _sync_folder(one)
                return path, descriptor
        except BlockingIOError:
            # Adopted between the two calls, as if its process had died: it is empty.
            pass
        except OSError:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise OSError(f"{folder}: every new file was taken away")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _adopt(folder: Path) -> list[Adopted]:
    """Lock and read the files that nobody has locked."""
    found = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Its last adopter may be done with it.
                if os.fstat(descriptor).st_nlink == 0:
                    raise FileNotFoundError(path)
                endings, damaged = _read(path.read_bytes())
            except OSError:
                os.close(descriptor)
                raise
            found.append(Adopted(path, descriptor, _in_order(endings), damaged))
    return found


def _in_order(endings: list[Ending]) -> list[Ending]:
    """The last that is known of each request, and allowances after what was drawn from them."""
    last = {ending.hold.request_id: ending for ending in endings}
    sources = {ending.hold.drawn_from for ending in last.values()}
    return sorted(last.values(), key=lambda ending: ending.hold.request_id in sources)


def _line(ending: Ending) -> bytes:
    text = ending.as_json()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _read(data: bytes) -> tuple[list[Ending], list[tuple[int, str]]]:
    """What a file holds, and which of its lines are torn or damaged."""
    endings, damaged = [], []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line:
            continue
        try:
            checksum, _, text = line.partition(b" ")
            if int(checksum, 16) != zlib.crc32(text):
                raise ValueError("the checksum differs")
            endings.append(Ending.from_json(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            damaged.append((number, str(error)))
    return endings, damaged
