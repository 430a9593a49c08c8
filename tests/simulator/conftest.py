"""A simulator process shared by the tests of one worker, and ways to talk to it."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.truth import Charge, read_truth
from tests.processes import Running

KEY = "sk-test-simulator"
PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNg"
    "AAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="
)
"""An image of one pixel."""
FIRST_LINE = (
    r"^SIMULATION of an OpenAI-compatible provider \(no real model\): "
    r"listening on http://127\.0\.0\.1:(\d+)/v1$"
)


@dataclass(frozen=True)
class Simulated:
    """A running simulator."""

    port: int
    truth_log: Path
    process: Running

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def client(self) -> OpenAI:
        return OpenAI(api_key=KEY, base_url=self.url, max_retries=0, timeout=20)

    def charge(self, request_id: str | None) -> Charge:
        """The one charge of a request."""
        (found,) = [c for c in read_truth(self.truth_log) if c.request_id == request_id]
        return found

    def charges_of_client(self, client_request_id: str) -> list[Charge]:
        """All charges of requests that carried this ``x-client-request-id``."""
        charges = read_truth(self.truth_log)
        return [c for c in charges if c.client_request_id == client_request_id]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def raw(self, body: Any, path: str = "chat/completions", **headers: str) -> RawReply:
        """Post on a connection of its own and read until the server ends or resets it."""
        with closing(self.connect()) as sock:
            sock.sendall(request_bytes(body, path, connection="close", **headers))
            return read_to_end(sock)


@dataclass(frozen=True)
class RawReply:
    """What came over the wire, and whether it ended in a reset."""

    data: bytes
    was_reset: bool

    @property
    def head(self) -> str:
        return self.data.partition(b"\r\n\r\n")[0].decode()

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1])

    @property
    def body(self) -> bytes:
        """The body, without its chunk framing if it has one."""
        body = self.data.partition(b"\r\n\r\n")[2]
        return b"".join(chunks(body)[0]) if "transfer-encoding: chunked" in self.head else body


def chunks(framed: bytes) -> tuple[list[bytes], bool]:
    """The whole chunks in ``framed``, and whether the last, empty one is there."""
    found: list[bytes] = []
    while framed:
        size, _, rest = framed.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return found, True
        if len(rest) < length:
            break
        assert rest[length : length + 2] == b"\r\n"
        found.append(rest[:length])
        framed = rest[length + 2 :]
    return found, False


def request_bytes(body: Any, path: str = "chat/completions", **headers: str) -> bytes:
    """A POST; header names are given with underscores."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"POST /v1/{path} HTTP/1.1",
        "host: simulator",
        f"authorization: Bearer {KEY}",
        "content-type: application/json",
        f"content-length: {len(content)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def read_to_end(sock: socket.socket) -> RawReply:
    data = b""
    while True:
        try:
            more = sock.recv(65_536)
        except ConnectionResetError:
            return RawReply(data, was_reset=True)
        if not more:
            return RawReply(data, was_reset=False)
        data += more


def text_of(events: list[bytes]) -> str:
    """The text in the events of a stream with one choice."""
    parsed = [json.loads(event[6:]) for event in events if event.startswith(b"data: {")]
    deltas = [choice["delta"] for event in parsed for choice in event["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


def question(text: str = "What do budgets limit?", **rest: Any) -> dict[str, Any]:
    """The body of a chat request."""
    return {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": text}],
        **rest,
    }


def start_simulator(truth_log: Path, *flags: str) -> Iterator[Simulated]:
    """Run a simulator for the life of a fixture."""
    command = [sys.executable, "-m", "gateway.simulator", "--quiet"]
    with Running([*command, "--truth-log", str(truth_log), *flags]) as process:
        port = int(process.wait_for_line(FIRST_LINE)[1])
        yield Simulated(port, truth_log, process)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """A simulator with default flags, shared by the tests of one worker."""
    yield from start_simulator(tmp_path_factory.mktemp("simulator") / "truth.jsonl")


@pytest.fixture(scope="session")
def client(simulated: Simulated) -> Iterator[OpenAI]:
    """The real SDK, against the shared simulator."""
    with simulated.client() as opened:
        yield opened


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer()
