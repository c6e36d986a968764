"""SGLang's diffusion server, as sglang 0.5.23 is in its source code (2026-11-20, source code).

Its checks are few: positive sizes and steps, a seed from 0 on, no URL without a cloud storage. `n` is brought into its
bounds, and what it does not know is passed over; so is a mask. An error while it draws is a 500 in plain text.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Annotated

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.core.picture import Inline
from pictura.sandbox.base import Upload, Visit, fails
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.inputs import Input, look
from pictura.sandbox.local import FastApi, HttpError, Invalid, read

MOST_PICTURES = 10
FILE_BYTES = 50_000_000
FILE_FIELDS = frozenset({"image", "image[]", "mask"})
#: Of an edit's picture, what Pillow opens and the sandbox can show.
FORMATS = ("png", "jpeg", "webp", "gif")
_SIDES = 8192

_Positive = Annotated[int, msgspec.Meta(gt=0)] | None
_Scale = Annotated[float, msgspec.Meta(ge=0)] | None


class Asked(msgspec.Struct, kw_only=True):
    """`ImageGenerationsRequest`, and the same fields of an edit's form."""

    prompt: str
    model: str | None = None
    n: int | None = 1
    response_format: str | None = None
    size: str | None = None
    background: str | None = "auto"
    output_format: str | None = None
    output_compression: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0)] | None = None
    negative_prompt: str | None = None
    num_inference_steps: _Positive = None
    guidance_scale: _Scale = None
    true_cfg_scale: _Scale = None
    flow_shift: float | None = None
    enable_teacache: bool | None = False
    enable_upscaling: bool | None = False
    upscaling_scale: Annotated[int, msgspec.Meta(ge=1, le=8)] | None = 4

    @property
    def format(self) -> str:
        """JPEG, unless something else is asked for, or nothing but transparency."""
        wanted = (self.output_format or "").lower().replace("jpg", "jpeg")
        if wanted in ("png", "webp", "jpeg"):
            return wanted
        return "png" if self.background == "transparent" else "jpeg"

    @property
    def pixels(self) -> tuple[int, int] | None:
        """Raises HttpError for a size that is none."""
        if not self.size:
            return None
        found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", self.size)
        if found is None:
            raise HttpError(400, "size must be formatted as positive WIDTHxHEIGHT")
        width, height = int(found[1]), int(found[2])
        if max(width, height) > _SIDES:
            raise HttpError(400, f"the sandbox draws sides of at most {_SIDES} pixels")
        return width, height


class SGLang(FastApi):
    """The images API, below `/sglang/v1`."""

    name = "sglang"

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/v1/images/generations", self.answering(self._generate)),
            web.post("/v1/images/edits", self.answering(self._edit)),
            self.lost(),
        ]

    def document(self, error: HttpError | Invalid) -> tuple[int, object]:
        if isinstance(error, Invalid):
            return 422, {"detail": error.detail}
        return error.status, {"detail": error.detail}

    async def error(self, visit: Visit, status: int) -> web.StreamResponse:
        if status == 500:
            return web.Response(status=500, text="Internal Server Error")
        return await super().error(visit, status)

    async def _generate(self, visit: Visit) -> web.StreamResponse:
        values, _ = await visit.json()
        asked = read(values, Asked)
        return await self._answer(visit, asked, "url", asked.pixels or (1024, 1024), [])

    async def _edit(self, visit: Visit) -> web.StreamResponse:
        texts, files = await visit.form(FILE_BYTES, FILE_FIELDS)
        asked = read(dict(texts), Asked)
        pictures = [_look(upload) for upload in files if upload.field != "mask"]
        if not pictures:
            raise HttpError(422, "Field 'image' or 'url' is required")
        first = pictures[0].media
        return await self._answer(visit, asked, "b64_json", asked.pixels or (first.width, first.height), pictures)

    async def _answer(
        self, visit: Visit, asked: Asked, default: str, pixels: tuple[int, int], pictures: list[Input]
    ) -> web.StreamResponse:
        response_format = (asked.response_format or default).lower()
        if response_format == "url":
            raise HttpError(400, "response_format='url' requires cloud storage to be configured.")
        if response_format != "b64_json":
            raise HttpError(400, f"response_format={response_format} is not supported")
        if (trouble := await self.misbehave(visit, asked.prompt)) is not None:
            return trouble
        if fails(asked.prompt):
            return await self.error(visit, 500)
        drawn = await self.paint(visit, _scenes(asked, pixels, pictures))
        data = [{"b64_json": Inline(picture), "url": None, "revised_prompt": asked.prompt} for picture in drawn]
        id, now = f"{seed_from(asked.prompt):08x}", int(time.time())
        return await visit.send({"id": id, "created": now, "data": data, "inference_time_s": 0.1, "usage": None})


def _look(upload: Upload) -> Input:
    try:
        return look(upload.spool, FORMATS, FILE_BYTES)
    except BadRequest as error:
        raise HttpError(400, f"Failed to process image source: {error.message}") from error


def _scenes(asked: Asked, pixels: tuple[int, int], pictures: list[Input]) -> list[Scene]:
    width, height = pixels
    first = Scene(
        model=asked.model or "SGLang",
        prompt=asked.prompt,
        width=width,
        height=height,
        format=asked.format,
        compression=asked.output_compression,
        label=f"{asked.num_inference_steps} steps" if asked.num_inference_steps else "",
        base=pictures[0].data if pictures else None,
    )
    seed = seed_from(asked.prompt) if asked.seed is None else asked.seed
    count = max(1, min(asked.n or 1, MOST_PICTURES))
    return [msgspec.structs.replace(first, seed=seed + index) for index in range(count)]
