"""Channels: from the file, the environment and the console; their secrets never in clear in the table."""

from __future__ import annotations

from typing import Any

import pytest

from pictura.core.errors import BadRequest, NotFound
from pictura.infra.config import ChannelPrice, ChannelSettings
from pictura.infra.crypto import Vault
from pictura.infra.db import SqliteDatabase
from pictura.store.channels import ChannelBook, ChannelRecord, from_settings

BASE_URLS = {"openai": "https://api.openai.com/v1"}
SECRET = "sk-live-0123456789"


def settings(name: str = "main", **said: Any) -> ChannelSettings:
    return ChannelSettings(**{"name": name, "provider": "openai", "api_key": SECRET, **said})


def record(**said: Any) -> ChannelRecord:
    return from_settings(settings(**said), BASE_URLS["openai"], {"MY_KEY": "from the environment"}, "file")


@pytest.fixture
def book(database: SqliteDatabase, vault: Vault) -> ChannelBook:
    return ChannelBook(database, vault)


def test_a_plain_channel() -> None:
    found = record()
    assert (found.name, found.provider, found.base_url) == ("main", "openai", "https://api.openai.com/v1")
    assert found.secrets == {"api_key": SECRET}
    assert (found.models, found.price_per_picture, found.relay, found.sandbox) == (None, None, False, False)


@pytest.mark.parametrize(
    ("said", "field", "value"),
    [
        ({"base_url": "https://proxy/v1"}, "base_url", "https://proxy/v1"),
        ({"api_key": "", "api_key_env": "MY_KEY"}, "secrets", {"api_key": "from the environment"}),
        ({"api_key_env": "MY_KEY"}, "secrets", {"api_key": SECRET}),
        ({"api_key": "", "secrets": {"access_key": "a"}}, "secrets", {"access_key": "a"}),
        ({"api_key": ""}, "secrets", {}),
        ({"api_key": "", "api_key_env": "NOT_SET", "enabled": False}, "secrets", {}),
        ({"models": ("a", "b")}, "models", {"a": "", "b": ""}),
        ({"models": {"ours": "theirs"}}, "models", {"ours": "theirs"}),
        ({"models": ()}, "models", {}),
        ({"results": "relay"}, "relay", True),
        ({"allow_private_network": True}, "allow_private", True),
        ({}, "allow_private", False),
        ({"base_url": "http://127.0.0.1:9/v1"}, "allow_private", False),
        ({"options": {"workflow": {"1": {}}}}, "options", {"workflow": {"1": {}}}),
        ({"price": ChannelPrice("0.04")}, "price_per_picture", 40_000),
        ({"price": ChannelPrice("0")}, "price_per_picture", 0),
        ({"price": ChannelPrice()}, "price_per_picture", None),
    ],
)
def test_what_settings_become(said: dict[str, Any], field: str, value: object) -> None:
    assert getattr(record(**said), field) == value


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"api_key": "", "api_key_env": "NOT_SET"}, "the environment variable NOT_SET is not set"),
        ({"price": ChannelPrice("four cents")}, "is not an amount in dollars"),
        ({"price": ChannelPrice("-1")}, "below zero"),
    ],
)
def test_what_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        record(**said)


@pytest.mark.parametrize(("said", "allowed"), [(None, True), (True, True), (False, False)])
def test_an_engine_of_ones_own_may_be_in_a_private_network(said: bool | None, allowed: bool) -> None:
    engine = settings(provider="comfyui", base_url="http://10.0.0.7:8188", allow_private_network=said)
    assert from_settings(engine, "http://127.0.0.1:8188", {}, "file").allow_private is allowed


def test_a_record_does_not_show_its_secrets() -> None:
    assert SECRET not in repr(record())
    assert "main" in repr(record())


async def test_a_channel_of_the_console_is_kept_sealed(
    book: ChannelBook, database: SqliteDatabase, vault: Vault
) -> None:
    told = settings(models=("gpt-image-2",), secrets={"organization": "org-secret"}, options={"a": [1]})
    await book.store(told, BASE_URLS)
    table = repr(database.read(lambda tx: tx.all("SELECT * FROM channels")))
    assert SECRET not in table
    assert "org-secret" not in table
    again = ChannelBook(database, vault)
    again.load(BASE_URLS)
    found = again.get("main")
    assert found == book.get("main")
    assert found.secrets == {"organization": "org-secret", "api_key": SECRET}
    assert (found.origin, found.models, found.base_url) == ("console", {"gpt-image-2": ""}, BASE_URLS["openai"])
    assert found.options == {"a": [1]}


async def test_a_channel_that_another_secret_sealed_is_left_out(
    book: ChannelBook, database: SqliteDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    await book.store(settings(), BASE_URLS)
    other = ChannelBook(database, Vault(b"another"))
    other.add(record(name="second"))
    other.load(BASE_URLS)
    assert [found.name for found in other.all()] == ["second"]
    assert "main is left out" in caplog.text and "PICTURA_SECRET" in caplog.text
    assert SECRET not in caplog.text


def test_the_sandbox_s_names_are_its_own() -> None:
    with pytest.raises(BadRequest, match="the house's own"):
        from_settings(settings(name="sandbox-openai"), "", {}, "file")


async def test_the_consoles_channel_takes_the_place_of_another_of_its_name(book: ChannelBook) -> None:
    book.add(record(api_key="from the file"))
    book.add(record(name="second"))
    await book.store(settings(api_key="from the console"), BASE_URLS)
    assert {(found.name, found.origin) for found in book.all()} == {("main", "console"), ("second", "file")}
    assert book.get("main").secrets == {"api_key": "from the console"}
    await book.remove("main")
    assert book.get("main").secrets == {"api_key": "from the file"}
    assert {found.origin for found in book.all()} == {"file"}


async def test_a_channel_is_replaced_by_its_name(book: ChannelBook) -> None:
    await book.store(settings(weight=1), BASE_URLS)
    await book.store(settings(weight=5), BASE_URLS)
    assert [found.weight for found in book.all()] == [5]


async def test_only_the_consoles_channels_can_be_removed(book: ChannelBook) -> None:
    book.add(record())
    with pytest.raises(NotFound, match=r"others live in pictura\.toml"):
        await book.remove("main")
    with pytest.raises(NotFound, match="no channel 'none'"):
        book.get("none")


async def test_the_list_stays_the_same_until_something_changes(book: ChannelBook) -> None:
    book.add(record())
    first = book.all()
    assert book.all() is first
    await book.store(settings("second"), BASE_URLS)
    assert book.all() is not first
