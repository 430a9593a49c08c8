"""Power loss of the machine that Redis runs on: it comes back older than it was, or empty.

``kill -9`` loses nothing that reached the operating system. What a power loss takes is the end of
the append-only file, which is cut off here, or the disk.
"""

from __future__ import annotations

import shutil
from pathlib import Path


def cut_tail(folder: Path, share: float, most_bytes: int = 400_000) -> int:
    """Cut ``share`` of the newest ``most_bytes`` off the append-only file of a server that does
    not run; returns how many bytes that is. Redis starts without a word about it."""
    files = sorted(folder.rglob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
    if not files:
        return 0
    newest = files[-1]
    size = newest.stat().st_size
    cut = int(share * min(size, most_bytes))
    with newest.open("r+b") as file:
        file.truncate(size - cut)
    return cut


def remove_data(folder: Path) -> None:
    """Remove all data of a server that does not run."""
    for path in folder.glob("appendonlydir"):
        shutil.rmtree(path)
    for path in folder.glob("*.rdb"):
        path.unlink()
