"""The paid path of work that goes on after its answer: a batch, a job, a background response.

The answer names the work. From then on its hold belongs to the work: the follower in the
recorder process (``workers/follower.py``) keeps it alive and settles it with the provider's own
figures, whatever becomes of this process.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway import failpoints
from gateway.adapters.upstream import Answer
from gateway.core.holds import Hold
from gateway.core.long_work import LEASE_SECONDS, Work
from gateway.core.money import usd_from_nano
from gateway.core.objects import Found, WorkState
from gateway.exchange import Exchange, Gate, Reply, owned_by, reply_headers
from gateway.relay import forward, judged, parsed, passed_error, settle, whole_body


def begin(gate: Gate, exchange: Exchange, hold: Hold, **details: Any) -> Reply:
    """Serve an admitted request that begins long-lived work.

    ``details`` are kept for the follower. The work is the first thing that the answer names;
    where it names none, the hold is settled as for any other answer.
    """
    answer = forward(gate, exchange, hold)
    if not 200 <= answer.status < 300:
        return passed_error(gate, exchange, hold, answer)
    body = whole_body(gate, exchange, hold, answer)
    payload = parsed(body)
    headers = reply_headers(exchange, hold, answer)
    found = exchange.owns(payload) if isinstance(payload, dict) else ()
    if not found:
        headers["x-faregate-cost-usd"] = _settled(gate, exchange, hold, answer, payload)
        return Reply(answer.status, headers, body)
    gate.objects.note(owned_by(exchange, found[1:]))
    hand_over(gate, exchange, hold, found[0], **details)
    headers["x-faregate-held-usd"] = usd_from_nano(hold.amount_nano)
    return Reply(answer.status, headers, body)


def hand_over(gate: Gate, exchange: Exchange, hold: Hold, found: Found, **details: Any) -> None:
    """Note the work that ``found`` is, with its owner and its hold, and leave the hold to it."""
    work = Work(hold, exchange.price.id if exchange.price else None, exchange.bound.tier, details)
    (owned,) = owned_by(exchange, [found])
    gate.objects.note([replace(owned, work=work.as_fields(), work_state=WorkState.OPEN)])
    failpoints.hit("hand_over.noted")
    # In SQL too before the client knows of it, where SQL is there: the work then survives the
    # loss of Redis.
    gate.objects.move()
    failpoints.hit("hand_over.moved")
    gate.keeper.hand_over(hold, LEASE_SECONDS)
    failpoints.hit("hand_over.done")


def _settled(gate: Gate, exchange: Exchange, hold: Hold, answer: Answer, payload: object) -> str:
    outcome = judged(exchange, hold, answer, exchange.read(payload))
    settle(gate, exchange, hold, outcome)
    return usd_from_nano(outcome.cost_nano)
