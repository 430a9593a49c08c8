"""CPU of the scripts on the paid path: ``python -m bench.programs.holds REDIS SQL PAIRS ROUNDS``.

Reserves and settles over one pipelined connection and over redis-py's pool, in turn, from
greenlets of one process. REDIS and SQL are the URLs of prepared stores. Prints a JSON object:
CPU and elapsed seconds per pair of each round, by the name of the way.
"""

from __future__ import annotations

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import json
import sys
import time

from gevent.pool import Pool

from bench.pair import reserve_and_settle
from bench.stage import HOLD_LEASE_SECONDS, REDIS_PREFIX, REDIS_TIMEOUT_SECONDS
from gateway.adapters.database import open_engine
from gateway.adapters.policy_loader import load_policy
from gateway.adapters.redis_budgets import RedisBudgets, connect
from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.redis_pipeline import RedisPipeline
from gateway.core.policy import Policy

GREENLETS = 64


def _measured(budgets: RedisBudgets, policy: Policy, pairs: int) -> tuple[float, float]:
    pool = Pool(GREENLETS)
    cpu, clock = time.process_time(), time.perf_counter()
    for _ in pool.imap_unordered(lambda _: reserve_and_settle(budgets, policy), range(pairs)):
        pass
    return (time.process_time() - cpu) / pairs, (time.perf_counter() - clock) / pairs


def main(redis_url: str, database_url: str, pairs: int, rounds: int) -> None:
    """Warm up, then measure in turn."""
    policy = load_policy(open_engine(database_url))
    client = connect(redis_url, REDIS_TIMEOUT_SECONDS)
    keys = RedisKeys(REDIS_PREFIX)
    pipeline = RedisPipeline(client, REDIS_TIMEOUT_SECONDS)
    ways = {
        "pipeline": RedisBudgets(client, keys, HOLD_LEASE_SECONDS, pipeline),
        "pool": RedisBudgets(client, keys, HOLD_LEASE_SECONDS),
    }
    for budgets in ways.values():
        _measured(budgets, policy, GREENLETS * 4)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, budgets in ways.items():
            found[name].append(_measured(budgets, policy, pairs))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
