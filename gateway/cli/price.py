"""`faregate price`: the price list and the deployment's own prices over it."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from gateway.adapters.price_changes import Override, set_price
from gateway.adapters.price_gaps import PROVIDER, full_price_list
from gateway.adapters.price_rows import (
    price_book,
    prices_in_force,
    sync_prices,
)
from gateway.cli.deployment import open_deployment
from gateway.cli.output import (
    Column,
    json_option,
    moment,
    note,
    print_json,
    print_table,
    say,
)
from gateway.cli.parameters import as_moment
from gateway.core.explanations import rate_text
from gateway.core.money import display_usd, usd_from_nano
from gateway.core.price_overrides import STEP_METERS
from gateway.core.prices import STANDARD_TIER, Meter, Price, Rate, RateTable

_COUNT = click.IntRange(1, 2**53 - 1)
_WITH_STEPS = tuple(meter for meter in Meter if meter in STEP_METERS)
_UNITS_NAMED = {
    Meter.AUDIO_SECONDS: "per minute",
    Meter.WEB_SEARCH_CALLS: "per 1,000 calls",
    Meter.FILE_SEARCH_CALLS: "per 1,000 calls",
    Meter.CODE_INTERPRETER_SESSIONS: "per session",
    Meter.IMAGES: "per image",
    Meter.CHARACTERS: "per million characters",
}
_ABOVE = "above_"


def _option_name(meter: Meter) -> str:
    if meter is Meter.AUDIO_SECONDS:
        return "--audio-minute"
    return f"--{meter.value.replace('_', '-')}"


def _unit(meter: Meter) -> str:
    return _UNITS_NAMED.get(meter, "per million tokens")


def _price_options(function: Callable[..., None]) -> Callable[..., None]:
    """One option per meter, and one more per meter that may have a long-context step."""
    meter: Meter
    for meter in reversed(_WITH_STEPS):
        name = f"{_option_name(meter)}-above"
        text = f"The same for requests over --above ({_unit(meter)})."
        function = click.option(name, _ABOVE + meter.value, metavar="USD", help=text)(function)
    for meter in reversed(Meter):
        text = f"USD {_unit(meter)}."
        name = _option_name(meter)
        function = click.option(name, meter.value, metavar="USD", help=text)(function)
    return function


@click.group()
def command() -> None:
    """Sync, set and show prices."""


@command.command()
@click.option("--provider", default=PROVIDER, show_default=True, help="As genai-prices names it.")
@json_option
def sync(provider: str, as_json: bool) -> None:
    """Add what is new in the installed genai-prices package, and published prices it lacks."""
    deployment = open_deployment()
    try:
        found = full_price_list(provider)
    except LookupError as error:
        raise click.ClickException(str(error.args[0])) from None
    report = sync_prices(deployment.engine, found.rows, deployment.actor)
    if report.added:
        deployment.announce()
    if as_json:
        print_json(
            {
                "provider": provider,
                "added": report.added,
                "unchanged": report.unchanged,
                "warnings": list(found.warnings),
            }
        )
        return
    say(f"{report.added} prices added, {report.unchanged} unchanged.")
    for warning in found.warnings:
        note(warning)


@command.command("set")
@click.argument("model")
@_price_options
@click.option("--tier", default=STANDARD_TIER, show_default=True, help="The service tier.")
@click.option("--above", type=_COUNT, metavar="TOKENS", help="Input tokens of a long context.")
@click.option(
    "--from", "valid_from", metavar="DATE", callback=as_moment, help="In UTC. Default: now."
)
@click.option("--free", is_flag=True, help="Amounts of zero are meant: no budget limits these.")
@click.option("--context-window", type=_COUNT, help="Tokens that fit in the model's context.")
@click.option("--output-tokens-max", type=_COUNT, help="Tokens the model answers with at most.")
@json_option
def state(
    model: str,
    tier: str,
    above: int | None,
    valid_from: datetime | None,
    free: bool,
    context_window: int | None,
    output_tokens_max: int | None,
    as_json: bool,
    **amounts: str | None,
) -> None:
    """Set the price of MODEL, or its limits, from a moment on. The rest stays as it is."""
    deployment = open_deployment()
    start = valid_from or datetime.now(UTC)
    base = price_book(deployment.engine).find(model, start)
    override = Override(
        model=model,
        valid_from=start,
        amounts=_stated(amounts, ""),
        tier=tier,
        above=above,
        amounts_above=_stated(amounts, _ABOVE),
        free=free,
        context_window=context_window,
        output_tokens_max=output_tokens_max,
    )
    set_price(deployment.engine, override, deployment.actor)
    deployment.announce()
    price = price_book(deployment.engine).find(model, start)
    assert price is not None
    _show(price, as_json)
    others = [name for name in (base.names if base else ()) if name != model]
    if others:
        note(f"These names keep their price: {', '.join(others)}")


def _stated(amounts: Mapping[str, str | None], prefix: str) -> dict[Meter, str]:
    found = ((meter, amounts.get(prefix + meter.value)) for meter in Meter)
    return {meter: amount for meter, amount in found if amount is not None}


@command.command()
@click.argument("model")
@click.option("--at", metavar="DATE", callback=as_moment, help="In UTC. Default: now.")
@json_option
def show(model: str, at: datetime | None, as_json: bool) -> None:
    """Show what a request for MODEL costs."""
    deployment = open_deployment()
    price = price_book(deployment.engine).find(model, at or datetime.now(UTC))
    if price is None:
        raise click.ClickException(
            f"{model} has no price{f' at {moment(at)}' if at else ''}: `faregate price list` shows"
            f" the models that have, `faregate price set` adds one"
        )
    _show(price, as_json)


@command.command("list")
@click.option("--model", "pattern", metavar="PATTERN", help="These models only: 'gpt-4o*'.")
@json_option
def list_prices(pattern: str | None, as_json: bool) -> None:
    """List the prices in force."""
    deployment = open_deployment()
    rows = prices_in_force(deployment.engine, datetime.now(UTC))
    found = [
        price
        for price in rows
        if pattern is None
        or any(fnmatch.fnmatchcase(name, pattern) for name in (price.model, *price.names))
    ]
    if as_json:
        print_json([_facts(price) for price in found])
    elif not found and pattern is not None:
        note(f"No model matches {pattern}: `faregate price list` shows them all.")
    elif not found:
        note("There is no price yet. Add the price list: faregate price sync")
    else:
        print_table(
            [
                Column("Model"),
                Column("Input", number=True),
                Column("Cached", number=True),
                Column("Output", number=True),
                Column("More"),
            ],
            [_list_cells(price) for price in found],
        )
        note("US dollars per million tokens. `faregate price show MODEL` shows all of a model.")


def _list_cells(price: Price) -> tuple[str, ...]:
    rates = price.tiers.get(STANDARD_TIER, {})
    shown = (Meter.INPUT, Meter.CACHED_INPUT, Meter.OUTPUT)
    more = sorted(set(price.tiers) - {STANDARD_TIER})
    others = [meter for meter in Meter if meter in rates and meter not in shown]
    if others and not any(meter in rates for meter in shown):
        # Nothing of it is in the other columns.
        more = [rate_text(m, rates[m].nano, rates[m].per) for m in others] + more
    elif others:
        more.append("other meters")
    if any(rate.steps for rate in rates.values()):
        more.append("long context")
    if price.is_override:
        more.append("set here")
    return (price.model, *(_first(rates, meter) for meter in shown), ", ".join(more))


def _first(rates: RateTable, meter: Meter) -> str:
    return display_usd(rates[meter].nano) if meter in rates else "-"


def _show(price: Price, as_json: bool) -> None:
    if as_json:
        print_json(_facts(price))
        return
    since = moment(price.valid_from) if price.valid_from.year > 1970 else "the beginning"
    say(f"{price.model}: price {price.id} from {price.source}, valid from {since}.")
    if price.names and price.names != (price.model,):
        say(f"Names: {', '.join(price.names)}")
    if price.context_window is not None:
        say(f"Context window: {price.context_window:,} tokens.")
    if price.output_tokens_max is not None:
        say(f"Output at most: {price.output_tokens_max:,} tokens.")
    tiers = sorted(price.tiers, key=lambda tier: (tier != STANDARD_TIER, tier))
    print_table(
        [
            Column("Tier"),
            Column("Meter"),
            Column("Rate", number=True),
            Column("Long context", number=True),
        ],
        [
            (tier if first else "", meter.value.replace("_", " "), *_rate_cells(meter, rate))
            for tier in tiers
            for first, meter, rate in _ordered(price.tiers[tier])
        ],
    )


def _ordered(rates: RateTable) -> list[tuple[bool, Meter, Rate]]:
    """The rates of a tier in the order of the meters, and which is the first."""
    meters = [meter for meter in Meter if meter in rates]
    return [(meter is meters[0], meter, rates[meter]) for meter in meters]


def _rate_cells(meter: Meter, rate: Rate) -> tuple[str, str]:
    steps = [f"{display_usd(nano)} over {start:,} tokens" for start, nano in rate.steps]
    return rate_text(meter, rate.nano, rate.per), ", ".join(steps)


def _facts(price: Price) -> dict[str, Any]:
    return {
        "id": price.id,
        "model": price.model,
        "names": list(price.names),
        "source": price.source,
        "is_override": price.is_override,
        "valid_from": price.valid_from,
        "context_window": price.context_window,
        "output_tokens_max": price.output_tokens_max,
        "tiers": {
            tier: {meter.value: _rate_facts(rate) for meter, rate in rates.items()}
            for tier, rates in price.tiers.items()
        },
    }


def _rate_facts(rate: Rate) -> dict[str, Any]:
    return {
        "usd": usd_from_nano(rate.nano),
        "per": rate.per,
        "steps": [{"above": start, "usd": usd_from_nano(nano)} for start, nano in rate.steps],
    }
