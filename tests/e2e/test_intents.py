"""``FAREGATE_INTENTS=sql``: what is written down in SQL goes again, and nothing goes without it."""

from __future__ import annotations

import pytest

from gateway.adapters.tables import intents
from tests.e2e.conftest import MakeRig
from tests.e2e.locks import locked
from tests.e2e.provider import report, until
from tests.e2e.rig import Rig
from tests.e2e.test_killed import Load, assert_all_recorded


def written_down(rig: Rig) -> set[str]:
    """The requests that have an intent."""
    with rig.engine.connect() as connection:
        return set(connection.execute(intents.select()).scalars())


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_intents_in_sql(
    make_own_rig: MakeRig, shared_redis_url: str, request: pytest.FixtureRequest, kind: str
) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    rig = make_own_rig(shared_redis_url, database_url=url, intents="sql")
    tenant = rig.tenant(10**12)
    load = Load(rig, tenant)
    load.start(8)
    rig.provider.serve_some(100)
    # Not only afterwards: what is in flight is written down.
    assert until(lambda: written_down(rig), 10, "a request to be written down")
    load.end()
    rig.drain()
    found = assert_all_recorded(rig)
    assert written_down(rig) == set()
    assert found["charges"] == found["exact"] == rig.rows()
    report(f"intents in {kind}: {found['charges']} charged, all exact, no intent left")

    before = rig.provider.totals()["requests"]
    with locked(rig, "intents"):
        refused = tenant.caller.chat()
        assert (refused.status, refused.error["code"]) == (503, "store_unavailable")
        assert refused.headers["retry-after"]
        assert rig.counters(tenant.budget)["held"] == 0
        assert rig.provider.totals()["requests"] == before
    served = tenant.caller.chat()
    assert served.status == 200
    rig.drain()
    assert rig.record(refused.request_id).outcome == "released"
    assert rig.record(refused.request_id).cost_nano == 0
    assert rig.record(served.request_id).cost_nano == rig.truth_nano(served.request_id) > 0
    until(lambda: not written_down(rig), 10, "intents of recorded requests to go")
    rig.audit()
