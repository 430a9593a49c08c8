"""ID tokens that are not right sign nobody in."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import RSAKey

from tests.web.control import Control
from tests.web.oidc import account, refused, sign_in, somebody
from tests.web.oidc_provider import Provider


def test_a_token_for_another_sign_in(oidc_control: Control, provider: Provider) -> None:
    provider.mend = lambda claims: claims.update(nonce="of another sign-in")
    refused(sign_in(oidc_control, provider, somebody()), "not right", "nonce")


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        ({"nonce": None}, "nonce"),
        ({"aud": "somebody-else"}, "aud"),
        ({"aud": ["somebody-else"]}, "aud"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": None}, "iss"),
        ({"exp": 1_700_000_000}, "Expired"),
        ({"exp": None}, "exp"),
        ({"exp": "tomorrow"}, "exp"),
        ({"iat": 4_000_000_000}, "iat"),
        ({"nbf": 4_000_000_000}, "nbf"),
        ({"sub": None}, "sub"),
        ({"sub": 5}, "sub"),
    ],
)
def test_a_claim_that_is_wrong_or_missing(
    oidc_control: Control, provider: Provider, change: dict[str, Any], claim: str
) -> None:
    def mend(claims: dict[str, Any]) -> None:
        for name, value in change.items():
            if value is None:
                claims.pop(name, None)
            else:
                claims[name] = value

    provider.mend = mend
    person = somebody()
    refused(sign_in(oidc_control, provider, person), "not right", claim)
    assert account(oidc_control, person["email"]) is None


@pytest.mark.parametrize("audience", ["faregate:tests", ["faregate:tests"]])
def test_an_audience_of_one(oidc_control: Control, provider: Provider, audience: object) -> None:
    assert sign_in(oidc_control, provider, somebody(aud=audience)).status_code == 303


def test_a_token_that_others_may_use_too(oidc_control: Control, provider: Provider) -> None:
    shared = {"aud": ["faregate:tests", "other"]}
    refused(sign_in(oidc_control, provider, somebody(**shared)), "another party")
    refused(sign_in(oidc_control, provider, somebody(**shared, azp="other")), "another party")
    refused(sign_in(oidc_control, provider, somebody(azp="other")), "another party")
    assert (
        sign_in(oidc_control, provider, somebody(**shared, azp="faregate:tests")).status_code == 303
    )


def test_a_token_without_a_signature(oidc_control: Control, provider: Provider) -> None:
    for algorithm in ({"alg": "none"}, {"alg": "none", "kid": "one"}):
        provider.header = algorithm
        refused(sign_in(oidc_control, provider, somebody()), "not right")


def test_a_token_that_somebody_else_signed(oidc_control: Control, provider: Provider) -> None:
    provider.signed_with = RSAKey.generate_key(2048, {"kid": "one"})
    refused(sign_in(oidc_control, provider, somebody()), "not right", "BadSignature")
    provider.header = {"alg": "RS256", "kid": "two"}
    refused(sign_in(oidc_control, provider, somebody()), "not right")


def test_a_token_signed_with_what_everybody_knows(
    oidc_control: Control, provider: Provider
) -> None:
    """The provider's public key, taken for a secret."""
    provider.header = {"alg": "HS256", "kid": "one"}
    refused(sign_in(oidc_control, provider, somebody()), "not right")


def test_a_token_that_was_changed(oidc_control: Control, provider: Provider) -> None:
    def changed(token: str) -> tuple[int, bytes]:
        head, body, signature = token.split(".")
        return 200, b'{"id_token": "%s"}' % f"{head}.{body[:-4]}AAAA.{signature}".encode()

    provider.token_answer = changed
    refused(sign_in(oidc_control, provider, somebody()), "not right")


def test_keys_may_change_between_sign_ins(oidc_control: Control, provider: Provider) -> None:
    provider.key = provider.signed_with = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
    provider.header = {"alg": "RS256", "kid": "two"}
    assert sign_in(oidc_control, provider, somebody()).status_code == 303
