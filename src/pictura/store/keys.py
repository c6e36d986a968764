"""Projects and their keys: who may ask, for whose money.

A key is stored as a hash; the one who made it saw it once. Lookups are answered from memory: the keys of one house are
few, and every request needs one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from pictura.core import ids
from pictura.core.errors import BadRequest, NotFound, Unauthorized
from pictura.infra.crypto import Vault, new_key
from pictura.infra.db import Database, Row, Tx

Kind = Literal["live", "test"]
Scope = Literal["draw", "admin"]
Period = Literal["", "day", "week", "month"]

PREFIX = {"live": "sk-pic-", "test": "sk-test-"}


class Project(msgspec.Struct, frozen=True):
    """Whoever pays. Prepaid: holds must fit into the balance; postpaid: nothing is refused for money."""

    id: str
    name: str
    prepaid: bool = False


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What a key may do. `cap` micro-USD per `cap_period` ("" = ever); 0 in a limit means: none."""

    id: str
    project: Project
    name: str
    hint: str = ""
    kind: Kind = "live"
    scopes: tuple[Scope, ...] = ("draw",)
    dialect: str = ""
    models: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    requests_per_minute: int = 0
    concurrency: int = 0
    cap: int | None = None
    cap_period: Period = ""
    created_ms: int = 0
    expires_ms: int | None = None
    disabled_ms: int | None = None

    def may_use(self, names: Sequence[str]) -> bool:
        """Is one of a model's names on this key's list (patterns such as `gpt-image-*` allowed)?"""
        if not self.models:
            return True
        patterns = [pattern.lower() for pattern in self.models]
        return any(fnmatchcase(name.lower(), pattern) for name in names for pattern in patterns)

    def may_come_from(self, address: str) -> bool:
        if not self.networks:
            return True
        try:
            here = ipaddress.ip_address(address)
        except ValueError:
            return False
        # A socket that listens on IPv6 calls an IPv4 caller ::ffff:203.0.113.7.
        here = getattr(here, "ipv4_mapped", None) or here
        return any(here in ipaddress.ip_network(network, strict=False) for network in self.networks)


class KeyRing:
    """All keys, in memory by their hash, and the table behind them."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._by_hash: dict[str, Key] = {}
        self._by_text: dict[str, Key] = {}

    def load(self) -> None:
        """Read all keys anew."""
        rows = self._database.read(lambda tx: tx.all(_SELECT))
        self._by_hash = {row[0]: _key(row[1:]) for row in rows}
        self._by_text.clear()

    def find(self, text: str, now_ms: int) -> Key:
        """The key that `text` is. Raises Unauthorized, without saying how near to one it was."""
        key = self._by_text.get(text) or self._remember(text)
        if key is None:
            raise Unauthorized("this API key is not known here; check it, or ask whoever runs this Pictura for one")
        if key.disabled_ms is not None:
            raise Unauthorized("this API key is disabled; ask whoever runs this Pictura to enable it, or for a new one")
        if key.expires_ms is not None and key.expires_ms <= now_ms:
            raise Unauthorized("this API key has expired; ask whoever runs this Pictura for a new one")
        return key

    def all(self) -> list[Key]:
        return sorted(self._by_hash.values(), key=lambda key: key.created_ms)

    def by_id(self, key_id: str) -> Key:
        for key in self._by_hash.values():
            if key.id == key_id:
                return key
        raise NotFound(f"there is no key {key_id!r}")

    async def make(self, key: Key, text: str = "") -> tuple[Key, str]:
        """Store `key` (its id is chosen here) for `text`, or for a fresh text. Gives the text once."""
        text = text or new_key(PREFIX[key.kind])
        _check(key, text)
        made = msgspec.structs.replace(key, id=ids.new("key"), hint=_hint(text))
        hashed = self._vault.hash_key(text)
        if hashed in self._by_hash:
            raise BadRequest("this key exists already")
        await self._database.write(lambda tx: _insert(tx, made, hashed))
        self.load()
        return self.by_id(made.id), text

    async def change(self, key: Key) -> None:
        """Store what has changed of `key`."""
        _check(key, "x" * 16)
        await self._database.write(lambda tx: _update(tx, key))
        self.load()

    async def disable(self, key_id: str) -> None:
        self.by_id(key_id)
        await self._database.write(
            lambda tx: tx.run("UPDATE keys SET disabled_ms = ? WHERE id = ?", (tx.now_ms(), key_id))
        )
        self.load()

    def _remember(self, text: str) -> Key | None:
        key = self._by_hash.get(self._vault.hash_key(text))
        if key is not None:
            self._by_text[text] = key
        return key


async def make_project(database: Database, project: Project) -> Project:
    made = msgspec.structs.replace(project, id=project.id or ids.new("prj"))
    await database.write(
        lambda tx: tx.run(
            "INSERT INTO projects (id, name, prepaid, created_ms) VALUES (?, ?, ?, ?)",
            (made.id, made.name, made.prepaid, tx.now_ms()),
        )
    )
    return made


def projects(tx: Tx) -> list[Project]:
    return [
        Project(row[0], row[1], bool(row[2])) for row in tx.all("SELECT id, name, prepaid FROM projects ORDER BY id")
    ]


def _check(key: Key, text: str) -> None:
    if len(text) < 8 or not text.isascii() or not text.isprintable() or " " in text:
        raise BadRequest("a key is at least 8 printable ASCII characters without blanks")
    check_networks(key.networks)


def check_networks(networks: Sequence[str]) -> None:
    """Raises BadRequest naming the entry that is no network."""
    for network in networks:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise BadRequest(f"{network!r} is not an address or network; write 203.0.113.7 or 10.0.0.0/8") from None


def _hint(text: str) -> str:
    """Enough to recognise a key by, not enough to use it."""
    return f"{text[:7]}…{text[-4:]}" if len(text) >= 24 else "…"


_COLUMNS = (
    "id, project_id, name, hint, kind, scopes, dialect, models, networks, requests_per_minute, concurrency, cap, "
    "cap_period, created_ms, expires_ms, disabled_ms"
)
_SELECT = f"""
    SELECT k.hash, p.id, p.name, p.prepaid, {", ".join("k." + name for name in _COLUMNS.split(", "))}
    FROM keys k JOIN projects p ON p.id = k.project_id
