from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from gateway.adapters.adjustments import Source, adjustments_of, adjustments_of_request
from gateway.adapters.audit_log import Filters, entries
from gateway.adapters.control_tables import adjustments, repricings
from gateway.adapters.directory import Directory
from gateway.adapters.price_rows import override_price, stored_prices
from gateway.adapters.rollup_tables import daily_costs
from gateway.adapters.tables import budget_windows, hourly_usage, usage_records
from gateway.adapters.usage_rows import record
from gateway.core.events import UsageEvent
from gateway.core.prices import Meter, Price, Rate, cost_of
from gateway.core.roles import Principal, Role
from gateway.core.usage import Usage
from gateway.workers import repricer
from gateway.workers.audit_rollups import rollups
from gateway.workers.repricer import Repricing, RepricingError, reprice
from tests.adapters.recorded import AT, event, rows

ANN = Principal("user:ann@acme.example", Role.FINANCE)
MOMENT = datetime.fromtimestamp(AT / 1000, tz=UTC)
SINCE, UNTIL = MOMENT - timedelta(days=2), MOMENT + timedelta(days=2)
USED = Usage(input_tokens=1_000, cached_input_tokens=600, output_tokens=50)


def tiers(nano: int) -> dict[str, dict[Meter, Rate]]:
    rates = {
        Meter.INPUT: Rate(nano, 1_000),
        Meter.CACHED_INPUT: Rate(nano // 2, 1_000),
        Meter.OUTPUT: Rate(4 * nano, 1_000),
    }
    return {"default": rates, "batch": rates}


def priced(engine: Engine, nano: int, model: str = "m", days: int = -9) -> Price:
    """A new price from some days on."""
    Directory(engine).initialise("Acme")
    made = override_price(engine, model, tiers(nano), valid_from=MOMENT + timedelta(days=days))
    with engine.connect() as connection:
        (found,) = [price for price in stored_prices(connection) if price.id == made]
    return found


def used(price: Price, request_id: str, usage: Usage = USED, **changes: Any) -> UsageEvent:
    cost = cost_of(price, usage, "default")
    lines = [[line.meter, line.count, line.nano, line.per] for line in cost.lines]
    counts = {
        name: getattr(usage, name)
        for name in ("input_tokens", "cached_input_tokens", "output_tokens")
    }
    given: dict[str, Any] = {
        "cost": cost.nano,
        "lines": lines,
        "price_id": price.id,
        "model": price.model,
    }
    given |= {"usage": counts, "hold": 10**9, **changes}
    return event(request_id, given.pop("cost"), **given)


def costs(engine: Engine) -> dict[str, int]:
    """What reports show, by line item."""
    c = daily_costs.c
    with engine.connect() as connection:
        query = select(c.line_item, func.sum(c.cost_nano)).group_by(c.line_item)
        return {item: int(nano) for item, nano in connection.execute(query)}


def found(engine: Engine, **more: Any) -> Repricing:
    return reprice(engine, SINCE, UNTIL, **more)


def test_a_dry_run_says_what_would_change_and_changes_nothing(engine: Engine) -> None:
    old, other = priced(engine, 7_000), priced(engine, 1_000, "other")
    record(engine, [used(old, "frq_1"), used(old, "frq_2", client_id=2), used(other, "frq_3")])
    assert found(engine).changed == {}
    priced(engine, 10_000)
    dry = found(engine)
    before, after = cost_of(old, USED, "default").nano, 10 * 700 + 50 * 40
    assert {key: (s.records, s.before_nano, s.after_nano) for key, s in dry.changed.items()} == {
        ("m", 1): (1, before, after),
        ("m", 2): (1, before, after),
    }
    assert (dry.id, dry.looked_at, dry.total.records) == (None, 3, 2)
    assert found(engine, pattern="oth*").looked_at == 1
    assert rows(engine, adjustments) == rows(engine, repricings) == []


def test_differences_are_posted_once_by_request_and_line_item(engine: Engine) -> None:
    old = priced(engine, 7_000)
    record(engine, [used(old, "frq_1"), used(old, "frq_2")])
    windows = rows(engine, budget_windows)
    priced(engine, 10_000)
    applied = found(engine, apply_by=ANN)
    assert applied.id is not None
    posted = adjustments_of_request(engine, "frq_1")
    assert {row.line_item: row.cost_nano for row in posted} == {
        "input": 400 * 3,
        "cached_input": 600 * 3 // 2,
        "output": 50 * 12,
    }
    assert {(row.team_id, row.client_id, row.posted_by) for row in posted} == {(1, 1, ANN.actor)}
    assert costs(engine) == {"input": 8_000, "cached_input": 6_000, "output": 4_000}
    (kept,) = rows(engine, repricings)
    assert (kept.records, kept.before_nano, kept.after_nano) == (2, 12_600, 18_000)
    assert len(adjustments_of(engine, Source.REPRICING, applied.id)) == 6
    assert rows(engine, budget_windows) == windows
    assert found(engine, apply_by=ANN).changed == {}
    assert len(rows(engine, repricings)) == 1
    (noted,) = entries(engine, Filters(subject="repricing")).entries
    assert (noted.action, noted.subject, noted.actor) == ("apply", "repricing", ANN.actor)
    with engine.connect() as connection:
        assert rollups(connection).ok


def test_a_later_price_and_the_old_one_again_are_posted_on_top(engine: Engine) -> None:
    old = priced(engine, 7_000)
    record(engine, [used(old, "frq_1")])
    for nano in (10_000, 3_000, 7_000):
        priced(engine, nano)
        applied = found(engine, apply_by=ANN)
        assert applied.total.after_nano == nano * 9 // 10
        assert sum(costs(engine).values()) == nano * 9 // 10
    assert found(engine, apply_by=ANN).changed == {}


def test_the_price_of_the_day_counts(engine: Engine) -> None:
    old = priced(engine, 7_000)
    day = 86_400_000
    record(engine, [used(old, "frq_1", at=AT - day), used(old, "frq_2", at=AT + day)])
    priced(engine, 10_000, days=0)
    assert found(engine).total.records == 1
    assert reprice(engine, SINCE, MOMENT).looked_at == 1


def test_what_is_no_exact_count_keeps_its_lines(engine: Engine) -> None:
    old = priced(engine, 7_000)
    lines = [["input", 100, 7_000, 1_000]]
    batch = used(old, "frq_1", cost=700, lines=lines, endpoint="batches", tier="batch")
    guess = used(old, "frq_2", cost=700, lines=lines, certainty="estimated")
    unknown = event("frq_3", 500, outcome="expired", certainty="unknown", price_id=old.id)
    late = used(old, "frq_3", Usage(input_tokens=100), cost=200, hold=500, kind="correction")
    free = event("frq_4", 0, price_id=None)
    assert record(engine, [batch, guess, unknown, late, free]) == 5
    priced(engine, 10_000)
    applied = found(engine, apply_by=ANN)
    assert applied.total.records == 3
    assert applied.total.after_nano - applied.total.before_nano == 3 * 300
    assert not applied.left
    with engine.connect() as connection:
        assert rollups(connection).ok


def test_what_has_no_price_any_more_is_told(engine: Engine) -> None:
    old = priced(engine, 7_000)
    gone = used(old, "frq_1", model="gone")
    record(engine, [gone, used(old, "frq_2", tier="flex", price_id=old.id)])
    priced(engine, 10_000)
    left = found(engine).left
    assert left.total() == 2
    assert left["gone has no price for its day"] == 1


def test_pages_are_read_one_by_one(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repricer, "PAGE_RECORDS", 3)
    old = priced(engine, 7_000)
    # Some of one moment, so that a page ends among them.
    record(engine, [used(old, f"frq_{n:02}", at=AT + n // 4) for n in range(20)])
    priced(engine, 10_000)
    assert found(engine, apply_by=ANN).total.records == 20
    with engine.connect() as connection:
        requests = select(func.count(func.distinct(adjustments.c.request_id)))
        assert connection.execute(requests).scalar_one() == 20


def test_two_at_once_post_once(engine: Engine) -> None:
    old = priced(engine, 7_000)
    record(engine, [used(old, f"frq_{n}") for n in range(30)])
    priced(engine, 10_000)
    start = threading.Barrier(3)
    changed: list[int] = []

    def work() -> None:
        start.wait()
        changed.append(found(engine, apply_by=ANN).total.records)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(changed) == 30
    assert sum(costs(engine).values()) == 30 * 9_000


def test_only_who_decides_may_post(engine: Engine) -> None:
    with pytest.raises(RepricingError, match="administrators and finance"):
        found(engine, apply_by=Principal("user:bob", Role.OWNER, team_id=1))
    assert rows(engine, usage_records) == rows(engine, hourly_usage) == []
