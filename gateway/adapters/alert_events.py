"""Crossings and their deliveries in SQL: told once each, however many processes find them.

The unique key of ``alert_events`` decides who made an event, and its deliveries are written in the
same transaction. Whoever takes a delivery counts its attempt first, which the next one to look
sees: of several processes one sends, and one that dies while sending leaves the delivery to the
others after ``LEASE_SECONDS``. So each alert is sent at least once, and again only where nobody
knows whether it arrived; its id is the same then.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row, Select, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.adapters.alert_channels import channel_of
from gateway.adapters.alert_senders import Answer, Channel
from gateway.adapters.control_tables import (
    alert_channels,
    alert_deliveries,
    alert_events,
    alert_rules,
)
from gateway.core.alert_messages import Message, message_of
from gateway.core.alerts import GIVE_UP_SECONDS, Crossing, Rule, Verdict, pause_seconds

LEASE_SECONDS = 60.0
"""After this, who took a delivery and has not said what became of it is taken for dead. Longer than
an attempt can last."""

WAITING, SENT, FAILED = "waiting", "sent", "failed"
LOG_ROWS = 50


@dataclass(frozen=True, slots=True)
class Delivery:
    """One alert that waits for one channel."""

    id: int
    attempts: int
    since: datetime
    """When its event was made."""
    channel: Channel
    message: Message
    channel_gone: bool


def announce(engine: Engine, rule: Rule, crossing: Crossing, now: datetime) -> bool:
    """Write a crossing down, with a delivery for each channel of its rule; whether it was new.

    Raises SQLAlchemy's errors; then nothing is written.
    """
    module = postgresql if engine.dialect.name == "postgresql" else sqlite
    event = module.insert(alert_events).values(
        rule_id=crossing.rule_id,
        subject=crossing.subject,
        period_start=datetime.fromtimestamp(crossing.period_start_ms / 1000, UTC),
        percent=crossing.percent,
        facts=json.dumps(crossing.facts, sort_keys=True),
        created_at=now,
    )
    with engine.begin() as connection:
        made = connection.execute(event.on_conflict_do_nothing().returning(alert_events.c.id))
        event_id = made.scalar_one_or_none()
        if event_id is None:
            return False
        for channel_id in rule.channel_ids:
            connection.execute(
                insert(alert_deliveries).values(
                    event_id=event_id,
                    channel_id=channel_id,
                    state=WAITING,
                    attempts=0,
                    next_at=now,
                )
            )
    return True


def due(engine: Engine, now: datetime, limit: int = 200) -> list[Delivery]:
    """Deliveries whose time has come, the longest waiting first."""
    d = alert_deliveries.c
    query = (
        _deliveries()
        .where(d.state == WAITING, d.next_at <= now)
        .order_by(d.next_at, d.id)
        .limit(limit)
    )
    with engine.connect() as connection:
        return [_delivery(row) for row in connection.execute(query).all()]


def take(engine: Engine, delivery: Delivery, now: datetime) -> bool:
    """Take a delivery for one attempt, which is counted; False where another was quicker."""
    d = alert_deliveries.c
    change = (
        update(alert_deliveries)
        .where(d.id == delivery.id, d.state == WAITING, d.attempts == delivery.attempts)
        .values(attempts=d.attempts + 1, next_at=now + timedelta(seconds=LEASE_SECONDS))
    )
    with engine.begin() as connection:
        return connection.execute(change).rowcount == 1


def note_answer(
    engine: Engine, delivery: Delivery, answer: Answer, now: datetime, chance: float
) -> str:
    """Write down what became of an attempt on a delivery that was taken; returns its state.

    Nothing is written where another process has taken it meanwhile. ``chance``, from 0 to 1,
    spreads what is tried again.
    """
    attempts = delivery.attempts + 1
    values: dict[str, Any] = {"last_error": answer.error or None}
    too_old = now - delivery.since > timedelta(seconds=GIVE_UP_SECONDS)
    if answer.verdict is Verdict.SENT:
        values |= {"state": SENT, "sent_at": now}
    elif answer.verdict is Verdict.FAILED or too_old:
        values |= {"state": FAILED}
    else:
        pause = pause_seconds(attempts, chance, answer.again_after_seconds)
        values |= {"state": WAITING, "next_at": now + timedelta(seconds=pause)}
    d = alert_deliveries.c
    change = update(alert_deliveries).where(
        d.id == delivery.id, d.state == WAITING, d.attempts == attempts
    )
    with engine.begin() as connection:
        connection.execute(change.values(**values))
    return str(values["state"])


def log(engine: Engine, rows: int = LOG_ROWS, before: int | None = None) -> list[dict[str, Any]]:
    """The newest alerts, at most ``rows`` and older than the event ``before``, as facts.

    Each has what was told and what became of its deliveries.
    """
    query = (
        select(alert_events, alert_rules.c.name.label("rule_name"))
        .join(alert_rules, alert_events.c.rule_id == alert_rules.c.id)
        .order_by(alert_events.c.id.desc())
        .limit(rows)
    )
    if before is not None:
        query = query.where(alert_events.c.id < before)
    with engine.connect() as connection:
        events = connection.execute(query).all()
        ids = [event.id for event in events]
        sent: dict[int, list[dict[str, Any]]] = {event_id: [] for event_id in ids}
        about = _deliveries().where(alert_deliveries.c.event_id.in_(ids))
        for row in connection.execute(about.order_by(alert_deliveries.c.id)):
            sent[row.event_id].append(_delivery_facts(row))
    return [_event_facts(event) | {"deliveries": sent[event.id]} for event in events]


def _deliveries() -> Select[Any]:
    d, e, c = alert_deliveries.c, alert_events.c, alert_channels.c
    return (
        select(
            d.id.label("delivery_id"),
            d.event_id,
            d.state,
            d.attempts,
            d.next_at,
            d.last_error,
            d.sent_at,
            e.facts,
            e.created_at.label("event_at"),
            c.id,
            c.name,
            c.kind,
            c.target,
            c.secret,
            c.removed_at,
        )
        .join(alert_events, d.event_id == e.id)
        .join(alert_channels, d.channel_id == c.id)
    )


def _delivery(row: Row[Any]) -> Delivery:
    message = message_of(json.loads(row.facts), row.event_at, str(row.event_id), str(row.id))
    return Delivery(
        id=row.delivery_id,
        attempts=row.attempts,
        since=row.event_at,
        channel=channel_of(row),
        message=message,
        channel_gone=row.removed_at is not None,
    )


def _event_facts(event: Row[Any]) -> dict[str, Any]:
    message = message_of(json.loads(event.facts), event.created_at, str(event.id), "")
    return {
        "id": event.id,
        "at": event.created_at,
        "rule": event.rule_name,
        "type": message.type,
        "subject": event.subject,
        "percent": event.percent,
        "title": message.title,
        "lines": list(message.lines),
        "data": dict(message.data),
    }


def _delivery_facts(row: Row[Any]) -> dict[str, Any]:
    return {
        "channel": row.name,
        "kind": row.kind,
        "state": row.state,
        "attempts": row.attempts,
        "next_at": row.next_at if row.state == WAITING else None,
        "sent_at": row.sent_at,
        "last_error": row.last_error,
    }
