"""How an answer leaves: charged first, then sent whole or in events, or broken as directed."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gevent
import orjson

from gateway.simulator.errors import ProviderError, injected
from gateway.simulator.faults import Directives, Fault
from gateway.simulator.server import Answer, Connection, Gone, Request, Stream, chunk, head_bytes
from gateway.simulator.truth import Charge, TruthLog

HANG_SECONDS_MAX = 900.0
EVENTS_PER_SEND = 16
"""Without a token interval events are sent in bursts; each still is a chunk of its own."""
SENDS_PER_TURN = 32
"""Bursts after which other connections get their turn."""

_HALF_WAY = frozenset({Fault.RESET_MID_STREAM, Fault.TRUNCATE_CHUNK, Fault.HANG, Fault.ERROR_EVENT})
_BEFORE_HEADERS = frozenset({Fault.RESET_BEFORE_HEADERS, Fault.RESET_BEFORE_HEADERS_CHARGED})


class Delivery:
    """Sends the answer to one request."""

    def __init__(self, connection: Connection, request: Request, log: TruthLog) -> None:
        self._connection = connection
        self._request = request
        self._log = log

    def send(self, result: Answer | Stream, headers: dict[str, str]) -> None:
        """Charge for ``result`` and send it, with ``headers`` before its own.

        Raises Gone where the client left, ProviderError for a fault that is an error answer.
        """
        wish = self._request.directives
        if wish.fault is Fault.RESET_BEFORE_HEADERS:
            self._connection.reset()
            return
        if wish.fault is Fault.ERROR_EVENT and "event-stream" not in result.content_type:
            raise injected(500)
        if wish.fault is Fault.GZIP:
            headers["content-encoding"] = "gzip"
        if not self._request.keep_alive:
            headers["connection"] = "close"
        headers["content-type"] = result.content_type
        headers.update(result.headers)
        if isinstance(result, Stream):
            _Streaming(self._connection, self._request, self._charge).send(result, headers)
        else:
            self._send_answer(result, headers, wish)
        if wish.fault is Fault.CLOSE_IDLE:
            self._connection.close()

    def _charge(self, charge: Charge | None) -> None:
        """Put the charge on record, with what is known of the request."""
        if charge is not None:
            self._log.append(stamped(charge, self._request))

    def _send_answer(self, answer: Answer, headers: dict[str, str], wish: Directives) -> None:
        self._charge(answer.charge)
        if answer.on_charged is not None:
            answer.on_charged()
        connection, fault = self._connection, wish.fault
        if answer.pieces is not None:
            self._send_pieces(answer, answer.pieces, headers)
            return
        body = answer.body
        if fault is Fault.NO_USAGE and "json" in answer.content_type:
            body = _without_usage(body)
        elif fault is Fault.BAD_JSON:
            body = body[: len(body) // 2]
        elif fault is Fault.GZIP:
            body = gzip.compress(body, 1)
        if fault in _BEFORE_HEADERS:
            connection.reset()
            return
        if fault is Fault.HANG:
            connection.wait_until_peer_leaves(HANG_SECONDS_MAX)
            connection.close()
            return
        headers["content-length"] = str(len(body))
        head = head_bytes(answer.status, headers)
        half = body[: len(body) // 2]
        if fault is Fault.RESET_AFTER_HEADERS:
            half = b""
        if fault in (Fault.RESET_AFTER_HEADERS, Fault.RESET_MID_STREAM):
            connection.send(head + half)
            _let_it_arrive()
            connection.reset()
        elif fault is Fault.TRUNCATE_CHUNK:
            connection.send(head + half)
            connection.close()
        elif wish.first_byte_ms:
            connection.send(head)
            gevent.sleep(wish.first_byte_ms / 1000)
            connection.send(body)
        else:
            connection.send(head + body)

    def _send_pieces(
        self, answer: Answer, pieces: Iterator[bytes], headers: dict[str, str]
    ) -> None:
        """A body too large for memory; it is neither compressed nor made bad JSON."""
        connection, wish = self._connection, self._request.directives
        if wish.fault in _BEFORE_HEADERS:
            connection.reset()
            return
        if wish.fault is Fault.HANG:
            connection.wait_until_peer_leaves(HANG_SECONDS_MAX)
            connection.close()
            return
        headers.pop("content-encoding", None)
        headers["content-length"] = str(answer.length)
        connection.send(head_bytes(answer.status, headers))
        gevent.sleep(wish.first_byte_ms / 1000)
        left = answer.length
        if wish.fault is Fault.RESET_AFTER_HEADERS:
            left = 0
        elif wish.fault in _HALF_WAY:
            left //= 2
        for piece in pieces:
            if left <= 0:
                break
            connection.send(piece[:left])
            left -= len(piece)
        if wish.fault in (Fault.RESET_AFTER_HEADERS, Fault.RESET_MID_STREAM):
            _let_it_arrive()
            connection.reset()
        elif wish.fault is Fault.TRUNCATE_CHUNK:
            connection.close()


class _Streaming:
    """Sends one stream and charges for it once, by how far it came."""

    def __init__(
        self, connection: Connection, request: Request, charge: Callable[[Charge | None], None]
    ) -> None:
        self._connection = connection
        self._wish = request.directives
        self._chunked = request.chunks_allowed
        self._charge = charge
        self._gzip: zlib._Compress | None = None
        if self._wish.fault is Fault.GZIP:
            self._gzip = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        self._tokens = 0
        request.keep_alive = request.keep_alive and self._chunked

    def send(self, stream: Stream, headers: dict[str, str]) -> None:
        fault = self._wish.fault
        if fault in (Fault.RESET_BEFORE_HEADERS_CHARGED, Fault.RESET_AFTER_HEADERS):
            self._charge(stream.charge and replace(stream.charge, finished=False))
            if stream.on_charged is not None:
                stream.on_charged()
        if fault in _BEFORE_HEADERS:
            self._connection.reset()
            return
        if self._chunked:
            headers["transfer-encoding"] = "chunked"
        else:
            headers["connection"] = "close"
        head = head_bytes(200, headers)
        if fault is Fault.RESET_AFTER_HEADERS:
            self._connection.send(head)
            _let_it_arrive()
            self._connection.reset()
            return
        try:
            self._send_events(stream, head)
        except Gone:
            # The client is gone: what was generated until here is billed all the same.
            self._charge(stream.charge_at(self._tokens))
            raise
        if fault in _HALF_WAY:
            self._charge(stream.charge_at(self._tokens))
            self._break_off(stream)
            return
        self._charge(stream.charge)
        if stream.on_charged is not None:
            stream.on_charged()
        self._send_end(stream)

    def _send_events(self, stream: Stream, burst: bytes) -> None:
        """Send the header block and all events, or half of them where the stream is to break."""
        wish, half = self._wish, max(1, stream.event_count // 2)
        pause = wish.token_interval_ms / 1000
        if wish.first_byte_ms:
            self._connection.send(burst)
            burst = b""
            gevent.sleep(wish.first_byte_ms / 1000)
        waiting = index = 0
        for index, (event, tokens) in enumerate(stream.events, start=1):
            self._tokens = tokens
            burst += self._framed(event)
            waiting += 1
            if index == half:
                if wish.fault is Fault.BAD_JSON:
                    burst += self._framed(stream.bad_event)
                if wish.fault in _HALF_WAY:
                    break
            if pause or stream.live or waiting == EVENTS_PER_SEND:
                self._connection.send(burst)
                burst, waiting = b"", 0
                if pause or index % (EVENTS_PER_SEND * SENDS_PER_TURN) == 0:
                    gevent.sleep(pause)
        if index < half and wish.fault is Fault.BAD_JSON:
            # A stream of nothing but its last event.
            burst += self._framed(stream.bad_event)
        if burst:
            self._connection.send(burst)

    def _send_end(self, stream: Stream) -> None:
        burst = b""
        fault, done = self._wish.fault, stream.done_event
        usage = stream.usage_event_bare if fault is Fault.NO_USAGE else stream.usage_event
        if fault is Fault.MISSING_DONE:
            # Where there is no mark of its own, the event with the usage is the end mark.
            usage, done = (usage if done else b""), b""
        for event in (usage, done):
            if event:
                burst += self._framed(event)
        if self._gzip is not None:
            burst += self._raw(self._gzip.flush(zlib.Z_FINISH))
        if self._chunked:
            burst += b"0\r\n\r\n"
        self._connection.send(burst)

    def _break_off(self, stream: Stream) -> None:
        connection, fault = self._connection, self._wish.fault
        if fault is Fault.HANG:
            connection.wait_until_peer_leaves(HANG_SECONDS_MAX)
            connection.close()
        elif fault is Fault.ERROR_EVENT:
            end = b"0\r\n\r\n" if self._chunked else b""
            connection.send(self._framed(stream.error_event) + end)
        elif fault is Fault.TRUNCATE_CHUNK:
            connection.send(b"200\r\n" + stream.bad_event[:22])
            connection.close()
        else:
            _let_it_arrive()
            connection.reset()

    def _framed(self, event: bytes) -> bytes:
        if self._gzip is not None:
            event = self._gzip.compress(event) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        return self._raw(event)

    def _raw(self, data: bytes) -> bytes:
        return chunk(data) if self._chunked else data


def _let_it_arrive() -> None:
    """Give the peer a moment: a reset throws away what it has not read yet."""
    gevent.sleep(0.05)


def stamped(charge: Charge, request: Request) -> Charge:
    """``charge`` with the time and what is known of the request that it is for."""
    return replace(
        charge,
        number=request.number,
        time=time.time(),
        request_id=request.id,
        client_request_id=request.headers.get("x-client-request-id"),
        api_key_id=request.api_key_id,
    )


def _without_usage(body: bytes) -> bytes:
    return orjson.dumps(_stripped(orjson.loads(body)))


def _stripped(value: Any) -> Any:
    """``value`` without its usage reports, also those inside a list or an object."""
    if isinstance(value, list):
        return [_stripped(entry) for entry in value]
    if isinstance(value, dict):
        return {
            name: _stripped(entry)
            for name, entry in value.items()
            if not (name == "usage" and isinstance(entry, dict | None))
        }
    return value


def error_answer(error: ProviderError) -> Answer:
    """An error in the provider's envelope; never charged."""
    return Answer(error.body(), status=error.status, headers=error.headers)
