"""Channels: accounts at providers. From the environment, the file and the console; the last named wins."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

import msgspec

from pictura.core.errors import BadRequest, HouseError, NotFound
from pictura.core.money import usd
from pictura.infra.config import ChannelSettings
from pictura.infra.crypto import Vault
from pictura.infra.db import Database, Tx
from pictura.infra.dial import is_loopback

log = logging.getLogger("pictura.channels")

#: How the sandbox's channels are called.
SANDBOX_PREFIX = "sandbox-"

Origin = Literal["environment", "file", "console", "sandbox"]


class ChannelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as the house uses it, secrets in clear: never print one, never put one into an error.

    `models`: public name → native name ("" = the same); None: all of its provider's.
    """

    name: str
    provider: str
    base_url: str
    secrets: Mapping[str, str]
    models: Mapping[str, str] | None = None
    weight: int = 1
    priority: int = 0
    max_concurrency: int = 0
    region: str = ""
    allow_private: bool = False
    relay: bool = False
    headers: Mapping[str, str] = {}
    params: Mapping[str, object] = {}
    options: Mapping[str, object] = {}
    proxy: str = ""
    price_per_picture: int | None = None
    timeout_s: float = 600
    enabled: bool = True
    origin: Origin = "file"

    def __repr__(self) -> str:
        return f"ChannelRecord({self.name!r}, {self.provider!r}, {self.base_url!r}, secrets=***)"

    @property
    def sandbox(self) -> bool:
        return self.origin == "sandbox"


def from_settings(
    settings: ChannelSettings, base_url: str, variables: Mapping[str, str], origin: Origin
) -> ChannelRecord:
    """The record of a `[[channel]]`; `base_url` is its provider's own. Raises BadRequest where its key is missing."""
    if settings.name.startswith(SANDBOX_PREFIX):
        raise BadRequest(f"channel {settings.name!r}: names that begin with {SANDBOX_PREFIX} are the house's own")
    allowed = settings.allow_private_network
    return ChannelRecord(
        name=settings.name,
        provider=settings.provider,
        base_url=settings.base_url or base_url,
        secrets=_secrets(settings, variables),
        models=_models(settings.models),
        weight=settings.weight,
        priority=settings.priority,
        max_concurrency=settings.max_concurrency,
        region=settings.region,
        allow_private=is_loopback(base_url) if allowed is None else allowed,
        relay=settings.results == "relay",
        headers=settings.headers,
        params=settings.params,
        options=settings.options,
        proxy=settings.proxy,
        price_per_picture=_price(settings),
        timeout_s=settings.timeout_s,
        enabled=settings.enabled,
        origin=origin,
    )


class _Sealed(msgspec.Struct, frozen=True):
    """What of a channel may be secret: a header can be a key, and a proxy's address can hold a password."""

    secrets: Mapping[str, str]
    headers: Mapping[str, str] = {}
    proxy: str = ""


class ChannelBook:
    """All channels by name, in memory; the console's are in the table as well, their secrets sealed."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._fixed: dict[str, ChannelRecord] = {}
        self._stored: dict[str, ChannelRecord] = {}
        self._all: tuple[ChannelRecord, ...] = ()

    def add(self, record: ChannelRecord) -> None:
        """A channel of the environment, the file or the sandbox: it lives as long as this process."""
        self._fixed[record.name] = record
        self._renew()

    def load(self, base_urls: Mapping[str, str]) -> None:
        """Read the console's channels anew. `base_urls`: each provider's own address."""
        rows = self._database.read(lambda tx: tx.all("SELECT settings, sealed FROM channels"))
        self._stored = {}
        for settings_text, sealed in rows:
            settings = msgspec.json.decode(settings_text, type=ChannelSettings)
            try:
                kept = msgspec.json.decode(self._vault.unseal(sealed), type=_Sealed)
            except HouseError as error:
                # One lost key must not keep the others from working.
                log.error("channel %s is left out: %s", settings.name, error.message)
                continue
            whole = msgspec.structs.replace(settings, secrets=kept.secrets, headers=kept.headers, proxy=kept.proxy)
            record = from_settings(whole, base_urls.get(settings.provider, ""), {}, "console")
            self._stored[record.name] = record
        self._renew()

    def all(self) -> tuple[ChannelRecord, ...]:
        """The same tuple until something changes."""
        return self._all

    def get(self, name: str) -> ChannelRecord:
        found = self._stored.get(name) or self._fixed.get(name)
        if found is None:
            raise NotFound(f"there is no channel {name!r}")
        return found

    async def store(self, settings: ChannelSettings, base_urls: Mapping[str, str]) -> None:
        """Keep a channel made in the console; one of the same name is replaced."""
        kept = _Sealed(_secrets(settings, {}), settings.headers, settings.proxy)
        sealed = self._vault.seal(msgspec.json.encode(kept).decode())
        bare = msgspec.structs.replace(settings, api_key="", secrets={}, headers={}, proxy="")
        text = msgspec.json.encode(bare).decode()
        await self._database.write(lambda tx: _replace(tx, settings.name, text, sealed))
        self.load(base_urls)

    async def remove(self, name: str) -> None:
        if name not in self._stored:
            raise NotFound(
                f"there is no channel {name!r} made in the console; others live in pictura.toml or the environment"
            )
        await self._database.write(lambda tx: tx.run("DELETE FROM channels WHERE name = ?", (name,)))
        del self._stored[name]
        self._renew()

    def _renew(self) -> None:
        self._all = tuple({**self._fixed, **self._stored}.values())


def _replace(tx: Tx, name: str, settings: str, sealed: str) -> None:
    tx.run("DELETE FROM channels WHERE name = ?", (name,))
    tx.run(
        "INSERT INTO channels (name, settings, sealed, created_ms) VALUES (?, ?, ?, ?)",
        (name, settings, sealed, tx.now_ms()),
    )


def _models(listed: tuple[str, ...] | Mapping[str, str] | None) -> Mapping[str, str] | None:
    if listed is None or isinstance(listed, Mapping):
        return listed
    return dict.fromkeys(listed, "")


def _price(settings: ChannelSettings) -> int | None:
    if settings.price is None or not settings.price.per_picture:
        return None
    price = usd(settings.price.per_picture)
    if price < 0:
        raise BadRequest(f"channel {settings.name!r}: price.per_picture is below zero")
    return price


def _secrets(settings: ChannelSettings, variables: Mapping[str, str]) -> dict[str, str]:
    key = settings.api_key or variables.get(settings.api_key_env, "")
    if settings.api_key_env and not key and settings.enabled:
        raise BadRequest(
            f"channel {settings.name!r}: the environment variable {settings.api_key_env} is not set; set it, or "
            "disable the channel"
        )
    return {**settings.secrets, **({"api_key": key} if key else {})}
