"""gunicorn's own command line serves as the gateway's does."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.provider import SimulatedProvider, until
from tests.e2e.rig import Rig, running
from tests.processes import Running

STREAMS = 8


class GunicornRig(Rig):
    """A deployment whose gateway is started by gunicorn."""

    def _start_gateway(self) -> Running:
        metrics = self.folder / f"metrics-{uuid4().hex[:8]}"
        metrics.mkdir()
        environment = {**self.environment, "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
        config = "python:gateway.gunicorn_config"
        process = Running(
            [sys.executable, "-m", "gunicorn", "--config", config, "wsgi:app"],
            env=environment,
            cwd=self.folder,
        )
        found = process.wait_for_line(r"faregate: listening on http://127\.0\.0\.1:(\d+)/v1")
        self.port = int(found[1])
        return process


@pytest.fixture
def rig(
    provider: SimulatedProvider, shared_redis_url: str, tmp_path: Path
) -> Iterator[GunicornRig]:
    with running(GunicornRig(tmp_path, provider, shared_redis_url)) as found:
        assert isinstance(found, GunicornRig)
        yield found


class Scraper:
    """Prometheus on one connection, so always at the same worker."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def value(self, name: str) -> float:
        self._connection.request("GET", "/metrics")
        text = self._connection.getresponse().read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name:
                    return sample.value
        raise AssertionError(f"{name} is not among the metrics")


def test_gunicorn_serves_like_the_gateways_own_server(rig: GunicornRig) -> None:
    tenant = rig.tenant(10**12)
    scraper = Scraper(rig.port)
    # Slow answers side by side, on both workers: each worker reports its own holds, and
    # either tells the sum.
    directed = {"token_interval_ms": 100, "output_tokens": 600}
    streams = [tenant.caller.stream(directed=directed) for _ in range(STREAMS)]
    assert [stream.status for stream in streams] == [200] * STREAMS
    until(
        lambda: scraper.value("faregate_holds_in_flight") == STREAMS,
        10,
        "one worker to know the holds of both",
    )
    for stream in streams:
        stream.hang_up(reset=True)
    _quotes_no_key(rig, tenant.key.secret)


def test_it_stops_in_order(rig: GunicornRig) -> None:
    tenant = rig.tenant(10**12)
    scraper = Scraper(rig.port)
    assert scraper.value("faregate_holds_in_flight") == 0
    assert tenant.caller.chat().status == 200
    # The scraper's connection is idle, and the stock worker would wait for it.
    rig.gateway.send(signal.SIGTERM)
    assert rig.gateway.wait(30) == 0
    assert "Traceback" not in rig.output()
    assert "Warning" not in rig.output()
    rig.audit()


def _quotes_no_key(rig: GunicornRig, secret: str) -> None:
    """What cannot be parsed is quoted neither to the client nor in the log."""
    reply = b""
    with socket.create_connection(("127.0.0.1", rig.port), timeout=30) as sock:
        sock.sendall(f"{secret} / HTTP/1.1\r\n\r\n".encode())
        with contextlib.suppress(ConnectionResetError):
            while received := sock.recv(65_536):
                reply += received
    until(lambda: "sends_no_http" in rig.gateway.stderr, 10, "the worker to say what is wrong")
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b"Invalid HTTP method" in reply
    assert secret[8:24] not in reply.decode() + rig.output()
