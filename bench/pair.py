"""One request's part in Redis: a reserve and a settle, as the paid path makes them."""

from __future__ import annotations

import os

import orjson

from bench.stage import MODEL
from gateway.adapters.redis_budgets import RedisBudgets
from gateway.core.bounds import Bound
from gateway.core.holds import HoldRequest
from gateway.core.policy import Policy
from gateway.core.tags import NO_TAGS

COST_NANO = 50_000
TOKENS, OUTPUT_TOKENS = 150, 60
_RESULT = orjson.dumps(
    {
        "status": 200,
        "certainty": "exact",
        "tier": "default",
        "lines": [["input", 90, 150_000_000, 1_000_000], ["output", 60, 600_000_000, 1_000_000]],
        "usage": {"input_tokens": 90, "output_tokens": 60},
        "upstream_id": "req_0123456789abcdef0123456789abcdef",
        "duration_ms": 900,
    }
)


def reserve_and_settle(budgets: RedisBudgets, policy: Policy) -> None:
    """Reserve for a request of the first client of ``policy``, under an id of its own; settle."""
    hold = budgets.reserve(_wish(policy))
    done = budgets.settle(hold, COST_NANO, TOKENS, OUTPUT_TOKENS, _RESULT)
    assert done.outcome == "settled"


def _wish(policy: Policy) -> HoldRequest:
    client = next(iter(policy.clients.values()))
    context = {
        "team_id": client.team_id,
        "client_id": client.id,
        "key_id": next(iter(policy.keys.values())).id,
        "endpoint": "chat/completions",
        "model": MODEL,
        "price_id": None,
        "tier": "default",
        "streamed": False,
    }
    return HoldRequest(
        request_id="frq_" + os.urandom(12).hex(),
        client=client,
        model=MODEL,
        bound=Bound(90, 13_500, 600, 1, 16_384, 256),
        budgets=policy.budgets_for(client, MODEL, NO_TAGS),
        policy_version=policy.version,
        context=orjson.dumps(context),
    )
