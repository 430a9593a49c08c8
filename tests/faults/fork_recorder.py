"""Keeps a recorder process running, forked from this one, which has all its code loaded.

Starting one from nothing takes two seconds of CPU; in a run that kills it a few hundred times a
machine would do little else. What is forked is what ``faregate recorder`` runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from itertools import count
from pathlib import Path
from types import FrameType

from gateway.cli.recorder import command

PAUSE_SECONDS = 0.05
QUICK_SECONDS, QUICK_PAUSE_SECONDS = 0.3, 0.3
"""One that ends this soon after its start is given some more time to be started again."""


def serve(pid_path: Path) -> None:
    """Fork recorders, one after the other, until SIGTERM; ``pid_path`` names the one that runs."""
    stopping = False
    child = 0
    points = os.environ.get("FAREGATE_FAILPOINTS")

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        if child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    for number in count(1):
        if stopping:
            return
        begun = time.monotonic()
        if points:
            # Each draws its own fate: all of them are armed after the fork, as if newly started.
            os.environ["FAREGATE_FAILPOINTS"] = f"{points}-{number}"
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _record()
        _write(pid_path, child)
        if stopping:
            os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        child = 0
        quick = time.monotonic() - begun < QUICK_SECONDS
        time.sleep(QUICK_PAUSE_SECONDS if quick else PAUSE_SECONDS)


def _record() -> None:
    """Be a recorder process, and end as one."""
    status = 1
    try:
        command.main([], standalone_mode=False)
        status = 0
    except BaseException as error:
        sys.stderr.write(f"recorder ended: {error!r}\n")
    finally:
        sys.stderr.flush()
        os._exit(status)


def _write(path: Path, pid: int) -> None:
    new = path.with_suffix(".new")
    new.write_text(str(pid))
    new.replace(path)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
