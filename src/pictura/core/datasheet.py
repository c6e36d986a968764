"""A model as it is shown: what every request field takes, as typed descriptors, and what is billed, in dollars.

    parameters(card)   {"size": {"type": "pixels", …}, "n": {"type": "range", "min": 1, "max": 10}, …}
    rates(price)       [{"billable": "output_image", "unit": "token", "usd": "0.00003"}, …]
    examples(card)     [{"quality": "high", "size": "1024x1024", "usd": "0.21072"}, …]

A field that is not in `parameters` is not taken. Fields have the names under which every dialect knows them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from typing import Literal

import msgspec

from pictura.core import capability
from pictura.core.errors import BadRequest
from pictura.core.model import Anything, Choice, Flag, ModelCard, Span, Words
from pictura.core.money import MICROS_PER_USD, NANOS_PER_MICRO, exact
from pictura.core.price import Free, Order, PerMegapixel, PerPicture, PerToken, Price, PriceList, bill
from pictura.core.size import FreePixels, ListedPixels, OwnSize, Shapes, Size, Sizes, Window, bounded, fit

#: Fields that have a descriptor of their own, whatever a card's `params` say.
FIELDS = frozenset(
    {"prompt", "size", "aspect_ratio", "resolution", "n", "image", "mask"}
    | {"output_format", "output_compression", "partial_images"}
)
#: What the house itself can turn a picture into.
TRANSCODED = ("png", "jpeg", "webp")
#: Of these one may say how much is lost (`output_compression`).
LOSSY = frozenset({"jpeg", "webp"})
#: What it cannot turn into anything else.
VECTORS = frozenset({"svg"})
#: Aspects and tiers that are looked for in a model's pixels. A client may write any other.
_ASPECTS = ("1:1", "5:4", "4:5", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16", "2:1", "1:2", "21:9", "9:21", "4:1", "1:4")
_TIERS = ("512", "1K", "2K", "3K", "4K")
_SQUARE = Size(width=1024, height=1024)


class Pixels(Window, frozen=True, tag="pixels", omit_defaults=True):
    """`WIDTHxHEIGHT`, any inside this window; `values` are those that the vendor recommends."""

    values: tuple[str, ...] = ()
    default: str = ""
    step: int = 1


class Pictures(Window, frozen=True, tag="images", omit_defaults=True):
    """From `min` to `max` pictures, of these formats, each of at most `max_bytes` and with its pixels in this window.

    `max_ratio` 1: squares only.
    """

    min: int
    max: int
    formats: tuple[str, ...]
    max_bytes: int


Parameter = Choice | Span | Flag | Words | Anything | Pixels | Pictures


class Rate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `unit` of what is billed costs, in dollars as text. `quality` and `size`: only there; "": whatever they are.

    Megapixels have two rates, the `first` and each `further` one that was begun. `channel`: only on that channel.
    """

    billable: Literal["output_image", "input_image", "output_text", "input_text", "cached_input"]
    unit: Literal["image", "megapixel", "token"]
    usd: str
    quality: str = ""
    size: str = ""
    part: Literal["", "first", "further"] = ""
    channel: str = ""


