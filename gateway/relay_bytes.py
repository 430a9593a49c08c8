"""The paid path of an answer that is neither JSON nor events: a sound, a file's content.

Bytes pass on as they arrive, so a large one is never in memory. What it costs is judged by how
many came and whether they were all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

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


def pass_bytes(gate: Gate, exchange: Exchange, hold: Hold, judge: Judge) -> Reply:
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
    return Reply(answer.status, headers, PassedBytes(gate, exchange, hold, answer, judge))


class PassedBytes:
    """Passes one body on and settles its hold exactly once, however it ends."""

    def __init__(
        self, gate: Gate, exchange: Exchange, hold: Hold, answer: Answer, judge: Judge
    ) -> None:
        self._gate, self._exchange, self._hold = gate, exchange, hold
        self._answer = answer
        self._judge = judge
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
            self._answer.abandon()
            self._settle(whole=False)
            raise
        if not data:
            self._settle(whole=True)
            if self._exchange.tape is not None:
                self._exchange.tape.end()
            raise StopIteration
        self._bytes += len(data)
        if self._exchange.tape is not None:
            self._exchange.tape.write(data)
        # Between a quick provider and a quick client nothing ever waits, and others want to be
        # served too.
        gevent.sleep(0)
        return data

    def close(self) -> None:
        """Settle what is not settled: the client has gone."""
        if not self._settled:
            self._answer.abandon()
            self._settle(whole=False)

    def _settle(self, *, whole: bool) -> None:
        if self._settled:
            return
        self._settled = True
        settle(self._gate, self._exchange, self._hold, self._outcome(whole))

    def _outcome(self, whole: bool) -> Outcome:
        try:
            reading = self._judge(self._bytes, whole)
        except Exception:
            # Whatever a provider sent, the hold must be settled.
            _log.exception("answer.not_judged", request_id=self._exchange.request_id)
            reading = Reading(None, None)
        return judged(self._exchange, self._hold, self._answer, reading)
