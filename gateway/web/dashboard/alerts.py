"""Alerts: the rules, where they speak, and the log of what they have said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from flask import Response, request
from sqlalchemy import Engine

from gateway.adapters import alert_events
from gateway.adapters.alert_channels import AlertChannels, NewSecret
from gateway.adapters.alert_rules import AlertRules
from gateway.adapters.directory import Directory
from gateway.adapters.directory_values import checked_name
from gateway.adapters.table_files import Column, Kind
from gateway.adapters.threads import on_control_thread
from gateway.core.alerts import PERCENTS, AlertKind, ChannelKind
from gateway.core.roles import Principal, Role
from gateway.web import principals
from gateway.web.current import services
from gateway.web.dashboard import exports, forms, shell
from gateway.web.dashboard.forms import Form

blueprint = shell.pages("alerts")

CRUMB = shell.Crumb("Alerts", "/alerts")
KINDS = (
    (AlertKind.THRESHOLD.value, "A budget has spent so much of its limit"),
    (AlertKind.FORECAST.value, "A budget is expected to pass its limit"),
    (AlertKind.ANOMALY.value, "An hour costs far more than it usually does"),
)
CHANNEL_KINDS = (
    (ChannelKind.WEBHOOK.value, "Signed webhook"),
    (ChannelKind.SLACK.value, "Slack, or what takes its messages"),
    (ChannelKind.EMAIL.value, "E-mail"),
)
COLUMNS = (
    Column("id", Kind.COUNT),
    Column("at", Kind.MOMENT),
    Column("rule"),
    Column("type"),
    Column("subject"),
    Column("percent", Kind.COUNT),
    Column("title"),
    Column("text"),
    Column("deliveries"),
)
_EXPORTED = 500


@blueprint.get("/alerts")
def every() -> Response:
    """The log, the rules and the channels."""
    viewer = principals.principal(Role.ADMIN, Role.FINANCE)
    engine = services().engine
    if kind := exports.wanted():
        return exports.as_file(kind, "alerts", COLUMNS, _batches(engine))
    before, rows = shell.before_id(), alert_events.LOG_ROWS
    log = on_control_thread(alert_events.log, engine, rows, before)
    older = f"/alerts?before={log[-1]['id']}" if len(log) == rows else None
    return shell.render(
        "alerts.html",
        viewer,
        title="Alerts",
        log=log,
        page=shell.Page(f"{len(log)} alerts, newest first", "/alerts" if before else None, older),
        rules=on_control_thread(_rules(viewer).all),
        channels=on_control_thread(_channels(viewer).all),
        may_change=viewer.may_administer,
        kinds=dict(KINDS),
        channel_kinds=dict(CHANNEL_KINDS),
    )


@blueprint.route("/alerts/rules/new", methods=["GET", "POST"])
def create_rule() -> Response:
    """Make a rule."""
    viewer = principals.principal(Role.ADMIN)
    rules = _rules(viewer)
    channels = [channel["name"] for channel in on_control_thread(_channels(viewer).all)]
    form = Form({"kind": AlertKind.THRESHOLD.value, "on": "all:"})
    places = _places(viewer)
    if request.method == "POST":
        form = Form.sent()
        name, kind = form.checked("name", checked_name), form.choice("kind", AlertKind)
        chosen = [item for item in request.form.getlist("channels") if item in channels]
        form.values["channels"] = "\n".join(chosen)
        if not chosen:
            form.fail("channels", "choose where the rule speaks")
        if form.values.get("on") not in dict(places):
            form.fail("on", "choose what the rule watches")
        what, _, named = form.values.get("on", "").partition(":")
        on = {} if what == "all" else {what: named}
        percents = form.optional("percents", _percents) or []

        def make() -> dict[str, Any]:
            return on_control_thread(
                lambda: rules.create(name, kind, chosen, percents=percents, **on)
            )

        fields = {"percentages": "percents", "unusual spending": "on"}
        if forms.attempt(viewer, form, make, fields=fields) is not None:
            return forms.done("/alerts", f"The rule {name} is made; it watches from now on.")
    return forms.render(
        "alert_rule_form.html",
        viewer,
        form,
        title="New alert rule",
        crumbs=[CRUMB],
        kinds=KINDS,
        places=places,
        channels=channels,
        defaults={kind.value: ", ".join(map(str, PERCENTS[kind])) for kind in AlertKind},
    )


@blueprint.route("/alerts/channels/new", methods=["GET", "POST"])
def create_channel() -> Response:
    """Make a channel; the secret of a webhook is shown once."""
    viewer = principals.principal(Role.ADMIN)
    form = Form({"kind": ChannelKind.WEBHOOK.value})
    if request.method == "POST":
        form = Form.sent()
        name, kind = form.checked("name", checked_name), form.choice("kind", ChannelKind)
        target = form.checked("target", str)

        def make() -> NewSecret:
            return on_control_thread(_channels(viewer).create, name, kind, target)

        fields = {"target": "target", "address": "target", "host": "target"}
        made = forms.attempt(viewer, form, make, fields=fields)
        if made is not None and made.secret:
            return shell.render(
                "secret.html",
                viewer,
                title=f"The secret of {name}",
                crumbs=[CRUMB],
                made={"secret": made.secret, "display": "a webhook that is signed"},
                back="/alerts",
                back_label="Back to alerts",
                for_signing=True,
            )
        if made is not None:
            return forms.done("/alerts", f"The channel {name} is made.")
    return forms.render(
        "alert_channel_form.html",
        viewer,
        form,
        title="New channel",
        crumbs=[CRUMB],
        kinds=CHANNEL_KINDS,
    )


@blueprint.route("/alerts/<what>/remove", methods=["GET", "POST"])
def remove(what: str) -> Response:
    """Remove the rule or channel that the query names, after a page that asks whether to."""
    viewer = principals.principal(Role.ADMIN)
    name, form = request.values.get("name", ""), Form({"name": request.args.get("name", "")})
    kind = "channel" if what == "channel" else "rule"
    if request.method == "POST":

        def make() -> bool:
            gone = _channels(viewer).remove if kind == "channel" else _rules(viewer).remove
            on_control_thread(gone, name)
            return True

        form = Form.sent()
        if forms.attempt(viewer, form, make):
            return forms.done("/alerts", f"The {kind} {name} is removed.")
    kept = "What it has told stays in the log."
    stops = "What waits for it is not sent any more." if kind == "channel" else "It speaks no more."
    return forms.render(
        "confirm.html",
        viewer,
        form,
        title=f"Remove {name}?",
        crumbs=[CRUMB],
        verb=f"Remove the {kind}",
        back="/alerts",
        hidden={"name": name},
        consequences=[stops, kept],
    )


def _channels(viewer: Principal) -> AlertChannels:
    at = services()
    return AlertChannels(at.engine, viewer, at.gate.settings.alert_hosts)


def _rules(viewer: Principal) -> AlertRules:
    return AlertRules(services().engine, viewer)


def _places(viewer: Principal) -> list[tuple[str, str]]:
    """What a rule may be on: values and labels of a select."""
    directory = Directory(services().engine, viewer)
    budgets, teams = on_control_thread(directory.budgets), on_control_thread(directory.teams)
    clients = on_control_thread(directory.clients)
    return [
        ("all:", "Everything"),
        *((f"budget:{row.name}", f"Budget {row.name}") for row in budgets),
        *((f"team:{row.name}", f"Team {row.name} and its clients") for row in teams),
        *((f"client:{row.name}", f"Client {row.name}") for row in clients),
    ]


def _percents(text: str) -> list[int]:
    parts = text.replace("%", " ").replace(",", " ").split()
    if not all(part.isascii() and part.isdigit() and len(part) < 7 for part in parts):
        raise ValueError("write whole percentages, such as 50, 80, 100")
    return [int(part) for part in parts]


def _batches(engine: Engine) -> Iterator[list[Sequence[Any]]]:
    before: int | None = None
    while True:
        found = alert_events.log(engine, _EXPORTED, before)
        yield [_cells(event) for event in found]
        if len(found) < _EXPORTED:
            return
        before = found[-1]["id"]


def _cells(event: dict[str, Any]) -> Sequence[Any]:
    return (
        event["id"],
        event["at"],
        event["rule"],
        event["type"],
        event["subject"],
        event["percent"],
        event["title"],
        "\n".join(event["lines"]),
        orjson.dumps(event["deliveries"]).decode(),
    )
