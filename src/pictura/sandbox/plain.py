"""The plain simulator: draws for every card whose vendor has no simulator of its own yet.

    POST /plain/v1/draw      Authorization: Bearer <test key>
    {"model", "prompt", "n", "size": "WxH", "aspect", "tier", "seed", "quality", "background", "output_format",
     "output_compression", "images": [data URL], "mask": data URL, "client_id"}
    → {"pictures": [{"b64_json", "seed"}]}
    → {"error": {"code", "message"}}

Everything but `model` may be left out. The wire is our own, so there is no source to cite.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.core.media import guard, sniff
from pictura.core.picture import Inline
from pictura.core.size import FreePixels, Size, combine, fit, parse
from pictura.infra.extract import Cut, find
from pictura.sandbox.base import Simulator, Visit, refused
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene

MOST_PICTURES = 16
MOST_INPUTS = 32
INPUT_BYTES = 50_000_000
#: What is drawn: thin and tiny pictures too, but none that would keep the machine busy for long.
WINDOW = FreePixels(min_edge=16, max_edge=8192, max_pixels=8192 * 4096, max_ratio=32, default="1024x1024", auto=False)
#: Formats that can be shown in an edit.
INPUT_FORMATS = ("png", "jpeg", "webp", "gif")

_CODES = {401: "unauthorized", 402: "insufficient_balance", 429: "rate_limited", 500: "internal_error"}


class Drawing(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The request."""

    model: Annotated[str, msgspec.Meta(min_length=1)]
    prompt: str = ""
    n: Annotated[int, msgspec.Meta(ge=1, le=MOST_PICTURES)] = 1
    size: str = ""
    aspect: str = ""
    tier: str = ""
    seed: Annotated[int, msgspec.Meta(ge=0)] | None = None
    quality: str = ""
    background: Literal["", "auto", "opaque", "transparent"] = ""
    output_format: Literal["", "png", "jpeg", "webp"] = ""
    output_compression: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    images: Annotated[list[str], msgspec.Meta(max_length=MOST_INPUTS)] = []
    mask: str | None = None
    client_id: str = ""


class PlainError(Exception):
    """An error as this API writes it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.document = {"error": {"code": code, "message": message}}


class Plain(Simulator):
    """Draws any model at the size asked for."""

    name = "plain"

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.post("/v1/draw", self._answer)]

    async def error(self, visit: Visit, status: int) -> web.StreamResponse:
        return await visit.send({"error": {"code": _CODES[status], "message": "The prompt asked for this."}}, status)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        with Visit(request, self.studio) as visit:
            try:
                return await self._draw(visit)
            except PlainError as error:
                return await visit.send(error.document, error.status)
            except BadRequest as error:
                return await visit.send({"error": {"code": error.code, "message": error.message}}, 400)

    async def _draw(self, visit: Visit) -> web.StreamResponse:
        if not self.studio.accepts(visit.bearer):
            raise PlainError(401, _CODES[401], "This key is not known; send a test key as Authorization: Bearer.")
        values, cuts = await visit.json(INPUT_BYTES, MOST_INPUTS + 1)
        drawing = _read(values)
        if refused(drawing.prompt):
            raise PlainError(400, "content_refused", "The safety system refused this prompt.")
        scenes = _scenes(drawing, cuts)
        if (trouble := await self.misbehave(visit, drawing.prompt)) is not None:
            return trouble
        pictures = await self.paint(visit, scenes)
        drawn = zip(scenes, pictures, strict=False)  # `paint` may be told to give none
        return await visit.send({"pictures": [{"b64_json": Inline(p), "seed": scene.seed} for scene, p in drawn]})


def _read(values: dict[str, object]) -> Drawing:
    try:
        drawing = msgspec.convert(values, Drawing)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The request is not as it should be: {error}.") from error
    if drawing.background == "transparent" and drawing.output_format == "jpeg":
        raise BadRequest("A JPEG cannot be transparent; ask for png or webp.", param="background")
    return drawing


def _size(drawing: Drawing) -> Size:
    """The explicit size, else the aspect at the tier, else 1024x1024."""
    wanted = combine(parse(drawing.size), parse(drawing.aspect, "aspect"), parse(drawing.tier, "tier"))
    return fit(wanted, WINDOW)


def _scenes(drawing: Drawing, cuts: Sequence[Cut]) -> list[Scene]:
    size = _size(drawing)
    seed = seed_from(drawing.model, drawing.prompt) if drawing.seed is None else drawing.seed
    shown = [_picture(image, cuts) for image in drawing.images]
    first = Scene(
        model=drawing.model,
        prompt=drawing.prompt,
        width=size.width,
        height=size.height,
        format=drawing.output_format or "png",
        transparent=drawing.background == "transparent",
        compression=drawing.output_compression,
        label=drawing.quality,
        base=shown[0].spool.read() if shown else None,
        mask=_picture(drawing.mask, cuts).spool.read() if drawing.mask else None,
    )
    return [msgspec.structs.replace(first, seed=seed + index) for index in range(drawing.n)]


def _picture(value: str, cuts: Sequence[Cut]) -> Cut:
    cut = find(value, cuts)
    if cut is None or cut.flaw:
        why = f": {cut.flaw}" if cut else ""
        raise BadRequest(f"A picture must be a base64 data URL{why}; write data:image/png;base64, and the bytes.")
    media = sniff(cut.spool.read, cut.spool.size)
    guard(media)
    if media.format not in INPUT_FORMATS:
        raise BadRequest(f"A {media.format} cannot be shown; send one of {', '.join(INPUT_FORMATS)}.")
    return cut
