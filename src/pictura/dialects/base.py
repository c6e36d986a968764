"""What a dialect is: routes, defaults, the answer's envelope and the error's. Pure: bytes and fields in, words out.

Every dialect decodes the union of all request fields (`dialects.union`); `Habits` says what is peculiar to one. A
dialect never decides what a model takes, who pays or who is asked.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from pictura.core import datasheet
from pictura.core.errors import BadRequest, InsufficientBalance, PicturaError, TooLate
from pictura.core.job import JobState
from pictura.core.model import ModelCard
from pictura.core.picture import Inline
from pictura.core.request import Body, Delivery, ImageRequest
from pictura.core.result import Delivered, ImageResult
from pictura.core.views import Call, JobView


class Reply(msgspec.Struct, frozen=True):
    """An answer. `body` is anything JSON can hold, with `Inline` where a picture's base64 goes, or ready bytes."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = {}
    media_type: str = "application/json"


class Event(msgspec.Struct, frozen=True):
    """One server-sent event: its name ("" for none) and the JSON of its data."""

    name: str
    data: object


class Hands(Protocol):
    """How a dialect reaches a delivered picture without touching it."""

    def url(self, picture: Delivered) -> str:
        """Its signed URL, made now."""
        ...

    def base64(self, picture: Delivered) -> Inline:
        """Its bytes, to be written as base64 where this stands."""
        ...


class Verb(Enum):
    """What the house does for a route, and what it hands to the route's `answer` method."""

    DRAW = "draw"  # decode, submit, wait; answered by Dialect.picture / Dialect.event
    CANCEL = "cancel"  # the same, and whether it is being stopped, after its vendor was asked to
    JOB = "job"  # JobView of the job named by place["id"], and the Hands for its pictures
    CATALOGUE = "catalogue"  # list[ModelView], in catalogue order
    MODEL = "model"  # ModelView of the model named by place["id"]; UnknownModel where there is none
    ACCOUNT = "account"  # Account of the caller's project
    PLAIN = "plain"  # None: answered without looking


class Route(msgspec.Struct, frozen=True):
    """`path` in Starlette's form (`/v1/models/{id:path}`). `open`: needs no key. `edit`: pictures are expected.

    `own` marks a path that belongs to this dialect alone, so that it names the dialect without prefix or Host.
    """

    method: str
    path: str
    verb: Verb
    answer: Callable[..., Reply] | None = None
    edit: bool = False
    open: bool = False
    own: bool = False


def drawing(path: str, *, edit: bool = False, own: bool = False) -> tuple[Route, ...]:
    """The routes of a place where pictures are asked for: asking, and, with `?async=true`, asking how it stands and
    taking it back.
    """
    return (
        Route("POST", path, Verb.DRAW, edit=edit, own=own),
        Route("GET", path + "/{id}", Verb.JOB, _task, own=own),
        Route("DELETE", path + "/{id}", Verb.CANCEL, _taken_back, own=own),
    )


def _task(dialect: Dialect, call: Call, job: JobView, hands: Hands) -> Reply:
    return dialect.task(call, job, hands)


def _taken_back(dialect: Dialect, call: Call, job: JobView, hands: Hands, stopping: bool) -> Reply:
    return dialect.taken_back(call, job, hands, stopping=stopping)


class Limits(msgspec.Struct, frozen=True):
    """What a dialect's own page allows, where it is tighter than the house: pictures, bytes each, n, prompt."""

    pictures: int = 16
    picture_bytes: int = 25_000_000
    edit_picture_bytes: int = 25_000_000
    text_bytes: int = 512 * 1024
    n: int = 0
    prompt_chars: int = 0


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """A dialect's defaults and translations, in one table.

    `words`: per canonical field, the router's own word → the house's (`quality`: `hd` → `high`), where a model does not
    know the router's word itself. `adjustable`: fields taken to the nearest allowed value, because the router does so.
    `deliveries`: where `delivery` differs, by how a model's name (without its vendor) begins. `bare_edits`: an edit
    without a picture draws from its text. `takes`: picture formats that the router takes, by how a model's name begins,
    and the house converts where the model does not know them. `sizes`: of such families the size where none is named.
    `harmless`: unknown fields that are passed over though others are refused. `model` stands where none is named;
    without it `no_model` is the complaint.
    """

    delivery: Delivery = "url"
    deliveries: Mapping[str, Delivery] = {}
    output_format: str = ""
    unknown: Literal["refuse", "ignore"] = "ignore"
    words: Mapping[str, Mapping[str, str]] = {}
    adjustable: frozenset[str] = frozenset()
    limits: Limits = Limits()
    bare_edits: bool = False
    takes: Mapping[str, tuple[str, ...]] = {}
    sizes: Mapping[str, str] = {}
    harmless: frozenset[str] = frozenset()
    model: str = ""
    no_model: str = "model is required; GET /v1/models lists what there is"


