"""A router of the new-api family, as strict as the software: https://docs.newapi.pro.

Everything follows new-api's source (main of 2026-07, read in source), the models what QuickRouter and OpenOpen8 list on
their pages (2026-02, documented).

As there: wrong parameters are a 500 with the code `invalid_request`, an unknown model is a 503, an empty account a 403;
unknown fields are passed over; every answer names its request in a header, and every error at the end of its message.

Not as there: pictures come as base64 where `response_format` is absent and the model is one of OpenAI's, by URL else;
no other channel is tried.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import ClassVar

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest, TooLarge
from pictura.infra.extract import Cut
from pictura.sandbox.base import Visit
from pictura.sandbox.fields import Fields
from pictura.sandbox.routers import FORMATS, INPUT_BYTES, ApiError, Asked, Router, pixels, uploaded

OWN = "new_api_error"
UPSTREAM = "upstream_error"
MOST_PICTURES = 16


class NewApiRouter(Router):
    """Base of the family: its errors, and the name of every request."""

    own_errors: ClassVar = {
        401: ApiError(401, "Invalid token", type=OWN, code=""),
        402: ApiError(403, "用户额度不足, 剩余额度: $0.00", type=OWN, code="insufficient_user_quota"),
        429: ApiError(429, "您已达到请求数限制", type=OWN, code="rate_limit_exceeded"),
        500: ApiError(500, "bad response status code 500", type=UPSTREAM, code="bad_response_status_code"),
    }
    #: As OpenAI's, which is passed on.
    refusal: ClassVar = ApiError(
        400, "Your request was rejected by the safety system.", type=UPSTREAM, code="content_policy_violation"
    )

    def begin(self, visit: Visit) -> None:
        visit.headers["X-Oneapi-Request-Id"] = f"{time.strftime('%Y%m%d%H%M%S')}{secrets.token_hex(8)}"

    def told(self, error: ApiError, visit: Visit) -> object:
        message = f"{error.message} (request id: {visit.headers['X-Oneapi-Request-Id']})"
        return {"error": {"message": message, "type": error.type, "param": error.param or "", "code": error.code or ""}}

    def translated(self, error: BadRequest) -> ApiError:
        if isinstance(error, TooLarge):
            return ApiError(413, error.message, type=OWN, code="read_request_body_failed", param=error.param)
        return ApiError(500, error.message, type=OWN, code="invalid_request", param=error.param)

    async def lost(self, visit: Visit) -> web.StreamResponse:
        where = f"{visit.request.method} {visit.request.path.removeprefix(f'/{self.name}')}"
        raise ApiError(404, f"Invalid URL ({where})", type="invalid_request_error", code="")


def no_channel(model: str) -> ApiError:
    message = f"No available channel for model {model} under group default (distributor)"
    return ApiError(503, message, type=OWN, code="model_not_found")


def upstream_says(message: str, param: str = "") -> ApiError:
    """A mistake that the router passed on and the model's vendor found."""
    return ApiError(400, message, type="invalid_request_error", code="invalid_value", param=param)


