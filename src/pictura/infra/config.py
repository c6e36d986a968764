"""Settings: one file (`pictura.toml`), a few environment variables, read once.

Every field is documented by the text below it; the settings page of the docs is generated from this file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pictura.core.errors import BadRequest
from pictura.core.model import Descriptor, Mode

Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]


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
    """One line per request on standard error: who, what (keys redacted), the status, how many milliseconds it took."""


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
    allow_private_network: bool | None = None
    """May `base_url` (and the picture URLs it answers with) point into a private network? Absent: for engines on one's
    own machine (`comfyui`, `vllm-omni`, …), yes; else no."""
    results: Literal["host", "relay"] = "host"
    """`host`: fetch and keep the pictures; `relay`: hand an upstream's own URL on as it is."""
    headers: Mapping[str, str] = {}
    """Headers sent with every call, in the place of the provider's own of the same name: `{"OpenAI-Organization" =
    "org-…"}`."""
    params: Mapping[str, object] = {}
    """Options set on every request, over the client's own: `{moderation = "low"}`."""
    options: Mapping[str, object] = {}
    """What its provider wants to know beside, and is no secret: see the [providers](providers.md#options)."""
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


class PriceRow(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, omit_defaults=True):
    """`rows` of a price: one line each"""

    amount: str
    """For one picture: `"0.133"`."""
    quality: str = ""
    """Only for this quality; empty: for any."""
    size: str = ""
    """Only for this size, in pixels (`"1024x1024"`) or as a tier (`"2K"`); empty: for any. A delivered size that is not
    listed costs what the nearest listed one costs."""


class TokenRow(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, omit_defaults=True):
    """`output_tokens` of a price: one line each"""

    tokens: Count
    """How many a picture takes."""
    quality: str = ""
    """Of this quality; empty: of any."""
    size: str = ""
    """Of this size, in pixels or as a tier; empty: of any."""


class ModelPrice(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, omit_defaults=True):
    """`price` of a `[[model]]`: amounts as text, in one of four ways: `per_picture`, `rows`, `first_megapixel` with
    `further_megapixel`, or `image_out` with the rest of the tokens"""

    per_picture: str = ""
    """For a picture, whatever its size: `"0.04"`."""
    rows: tuple[PriceRow, ...] = ()
    """For a picture by quality and size: `[{quality = "low", size = "1024x1024", amount = "0.011"}, …]`."""
    first_megapixel: str = ""
    """For the first megapixel (2^20 pixels) of a picture."""
    further_megapixel: str = ""
    """For each further megapixel that was begun; empty: as much as the first."""
    per_input: str = ""
    """For each picture sent, beside any of the three above."""
    image_out: str = ""
    """For a million tokens of drawn picture."""
    text_in: str = ""
    """For a million tokens of prompt."""
    cached_in: str = ""
    """For a million tokens of prompt that the vendor had read before; empty: as much as `text_in`."""
    image_in: str = ""
    """For a million tokens of pictures sent."""
    text_out: str = ""
    """For a million tokens of written answer."""
    output_tokens: tuple[TokenRow, ...] = ()
    """How many tokens a drawn picture takes, for what is held and where the vendor counts none: `[{quality = "low",
    size = "1024x1024", tokens = 272}, …]`; empty: as on the card this one starts from."""
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] = "USD"
    """What the amounts are in, three letters: `"CNY"`."""
    rate: str = ""
    """How many of `currency` one dollar is: `"7.10"`. Money is dollars in this house, so a price in another currency
    needs it; it is kept with the price."""
    rate_date: str = ""
    """When the rate was that: `"2026-11-20"`."""


class SizeWindow(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, omit_defaults=True):
    """`window` of a `[[model]]`: sizes in pixels that may be chosen freely; 0: no bound"""

    step: Annotated[int, Meta(ge=1, le=1024)] = 1
    """Both sides are multiples of it."""
    min_pixels: Count = 0
    """Width times height, at the least."""
    max_pixels: Count = 0
    """Width times height, at the most."""
    min_edge: Count = 0
    """The shorter side, at the least."""
    max_edge: Count = 0
    """The longer side, at the most."""
    max_ratio: Annotated[float, Meta(ge=0)] = 0
    """The longer side in terms of the shorter, at the most."""


