"""The OpenID Connect provider that people may sign in with.

OpenID Connect Core 1.0, section 3.1: authorization code flow, with PKCE (RFC 7636). The provider
is believed what its ID token says, and the token only where its signature, issuer, audience,
times and nonce are right. What anybody else could have sent is told apart from what the provider
did wrong by nothing: a sign-in fails, and the log has the reason.
"""

from __future__ import annotations

import hashlib
import ssl
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx2
import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gateway.adapters.pending_sign_ins import Pending
from gateway.adapters.provider_connections import TRUSTED_CERTIFICATES
from gateway.core.credentials import CredentialError, checked_email, hash_secret
from gateway.settings import Settings, SettingsError

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
"""Signatures by the provider's private key. Not ``none``, and none with a secret that we know."""

SCOPES = "openid email profile"
TIMEOUT = httpx2.Timeout(10.0, connect=5.0)
LEEWAY_SECONDS = 60
_ANSWER_BYTES_MAX = 1024 * 1024


class SignInFailed(Exception):
    """Nobody was signed in; the message says why, to the person and to the log."""


class ProviderUnreachable(SignInFailed):
    """The identity provider did not answer as one should."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the provider says has signed in. ``subject`` is the same for ever, the rest is not."""

    subject: str
    email: str
    name: str
    groups: frozenset[str]


class IdentityProvider:
    """Sends people to the provider, and learns who came back.

    Its keys and addresses are asked for at each sign-in: those are rare, and keys change.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError where what is needed is not set."""
        if settings.oidc_issuer is None or settings.oidc_client_id is None:
            raise SettingsError(
                "FAREGATE_OIDC_ISSUER and FAREGATE_OIDC_CLIENT_ID go together: set both or none."
            )
        self._issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id
        secret = settings.oidc_client_secret
        self._client_secret = None if secret is None else secret.get_secret_value()
        self._groups_claim = settings.oidc_groups_claim
        self._http = httpx2.Client(
            timeout=TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            verify=ssl.create_default_context(cafile=TRUSTED_CERTIFICATES),
        )

    @property
    def host(self) -> str:
        """The provider's host, for people to know where they are sent."""
        return urlsplit(self._issuer).hostname or self._issuer

    def address(self, state: str, pending: Pending, redirect_uri: str) -> str:
        """Where to send a browser that wants to sign in. Raises ProviderUnreachable."""
        endpoint = self._endpoint(self._discovered(), "authorization_endpoint")
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": SCOPES,
            "state": state,
            "nonce": pending.nonce,
            "code_challenge": _challenge(pending.verifier),
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def identify(self, code: str, pending: Pending, redirect_uri: str) -> Identity:
        """Who has signed in, by the ``code`` that came back. Raises SignInFailed."""
        discovered = self._discovered()
        answer = self._redeem(discovered, code, pending.verifier, redirect_uri)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise ProviderUnreachable("the identity provider sent no ID token")
        keys = self._json("GET", self._endpoint(discovered, "jwks_uri"))
        return self._identity(self._claims(token, keys, pending.nonce))

    # The ID token

    def _claims(self, token: str, keys: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        """The claims of a token that is right. OpenID Connect Core 1.0, section 3.1.3.7."""
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            key_set = KeySet.import_key_set({"keys": list(keys["keys"])})
            decoded = jwt.decode(token, key_set, algorithms=list(ALGORITHMS))
            registry.validate(decoded.claims)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise SignInFailed(
                f"the ID token of the identity provider is not right ({_kind(error)})"
            ) from error
        claims = decoded.claims
        audience = claims["aud"]
        for_others = isinstance(audience, list) and audience != [self._client_id]
        if (for_others or "azp" in claims) and claims.get("azp") != self._client_id:
            raise SignInFailed("the ID token was issued for another party")
        return claims

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        if claims.get("email_verified") is not True or not isinstance(claims.get("email"), str):
            raise SignInFailed(
                "the identity provider does not say that your e-mail address is verified"
            )
        try:
            email = checked_email(claims["email"])
        except CredentialError as error:
            raise SignInFailed(str(error)) from None
        groups = claims.get(self._groups_claim, [])
        if isinstance(groups, str):
            groups = [groups]
        name = claims.get("name")
        return Identity(
            subject=hash_secret(f"{self._issuer}\n{claims['sub']}"),
            email=email,
            name=name if isinstance(name, str) and name.isprintable() else "",
            groups=frozenset(group for group in groups if isinstance(group, str))
            if isinstance(groups, list)
            else frozenset(),
        )

    # HTTP

    def _discovered(self) -> dict[str, Any]:
        """The provider's description of itself. OpenID Connect Discovery 1.0, section 4."""
        found = self._json("GET", f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self._issuer:
            raise ProviderUnreachable(
                "the identity provider calls itself by another issuer URL than"
                " FAREGATE_OIDC_ISSUER; they must be the same to the letter"
            )
        return found

    def _endpoint(self, discovered: Mapping[str, Any], name: str) -> str:
        url = discovered.get(name)
        # As safe as the issuer: a provider with https does not send anybody to http.
        scheme = urlsplit(self._issuer).scheme
        if not isinstance(url, str) or urlsplit(url).scheme not in ("https", scheme):
            raise ProviderUnreachable(f"the identity provider has no {name} that can be used")
        return url

    def _redeem(
        self, discovered: Mapping[str, Any], code: str, verifier: str, redirect_uri: str
    ) -> dict[str, Any]:
        """The token endpoint's answer to a code. RFC 6749, sections 2.3.1 and 4.1.3."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        auth: tuple[str, str] | None = None
        methods = discovered.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if self._client_secret is None:
            form["client_id"] = self._client_id
        elif "client_secret_basic" in methods:
            # Encoded first, since the header is split at its colon.
            auth = (quote(self._client_id, safe=""), quote(self._client_secret, safe=""))
        else:
            form |= {"client_id": self._client_id, "client_secret": self._client_secret}
        return self._json("POST", self._endpoint(discovered, "token_endpoint"), form, auth)

    def _json(
        self,
        method: str,
        url: str,
        form: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> dict[str, Any]:
        """The JSON object that the provider answers with. Raises ProviderUnreachable."""
        # Its message would quote the request, and that has secrets in it.
        failed = f"the identity provider ({self.host}) cannot be asked"
        try:
            headers = {"accept": "application/json"}
            with self._http.stream(method, url, data=form, auth=auth, headers=headers) as answer:
                body = b""
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > _ANSWER_BYTES_MAX:
                        raise ProviderUnreachable(f"{failed}: its answer is too long")
                status = answer.status_code
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise ProviderUnreachable(f"{failed}: {type(error).__name__}") from error
        if status != 200:
            raise ProviderUnreachable(f"{failed}: it answered with status {status}")
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise ProviderUnreachable(f"{failed}: its answer is no JSON object")
        return found


def _challenge(verifier: str) -> str:
    """What the provider is shown of a verifier beforehand. RFC 7636, section 4.2."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _kind(error: Exception) -> str:
    """What was wrong, without quoting the token."""
    claim = getattr(error, "claim", None)
    return f"{type(error).__name__}: {claim}" if claim else type(error).__name__
