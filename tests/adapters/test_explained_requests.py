from __future__ import annotations

import json
from datetime import UTC, datetime

from sqlalchemy import Engine, insert

from gateway.adapters.control_tables import adjustments
from gateway.adapters.directory import Directory
from gateway.adapters.explained_requests import explained
from gateway.adapters.price_rows import override_price
from gateway.adapters.usage_rows import record
from gateway.core.budgets import WindowKind
from gateway.core.prices import Meter, Rate
from gateway.core.reports import day_of
from tests.adapters.recorded import AT, event

MOMENT = datetime.fromtimestamp(AT / 1000, tz=UTC)
LINES = [["input", 1000, 500_000_000, 1_000_000], ["output", 333, 1_500_000_001, 1_000_000]]


def adjust(engine: Engine, request_id: str, cost_nano: int) -> None:
    with engine.begin() as connection:
        connection.execute(
            insert(adjustments).values(
                day=day_of(MOMENT),
                team_id=1,
                client_id=1,
                key_id=1,
                endpoint="chat/completions",
                model="m",
                service_tier="default",
                line_item="input",
                cost_nano=cost_nano,
                reason="reprice",
                source="repricing",
                source_id=1,
                request_id=request_id,
                note="",
                posted_at=MOMENT,
                posted_by="cli:root",
            )
        )


def web_of(engine: Engine) -> Directory:
    directory = Directory(engine)
    directory.initialise("acme")
    directory.create_team("blue")
    directory.create_client("blue", "web")
    return directory


def test_a_charge_is_explained_with_its_price_budgets_and_what_came_later(engine: Engine) -> None:
    directory = web_of(engine)
    key = directory.create_key("web", "laptop")
    budget = directory.create_budget("all", limit_nano=10**9, window=WindowKind.DAY)
    rates = {"default": {Meter.INPUT: Rate(500_000_000), Meter.OUTPUT: Rate(1_500_000_001)}}
    price_id = override_price(engine, "m", rates, valid_from=MOMENT)
    windows = f"{budget}:{AT}:2000000:1000000000:strict,77:0:5:6:soft"
    held = event(
        "r1", 2_000_000, outcome="expired", certainty="unknown", price_id=price_id, budgets=windows
    )
    held.row["tags"] = json.dumps({"project": "apollo"})
    known = event("r1", 999_501 - 2_000_000, at=AT, kind="correction", lines=LINES, budgets=windows)
    record(engine, [held, known])
    for cost in (5, -2):
        adjust(engine, "r1", cost)
    adjust(engine, "r2", 100)

    found = explained(engine, "r1")
    assert found is not None
    assert [item.row.kind for item in found.records] == ["request", "correction"]
    request, correction = found.records
    assert (request.charged_nano, request.lines, request.adds_up) == (2_000_000, (), True)
    assert request.price is not None
    assert request.price.rate("default", Meter.INPUT).nano == 500_000_000
    # 500 000 + 499 500.000333 nano-dollars, rounded up once.
    assert correction.charged_nano == found.charged_nano == 999_501
    assert correction.adds_up
    assert correction.rounding == "$0.000000000999667"
    assert (found.adjusted_nano, found.tags) == (3, {"project": "apollo"})
    paid = request.paid_by
    assert [(item.name, item.window_kind) for item in paid] == [("all", "day"), ("budget 77", "")]
    assert (paid[0].window.held_nano, paid[0].window.limit_nano) == (2_000_000, 10**9)
    assert found.key is not None
    assert f"{found.key.prefix}...{found.key.last_four}" == key.display
    assert found.key.name == "laptop"


def test_what_does_not_add_up_says_so(engine: Engine) -> None:
    web_of(engine)
    record(engine, [event("r1", 999_502, lines=LINES, budgets="")])
    found = explained(engine, "r1")
    assert found is not None
    assert not found.last.adds_up
    assert (found.key, found.last.price, found.last.paid_by) == (None, None, ())


def test_a_request_without_a_record_has_no_explanation(engine: Engine) -> None:
    assert explained(engine, "r1") is None
