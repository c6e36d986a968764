"""From what an operator says of a model to its card. Every mistake is told in a sentence (BadRequest)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec.structs import asdict, replace

from pictura.core import datasheet, ids
from pictura.core.errors import BadRequest
from pictura.core.media import FORMATS
from pictura.core.model import Anything, Choice, Descriptor, Inputs, Mask, ModelCard, Prompt, Source, Span
from pictura.core.money import USD, Currency
from pictura.core.price import PerMegapixel, PerPicture, PerToken, Price, PriceList, Row, TokenFormula, TokenList
from pictura.core.size import FreePixels, ListedPixels, OwnSize, Shapes, Sizes, Window, area, fit, parse
from pictura.infra.config import ModelInputs, ModelParts, ModelPrice, SizeWindow

#: Fields of a card that are said as they are.
_SAME = ("status", "ends", "successor", "released", "modes", "max_n", "fan_out", "transparent", "previews", "notes")
#: The field that says each way to price a picture.
_WAYS = ("per_picture", "rows", "first_megapixel", "image_out")


def card(id: str, parts: ModelParts, start: ModelCard) -> ModelCard:
    """The card `id`: `start`, with these parts in the place of its own. Raises BadRequest."""
    made = replace(
        _named(id, parts, start),
        **_said(parts),
        prompt=_prompt(parts, start.prompt),
        sizes=_sizes(parts, start.sizes),
        inputs=_inputs(parts.inputs, start.inputs),
        mask=_mask(parts, start),
        outputs=_formats(parts.outputs, "outputs") or start.outputs,
        params=_params(parts.params, start.params),
    )
    # What can no longer be said need not be.
    sayable = {*made.params, *(("mask",) if made.mask else ())}
    made = replace(made, required=tuple(group for group in made.required if sayable.intersection(group)))
    if parts.price is not None:
        made = replace(made, **_priced(parts.price, parts.price_source, start.price))
    elif parts.price_source:
        made = replace(made, price_source=_source(parts.price_source))
    _check(made)
    return made


def _said(parts: ModelParts) -> dict[str, object]:
    said = {name: value for name in _SAME if (value := getattr(parts, name)) is not None}
    return {**said, "released_known": True} if "released" in said else said


def _named(id: str, parts: ModelParts, start: ModelCard) -> ModelCard:
    """`start` under its new names. A model of another id is another model: it does not end when `start` does."""
    for param, names in (("id", (id,)), ("aliases", parts.aliases or ()), ("native", (parts.native or id,))):
        for name in names:
            ids.check(name, param)
    made = start if parts.aliases is None else replace(start, aliases=parts.aliases)
    if id.lower() != start.id.lower():
        made = replace(made, id=id, aliases=parts.aliases or (), status="live", ends="", successor="")
    elif not parts.native:
        return made
    native = start.native or start.id
    imitated = None if start.imitated is None else start.imitated or native
    return replace(made, native=parts.native or native, imitated=imitated)


def _prompt(parts: ModelParts, start: Prompt) -> Prompt:
    return Prompt(parts.prompt or start.need, parts.max_prompt_chars or start.max_chars)


def _inputs(parts: ModelInputs | None, start: Inputs) -> Inputs:
    if parts is None:
        return start
    _formats(parts.formats, "inputs.formats")
    made = replace(start, **{name: value for name, value in asdict(parts).items() if value is not None})
    _check_window(made, "inputs")
    return made


def _mask(parts: ModelParts, start: ModelCard) -> Mask | None:
    if parts.mask is None:
        return start.mask
    return (start.mask or Mask()) if parts.mask else None


def _formats(names: tuple[str, ...] | None, param: str) -> tuple[str, ...]:
    unknown = next((name for name in names or () if name not in FORMATS), "")
    if unknown or names == ():
        raise BadRequest(f"{param} {unknown!r} is no picture format; there are: {', '.join(FORMATS)}", param=param)
    return names or ()


def _params(said: Mapping[str, Descriptor | bool], start: Mapping[str, Descriptor]) -> Mapping[str, Descriptor]:
    for name, kind in said.items():
        _check_option(name, kind)
    added = {name: kind if not isinstance(kind, bool) else Anything() for name, kind in said.items()}
    return {name: kind for name, kind in {**start, **added}.items() if said.get(name) is not False}


def _check_option(name: str, kind: Descriptor | bool) -> None:
    if name in datasheet.FIELDS:
        raise BadRequest(f"{name} is no option: a field of the card says what the model takes", param=f"params.{name}")
    if isinstance(kind, Span) and kind.low > kind.high:
        raise BadRequest(f"params.{name}: min is above max, so nothing lies between", param=f"params.{name}")
    if isinstance(kind, Choice) and (not kind.values or kind.default not in ("", *kind.values)):
        raise BadRequest(f"params.{name}: values is empty, or default none of them", param=f"params.{name}")


def _check(made: ModelCard) -> None:
    """What holds of every card."""
    if not made.modes:
        raise BadRequest(f"{made.id} does nothing: modes is empty", param="modes")
    if set(made.modes) != {"generate"} and not made.inputs.count:
        raise BadRequest(f"{made.id} edits, so inputs.count is 1 at the least", param="inputs.count")
    if made.mask and not made.inputs.count:
        raise BadRequest(f"{made.id} takes a mask, so inputs.count is 1 at the least", param="mask")


# -- sizes --


def _sizes(parts: ModelParts, start: Sizes) -> Sizes:
    if parts.sizes is None and parts.window is None and not parts.default_size:
        return start
    if parts.sizes is None and parts.window is None:
        return _with_default(start, parts.default_size)
    sizes = [parse(word, "sizes") for word in parts.sizes or ()]
    pixels = tuple(str(size) for size in sizes if size.width)
    aspects = tuple(size.aspect for size in sizes if size.aspect)
    tiers = tuple(size.tier for size in sizes if size.tier)
    return _with_default(_rule(parts.window, pixels, aspects, tiers), parts.default_size)


def _rule(
    window: SizeWindow | None, pixels: tuple[str, ...], aspects: tuple[str, ...], tiers: tuple[str, ...]
) -> Sizes:
    if window is not None:
        if aspects:
            raise BadRequest("sizes beside a window are pixels or tiers; aspects follow from it", param="sizes")
        return _free(window, pixels, tiers)
    if pixels and (aspects or tiers):
        raise BadRequest("sizes are pixels, or aspects and tiers, and not both; or say a window", param="sizes")
    if pixels:
        return ListedPixels(values=pixels, default=pixels[0])
    return Shapes(aspects=aspects, tiers=tiers, default_aspect="") if aspects or tiers else OwnSize()


def _free(window: SizeWindow, pixels: tuple[str, ...], tiers: tuple[str, ...]) -> FreePixels:
    _check_window(window, "window")
    rule = FreePixels(
        step=window.step,
        min_pixels=window.min_pixels,
        max_pixels=window.max_pixels,
        min_edge=window.min_edge,
        max_edge=window.max_edge,
        max_ratio=window.max_ratio,
        presets=pixels,
        tiers=tiers,
    )
    for size in (*pixels, *tiers):
        fit(parse(size), rule)
    return rule


def _check_window(window: SizeWindow | Window, param: str) -> None:
    for least, most in ((window.min_edge, window.max_edge), (window.min_pixels, window.max_pixels)):
        if 0 < most < least:
            raise BadRequest(f"nothing fits into {param}: a least is above its most", param=param)


def _with_default(rule: Sizes, default: str) -> Sizes:
    if not default:
        return rule
    size = fit(parse(default, "default_size"), rule)
    if isinstance(rule, Shapes):
        return replace(rule, default_aspect=size.aspect, default_tier=size.tier)
    if isinstance(rule, FreePixels | ListedPixels):
        return replace(rule, default=str(size), auto=False)
    return rule


# -- money --


def _source(told: str) -> Source:
    return Source(told or "the operator's own price", "", "the operator")


def _priced(wanted: ModelPrice, source: str, start: Price | None) -> dict[str, object]:
    """The fields of a card that tell its price."""
    currency = _currency(wanted, source)
    return {
        "price": price(wanted, currency, start),
        "price_source": _source(source),
        "currency": None if currency is USD else currency,
        "agreed": True,
    }


def price(wanted: ModelPrice, currency: Currency = USD, start: Price | None = None) -> Price:
    """The price in dollars. `start`: that of the card before, which may know how many tokens a picture takes."""
    _check_way(wanted)
    said = _Amounts(wanted, currency)
    if wanted.image_out:
        return _tokens(said, start)
    inputs = said.micros("per_input")
    if wanted.rows:
        rows = (_row(row.quality, row.size, _read(currency.micros, row.amount, "rows")) for row in wanted.rows)
        return PriceList(tuple(rows), inputs)
    if wanted.first_megapixel:
        first = said.micros("first_megapixel")
        return PerMegapixel(first, said.micros("further_megapixel", first), inputs)
    return PerPicture(said.micros("per_picture"), inputs)


def _check_way(wanted: ModelPrice) -> None:
    ways = [way for way in _WAYS if getattr(wanted, way)]
    if len(ways) != 1:
        said = f"says {' and '.join(ways)}" if ways else "is empty"
        raise BadRequest(f"price {said}; say one of {', '.join(_WAYS)}", param="price")
    tokens = ("text_in", "cached_in", "image_in", "text_out", "output_tokens")
    beside = {"first_megapixel": ("further_megapixel", "per_input"), "image_out": tokens}.get(ways[0], ("per_input",))
    for name in ("per_input", "further_megapixel", *tokens):
        if getattr(wanted, name) and name not in beside:
            raise BadRequest(f"price.{name} means nothing beside {ways[0]}; leave it out", param=f"price.{name}")


def _tokens(said: _Amounts, start: Price | None) -> PerToken:
    for name in ("text_in", "image_in"):
        if not getattr(said.wanted, name):
            raise BadRequest(f'price.{name} is missing; write "0" where it costs nothing', param=f"price.{name}")
    return PerToken(
        text_in=said.nanos("text_in"),
        cached_in=said.nanos("cached_in") if said.wanted.cached_in else None,
        image_in=said.nanos("image_in"),
        image_out=said.nanos("image_out"),
        text_out=said.nanos("text_out"),
        output=_output(said.wanted, start),
    )


def _output(wanted: ModelPrice, start: Price | None) -> TokenFormula | TokenList:
    if wanted.output_tokens:
        return TokenList(tuple(_row(row.quality, row.size, row.tokens) for row in wanted.output_tokens))
    if isinstance(start, PerToken):
        return start.output
    raise BadRequest(
        "price.output_tokens is missing: how many tokens a picture takes, by quality and size",
        param="price.output_tokens",
    )


def _row(quality: str, size: str, amount: int) -> Row:
    if size and not area(parse(size, "price")):
        raise BadRequest(f"a price is for pixels (1024x1024) or a tier (2K); {size!r} says neither", param="price")
    return Row(amount, quality, size and str(parse(size)))


def _currency(wanted: ModelPrice, source: str) -> Currency:
    if wanted.currency == USD.code:
        if wanted.rate:
            raise BadRequest("a rate needs its currency; prices in dollars have none", param="price.rate")
        return USD
    if not wanted.rate:
        raise BadRequest(
            f'price.rate is missing: how many {wanted.currency} one dollar is, such as "7.10"', param="price.rate"
        )
    currency = Currency(wanted.currency, wanted.rate, wanted.rate_date, source)
    _read(currency.micros, "0", "rate")
    return currency


class _Amounts(msgspec.Struct, frozen=True):
    """The amounts of a price by their names; what is not said costs `otherwise`."""

    wanted: ModelPrice
    currency: Currency

    def micros(self, name: str, otherwise: int = 0) -> int:
        text = getattr(self.wanted, name)
        return _read(self.currency.micros, text, name) if text else otherwise

    def nanos(self, name: str) -> int:
        text = getattr(self.wanted, name)
        return _read(self.currency.nanos, text, name) if text else 0


def _read(read: Callable[[str], int], text: str, name: str) -> int:
    """What `read` makes of an amount; where it cannot, the error names the field."""
    try:
        amount = read(text)
    except BadRequest as error:
        raise BadRequest(f"price.{name}: {error.message}", param=f"price.{name}") from None
    if not amount and text.strip("0. "):
        raise BadRequest(
            f"price.{name}: {text} is less than can be booked, a millionth of a dollar", param=f"price.{name}"
        )
    return amount
