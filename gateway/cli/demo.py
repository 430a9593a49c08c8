"""`faregate demo`: everything on this machine, live, with an audit at the end."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gateway.demo.output import Screen
    from gateway.demo.stage import Options, Stage
    from gateway.demo.watch import Watch

PORT = 8080
TABLE_SECONDS = 0.5
LINE_SECONDS = 2.0
INTERRUPTED_STATUS = 130
"""Exit status of a demo that was stopped before there was anything to audit."""


class Stops:
    """SIGTERM, SIGHUP and Ctrl-C: the first asks for the end, the second not to wait for it."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.hurry = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, self._ask)

    def _ask(self, *_: object) -> None:
        if self.asked.is_set():
            self.hurry.set()
        self.asked.set()


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), help="Stop by itself after so long.")
@click.option("--real", is_flag=True, help="Serve a small real model instead of a simulation.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help=f"Port of the gateway (default: {PORT}, or a free one where that is taken).",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the data in this folder (default: a temporary one, removed at the end).",
)
def command(seconds: float | None, real: bool, port: int | None, data_dir: Path | None) -> None:
    """Try everything: no account, no keys, nothing left behind.

    Starts Redis, SQLite, a simulated provider, the gateway and clients that use it; at the end
    an audit compares what was recorded with what the provider charged.
    """
    # Before anything slow is imported, so that Ctrl-C always ends in order.
    stops = Stops()
    from gateway.demo.ports import free_port, is_free
    from gateway.demo.real_model import RealModelMissing, find_model

    if real:
        try:
            find_model()
        except RealModelMissing as error:
            raise click.ClickException(str(error)) from None
    if port is not None and not is_free(port):
        raise click.ClickException(f"port {port} is taken; leave --port out to take a free one")
    from gateway.demo.output import screen
    from gateway.demo.stage import Options, data_folder

    chosen = port or (PORT if is_free(PORT) else free_port())
    with data_folder(data_dir) as folder, screen(folder / "demo.log") as out:
        status = _run(Options(chosen, folder, real), seconds, stops, out)
        if data_dir is not None:
            _say_last(out, f"The data is kept in {folder}.")
    sys.exit(status)


def _say_last(out: Screen, text: str) -> None:
    try:
        out.say(text)
    except OSError:
        # Nobody reads any more, which changes nothing about the result.
        return


def _run(options: Options, seconds: float | None, stops: Stops, out: Screen) -> int:
    """The demo from start to end; returns its exit status."""
    from gateway.adapters.embedded_redis import EmbeddedRedisError
    from gateway.demo.stage import DemoFailed, Interrupted, Stage

    stage = Stage(options, stops.asked)
    try:
        watch = _start(stage, options, out)
        _show(stage, watch, options, seconds, stops, out)
        if (failed := stage.failure()) is not None:
            raise DemoFailed(str(failed))
        return _finish(stage, watch, options, stops, out)
    except Interrupted:
        _say_last(out, "Stopped before it was ready.")
        return INTERRUPTED_STATUS
    except (DemoFailed, EmbeddedRedisError) as error:
        _say_last(out, f"The demo failed: {error}\n{out.log_tail()}")
        return 1
    except OSError as error:
        # Most often the terminal, or the program that read our output, is gone.
        _say_last(out, f"The demo failed: {error}")
        return 1
    finally:
        stage.close()


def _start(stage: Stage, options: Options, out: Screen) -> Watch:
    from gateway.demo.real_model import MODEL
    from gateway.demo.watch import Watch

    if options.real:
        provider = f"a real model, {MODEL}, on this machine"
    else:
        provider = "a simulation: no real model, no account, nothing is billed"
    out.say(f"Faregate demo. The provider is {provider}.")
    out.say(f"  Redis      embedded, in {options.data_dir}")
    stage.start_stores()
    out.say("  provider   " + ("loading the model" if options.real else "simulated"))
    stage.start_provider()
    out.say("  database   SQLite: schema, prices, four teams with clients, keys and budgets")
    stage.start_recorder()
    out.say(f"  gateway    {stage.settings.workers} workers")
    stage.start_gateway()
    watch = Watch(stage.engine, stage.budgets, stage.report_path)
    out.say("  traffic    the openai SDK in a process of its own")
    stage.start_traffic()
    _invite(stage, options, out)
    return watch


