"""The demo's clients, as a process: ``python -m gateway.demo.traffic PLAN REPORT``.

Calls the gateway with the openai SDK until SIGTERM, then waits for what is in flight. REPORT
is a JSON file, replaced whole twice a second, of what the clients saw.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import orjson

from gateway.demo.calls import FINISH_SECONDS, REAL, SIMULATED, STRANGER, TAGS, TOOLS, Call, Plan

REPORT_SECONDS = 0.5
REASONS = {
    "insufficient_quota": "budget",
    "rate_limit_exceeded": "rate",
    "model_not_allowed": "model",
    "invalid_api_key": "key",
}
"""Words for the error codes that a refusal carries."""


@dataclass
class Seen:
    """What went wrong with one client's calls: refused by the gateway, or failed, by why."""

    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)


class Crowd:
    """Makes calls at random times, the same ones in every run."""

    def __init__(self, plan: Plan, report: Path) -> None:
        self._plan = plan
        self._report = report
        self._random = random.Random(7)  # noqa: S311 - traffic, not secrets
        self._calls = REAL if plan.real else SIMULATED
        self._weights = [call.weight for call in self._calls]
        keys = {**plan.keys, STRANGER: "fg-" + "0" * 43}
        self._clients = {
            name: openai.AsyncOpenAI(
                base_url=plan.base_url,
                api_key=key,
                max_retries=0,
                timeout=60.0,
                default_headers={"x-faregate-tags": TAGS[name]} if name in TAGS else None,
            )
            for name, key in keys.items()
        }
        self._seen = {name: Seen() for name in keys}
        self._answers: deque[str] = deque(maxlen=4)

    async def run(self) -> None:
        """Call until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        reporting = asyncio.create_task(self._report_for_ever())
        tasks: set[asyncio.Task[None]] = set()
        while not stop.is_set():
            if len(tasks) < self._plan.in_flight_max:
                call = self._random.choices(self._calls, self._weights)[0]
                task = asyncio.create_task(self._make(call))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            pause = self._random.expovariate(self._plan.per_second)
            try:
                await asyncio.wait_for(stop.wait(), pause)
            except TimeoutError:
                continue
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=FINISH_SECONDS)
            for task in late:
                task.cancel()
        reporting.cancel()
        self._write()

    async def _make(self, call: Call) -> None:
        seen = self._seen[call.client]
        try:
            answer = await self._ask(self._clients[call.client], call)
        except openai.APIStatusError as error:
            code = str(error.code)
            if code in REASONS:
                seen.refused[REASONS[code]] += 1
            else:
                seen.failed[f"{error.status_code} {code}"] += 1
        except openai.APIError as error:
            seen.failed[type(error).__name__] += 1
        else:
            if answer and self._plan.real:
                self._answers.append(f"{call.client}: {' '.join(answer.split())[:160]}")

    async def _ask(self, client: openai.AsyncOpenAI, call: Call) -> str:
        """Make one call and return the answer's text. Raises openai.APIError."""
        if call.kind == "embeddings":
            await client.embeddings.create(model=call.model, input=[call.prompt, call.prompt[:60]])
            return ""
        wish: dict[str, Any] = {
            "model": call.model,
            "messages": [{"role": "user", "content": call.prompt}],
        }
        if call.tools:
            wish["tools"] = TOOLS
        if call.output_tokens_max is not None:
            wish["max_completion_tokens"] = call.output_tokens_max
        if not self._plan.real:
            length = call.answer_tokens or self._random.randint(12, 90)
            wish["extra_headers"] = {"x-sim-output-tokens": str(length)}
        if call.kind == "chat":
            whole = await client.chat.completions.create(**wish)
            return whole.choices[0].message.content or ""
        if self._random.random() < 0.5:
            wish["stream_options"] = {"include_usage": True}
        stream = await client.chat.completions.create(**wish, stream=True)
        parts: list[str] = []
        async for chunk in stream:
            parts += [choice.delta.content or "" for choice in chunk.choices]
            if call.kind == "hang_up" and len(parts) >= 6:
                await stream.close()
                return ""
        return "".join(parts)

    async def _report_for_ever(self) -> None:
        while True:
            self._write()
            await asyncio.sleep(REPORT_SECONDS)

    def _write(self) -> None:
        report = {
            "clients": {
                name: {"refused": dict(seen.refused), "failed": dict(seen.failed)}
                for name, seen in self._seen.items()
            },
            "answers": list(self._answers),
        }
        part = self._report.with_suffix(".part")
        part.write_bytes(orjson.dumps(report))
        os.replace(part, self._report)


def main(plan_path: str, report_path: str) -> None:
    """Run the crowd of a plan."""
    plan = Plan(**orjson.loads(Path(plan_path).read_bytes()))
    asyncio.run(Crowd(plan, Path(report_path)).run())


if __name__ == "__main__":
    main(*sys.argv[1:3])
