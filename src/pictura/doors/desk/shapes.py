"""What goes over the wire of the admin API, in both directions; the CLI reads it with the same types.

Money is text in dollars (`"12.50"`), exact as no float is. Times are RFC 3339.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pictura.core.datasheet import Example, Parameter, Rate
from pictura.core.model import Mode, Source
from pictura.core.money import Currency
from pictura.infra.config import ModelParts
from pictura.store.catalog import Origin
from pictura.store.keys import Kind, Period, Scope

T = TypeVar("T")

Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Label = Annotated[str, Meta(min_length=1, max_length=200)]
Moment = Annotated[datetime, Meta(tz=True)]
Level = Literal["ok", "warning", "error"]


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request that says nothing beside its path."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    data: list[T]


class OfProject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`project` "": all."""

    project: str = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    before: str = ""


class Newest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`filter`: a part of a name, in any case; `name`: a whole one, also an operator's alias."""

    filter: str = ""
    name: str = ""


# -- keys --


class KeyShown(msgspec.Struct, frozen=True, kw_only=True):
    """A key, without its text. `spent` and `requests` since it was made, `cap_spent` in the present period."""

    id: str
    project: str
    name: str
    hint: str
    kind: Kind
    scopes: tuple[Scope, ...]
    dialect: str
    models: tuple[str, ...]
    networks: tuple[str, ...]
    requests_per_minute: int
    concurrency: int
    cap: str | None
    cap_period: Period
    cap_spent: str
    spent: str
    requests: int
    created: datetime
    expires: datetime | None
    disabled: datetime | None


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`text`: a key that somebody has already, to be taken over as it is; "": a fresh one. 0 in a limit: none."""

    name: Label
    project: str = "default"
    text: str = ""
    kind: Kind = "live"
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)] = ("draw",)
    dialect: str = ""
    models: tuple[Label, ...] = ()
    networks: tuple[str, ...] = ()
    requests_per_minute: Count = 0
    concurrency: Count = 0
    cap: str | None = None
    cap_period: Period = ""
    expires: Moment | None = None


class MadeKey(msgspec.Struct, frozen=True):
    """`text` is the key itself: it is shown this once."""

    text: str
    key: KeyShown


class KeyChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is not named stays as it is."""

    name: Label | UnsetType = UNSET
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)] | UnsetType = UNSET
    dialect: str | UnsetType = UNSET
    models: tuple[Label, ...] | UnsetType = UNSET
    networks: tuple[str, ...] | UnsetType = UNSET
    requests_per_minute: Count | UnsetType = UNSET
    concurrency: Count | UnsetType = UNSET
    cap: str | UnsetType | None = UNSET
    cap_period: Period | UnsetType = UNSET
    expires: Moment | UnsetType | None = UNSET


# -- projects and their money --


class NewProject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`id` "": one is made."""

    name: Label
    prepaid: bool = False
    id: str = ""


class ProjectShown(msgspec.Struct, frozen=True):
    id: str
    name: str
    prepaid: bool
    balance: str
    held: str


class EntryShown(msgspec.Struct, frozen=True):
    """A line of the ledger; `amount` is positive into the account."""

    id: int
    at: datetime
    kind: str
    amount: str
    key: str
    job: str
    note: str


class Balance(msgspec.Struct, frozen=True):
    """`available` None: postpaid, no limit. `entries` are the newest."""

    project: ProjectShown
    available: str | None
    spent: str
    deposited: str
    entries: list[EntryShown]


class Deposit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`reference`: yours; what comes a second time under the same one is not entered again."""

    amount: str
    project: str = "default"
    note: Annotated[str, Meta(max_length=500)] = ""
    reference: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:/-]{0,100}$")] = ""


# -- channels and models --


class Rest(msgspec.Struct, frozen=True):
    """Why a channel is not asked for a model just now, and for how many seconds."""

    model: str
    seconds: int
    why: str


class ChannelShown(msgspec.Struct, frozen=True, kw_only=True):
    """A channel, without its secrets: of `secrets` and `headers` the names. `models` None: all of its provider's."""

    name: str
    provider: str
    origin: str
    base_url: str
    secrets: tuple[str, ...]
    models: dict[str, str] | None
    weight: int
    priority: int
    max_concurrency: int
    region: str
    allow_private_network: bool
    results: str
    headers: tuple[str, ...]
    params: dict[str, object]
    options: dict[str, object]
    proxied: bool
    price_per_picture: str | None
    timeout_s: float
    enabled: bool
    resting: list[Rest]


