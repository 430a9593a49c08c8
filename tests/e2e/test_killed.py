"""kill -9 of the gateway under load: nothing that the provider charged is ever missing.

``FAREGATE_KILL_ROUNDS`` sets how often it dies (default 5).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import threading
from dataclasses import dataclass, field

import pytest

from tests.e2e.conftest import MakeRig
from tests.e2e.money import cost_nano, usd
from tests.e2e.provider import report
from tests.e2e.rig import Rig, Tenant
from tests.stores import temporary_redis

ROUNDS = int(os.environ.get("FAREGATE_KILL_ROUNDS", "5"))
CALLERS = 12
CHARGES_PER_ROUND = 40
LEASE_SECONDS = 2

_GONE = (OSError, http.client.HTTPException, ValueError, KeyError)
"""What a caller sees of a gateway that dies: a broken connection, or half an answer."""


@dataclass
class Load:
    """Callers that ask one after the other, plain and streamed, until they are stopped."""

    rig: Rig
    tenant: Tenant
    answered: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, callers: int = CALLERS) -> None:
        self.stop.clear()
        self.threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(callers)]
        for thread in self.threads:
            thread.start()

    def _ask(self, number: int) -> None:
        caller = self.rig.again(self.tenant)
        directed = {"token_interval_ms": number % 4, "latency_ms": 5 * number}
        while not self.stop.is_set():
            with contextlib.suppress(*_GONE):
                if number % 2:
                    caller.stream(directed=directed).all()
                else:
                    caller.chat(directed=directed, max_completion_tokens=200)
                self.answered += 1
                continue
            # Its gateway is gone; a new one has another port.
            caller = self.rig.again(self.tenant)
            self.stop.wait(0.05)

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()


def assert_all_recorded(rig: Rig) -> dict[str, int]:
    """Every charge of the provider has a record: equal, or above and labelled. Says how many."""
    rig.provider.quiet()
    records, found = rig.records(), {"exact": 0, "labelled": 0, "above_nano": 0, "charges": 0}
    for request_id, charges in rig.provider.charges().items():
        assert request_id in records, f"{request_id} was charged and is not recorded"
        (charge,) = charges
        record, truth = records[request_id], cost_nano(charge)
        found["charges"] += 1
        if record.certainty == "exact":
            assert record.cost_nano == truth, request_id
            found["exact"] += 1
        else:
            assert record.cost_nano >= truth, request_id
            found["labelled"] += 1
            found["above_nano"] += record.cost_nano - truth
    return found


@pytest.mark.timeout(120 + 30 * ROUNDS)
def test_kill_9_of_the_gateway_under_load(make_own_rig: MakeRig) -> None:
    with temporary_redis() as redis_url:
        rig = make_own_rig(redis_url, hold_lease_seconds=LEASE_SECONDS)
        tenant = rig.tenant(10**12)
        load = Load(rig, tenant)
        load.start()
        for _ in range(ROUNDS):
            rig.provider.serve_some(CHARGES_PER_ROUND)
            rig.gateway.kill_group()
            rig.restart_gateway()
        load.end()
        rig.drain(LEASE_SECONDS + 30)
        found = assert_all_recorded(rig)
        records = rig.records()
        counters = rig.counters(tenant.budget)
        assert counters["held"] == 0
        assert counters["spent"] == sum(record.cost_nano for record in records.values())
        audited = rig.audit()
        never_sent = len(records.keys() - rig.provider.charges().keys())
        report(
            f"{ROUNDS} kills: {load.answered} answered, {found['charges']} charged by the"
            f" provider, {found['exact']} exact, {found['labelled']} above by"
            f" ${usd(found['above_nano'])} and labelled, {never_sent} held and never sent,"
            f" 0 missing; {audited['records']} rows, spent ${usd(counters['spent'])}, held $0"
        )
        assert found["exact"] > 0
        assert found["labelled"] > 0, "no request was in flight when the gateway was killed"
