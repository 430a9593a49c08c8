"""The gateway's own description against the gateway: any request that it allows, and any that it
forbids, is served or refused as the client's fault, and every dollar of it is recorded.

``FAREGATE_TEST_CASES`` is the number of generated cases per operation: a short run without, and
above 100 with the bounds of every field besides. ``FAREGATE_TEST_SEED`` is the seed; with an even
one, unknown fields go on to the provider, and with an odd one they are refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup

from tests.e2e.bypasses import every_dollar_is_recorded
from tests.e2e.described import Case, World, call, described, ended, new_world, wrong_envelope
from tests.e2e.provider import SimulatedProvider, report
from tests.e2e.rig import Rig

CASES = int(os.environ.get("FAREGATE_TEST_CASES", "12"))
SEED = int(os.environ.get("FAREGATE_TEST_SEED", "1"))
_IS_LONG = CASES > 100
UNKNOWN_PASS = SEED % 2 == 0

pytestmark = pytest.mark.timeout(max(120, 2 * CASES))

_UNHEALTHY = list(HealthCheck)
REFUSED_WITH = ("400", "401", "403", "404", "405", "408", "409", "413", "414", "415", "429", "431")

_CONFIG = SchemathesisConfig(seed=SEED)
SCHEMA = schemathesis.openapi.from_dict(described(UNKNOWN_PASS), config=_CONFIG)
SCHEMA.config.generation.update(with_security_parameters=False)
SCHEMA.config.phases.examples.enabled = False
SCHEMA.config.phases.coverage.enabled = _IS_LONG
SCHEMA.config.checks.negative_data_rejection.expected_statuses = list(REFUSED_WITH)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, shared_redis_url: str) -> Iterator[World]:
    """A deployment of its own, so that the provider's whole log is held against the records."""
    with ExitStack() as stack:
        provider = SimulatedProvider(tmp_path_factory.mktemp("provider"))
        stack.callback(provider.process.kill_group)
        rig = Rig(
            tmp_path_factory.mktemp("rig"),
            provider,
            shared_redis_url,
            unknown_fields="pass" if UNKNOWN_PASS else "refuse",
        )
        stack.callback(rig.close)
        found = new_world(rig)
        workers = found.workers()
        yield found
        report(f"{len(found.statuses)} operations, {found.cases:,} cases")
        for label, statuses in sorted(found.statuses.items()):
            report(f"  {label}: {dict(sorted(statuses.items()))}")
        ended(found)
        assert found.workers() == workers, rig.output()[-8000:]
        assert "Traceback" not in rig.output(), rig.output()[-8000:]
        assert "Traceback" not in provider.process.stderr, provider.process.stderr[-8000:]
        every_dollar_is_recorded(rig)


@SCHEMA.parametrize()
@settings(
    max_examples=CASES,
    deadline=None,
    derandomize=False,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=_UNHEALTHY,
)
def test_an_operation(case: Case, world: World) -> None:
    call(world, case)


def test_a_description_that_forbids_too_much_is_found(world: World) -> None:
    false = described(UNKNOWN_PASS)
    operation = false["paths"]["/v1/moderations"]["post"]
    short = {"type": "string", "maxLength": 3}
    body = {"type": "object", "required": ["input"], "properties": {"input": short}}
    operation["requestBody"]["content"]["application/json"]["schema"] = body
    operation.pop("parameters")
    schema = schemathesis.openapi.from_dict(false, config=SchemathesisConfig(seed=SEED))
    schema.config.generation.update(with_security_parameters=False)
    negative = schema["/v1/moderations"]["POST"].as_strategy(
        generation_mode=schemathesis.GenerationMode.NEGATIVE
    )

    @seed(SEED)
    @settings(
        max_examples=300,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=_UNHEALTHY,
    )
    @given(case=negative)
    def run(case: Case) -> None:
        call(world, case)

    with pytest.raises(FailureGroup) as caught:
        run()
    assert "AcceptedNegativeData" in {type(one).__name__ for one in caught.value.exceptions}


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (b'{"error":{"message":"No.","type":"t","param":null,"code":"c"}}', ""),
        (b"No.", "no envelope"),
        (b"[]", "no envelope"),
        (b'{"error":"No."}', "not the four fields"),
        (b'{"error":{"message":"No.","type":"t","param":null}}', "not the four fields"),
        (b'{"error":{"message":"","type":"t","param":null,"code":null}}', "no message"),
        (b'{"error":{"message":"No.","type":"t","param":null,"code":1}}', "fields of other types"),
    ],
)
def test_an_error_is_in_the_envelope_or_it_is_not(body: bytes, wrong: str) -> None:
    assert wrong_envelope(body) == wrong


def test_what_is_served_is_what_is_described(world: World) -> None:
    reply = world.tenant.caller.request("GET", "/openapi.json", headers={"authorization": ""})
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json == described(UNKNOWN_PASS)
