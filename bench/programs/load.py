"""Sends requests over kept-alive connections and prints what came of it, as JSON.

``python -m bench.programs.load PLAN``, where PLAN is the JSON that ``bench.stage.loading``
writes. Bare gevent sockets, so that the machine's cores are left to what is measured. It ends
by itself after the plan's requests or seconds.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import gevent
import gevent.socket
from gevent.pool import Group

_END_OF_CHUNKS = b"0\r\n\r\n"


class _Failed(Exception):
    """An answer that was not the expected one."""


class _Run:
    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        with open(plan["body"], "rb") as file:
            body = file.read()
        head = (
            f"POST {plan['path']} HTTP/1.1\r\nHost: 127.0.0.1:{plan['port']}\r\n"
            f"Authorization: Bearer {plan['key']}\r\nContent-Type: application/json\r\n"
            f"Accept: */*\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.request = head.encode() + body
        self.left = plan["requests"]
        self.failures: list[str] = []
        self.latencies: list[float] = []
        self.events = 0
        self.open = self.open_most = 0
        self.send_until = time.perf_counter() + plan["send_seconds"]

    def go(self) -> dict[str, Any]:
        """Send everything; what came of it."""
        group = Group()
        started = time.perf_counter()
        for number in range(min(self.plan["connections"], self.plan["requests"])):
            group.spawn(self._connection, number)
        group.join(self.plan["seconds_max"])
        seconds = time.perf_counter() - started
        unfinished = len(group)
        group.kill()
        if unfinished:
            self.failures += ["not answered in time"] * unfinished
        return {
            "requests": len(self.latencies) + len(self.failures),
            "failures": len(self.failures),
            "first_failure": self.failures[0] if self.failures else "",
            "seconds": seconds,
            "latencies": self.latencies,
            "events": self.events,
            "open_most": self.open_most,
        }

    def _connection(self, number: int) -> None:
        pause = self.plan["pause_seconds"]
        # Spread over one pause, so that requests come steadily and not in volleys.
        gevent.sleep(pause * number / self.plan["connections"])
        sock = None
        while self.left > 0 and time.perf_counter() < self.send_until:
            self.left -= 1
            started = time.perf_counter()
            try:
                if sock is None:
                    sock = gevent.socket.create_connection(("127.0.0.1", self.plan["port"]))
                    sock.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
                sock.sendall(self.request)
                keeps = self._read_answer(sock)
            except (OSError, _Failed) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                keeps = False
            else:
                self.latencies.append(time.perf_counter() - started)
            if not keeps and sock is not None:
                sock.close()
                sock = None
            if pause and self.left > 0:
                gevent.sleep(pause)

    def _read_answer(self, sock: Any) -> bool:
        """Read one answer; whether the connection can be used again."""
        data = bytearray()
        while (end := data.find(b"\r\n\r\n")) < 0:
            self._receive(sock, data)
        head = bytes(data[:end]).lower()
        del data[: end + 4]
        self.open += 1
        self.open_most = max(self.open_most, self.open)
        try:
            self._read_body(sock, head, data)
        finally:
            self.open -= 1
        status = int(head.split(b" ", 2)[1])
        if status != self.plan["status"]:
            raise _Failed(f"status {status}: {bytes(data[:300])!r}")
        self.events += data.count(b"data: ")
        return b"connection: close" not in head

    def _read_body(self, sock: Any, head: bytes, data: bytearray) -> None:
        if b"transfer-encoding: chunked" in head:
            while not data.endswith(_END_OF_CHUNKS):
                self._receive(sock, data)
            return
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(data) < length:
            self._receive(sock, data)

    def _receive(self, sock: Any, into: bytearray) -> None:
        received = sock.recv(65536)
        if not received:
            raise _Failed("the connection was closed before the answer's end")
        into += received


if __name__ == "__main__":
    json.dump(_Run(json.loads(sys.argv[1])).go(), sys.stdout)
