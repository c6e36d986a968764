"""OpenRouter's Image API, as strict as its documentation: https://openrouter.ai/docs/guides/overview/multimodal.

The tables here are OpenRouter's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. Fields follow its typescript-sdk, everything else its documentation's source (both of 2026-10, read in copies).

A reference may be a URL, which is never fetched. What a model's endpoint does not list is refused where the pages say
so (`n`, references), and passed over where they do (`quality`).

Not as there: an unknown field is refused, so that a misspelt one is seen (what OpenRouter does is not documented);
how many tokens a picture has is a guess.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import ClassVar

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.infra.extract import Cut
from pictura.sandbox.base import Visit, fails, refused_late
from pictura.sandbox.fields import Fields
from pictura.sandbox.routers import ApiError, Asked, Router, pixels

_ASPECTS = (
    *("1:1", "1:2", "1:4", "1:8", "2:1", "2:3", "3:2", "3:4", "4:1", "4:3", "4:5", "5:4", "8:1"),
    *("9:16", "16:9", "9:19.5", "19.5:9", "9:20", "20:9", "9:21", "21:9", "auto"),
)
MOST_REFERENCES = 16
INPUT_BYTES = 20_000_000


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's endpoints list: tiers, pictures of a call, references; `cost` in dollars of a picture."""

    tiers: tuple[str, ...] = ("512", "1K", "2K", "4K")
    most: int = 1
    references: int = 14
    streams: bool = False
    format: str = "png"
    cost: float = 0.04


MODELS = {
    "bytedance-seed/seedream-4.5": Model(tiers=("2K", "4K"), format="jpeg", cost=0.04),
    "google/gemini-2.5-flash-image": Model(tiers=("1K",), references=3, cost=0.039),
    "google/gemini-3.1-flash-image": Model(cost=0.067),
    "openai/gpt-image-1": Model(tiers=("1K",), most=10, references=16, streams=True, cost=0.011),
    "openai/gpt-image-2": Model(most=10, references=16, streams=True, cost=0.13),
    "black-forest-labs/flux.2-pro": Model(references=8, cost=0.03),
}


def read_asked(fields: Fields, model: Model) -> Asked:
    """Everything but the pictures. Raises BadRequest for the first thing that is wrong."""
    prompt = fields.text("prompt", required=True)
    width, height = _size(fields, model)
    count = fields.whole("n", 1, 10) or 1
    if count > model.most:
        raise BadRequest("This model generates one image per request; n must be 1", param="n")
    format = fields.word("output_format", ("png", "jpeg", "webp"), model.format)
    transparent = fields.word("background", ("auto", "transparent", "opaque")) == "transparent"
    if transparent and format == "jpeg":
        raise BadRequest("background transparent requires output_format png or webp", param="background")
    fields.take("provider", dict)
    return Asked(
        model="",
        prompt=prompt,
        width=width,
        height=height,
        count=count,
        seed=fields.whole("seed", -(2**53), 2**53),
        format=format,
        compression=fields.whole("output_compression", 0, 100),
        transparent=transparent,
        label=fields.word("quality", ("auto", "low", "medium", "high")),
    )


def _size(fields: Fields, model: Model) -> tuple[int, int]:
    """Pixels are authoritative, and a word beside them that says something else is refused."""
    size, tier = fields.text("size"), fields.word("resolution", model.tiers)
    aspect = fields.word("aspect_ratio", _ASPECTS).replace("auto", "")
    if "x" in size and (tier or aspect):
        raise BadRequest("size conflicts with resolution and aspect_ratio", param="size")
    width, height = pixels(size, "2:1" if "." in aspect else aspect, tier)
    return width, height


