"""The dialects as their clients know them: where to ask, what an answer looks like, how every kind of error is told.

All of it is written out here and compared letter by letter; nothing is taken over from the code that it checks.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from typing import Literal, get_args
from urllib.parse import quote

import msgspec

from tests.doors.door import LIVE, MODEL, Answer, Door, File

Name = Literal["gemini", "imagerouter", "mixroute", "omnirouters", "openai", "openopen8", "quickrouter"]
DIALECTS: tuple[Name, ...] = get_args(Name)
NEW_API = frozenset({"mixroute", "omnirouters", "openopen8", "quickrouter"})
#: Those whose pages let an edit without a picture draw from its text.
BARE_EDITS = frozenset({"gemini", "imagerouter", "mixroute"})


# -- where to ask --


def place(dialect: Name, model: object = MODEL, *, edit: bool = False) -> str:
    """The path for pictures; Gemini's holds the model, where that is a text."""
    if dialect == "gemini":
        name = quote(model, safe="") if isinstance(model, str) else ""
        return f"/gemini/v1beta/models/{name}:generateContent"
    start = "/v1/openai/images/" if dialect == "imagerouter" else "/v1/images/"
    return f"/{dialect}{start}{'edits' if edit else 'generations'}"


async def ask(
    door: Door,
    dialect: Name,
    fields: Mapping[str, object],
    *,
    edit: bool = False,
    key: str = LIVE,
    query: str = "",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """POST JSON; of Gemini's body a model that can stand in the path is taken away."""
    path = place(dialect, fields.get("model"), edit=edit) + query
    if dialect == "gemini" and isinstance(fields.get("model"), str):
        fields = {name: value for name, value in fields.items() if name != "model"}
    return await door.ask(dict(fields), path=path, key=key, headers=headers)


async def ask_form(
    door: Door, dialect: Name, texts: Mapping[str, str], files: list[File], *, key: str = LIVE
) -> Answer:
    """POST a form, where pictures are edited."""
    return await door.ask_form(texts, files, path=place(dialect, texts.get("model"), edit=True), key=key)


# -- what an answer looks like --


class Shown(msgspec.Struct, forbid_unknown_fields=True):
    """A picture of an answer: base64 or a URL, and its type where the answer tells it."""

    b64_json: str = ""
    url: str = ""
    media_type: str = ""

    async def bytes(self, door: Door) -> bytes:
        assert bool(self.b64_json) is not bool(self.url)
        if self.b64_json:
            return base64.b64decode(self.b64_json, validate=True)
        fetched = await door.send("GET", self.url)
        assert fetched.status == 200
        return fetched.body


def shown(dialect: Name, answer: Answer) -> list[Shown]:
    """The pictures of an answer, whose every field is where the dialect has it and nothing stands beside them."""
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    return shown_in(dialect, answer.fields)


def shown_in(dialect: Name, body: Mapping[str, object]) -> list[Shown]:
    if dialect == "gemini":
        return _candidates(body)
    if dialect == "mixroute":
        assert (set(body), body["code"], body["msg"]) == ({"code", "msg", "data"}, 200, "操作成功")
        body = msgspec.convert(body["data"], dict[str, object])
    must = {"created", "data"} | _MUST_STAND.get(dialect, set())
    assert must <= set(body) <= must | _MAY_STAND.get(dialect, set())
    check_created(dialect, body["created"])
    data = msgspec.convert(body["data"], list[dict[str, str | None]])
    return [_picture(dialect, told) for told in data]


def check_created(dialect: Name, created: object) -> None:
    """A moment ago, in the dialect's own unit."""
    second = 1000 if dialect == "imagerouter" else 1
    assert abs(msgspec.convert(created, int) - time.time() * second) < 60 * second


_MUST_STAND: Mapping[str, set[str]] = {"imagerouter": {"latency", "cost"}}
_MAY_STAND: Mapping[str, set[str]] = {"openai": {"size", "quality", "background", "output_format", "usage"}}
#: What every picture has beside its URL or its base64; an empty text where nothing stands in it.
_ALWAYS: Mapping[str, set[str]] = {
    "imagerouter": {"revised_prompt"},
    "mixroute": {"url", "b64_json", "revised_prompt"},
    "omnirouters": {"url", "b64_json", "revised_prompt"},
}


def _picture(dialect: Name, told: Mapping[str, str | None]) -> Shown:
    always = _ALWAYS.get(dialect, set())
    (way,) = (field for field in ("url", "b64_json") if told.get(field))
    assert set(told) - {"revised_prompt"} == {way} | always - {"revised_prompt"}
    assert always <= set(told)
    return Shown(**{way: str(told[way])})


def _candidates(body: Mapping[str, object]) -> list[Shown]:
    assert set(body) == {"candidates", "usageMetadata", "modelVersion", "responseId"}
    found = []
    for index, candidate in enumerate(msgspec.convert(body["candidates"], list[_Candidate])):
        assert (candidate.index, candidate.finish_reason, candidate.content.role) == (index, "STOP", "model")
        found += [_part(part) for part in candidate.content.parts]
    return found


def _part(part: _Part) -> Shown:
    if part.inline_data:
        return Shown(b64_json=part.inline_data["data"], media_type=part.inline_data["mimeType"])
    return Shown(url=part.file_data["fileUri"], media_type=part.file_data["mimeType"])


class _Part(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    inline_data: dict[str, str] = {}
    file_data: dict[str, str] = {}


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    role: str
    parts: list[_Part]


class _Candidate(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    content: _Content
    finish_reason: str
    index: int


# -- how errors are told --

Row = tuple[int, str, str | int | None]


class Told(msgspec.Struct, frozen=True):
    """How one kind of error is told: the status, and each dialect's words for it.

    openai and the new-api family have a type and a code, imagerouter has a type, gemini a status in words.
    """

    openai: Row
    imagerouter: tuple[int, str]
    new_api: Row
    gemini: tuple[int, str]
    #: Where it differs from the rest of the family.
    openopen8: Row | None = None

    def by(self, dialect: Name) -> Row:
        if dialect == "openai":
            return self.openai
        if dialect == "imagerouter":
            return (*self.imagerouter, None)
        if dialect == "gemini":
            return (*self.gemini, None)
        return self.openopen8 if self.openopen8 and dialect == "openopen8" else self.new_api


_WRONG = "invalid_request_error"
_BAD = "INVALID_ARGUMENT"
_OURS = "internal_error"
_OWN = "new_api_error"
_STATUS = "bad_response_status_code"

INVALID = Told((400, _WRONG, None), (400, _WRONG), (400, _OWN, "invalid_request"), (400, _BAD))
VALUE = Told((400, _WRONG, "invalid_value"), (400, _WRONG), (400, _OWN, "invalid_request"), (400, _BAD))
LARGE = Told((413, _WRONG, "request_too_large"), (413, _WRONG), (413, _OWN, "read_request_body_failed"), (413, _BAD))
KIND = Told((415, _WRONG, "unsupported_media_type"), (415, _WRONG), (415, _OWN, "invalid_request"), (415, _BAD))
KEY = Told((401, _WRONG, "invalid_api_key"), (401, "unauthorized"), (401, _OWN, ""), (401, "UNAUTHENTICATED"))
FORBIDDEN = Told(
    (403, _WRONG, "insufficient_permissions"),
    (403, "access_denied"),
    (403, _OWN, "access_denied"),
    (403, "PERMISSION_DENIED"),
)
MONEY = Told(
    (429, "insufficient_quota", "insufficient_quota"),
    (402, _OURS),
    (403, _OWN, "insufficient_user_quota"),
    (402, "RESOURCE_EXHAUSTED"),
)
CAP = msgspec.structs.replace(MONEY, new_api=(403, _OWN, "pre_consume_token_quota_failed"))
RATE = Told(
    (429, "requests", "rate_limit_exceeded"),
    (429, "rate_limit_error"),
    (429, "rate_limit_error", "rate_limit_exceeded"),
    (429, "RESOURCE_EXHAUSTED"),
    openopen8=(429, "rate_limit_error", 429),
)
#: Too fast for the provider, and nobody else could be asked.
THROTTLED = msgspec.structs.replace(RATE, new_api=(429, "upstream_error", "rate_limit_exceeded"))
NO_MODEL = Told((404, _WRONG, "model_not_found"), (400, _WRONG), (404, _OWN, "model_not_found"), (404, "NOT_FOUND"))
NO_PATH = Told((404, _WRONG, None), (404, _WRONG), (404, _WRONG, ""), (404, "NOT_FOUND"))
NO_TASK = Told((404, _WRONG, "job_not_found"), (404, _WRONG), (404, _OWN, "task_not_exist"), (404, "NOT_FOUND"))
#: Gemini tells it as an answer that holds no picture.
REFUSED = Told(
    (400, "image_generation_user_error", "moderation_blocked"),
    (400, "request_moderated"),
    (400, "upstream_error", "content_policy_violation"),
    (200, "SAFETY"),
)
UNREACHABLE = Told(
    (503, "server_error", "upstream_unreachable"), (503, _OURS), (503, _OWN, "get_channel_failed"), (503, "UNAVAILABLE")
)
REJECTED = Told(
    (502, "server_error", "upstream_rejected"), (502, _OURS), (502, "upstream_error", _STATUS), (502, "UNAVAILABLE")
)
FAILED = Told(
    (502, "server_error", "upstream_failed"), (502, _OURS), (502, "upstream_error", _STATUS), (520, "UNAVAILABLE")
)
MALFORMED = Told(
    (502, "server_error", "upstream_malformed"),
    (502, _OURS),
    (502, "upstream_error", "bad_response_body"),
    (520, "UNAVAILABLE"),
)
LOST = Told(
    (504, "server_error", "upstream_lost"),
    (504, "timeout_error"),
    (504, "upstream_error", "do_request_failed"),
    (524, "DEADLINE_EXCEEDED"),
)


class Wrong(msgspec.Struct):
    """An error as the dialect told it. `param` None: the dialect has no place for it, or nothing stands there."""

    type: str
    message: str
    request_id: str
    code: str | int | None = None
    param: str | None = None


def check_told(answer: Answer, dialect: Name, told: Told) -> Wrong:
    """Status, words and envelope, letter by letter."""
    error = wrong(dialect, answer)
    assert (answer.status, error.type, error.code) == told.by(dialect), answer.body
    return error


def wrong(dialect: Name, answer: Answer) -> Wrong:
    """The error of an answer, whose every field is where the dialect has it and nothing stands beside them."""
    assert answer.headers["content-type"] == "application/json"
    body = answer.fields
    if dialect == "gemini":
        return _refused(body) if answer.status == 200 else _of_google(answer.status, body)
    if dialect == "mixroute":
        assert (body.pop("code"), body.pop("data")) == (answer.status, None)
        outer = body.pop("msg")
    assert set(body) == {"error"}, answer.body
    error = msgspec.convert(body["error"], dict[str, str | int | None])
    assert set(error) == _ERROR_FIELDS.get(dialect, {"message", "type", "param", "code"}), answer.body
    if dialect not in NEW_API:
        return msgspec.convert(error, Wrong)
    assert dialect != "mixroute" or outer == error["message"]
    # The family's own place for the id: the end of the message.
    message, _, request_id = str(error["message"]).removesuffix(")").rpartition(" (request id: ")
    assert answer.headers["x-oneapi-request-id"] == request_id
    told = {**error, "message": message, "request_id": request_id, "param": error["param"] or None}
    return msgspec.convert(told, Wrong)


_ERROR_FIELDS: Mapping[str, set[str]] = {
    "imagerouter": {"message", "type", "request_id"},
    "openai": {"message", "type", "param", "code", "request_id"},
}


def _of_google(status: int, body: Mapping[str, object]) -> Wrong:
    assert set(body) == {"error"}
    error = msgspec.convert(body["error"], _GoogleError)
    assert error.code == status
    details = {str(detail["@type"]).removeprefix("type.googleapis.com/google.rpc."): detail for detail in error.details}
    assert {"ErrorInfo", "RequestInfo"} <= set(details) <= {"ErrorInfo", "RequestInfo", "BadRequest", "RetryInfo"}
    fields = msgspec.convert(details.get("BadRequest", {}).get("fieldViolations", []), list[dict[str, str]])
    assert all(field["description"] == error.message for field in fields)
    param = fields[0]["field"] if fields else None
    return Wrong(error.status, error.message, str(details["RequestInfo"]["requestId"]), param=param)


class _GoogleError(msgspec.Struct, forbid_unknown_fields=True):
    code: int
    message: str
    status: str
    details: list[dict[str, object]]


def _refused(body: Mapping[str, object]) -> Wrong:
    """A refusal is an answer, and its id that of its job."""
    assert set(body) == {"promptFeedback", "usageMetadata", "responseId"}
    feedback = msgspec.convert(body["promptFeedback"], dict[str, str])
    return Wrong(feedback["blockReason"], feedback["blockReasonMessage"], str(body["responseId"]))