def _invite(stage: Stage, options: Options, out: Screen) -> None:
    """Where it is, and how to call it."""
    from gateway.demo.real_model import MODEL
    from gateway.demo.seed import ADMIN, VISITOR

    key = stage.keys[VISITOR]
    model = MODEL if options.real else "gpt-4o-mini"
    out.say(f"\nDashboard: {stage.dashboard_url} (sign in as {ADMIN}, password {stage.password})")
    out.say(f"\nReady at {stage.base_url}. Join in, as client {VISITOR!r} of team 'visitors':\n")
    messages = '[{"role": "user", "content": "Hello!"}]'
    out.say(
        f"curl {stage.base_url}/chat/completions \\\n"
        f"  -H 'Authorization: Bearer {key}' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        f"""  -d '{{"model": "{model}", "messages": {messages}}}'\n"""
    )
    out.say(
        "from openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{stage.base_url}", api_key="{key}")\n'
        "answer = client.chat.completions.create(\n"
        f'    model="{model}", messages={messages}\n'
        ")\n"
        "print(answer.choices[0].message.content)\n"
    )


def _show(
    stage: Stage, watch: Watch, options: Options, seconds: float | None, stops: Stops, out: Screen
) -> None:
    """Show what happens until a stop is asked for or ``seconds`` are over."""
    from contextlib import nullcontext
    from time import monotonic

    from redis.exceptions import RedisError
    from rich.live import Live
    from sqlalchemy.exc import SQLAlchemyError

    from gateway.adapters.redis_budgets import StoreDown
    from gateway.demo.table import line, render

    provider = "real model" if options.real else "simulated provider"
    title = f"Faregate at {stage.base_url} ({provider})"
    started = monotonic()
    live = Live(console=out.console, auto_refresh=False) if out.console.is_terminal else None
    pause = TABLE_SECONDS if live else LINE_SECONDS
    with live or nullcontext():
        while True:
            passed = monotonic() - started
            left = pause if seconds is None else min(pause, seconds - passed)
            if left <= 0 or stops.asked.wait(left):
                return
            try:
                scene = watch.look()
            except (StoreDown, RedisError, SQLAlchemyError):
                # Whatever went away is started again; look once more then.
                continue
            if live:
                ascii_only = out.console.options.ascii_only
                live.update(render(scene, title, ascii_only=ascii_only), refresh=True)
            else:
                out.say(line(scene, monotonic() - started))


def _finish(stage: Stage, watch: Watch, options: Options, stops: Stops, out: Screen) -> int:
    """Let everything end in order, then prove the totals. Returns the exit status."""
    stops.asked.set()
    out.say("\nStopping: the clients get their answers, the recorder writes the last ones down.")
    from gateway.cli.audit import show
    from gateway.demo.proof import compare_real_model, count_overruns, simulated_charges
    from gateway.workers.audit import run_audit

    stage.end_traffic()
    stage.end_gateway()
    if not stage.wait_until_recorded(stops.hurry):
        out.say("Not everything is recorded yet; the audit goes by what there is.")
    scene = watch.look()
    overruns = count_overruns(stage.engine)
    out.say(
        f"{scene.requests:,} requests recorded, {scene.refused:,} refused;"
        f" {overruns} cost more than was held."
    )
    truth = None if options.real else simulated_charges(stage.truth_log)
    report = run_audit(stage.budgets, stage.engine, truth)
    show(report, out.console)
    agrees = report.ok and overruns == 0
    if options.real:
        proof = compare_real_model(stage.upstream_port, scene)
        out.say(proof.text)
        agrees = agrees and proof.holds
    return 0 if agrees else 1
