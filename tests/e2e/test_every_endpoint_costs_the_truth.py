"""One of everything that costs money: what is recorded is what the provider charged.

To the nano-dollar, and as the answer's header says it, where the cost is known by then. The
truth is the provider's own log, priced by the published prices in ``money.py``.
"""

from __future__ import annotations

from tests.e2e.every_call import calls
from tests.e2e.money import billed_nano, usd
from tests.e2e.provider import report
from tests.e2e.rig import Rig


def test_every_endpoint_costs_the_truth(rig: Rig) -> None:
    tenant = rig.tenant(10**12, may_fine_tune=True)
    with tenant.caller.sdk() as sdk:
        made = {
            what: (raw.headers["x-faregate-request-id"], raw.headers.get("x-faregate-cost-usd"))
            for what, raw in calls(sdk)
        }
    rig.drain()
    rig.provider.quiet()
    records, charges = rig.records(), rig.provider.charges()
    free = {"a file", "a moderation"}
    wrong = []
    for what, (request_id, told) in made.items():
        record, truth = records[request_id], billed_nano(charges.get(request_id, []))
        hold = record.rows[0].hold_nano
        report(
            f"{what:<30} held ${usd(hold)}  recorded ${usd(record.cost_nano)}"
            f"  truth ${usd(truth)}  {record.certainty}"
        )
        exact = (record.cost_nano, record.certainty) == (truth, "exact")
        as_told = told in (None, usd(truth))
        if not (exact and as_told and hold >= truth and (truth == 0) == (what in free)):
            wrong.append(what)
    total = sum(billed_nano(charges.get(request_id, [])) for request_id, _ in made.values())
    assert wrong == []
    # The training file is one more request, and free.
    assert rig.counters(tenant.budget) == {"spent": total, "held": 0}
    report(f"{len(made)} endpoints: difference 0 nano-dollars")
