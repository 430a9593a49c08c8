"""SQL is away for long: above the watermark nothing new is admitted, below it all goes on."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import MakeRig
from tests.e2e.provider import until


@pytest.mark.timeout(90)
def test_a_backlog_refuses_what_is_new_and_goes_on_when_it_is_recorded(
    make_own_rig: MakeRig, redis_url: str
) -> None:
    rig = make_own_rig(redis_url, recorder="none", events_max=100, workers=1)
    caller = rig.tenant(10**12).caller
    for _ in range(100):
        assert caller.chat(max_completion_tokens=5).status == 200
    refused = until(
        lambda: (reply := caller.chat(max_completion_tokens=5)).status == 503 and reply,
        20,
        "the watermark to be noticed",
    )
    assert refused.error["code"] == "store_full"
    assert "usage events wait" in refused.error["message"]
    assert "FAREGATE_EVENTS_MAX" in refused.error["message"]
    assert refused.headers["retry-after"] == "5"
    unready = caller.get("/readyz")
    assert (unready.status, unready.json["status"]) == (503, "not ready")
    assert "usage events wait" in unready.json["checks"]["redis"]
    assert b"faregate_admission_stopped 1.0" in caller.get("/metrics").body
    rig.start_recorder()
    until(lambda: caller.chat(max_completion_tokens=5).status == 200, 40, "requests to be admitted")
    rig.drain()
    assert rig.audit()["records"] >= 101
    assert b"faregate_admission_stopped 0.0" in caller.get("/metrics").body
    assert caller.get("/readyz").status == 200