class ErrorRow(msgspec.Struct, frozen=True):
    """How a dialect tells one of our errors: the HTTP status, and its own words for the kind."""

    status: int
    type: str
    code: str | int | None = None


class NoSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of most dialects an operator can choose nothing."""


#: How a dialect tells where a job stands. A job that is `uncertain` has failed as far as anybody knows.
TASK_WORDS: Mapping[JobState, str] = {
    JobState.QUEUED: "queued",
    JobState.SUBMITTING: "in_progress",
    JobState.WAITING: "in_progress",
    JobState.DELIVERING: "in_progress",
    JobState.SUCCEEDED: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "failed",
    JobState.EXPIRED: "failed",
    JobState.UNCERTAIN: "failed",
}
#: Seconds after which to ask again how a job stands.
POLL_S = 5


class Dialect(ABC):
    """Base of all dialects; a subclass in this package, or behind an entry point `pictura.dialects`, is found."""

    name: ClassVar[str]
    #: What an operator may choose under `[dialects.<name>]`, each field documented by the text below it.
    Settings: ClassVar[type[msgspec.Struct]] = NoSettings
    #: Hosts whose requests speak this dialect.
    hosts: ClassVar[tuple[str, ...]] = ()
    #: What paths begin with that belong to this dialect alone, those it does not know included.
    own_paths: ClassVar[tuple[str, ...]] = ()
    #: Headers in which its clients alone carry their key.
    key_headers: ClassVar[tuple[str, ...]] = ()
    routes: ClassVar[tuple[Route, ...]] = ()
    habits: ClassVar[Habits] = Habits()
    #: By the `code` of our error; a class without a line of its own is told as its nearest base class.
    errors: ClassVar[Mapping[str, ErrorRow]] = {}
    #: What a silent event stream is kept open with: a comment, which SSE clients pass over.
    keep_alive: ClassVar[bytes] = b": still drawing\n\n"

    def __init__(self, settings: Mapping[str, object] | None = None) -> None:
        """Raises BadRequest naming the setting that is wrong."""
        try:
            self.settings: msgspec.Struct = msgspec.convert(settings or {}, self.Settings)
        except msgspec.ValidationError as error:
            raise BadRequest(f"[dialects.{self.name}]: {error}") from None

    @property
    def prefix(self) -> str:
        """Where the dialect is mounted whatever the Host says: `/imagerouter/v1/…`."""
        return f"/{self.name}"

    @abstractmethod
    def decode(self, call: Call, body: Body, *, edit: bool) -> ImageRequest:
        """The canonical request. Raises BadRequest and its kin."""

    @abstractmethod
    def picture(self, call: Call, request: ImageRequest, result: ImageResult, hands: Hands) -> Reply:
        """The answer to a request that succeeded."""

    @abstractmethod
    def error(self, call: Call, error: PicturaError) -> Reply:
        """The answer to anything else. Its status is the true one, its body the dialect's."""

    def row(self, error: PicturaError) -> ErrorRow:
        """This error's line of `errors`."""
        codes = (vars(kind).get("code", "") for kind in type(error).__mro__)
        own = ErrorRow(error.status, error.code, error.code)
        return next((self.errors[code] for code in codes if code in self.errors), own)

    def event(self, call: Call, request: ImageRequest, result: ImageResult, hands: Hands) -> Sequence[Event]:
        """The last events of a stream that succeeded. Dialects that do not stream never come here."""
        return [Event("completed", self.picture(call, request, result, hands).body)]

    def task(self, call: Call, job: JobView, hands: Hands) -> Reply:
        """How a job stands, right after it was accepted and whenever its client asks; then the answer itself.

        What a waiting client would have been told, with `id`, `task_id` and `status` in it.
        """
        told = {"id": job.id, "task_id": job.id, "object": "image.task", "status": TASK_WORDS[job.state]}
        if job.result is not None:
            reply = self.picture(call, job.request, job.result, hands)
            return Reply({**told, **_fields(reply)}, headers=reply.headers)
        if job.error is not None:
            return Reply({**told, **_fields(self.error(call, job.error)), "message": self.said(call, job.error)})
        progress = {} if job.progress is None else {"progress": job.progress}
        created = {"created": self.moment(job.created_ms)}
        return Reply({**told, **progress, **created}, headers={"retry-after": str(POLL_S)})

    def taken_back(self, call: Call, job: JobView, hands: Hands, *, stopping: bool) -> Reply:
        """How a job stands whose client wants it no more: 202 while it is being stopped, 409 where it goes on all the
        same, and the answer itself once it has ended.
        """
        reply = self.task(call, job, hands)
        if job.result is not None or job.error is not None:
            return reply
        if stopping:
            return Reply({**_fields(reply), "cancelling": True}, 202, reply.headers)
        late = TooLate("this cannot be stopped any more; it goes on, and what it draws is kept and charged")
        wrong = self.error(call, late)
        told = {**_fields(reply), **_fields(wrong), "message": self.said(call, late)}
        return Reply(told, wrong.status, reply.headers)

    def said(self, call: Call, error: PicturaError) -> str:
        """What is wrong, for a reader."""
        return error.message

    def moment(self, unix_ms: int) -> int:
        """A point in time in this dialect's unit: seconds, unless it says otherwise."""
        return unix_ms // 1000

    def failed_event(self, call: Call, error: PicturaError) -> Event:
        """The last event of a stream that failed."""
        return Event("error", self.error(call, error).body)

    def streams_error(self, error: PicturaError) -> bool:
        """Is this error told as an event of its stream, though the stream has not begun yet?"""
        return False

    def preview(self, call: Call, request: ImageRequest, index: int, picture: Inline) -> Event | None:
        """A partial picture as an event; None where the dialect has none."""
        return None


