"""The catalogue: every model by every name it has. In memory; the doors hand it the providers' cards at start."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import msgspec

from pictura.core.errors import HouseError, UnknownModel
from pictura.core.model import ModelCard


class Listing(msgspec.Struct, frozen=True):
    """A card, and the provider beside which it stands."""

    card: ModelCard
    provider: str


class Catalog:
    """Names are matched without regard to case; `vendor/name` and a trailing `:free` resolve like the bare name."""

    def __init__(self, aliases: Mapping[str, str] | None = None) -> None:
        self._aliases = {name.lower(): target for name, target in (aliases or {}).items()}
        self._listings: list[Listing] = []
        self._by_name: dict[str, Listing] = {}
        #: What vendors call a model may be what another vendor's model is called here (fal's `openai/gpt-image-2`).
        self._by_native: dict[str, Listing] = {}

    def add(self, provider: str, cards: Iterable[ModelCard]) -> None:
        """All cards of a provider. Raises HouseError where another card has one of their names; then none is added."""
        listings = [Listing(card, provider) for card in cards]
        by_name = dict(self._by_name)
        for listing in listings:
            for name in (listing.card.id, *listing.card.aliases):
                known = by_name.setdefault(name.lower(), listing)
                if known is not listing:
                    raise HouseError(f"two models are called {name!r}: {known.card.id} and {listing.card.id}")
        self._by_name = by_name
        self._listings += listings
        for listing in listings:
            if listing.card.native:
                self._by_native.setdefault(listing.card.native.lower(), listing)

    def all(self) -> list[Listing]:
        """In catalogue order."""
        return list(self._listings)

    def find(self, name: str) -> Listing | None:
        """The model of this name, after the operator's aliases; None where no card describes it."""
        wanted = self.rename(name).lower()
        found = self._by_name.get(wanted) or self._by_name.get(_bare(wanted))
        return found or self._by_native.get(wanted) or self._by_native.get(_bare(wanted))

    def rename(self, name: str) -> str:
        """The operator's alias, where there is one."""
        return self._aliases.get(name.lower(), name)

    def unknown(self, name: str) -> UnknownModel:
        """The error for a name that nothing answers to, with the nearest names."""
        near = difflib.get_close_matches(_bare(name.lower()), self._by_name, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(self._by_name[name].card.id for name in near)}?" if near else ""
        return UnknownModel(f"model {name!r} does not exist here{hint or ';'} GET /v1/models lists all", param="model")


def _bare(name: str) -> str:
    return name.removesuffix(":free").rpartition("/")[2]
