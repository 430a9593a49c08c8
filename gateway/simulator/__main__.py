"""``python -m gateway.simulator``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields

from gateway.simulator.app import run
from gateway.simulator.bill_faults import Rounding, bill_faults
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
    parser.add_argument(
        "--admin-key", help="the only key for usage and costs (default: any sk-admin-...)"
    )
    parser.add_argument("--quiet", action="store_true", help="no line per request")
    parser.add_argument("--strict", action="store_true", help="refuse unknown request fields")
    parser.add_argument(
        "--fault-rate",
        type=float,
        default=1.0,
        help="share of requests that --status and --fault hit, 0 to 1",
    )
    _add_bill(parser)
    for field in fields(Directives):
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, help=f"for every request without x-sim-{flag[2:]}")
    return parser


def _add_bill(parser: argparse.ArgumentParser) -> None:
    bill = parser.add_argument_group("errors of the bill, which never change the truth log")
    bill.add_argument("--bill-cached-percent", metavar="P", help="cached input costs P %% more")
    bill.add_argument(
        "--bill-omit-hour",
        metavar="HOUR",
        action="append",
        default=[],
        help="say nothing of an hour (2026-05-01T13, UTC); may be repeated",
    )
    bill.add_argument(
        "--bill-price-change",
        metavar="DATE:MODEL:P",
        action="append",
        default=[],
        help="models cost P %% more from a date on (2026-05-01:gpt-4o*:20); may be repeated",
    )
    bill.add_argument("--bill-rounding", choices=list(map(str, Rounding)), default="exact")


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
        faults = bill_faults(
            given.pop("bill_cached_percent"),
            given.pop("bill_omit_hour"),
            given.pop("bill_price_change"),
            given.pop("bill_rounding"),
        )
    except ValueError as error:
        parser.error(str(error))
    except ProviderError as error:
        parser.error(error.message)
    try:
        run(defaults=defaults, bill_faults=faults, **given)
    except OSError as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
