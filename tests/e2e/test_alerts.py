"""Alerts arrive once for each crossing, from the whole deployment at a real receiver."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.adapters.alert_channels import AlertChannels, NewSecret
from gateway.adapters.alert_events import log
from gateway.adapters.alert_rules import AlertRules
from gateway.adapters.os_user import command_line
from gateway.core.alerts import AlertKind, ChannelKind
from gateway.core.budgets import Enforcement
from gateway.core.money import nano_from_usd
from tests.e2e.conftest import MakeRig
from tests.e2e.provider import until
from tests.e2e.rig import _RECORDER, Rig, Tenant
from tests.processes import Running, find_free_port
from tests.receiver import Received, Receiver

REQUESTS = 500
PARALLEL = 500
HOSTS = ("127.0.0.1",)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as opened:
        yield opened


@pytest.fixture(scope="module")
def alerting_rig(long_lived_rig: MakeRig) -> Rig:
    """A deployment that may send alerts to this machine."""
    return long_lived_rig(alert_hosts=HOSTS[0])


def cost_of_one(rig: Rig) -> int:
    """What one of the requests costs, in nano-dollars."""
    reply = rig.tenant().caller.chat("count me", max_tokens=8)
    assert reply.status == 200
    return rig.record(reply.request_id).cost_nano


def watch(rig: Rig, receiver: Receiver, tenant: Tenant, **rule: Any) -> NewSecret:
    """A channel to the receiver, and a rule on the tenant's budget."""
    channels = AlertChannels(rig.engine, command_line(), HOSTS)
    channel = channels.create(f"hook-{tenant.name}", ChannelKind.WEBHOOK, receiver.url)
    AlertRules(rig.engine, command_line()).create(
        f"rule-{tenant.name}",
        AlertKind.THRESHOLD,
        [f"hook-{tenant.name}"],
        **({"budget": tenant.budget} | rule),
    )
    return channel


def spend(tenant: Tenant, requests: int = REQUESTS) -> Counter[int]:
    """Send so many requests, many at a time; returns how many had which status."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        replies = pool.map(
            lambda _: tenant.caller.chat("count me", max_tokens=8).status, range(requests)
        )
        return Counter(replies)


def percents(received: list[Received]) -> list[int]:
    return sorted(one.json["data"]["percent"] for one in received)


def is_settled(rig: Rig, tenant: Tenant) -> bool:
    """Whether every alert of the tenant's rule has been delivered."""
    own = [one for one in log(rig.engine, 500) if one["rule"] == f"rule-{tenant.name}"]
    states = [delivery["state"] for one in own for delivery in one["deliveries"]]
    return bool(states) and all(state == "sent" for state in states)


def test_an_alert_arrives_once_per_crossing(alerting_rig: Rig, receiver: Receiver) -> None:
    """500 requests at once drive a budget past 50, 80 and 100 %."""
    rig = alerting_rig
    limit = cost_of_one(rig) * REQUESTS * 3 // 4
    tenant = rig.tenant(limit, enforcement=Enforcement.SOFT)
    channel = watch(rig, receiver, tenant)
    assert spend(tenant) == {200: REQUESTS}
    receiver.wait(3)
    until(lambda: is_settled(rig, tenant), 30, "deliveries to be written down")
    rig.drain()

    received = receiver.received
    assert percents(received) == [50, 80, 100]
    assert len({one.headers["webhook-id"] for one in received}) == 3
    assert channel.secret is not None
    for one in received:
        assert one.is_signed_with(channel.secret)
        assert not one.is_signed_with("whsec_" + "A" * 44)
        data = one.json["data"]
        assert one.json["type"] == "budget.threshold"
        assert (data["budget"], nano_from_usd(data["limit_usd"])) == (tenant.budget, limit)
        # What it says was true: so much was spent, and the counters have that and more.
        spent = nano_from_usd(data["spent_usd"])
        assert limit * data["percent"] <= spent * 100
        assert spent <= rig.counters(tenant.budget)["spent"]


def test_a_strict_budget_that_is_full_is_told_of(alerting_rig: Rig, receiver: Receiver) -> None:
    """It never passes its limit: 100 % is when it refuses what would."""
    rig = alerting_rig
    limit = cost_of_one(rig) * 200 + 1
    tenant = rig.tenant(limit)
    watch(rig, receiver, tenant)
    answered = spend(tenant)
    assert answered.keys() == {200, 429}
    # What was held at first goes back, so the budget fills to the last request that fits.
    while spend(tenant, 50)[200]:
        pass
    receiver.wait(3)
    until(lambda: is_settled(rig, tenant), 30, "deliveries to be written down")
    received = receiver.received
    assert percents(received) == [50, 80, 100]
    last = next(one.json["data"] for one in received if one.json["data"]["percent"] == 100)
    assert last["refuses"]
    assert last["title"] == f"Budget {tenant.budget} refuses requests"
    assert rig.counters(tenant.budget)["spent"] <= limit


