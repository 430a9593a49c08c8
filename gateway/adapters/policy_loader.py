"""Loads the policy that a gateway process decides by: one consistent read of SQL."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Engine, Row, select, text

from gateway.adapters.control_tables import tag_keys
from gateway.adapters.directory_changes import policy_version
from gateway.adapters.price_rows import stored_prices
from gateway.adapters.tables import budgets, clients, keys, teams
from gateway.core.budgets import Budget, Enforcement, Scope, WindowKind
from gateway.core.policy import Client, Key, Policy, Sharing, budgets_by_client
from gateway.core.prices import PriceBook


def load_policy(engine: Engine) -> Policy:
    """The policy as of one moment. Raises SQLAlchemy's errors."""
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            # All tables as of one moment: a change half-way between two reads must not mix.
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        else:
            connection.exec_driver_sql("BEGIN")
        return _read(connection)


def _read(connection: Connection) -> Policy:
    version = policy_version(connection)
    found = connection.execute(
        select(clients, teams.c.name.label("team_name"), teams.c.sharing)
        .join(teams)
        .where(clients.c.removed_at.is_(None))
    ).all()
    all_clients = [_client(row) for row in found]
    all_budgets = [
        _budget(row)
        for row in connection.execute(select(budgets).where(budgets.c.removed_at.is_(None)))
    ]
    all_keys = {
        row.hash: Key(
            row.id,
            row.client_id,
            f"{row.prefix}...{row.last_four}",
            row.expires_at,
            row.revoked_at,
        )
        for row in connection.execute(select(keys))
    }
    return Policy(
        version=version,
        prices=PriceBook(stored_prices(connection)),
        keys=all_keys,
        clients={client.id: client for client in all_clients},
        budgets=budgets_by_client(all_clients, all_budgets),
        tags=frozenset(connection.execute(select(tag_keys.c.name)).scalars()),
    )


def _client(row: Row[Any]) -> Client:
    return Client(
        id=row.id,
        name=row.name,
        team_id=row.team_id,
        team_name=row.team_name,
        allowed_models=tuple(json.loads(row.allowed_models)),
        requests_per_minute=row.requests_per_minute,
        tokens_per_minute=row.tokens_per_minute,
        concurrent_requests=row.concurrent_requests,
        default_output_tokens=row.default_output_tokens,
        output_floor_tokens=row.output_floor_tokens,
        clamp_output=row.clamp_output,
        may_fine_tune=row.may_fine_tune,
        outage_allowance_nano=row.outage_allowance_nano,
        sharing=Sharing(row.sharing),
    )


def _budget(row: Row[Any]) -> Budget:
    return Budget(
        id=row.id,
        name=row.name,
        scope=Scope(row.scope),
        limit_nano=row.limit_nano,
        window=WindowKind(row.window),
        time_zone=row.time_zone,
        enforcement=Enforcement(row.enforcement),
        team_id=row.team_id,
        client_id=row.client_id,
        model_pattern=row.model_pattern,
        tag=row.tag,
    )
