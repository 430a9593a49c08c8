"""The paid path of a background response whose events the client reads as it runs.

Its first event names the response. From then on the hold belongs to the response, as in
``relay_long``: what happens to this stream changes nothing about what the response costs, and
the client can take the events up again where it left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.adapters.upstream import Answer
from gateway.core.holds import Hold
from gateway.core.money import usd_from_nano
from gateway.core.objects import Found, Kind
from gateway.exchange import Exchange, Gate, Reply, owned_by
from gateway.relay_long import hand_over
from gateway.relay_stream import MeteredStream, open_stream


def begin_stream(gate: Gate, exchange: Exchange, hold: Hold, **details: Any) -> Reply:
    """Serve an admitted request that begins a background response, and follow its events.

    ``details`` are kept for the follower. Where the events end before one names the response,
    the hold is settled as for any other stream.
    """
    opened = open_stream(gate, exchange, hold)
    if isinstance(opened, Reply):
        return opened
    answer, headers = opened
    headers["x-faregate-held-usd"] = usd_from_nano(hold.amount_nano)
    return Reply(answer.status, headers, HandedOverStream(gate, exchange, hold, answer, details))


class HandedOverStream(MeteredStream):
    """Passes one stream on; its hold is left to the response that the first event names."""

    def __init__(
        self,
        gate: Gate,
        exchange: Exchange,
        hold: Hold,
        answer: Answer,
        details: Mapping[str, Any],
    ) -> None:
        super().__init__(gate, exchange, hold, answer)
        self._details = details
        self._handed_over = False
        self._left = self._closed = False

    def _take(self, event: bytes) -> bytes:
        """Meter one event; the response that it names takes over the hold before its id is
        passed on."""
        passed = self._meter.take(event)
        found = list(self._meter.found)
        self._meter.found.clear()
        if not self._handed_over:
            for response in [one for one in found if one.kind is Kind.RESPONSE][:1]:
                found.remove(response)
                self._hand_over(response)
        self._gate.objects.note(owned_by(self._exchange, found))
        return passed

    def _hand_over(self, response: Found) -> None:
        hand_over(self._gate, self._exchange, self._hold, response, **self._details)
        self._handed_over = True
        if self._left:
            # Nobody reads on, and the response does not need it.
            self._answer.abandon()

    def _settle(self) -> bytes:
        return b"" if self._handed_over else super()._settle()

    def _broken_message(self) -> str:
        if not self._handed_over:
            return super()._broken_message()
        return (
            "The provider broke off these events. The response goes on: retrieve it, with"
            " stream=true and starting_after for the events that follow."
        )

    def _close(self) -> None:
        self._left = True
        if not self._handed_over:
            super()._close()
        if self._handed_over and not self._closed:
            self._closed = self._ended = True
            self._answer.abandon()
            self._gate.metrics.streams.dec()
