"""The catalogue: every model by every name it has. In memory, in three layers.

Below lie the providers' cards, which the doors hand in at start; over them what the settings file says of models, and
over that what the console says. A layer overrides parts of a card, or adds cards of its own.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from pictura.core.errors import BadRequest, HouseError, UnknownModel
from pictura.core.model import ModelCard, Source
from pictura.infra.config import ModelSettings
from pictura.store import parts

Origin = Literal["built-in", "file", "console", "channel"]
#: A provider's card for a model that nobody described; None: it has none.
Generic = Callable[[str], ModelCard | None]

_NOBODY = Source("the operator", "")


class Listing(msgspec.Struct, frozen=True):
    """A card, the provider that speaks for it, and who said the last word about it.

    `overridden`: its provider wrote one of this id, of which parts are said otherwise.
    """

    card: ModelCard
    provider: str
    origin: Origin = "built-in"
    overridden: bool = False


class Shelf:
    """Listings in their order, by id and by every name; names are matched without regard to case."""

    def __init__(self, listings: Iterable[Listing] = ()) -> None:
        self._by_id: dict[str, Listing] = {}
        self._by_name: dict[str, Listing] = {}
        #: What vendors call a model may be what another vendor's model is called here (fal's `openai/gpt-image-2`).
        self._by_native: dict[str, Listing] = {}
        for listing in listings:
            self.put(listing)

    def put(self, listing: Listing) -> None:
        """Add a listing; one of the same id makes way, and its place is taken. Raises BadRequest for a taken name."""
        card, former = listing.card, self._by_id.get(listing.card.id.lower())
        for name in (card.id, *card.aliases):
            known = self._by_name.get(name.lower())
            if known is not None and known is not former:
                raise BadRequest(f"two models are called {name!r}: {known.card.id} and {card.id}", param="aliases")
        self._by_id[card.id.lower()] = listing
        if former is None:
            self._name(listing)
        else:
            self._name_all()

    def all(self) -> tuple[Listing, ...]:
        return tuple(self._by_id.values())

    def get(self, id: str) -> Listing | None:
        """By its public id alone."""
        return self._by_id.get(id.lower())

    def find(self, name: str) -> Listing | None:
        """By any name; `vendor/name` and a trailing `:free` resolve like the bare name."""
        wanted = name.lower()
        found = self._by_name.get(wanted) or self._by_name.get(_bare(wanted))
        return found or self._by_native.get(wanted) or self._by_native.get(_bare(wanted))

    def near(self, name: str) -> list[str]:
        """Ids of the models whose names come next to this one."""
        names = difflib.get_close_matches(_bare(name.lower()), self._by_name, n=3, cutoff=0.5)
        return [self._by_name[name].card.id for name in names]

    def _name_all(self) -> None:
        self._by_name, self._by_native = {}, {}
        for listing in self._by_id.values():
            self._name(listing)

    def _name(self, listing: Listing) -> None:
        card = listing.card
        for name in (card.id, *card.aliases):
            self._by_name[name.lower()] = listing
        for name in filter(None, (card.native, card.imitated)):
            self._by_native.setdefault(name.lower(), listing)


class Catalog:
    """What there is just now; a change takes effect with the next look."""

    def __init__(self, aliases: Mapping[str, str] | None = None) -> None:
        self._aliases = {name.lower(): target for name, target in (aliases or {}).items()}
        self._generics: dict[str, Generic] = {}
        #: The providers' cards and what the file says of them; and with the console's layer over it.
        self._below = Shelf()
        self._shelf = self._below
        self._all: tuple[Listing, ...] = ()
        self._theirs: dict[tuple[str, str], ModelCard] = {}

    def add(self, provider: str, cards: Iterable[ModelCard], generic: Generic = lambda name: None) -> None:
        """All cards of a provider, at start, before any layer. Raises HouseError where another card has one of their
        names; then none is added.
        """
        shelf = Shelf(self._below.all())
        for card in cards:
            if known := shelf.get(card.id):
                raise HouseError(f"two models are called {card.id!r}: of {known.provider} and of {provider}")
            try:
                shelf.put(Listing(card, provider))
            except BadRequest as error:
                raise HouseError(error.message) from None
        self._generics[provider] = generic
        self._below = shelf
        self._show(shelf)

    def add_file(self, entries: Sequence[ModelSettings]) -> None:
        """The settings file's layer, at start. Raises BadRequest for the first entry that is wrong."""
        self._below, wrong = self._laid(entries, "file")
        for id, error in wrong.items():
            raise BadRequest(f"[[model]] {id}: {error.message}", param=error.param)
        self._show(self._below)

    def lay(self, entries: Sequence[ModelSettings]) -> dict[str, BadRequest]:
        """The console's layer, in the place of the one before. Gives what is wrong, by id: that is left out."""
        shelf, wrong = self._laid(entries, "console")
        self._show(shelf)
        return wrong

    def wrong(self, entries: Sequence[ModelSettings]) -> dict[str, BadRequest]:
        """What would be wrong with such a layer of the console, by id."""
        return self._laid(entries, "console")[1]

    def all(self) -> tuple[Listing, ...]:
        """In catalogue order; the same tuple until something changes."""
        return self._all

    def find(self, name: str) -> Listing | None:
        """The model of this name, after the operator's aliases; None where no card describes it."""
        return self._shelf.find(self.rename(name))

    def retired(self, name: str) -> Listing | None:
        """The model that has this name itself, whatever an alias says, where its vendor switched it off."""
        listing = self._shelf.find(name)
        return listing if listing is not None and listing.card.status == "retired" else None

    def get(self, id: str) -> Listing | None:
        """The model of this public id alone."""
        return self._shelf.get(id)

    def owner(self, card: ModelCard) -> str:
        """The provider beside which this card stands; "" where the catalogue does not have it."""
        listing = self._shelf.get(card.id)
        return listing.provider if listing else ""

    def theirs(self, provider: str, native: str) -> ModelCard | None:
        """The card that stands beside this provider for what it calls so itself."""
        return self._theirs.get((provider, native.lower()))

    def rename(self, name: str) -> str:
        """The operator's alias, where there is one."""
        return self._aliases.get(name.lower(), name)

    def unknown(self, name: str) -> UnknownModel:
        """The error for a name that nothing answers to, with the nearest names."""
        near = self._shelf.near(name)
        hint = f"; did you mean {', '.join(near)}?" if near else ";"
        return UnknownModel(f"model {name!r} does not exist here{hint} GET /v1/models lists all", param="model")

    def _show(self, shelf: Shelf) -> None:
        self._shelf, self._all, self._theirs = shelf, shelf.all(), {}
        for listing in self._all:
            native = (listing.card.native or listing.card.id).lower()
            self._theirs.setdefault((listing.provider, native), listing.card)

    def _laid(self, entries: Sequence[ModelSettings], origin: Origin) -> tuple[Shelf, dict[str, BadRequest]]:
        """What lies below with these entries over it. One that starts from another waits until that is there."""
        shelf = Shelf(self._below.all())
        waiting = sorted(entries, key=lambda entry: bool(entry.base))
        wrong: dict[str, BadRequest] = {}
        while waiting:
            wrong = {}
            for entry in waiting:
                try:
                    shelf.put(self._listing(entry, shelf, origin))
                except BadRequest as error:
                    wrong[entry.id] = error
            if len(wrong) == len(waiting):
                break
            waiting = [entry for entry in waiting if entry.id in wrong]
        return shelf, wrong

    def _listing(self, entry: ModelSettings, shelf: Shelf, origin: Origin) -> Listing:
        if target := self._aliases.get(entry.id.lower()):
            raise BadRequest(f"{entry.id} is an alias of {target} in the settings file; choose another id", param="id")
        start = self._start(entry, shelf)
        provider = entry.provider or start.provider
        if provider not in self._generics:
            there = ", ".join(sorted(self._generics))
            raise BadRequest(f"provider {provider[:60]!r} is not known; there are: {there}", param="provider")
        if entry.successor and shelf.find(entry.successor) is None:
            raise BadRequest(f"successor {entry.successor!r} is no model here", param="successor")
        card = parts.card(entry.id, entry, start.card)
        # Another provider's simulator does not know the model by that name.
        foreign = provider != start.provider
        card = msgspec.structs.replace(card, imitated=None) if foreign else card
        below = shelf.get(entry.id)
        overridden = below is not None and (below.origin == "built-in" or below.overridden)
        return Listing(card, provider, origin, overridden)

    def _start(self, entry: ModelSettings, shelf: Shelf) -> Listing:
        """The listing an entry starts from."""
        known = shelf.find(entry.base) if entry.base else shelf.get(entry.id)
        if known is not None:
            return known
        if entry.base:
            raise BadRequest(f"base {entry.base[:60]!r} is no model here", param="base")
        if not entry.provider:
            raise _nothing_of(entry.id, shelf.find(entry.id))
        make = self._generics.get(entry.provider)
        card = (make(entry.id) if make else None) or ModelCard(id=entry.id, source=_NOBODY)
        return Listing(msgspec.structs.replace(card, imitated=None), entry.provider)


def _nothing_of(id: str, other: Listing | None) -> BadRequest:
    if other is not None:
        return BadRequest(f"{id[:60]!r} is another name of {other.card.id}; say that", param="id")
    return BadRequest(
        f"there is no model {id[:60]!r}; to add it, say base (a model to start from) or provider", param="id"
    )


def _bare(name: str) -> str:
    return name.removesuffix(":free").rpartition("/")[2]
