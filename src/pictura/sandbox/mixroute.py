"""MixRoute's image path, as strict as its page: https://docs.mixroute.ai/en/api-reference/endpoint/image-generation.

The tables here are MixRoute's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. Fields, sizes, formats, limits and both envelopes follow the page (2026-02, documented).

It says nothing of errors. Here keys, money, models and what fails are told as new-api tells them, and what is wrong
with a body as `{"code": 400, "msg", "data": null}` with status 200 (both inferred). Which models are answered in which
envelope is not said either: here those whose pictures come as base64 are wrapped.

Not as there: `image` may be a list; pictures by URL are never fetched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.infra.extract import Cut
from pictura.sandbox.base import Visit
from pictura.sandbox.fields import Fields
from pictura.sandbox.new_api import NewApiRouter, no_channel, whole
from pictura.sandbox.routers import ApiError, Asked, pixels

_SUCCESS = "操作成功"
_ASPECTS = ("1:1", "3:2", "2:3", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
#: Pictures in one body, those that would be refused included.
MOST_PICTURES = 20


class Told(msgspec.Struct):
    """A body in the words of all families. `shown`: the inputs as they stand in it."""

    asked: Asked
    shown: list[object] = []


def read_gemini(fields: Fields) -> Told:
    prompt, shown = _conversation(fields)
    size = fields.word("size", _ASPECTS)
    tier = fields.word("image_size", ("1K", "2K", "3K", "4K"))
    fields.word("quality", ("low", "medium", "high"))
    fields.word("response_modalities", ("image",))
    fields.word("response_format", ("b64_json",))
    fields.number("temperature", 0, 2)
    fields.number("top_p", 0, 1)
    kind = fields.word("mime_type", ("image/png", "image/jpeg"), "image/png")
    width, height = pixels(aspect=size, tier="2K" if tier == "3K" else tier)
    count = fields.whole("n", 1, 4) or 1
    asked = Asked(model="", prompt=prompt, width=width, height=height, count=count, format=kind.partition("/")[2])
    return Told(asked, shown)


def read_seedream(fields: Fields) -> Told:
    prompt, shown = _conversation(fields)
    width, height = pixels(fields.text("size") or "2048x2048")
    fields.number("guidance_scale", 1, 10)
    fields.inside("optimize_prompt_options").word("mode", ("standard", "fast"))
    group = fields.word("sequential_image_generation", ("disabled", "auto"), "disabled") == "auto"
    most = fields.inside("sequential_image_generation_options").whole("max_images", 1, 4) or 4
    asked = Asked(
        model="",
        prompt=prompt,
        width=width,
        height=height,
        count=most if group else 1,
        seed=fields.whole("seed", -1, 2**31 - 1),
        format="jpeg",
        label="AI generated" if fields.flag("watermark", default=True) else "",
        by_url=True,
    )
    return Told(asked, shown)


def read_gpt(fields: Fields) -> Told:
    prompt = fields.text("prompt", required=True)
    width, height = pixels(fields.word("size", ("1024x1024", "1024x1536", "1536x1024"), "1024x1024"))
    fields.word("input_fidelity", ("auto", "high", "medium", "low"))
    fields.word("response_format", ("b64_json",))
    quality = fields.word("quality", ("high", "medium", "low"))
    count = fields.whole("n", 1, 10) or 1
    image = fields.anything("image")
    shown = image if isinstance(image, list) else [] if image is None else [image]
    return Told(Asked(model="", prompt=prompt, width=width, height=height, count=count, label=quality), shown)


def read_qwen(fields: Fields) -> Told:
    messages = fields.inside("input", required=True).objects("messages", least=1, most=1)
    texts, shown = _parts(messages[0], "content")
    parameters = fields.inside("parameters")
    parameters.text("negative_prompt", most_chars=500)
    parameters.flag("prompt_extend")
    parameters.whole("n", 1, 1)
    seed = parameters.anything("seed")  # the page writes it as a text
    if not isinstance(seed, int | str | None) or not str(seed or 0).isdigit():
        raise BadRequest("parameters.seed must be an integer", param="parameters.seed")
    width, height = pixels((parameters.text("size") or "1664*928").replace("*", "x"))
    fields.word("response_format", ("url", "b64_json"))
    marked = parameters.flag("watermark")
    asked = Asked(
        model="",
        prompt="\n".join(texts),
        width=width,
        height=height,
        seed=None if seed is None else int(seed),
        label="AI generated" if marked else "",
    )
    return Told(asked, shown)


def _conversation(fields: Fields) -> tuple[str, list[object]]:
    """The prompt, or what is said and shown in `contents`, whose parts are texts and, in MixRoute's way, `image`s."""
    prompt = fields.text("prompt")
    texts: list[str] = []
    shown: list[object] = []
    for turn in fields.objects("contents"):
        turn.word("role", ("user", "model"))
        said, pictures = _parts(turn, "parts")
        texts += said
        shown += pictures
    spoken = "\n".join(texts) or prompt
    if not spoken:
        raise BadRequest("prompt is required", param="prompt")
    return spoken, shown


