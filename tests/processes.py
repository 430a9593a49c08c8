"""Run a program in a test: wait for what it says or for its port, and end it in any way."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PORT_POLL_SECONDS = 0.02
"""A port tells nobody that it begins to listen, so it is tried this often."""


class ProcessFailed(AssertionError):
    """The program ended or stayed silent; the message carries all that it wrote."""


def find_free_port() -> int:
    """A loopback TCP port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Running:
    """A program in the background, ended with the context.

    It leads a process group of its own, so that what it forks ends with it. ``env`` is added
    to this process's environment; a value of None removes a variable.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
    ) -> None:
        merged: dict[str, str | None] = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self.command = [str(part) for part in command]
        self._lines: list[str] = []
        self._errors: list[str] = []
        self._changed = threading.Condition()
        self._readers_open = 2
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=cwd,
            env={name: value for name, value in merged.items() if value is not None},
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(stream, into), daemon=True)
            for stream, into in (
                (self.process.stdout, self._lines),
                (self.process.stderr, self._errors),
            )
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The program's process id, also its group's."""
        return self.process.pid

    @property
    def stdout(self) -> str:
        """All that it wrote to standard output so far."""
        with self._changed:
            return "".join(self._lines)

    @property
    def stderr(self) -> str:
        """All that it wrote to standard error so far."""
        with self._changed:
            return "".join(self._errors)

    def wait_for_line(self, pattern: str, timeout_seconds: float = 30.0) -> re.Match[str]:
        """The first match of ``pattern`` in a line of standard output, past or to come."""
        wanted = re.compile(pattern)
        deadline = time.monotonic() + timeout_seconds
        seen = 0
        with self._changed:
            while True:
                for line in self._lines[seen:]:
                    if match := wanted.search(line):
                        return match
                seen = len(self._lines)
                left = deadline - time.monotonic()
                if self._readers_open == 0 or left <= 0:
                    break
                self._changed.wait(left)
        if self._readers_open == 0:
            # Its output has ended, so its status comes any moment.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5.0)
        raise ProcessFailed(f"no line matched {pattern!r}\n{self._story()}")

    def wait_for_port(self, port: int, timeout_seconds: float = 30.0) -> None:
        """Return once the program's TCP ``port`` on loopback accepts connections."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PORT_POLL_SECONDS)
                break
        raise ProcessFailed(f"port {port} does not accept connections\n{self._story()}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program alone."""
        self.process.send_signal(number)

    def wait(self, timeout_seconds: float = 30.0) -> int:
        """The exit status, with all output read. Raises ProcessFailed where it runs on."""
        try:
            status = self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"still running\n{self._story()}") from None
        for reader in self._readers:
            # What it forked may hold the pipes open for longer than it lives.
            reader.join(timeout=1.0)
        return status

    def stop(self, timeout_seconds: float = 30.0) -> int:
        """Ask it to end (SIGTERM) and return its exit status."""
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
        return self.wait(timeout_seconds)

    def kill(self) -> int:
        """End the program at once (SIGKILL); what it forked is left to itself."""
        if self.process.poll() is None:
            self.send(signal.SIGKILL)
        return self.wait()

    def kill_group(self) -> int:
        """End the program and all in its process group at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.wait()

    def close(self) -> None:
        """End it in order if it still runs, then whatever is left of its group."""
        try:
            self.stop(timeout_seconds=15.0)
        except ProcessFailed:
            self.kill_group()
            raise
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            for stream in (self.process.stdout, self.process.stderr):
                if stream is not None and self._readers_open == 0:
                    stream.close()

    def _read(self, stream: IO[str], into: list[str]) -> None:
        for line in stream:
            with self._changed:
                into.append(line)
                self._changed.notify_all()
        with self._changed:
            self._readers_open -= 1
            self._changed.notify_all()

    def _story(self) -> str:
        status = self.process.poll()
        state = "running" if status is None else f"ended with {status}"
        return (
            f"{' '.join(self.command)} ({state})\n"
            f"--- stdout\n{self.stdout}--- stderr\n{self.stderr}"
        )