class NewModel(ModelParts, forbid_unknown_fields=True, frozen=True, kw_only=True, omit_defaults=True):
    """`replace`: parts of a model that is here already, too; what the console said of it before goes."""

    replace: bool = False


class Native(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a provider is told to draw with when it is asked for a model; `channel`: on that one alone."""

    provider: str
    id: str
    channel: str = ""


class ModelShown(msgspec.Struct, frozen=True, kw_only=True):
    """A model: what a request may hold (`supported_parameters`) and must (`required_parameters`: of each group one
    field), what is billed (`pricing`; None: nobody knows), what a picture comes to (`examples`, where tokens or
    megapixels are billed), and where it all is from. `overridden`: it is built in, and `origin` says parts of it
    otherwise. `available`: the key that asks can draw it; `live`: so can live keys. The names of their `channels`, and
    what the console says of the model (`own`), are shown to administrators.
    """

    id: str
    provider: str
    aliases: tuple[str, ...]
    natives: list[Native]
    status: Literal["live", "deprecated", "retired"]
    ends: str
    successor: str
    released: str
    modes: tuple[Mode, ...]
    required_parameters: tuple[tuple[str, ...], ...]
    supported_parameters: dict[str, Parameter]
    pictures_per_call: int
    pricing: list[Rate] | None
    examples: list[Example]
    currency: Currency | None
    price_source: Source | None
    source: Source
    notes: str
    origin: Origin
    overridden: bool
    available: bool
    live: bool
    channels: list[str]
    own: ModelParts | None


# -- jobs --


class AttemptShown(msgspec.Struct, frozen=True):
    """One call to one channel; `part` counts the calls into which a job was split."""

    number: int
    part: int
    channel: str
    state: str
    error: str | None


class PictureShown(msgspec.Struct, frozen=True):
    url: str
    media_type: str
    width: int
    height: int
    bytes: int


class Failure(msgspec.Struct, frozen=True):
    """`kind`: the class of the error."""

    kind: str
    message: str
    possibly_billed: bool


class JobShown(msgspec.Struct, frozen=True, kw_only=True):
    """`cost` None: still unknown, or for good. `hold`: what was set aside for it."""

    id: str
    project: str
    key: str
    dialect: str
    model: str
    operation: str
    prompt: str
    size: str
    n: int
    state: str
    sandbox: bool
    hold: str
    cost: str | None
    created: datetime
    finished: datetime | None
    attempts: list[AttemptShown]
    pictures: list[PictureShown]
    error: Failure | None


class Cancelled(msgspec.Struct, frozen=True):
    """False: it was sent already, so it is finished and its pictures are kept."""

    cancelled: bool


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of an uncertain job's hold."""

    outcome: Literal["charge", "release"]


# -- the house --


class Notice(msgspec.Struct, frozen=True):
    """Who (a key's id, or the house) did what to what."""

    at: datetime
    actor: str
    action: str
    subject: str
    detail: str


class Check(msgspec.Struct, frozen=True):
    """`said`: what was found; `advice`: what to do about it, "" where nothing is."""

    name: str
    level: Level
    said: str
    advice: str = ""


class Report(msgspec.Struct, frozen=True):
    version: str
    checks: list[Check]

    @property
    def well(self) -> bool:
        return all(check.level != "error" for check in self.checks)


# -- the live smoke test --


class Channels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`names`: of channels or providers, with commas between them; "": every channel that is enabled."""

    names: str = ""


class Trial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The picture that a live test would draw; `cost` at the most, None where nobody knows. `why` there is none."""

    channel: str
    provider: str
    model: str = ""
    size: str = ""
    quality: str = ""
    cost: str | None = None
    why: str = ""


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: a picture, and what it did cost (None: nobody knows); or an error, and what to do about it."""

    channel: str
    model: str
    job: str
    seconds: float
    media_type: str
    width: int
    height: int
    bytes: int
    cost: str | None
    error: Failure | None
    advice: str
