"""vLLM-Omni, as vllm-omni 0.30.0 is in its source code (2026-11-20, source code).

A server serves one model, and refuses every other name: here it is one whose name has no `missing` in it, because the
sandbox cannot know what a channel calls its own. What the body does not know is passed over; FastAPI's errors are told
in OpenAI's shape, those about fields with 400.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.core.picture import Inline
from pictura.infra.spool import Spool
from pictura.sandbox.base import Upload, Visit, fails
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.inputs import Input, look
from pictura.sandbox.local import FastApi, HttpError, Invalid, grey, read

SERVED = "Qwen/Qwen-Image"
#: `--max-generated-image-size`: what the sandbox draws.
MOST_PIXELS = 4096 * 4096
FILE_BYTES = 50_000_000
FILE_FIELDS = frozenset({"image", "image[]", "mask_image", "reference_image"})
FORMATS = ("png", "jpeg", "webp", "gif")

_PHRASES = {
    400: "Bad Request",
    402: "Payment Required",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
}

_Scale = Annotated[float, msgspec.Meta(ge=0, le=20)] | None
_Compression = Annotated[int, msgspec.Meta(ge=0, le=100)]


class Common(msgspec.Struct, kw_only=True):
    """What both bodies have."""

    prompt: str
    model: str | None = None
    size: str | None = None
    response_format: str = "b64_json"
    output_format: str | None = "png"
    output_compression: _Compression = 100
    negative_prompt: str | None = None
    true_cfg_scale: _Scale = None
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    layers: int | None = None


class Generation(Common, kw_only=True):
    """`ImageGenerationRequest`."""

    n: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1
    num_inference_steps: Annotated[int, msgspec.Meta(ge=1, le=200)] | None = None
    guidance_scale: _Scale = None
    flow_shift: float | None = None
    lora: Mapping[str, object] | None = None


class Edit(Common, kw_only=True):
    """The form of an edit. Its numbers have no bounds."""

    n: int = 1
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    strength: float | None = None
    #: A text that is JSON.
    lora: str | None = None


class Shown(msgspec.Struct, frozen=True):
    """The pictures of an edit."""

    pictures: Sequence[Input] = ()
    mask: bytes | None = None


class VllmOmni(FastApi):
    """The images API, below `/vllm-omni/v1`."""

    name = "vllm-omni"

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/v1/images/generations", self.answering(self._generate)),
            web.post("/v1/images/edits", self.answering(self._edit)),
            self.lost(),
        ]

    def document(self, error: HttpError | Invalid) -> tuple[int, object]:
        status, message = (error.status, error.detail) if isinstance(error, HttpError) else (400, str(error))
        if status == 401:
            return status, {"error": "Unauthorized"}
        told = {"message": message, "type": _PHRASES[status], "param": None, "code": status}
        return status, {"error": told}

    async def _generate(self, visit: Visit) -> web.StreamResponse:
        values, _ = await visit.json()
        asked = read(values, Generation)
        if asked.response_format not in ("b64_json", "file"):
            message = f"Only 'b64_json' or 'file' response format is supported, got: {asked.response_format}"
            raise Invalid("response_format", message)
        _check_model(asked)
        return await self._answer(visit, asked, asked.n, Shown())

    async def _edit(self, visit: Visit) -> web.StreamResponse:
        texts, files = await visit.form(FILE_BYTES, FILE_FIELDS)
        asked = read(dict(texts), Edit)
        _check_model(asked)
        if asked.response_format != "b64_json":
            raise HttpError(400, "Only response_format 'b64_json' is supported now.")
        _check_lora(asked.lora)
        return await self._answer(visit, asked, asked.n, _shown(files))

    async def _answer(self, visit: Visit, asked: Common, count: int, shown: Shown) -> web.StreamResponse:
        if asked.layers is not None and not 2 <= asked.layers <= 10:
            raise HttpError(400, f"Invalid layers value {asked.layers}. layers must be between 2 and 10 inclusive.")
        scenes = _scenes(asked, count, shown)
        if (trouble := await self.misbehave(visit, asked.prompt)) is not None:
            return trouble
        if fails(asked.prompt):
            raise HttpError(500, "Image generation failed: CUDA out of memory.")
        pictures = await self.paint(visit, scenes)
        if asked.response_format == "file" and len(pictures) == 1:
            return web.Response(body=pictures[0].read(), content_type=pictures[0].media_type)
        return await visit.send(_document(scenes[0], pictures))


def _check_model(asked: Common) -> None:
    if asked.model and "missing" in asked.model:
        message = f"Model mismatch: request specifies '{asked.model}' but server is running '{SERVED}'."
        raise HttpError(400, message)


def _check_lora(text: str | None) -> None:
    try:
        msgspec.json.decode(text or "{}", type=dict[str, object])
    except msgspec.DecodeError:
        raise HttpError(400, "Invalid LoRA JSON string") from None


def _shown(files: Sequence[Upload]) -> Shown:
    pictures = [_look(upload) for upload in files if upload.field in ("image", "image[]")]
    if not pictures:
        raise HttpError(422, "Field 'image' or 'url' is required")
    masks = [_look(upload) for upload in files if upload.field == "mask_image"]
    return Shown(pictures, grey(masks[0].data) if masks else None)


def _look(upload: Upload) -> Input:
    try:
        return look(upload.spool, FORMATS, FILE_BYTES)
    except BadRequest as error:
        raise HttpError(400, f"Failed to open uploaded file: {error.message}") from error


def _pixels(asked: Common, shown: Shown) -> tuple[int, int]:
    """The size asked for; else the input's, else the model's own."""
    if not asked.size or asked.size == "auto":
        first = shown.pictures[0].media if shown.pictures else None
        return (first.width, first.height) if first else (1024, 1024)
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", asked.size)
    if found is None:
        raise HttpError(400, f"Invalid size format: '{asked.size}'. Expected format: 'WIDTHxHEIGHT'.")
    width, height = int(found[1]), int(found[2])
    if not width or not height:
        raise HttpError(400, f"Invalid size: {width}x{height}. Width and height must be positive integers.")
    if width * height > MOST_PIXELS:
        message = f"Requested image size {width}x{height} exceeds the maximum allowed size of {MOST_PIXELS} pixels."
        raise HttpError(400, message)
    return width, height


def _scenes(asked: Common, count: int, shown: Shown) -> list[Scene]:
    width, height = _pixels(asked, shown)
    wanted = (asked.output_format or "jpeg").lower().replace("jpg", "jpeg")
    first = Scene(
        model=asked.model or SERVED,
        prompt=asked.prompt,
        width=width,
        height=height,
        format=wanted if wanted in ("png", "webp") else "jpeg",
        compression=asked.output_compression,
        base=shown.pictures[0].data if shown.pictures else None,
        mask=shown.mask,
    )
    seed = seed_from(asked.prompt) if asked.seed is None else abs(asked.seed)
    return [msgspec.structs.replace(first, seed=seed + index) for index in range(count)]


def _document(scene: Scene, pictures: Sequence[Spool]) -> dict[str, object]:
    data = [{"b64_json": Inline(picture), "url": None, "revised_prompt": None} for picture in pictures]
    size = f"{scene.width}x{scene.height}"
    return {"created": int(time.time()), "data": data, "output_format": scene.format, "size": size, "metrics": {}}
