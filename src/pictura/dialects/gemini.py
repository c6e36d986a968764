"""Google's Gemini API, https://ai.google.dev/api: `generateContent` for every model of the catalogue.

Bodies, answers and the ways to carry a key follow the types of google-genai 3.4 (2026-11, official SDK); errors the
google.rpc details that its error classes read.

Not as at Google: a wrong key is 401 and not 400, and pictures come from models of any vendor. `fileData` is an http(s)
URL here; files of Google's own are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from pictura.core.errors import BadRequest, Malformed, PicturaError, Refused
from pictura.core.price import Usage
from pictura.core.request import Body, ImageRequest
from pictura.core.result import Delivered, ImageResult, Piece
from pictura.core.views import Call, ModelView
from pictura.dialects.base import (
    Dialect,
    ErrorRow,
    Event,
    Habits,
    Hands,
    Limits,
    Reply,
    Route,
    Verb,
    delivered,
    error_headers,
    result_headers,
)
from pictura.dialects.kinds import short
from pictura.dialects.union import PICTURE_KEYS, QUALITY_WORDS, decode_union, unstreamed

_ARGUMENT = "INVALID_ARGUMENT"
_UNAVAILABLE = "UNAVAILABLE"
_EXHAUSTED = "RESOURCE_EXHAUSTED"
_DEADLINE = "DEADLINE_EXCEEDED"

ERRORS = {
    "caller_error": ErrorRow(400, _ARGUMENT),
    "invalid_request": ErrorRow(400, _ARGUMENT),
    "missing_value": ErrorRow(400, _ARGUMENT),
    "out_of_bounds": ErrorRow(400, _ARGUMENT),
    "unsupported_value": ErrorRow(400, _ARGUMENT),
    "too_large": ErrorRow(413, _ARGUMENT),
    "unsupported_media_type": ErrorRow(415, _ARGUMENT),
    "request_timeout": ErrorRow(408, _DEADLINE),
    "conflict": ErrorRow(409, "ALREADY_EXISTS"),
    "not_found": ErrorRow(404, "NOT_FOUND"),
    "job_not_found": ErrorRow(404, "NOT_FOUND"),
    "cancelled": ErrorRow(499, "CANCELLED"),
    "too_late": ErrorRow(409, "ABORTED"),
    "model_not_found": ErrorRow(404, "NOT_FOUND"),
    "model_retired": ErrorRow(404, "NOT_FOUND"),
    "unauthorized": ErrorRow(401, "UNAUTHENTICATED"),
    "forbidden": ErrorRow(403, "PERMISSION_DENIED"),
    # 429 there; Google's own SDKs would try that again and again, and only money helps.
    "insufficient_balance": ErrorRow(402, _EXHAUSTED),
    "cap_reached": ErrorRow(402, _EXHAUSTED),
    "rate_limited": ErrorRow(429, _EXHAUSTED),
    # Not an error there, but an answer without a candidate.
    "content_refused": ErrorRow(200, "promptFeedback"),
    "upstream_error": ErrorRow(502, _UNAVAILABLE),
    "upstream_unreachable": ErrorRow(503, _UNAVAILABLE),
    "upstream_rejected": ErrorRow(502, _UNAVAILABLE),
    "upstream_throttled": ErrorRow(429, _EXHAUSTED),
    # What may have been billed must not be sent again, and Google's SDKs look at no header for that: told to retry, as
    # LangChain tells them, they repeat 408, 429, 500, 502, 503 and 504 (google-genai 3.4, read in source, 2026-11).
    "upstream_failed": ErrorRow(520, _UNAVAILABLE),
    "upstream_lost": ErrorRow(524, _DEADLINE),
    "upstream_malformed": ErrorRow(520, _UNAVAILABLE),
    "internal_error": ErrorRow(500, "INTERNAL"),
}

#: Refusals that Google tells as the end of a candidate, not as feedback on the prompt.
_FINISHES = frozenset({"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "RECITATION", "SPII"})
_BLOCKS = frozenset({"SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "JAILBREAK", "MODEL_ARMOR"})

#: What clients send by habit, and what means nothing to a picture.
_HARMLESS = frozenset(
    {
        *("safetySettings", "safety_settings", "labels", "toolConfig", "tool_config", "maxOutputTokens"),
        *("max_output_tokens", "stopSequences", "stop_sequences", "responseMimeType", "response_mime_type"),
        *("presencePenalty", "frequencyPenalty", "thinkingConfig", "thinking_config", "mediaResolution"),
    }
)
_ROLES = (None, "", "user", "model")
_CONTENT_FIELDS = frozenset({"role", "parts"})
_PART_FIELDS = frozenset(
    {
        *("text", "inlineData", "inline_data", "fileData", "file_data", "thought", "thoughtSignature"),
        *("thought_signature", "mediaResolution", "media_resolution", "videoMetadata", "video_metadata"),
    }
)
_BLOB_FIELDS = frozenset({"mimeType", "mime_type", "data", "displayName", "display_name"})
_FILE_FIELDS = frozenset({"mimeType", "mime_type", "fileUri", "file_uri", "displayName", "display_name"})
#: What may stand in the data of a part.
_DATA_FIELDS = {
    **dict.fromkeys(("inlineData", "inline_data"), _BLOB_FIELDS),
    **dict.fromkeys(("fileData", "file_data"), _FILE_FIELDS),
}
#: What a candidate tells beside its picture.
_EXTRAS = ("groundingMetadata", "safetyRatings")
#: How Google writes a model's full name.
_MODELS = "models/"
_RPC = "type.googleapis.com/google.rpc."
#: Where a list of models ends, unless its client says so.
_PAGE = 1000


class Gemini(Dialect):
    """`contents` in, `candidates` with inline pictures out."""

    name = "gemini"
    hosts = ("generativelanguage.googleapis.com",)
    own_paths = ("/v1beta/",)
    key_headers = ("x-goog-api-key",)
    errors = ERRORS
    # The official SDK takes a comment for the beginning of an error; an empty line it passes over.
    keep_alive = b"\n"
    habits = Habits(
        delivery="b64_json",
        unknown="refuse",
        words={"quality": QUALITY_WORDS},
        # What Gemini's own clients always send, and other models do not know.
        adjustable=frozenset({"response_modalities", "temperature", "top_p", "top_k", "seed"}),
        harmless=_HARMLESS,
        # Sent inline, so that text and pictures count together: 20 MB there, more here.
        limits=Limits(picture_bytes=25_000_000),
        bare_edits=True,
        no_model="the model stands in the path: POST /v1beta/models/<model>:generateContent",
    )

    def decode(self, call: Call, body: Body, *, edit: bool) -> ImageRequest:
        """The model is the path's; a stream is asked for by the path and `alt=sse`, nowhere else."""
        if call.later:
            raise BadRequest(
                "generateContent makes no tasks: send this without async=true, or ask where tasks are, "
                "POST /openai/v1/images/generations?async=true",
                param="async",
            )
        call, body = _named(call, body)
        _check_contents(body.fields.get("contents"), "contents")
        request = unstreamed(decode_union(call, body, self.habits, edit=edit))
        return msgspec.structs.replace(request, stream=_streams(call) and call.query.get("alt") == "sse")

    def picture(self, call: Call, request: ImageRequest, result: ImageResult, hands: Hands) -> Reply:
        return Reply(_chunked(call, _response(call, request, result, hands)), headers=result_headers(result))

    def event(self, call: Call, request: ImageRequest, result: ImageResult, hands: Hands) -> Sequence[Event]:
        return [Event("", _response(call, request, result, hands))]

    def error(self, call: Call, error: PicturaError) -> Reply:
        if isinstance(error, Refused):
            return Reply(_chunked(call, _refusal(call, error)), headers=error_headers(error))
        row = self.row(error)
        told = {"code": row.status, "message": error.message, "status": row.type, "details": _details(call, error)}
        return Reply(_chunked(call, {"error": told}), row.status, error_headers(error))

    def failed_event(self, call: Call, error: PicturaError) -> Event:
        return Event("", self.error(call, error).body)

    def streams_error(self, error: PicturaError) -> bool:
        """A refusal is an answer there, not an error."""
        return isinstance(error, Refused)

    def models(self, call: Call, views: Sequence[ModelView]) -> Reply:
        """In pages, as `pageSize` and `pageToken` say."""
        start, size = _number(call.query, "pageToken", 0), _number(call.query, "pageSize", _PAGE) or _PAGE
        body: dict[str, object] = {"models": [_model(view) for view in views[start : start + size]]}
        return Reply({**body, "nextPageToken": str(start + size)} if start + size < len(views) else body)

    def model(self, call: Call, view: ModelView) -> Reply:
        return Reply(_model(view))

    routes = (
        Route("POST", "/v1beta/models/{model:path}:generateContent", Verb.DRAW, own=True),
        Route("POST", "/v1beta/models/{model:path}:streamGenerateContent", Verb.DRAW, own=True),
        Route("GET", "/v1beta/models", Verb.CATALOGUE, models, own=True),
        Route("GET", "/v1beta/models/{id:path}", Verb.MODEL, model, own=True),
        Route("POST", "/v1/models/{model:path}:generateContent", Verb.DRAW, own=True),
        Route("POST", "/v1/models/{model:path}:streamGenerateContent", Verb.DRAW, own=True),
        Route("GET", "/v1/models", Verb.CATALOGUE, models),
        Route("GET", "/v1/models/{id:path}", Verb.MODEL, model),
    )


