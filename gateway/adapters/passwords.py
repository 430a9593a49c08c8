"""Hashes of passwords: scrypt, which takes a noticeable time and 32 MiB, so off the event loop."""

from __future__ import annotations

from functools import cache

from werkzeug.security import check_password_hash, generate_password_hash

from gateway.core.credentials import new_secret, prepared

METHOD = "scrypt:32768:8:1"
"""N, r and p: about 50 ms on a processor of 2024 (OWASP Password Storage asks for N of 2^15 with
p of 3, or more memory; sign-ins are limited besides)."""


def hash_password(password: str) -> str:
    """The stored form of a password, with its salt and parameters."""
    return generate_password_hash(prepared(password), method=METHOD)


def check_password(stored: str | None, password: str) -> bool:
    """Whether ``password`` is the one of ``stored``.

    Where there is none (nobody has the e-mail address, or no password) the same work is done
    and the answer is no, so that the time does not tell who has an account.
    """
    right = check_password_hash(stored or _nobodys(), prepared(password))
    return right and stored is not None


@cache
def _nobodys() -> str:
    return hash_password(new_secret())
