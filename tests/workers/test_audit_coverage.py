"""Which budgets a record must be charged to, for budgets that are narrowed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.workers.audit_coverage import Coverage
from gateway.workers.audit_state import Defined

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


def missing(budget: dict[str, Any], tags: dict[str, str], *, charged: bool = False) -> int:
    """How many budgets a record with ``tags`` should have been charged to, and was not."""
    defined = {
        "id": 1,
        "name": "b",
        "scope": "organization",
        "window": "total",
        "time_zone": "UTC",
        "model_pattern": None,
        "tag": None,
        "created_at": AT - timedelta(days=1),
        "removed_at": None,
        **budget,
    }
    record = {
        "request_id": "frq_1",
        "kind": "request",
        "held_at": AT,
        "team_id": 1,
        "client_id": 1,
        "model": "gpt-4o",
        "price_id": 1,
        "budget_windows": "1:0:5:100:strict" if charged else "",
        "tags": json.dumps(tags),
    }
    rows = {1: SimpleNamespace(**defined)}
    coverage = Coverage(cast(Defined, SimpleNamespace(rows=rows)))
    coverage.add(SimpleNamespace(**record))
    return len(coverage.check().differences)


@pytest.mark.parametrize(
    ("budget", "tags", "expected"),
    [
        ({}, {}, 1),
        ({"model_pattern": "gpt-5*"}, {}, 0),
        ({"tag": "project=alpha"}, {"project": "alpha", "env": "prod"}, 1),
        ({"tag": "project=alpha"}, {"project": "beta"}, 0),
        ({"tag": "project=alpha"}, {}, 0),
        ({"tag": "project=a=b"}, {"project": "a=b"}, 1),
        ({"tag": "project=alpha", "model_pattern": "gpt-5*"}, {"project": "alpha"}, 0),
    ],
)
def test_a_record_is_charged_to_the_budgets_that_cover_it(
    budget: dict[str, Any], tags: dict[str, str], expected: int
) -> None:
    assert missing(budget, tags) == expected
    assert missing(budget, tags, charged=True) == 0
