"""Who is asking: ``Authorization: Bearer fg-...`` to a client, by the key's hash."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import request

from gateway.adapters.redis_budgets import RedisBudgets
from gateway.adapters.redis_replies import CountersLost
from gateway.core.bounds import FREE
from gateway.core.errors import Unauthorized
from gateway.core.holds import PolicyStale
from gateway.core.policy import KEY_PREFIX, Client, Key, Policy, hash_key
from gateway.core.refusals import rate_limited

_NEW_KEY = "A platform engineer makes another with `faregate key create CLIENT`."


def authenticate(policy: Policy, budgets: RedisBudgets) -> tuple[Client, Key]:
    """The client and key of the current request.

    Raises Unauthorized; PolicyStale where a newer policy may know the key; StoreDown and
    CountersLost where that cannot be told; and RateLimited where the client was told to wait and
    did not, before its body is looked at.
    """
    client, key = known_key(policy, budgets, bearer())
    refused = budgets.still_refused(client)
    if refused is not None:
        raise rate_limited(refused, client, FREE)
    return client, key


def known_key(policy: Policy, budgets: RedisBudgets, secret: str) -> tuple[Client, Key]:
    """The client and key of ``secret``, if it is good. Raises as ``authenticate`` does, but for
    limits: who looks at what was spent is not limited by them."""
    key = policy.keys.get(hash_key(secret))
    if key is None:
        version = budgets.policy_version()
        if version is not None and version != policy.version:
            raise PolicyStale(version)
        if version is None or not budgets.admits():
            # Whether there is a newer policy, which knows the key, nobody can say at the moment.
            raise CountersLost
        raise Unauthorized(
            "Incorrect API key provided. Use a Faregate key; a platform engineer makes one with"
            " `faregate key create CLIENT`."
        )
    if key.revoked_at is not None:
        raise Unauthorized(
            f"The key {key.display} has been revoked. {_NEW_KEY}", code="key_revoked"
        )
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        when = key.expires_at.strftime("%Y-%m-%d %H:%M:%S UTC")
        raise Unauthorized(
            f"The key {key.display} expired at {when}. {_NEW_KEY}", code="key_expired"
        )
    return policy.clients[key.client_id], key


def client_of_key(policy: Policy) -> Client | None:
    """The client whose key the current request came with, whatever may be wrong with the key."""
    _, _, secret = request.headers.get("Authorization", "").partition(" ")
    key = policy.keys.get(hash_key(secret.strip()))
    return None if key is None else policy.clients.get(key.client_id)


def bearer() -> str:
    """The secret of the Authorization header. Raises Unauthorized."""
    header = request.headers.get("Authorization", "")
    scheme, _, secret = header.partition(" ")
    if not header:
        raise Unauthorized(
            "You didn't provide an API key. Send it as `Authorization: Bearer"
            f" {KEY_PREFIX}...` (in OpenAI's SDKs: api_key)."
        )
    if scheme.lower() != "bearer" or not secret.strip():
        raise Unauthorized(f"The Authorization header must be `Bearer {KEY_PREFIX}...`.")
    return secret.strip()
