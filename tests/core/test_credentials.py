from __future__ import annotations

import pytest

from gateway.core.credentials import (
    CredentialError,
    checked_email,
    checked_password,
    hash_secret,
    new_secret,
    prepared,
)


def test_an_address_has_one_form() -> None:
    assert checked_email("  Ann.Lee+x@Acme.Example ") == "ann.lee+x@acme.example"
    assert checked_email("a\u0308@acme.example") == checked_email("\u00e4@acme.example")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "@acme.example",
        "ann@",
        "a b@acme.example",
        "a@b@c",
        "a@acme.example\nx",
        "a@-",
        "a\u200b@acme.example",
        "<a>@acme.example",
        "x" * 110 + "@acme.example",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(CredentialError):
        checked_email(text)


def test_a_password_is_long_and_nothing_else_is_asked_of_it() -> None:
    assert checked_password("all lower case", "ann@acme.example") == "all lower case"
    for password in ("", "eleven char", "x" * 257, "aaaaaaaaaaaaaa", "ann@acme.example"):
        with pytest.raises(CredentialError):
            checked_password(password, "ann@acme.example")


def test_a_password_is_the_same_however_it_is_typed() -> None:
    assert prepared("cafe\u0301 cafe\u0301 cafe\u0301") == prepared("caf\u00e9 caf\u00e9 caf\u00e9")


def test_secrets_are_256_random_bits_and_their_hashes_are_not_secrets() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(len(secret) == 43 for secret in made)
    assert hash_secret("x") == hash_secret("x") != hash_secret("y")
    assert len(hash_secret("\udcff")) == 64
