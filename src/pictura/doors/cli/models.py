"""`pictura models`"""

from __future__ import annotations

from pictura.core.model import ModelCard
from pictura.core.money import show
from pictura.core.price import Free, PerMegapixel, PerPicture, PerToken, Price, PriceList
from pictura.core.size import FreePixels, ListedPixels, OwnSize, Shapes, Sizes
from pictura.doors.cli.reach import ANYWHERE, Reach
from pictura.doors.cli.tables import as_json, table
from pictura.doors.desk.shapes import ModelShown, Page


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
        price(card.price),
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


def price(of: Price | None) -> str:
    """What a picture costs, in a few words."""
    if of is None:
        return "not known"
    if isinstance(of, Free):
        return "free"
    if isinstance(of, PerPicture):
        return show(of.amount)
    if isinstance(of, PriceList):
        return _range([row.amount for row in of.rows])
    if isinstance(of, PerMegapixel):
        return f"{show(of.first)} the first megapixel, {show(of.further)} each further one"
    return _tokens(of)


def _free(rule: FreePixels) -> str:
    edges = f"edges {rule.min_edge or 1} to {rule.max_edge}" if rule.max_edge else "any"
    area = f", up to {rule.max_pixels / 1e6:.1f} megapixels" if rule.max_pixels else ""
    step = f", in steps of {rule.step}" if rule.step > 1 else ""
    return edges + area + step


def _range(amounts: list[int]) -> str:
    low, high = min(amounts), max(amounts)
    return show(low) if low == high else f"{show(low)} to {show(high)}"


def _tokens(of: PerToken) -> str:
    """Nano-USD a token are thousandths of dollars a million tokens."""
    return f"{show(of.image_out * 1000)} a million tokens"


def _status(card: ModelCard) -> str:
    if card.status == "deprecated" and card.ends:
        return f"until {card.ends}"
    return f"retired, use {card.successor}" if card.status == "retired" and card.successor else card.status
