"""Fields whose cost is not known do not reach the provider, in JSON or in a form."""

from __future__ import annotations

import pytest

from tests.e2e.media import send_form
from tests.e2e.rig import Rig, Tenant


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


@pytest.mark.parametrize(
    ("field", "value"), [("service_tier", "priority"), ("frobnicate", 1), ("n_predict", 9)]
)
def test_fields_of_no_known_cost_are_refused(tenant: Tenant, field: str, value: object) -> None:
    body = {"model": "dall-e-2", "prompt": "a hill", field: value}
    reply = tenant.caller.post(body, "/v1/images/generations")
    assert reply.status == 400
    assert reply.error["param"] == field
    form = send_form(
        tenant.caller,
        "/v1/audio/transcriptions",
        {"model": "whisper-1", field: str(value)},
        [("file", "a.wav", "audio/wav", b"RIFF")],
    )
    assert form.status == 400
    assert form.error["param"] == field
