"""`faregate apply` and `faregate export-config`: the deployment as a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gateway.adapters.config_apply import apply_config, planned
from gateway.adapters.config_file import config_text, read_config
from gateway.adapters.config_state import config_state
from gateway.cli.deployment import open_deployment
from gateway.cli.output import json_option, note, plain, print_json, say
from gateway.core.config_document import InvalidConfig
from gateway.core.config_plan import Action, FieldChange, Plan, Step

CHANGES_STATUS = 3
"""What --exit-code ends with where there is something to change."""

_SIGNS = {
    Action.ADD: ("+", "green"),
    Action.RENAME: ("~", "yellow"),
    Action.CHANGE: ("~", "yellow"),
    Action.REPLACE: ("-/+", "red"),
    Action.REMOVE: ("-", "red"),
}


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before changing.")
@click.option(
    "--exit-code",
    "tells",
    is_flag=True,
    help=f"With --dry-run: end with status {CHANGES_STATUS} where there is something to change.",
)
@json_option
def command(file: Path, dry_run: bool, yes: bool, tells: bool, as_json: bool) -> None:
    """Make the deployment what FILE says, in one transaction; the plan is shown first.

    What FILE does not say stays as it is. Things that it does not name are removed only from the
    sections that its `manage` lists. Keys are in no file. See docs/config-as-code.md.
    """
    if tells and not dry_run:
        raise click.UsageError("--exit-code goes with --dry-run")
    if as_json and not (dry_run or yes):
        raise click.UsageError("--json needs --dry-run or --yes: it asks nothing")
    deployment = open_deployment()
    try:
        config = read_config(file.read_bytes())
        plan = planned(deployment.engine, config)
    except InvalidConfig as error:
        raise click.ClickException(_mistakes(file, error)) from None
    if not as_json:
        _show(plan)
    if plan.steps and not dry_run:
        if not yes:
            _ask(plan)
        apply_config(deployment.engine, config, plan, deployment.actor)
        deployment.announce()
        if not as_json:
            say("Applied.")
    if as_json:
        print_json({"applied": bool(plan.steps) and not dry_run, "plan": _facts(plan)})
    if tells and plan.steps:
        sys.exit(CHANGES_STATUS)


@click.command("export-config")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write to this file instead of the terminal.",
)
def export_command(output: Path | None) -> None:
    """Write the deployment as a file for `faregate apply`; keys and secrets are not in it."""
    text = config_text(config_state(open_deployment().engine))
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        note(f"Written to {output}. Try it: faregate apply {output} --dry-run")


def has_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


def _ask(plan: Plan) -> None:
    if not has_terminal():
        raise click.UsageError("there is no terminal to ask at: add --yes, or --dry-run")
    losing = plan.count(Action.REMOVE, Action.REPLACE)
    question = "Apply this plan?"
    if losing:
        question = f"Apply this plan, and remove {losing} of what is there?"
    click.confirm(question, abort=True)


def _mistakes(file: Path, error: InvalidConfig) -> str:
    if len(error.problems) == 1:
        return f"{file.name}: {error.problems[0]}"
    lines = "\n".join(f"  {plain(problem)}" for problem in error.problems)
    return f"{file.name} has {len(error.problems)} mistakes:\n{lines}"


def _show(plan: Plan) -> None:
    if not plan.steps:
        say("Nothing to change.")
        return
    for step in plan.steps:
        sign, colour = _SIGNS[step.action]
        click.secho(f"{sign:<3} {plain(_title(step))}", fg=colour)
        if step.action is not Action.RENAME:
            for change in step.changes:
                if line := _line(step, change):
                    click.echo(f"      {plain(line)}")
        if step.warning:
            click.secho(f"      {plain(step.warning)}", fg="red")
    counts = (
        (plan.count(Action.ADD), "to add"),
        (plan.count(Action.CHANGE, Action.RENAME), "to change"),
        (plan.count(Action.REPLACE), "to replace"),
        (plan.count(Action.REMOVE), "to remove"),
    )
    say(f"Plan: {', '.join(f'{number} {what}' for number, what in counts if number)}.")


def _title(step: Step) -> str:
    if step.action is Action.RENAME:
        return f"{step.word} {step.name} -> {step.new['name']}"
    return f"{step.word} {step.name}"


def _line(step: Step, change: FieldChange) -> str:
    if step.action is Action.ADD:
        return "" if change.new is None else f"{change.name}: {_told(change.new)}"
    if change.old == change.new:
        return ""
    return f"{change.name}: {_told(change.old)} -> {_told(change.new)}"


def _told(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "all"
    if isinstance(value, dict):
        steps = [f"{step['usd']} over {step['tokens']:,} tokens" for step in value.get("above", ())]
        return ", ".join([str(value["usd"]), *steps])
    return str(value)


def _facts(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "action": step.action.value,
            "what": step.word,
            "name": step.name,
            "changes": [
                {"field": change.name, "old": change.old, "new": change.new}
                for change in step.changes
            ],
            "warning": step.warning or None,
        }
        for step in plan.steps
    ]
