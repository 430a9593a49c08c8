"""Alerts of the admin API: channels, rules, and the log of what was told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from gateway.adapters.alert_channels import AlertChannels, NewSecret
from gateway.adapters.alert_events import log
from gateway.adapters.alert_rules import PERCENTS_MAX, AlertRules
from gateway.adapters.alert_senders import AlertSender
from gateway.core.alert_messages import TEST_FACTS, message_of
from gateway.core.alerts import PERCENT_MAX, AlertKind, ChannelKind, Verdict
from gateway.web.admin import cursors
from gateway.web.admin.endpoint import ADMINS, SEE_ALL, Api, Call, NoBody, NoQuery
from gateway.web.admin.fields import (
    UNSENT,
    Answer,
    Body,
    ETag,
    Id,
    Listed,
    Moment,
    MomentText,
    Name,
    NextCursor,
    Patch,
)
from gateway.web.admin.lists import cut, tagged
from gateway.web.admin.teams import Removed

api = Api("alerts", "Who is told when budgets fill or spending is unusual, and what was told.")

Target = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Kind = Annotated[AlertKind, Field(strict=False)]
Channels = Annotated[list[Id], Field(min_length=1, max_length=50, description="Channels, by id.")]
Percents = Annotated[
    list[Annotated[int, Field(ge=1, le=PERCENT_MAX)]],
    Field(
        min_length=1,
        max_length=PERCENTS_MAX,
        description="Of a budget's limit; for an anomaly, of the usual spending.",
    ),
]


class AlertChannel(Answer):
    """Where alerts go. Of a URL only the host is shown: the rest of it is often a secret."""

    id: int
    name: str
    kind: ChannelKind
    target: str
    created_at: MomentText
    etag: ETag


class MadeAlertChannel(AlertChannel):
    """A channel just made or changed, with a new secret where it has one, shown this once."""

    secret: str | None = Field(description="Signs a webhook: docs/alerts.md shows how to verify.")


class AlertChannelList(Answer):
    """A page of channels, by name."""

    data: list[AlertChannel]
    next: NextCursor


class NewAlertChannel(Body):
    """A channel to make."""

    name: Name
    kind: Annotated[ChannelKind, Field(strict=False)]
    target: Target = Field(description="A URL, or an e-mail address.")


class AlertChannelChange(Patch):
    """What to change of a channel. Alerts that wait go to its new target."""

    name: Name = UNSENT
    target: Target = UNSENT
    rotate_secret: Literal[True] = Field(UNSENT, description="Make a webhook's secret anew.")


class AlertTest(Answer):
    """What became of a test."""

    id: str
    arrived: bool
    error: str | None


class AlertRule(Answer):
    """What is told. Without a budget, team and client it is for all."""

    id: int
    name: str
    kind: AlertKind
    percents: list[int]
    channels: list[str]
    budget_id: int | None
    budget: str | None
    team_id: int | None
    team: str | None
    client_id: int | None
    client: str | None
    created_at: MomentText
    etag: ETag


class AlertRuleList(Answer):
    """A page of rules, by name."""

    data: list[AlertRule]
    next: NextCursor


class NewAlertRule(Body):
    """A rule to make: on one budget, team or client, or on all."""

    name: Name
    kind: Kind
    channel_ids: Channels
    percents: Percents | None = Field(
        None, description="Without: 50, 80 and 100; of a forecast 100; of an anomaly 300."
    )
    budget_id: Id | None = None
    team_id: Id | None = None
    client_id: Id | None = None


class AlertRuleChange(Patch):
    """What to change of a rule. What it has told stays told."""

    name: Name = UNSENT
    percents: Percents = UNSENT
    channel_ids: Channels = UNSENT


class AlertDelivery(Answer):
    """What became of one alert at one channel."""

    channel: str
    kind: ChannelKind
    state: Literal["waiting", "sent", "failed"]
    attempts: int
    next_at: Moment | None
    sent_at: Moment | None
    last_error: str | None


class Alert(Answer):
    """One thing that was told."""

    id: int
    at: Moment
    rule: str
    type: str
    subject: str
    percent: int
    title: str
    lines: list[str]
    data: dict[str, Any]
    deliveries: list[AlertDelivery]


class AlertLog(Answer):
    """A page of alerts, newest first."""

    data: list[Alert]
    next: NextCursor


def _channels(call: Call[Any, Any]) -> AlertChannels:
    return AlertChannels(call.at.engine, call.principal, call.at.gate.settings.alert_hosts)


def _rules(call: Call[Any, Any]) -> AlertRules:
    return AlertRules(call.at.engine, call.principal)


def _name(facts: Mapping[str, Any]) -> str:
    return str(facts["name"])


def _made(made: NewSecret) -> MadeAlertChannel:
    return tagged(MadeAlertChannel, made.facts, secret=made.secret)


@api.endpoint("GET", "/alert-channels", query=Listed, answer=AlertChannelList, roles=SEE_ALL)
def list_alert_channels(call: Call[Listed, NoBody]) -> AlertChannelList:
    """List alert channels, without secrets."""
    found = call.sql(_channels(call).all)
    return cut(AlertChannelList, call.query, found, _name, partial(tagged, AlertChannel))


@api.endpoint(
    "POST",
    "/alert-channels",
    body=NewAlertChannel,
    answer=MadeAlertChannel,
    roles=ADMINS,
    status=201,
)
def create_alert_channel(call: Call[NoQuery, NewAlertChannel]) -> MadeAlertChannel:
    """Make an alert channel.

    The secret of a webhook is in this answer and in no other.
    """
    body = call.body
    return _made(call.sql(_channels(call).create, body.name, body.kind, body.target))


@api.endpoint("GET", "/alert-channels/<int:channel_id>", answer=AlertChannel, roles=SEE_ALL)
def read_alert_channel(call: Call[NoQuery, NoBody], channel_id: int) -> AlertChannel:
    """Read an alert channel, without its secret."""
    return tagged(AlertChannel, call.sql(_channels(call).one, channel_id))


@api.endpoint(
    "PATCH",
    "/alert-channels/<int:channel_id>",
    body=AlertChannelChange,
    answer=MadeAlertChannel,
    roles=ADMINS,
)
def change_alert_channel(
    call: Call[NoQuery, AlertChannelChange], channel_id: int
) -> MadeAlertChannel:
    """Change where an alert channel goes, its name, or its secret."""
    given, channels = call.body.given(), _channels(call)
    return _made(
        call.sql(
            lambda: channels.change(
                channel_id,
                target=given.get("target"),
                new_name=given.get("name"),
                rotate="rotate_secret" in given,
                seen=call.seen,
            )
        )
    )


@api.endpoint("DELETE", "/alert-channels/<int:channel_id>", answer=Removed, roles=ADMINS)
def remove_alert_channel(call: Call[NoQuery, NoBody], channel_id: int) -> Removed:
    """Remove an alert channel that no rule uses."""
    call.sql(_channels(call).remove, channel_id, call.seen)
    return Removed(id=channel_id)


@api.endpoint("POST", "/alert-channels/<int:channel_id>/test", answer=AlertTest, roles=ADMINS)
def test_alert_channel(call: Call[NoQuery, NoBody], channel_id: int) -> AlertTest:
    """Send a test to an alert channel, now and once."""
    found = call.sql(_channels(call).to_send, channel_id)
    message = message_of(TEST_FACTS, datetime.now(UTC), "test", str(channel_id))
    answer = AlertSender(call.at.gate.settings).send(found, message)
    arrived = answer.verdict is Verdict.SENT
    return AlertTest(id=message.id, arrived=arrived, error=answer.error or None)


@api.endpoint("GET", "/alert-rules", query=Listed, answer=AlertRuleList, roles=SEE_ALL)
def list_alert_rules(call: Call[Listed, NoBody]) -> AlertRuleList:
    """List alert rules."""
    found = call.sql(_rules(call).all)
    return cut(AlertRuleList, call.query, found, _name, partial(tagged, AlertRule))


@api.endpoint("POST", "/alert-rules", body=NewAlertRule, answer=AlertRule, roles=ADMINS, status=201)
def create_alert_rule(call: Call[NoQuery, NewAlertRule]) -> AlertRule:
    """Make an alert rule.

    It tells of what is crossed from now on, and of what is past already in windows that are open.
    """
    body, rules = call.body, _rules(call)
    return tagged(
        AlertRule,
        call.sql(
            lambda: rules.create(
                body.name,
                body.kind,
                body.channel_ids,
                percents=body.percents or (),
                budget=body.budget_id,
                team=body.team_id,
                client=body.client_id,
            )
        ),
    )


@api.endpoint("GET", "/alert-rules/<int:rule_id>", answer=AlertRule, roles=SEE_ALL)
def read_alert_rule(call: Call[NoQuery, NoBody], rule_id: int) -> AlertRule:
    """Read an alert rule."""
    return tagged(AlertRule, call.sql(_rules(call).one, rule_id))


@api.endpoint(
    "PATCH", "/alert-rules/<int:rule_id>", body=AlertRuleChange, answer=AlertRule, roles=ADMINS
)
def change_alert_rule(call: Call[NoQuery, AlertRuleChange], rule_id: int) -> AlertRule:
    """Change when an alert rule speaks, to whom, or its name."""
    given, rules = call.body.given(), _rules(call)
    return tagged(
        AlertRule,
        call.sql(
            lambda: rules.change(
                rule_id,
                percents=given.get("percents", ()),
                channels=given.get("channel_ids", ()),
                new_name=given.get("name"),
                seen=call.seen,
            )
        ),
    )


@api.endpoint("DELETE", "/alert-rules/<int:rule_id>", answer=Removed, roles=ADMINS)
def remove_alert_rule(call: Call[NoQuery, NoBody], rule_id: int) -> Removed:
    """Remove an alert rule; what it has told stays in the log."""
    call.sql(_rules(call).remove, rule_id, call.seen)
    return Removed(id=rule_id)


@api.endpoint("GET", "/alerts", query=Listed, answer=AlertLog, roles=SEE_ALL)
def list_alerts(call: Call[Listed, NoBody]) -> AlertLog:
    """List what was told, newest first, and whether it arrived."""
    limit, place = call.query.limit, cursors.read(call.query.cursor, int)
    found = call.sql(log, call.at.engine, limit + 1, None if place is None else place[0])
    page = [Alert.model_validate(one) for one in found[:limit]]
    more = cursors.written(page[-1].id) if len(found) > limit else None
    return AlertLog(data=page, next=more)