def _parts(turn: Fields, name: str) -> tuple[list[str], list[object]]:
    parts = turn.objects(name, least=1)
    texts = [text for part in parts if (text := part.text("text"))]
    return texts, [image for part in parts if (image := part.anything("image")) is not None]


class Family(msgspec.Struct, frozen=True):
    """How a family's body is read, how many inputs it takes, and of how many bytes each."""

    read: Callable[[Fields], Told]
    inputs: int = 10
    bytes: int = 10_000_000
    required: bool = False


_GEMINI = Family(read_gemini, 14, 7_000_000)
_SEEDREAM = Family(read_seedream)
_GPT = Family(read_gpt)
MODELS = {
    "gemini-2.5-flash-image": _GEMINI,
    "gemini-3-pro-image-preview": _GEMINI,
    "doubao-seedream-3-0-t2i-250415": Family(read_seedream, 0),
    "doubao-seedream-4-0-250828": _SEEDREAM,
    "doubao-seedream-4-5-251128": _SEEDREAM,
    "doubao-seededit-3-0-i2i-250628": Family(read_seedream, 1, required=True),
    "seedream-4.0-base": _SEEDREAM,
    "gpt-image-1": _GPT,
    "gpt-image-1-mini": _GPT,
    "qwen-image-plus": Family(read_qwen, 0),
    "qwen-image-edit-plus": Family(read_qwen, 3, required=True),
}


class MixRoute(NewApiRouter):
    """The one path, below `/mixroute/v1`."""

    name = "mixroute"

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/v1/images/generations", self.answering(self._draw)),
            web.route("*", "/{path:.*}", self.answering(self.lost)),
        ]

    def told(self, error: ApiError, visit: Visit) -> object:
        if error.code != 400:
            return super().told(error, visit)
        return {"code": error.code, "msg": error.message, "data": None}

    def translated(self, error: BadRequest) -> ApiError:
        return ApiError(200, error.message, code=400)

    async def _draw(self, visit: Visit) -> web.StreamResponse:
        values, cuts = await visit.json(_SEEDREAM.bytes, pictures=MOST_PICTURES)
        fields = Fields(values)
        name = fields.text("model", required=True)
        family = MODELS.get(name)
        if family is None:
            raise no_channel(name)
        told = family.read(fields)
        asked = msgspec.structs.replace(told.asked, model=name, inputs=await self._inputs(told.shown, cuts, family))
        if (trouble := await self.trouble(visit, asked.prompt, self.refusal)) is not None:
            return trouble
        data = [whole(datum) for datum in await self.painted(visit, asked)]
        inside = {"data": data, "created": int(time.time())}
        return await visit.send(inside if asked.by_url else {"code": 200, "msg": _SUCCESS, "data": inside})

    async def _inputs(self, values: Sequence[object], cuts: Sequence[Cut], family: Family) -> Sequence[bytes]:
        if len(values) > family.inputs:
            raise BadRequest(f"at most {family.inputs} images are taken", param="image")
        if family.required and not values:
            raise BadRequest("an image is required", param="image")
        return [await self.looked(value, cuts, "image", family.bytes) for value in values]
