from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Engine

from gateway.adapters.adjustments import Adjustment, Source, post
from gateway.adapters.reconciliation_shares import attributed
from gateway.adapters.usage_rows import record
from gateway.core.bill_lines import BillNames
from gateway.core.prices import PriceBook
from gateway.core.reports import day_of
from tests.adapters.recorded import AT, event

DAY = day_of(datetime.fromtimestamp(AT / 1000, tz=UTC))
NAMES = BillNames(PriceBook([]), DAY)


def line(cause: str, nano: int, item: str = "input", model: str = "m", **more: Any) -> Any:
    values = {"day": DAY, "model": model, "line_item": item, "cause": cause, "cause_nano": nano}
    return SimpleNamespace(**{**values, "theirs_nano": 1, "explanation": f"{cause}.", **more})


def posted(engine: Engine, *lines: Any) -> list[Adjustment]:
    with engine.connect() as connection:
        return list(attributed(connection, lines, NAMES))


def shares(found: list[Adjustment]) -> list[tuple[int, int]]:
    return [(item.client_id, item.cost_nano) for item in found]


def test_a_dearer_price_is_paid_by_who_used_it(engine: Engine) -> None:
    record(
        engine,
        [
            event("frq_1", 30, lines=[["input", 3, 10, 1]]),
            event("frq_2", 60, lines=[["input", 6, 10, 1]], client_id=2, team_id=7),
            event("frq_3", 10, lines=[["output", 1, 10, 1]], client_id=3),
            event("frq_4", 90, lines=[["input", 9, 10, 1]], client_id=4, model="other"),
        ],
    )
    found = posted(engine, line("price", 100))
    assert shares(found) == [(1, 33), (2, 67)]
    assert [item.team_id for item in found] == [1, 7]
    assert found[0].endpoint == "chat/completions"
    assert shares(posted(engine, line("missing", -9))) == [(1, -3), (2, -6)]
    assert sum(nano for _, nano in shares(posted(engine, line("cached_tokens", -100)))) == -100


def test_what_only_the_bill_has_is_nobodys(engine: Engine) -> None:
    record(engine, [event("frq_1", 30, lines=[["input", 3, 10, 1]])])
    for cause, nano in (("missing", 5), ("unexplained", -5)):
        (whole,) = posted(engine, line(cause, nano))
        assert (whole.team_id, whole.cost_nano, whole.note) == (0, nano, f"{cause}.")
    (whole,) = posted(engine, line("price", 5, "output"))
    assert whole.client_id == 0


def test_an_upper_bound_is_corrected_where_it_was_recorded(engine: Engine) -> None:
    record(
        engine,
        [
            event("frq_1", 30, lines=[["input", 3, 10, 1]]),
            event("frq_2", 500, outcome="expired", certainty="unknown", client_id=2),
            event("frq_3", 40, lines=[["input", 4, 10, 1]], certainty="estimated", client_id=3),
        ],
    )
    assert shares(posted(engine, line("estimate", -500, "hold"))) == [(2, -500)]
    assert shares(posted(engine, line("estimate", -40))) == [(3, -40)]
    # What was billed of other items is of those whose usage was not known.
    assert shares(posted(engine, line("estimate", 54, "output"))) == [(2, 50), (3, 4)]


def test_parts_of_one_cause_are_one_and_earlier_ones_are_taken_back(engine: Engine) -> None:
    record(engine, [event("frq_1", 30, lines=[["input", 3, 10, 1]])])
    earlier = [
        Adjustment(DAY, "m", "input", 7, "price", "Dearer.", team_id=1, client_id=1, key_id=1),
        Adjustment(DAY, "m", "input", -2, "missing", "Gone."),
    ]
    with engine.begin() as connection:
        post(connection, Source.RECONCILIATION, 1, earlier, "user:ann")
    twice = (line("timing", 4), line("timing", -1, explanation="Other."))
    (one,) = posted(engine, *twice)
    assert (one.cost_nano, one.note) == (3, "timing. Other.")
    assert sorted(shares(posted(engine, line("adjusted", -5)))) == [(0, 2), (1, -7)]


def test_what_is_of_no_model_is_of_all(engine: Engine) -> None:
    lines = [["web_search_calls", 1, 10, 1]]
    record(
        engine,
        [
            event("frq_1", 10, lines=lines, model="a"),
            event("frq_2", 10, lines=lines, model="b", client_id=2),
        ],
    )
    found = posted(engine, line("price", 8, "web_search_calls", ""))
    assert [(item.model, item.client_id, item.cost_nano) for item in found] == [
        ("a", 1, 4),
        ("b", 2, 4),
    ]
