"""`faregate simulate`: the simulated provider by itself."""

from __future__ import annotations

import os
import sys

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)
@click.pass_context
def command(context: click.Context) -> None:
    """Run the simulated provider. All options go to it; try `faregate simulate --help`."""
    # A process of its own from the start: it must patch sockets before anything is imported.
    os.execv(sys.executable, [sys.executable, "-m", "gateway.simulator", *context.args])  # noqa: S606
