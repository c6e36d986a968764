"""Black Forest Labs' API, as strict as the vendor: https://docs.bfl.ai.

The tables here are the vendor's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. Unless a line says otherwise they follow api.bfl.ai/openapi.json (2026-05 to 2026-10, read in copies;
confidence: official specification); messages follow FastAPI's pattern, which that file shows.

Not as at the vendor: nobody is called back; finetunes and tools are missing; accounts have no limits. A size the schema
does not bound is bounded by what BFL's pages say (four megapixels), and rounded down to 16 pixels, as users saw it.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Literal

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.core.media import Media
from pictura.infra.extract import Cut
from pictura.sandbox.base import Vendor, VendorError, Visit, fails, refused, refused_late
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.fields import Fields, Why, Wrong
from pictura.sandbox.inputs import Input, shown
from pictura.sandbox.tasks import Task

# -- the vendor's tables --

NUMBERED = ("input_image", *(f"input_image_{number}" for number in range(2, 9)))


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What one model takes. `pictures`: its fields for them, all in one list where it is strict. `credits`: for the
    first megapixel and each begun one after it. `edge`: of the square whose area it draws, where it is told an aspect.
    """

    sizing: Literal["pixels", "free", "aspect", "tier", "own", "margins"]
    pictures: tuple[str, ...]
    credits: tuple[float, float] = (0, 0)
    edge: int = 1024
    needs_prompt: bool = False
    tolerance: int = 6
    steps: tuple[int, int] | None = None
    guidance: tuple[float, float] | None = None
    flags: tuple[str, ...] = ("prompt_upsampling",)
    seeded: bool = True
    formats: tuple[str, ...] = ("jpeg", "png", "webp")
    strict: bool = False


_FLUX_2 = Model(
    sizing="free", pictures=NUMBERED, credits=(3, 1.5), needs_prompt=True, tolerance=5, flags=("disable_pup",)
)
_KLEIN = msgspec.structs.replace(_FLUX_2, pictures=NUMBERED[:4], flags=())
_PRO_1_1 = Model(sizing="pixels", pictures=("image_prompt",), credits=(4, 0))
_KONTEXT = Model(
    sizing="aspect", pictures=NUMBERED[:4], credits=(4, 0), needs_prompt=True, formats=("png", "jpeg", "webp")
)
_FILL = Model(sizing="own", pictures=("image",), credits=(5, 0), steps=(15, 50), guidance=(1.5, 100))

MODELS = {
    # Released on 2026-10-01; its schema as generated into SDKs, its page as quoted (third party).
    "flux-3-image": Model(
        sizing="tier",
        pictures=("images",),
        needs_prompt=True,
        tolerance=4,
        flags=("grounding",),
        seeded=False,
        formats=("jpeg",),
        strict=True,
    ),
    "flux-2-max": msgspec.structs.replace(_FLUX_2, credits=(7, 3)),
    "flux-2-pro": _FLUX_2,
    "flux-2-pro-preview": _FLUX_2,
    "flux-2-flex": msgspec.structs.replace(
        _FLUX_2, credits=(5, 5), flags=("prompt_upsampling",), steps=(1, 50), guidance=(1.5, 10)
    ),
    "flux-2-klein-9b": msgspec.structs.replace(_KLEIN, credits=(1.5, 0.2)),
    "flux-2-klein-9b-preview": msgspec.structs.replace(_KLEIN, credits=(1.5, 0.2)),
    "flux-2-klein-4b": msgspec.structs.replace(_KLEIN, credits=(1.4, 0.1)),
    "flux-kontext-max": msgspec.structs.replace(_KONTEXT, credits=(8, 0)),
    "flux-kontext-pro": _KONTEXT,
    "flux-pro-1.1": _PRO_1_1,
    "flux-pro-1.1-ultra": Model(
        sizing="aspect",
        pictures=("image_prompt",),
        credits=(6, 0),
        edge=2048,
        flags=("prompt_upsampling", "raw"),
    ),
    "flux-dev": msgspec.structs.replace(_PRO_1_1, credits=(2.5, 0), steps=(1, 50), guidance=(1.5, 5)),
    "flux-pro-1.0-fill": _FILL,
    "flux-pro-1.0-expand": msgspec.structs.replace(_FILL, sizing="margins"),
}
#: Of FLUX 3: what fal and ComfyUI, without its surcharge, write alike (2026-10, third party).
TIER_CREDITS = {"768sq": 4.1, "1k": 4.8, "1.5k": 7.0, "2k": 10.0, "4k": 60.7}
TIERS = {"768sq": 768, "1k": 1024, "1.5k": 1536, "2k": 2048, "4k": 4096}
_TIER_ASPECTS = "21:9 2:1 16:9 3:2 7:5 4:3 5:4 1:1 4:5 3:4 5:7 2:3 9:16 1:2 9:21 auto"

