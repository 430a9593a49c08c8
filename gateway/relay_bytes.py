"""The paid path of an answer that is neither JSON nor events: a sound, a file's content.

Bytes pass on as they arrive, so a large one is never in memory. What it costs is judged by how
many came and whether they were all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic

import gevent
import structlog

from gateway.adapters.upstream import Answer, AnswerLost
from gateway.core.holds import Hold
from gateway.core.meters import Reading
from gateway.core.money import usd_from_nano
from gateway.core.outcomes import Outcome
from gateway.exchange import Exchange, Gate, Reply, reply_headers
from gateway.relay import forward, judged, passed_error, settle

Judge = Callable[[int, bool], Reading]
"""The usage of an answer, by how many bytes came and whether the provider ended it in order."""

_log = structlog.get_logger(__name__)


Listen = Callable[[bytes], None]
"""Takes the bytes of an answer as they come."""


def _deaf(_data: bytes) -> None:
    """What bytes are does not matter where their number says enough."""


def pass_metered(gate: Gate, exchange: Exchange, hold: Hold) -> Reply:
    """Serve an admitted request whose answer is bytes, by the meter of the exchange."""
    assert exchange.bytes_meter is not None
    meter = exchange.bytes_meter()
    return pass_bytes(gate, exchange, hold, meter.reading, meter.hear)


def pass_bytes(
    gate: Gate, exchange: Exchange, hold: Hold, judge: Judge, listen: Listen = _deaf
) -> Reply:
    """Serve an admitted request whose answer is bytes."""
    answer = forward(gate, exchange, hold)
    if not 200 <= answer.status < 300:
        return passed_error(gate, exchange, hold, answer)
    headers = reply_headers(exchange, hold, answer)
    length = answer.header("content-length")
    if length is not None and answer.header("content-encoding") is None:
        headers["content-length"] = length
    known = judge(0, False)
    if exchange.price is None or known.usage is not None:
        # What it costs does not depend on what comes.
        headers["x-faregate-cost-usd"] = usd_from_nano(
            judged(exchange, hold, answer, known).cost_nano
        )
    return Reply(answer.status, headers, PassedBytes(gate, exchange, hold, answer, judge, listen))


class PassedBytes:
    """Passes one body on and settles its hold exactly once, however it ends."""

    def __init__(
        self,
        gate: Gate,
        exchange: Exchange,
        hold: Hold,
        answer: Answer,
        judge: Judge,
        listen: Listen = _deaf,
    ) -> None:
        self._gate, self._exchange, self._hold = gate, exchange, hold
        self._answer = answer
        self._judge, self._listen = judge, listen
        self._bytes = 0
        self._settled = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            data = self._answer.some(self._gate.upstream.read_seconds)
        except AnswerLost:
            # The server closes the connection in the middle of the body, which says to the
            # client what the provider's broken connection said to us.
            self._settle(whole=False)
            raise
        if not data:
            self._end()
            raise StopIteration
        self._take(data)
        # Between a quick provider and a quick client nothing ever waits, and others want to be
        # served too.
        gevent.sleep(0)
        return data

    def close(self) -> None:
        """Settle what is not settled: the client has gone."""
        if self._settled:
            return
        if self._is_worth_reading_on() and self._read_on():
            self._end()
        else:
            self._settle(whole=False)

    def _take(self, data: bytes) -> None:
        self._bytes += len(data)
        self._listen(data)
        if self._exchange.tape is not None:
            self._exchange.tape.write(data)

    def _end(self) -> None:
        """The provider has ended the body in good order."""
        # Kept first: a retry in between waits, where one after a settle alone would be told that
        # the answer is lost.
        if self._exchange.tape is not None:
            self._exchange.tape.end()
        self._settle(whole=True)

    def _is_worth_reading_on(self) -> bool:
        """Whether there is room to wait for the end of an answer that says what it cost, or that
        the client may ask for again. The provider works on to the end, whoever listens."""
        if self._exchange.price is None:
            return False
        if self._exchange.tape is None and self._judge(self._bytes, False).usage is not None:
            return False
        return self._gate.metrics.draining() < self._gate.settings.drain_streams_max

    def _read_on(self) -> bool:
        """Read on, within limits; whether the end was reached."""
        deadline = monotonic() + self._gate.settings.drain_seconds
        try:
            with self._gate.metrics.drain():
                while (left := deadline - monotonic()) > 0:
                    data = self._answer.some(left)
                    if not data:
                        return True
                    self._take(data)
        except AnswerLost:
            pass
        return False

    def _settle(self, *, whole: bool) -> None:
        if self._settled:
            return
        self._settled = True
        if not whole:
            self._answer.abandon()
        settle(self._gate, self._exchange, self._hold, self._outcome(whole))

    def _outcome(self, whole: bool) -> Outcome:
        try:
            reading = self._judge(self._bytes, whole)
        except Exception:
            # Whatever a provider sent, the hold must be settled.
            _log.exception("answer.not_judged", request_id=self._exchange.request_id)
            reading = Reading(None, None)
        return judged(self._exchange, self._hold, self._answer, reading)
