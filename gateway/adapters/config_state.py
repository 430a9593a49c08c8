"""What a deployment is, as configuration documents say it: one consistent read of SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text

from gateway.adapters import directory_budgets, directory_clients
from gateway.adapters.alert_rules import rules_of
from gateway.adapters.control_tables import alert_channels, tag_keys
from gateway.adapters.directory_changes import now
from gateway.adapters.directory_facts import budget_facts, client_facts, team_facts
from gateway.adapters.price_rows import stored_prices
from gateway.adapters.tables import budgets, clients, keys, teams
from gateway.core.config_document import KINDS
from gateway.core.config_plan import State
from gateway.core.prices import PriceBook


def config_state(engine: Engine) -> State:
    """The state as of one moment. Raises SQLAlchemy's errors."""
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        else:
            connection.exec_driver_sql("BEGIN")
        return read_state(connection)


def read_state(connection: Connection) -> State:
    """The state as a transaction sees it."""
    live_teams = select(teams).where(teams.c.removed_at.is_(None)).order_by(teams.c.name)
    live_clients = directory_clients.NAMED.where(clients.c.removed_at.is_(None))
    live_budgets = directory_budgets.NAMED.where(budgets.c.removed_at.is_(None))
    channels = select(alert_channels.c.name).where(alert_channels.c.removed_at.is_(None))
    prices = stored_prices(connection)
    rules = rules_of(connection)
    for rule in rules:
        rule["channels"] = sorted(rule["channels"])
    found = {
        "teams": map(team_facts, connection.execute(live_teams)),
        "clients": map(client_facts, connection.execute(live_clients.order_by(clients.c.name))),
        "budgets": map(budget_facts, connection.execute(live_budgets.order_by(budgets.c.name))),
        "alert_rules": rules,
    }
    return State(
        tags=tuple(connection.execute(select(tag_keys.c.name).order_by(tag_keys.c.name)).scalars()),
        things={section: _things(section, facts) for section, facts in found.items()},
        prices=[price for price in prices if price.is_override],
        book=PriceBook(prices),
        channels=frozenset(connection.execute(channels).scalars()),
        keys=_live_keys(connection),
    )


def _things(section: str, every: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    fields = KINDS[section].fields
    return {facts["name"]: {name: facts[name] for name in fields} for facts in every}


def _live_keys(connection: Connection) -> dict[str, int]:
    """How many keys of each client work."""
    query = (
        select(clients.c.name, func.count())
        .join(keys, keys.c.client_id == clients.c.id)
        .where(
            keys.c.revoked_at.is_(None),
            keys.c.expires_at.is_(None) | (keys.c.expires_at > now()),
        )
        .group_by(clients.c.name)
    )
    return {row[0]: int(row[1]) for row in connection.execute(query)}