def _streams(call: Call) -> bool:
    return call.path.endswith(":streamGenerateContent")


def _chunked(call: Call, told: dict[str, object]) -> object:
    """Without `alt=sse` a stream is an array of its chunks, an error too (google-genai unwraps it); there is one."""
    return [told] if _streams(call) and call.query.get("alt") != "sse" else told


# -- requests --


def _named(call: Call, body: Body) -> tuple[Call, Body]:
    """With the model that the path names, which a body may repeat."""
    named = call.place.get("model", "").removeprefix(_MODELS)
    if not named:
        return call, body
    repeated = body.fields.get("model") or named
    if not isinstance(repeated, str) or repeated.removeprefix(_MODELS) != named:
        raise BadRequest(f"model is {named[:200]!r} in the path; leave it out of the body", param="model")
    fields = {name: value for name, value in body.fields.items() if name != "model"}
    return msgspec.structs.replace(call, place={**call.place, "model": named}), Body(fields, body.uploads, body.form)


def _check_contents(value: object, param: str) -> None:
    """Raises BadRequest for a role that there is not and for fields that nobody knows."""
    for content, where in _objects(value, param):
        _check_fields(content, _CONTENT_FIELDS, where)
        if content.get("role") not in _ROLES:
            raise BadRequest(f"{where}.role is not valid; please use a valid role: user, model", param=f"{where}.role")
        for part, place in _objects(content.get("parts"), f"{where}.parts"):
            # Other routers' ways to show a picture mean here what they mean there.
            _check_fields(part, _PART_FIELDS, place, others=PICTURE_KEYS)
            for name, known in _DATA_FIELDS.items():
                for data, inside in _objects(part.get(name), f"{place}.{name}"):
                    _check_fields(data, known, inside)


