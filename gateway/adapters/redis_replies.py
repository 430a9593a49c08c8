"""How a reserve is put to Redis, and what its answers mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.adapters.redis_keys import RedisKeys
from gateway.core.budgets import Window
from gateway.core.holds import (
    BudgetLook,
    BudgetRefused,
    Hold,
    HoldClosed,
    HoldRequest,
    Look,
    PolicyStale,
    RateRefused,
    RateState,
)


class CountersLost(Exception):
    """Redis may have lost counters, or came up empty: nothing is admitted until it is rebuilt."""


def reserve_call(
    keys: RedisKeys,
    wish: HoldRequest,
    windows: Sequence[Window],
    lease_ms: int,
    epoch: int,
    seen: int,
    *,
    looks: bool = False,
) -> tuple[list[str], list[Any]]:
    """KEYS and ARGV of ``lua/reserve.lua``."""
    bound, client = wish.bound, wish.client
    named = [
        keys.state,
        keys.policy_version,
        keys.holds,
        keys.hold(wish.request_id),
        keys.client(client.id),
        keys.need(client.id, wish.model),
    ]
    args: list[Any] = [
        wish.policy_version,
        wish.request_id,
        lease_ms,
        bound.fixed_nano,
        bound.output_token_nano,
        bound.choices,
        bound.wanted_output_tokens,
        bound.floor_output_tokens,
        bound.input_tokens,
        client.requests_per_minute,
        client.tokens_per_minute,
        client.concurrent_requests,
        wish.context,
        epoch,
        seen,
        int(looks),
    ]
    for budget, window in zip(wish.budgets, windows, strict=True):
        named.append(keys.budget(budget.id, window.start_ms))
        args += [
            budget.id,
            budget.limit_nano,
            budget.enforcement.value,
            window.start_ms,
            window.end_ms,
        ]
    return named, args


def granted_hold(
    wish: HoldRequest, windows: Sequence[Window], reply: Sequence[Any], epoch: int
) -> Hold:
    """The hold that a ``granted`` answer tells of."""
    granted, amount, at_ms, left, *rates = (int(value) for value in reply[1:-2])
    return Hold(
        wish.request_id,
        wish.client.id,
        wish.model,
        tuple((b.id, w.start_ms) for b, w in zip(wish.budgets, windows, strict=True)),
        granted,
        amount,
        at_ms,
        left,
        RateState(*rates),
        reply[-2].decode(),
        wish.context,
        epoch,
    )


def refusal(wish: HoldRequest, windows: Sequence[Window], reply: Sequence[Any]) -> Exception:
    """The exception that stands for an answer which grants nothing."""
    status = reply[0].decode()
    if status == "suspended":
        return CountersLost()
    if status == "stale":
        return PolicyStale(int(reply[1])) if reply[1] else CountersLost()
    if status == "closed":
        return HoldClosed(wish.request_id)
    if status == "budget":
        index, spent, held, affordable = (int(value) for value in reply[1:5])
        return BudgetRefused(wish.budgets[index], windows[index], spent, held, affordable)
    return RateRefused(status, int(reply[1]), int(reply[2]))


def looked(wish: HoldRequest, windows: Sequence[Window], reply: Sequence[Any], epoch: int) -> Look:
    """What a ``looked`` answer tells of."""
    _, answer, decides, stand, client, need = reply
    in_flight, requests_tat, tokens_tat, now_us = (int(float(value or 0)) for value in client)
    mean, deviation = (float(value) / 1000 if value else None for value in need)
    hold, refused = None, None
    if answer[0] == b"granted":
        hold = granted_hold(wish, windows, answer, epoch)
    else:
        found = refusal(wish, windows, answer)
        assert isinstance(found, BudgetRefused | RateRefused)
        refused = found
    return Look(
        hold=hold,
        refused=refused,
        decides=wish.budgets[decides] if decides >= 0 else None,
        budgets=tuple(
            BudgetLook(budget, window, int(spent), int(held), int(holds))
            for budget, window, (spent, held, holds) in zip(
                wish.budgets, windows, stand, strict=True
            )
        ),
        in_flight=in_flight,
        requests_busy_us=max(requests_tat - now_us, 0),
        tokens_busy_us=max(tokens_tat - now_us, 0),
        mean_output_tokens=mean,
        deviation_output_tokens=deviation,
    )
