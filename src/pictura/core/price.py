"""Prices of models, in integer micro-USD: what to hold before, what to settle after.

A quote is what the dearest outcome may cost; a bill is what the outcome did cost. Both come from one price, and both
are exact: rates per token are whole nano-USD, and a fraction of a micro-dollar is rounded once, at the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from pictura.core.money import nanos_to_micros
from pictura.core.size import TIER_EDGE, Size, area, parse


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens as a vendor counted them. `estimated`: counted by us, because the vendor said nothing."""

    text_in: int = 0
    image_in: int = 0
    cached_in: int = 0
    text_out: int = 0
    image_out: int = 0
    estimated: bool = False

    @property
    def total_in(self) -> int:
        return self.text_in + self.image_in

    @property
    def total_out(self) -> int:
        return self.text_out + self.image_out

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            text_in=self.text_in + other.text_in,
            image_in=self.image_in + other.image_in,
            cached_in=self.cached_in + other.cached_in,
            text_out=self.text_out + other.text_out,
            image_out=self.image_out + other.image_out,
            estimated=self.estimated or other.estimated,
        )


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is priced. Before the call `sizes` are what was asked; after it, the real pixels of what came.

    `previews`: of each picture.
    """

    sizes: tuple[Size, ...]
    quality: str = ""
    prompt_bytes: int = 0
    inputs: int = 0
    previews: int = 0
    usage: Usage | None = None


class Free(msgspec.Struct, frozen=True, tag="free"):
    """Costs nothing."""


class PerPicture(msgspec.Struct, frozen=True, tag="picture"):
    """`amount` micro-USD for each picture, whatever its size; `input_amount` for each input picture."""

    amount: int
    input_amount: int = 0


class Row(msgspec.Struct, frozen=True):
    """One line of a price list: a quality and a size (pixels or tier); "" stands for any."""

    amount: int
    quality: str = ""
    size: str = ""


class PriceList(msgspec.Struct, frozen=True, tag="list"):
    """Per picture by quality and size. A delivered size that is not listed costs what the nearest listed one costs."""

    rows: tuple[Row, ...]
    input_amount: int = 0


class PerMegapixel(msgspec.Struct, frozen=True, tag="megapixel"):
    """`first` for the first megapixel (2^20 pixels), `further` for each begun one after it; micro-USD."""

    first: int
    further: int
    input_further: int = 0


class TokenFormula(msgspec.Struct, frozen=True, tag="formula"):
    """Output tokens of the gpt-image-2 family: ceil(f·round(f·short/long)·(2,000,000 + W·H)/4,000,000).

    Source: community calculator of 2026-06, agreeing with five published prices (confidence: third party).
    """

    factors: Mapping[str, int]

    def tokens(self, size: Size, quality: str) -> int:
        factor = self.factors.get(quality, max(self.factors.values()))
        edge = TIER_EDGE.get(size.tier, 1024)
        width, height = (size.width, size.height) if size.width else (edge, edge)
        grid = factor * _round_half_up(factor * min(width, height), max(width, height))
        return math.ceil(grid * (2_000_000 + width * height) / 4_000_000)


class TokenList(msgspec.Struct, frozen=True, tag="tokens"):
    """Output tokens by quality and size, as the vendor lists them; `Row.amount` counts tokens here."""

    rows: tuple[Row, ...]

    def tokens(self, size: Size, quality: str) -> int:
        return _pick(self.rows, quality, size)


class PerToken(msgspec.Struct, frozen=True, kw_only=True, tag="token"):
    """Nano-USD per token, and how many output tokens a picture takes (for the quote, and where usage is missing)."""

    text_in: int
    image_in: int
    image_out: int
    output: TokenFormula | TokenList
    text_out: int = 0
    cached_in: int | None = None
    #: Upper bound of the tokens of one input picture, for the hold. OpenAI's at high fidelity: 6,144, 65, and 129 for
    #: each tile of a picture thirteen times as long as it is wide (memory; plausible only).
    input_tokens: int = 8_000
    #: Output tokens of one preview.
    preview: int = 0
    #: Upper bound of the tokens of text (thoughts too) that come with one picture, for the hold.
    words_out: int = 0


Price = Free | PerPicture | PriceList | PerMegapixel | PerToken


def quote(price: Price, order: Order) -> int:
    """Micro-USD that the dearest outcome of this order may cost: the hold."""
    if isinstance(price, PerToken):
        # A token is at least one byte of text, so the prompt's bytes bound its tokens.
        usage = estimate(price, order, input_tokens=price.input_tokens, text_tokens=order.prompt_bytes + 100)
        return _token_bill(price, usage + Usage(text_out=price.words_out * len(order.sizes)))
    return bill(price, order)


def bill(price: Price, order: Order) -> int:
    """Micro-USD that what was delivered did cost."""
    if isinstance(price, Free):
        return 0
    if isinstance(price, PerPicture):
        return price.amount * len(order.sizes) + price.input_amount * order.inputs
    if isinstance(price, PriceList):
        pictures = sum(_pick(price.rows, order.quality, size) for size in order.sizes)
        return pictures + price.input_amount * order.inputs
    if isinstance(price, PerMegapixel):
        return sum(_megapixels(price, size) for size in order.sizes) + price.input_further * order.inputs
    usage = order.usage or estimate(price, order, input_tokens=1_000, text_tokens=math.ceil(order.prompt_bytes / 4))
    return _token_bill(price, usage)


def estimate(price: PerToken, order: Order, *, input_tokens: int, text_tokens: int) -> Usage:
    return Usage(
        text_in=text_tokens,
        image_in=order.inputs * input_tokens,
        image_out=sum(
            price.output.tokens(size, order.quality) + order.previews * price.preview for size in order.sizes
        ),
        estimated=True,
    )


def _token_bill(price: PerToken, usage: Usage) -> int:
    cached_rate = price.text_in if price.cached_in is None else price.cached_in
    cached = min(usage.cached_in, usage.text_in)
    nanos = (
        (usage.text_in - cached) * price.text_in
        + cached * cached_rate
        + usage.image_in * price.image_in
        + usage.text_out * price.text_out
        + usage.image_out * price.image_out
    )
    return nanos_to_micros(nanos)


def _megapixels(price: PerMegapixel, size: Size) -> int:
    begun = max(1, math.ceil((area(size) or 2**20) / 2**20))
    return price.first + price.further * (begun - 1)


def _pick(rows: tuple[Row, ...], quality: str, size: Size) -> int:
    """The amount of the row that fits; the dearest of those that do, where the model itself chose (auto)."""
    named = [row for row in rows if row.quality in ("", quality)] or list(rows)
    if not area(size):
        return max(row.amount for row in named)
    sized = [row for row in named if row.size]
    if not sized:
        return max(row.amount for row in named)
    gaps = {row.size: abs(area(parse(row.size)) - area(size)) for row in sized}
    best = min(gaps.values())
    return max(row.amount for row in sized if gaps[row.size] == best)


def _round_half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
