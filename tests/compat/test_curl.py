"""Plain ``curl`` on every endpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.compat import curl_media, curl_objects, curl_text
from tests.compat.conftest import Mark
from tests.compat.costs import check_costs
from tests.compat.curl import Curl
from tests.compat.table import ROWS
from tests.e2e.rig import Rig, Tenant

CALLS = {**curl_text.CALLS, **curl_media.CALLS, **curl_objects.CALLS}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("name", [row.call for row in ROWS])
def test_curl(rig: Rig, tenant: Tenant, mark: Mark, name: str, tmp_path: Path) -> None:
    CALLS[name](Curl(tenant.caller.base_url, tenant.key.secret, tmp_path))
    assert check_costs(rig, tenant)
    mark(name, "curl")