def _objects(value: object, param: str) -> list[tuple[Mapping[str, object], str]]:
    """The objects of a list and where they stand; what is none is complained of where it is read."""
    if isinstance(value, dict):
        return [(value, param)]
    entries = enumerate(value) if isinstance(value, list) else ()
    return [(entry, f"{param}[{place}]") for place, entry in entries if isinstance(entry, dict)]


def _check_fields(value: Mapping[str, object], known: frozenset[str], where: str, others: Sequence[str] = ()) -> None:
    for name in value:
        if name not in known and name not in others:
            shown = f"{where}.{short(repr(name)[1:-1])}"
            raise BadRequest(f"{shown} is unknown; {where} takes {', '.join(sorted(known))}", param=shown)


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    said = query.get(name, "")
    if not said:
        return default
    if not (said.isascii() and said.isdecimal()) or len(said) > 9:
        raise BadRequest(f"{name} must be a number, not {said[:40]!r}", param=name)
    return int(said)


# -- answers --


def _response(call: Call, request: ImageRequest, result: ImageResult, hands: Hands) -> dict[str, object]:
    """In the vendor's order, else texts before pictures; where several were asked for, each is a candidate."""
    pieces = result.pieces or (
        *(Piece(text=text) for text in result.texts),
        *(Piece(picture=place) for place in range(len(result.pictures))),
    )
    groups = _by_picture(pieces) if request.n > 1 else [pieces]
    return {
        "candidates": [
            {
                "content": {"role": "model", "parts": [_piece(piece, request, result, hands) for piece in group]},
                "finishReason": "STOP",
                "index": index,
                **(_extras(result) if index == 0 else {}),
            }
            for index, group in enumerate(groups)
        ],
        "usageMetadata": _usage(result.usage or Usage(), result.thought_tokens),
        "modelVersion": request.model,
        "responseId": call.job_id or call.request_id,
    }