def whole(datum: Mapping[str, object]) -> dict[str, object]:
    """A picture of a vendor whose answer is converted: all three fields are always there."""
    return {"url": "", "b64_json": "", "revised_prompt": "", **datum}


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What the vendor behind a model takes. `aspects`: it has no pixels. `openai`: base64 unless asked for a URL."""

    sizes: tuple[str, ...] = ()
    aspects: tuple[str, ...] = ()
    qualities: tuple[str, ...] = ()
    most: int = 10
    inputs: int = 0
    openai: bool = False


_THREE = ("1024x1024", "1536x1024", "1024x1536", "auto")
_GPT = Model(sizes=_THREE, qualities=("auto", "low", "medium", "high"), inputs=16, openai=True)
_FLUX = Model(aspects=("21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21"), inputs=1)
MODELS = {
    "gpt-image-1": _GPT,
    "gpt-image-1-mini": _GPT,
    "gpt-image-1.5": _GPT,
    "gpt-image-2": msgspec.structs.replace(_GPT, sizes=()),
    "gpt-image-1-all": msgspec.structs.replace(_GPT, openai=False),
    "dall-e-3": Model(sizes=("1024x1024", "1024x1792", "1792x1024"), qualities=("standard", "hd"), most=1),
    "dall-e-2": Model(sizes=("256x256", "512x512", "1024x1024"), inputs=1),
    "flux-1": _FLUX,
    "flux-kontext-pro": _FLUX,
    "flux-kontext-max": _FLUX,
}


def read_asked(fields: Fields) -> Asked:
    """Everything but the pictures. What the router checks is a BadRequest, what the vendor does an ApiError."""
    name = fields.text("model", required=True)
    model = MODELS.get(name)
    if model is None:
        raise no_channel(name)
    prompt = fields.text("prompt")
    count = fields.whole("n", 0, 2**31) or 1  # none is as good as nothing said
    size = fields.text("size")
    if "×" in size:
        raise BadRequest("size must use 'x' instead of '×'", param="size")
    width, height = _size(model, size, fields.text("aspect_ratio"))
    if not prompt:
        raise upstream_says("Missing required parameter: 'prompt'.", "prompt")
    if not 1 <= count <= model.most:
        raise upstream_says(f"Invalid 'n': expected a value <= {model.most}.", "n")
    quality = fields.text("quality")
    if quality and quality not in model.qualities:
        raise upstream_says(f"Invalid value: '{quality}'.", "quality")
    delivery = fields.word("response_format", ("url", "b64_json"), "b64_json" if model.openai else "url")
    return Asked(
        model=name,
        prompt=prompt,
        width=width,
        height=height,
        count=count,
        format=fields.word("output_format", FORMATS, "png"),
        transparent=fields.text("background") == "transparent",
        label=quality,
        by_url=delivery == "url",
    )


def _form_value(name: str, text: str) -> object:
    """In a form all is text."""
    if name in ("n", "partial_images", "output_compression") and text.isdigit():
        return int(text)
    return text == "true" if name == "stream" else text


def _size(model: Model, size: str, aspect: str) -> tuple[int, int]:
    if model.sizes and size and size not in model.sizes:
        raise upstream_says(f"Invalid value: '{size}'. Supported values are: {', '.join(model.sizes)}.", "size")
    if model.aspects and aspect and aspect not in model.aspects:
        raise upstream_says(f"Invalid aspect_ratio '{aspect}'.", "aspect_ratio")
    return pixels(size, aspect)


class NewApi(NewApiRouter):
    """The image paths, below `/new-api/v1`."""

    name = "new-api"

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/v1/images/generations", self.answering(self._generate)),
            web.post("/v1/images/edits", self.answering(self._edit)),
            web.post("/v1/images/variations", self.answering(self._vary)),
            web.route("*", "/{path:.*}", self.answering(self.lost)),
        ]

    async def _vary(self, visit: Visit) -> web.StreamResponse:
        raise ApiError(501, "API not implemented", type=OWN, code="api_not_implemented")

    async def _generate(self, visit: Visit) -> web.StreamResponse:
        fields = Fields((await visit.json())[0])
        return await self._answer(visit, fields, read_asked(fields))

    async def _edit(self, visit: Visit) -> web.StreamResponse:
        if visit.request.content_type == "multipart/form-data":
            texts, files = await visit.form(INPUT_BYTES, frozenset({"image", "image[]", "mask"}))
            fields = Fields({name: _form_value(name, text) for name, text in texts})
            inputs, masks = uploaded(files, "image", "image[]"), uploaded(files, "mask")
        else:
            values, cuts = await visit.json(INPUT_BYTES, pictures=MOST_PICTURES + 1)
            fields = Fields(values)
            inputs, masks = await self._references(fields, cuts)
        asked = read_asked(fields)
        asked.inputs, asked.mask = inputs, masks[0] if masks else None
        _check_inputs(asked)
        return await self._answer(visit, fields, asked)

    async def _references(self, fields: Fields, cuts: Sequence[Cut]) -> tuple[list[bytes], list[bytes]]:
        """OpenAI's `images: [{image_url}]` and `mask: {image_url}`, which are passed through."""
        images = [image.text("image_url", most_chars=2**31) for image in fields.objects("images", most=MOST_PICTURES)]
        mask = fields.inside("mask").text("image_url", most_chars=2**31)
        looked = [await self.looked(url, cuts, "images") for url in images]
        return looked, [await self.looked(mask, cuts, "mask")] if mask else []

    async def _answer(self, visit: Visit, fields: Fields, asked: Asked) -> web.StreamResponse:
        if (trouble := await self.trouble(visit, asked.prompt, self.refusal)) is not None:
            return trouble
        if fields.take("stream", bool):
            return await visit.stream(self._events(visit, asked, fields.whole("partial_images", 0, 3) or 0))
        data = await self.painted(visit, asked)
        if not MODELS[asked.model].openai:
            data = [whole(datum) for datum in data]
        return await visit.send({"created": int(time.time()), "data": data})

    async def _events(self, visit: Visit, asked: Asked, previews: int) -> AsyncIterator[tuple[str, object]]:
        """OpenAI's events, and at the end a word of the family's own."""
        kind = "image_edit" if asked.inputs else "image_generation"
        scene = next(asked.scenes())
        for index in range(previews):
            for preview in await self.painted(visit, msgspec.structs.replace(asked, label=f"preview {index}", count=1)):
                yield _event(f"{kind}.partial_image", {**preview, "partial_image_index": index})
        for datum in await self.painted(visit, msgspec.structs.replace(asked, count=1)):
            yield _event(f"{kind}.completed", {**datum, "size": f"{scene.width}x{scene.height}"})
        yield "", msgspec.Raw(b"[DONE]")


def _event(name: str, told: Mapping[str, object]) -> tuple[str, object]:
    return name, {"type": name, **told, "created_at": int(time.time())}


def _check_inputs(asked: Asked) -> None:
    if not asked.inputs:
        raise ApiError(500, "image is required", type=OWN, code="convert_request_failed")
    if len(asked.inputs) > MODELS[asked.model].inputs:
        raise upstream_says(f"Too many images for {asked.model}.", "image")
