"""`faregate tag`: the tags that requests may carry into their records."""

from __future__ import annotations

import click

from gateway.cli.deployment import open_deployment
from gateway.cli.output import Column, json_option, moment, note, print_json, print_table, say
from gateway.core.tags import HEADER


@click.group()
def command() -> None:
    """Allow, list and remove tags.

    Requests send them as `x-faregate-tags: NAME=value`, in OpenAI's metadata, or (the tag named
    user) in OpenAI's user. Those that are not allowed are dropped.
    """


@command.command()
@click.argument("name")
@json_option
def add(name: str, as_json: bool) -> None:
    """Allow the tag NAME. It takes effect with the next request."""
    deployment = open_deployment()
    deployment.directory.add_tag_key(name)
    deployment.announce()
    if as_json:
        print_json({"name": name})
    else:
        say(f"Allowed tag {name}. Requests send it as {HEADER}: {name}=VALUE")


@command.command()
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Allow the tag NAME no more; what is recorded with it stays."""
    deployment = open_deployment()
    deployment.directory.remove_tag_key(name)
    deployment.announce()
    if as_json:
        print_json({"name": name, "state": "removed"})
    else:
        say(f"Removed tag {name}.")


@command.command("list")
@json_option
def list_tags(as_json: bool) -> None:
    """List the allowed tags."""
    tags = open_deployment().directory.tag_keys()
    if as_json:
        print_json([{"name": tag.name, "created_at": tag.created_at} for tag in tags])
    elif not tags:
        note("No tag is allowed yet. Allow one: faregate tag add NAME")
    else:
        print_table(
            [Column("Tag"), Column("Allowed since (UTC)")],
            [(tag.name, moment(tag.created_at)) for tag in tags],
        )
