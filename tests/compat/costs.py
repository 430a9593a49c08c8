"""Holds what a client's calls are recorded at against what the provider charged for them."""

from __future__ import annotations

from sqlalchemy import select

from gateway.adapters.tables import usage_records
from tests.e2e.money import billed_nano
from tests.e2e.rig import Recorded, Rig, Tenant


def check_costs(rig: Rig, tenant: Tenant) -> list[Recorded]:
    """The tenant's records. Each is exact, and then it is the provider's charge to the
    nano-dollar; or no usage was reported, and then it is a labelled upper bound."""
    rig.drain()
    rig.provider.quiet()
    charges = rig.provider.charges()
    query = select(usage_records.c.request_id).where(usage_records.c.client_id == tenant.id)
    with rig.engine.connect() as connection:
        own = set(connection.execute(query).scalars())
    records = {name: record for name, record in rig.records().items() if name in own}
    for name, record in records.items():
        charged = billed_nano(charges.get(name, []))
        said = (name, record.outcome, record.certainty, record.cost_nano, charged)
        if record.certainty == "exact":
            assert record.cost_nano == charged, said
        else:
            assert record.certainty in ("estimated", "unknown"), said
            assert record.cost_nano >= charged, said
    return list(records.values())
