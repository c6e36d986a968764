"""Keys: hashed, found again, limited, switched off."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pictura.core.errors import BadRequest, NotFound, Unauthorized
from pictura.infra.crypto import Vault
from pictura.infra.db import SqliteDatabase
from pictura.store.keys import Key, KeyRing, Project, make_project, projects

DEFAULT = Project("default", "Default")


def key_of(**said: Any) -> Key:
    fields: dict[str, Any] = {"id": "", "project": DEFAULT, "name": "mine", **said}
    return Key(**fields)


async def test_a_key_is_shown_once_and_kept_as_a_hash(ring: KeyRing, database: SqliteDatabase) -> None:
    made, text = await ring.make(key_of())
    assert text.startswith("sk-pic-")
    assert made.id.startswith("key_")
    assert made.hint == f"sk-pic-…{text[-4:]}"
    for table in ("keys", "projects"):
        assert text not in repr(database.read(lambda tx, table=table: tx.all(f"SELECT * FROM {table}")))  # type: ignore[misc]
    assert ring.find(text, 0) == made


async def test_a_test_key_looks_like_one(ring: KeyRing) -> None:
    _, text = await ring.make(key_of(kind="test"))
    assert text.startswith("sk-test-")


async def test_a_key_is_read_as_it_was_made(ring: KeyRing, database: SqliteDatabase, vault: Vault) -> None:
    wanted = key_of(
        kind="test",
        scopes=("draw", "admin"),
        dialect="mixroute",
        models=("gpt-image-*",),
        networks=("10.0.0.0/8",),
        requests_per_minute=60,
        concurrency=3,
        cap=5_000_000,
        cap_period="week",
        created_ms=11,
        expires_ms=22,
    )
    made, text = await ring.make(wanted)
    assert made == msgspec.structs.replace(wanted, id=made.id, hint=made.hint)
    again = KeyRing(database, vault)
    again.load()
    assert again.find(text, 0) == made
    assert again.all() == [made]


async def test_another_house_does_not_know_the_key(ring: KeyRing, database: SqliteDatabase) -> None:
    _, text = await ring.make(key_of())
    other = KeyRing(database, Vault(b"another secret"))
    other.load()
    with pytest.raises(Unauthorized):
        other.find(text, 0)


@pytest.mark.parametrize("text", ["", "sk-pic-unknown", "é" * 20])
async def test_what_is_no_key_is_refused(ring: KeyRing, text: str) -> None:
    with pytest.raises(Unauthorized, match="not known here"):
        ring.find(text, 0)


async def test_a_key_expires_to_the_millisecond(ring: KeyRing) -> None:
    _, text = await ring.make(key_of(expires_ms=1000))
    assert ring.find(text, 999)
    with pytest.raises(Unauthorized, match="has expired"):
        ring.find(text, 1000)


async def test_a_disabled_key_is_refused_at_once(ring: KeyRing) -> None:
    made, text = await ring.make(key_of())
    ring.find(text, 0)
    await ring.disable(made.id)
    with pytest.raises(Unauthorized, match="is disabled"):
        ring.find(text, 0)
    assert ring.by_id(made.id).disabled_ms
    with pytest.raises(NotFound):
        await ring.disable("key_none")


async def test_a_change_counts_at_once(ring: KeyRing) -> None:
    made, text = await ring.make(key_of())
    ring.find(text, 0)
    await ring.change(msgspec.structs.replace(made, name="renamed", models=("fox",), cap=7))
    found = ring.find(text, 0)
    assert (found.name, found.models, found.cap) == ("renamed", ("fox",), 7)


async def test_a_key_of_ones_own_is_imported(ring: KeyRing) -> None:
    made, text = await ring.make(key_of(), "my-own-key")
    assert (text, made.hint) == ("my-own-key", "…")
    assert ring.find("my-own-key", 0) == made
    with pytest.raises(BadRequest, match="exists already"):
        await ring.make(key_of(), "my-own-key")


@pytest.mark.parametrize("text", ["short", "with blanks in it", "schlüssel-schlüssel", "line\nline-line"])
async def test_what_cannot_be_a_key_is_refused(ring: KeyRing, text: str) -> None:
    with pytest.raises(BadRequest, match="at least 8 printable ASCII"):
        await ring.make(key_of(), text)


async def test_a_network_that_is_none_is_refused(ring: KeyRing) -> None:
    with pytest.raises(BadRequest, match=r"'10\.0\.0\.0/33' is not an address or network"):
        await ring.make(key_of(networks=("10.0.0.0/33",)))
    made, _ = await ring.make(key_of())
    with pytest.raises(BadRequest):
        await ring.change(msgspec.structs.replace(made, networks=("nowhere",)))


@pytest.mark.parametrize(
    ("networks", "address", "may"),
    [
        ((), "203.0.113.7", True),
        ((), "unknown", True),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "11.1.2.3", False),
        (("10.0.0.1/8",), "10.9.9.9", True),
        (("203.0.113.7", "2001:db8::/32"), "203.0.113.7", True),
        (("203.0.113.7", "2001:db8::/32"), "2001:db8::1", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:11.1.2.3", False),
        (("10.0.0.0/8",), "", False),
        (("10.0.0.0/8",), "unix:", False),
    ],
)
def test_where_a_key_may_come_from(networks: tuple[str, ...], address: str, may: bool) -> None:
    assert key_of(networks=networks).may_come_from(address) is may


@pytest.mark.parametrize(
    ("patterns", "names", "may"),
    [
        ((), ("anything",), True),
        (("gpt-image-2",), ("gpt-image-2",), True),
        (("GPT-Image-*",), ("gpt-image-2", "alias"), True),
        (("alias",), ("gpt-image-2", "alias"), True),
        (("flux-*",), ("gpt-image-2",), False),
        (("flux-?",), ("flux-22",), False),
        (("vendor/*",), ("vendor/name:free",), True),
    ],
)
def test_which_models_a_key_may_use(patterns: tuple[str, ...], names: tuple[str, ...], may: bool) -> None:
    assert key_of(models=patterns).may_use(names) is may


async def test_projects(ring: KeyRing, database: SqliteDatabase) -> None:
    made = await make_project(database, Project("", "Third", prepaid=True))
    assert made.id.startswith("prj_")
    found = database.read(projects)
    assert DEFAULT in found
    assert made in found
