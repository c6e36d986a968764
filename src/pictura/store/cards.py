"""The console's cards and prices: in a table, and over the catalogue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import msgspec

from pictura.core.errors import BadRequest, Conflict, NotFound
from pictura.infra.config import ModelSettings
from pictura.infra.db import Database, Tx
from pictura.store.catalog import Catalog, Listing

log = logging.getLogger("pictura.cards")

Note = Callable[[Tx], None]


class CardBook:
    """What the console says of models, by id in lower case. A change is in the catalogue when it is in the table."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog
        self._entries: dict[str, ModelSettings] = {}
        self._changing = asyncio.Lock()

    def load(self) -> None:
        """Read the table anew. What has become wrong with it is logged and left out: it must not keep others out."""
        rows = self._database.read(lambda tx: tx.all("SELECT id, settings FROM cards ORDER BY created_ms, id"))
        self._entries = {}
        for id, text in rows:
            try:
                self._entries[id] = msgspec.json.decode(text, type=ModelSettings)
            except msgspec.DecodeError as error:
                log.error("what the console says of %s is left out: %s", id, error)
        for id, wrong in self._catalog.lay(list(self._entries.values())).items():
            log.error("what the console says of %s is left out: %s", id, wrong.message)

    def get(self, id: str) -> ModelSettings | None:
        return self._entries.get(id.lower())

    async def store(self, entry: ModelSettings, note: Note, *, fresh: bool = False) -> None:
        """Keep an entry; one of the same id is replaced. `note` writes into the same transaction.

        Raises BadRequest for what is wrong with it; Conflict where it is to be `fresh`, and its model is here already.
        """
        key, text = entry.id.lower(), msgspec.json.encode(entry).decode()

        def write(tx: Tx) -> None:
            tx.run("DELETE FROM cards WHERE id = ?", (key,))
            tx.run("INSERT INTO cards (id, settings, created_ms) VALUES (?, ?, ?)", (key, text, tx.now_ms()))
            note(tx)

        async with self._changing:
            entries = {**self._entries, key: entry}
            self._check(entries, entry.id)
            if fresh and (there := self._catalog.get(entry.id)) is not None:
                raise _taken(there)
            await self._change(entries, write)

    async def remove(self, id: str, note: Note) -> None:
        """Take an entry away. Raises NotFound where there is none, BadRequest where another one stands on it."""
        key = id.lower()

        def write(tx: Tx) -> None:
            tx.run("DELETE FROM cards WHERE id = ?", (key,))
            note(tx)

        async with self._changing:
            if key not in self._entries:
                raise NotFound(f"the console says nothing of {id[:60]!r}; what pictura.toml says is changed there")
            entries = {known: entry for known, entry in self._entries.items() if known != key}
            self._check(entries, id)
            await self._change(entries, write)

    async def _change(self, entries: dict[str, ModelSettings], write: Note) -> None:
        await self._database.write(write)
        self._entries = entries
        self._catalog.lay(list(entries.values()))

    def _check(self, entries: Mapping[str, ModelSettings], id: str) -> None:
        """Raises what is wrong with the entry of this id; and with another one that was well before."""
        before = self._catalog.wrong(list(self._entries.values()))
        after = self._catalog.wrong(list(entries.values()))
        if id in after:
            raise after[id]
        for other, error in after.items():
            if other not in before:
                raise BadRequest(f"what the console says of {other} would be wrong then: {error.message}", param="id")


def _taken(there: Listing) -> Conflict:
    return Conflict(
        f"{there.card.id} of {there.provider} is here already ({there.origin}); choose another id, or say replace: "
        "true where parts of that one are meant",
        param="replace",
    )
