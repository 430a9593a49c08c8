"""``make model STEPS=n SEED=s``: plays many steps on a Redis of its own, and prints a table."""

from __future__ import annotations

import argparse
import os
import sys
from time import monotonic

from tests.model.model import Violation
from tests.model.play import Play
from tests.stores import temporary_redis


def main() -> int:
    """Play; 1 where Redis does not do as the model says."""
    parser = argparse.ArgumentParser(prog="python -m tests.model")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--deployment", type=int, default=0, help="the one to begin with")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4))
    _say(f"seed {seed}")
    begun = monotonic()
    with temporary_redis() as url:
        play = Play(url, seed, options.deployment)
        try:
            play.play(options.steps)
        except Violation as violation:
            _say(
                f"Violation after {play.steps:,} steps: {violation}",
                f"Again: python -m tests.model --seed {seed} --deployment {play.deployments}",
                "The fewest steps that were found to go wrong:",
            )
            shorter = play.shrink()
            _say(*play.said, f"Violation: {shorter or violation}")
            return 1
    for name, number in play.played.most_common():
        _say(f"{name:16}{number:>12,}")
    _say(f"{play.steps:,} steps, 0 violations, {monotonic() - begun:.0f} s")
    return 0


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
