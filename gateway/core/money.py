"""Money as integer nano-dollars.

One nano-dollar is 10^-9 US dollars. Code and Redis hold integers only; SQL stores
the same integers in BIGINT columns; decimal dollars exist only at the edges (settings,
command line, headers, reports), where they are exact decimals, never floats.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation

NANO_PER_USD = 1_000_000_000

LIMIT_NANO_MAX = 2**53 - 1
"""Largest amount a budget may define: a Lua number is exact up to 2^53."""


_ONE_NANO = Decimal("0.000000001")

_EXACT = Context(prec=40, traps=[Inexact, InvalidOperation])
"""Arithmetic that raises where it would round: 10^15 dollars in nano-dollars are 25 digits."""


class InvalidAmount(ValueError):
    """A text is not an amount of money that Faregate can hold exactly."""


def nano_from_usd(amount: str | int | Decimal) -> int:
    """Exact nano-dollars of a decimal dollar amount such as ``"12.50"``.

    Raises InvalidAmount for text that is not a decimal number, for NaN and infinity, for
    amounts finer than one nano-dollar, and for floats, which are never exact.
    """
    if isinstance(amount, bool | float):
        raise InvalidAmount(f"{amount!r} is not a decimal amount in US dollars")
    try:
        value = Decimal(amount)
    except (InvalidOperation, ValueError, TypeError) as error:
        raise InvalidAmount(f"{amount!r} is not a decimal amount in US dollars") from error
    if not value.is_finite():
        raise InvalidAmount(f"{amount!r} is not a finite amount in US dollars")
    # copy_abs, since abs() rounds to the context and overflows on a huge exponent.
    if value.copy_abs() > 10**15:
        raise InvalidAmount(f"{amount!r} is too large an amount in US dollars")
    try:
        exact = value.quantize(_ONE_NANO, context=_EXACT)
    except Inexact as error:
        raise InvalidAmount(f"{amount!r} is finer than one nano-dollar (nine decimals)") from error
    return int(exact.scaleb(9))


def usd_from_nano(nano: int) -> str:
    """The exact decimal dollars of ``nano``, always with nine decimals: ``"0.000001500"``."""
    sign = "-" if nano < 0 else ""
    whole, fraction = divmod(abs(nano), NANO_PER_USD)
    return f"{sign}{whole}.{fraction:09d}"


def display_usd(nano: int, decimals_min: int = 2) -> str:
    """``nano`` as people read it: ``"$1.50"``, ``"$0.000042"``; exact, trailing zeros dropped."""
    sign, digits = ("-", usd_from_nano(-nano)) if nano < 0 else ("", usd_from_nano(nano))
    whole, fraction = digits.split(".")
    fraction = fraction.rstrip("0").ljust(decimals_min, "0")
    return f"{sign}${int(whole):,}.{fraction}"


def decimal_usd(nano: int) -> str:
    """The exact decimal dollars of ``nano`` for programs: ``"500.00"``, ``"0.0000015"``."""
    whole, fraction = usd_from_nano(nano).split(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def divide_up(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` rounded up to an integer."""
    return -(-numerator // denominator)
