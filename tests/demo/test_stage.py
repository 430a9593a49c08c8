from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from gateway.demo.ports import free_port, is_free
from gateway.demo.stage import Options, data_folder, demo_settings, environment_of
from gateway.settings import Settings, environment_name

THEIRS = {
    "OPENAI_API_KEY": "sk-theirs",
    "OPENAI_ORG_ID": "org-theirs",
    "FAREGATE_UPSTREAM_URL": "https://api.openai.com/v1",
    "FAREGATE_DATABASE_URL": "postgresql://db/theirs",
    "FAREGATE_REDIS_URL": "redis://theirs:6379",
    "FAREGATE_REDIS_PREFIX": "theirs",
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in THEIRS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("FAREGATE_HOST=0.0.0.0\nFAREGATE_DATA_DIR=theirs\n")
    return demo_settings(Options(8123, tmp_path, real=False), upstream_port=8124)


def test_the_users_settings_have_no_say(settings: Settings) -> None:
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() != "sk-theirs"
    assert settings.upstream_url == "http://127.0.0.1:8124/v1"
    assert settings.redis_url is None
    assert settings.sql_url.startswith("sqlite:///")
    assert settings.host == "127.0.0.1"


def test_the_processes_get_every_setting(settings: Settings) -> None:
    environment = environment_of(settings, "unix:///redis.sock")
    assert not {name for name, value in THEIRS.items() if environment.get(name) == value}
    assert "OPENAI_ORG_ID" not in environment
    for name in Settings.model_fields:
        # Empty is off; what is not set at all has nothing to inherit from.
        stated = environment.get(environment_name(name))
        assert (stated is None) == (getattr(settings, name) is None) or name == "redis_url"
    assert environment["FAREGATE_REDIS_URL"] == "unix:///redis.sock"
    assert environment["PATH"] == os.environ["PATH"]


def test_a_temporary_folder_goes_and_a_named_one_stays(tmp_path: Path) -> None:
    with data_folder(None) as fresh:
        (fresh / "file").touch()
    assert not fresh.exists()
    with data_folder(tmp_path / "kept") as kept:
        (kept / "file").touch()
    assert (tmp_path / "kept" / "file").exists()


def test_a_port_in_use_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not is_free(taken.getsockname()[1])
    assert is_free(free_port())
