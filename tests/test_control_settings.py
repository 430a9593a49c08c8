from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from gateway.settings import Settings, SettingsError, load_settings


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("oidc_issuer", "https://login.example/realms/a", "https://login.example/realms/a"),
        ("oidc_issuer", "http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("oidc_admin_groups", " platform , a b,,", ("platform", "a b")),
        ("oidc_finance_groups", "", ()),
        ("public_url", "https://faregate.example/", "https://faregate.example"),
        ("cookie_secure", "True", True),
    ],
)
def test_values_are_taken_as_people_write_them(name: str, value: str, found: object) -> None:
    settings: dict[str, Any] = {name: value}
    assert getattr(Settings(**settings), name) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("oidc_issuer", "login.example"),
        ("oidc_issuer", "http://login.example"),
        ("oidc_issuer", "https://login.example?x=1"),
        ("oidc_issuer", "https://"),
        ("public_url", "faregate.example"),
        ("public_url", "https://faregate.example/dashboard"),
        ("public_url", "https://"),
        ("trusted_proxies", "-1"),
    ],
)
def test_what_would_not_work_stops_the_start(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"FAREGATE_{name.upper()}|{name}"):
        load_settings(**{name: value})


def test_a_client_secret_is_not_shown() -> None:
    assert "hunter2" not in repr(Settings(oidc_client_secret=SecretStr("hunter2")))


def test_cookies_are_for_https_alone_where_people_come_by_it() -> None:
    assert not Settings().cookies_over_https_alone
    assert not Settings(public_url="http://faregate.example").cookies_over_https_alone
    assert Settings(public_url="https://faregate.example").cookies_over_https_alone
    assert Settings(cookie_secure=True).cookies_over_https_alone
