"""A short run of the fault rig on each database, and that its verdict can fail.

``make faults`` runs it for as long as one likes.
"""

from __future__ import annotations

import pytest
from sqlalchemy import delete, select

from gateway.adapters.tables import usage_records
from tests.e2e.provider import report
from tests.faults.deployment import Deployment
from tests.faults.report import lines
from tests.faults.run import Options, break_it, found, running
from tests.faults.verdict import judge

SECONDS = 8.0
FACTOR = 1.5


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("database", "seed"), [("sqlite", "short-5561"), ("postgresql", "short-678")]
)
def test_everything_breaks_and_nothing_is_lost(
    database: str,
    seed: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    url = request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[database])
    options = Options(seed, SECONDS, database, factor=FACTOR)
    with running(options, tmp_path_factory.mktemp("faults"), url) as deployment:
        result = break_it(deployment, options)
        told = "\n".join(lines(result))
        report(told)
        assert result.ok, told
        assert result.killed >= 10
        # These seeds break a little of everything.
        assert {"gateway worker", "gateway", "recorder", "Redis"} <= result.kills.keys()
        assert result.verdict.exact > 20
        assert result.looks > 3
        _the_verdict_can_fail(deployment)


def _the_verdict_can_fail(deployment: Deployment) -> None:
    """Money that is taken away, or counted twice, is missed."""
    good = found(deployment, [], 0)
    assert judge(good).ok
    (charged, _) = next((name, charges) for name, charges in good.charges.items() if charges)
    c = usage_records.c
    with deployment.engine.begin() as connection:
        rows = connection.execute(select(usage_records).where(c.request_id == charged)).all()
        connection.execute(delete(usage_records).where(c.request_id == charged))
    wrong = judge(found(deployment, [], 0)).wrong
    assert any(item.startswith(f"{charged}:") for item in wrong["lost"])
    assert "audit" in wrong
    with deployment.engine.begin() as connection:
        connection.execute(usage_records.insert(), [dict(row._mapping) for row in rows])
    assert judge(found(deployment, [], 0)).ok
    server = deployment.redis()
    name = next(server.scan_iter(match=deployment.keys.budget_pattern()))
    server.hincrby(name, "spent", 1)
    assert "doubled" in judge(found(deployment, [], 0)).wrong
    server.hincrby(name, "spent", 10**14)
    assert "over budget" in judge(found(deployment, [], 0)).wrong
