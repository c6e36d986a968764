"""Replicate's HTTP API, as strict as the vendor: https://replicate.com/docs/reference/http.

The tables here are the vendor's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. Inputs follow the models' own pages (stored copies, 2024 to 2026; documented), paths and predictions the
official SDK, replicate 1.0.7; kontext-max is as kontext-pro's page, and what is marked so is remembered.

    `[refuse]`        a prediction that fails with E005 as soon as it runs; `[refuse late]` when it would be done
    `[fault:failed]`  one that fails with E1001

Not as at the vendor: an unknown input field is refused, so that a misspelt one is seen; `Prefer: wait` is answered at
once, as if a second had passed; an answer repeats the input without its pictures; sizes are computed from the aspect;
pictures are enlarged to at most 16 megapixels; webhooks are not called; other models than these, and deployments, are
not found.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.infra.extract import Cut
from pictura.infra.spool import Spool
from pictura.sandbox.base import Vendor, VendorError, Visit, fails, refused, refused_late
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.fields import Fields, Wrong
from pictura.sandbox.inputs import Input, look, shown
from pictura.sandbox.tasks import Task

# -- the vendor's table of models --


class Word(msgspec.Struct, frozen=True):
    """One of these; the first is the default."""

    words: tuple[str, ...]


class Number(msgspec.Struct, frozen=True):
    low: float
    high: float
    whole: bool = True


class Switch(msgspec.Struct, frozen=True):
    pass


class Text(msgspec.Struct, frozen=True):
    required: bool = False


class File(msgspec.Struct, frozen=True):
    required: bool = False


class Files(msgspec.Struct, frozen=True):
    most: int


Kind = Word | Number | Switch | Text | File | Files


class Model(msgspec.Struct, frozen=True):
    """`input` by field; `listed`: its output is a list, even of one.

    `version`: of one that is not kept ready, and goes by that alone. `makes`: the format of one that knows no word for
    it. `works` over its picture: the result is as large as that, or `scale` times as large. `kept`: it shows the
    picture itself; `transparent`: without its ground. A picture has at most `pixels`, and `sides` within two bounds.
    """

    input: Mapping[str, Kind]
    listed: bool = False
    version: str = ""
    makes: str = "jpeg"
    works: bool = False
    kept: bool = False
    transparent: bool = False
    pixels: int = 100_000_000
    sides: tuple[int, int] = (1, 100_000)


_ASPECTS = ("1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21")
_PROMPT: dict[str, Kind] = {"prompt": Text(required=True), "seed": Number(-(2**63), 2**63 - 1)}
_SAVED: dict[str, Kind] = {"output_format": Word(("webp", "jpg", "png")), "output_quality": Number(0, 100)}
_FLUX_1: dict[str, Kind] = {
    **_PROMPT,
    **_SAVED,
    "aspect_ratio": Word(_ASPECTS),
    "num_outputs": Number(1, 4),
    "num_inference_steps": Number(1, 4),
    "disable_safety_checker": Switch(),
    "go_fast": Switch(),
    "megapixels": Word(("1", "0.25")),
}
_PRO_ASPECTS = ("1:1", "custom", "16:9", "3:2", "2:3", "4:5", "5:4", "9:16", "3:4", "4:3")
_PRO: dict[str, Kind] = {**_PROMPT, "prompt_upsampling": Switch(), "safety_tolerance": Number(1, 6)}
_KONTEXT: dict[str, Kind] = {
    **_PRO,
    "safety_tolerance": Number(0, 6),
    "input_image": File(),
    "aspect_ratio": Word(("match_input_image", *_ASPECTS, "2:1", "1:2")),
    "output_format": Word(("png", "jpg")),
}
_FLUX_2: dict[str, Kind] = {
    **_PRO,
    **_SAVED,
    "safety_tolerance": Number(1, 5),
    "input_images": Files(10),
    "aspect_ratio": Word((*_PRO_ASPECTS, "match_input_image")),
    "resolution": Word(("1 MP", "match_input_image", "0.5 MP", "2 MP", "4 MP")),
    "width": Number(256, 2048),
    "height": Number(256, 2048),
}
_SEEDREAM: dict[str, Kind] = {
    "prompt": Text(required=True),
    "image_input": Files(14),
    "aspect_ratio": Word(("match_input_image", "1:1", "4:3", "3:4", "16:9", "9:16", "3:2", "2:3", "21:9")),
    "sequential_image_generation": Word(("disabled", "auto")),
    "max_images": Number(1, 15),
}

_RECRAFT = Model({"image": File(required=True)}, makes="svg", works=True, pixels=16_000_000, sides=(256, 4096))

MODELS: Mapping[str, Model] = {
    "black-forest-labs/flux-schnell": Model(_FLUX_1, listed=True),
    "black-forest-labs/flux-dev": Model(
        {
            **_FLUX_1,
            "num_inference_steps": Number(1, 50),
            "guidance": Number(0, 10, whole=False),
            "image": File(),
            "prompt_strength": Number(0, 1, whole=False),
        },
        listed=True,
    ),
    "black-forest-labs/flux-1.1-pro": Model(
        {
            **_PRO,
            **_SAVED,
            "image_prompt": File(),
            "aspect_ratio": Word(_PRO_ASPECTS),
            "width": Number(256, 1440),
            "height": Number(256, 1440),
        }
    ),
    "black-forest-labs/flux-kontext-pro": Model(_KONTEXT),
    "black-forest-labs/flux-kontext-max": Model(_KONTEXT),
    # Steps and guidance: copies of the page (2026).
    "black-forest-labs/flux-2-flex": Model(
        {**_FLUX_2, "steps": Number(1, 50), "guidance": Number(1.5, 10, whole=False)}
    ),
    # A copy of the page (2026).
    "black-forest-labs/flux-fill-pro": Model(
        {
            **_PRO,
            "image": File(required=True),
            "mask": File(),
            "steps": Number(15, 50),
            "guidance": Number(1.5, 100, whole=False),
            "output_format": Word(("jpg", "png")),
        }
    ),
    # Aspects as of seedream-4. Of its own page: custom sizes are missing here.
    "bytedance/seedream-4.5": Model({**_SEEDREAM, "size": Word(("2K", "4K"))}, listed=True),
    "google/nano-banana-pro": Model(
        {
            "prompt": Text(required=True),
            "image_input": Files(14),
            "aspect_ratio": Word(
                ("match_input_image", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
            ),
            "resolution": Word(("2K", "1K", "4K")),
            "output_format": Word(("jpg", "png")),
            "safety_filter_level": Word(("block_only_high", "block_medium_and_above", "block_low_and_above")),
        }
    ),
    # Fields: the page of an earlier version (documented). The bound: what clients are told beyond it (third party).
    "nightmareai/real-esrgan": Model(
        {"image": File(required=True), "scale": Number(0, 10, whole=False), "face_enhance": Switch()},
        version="f121d640bd286e1fdc67f9799164c1d5be36ff74576ee11c803ae5b665dd46aa",
        makes="png",
        works=True,
        kept=True,
        pixels=2_096_704,
    ),
    # Clients' code, and Recraft's pages on what they do (third party).
    "recraft-ai/recraft-remove-background": msgspec.structs.replace(_RECRAFT, makes="png", kept=True, transparent=True),
    "recraft-ai/recraft-vectorize": _RECRAFT,
}
#: Each model has one version here; the vendor's are the SHA-256 of a container.
VERSIONS = {model.version or hashlib.sha256(name.encode()).hexdigest(): name for name, model in MODELS.items()}
#: Of the scale, where none is named.
SCALE = 4

#: Edge of the square by the word for it, in whichever field it stands.
_EDGES = {"0.25": 512, "0.5 MP": 736, "1": 1024, "1 MP": 1024, "2 MP": 1440, "4 MP": 2048}
_EDGES |= {"1K": 1024, "2K": 2048, "4K": 4096}
_EDGE_FIELDS = ("megapixels", "resolution", "size")
#: Sides are rounded to these.
STEP = 32
FORMATS = ("jpeg", "png", "gif", "webp")
#: Data URLs: a megabyte (memory). Files: 100 MB (memory).
DATA_URL_BYTES = 1_000_000 * 3 // 4
FILE_BYTES = 100_000_000

# -- errors --


class ApiError(VendorError):
    """A problem as the vendor writes it (RFC 7807)."""

    def __init__(self, status: int, title: str, detail: str, **more: object) -> None:
        super().__init__(status, {"title": title, "detail": detail, "status": status, **more}, detail)


_OWN_ERRORS = {
    401: ("Unauthenticated", "You did not pass a valid authentication token"),
    402: ("Insufficient credit", "You have insufficient credit to run this model."),
    404: ("Not found", "The requested resource could not be found."),
    429: ("Too many requests", "Request was throttled. Your rate limit resets in ~2s."),
    500: ("Internal server error", "An unexpected error occurred."),
}
_WHYS = {"missing": "required", "type": "invalid_type", "unknown": "additional_property_not_allowed"}


def _own_error(status: int) -> ApiError:
    return ApiError(status, *_OWN_ERRORS[status])


def _invalid(error: BadRequest) -> ApiError:
    why = _WHYS.get(error.why, "invalid") if isinstance(error, Wrong) else "invalid"
    field = error.param or "input"
    return ApiError(
        422,
        "Input validation failed",
        f"- {field}: {error.message}\n",
        invalid_fields=[{"type": why, "field": field, "description": error.message}],
    )


# -- what is asked --

Values = dict[str, object]


class Asked(msgspec.Struct, frozen=True, eq=False):
    """An input that has passed: its plain values, defaults among them, and its pictures by field."""

    values: Values
    pictures: Mapping[str, Sequence[Input]]

    @property
    def first(self) -> Input | None:
        return next((given[0] for name, given in self.pictures.items() if given and name != "mask"), None)


def read_values(fields: Fields, model: Model) -> Values:
    """Everything but the pictures. Raises Wrong for the first thing that is wrong."""
    values = {name: _value(fields, name, kind) for name, kind in model.input.items()}
    return {name: value for name, value in values.items() if value is not None}


def _value(fields: Fields, name: str, kind: Kind) -> object:
    match kind:
        case Word(words):
            return fields.word(name, words, words[0])
        case Number(low, high, whole):
            return fields.whole(name, int(low), int(high)) if whole else fields.number(name, low, high)
        case Switch():
            return fields.flag(name) if name in fields else None
        case Text(required):
            return fields.text(name, required=required)
    return None


def size_of(model: Model, asked: Asked) -> tuple[int, int]:
    """Pixels of the picture to draw."""
    values, first = asked.values, asked.first
    if model.works and first:
        return first.enlarged(float(str(values.get("scale") or SCALE)) if "scale" in model.input else 1)
    aspect = str(values.get("aspect_ratio", "match_input_image"))
    if aspect == "custom":
        return _step(_number(values, "width")), _step(_number(values, "height"))
    edge = next((_EDGES[word] for field in _EDGE_FIELDS if (word := str(values.get(field))) in _EDGES), 1024)
    if ":" in aspect:
        across, down = (int(part) for part in aspect.split(":"))
    else:
        across, down = (first.media.width, first.media.height) if first else (1, 1)
    width = edge * math.sqrt(across / down)
    return _step(width), _step(width * down / across)


def _number(values: Values, name: str) -> float:
    value = values.get(name)
    if not isinstance(value, int | float):
        raise Wrong(f"input.{name}", "missing", f"{name} is required when aspect_ratio is custom")
    return value


def flaw_of(model: Model, first: Input | None) -> str:
    """What the model, once it runs, has against its picture."""
    if first is None:
        return ""
    width, height, pixels = first.media.width, first.media.height, first.media.pixels
    if pixels > model.pixels:
        return (
            f"Input image of dimensions ({height}, {width}, 3) has a total number of pixels {pixels} greater than the "
            f"max size that fits in GPU memory on this hardware, {model.pixels}. Resize input image and try again."
        )
    least, most = model.sides
    if min(width, height) < least or max(width, height) > most:
        return f"The sides of the image must have from {least} to {most} pixels."
    return ""


def _step(side: float) -> int:
    return max(1, round(side / STEP)) * STEP


def many(asked: Asked) -> int:
    """How many pictures to draw; of a group as many as the prompt asks for, in a number, and no more than allowed."""
    values = asked.values
    if values.get("sequential_image_generation") != "auto":
        return int(str(values.get("num_outputs", 1)))
    found = re.search(r"\b(\d{1,2})\b", str(values["prompt"]))
    return max(1, min(int(found[1]) if found else 1, int(str(values.get("max_images", 1)))))


# -- the simulator --


class Replicate(Vendor):
    """The predictions API, below `/replicate/v1`."""

    name = "replicate"

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/v1/models/{owner}/{model}/predictions", self.answering(self._run)),
            web.post("/v1/predictions", self.answering(self._run_version)),
            web.get("/v1/predictions/{id}", self.answering(self._tell)),
            web.post("/v1/predictions/{id}/cancel", self.answering(self._cancel)),
            web.post("/v1/files", self.answering(self._keep)),
            web.route("*", "/{path:.*}", self.answering(self._lost)),
        ]

    def own_error(self, status: int) -> ApiError:
        return _own_error(status)

    def translated(self, error: BadRequest) -> ApiError:
        return _invalid(error)

    async def _run(self, visit: Visit) -> web.StreamResponse:
        place = visit.request.match_info
        body, cuts = await self._body(visit)
        name = f"{place['owner']}/{place['model']}"
        if name not in MODELS or MODELS[name].version:
            raise _own_error(404)
        return await self._begin(visit, name, body, cuts)

    async def _run_version(self, visit: Visit) -> web.StreamResponse:
        body, cuts = await self._body(visit)
        version = body.text("version", required=True)
        name = VERSIONS.get(version.rpartition(":")[2], "")
        if not name:
            detail = "The specified version does not exist (or perhaps you don't have permission to use it?)"
            raise ApiError(422, "Invalid version or not permitted", detail)
        return await self._begin(visit, name, body, cuts)

    async def _body(self, visit: Visit) -> tuple[Fields, Sequence[Cut]]:
        values, cuts = await visit.json(DATA_URL_BYTES, pictures=32)
        return Fields(values), cuts

    async def _begin(self, visit: Visit, name: str, body: Fields, cuts: Sequence[Cut]) -> web.StreamResponse:
        model = MODELS[name]
        given = body.inside("input", required=True)
        for option in ("webhook", "webhook_events_filter", "stream"):
            body.anything(option)
        body.refuse_rest()
        asked = await self._read(given, model, cuts)
        prompt = str(asked.values.get("prompt", ""))
        if (trouble := await self.misbehave(visit, prompt)) is not None:
            return trouble
        id = self.studio.tasks.begin(_memo(name, prompt, model, asked), _inputs(asked))
        return await visit.send(await self._document(visit, _found(self.studio.tasks.find(id))), 201)

    async def _read(self, given: Fields, model: Model, cuts: Sequence[Cut]) -> Asked:
        values = read_values(given, model)
        pictures = {
            name: await self._pictures(given, name, kind, cuts)
            for name, kind in model.input.items()
            if isinstance(kind, File | Files)
        }
        given.refuse_rest()
        if model.input is _KONTEXT and pictures["input_image"] and int(str(values.get("safety_tolerance", 2))) > 2:
            raise Wrong("input.safety_tolerance", "range", "2 is the maximum allowed when input images are used")
        return Asked(values, pictures)

    async def _pictures(self, given: Fields, name: str, kind: File | Files, cuts: Sequence[Cut]) -> Sequence[Input]:
        if isinstance(kind, Files):
            return [await self._looked_at(value, given.where(name), cuts) for value in given.list(name, most=kind.most)]
        value = given.take(name, str, required=kind.required)
        return [] if value is None else [await self._looked_at(value, given.where(name), cuts)]

    async def _looked_at(self, value: object, where: str, cuts: Sequence[Cut]) -> Input:
        try:
            kept = self._kept(value)
            if kept is not None:
                return look(kept, FORMATS, FILE_BYTES)
            return await shown(value, cuts, self.studio, FORMATS, FILE_BYTES)
        except BadRequest as error:
            raise Wrong(where, "value", error.message) from error

    def _kept(self, value: object) -> Spool | None:
        """The file of ours that a URL names."""
        name = str(value).removeprefix(f"{self.studio.address}/replicate/v1/files/")
        return self.studio.shelf.get(name)

    async def _keep(self, visit: Visit) -> web.StreamResponse:
        _, files = await visit.form(FILE_BYTES, frozenset({"content"}))
        if not files:
            raise ApiError(400, "Missing content", "Missing content")
        spool = files[0].spool
        id = self.studio.shelf.put(spool)
        now = datetime.now(UTC).isoformat()
        document = {
            "id": id,
            "name": files[0].field,
            "content_type": spool.media_type,
            "size": spool.size,
            "etag": id,
            "checksums": {"sha256": hashlib.sha256(spool.read()).hexdigest()},
            "metadata": {},
            "created_at": now,
            "expires_at": now,
            "urls": {"get": f"{self.studio.address}/replicate/v1/files/{id}"},
        }
        return await visit.send(document, 201)

    async def _tell(self, visit: Visit) -> web.StreamResponse:
        task = _found(self.studio.tasks.find(visit.request.match_info["id"]))
        return await visit.send(await self._document(visit, task))

    async def _cancel(self, visit: Visit) -> web.StreamResponse:
        task = _found(self.studio.tasks.find(visit.request.match_info["id"]))
        if task.phase in ("queued", "running"):
            self.studio.tasks.cancel(task.id)
        return await visit.send(await self._document(visit, _found(self.studio.tasks.find(task.id))))

    async def _lost(self, visit: Visit) -> web.StreamResponse:
        raise _own_error(404)

    async def _document(self, visit: Visit, task: Task) -> dict[str, object]:
        """A prediction as it stands."""
        status, error = _state(task)
        began = datetime.fromtimestamp(task.began_ms / 1000, UTC).isoformat()
        own = f"{self.studio.address}/replicate/v1/predictions/{task.id}"
        over = status not in ("starting", "processing")
        return {
            "id": task.id,
            "model": task.memo["model"],
            "version": "hidden",
            "input": {**({"prompt": task.prompt} if task.prompt else {}), **_values(task)},
            "logs": "",
            "output": await self._output(visit, task) if status == "succeeded" else None,
            "data_removed": False,
            "error": error,
            "source": "api",
            "status": status,
            "created_at": began,
            "started_at": began if status != "starting" else None,
            "completed_at": datetime.now(UTC).isoformat() if over else None,
            "metrics": {"predict_time": round(task.age_s, 3)} if status == "succeeded" else {},
            "urls": {"get": own, "cancel": f"{own}/cancel", "web": f"https://replicate.com/p/{task.id}"},
        }

    async def _output(self, visit: Visit, task: Task) -> object:
        pictures = await self.paint(visit, _scenes(task))
        urls = [self.hosted(picture, task.prompt) for picture in pictures]
        if MODELS[str(task.memo["model"])].listed:
            return urls
        return urls[0] if urls else None


def _found(task: Task | None) -> Task:
    if task is None:
        raise _own_error(404)
    return task


def _state(task: Task) -> tuple[str, str | None]:
    """The vendor's word for where a task stands, and why it failed."""
    phase, prompt = task.phase, task.prompt
    if phase == "cancelled":
        return "canceled", None
    if phase == "queued":
        return "starting", None
    if refused(prompt) or (refused_late(prompt) and phase == "done"):
        return "failed", "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"
    if phase == "running":
        return "processing", None
    if fails(prompt):
        return "failed", "Prediction failed: the model ran out of memory (E1001)"
    if flaw := task.memo.get("flaw"):
        return "failed", str(flaw)
    return "succeeded", None


