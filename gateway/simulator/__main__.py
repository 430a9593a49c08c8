"""``python -m gateway.simulator``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields

from gateway.simulator.app import run
from gateway.simulator.errors import ProviderError
from gateway.simulator.faults import Directives, Fault, directives_for


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="faregate simulate",
        description="A simulation of an OpenAI-compatible provider. It contains no model.",
        epilog=(
            "The options that name an x-sim- header say how all requests are answered; the header,"
            f" sent to the simulator itself, says it for one. Faults: {', '.join(Fault)}."
        ),
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--truth-log", help="file that every charge is appended to")
    parser.add_argument("--api-key", help="the only key accepted (default: any sk-...)")
    parser.add_argument("--quiet", action="store_true", help="no line per request")
    parser.add_argument("--strict", action="store_true", help="refuse unknown request fields")
    parser.add_argument(
        "--fault-rate",
        type=float,
        default=1.0,
        help="share of requests that --status and --fault hit, 0 to 1",
    )
    for field in fields(Directives):
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, help=f"for every request without x-sim-{flag[2:]}")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run until stopped; 2 for bad arguments, 1 where the address or the log is not usable."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    flags = {f"sim_{f.name}": given.pop(f.name) for f in fields(Directives)}
    flags = {name: value for name, value in flags.items() if value is not None}
    if not 0 <= given["fault_rate"] <= 1:
        parser.error("--fault-rate is a share between 0 and 1")
    try:
        defaults = directives_for({}, flags, Directives())
    except ProviderError as error:
        parser.error(error.message)
    try:
        run(defaults=defaults, **given)
    except OSError as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
