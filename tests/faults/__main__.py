"""``python -m tests.faults``: break a deployment for a while, and say what came of it."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
from pathlib import Path

from tests.faults.report import lines
from tests.faults.run import Options, run


def main() -> int:
    """Run; 1 where something was lost, doubled or overspent."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", help="the same seed gives the same schedule")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--power-loss", action="store_true", help="Redis loses data too")
    parser.add_argument("--intents", choices=("redis", "sql"), help="sql where Redis loses data")
    parser.add_argument("--keep", type=Path, help="a folder for all logs and stores")
    given = parser.parse_args()
    # That Redis has died is no news here.
    logging.disable(logging.WARNING)
    seed = given.seed or secrets.token_hex(4)
    sys.stdout.write(f"faults: seed {seed}, {given.minutes:g} minutes, {given.database}\n")
    sys.stdout.flush()
    intents = given.intents or ("sql" if given.power_loss else "redis")
    options = Options(seed, given.minutes * 60, given.database, given.power_loss, intents)
    if given.keep is not None:
        given.keep.mkdir(parents=True)
    result = run(options, given.keep)
    sys.stdout.write("\n".join(lines(result)) + "\n")
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