def _by_picture(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Each picture with what stands before it; what stands after the last belongs to that."""
    groups: list[list[Piece]] = []
    before: list[Piece] = []
    for piece in pieces:
        before.append(piece)
        if piece.picture is not None:
            groups.append(before)
            before = []
    return [*groups[:-1], [*groups[-1], *before]] if groups else [before]


def _piece(piece: Piece, request: ImageRequest, result: ImageResult, hands: Hands) -> dict[str, object]:
    signature = {"thoughtSignature": piece.signature} if piece.signature else {}
    if piece.picture is None:
        return {"text": piece.text, **signature}
    return {**_part(request, result.pictures[piece.picture], hands), **signature}


def _extras(result: ImageResult) -> dict[str, object]:
    """What Google itself told, where it was asked."""
    return {name: result.extras[name] for name in _EXTRAS if name in result.extras}


def _part(request: ImageRequest, picture: Delivered, hands: Hands) -> dict[str, object]:
    shown = delivered(request, picture, hands)
    if "url" in shown:
        return {"fileData": {"mimeType": picture.media_type or "image/png", "fileUri": shown["url"]}}
    return {"inlineData": {"mimeType": picture.media_type, "data": shown["b64_json"]}}


def _usage(usage: Usage, thoughts: int = 0) -> dict[str, object]:
    """Zero where nothing is known: clients add these up. Thoughts are counted apart."""
    return {
        "promptTokenCount": usage.total_in,
        "candidatesTokenCount": usage.total_out - thoughts,
        **({"thoughtsTokenCount": thoughts} if thoughts else {}),
        "totalTokenCount": usage.total_in + usage.total_out,
        "promptTokensDetails": _modalities(usage.text_in, usage.image_in),
        "candidatesTokensDetails": _modalities(usage.text_out - thoughts, usage.image_out),
    }


def _modalities(text: int, image: int) -> list[dict[str, object]]:
    counted = (("TEXT", text), ("IMAGE", image))
    return [{"modality": modality, "tokenCount": tokens} for modality, tokens in counted if tokens]


def _refusal(call: Call, error: Refused) -> dict[str, object]:
    """An answer without a picture: the prompt was blocked, or what came of it, in Google's words where they fit."""
    common = {"usageMetadata": _usage(Usage()), "responseId": call.job_id or call.request_id}
    if error.reason in _FINISHES:
        return {"candidates": [{"finishReason": error.reason, "finishMessage": error.message, "index": 0}], **common}
    reason = error.reason if error.reason in _BLOCKS else "SAFETY"
    return {"promptFeedback": {"blockReason": reason, "blockReasonMessage": error.message}, **common}


def _details(call: Call, error: PicturaError) -> list[dict[str, object]]:
    """What google.rpc has words for: the field that is wrong, when to come back, which request it was."""
    ended = error.upstream_code if isinstance(error, Malformed) else ""
    metadata = {"metadata": {"finishReason": ended}} if ended else {}
    details: list[dict[str, object]] = [
        {"@type": f"{_RPC}ErrorInfo", "reason": error.code.upper(), "domain": "pictura", **metadata},
        {"@type": f"{_RPC}RequestInfo", "requestId": call.request_id},
    ]
    if error.param:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": f"{_RPC}BadRequest", "fieldViolations": [violation]})
    wait = getattr(error, "retry_after_s", None)
    if wait is not None:
        details.append({"@type": f"{_RPC}RetryInfo", "retryDelay": f"{wait}s"})
    return details


def _model(view: ModelView) -> dict[str, object]:
    card = view.card
    return {
        "name": f"models/{card.id}",
        "version": card.released or "001",
        "displayName": card.id,
        "description": card.notes,
        "inputTokenLimit": card.prompt.max_chars,
        "outputTokenLimit": 0,
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent"],
    }