MEGAPIXEL = 2**20
SIDES = ("top", "bottom", "left", "right")
WIDEST = 21 / 9
FREE_LEAST, FREE_PIXELS, STEP = 64, 4 * MEGAPIXEL, 16
#: From memory, but for FLUX 3's.
INPUT_BYTES, INPUT_PIXELS = 20_000_000, 20_000_000
STRICT_SIDE, STRICT_PIXELS, STRICT_PICTURES = 256, 16_000_000, 10
#: A few more than any model takes, so that its own complaint can count them.
MOST_CUTS = 32
INPUT_FORMATS = ("png", "jpeg", "webp")
_PICTURE_KEYS = frozenset({*NUMBERED, "image_prompt", "image", "images", "mask"})

_ERRORS = {
    401: (403, "Not authenticated"),  # it knows no 401
    402: (402, "Insufficient credits"),
    429: (429, "Too many active tasks"),
    500: (500, "Internal Server Error"),
}
_KINDS: Mapping[Why, str] = {
    "missing": "missing",
    "type": "type_error",
    "value": "value_error",
    "range": "out_of_range",
    "length": "too_long",
    "unknown": "extra_forbidden",
}


class BflError(VendorError):
    def __init__(self, status: int, detail: object) -> None:
        super().__init__(status, {"detail": detail})


def invalid(error: Wrong) -> BflError:
    place = ["body", *error.field.split(".")]
    return BflError(422, [{"loc": place, "msg": error.message, "type": _KINDS[error.why]}])


# -- what is asked --


class Asked(msgspec.Struct, kw_only=True):
    """A request that has passed, as its task remembers it."""

    model: str
    prompt: str
    seed: int
    format: str
    width: int = 0
    height: int = 0
    #: Its inputs are a picture and a mask.
    masked: bool = False


def read_asked(fields: Fields, name: str, model: Model) -> Asked:
    """Everything but sizes and pictures. Raises Wrong for what is wrong first."""
    prompt = fields.text("prompt", required=model.needs_prompt)
    seed = fields.whole("seed", -(2**63), 2**63) if model.seeded else None
    fields.whole("safety_tolerance", 0, model.tolerance)
    for flag in model.flags:
        fields.flag(flag)
    if model.steps:
        fields.whole("steps", *model.steps)
    if model.guidance:
        fields.number("guidance", *model.guidance)
    if name == "flux-pro-1.1-ultra":
        fields.number("image_prompt_strength", 0, 1)
    if fields.text("webhook_url"):
        raise Wrong("webhook_url", "value", "the sandbox calls nobody back; leave webhook_url out and ask")
    if model.strict:
        fields.word("version", ("latest",))
        output_format = model.formats[0]
    else:
        output_format = fields.word("output_format", model.formats, model.formats[0])
    drawn = seed_from(name, prompt) if seed is None else seed
    return Asked(model=name, prompt=prompt, seed=drawn, format=output_format)


def read_pictures(fields: Fields, model: Model) -> list[tuple[str, object]]:
    """The pictures of a request but for its mask, each with the field it stands in."""
    if model.strict:
        listed = fields.anything("images")
        values = listed if isinstance(listed, list) else [] if listed is None else [listed]
        if len(values) > STRICT_PICTURES or listed == []:
            raise Wrong("images", "length", f"List should have 1 to {STRICT_PICTURES} items")
        return [("images", value) for value in values]
    found = [(name, value) for name in model.pictures if (value := fields.anything(name)) is not None]
    if not found and model.sizing in ("own", "margins"):
        raise Wrong("image", "missing", "Field required")
    return found


Pixels = tuple[int, int]


def read_size(fields: Fields, model: Model, first: Media | None) -> tuple[Pixels, float | None]:
    """The pixels of what is to be drawn, and its tier's credits where it has any."""
    if model.sizing == "tier":
        tier = fields.word("resolution", tuple(TIERS), "1k")
        aspect = fields.word("aspect_ratio", _TIER_ASPECTS.split(), "auto")
        return _shaped(TIERS[tier], _ratio(aspect, first)), TIER_CREDITS[tier]
    return _READ_SIZE[model.sizing](fields, model, first), None


def _pixels(fields: Fields, model: Model, first: Media | None) -> Pixels:
    width, height = fields.whole("width", 256, 1440) or 1024, fields.whole("height", 256, 1440) or 768
    for name, side in (("width", width), ("height", height)):
        if side % 32:
            raise Wrong(name, "value", "Input should be a multiple of 32")
    return width, height


