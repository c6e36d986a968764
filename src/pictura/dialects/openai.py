"""OpenAI's Images API, https://platform.openai.com/docs/api-reference/images.

Fields, events and answers follow the types of the official Python SDK 3.52 (2026-11, official). Errors follow bodies
reported in public issue trackers (2025-06 to 2026-09, third party).

Not as at OpenAI: `response_format` is honoured for every model, and an edit may be asked of a model of any vendor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pictura.core.errors import BadRequest, NotFound, PicturaError, Unauthorized
from pictura.core.ids import born_s
from pictura.core.picture import Inline
from pictura.core.price import Usage
from pictura.core.request import Body, ImageRequest
from pictura.core.result import Delivered, ImageResult
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
    described,
    drawing,
    error_headers,
    result_headers,
)
from pictura.dialects.union import QUALITY_WORDS, decode_union

_WRONG = "invalid_request_error"
_SERVER = "server_error"

ERRORS = {
    "caller_error": ErrorRow(400, _WRONG),
    "invalid_request": ErrorRow(400, _WRONG),
    "missing_value": ErrorRow(400, _WRONG),
    "out_of_bounds": ErrorRow(400, _WRONG),
    "unsupported_value": ErrorRow(400, _WRONG, "invalid_value"),
    "too_large": ErrorRow(413, _WRONG, "request_too_large"),
    "unsupported_media_type": ErrorRow(415, _WRONG, "unsupported_media_type"),
    "request_timeout": ErrorRow(408, _WRONG, "request_timeout"),
    "conflict": ErrorRow(409, _WRONG, "conflict"),
    "not_found": ErrorRow(404, _WRONG),
    "job_not_found": ErrorRow(404, _WRONG, "job_not_found"),
    "cancelled": ErrorRow(499, _WRONG, "cancelled"),
    "too_late": ErrorRow(409, _WRONG, "too_late"),
    "model_not_found": ErrorRow(404, _WRONG, "model_not_found"),
    "model_retired": ErrorRow(404, _WRONG, "model_not_found"),
    "unauthorized": ErrorRow(401, _WRONG, "invalid_api_key"),
    "forbidden": ErrorRow(403, _WRONG, "insufficient_permissions"),
    "insufficient_balance": ErrorRow(429, "insufficient_quota", "insufficient_quota"),
    "cap_reached": ErrorRow(429, "insufficient_quota", "insufficient_quota"),
    "rate_limited": ErrorRow(429, "requests", "rate_limit_exceeded"),
    "content_refused": ErrorRow(400, "image_generation_user_error", "moderation_blocked"),
    "upstream_error": ErrorRow(502, _SERVER, "upstream_error"),
    "upstream_unreachable": ErrorRow(503, _SERVER, "upstream_unreachable"),
    "upstream_rejected": ErrorRow(502, _SERVER, "upstream_rejected"),
    "upstream_throttled": ErrorRow(429, "requests", "rate_limit_exceeded"),
    "upstream_failed": ErrorRow(502, _SERVER, "upstream_failed"),
    "upstream_lost": ErrorRow(504, _SERVER, "upstream_lost"),
    "upstream_malformed": ErrorRow(502, _SERVER, "upstream_malformed"),
    "internal_error": ErrorRow(500, _SERVER),
}

#: How OpenAI's own message begins; by these words alone LiteLLM (1.106) tells a wrong key from a wrong request.
_WRONG_KEY = "Incorrect API key provided: "

_ECHOED = ("background", "output_format", "quality", "size")


class OpenAI(Dialect):
    """What the official SDKs speak; the house's own choice where nothing names a dialect."""

    name = "openai"
    hosts = ("api.openai.com",)
    errors = ERRORS
    habits = Habits(
        delivery="b64_json",
        deliveries={"dall-e-": "url"},
        unknown="refuse",
        words={"quality": QUALITY_WORDS},
        limits=Limits(edit_picture_bytes=50_000_000),
        no_model="model is required: OpenAI's own default, dall-e-2, is retired; GET /v1/models lists what there is",
    )

    def decode(self, call: Call, body: Body, *, edit: bool) -> ImageRequest:
        return one_streamed(decode_union(call, body, self.habits, edit=edit))

    def picture(self, call: Call, request: ImageRequest, result: ImageResult, hands: Hands) -> Reply:
        body: dict[str, object] = {
            "created": result.created_ms // 1000,
            "data": [_datum(request, picture, hands) for picture in result.pictures],
            **_known(result, result.pictures[0] if result.pictures else Delivered()),
        }
        if result.usage is not None:
            body["usage"] = _usage(result.usage)
        return Reply(body, headers=result_headers(result))

    def event(self, call: Call, request: ImageRequest, result: ImageResult, hands: Hands) -> Sequence[Event]:
        """`image_generation.completed` or `image_edit.completed`; SDKs want `usage`, so it is zero where unknown."""
        told = {"created_at": result.created_ms // 1000, "usage": _usage(result.usage or Usage())}
        return [
            _event(request, "completed", {**_known(result, picture), **delivered(request, picture, hands), **told})
            for picture in result.pictures
        ]

    def preview(self, call: Call, request: ImageRequest, index: int, picture: Inline) -> Event:
        told = {"b64_json": picture, "partial_image_index": index, "created_at": born_s(call.job_id)}
        return _event(request, "partial_image", told)

    def error(self, call: Call, error: PicturaError) -> Reply:
        row = self.row(error)
        message = (_WRONG_KEY if isinstance(error, Unauthorized) else "") + error.message
        told = {"message": message, "type": row.type, "param": error.param, "code": row.code}
        return Reply({"error": {**told, "request_id": call.request_id}}, row.status, error_headers(error))

    def models(self, call: Call, views: Sequence[ModelView]) -> Reply:
        return Reply({"object": "list", "data": [_model(view) for view in views]})

    def model(self, call: Call, view: ModelView) -> Reply:
        return Reply(_model(view))

    def variations(self, call: Call, _: None) -> Reply:
        """OpenAI's own endpoint no longer accepts requests either."""
        return self.error(call, NotFound("image variations are not offered; use POST /v1/images/edits with a prompt"))

    routes = (
        *drawing("/v1/images/generations"),
        *drawing("/v1/images/edits", edit=True),
        Route("POST", "/v1/images/variations", Verb.PLAIN, variations),
        Route("GET", "/v1/models", Verb.CATALOGUE, models),
        Route("GET", "/v1/models/{id:path}", Verb.MODEL, model),
    )


def one_streamed(request: ImageRequest) -> ImageRequest:
    """The request, which streams no more than one picture: a preview does not say whose it is.

    As at OpenAI, "Streaming is only supported with n=1" (reported in a public issue tracker, 2026-09, third party).
    """
    if request.stream and request.n > 1:
        raise BadRequest("n must be 1 when stream is true", param="n")
    return request


def _datum(request: ImageRequest, picture: Delivered, hands: Hands) -> dict[str, object]:
    shown = delivered(request, picture, hands)
    return {**shown, "revised_prompt": picture.revised_prompt} if picture.revised_prompt else shown


def _usage(usage: Usage) -> dict[str, object]:
    return {
        "total_tokens": usage.total_in + usage.total_out,
        "input_tokens": usage.total_in,
        "output_tokens": usage.total_out,
        "input_tokens_details": {"text_tokens": usage.text_in, "image_tokens": usage.image_in},
        "output_tokens_details": {"text_tokens": usage.text_out, "image_tokens": usage.image_out},
    }


def _event(request: ImageRequest, what: str, told: Mapping[str, object]) -> Event:
    """Every event names size, quality, background and format: as they came out where known, else as asked for."""
    name = f"image_{'edit' if request.operation == 'edit' else 'generation'}.{what}"
    asked = {option: str(request.params.get(option, "auto")) for option in ("background", "quality")}
    asked |= {"size": str(request.size), "output_format": request.output_format or "png"}
    return Event(name, {"type": name, **asked, **told})


def _known(result: ImageResult, picture: Delivered) -> dict[str, str]:
    """What is known of how it was drawn; a picture's own size and format count more than what the vendor said."""
    known = {name: result.echo[name] for name in _ECHOED if name in result.echo}
    if picture.width:
        known["size"] = f"{picture.width}x{picture.height}"
    if picture.media_type:
        known["output_format"] = picture.media_type.removeprefix("image/").partition("+")[0]
    return known


def _model(view: ModelView) -> dict[str, object]:
    card = view.card
    owner = view.providers[0] if view.providers else "pictura"
    told: dict[str, object] = {"id": card.id, "object": "model", "created": view.created_s, "owned_by": owner}
    told |= described(card)
    return {**told, "shutdown_date": card.ends} if card.ends else told
