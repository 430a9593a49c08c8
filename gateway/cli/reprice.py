"""`faregate reprice`: what recorded requests cost at the prices as they are now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from gateway.adapters.os_user import command_line
from gateway.cli.deployment import open_deployment
from gateway.cli.output import Column, json_option, moment, note, print_json, print_table, say
from gateway.cli.parameters import as_past
from gateway.core.money import display_usd, usd_from_nano
from gateway.workers.repricer import Repricing, Sums, reprice

_REASONS_SHOWN = 5


@click.command()
@click.option(
    "--since",
    metavar="WHEN",
    required=True,
    callback=as_past,
    help="A duration back such as 7d, or a date (UTC).",
)
@click.option("--until", metavar="WHEN", callback=as_past, help="Likewise. Default: now.")
@click.option("--model", "pattern", metavar="PATTERN", help="These models only: 'gpt-4o*'.")
@click.option("--apply", "applied", is_flag=True, help="Post what differs as adjustments.")
@json_option
def command(
    since: datetime, until: datetime | None, pattern: str | None, applied: bool, as_json: bool
) -> None:
    """Compute recorded costs again at the price book as it is now.

    Each request at the price of its day and tier. Records stay as they are: --apply posts the
    differences beside them, once, and no budget is charged for them.
    """
    deployment = open_deployment()
    last = until or datetime.now(UTC)
    found = reprice(deployment.engine, since, last, pattern, command_line() if applied else None)
    names = {row.id: row.name for row in deployment.directory.clients()}
    groups = [
        (model, names.get(client, f"client {client}"), sums)
        for (model, client), sums in sorted(
            found.changed.items(), key=lambda item: -abs(item[1].after_nano - item[1].before_nano)
        )
    ]
    if as_json:
        print_json(_facts(found, groups, since, last))
        return
    if groups:
        _print(groups, found.total)
    else:
        say(f"Nothing differs: {found.looked_at:,} records cost what they would cost now.")
    _say_the_rest(found, since, last, applied)


def _print(groups: list[tuple[str, str, Sums]], total: Sums) -> None:
    print_table(
        [
            Column("Model, client"),
            Column("Records", number=True),
            Column("Before", number=True),
            Column("After", number=True),
            Column("Difference", number=True),
        ],
        [(f"{model}\n{client}", *_cells(sums)) for model, client, sums in groups],
        total=("Total", *_cells(total)),
    )


def _cells(sums: Sums) -> tuple[str, ...]:
    more = sums.after_nano - sums.before_nano
    return (
        f"{sums.records:,}",
        display_usd(sums.before_nano),
        display_usd(sums.after_nano),
        f"{'+' if more > 0 else ''}{display_usd(more)}",
    )


def _say_the_rest(found: Repricing, since: datetime, last: datetime, applied: bool) -> None:
    for reason, count in found.left.most_common(_REASONS_SHOWN):
        note(f"{count:,} records stay as they are: {reason}.")
    if len(found.left) > _REASONS_SHOWN:
        note(f"{found.left.total():,} in all, for {len(found.left)} reasons.")
    note(f"Requests from {moment(since)} to {moment(last)} UTC, {found.looked_at:,} records.")
    if found.id is not None:
        note(f"Posted as adjustments of repricing {found.id}.")
    elif found.changed and not applied:
        note("Nothing is posted: --apply does.")


def _facts(
    found: Repricing, groups: list[tuple[str, str, Sums]], since: datetime, last: datetime
) -> dict[str, Any]:
    return {
        "since": since,
        "until": last,
        "repricing_id": found.id,
        "looked_at": found.looked_at,
        **_sums(found.total),
        "groups": [{"model": model, "client": client, **_sums(s)} for model, client, s in groups],
        "left": [{"reason": reason, "records": n} for reason, n in found.left.most_common()],
    }


def _sums(sums: Sums) -> dict[str, Any]:
    return {
        "records": sums.records,
        "before_usd": usd_from_nano(sums.before_nano),
        "after_usd": usd_from_nano(sums.after_nano),
        "difference_usd": usd_from_nano(sums.after_nano - sums.before_nano),
    }
