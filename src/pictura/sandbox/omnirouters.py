"""OmniRouters' Omni-Image, as strict as OmniRouters: https://docs.omnirouters.com/api/omni-image.

Fields and paths follow its page (2026-02, documented), states and errors the public fork it runs on (2026-05, read in
source), what a model takes Tencent VOD, which stands behind it (inferred).

With `?async=true` a task is begun, without it the picture is waited for. A task cannot be taken back.

Not as there: pictures that a client shows may be data URLs besides; the code of a task that is refused is a guess, its
page and the fork know none.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.infra.extract import Cut
from pictura.sandbox.base import Visit, fails, refused_late
from pictura.sandbox.fields import Fields
from pictura.sandbox.new_api import NewApiRouter, no_channel, upstream_says, whole
from pictura.sandbox.routers import Asked, pixels
from pictura.sandbox.tasks import Task


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What VOD takes for a model: words for its size, pictures of a call, inputs, qualities."""

    tiers: tuple[str, ...] = ("1K", "2K", "4K")
    aspects: tuple[str, ...] = ("1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9", "21:9")
    most: int = 1
    inputs: int = 14
    qualities: tuple[str, ...] = ()


MODELS = {
    "Nano-Banana2": Model(),
    "GPT-image-2": Model(most=8, inputs=16, qualities=("low", "medium", "high")),
    "Kling:3.0-omni": Model(most=9, inputs=10),
    "Seedream:4.5": Model(tiers=("2K", "4K"), aspects=(), most=9),
    "Hunyuan-3d-2.0": Model(tiers=(), aspects=(), inputs=0),
}
REGIONS = ("Mainland", "Oversea", "OverseaUSWest")
#: The sum of all inputs of a call.
INPUT_BYTES = 7_000_000
PREFIX = "task_"
_STATUS = {"queued": "queued", "running": "in_progress", "done": "completed", "cancelled": "failed"}
_PANORAMA = (2048, 1024)


def read_asked(fields: Fields) -> Asked:
    """Everything but the pictures. What the router checks is a BadRequest, what VOD does an ApiError."""
    name = fields.text("model", required=True)
    model = MODELS.get(name)
    if model is None:
        raise no_channel(name)
    prompt, count = fields.text("prompt"), fields.whole("n", 0, 2**31) or 1
    tier, aspect = _known(fields, "resolution", model.tiers), _known(fields, "aspect_ratio", model.aspects)
    quality = _known(fields, "quality", model.qualities)
    _known(fields, "input_region", REGIONS)
    if not prompt:
        raise upstream_says("Prompt is required", "prompt")
    if count > model.most:
        raise upstream_says(f"OutputImageCount must be at most {model.most}", "n")
    width, height = pixels(aspect=aspect, tier=tier) if model.tiers else _PANORAMA
    return Asked(
        model=name, prompt=prompt, width=width, height=height, count=count, format="jpeg", label=quality, by_url=True
    )


def _known(fields: Fields, name: str, words: Sequence[str]) -> str:
    value = fields.text(name)
    if value and value not in words:
        raise upstream_says(f"{name} {value} is not supported, use one of {', '.join(words) or 'none'}", name)
    return value


class OmniRouters(NewApiRouter):
    """Omni-Image, below `/omnirouters/v1`."""

    name = "omnirouters"

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/v1/images/generations", self.answering(self._generate)),
            web.get("/v1/images/generations/{id}", self.answering(self._fetch)),
            web.route("*", "/{path:.*}", self.answering(self.lost)),
        ]

    async def _generate(self, visit: Visit) -> web.StreamResponse:
        values, cuts = await visit.json(INPUT_BYTES, pictures=20)
        fields = Fields(values)
        asked = read_asked(fields)
        asked.inputs = await self._inputs(fields, cuts, MODELS[asked.model])
        later = visit.request.query.get("async", "").lower() == "true"
        if (trouble := await self.trouble(visit, asked.prompt, self.refusal, late=not later)) is not None:
            return trouble
        if later:
            return await self._begin(visit, asked)
        data = await self.painted(visit, asked)
        return await visit.send({"created": int(time.time()), "data": [whole(datum) for datum in data]})

    async def _inputs(self, fields: Fields, cuts: Sequence[Cut], model: Model) -> Sequence[bytes]:
        values = fields.list("images")
        if len(values) > model.inputs:
            raise upstream_says(f"FileInfos takes at most {model.inputs} entries", "images")
        looked = [await self.looked(value, cuts, "images", INPUT_BYTES) for value in values]
        if sum(map(len, looked)) > INPUT_BYTES:
            raise upstream_says(f"The inputs have more than {INPUT_BYTES} bytes together", "images")
        return looked

    async def _begin(self, visit: Visit, asked: Asked) -> web.StreamResponse:
        memo = {
            "model": asked.model,
            "prompt": asked.prompt,
            "width": asked.width,
            "height": asked.height,
            "count": asked.count,
            "label": asked.label,
        }
        try:
            id = self.studio.tasks.begin(memo, asked.inputs, PREFIX)
        except BadRequest as error:
            raise upstream_says(error.message, "images") from error
        return await visit.send({"task_id": id, "status": "queued"})

    async def _fetch(self, visit: Visit) -> web.StreamResponse:
        id = visit.request.match_info["id"]
        task = self.studio.tasks.find(id, PREFIX)
        if task is None:
            return await visit.send({"code": "task_not_exist", "message": "task_not_exist", "data": None}, 400)
        told: dict[str, object] = {"task_id": id, "status": _STATUS[task.phase]}
        if task.phase != "done":
            return await visit.send(told)
        if error := _ended_badly(task):
            return await visit.send({**told, "status": "failed", "error": error})
        data = await self.painted(visit, _asked(task))
        return await visit.send({**told, "data": [whole(datum) for datum in data]})


def _ended_badly(task: Task) -> Mapping[str, str]:
    if refused_late(task.prompt):
        return {"code": "content_policy_violation", "message": "ContentModerationFailed"}
    return {"message": f"upstream task failed ({secrets.token_hex(4)})"} if fails(task.prompt) else {}


def _asked(task: Task) -> Asked:
    asked = msgspec.convert({**task.memo, "format": "jpeg", "by_url": True}, Asked)
    asked.inputs = task.inputs
    return asked
