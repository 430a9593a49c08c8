"""`faregate budget`: limits in US dollars per window."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from sqlalchemy import Row

from gateway.adapters.budget_state import BudgetState, counted_states, recorded_states
from gateway.adapters.redis_budgets import StoreDown
from gateway.adapters.redis_replies import CountersLost
from gateway.adapters.stores import StoreNotRunning
from gateway.cli.deployment import Deployment, open_deployment
from gateway.cli.output import (
    Column,
    json_option,
    moment,
    note,
    print_json,
    print_table,
    rounded_usd,
    say,
)
from gateway.cli.parameters import as_nano
from gateway.core.budgets import FOREVER_MS, Enforcement, Scope, WindowKind
from gateway.core.money import display_usd, usd_from_nano

_ENFORCEMENT = click.Choice([kind.value for kind in Enforcement])
_WINDOW = click.Choice([kind.value for kind in WindowKind])


@click.group()
def command() -> None:
    """Create, change, remove and list budgets."""


@command.command()
@click.argument("name")
@click.option(
    "--limit", "limit_nano", metavar="USD", required=True, callback=as_nano, help="Such as 100.00."
)
@click.option("--window", type=_WINDOW, required=True, help="When spending starts again at zero.")
@click.option("--team", help="The team that it limits.")
@click.option("--client", help="The client that it limits. Neither: the organization.")
@click.option("--time-zone", default="UTC", show_default=True, help="Such as Europe/Berlin.")
@click.option(
    "--enforcement",
    type=_ENFORCEMENT,
    default=Enforcement.STRICT.value,
    show_default=True,
    help="strict: never exceeded. expected: may overrun a little. soft: never refuses.",
)
@click.option("--model", "model_pattern", metavar="PATTERN", help="These models only: 'gpt-4o*'.")
@click.option("--tag", metavar="NAME=VALUE", help="Requests with this tag only.")
@json_option
def create(
    name: str, window: str, enforcement: str, as_json: bool, limit_nano: int, **where: Any
) -> None:
    """Create the budget NAME."""
    deployment = open_deployment()
    budget_id = deployment.directory.create_budget(
        name,
        limit_nano=limit_nano,
        window=WindowKind(window),
        enforcement=Enforcement(enforcement),
        **where,
    )
    deployment.announce()
    if as_json:
        print_json({"id": budget_id, "name": name, "limit_usd": usd_from_nano(limit_nano)})
    else:
        say(f"Created budget {name}: {display_usd(limit_nano)}, window: {window}, {enforcement}.")


@command.command("set")
@click.argument("name")
@click.option("--limit", "limit_nano", metavar="USD", callback=as_nano, help="The new limit.")
@click.option("--enforcement", type=_ENFORCEMENT, help="The new enforcement.")
@json_option
def change(name: str, limit_nano: int | None, enforcement: str | None, as_json: bool) -> None:
    """Change the budget NAME; what it has spent stays spent."""
    deployment = open_deployment()
    deployment.directory.change_budget(
        name,
        limit_nano=limit_nano,
        enforcement=None if enforcement is None else Enforcement(enforcement),
    )
    deployment.announce()
    row = next(row for row in deployment.directory.budgets() if row.name == name)
    if as_json:
        print_json(_facts(row))
    else:
        say(f"Changed budget {name}: {display_usd(row.limit_nano)}, {row.enforcement}.")


@command.command()
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Stop enforcing the budget NAME; its usage records stay."""
    deployment = open_deployment()
    deployment.directory.remove_budget(name)
    deployment.announce()
    if as_json:
        print_json({"name": name, "state": "removed"})
    else:
        say(f"Removed budget {name}.")


@command.command("list")
@json_option
def list_budgets(as_json: bool) -> None:
    """List the budgets and where each stands in its current window."""
    deployment = open_deployment()
    rows = deployment.directory.budgets()
    if not rows and not as_json:
        note("There is no budget yet. Create one: faregate budget create NAME --limit 100.00")
        note("--window month --client CLIENT")
        return
    states = _states(deployment, rows)
    if as_json:
        print_json(
            [
                _facts(row) | _state_facts(row, state)
                for row, state in zip(rows, states, strict=True)
            ]
        )
        return
    columns = [Column("Budget"), *(Column(c, number=True) for c in ("Limit", "Spent", "Held"))]
    print_table(
        [*columns, Column("Left", number=True), Column("Resets (UTC)")],
        [_cells(row, state) for row, state in zip(rows, states, strict=True)],
    )


def _states(deployment: Deployment, rows: Sequence[Row[Any]]) -> list[BudgetState]:
    """As Redis counts; where it cannot say, as SQL has recorded."""
    try:
        with deployment.redis_budgets() as budgets:
            return counted_states(budgets, rows)
    except StoreNotRunning:
        reason = "Redis is not running"
    except StoreDown as error:
        reason = f"Redis does not answer ({error})"
    except CountersLost:
        reason = "Redis is empty and waits for the recorder"
    note(f"{reason}: spent is what was recorded, held is not known.")
    return recorded_states(deployment.engine, rows, datetime.now(UTC))


def _cells(row: Row[Any], state: BudgetState) -> tuple[str, ...]:
    held = state.held_nano
    about = [_on(row), row.window, row.enforcement]
    if row.model_pattern is not None:
        about.append(row.model_pattern)
    if row.tag is not None:
        about.append(row.tag)
    if row.time_zone != "UTC":
        about.append(row.time_zone)
    return (
        f"{row.name}\n{', '.join(about)}",
        display_usd(row.limit_nano),
        rounded_usd(state.spent_nano, up=True),
        "?" if held is None else rounded_usd(held, up=True),
        rounded_usd(_left(row, state), up=False),
        moment(_resets(state)),
    )


def _on(row: Row[Any]) -> str:
    if row.scope == Scope.TEAM:
        return f"team {row.team_name}"
    return f"client {row.client_name}" if row.scope == Scope.CLIENT else "organization"


def _left(row: Row[Any], state: BudgetState) -> int:
    return int(row.limit_nano) - state.spent_nano - (state.held_nano or 0)


def _resets(state: BudgetState) -> datetime | None:
    end_ms = state.window.end_ms
    return None if end_ms == FOREVER_MS else datetime.fromtimestamp(end_ms / 1000, tz=UTC)


def _facts(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "scope": row.scope,
        "team": row.team_name,
        "client": row.client_name,
        "limit_usd": usd_from_nano(row.limit_nano),
        "window": row.window,
        "time_zone": row.time_zone,
        "enforcement": row.enforcement,
        "model_pattern": row.model_pattern,
        "tag": row.tag,
        "created_at": row.created_at,
    }


def _state_facts(row: Row[Any], state: BudgetState) -> dict[str, Any]:
    held = state.held_nano
    return {
        "spent_usd": usd_from_nano(state.spent_nano),
        "held_usd": None if held is None else usd_from_nano(held),
        "left_usd": usd_from_nano(_left(row, state)),
        "window_start": datetime.fromtimestamp(state.window.start_ms / 1000, tz=UTC),
        "resets_at": _resets(state),
        "source": "recorded" if held is None else "counters",
    }
