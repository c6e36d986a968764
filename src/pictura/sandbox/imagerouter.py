"""ImageRouter's API, as strict as ImageRouter: https://docs.imagerouter.io.

The tables here are ImageRouter's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. They follow its public backend (9615cf3 of 2026-02-11, read in source) and its registry.

As there: both paths do the same, JSON carries no pictures and at most 100 KB, unknown fields are passed over, every
answer is one picture, a blank comes before it, and what goes wrong once the request is valid has status 200.

Not as there: a key need not have 64 characters; sizes of Google's models are not taken to the nearest of their table.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.infra.payload import json_payload
from pictura.sandbox.base import Upload, Visit
from pictura.sandbox.routers import ApiError, Asked, Router, pixels, uploaded


class Model(msgspec.Struct, frozen=True):
    """What the registry says of a model; `most` inputs it takes, `cost` in dollars by quality, or for all of them."""

    most: int = 0
    mask: bool = False
    qualities: tuple[str, ...] = ("auto", "low", "medium", "high")
    cost: float | Mapping[str, float] = 0.04


_ANY = ("auto", "low", "medium", "high")
MODELS = {
    "test/test": Model(16, mask=True, cost=0),
    "openai/gpt-image-1.5": Model(16, mask=True, cost={"low": 0.009, "medium": 0.034, "high": 0.133}),
    "openai/gpt-image-1-mini": Model(16, mask=True, cost={"low": 0.005, "medium": 0.011, "high": 0.036}),
    "openai/dall-e-3": Model(cost={"medium": 0.04, "high": 0.08}),
    "google/gemini-2.5-flash": Model(3, cost=0.039),
    "google/gemini-3-pro": Model(14, cost=0.138),
    "black-forest-labs/flux-kontext-pro": Model(1, cost=0.04),
    "black-forest-labs/FLUX-2-klein-4b": Model(4, cost=0.0012),
    "black-forest-labs/FLUX-2-klein-4b:free": Model(1, qualities=("auto", "low", "medium"), cost=0),
    "bytedance/seedream-4.5": Model(14, cost=0.04),
    "qwen/qwen-image": Model(cost=0.0058),
    "run-diffusion/Juggernaut-Pro-Flux": Model(cost={"low": 0.0025, "medium": 0.005, "high": 0.0095}),
    "HiDream-ai/HiDream-I1-Full": Model(cost={"low": 0.0045, "medium": 0.009, "high": 0.015}),
    "midjourney/midjourney": Model(1, cost=0.089),
}

JSON_BYTES = 100 * 1024
PROMPT_CHARS = 10_000
MOST_IMAGES = 16
_FORMATS = ("png", "jpeg", "webp")
_FILES = frozenset({"image", "image[]", "mask", "mask[]"})
_SIZE = re.compile(r"\d+[xX×*]\d+")
_INTERNAL = "internal_error"


def _wrong(message: str) -> ApiError:
    return ApiError(400, message, type="invalid_request_error")


def _late(message: str, type: str = _INTERNAL) -> ApiError:
    """An error of a request that was found valid: its status has been sent already."""
    return ApiError(200, message, type=type)


_MODERATED = _late("Request was moderated", "request_moderated")


def read(fields: Mapping[str, object], images: Sequence[bytes], masks: Sequence[bytes]) -> tuple[Asked, str]:
    """What is asked, and the quality. Raises ApiError for the first thing that is wrong."""
    name, prompt = fields.get("model"), fields.get("prompt", "")
    if not isinstance(name, str) or not name:
        raise _wrong("'model' is a required parameter")
    if not isinstance(prompt, str) or len(prompt) > PROMPT_CHARS:
        raise _wrong("'prompt' must be 10,000 characters or less. Please shorten your prompt and try again.")
    quality = _word(fields, "quality", _ANY, "auto")
    delivery = _word(fields, "response_format", ("url", "b64_json", "b64_ephemeral"), "url")
    format = _word(fields, "output_format", (*_FORMATS, "jpg"), "webp")
    width, height = _size(fields.get("size", "auto"))
    if name not in MODELS:
        raise _wrong(f"model '{name}' is not available")
    if name.endswith(":free") and max(width, height) > 1024:
        raise _wrong("Free models support maximum size of 1024x1024.")
    asked = Asked(
        model=name,
        prompt=prompt,
        width=width,
        height=height,
        format="jpeg" if format == "jpg" else format,
        label=quality,
        inputs=images,
        mask=masks[0] if masks else None,
        by_url=delivery == "url",
    )
    return asked, quality


def _word(fields: Mapping[str, object], name: str, words: Sequence[str], default: str) -> str:
    value = fields.get(name, default)
    found = value.lower() if name == "output_format" and isinstance(value, str) else value
    if not isinstance(found, str) or found not in words:
        expected = " | ".join(f"'{word}'" for word in words)
        raise _wrong(f"Invalid enum value. Expected {expected}, received '{value}'")
    return found


def _size(value: object) -> tuple[int, int]:
    if value == "auto":
        return pixels()
    if not isinstance(value, str) or not _SIZE.fullmatch(value):
        raise _wrong("'size' must be 'auto' or in the format 'WIDTHxHEIGHT' (e.g. '1024x768')")
    try:
        return pixels(value)
    except BadRequest as error:
        raise _late(error.message) from error


class ImageRouter(Router):
    """The image paths, below `/imagerouter/v1`."""

    name = "imagerouter"
    own_errors: ClassVar = {
        401: ApiError(401, "Invalid API key", type="unauthorized"),
        402: _late("Insufficient credits (this model needs minimum $0.04 credits), please topup your account."),
        404: ApiError(404, "Not found", type="not_found"),
        429: ApiError(429, "Too many requests, please try again later.", type="rate_limit_error"),
        500: _late("The provider returned an error."),
    }

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/v1/openai/images/generations", self.answering(self._draw)),
            web.post("/v1/openai/images/edits", self.answering(self._draw)),
            web.route("*", "/{path:.*}", self.answering(self._lost)),
        ]

    def told(self, error: ApiError, visit: Visit) -> object:
        return {"error": {"message": error.message, "type": error.type}}

    async def _lost(self, visit: Visit) -> web.StreamResponse:
        raise self.own_errors[404].anew()

    async def _draw(self, visit: Visit) -> web.StreamResponse:
        fields, files = await self._body(visit)
        images, masks = uploaded(files, "image", "image[]"), uploaded(files, "mask", "mask[]")
        if len(images) > MOST_IMAGES or len(masks) > 1:
            raise _wrong("File upload error: Unexpected field")
        asked, quality = read(fields, images, masks)
        began = time.monotonic()
        model = MODELS[asked.model]
        _check(model, asked, quality)
        if (trouble := await self.trouble(visit, asked.prompt, _MODERATED)) is not None:
            return trouble
        data = [{**datum, "revised_prompt": None} for datum in await self.painted(visit, asked)]
        if not data:
            raise _late("No image generated")
        latency = round((time.monotonic() - began) * 1000)
        cost = model.cost if isinstance(model.cost, int | float) else model.cost.get(quality, model.cost["medium"])
        return await _trickled(visit, {"created": _now_ms(), "data": data, "latency": latency, "cost": cost})

    async def _body(self, visit: Visit) -> tuple[Mapping[str, object], Sequence[Upload]]:
        if visit.request.content_type == "multipart/form-data":
            texts, files = await visit.form(25_000_000, _FILES)
            if strange := next((file.field for file in files if file.field not in _FILES), ""):
                raise _wrong(f"File upload error: Unexpected field {strange}")
            return dict(texts), files
        if (visit.request.content_length or 0) > JSON_BYTES:
            raise ApiError(500, "Internal server error", type=_INTERNAL)
        return (await visit.json())[0], ()


def _check(model: Model, asked: Asked, quality: str) -> None:
    """What the chosen model does not take; the request itself was valid."""
    if len(asked.inputs) > model.most:
        few = "This model does not support image inputs" if not model.most else f"This model takes {model.most} images"
        raise _late(few)
    if asked.mask and not model.mask:
        raise _late("Mask editing is not supported for this model")
    if quality not in model.qualities:
        raise _late("Free model only supports 'low', 'medium', and 'auto' quality.")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _trickled(visit: Visit, document: object) -> web.StreamResponse:
    """The answer behind a few blanks, with which ImageRouter keeps the line open while it draws."""
    headers = {"Content-Type": "application/json", "X-Request-Id": secrets.token_hex(8)}
    response = web.StreamResponse(headers=headers)
    await response.prepare(visit.request)
    await response.write(b"  ")
    for chunk in json_payload(document).chunks():
        await response.write(chunk)
    await response.write_eof()
    return response