def test_two_recorders_tell_it_once(make_rig: MakeRig, receiver: Receiver) -> None:
    """Two recorder processes, each looking every second and sending what is due."""
    rig = make_rig(alert_hosts=HOSTS[0], recorder="process", follow_seconds=0.5)
    with Running([sys.executable, "-c", _RECORDER], env=rig.environment, cwd=rig.folder) as second:
        tenants = [
            rig.tenant(cost_of_one(rig) * 60, enforcement=Enforcement.SOFT) for _ in range(3)
        ]
        for tenant in tenants:
            watch(rig, receiver, tenant, percents=[50, 60, 70, 80, 90, 100])
        for tenant in tenants:
            assert spend(tenant, 70) == {200: 70}
        receiver.wait(18)
        until(lambda: all(is_settled(rig, one) for one in tenants), 30, "deliveries")
        rig.drain()
        found = Counter(
            (one.json["data"]["budget"], one.json["data"]["percent"]) for one in receiver.received
        )
        assert found == {
            (one.budget, percent): 1 for one in tenants for percent in (50, 60, 70, 80, 90, 100)
        }
        assert second.process.poll() is None
        # Both were at work: otherwise this test says nothing.
        assert "alert.crossed" in second.stdout + second.stderr + rig.output()


def test_a_receiver_that_is_down_gets_it_later(alerting_rig: Rig) -> None:
    """Nothing listens at first; then it is busy once, and then takes what waited."""
    rig = alerting_rig
    port = find_free_port()
    away = Receiver(port)
    away._server.server_close()
    tenant = rig.tenant(cost_of_one(rig), enforcement=Enforcement.SOFT)
    channel = watch(rig, away, tenant, percents=[100])
    assert spend(tenant, 1) == {200: 1}

    def tried() -> bool:
        own = [one for one in log(rig.engine, 500) if one["rule"] == f"rule-{tenant.name}"]
        return any(each["last_error"] for one in own for each in one["deliveries"])

    until(tried, 30, "a first attempt")
    with Receiver(port) as receiver:
        receiver.answer = lambda number: 503 if number == 1 else 204
        receiver.wait(2)
        until(lambda: is_settled(rig, tenant), 30, "the delivery to be written down")
        received = receiver.received
    assert [one.status for one in received] == [503, 204]
    # One alert: the same id and body each time, signed anew.
    assert len({one.headers["webhook-id"] for one in received}) == 1
    assert len({one.body for one in received}) == 1
    assert channel.secret is not None
    assert all(one.is_signed_with(channel.secret) for one in received)


def test_a_new_limit_can_be_crossed_again(alerting_rig: Rig, receiver: Receiver) -> None:
    rig = alerting_rig
    cost = cost_of_one(rig)
    tenant = rig.tenant(cost * 2, enforcement=Enforcement.SOFT)
    watch(rig, receiver, tenant, percents=[100])
    spend(tenant, 2)
    receiver.wait(1)
    assert tenant.budget is not None
    rig.directory.change_budget(tenant.budget, limit_nano=cost * 4)
    rig.publish()
    spend(tenant, 2)
    received = receiver.wait(2)
    until(lambda: is_settled(rig, tenant), 30, "deliveries")
    limits = [nano_from_usd(one.json["data"]["limit_usd"]) for one in received]
    assert limits == [cost * 2, cost * 4]
    assert len(receiver.received) == 2


def test_a_recorder_that_is_killed_loses_no_alert(make_rig: MakeRig, receiver: Receiver) -> None:
    """What was crossed while no recorder ran is told by the next one, once."""
    rig = make_rig(alert_hosts=HOSTS[0], recorder="process")
    tenant = rig.tenant(cost_of_one(rig) * 4, enforcement=Enforcement.SOFT)
    watch(rig, receiver, tenant)
    spend(tenant, 2)
    receiver.wait(1)
    # Were it killed before that is written down, the alert would rightly come again.
    until(lambda: is_settled(rig, tenant), 30, "the first delivery")
    assert rig.recorder is not None
    rig.recorder.kill_group()
    spend(tenant, 2)
    rig.start_recorder()
    received = receiver.wait(3)
    until(lambda: is_settled(rig, tenant), 30, "deliveries")
    assert percents(received) == [50, 80, 100]
    assert json.loads(received[0].body)["data"]["percent"] == 50
    assert len(receiver.received) == 3
