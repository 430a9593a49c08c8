"""What people and the provider did in the weeks of ``history``: bills, alerts, prices, changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, select, update

from gateway.adapters.admin_tokens import AdminTokens
from gateway.adapters.alert_channels import AlertChannels
from gateway.adapters.alert_events import announce
from gateway.adapters.alert_rules import AlertRules, rules_in_force
from gateway.adapters.control_tables import alert_deliveries
from gateway.adapters.directory import Directory
from gateway.adapters.price_rows import override_price, prices_in_force
from gateway.adapters.reconciliation_rows import dismiss, store
from gateway.adapters.tables import budgets
from gateway.core.alerts import AlertKind, ChannelKind, Standing, Watched, threshold_crossings
from gateway.core.budgets import WindowKind, window_at
from gateway.core.reconciling import Cause, Difference, Part
from gateway.core.reports import day_of
from gateway.core.roles import Principal, Role
from tests.browser.history import History

ANN = Principal("user:ann@acme.example", Role.ADMIN, address="192.0.2.17")
FINN = Principal("user:finn@acme.example", Role.FINANCE, address="192.0.2.23")
TOLD = ("support-monthly", "research-monthly", "growth-monthly", "evals-total")
DOLLAR = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Events:
    """What was made; ids."""

    reconciliation: int
    token: int
    price: int


def make_events(engine: Engine, history: History, now: datetime) -> Events:
    """Make what the pages beside spend show, in a deployment with ``history``."""
    price = _set_price(engine, now)
    _change_things(engine)
    _alert(engine, history, now)
    tokens = AdminTokens(engine)
    tokens.create(ANN, "terraform", Role.ADMIN)
    token = tokens.create(ANN, "month-end report", Role.FINANCE, expires_in=timedelta(days=90))
    return Events(_reconcile(engine, now), token.id, price)


def _set_price(engine: Engine, now: datetime) -> int:
    """A price of the company's own contract."""
    (known,) = [price for price in prices_in_force(engine, now) if price.model == "gpt-4o"]
    since = day_of(now) - timedelta(days=20)
    return override_price(engine, "gpt-4o", known.tiers, valid_from=since, actor=ANN)


def _change_things(engine: Engine) -> None:
    directory = Directory(engine, ANN)
    directory.change_client(
        "chatbot", requests_per_minute=1200, allowed_models=["gpt-4o*", "gpt-5*"]
    )
    directory.create_key("notebook", "laptop of Ben", timedelta(days=30))
    key = directory.create_key("chatbot", "staging")
    directory.revoke_key(key.id)


# Alerts


def _alert(engine: Engine, history: History, now: datetime) -> None:
    channels = AlertChannels(engine, ANN)
    channels.create("finance", ChannelKind.SLACK, "https://chat.acme.example/hooks/finance")
    channels.create("on-call", ChannelKind.WEBHOOK, "https://oncall.acme.example/faregate")
    rules = AlertRules(engine, ANN)
    both = ("finance", "on-call")
    rules.create("every budget", AlertKind.THRESHOLD, both, percents=(50, 80, 100))
    rules.create("month will not do", AlertKind.FORECAST, ["finance"], budget="organization")
    rules.create("unusual hours", AlertKind.ANOMALY, ["on-call"], percents=(300,))
    found = rules_in_force(engine)
    at_ms = int(now.timestamp() * 1000)
    crossings = [
        crossing
        for standing in _standings(engine, history, now)
        for crossing in threshold_crossings(found, [standing], at_ms)
    ]
    crossings.sort(key=lambda crossing: crossing.percent)
    for place, crossing in enumerate(crossings):
        rule = next(rule for rule in found if rule.id == crossing.rule_id)
        ago = timedelta(hours=31 * (len(crossings) - place), minutes=7 * place)
        announce(engine, rule, crossing, now - ago)
    _deliver(engine)


def _standings(engine: Engine, history: History, now: datetime) -> Iterator[Standing]:
    at_ms = int(now.timestamp() * 1000)
    with engine.connect() as connection:
        rows = {row.id: row for row in connection.execute(select(budgets))}
    for name in TOLD:
        row = rows[history.budgets[name]]
        on = (
            f"client {name.partition('-')[0]}"
            if row.client_id
            else f"team {name.partition('-')[0]}"
        )
        watched = Watched(row.id, row.name, on, row.limit_nano, 0, row.team_id, row.client_id)
        window = window_at(WindowKind(row.window), row.time_zone, at_ms)
        yield Standing(watched, window, history.spent[name], 0)


def _deliver(engine: Engine) -> None:
    """All are sent, but for the last of the second channel, which its receiver does not take."""
    d = alert_deliveries
    with engine.begin() as connection:
        rows = connection.execute(select(d.c.id, d.c.next_at).order_by(d.c.id)).all()
        for row in rows:
            sent = {"state": "sent", "attempts": 1, "sent_at": row.next_at + timedelta(seconds=1)}
            connection.execute(update(d).where(d.c.id == row.id).values(**sent))
        failed = {
            "state": "failed",
            "attempts": 4,
            "sent_at": None,
            "last_error": "it answered 404",
        }
        connection.execute(update(d).where(d.c.id == rows[-1].id).values(**failed))


# The provider's bill


def _reconcile(engine: Engine, now: datetime) -> int:
    """Three comparisons: one that agreed, one decided against, one that waits for a decision."""
    today, week = day_of(now), timedelta(days=7)
    store(engine, today - 3 * week, today - 2 * week, "openai", (412_078_311_200,) * 2, [], FINN)
    since = today - 2 * week
    price = (Part(Cause.PRICE, 2 * DOLLAR, "Output is billed 4.1 % more than our price."),)
    small = Difference(since, "o3", "output", 48 * DOLLAR, 50 * DOLLAR, 6_000_000, 6_000_000, price)
    totals = (455_100_000_000, 457_100_000_000)
    dismiss(engine, store(engine, since, today - week, "openai", totals, [small], FINN), FINN)
    lines = list(_differences(today - week))
    ours = 486_915_204_310
    theirs = ours + sum(line.theirs_nano - line.ours_nano for line in lines)
    return store(engine, today - week, today, "openai", (ours, theirs), lines, FINN)


def _differences(since: datetime) -> Iterator[Difference]:
    """Cached input billed higher, an hour that was never recorded, and rounding."""
    day = since + timedelta(days=2)
    text = (
        f"From {day:%Y-%m-%d} on, cached input is billed 8.5 % more than our price:"
        " $1.35625 per 1M, not $1.25 per 1M."
    )
    for number, nano in enumerate((612_000_000, 588_250_000, 430_500_000)):
        ours = nano * 1000 // 85
        cached = (Part(Cause.CACHED_TOKENS, nano - 3, text), Part(Cause.ROUNDING, 3, _ROUNDED))
        tokens = ours // 1250
        at = day + timedelta(days=number)
        yield Difference(at, "gpt-4o", "cached_input", ours, ours + nano, tokens, tokens, cached)
    lost = "The provider has 41 requests from 14:00 to 15:00 UTC that are not recorded here."
    for item, share in (("input", 1_210_400_000), ("output", 2_208_505_000)):
        part = (Part(Cause.MISSING, share, lost),)
        yield Difference(
            day, "gpt-5", item, 21 * DOLLAR, 21 * DOLLAR + share, 16_800_000, 17_768_320, part
        )
    guess = (Part(Cause.ESTIMATE, -84_120_000, "3 requests are recorded at their upper bound."),)
    yield Difference(day, "gpt-5-mini", "output", 412_000_000, 327_880_000, 206_000, 163_940, guess)


_ROUNDED = "Amounts are rounded, here up for each request."
