"""The deployment's own prices, stated in part: the rest is completed from what is in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine

from gateway.adapters.directory_changes import Change, changing
from gateway.adapters.price_rows import add_override, override_row, price_by_id, stored_prices
from gateway.core.price_overrides import parse_override
from gateway.core.prices import STANDARD_TIER, Meter, Price, PriceBook
from gateway.core.roles import Principal


@dataclass(frozen=True, slots=True)
class Override:
    """What somebody states about the price of ``model`` from ``valid_from`` on.

    Amounts are decimal dollars in the units of ``core.price_overrides``.
    """

    model: str
    valid_from: datetime
    amounts: Mapping[Meter, str] = field(default_factory=dict)
    tier: str = STANDARD_TIER
    above: int | None = None
    amounts_above: Mapping[Meter, str] = field(default_factory=dict)
    free: bool = False
    context_window: int | None = None
    output_tokens_max: int | None = None

    @property
    def states_prices(self) -> bool:
        """Whether it is about more than the model's limits."""
        return bool(self.amounts) or self.above is not None or self.tier != STANDARD_TIER


def set_price(engine: Engine, override: Override, actor: Principal) -> Price:
    """The price row that states ``override``, added. Raises InvalidOverride, DirectoryError."""
    with changing(engine, actor) as change:
        price_id = add_price(change, override)
    price = price_by_id(engine, price_id)
    assert price is not None
    return price


def add_price(change: Change, override: Override) -> int:
    """Add the price row that states ``override``; returns its id. Raises InvalidOverride."""
    book = PriceBook(stored_prices(change.connection))
    base = book.find(override.model, override.valid_from)
    tiers = base.tiers if base is not None else {}
    limits = override.context_window or override.output_tokens_max
    if override.states_prices or base is None or not limits:
        tiers = parse_override(
            override.amounts,
            tier=override.tier,
            above=override.above,
            amounts_above=override.amounts_above,
            base=tiers,
            free=override.free,
        )
    window, most = override.context_window, override.output_tokens_max
    if base is not None:
        window, most = window or base.context_window, most or base.output_tokens_max
    return add_override(
        change, override_row(override.model, tiers, override.valid_from, window, most)
    )
