"""Holds what a client's calls are recorded at against what the provider charged for them."""

from __future__ import annotations

from sqlalchemy import select

from gateway.adapters.tables import usage_records
from tests.e2e.money import cost_nano
from tests.e2e.rig import Recorded, Rig, Tenant


def check_costs(rig: Rig, tenant: Tenant) -> list[Recorded]:
    """The tenant's records, each exact and equal to the provider's truth."""
    rig.drain()
    rig.provider.quiet()
    charges = rig.provider.charges()
    query = select(usage_records.c.request_id).where(usage_records.c.client_id == tenant.id)
    with rig.engine.connect() as connection:
        own = set(connection.execute(query).scalars())
    records = {name: record for name, record in rig.records().items() if name in own}
    recorded = {name: record.cost_nano for name, record in records.items()}
    charged = {name: sum(cost_nano(charge) for charge in charges.get(name, [])) for name in own}
    assert recorded == charged
    assert {record.certainty for record in records.values()} <= {"exact"}
    return list(records.values())
