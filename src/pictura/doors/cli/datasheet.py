"""A model's data sheet in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from pictura.core import capability
from pictura.core.datasheet import Parameter, Pictures, Pixels, Rate
from pictura.core.model import Choice, Source
from pictura.core.money import Currency, usd
from pictura.core.money import show as dollars
from pictura.core.size import bounds
from pictura.doors.cli.tables import facts, table
from pictura.doors.desk.shapes import ModelShown, Native

_ORIGINS = {
    "built-in": "built in",
    "file": "of pictura.toml",
    "console": "of the console",
    "channel": "none describes it; a channel names it",
}
_LAST_WORDS = {"file": "pictura.toml has the last word", "console": "the console has the last word"}
_BILLED = {
    "output_image": "picture",
    "input_image": "picture sent",
    "output_text": "written answer",
    "input_text": "prompt",
    "cached_input": "prompt read before",
}


def sizes(parameters: Mapping[str, Parameter]) -> str:
    """What may be asked for, in a few words."""
    size = parameters.get("size")
    if isinstance(size, Pixels):
        return _window(size)
    if isinstance(size, Choice):
        return " ".join(size.values)
    words = (parameters.get(name) for name in ("aspect_ratio", "resolution"))
    return "; ".join(" ".join(word.values) for word in words if isinstance(word, Choice)) or "its own"


def price(model: ModelShown) -> str:
    """What a picture costs; where that depends on its quality or size, from the cheapest to the dearest."""
    if model.pricing is None:
        return "not known"
    pictures = [rate.usd for rate in model.pricing if (rate.billable, rate.unit) == ("output_image", "image")]
    amounts = [usd(amount) for amount in (*pictures, *(example.usd for example in model.examples))]
    low, high = min(amounts), max(amounts)
    if not high:
        return "free"
    return dollars(low) if low == high else f"{dollars(low)} to {dollars(high)}"


def show(model: ModelShown) -> None:
    """The whole sheet: facts, fields, prices, and where they are from."""
    facts(
        (
            ("id", model.id),
            ("aliases", ", ".join(model.aliases)),
            ("provider", model.provider),
            ("called there", ", ".join(_called(native, model) for native in model.natives)),
            ("channels", served(model)),
            ("status", status(model)),
            ("released", model.released),
            ("draws", f"{', '.join(model.modes)}; {model.pictures_per_call} a call to the vendor"),
            ("notes", model.notes),
        )
    )
    print()
    fields = [
        (name, _need(name, model), takes(kind), _default(kind)) for name, kind in model.supported_parameters.items()
    ]
    table(("field", "", "takes", "default"), fields, "")
    print()
    _show_price(model)
    print()
    facts(
        (
            ("price from", _source(model.price_source)),
            ("published in", _published(model)),
            ("facts from", _source(model.source)),
            ("card", origin(model)),
        )
    )


def origin(model: ModelShown) -> str:
    """Whose its card is, and who had the last word about it."""
    return f"built in, and {_LAST_WORDS[model.origin]}" if model.overridden else _ORIGINS[model.origin]


def _called(native: Native, model: ModelShown) -> str:
    if native.channel:
        return f"{native.id} (channel {native.channel})"
    return native.id if native.provider == model.provider else f"{native.id} ({native.provider})"


def _show_price(model: ModelShown) -> None:
    if model.pricing is None:
        print(f"Nobody knows what it costs. To say it: pictura models set-price {model.id} 0.04")
        return
    table(("billed", "where", "price>"), [_rate(rate, model.currency) for rate in model.pricing], "")
    if model.examples:
        print()
        columns = list(dict.fromkeys(example.size for example in model.examples))
        rows = {example.quality: [example.quality or "a picture"] for example in model.examples}
        for example in model.examples:
            rows[example.quality].append(dollars(usd(example.usd)))
        table(("comes to", *(f"{size}>" for size in columns)), list(rows.values()), "")


def _need(name: str, model: ModelShown) -> str:
    """Must it be said? Of several fields in one group, one of them."""
    groups = [group for group in model.required_parameters if name in group]
    return "" if not groups else "must" if any(len(group) == 1 for group in groups) else "one of these"


def takes(kind: Parameter) -> str:
    """What may be written into a field, in words."""
    if isinstance(kind, Pixels):
        preferred = f"; best {' '.join(kind.values)}" if kind.values else ""
        return f"WIDTHxHEIGHT, {_window(kind)}{preferred}"
    if isinstance(kind, Pictures):
        count = f"{kind.min} to {kind.max}" if kind.min > 1 else f"up to {kind.max}"
        return ", ".join((f"{count}: {' '.join(kind.formats)}", f"{kind.max_bytes / 1e6:g} MB each", *bounds(kind)))
    return ", ".join(capability.allowed(kind))


def _default(kind: Parameter) -> str:
    default = getattr(kind, "default", None)
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def _window(kind: Pixels) -> str:
    edges = f"edges {kind.min_edge or 1} to {kind.max_edge}" if kind.max_edge else "any"
    area = f", up to {kind.max_pixels / 1e6:.1f} megapixels" if kind.max_pixels else ""
    step = f", in steps of {kind.step}" if kind.step > 1 else ""
    return edges + area + step


def _rate(rate: Rate, currency: Currency | None) -> tuple[str, str, str]:
    part = f"{rate.part} megapixel" if rate.part else ""
    where = " ".join(filter(None, (rate.quality, rate.size, part, rate.channel and f"on {rate.channel}")))
    if rate.unit == "token":
        # Of one token it would be a fraction of a micro-dollar.
        return _BILLED[rate.billable], where, f"{dollars(usd(Decimal(rate.usd) * 1_000_000))} a million tokens"
    amount = usd(rate.usd)
    foreign = f" ({currency.code} {currency.published(amount)})" if currency and not rate.channel else ""
    return _BILLED[rate.billable], where, dollars(amount) + foreign


def _published(model: ModelShown) -> str:
    currency = model.currency
    if currency is None:
        return ""
    date = f" ({currency.date})" if currency.date else ""
    return f"{currency.code}, {currency.rate} for a dollar{date}"


def _source(source: Source | None) -> str:
    if source is None:
        return ""
    about = ", ".join(filter(None, (source.date, source.confidence)))
    return f"{source.name} ({about})" if about else source.name


def status(model: ModelShown) -> str:
    """Its vendor's, and what follows from it."""
    if model.status == "deprecated" and model.ends:
        return f"until {model.ends}"
    return f"retired, use {model.successor}" if model.status == "retired" and model.successor else model.status


def served(model: ModelShown) -> str:
    """By which channels, as far as that is told; else whether there is one at all."""
    return " ".join(model.channels) or ("live" if model.live else "sandbox only")
