"""What a provider is: two verbs and a table.

    class Acme(TaskProvider):
        \"\"\"Acme Images, https://…  Answers by task id.\"\"\"
        name = "acme"
        MODELS = (ModelCard(…), …)
        async def start(self, ask: Ask, via: Channel) -> Done | Pending: ...
        async def check(self, task: Pending, via: Channel) -> Done | Pending: ...

A provider never sees who asked, what it costs them or in which dialect. It says what came, or raises an error of the
tree, whose class tells whether the call may be repeated elsewhere and whether it was possibly billed.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar, Literal

import msgspec

from pictura.core.capability import neutral
from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Rejected, Throttled
from pictura.core.model import ModelCard, Source
from pictura.core.picture import Bytes, Inline, data_url
from pictura.core.price import Usage
from pictura.core.request import Turn
from pictura.core.result import Piece
from pictura.core.size import AUTO, Size
from pictura.infra.http import Answer, Client, Request, Timeouts
from pictura.infra.payload import Part, Payload
from pictura.infra.spool import Spool

#: Of a generic card.
NOBODY = Source("nobody: a channel names this model, and no card describes it", "")


class AskPicture(msgspec.Struct, frozen=True):
    """An input: whole and sniffed bytes, already of a format that the card takes.

    `url`: where the vendor could fetch it itself, for vendors that take nothing else; "" where it could not. Bytes are
    to be preferred: they are what was checked.
    """

    source: Bytes
    media_type: str
    width: int
    height: int
    url: str = ""

    @property
    def format(self) -> str:
        """`png`, `jpeg`, …"""
        return self.media_type.partition("/")[2].partition("+")[0]

    @property
    def filename(self) -> str:
        return f"image.{self.format.replace('jpeg', 'jpg')}"

    @property
    def data_url(self) -> Inline:
        """As JSON has it."""
        return data_url(self.source, self.media_type)

    def part(self, name: str, filename: str = "") -> Part:
        """As a form has it."""
        return Part(name, self.source, filename=filename or self.filename, content_type=self.media_type)


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One call to make. Everything in it has passed the card: a provider translates, it does not judge.

    `native` the vendor's name of the model; `n` at most the card's `max_n`; `size` as `core.size.fit` left it (pixels,
    or aspect and tier, or AUTO); `turns` the conversation where prompt and images alone do not say it, for vendors that
    take conversations; `system` for providers that are `instructed`; `params` canonical options and listed vendor
    options; `output_format` "" leaves the vendor its default; `client_id` unique to this attempt, for vendors that
    refuse duplicates; `repeated`: an earlier call under it was lost, and may be at work.
    """

    card: ModelCard
    native: str
    operation: Literal["generate", "edit"] = "generate"
    prompt: str = ""
    images: tuple[AskPicture, ...] = ()
    mask: AskPicture | None = None
    turns: tuple[Turn, ...] = ()
    system: str = ""
    n: int = 1
    size: Size = AUTO
    params: Mapping[str, object] = {}
    output_format: str = ""
    output_compression: int | None = None
    partial_images: int = 0
    client_id: str = ""
    repeated: bool = False

    def options(self, names: Mapping[str, str] = {}) -> dict[str, object]:
        """Those of the card's options that were chosen; `names`: by our name the vendor's, where it has another."""
        return {
            names.get(name, name): value
            for name, value in self.params.items()
            if name in self.card.params and not neutral(value)
        }


class Raw(msgspec.Struct, kw_only=True):
    """One picture as it came: its bytes, or a URL under which it lies for a while."""

    spool: Spool | None = None
    url: str = ""
    flaw: str = ""
    revised_prompt: str = ""
    seed: int | None = None


class Done(msgspec.Struct, kw_only=True):
    """The vendor's answer. `cost` micro-USD where the vendor itself says what it took; `echo` what it really used.

    `pieces`, `thought_tokens`, `extras` as an ImageResult has them.
    """

    pictures: tuple[Raw, ...]
    usage: Usage | None = None
    texts: tuple[str, ...] = ()
    pieces: tuple[Piece, ...] = ()
    thought_tokens: int = 0
    extras: Mapping[str, object] = {}
    echo: Mapping[str, str] = {}
    cost: int | None = None


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """Accepted; ask again in `poll_after_s` seconds. Saved before the first `check`.

    `state` is the provider's own, but for `progress` in it: "0" to "100", which whoever waits is shown.
    """

    upstream_id: str
    poll_after_s: float = 2.0
    state: Mapping[str, str] = {}