def answer(route: Route, dialect: Dialect, call: Call, *views: Any) -> Reply:
    """What `dialect` says on `route`, given what the house knows."""
    if route.answer is None:
        raise TypeError(f"{dialect.name} {route.path} has no answer")
    return route.answer(dialect, call, *views)


def described(card: ModelCard) -> dict[str, object]:
    """What a model takes, field by field as typed descriptors, and what is billed for it (null: nobody knows)."""
    told: dict[str, object] = {
        "modes": card.modes,
        "parameters": datasheet.parameters(card),
        "required": datasheet.required(card),
        "pricing": None if card.price is None else datasheet.rates(card.price),
    }
    plain: dict[str, object] = msgspec.to_builtins(told)
    return plain


def _fields(reply: Reply) -> Mapping[str, object]:
    return reply.body if isinstance(reply.body, Mapping) else {"body": reply.body}


def delivered(request: ImageRequest, picture: Delivered, hands: Hands) -> dict[str, object]:
    """A picture as it was asked for, `{"url": …}` or `{"b64_json": …}`; one that is only relayed is a URL."""
    by_url = request.delivery == "url" or picture.url
    return {"url": hands.url(picture)} if by_url else {"b64_json": hands.base64(picture)}


def result_headers(result: ImageResult) -> dict[str, str]:
    """What was not as asked, for every dialect's answer: `x-pictura-adjusted`, `-ignored`, `-short`."""
    told = {"adjusted": result.adjusted, "ignored": result.ignored, "short": (result.short,) if result.short else ()}
    return {f"x-pictura-{what}": _header(texts) for what, texts in told.items() if texts}


def error_headers(error: PicturaError) -> dict[str, str]:
    """When to come back (`Retry-After`, whole seconds), and whether an SDK may do so by itself (`x-should-retry`).

    It may not where somebody was possibly billed, nor where only money helps; OpenAI's SDKs obey (3.52, read 2026-11).
    """
    headers = {}
    wait = getattr(error, "retry_after_s", None)
    if wait is not None:
        headers["retry-after"] = str(wait)
    if error.possibly_billed or isinstance(error, InsufficientBalance):
        headers["x-should-retry"] = "false"
    return headers


_HEADER_CHARACTERS = 1000


def _header(texts: Sequence[str]) -> str:
    """A header's value: clients name fields as they like, so no line ends, and no more than servers pass on.

    In UTF-8, as the Latin-1 text that ASGI servers want.
    """
    line = re.sub(r"[\x00-\x1f\x7f]", " ", ", ".join(texts))
    shown = line if len(line) <= _HEADER_CHARACTERS else line[: _HEADER_CHARACTERS - 1] + "…"
    return shown.encode("utf-8", "replace").decode("latin-1")
