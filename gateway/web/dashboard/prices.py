"""Prices: what is in force for each model, where it comes from, and how it came to be that."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Response, request

from gateway.adapters.directory import Directory
from gateway.adapters.directory_values import DirectoryError
from gateway.adapters.price_changes import Override, set_price
from gateway.adapters.price_rows import all_prices, price_by_id, prices_in_force
from gateway.adapters.table_files import Column, Kind
from gateway.adapters.threads import on_control_thread
from gateway.core.errors import NotFound
from gateway.core.explanations import rate_text
from gateway.core.money import display_usd
from gateway.core.price_overrides import PER_MILLION, STEP_METERS, UNITS, InvalidOverride
from gateway.core.prices import STANDARD_TIER, Meter, Price, Rate
from gateway.core.roles import Principal, Role
from gateway.web import principals
from gateway.web.admin.announcing import announce
from gateway.web.current import services
from gateway.web.dashboard import exports, forms, shell
from gateway.web.dashboard.forms import Form

blueprint = shell.pages("prices")

SHOWN = (Meter.INPUT, Meter.CACHED_INPUT, Meter.OUTPUT)
COLUMNS = (
    Column("price_id", Kind.COUNT),
    Column("model"),
    Column("source"),
    Column("is_override", Kind.FLAG),
    Column("valid_from", Kind.MOMENT),
    Column("tier"),
    Column("meter"),
    Column("above_input_tokens", Kind.COUNT),
    Column("rate", Kind.MONEY),
    Column("per_units", Kind.COUNT),
)
PRICES = shell.Crumb("Prices", "/prices")


@dataclass(frozen=True, slots=True)
class RateLine:
    """One rate of a tier as people read it; ``steps`` are those of long prompts."""

    meter: str
    rate: str
    steps: Sequence[str]


@blueprint.get("/prices")
def prices() -> Response:
    """What each model costs now."""
    viewer = principals.principal()
    pattern, own = request.args.get("model", "").strip(), request.args.get("own") == "1"
    now = datetime.now(UTC)
    every = on_control_thread(prices_in_force, services().engine, now)
    found = [
        price for price in every if _matches(price, pattern) and (price.is_override or not own)
    ]
    if kind := exports.wanted():
        rows = [row for price in found for row in _cells(price)]
        return exports.as_file(kind, "prices", COLUMNS, exports.one_batch(rows))
    return shell.render(
        "prices.html",
        viewer,
        title="Prices",
        prices=[(price, *_standard(price)) for price in found],
        count=len(every),
        own_count=sum(price.is_override for price in every),
        pattern=pattern,
        own=own,
        may_set=viewer.may_administer,
    )


@blueprint.get("/prices/<int:price_id>")
def one(price_id: int) -> Response:
    """All rates of one price row, and the rows of its model before and after it."""
    viewer = principals.principal()
    engine, now = services().engine, datetime.now(UTC)
    price = on_control_thread(price_by_id, engine, price_id)
    if price is None:
        raise NotFound(f"There is no price {price_id}.")
    history = [row for row in on_control_thread(all_prices, engine) if row.model == price.model]
    if kind := exports.wanted():
        rows = [cells for row in history for cells in _cells(row)]
        return exports.as_file(kind, f"price-{price_id}", COLUMNS, exports.one_batch(rows))
    # As PriceBook orders them: the deployment's own above synced ones, then the newest start.
    history.sort(key=lambda row: (row.is_override, row.valid_from, row.id), reverse=True)
    begun = [row for row in history if row.valid_from <= now]
    return shell.render(
        "price.html",
        viewer,
        title=price.model,
        crumbs=[PRICES],
        price=price,
        tiers=[(tier, _lines(price, tier)) for tier in _tiers(price)],
        history=history,
        current=begun[0] if begun else None,
        now=now,
        may_set=viewer.may_administer,
    )


@blueprint.route("/prices/new", methods=["GET", "POST"])
def create() -> Response:
    """Set the deployment's own price of a model, from a date on."""
    viewer = principals.principal(Role.ADMIN)
    now = datetime.now(UTC)
    form = Form(
        {
            "model": request.args.get("model", ""),
            "tier": STANDARD_TIER,
            "valid_from": f"{now:%Y-%m-%dT%H:%M}",
        }
    )
    if request.method == "POST":
        form = Form.sent()
        override = _override(form)
        made = None if form.errors else _set(viewer, form, override)
        if made is not None:
            text = (
                f"The price of {made.model} is set, from {made.valid_from:%Y-%m-%d %H:%M} UTC on."
            )
            return forms.done(f"/prices/{made.id}", text)
    shown = {*SHOWN, *(meter for meter in Meter if form.values.get(meter.value))}
    return forms.render(
        "price_form.html",
        viewer,
        form,
        title="Set a price",
        crumbs=[PRICES],
        meters=[(meter.value, _label(meter), meter in shown) for meter in Meter],
        models=[
            price.model for price in on_control_thread(prices_in_force, services().engine, now)
        ],
    )


