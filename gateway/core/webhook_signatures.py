"""Signatures of webhooks, after the Standard Webhooks specification, version 1.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
Its libraries verify what is signed here; docs/alerts.md shows how to do it in a few lines.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

SECRET_PREFIX = "whsec_"  # noqa: S105 - the mark that secrets begin with, no secret
_SECRET_BYTES = 32
_SECRET_BYTES_ALLOWED = range(24, 65)
"""Source: the specification, "Signature scheme": between 24 and 64 bytes."""


def new_secret() -> str:
    """A signing secret: 256 random bits."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def secret_bytes(secret: str) -> bytes:
    """The key in a signing secret. Raises ValueError for what is none."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) not in _SECRET_BYTES_ALLOWED:
        raise ValueError("a signing secret is whsec_ and the Base64 of 24 to 64 bytes")
    return key


def signed_headers(secret: str, message_id: str, at_seconds: int, body: bytes) -> dict[str, str]:
    """The headers that prove who sent ``body``, when, and that it is this message."""
    signed = b".".join([message_id.encode(), str(at_seconds).encode(), body])
    digest = hmac.digest(secret_bytes(secret), signed, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_seconds),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
