from __future__ import annotations

import os
import signal
import stat
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from gateway.adapters import embedded_redis
from gateway.adapters.embedded_redis import EmbeddedRedis, EmbeddedRedisError
from gateway.adapters.redis_folder import SOCKET_PATH_BYTES_MAX, find_server_binary
from tests.processes import Running

# A parent that starts a server, says its process id, and waits for signals.
PARENT = textwrap.dedent(
    """
    import signal, sys
    from gateway.adapters.embedded_redis import EmbeddedRedis
    # A shell's background jobs ignore Ctrl-C, and what they start inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    server = EmbeddedRedis(sys.argv[1])
    server.start()
    print("server", server.pid, flush=True)
    signal.pause()
    """
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as running:
        yield running


def connect(server: EmbeddedRedis) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


def parent_of(folder: Path) -> Running:
    return Running([sys.executable, "-c", PARENT, folder])


def kill_child(pid: int) -> None:
    """Kill a child of this process and wait for its death, leaving it to be reaped."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_is_durable_and_private(server: EmbeddedRedis) -> None:
    wanted = {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "save": "",
        "port": "0",
    }
    with connect(server) as client:
        assert {name: client.config_get(name)[name] for name in wanted} == wanted
    assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700


def test_runs_scripts_and_streams(server: EmbeddedRedis) -> None:
    with connect(server) as client:
        script = client.register_script("return redis.call('XADD', KEYS[1], '*', 'a', ARGV[1])")
        script(keys=["{fg}:events"], args=["1"])
        assert client.xlen("{fg}:events") == 1


def test_data_outlives_stop_and_start(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as first, connect(first) as client:
        client.set("spent", 9_007_199_254_740_991)
    with EmbeddedRedis(tmp_path) as second, connect(second) as client:
        assert client.get("spent") == "9007199254740991"


def test_stop_ends_the_process_and_may_be_repeated(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    server.start()
    pid = server.pid
    server.stop()
    server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_killed_server_is_started_again_with_its_data(server: EmbeddedRedis) -> None:
    with connect(server) as client:
        client.set("held", 42)
    killed = server.pid
    kill_child(killed)
    assert server.ensure_running() is True
    assert server.ensure_running() is False
    assert server.pid != killed
    with connect(server) as client:
        assert client.get("held") == "42"


def test_a_server_that_lost_its_parent_is_taken_over_and_stopped(tmp_path: Path) -> None:
    with parent_of(tmp_path) as parent:
        orphan = int(parent.wait_for_line(r"server (\d+)")[1])
        parent.kill()
    with EmbeddedRedis(tmp_path) as server:
        assert server.pid == orphan
        with connect(server) as client:
            client.set("spent", 7)
    # Its lock is free again, so it is gone; the next start has to launch a new one.
    with EmbeddedRedis(tmp_path) as server, connect(server) as client:
        assert server.pid != orphan
        assert client.get("spent") == "7"


def test_a_taken_over_server_that_dies_is_started_again(tmp_path: Path) -> None:
    with parent_of(tmp_path) as parent:
        orphan = int(parent.wait_for_line(r"server (\d+)")[1])
        parent.kill()
    with EmbeddedRedis(tmp_path) as server:
        os.kill(orphan, signal.SIGKILL)
        os.close(server._folder.take_server_lock(10.0))  # waits for its death
        assert server.ensure_running() is True
        assert server.pid != orphan


def test_a_taken_over_server_keeps_our_promises(tmp_path: Path) -> None:
    with parent_of(tmp_path) as parent:
        parent.wait_for_line(r"server (\d+)")
        parent.kill()
    with EmbeddedRedis(tmp_path, appendfsync="everysec") as server, connect(server) as client:
        assert client.config_get("appendfsync")["appendfsync"] == "everysec"


def test_an_unreachable_server_of_an_earlier_run_is_not_joined_by_a_second(tmp_path: Path) -> None:
    with parent_of(tmp_path) as parent:
        orphan = int(parent.wait_for_line(r"server (\d+)")[1])
        parent.kill()
    (tmp_path / "redis.sock").unlink()
    try:
        with pytest.raises(EmbeddedRedisError, match="still holds"):
            EmbeddedRedis(tmp_path, start_seconds=0.2).start()
        assert (tmp_path / "redis.pid").read_text().strip() == str(orphan)
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(tmp_path: Path) -> None:
    with parent_of(tmp_path) as parent:
        server_pid = int(parent.wait_for_line(r"server (\d+)")[1])
        os.killpg(parent.pid, signal.SIGINT)
        parent.wait()
    with EmbeddedRedis(tmp_path) as server:
        assert server.pid == server_pid


def test_a_second_launcher_is_refused(server: EmbeddedRedis) -> None:
    with pytest.raises(EmbeddedRedisError, match=rf"in use by another.*process {os.getpid()}\b"):
        EmbeddedRedis(server.data_dir).start()


def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20) / ("path" * 20)
    with EmbeddedRedis(folder) as server:
        assert len(os.fsencode(server.socket_path)) <= SOCKET_PATH_BYTES_MAX
        assert stat.S_IMODE(server.socket_path.parent.stat().st_mode) == 0o700
        socket_dir = server.socket_path.parent
        with connect(server) as client:
            client.set("spent", 1)
    assert not socket_dir.exists()
    with EmbeddedRedis(folder) as server, connect(server) as client:
        assert client.get("spent") == "1"


def test_a_server_behind_a_long_path_is_taken_over(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20) / ("path" * 20)
    with parent_of(folder) as parent:
        orphan = int(parent.wait_for_line(r"server (\d+)")[1])
        parent.kill()
    with EmbeddedRedis(folder) as server:
        assert server.pid == orphan


@pytest.mark.parametrize("name", ["with space", 'with"quote', "with\\backslash", "with#hash", "ü"])
def test_folder_names_that_a_configuration_must_quote(tmp_path: Path, name: str) -> None:
    with EmbeddedRedis(tmp_path / name) as server, connect(server) as client:
        assert client.config_get("dir")["dir"] == str(tmp_path / name)


def test_waits_while_the_data_is_loaded(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, appendfsync="no") as first, connect(first) as client:
        client.eval("for i = 1, 9000 do redis.call('SET', 'k' .. i, i) end", 0)
    # A server that loads slowly, as one with much data does; it says LOADING meanwhile.
    slow = tmp_path / "slow-server"
    slow.write_text(f'#!/bin/sh\nexec "{find_server_binary()}" "$1" --key-load-delay 150\n')
    slow.chmod(0o755)
    with pytest.raises(EmbeddedRedisError, match=r"\(loading\)"):
        EmbeddedRedis(tmp_path, binary=slow, load_seconds=0.2).start()
    patient = EmbeddedRedis(tmp_path, binary=slow, start_seconds=0.5)
    with patient, connect(patient) as client:
        assert client.dbsize() == 9000


def test_a_server_of_an_earlier_run_that_hangs_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_redis, "ANSWER_SECONDS", 0.1)
    with parent_of(tmp_path) as parent:
        orphan = int(parent.wait_for_line(r"server (\d+)")[1])
        parent.kill()
    os.kill(orphan, signal.SIGSTOP)
    try:
        with pytest.raises(EmbeddedRedisError, match=r"\(silent\)"):
            EmbeddedRedis(tmp_path, start_seconds=0.2).start()
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_a_server_that_cannot_start_is_reported_with_its_log(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server, connect(server) as client:
        client.set("spent", 1)
    for file in (tmp_path / "appendonlydir").glob("*.incr.aof"):
        file.write_bytes(b"*not an append-only file\r\n" * 20)
    broken = EmbeddedRedis(tmp_path)
    with pytest.raises(EmbeddedRedisError, match=r"(?s)ended at once.*Bad file format"):
        broken.start()
    # The folder is free again.
    with pytest.raises(EmbeddedRedisError, match="ended at once"):
        EmbeddedRedis(tmp_path).start()


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedRedisError, match="FAREGATE_DATA_DIR"):
        EmbeddedRedis(tmp_path / "file" / "redis").start()


def test_a_program_that_is_no_server_is_reported(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedRedisError, match="ended at once"):
        EmbeddedRedis(tmp_path, binary="/bin/false").start()


def test_before_the_start_there_is_no_url(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    with pytest.raises(EmbeddedRedisError, match="not been started"):
        _ = server.url
    with pytest.raises(EmbeddedRedisError, match="not been started"):
        server.ensure_running()
