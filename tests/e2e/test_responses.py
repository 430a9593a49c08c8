from __future__ import annotations

from tests.e2e.rig import Rig


def test_smoke(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    with tenant.caller.sdk() as sdk:
        raw = sdk.responses.with_raw_response.create(model="gpt-4o-mini", input="Hello there")
        answer = raw.parse()
        assert answer.output_text
        record = rig.record(raw.headers["x-faregate-request-id"])
        assert (record.cost_nano, record.certainty) == (
            rig.truth_nano(raw.headers["x-faregate-request-id"]),
            "exact",
        )
        events = list(sdk.responses.create(model="gpt-4o-mini", input="Hello you", stream=True))
        assert events[-1].type == "response.completed"
        background = sdk.responses.create(model="gpt-4o-mini", input="Hi", background=True)
        rig.drain()
        done = sdk.responses.retrieve(background.id)
        assert done.status == "completed"
        for event in sdk.responses.create(
            model="gpt-4o-mini", input="Hi you", background=True, stream=True
        ):
            last = event
        assert last.type == "response.completed"
        rig.drain()
        rig.audit()
