"""Models: every card as a data sheet, and what the console says of them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pictura.core import datasheet
from pictura.core.datasheet import Rate
from pictura.core.errors import UnknownModel
from pictura.core.model import ModelCard
from pictura.core.price import Price
from pictura.doors.desk.act import Act
from pictura.doors.desk.shapes import ModelShown, Named, Native, NewModel, Nothing, Page
from pictura.engine.plan import Candidate
from pictura.infra.config import ModelParts, ModelSettings
from pictura.store.catalog import Listing
from pictura.store.keys import Key, Project

#: Whoever asks, the prices are those of live keys.
_LIVE = Key(id="", project=Project("", ""), name="", kind="live")


async def listed(act: Act, asked: Named) -> Page[ModelShown]:
    """In catalogue order; after it what only a channel knows."""
    listings = [*act.house.catalog.all(), *act.house.planner.unlisted()]
    if asked.name:
        id = _id_of(act, asked.name)
        listings = [listing for listing in listings if listing.card.id == id]
    shown = [_shown(act, listing) for listing in listings]
    return Page([model for model in shown if _matches(model, asked.filter.lower())])


async def one(act: Act, _: Nothing) -> ModelShown:
    """By any of its names."""
    return _shown(act, act.house.planner.find(act.place["id"]))


async def store(act: Act, wanted: NewModel) -> ModelShown:
    """Make a model; or say parts of one that is here, where that is meant."""
    entry = ModelSettings(id=_spelled(act), **{name: getattr(wanted, name) for name in ModelParts.__struct_fields__})
    detail = msgspec.json.encode(wanted).decode()
    fresh = not wanted.replace
    await act.house.cards.store(entry, lambda tx: act.note(tx, "store model", entry.id, detail), fresh=fresh)
    return _shown(act, act.house.planner.find(entry.id))


async def remove(act: Act, _: Nothing) -> Nothing:
    """Take away what the console says of a model: the file or its provider has the last word again."""
    id = _spelled(act)
    await act.house.cards.remove(id, lambda tx: act.note(tx, "remove model", id))
    return Nothing()


def _spelled(act: Act) -> str:
    """The id that the path names, as it is spelled on the card, where there is one."""
    said = act.place["id"]
    ids = (listing.card.id for listing in act.house.catalog.all())
    return next((id for id in ids if id.lower() == said.lower()), said)


def _id_of(act: Act, name: str) -> str:
    try:
        return act.house.planner.find(name).card.id
    except UnknownModel:
        return ""


def _matches(model: ModelShown, wanted: str) -> bool:
    names = (model.id, *model.aliases, *(native.id for native in model.natives), model.provider, *model.channels)
    return any(wanted in name.lower() for name in names)


def _shown(act: Act, listing: Listing) -> ModelShown:
    card, planner = listing.card, act.house.planner
    administers = "admin" in act.key.scopes
    records = [record for record in planner.serving(card, _LIVE) if not record.sandbox]
    asked = {record.name: planner.candidate(record.name, card) for record in records}
    live = {name: candidate.price for name, candidate in asked.items()}
    return ModelShown(
        id=card.id,
        provider=listing.provider,
        aliases=card.aliases,
        natives=_natives(act, listing, asked if administers else {}),
        status=card.status,
        ends=card.ends,
        successor=card.successor,
        released=card.released,
        modes=card.modes,
        required_parameters=datasheet.required(card),
        supported_parameters=datasheet.parameters(card),
        pictures_per_call=card.max_n,
        pricing=_pricing(card, live, administers),
        examples=datasheet.examples(card),
        currency=card.currency,
        price_source=card.price_source,
        source=card.source,
        notes=card.notes,
        origin=listing.origin,
        overridden=listing.overridden,
        available=bool(planner.serving(card, act.key)) and act.key.may_use(card.names),
        live=bool(live),
        channels=list(live) if administers else [],
        own=_own(act, card.id) if administers else None,
    )


def _natives(act: Act, listing: Listing, asked: Mapping[str, Candidate]) -> list[Native]:
    """Its own provider's name for it, those of resellers, and those of channels that have another."""
    card, providers = listing.card, act.house.providers
    resold = {name: provider.SERVES[card.id] for name, provider in providers.items() if card.id in provider.SERVES}
    usual = {
        name: providers[name].called(native)
        for name, native in {listing.provider: card.native or card.id, **resold}.items()
    }
    channels = [(name, one.provider.name, one.provider.called(one.native)) for name, one in asked.items()]
    own = [Native(provider, id, name) for name, provider, id in channels if usual.get(provider) != id]
    return [*(Native(name, id) for name, id in usual.items()), *own]


def _own(act: Act, id: str) -> ModelParts | None:
    entry = act.house.cards.get(id)
    return entry and ModelParts(**{name: getattr(entry, name) for name in ModelParts.__struct_fields__})


def _pricing(card: ModelCard, live: Mapping[str, Price | None], administers: bool) -> list[Rate] | None:
    """The card's price, where it counts for a channel or there is none; and those of channels that have another."""
    prices = list(live.values()) or [card.price]
    lines = datasheet.rates(card.price) if card.price is not None and card.price in prices else []
    for name, price in live.items():
        if price is not None and price != card.price:
            channel = name if administers else ""
            lines += [msgspec.structs.replace(rate, channel=channel) for rate in datasheet.rates(price)]
    return lines or None
