"""`faregate what-if`: what a budget would have refused, had it been there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from gateway.adapters.directory_values import checked_zone
from gateway.adapters.usage_history import recorded_uses
from gateway.cli.deployment import Deployment, open_deployment
from gateway.cli.output import Column, json_option, moment, note, print_json, print_table
from gateway.cli.parameters import as_nano, as_past
from gateway.core.budgets import Scope, WindowKind, window_at
from gateway.core.money import display_usd, usd_from_nano
from gateway.core.what_if import Played, Proposal, Replay

_WINDOW = click.Choice([kind.value for kind in WindowKind])


@dataclass(frozen=True)
class _Outcome:
    """What one budget would have done."""

    name: str
    proposal: Proposal
    windows: Sequence[Played]

    @property
    def refused(self) -> int:
        return sum(played.refused for played in self.windows)

    @property
    def refused_nano(self) -> int:
        return sum(played.refused_nano for played in self.windows)


@click.command()
@click.option(
    "--limit", "limit_nano", metavar="USD", required=True, callback=as_nano, help="Such as 300.00."
)
@click.option("--window", type=_WINDOW, required=True, help="When spending starts again at zero.")
@click.option("--team", help="The team that it would limit.")
@click.option("--client", help="The client that it would limit. Neither: the organization.")
@click.option("--model", "pattern", metavar="PATTERN", help="These models only: 'gpt-4o*'.")
@click.option("--time-zone", default="UTC", show_default=True, help="Such as Europe/Berlin.")
@click.option(
    "--since",
    metavar="WHEN",
    default="30d",
    show_default=True,
    callback=as_past,
    help="A duration back such as 7d, or a date (UTC); taken back to the start of its window.",
)
@click.option("--until", metavar="WHEN", callback=as_past, help="Likewise. Default: now.")
@json_option
def command(
    limit_nano: int,
    window: str,
    team: str | None,
    client: str | None,
    pattern: str | None,
    time_zone: str,
    since: datetime,
    until: datetime | None,
    as_json: bool,
) -> None:
    """Play what was recorded against a budget, as a strict one decides.

    A request counts as refused where its hold would not have fitted; the gateway may shorten an
    answer instead. What was refused at the time is in no record.
    """
    if team is not None and client is not None:
        raise click.UsageError("choose one of --team and --client")
    deployment = open_deployment()
    proposal = Proposal(limit_nano, WindowKind(window), checked_zone(time_zone))
    last = until or datetime.now(UTC)
    first = _start(proposal, since)
    present = _present(deployment, proposal, team, client, pattern)
    proposals = [("proposed", proposal), *present]
    replays = [Replay(one) for _, one in proposals]
    who = _who(deployment, team, client)
    for use in recorded_uses(deployment.engine, first, last, pattern=pattern, **who):
        for replay in replays:
            replay.add(use)
    outcomes = [
        _Outcome(name, one, replay.finish())
        for (name, one), replay in zip(proposals, replays, strict=True)
    ]
    if as_json:
        print_json({"since": first, "until": last, "budgets": [_facts(o) for o in outcomes]})
    else:
        _print(outcomes, first, last)


def _start(proposal: Proposal, since: datetime) -> datetime:
    """The start of the window that ``since`` is in; ``since`` itself where there is but one."""
    if proposal.window is WindowKind.TOTAL:
        return since
    window = window_at(proposal.window, proposal.time_zone, int(since.timestamp() * 1000))
    return _moment(window.start_ms)


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC)


def _who(deployment: Deployment, team: str | None, client: str | None) -> dict[str, int]:
    if team is not None:
        return {"team_id": deployment.directory.require_team(team)}
    if client is not None:
        return {"client_id": deployment.directory.require_client(client)}
    return {}


def _present(
    deployment: Deployment,
    proposal: Proposal,
    team: str | None,
    client: str | None,
    pattern: str | None,
) -> list[tuple[str, Proposal]]:
    """The budgets there are on the same, with the same window."""
    scope = Scope.TEAM if team else Scope.CLIENT if client else Scope.ORGANIZATION
    return [
        (row.name, Proposal(row.limit_nano, WindowKind(row.window), row.time_zone))
        for row in deployment.directory.budgets()
        if row.scope == scope.value
        and (scope is not Scope.TEAM or row.team_name == team)
        and (scope is not Scope.CLIENT or row.client_name == client)
        and (row.window, row.model_pattern, row.tag) == (proposal.window.value, pattern, None)
    ]


def _print(outcomes: Sequence[_Outcome], first: datetime, last: datetime) -> None:
    proposed, *present = outcomes
    if not proposed.windows:
        note(f"No requests from {moment(first)} to {moment(last)} UTC.")
        return
    print_table(
        [
            Column("Window"),
            Column("Requests", number=True),
            Column("Refused", number=True),
            Column("Spent", number=True),
            Column("Of that refused", number=True),
        ],
        [_cells(proposed.proposal, played) for played in proposed.windows],
        total=(
            "Total",
            f"{sum(played.requests for played in proposed.windows):,}",
            f"{proposed.refused:,}",
            display_usd(sum(played.recorded_nano for played in proposed.windows)),
            display_usd(proposed.refused_nano),
        ),
    )
    limit, window = display_usd(proposed.proposal.limit_nano), proposed.proposal.window.value
    note(f"With {limit} per {window}, from {moment(first)} to {moment(last)} UTC.")
    for outcome in present:
        note(
            f"Budget {outcome.name} ({display_usd(outcome.proposal.limit_nano)}) by the same"
            f" rules: {outcome.refused:,} refused, of {display_usd(outcome.refused_nano)}."
        )
    if not present:
        note("There is no such budget now.")


def _cells(proposal: Proposal, played: Played) -> tuple[str, ...]:
    total = proposal.window is WindowKind.TOTAL
    window = "all" if total else moment(_moment(played.window.start_ms))
    if played.exhausted_ms is not None:
        window += f"\nfull {moment(_moment(played.exhausted_ms))}"
    return (
        window,
        f"{played.requests:,}",
        f"{played.refused:,}" if played.refused else "-",
        display_usd(played.recorded_nano),
        display_usd(played.refused_nano) if played.refused else "-",
    )


def _facts(outcome: _Outcome) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "limit_usd": usd_from_nano(outcome.proposal.limit_nano),
        "window": outcome.proposal.window.value,
        "requests": sum(played.requests for played in outcome.windows),
        "refused": outcome.refused,
        "refused_usd": usd_from_nano(outcome.refused_nano),
        "windows": [
            {
                "start": _moment(played.window.start_ms),
                "requests": played.requests,
                "refused": played.refused,
                "recorded_usd": usd_from_nano(played.recorded_nano),
                "spent_usd": usd_from_nano(played.spent_nano),
                "refused_usd": usd_from_nano(played.refused_nano),
                "first_refusal": None
                if played.exhausted_ms is None
                else _moment(played.exhausted_ms),
            }
            for played in outcome.windows
        ],
    }
