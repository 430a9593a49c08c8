"""Keeps the terminal for the demo: what its processes write goes to a log file instead."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rich.console import Console

LOG_TAIL_LINES = 15


@dataclass(frozen=True)
class Screen:
    """The demo's own standard output, and the file that has everybody else's."""

    stream: IO[str]
    console: Console
    log_path: Path

    def say(self, text: str = "") -> None:
        """Print a line as it is: never wrapped, so that it can be pasted. Raises OSError."""
        self.stream.write(text + "\n")
        self.stream.flush()

    def log_tail(self) -> str:
        """The last lines of the log file."""
        try:
            lines = self.log_path.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-LOG_TAIL_LINES:])


@contextlib.contextmanager
def screen(log_path: Path) -> Iterator[Screen]:
    """Send standard output and error of this process and its children to ``log_path``.

    By file descriptor, since the children inherit those.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept_out, kept_err = os.dup(1), os.dup(2)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    encoding = sys.stdout.encoding or "utf-8"
    stream = os.fdopen(os.dup(kept_out), "w", encoding=encoding, errors="replace")
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield Screen(stream, Console(file=stream, highlight=False), log_path)
    finally:
        with contextlib.suppress(OSError):  # The terminal may be gone.
            stream.close()
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(kept_out, 1)
        os.dup2(kept_err, 2)
        for descriptor in (log, kept_out, kept_err):
            os.close(descriptor)
