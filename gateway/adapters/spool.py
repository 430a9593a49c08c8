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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog
from gevent.event import Event

from gateway import failpoints
from gateway.core.endings import Ending

_SUFFIX = ".spool"

_log = structlog.get_logger(__name__)

Run = Callable[..., Any]
"""Runs a call that waits for a disk, without holding up other greenlets."""


@dataclass
class Adopted:
    """The file of a process that died: what it held, and how to be rid of it."""

    path: Path
    descriptor: int
    endings: list[Ending]

    def done(self) -> None:
        """Everything in it has reached Redis."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        os.close(self.descriptor)


class Spool:
    """The file of this process, opened when it is first needed. For greenlets of one process."""

    def __init__(self, folder: Path, run: Run) -> None:
        self._folder = folder
        self._run = run
        self._path: Path | None = None
        self._descriptor = -1
        self._written = 0
        self._synced = 0
        self._syncing = False
        self._turn = Event()
        self.failures = 0
        """Endings that could not be written: they are in memory alone."""

    def write(self, ending: Ending) -> bool:
        """Write ``ending`` down and return once it is on disk; False where that cannot be.

        Those that are written meanwhile share one sync.
        """
        try:
            if self._descriptor < 0:
                self._open()
            self._append(_line(ending))
            self._written += 1
            self._sync(self._written)
            failpoints.hit("spool.written")
        except OSError as error:
            self.failures += 1
            _log.error("spool.not_written", reason=str(error), request_id=ending.hold.request_id)
            return False
        return True

    def clear(self) -> None:
        """Forget what is written: all of it has reached Redis."""
        if self._descriptor >= 0 and self._written and not self._syncing:
            self._written = self._synced = 0
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)

    def adopt(self) -> list[Adopted]:
        """Take over the files of processes that died."""
        found = []
        try:
            paths = sorted(self._folder.glob(f"*{_SUFFIX}"))
        except OSError:
            return []
        for path in paths:
            if path == self._path:
                continue
            with contextlib.suppress(OSError):
                descriptor = os.open(path, os.O_RDWR)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    # Its last adopter may be done with it, and another file have its place.
                    if os.fstat(descriptor).st_nlink == 0:
                        raise FileNotFoundError(path)
                    found.append(Adopted(path, descriptor, list(_endings(path))))
                except OSError:
                    os.close(descriptor)
        return found

    def close(self) -> None:
        """Let go of the file; it stays where something in it has not reached Redis."""
        if self._descriptor < 0:
            return
        if os.fstat(self._descriptor).st_size == 0 and self._path is not None:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{os.getpid()}-{uuid4().hex[:8]}{_SUFFIX}"
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._path, self._descriptor = path, descriptor
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            # The name of the file must survive a power loss too.
            self._run(os.fsync, folder)
        finally:
            os.close(folder)

    def _append(self, line: bytes) -> None:
        written = os.write(self._descriptor, line)
        if written != len(line):
            # A full disk takes a part. The next line must not be glued to it.
            os.write(self._descriptor, b"\n")
            raise OSError(f"{written} of {len(line)} bytes were written")

    def _sync(self, upto: int) -> None:
        while self._synced < upto:
            if self._syncing:
                self._turn.wait()
                continue
            self._syncing, covered, turn = True, self._written, self._turn
            try:
                self._run(os.fdatasync, self._descriptor)
                self._synced = max(self._synced, covered)
            finally:
                self._syncing = False
                self._turn = Event()
                turn.set()


def _line(ending: Ending) -> bytes:
    text = ending.as_json()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _endings(path: Path) -> Iterator[Ending]:
    """What a file holds; a line that is torn or damaged is left out, and said so."""
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if not line:
            continue
        try:
            checksum, _, text = line.partition(b" ")
            if int(checksum, 16) != zlib.crc32(text):
                raise ValueError("the checksum differs")
            yield Ending.from_json(text)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # The process died while it wrote it: its hold expires, and is charged as unknown.
            _log.error("spool.damaged_line", file=path.name, line=number, reason=str(error))
