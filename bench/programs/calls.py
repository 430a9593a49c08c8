"""CPU of the ways to call the provider: ``python -m bench.programs.calls CALLS ROUNDS``.

One process, greenlets, the ways in turn. Prints a JSON object: CPU seconds per call of each
round, by the name of the way.
"""

from __future__ import annotations

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import json
import sys
import time
from collections.abc import Callable

import httpx2
import orjson
from gevent.pool import Pool

from bench.stage import question
from gateway.adapters.upstream import Upstream
from gateway.settings import load_settings

GREENLETS = 32
OUTPUT_TOKENS = 60
PATH = "/chat/completions"

Way = Callable[[], int]
"""Makes one call and returns the tokens that its answer says it used."""


def _ways() -> dict[str, Way]:
    upstream = Upstream(load_settings())
    sdk = upstream.sdk
    fields = json.loads(question(OUTPUT_TOKENS))
    body = orjson.dumps(fields)

    def total(answer: bytes) -> int:
        return int(orjson.loads(answer)["usage"]["total_tokens"])

    def typed() -> int:
        usage = sdk.chat.completions.create(**fields).usage
        return usage.total_tokens if usage else 0

    def typed_and_dumped() -> int:
        return total(sdk.chat.completions.create(**fields).model_dump_json().encode())

    def raw() -> int:
        answer = sdk.post(
            PATH,
            cast_to=httpx2.Response,
            content=body,
            options={"headers": {"content-type": "application/json"}},
        )
        return total(answer.content)

    def ours() -> int:
        return total(upstream.send(PATH, body, "bench", {}).body(60))

    return {"wire": ours, "raw": raw, "typed": typed, "dumped": typed_and_dumped}


def _cpu_per_call(way: Way, calls: int) -> float:
    pool = Pool(GREENLETS)
    before = time.process_time()
    for tokens in pool.imap_unordered(lambda _: way(), range(calls)):
        assert tokens > 0
    return (time.process_time() - before) / calls


def main(calls: int, rounds: int) -> None:
    """Warm up, then measure in turn."""
    ways = _ways()
    for way in ways.values():
        _cpu_per_call(way, GREENLETS * 2)
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(_cpu_per_call(way, calls))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
