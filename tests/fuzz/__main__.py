"""``make fuzz INPUTS=n SEED=s``: tries many inputs on each fuzzer, and prints a table.

What breaks something is kept in ``tests/fuzz/corpus``, where every test run tries it again.
"""

from __future__ import annotations

import argparse
import os
import sys

from tests.fuzz.every import FUZZERS
from tests.fuzz.fuzzer import keep, run


def main() -> int:
    """Fuzz; 1 where something broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of each fuzzer")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", nargs="*", choices=FUZZERS, default=[], metavar="FUZZER")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4))
    _say(f"seed {seed}", f"{'fuzzer':10}{'inputs':>12}{'accepted':>10}{'crashes':>9}{'seconds':>9}")
    broken = 0
    for name in options.only or FUZZERS:
        done = run(FUZZERS[name], options.inputs, seed)
        broken += len(done.crashes)
        _say(
            f"{name:10}{done.inputs:>12,}{done.accepted_percent:>9.1f}%{len(done.crashes):>9}"
            f"{done.seconds:>9.0f}"
        )
        for crash in done.crashes:
            path = keep(FUZZERS[name], crash)
            _say(f"input {crash.number} of seed {seed}, kept as {path.name}:", crash.error)
    return 1 if broken else 0


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
