"""Money is an int of micro-USD (one millionth of a dollar); rates per token are an int of nano-USD.

>>> usd("0.04")
40000
>>> show(40000)
'$0.04'
>>> Currency("CNY", "6.80").micros("0.3")
44118
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction

import msgspec

from pictura.core.errors import BadRequest

MICROS_PER_USD = 1_000_000
#: What a column of 64 bits holds.
_LARGEST = 2**63 - 1
NANOS_PER_MICRO = 1_000
#: Decimal reads the digits of every script, and underscores between them.
_ASCII_AMOUNT = re.compile(r"[0-9+\-.eE\s]+", re.ASCII)
#: A price as people write it; no sign, no exponent.
_PRICE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
#: Parts of a unit to which published prices are told: more than any vendor writes, fewer than rounding changes.
_PUBLISHED = 10_000


class Currency(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a price is published in, and the rate by which it became dollars: `rate` units for one dollar, as text.

    `date` says when the rate was that, `source` who says so. Amounts are rounded once, half up.
    """

    code: str
    rate: str
    date: str = ""
    source: str = ""

    def micros(self, amount: str) -> int:
        """Micro-USD of an amount in this currency. Raises BadRequest."""
        return self._dollars(amount, MICROS_PER_USD)

    def nanos(self, per_million: str) -> int:
        """Nano-USD per token, of a price per million tokens in this currency. Raises BadRequest."""
        return self._dollars(per_million, NANOS_PER_MICRO)

    def published(self, micros: int) -> str:
        """The amount from which `micros` came, as text: `0.30`."""
        return exact(_half_up(micros * self._rate() * _PUBLISHED / MICROS_PER_USD), _PUBLISHED)

    def _dollars(self, amount: str, unit: int) -> int:
        return _half_up(_positive(amount) * unit / self._rate())

    def _rate(self) -> Fraction:
        rate = _positive(self.rate)
        if not rate:
            raise BadRequest(f"a rate of {self.rate!r} makes no dollars; say how many {self.code} one dollar is")
        return rate


#: Prices in dollars need no rate.
USD = Currency("USD", "1")


def usd(amount: str | int | Decimal) -> int:
    """Micro-USD of an amount in dollars, as people write it: `usd("0.04") == 40000`. Never pass a float: it lies."""
    try:
        if isinstance(amount, str) and not _ASCII_AMOUNT.fullmatch(amount):
            raise ValueError
        exact = Decimal(amount) * MICROS_PER_USD
        micros = int(exact.quantize(Decimal(1), ROUND_HALF_UP))
    except (InvalidOperation, TypeError, ValueError):
        raise BadRequest(f"{str(amount)[:40]!r} is not an amount in dollars; write it like 12.50") from None
    if abs(micros) > _LARGEST:
        raise BadRequest(f"{str(amount)[:40]!r} dollars are more than can be entered")
    return micros


def per_million(dollars: str) -> int:
    """Nano-USD per token, of a price in dollars per million tokens: `per_million("2.5") == 2500`."""
    return USD.nanos(dollars)


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
    return f"{sign}${_trimmed(f'{whole:,}.{fraction:06d}')}"


def exact(amount: int, unit: int = MICROS_PER_USD) -> str:
    """Dollars as text for programs: `exact(40000) == "0.04"`; of nano-USD with `unit` a thousand times as large."""
    whole, fraction = divmod(amount, unit)
    return _trimmed(f"{whole}.{fraction:0{len(str(unit)) - 1}d}")


def _trimmed(text: str) -> str:
    """At least two decimals, no trailing zeros beyond them."""
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits.rstrip('0'):0<2}"


def _positive(text: str) -> Fraction:
    if not _PRICE.fullmatch(text):
        raise BadRequest(f'{text[:40]!r} is not an amount; write it like "0.04", without a sign or a currency')
    return Fraction(text)


def _half_up(amount: Fraction) -> int:
    return (2 * amount.numerator + amount.denominator) // (2 * amount.denominator)
