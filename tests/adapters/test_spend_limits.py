from __future__ import annotations

import pytest
from sqlalchemy import Engine

from gateway.adapters.directory import Directory
from gateway.adapters.spend_limits import SpendLimits
from gateway.core.budgets import Enforcement, WindowKind

USD = 1_000_000_000


@pytest.fixture
def directory(engine: Engine) -> Directory:
    found = Directory(engine)
    found.initialise("acme")
    found.create_team("a")
    found.create_team("b")
    return found


def limit_of(limits: SpendLimits, team_id: int | None) -> int | None:
    row = limits.find(team_id)
    return None if row is None else int(row.limit_nano)


def test_a_limit_is_made_changed_and_removed(directory: Directory, engine: Engine) -> None:
    limits = SpendLimits(engine)
    assert limit_of(limits, None) is None
    version = directory.version()
    limits.set(None, 5 * USD)
    limits.set(1, 3 * USD)
    assert directory.version() > version
    assert (limit_of(limits, None), limit_of(limits, 1), limit_of(limits, 2)) == (
        5 * USD,
        3 * USD,
        None,
    )
    limits.set(1, 4 * USD)
    assert limit_of(limits, 1) == 4 * USD
    assert len(directory.budgets()) == 2
    assert limits.remove(1)
    assert not limits.remove(1)
    assert (limit_of(limits, 1), limit_of(limits, None)) == (None, 5 * USD)
    # Its name is free again.
    limits.set(1, USD)
    assert limit_of(limits, 1) == USD


def test_budgets_made_elsewhere_are_limits_too(directory: Directory, engine: Engine) -> None:
    month = WindowKind.MONTH
    directory.create_budget("daily", limit_nano=1, window=WindowKind.DAY)
    directory.create_budget("soft", limit_nano=2, window=month, enforcement=Enforcement.SOFT)
    directory.create_budget("of a model", limit_nano=3, window=month, model_pattern="gpt-*")
    directory.create_budget("in Berlin", limit_nano=4, window=month, time_zone="Europe/Berlin")
    directory.create_budget("of a team", limit_nano=5, window=month, team="a")
    limits = SpendLimits(engine)
    assert limits.find(None) is None
    directory.create_budget("all", limit_nano=9, window=month)
    directory.create_budget("tighter", limit_nano=8, window=month, enforcement=Enforcement.EXPECTED)
    row = limits.find(None)
    assert row is not None
    assert row.name == "tighter"
    found = limits.find(1)
    assert found is not None
    assert found.name == "of a team"
