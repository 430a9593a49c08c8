"""Spend limits, spend alerts and lists of the organization, by the official SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from gateway.core.roles import Role
from tests.e2e.organization import admin_sdk, admin_token
from tests.e2e.provider import until
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import Caller

MONTHLY: dict[str, Any] = {"currency": "USD", "interval": "month"}
ANN: Any = {"type": "email", "recipients": ["ann@acme.example"]}


@pytest.fixture(scope="module")
def admin(rig: Rig) -> Iterator[OpenAI]:
    with admin_sdk(rig) as found:
        yield found


@pytest.fixture
def tenant(rig: Rig) -> Tenant:
    return rig.tenant()


def project_of(rig: Rig, tenant: Tenant) -> str:
    return f"proj_{rig.directory.require_team(tenant.team)}"


def test_a_spend_limit_stops_a_project(rig: Rig, admin: OpenAI, tenant: Tenant) -> None:
    project = project_of(rig, tenant)
    limits = admin.admin.organization.projects.spend_limit
    with pytest.raises(openai.NotFoundError):
        limits.retrieve(project)
    assert tenant.caller.chat().status == 200
    made: Any = limits.update(project, threshold_amount=1, **MONTHLY)
    assert (made.object, made.threshold_amount, made.currency, made.interval) == (
        "project.spend_limit",
        1,
        "USD",
        "month",
    )
    assert (made.enforcement.status, made.limit_usd) == ("inactive", "0.010000000")
    # A cent is not enough for so much output.
    big: dict[str, Any] = {"model": "gpt-4o", "max_tokens": 10_000}
    until(lambda: tenant.caller.chat(**big).status == 429, 5, "the limit to be known")
    assert limits.update(project, threshold_amount=100_000, **MONTHLY).threshold_amount == 100_000
    until(lambda: tenant.caller.chat(**big).status == 200, 5, "the new limit to be known")
    assert limits.delete(project).object == "project.spend_limit.deleted"
    with pytest.raises(openai.NotFoundError):
        limits.delete(project)


def test_what_is_spent_stands_beside_the_limit(rig: Rig, admin: OpenAI, tenant: Tenant) -> None:
    project = project_of(rig, tenant)
    limits = admin.admin.organization.projects.spend_limit
    limits.update(project, threshold_amount=500, **MONTHLY)

    def counted() -> Any:
        assert tenant.caller.chat().status == 200
        rig.drain()
        found: Any = limits.retrieve(project)
        return found if found.spent_usd != "0.000000000" else None

    found = until(counted, 10, "a request to count against the limit")
    assert (found.held_usd, found.budget) == ("0.000000000", f"spend limit of team {project[5:]}")


def test_spend_alerts_are_kept(rig: Rig, admin: OpenAI, tenant: Tenant) -> None:
    project = project_of(rig, tenant)
    alerts = admin.admin.organization.projects.spend_alerts
    made = [
        alerts.create(project, threshold_amount=cents, notification_channel=ANN, **MONTHLY)
        for cents in (100, 200, 300)
    ]
    first = made[0]
    assert (first.object, first.threshold_amount) == ("project.spend_alert", 100)
    assert first.notification_channel.recipients == ["ann@acme.example"]
    assert alerts.retrieve(first.id, project_id=project) == first
    ids = [one.id for one in made]
    assert [one.id for one in alerts.list(project, limit=2)] == ids
    assert [one.id for one in alerts.list(project, order="desc")] == ids[::-1]
    assert [one.id for one in alerts.list(project, after=ids[0]).data] == ids[1:]
    assert [one.id for one in alerts.list(project, before=ids[2], limit=1).data] == [ids[1]]
    other: Any = {"type": "email", "recipients": ["bob@acme.example"]}
    changed = alerts.update(
        first.id,
        project_id=project,
        threshold_amount=150,
        notification_channel=other,
        **MONTHLY,
    )
    assert (changed.id, changed.threshold_amount) == (first.id, 150)
    assert changed.notification_channel.recipients == ["bob@acme.example"]
    gone = alerts.delete(first.id, project_id=project)
    assert (gone.id, gone.deleted, gone.object) == (first.id, True, "project.spend_alert.deleted")
    with pytest.raises(openai.NotFoundError):
        alerts.retrieve(first.id, project_id=project)


def test_the_organization_has_alerts_of_its_own(admin: OpenAI) -> None:
    alerts = admin.admin.organization.spend_alerts
    made = alerts.create(threshold_amount=10**8, notification_channel=ANN, **MONTHLY)
    assert made.object == "organization.spend_alert"
    assert made.id in {one.id for one in alerts.list()}
    assert alerts.delete(made.id).object == "organization.spend_alert.deleted"
    wrong: Any = {"type": "email", "recipients": ["nobody"]}
    with pytest.raises(openai.BadRequestError) as refused:
        alerts.create(threshold_amount=5, notification_channel=wrong, **MONTHLY)
    assert "e-mail address" in str(refused.value)


def test_the_organization_has_a_limit_of_its_own(rig: Rig, admin: OpenAI) -> None:
    limits = admin.admin.organization.spend_limit
    made = limits.update(threshold_amount=50_000_000, **MONTHLY)
    assert (made.object, limits.retrieve()) == ("organization.spend_limit", made)
    assert limits.delete().deleted
    with pytest.raises(openai.NotFoundError):
        limits.retrieve()


def test_projects_users_and_keys_are_listed(rig: Rig, admin: OpenAI, tenant: Tenant) -> None:
    organization = admin.admin.organization
    project = project_of(rig, tenant)
    found = organization.projects.retrieve(project)
    assert (found.id, found.name, found.status) == (project, tenant.team, "active")
    every = list(organization.projects.list(limit=3))
    assert project in {one.id for one in every}
    assert len({one.id for one in every}) == len(every) > 3
    (user,) = organization.projects.users.list(project)
    assert (user.id, user.name) == (f"user_{tenant.id}", tenant.name)
    assert organization.projects.users.retrieve(user.id, project_id=project) == user
    assert organization.users.retrieve(user.id).name == tenant.name
    assert user.id in {one.id for one in organization.users.list(limit=100)}
    (key,) = organization.projects.api_keys.list(project)
    assert (key.id, key.redacted_value) == (f"key_{tenant.key.id}", tenant.key.display)
    assert key.owner.service_account is not None
    assert (key.owner.service_account.id, key.owner_project_access) == (user.id, "active")
    assert organization.projects.api_keys.retrieve(key.id, project_id=project) == key
    assert tenant.key.secret not in key.model_dump_json()
    token = next(iter(organization.admin_api_keys.list(limit=100, order="desc")))
    assert token.redacted_value.startswith("fga-")
    assert organization.admin_api_keys.retrieve(token.id) == token


def test_an_owner_reads_one_project_and_changes_none(rig: Rig, tenant: Tenant) -> None:
    project, other = project_of(rig, tenant), project_of(rig, rig.tenant())
    with admin_sdk(rig, Role.OWNER, tenant.team) as owner:
        organization = owner.admin.organization
        assert [one.id for one in organization.projects.list()] == [project]
        assert [one.name for one in organization.users.list()] == [tenant.name]
        for read in (organization.projects.retrieve, organization.projects.spend_limit.retrieve):
            with pytest.raises(openai.NotFoundError):
                read(other)
        with pytest.raises(openai.PermissionDeniedError):
            organization.projects.spend_limit.update(project, threshold_amount=5, **MONTHLY)
        with pytest.raises(openai.PermissionDeniedError):
            organization.spend_limit.retrieve()
        with pytest.raises(openai.PermissionDeniedError):
            organization.admin_api_keys.list()


def test_finance_reads_and_changes_nothing(rig: Rig, tenant: Tenant) -> None:
    with admin_sdk(rig, Role.FINANCE) as finance:
        assert list(finance.admin.organization.spend_alerts.list()) is not None
        with pytest.raises(openai.PermissionDeniedError):
            finance.admin.organization.spend_limit.update(threshold_amount=5, **MONTHLY)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("projects/team", 404),
        ("projects/proj_999999999", 404),
        ("projects/proj_999999999/spend_limit", 404),
        ("projects/proj_999999999/spend_alerts", 404),
        ("spend_alerts/alert_x", 404),
        ("spend_alerts?after=alert_999999999", 400),
        ("spend_alerts?order=up", 400),
        ("users/user_0", 404),
        ("users?limit=0", 400),
        ("users?limit=101", 400),
        ("users?after=proj_1", 400),
        ("projects?include_archived=yes", 400),
        ("projects?archived=true", 400),
        ("admin_api_keys/token_1", 404),
    ],
)
def test_what_is_not_there_or_wrong_is_said(rig: Rig, path: str, status: int) -> None:
    reply = Caller(rig.port, admin_token(rig)).get(f"/v1/organization/{path}")
    assert (reply.status, reply.error["type"]) == (status, "invalid_request_error")
