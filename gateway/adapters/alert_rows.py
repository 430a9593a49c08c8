"""Alert channels and rules in SQL. Every change is in the audit log, in the same transaction.

The recorder processes read rules anew each second, so a change needs no announcement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, Table, insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.adapters import audit_log
from gateway.adapters.alert_senders import Channel
from gateway.adapters.alert_targets import checked_url, display_url
from gateway.adapters.control_tables import alert_channels, alert_rules
from gateway.adapters.directory_values import DirectoryError, checked_name
from gateway.adapters.tables import budgets, clients, teams
from gateway.core.alerts import PERCENT_MAX, PERCENTS, AlertKind, ChannelKind, Rule
from gateway.core.roles import Principal
from gateway.core.webhook_signatures import new_secret, secret_bytes

PERCENTS_MAX = 20
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,189}")
"""An e-mail address as people have them: quoted local parts are not taken."""

_SUBJECTS: Mapping[str, Table] = {"budget": budgets, "team": teams, "client": clients}


@dataclass(frozen=True, slots=True)
class NewChannel:
    """A channel just made. ``secret`` signs its webhooks, and is shown once."""

    id: int
    name: str
    secret: str | None


class Alerts:
    """Reads and changes channels and rules. Methods raise DirectoryError for bad input.

    ``actor`` is who makes the changes; ``hosts`` are those of FAREGATE_ALERT_HOSTS.
    """

    def __init__(self, engine: Engine, actor: Principal, hosts: Sequence[str] = ()) -> None:
        self._engine = engine
        self._actor = actor
        self._hosts = hosts

    # Channels

    def create_channel(
        self, name: str, kind: ChannelKind, target: str, secret: str | None = None
    ) -> NewChannel:
        """A new channel. A webhook without a ``secret`` is given one; others have none."""
        if kind is not ChannelKind.WEBHOOK and secret is not None:
            raise DirectoryError("only webhooks are signed: a secret has no use here")
        values = {
            "name": checked_name(name),
            "kind": kind.value,
            "target": self._checked_target(kind, target),
            "secret": _checked_secret(secret) if kind is ChannelKind.WEBHOOK else None,
            "created_at": datetime.now(UTC),
        }
        with self._engine.begin() as connection:
            row = _insert(connection, alert_channels, "alert channel", values)
            self._note(connection, "create", "alert_channel", None, channel_facts(row))
        return NewChannel(row.id, row.name, row.secret)

    def change_channel(self, name: str, *, target: str | None = None, rotate: bool = False) -> str:
        """Send a channel's alerts elsewhere, or give it a new signing secret; returns its secret.

        Alerts that wait go to the new target, signed with the new secret.
        """
        with self._engine.begin() as connection:
            row = _one(connection, alert_channels, name, "alert channel")
            kind, values = ChannelKind(row.kind), {}
            if target is not None:
                values["target"] = self._checked_target(kind, target)
            if rotate and kind is ChannelKind.WEBHOOK:
                values["secret"] = new_secret()
            if not values:
                raise DirectoryError("nothing to change: name a target, or a webhook's new secret")
            change = update(alert_channels).where(alert_channels.c.id == row.id)
            connection.execute(change.values(**values))
            after = _one(connection, alert_channels, name, "alert channel")
            told = channel_facts(after) | ({"rotated": True} if "secret" in values else {})
            self._note(connection, "change", "alert_channel", channel_facts(row), told)
        return str(after.secret or "")

    def remove_channel(self, name: str) -> None:
        """Remove a channel that no rule uses; what waits for it is not sent any more."""
        with self._engine.begin() as connection:
            row = _one(connection, alert_channels, name, "alert channel")
            for rule in _rules(connection):
                if row.id in rule_of(rule).channel_ids:
                    raise DirectoryError(
                        f"the alert rule {rule.name!r} uses this channel: remove that first"
                    )
            _remove(connection, alert_channels, row)
            self._note(connection, "remove", "alert_channel", channel_facts(row), None)

    def channels(self) -> list[dict[str, Any]]:
        """All channels by name, without secrets."""
        query = select(alert_channels).where(alert_channels.c.removed_at.is_(None))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(alert_channels.c.name)).all()
        return [channel_facts(row) for row in rows]

    def channel(self, name: str) -> Channel:
        """A channel with all that sending takes, its secret too."""
        with self._engine.connect() as connection:
            return channel_of(_one(connection, alert_channels, name, "alert channel"))

    # Rules

    def create_rule(
        self,
        name: str,
        kind: AlertKind,
        channels: Sequence[str],
        *,
        percents: Sequence[int] = (),
        budget: str | None = None,
        team: str | None = None,
        client: str | None = None,
    ) -> dict[str, Any]:
        """A new rule on a budget, a team, a client or (none named) all; returns its facts.

        On a team or a client, a threshold or forecast watches the budgets set on it; on a team
        also those on its clients.
        """
        named = {"budget": budget, "team": team, "client": client}
        given = {what: ref for what, ref in named.items() if ref is not None}
        if len(given) > 1:
            raise DirectoryError("a rule is on a budget, a team or a client: name one of them")
        if kind is AlertKind.ANOMALY and budget is not None:
            raise DirectoryError(
                "unusual spending is that of a team, a client or all, not a budget"
            )
        with self._engine.begin() as connection:
            values: dict[str, Any] = {
                "name": checked_name(name),
                "kind": kind.value,
                "percents": _checked_percents(kind, percents),
                "channel_ids": _channel_ids(connection, channels),
                "created_at": datetime.now(UTC),
            }
            for what, ref in given.items():
                values[f"{what}_id"] = _one(connection, _SUBJECTS[what], ref, what).id
            row = _insert(connection, alert_rules, "alert rule", values)
            facts = _named_facts(connection, [row])[0]
            self._note(connection, "create", "alert_rule", None, facts)
        return facts

    def change_rule(
        self, name: str, *, percents: Sequence[int] = (), channels: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Change when a rule speaks, or where; returns its facts. What it has told stays told."""
        with self._engine.begin() as connection:
            row = _one(connection, alert_rules, name, "alert rule")
            before = _named_facts(connection, [row])[0]
            values = {}
            if percents:
                values["percents"] = _checked_percents(AlertKind(row.kind), percents)
            if channels:
                values["channel_ids"] = _channel_ids(connection, channels)
            if not values:
                raise DirectoryError("nothing to change: name percentages or channels")
            connection.execute(
                update(alert_rules).where(alert_rules.c.id == row.id).values(**values)
            )
            changed = _one(connection, alert_rules, name, "alert rule")
            after = _named_facts(connection, [changed])[0]
            self._note(connection, "change", "alert_rule", before, after)
        return after

    def remove_rule(self, name: str) -> None:
        """Remove a rule; what it has told stays in the log."""
        with self._engine.begin() as connection:
            row = _one(connection, alert_rules, name, "alert rule")
            facts = _named_facts(connection, [row])[0]
            _remove(connection, alert_rules, row)
            self._note(connection, "remove", "alert_rule", facts, None)

    def rules(self) -> list[dict[str, Any]]:
        """All rules by name, as facts."""
        with self._engine.connect() as connection:
            return _named_facts(connection, _rules(connection))

    def _checked_target(self, kind: ChannelKind, target: str) -> str:
        if kind is not ChannelKind.EMAIL:
            return checked_url(target, self._hosts)
        if not _ADDRESS.fullmatch(target):
            raise DirectoryError(f"{target!r} is not an e-mail address")
        return target

    def _note(
        self,
        connection: Connection,
        action: str,
        subject: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        facts = after or before or {}
        audit_log.note(
            connection, self._actor, action, subject, facts["id"], facts["name"], before, after
        )


def rules_in_force(engine: Engine) -> list[Rule]:
    """Every rule that is not removed."""
    with engine.connect() as connection:
        return [rule_of(row) for row in _rules(connection)]


def rule_of(row: Row[Any]) -> Rule:
    """A row of alert_rules."""
    return Rule(
        id=row.id,
        name=row.name,
        kind=AlertKind(row.kind),
        percents=tuple(json.loads(row.percents)),
        channel_ids=tuple(json.loads(row.channel_ids)),
        created_ms=int(row.created_at.timestamp() * 1000),
        budget_id=row.budget_id,
        team_id=row.team_id,
        client_id=row.client_id,
    )


def channel_of(row: Row[Any]) -> Channel:
    """A row of alert_channels, for sending."""
    return Channel(row.id, row.name, ChannelKind(row.kind), row.target, row.secret)


def channel_facts(row: Row[Any]) -> dict[str, Any]:
    """A channel as it may be shown: no secret, and of a URL no more than its host."""
    is_address = row.kind == ChannelKind.EMAIL
    return {
        "id": row.id,
        "name": row.name,
        "kind": row.kind,
        "target": row.target if is_address else display_url(row.target),
        "created_at": _timestamp(row.created_at),
    }


def _named_facts(connection: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Rules as they are shown, with the names of what they are about."""
    names: dict[tuple[str, int], str] = {}
    wanted = {(what, getattr(row, f"{what}_id")) for row in rows for what in _SUBJECTS} | {
        ("channel", channel_id) for row in rows for channel_id in json.loads(row.channel_ids)
    }
    for what, table in {**_SUBJECTS, "channel": alert_channels}.items():
        ids = [found for kind, found in wanted if kind == what and found is not None]
        query = select(table.c.id, table.c.name).where(table.c.id.in_(ids))
        names |= {(what, row.id): row.name for row in connection.execute(query)}
    return [
        {
            "id": row.id,
            "name": row.name,
            "kind": row.kind,
            "percents": json.loads(row.percents),
            "channels": [
                names.get(("channel", channel_id), str(channel_id))
                for channel_id in json.loads(row.channel_ids)
            ],
            **{what: names.get((what, getattr(row, f"{what}_id"))) for what in _SUBJECTS},
            "created_at": _timestamp(row.created_at),
        }
        for row in rows
    ]


def _rules(connection: Connection) -> Sequence[Row[Any]]:
    query = select(alert_rules).where(alert_rules.c.removed_at.is_(None))
    return connection.execute(query.order_by(alert_rules.c.name)).all()


def _one(connection: Connection, table: Table, name: str, what: str) -> Row[Any]:
    query = select(table).where(table.c.name == name, table.c.removed_at.is_(None))
    found = connection.execute(query).one_or_none()
    if found is None:
        raise DirectoryError(f"there is no {what} {name!r}: `faregate {_listing(what)}` shows them")
    return found


def _listing(what: str) -> str:
    return f"alert {what.removeprefix('alert ')} list" if " " in what else f"{what} list"


def _insert(connection: Connection, table: Table, what: str, values: Mapping[str, Any]) -> Row[Any]:
    try:
        made = connection.execute(insert(table).values(**values)).inserted_primary_key
    except IntegrityError as error:
        raise DirectoryError(f"{what} {values['name']!r} exists already") from error
    assert made is not None
    return connection.execute(select(table).where(table.c.id == made[0])).one()


def _remove(connection: Connection, table: Table, row: Row[Any]) -> None:
    gone = {"removed_at": datetime.now(UTC), "name": f"{row.name} (removed {row.id})"}
    connection.execute(update(table).where(table.c.id == row.id).values(**gone))


def _channel_ids(connection: Connection, names: Sequence[str]) -> str:
    if not names:
        raise DirectoryError("a rule needs a channel: `faregate alert channel create` makes one")
    found = {_one(connection, alert_channels, name, "alert channel").id for name in names}
    return json.dumps(sorted(found))


def _checked_percents(kind: AlertKind, percents: Sequence[int]) -> str:
    chosen = sorted(set(percents or PERCENTS[kind]))
    least = 101 if kind is AlertKind.ANOMALY else 1
    if len(chosen) > PERCENTS_MAX or not all(least <= n <= PERCENT_MAX for n in chosen):
        raise DirectoryError(
            f"percentages of a rule about {kind.value} are from {least} to {PERCENT_MAX:,},"
            f" {PERCENTS_MAX} at most"
        )
    return json.dumps(chosen)


def _checked_secret(secret: str | None) -> str:
    if secret is None:
        return new_secret()
    try:
        secret_bytes(secret)
    except ValueError as error:
        raise DirectoryError(str(error)) from None
    return secret


def _timestamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
