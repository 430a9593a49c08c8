"""`faregate audit`: proves that records, counters and sums agree."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.adapters.database import open_engine
from gateway.adapters.migrations import check_schema
from gateway.app import open_budgets
from gateway.cli.output import plain
from gateway.core.money import display_usd
from gateway.settings import load_settings
from gateway.workers.audit import run_audit
from gateway.workers.audit_report import AuditReport

DIFFERENCES_SHOWN = 20


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Check every invariant; exit 1 where one does not hold."""
    settings = load_settings()
    engine = open_engine(settings.sql_url)
    check_schema(engine)
    report = run_audit(open_budgets(settings), engine)
    if as_json:
        click.echo(json.dumps({"ok": report.ok, **asdict(report)}, indent=2))
    else:
        show(report, Console())
    sys.exit(0 if report.ok else 1)


def show(report: AuditReport, console: Console) -> None:
    """Print a report for people."""
    table = Table(title="Audit", title_justify="left")
    table.add_column("No.")
    table.add_column("Invariant")
    table.add_column("Compared", justify="right")
    table.add_column("Result")
    for check in report.checks:
        differ = len(check.differences) + check.more
        result = "[green]holds[/]" if check.ok else f"[red]{differ} differ[/]"
        table.add_row(check.id, check.name, f"{check.compared:,}", result)
    console.print(table)
    for check in report.checks:
        for difference in check.differences[:DIFFERENCES_SHOWN]:
            console.print(
                Text.assemble((f"{check.id} {check.name}", "red"), f": {plain(difference)}")
            )
        more = len(check.differences) + check.more - DIFFERENCES_SHOWN
        if more > 0:
            console.print(Text.assemble((f"{check.id} {check.name}", "red"), f": and {more} more"))
        for note in check.notes:
            console.print(Text(f"{check.id} {check.name}: {plain(note)}", "dim"))
    console.print(
        f"{report.records:,} records, {display_usd(report.cost_nano)} in all;"
        f" {report.waiting:,} events waiting, {report.open_holds:,} holds open."
    )
    console.print("[green]Everything agrees.[/]" if report.ok else "[red]The audit failed.[/]")