def _free(fields: Fields, model: Model, first: Media | None) -> Pixels:
    width, height = fields.whole("width", FREE_LEAST, 2**31) or 0, fields.whole("height", FREE_LEAST, 2**31) or 0
    if not width and not height and first is not None:
        scale = min(1.0, math.sqrt(FREE_PIXELS / first.pixels))
        width, height = int(first.width * scale), int(first.height * scale)
    width, height = max(FREE_LEAST, width or 1024), max(FREE_LEAST, height or 1024)
    if width * height > FREE_PIXELS:
        raise Wrong("width", "range", "Input should be at most 4 megapixels, width and height together")
    return width // STEP * STEP, height // STEP * STEP


def _aspect(fields: Fields, model: Model, first: Media | None) -> Pixels:
    aspect = fields.text("aspect_ratio")
    if not aspect and model.edge > 1024:
        aspect = "16:9"
    ratio = _ratio(aspect, first)
    if not 1 / WIDEST - 1e-9 <= ratio <= WIDEST + 1e-9:
        raise Wrong("aspect_ratio", "value", "Aspect ratio should be between 21:9 and 9:21")
    return _shaped(model.edge, ratio)


def _own(fields: Fields, model: Model, first: Media | None) -> Pixels:
    assert first is not None
    return first.width, first.height


def _margins(fields: Fields, model: Model, first: Media | None) -> Pixels:
    assert first is not None
    top, bottom, left, right = (fields.whole(side, 0, 2048) or 0 for side in SIDES)
    return first.width + left + right, first.height + top + bottom


_READ_SIZE: Mapping[str, Callable[[Fields, Model, Media | None], Pixels]] = {
    "pixels": _pixels,
    "free": _free,
    "aspect": _aspect,
    "own": _own,
    "margins": _margins,
}


def _ratio(aspect: str, first: Media | None) -> float:
    """Wide to high; without an aspect, or with "auto", the first picture's."""
    if aspect in ("", "auto"):
        return min(WIDEST, max(1 / WIDEST, first.width / first.height)) if first else 1.0
    wide, colon, high = aspect.partition(":")
    if not (colon and wide.isdigit() and high.isdigit() and int(wide) and int(high)):
        raise Wrong("aspect_ratio", "value", "Aspect ratio should be written like 16:9")
    return int(wide) / int(high)


def _shaped(edge: int, ratio: float) -> Pixels:
    """The area of a square of this edge, in another shape."""
    return round(edge * math.sqrt(ratio) / STEP) * STEP, round(edge / math.sqrt(ratio) / STEP) * STEP


def price(model: Model, size: Pixels, inputs: Sequence[Input]) -> float:
    """In credits, by BFL's skill page: input megapixels count like further ones of the output."""
    first, further = model.credits
    begun = math.ceil(size[0] * size[1] / MEGAPIXEL) - 1
    given = math.ceil(sum(found.media.pixels for found in inputs) / MEGAPIXEL)
    return round(first + further * (begun + given), 4)


# -- the simulator --


