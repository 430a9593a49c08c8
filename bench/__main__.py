"""``python -m bench [--quick] [NAME...]``: run the named measurements, or all of them."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import signal
import sys
from collections.abc import Callable
from types import FrameType

from bench import client, count, cpu, intents, recorder, reports, reserve, streams
from bench.report import BenchFailed, Table
from bench.stage import forget_settings, raise_file_limit
from tests.processes import ProcessFailed

MEASUREMENTS: dict[str, Callable[[float], list[Table]]] = {
    "cpu": cpu.measure,
    "client": client.measure,
    "streams": streams.measure,
    "reserve": reserve.measure,
    "count": count.measure,
    "recorder": recorder.measure,
    "intents": intents.measure,
    "reports": reports.measure,
}
QUICK_SCALE = 0.1


def _machine() -> str:
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()},"
        f" {platform.python_implementation()} {platform.python_version()}"
    )


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)


def main() -> int:
    """Print one table after the other; 1 where a measurement failed, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: a try-out")
    given = parser.parse_args()
    for name in given.names:
        if name not in MEASUREMENTS:
            parser.error(f"there is no measurement {name!r}; there are: {', '.join(MEASUREMENTS)}")
    forget_settings()
    raise_file_limit()
    # What the price list leaves out is of no interest here.
    logging.getLogger("gateway").setLevel(logging.ERROR)
    # Ended like Ctrl-C: by unwinding, so that every process that was started ends too.
    signal.signal(signal.SIGTERM, _end)
    print(f"{_machine()}{', --quick' if given.quick else ''}\n", flush=True)
    try:
        for name in given.names or MEASUREMENTS:
            print(f"bench: {name} ...", file=sys.stderr, flush=True)
            for table in MEASUREMENTS[name](QUICK_SCALE if given.quick else 1.0):
                print(f"{table}\n", flush=True)
    except (BenchFailed, ProcessFailed) as error:
        notes = getattr(error, "__notes__", [])
        print("\n".join([f"bench: {error}", *notes]), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
