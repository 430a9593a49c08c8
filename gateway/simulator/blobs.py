"""The bytes of stored files: small ones in memory, large ones on disk without a name.

A temporary file that has no name is gone with the process however it ends, and takes no memory
while half a gigabyte of it is read or sent.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile

MEMORY_BYTES_MAX = 1024 * 1024
"""Larger content is kept on disk."""
PIECE_BYTES = 256 * 1024


class Blob:
    """Bytes that do not change. Several readers may read at once."""

    def __init__(self, content: bytes | SpooledTemporaryFile[bytes]) -> None:
        """Takes over ``content``; a file must not be written to or closed any more."""
        self._data = b""
        self._file: SpooledTemporaryFile[bytes] | None = None
        if isinstance(content, bytes):
            self._data = content
            self.size = len(content)
            return
        self.size = content.seek(0, os.SEEK_END)
        if self.size <= MEMORY_BYTES_MAX:
            content.seek(0)
            self._data = content.read()
        else:
            content.flush()
            self._file = content

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """``size`` bytes from ``offset``, or all from there."""
        end = self.size if size is None else min(self.size, offset + size)
        if self._file is None:
            return self._data[offset:end]
        parts = []
        while offset < end:
            # One read of the system gives at most 2 GB.
            parts.append(os.pread(self._file.fileno(), end - offset, offset))
            offset += len(parts[-1])
        return b"".join(parts)

    def pieces(self) -> Iterator[bytes]:
        """All bytes, in pieces of PIECE_BYTES."""
        for offset in range(0, self.size, PIECE_BYTES):
            yield self.read(offset, PIECE_BYTES)

    def lines(self) -> Iterator[bytes]:
        """The lines, without their ends; a last one without an end counts."""
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line.removesuffix(b"\r")
        if rest:
            yield rest.removesuffix(b"\r")


def new_file() -> SpooledTemporaryFile[bytes]:
    """A file to be filled; on disk once it is larger than MEMORY_BYTES_MAX."""
    return SpooledTemporaryFile(max_size=MEMORY_BYTES_MAX)


def joined(parts: Iterable[Blob]) -> Blob:
    """The bytes of all ``parts``, one after the other."""
    whole = new_file()
    for part in parts:
        for piece in part.pieces():
            whole.write(piece)
    return Blob(whole)
