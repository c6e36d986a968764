"""`pictura models`"""

from __future__ import annotations

from pictura.core.model import Choice, ModelCard
from pictura.core.money import show
from pictura.core.price import Free, Order, PriceList, bill
from pictura.core.size import FreePixels, ListedPixels, OwnSize, Shapes, Size, Sizes
from pictura.doors.cli.reach import ANYWHERE, Reach
from pictura.doors.cli.tables import as_json, table
from pictura.doors.desk.shapes import ModelShown, Page

_SQUARE = Size(width=1024, height=1024)


def models(filter: str = "", /, *, json: bool = False, reach: Reach = ANYWHERE) -> None:
    """Which models there are, what they take and what they cost.

    Parameters
    ----------
    filter
        Only those with this in their name, or served by it.
    json
        As JSON: the whole cards.
    """
    page = reach.administer().ask("GET", "/api/models", Page[ModelShown], query={"filter": filter})
    if json:
        as_json(page.data)
        return
    columns = ("id", "provider", "draws", "sizes", "price of a picture", "status", "channels")
    table(columns, [_row(model) for model in page.data], f"no model is called like {filter!r}")


def _row(model: ModelShown) -> tuple[str, ...]:
    card = model.card
    return (
        card.id,
        model.provider,
        " ".join(card.modes),
        sizes(card.sizes),
        price(card),
        _status(card),
        " ".join(model.channels) or "sandbox only",
    )


def sizes(rule: Sizes) -> str:
    """What may be asked for, in a few words."""
    if isinstance(rule, ListedPixels):
        return " ".join(rule.values)
    if isinstance(rule, Shapes):
        return "; ".join(filter(None, (" ".join(rule.aspects), " ".join(rule.tiers))))
    if isinstance(rule, OwnSize):
        return rule.pixels or "its own"
    return _free(rule)


def price(card: ModelCard) -> str:
    """What a picture costs; where that depends on its quality, from the cheapest to the dearest of 1024x1024."""
    of = card.price
    if of is None:
        return "not known"
    if isinstance(of, Free):
        return "free"
    if isinstance(of, PriceList):
        return _range([row.amount for row in of.rows])
    quality = card.params.get("quality")
    words = [word for word in quality.values if word != "auto"] if isinstance(quality, Choice) else [""]
    return _range([bill(of, Order(sizes=(_SQUARE,), quality=word)) for word in words])


def _free(rule: FreePixels) -> str:
    edges = f"edges {rule.min_edge or 1} to {rule.max_edge}" if rule.max_edge else "any"
    area = f", up to {rule.max_pixels / 1e6:.1f} megapixels" if rule.max_pixels else ""
    step = f", in steps of {rule.step}" if rule.step > 1 else ""
    return edges + area + step


def _range(amounts: list[int]) -> str:
    low, high = min(amounts), max(amounts)
    return show(low) if low == high else f"{show(low)} to {show(high)}"


def _status(card: ModelCard) -> str:
    if card.status == "deprecated" and card.ends:
        return f"until {card.ends}"
    return f"retired, use {card.successor}" if card.status == "retired" and card.successor else card.status