class Preview(msgspec.Struct):
    """A partial picture on the way to the whole one."""

    index: int
    spool: Spool


class Channel(msgspec.Struct, kw_only=True):
    """One account at one provider: where it is and what opens it. Secrets are in clear here and nowhere else."""

    name: str
    base_url: str
    secrets: Mapping[str, str]
    http: Client
    timeouts: Timeouts = Timeouts()
    region: str = ""
    allow_private: bool = False
    #: The operator's own, which replace the provider's.
    headers: Mapping[str, str] = {}
    proxy: str = ""
    #: What `Provider.channel_options` lists, as far as it was set.
    options: Mapping[str, object] = {}

    @property
    def bearer(self) -> dict[str, str]:
        """The header that holds the key in most vendors' way; without a key there is none."""
        key = self.secrets.get("api_key")
        return {"Authorization": f"Bearer {key}"} if key else {}

    def option(self, name: str) -> str:
        """An option as text, "" where it is not set. Channels of earlier versions have it among their secrets."""
        return str(self.options.get(name) or self.secrets.get(name, ""))

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Payload | None = None,
        picture_keys: frozenset[str] = frozenset(),
    ) -> Answer:
        """One HTTP exchange with the provider; NotSent or Lost where there was no answer, whatever its status else."""
        return await self.http.send(self.request(method, path, headers=headers, body=body, picture_keys=picture_keys))

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Payload | None = None,
        picture_keys: frozenset[str] = frozenset(),
    ) -> Request:
        return Request(
            method=method,
            url=path if path.startswith(("https://", "http://")) else self.base_url.rstrip("/") + path,
            headers=self._with_own(headers or {}),
            body=body,
            timeouts=self.timeouts,
            picture_keys=picture_keys,
            allow_private=self.allow_private,
            proxy=self.proxy or None,
        )

    def _with_own(self, headers: Mapping[str, str]) -> dict[str, str]:
        own = {name.lower() for name in self.headers}
        return {**{name: value for name, value in headers.items() if name.lower() not in own}, **self.headers}

    def __repr__(self) -> str:
        return f"Channel({self.name!r}, {self.base_url!r}, secrets=***)"


class Provider(ABC):
    """Base of all providers; a subclass in this package, or behind an entry point `pictura.providers`, is found."""

    name: ClassVar[str]
    #: Where its API lives when a channel does not say otherwise.
    base_url: ClassVar[str] = ""
    #: Secret by secret, the environment variable under which the vendor's own SDK looks for it; of several, with spaces
    #: between them, the first that is set.
    env: ClassVar[Mapping[str, str]] = {}
    #: More of the kind that may be missing: of `channel_options` (`sub_app_id`), else secrets like the others.
    optional_env: ClassVar[Mapping[str, str]] = {}
    #: The variable that holds an address of one's own, for engines that live where somebody started them.
    base_url_env: ClassVar[str] = ""
    #: What else a channel may say of itself, and is no secret: `Channel.options` by name, and what each is.
    channel_options: ClassVar[Mapping[str, str]] = {}
    MODELS: ClassVar[tuple[ModelCard, ...]] = ()
    #: Other makers' models that are to be had here as well: by the id of their card, the id of the card that this
    #: provider has of it, which tells its name and price here; else its name alone, and it costs what its maker takes.
    SERVES: ClassVar[Mapping[str, str]] = {}
    #: What stands before a model's name on our cards alone, where its maker's card has that name; it is not sent.
    marker: ClassVar[str] = ""
    #: The vendor refuses a second call with the same client id, so a lost one may be repeated.
    dedupes: ClassVar[bool] = False
    #: Formats that it compresses as it is told (`Ask.output_compression`); in others the house does it.
    compresses: ClassVar[frozenset[str]] = frozenset()
    #: False while only the sandbox speaks for it.
    live: ClassVar[bool] = True
    #: Where the sandbox imitates it, below the sandbox's own address; "": nowhere, the plain simulator stands in.
    sandbox_path: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        natives = {card.id: card.native or card.id for card in cls.MODELS}
        cls.SERVES = {id: natives.get(here, here) for id, here in cls.SERVES.items()}

    @abstractmethod
    async def start(self, ask: Ask, via: Channel) -> Done | Pending:
        """Make the call."""

    def instructed(self, card: ModelCard, native: str) -> bool:
        """Has it a place of its own for what holds for a whole conversation? Else that begins the prompt."""
        return False

    def called(self, native: str) -> str:
        """A card's native id as it is sent."""
        return native.removeprefix(self.marker)

    def check_options(self, options: Mapping[str, object]) -> None:
        """Raises BadRequest for a channel's options that mean nothing here."""
        for name in options:
            if name not in self.channel_options:
                known = ", ".join(self.channel_options) or "none"
                raise BadRequest(f"{self.name} has no option {name[:60]!r}; it has {known}", param="options")

    def generic(self, model: str) -> ModelCard | None:
        """The card of a model that no card describes, where a channel names one; None: there is no such thing here."""
        return None


