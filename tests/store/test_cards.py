"""The console's cards and prices: in a table, and over the catalogue."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from pictura.core.errors import BadRequest, Conflict, NotFound
from pictura.core.model import ModelCard, Source
from pictura.core.price import PerPicture, Price
from pictura.infra.config import ModelPrice, ModelSettings
from pictura.infra.db import SqliteDatabase, Tx
from pictura.store import audit
from pictura.store.cards import CardBook
from pictura.store.catalog import Catalog

FOX = ModelCard(id="fox", source=Source("a test", "2026-11-20"), price=PerPicture(40_000))


def built_in() -> Catalog:
    catalog = Catalog()
    catalog.add("acme", [FOX])
    return catalog


def says(id: str, dollars: str = "", **said: Any) -> ModelSettings:
    return ModelSettings(id=id, price=ModelPrice(per_picture=dollars) if dollars else None, **said)


def noted(tx: Tx) -> None:
    audit.note(tx, "a test", "store model", "fox")


@pytest.fixture
def catalog() -> Catalog:
    return built_in()


@pytest.fixture
def book(database: SqliteDatabase, catalog: Catalog) -> CardBook:
    book = CardBook(database, catalog)
    book.load()
    return book


def price(catalog: Catalog, name: str = "fox") -> Price | None:
    listing = catalog.find(name)
    assert listing is not None
    return listing.card.price


async def test_a_change_holds_at_once_and_after_a_restart(
    book: CardBook, catalog: Catalog, database: SqliteDatabase
) -> None:
    await book.store(says("Fox", "0.05"), noted)
    assert price(catalog) == PerPicture(50_000)
    await book.store(says("fox", "0.06"), noted)
    await book.store(says("wolf", base="fox"), noted)
    assert price(catalog, "wolf") == PerPicture(60_000)
    assert len(database.read(audit.newest)) == 3

    later = built_in()
    again = CardBook(database, later)
    again.load()
    assert again.get("FOX") == says("fox", "0.06")
    assert price(later) == price(later, "wolf") == PerPicture(60_000)

    await again.remove("wolf", noted)
    await again.remove("FOX", noted)
    assert (price(later), later.find("wolf"), again.get("fox")) == (PerPicture(40_000), None, None)
    assert database.read(lambda tx: tx.all("SELECT * FROM cards")) == []


async def test_what_is_to_be_fresh_replaces_nothing(book: CardBook, catalog: Catalog) -> None:
    await book.store(says("wolf", base="fox"), noted, fresh=True)
    for id in ("FOX", "wolf"):
        with pytest.raises(Conflict) as caught:
            await book.store(says(id, "0.05", base="fox"), noted, fresh=True)
        assert caught.value.param == "replace"
    assert price(catalog) == price(catalog, "wolf") == PerPicture(40_000)


async def test_what_is_wrong_is_refused_and_changes_nothing(
    book: CardBook, catalog: Catalog, database: SqliteDatabase
) -> None:
    before = catalog.all()
    with pytest.raises(BadRequest, match="there is no model 'wolf'"):
        await book.store(says("wolf"), noted)
    assert catalog.all() is before and book.get("wolf") is None
    assert database.read(audit.newest) == [] == database.read(lambda tx: tx.all("SELECT * FROM cards"))


async def test_nothing_is_taken_away_on_which_something_stands(book: CardBook, catalog: Catalog) -> None:
    await book.store(says("wolf", base="fox"), noted)
    await book.store(says("cub", base="wolf"), noted)
    with pytest.raises(BadRequest, match="says of cub would be wrong then: base 'wolf' is no model here"):
        await book.remove("wolf", noted)
    assert catalog.find("wolf") is not None
    await book.remove("cub", noted)
    await book.remove("wolf", noted)


async def test_only_what_the_console_says_can_be_taken_away(book: CardBook) -> None:
    with pytest.raises(NotFound, match=r"what pictura.toml says is changed there"):
        await book.remove("fox", noted)


async def test_changes_at_the_same_time_are_all_kept(book: CardBook, catalog: Catalog) -> None:
    names = [f"wolf-{number}" for number in range(5)]
    await asyncio.gather(*(book.store(says(name, base="fox"), noted) for name in names))
    assert {listing.card.id for listing in catalog.all()} == {"fox", *names}


async def test_what_has_become_wrong_keeps_nobody_out(
    book: CardBook, database: SqliteDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    await book.store(says("wolf", base="fox", aliases=("dog",)), noted)
    await book.store(says("fox", "0.05"), noted)
    await database.write(lambda tx: tx.run('INSERT INTO cards VALUES (\'cat\', \'{"id": "cat", "new": 1}\', 0)'))
    later = Catalog()
    later.add("acme", [FOX, ModelCard(id="dog", source=FOX.source)])
    again = CardBook(database, later)
    with caplog.at_level(logging.ERROR):
        again.load()
    assert "of wolf is left out: two models are called 'dog'" in caplog.text
    assert "of cat is left out" in caplog.text
    assert (price(later), later.find("wolf")) == (PerPicture(50_000), None)
    # It can still be changed and taken away, and so can others.
    await again.store(says("fox", "0.07"), noted)
    assert price(later) == PerPicture(70_000)
    await again.remove("wolf", noted)
    await again.remove("fox", noted)