"""


def _key(row: Row) -> Key:
    return Key(
        project=Project(row[0], row[1], bool(row[2])),
        id=row[3],
        name=row[5],
        hint=row[6],
        kind=row[7],
        scopes=msgspec.json.decode(row[8], type=tuple[Scope, ...]),
        dialect=row[9],
        models=msgspec.json.decode(row[10], type=tuple[str, ...]),
        networks=msgspec.json.decode(row[11], type=tuple[str, ...]),
        requests_per_minute=row[12],
        concurrency=row[13],
        cap=row[14],
        cap_period=row[15],
        created_ms=row[16],
        expires_ms=row[17],
        disabled_ms=row[18],
    )


def _values(key: Key) -> dict[str, object]:
    return {
        "project_id": key.project.id,
        "name": key.name,
        "hint": key.hint,
        "kind": key.kind,
        "scopes": _text(key.scopes),
        "dialect": key.dialect,
        "models": _text(key.models),
        "networks": _text(key.networks),
        "requests_per_minute": key.requests_per_minute,
        "concurrency": key.concurrency,
        "cap": key.cap,
        "cap_period": key.cap_period,
        "expires_ms": key.expires_ms,
        "disabled_ms": key.disabled_ms,
    }


def _insert(tx: Tx, key: Key, hashed: str) -> int:
    values = {"id": key.id, "hash": hashed, "created_ms": key.created_ms or tx.now_ms(), **_values(key)}
    return tx.run(
        f"INSERT INTO keys ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", tuple(values.values())
    )


def _update(tx: Tx, key: Key) -> None:
    values = _values(key)
    tx.run(f"UPDATE keys SET {', '.join(f'{name} = ?' for name in values)} WHERE id = ?", (*values.values(), key.id))
    # Holds of a key without a cap were not counted: its first cap begins with those of the jobs on their way.
    tx.run(
        "UPDATE keys SET cap_held = (SELECT coalesce(sum(hold), 0) FROM jobs WHERE jobs.project_id = keys.project_id "
        "AND key_id = keys.id AND (finished_ms IS NULL OR state = 'uncertain')) WHERE id = ?",
        (key.id,),
    )


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
