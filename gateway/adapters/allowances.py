"""Outage allowances: what a client may spend while Redis is away, held beforehand.

Each gateway worker sets the allowance of a client aside in Redis: a hold like any other, against
every budget that the client can fall under. While Redis does not answer, requests of the client are
served out of it, and parted from it when Redis is back. So nothing is overspent, with or without
Redis. What was set aside, and what was drawn from it, is written to a file first: should the worker
die, another one settles what it had sent and gives the rest back (``gateway.adapters.spool``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic, time_ns

import gevent
import orjson
import structlog

from gateway.adapters.hold_keeper import HoldKeeper
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.redis_replies import CountersLost
from gateway.adapters.spool import Spool
from gateway.core.bounds import Bound
from gateway.core.budgets import Budget
from gateway.core.endings import Ending
from gateway.core.holds import Hold, HoldRequest, RateState, Refused
from gateway.core.policy import Client, Policy

LOOK_SECONDS = 1.0
REFUSED_SECONDS = 10.0
"""How long until an allowance that a budget had no room for is asked for again."""

_ENDPOINT = "outage-allowance"
_RETURNED = b'{"status":200,"certainty":"exact","reason":"allowance_returned"}'
_UNKNOWN = b'{"status":0,"certainty":"unknown","reason":"hold_expired"}'

_log = structlog.get_logger(__name__)


@dataclass
class _SetAside:
    """The allowance of one client in this worker. Amounts in nano-dollars."""

    client: Client
    budget_ids: tuple[int, ...]
    hold: Hold
    ends_ms: int
    """When the first of its budget windows ends: then it is set aside anew."""
    renewed_at: float
    left_nano: int


def _held_against(policy: Policy, client: Client) -> tuple[Budget, ...]:
    """The budgets that an allowance of ``client`` is held against.

    None that is narrowed to a tag: few requests have the tag, and the allowances of many clients
    could use such a budget up. So what has the tag is not served while Redis is away.
    """
    return tuple(b for b in policy.budgets.get(client.id, ()) if b.tag is None)


class Allowances:
    """The allowances of one worker's clients."""

    def __init__(
        self,
        budgets: RedisBudgets,
        keeper: HoldKeeper,
        spool: Spool,
        policy: Callable[[], Policy],
        outage_seconds: float,
    ) -> None:
        """``policy`` gives the one in force; ``outage_seconds`` is how long allowances last."""
        self._budgets = budgets
        self._keeper = keeper
        self._spool = spool
        self._policy = policy
        self._outage_seconds = outage_seconds
        self._aside: dict[int, _SetAside] = {}
        self._not_before: dict[int, float] = {}
        self._drawn: set[str] = set()

    # While Redis is away

    def draw(
        self,
        client: Client,
        model: str,
        bound: Bound,
        budgets: Sequence[Budget],
        context: bytes,
    ) -> Hold | None:
        """A hold out of the client's allowance; None where that has no room, or has lapsed, or is
        not held against all of the ``budgets`` that the request counts against.

        It has a request id of its own: Redis may yet learn of the one that it did not answer for.
        Returns once it is on disk.
        """
        aside = self._aside.get(client.id)
        if aside is None or monotonic() > aside.renewed_at + self._outage_seconds * 0.8:
            return None
        covered = {budget.id for budget in budgets}
        if not covered <= set(aside.budget_ids) or time_ns() // 1_000_000 >= aside.ends_ms:
            return None
        per_token = bound.output_token_nano * bound.choices
        room = aside.left_nano - bound.fixed_nano
        granted = bound.wanted_output_tokens
        if per_token:
            granted = min(granted, room // per_token)
        if room < 0 or granted < bound.floor_output_tokens:
            return None
        amount = bound.fixed_nano + per_token * granted
        hold = self._part_of(aside.hold, client, model, granted, amount, context)
        # Before it is written, which takes a while: what is drawn from is not given back meanwhile.
        aside.left_nano -= amount
        self._drawn.add(hold.request_id)
        self._keeper.own(hold)
        if not self._spool.write(Ending(hold, _UNKNOWN, cost_nano=amount)):
            aside.left_nano += amount
            self._keeper.disown(hold)
            return None
        return hold

    @staticmethod
    def _part_of(
        whole: Hold, client: Client, model: str, granted: int, amount: int, context: bytes
    ) -> Hold:
        covered = []
        for part in filter(None, whole.placed_on.split(",")):
            budget_id, start, _, limit, enforcement = part.split(":")
            covered.append(f"{budget_id}:{start}:{amount}:{limit}:{enforcement}")
        return Hold(
            request_id="frq_" + os.urandom(12).hex(),
            client_id=client.id,
            model=model,
            budget_windows=whole.budget_windows,
            granted_output_tokens=granted,
            amount_nano=amount,
            reserved_at_ms=time_ns() // 1_000_000,
            left_nano=-1,
            rates=RateState(),
            placed_on=",".join(covered),
            context=context,
            epoch=whole.epoch,
            drawn_from=whole.request_id,
        )

    # While it is there

    def keep(self) -> None:
        """Keep the allowances set aside for ever; run it as a greenlet."""
        while True:
            try:
                self.look()
            except StoreDown as error:
                _log.warning("allowances.redis_unreachable", reason=str(error))
            except CountersLost:
                _log.info("allowances.wait_for_rebuild")
            gevent.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Set aside what is missing, renew what is there, and give back what is not wanted.

        Raises StoreDown and CountersLost.
        """
        policy = self._policy()
        wanted = {c.id: c for c in policy.clients.values() if c.outage_allowance_nano > 0}
        self._drawn = {one for one in self._drawn if self._keeper.owns(one)}
        for client_id, aside in list(self._aside.items()):
            if self._is_right(aside, wanted.get(client_id), policy):
                self._renew(aside)
            elif not self._drawn:
                # What was drawn is parted from it first: else it would be charged beside it.
                self._give_back(aside)
        for client_id, client in wanted.items():
            if client_id not in self._aside and monotonic() > self._not_before.get(client_id, 0):
                self._set_aside(client, policy)

    def give_back(self) -> None:
        """Give all back that is not drawn, for a worker that stops. Raises StoreDown."""
        self._drawn = {one for one in self._drawn if self._keeper.owns(one)}
        if not self._drawn:
            for aside in list(self._aside.values()):
                self._give_back(aside)
        self._spool.close()

    def _is_right(self, aside: _SetAside, client: Client | None, policy: Policy) -> bool:
        return (
            client is not None
            and client.outage_allowance_nano == aside.client.outage_allowance_nano
            and aside.left_nano == client.outage_allowance_nano
            and tuple(b.id for b in _held_against(policy, client)) == aside.budget_ids
            and self._budgets.now_ms() < aside.ends_ms
            and aside.hold.epoch == self._budgets.epoch
        )

    def _renew(self, aside: _SetAside) -> None:
        if monotonic() - aside.renewed_at < self._outage_seconds * 0.1:
            return
        begun = monotonic()
        hold = aside.hold
        if self._budgets.hand_over(hold.request_id, hold.client_id, int(self._outage_seconds)):
            aside.renewed_at = begun
        else:
            # It has ended, or Redis has lost it: nothing is drawn from it any more.
            self._forget(aside)

    def _set_aside(self, client: Client, policy: Policy) -> None:
        budgets = _held_against(policy, client)
        amount = client.outage_allowance_nano
        context = {
            "team_id": client.team_id,
            "client_id": client.id,
            "key_id": 0,
            "endpoint": _ENDPOINT,
            "model": "",
            "price_id": None,
            "tier": "default",
            "streamed": False,
        }
        unlimited = replace(
            client, requests_per_minute=0, tokens_per_minute=0, concurrent_requests=0
        )
        wish = HoldRequest(
            request_id="fal_" + os.urandom(12).hex(),
            client=unlimited,
            model="",
            bound=Bound(
                input_tokens=0,
                fixed_nano=amount,
                output_token_nano=0,
                choices=1,
                wanted_output_tokens=0,
                floor_output_tokens=0,
            ),
            budgets=budgets,
            policy_version=policy.version,
            context=orjson.dumps(context),
        )
        begun = monotonic()
        try:
            hold = self._keeper.reserve(wish)
        except Refused as refused:
            self._not_before[client.id] = monotonic() + REFUSED_SECONDS
            _log.warning("allowance.refused", client_id=client.id, reason=str(refused))
            return
        if not self._spool.write(Ending(hold, _RETURNED, released=True)):
            # Were this worker to die, nobody could tell that nothing was drawn.
            self._keeper.release(hold, _RETURNED)
            self._not_before[client.id] = monotonic() + REFUSED_SECONDS
            return
        self._keeper.hand_over(hold, int(self._outage_seconds))
        self._keeper.keep_aside(hold, self._outage_seconds)
        ids = tuple(budget.id for budget in budgets)
        ends_ms = min((self._budgets.window(b).end_ms for b in budgets), default=2**53)
        self._aside[client.id] = _SetAside(client, ids, hold, ends_ms, begun, amount)

    def _give_back(self, aside: _SetAside) -> None:
        self._keeper.release(aside.hold, _RETURNED)
        self._forget(aside)

    def _forget(self, aside: _SetAside) -> None:
        self._aside.pop(aside.client.id, None)
        self._keeper.drop_aside(aside.hold)
        if not self._drawn:
            # The file has what is set aside now, and nothing of the past.
            self._spool.clear()
            for one in self._aside.values():
                self._spool.write(Ending(one.hold, _RETURNED, released=True))
