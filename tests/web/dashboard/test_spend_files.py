from __future__ import annotations

import csv
import io
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.adapters.usage_rows import record
from gateway.core.roles import Role
from gateway.web.dashboard import scopes, spend_files
from tests.adapters.recorded import event
from tests.web.dashboard.visitor import Site

DAYS = 5


def fill(site: Site) -> None:
    now = datetime.now(UTC)
    moments = [int((now - timedelta(days=day)).timestamp() * 1000) for day in range(DAYS)]
    record(site.engine, [event(f"frq_{n}", 10 + n, at=at) for n, at in enumerate(moments)])


def test_a_file_of_many_pieces_has_every_row_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(site)
    made: list[int] = []
    cells = spend_files._cells

    def noted(sums: Any) -> list[int]:
        made.append(threading.get_ident())
        return cells(sums)

    monkeypatch.setattr(spend_files, "_BATCH", 2)
    monkeypatch.setattr(spend_files, "_cells", noted)
    answer = site.visitor(Role.ADMIN).ask("/?range=7d&format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len({row["starts_at"] for row in rows}) == len(rows) == DAYS
    assert sum(int(row["cost_nano"]) for row in rows) == sum(10 + n for n in range(DAYS))
    # Not where requests are relayed.
    assert len(made) == DAYS
    assert threading.get_ident() not in made


def test_a_file_of_nothing_has_its_heads(site: Site) -> None:
    answer = site.visitor(Role.ADMIN).ask("/?range=7d&format=csv")
    assert answer.status_code == 200
    assert answer.text.startswith("starts_at,step,grouped_by,")
    assert len(answer.text.splitlines()) == 1


@pytest.mark.parametrize("page", ["/", "/teams/1", "/clients/1"])
def test_charts_are_computed_on_a_thread(
    site: Site, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    fill(site)
    where: list[int] = []
    shown = scopes.shown

    def noted(*given: Any) -> dict[str, Any]:
        where.append(threading.get_ident())
        return shown(*given)

    monkeypatch.setattr(scopes, "shown", noted)
    site.visitor(Role.ADMIN).get(page)
    assert len(where) == 1
    assert where[0] != threading.get_ident()