class ModelInputs(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, omit_defaults=True):
    """`inputs` of a `[[model]]`: pictures it takes; what is not named stays as it is"""

    count: Annotated[int, Meta(ge=0, le=100)] | None = None
    """How many; 0: none."""
    formats: tuple[str, ...] | None = None
    """Their formats: `["png", "jpeg", "webp"]`."""
    max_bytes: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    """Bytes of each, at the most."""
    min_pixels: Count | None = None
    """Width times height of each, at the least; here and in the next four, 0: no bound."""
    max_pixels: Count | None = None
    """Width times height, at the most."""
    min_edge: Count | None = None
    """The shorter side, at the least."""
    max_edge: Count | None = None
    """The longer side, at the most."""
    max_ratio: Annotated[float, Meta(ge=0)] | None = None
    """The longer side in terms of the shorter, at the most; 1: squares only."""
    required: bool | None = None
    """true: it draws nothing without them."""
    least: Annotated[int, Meta(ge=1, le=100)] | None = None
    """How many it needs, where they are required."""


class ModelParts(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, omit_defaults=True):
    """What an operator says of a model: parts of a card. What is not named stays as on the card it starts from."""

    base: str = ""
    """The model whose card this one starts from; empty: the one of this id, else its provider's card for models that
    nobody described."""
    provider: str = ""
    """Whose wire format it speaks; empty: that of the card it starts from."""
    native: str = ""
    """What the vendor calls it: a model's name, a version, an endpoint of yours. Of a new model empty: as its base."""
    aliases: tuple[str, ...] | None = None
    """Other names by which clients may call it."""
    status: Literal["live", "deprecated", "retired"] | None = None
    """`retired`: live keys are told to use its successor, test keys still draw it."""
    ends: str | None = None
    """The day on which its vendor switches it off: `"2026-12-01"`."""
    successor: str | None = None
    """The model to use instead."""
    released: str | None = None
    """The day of its release."""
    modes: tuple[Mode, ...] | None = None
    """What it does: `["generate", "edit", "inpaint"]`."""
    prompt: Literal["required", "optional", "none"] | None = None
    """Does it take a text?"""
    max_prompt_chars: Annotated[int, Meta(ge=1)] | None = None
    """Characters of a prompt, at the most."""
    sizes: tuple[str, ...] | None = None
    """What may be asked for: pixels (`["1024x1024", "1536x1024"]`), or aspects and tiers (`["1:1", "16:9", "1K"]`);
    with a `window`, those that are recommended. `[]`: its size cannot be chosen."""
    window: SizeWindow | None = None
    """Sizes in pixels that may be chosen freely: `{step = 16, max_edge = 2048}`."""
    default_size: str = ""
    """One of `sizes`, asked for where a client names none; empty: that is left to the vendor, where it can be."""
    max_n: Annotated[int, Meta(ge=1, le=100)] | None = None
    """Pictures of one call to the vendor."""
    fan_out: bool | None = None
    """May more pictures be had by several calls?"""
    inputs: ModelInputs | None = None
    """Pictures it takes: `{count = 4, max_bytes = 10000000}`."""
    mask: bool | None = None
    """Does it take a mask?"""
    outputs: tuple[str, ...] | None = None
    """Formats the vendor can be asked for, its default first."""
    transparent: bool | None = None
    """Can it draw a transparent background?"""
    previews: bool | None = None
    """Does it show partial pictures while it draws?"""
    params: Mapping[str, Descriptor | bool] = {}
    """Options by name, added to those it has: `seed = {type = "range", min = 0, max = 999}`, `style = {type = "enum",
    values = ["oil", "ink"]}`, `raw = {type = "boolean"}`, `note = {type = "text"}`; `true`: any value is passed on;
    `false`: it takes no such option."""
    price: ModelPrice | None = None
    """What it costs: `{per_picture = "0.04"}`."""
    price_source: str = ""
    """Where the price is from: your contract, a page and its date."""
    notes: str | None = None
    """What a reader should know."""


class ModelSettings(ModelParts, forbid_unknown_fields=True, frozen=True, kw_only=True, omit_defaults=True):
    """`[[model]]`: a model of yours, or parts of one that is here already"""

    id: str
    """The public name: of a card that is here already, whose parts are then overridden, or of a new one."""


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
    model: tuple[ModelSettings, ...] = ()


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
    if twice := _twice([channel.name for channel in settings.channel]):
        raise BadRequest(f"{path}: two channels are called {twice!r}; a channel's name is its own")
    if twice := _twice([model.id.lower() for model in settings.model]):
        raise BadRequest(f"{path}: there are two [[model]] of the id {twice!r}; say all of it in one")
    return settings


def _twice(names: Sequence[str]) -> str:
    """A name that is not alone; "" where all are."""
    return next((name for name in names if names.count(name) > 1), "")


def environment() -> Environment:
    return Environment(dict(os.environ))


def _host_and_port(entry: str) -> tuple[str, int]:
    host, _, port = entry.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise BadRequest(f"PICTURA_FETCH_ALLOW: {entry!r} is not host:port (to 65535), e.g. 127.0.0.1:8080")
    return host.strip("[]"), int(port)