def _memo(name: str, prompt: str, model: Model, asked: Asked) -> dict[str, object]:
    width, height = size_of(model, asked)
    values = {field: value for field, value in asked.values.items() if field != "prompt"}
    drawn = {"values": values, "width": width, "height": height, "many": many(asked)}
    return {"model": name, "prompt": prompt, "flaw": flaw_of(model, asked.first), **drawn}


def _inputs(asked: Asked) -> list[bytes]:
    """The picture that is worked on, and the mask."""
    shown_first = [asked.first.data] if asked.first else []
    return shown_first + [mask.data for mask in asked.pictures.get("mask", ())]


def _values(task: Task) -> Values:
    return msgspec.convert(task.memo["values"], Values)


def _scenes(task: Task) -> list[Scene]:
    values, model = _values(task), MODELS[str(task.memo["model"])]
    seed, quality = values.get("seed"), values.get("output_quality")
    word = str(values.get("output_format", model.makes))
    first = Scene(
        model=str(task.memo["model"]),
        prompt=task.prompt,
        width=int(str(task.memo["width"])),
        height=int(str(task.memo["height"])),
        seed=seed % 2**31 if isinstance(seed, int) else seed_from(task.id),
        format="jpeg" if word == "jpg" else word,
        compression=quality if isinstance(quality, int) else None,
        transparent=model.transparent,
        kept=model.kept,
        base=task.inputs[0] if task.inputs else None,
        mask=task.inputs[1] if len(task.inputs) > 1 else None,
    )
    return [msgspec.structs.replace(first, seed=first.seed + index) for index in range(int(str(task.memo["many"])))]
