"""Fuzzes the head of a request for who is asking: no wrong key is accepted, and none is shown.

The head is parsed by gunicorn and the key is looked up by the gateway's own ``authenticate``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Any, cast

from flask import Flask, Response

from gateway.adapters.redis_budgets import RedisBudgets
from gateway.core.policy import Client, Key, Policy, hash_key
from gateway.core.prices import PriceBook
from gateway.web import auth
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.inputs import bent
from tests.fuzz.serving import Answered, Reached, environ_of, routes, serve

SECRETS = {
    1: "fg-Ac3lQ9vXk2tYw7Rb5ZsNfM0pJdHgUe8iK1oWq6TyB4x",
    2: "fg-Ac3lQ9vXk2tYw7Rb5ZsNfM0pJdHgUe8iK1oWq6TyB4y",
    3: "fg-Revoked9vXk2tYw7Rb5ZsNfM0pJdHgUe8iK1oWq6TyB",
    4: "fg-Expired9vXk2tYw7Rb5ZsNfM0pJdHgUe8iK1oWq6TyB",
}
"""Two that differ in the last character, one that is revoked and one that has expired."""
SHOWN = 12
"""So many characters of a key in a row may never be in an answer."""
NAMES = ("Authorization",) * 24 + (
    *("authorization", "AUTHORIZATION", "Proxy-Authorization", "X-Api-Key", "Api-Key", "Cookie"),
    *(
        "X-Authorization",
        "Authorization_",
        "HTTP_AUTHORIZATION",
        "Authorization ",
        "Openai-Api-Key",
    ),
)
SCHEMES = ("Bearer ",) * 18 + (
    *("bearer ", "BEARER ", "Bearer", "Bearer  ", "Bearer\t", "Basic ", "", "Token ", "Bearer, "),
    *("Bearer:", "Bearer\xa0", " Bearer ", "\tBearer ", "Bearer Bearer ", '"Bearer" ', "Bearer ="),
)
TOKENS = tuple(
    token.encode("latin-1")
    for token in (
        *(
            "Bearer ",
            "fg-",
            "sk-",
            " ",
            "\t",
            ",",
            ", ",
            ";",
            ":",
            "=",
            '"',
            "\xa0",
            "\x85",
            "\x1c",
        ),
        *(
            "\xff",
            "\x00",
            "\r\n ",
            "\r\n",
            "\n",
            "Authorization: ",
            "*",
            "%",
            "%20",
            "\\u0020",
            "é",
        ),
        *(*SECRETS.values(), *(secret[:20] for secret in SECRETS.values()), hash_key(SECRETS[1])),
    )
)
ACCEPTED = {1: 1, 2: 2}
"""The client of each key that opens something."""


class _Standing:
    """Redis as far as it is asked who calls."""

    def policy_version(self) -> int:
        return 1

    def admits(self) -> bool:
        return True

    def still_refused(self, _client: Client) -> None:
        return None


def _policy() -> Policy:
    now = datetime.now(UTC)
    ends: dict[int, dict[str, Any]] = {
        3: {"revoked_at": now - timedelta(days=1)},
        4: {"expires_at": now - timedelta(days=1)},
    }
    keys = {
        hash_key(secret): Key(number, number, f"fg-…{secret[-4:]}", **ends.get(number, {}))
        for number, secret in SECRETS.items()
    }
    clients = {number: Client(number, f"client {number}", 1, "team") for number in SECRETS}
    return Policy(1, PriceBook(()), keys, clients)


@lru_cache(maxsize=1)
def app() -> Flask:
    """The routes, each of which asks who calls and does nothing else."""
    policy, budgets = _policy(), cast(RedisBudgets, _Standing())

    def view(**_arguments: Any) -> Response:
        client, key = auth.authenticate(policy, budgets)
        found = Response(status=299)
        found.reached = ("", {"client": client.id, "key": key.id})  # type: ignore[attr-defined]
        return found

    return routes(view)


def _key(rng: Random) -> bytes:
    secret = SECRETS[rng.choice((1, 1, 1, 2, 2, 2, 3, 4))]
    fate = rng.random()
    if fate < 0.35:
        return secret.encode()
    if fate < 0.5:
        at = rng.randrange(len(secret))
        return (secret[:at] + rng.choice("abzAZ09-_") + secret[at + 1 :]).encode()
    odd: list[Callable[[], str]] = [
        lambda: secret[: rng.randrange(len(secret))],
        lambda: secret + rng.choice("aA0 =\x00"),
        secret.lower,
        secret.upper,
        secret.swapcase,
        lambda: hash_key(secret),
        lambda: secret[3:],
        lambda: f"fg-…{secret[-4:]}",
        lambda: secret * 2,
        lambda: f"{secret},{secret}",
        lambda: f'"{secret}"',
        lambda: secret[::-1],
    ]
    return rng.choice(odd)().encode("latin-1", "replace")


def make(rng: Random) -> bytes:
    """Header lines with a key somewhere."""
    lines = []
    for _ in range(1 if rng.random() < 0.85 else 2):
        key = _key(rng)
        if rng.random() < 0.3:
            key = bent(rng, key, TOKENS, any_byte=rng.random() < 0.3)
        scheme = rng.choice(SCHEMES).encode("latin-1")
        lines.append(rng.choice(NAMES).encode() + b": " + scheme + key)
    data = b"\r\n".join(lines)
    return bent(rng, data, TOKENS, any_byte=False)[:4_000] if rng.random() < 0.2 else data[:4_000]


def check(lines: bytes) -> bool:
    """Accepted where the one right key came in the one right place, and for its client alone."""
    environ = environ_of(b"GET /v1/models HTTP/1.1\r\nHost: g\r\n" + lines + b"\r\n\r\n")
    came_to = environ if isinstance(environ, Answered) else serve(app(), environ)
    if isinstance(came_to, Reached):
        key = came_to.arguments["key"]
        assert ACCEPTED[key] == came_to.arguments["client"], "a key opens another's account"
        assert _sent(lines) == SECRETS[key], "accepted although another key was sent"
        return True
    assert came_to.status == 0 or 400 <= came_to.status < 500, f"{came_to.status}"
    if not isinstance(environ, Answered):
        assert came_to.status == 401
        assert _sent(lines) not in (SECRETS[1], SECRETS[2]), "a right key was refused"
    _check_nothing_shown(came_to.content)
    return False


def _sent(lines: bytes) -> str | None:
    """The key of the only Authorization header, as RFC 6750 has it and with any white space
    around it; None where that is not what was sent."""
    values = []
    for line in lines.decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon and name.lower() == "authorization":
            values.append(value.strip(" \t"))
    if len(values) != 1 or values[0][:7].lower() != "bearer ":
        return None
    return values[0][7:].strip()


def _check_nothing_shown(content: bytes) -> None:
    text = content.decode("latin-1")
    for secret in SECRETS.values():
        for at in range(3, len(secret) - SHOWN + 1, 4):
            assert secret[at : at + SHOWN] not in text, "a part of a key is in an answer"


AUTH = Fuzzer("auth", make, check, quick_inputs=6_000)
