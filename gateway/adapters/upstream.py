"""The provider. The ``openai`` client owns what it is and how to sign in; the wire is ours.

The SDK's client holds the base URL, the credentials and its default headers, and serves
everything off the hot path (listing models, the doctor's check). On the hot path its typed
request and response objects would cost more than the rest of the gateway together (figures in
``bench/README.md``), so the request it would have sent is built once as a template, and its
bytes go over pooled keep-alive connections of ``geventhttpclient``: sockets, TLS and a C
parser. There are no retries and no redirects here: a request that may have reached the
provider is never sent twice.
"""

from __future__ import annotations

import re
import ssl
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import openai
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse
from openai.types import Model

from gateway import failpoints
from gateway.adapters.provider_connections import (
    TRUSTED_CERTIFICATES,
    Connections,
    open_connections,
)
from gateway.settings import Settings, SettingsError

_READ_BYTES = 65536
_PLACEHOLDER_KEY = "not-set"
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class UpstreamError(Exception):
    """The provider gave no usable answer."""


class NotSent(UpstreamError):
    """The request did not reach the provider, so it billed nothing. ``timed_out`` says why."""

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class AnswerLost(UpstreamError):
    """The request was sent; whether the provider worked and billed is not known."""


class AnswerTimeout(AnswerLost):
    """The provider stayed silent for longer than allowed."""


class _Wire(HTTPSocketPoolResponse):
    """A response whose body can be taken as it arrives."""

    def _on_message_complete(self) -> None:
        # After an interim answer (1xx) the final one follows: the library would give the
        # connection back to the pool here, where another request could take it.
        if self.get_code() < 200:
            self.message_complete = True
        else:
            super()._on_message_complete()

    def some(self) -> bytes:
        """The next body bytes, at least one; empty at the end of the body."""
        while not self._body_buffer:
            if self.message_complete or self._sock is None:
                return b""
            self.feed(self._sock.recv(_READ_BYTES))
        data = bytes(self._body_buffer)
        del self._body_buffer[:]
        return data

    def patience(self, seconds: float) -> None:
        """How long the next reads may wait."""
        if self._sock is not None:
            self._sock.settimeout(seconds)

    def abandon(self) -> None:
        """Close the connection: the rest of the answer is not wanted."""
        if self._sock is not None and self._pool is not None:
            pool, sock = self._pool, self._sock
            self._sock = self._pool = None
            pool.release_socket(sock)


class Answer:
    """The provider's answer: status and headers at once, the body as it is read."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self.status: int = wire.get_code()
        encoding = (self.header("content-encoding") or "identity").lower()
        self._decoder = (
            zlib.decompressobj(wbits=47) if encoding in ("gzip", "x-gzip", "deflate") else None
        )
        if self._decoder is None and encoding != "identity":
            wire.abandon()
            if self.status >= 400:
                return
            raise AnswerLost(f"the provider answered in an encoding that was not asked: {encoding}")

    def header(self, name: str) -> str | None:
        """One header's value; the first where it came several times."""
        value = self._wire.get(name)
        return value[0] if isinstance(value, list) else value

    def headers(self) -> Iterable[tuple[str, str]]:
        """All headers as received."""
        return ((str(name), str(value)) for name, value in self._wire.items())

    def some(self, patience_seconds: float) -> bytes:
        """The next bytes of the body as they arrive, decoded; empty at its end.

        Raises AnswerTimeout after ``patience_seconds`` of silence (the answer can still be
        read on), and AnswerLost when the connection breaks before the body's end.
        """
        self._wire.patience(patience_seconds)
        try:
            while True:
                data = self._wire.some()
                if self._decoder is None or not data:
                    return data
                data = self._decoder.decompress(data)
                if data:
                    return data
        except TimeoutError as error:
            raise AnswerTimeout(f"no byte for {patience_seconds:g} seconds") from error
        except (OSError, HTTPParseError, zlib.error) as error:
            self._wire.abandon()
            raise AnswerLost(_said(error)) from error

    def body(self, patience_seconds: float) -> bytes:
        """The whole body. Raises as ``some`` does; a timeout then closes the connection."""
        parts = []
        try:
            while data := self.some(patience_seconds):
                parts.append(data)
        except AnswerTimeout:
            self._wire.abandon()
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def abandon(self) -> None:
        """Close the connection without reading the rest."""
        self._wire.abandon()


@dataclass(frozen=True, slots=True)
class Payload:
    """A request body that is not JSON in memory: a form whose files are on disk."""

    content_type: str
    length: int
    chunks: Iterable[bytes]


def provider_client(settings: Settings) -> openai.OpenAI:
    """The SDK's client of the provider, for everything off the hot path.

    It connects as the hot path does: directly, and trusting the same certificates. Were it to
    take a proxy from the environment, the doctor would check another way than requests go.
    """
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else None
    return openai.OpenAI(
        api_key=key or _PLACEHOLDER_KEY,
        base_url=settings.upstream_url,
        max_retries=0,
        timeout=settings.upstream_connect_timeout_seconds * 4,
        http_client=openai.DefaultHttpxClient(
            trust_env=False, verify=ssl.create_default_context(cafile=TRUSTED_CERTIFICATES)
        ),
    )


