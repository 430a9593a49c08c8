"""A small OpenID Connect provider, as an HTTP server of its own; tests make it lie as they like."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID = "faregate:tests"
CLIENT_SECRET = "a secret/with:odd characters"

Claims = dict[str, Any]
Mend = Callable[[Claims], None]


class Provider:
    """People sign in at ``authorize``; programs ask the rest. ``mend`` changes the next tokens."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.signed_with: Any = self.key
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "one"}
        self.mend: Mend = lambda _claims: None
        self.discovery: dict[str, Any] = {}
        self.token_answer: Callable[[str], tuple[int, bytes]] | None = None
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        """Path, form and headers of each request to the token endpoint."""
        self.wait: threading.Event | None = None
        self.waiting = threading.Event()
        self._codes: dict[str, Claims] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        if self.wait is not None:
            self.wait.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def settings(self, **more: Any) -> dict[str, Any]:
        """What the gateway is told about this provider."""
        return {
            "oidc_issuer": self.issuer,
            "oidc_client_id": CLIENT_ID,
            "oidc_client_secret": CLIENT_SECRET,
            "oidc_admin_groups": ("platform",),
            "oidc_finance_groups": ("money", "auditors"),
            **more,
        }

    def authorize(self, address: str, **person: Any) -> str:
        """Sign a person in who was sent to ``address``; returns where the browser is sent."""
        split = urlsplit(address)
        assert f"{split.scheme}://{split.netloc}{split.path}" == f"{self.issuer}/authorize"
        asked = dict(parse_qsl(split.query, strict_parsing=True))
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        code = uuid4().hex
        at = int(time.time())
        self._codes[code] = {
            "asked": asked,
            "claims": {
                "iss": self.issuer,
                "aud": CLIENT_ID,
                "sub": person.get("email"),
                "iat": at,
                "exp": at + 300,
                "nonce": asked["nonce"],
                "email_verified": True,
                **person,
            },
        }
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}"

    # What programs ask

    def describe(self) -> Claims:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "id_token_signing_alg_values_supported": ["RS256"],
            **self.discovery,
        }

    def keys(self) -> Claims:
        # Beside a key that nobody here understands.
        return {"keys": [{"kty": "XYZ", "kid": "new"}, self.key.as_dict(private=False)]}

    def redeem(self, form: dict[str, str], headers: dict[str, str]) -> tuple[int, bytes]:
        """The token endpoint: RFC 6749, section 4.1.3, and RFC 7636, section 4.6."""
        self.asked.append(("/token", form, headers))
        if self.wait is not None:
            self.waiting.set()
            self.wait.wait(30)
        found = self._codes.pop(form.get("code", ""), None)
        if found is None or not self._is_client(form, headers):
            return 400, b'{"error": "invalid_grant"}'
        asked = found["asked"]
        challenge = _encoded(hashlib.sha256(form["code_verifier"].encode()).digest())
        if challenge != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, b'{"error": "invalid_grant"}'
        token = self._token(found["claims"])
        if self.token_answer is not None:
            return self.token_answer(token)
        answer = {"access_token": "opaque", "token_type": "Bearer", "id_token": token}
        return 200, json.dumps(answer).encode()

    def _token(self, claims: Claims) -> str:
        self.mend(claims)
        if self.header["alg"] in ("none", "HS256"):
            # No library makes these tokens.
            text = ".".join(_encoded(json.dumps(part).encode()) for part in (self.header, claims))
            secret = self.key.as_pem(private=False)
            signature = hmac.digest(secret, text.encode(), "sha256")
            return f"{text}.{'' if self.header['alg'] == 'none' else _encoded(signature)}"
        algorithms = [self.header["alg"]]
        return jwt.encode(self.header, claims, self.signed_with, algorithms=algorithms)

    @staticmethod
    def _is_client(form: dict[str, str], headers: dict[str, str]) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            name, _, secret = base64.b64decode(given).decode().partition(":")
            return (unquote(name), unquote(secret)) == (CLIENT_ID, CLIENT_SECRET)
        return (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages = {
                    "/.well-known/openid-configuration": provider.describe,
                    "/keys": provider.keys,
                }
                page = pages.get(self.path)
                self._send(404, b"{}") if page is None else self._send(
                    200, json.dumps(page()).encode()
                )

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                headers = {name.lower(): value for name, value in self.headers.items()}
                self._send(*provider.redeem(form, headers))

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Answers


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


@contextmanager
def running_provider() -> Iterator[Provider]:
    """A provider, ended with the context."""
    found = Provider()
    try:
        yield found
    finally:
        found.close()
