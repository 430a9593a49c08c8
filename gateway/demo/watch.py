"""Reads, for the demo's table, what the stores hold and what the clients saw."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
from sqlalchemy import Engine, Row

from gateway.adapters.directory import Directory, now
from gateway.adapters.redis_budgets import RedisBudgets
from gateway.adapters.usage_rows import Spending, recent, spending
from gateway.core.budgets import WindowKind, window_at
from gateway.demo.calls import STRANGER
from gateway.demo.seed import CLIENTS

RECENT_ROWS = 5
RATE_SECONDS = 5.0
"""Requests per second are an average over this long."""


@dataclass(frozen=True, slots=True)
class TeamRow:
    """A team since the demo's start. ``refused`` counts by reason, as its clients saw it."""

    name: str
    requests: int
    refused: Counter[str]
    input_tokens: int
    output_tokens: int
    cost_nano: int


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """A budget in its present window."""

    name: str
    scope: str
    window: str
    enforcement: str
    limit_nano: int
    spent_nano: int
    held_nano: int


@dataclass(frozen=True, slots=True)
class Scene:
    """All that the table shows, at one moment."""

    teams: list[TeamRow]
    budgets: list[BudgetRow]
    newest: list[Row[Any]]
    answers: list[str]
    wrong_keys: int
    failed: Counter[str]
    in_flight: int
    per_second: float

    @property
    def requests(self) -> int:
        """Requests that have a record."""
        return sum(team.requests for team in self.teams)

    @property
    def refused(self) -> int:
        """Requests that were turned away before they reached the provider."""
        return sum(team.refused.total() for team in self.teams) + self.wrong_keys

    @property
    def input_tokens(self) -> int:
        """Input tokens of all teams."""
        return sum(team.input_tokens for team in self.teams)

    @property
    def output_tokens(self) -> int:
        """Output tokens of all teams."""
        return sum(team.output_tokens for team in self.teams)

    @property
    def cost_nano(self) -> int:
        """Cost of all teams."""
        return sum(team.cost_nano for team in self.teams)


class Watch:
    """Looks at the stores; sums are counted from when it was made."""

    def __init__(self, engine: Engine, budgets: RedisBudgets, report_path: Path) -> None:
        self._engine = engine
        self._budgets = budgets
        self._report_path = report_path
        self._before = self._spending()
        self._history: deque[tuple[float, int]] = deque([(monotonic(), 0)])

    def look(self) -> Scene:
        """The present state. Raises the stores' errors."""
        report = self._report()
        clients = report.get("clients", {})
        after = self._spending()
        teams = [
            self._team(name, clients, after)
            for name in dict.fromkeys(client.team for client in CLIENTS)
        ]
        stranger = clients.get(STRANGER, {})
        failed: Counter[str] = Counter()
        for seen in clients.values():
            failed.update(seen["failed"])
        wrong_keys = sum(stranger.get("refused", {}).values())
        ended = sum(team.requests + team.refused.total() for team in teams) + wrong_keys
        return Scene(
            teams=teams,
            budgets=self._budget_rows(),
            newest=list(recent(self._engine, RECENT_ROWS)),
            answers=report.get("answers", []),
            wrong_keys=wrong_keys,
            failed=failed,
            in_flight=int(self._budgets.redis.zcard(self._budgets.keys.holds)),
            per_second=self._rate(ended),
        )

    def _rate(self, ended: int) -> float:
        at = monotonic()
        self._history.append((at, ended))
        while len(self._history) > 2 and at - self._history[0][0] > RATE_SECONDS:
            self._history.popleft()
        since, before = self._history[0]
        return (ended - before) / max(at - since, 0.001)

    def _spending(self) -> dict[str, Spending]:
        until = now() + timedelta(hours=1)
        found = spending(self._engine, until - timedelta(days=3650), until, by="team")
        return {row.group: row for row in found}

    def _team(self, name: str, clients: dict[str, Any], after: dict[str, Spending]) -> TeamRow:
        sums = [
            new - old
            for new, old in zip(_sums(after.get(name)), _sums(self._before.get(name)), strict=True)
        ]
        refused: Counter[str] = Counter()
        for client in CLIENTS:
            if client.team == name and client.name in clients:
                refused.update(clients[client.name]["refused"])
        return TeamRow(name, sums[0], refused, sums[1], sums[2], sums[3])

    def _budget_rows(self) -> list[BudgetRow]:
        redis, keys = self._budgets.redis, self._budgets.keys
        seconds, micros = redis.time()
        now_ms = seconds * 1000 + micros // 1000
        rows = Directory(self._engine).budgets()
        with redis.pipeline(transaction=False) as pipe:
            for row in rows:
                window = window_at(WindowKind(row.window), row.time_zone, now_ms)
                pipe.hmget(keys.budget(row.id, window.start_ms), "spent", "held")
            counters = pipe.execute()
        return [
            BudgetRow(
                row.name,
                row.team_name or row.client_name or "everyone",
                row.window,
                row.enforcement,
                row.limit_nano,
                int(spent or 0),
                int(held or 0),
            )
            for row, (spent, held) in zip(rows, counters, strict=True)
        ]

    def _report(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = orjson.loads(self._report_path.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return {}
        return found


def _sums(row: Spending | None) -> tuple[int, int, int, int]:
    if row is None:
        return 0, 0, 0, 0
    return row.requests, row.input_tokens, row.output_tokens, row.cost_nano
