from __future__ import annotations

import signal
import sys

import pytest

from tests.processes import ProcessFailed, Running


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_waits_for_a_line_and_for_the_end() -> None:
    with Running(python("print('a 1'); print('b 2')")) as running:
        assert running.wait_for_line(r"b (\d)")[1] == "2"
        assert running.wait_for_line(r"a (\d)")[1] == "1"
        assert running.wait() == 0
        assert running.stdout == "a 1\nb 2\n"


def test_an_early_end_is_told_with_the_output() -> None:
    code = "import sys; print('out'); print('why', file=sys.stderr); sys.exit(3)"
    with (
        Running(python(code)) as running,
        pytest.raises(ProcessFailed, match=r"(?s)ended with 3.*out.*why"),
    ):
        running.wait_for_line("never")


def test_waits_for_a_port(free_port: int) -> None:
    code = f"""
import socket, time
server = socket.create_server(("127.0.0.1", {free_port}))
while True: server.accept()
"""
    with Running(python(code)) as running:
        running.wait_for_port(free_port)
        assert running.stop() == -signal.SIGTERM


def test_a_port_of_a_program_that_ended(free_port: int) -> None:
    with Running(python("pass")) as running, pytest.raises(ProcessFailed, match="ended with 0"):
        running.wait_for_port(free_port)


def test_environment_is_added_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMOVED", "x")
    code = "import os; print(os.environ.get('ADDED'), os.environ.get('REMOVED'))"
    with Running(python(code), env={"ADDED": "y", "REMOVED": None}) as running:
        assert running.wait() == 0
        assert running.stdout == "y None\n"


def test_what_it_forked_ends_with_it() -> None:
    code = """
import os, signal, time
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("child", os.getpid(), flush=True)
    signal.pause()
signal.pause()
"""
    with Running(python(code)) as running:
        running.wait_for_line(r"child \d+")
        running.kill_group()
        # Both ends of the pipe are closed, so the child is gone too.
        for reader in running._readers:
            reader.join(timeout=30)
            assert not reader.is_alive()
