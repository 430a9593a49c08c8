"""The form of what people and programs show: e-mail addresses, passwords, secrets."""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata

TOKEN_PREFIX = "fga-"  # noqa: S105
"""Of admin tokens. Clients' keys begin with ``fg-``."""

PASSWORD_LENGTH_MIN = 12
PASSWORD_LENGTH_MAX = 256
EMAIL_LENGTH_MAX = 120
"""So that an actor fits into every column that has one."""

_EMAIL = re.compile(r"[^@\s\"<>(),:;\\\[\]]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


class CredentialError(ValueError):
    """An e-mail address or a password that cannot be taken; the message says why."""


def checked_email(text: str) -> str:
    """An e-mail address in the form it is stored in: in lower case. Raises CredentialError."""
    found = unicodedata.normalize("NFC", text.strip()).lower()
    if len(found) > EMAIL_LENGTH_MAX:
        raise CredentialError(f"an e-mail address has at most {EMAIL_LENGTH_MAX} characters here")
    if not _EMAIL.fullmatch(found) or not found.isprintable():
        raise CredentialError(f"{text!r} is not an e-mail address")
    return found


def checked_password(password: str, email: str) -> str:
    """A password that may be set for the account ``email``. Raises CredentialError.

    Length is what counts, and no mixture of characters is asked for (NIST SP 800-63B, section
    3.1.1.2).
    """
    if len(password) < PASSWORD_LENGTH_MIN:
        raise CredentialError(f"a password has at least {PASSWORD_LENGTH_MIN} characters")
    if len(password) > PASSWORD_LENGTH_MAX:
        raise CredentialError(f"a password has at most {PASSWORD_LENGTH_MAX} characters")
    if password.lower() in (email, email.partition("@")[0]) or len(set(password)) < 4:
        raise CredentialError("a password is not one's e-mail address, nor one character repeated")
    return password


def prepared(password: str) -> str:
    """A password as it is hashed: keyboards write one character in several ways."""
    return unicodedata.normalize("NFKC", password)


def new_secret() -> str:
    """256 random bits, as text for cookies, headers and URLs."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """The stored form of a secret of ``new_secret``: SHA-256 in hexadecimal.

    It is 256 random bits, so a plain fast hash is enough: there is nothing to guess.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
