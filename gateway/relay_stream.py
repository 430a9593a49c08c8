"""The paid path of an answer that comes as a stream of server-sent events.

Bytes pass on as they arrive. When the client hangs up, the provider's answer is read on to its
end, within limits, since only the end says what it cost. When the provider breaks off, the
client gets a valid error event and the record an upper bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from time import monotonic

import structlog

from gateway import failpoints
from gateway.adapters.threads import on_counting_thread
from gateway.adapters.upstream import Answer, AnswerLost, AnswerTimeout
from gateway.core import sse
from gateway.core.holds import Hold
from gateway.core.meters import Reading
from gateway.core.money import usd_from_nano
from gateway.core.outcomes import Outcome
from gateway.core.usage import Certainty
from gateway.exchange import Exchange, Gate, Reply, facts_of, owned_by, reply_headers
from gateway.relay import forward, judged, lost, passed_error, settle

_COUNT_INLINE_CHARACTERS = 8000
_LAST_LOOK_SECONDS, _LAST_LOOK_SILENCE_SECONDS = 1.0, 0.02
"""How long a stream that may not be drained is read on, and the silence that ends it."""

_log = structlog.get_logger(__name__)


def stream(gate: Gate, exchange: Exchange, hold: Hold) -> Reply:
    """Serve an admitted request whose answer comes as events."""
    opened = open_stream(gate, exchange, hold)
    if isinstance(opened, Reply):
        return opened
    answer, headers = opened
    return Reply(answer.status, headers, MeteredStream(gate, exchange, hold, answer))


def open_stream(
    gate: Gate, exchange: Exchange, hold: Hold
) -> tuple[Answer, dict[str, str]] | Reply:
    """The provider's stream and the headers to pass on; a Reply where it is an error.

    Raises ApiError, with the hold resolved, where there is no stream.
    """
    answer = forward(gate, exchange, hold)
    if not 200 <= answer.status < 300:
        return passed_error(gate, exchange, hold, answer)
    if not (answer.header("content-type") or "").startswith("text/event-stream"):
        answer.abandon()
        raise lost(gate, exchange, hold, AnswerLost("the answer is not an event stream"))
    headers = reply_headers(exchange, hold, answer)
    headers["cache-control"] = "no-cache"
    # Proxies in front must not collect what is passed on as it arrives.
    headers["x-accel-buffering"] = "no"
    return answer, headers


class MeteredStream:
    """Passes one stream on and settles its hold exactly once, however it ends.

    ``close`` is called by the server in every case: after the last chunk, when the client has
    gone, and also when it went before the first chunk, where a generator's ``finally`` would
    never run.
    """

    def __init__(self, gate: Gate, exchange: Exchange, hold: Hold, answer: Answer) -> None:
        self._gate = gate
        self._exchange = exchange
        self._hold = hold
        self._answer = answer
        assert exchange.stream_meter is not None
        self._meter = exchange.stream_meter()
        self._splitter = sse.EventSplitter()
        self._settled = False
        self._ended = False
        self._heard = False
        self._heard_at = monotonic()
        gate.metrics.streams.inc()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while not self._ended:
            if passed := self._next_bytes():
                self._tape(passed)
                if self._meter.done and self._exchange.tape is not None:
                    # Kept before the client has the end of it: its retry can come at once.
                    self._exchange.tape.end()
                return passed
        raise StopIteration

    def _tape(self, passed: bytes) -> None:
        if self._exchange.tape is not None:
            self._exchange.tape.write(passed)

    def _next_bytes(self) -> bytes:
        try:
            chunk = self._read_or_heartbeat()
            if chunk is None:
                return sse.comment("waiting for the provider")
            events = self._splitter.feed(chunk)
        except (AnswerLost, sse.EventTooLarge) as error:
            return self._broken(error)
        if not chunk:
            return self._end()
        return b"".join([self._pass(event) for event in events])

    def _read_or_heartbeat(self) -> bytes | None:
        """The next bytes; None when the provider has been silent for a heartbeat.

        Raises AnswerLost when it has been silent for too long, or broke off.
        """
        longest = self._gate.upstream.read_seconds
        try:
            chunk = self._answer.some(min(self._gate.settings.heartbeat_seconds, longest))
        except AnswerTimeout:
            if monotonic() - self._heard_at >= longest:
                self._answer.abandon()
                raise
            return None
        self._heard_at = monotonic()
        if not self._heard:
            self._heard = True
            failpoints.hit("stream.first_byte")
        return chunk

    def _pass(self, event: bytes) -> bytes:
        passed = self._take(event)
        if self._meter.done and not self._settled:
            # Settled before the end is announced: clients hang up at the sight of it.
            return self._settle() + passed
        return passed

    def _take(self, event: bytes) -> bytes:
        """Meter one event, and note the owner of what it names before its id is passed on."""
        passed = self._meter.take(event)
        if self._meter.found:
            self._gate.objects.note(owned_by(self._exchange, self._meter.found))
            self._meter.found.clear()
        return passed

    def _end(self) -> bytes:
        """The provider closed the stream in good order."""
        self._ended = True
        rest = self._splitter.rest
        passed = self._take(rest) if rest.strip() else b""
        if self._settled:
            return passed
        if not self._meter.complete and not self._meter.failed:
            return self._broken(AnswerLost("the stream ended without its last event"))
        return passed + self._settle()

    def _broken(self, error: Exception) -> bytes:
        """The provider broke off: charge what it can have billed, and tell the client."""
        self._ended = True
        self._answer.abandon()
        if self._settled or self._meter.done:
            return b""
        _log.warning(
            "upstream.stream_broken", request_id=self._exchange.request_id, reason=str(error)
        )
        comment = self._settle()
        error_fields = {
            "message": self._broken_message(),
            "type": "server_error",
            "param": None,
            "code": "upstream_stream_broken",
        }
        return comment + self._exchange.error_event(error_fields)

    def _broken_message(self) -> str:
        return (
            "The provider broke off this answer. What arrived is charged, with a margin for what"
            " it may have generated besides, and marked estimated."
        )

    def close(self) -> None:
        """Settle what is not settled: the client has gone, or the server is done with us."""
        self._close()
        if self._exchange.tape is not None and self._meter.done:
            self._exchange.tape.end()

    def _close(self) -> None:
        if self._settled:
            if not self._ended:
                self._read_on(seconds=1.0)
            return
        if self._ended:
            self._settle()
            return
        metrics = self._gate.metrics
        if metrics.draining() >= self._gate.settings.drain_streams_max:
            # What has arrived already is read all the same: it can be thousands of tokens
            # ahead of the client, and the estimate counts them.
            self._read_on(_LAST_LOOK_SECONDS, _LAST_LOOK_SILENCE_SECONDS)
            self._settle()
            return
        with metrics.drain():
            self._read_on(self._gate.settings.drain_seconds)
            self._settle()

    def _read_on(self, seconds: float, silence_seconds: float = inf) -> None:
        """Read the stream to its end for its usage alone; give up after ``seconds``."""
        deadline = monotonic() + seconds
        try:
            while (left := deadline - monotonic()) > 0:
                chunk = self._answer.some(min(left, silence_seconds))
                if not chunk:
                    break
                for event in self._splitter.feed(chunk):
                    self._tape(self._take(event))
            else:
                self._answer.abandon()
        except (AnswerLost, sse.EventTooLarge):
            self._answer.abandon()
        self._ended = True

    def _settle(self) -> bytes:
        """Settle once; the comment tells the client what it cost."""
        self._settled = True
        outcome = self._outcome()
        resolution = settle(self._gate, self._exchange, self._hold, outcome)
        self._gate.metrics.streams.dec()
        text = (
            f"faregate request_id={self._exchange.request_id}"
            f" cost_usd={usd_from_nano(outcome.cost_nano)} certainty={outcome.certainty.value}"
        )
        if resolution is not None and resolution.left_nano >= 0:
            text += f" budget_remaining_usd={usd_from_nano(resolution.left_nano)}"
        return sse.comment(text)

    def _outcome(self) -> Outcome:
        meter = self._meter
        reading = Reading(meter.usage, meter.service_tier)
        reported = judged(self._exchange, self._hold, self._answer, reading)
        if meter.complete and meter.usage is not None:
            return reported
        cost_nano = self._safe_estimate_nano()
        if meter.usage is not None:
            cost_nano = max(cost_nano, reported.cost_nano)
        return Outcome(
            certainty=Certainty.ESTIMATED,
            cost_nano=cost_nano,
            service_tier=meter.service_tier or self._exchange.bound.tier,
            reason="usage_not_reported" if meter.done else "stream_broken",
            **facts_of(self._exchange, self._answer),
        )

    def _safe_estimate_nano(self) -> int:
        """The estimate, or the hold: whatever a provider sent, the hold must be settled."""
        try:
            return self._estimate_nano()
        except Exception:
            _log.exception("stream.not_estimated", request_id=self._exchange.request_id)
            return self._hold.amount_nano

    def _estimate_nano(self) -> int:
        """An upper bound of what was billed, from what arrived; the hold where that hides some."""
        hold, exchange = self._hold, self._exchange
        if exchange.facts is None or exchange.facts.reasoning:
            return hold.amount_nano
        if not self._meter.kept_bytes:
            # Nothing came after the headers, so nothing says how far the provider got.
            return hold.amount_nano
        count = self._gate.tokenizer.counter(exchange.facts)

        def counted() -> int | None:
            return self._meter.output_tokens_counted(count)

        if self._meter.kept_bytes > _COUNT_INLINE_CHARACTERS:
            tokens = on_counting_thread(counted)
        else:
            tokens = counted()
        if tokens is None:
            return hold.amount_nano
        nano = exchange.bound.fixed_nano + exchange.bound.output_token_nano * tokens
        return min(nano, hold.amount_nano)
