from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.rig import Faregate


@pytest.fixture
def ready(sqlite_faregate: Faregate, monkeypatch: pytest.MonkeyPatch) -> Faregate:
    """A deployment that could serve."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-provider")
    return sqlite_faregate


@pytest.mark.parametrize("command", ["serve", "recorder"])
def test_a_malformed_database_url_is_one_sentence(
    ready: Faregate, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAREGATE_DATABASE_URL", "postgresql://user:hunter2@host:port/db")
    said = ready.refused(command)
    assert said == "Malformed setting: FAREGATE_DATABASE_URL is not a URL."


@pytest.mark.parametrize("command", ["serve", "recorder"])
def test_a_data_folder_that_is_a_file_is_one_sentence(
    ready: Faregate, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("FAREGATE_DATABASE_URL")
    monkeypatch.setenv("FAREGATE_DATA_DIR", str(tmp_path / "file"))
    said = ready.refused(command)
    assert str(tmp_path / "file") in said
    assert "FAREGATE_DATA_DIR" in said


@pytest.mark.parametrize("command", ["serve", "recorder"])
def test_a_malformed_redis_url_is_one_sentence(
    ready: Faregate, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAREGATE_PORT", "0")
    monkeypatch.setenv("FAREGATE_REDIS_URL", "redis://:hunter2@host:port/0")
    assert ready.refused(command) == "Malformed setting: FAREGATE_REDIS_URL is not a URL."


def test_without_a_key_nothing_is_served(ready: Faregate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "OPENAI_API_KEY is not set" in ready.refused("serve")


def test_a_header_that_cannot_be_sent_stops_the_start(
    ready: Faregate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1\nX: 1")
    assert "OpenAI-Organization" in ready.refused("serve")
