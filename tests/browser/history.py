"""Weeks of believable history, written as the recorder writes it: for pages to be looked at.

``make_history`` makes teams, clients, keys, budgets and tags, and records some thousand requests
before ``now``: working days above weekends and nights, slow growth, a busy day, failures,
estimates, expired holds, cached prompts, refusals. The same seed gives the same history.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any

from sqlalchemy import Engine, insert

from gateway.adapters.directory import Directory
from gateway.adapters.price_rows import prices_in_force
from gateway.adapters.redis_budgets import RedisBudgets
from gateway.adapters.rollup_tables import hourly_refusals
from gateway.adapters.usage_rows import record
from gateway.core.budgets import Enforcement, Window, WindowKind, window_at
from gateway.core.events import UsageEvent, parse_event
from gateway.core.money import NANO_PER_USD, nano_from_usd
from gateway.core.reports import hour_of

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per million tokens."""

    input: str
    cached: str
    output: str


MODELS = {
    "gpt-5": Rates("1.25", "0.125", "10"),
    "gpt-5-mini": Rates("0.25", "0.025", "2"),
    "gpt-4o": Rates("2.50", "1.25", "10"),
    "gpt-4o-mini": Rates("0.15", "0.075", "0.60"),
    "o3": Rates("2", "0.50", "8"),
    "text-embedding-3-large": Rates("0.13", "0.13", "0"),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """A client: how often it asks, for what, and how large its requests are."""

    team: str
    name: str
    share: int
    models: tuple[str, ...]
    tokens: int
    night: bool = False
    feature: str = "assistant"


CALLERS = (
    Caller("search", "ranker", 22, ("gpt-5-mini", "gpt-4o-mini"), 260_000, True, "ranking"),
    Caller("search", "indexer", 9, ("text-embedding-3-large",), 900_000, True, "indexing"),
    Caller("support", "chatbot", 24, ("gpt-4o", "gpt-5"), 90_000),
    Caller("support", "triage", 14, ("gpt-4o-mini",), 180_000, True, "triage"),
    Caller("research", "notebook", 8, ("o3", "gpt-5"), 220_000, False, "evaluation"),
    Caller("research", "evals", 5, ("gpt-5",), 400_000, True, "evaluation"),
    Caller("platform", "code-review", 12, ("gpt-5", "o3"), 150_000, False, "review"),
    Caller("platform", "release-notes", 3, ("gpt-5-mini",), 80_000, False, "review"),
    Caller("growth", "campaigns", 6, ("gpt-4o",), 60_000, False, "copywriting"),
)


@dataclass(frozen=True, slots=True)
class Limit:
    """A budget, and the share of its limit that is spent in the present window; of a day or a
    week, in the dearest."""

    name: str
    window: WindowKind
    spent_permille: int
    team: str | None = None
    client: str | None = None
    enforcement: Enforcement = Enforcement.STRICT


LIMITS = (
    Limit("organization", WindowKind.MONTH, 610),
    Limit("search-monthly", WindowKind.MONTH, 480, team="search"),
    Limit("support-monthly", WindowKind.MONTH, 870, team="support"),
    Limit("research-monthly", WindowKind.MONTH, 1000, team="research"),
    Limit("platform-weekly", WindowKind.WEEK, 960, team="platform"),
    Limit("chatbot-daily", WindowKind.DAY, 940, client="chatbot", enforcement=Enforcement.EXPECTED),
    Limit("evals-total", WindowKind.TOTAL, 720, client="evals"),
    Limit("growth-monthly", WindowKind.MONTH, 1080, team="growth", enforcement=Enforcement.SOFT),
)


@dataclass(frozen=True, slots=True)
class History:
    """What was made; ids by name."""

    teams: dict[str, int]
    clients: dict[str, int]
    keys: dict[str, str]
    """Secrets by the name of their client."""
    budgets: dict[str, int]
    requests: int
    spent: dict[str, int] = field(default_factory=dict)
    """Nano-dollars in the present window, by the name of the budget."""


def make_history(
    engine: Engine,
    counters: RedisBudgets,
    now: datetime,
    *,
    days: int = 75,
    per_day: int = 90,
    seed: int = 7,
) -> History:
    """Make teams and what they did in the ``days`` before ``now``, in an initialised deployment."""
    random = Random(seed)
    directory = Directory(engine)
    for tag in ("env", "feature"):
        directory.add_tag_key(tag)
    teams = {name: directory.create_team(name) for name in dict.fromkeys(c.team for c in CALLERS)}
    clients, keys, key_ids = {}, {}, {}
    for caller in CALLERS:
        clients[caller.name] = directory.create_client(caller.team, caller.name)
        made = directory.create_key(caller.name, "production")
        keys[caller.name], key_ids[caller.name] = made.secret, made.id
    who = {c.name: (teams[c.team], clients[c.name], key_ids[c.name]) for c in CALLERS}
    spans: dict[str, Window] = {}
    at_ms = int(now.timestamp() * 1000)
    for limit in LIMITS:
        spans[limit.name] = window_at(limit.window, "UTC", at_ms)
    calls = list(_calls(random, now, days, per_day))
    spent = _spent(calls, spans)
    budgets = _budgets(directory, calls, spent)
    terms = _Terms(
        {row.name: row for row in directory.budgets()},
        {price.model: price.id for price in prices_in_force(engine, now)},
    )
    events = [
        _event(random, call, who[call.caller.name], terms, place)
        for place, call in enumerate(calls)
    ]
    for start in range(0, len(events), 500):
        record(engine, events[start : start + 500])
    _refuse(engine, random, now, teams, clients, budgets)
    counters.publish(directory.version())
    for name, budget_id in budgets.items():
        held = spent[name] // 90 if name in ("organization", "support-monthly") else 0
        key = counters.keys.budget(budget_id, spans[name].start_ms)
        counters.redis.hset(key, mapping={"spent": spent[name], "held": held})
    return History(teams, clients, keys, budgets, len(events), spent)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a record says besides its bill: budgets and prices by name."""

    budgets: dict[str, Any]
    prices: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Call:
    at: datetime
    caller: Caller
    model: str
    usage: dict[str, int]
    lines: list[list[Any]]
    cost: int
    saved: int
    kind: str


def _calls(random: Random, now: datetime, days: int, per_day: int) -> Iterator[_Call]:
    first = now - timedelta(days=days)
    for day in range(days + 1):
        start = (first + timedelta(days=day)).replace(hour=0, minute=0, second=0, microsecond=0)
        weekend = start.weekday() >= 5
        level = (0.45 if weekend else 1.0) * (0.62 + 0.45 * day / days) * random.uniform(0.82, 1.2)
        if day == days - 19:
            level *= 2.1
        for _ in range(round(per_day * level)):
            caller = random.choices(CALLERS, [c.share for c in CALLERS])[0]
            hour = random.uniform(0, 24) if caller.night else random.gauss(13.5, 3.2) % 24
            at = start + timedelta(hours=hour)
            if first <= at < now - timedelta(minutes=2):
                yield _call(random, at, caller)


def _call(random: Random, at: datetime, caller: Caller) -> _Call:
    model = random.choices(caller.models, [3, 1][: len(caller.models)])[0]
    rates = MODELS[model]
    tokens = max(200, int(random.lognormvariate(0, 0.55) * caller.tokens))
    cached = (
        int(tokens * random.choice((0, 0, 0.3, 0.55, 0.8))) if rates.cached != rates.input else 0
    )
    output = 0 if rates.output == "0" else max(20, int(tokens * random.uniform(0.04, 0.22)))
    kind = random.choices(("exact", "estimated", "unknown", "failed"), [942, 32, 7, 19])[0]
    if kind == "failed":
        return _Call(at, caller, model, {}, [], 0, 0, kind)
    usage = {"input_tokens": tokens, "cached_input_tokens": cached, "output_tokens": output}
    lines: list[list[Any]] = [["input", tokens - cached, nano_from_usd(rates.input), MILLION]]
    if cached:
        lines.append(["cached_input", cached, nano_from_usd(rates.cached), MILLION])
    if output:
        lines.append(["output", output, nano_from_usd(rates.output), MILLION])
    exact = sum(Fraction(count * nano, per) for _, count, nano, per in lines)
    cost = -(-exact.numerator // exact.denominator)
    saved = cached * (nano_from_usd(rates.input) - nano_from_usd(rates.cached)) // MILLION
    return _Call(at, caller, model, usage, lines, cost, saved, kind)


def _spent(calls: list[_Call], spans: dict[str, Window]) -> dict[str, int]:
    spent = dict.fromkeys(spans, 0)
    for call in calls:
        for limit in LIMITS:
            if _covers(limit, call) and spans[limit.name].contains(_ms(call.at)):
                spent[limit.name] += call.cost
    return spent


def _covers(limit: Limit, call: _Call) -> bool:
    return limit.team in (None, call.caller.team) and limit.client in (None, call.caller.name)


def _budgets(directory: Directory, calls: list[_Call], spent: dict[str, int]) -> dict[str, int]:
    """Budgets whose limits are such that they are spent as far as they shall be."""
    made = {}
    for limit in LIMITS:
        most = _dearest(limit, calls) if limit.window in _SHORT else spent[limit.name]
        wanted = most * 1000 // limit.spent_permille
        whole = max(NANO_PER_USD, wanted // NANO_PER_USD * NANO_PER_USD)
        made[limit.name] = directory.create_budget(
            limit.name,
            limit_nano=whole,
            window=limit.window,
            team=limit.team,
            client=limit.client,
            enforcement=limit.enforcement,
        )
    return made


_SHORT = (WindowKind.DAY, WindowKind.WEEK)


def _dearest(limit: Limit, calls: list[_Call]) -> int:
    """The most that was spent in any window of ``limit``."""
    sums: dict[int, int] = {}
    for call in calls:
        if _covers(limit, call):
            start = window_at(limit.window, "UTC", _ms(call.at)).start_ms
            sums[start] = sums.get(start, 0) + call.cost
    return max(sums.values())


def _event(
    random: Random, call: _Call, who: tuple[int, int, int], terms: _Terms, place: int
) -> UsageEvent:
    at, hold = _ms(call.at), call.cost + call.cost // 3
    windows = []
    for limit in LIMITS:
        if _covers(limit, call):
            row = terms.budgets[limit.name]
            start = window_at(limit.window, "UTC", at).start_ms
            windows.append(f"{row.id}:{start}:{hold}:{row.limit_nano}:{row.enforcement}")
    endpoint = (
        "embeddings"
        if "embedding" in call.model
        else random.choice(("chat/completions", "responses"))
    )
    context = {
        "team_id": who[0],
        "client_id": who[1],
        "key_id": who[2],
        "endpoint": endpoint,
        "model": call.model,
        "price_id": terms.prices.get(call.model),
        "tier": "default",
        "streamed": random.random() < 0.6,
        "tags": {
            "env": random.choice(("production",) * 4 + ("staging",)),
            "feature": call.caller.feature,
        },
    }
    failed, expired = call.kind == "failed", call.kind == "unknown"
    duration = None if expired else int(random.lognormvariate(7.3, 0.75)) + 90
    result: dict[str, Any] = {
        "status": 502 if failed else 200,
        "usage": {} if expired else call.usage,
        "lines": [] if expired else call.lines,
        "saved": 0 if expired else call.saved,
        "certainty": "exact" if failed else call.kind,
        "duration_ms": duration,
        "upstream_id": None if failed or expired else f"resp_{place:06d}",
    }
    fields = {
        "id": f"req_history{place:07d}",
        "kind": "request",
        "outcome": "expired" if expired else "released" if failed else "settled",
        "cost": call.cost,
        "hold": hold,
        "held_at": at,
        "at": at + (duration or 60_000),
        "budgets": ",".join(windows),
        "context": json.dumps(context),
        "result": json.dumps(result),
    }
    return parse_event({name.encode(): str(value).encode() for name, value in fields.items()})


def _refuse(
    engine: Engine,
    random: Random,
    now: datetime,
    teams: dict[str, int],
    clients: dict[str, int],
    budgets: dict[str, int],
) -> None:
    """Refusals of the last weeks, most of them by the budget that is spent."""
    cells: dict[tuple[Any, ...], int] = {}
    causes = (
        ("insufficient_quota", "research", "notebook", "research-monthly", 8),
        ("insufficient_quota", "support", "chatbot", "support-monthly", 2),
        ("rate_limit_exceeded", "search", "ranker", None, 4),
        ("model_not_allowed", "support", "triage", None, 1),
    )
    for hours in range(1, 24 * 34):
        at = hour_of(now - timedelta(hours=hours))
        code, team, client, budget, weight = random.choice(causes)
        if random.random() < 0.05 * weight * (3 if hours < 60 else 1):
            key = (at, teams[team], clients[client], budgets[budget] if budget else 0, code)
            cells[key] = cells.get(key, 0) + random.randint(1, 9)
    names = ("hour", "team_id", "client_id", "budget_id", "code")
    rows = [{**dict(zip(names, key, strict=True)), "requests": n} for key, n in cells.items()]
    with engine.begin() as connection:
        connection.execute(insert(hourly_refusals), rows)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
