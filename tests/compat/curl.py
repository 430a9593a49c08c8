"""The plain ``curl`` program as a client."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from tests.compat.program import POLL_SECONDS, WAIT_SECONDS_MAX
from tests.e2e.traffic import Reply

SECONDS_MAX = 30
PNG = b"\x89PNG\r\n\x1a\n"


class Curl:
    """Calls one gateway with one key."""

    def __init__(self, base_url: str, key: str, folder: Path) -> None:
        """``folder`` takes what is sent as a file, and what comes back."""
        self._base_url, self._key, self._folder = base_url, key, folder

    def _run(self, path: str, *arguments: str, stdin: bytes = b"") -> Reply:
        head, body = self._folder / "head", self._folder / "body"
        body.unlink(missing_ok=True)
        done = subprocess.run(
            [
                *("curl", "--silent", "--show-error", "--no-buffer"),
                *("--max-time", str(SECONDS_MAX)),
                *("--dump-header", str(head), "--output", str(body)),
                *("--header", f"Authorization: Bearer {self._key}"),
                *arguments,
                f"{self._base_url}{path}",
            ],
            input=stdin,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        # What came last: an upload may be answered with "100 Continue" first.
        block = head.read_text().strip().replace("\r\n", "\n").split("\n\n")[-1]
        status, *lines = block.split("\n")
        pairs = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        received = body.read_bytes() if body.exists() else b""
        return Reply(int(status.split()[1]), headers, received)

    def get(self, path: str) -> Reply:
        """GET, whatever the answer."""
        return self._run(path)

    def delete(self, path: str) -> Any:
        """DELETE; the JSON of its answer, or None where that is empty."""
        reply = self._run(path, "--request", "DELETE")
        assert 200 <= reply.status < 300, reply
        return reply.json if reply.body else None

    def read(self, path: str) -> Any:
        """The JSON that a GET answers."""
        reply = self.get(path)
        assert reply.status == 200, reply
        return reply.json

    def send(self, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """POST JSON, or nothing."""
        if body is None:
            reply = self._run(path, "--request", "POST")
        else:
            kind = ("--header", "Content-Type: application/json", "--data-binary", "@-")
            reply = self._run(path, *kind, stdin=json.dumps(body).encode())
        assert reply.status == 200, reply
        return reply

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON that a POST answers."""
        return self.send(path, body).json

    def form(self, path: str, name: str, file: tuple[str, bytes], fields: dict[str, str]) -> Reply:
        """POST a form with one file."""
        source = self._folder / file[0]
        source.write_bytes(file[1])
        given = [("--form-string", f"{field}={value}") for field, value in fields.items()]
        reply = self._run(path, "--form", f"{name}=@{source}", *chain.from_iterable(given))
        assert reply.status == 200, reply
        return reply

    def until(self, path: str, *ends: str) -> Any:
        """The object at ``path`` once its status is one of ``ends``."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while (found := self.read(path))["status"] not in ends:
            assert time.monotonic() < deadline, found
            time.sleep(POLL_SECONDS)
        return found


CurlCall = Callable[[Curl], None]
"""What one row of the table does."""
