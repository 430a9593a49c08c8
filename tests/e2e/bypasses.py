"""What the tests of ways around a budget share: each way is bounded, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.e2e.jsonl import CHAT, lines
from tests.e2e.money import billed_nano, usd
from tests.e2e.provider import report
from tests.e2e.rig import Recorded, Rig
from tests.e2e.traffic import Caller, Reply

RICH = 10**13


def bounded(rig: Rig, request_id: str, certainty: str = "exact") -> Recorded:
    """The record of a request, which the provider charged for within what was held."""
    record = rig.record(request_id)
    rig.provider.quiet()
    truth = billed_nano(rig.provider.charges().get(request_id, []))
    assert record.rows[0].hold_nano >= record.cost_nano >= truth > 0
    assert record.certainty == certainty
    if certainty == "exact":
        assert record.cost_nano == truth
    return record


def served(rig: Rig, reply: Reply, certainty: str = "exact") -> Recorded:
    """As ``bounded``, of an answer."""
    assert reply.status == 200, reply.body
    return bounded(rig, reply.request_id, certainty)


def refused(rig: Rig, reply: Reply, param: str | None = None) -> None:
    """A clear answer of 4xx, and no charge."""
    assert 400 <= reply.status < 500, (reply.status, reply.body[:500])
    assert reply.error["message"]
    assert reply.error["type"]
    if param is not None:
        assert reply.error["param"] == param, reply.body
    assert reply.headers.get("x-faregate-request-id") not in rig.provider.charges()


def begun(caller: Caller, *rows: Mapping[str, Any], url: str = CHAT, **directives: Any) -> Reply:
    """The answer to a request for a batch of these lines."""
    with caller.sdk() as sdk:
        name = sdk.files.create(file=("lines.jsonl", lines(*rows)), purpose="batch").id
    asked = {"input_file_id": name, "endpoint": url, "completion_window": "24h"}
    return caller.post(asked, "/v1/batches", **{"batch_ms": 200, **directives})


def every_dollar_is_recorded(rig: Rig) -> None:
    """The provider's whole log against the records: every charge recorded, none above its hold."""
    totals = rig.audit()
    rig.provider.quiet()
    charges, records = rig.provider.charges(), rig.records()
    truth = {name: billed_nano(found) for name, found in charges.items()}
    unmetered = sum(nano for name, nano in truth.items() if name not in records)
    short = [
        name
        for name, nano in truth.items()
        if name in records
        and (
            records[name].cost_nano < nano
            or (records[name].certainty == "exact" and records[name].cost_nano != nano)
        )
    ]
    overruns = [
        name
        for name, record in records.items()
        if max(record.cost_nano, truth.get(name, 0)) > record.rows[0].hold_nano
    ]
    report(
        f"{len(charges)} charges of ${usd(sum(truth.values()))}, recorded"
        f" ${usd(totals['recorded_nano'])}: ${usd(unmetered)} unmetered, {len(overruns)} overruns"
    )
    assert (unmetered, short, overruns) == (0, [], [])
    assert sum(truth.values()) <= totals["recorded_nano"]
