"""Alert channels in SQL: where alerts go. Every change is in the audit log, in its transaction.

No secret and no path of a URL leaves this module but for sending: of a webhook the secret is shown
once, and of a URL the host.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, select

from gateway.adapters.alert_senders import Channel
from gateway.adapters.alert_targets import checked_url, display_url
from gateway.adapters.control_tables import alert_channels, alert_rules
from gateway.adapters.directory_changes import (
    COMMAND_LINE,
    Change,
    Ref,
    Seen,
    check_seen,
    now,
    removed_name,
    where_is,
)
from gateway.adapters.directory_values import DirectoryError, InTheWay, NotThere, checked_name
from gateway.core.alerts import ChannelKind
from gateway.core.roles import Principal
from gateway.core.timestamps import timestamp
from gateway.core.webhook_signatures import new_secret, secret_bytes

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,189}")
"""An e-mail address as people have them: quoted local parts are not taken."""


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A channel that was just made or changed. ``secret`` signs its webhooks, and is shown once."""

    facts: Mapping[str, Any]
    secret: str | None


class AlertChannels:
    """Reads and changes channels. Methods raise DirectoryError for bad input.

    ``actor`` is who makes the changes; ``hosts`` are those of FAREGATE_ALERT_HOSTS.
    """

    def __init__(
        self, engine: Engine, actor: Principal = COMMAND_LINE, hosts: Sequence[str] = ()
    ) -> None:
        self._engine = engine
        self._actor = actor
        self._hosts = hosts

    def create(
        self, name: str, kind: ChannelKind, target: str, secret: str | None = None
    ) -> NewSecret:
        """A new channel. A webhook without a ``secret`` is given one; others have none."""
        if kind is not ChannelKind.WEBHOOK and secret is not None:
            raise DirectoryError("only webhooks are signed: a secret has no use here")
        with self._engine.begin() as connection:
            change = Change(connection, self._actor)
            made = change.insert(
                alert_channels,
                f"alert channel {name!r} exists already",
                name=checked_name(name),
                kind=kind.value,
                target=self._checked_target(kind, target),
                secret=_checked_secret(secret) if kind is ChannelKind.WEBHOOK else None,
                created_at=now(),
            )
            row = the_channel(connection, made)
            change.note("create", "alert_channel", None, channel_facts(row))
        return NewSecret(channel_facts(row), row.secret)

    def change(
        self,
        ref: Ref,
        *,
        target: str | None = None,
        new_name: str | None = None,
        rotate: bool = False,
        seen: Seen = None,
    ) -> NewSecret:
        """Send a channel's alerts elsewhere, rename it, or (``rotate``) give it a new secret.

        Alerts that wait go to the new target, signed with the new secret.
        """
        with self._engine.begin() as connection:
            row = the_channel(connection, ref)
            before = channel_facts(row)
            check_seen(before, seen, "alert channel")
            kind = ChannelKind(row.kind)
            values: dict[str, Any] = {}
            if target is not None:
                values["target"] = self._checked_target(kind, target)
            if new_name is not None:
                values["name"] = checked_name(new_name)
            if rotate and kind is ChannelKind.WEBHOOK:
                values["secret"] = new_secret()
            if not values:
                raise DirectoryError("nothing to change: name a target, or a webhook's new secret")
            change = Change(connection, self._actor)
            taken = f"alert channel {new_name!r} exists already"
            change.update(alert_channels, row.id, taken, **values)
            after = channel_facts(the_channel(connection, int(row.id)))
            # Neither may be written down; that they changed is.
            unseen = {f"new_{what}": True for what in ("target", "secret") if what in values}
            change.note("change", "alert_channel", before, after | unseen)
        return NewSecret(after, values.get("secret"))

    def remove(self, ref: Ref, seen: Seen = None) -> None:
        """Remove a channel that no rule uses; what waits for it is not sent any more."""
        with self._engine.begin() as connection:
            row = the_channel(connection, ref)
            facts = channel_facts(row)
            check_seen(facts, seen, "alert channel")
            query = select(alert_rules).where(alert_rules.c.removed_at.is_(None))
            for rule in connection.execute(query):
                if row.id in json.loads(rule.channel_ids):
                    raise InTheWay(
                        f"the alert rule {rule.name!r} uses this channel: remove that first"
                    )
            change = Change(connection, self._actor)
            gone = removed_name(row.name, row.id)
            change.update(alert_channels, row.id, removed_at=now(), name=gone)
            change.note("remove", "alert_channel", facts, None)

    def all(self) -> list[dict[str, Any]]:
        """The facts of all channels by name, without secrets."""
        query = select(alert_channels).where(alert_channels.c.removed_at.is_(None))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(alert_channels.c.name)).all()
        return [channel_facts(row) for row in rows]

    def one(self, ref: Ref) -> dict[str, Any]:
        """The facts of one channel. Raises NotThere."""
        with self._engine.connect() as connection:
            return channel_facts(the_channel(connection, ref))

    def to_send(self, ref: Ref) -> Channel:
        """A channel with all that sending takes, its secret too. Raises NotThere."""
        with self._engine.connect() as connection:
            return channel_of(the_channel(connection, ref))

    def _checked_target(self, kind: ChannelKind, target: str) -> str:
        if kind is not ChannelKind.EMAIL:
            return checked_url(target, self._hosts)
        if not _ADDRESS.fullmatch(target):
            raise DirectoryError(f"{target!r} is not an e-mail address")
        return target


def the_channel(connection: Connection, ref: Ref) -> Row[Any]:
    """The row of a channel. Raises NotThere."""
    query = select(alert_channels).where(where_is(alert_channels, ref))
    found = connection.execute(query).one_or_none()
    if found is None:
        shown = repr(ref) if isinstance(ref, str) else ref
        raise NotThere(
            f"there is no alert channel {shown}: `faregate alert channel list` shows them"
        )
    return found


def channel_of(row: Row[Any]) -> Channel:
    """A row of alert_channels, for sending."""
    return Channel(row.id, row.name, ChannelKind(row.kind), row.target, row.secret)


def channel_facts(row: Row[Any]) -> dict[str, Any]:
    """A channel as it may be shown."""
    is_address = row.kind == ChannelKind.EMAIL
    return {
        "id": row.id,
        "name": row.name,
        "kind": row.kind,
        "target": row.target if is_address else display_url(row.target),
        "created_at": timestamp(row.created_at),
    }


def _checked_secret(secret: str | None) -> str:
    if secret is None:
        return new_secret()
    try:
        secret_bytes(secret)
    except ValueError as error:
        raise DirectoryError(str(error)) from None
    return secret