class Example(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one picture comes to, in dollars as text; prompt and inputs not counted."""

    usd: str
    quality: str = ""
    size: str = ""


def parameters(card: ModelCard) -> dict[str, Parameter]:
    """Every field that a request for this model may hold."""
    told: dict[str, Parameter] = {"prompt": Words(card.prompt.max_chars)} if card.prompt.need != "none" else {}
    told |= sizes(card.sizes)
    told["n"] = Span(1, capability.most_pictures(card))
    if card.inputs.count:
        inputs = card.inputs
        least = inputs.least if needs_picture(card) else 0
        told["image"] = bounded(Pictures(least, inputs.count, inputs.formats, inputs.max_bytes), inputs)
    if card.mask:
        told["mask"] = Pictures(0, 1, card.mask.formats, card.mask.max_bytes)
    told["output_format"] = Choice(formats(card), card.outputs[0])
    if not VECTORS.issuperset(card.outputs):
        told["output_compression"] = Span(0, 100)
    if card.previews:
        told["partial_images"] = Span(0, 3, default=0)
    return told | dict(card.params)


def formats(card: ModelCard) -> tuple[str, ...]:
    """What its pictures may be had as: the vendor's formats, and those that the house makes of them."""
    made = () if VECTORS.issuperset(card.outputs) else TRANSCODED
    return tuple(dict.fromkeys((*card.outputs, *made)))


def required(card: ModelCard) -> tuple[tuple[str, ...], ...]:
    """What a request must hold beside `model`: of each of these groups of fields one."""
    prompt = (("prompt",),) if card.prompt.need == "required" else ()
    image = (("image",),) if needs_picture(card) else ()
    return (*prompt, *image, *card.required)


def needs_picture(card: ModelCard) -> bool:
    return card.inputs.required or "generate" not in card.modes


def sizes(rule: Sizes) -> dict[str, Parameter]:
    """`size` in pixels, `aspect_ratio`, `resolution`: those of them that can be chosen."""
    told: dict[str, Parameter] = {}
    if isinstance(rule, FreePixels):
        told["size"] = bounded(Pixels(rule.presets, rule.default, rule.step), rule)
    elif isinstance(rule, ListedPixels):
        told["size"] = Choice(rule.values, rule.default)
    elif isinstance(rule, OwnSize):
        return {"size": Choice((rule.pixels,), rule.pixels)} if rule.pixels else {}
    aspects, tiers = _words(rule)
    defaults = (rule.default_aspect, rule.default_tier) if isinstance(rule, Shapes) else ("", "")
    for name, words, default in zip(("aspect_ratio", "resolution"), (aspects, tiers), defaults, strict=True):
        if words:
            told[name] = Choice(words, default if default in words else "")
    return told


@cache
def _words(rule: Sizes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Aspects and tiers that a client may write; where the model takes pixels, those that translate exactly."""
    if isinstance(rule, Shapes):
        return rule.aspects, rule.tiers
    tiers = rule.tiers if isinstance(rule, FreePixels) and rule.tiers else _TIERS
    return (
        tuple(word for word in _ASPECTS if _fits(Size(aspect=word), rule)),
        tuple(word for word in tiers if _fits(Size(tier=word), rule)),
    )


def _fits(asked: Size, rule: Sizes) -> bool:
    try:
        fit(asked, rule)
    except BadRequest:
        return False
    return True


# -- money --


def rates(price: Price) -> list[Rate]:
    """Line by line what is billed; what costs nothing beside a picture is left out."""
    if isinstance(price, Free):
        return [_picture(0)]
    if isinstance(price, PerPicture):
        return [_picture(price.amount), *_input(price.input_amount)]
    if isinstance(price, PriceList):
        listed = [_picture(row.amount, quality=row.quality, size=row.size) for row in price.rows]
        return [*listed, *_input(price.input_amount)]
    if isinstance(price, PerMegapixel):
        return [*_megapixels(price), *_input(price.input_further)]
    return list(_tokens(price))


def _picture(amount: int, *, quality: str = "", size: str = "") -> Rate:
    return Rate(billable="output_image", unit="image", usd=exact(amount), quality=quality, size=size)


def _input(amount: int) -> list[Rate]:
    return [Rate(billable="input_image", unit="image", usd=exact(amount))] if amount else []


def _megapixels(price: PerMegapixel) -> list[Rate]:
    parts: Mapping[Literal["first", "further"], int] = {"first": price.first, "further": price.further}
    return [
        Rate(billable="output_image", unit="megapixel", usd=exact(amount), part=part) for part, amount in parts.items()
    ]


def _tokens(price: PerToken) -> Iterator[Rate]:
    yield Rate(billable="output_image", unit="token", usd=_per_token(price.image_out))
    if price.text_out:
        yield Rate(billable="output_text", unit="token", usd=_per_token(price.text_out))
    yield Rate(billable="input_text", unit="token", usd=_per_token(price.text_in))
    yield Rate(billable="input_image", unit="token", usd=_per_token(price.image_in))
    if price.cached_in is not None:
        yield Rate(billable="cached_input", unit="token", usd=_per_token(price.cached_in))


def _per_token(nanos: int) -> str:
    return exact(nanos, MICROS_PER_USD * NANOS_PER_MICRO)


def examples(card: ModelCard) -> list[Example]:
    """One picture of each quality and tier, where tokens or megapixels are billed; other prices say it themselves."""
    price = card.price
    if not isinstance(price, PerToken | PerMegapixel):
        return []
    tiers = [fit(Size(tier=word), card.sizes) for word in _words(card.sizes)[1]] or [_only(card.sizes)]
    qualities = _qualities(card) if isinstance(price, PerToken) else [""]
    return [
        Example(exact(bill(price, Order(sizes=(size,), quality=quality))), quality, str(size))
        for quality, size in product(qualities, dict.fromkeys(tiers))
    ]


def _only(rule: Sizes) -> Size:
    """The size of a model whose tier cannot be chosen, as far as it is known."""
    return fit(Size(aspect="1:1"), rule) if isinstance(rule, Shapes) and "1:1" in rule.aspects else _SQUARE


def _qualities(card: ModelCard) -> list[str]:
    known = card.params.get("quality")
    return [word for word in known.values if word != "auto"] if isinstance(known, Choice) else [""]
