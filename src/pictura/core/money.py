"""Money is an int of micro-USD (one millionth of a dollar); rates per token are an int of nano-USD.

>>> usd("0.04")
40000
>>> show(40000)
'$0.04'
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from pictura.core.errors import BadRequest

MICROS_PER_USD = 1_000_000
#: What a column of 64 bits holds.
_LARGEST = 2**63 - 1
NANOS_PER_MICRO = 1_000


def usd(amount: str | int | Decimal) -> int:
    """Micro-USD of an amount in dollars, as people write it: `usd("0.04") == 40000`. Never pass a float: it lies."""
    try:
        exact = Decimal(amount) * MICROS_PER_USD
        micros = int(exact.quantize(Decimal(1), ROUND_HALF_UP))
    except (InvalidOperation, TypeError, ValueError):
        raise BadRequest(f"{str(amount)[:40]!r} is not an amount in dollars; write it like 12.50") from None
    if abs(micros) > _LARGEST:
        raise BadRequest(f"{str(amount)[:40]!r} dollars are more than can be entered")
    return micros


def per_million(dollars: str) -> int:
    """Nano-USD per token, of a price in dollars per million tokens: `per_million("2.5") == 2500`."""
    return int(Decimal(dollars) * 1_000)


def nanos_to_micros(nanos: int) -> int:
    """Rounded half up: the one place where a fraction of a micro-dollar is decided."""
    return (nanos + NANOS_PER_MICRO // 2) // NANOS_PER_MICRO


def dollars(micros: int) -> float:
    """For JSON answers, which carry dollars as a number. Exact for every sum below 9 billion dollars."""
    return micros / MICROS_PER_USD


def show(micros: int) -> str:
    """For people: at least two decimals, no trailing zeros beyond them."""
    sign = "-" if micros < 0 else ""
    whole, fraction = divmod(abs(micros), MICROS_PER_USD)
    digits = f"{fraction:06d}".rstrip("0")
    return f"{sign}${whole:,}.{digits:0<2}"