def _override(form: Form) -> Override:
    amounts = {m: form.values[m.value] for m in Meter if form.values.get(m.value)}
    above = {
        m: form.values[f"{m.value}_above"] for m in STEP_METERS if form.values.get(f"{m}_above")
    }
    if not form.values.get("model"):
        form.fail("model", "name a model")
    return Override(
        form.values.get("model", ""),
        form.moment("valid_from") or datetime.now(UTC),
        {meter: amount.lstrip("$") for meter, amount in amounts.items()},
        form.values.get("tier") or STANDARD_TIER,
        form.whole("above") or None,
        {meter: amount.lstrip("$") for meter, amount in above.items()},
        form.flag("free"),
        form.whole("context_window") or None,
        form.whole("output_tokens_max") or None,
    )


def _set(viewer: Principal, form: Form, override: Override) -> Price | None:
    at = services()
    try:
        made = on_control_thread(set_price, at.engine, override, viewer)
    except InvalidOverride as error:
        message = str(error).replace("say --free", "tick the box below").replace("--", "")
        named = next((m.value for m in Meter if f"the {m.value} price" in message), "")
        form.fail(named if named in form.values else "", message)
        return None
    except DirectoryError as error:
        form.fail("", str(error))
        return None
    announce(at, on_control_thread(Directory(at.engine, viewer).version))
    return made


def _matches(price: Price, pattern: str) -> bool:
    if not pattern:
        return True
    wanted = pattern if any(mark in pattern for mark in "*?") else f"*{pattern}*"
    return any(fnmatch.fnmatchcase(name, wanted) for name in (price.model, *price.names))


def _tiers(price: Price) -> list[str]:
    return sorted(price.tiers, key=lambda tier: (tier != STANDARD_TIER, tier))


def _standard(price: Price) -> tuple[Sequence[str | None], Sequence[str]]:
    """The rates of the columns, and in words what else a price has."""
    rates = price.tiers.get(STANDARD_TIER, {})
    columns = [display_usd(rates[meter].nano) if meter in rates else None for meter in SHOWN]
    others = [meter for meter in Meter if meter in rates and meter not in SHOWN]
    more = []
    if others and not any(columns):
        more = [rate_text(meter, rates[meter].nano, rates[meter].per) for meter in others[:2]]
    elif others:
        more.append(f"{len(others)} more meters" if len(others) > 1 else "1 more meter")
    if any(rate.steps for rate in rates.values()):
        more.append("long prompts")
    if tiers := [tier for tier in _tiers(price) if tier != STANDARD_TIER]:
        more.append(", ".join(tiers) if len(tiers) < 4 else f"{len(tiers)} tiers or sizes")
    return columns, more


def _lines(price: Price, tier: str) -> list[RateLine]:
    rates = price.tiers[tier]
    return [_line(meter, rates[meter]) for meter in Meter if meter in rates]


def _line(meter: Meter, rate: Rate) -> RateLine:
    steps = [f"{display_usd(nano)} above {start:,} input tokens" for start, nano in rate.steps]
    return RateLine(meter.value.replace("_", " "), rate_text(meter, rate.nano, rate.per), steps)


def _label(meter: Meter) -> str:
    units = {
        Meter.AUDIO_SECONDS: "a minute",
        Meter.IMAGES: "an image",
        Meter.CODE_INTERPRETER_SESSIONS: "a session",
        Meter.CHARACTERS: "1M characters",
    }
    per = UNITS.get(meter, PER_MILLION)
    calls = "1,000 calls" if per == 1000 else "1M tokens"
    name = meter.value.replace("_", " ").capitalize()
    return f"{name}, $ for {units.get(meter, calls)}"


def _cells(price: Price) -> list[Sequence[Any]]:
    rows: list[Sequence[Any]] = []
    for tier in _tiers(price):
        for meter, rate in price.tiers[tier].items():
            for above, nano in ((0, rate.nano), *rate.steps):
                rows.append(
                    (
                        price.id,
                        price.model,
                        price.source,
                        price.is_override,
                        price.valid_from,
                        tier,
                        meter.value,
                        above,
                        nano,
                        rate.per,
                    )
                )
    return rows
