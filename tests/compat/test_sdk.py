"""The official Python SDK, sync and async, on every endpoint."""

from __future__ import annotations

import asyncio

import pytest

from tests.compat import sdk_media, sdk_objects, sdk_text
from tests.compat.conftest import Mark
from tests.compat.costs import check_costs
from tests.compat.program import run_async, run_sync
from tests.compat.table import ROWS
from tests.e2e.rig import Rig, Tenant

CALLS = {**sdk_text.CALLS, **sdk_media.CALLS, **sdk_objects.CALLS}
NAMES = [row.call for row in ROWS]


@pytest.mark.parametrize("name", NAMES)
def test_the_sync_client(rig: Rig, tenant: Tenant, mark: Mark, name: str) -> None:
    with tenant.caller.sdk() as sdk:
        run_sync(CALLS[name](sdk))
    assert check_costs(rig, tenant)
    mark(name, "python")


@pytest.mark.parametrize("name", NAMES)
def test_the_async_client(rig: Rig, tenant: Tenant, mark: Mark, name: str) -> None:
    async def run() -> None:
        async with tenant.caller.async_sdk() as sdk:
            await run_async(CALLS[name](sdk))

    asyncio.run(run())
    assert check_costs(rig, tenant)
    mark(name, "python_async")
