"""What the demo starts with: schema, prices, teams, clients, keys and budgets."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from gateway.adapters.accounts import Accounts
from gateway.adapters.database import open_engine
from gateway.adapters.directory import Directory
from gateway.adapters.migrations import upgrade
from gateway.adapters.os_user import command_line
from gateway.adapters.passwords import hash_password
from gateway.adapters.price_gaps import full_prices
from gateway.adapters.price_rows import override_price, sync_prices
from gateway.core.budgets import Enforcement, WindowKind
from gateway.core.money import nano_from_usd
from gateway.core.price_overrides import parse_override
from gateway.core.prices import Meter
from gateway.core.roles import Role
from gateway.demo.real_model import CONTEXT_TOKENS, MODEL, OUTPUT_TOKENS_MAX
from gateway.settings import Settings

ORGANIZATION = "Acme"
ADMIN = "admin@acme.example"
"""Who signs in to the dashboard."""
VISITOR = "you"
"""The client whose key the demo shows; its team is ``visitors``."""


@dataclass(frozen=True, slots=True)
class ClientSeed:
    """A client to create; ``limits`` are columns of the clients table."""

    team: str
    name: str
    limits: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BudgetSeed:
    """A budget to create, on a team or (without one) the organization."""

    name: str
    usd: str
    window: WindowKind
    team: str | None = None
    enforcement: Enforcement = Enforcement.STRICT
    time_zone: str = "UTC"


CLIENTS = (
    ClientSeed("search", "ranker"),
    ClientSeed("search", "indexer", {"requests_per_minute": 8}),
    ClientSeed("support", "chatbot"),
    ClientSeed("support", "triage", {"allowed_models": ("gpt-4o-mini", "gpt-3.5-turbo*", MODEL)}),
    ClientSeed("research", "notebook"),
    ClientSeed("visitors", VISITOR),
)

TAGS = ("project", "env")
"""What the clients say a request is for."""

BUDGETS = (
    BudgetSeed("organization", "500", WindowKind.MONTH),
    BudgetSeed("search", "50", WindowKind.MONTH, team="search"),
    BudgetSeed(
        "support",
        "2",
        WindowKind.DAY,
        team="support",
        enforcement=Enforcement.EXPECTED,
        time_zone="Asia/Seoul",
    ),
)

RESEARCH_USD = {"simulation": "0.02", "real model": "0.0001"}
"""So little that requests are refused within seconds: the real model is cheap and slow."""

REAL_PRICE = {Meter.INPUT: "0.10", Meter.OUTPUT: "0.40"}
"""US dollars per million tokens; a made-up price for a model that costs nothing here."""


def seed(settings: Settings, *, real: bool) -> tuple[Engine, dict[str, str]]:
    """Bring the database to the demo's state, as often as it is run on one.

    Returns the engine and a new key of each client: earlier keys are known by hash alone.
    """
    engine = open_engine(settings.sql_url)
    upgrade(engine)
    directory = Directory(engine)
    directory.initialise(ORGANIZATION)
    sync_prices(engine, full_prices())
    if not directory.teams():
        _create(directory, "real model" if real else "simulation")
        if real:
            override_price(
                engine,
                MODEL,
                parse_override(REAL_PRICE),
                valid_from=datetime(2026, 1, 1, tzinfo=UTC),
                context_window=CONTEXT_TOKENS,
                output_tokens_max=OUTPUT_TOKENS_MAX,
            )
    return engine, {c.name: directory.create_key(c.name, "demo").secret for c in CLIENTS}


def seed_admin(engine: Engine) -> str:
    """Bring the account ADMIN about; returns its password, which is another one each time."""
    accounts, who = Accounts(engine), command_line()
    password = secrets.token_urlsafe(12)
    hashed = hash_password(password)
    if any(user.email == ADMIN for user in accounts.users()):
        accounts.set_password(who, ADMIN, hashed)
    else:
        accounts.create(who, ADMIN, Role.ADMIN, name="Demo", password_hash=hashed)
    return password


def _create(directory: Directory, provider: str) -> None:
    for tag in TAGS:
        directory.add_tag_key(tag)
    for team in dict.fromkeys(client.team for client in CLIENTS):
        directory.create_team(team)
    for client in CLIENTS:
        directory.create_client(client.team, client.name, **client.limits)
    last = (
        BudgetSeed("research", RESEARCH_USD[provider], WindowKind.HOUR, team="research"),
        BudgetSeed("visitors", "1", WindowKind.DAY, team="visitors"),
    )
    for budget in (*BUDGETS, *last):
        directory.create_budget(
            budget.name,
            limit_nano=nano_from_usd(budget.usd),
            window=budget.window,
            team=budget.team,
            enforcement=budget.enforcement,
            time_zone=budget.time_zone,
        )