class BlackForestLabs(Vendor):
    """Generation and editing, below `/bfl/v1`."""

    name = "bfl"

    def routes(self) -> Iterable[web.RouteDef]:
        for name in MODELS:
            yield web.post(f"/v1/{name}", self.answering(partial(self._create, name)))
        yield web.get("/v1/get_result", self.answering(self._result))
        yield web.get("/v1/credits", self.answering(self._credits))
        yield web.route("*", "/{path:.*}", self.answering(self._lost))

    def own_error(self, status: int) -> BflError:
        return BflError(*_ERRORS[status])

    def translated(self, error: BadRequest) -> BflError:
        return invalid(error) if isinstance(error, Wrong) else BflError(422, error.message)

    def check_key(self, visit: Visit) -> None:
        """Nobody asks who asks for a result: the file of 2026 wants no key there."""

    def _check_key(self, visit: Visit) -> None:
        if not self.studio.accepts(visit.request.headers.get("x-key", "")):
            raise self.own_error(401)

    async def _create(self, name: str, visit: Visit) -> web.StreamResponse:
        self._check_key(visit)
        model = MODELS[name]
        values, cuts = await visit.json(INPUT_BYTES, MOST_CUTS, _PICTURE_KEYS)
        fields = Fields(values)
        asked = read_asked(fields, name, model)
        look_at = partial(self._look, cuts, model)
        inputs = [await look_at(field, value) for field, value in read_pictures(fields, model)]
        mask = await self._mask(fields, model, inputs, look_at)
        size, tier_credits = read_size(fields, model, inputs[0].media if inputs else None)
        if model.strict:
            fields.refuse_rest()
        if (trouble := await self.misbehave(visit, asked.prompt)) is not None:
            return trouble
        asked.width, asked.height = size
        asked.masked = mask is not None
        # Its mask stands behind the first picture, because an id carries two.
        shown_first = [*inputs[:1], *([mask] if mask else []), *inputs[1:]]
        id = self.studio.tasks.begin(msgspec.structs.asdict(asked), [found.data for found in shown_first])
        credits = tier_credits if model.sizing == "tier" else price(model, size, inputs)
        return await visit.send({**self._accepted(id), **_measured(credits, size, inputs)})

    def _accepted(self, id: str) -> Mapping[str, object]:
        return {"id": id, "polling_url": f"{self.studio.address}/{self.name}/v1/get_result?id={id}"}

    async def _look(self, cuts: Sequence[Cut], model: Model, field: str, value: object) -> Input:
        try:
            found = await shown(value, cuts, self.studio, INPUT_FORMATS, INPUT_BYTES)
        except BadRequest as error:
            raise Wrong(field, "value", error.message) from error
        if model.strict and min(found.media.width, found.media.height) < STRICT_SIDE:
            raise Wrong(field, "range", f"Image should have at least {STRICT_SIDE}x{STRICT_SIDE} pixels")
        if found.media.pixels > (STRICT_PIXELS if model.strict else INPUT_PIXELS):
            raise BflError(400, "The image has too many megapixels")
        return found

    async def _mask(
        self,
        fields: Fields,
        model: Model,
        inputs: Sequence[Input],
        look_at: Callable[[str, object], Awaitable[Input]],
    ) -> Input | None:
        """Where to paint: white in a picture of its own, or transparent in the picture itself."""
        if model.sizing != "own":
            return None
        value = fields.anything("mask")
        if value is None:
            if not inputs[0].media.alpha:
                raise Wrong("mask", "missing", "A mask is required, or an alpha channel in the image")
            return inputs[0]
        mask = await look_at("mask", value)
        if mask.media.alpha:
            raise Wrong("mask", "value", "The mask should be black and white")
        if (mask.media.width, mask.media.height) != (inputs[0].media.width, inputs[0].media.height):
            raise Wrong("mask", "value", "The mask should have the same dimensions as the image")
        return mask

    async def _result(self, visit: Visit) -> web.StreamResponse:
        id = visit.request.query.get("id")
        if id is None:
            raise BflError(422, [{"loc": ["query", "id"], "msg": "Field required", "type": "missing"}])
        task = self.studio.tasks.find(id)
        if task is None or task.memo.get("model") not in MODELS:
            return await visit.send(_standing(id, "Task not found"))
        asked = msgspec.convert(task.memo, Asked)
        if refused(asked.prompt):
            return await visit.send(_standing(id, "Request Moderated", _REASONS))
        if task.phase != "done":
            return await visit.send(_standing(id, "Pending" if task.phase == "queued" else "Generating"))
        if refused_late(asked.prompt):
            return await visit.send(_standing(id, "Content Moderated", _REASONS))
        if fails(asked.prompt):
            return await visit.send(_standing(id, "Error", {"error": "The prompt asked for this."}))
        return await visit.send({**_standing(id, "Ready"), "result": await self._drawn(visit, task, asked)})

    async def _drawn(self, visit: Visit, task: Task, asked: Asked) -> Mapping[str, object]:
        base, mask, *_ = [*task.inputs, None, None]
        scene = Scene(
            model=asked.model,
            prompt=asked.prompt,
            width=asked.width,
            height=asked.height,
            seed=asked.seed,
            format=asked.format,
            base=base,
            mask=mask if asked.masked else None,
        )
        pictures = await self.paint(visit, [scene])
        began_s = task.began_ms / 1000
        return {
            "sample": self.hosted(pictures[0], asked.prompt) if pictures else None,
            "prompt": asked.prompt,
            "seed": asked.seed,
            "start_time": began_s,
            "end_time": began_s + task.age_s,
            "duration": task.age_s,
        }

    async def _credits(self, visit: Visit) -> web.StreamResponse:
        self._check_key(visit)
        return await visit.send({"credits": 1000.0})

    async def _lost(self, visit: Visit) -> web.StreamResponse:
        raise BflError(404, "Not Found")


_REASONS = {"Moderation Reasons": ["Sandbox"]}


def _standing(id: str, status: str, details: Mapping[str, object] | None = None) -> dict[str, object]:
    return {"id": id, "status": status, "result": None, "progress": None, "details": details, "preview": None}


def _measured(credits: float | None, size: Pixels, inputs: Sequence[Input]) -> Mapping[str, object]:
    given = sum(found.media.pixels for found in inputs)
    return {
        "cost": credits,
        "input_mp": round(given / MEGAPIXEL, 2),
        "output_mp": round(size[0] * size[1] / MEGAPIXEL, 2),
    }
