from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gateway.adapters.alert_events import announce
from gateway.adapters.alert_rules import rules_in_force
from gateway.adapters.audit_log import entries
from gateway.core.alerts import Crossing
from gateway.core.budgets import WindowKind
from gateway.core.roles import Role
from tests.core.test_alert_messages import THRESHOLD
from tests.receiver import Receiver
from tests.web import control as made
from tests.web.control import BY, Control

PREFIX = "/admin/api/v1"


@pytest.fixture(scope="module")
def alerting(shared_redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """A deployment that may send alerts to this machine."""
    folder: Path = tmp_path_factory.mktemp("alerting")
    with made.control(folder, shared_redis_url, alert_hosts=("127.0.0.1",)) as found:
        yield found


@dataclass(frozen=True)
class Said:
    """What was answered."""

    status_code: int
    json: Any
    text: str
    headers: Mapping[str, str]


class Program:
    """A program with an admin token."""

    def __init__(self, at: Control, role: Role = Role.ADMIN) -> None:
        team = at.team() if role is Role.OWNER else None
        self._client = at.app.test_client()
        self._secret = at.tokens.create(BY, uuid4().hex[:8], role, team=team).secret

    def ask(self, method: str, path: str, body: Any = None, seen: str | None = None) -> Said:
        headers = {"Authorization": f"Bearer {self._secret}"}
        if seen is not None:
            headers["If-Match"] = seen
        data = None if body is None else json.dumps(body)
        kind = None if body is None else "application/json"
        reply = self._client.open(
            PREFIX + path, method=method, data=data, content_type=kind, headers=headers
        )
        return Said(
            reply.status_code,
            reply.get_json(),
            reply.text,
            {n.lower(): v for n, v in reply.headers},
        )

    def get(self, path: str) -> Any:
        reply = self.ask("GET", path)
        assert reply.status_code == 200, reply.text
        return reply.json

    def made(self, path: str, **body: Any) -> Any:
        reply = self.ask("POST", path, body)
        assert reply.status_code == 201, reply.text
        return reply.json

    def hook(self, url: str = "https://hooks.acme.example/secret-path", **more: Any) -> Any:
        values = {"name": f"hook-{uuid4().hex[:8]}", "kind": "webhook", "target": url, **more}
        return self.made("/alert-channels", **values)


def listed(program: Program, path: str) -> dict[int, Any]:
    return {one["id"]: one for one in program.get(path)["data"]}


@pytest.fixture
def admin(alerting: Control) -> Program:
    return Program(alerting)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as opened:
        yield opened


def test_a_channel_from_its_making_to_its_removal(admin: Program, receiver: Receiver) -> None:
    channel = admin.hook(receiver.url)
    assert channel["target"] == f"http://127.0.0.1:{receiver.port}/..."
    where = f"/alert-channels/{channel['id']}"
    shown = admin.get(where)
    assert "secret" not in shown
    assert listed(admin, "/alert-channels")[channel["id"]] == shown
    test = admin.ask("POST", f"{where}/test").json
    assert test == {"id": test["id"], "arrived": True, "error": None}
    assert receiver.received[0].is_signed_with(channel["secret"])

    changed = admin.ask("PATCH", where, {"rotate_secret": True, "name": "pager"}, seen="*").json
    assert changed["name"] == "pager"
    assert changed["secret"] not in (None, channel["secret"])
    # What was seen is not what is there any more.
    old = f'"{channel["etag"]}"'
    assert admin.ask("PATCH", where, {"name": "siren"}, seen=old).status_code == 412
    assert admin.ask("DELETE", where, seen=old).status_code == 412
    assert admin.ask("DELETE", where).status_code == 428
    current = admin.ask("GET", where).headers["etag"]
    assert admin.ask("DELETE", where, seen=current).json == {"id": channel["id"], "removed": True}
    assert admin.ask("GET", where).status_code == 404


def test_a_test_that_does_not_arrive_says_why(admin: Program, receiver: Receiver) -> None:
    channel = admin.hook(receiver.url)
    receiver.answer = lambda _: 404
    test = admin.ask("POST", f"/alert-channels/{channel['id']}/test").json
    assert (test["arrived"], test["error"]) == (False, "HTTP 404: said")


def test_a_rule_from_its_making_to_its_removal(admin: Program, alerting: Control) -> None:
    budget = f"b-{uuid4().hex[:8]}"
    budget_id = alerting.directory.create_budget(budget, limit_nano=1, window=WindowKind.DAY)
    hook, other = (admin.hook(f"http://127.0.0.1/{n}") for n in range(2))
    rule = admin.made(
        "/alert-rules",
        name=budget,
        kind="threshold",
        channel_ids=[hook["id"]],
        budget_id=budget_id,
    )
    assert (rule["percents"], rule["budget"]) == ([50, 80, 100], budget)
    assert rule["channels"] == [hook["name"]]
    where = f"/alert-rules/{rule['id']}"
    assert admin.get(where) == rule == listed(admin, "/alert-rules")[rule["id"]]
    changes = {"percents": [90], "channel_ids": [other["id"]]}
    changed = admin.ask("PATCH", where, changes, seen=f'"{rule["etag"]}"').json
    assert (changed["percents"], changed["channels"]) == ([90], [other["name"]])
    assert admin.ask("PATCH", where, {"percents": [1]}, seen=f'"{rule["etag"]}"').status_code == 412
    used = admin.ask("DELETE", f"/alert-channels/{other['id']}", seen="*")
    assert used.status_code == 409
    assert admin.ask("DELETE", where, seen=f'"{changed["etag"]}"').status_code == 200
    assert admin.ask("DELETE", where, seen="*").status_code == 404
    noted = [one for one in entries(alerting.engine).entries if one.subject_name == budget]
    by_token = [(one.action, one.subject) for one in noted if one.actor.startswith("token:")]
    assert by_token == [(do, "alert_rule") for do in ("remove", "change", "create")]


def test_the_log_is_read_page_by_page(admin: Program, alerting: Control) -> None:
    hook = admin.hook("http://127.0.0.1/x")
    name = f"r-{uuid4().hex[:8]}"
    rule = admin.made("/alert-rules", name=name, kind="threshold", channel_ids=[hook["id"]])
    (found,) = [one for one in rules_in_force(alerting.engine) if one.id == rule["id"]]
    for percent in (50, 80, 100):
        facts = {**THRESHOLD, "percent": percent}
        crossing = Crossing(found.id, "budget:1:1", 0, percent, facts)
        announce(alerting.engine, found, crossing, datetime.now(UTC))
    first = admin.get("/alerts?limit=2")
    assert [one["percent"] for one in first["data"]] == [100, 80]
    assert first["data"][0]["data"]["limit_usd"] == "100.000000000"
    assert first["data"][0]["deliveries"][0]["state"] == "waiting"
    rest = admin.get(f"/alerts?limit=2&cursor={first['next']}")
    assert rest["data"][0]["percent"] == 50
    admin.ask("DELETE", f"/alert-rules/{rule['id']}", seen="*")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "webhook", "target": "https://169.254.169.254/"}, 400),
        ({"kind": "webhook", "target": "http://elsewhere.example/"}, 400),
        ({"kind": "email", "target": "nobody"}, 400),
        ({"kind": "pigeon", "target": "https://127.0.0.1/"}, 400),
        ({"kind": "webhook", "target": "https://127.0.0.1/", "secret": "mine"}, 400),
        ({"kind": "webhook"}, 400),
    ],
)
def test_channels_that_cannot_be(admin: Program, body: dict[str, Any], status: int) -> None:
    reply = admin.ask("POST", "/alert-channels", {"name": "x", **body})
    assert reply.status_code == status
    assert reply.json["error"]["type"] == "invalid_request_error"
    assert "x" not in {one["name"] for one in listed(admin, "/alert-channels").values()}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"kind": "anomaly", "percents": [100]}, 400),
        ({"percents": [0]}, 400),
        ({"percents": []}, 400),
        ({"channel_ids": []}, 400),
        ({"channel_ids": [10**9]}, 404),
        ({"budget_id": 10**9}, 404),
        ({"team_id": 1, "client_id": 1}, 400),
    ],
)
def test_rules_that_cannot_be(admin: Program, changes: dict[str, Any], status: int) -> None:
    hook = admin.hook("http://127.0.0.1/x")
    body = {"name": "x", "kind": "threshold", "channel_ids": [hook["id"]], **changes}
    assert admin.ask("POST", "/alert-rules", body).status_code == status
    assert "x" not in {one["name"] for one in listed(admin, "/alert-rules").values()}


PATHS = ("/alert-channels", "/alert-rules", "/alerts")


def test_finance_reads_and_changes_nothing(alerting: Control, admin: Program) -> None:
    finance = Program(alerting, Role.FINANCE)
    hook = admin.hook("http://127.0.0.1/x")
    for path in PATHS:
        finance.get(path)
    body = {"name": "x", "kind": "webhook", "target": "http://127.0.0.1/"}
    one = f"/alert-channels/{hook['id']}"
    for method, path in (
        ("POST", "/alert-channels"),
        ("PATCH", one),
        ("DELETE", one),
        ("POST", f"{one}/test"),
        ("POST", "/alert-rules"),
    ):
        assert finance.ask(method, path, body, seen="*").status_code == 403


def test_an_owner_sees_nothing_of_alerts(alerting: Control) -> None:
    owner = Program(alerting, Role.OWNER)
    for path in PATHS:
        assert owner.ask("GET", path).status_code == 403