class TaskProvider(Provider):
    """A provider that answers with a task id."""

    @abstractmethod
    async def check(self, task: Pending, via: Channel) -> Done | Pending:
        """Ask how the task stands."""


class CancellingProvider(TaskProvider):
    """… and takes a task back."""

    @abstractmethod
    async def cancel(self, task: Pending, via: Channel) -> None:
        """Ask the vendor to stop; whether it does is seen by `check`."""


class StreamingProvider(Provider):
    """A provider that shows previews while it draws."""

    @abstractmethod
    def stream(self, ask: Ask, via: Channel) -> AsyncIterator[Preview | Done]:
        """Make the call; previews as they come, the Done last."""


#: Below 500, and yet nobody can say whether the work went on.
TIMED_OUT = frozenset({408, 499})


def error_from(status: int, message: str, code: str = "", retry_after_s: int | None = None) -> PicturaError:
    """The error of the tree for a vendor's HTTP error whose body could be read, where its code says nothing special.

    400 and 422 are the caller's; 401, 402, 403, 404 the operator's; 409, 429 pass; a 5xx with a vendor's own error in
    it was accepted and failed, and so was a 2xx. What timed out (Azure says 408, Google 499) may have been drawn.
    """
    if status in (400, 413, 422):
        return BadRequest(message)
    if status in TIMED_OUT:
        return Lost(message, upstream_status=status, upstream_code=code, retry_after_s=retry_after_s)
    if 300 <= status < 500:
        kind = Throttled if status == 429 else Rejected
        return kind(
            message,
            upstream_status=status,
            upstream_code=code,
            retry_after_s=retry_after_s,
            config=status in (401, 402, 403, 404),
        )
    return Failed(message, upstream_status=status, upstream_code=code, retry_after_s=retry_after_s)


def unreadable(answer: Answer) -> PicturaError:
    """The error for an answer in nobody's words, such as a proxy's page: nobody can vouch for a 5xx of this kind."""
    message = f"the provider answered {answer.status} without a readable error"
    if answer.status in (401, 402, 403, 404, 429):
        return error_from(answer.status, message, retry_after_s=retry_after(answer))
    if answer.status < 300:
        return Malformed(message, upstream_status=answer.status)
    if answer.status < 500 and answer.status not in TIMED_OUT:
        return Rejected(message, upstream_status=answer.status)
    return Lost(message, upstream_status=answer.status)


def retry_after(answer: Answer) -> int | None:
    """Seconds to rest, from `retry-after-ms` or `Retry-After` (seconds or a date); None where nothing was asked."""
    millis = answer.headers.get("retry-after-ms", "")
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", millis):
        return -(-int(float(millis)) // 1000)
    text = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", text):
        return int(float(text) + 0.999)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)  # "-0000" says that the zone is not known; HTTP dates are UTC
    return max(0, int((moment - datetime.now(UTC)).total_seconds()))
