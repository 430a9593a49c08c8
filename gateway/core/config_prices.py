"""Prices in a configuration document: stated in part or whole, each from a moment on.

A price row is never changed, so a document can only add to them. A stated price is there already
where the deployment's own row of that model and moment agrees with all that is stated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.core.config_fields import InvalidField, flag, moment, nano, threshold, tokens
from gateway.core.money import decimal_usd
from gateway.core.price_overrides import PER_MILLION, STEP_METERS, UNITS
from gateway.core.prices import Meter, Price, Rate, RateTable
from gateway.core.timestamps import timestamp

_FIELDS = {"model", "valid_from", "tiers", "context_window", "output_tokens_max", "free"}
_RATE_FIELDS = {"usd", "per", "above"}


@dataclass(frozen=True, slots=True)
class StatedPrice:
    """What a document says of the price of ``model`` from ``valid_from`` on."""

    model: str
    valid_from: datetime
    tiers: Mapping[str, RateTable]
    context_window: int | None = None
    output_tokens_max: int | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.model} from {timestamp(self.valid_from)}"

    def is_in(self, row: Price) -> bool:
        """Whether ``row`` agrees with all that is stated."""
        rates = all(
            row.tiers.get(tier, {}).get(meter) == rate
            for tier, table in self.tiers.items()
            for meter, rate in table.items()
        )
        window = self.context_window in (None, row.context_window)
        return rates and window and self.output_tokens_max in (None, row.output_tokens_max)

    def completed(self, base: Mapping[str, RateTable]) -> dict[str, dict[Meter, Rate]]:
        """The rates of a whole row: what is not stated is as in ``base``, the row in force."""
        tiers = {tier: dict(rates) for tier, rates in base.items()}
        for tier, rates in self.tiers.items():
            tiers[tier] = {**tiers.get(tier, {}), **rates}
        return tiers


def stated_price(value: Any) -> StatedPrice:
    """A price as a table of the document says it. Raises InvalidField."""
    if not isinstance(value, dict):
        raise InvalidField("must be a table")
    for unknown in value.keys() - _FIELDS:
        raise InvalidField(
            f"no field of a price; it has {', '.join(sorted(_FIELDS))}", f".{unknown}"
        )
    for needed in ("model", "valid_from"):
        if needed not in value:
            raise InvalidField(f"a price needs {needed}")
    model = value["model"]
    if not isinstance(model, str) or not (0 < len(model) <= 128 and model.isprintable()):
        raise InvalidField("must be 1 to 128 characters", ".model")
    found = StatedPrice(
        model,
        _part(".valid_from", moment, value["valid_from"]),
        _tiers(value.get("tiers", {})),
        *(
            _part(f".{limit}", tokens, value[limit]) if limit in value else None
            for limit in ("context_window", "output_tokens_max")
        ),
    )
    if not found.tiers and found.context_window is None and found.output_tokens_max is None:
        raise InvalidField("states neither rates nor limits")
    zero = [rate for table in found.tiers.values() for rate in table.values() if _has_zero(rate)]
    if zero and not _part(".free", flag, value.get("free", False)):
        raise InvalidField(
            "a rate of zero is limited by no budget; say free = true where that is meant"
        )
    return found


def rate_value(meter: Meter, rate: Rate) -> Any:
    """A rate as a document writes it: text alone, or a table where there is more to say."""
    unit = UNITS.get(meter, PER_MILLION)
    if rate.per == unit and not rate.steps:
        return decimal_usd(rate.nano)
    found: dict[str, Any] = {"usd": decimal_usd(rate.nano)}
    if rate.per != unit:
        found["per"] = rate.per
    if rate.steps:
        found["above"] = [{"tokens": start, "usd": decimal_usd(step)} for start, step in rate.steps]
    return found


def price_value(price: Price) -> dict[str, Any]:
    """A whole row as a document writes it."""
    found: dict[str, Any] = {"model": price.model, "valid_from": price.valid_from}
    for limit in ("context_window", "output_tokens_max"):
        if getattr(price, limit) is not None:
            found[limit] = getattr(price, limit)
    if any(_has_zero(rate) for table in price.tiers.values() for rate in table.values()):
        found["free"] = True
    found["tiers"] = {
        tier: {meter.value: rate_value(meter, rates[meter]) for meter in Meter if meter in rates}
        for tier, rates in sorted(price.tiers.items())
    }
    return found


def _has_zero(rate: Rate) -> bool:
    return not rate.nano or any(not nano for _, nano in rate.steps)


def _part(place: str, check: Any, value: Any) -> Any:
    try:
        return check(value)
    except InvalidField as error:
        raise InvalidField(str(error), f"{place}{error.place}") from None


def _tiers(value: Any) -> dict[str, dict[Meter, Rate]]:
    if not isinstance(value, dict):
        raise InvalidField("must be tables of rates by service tier", ".tiers")
    return {tier: _table(f".tiers.{tier}", tier, rates) for tier, rates in value.items()}


def _table(place: str, tier: str, value: Any) -> dict[Meter, Rate]:
    if not (0 < len(tier) <= 64 and tier.isprintable()):
        raise InvalidField("a service tier has 1 to 64 characters", place)
    if not isinstance(value, dict) or not value:
        raise InvalidField('must be a table of rates, such as { input = "0.50" }', place)
    found = {}
    for name, rate in value.items():
        inside = f"{place}.{name}"
        try:
            meter = Meter(name)
        except ValueError:
            known = ", ".join(meter.value for meter in Meter)
            raise InvalidField(f"no meter; there are {known}", inside) from None
        found[meter] = _part(inside, lambda value, meter=meter: _rate(meter, value), rate)
    return found


def _rate(meter: Meter, value: Any) -> Rate:
    unit = UNITS.get(meter, PER_MILLION)
    if not isinstance(value, dict):
        return Rate(nano(value), unit)
    for unknown in value.keys() - _RATE_FIELDS:
        raise InvalidField("no field of a rate; it has usd, per and above", f".{unknown}")
    if "usd" not in value:
        raise InvalidField("a rate needs usd")
    above = value.get("above", [])
    if not isinstance(above, list):
        raise InvalidField("must be a list of { tokens, usd }", ".above")
    if above and meter not in STEP_METERS:
        raise InvalidField("does not depend on input tokens", ".above")
    steps = tuple(_part(f".above[{n}]", _step, step) for n, step in enumerate(above))
    per = _part(".per", tokens, value["per"]) if "per" in value else unit
    try:
        return Rate(_part(".usd", nano, value["usd"]), per, steps)
    except InvalidField:
        raise
    except ValueError as error:
        raise InvalidField(str(error), ".above") from None


def _step(value: Any) -> tuple[int, int]:
    if not isinstance(value, dict) or value.keys() != {"tokens", "usd"}:
        raise InvalidField('must be { tokens = 200000, usd = "2.50" }')
    return _part(".tokens", threshold, value["tokens"]), _part(".usd", nano, value["usd"])
