from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from gateway.adapters import usage_history
from gateway.adapters.usage_history import recorded_uses
from gateway.adapters.usage_rows import record
from gateway.core.what_if import Use
from tests.adapters.recorded import AT, event

MOMENT = datetime.fromtimestamp(AT / 1000, tz=UTC)


def read(engine: Engine, **more: Any) -> list[Use]:
    return list(recorded_uses(engine, MOMENT, MOMENT + timedelta(days=1), **more))


def test_records_come_in_the_order_of_their_holds(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_history, "PAGE_RECORDS", 2)
    record(
        engine,
        [
            event("frq_3", 3, at=AT + 2_000),
            event("frq_2", -400, at=AT + 1_000, kind="correction"),
            event("frq_2", 500, at=AT + 1_000, outcome="expired", certainty="unknown"),
            event("frq_1", 1, hold=9),
            event("frq_0", 1, at=AT - 1),
            event("frq_4", 1, at=AT + 86_400_000),
        ],
    )
    found = read(engine)
    assert [(use.request_id, use.corrects) for use in found] == [
        ("frq_1", False),
        ("frq_2", False),
        ("frq_2", True),
        ("frq_3", False),
    ]
    assert found[0] == Use("frq_1", AT, AT + 5, 9, 1)
    assert found[1].may_be_corrected


def test_records_are_narrowed(engine: Engine) -> None:
    record(
        engine,
        [
            event("frq_1", model="gpt-4o"),
            event("frq_2", client_id=2, model="o3"),
            event("frq_3", team_id=2, client_id=3),
        ],
    )

    def ids(**more: Any) -> list[str]:
        return [use.request_id for use in read(engine, **more)]

    assert ids(team_id=1) == ["frq_1", "frq_2"]
    assert ids(client_id=3) == ["frq_3"]
    assert ids(pattern="gpt-*") == ["frq_1"]
    assert ids(team_id=2, pattern="gpt-*") == []
