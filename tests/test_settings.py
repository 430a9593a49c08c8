from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.settings import Settings, SettingsError, environment_name, load_settings


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine's own, and a working folder without a .env."""
    for name in os.environ:
        if name.startswith("FAREGATE_") or name == "OPENAI_API_KEY":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_every_setting_has_a_default_and_a_description() -> None:
    settings = load_settings()
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert not field.is_required(), name
    assert settings.openai_api_key is None
    assert settings.sql_url == f"sqlite:///{Path('faregate-data').absolute() / 'faregate.db'}"


def test_settings_are_frozen() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.port = 1


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(
        "# a comment\nFAREGATE_PORT=1111\nFAREGATE_WORKERS=3\nOPENAI_API_KEY='sk-file'\n"
        "FAREGATE_REDIS_URL=\nSOMETHING_ELSE=1\nFAREGATE_NO_SUCH_SETTING=1\n"
    )
    monkeypatch.setenv("FAREGATE_PORT", "2222")
    settings = load_settings()
    assert (settings.port, settings.workers, settings.redis_url) == (2222, 3, None)
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "sk-file"
    assert load_settings(port=3333).port == 3333


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "FAREGATE_PORT", "FAREGATE_DATABASE_URL"):
        monkeypatch.setenv(name, "")
    settings = load_settings()
    assert (settings.openai_api_key, settings.port, settings.database_url) == (None, 8080, None)


@pytest.mark.parametrize("around", [" sk-x", "sk-x\n", "\tsk-x \r\n"])
def test_white_space_around_the_key_is_not_part_of_it(
    around: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", around)
    key = load_settings().openai_api_key
    assert key is not None
    assert key.get_secret_value() == "sk-x"
    monkeypatch.setenv("OPENAI_API_KEY", " \n")
    assert load_settings().openai_api_key is None


@pytest.mark.parametrize("inside", ["sk-x\ny", "sk x", "sk-\u200bx", "sk-\u00e9", "sk-\x7f"])
def test_a_key_that_no_header_can_carry_is_refused(
    inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", inside)
    with pytest.raises(SettingsError, match=r"OPENAI_API_KEY: must be printable ASCII") as raised:
        load_settings()
    assert inside not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "passed"),
    [
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("https://API.OpenAI.com:443/v1", True),
        ("https://acme.openai.azure.com/openai/v1", True),
        ("http://127.0.0.1:8080/v1", False),
        ("https://openai.com.evil.example/v1", False),
        ("https://notopenai.com/v1", False),
        ("https://llm.example/api.openai.com/v1", False),
        ("https://api.openai.com@llm.example/v1", False),
    ],
)
def test_unknown_fields_pass_to_openai_alone(url: str, passed: bool) -> None:
    assert Settings(upstream_url=url).passes_unknown_fields is passed
    assert Settings(upstream_url=url, unknown_fields="pass").passes_unknown_fields
    assert not Settings(upstream_url=url, unknown_fields="refuse").passes_unknown_fields


def test_secrets_are_not_shown() -> None:
    secret = "hunter2"
    settings = Settings(
        openai_api_key=secret,  # type: ignore[arg-type]
        redis_url=f"redis://:{secret}@example.com",
        database_url=f"postgresql://faregate:{secret}@example.com/db",
        upstream_url=f"https://user:{secret}@example.com/v1",
    )
    for shown in (repr(settings), str(settings), f"{settings}"):
        assert secret not in shown
        assert "port=8080" in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FAREGATE_PORT", "80800"),
        ("FAREGATE_PORT", "http"),
        ("FAREGATE_PORT", "-1"),
        ("FAREGATE_WORKERS", "0"),
        ("FAREGATE_WORKERS", "2.5"),
        ("FAREGATE_HOLD_LEASE_SECONDS", "0"),
        ("FAREGATE_HOLD_LEASE_SECONDS", "nan"),
        ("FAREGATE_HOLD_LEASE_SECONDS", "inf"),
        ("FAREGATE_UPSTREAM_READ_TIMEOUT_SECONDS", "-inf"),
        ("FAREGATE_LOG_LEVEL", "loud"),
        ("FAREGATE_AUTO_SERVICE_TIER", "batch"),
        ("FAREGATE_REDIS_PREFIX", "a}b{c"),
        ("FAREGATE_REDIS_PREFIX", "x" * 33),
        ("FAREGATE_REDIS_URL", "http://hunter2@example.com"),
        ("FAREGATE_DATABASE_URL", "mysql://user:hunter2@example.com/db"),
        ("FAREGATE_DATABASE_URL", "sqlite://"),
        ("FAREGATE_UPSTREAM_URL", "ftp://hunter2.example.com"),
        ("FAREGATE_UPSTREAM_URL", "https://"),
        ("FAREGATE_UPSTREAM_URL", "https:///v1"),
        ("FAREGATE_UPSTREAM_URL", "https://hunter2.example.com:99999/v1"),
        ("FAREGATE_UPSTREAM_URL", "https://example.com:hunter2/v1"),
        ("FAREGATE_UPSTREAM_URL", "https://example.com/v1?key=hunter2"),
        ("FAREGATE_UPSTREAM_URL", "https://[hunter2/v1"),
    ],
)
def test_a_malformed_value_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    said = str(raised.value)
    assert said.startswith(f"Malformed setting: {name}: ")
    assert said.count("Malformed") == 1
    assert "\n" not in said
    assert "hunter2" not in said


def test_every_malformed_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAREGATE_PORT", "x")
    monkeypatch.setenv("FAREGATE_WORKERS", "x")
    with pytest.raises(SettingsError, match=r"FAREGATE_PORT: .*; FAREGATE_WORKERS: "):
        load_settings()


def test_a_file_that_is_no_text_is_said_so() -> None:
    Path(".env").write_bytes(b"FAREGATE_HOST=\xff\xfe\n")
    with pytest.raises(SettingsError, match="UTF-8"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "field", "found"),
    [
        ("FAREGATE_DATABASE_URL", "postgres://h/db", "sql_url", "postgresql+psycopg://h/db"),
        ("FAREGATE_DATABASE_URL", "postgresql://h/db", "sql_url", "postgresql+psycopg://h/db"),
        ("FAREGATE_DATABASE_URL", "sqlite:////x/y.db", "sql_url", "sqlite:////x/y.db"),
        ("FAREGATE_UPSTREAM_URL", "http://[::1]:9/v1/", "upstream_url", "http://[::1]:9/v1"),
        ("FAREGATE_REDIS_URL", "unix:///run/r.sock", "redis_url", "unix:///run/r.sock"),
        (
            "FAREGATE_FORWARD_HEADER_PREFIXES",
            " X-A, ,x-B-",
            "forward_header_prefixes",
            ("x-a", "x-b-"),
        ),
        ("FAREGATE_DATA_DIR", "over here", "data_dir", Path("over here")),
    ],
)
def test_values_are_taken_as_people_write_them(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str, found: Any
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(load_settings(), field) == found


def test_names_of_variables() -> None:
    assert environment_name("openai_api_key") == "OPENAI_API_KEY"
    assert environment_name("redis_url") == "FAREGATE_REDIS_URL"
