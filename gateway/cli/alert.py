"""`faregate alert`: who is told, of what, and what was told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from gateway.adapters.alert_channels import AlertChannels, NewSecret
from gateway.adapters.alert_events import LOG_ROWS, log
from gateway.adapters.alert_rules import AlertRules
from gateway.adapters.alert_senders import AlertSender
from gateway.adapters.os_user import command_line
from gateway.cli.deployment import Deployment, open_deployment
from gateway.cli.output import Column, json_option, moment, note, print_json, print_table, say
from gateway.core.alert_messages import TEST_FACTS, message_of
from gateway.core.alerts import AlertKind, ChannelKind, Verdict

_KIND = click.Choice([kind.value for kind in AlertKind])


@click.group()
def command() -> None:
    """Say when to alert whom; show what was told."""


def _channels(deployment: Deployment) -> AlertChannels:
    return AlertChannels(deployment.engine, command_line(), deployment.settings.alert_hosts)


def _rules() -> AlertRules:
    return AlertRules(open_deployment().engine, command_line())


# Channels


@command.group()
def channel() -> None:
    """Create, test, change, remove and list channels: where alerts go."""


@channel.command("create")
@click.argument("name")
@click.option("--webhook", metavar="URL", help="Post signed JSON to this URL.")
@click.option("--slack", metavar="URL", help="Post to this Slack-compatible incoming webhook.")
@click.option("--email", metavar="ADDRESS", help="Write to this address.")
@json_option
def create_channel(name: str, as_json: bool, **targets: str | None) -> None:
    """Create the channel NAME. The secret of a webhook is shown once."""
    given = [(kind, target) for kind, target in targets.items() if target is not None]
    if len(given) != 1:
        raise click.UsageError("Name one of --webhook, --slack and --email.")
    ((kind, target),) = given
    made = _channels(open_deployment()).create(name, ChannelKind(kind), target)
    if as_json:
        print_json({**made.facts, "secret": made.secret})
        return
    say(f"Created channel {name}. Try it: faregate alert channel test {name}")
    _show_secret(made)


@channel.command("set")
@click.argument("name")
@click.option("--target", help="The new URL or address.")
@click.option("--rotate", is_flag=True, help="Make a new secret for a webhook.")
@json_option
def change_channel(name: str, target: str | None, rotate: bool, as_json: bool) -> None:
    """Change where the channel NAME goes, or its secret."""
    made = _channels(open_deployment()).change(name, target=target, rotate=rotate)
    if as_json:
        print_json({**made.facts, "secret": made.secret})
        return
    say(f"Changed channel {name}.")
    _show_secret(made)


@channel.command("test")
@click.argument("name")
@json_option
def test_channel(name: str, as_json: bool) -> None:
    """Send a test alert to the channel NAME, now and once."""
    deployment = open_deployment()
    found = _channels(deployment).to_send(name)
    message = message_of(TEST_FACTS, datetime.now(UTC), "test", str(found.id))
    answer = AlertSender(deployment.settings).send(found, message)
    arrived = answer.verdict is Verdict.SENT
    if not arrived and not as_json:
        raise click.ClickException(f"the test did not arrive: {answer.error}")
    if as_json:
        print_json({"id": message.id, "arrived": arrived, "error": answer.error or None})
        if not arrived:
            raise click.exceptions.Exit(1)
        return
    say(f"The test arrived at {name}.")


@channel.command("remove")
@click.argument("name")
@json_option
def remove_channel(name: str, as_json: bool) -> None:
    """Remove the channel NAME, which no rule may use."""
    _channels(open_deployment()).remove(name)
    if as_json:
        print_json({"name": name, "state": "removed"})
    else:
        say(f"Removed channel {name}.")


@channel.command("list")
@json_option
def list_channels(as_json: bool) -> None:
    """List the channels."""
    found = _channels(open_deployment()).all()
    if as_json:
        print_json(found)
    elif not found:
        note(
            "There is no channel yet. Create one: faregate alert channel create NAME --webhook URL"
        )
    else:
        rows = [(one["name"], one["kind"], one["target"]) for one in found]
        print_table([Column("Channel"), Column("Kind"), Column("Target")], rows)


# Rules


@command.group()
def rule() -> None:
    """Create, change, remove and list rules: what is told."""


@rule.command("create")
@click.argument("name")
@click.option("--kind", type=_KIND, default=AlertKind.THRESHOLD.value, show_default=True)
@click.option("--channel", "channels", multiple=True, required=True, help="Repeat for several.")
@click.option(
    "--percent",
    "percents",
    type=int,
    multiple=True,
    help="Of the limit, or for an anomaly of the usual. Repeat for several. Default: 50, 80 and"
    " 100; for a forecast 100; for an anomaly 300.",
)
@click.option("--budget", help="This budget alone.")
@click.option("--team", help="This team: its budgets and its clients' budgets, or its spending.")
@click.option("--client", help="This client: its budgets, or its spending.")
@json_option
def create_rule(name: str, kind: str, as_json: bool, **about: Any) -> None:
    """Create the rule NAME, for one budget, team or client, or for all."""
    made = _rules().create(name, AlertKind(kind), **about)
    if as_json:
        print_json(made)
    else:
        say(f"Created rule {name}: {_when(made)}, to {', '.join(made['channels'])}.")


@rule.command("set")
@click.argument("name")
@click.option("--channel", "channels", multiple=True, help="In place of its channels.")
@click.option("--percent", "percents", type=int, multiple=True, help="In place of its percentages.")
@json_option
def change_rule(name: str, as_json: bool, **to: Any) -> None:
    """Change when the rule NAME speaks, or to whom."""
    made = _rules().change(name, **to)
    if as_json:
        print_json(made)
    else:
        say(f"Changed rule {name}: {_when(made)}, to {', '.join(made['channels'])}.")


@rule.command("remove")
@click.argument("name")
@json_option
def remove_rule(name: str, as_json: bool) -> None:
    """Remove the rule NAME; what it has told stays in the log."""
    _rules().remove(name)
    if as_json:
        print_json({"name": name, "state": "removed"})
    else:
        say(f"Removed rule {name}.")


@rule.command("list")
@json_option
def list_rules(as_json: bool) -> None:
    """List the rules."""
    found = _rules().all()
    if as_json:
        print_json(found)
    elif not found:
        note("There is no rule yet. Create one: faregate alert rule create NAME --channel CHANNEL")
    else:
        rows = [(one["name"], _when(one), _about(one), ", ".join(one["channels"])) for one in found]
        columns = [Column("Rule"), Column("When"), Column("Of"), Column("To")]
        print_table(columns, rows)


# What was told


@command.command("log")
@click.option("--limit", type=click.IntRange(1, 1000), default=LOG_ROWS, show_default=True)
@json_option
def show_log(limit: int, as_json: bool) -> None:
    """Show the newest alerts, and whether they arrived."""
    found = log(open_deployment().engine, limit)
    if as_json:
        print_json(found)
    elif not found:
        note("Nothing was told yet.")
    else:
        rows = [
            (
                moment(one["at"]),
                "\n".join([one["title"], *one["lines"]]),
                "\n".join(_delivery(each) for each in one["deliveries"]),
            )
            for one in found
        ]
        print_table([Column("At (UTC)"), Column("Alert"), Column("Deliveries")], rows)


def _show_secret(made: NewSecret) -> None:
    if made.secret is not None:
        say(f"Its signing secret, shown once: {made.secret}")


def _when(rule_facts: dict[str, Any]) -> str:
    percents = ", ".join(f"{percent} %" for percent in rule_facts["percents"])
    return f"{rule_facts['kind']} {percents}"


def _about(rule_facts: dict[str, Any]) -> str:
    for what in ("budget", "team", "client"):
        if rule_facts[what] is not None:
            return f"{what} {rule_facts[what]}"
    return "all"


def _delivery(delivery: dict[str, Any]) -> str:
    text = f"{delivery['channel']}: {delivery['state']}"
    if delivery["attempts"] > 1 or delivery["last_error"]:
        text += f", attempt {delivery['attempts']}"
    return f"{text}, {delivery['last_error']}" if delivery["last_error"] else text
