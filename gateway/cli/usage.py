"""`faregate usage`: what was used, what it cost, and how each cost came about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from sqlalchemy import Row

from gateway.adapters.explained_requests import ExplainedRecord, explained
from gateway.adapters.usage_rows import Spending, recent, spending
from gateway.cli.deployment import open_deployment
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
from gateway.cli.parameters import as_past
from gateway.core.explanations import (
    WHY,
    amount_text,
    charged_windows,
    count_text,
    rate_text,
    stored_lines,
    used,
)
from gateway.core.money import display_usd, usd_from_nano
from gateway.core.prices import Meter, sum_lines

_NONE_YET = "No usage is recorded here. A request through the gateway appears within seconds."


@click.group(invoke_without_command=True)
@click.option(
    "--by",
    type=click.Choice(["team", "client", "model", "endpoint", "day"]),
    default="team",
    show_default=True,
    help="What to sum by.",
)
@click.option(
    "--since",
    metavar="WHEN",
    default="30d",
    show_default=True,
    callback=as_past,
    help="A duration back such as 7d, or a date (UTC).",
)
@click.option("--until", metavar="WHEN", callback=as_past, help="Likewise. Default: now.")
@json_option
@click.pass_context
def command(
    context: click.Context, by: str, since: datetime, until: datetime | None, as_json: bool
) -> None:
    """Show what was used and what it cost, summed by hours."""
    if context.invoked_subcommand is not None:
        return
    deployment = open_deployment()
    first = since.replace(minute=0, second=0, microsecond=0)
    last = until or datetime.now(UTC)
    sums = spending(deployment.engine, first, last, by)
    if as_json:
        rows = [_sum_facts(item) for item in sums]
        print_json({"since": first, "until": last, "by": by, "groups": rows})
    elif not sums:
        note(f"No usage from {moment(first)} to {moment(last)} UTC.")
    else:
        _print_sums(sums, by, first, last)


def _print_sums(sums: Sequence[Spending], by: str, first: datetime, last: datetime) -> None:
    names = ("Requests", "Failed", "Input", "Output", "Cost", "Not exact")
    total = Spending(
        "Total",
        sum(item.requests for item in sums),
        sum(item.input_tokens for item in sums),
        sum(item.output_tokens for item in sums),
        sum(item.cost_nano for item in sums),
        sum(item.not_exact_nano for item in sums),
        sum(item.failures for item in sums),
    )
    print_table(
        [Column(by.capitalize()), *(Column(name, number=True) for name in names)],
        [_sum_cells(item) for item in sums],
        total=_sum_cells(total),
    )
    note(f"From {moment(first)} to {moment(last)} UTC, whole hours. Input and output in tokens.")


def _sum_cells(item: Spending) -> tuple[str, ...]:
    return (
        # Files, lists and the like are of no model.
        item.group or "-",
        f"{item.requests:,}",
        f"{item.failures:,}",
        f"{item.input_tokens:,}",
        f"{item.output_tokens:,}",
        rounded_usd(item.cost_nano, up=True),
        rounded_usd(item.not_exact_nano, up=True) if item.not_exact_nano else "-",
    )


def _sum_facts(item: Spending) -> dict[str, Any]:
    return {
        "group": item.group,
        "requests": item.requests,
        "failures": item.failures,
        "input_tokens": item.input_tokens,
        "output_tokens": item.output_tokens,
        "cost_usd": usd_from_nano(item.cost_nano),
        "not_exact_usd": usd_from_nano(item.not_exact_nano),
    }


@command.command()
@click.option("--client", help="Of this client only.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
def records(client: str | None, limit: int, as_json: bool) -> None:
    """List the newest usage records."""
    deployment = open_deployment()
    if client is not None:
        deployment.directory.require_client(client)
    rows = recent(deployment.engine, limit, client)
    if as_json:
        print_json([_record_facts(row) for row in rows])
    elif not rows:
        note(_NONE_YET)
    else:
        print_table(
            [
                Column("Request"),
                Column("Tokens", number=True),
                Column("Cost", number=True),
                Column("Status"),
            ],
            [_record_cells(row) for row in rows],
        )
        note("Tokens are input and output. `faregate usage record REQUEST` explains a cost.")


def _record_cells(row: Row[Any]) -> tuple[str, ...]:
    status = str(row.status or "-") if row.kind == "request" else row.kind
    return (
        f"{row.request_id}\n{row.held_at:%Y-%m-%d %H:%M:%S}\n{row.client_name}, {row.model or '-'}",
        f"{row.input_tokens:,}\n{row.output_tokens:,}",
        display_usd(row.cost_nano),
        status if row.certainty == "exact" else f"{status}\n{row.certainty}",
    )


@command.command()
@click.argument("request_id")
@json_option
def record(request_id: str, as_json: bool) -> None:
    """Show how the cost of one request was computed."""
    found = explained(open_deployment().engine, request_id)
    if found is None:
        raise click.ClickException(
            f"there is no usage record {request_id}: `faregate usage records` lists the newest"
        )
    if as_json:
        print_json([_record_facts(item.row) for item in found.records])
        return
    for item in found.records:
        _explain(item)


def _explain(record: ExplainedRecord) -> None:
    """Print one record."""
    row, price = record.row, record.price
    say(f"{row.kind} {row.request_id}, {row.held_at:%Y-%m-%d %H:%M:%S} UTC")
    say(f"By client {row.client_name} of team {row.team_name}, key {row.key_id}")
    streamed = ", streamed" if row.streamed else ""
    say(f"{row.endpoint} {row.model}, tier {row.service_tier}{streamed}, status {row.status}")
    say(f"{row.outcome.capitalize()}, {row.certainty}: {WHY.get(row.certainty, '')}")
    if price is not None:
        since = moment(price.valid_from) if price.valid_from.year > 1970 else "the beginning"
        say(f"Price {price.id}: {price.model} from {price.source}, valid from {since}")
    if measured := used(row):
        say(f"Used: {', '.join(measured)}")
    if record.lines:
        _print_lines(record)
    say(f"Cost: {display_usd(record.charged_nano)} (held before: {display_usd(row.hold_nano)})")
    if row.kind != "request":
        before = record.charged_nano - row.cost_nano
        say(f"Charged before: {display_usd(before)}; corrected by {display_usd(row.cost_nano)}")
    if not record.adds_up:
        note("The lines do not sum to the cost: report this record.")
    paying = [budget.name for budget in record.paid_by]
    say(f"Charged to: {', '.join(paying) or 'no budget'}\n")


def _print_lines(record: ExplainedRecord) -> None:
    names = ("Count", "Rate", "Amount")
    print_table(
        [Column("Meter"), *(Column(name, number=True) for name in names)],
        [
            (
                line.meter.value.replace("_", " "),
                count_text(line),
                rate_text(line.meter, line.nano, line.per),
                amount_text(line),
            )
            for line in record.lines
        ],
        total=("Sum, rounded up", "", "", display_usd(sum_lines(record.lines))),
    )


def _budget_ids(row: Row[Any]) -> list[int]:
    return [window.budget_id for window in charged_windows(row.budget_windows)]


def _record_facts(row: Row[Any]) -> dict[str, Any]:
    facts = {
        name: value
        for name, value in row._mapping.items()
        if name not in ("cost_nano", "hold_nano", "cost_lines", "budget_windows")
    }
    return facts | {
        "cost_usd": usd_from_nano(row.cost_nano),
        "hold_usd": usd_from_nano(row.hold_nano),
        "cost_lines": [
            {
                "meter": line.meter.value,
                "count": line.count,
                "rate_usd": usd_from_nano(line.nano),
                "per": line.per,
                # Its meter is named for seconds, as prices are.
                **({"unit": "millisecond"} if line.meter is Meter.AUDIO_SECONDS else {}),
            }
            for line in stored_lines(row.cost_lines)
        ],
        "budget_ids": _budget_ids(row),
    }
