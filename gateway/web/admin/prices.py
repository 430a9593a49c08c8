"""Prices of the admin API: what is in force, what was, and the deployment's own over them."""

from __future__ import annotations

import fnmatch
from typing import Annotated

from pydantic import Field, StringConstraints
from sqlalchemy import Engine

from gateway.adapters.directory import now
from gateway.adapters.price_changes import Override, set_price
from gateway.adapters.price_rows import all_prices, price_by_id, prices_in_force
from gateway.core.money import usd_from_nano
from gateway.core.price_facts import price_facts
from gateway.core.prices import STANDARD_TIER, Meter, Price
from gateway.web.admin import cursors
from gateway.web.admin.endpoint import ADMINS, Api, Call, NoBody, NoQuery, not_found
from gateway.web.admin.fields import (
    AmountText,
    Answer,
    Body,
    Listed,
    ModelName,
    Moment,
    MomentText,
    NextCursor,
    Pattern,
    QueryFlag,
    Usd,
)

api = Api("prices", "What models cost, by date; the deployment's own prices stand above others.")

MeterField = Annotated[Meter, Field(strict=False)]
Rates = dict[MeterField, Usd]
Tier = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_./:-]{1,64}$")]
Tokens = Annotated[int, Field(ge=1, le=2**53 - 1)]


class Step(Answer):
    """A rate for requests with more input tokens than `above`."""

    above: int
    usd: AmountText


class RateAnswer(Answer):
    """US dollars per so many units. Audio is counted in seconds."""

    usd: AmountText
    per: int
    steps: list[Step]


class PriceAnswer(Answer):
    """A price row. Rows are never changed: a newer one takes the place of an older."""

    id: int
    model: str
    names: list[str] = Field(description="What it prices: names, and patterns of names.")
    source: str
    is_override: bool
    valid_from: MomentText
    context_window: int | None
    output_tokens_max: int | None
    tiers: dict[str, dict[Meter, RateAnswer]] = Field(description="By service tier and meter.")


class Prices(Answer):
    """A page of prices, by model, then by id."""

    data: list[PriceAnswer]
    next: NextCursor


class PricesQuery(Listed):
    """Which prices."""

    model: Pattern | None = Field(None, description="A name, or a pattern such as gpt-4o*.")
    at: Moment | None = Field(None, description="In force at this time. Default: now.")
    history: QueryFlag = Field(False, description="Also what is not, or not yet, in force.")
    is_override: QueryFlag | None = Field(None, description="Set here; or from the price list.")


class NewPrice(Body):
    """A price of the deployment's own. What is not stated stays as it is."""

    model: ModelName
    rates: Rates = Field(
        min_length=1,
        description=(
            "US dollars per million tokens or characters, per minute of audio, per 1,000 searches,"
            " per image or session."
        ),
    )
    tier: Tier = Field(STANDARD_TIER, description="The service tier.")
    above: Tokens | None = Field(None, description="Input tokens of a long context.")
    rates_above: Rates = Field({}, description="The rates of requests with more than `above`.")
    valid_from: Moment | None = Field(None, description="Default: now.")
    free: bool = Field(
        False, description="Rates of zero are meant: what costs nothing is limited by no budget."
    )
    context_window: Tokens | None = None
    output_tokens_max: Tokens | None = None


def _answer(price: Price) -> PriceAnswer:
    return PriceAnswer.model_validate(price_facts(price))


def _found(engine: Engine, query: PricesQuery) -> list[Price]:
    if query.history:
        found = all_prices(engine)
        if query.at is not None:
            found = [price for price in found if price.valid_from <= query.at]
    else:
        found = prices_in_force(engine, query.at or now())
    wanted = [
        price
        for price in found
        if query.is_override in (None, price.is_override) and _is_named(price, query.model)
    ]
    return sorted(wanted, key=_place)


def _amounts(rates: Rates) -> dict[Meter, str]:
    return {meter: usd_from_nano(nano) for meter, nano in rates.items()}


def _is_named(price: Price, pattern: str | None) -> bool:
    return pattern is None or any(
        fnmatch.fnmatchcase(name, pattern) for name in (price.model, *price.names)
    )


def _place(price: Price) -> tuple[str, int]:
    return price.model, price.id


@api.endpoint("GET", "/prices", query=PricesQuery, answer=Prices)
def list_prices(call: Call[PricesQuery, NoBody]) -> Prices:
    """List the prices in force, or the whole history of them."""
    query = call.query
    after = cursors.read(query.cursor, str, int)
    found = call.sql(_found, call.at.engine, query)
    if after is not None:
        found = [price for price in found if _place(price) > tuple(after)]
    rows, rest = found[: query.limit], found[query.limit :]
    more = cursors.written(*_place(rows[-1])) if rest else None
    return Prices(data=[_answer(price) for price in rows], next=more)


@api.endpoint("GET", "/prices/<int:price_id>", answer=PriceAnswer)
def read_price(call: Call[NoQuery, NoBody], price_id: int) -> PriceAnswer:
    """Read a price row, such as the one that a record was priced by."""
    price = call.sql(price_by_id, call.at.engine, price_id)
    if price is None:
        raise not_found("price", price_id)
    return _answer(price)


@api.endpoint("POST", "/prices", body=NewPrice, answer=PriceAnswer, roles=ADMINS, status=201)
def create_price(call: Call[NoQuery, NewPrice]) -> PriceAnswer:
    """Set a price from a time on.

    It stands above the price list. Records keep what they were charged.
    """
    body = call.body
    override = Override(
        model=body.model,
        valid_from=body.valid_from or now(),
        amounts=_amounts(body.rates),
        tier=body.tier,
        above=body.above,
        amounts_above=_amounts(body.rates_above),
        free=body.free,
        context_window=body.context_window,
        output_tokens_max=body.output_tokens_max,
    )
    price: Price = call.change(
        lambda _directory: set_price(call.at.engine, override, call.principal)
    )
    return _answer(price)