class OpenRouter(Router):
    """The Image API, below `/openrouter/api/v1`."""

    name = "openrouter"
    own_errors: ClassVar = {
        401: ApiError(401, "User not found."),
        402: ApiError(402, "Insufficient credits. Add more using https://openrouter.ai/settings/credits"),
        404: ApiError(404, "Not Found"),
        429: ApiError(429, "Rate limit exceeded", type="rate_limit_exceeded"),
        500: ApiError(500, "Internal Server Error", type="server"),
        502: ApiError(502, "Provider returned error", type="provider_unavailable"),
    }

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/api/v1/images", self.answering(self._draw)),
            web.route("*", "/{path:.*}", self.answering(self._lost)),
        ]

    def told(self, error: ApiError, visit: Visit) -> object:
        """A `type` here is what stands in `metadata.error_type`."""
        metadata = {"metadata": {"error_type": error.type}} if error.type else {}
        return {"error": {"code": error.status, "message": error.message, **metadata}}

    def translated(self, error: BadRequest) -> ApiError:
        return ApiError(400, error.message, type="invalid_request")

    async def _lost(self, visit: Visit) -> web.StreamResponse:
        raise self.own_errors[404].anew()

    async def _draw(self, visit: Visit) -> web.StreamResponse:
        values, cuts = await visit.json(INPUT_BYTES, pictures=MOST_REFERENCES + 4)
        fields = Fields(values)
        name = fields.text("model", required=True)
        model = MODELS.get(name)
        if model is None:
            raise ApiError(404, f"No endpoints found for {name}.", type="not_found")
        asked = msgspec.structs.replace(
            read_asked(fields, model), model=name, inputs=await self._references(fields, cuts, model)
        )
        stream = fields.flag("stream")
        fields.refuse_rest()
        refusal = ApiError(400, "The request was flagged by a content filter.", type="content_policy_violation")
        if (trouble := await self.trouble(visit, asked.prompt, refusal, late=False)) is not None:
            return trouble
        if refused_late(asked.prompt):  # a model's own moderation, once it is at work
            return await visit.send(self.told(refusal, visit), 200)
        if fails(asked.prompt):
            raise self.own_errors[502].anew()
        if stream and model.streams:
            return await visit.stream(self._events(visit, asked, model))
        data = await self.painted(visit, asked)
        return await visit.send({"created": int(time.time()), "data": data, "usage": _usage(asked, model, len(data))})

    async def painted(self, visit: Visit, asked: Asked) -> list[dict[str, object]]:
        return [{**datum, "media_type": f"image/{asked.format}"} for datum in await super().painted(visit, asked)]

    async def _references(self, fields: Fields, cuts: Sequence[Cut], model: Model) -> Sequence[bytes]:
        found = []
        for reference in fields.objects("input_references", most=MOST_REFERENCES):
            reference.word("type", ("image_url",))
            inside = reference.inside("image_url", required=True)
            found.append(await self.looked(inside.anything("url"), cuts, "input_references", INPUT_BYTES))
        if len(found) > model.references:
            raise BadRequest(f"at most {model.references} input_references are taken", param="input_references")
        return found

    async def _events(self, visit: Visit, asked: Asked, model: Model) -> AsyncIterator[tuple[str, object]]:
        """Without names: the kind stands in the data."""
        one = msgspec.structs.replace(asked, count=1)
        for datum in await self.painted(visit, msgspec.structs.replace(one, label="preview")):
            partial = {"type": "image_generation.partial_image", "partial_image_index": 0}
            yield "", {**partial, "b64_json": datum["b64_json"]}
        for datum in await self.painted(visit, one):
            told = {"type": "image_generation.completed", **datum, "created": int(time.time())}
            yield "", {**told, "usage": _usage(one, model, 1)}
        yield "", msgspec.Raw(b"[DONE]")


def _usage(asked: Asked, model: Model, pictures: int) -> dict[str, object]:
    into = math.ceil(len(asked.prompt) / 4) + 250 * len(asked.inputs)
    out = pictures * asked.width * asked.height // 250
    cost = round(model.cost * pictures, 6)
    return {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out, "cost": cost}
