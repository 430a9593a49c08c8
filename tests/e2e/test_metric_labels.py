from __future__ import annotations

from uuid import uuid4

from tests.e2e.rig import Rig


def test_a_model_that_clients_name_freely_is_counted_under_its_price(rig: Rig) -> None:
    """A prefix prices any number of names, and every label is kept for ever."""
    tenant = rig.tenant(10**12)
    name = f"gpt-5-nano-{uuid4().hex}"
    reply = tenant.caller.chat(model=name, max_completion_tokens=5)
    assert reply.status in (200, 404), reply.body
    text = tenant.caller.get("/metrics").body.decode()
    assert name not in text
    status = f'status="{reply.status}"'
    (counted,) = [
        line
        for line in text.splitlines()
        if line.startswith("faregate_requests_total{")
        and 'model="gpt-5-nano' in line
        and status in line
    ]
    assert counted.endswith(" 1.0")
