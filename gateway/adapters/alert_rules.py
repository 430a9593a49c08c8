"""Alert rules in SQL: what is told, and to which channels. Every change is in the audit log.

The recorder processes read rules anew each second, so a change needs no announcement.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, Table, select

from gateway.adapters.alert_channels import the_channel
from gateway.adapters.control_tables import alert_channels, alert_rules
from gateway.adapters.directory_changes import (
    COMMAND_LINE,
    Change,
    Ref,
    Seen,
    check_seen,
    id_of,
    now,
    removed_name,
    where_is,
)
from gateway.adapters.directory_values import DirectoryError, NotThere, checked_name
from gateway.adapters.tables import budgets, clients, teams
from gateway.core.alerts import PERCENT_MAX, PERCENTS, AlertKind, Rule
from gateway.core.roles import Principal
from gateway.core.timestamps import timestamp

PERCENTS_MAX = 20
_SUBJECTS: Mapping[str, Table] = {"budget": budgets, "team": teams, "client": clients}


def create_rule(
    change: Change,
    name: str,
    kind: AlertKind,
    channels: Sequence[Ref],
    *,
    percents: Sequence[int] = (),
    budget: Ref | None = None,
    team: Ref | None = None,
    client: Ref | None = None,
) -> dict[str, Any]:
    """A new rule on a budget, a team, a client or (none named) all; returns its facts."""
    named = {"budget": budget, "team": team, "client": client}
    given = {what: ref for what, ref in named.items() if ref is not None}
    if len(given) > 1:
        raise DirectoryError("a rule is on a budget, a team or a client: name one of them")
    if kind is AlertKind.ANOMALY and budget is not None:
        raise DirectoryError("unusual spending is that of a team, a client or all, not of a budget")
    made = change.insert(
        alert_rules,
        f"alert rule {name!r} exists already",
        name=checked_name(name),
        kind=kind.value,
        percents=_checked_percents(kind, percents),
        channel_ids=_channel_ids(change.connection, channels),
        created_at=now(),
        **{
            f"{what}_id": id_of(change.connection, _SUBJECTS[what], ref, what)
            for what, ref in given.items()
        },
    )
    facts = _facts_of(change.connection, made)
    change.note("create", "alert_rule", None, facts)
    return facts


def change_rule(
    change: Change,
    ref: Ref,
    *,
    percents: Sequence[int] = (),
    channels: Sequence[Ref] = (),
    new_name: str | None = None,
    seen: Seen = None,
) -> dict[str, Any]:
    """Change when a rule speaks, where, or its name; returns its facts."""
    row = _the_rule(change.connection, ref)
    (before,) = _facts(change.connection, [row])
    check_seen(before, seen, "alert rule")
    values: dict[str, Any] = {}
    if percents:
        values["percents"] = _checked_percents(AlertKind(row.kind), percents)
    if channels:
        values["channel_ids"] = _channel_ids(change.connection, channels)
    if new_name is not None:
        values["name"] = checked_name(new_name)
    if not values:
        raise DirectoryError("nothing to change: name percentages or channels")
    change.update(alert_rules, row.id, f"alert rule {new_name!r} exists already", **values)
    after = _facts_of(change.connection, row.id)
    change.note("change", "alert_rule", before, after)
    return after


def remove_rule(change: Change, ref: Ref, seen: Seen = None) -> None:
    """Remove a rule; what it has told stays in the log."""
    row = _the_rule(change.connection, ref)
    (facts,) = _facts(change.connection, [row])
    check_seen(facts, seen, "alert rule")
    gone = removed_name(row.name, row.id)
    change.update(alert_rules, row.id, removed_at=now(), name=gone)
    change.note("remove", "alert_rule", facts, None)


def rules_of(connection: Connection) -> list[dict[str, Any]]:
    """The facts of all rules by name."""
    return _facts(connection, _rules(connection))


class AlertRules:
    """Reads and changes rules. Methods raise DirectoryError for bad input."""

    def __init__(self, engine: Engine, actor: Principal = COMMAND_LINE) -> None:
        self._engine = engine
        self._actor = actor

    def create(
        self, name: str, kind: AlertKind, channels: Sequence[Ref], **subject: Any
    ) -> dict[str, Any]:
        """A new rule; ``subject`` is as for ``create_rule`` above. Returns its facts.

        On a team or a client, a threshold or forecast watches the budgets set on it; on a team
        also those on its clients.
        """
        with self._engine.begin() as connection:
            return create_rule(Change(connection, self._actor), name, kind, channels, **subject)

    def change(
        self,
        ref: Ref,
        *,
        percents: Sequence[int] = (),
        channels: Sequence[Ref] = (),
        new_name: str | None = None,
        seen: Seen = None,
    ) -> dict[str, Any]:
        """Change when a rule speaks, where, or its name; returns its facts.

        What it has told stays told.
        """
        with self._engine.begin() as connection:
            return change_rule(
                Change(connection, self._actor),
                ref,
                percents=percents,
                channels=channels,
                new_name=new_name,
                seen=seen,
            )

    def remove(self, ref: Ref, seen: Seen = None) -> None:
        """Remove a rule; what it has told stays in the log."""
        with self._engine.begin() as connection:
            remove_rule(Change(connection, self._actor), ref, seen)

    def all(self) -> list[dict[str, Any]]:
        """The facts of all rules by name."""
        with self._engine.connect() as connection:
            return rules_of(connection)

    def one(self, ref: Ref) -> dict[str, Any]:
        """The facts of one rule. Raises NotThere."""
        with self._engine.connect() as connection:
            return _facts_of(connection, _the_rule(connection, ref).id)


def rules_in_force(engine: Engine) -> list[Rule]:
    """Every rule that is not removed, by name."""
    with engine.connect() as connection:
        return [
            Rule(
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
            for row in _rules(connection)
        ]


def _rules(connection: Connection) -> Sequence[Row[Any]]:
    query = select(alert_rules).where(alert_rules.c.removed_at.is_(None))
    return connection.execute(query.order_by(alert_rules.c.name)).all()


def _the_rule(connection: Connection, ref: Ref) -> Row[Any]:
    query = select(alert_rules).where(where_is(alert_rules, ref))
    found = connection.execute(query).one_or_none()
    if found is None:
        shown = repr(ref) if isinstance(ref, str) else ref
        raise NotThere(f"there is no alert rule {shown}: `faregate alert rule list` shows them")
    return found


def _facts_of(connection: Connection, rule_id: int) -> dict[str, Any]:
    row = connection.execute(select(alert_rules).where(alert_rules.c.id == rule_id)).one()
    return _facts(connection, [row])[0]


def _facts(connection: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Rules as programs see them, with the names of what they are about."""
    channel_ids = {one for row in rows for one in json.loads(row.channel_ids)}
    names = {"channel": _names(connection, alert_channels, channel_ids)}
    for what, table in _SUBJECTS.items():
        wanted = {getattr(row, f"{what}_id") for row in rows} - {None}
        names[what] = _names(connection, table, wanted)
    found = []
    for row in rows:
        facts: dict[str, Any] = {
            "id": row.id,
            "name": row.name,
            "kind": row.kind,
            "percents": json.loads(row.percents),
            "channels": [names["channel"].get(n, str(n)) for n in json.loads(row.channel_ids)],
        }
        for what in _SUBJECTS:
            subject_id = getattr(row, f"{what}_id")
            facts |= {f"{what}_id": subject_id, what: names[what].get(subject_id)}
        found.append(facts | {"created_at": timestamp(row.created_at)})
    return found


def _names(connection: Connection, table: Table, ids: set[int]) -> dict[int, str]:
    if not ids:
        return {}
    query = select(table.c.id, table.c.name).where(table.c.id.in_(ids))
    return {row.id: row.name for row in connection.execute(query)}


def _channel_ids(connection: Connection, refs: Sequence[Ref]) -> str:
    if not refs:
        raise DirectoryError("a rule needs a channel: `faregate alert channel create` makes one")
    return json.dumps(sorted({the_channel(connection, ref).id for ref in refs}))


def _checked_percents(kind: AlertKind, percents: Sequence[int]) -> str:
    chosen = sorted(set(percents or PERCENTS[kind]))
    least = 101 if kind is AlertKind.ANOMALY else 1
    if len(chosen) > PERCENTS_MAX or not all(least <= n <= PERCENT_MAX for n in chosen):
        raise DirectoryError(
            f"percentages of a rule about {kind.value} are from {least} to {PERCENT_MAX:,},"
            f" {PERCENTS_MAX} at most"
        )
    return json.dumps(chosen)
