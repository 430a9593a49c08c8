"""`faregate reconcile`: what the provider bills beside what is recorded, and why they differ."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from gateway.adapters.adjustments import Source, adjustments_of
from gateway.adapters.os_user import command_line
from gateway.adapters.provider_bill import ProviderBill
from gateway.adapters.reconciliation_rows import State, dismiss, find, lines_of, listed
from gateway.cli.deployment import Deployment, open_deployment
from gateway.cli.output import Column, json_option, note, print_json, print_table, say
from gateway.cli.parameters import as_past
from gateway.core.money import display_usd, usd_from_nano
from gateway.core.reports import day_after, day_of
from gateway.workers.reconciler import Reconciler, approve_reconciliation

_ID = click.IntRange(1, 2**63 - 1)


@click.command()
@click.option(
    "--since",
    metavar="WHEN",
    default="7d",
    show_default=True,
    callback=as_past,
    help="A duration back such as 7d, or a date (UTC). Days count whole.",
)
@click.option("--until", metavar="WHEN", callback=as_past, help="Likewise. Default: before today.")
@click.option("--show", "shown", type=_ID, metavar="ID", help="Show one made before.")
@click.option("--list", "as_list", is_flag=True, help="List those made before.")
@click.option("--approve", type=_ID, metavar="ID", help="Post its differences as adjustments.")
@click.option("--dismiss", "dismissed", type=_ID, metavar="ID", help="Decide against posting.")
@json_option
def command(
    since: datetime,
    until: datetime | None,
    shown: int | None,
    as_list: bool,
    approve: int | None,
    dismissed: int | None,
    as_json: bool,
) -> None:
    """Compare what is recorded with the provider's bill, day by day and line by line.

    The bill is read with FAREGATE_OPENAI_ADMIN_KEY. Nothing is posted before --approve.
    """
    if sum((shown is not None, as_list, approve is not None, dismissed is not None)) > 1:
        raise click.UsageError("choose one of --show, --list, --approve and --dismiss")
    deployment = open_deployment()
    if as_list:
        _list(deployment, as_json)
        return
    if approve is not None:
        approve_reconciliation(deployment.engine, approve, command_line())
    elif dismissed is not None:
        dismiss(deployment.engine, dismissed, command_line())
    which = shown or approve or dismissed
    if which is None:
        which = _compare(deployment, since, until)
    _show(deployment, which, as_json)


def _compare(deployment: Deployment, since: datetime, until: datetime | None) -> int:
    now = datetime.now(UTC)
    first, last = day_of(since), day_after(until) if until else day_of(now)
    if first >= last:
        raise click.UsageError("no whole day lies between --since and --until")
    if last > day_of(now):
        note("Today is not over: its bill and its records still grow.")
    bill = ProviderBill(deployment.settings)
    return Reconciler(deployment.engine, bill).compare(first, last, command_line()).id


def _list(deployment: Deployment, as_json: bool) -> None:
    rows = listed(deployment.engine)
    if as_json:
        print_json([_facts(row) for row in rows])
    elif not rows:
        note("Nothing was compared yet: `faregate reconcile` does.")
    else:
        print_table(
            [
                Column("No.", number=True),
                Column("Days"),
                Column("Recorded", number=True),
                Column("Bill", number=True),
                Column("State"),
            ],
            [
                (
                    row.id,
                    _days(row),
                    display_usd(row.ours_nano),
                    display_usd(row.theirs_nano),
                    row.state,
                )
                for row in rows
            ],
        )


def _show(deployment: Deployment, which: int, as_json: bool) -> None:
    with deployment.engine.connect() as connection:
        row = find(connection, which)
        lines = lines_of(connection, which)
    posted = adjustments_of(deployment.engine, Source.RECONCILIATION, which)
    if as_json:
        adjusted = sum(item.cost_nano for item in posted)
        print_json(
            {
                **_facts(row),
                "adjusted_usd": usd_from_nano(adjusted),
                "differences": [_line_facts(line) for line in lines],
            }
        )
        return
    say(f"Reconciliation {row.id} with {row.provider}, {_days(row)}: {row.state}.")
    if not lines:
        say(f"No difference: {display_usd(row.ours_nano)} are recorded, and billed.")
        return
    _print_lines(row, lines)
    _print_causes(row, lines)
    if row.state == State.OPEN.value:
        note(
            f"`faregate reconcile --approve {row.id}` posts these as adjustments, so that what is"
            f" recorded equals the bill; `--dismiss {row.id}` decides against it."
        )
    elif posted:
        note(f"{len(posted)} adjustments are posted, by {row.decided_by}.")


def _print_lines(row: Any, lines: Sequence[Any]) -> None:
    by_line: dict[tuple[Any, ...], list[Any]] = {}
    for line in lines:
        by_line.setdefault((line.day, line.model, line.line_item), []).append(line)
    print_table(
        [
            Column("Day, line item"),
            Column("Recorded", number=True),
            Column("Bill", number=True),
            Column("Difference", number=True),
        ],
        [_cells(parts) for parts in by_line.values()],
        total=(
            "Total",
            display_usd(row.ours_nano),
            display_usd(row.theirs_nano),
            _signed(row.theirs_nano - row.ours_nano),
        ),
    )


def _cells(parts: Sequence[Any]) -> tuple[str, ...]:
    first = parts[0]
    name = first.line_item.replace("_", " ")
    causes = [
        f"{part.cause.replace('_', ' ')} {_signed(part.cause_nano)}: {part.explanation}"
        for part in parts
    ]
    line = f"{first.model}, {name}" if first.model else name
    return (
        "\n".join([f"{first.day:%Y-%m-%d} {line}", *causes]),
        display_usd(first.ours_nano),
        display_usd(first.theirs_nano),
        _signed(first.theirs_nano - first.ours_nano),
    )


def _print_causes(row: Any, lines: Sequence[Any]) -> None:
    causes: dict[str, list[int]] = {}
    for line in lines:
        causes.setdefault(line.cause, []).append(line.cause_nano)
    ordered = sorted(causes.items(), key=lambda item: -abs(sum(item[1])))
    print_table(
        [Column("Cause"), Column("Lines", number=True), Column("Bill has more", number=True)],
        [
            (cause.replace("_", " "), f"{len(amounts):,}", _signed(sum(amounts)))
            for cause, amounts in ordered
        ],
        total=("Difference", "", _signed(row.theirs_nano - row.ours_nano)),
    )


def _days(row: Any) -> str:
    return f"{row.since:%Y-%m-%d} to before {row.until:%Y-%m-%d}"


def _signed(nano: int) -> str:
    return f"+{display_usd(nano)}" if nano > 0 else display_usd(nano)


def _facts(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "since": row.since,
        "until": row.until,
        "provider": row.provider,
        "state": row.state,
        "ours_usd": usd_from_nano(row.ours_nano),
        "theirs_usd": usd_from_nano(row.theirs_nano),
        "difference_usd": usd_from_nano(row.theirs_nano - row.ours_nano),
        "created_at": row.created_at,
        "created_by": row.created_by,
        "decided_at": row.decided_at,
        "decided_by": row.decided_by,
    }


def _line_facts(line: Any) -> dict[str, Any]:
    return {
        "day": line.day,
        "model": line.model,
        "line_item": line.line_item,
        "ours_usd": usd_from_nano(line.ours_nano),
        "theirs_usd": usd_from_nano(line.theirs_nano),
        "ours_quantity": line.ours_quantity,
        "theirs_quantity": line.theirs_quantity,
        "cause": line.cause,
        "cause_usd": usd_from_nano(line.cause_nano),
        "explanation": line.explanation,
    }
