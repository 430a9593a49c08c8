from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.serve import say_how_to_sign_in
from gateway.logs import set_up_logs
from gateway.settings import load_settings
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


def test_it_says_how_to_sign_in_where_nobody_can(
    ready: Faregate, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logs(load_settings())
    say_how_to_sign_in(load_settings())
    assert "faregate user create EMAIL --role admin" in capsys.readouterr().err
    say_how_to_sign_in(load_settings(oidc_issuer="https://login.example", oidc_client_id="x"))
    ready.run("user", "create", "ann@acme.example", "--role", "admin", "--generate")
    say_how_to_sign_in(load_settings())
    assert "user create" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["OIDC_ISSUER", "OIDC_CLIENT_ID"])
def test_half_of_an_identity_provider_stops_the_start(
    ready: Faregate, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"FAREGATE_{name}", "https://login.example")
    said = ready.refused("serve")
    assert "FAREGATE_OIDC_ISSUER and FAREGATE_OIDC_CLIENT_ID go together" in said
