"""Settings: one file (`pictura.toml`), a few environment variables, read once.

Every field is documented by the text below it; the settings page of the docs is generated from this file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from pictura.core.errors import BadRequest


class ServerSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`[server]`"""

    public_url: str = ""
    """The address under which clients reach this house, e.g. `https://img.example.com`; picture URLs begin with it.
    Empty: the request's own Host."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) whose `X-Forwarded-For`, `-Proto` and `-Host` headers are believed."""
    hosts: Mapping[str, str] = {}
    """Further Host names and the dialect they speak: `"images.example.com" = "imagerouter"`."""
    transfers: int = 32
    """Bodies in transfer at once; waiting requests are not counted."""
    body_idle_s: float = 30
    """Seconds of silence after which a body that is being sent is given up."""
    body_slowest: int = 4096
    """Bytes per second that a body must bring on average, once `body_idle_s` have passed."""
    access_log: bool = False
    """One line per request on standard error, keys redacted."""


class DatabaseSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`[database]`"""

    url: str = ""
    """`sqlite:///path/to/file`; empty: `pictura.db` in the data folder."""


class StorageSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`[storage]`"""

    url: str = ""
    """`file:///path/to/folder`; empty: `blobs` in the data folder."""
    url_ttl_hours: float = 24
    """Hours for which a picture's URL works."""
    keep_days: float = 30
    """Days for which a picture is kept; 0 keeps it forever."""


class JobSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`[jobs]`"""

    on_lost: Literal["fail_and_release", "hold_for_operator", "resend"] = "fail_and_release"
    """What happens to a request that was sent and never answered: give the money back, keep it until an operator
    decides, or send it again (the vendor may then be paid twice)."""
    timeout_s: float = 900
    """Seconds after which a job that still waits for its provider expires."""


class ChannelPrice(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`price` of a channel"""

    per_picture: str = ""
    """Dollars for one picture, as text: `"0.04"`."""


class ChannelSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """`[[channel]]`: one account at one provider"""

    name: str
    """Your name for it; unique."""
    provider: str
    """Which provider's wire format it speaks: `openai`, …; see the providers page."""
    api_key: str = ""
    """The key, in clear. Better: `api_key_env`."""
    api_key_env: str = ""
    """Name of the environment variable that holds the key."""
    secrets: Mapping[str, str] = {}
    """Further secrets by name, for providers that need several (`access_key`, `secret_key`)."""
    base_url: str = ""
    """Where its API lives; empty: the vendor's own address."""
    models: tuple[str, ...] | Mapping[str, str] | None = None
    """Models this channel serves: a list of names, or `{our name = native name}`; absent: all of its provider's."""
    weight: int = 1
    """Share of requests among channels of one priority."""
    priority: int = 0
    """Lower numbers are asked first."""
    max_concurrency: int = 0
    """Calls at once; 0: no limit."""
    region: str = ""
    """`Mainland`, `Oversea` or `OverseaUSWest`: preferred when a request names its region."""
    allow_private_network: bool = False
    """May `base_url` (and the picture URLs it answers with) point into a private network?"""
    results: Literal["host", "relay"] = "host"
    """`host`: fetch and keep the pictures; `relay`: hand an upstream's own URL on as it is."""
    headers: Mapping[str, str] = {}
    """Headers sent with every call, in the place of the provider's own of the same name: `{"OpenAI-Organization" =
    "org-…"}`."""
    params: Mapping[str, object] = {}
    """Options set on every request, over the client's own: `{moderation = "low"}`."""
    proxy: str = ""
    """The egress proxy for its calls: `http://proxy.example.com:3128`."""
    price: ChannelPrice | None = None
    """What this account pays, where it is not the card's price: `{per_picture = "0.04"}`."""
    timeout_s: float = 600
    """Seconds of silence after which a call is given up as lost."""
    enabled: bool = True
    """false: kept, not asked."""

    def __repr__(self) -> str:
        return f"ChannelSettings({self.name!r}, {self.provider!r}, secrets=***)"


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The whole file."""

    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    storage: StorageSettings = StorageSettings()
    jobs: JobSettings = JobSettings()
    dialects: Mapping[str, Mapping[str, object]] = {}
    """What can be chosen of a dialect, under its name: `[dialects.mixroute]`; see the dialects page."""
    aliases: Mapping[str, str] = {}
    """Your own names for models: `"my-model" = "gpt-image-2"`."""
    channel: tuple[ChannelSettings, ...] = ()


class Environment(msgspec.Struct, frozen=True):
    """The environment, read once at start; `variables` is the whole of it, for `api_key_env` and providers' names."""

    variables: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return "Environment(***)"

    @property
    def admin_key(self) -> str:
        """PICTURA_ADMIN_KEY: becomes the first admin key."""
        return self.variables.get("PICTURA_ADMIN_KEY", "")

    @property
    def test_key(self) -> str:
        """PICTURA_TEST_KEY: becomes the first test key."""
        return self.variables.get("PICTURA_TEST_KEY", "")

    @property
    def secret(self) -> str:
        """PICTURA_SECRET: seals channel keys and signs URLs; replicas share it."""
        return self.variables.get("PICTURA_SECRET", "")

    @property
    def fetch_allow(self) -> frozenset[tuple[str, int]]:
        """PICTURA_FETCH_ALLOW: comma-separated `host:port` that the fetcher may reach in private networks."""
        entries = filter(None, (entry.strip() for entry in self.variables.get("PICTURA_FETCH_ALLOW", "").split(",")))
        return frozenset(_host_and_port(entry) for entry in entries)


def load(path: Path | None) -> Settings:
    """The settings of `path`; the defaults where there is none. Raises BadRequest naming file, place and mistake."""
    if path is None:
        return Settings()
    try:
        settings = msgspec.convert(tomllib.loads(path.read_text()), Settings)
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path} is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise BadRequest(f"{path}: {error}") from None
    names = [channel.name for channel in settings.channel]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise BadRequest(f"{path}: two channels are called {twice!r}; a channel's name is its own")
    return settings


def environment() -> Environment:
    return Environment(dict(os.environ))


def _host_and_port(entry: str) -> tuple[str, int]:
    host, _, port = entry.rpartition(":")
    if not host or not port.isdigit():
        raise BadRequest(f"PICTURA_FETCH_ALLOW: {entry!r} is not host:port, e.g. 127.0.0.1:8080")
    return host.strip("[]"), int(port)
