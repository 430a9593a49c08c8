"""Price overrides: rates that an operator states, in US dollars as providers publish them."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.money import InvalidAmount, nano_from_usd
from gateway.core.prices import STANDARD_TIER, Meter, Rate, RateTable

UNITS: Mapping[Meter, int] = {
    Meter.AUDIO_SECONDS: 60,
    Meter.WEB_SEARCH_CALLS: 1000,
    Meter.FILE_SEARCH_CALLS: 1000,
    Meter.CODE_INTERPRETER_SESSIONS: 1,
    Meter.IMAGES: 1,
}
"""Units that a stated price is for: a minute of audio, 1000 calls, one image or session;
``PER_MILLION`` of all others."""

PER_MILLION = 1_000_000

STEP_METERS = frozenset(Meter) - set(UNITS) - {Meter.CHARACTERS, Meter.TRAINED_TOKENS}
"""The meters whose rate may depend on a request's input tokens."""


class InvalidOverride(ValueError):
    """A price override is not one that can be charged exactly. The message says why."""


def parse_override(
    amounts: Mapping[Meter, str],
    *,
    tier: str = STANDARD_TIER,
    above: int | None = None,
    amounts_above: Mapping[Meter, str] | None = None,
    base: Mapping[str, RateTable] | None = None,
    free: bool = False,
) -> dict[str, dict[Meter, Rate]]:
    """The complete rates of a price row in which ``amounts`` override ``base``.

    ``amounts`` are US dollars per ``UNITS`` of each meter; ``amounts_above`` replace them for
    requests with more than ``above`` input tokens. ``base`` are the rates of the row now in
    force, if any. A price row stands on its own, so what the operator does not state is
    copied from there: other tiers as they are, other meters from the same tier, or from the
    standard tier where ``base`` lacks this one. A stated meter replaces the base's whole rate,
    its long-context steps included. ``free`` says that amounts of zero are meant: what has no
    price is not limited by any budget.

    Raises InvalidOverride for amounts that are negative, zero unless ``free``, not finite or
    finer than a nano-dollar per unit stated, for a step without its meter or the reverse, and
    for an override that has nothing to complete it.
    """
    if not amounts:
        raise InvalidOverride("state at least one price, such as --input 0.50")
    if not tier:
        raise InvalidOverride("the service tier needs a name")
    if (above is None) != (not amounts_above):
        raise InvalidOverride("--above needs prices above it, and these need --above")
    if above is not None and above <= 0:
        raise InvalidOverride(f"--above {above} is not a count of tokens above zero")
    stated = {meter: _rate(meter, amount) for meter, amount in amounts.items()}
    zero = next((meter for meter, rate in stated.items() if not rate.nano), None)
    for meter, amount in (amounts_above or {}).items():
        stated[meter] = _with_step(stated.get(meter), meter, above or 0, amount)
        zero = meter if not stated[meter].steps[0][1] else zero
    if zero is not None and not free:
        raise InvalidOverride(
            f"the {zero.value} price is zero, so no budget would limit what is used of it;"
            " say --free where that is meant"
        )
    tiers = {name: dict(rates) for name, rates in (base or {}).items()}
    if not tiers and tier != STANDARD_TIER:
        raise InvalidOverride(
            f"there is no price yet to which a {tier!r} tier could be added;"
            f" set the {STANDARD_TIER!r} tier first"
        )
    tiers[tier] = {**tiers.get(tier, tiers.get(STANDARD_TIER, {})), **stated}
    return tiers


def _rate(meter: Meter, amount: str) -> Rate:
    return Rate(_nano(meter, amount), UNITS.get(meter, PER_MILLION))


def _with_step(rate: Rate | None, meter: Meter, above: int, amount: str) -> Rate:
    if rate is None:
        raise InvalidOverride(f"the {meter.value} price above {above} tokens has no base price")
    if meter not in STEP_METERS:
        raise InvalidOverride(f"the {meter.value} price does not depend on input tokens")
    return Rate(rate.nano, rate.per, ((above, _nano(meter, amount)),))


def _nano(meter: Meter, amount: str) -> int:
    try:
        nano = nano_from_usd(amount)
    except InvalidAmount as error:
        raise InvalidOverride(f"the {meter.value} price: {error}") from error
    if nano < 0:
        raise InvalidOverride(f"the {meter.value} price {amount} is negative")
    return nano
