"""Models: every card, and the channels that serve it."""

from __future__ import annotations

from pictura.core.errors import UnknownModel
from pictura.core.model import ModelCard
from pictura.doors.desk.act import Act
from pictura.doors.desk.shapes import ModelShown, Named, Page
from pictura.store.keys import Key


async def listed(act: Act, asked: Named) -> Page[ModelShown]:
    """In catalogue order; after it what only a channel knows."""
    live = Key(id="", project=act.key.project, name="", kind="live")
    known = [(listing.card, listing.provider) for listing in act.house.catalog.all()]
    shown = [ModelShown(card, provider, _channels(act, card, live)) for card, provider in [*known, *_unlisted(act)]]
    chosen = [model for model in shown if _matches(model, asked.filter)]
    return Page([model for model in chosen if not asked.name or _is(act, model, asked.name)])


def _channels(act: Act, card: ModelCard, live: Key) -> list[str]:
    return [record.name for record in act.house.planner.serving(card, live) if not record.sandbox]


def _unlisted(act: Act) -> list[tuple[ModelCard, str]]:
    """Models that no card describes and a channel names."""
    found: dict[str, tuple[ModelCard, str]] = {}
    for record in act.house.channels.all():
        for name in record.models or ():
            if act.house.catalog.find(name) is None and name not in found:
                try:
                    found[name] = (act.house.planner.card(name), record.provider)
                except UnknownModel:
                    continue  # its provider draws nothing that it does not know
    return list(found.values())


def _matches(model: ModelShown, wanted: str) -> bool:
    return any(wanted.lower() in name.lower() for name in (*model.card.names, model.provider, *model.channels))


def _is(act: Act, model: ModelShown, name: str) -> bool:
    listing = act.house.catalog.find(name)
    return model.card is listing.card if listing else model.card.id == act.house.catalog.rename(name)
