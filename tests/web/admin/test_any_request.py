"""The description of the admin API against the API: any request that it allows, and any that it
forbids, is served or refused as the caller's fault, over either database.

``FAREGATE_TEST_CASES`` is the number of generated cases per operation, ``FAREGATE_TEST_SEED`` the
seed.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks

from gateway.core.roles import Role
from gateway.web.admin.description import described
from tests.web.admin.asking import Asker, fresh
from tests.web.admin.spending import Spender
from tests.web.control import BY, Control

CASES = int(os.environ.get("FAREGATE_TEST_CASES", "12"))
SEED = int(os.environ.get("FAREGATE_TEST_SEED", "1"))

pytestmark = pytest.mark.timeout(max(120, 2 * CASES))

Case = schemathesis.Case[Any]

CHECKS: tuple[CheckFunction, ...] = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
)
REFUSED_WITH = ["400", "401", "403", "404", "405", "409", "412", "413", "415", "428"]

SCHEMA = schemathesis.openapi.from_dict(
    copy.deepcopy(described()), config=SchemathesisConfig(seed=SEED)
)
SCHEMA.config.generation.update(with_security_parameters=False)
SCHEMA.config.phases.examples.enabled = False
SCHEMA.config.phases.coverage.enabled = CASES > 100
SCHEMA.config.checks.negative_data_rejection.expected_statuses = REFUSED_WITH


@dataclass
class World:
    """A deployment, an admin of it, and one of everything that has an id."""

    control: Control
    admin: Asker
    secret: str
    own_token: int
    ids: dict[str, Any] = field(default_factory=dict)
    statuses: set[int] = field(default_factory=set)


def _team(world: World) -> Any:
    return world.admin.made("/teams", {"name": fresh("team")})["id"]


def _client(world: World) -> Any:
    body = {"team_id": _team(world), "name": fresh("client")}
    return world.admin.made("/clients", body)["id"]


def _key(world: World) -> Any:
    return world.admin.made("/keys", {"client_id": _client(world)})["id"]


def _budget(world: World) -> Any:
    body = {"name": fresh("budget"), "limit_usd": "1", "window": "day"}
    return world.admin.made("/budgets", body)["id"]


def _price(world: World) -> Any:
    return world.admin.made("/prices", {"model": fresh("m"), "rates": {"input": "1"}})["id"]


def _user(world: World) -> Any:
    body = {"email": f"{fresh('ann')}@acme.example", "role": "finance"}
    return world.admin.made("/users", body)["id"]


def _token(world: World) -> Any:
    return world.admin.made("/admin-tokens", {"name": fresh("token"), "role": "finance"})["id"]


def _tag(world: World) -> Any:
    return world.admin.made("/tags", {"name": fresh("tag")})["name"]


def _channel(world: World) -> Any:
    target = "http://127.0.0.1:9/nobody-listens"
    body = {"name": fresh("hook"), "kind": "webhook", "target": target}
    return world.admin.made("/alert-channels", body)["id"]


def _rule(world: World) -> Any:
    body = {"name": fresh("rule"), "kind": "threshold", "percents": [50]}
    return world.admin.made("/alert-rules", {**body, "channel_ids": [_channel(world)]})["id"]


def _record(world: World) -> Any:
    return Spender(world.control).spend(5, tags={"project": "alpha"})


MAKERS: dict[str, Callable[[World], Any]] = {
    "team_id": _team,
    "client_id": _client,
    "key_id": _key,
    "budget_id": _budget,
    "price_id": _price,
    "user_id": _user,
    "token_id": _token,
    "name": _tag,
    "channel_id": _channel,
    "rule_id": _rule,
    "request_id": _record,
}
"""Named as in the paths."""


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def world(
    request: pytest.FixtureRequest,
    shared_redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """A deployment that all cases share."""
    folder = tmp_path_factory.mktemp("control")
    if request.param == "sqlite":
        yield from _opened(Control(folder, shared_redis_url, alert_hosts="127.0.0.1"))
        return
    server = request.getfixturevalue("postgres_server")
    with server.fresh_database() as url:
        yield from _opened(
            Control(folder, shared_redis_url, database_url=url, alert_hosts="127.0.0.1")
        )


def _opened(control: Control) -> Iterator[World]:
    token = control.tokens.create(BY, "tests", Role.ADMIN)
    found = World(control, Asker(control, token.secret), token.secret, token.id)
    found.ids = {name: make(found) for name, make in MAKERS.items()}
    yield found
    if len(found.statuses) > 4:
        # What was sent did go further than to be refused.
        assert {200, 201, 400, 404} <= found.statuses
    control.engine.dispose()


def with_own(world: World, case: Case) -> None:
    """Put what exists in the place of most valid ids: else all there is are 404s."""
    if str((case.path_parameters or {}).get("token_id")) == str(world.own_token):
        # Else all that follows would be told that this credential is revoked.
        case.path_parameters["token_id"] = world.ids["token_id"]
    chance = crc32(repr((case.path_parameters, case.body)).encode("utf-8", "replace")) % 4
    is_positive = case.meta is not None and case.meta.generation.mode.is_positive
    if not is_positive or chance == 0:
        return
    for name in case.path_parameters or {}:
        if name in MAKERS:
            fresh_one = case.method != "GET"
            case.path_parameters[name] = MAKERS[name](world) if fresh_one else world.ids[name]
    body: Any = case.body
    if isinstance(body, dict):
        for name in ("team_id", "client_id"):
            if isinstance(body.get(name), int):
                body[name] = world.ids[name]
    headers: Any = case.headers
    if headers and "If-Match" in headers:
        headers["If-Match"] = "*"


@SCHEMA.parametrize()
@settings(
    max_examples=CASES,
    deadline=None,
    derandomize=False,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
def test_any_request(case: Case, world: World) -> None:
    is_positive = case.meta is not None and case.meta.generation.mode.is_positive
    with_own(world, case)
    headers = {"Authorization": f"Bearer {world.secret}"}
    case.operation.schema.app = world.control.app
    response = case.call(headers=headers, app=world.control.app)
    world.statuses.add(response.status_code)
    wanted = [*CHECKS, *(() if is_positive else (checks.negative_data_rejection,))]
    case.validate_response(response, checks=wanted, headers=headers)
    if response.status_code >= 400:
        assert {"message", "type", "param", "code"} <= response.json()["error"].keys()