class Upstream:
    """The provider of one gateway process."""

    def __init__(self, settings: Settings) -> None:
        self.sdk = provider_client(settings)
        self._connect_seconds = settings.upstream_connect_timeout_seconds
        self.read_seconds = settings.upstream_read_timeout_seconds
        url = urlsplit(settings.upstream_url)
        self._base_path = url.path.rstrip("/")
        self._pool: Connections = open_connections(settings)
        self._head = self._template(url.netloc.rpartition("@")[2])

    def _template(self, host: str) -> str:
        """The header lines that every request carries: what the SDK would have sent.

        Raises SettingsError for a value that no header can carry: the SDK takes some from
        variables of its own, such as OPENAI_ORG_ID.
        """
        fields = {**self.sdk.default_headers, **self.sdk.auth_headers}
        # Bytes must reach the client as the provider made them, so no compression is asked for.
        fields.update({"Host": host, "Accept-Encoding": "identity"})
        lines = []
        for name, value in fields.items():
            if isinstance(value, str) and name.lower() not in ("accept", "content-type"):
                if not _FIELD_VALUE.fullmatch(value):
                    raise SettingsError(
                        f"The header {name} cannot be sent to the provider: what the environment"
                        " sets for it has a line break or a character that headers cannot carry."
                    )
                lines.append(f"{name}: {value}\r\n")
        return "".join(lines)

    def send(
        self,
        path: str,
        body: bytes | Payload | None,
        request_id: str,
        extra: Mapping[str, str],
        *,
        method: str = "POST",
        accept: str = "application/json",
    ) -> Answer:
        """Send ``body`` (bytes are JSON) to ``path`` below the base URL, and wait for the
        answer's headers.

        ``request_id`` goes along as ``X-Client-Request-Id``, by which the provider's own logs
        can be searched. Raises NotSent where nothing can have been billed, else AnswerLost.
        """
        forwarded = "".join(
            f"{name}: {value}\r\n" for name, value in extra.items() if _FIELD_VALUE.fullmatch(value)
        )
        lines = (
            f"{method} {self._base_path}{path} HTTP/1.1\r\n{self._head}{forwarded}"
            f"Accept: {accept}\r\nX-Client-Request-Id: {request_id}\r\n{_framing(body)}\r\n"
        )
        try:
            head = lines.encode("latin-1")
        except UnicodeEncodeError as error:
            raise NotSent(f"the request's head cannot be sent: {error.reason}") from None
        sock = self._connected()
        try:
            sock.settimeout(self.read_seconds)
            if isinstance(body, Payload):
                sock.sendall(head)
                for chunk in body.chunks:
                    sock.sendall(chunk)
            else:
                sock.sendall(head + (body or b""))
        except OSError as error:
            # Part of the request is missing at the provider, which can only discard it.
            self._pool.release_socket(sock)
            raise NotSent(_said(error)) from error
        except BaseException:
            self._pool.release_socket(sock)
            raise
        failpoints.hit("upstream.sent")
        answer = Answer(self._receive(sock, method))
        failpoints.hit("upstream.answered")
        return answer

    def _connected(self) -> Any:
        try:
            return self._pool.get_socket()
        except TimeoutError as error:
            raise NotSent(
                f"no connection within {self._connect_seconds:g} seconds", timed_out=True
            ) from error
        except Exception as error:
            # Whatever it is (a name without an address, a certificate that is not trusted): not
            # a byte was sent.
            raise NotSent(_said(error)) from error

    def _receive(self, sock: Any, method: str) -> _Wire:
        try:
            return _Wire(sock, self._pool, block_size=_READ_BYTES, method=method)
        except TimeoutError as error:
            raise AnswerTimeout(f"no answer within {self.read_seconds:g} seconds") from error
        except (OSError, HTTPParseError) as error:
            raise AnswerLost(_said(error)) from error

    def models(self) -> list[Model]:
        """The provider's models, by the SDK. Raises UpstreamError."""
        try:
            return list(self.sdk.models.list())
        except openai.OpenAIError as error:
            raise UpstreamError(_said(error)) from error

    def described(self, path: str) -> Mapping[str, Any] | None:
        """The object at ``path``, by the SDK; None where there is none. Raises UpstreamError."""
        try:
            found = self.sdk.get(path, cast_to=object)
        except openai.NotFoundError as error:
            if error.type is None:
                # Not in the provider's words: something before it does not find the provider.
                raise UpstreamError(_said(error)) from error
            return None
        except openai.OpenAIError as error:
            raise UpstreamError(_said(error)) from error
        return found if isinstance(found, dict) else None


def _framing(body: bytes | Payload | None) -> str:
    """The header lines that say what body follows."""
    if body is None:
        return ""
    if isinstance(body, Payload):
        return f"Content-Type: {body.content_type}\r\nContent-Length: {body.length}\r\n"
    return f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
