"""Runware's task API over HTTP and over WebSocket, as strict as the vendor: https://runware.ai/docs.

The tables here are the vendor's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. Tasks and their fields follow the official SDK, runware 0.5.24, which speaks WebSocket alone, and the vendor's
pages (stored copies of 2026; documented). What models take: those pages and the published schemas as bifrost and a
collection of skills tell of them (2026, third party), seedream's sizes ImageRouter's (2026-02); open models' is memory.

    `[refuse]`        the task's error invalidProviderContent; `[refuse late]` the same for a task that was accepted
    `[fault:failed]`  a task that ends with timeoutProvider
    `[nsfw]`          a picture that the check flags, where the check was asked for

Models that work over a picture without a word have tasks of their own, which go by two names: the SDK's, and that of
the vendor's pages. Their picture may stand in `inputImage` or in `inputs.image`.

A picture that was drawn or uploaded may be named by its UUID (documented).

A task's UUID is the caller's, so it cannot carry its state: what it stands for is kept in files, for a sandbox started
anew.

Not as at the vendor: over WebSocket no other faults are played, and whoever shows no key at once is shown out. Only
images are drawn; all else is an unsupported task.
"""

from __future__ import annotations

import math
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import TypedDict

import msgspec
from aiohttp import WSMsgType, web

from pictura.core.errors import BadRequest
from pictura.core.picture import Inline
from pictura.infra.extract import Cut, Extractor
from pictura.infra.payload import json_payload
from pictura.infra.spool import CHUNK_BYTES, Spool
from pictura.sandbox.base import (
    HEARTBEAT_S,
    SHELF_PLACES,
    TEXT_BYTES,
    Simulator,
    Studio,
    Visit,
    fails,
    refused,
    refused_late,
)
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.fields import Fields, Wrong
from pictura.sandbox.inputs import Input, shown
from pictura.sandbox.names import Names

# -- the vendor's table of models --


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What one model takes. `sizes`: these and no other; `own_size`: that of its picture. `pictures`: where."""

    prompt_chars: tuple[int, int] = (2, 3000)
    most: int = 20
    step: int = 1
    edges: tuple[int, int] = (128, 2048)
    pixels: tuple[int, int] = (0, 2**26)
    sizes: tuple[str, ...] = ()
    sized: bool = True
    own_size: bool = False
    seed_image: bool = False
    needs_mask: bool = False
    references: int = 0
    steps: tuple[int, int] | None = None
    guidance: tuple[float, float] = (0, 50)
    #: Takes strength, scheduler and negative prompt.
    open: bool = False
    #: Takes `providerSettings.bfl`.
    bfl: bool = False
    dollars: float = 0.04


_OPEN = Model(step=64, seed_image=True, steps=(1, 100), open=True, dollars=0.0038)
_KONTEXT = Model(
    sizes=(
        *("1568x672", "1392x752", "1184x880", "1248x832", "1024x1024"),
        *("832x1248", "880x1184", "752x1392", "672x1568"),
    ),
    references=2,
    bfl=True,
)
MODELS = {
    "runware:100@1": msgspec.structs.replace(_OPEN, dollars=0.0013),
    "runware:101@1": _OPEN,
    "bfl:2@1": Model(edges=(256, 1440), bfl=True),
    "bfl:3@1": _KONTEXT,
    "bfl:4@1": msgspec.structs.replace(_KONTEXT, dollars=0.08),
    "bfl:5@1": Model(
        prompt_chars=(1, 32_000),
        most=1,
        step=16,
        edges=(256, 2048),
        sized=False,
        references=9,
        bfl=True,
        dollars=0.03,
    ),
    "bfl:1@2": Model(
        own_size=True,
        seed_image=True,
        needs_mask=True,
        steps=(15, 50),
        guidance=(1.5, 100),
        bfl=True,
        dollars=0.05,
    ),
    "bytedance:seedream@4.5": Model(edges=(256, 16_383), pixels=(3_686_400, 16_777_216), references=14),
}


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A model that works over a picture without a word: its task by both names; `formats` begin with the default.

    `kept`: it shows the picture itself, as large or so many times as large as one of `factors` says; `transparent`:
    without its ground.
    """

    tasks: tuple[str, ...]
    formats: tuple[str, ...]
    factors: tuple[int, ...] = ()
    kept: bool = False
    transparent: bool = False
    dollars: float


TOOLS = {
    "recraft:1@1": Tool(tasks=("vectorize",), formats=("SVG",), dollars=0.01),
    "runware:112@1": Tool(
        tasks=("imageBackgroundRemoval", "removeBackground"),
        formats=("PNG", "JPG", "WEBP"),
        kept=True,
        transparent=True,
        dollars=0.0006,
    ),
    "runware:503@1": Tool(
        tasks=("imageUpscale", "upscale"),
        formats=("JPG", "PNG", "WEBP"),
        factors=(2, 4),
        kept=True,
        dollars=0.0045,
    ),
}
TASKS = frozenset(task for tool in TOOLS.values() for task in tool.tasks)
#: On each side of what is enlarged; its picture is made smaller first.
ENLARGED_SIDE = 4096

FORMATS = {"JPG": "jpeg", "PNG": "png", "WEBP": "webp", "SVG": "svg"}
PIXEL_FORMATS = ("JPG", "PNG", "WEBP")
OUTPUT_TYPES = ("URL", "base64Data", "dataURI")
INPUT_FORMATS = ("png", "jpeg", "webp")
INPUT_BYTES = 20_000_000
DEFAULT_SIDE = 1024
#: Seconds in which whoever opens a WebSocket must show a key, and in which it must agree to its end.
STRANGER_S, FAREWELL_S = 15.0, 1.0

# -- errors --


class ApiError(Exception):
    """One entry of `errors`."""

    def __init__(self, code: str, message: str, parameter: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.parameter = parameter
        self.status = status

    def document(self, task: Mapping[str, str]) -> dict[str, object]:
        told = {"parameter": self.parameter} if self.parameter else {}
        return {"code": self.code, "message": self.message, **told, **task}


_OWN_ERRORS = {
    401: ("invalidApiKey", "Invalid API key. Get one at https://runware.ai/signup", "apiKey"),
    402: ("insufficientCredits", "Insufficient credits to perform this operation.", ""),
    404: ("notFound", "The requested resource does not exist.", ""),
    429: ("rateLimitExceeded", "Too many requests in a short time.", ""),
    500: ("internalServerError", "Something went wrong on our side.", ""),
}


def _own_error(status: int) -> ApiError:
    return ApiError(*_OWN_ERRORS[status], status=status)


def _wrong(error: BadRequest) -> ApiError:
    field = error.param or "request"
    why = error.why if isinstance(error, Wrong) else "value"
    if why == "unknown":
        return ApiError("unsupportedParameter", f"{error.message}; leave it out.", field)
    name = field.rpartition(".")[2]
    return ApiError(f"{'missing' if why == 'missing' else 'invalid'}{name[:1].upper()}{name[1:]}", error.message, field)


_REFUSAL = ApiError("invalidProviderContent", "The provider's content moderation blocked this request.")
_FAILURE = ApiError("timeoutProvider", "The external provider did not respond within the timeout window.", status=504)

# -- what is asked --


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """A task but for its pictures. `seeded`: the seed is told with the result."""

    task: str = "imageInference"
    model: str
    prompt: str
    count: int
    width: int
    height: int
    seed: int
    format: str
    quality: int | None
    output_type: str
    later: bool
    costs: bool
    dollars: float
    seeded: bool = True
    checks: bool = False
    transparent: bool = False
    kept: bool = False
    masked: bool = False


def read_drawing(fields: Fields, name: str, model: Model, first: Input | None) -> Drawing:
    """Raises Wrong for the first thing that is wrong."""
    fewest, most = model.prompt_chars
    prompt = fields.text("positivePrompt", most_chars=most, required=True)
    if len(prompt) < fewest:
        raise Wrong("positivePrompt", "length", f"positivePrompt must have at least {fewest} characters")
    _read_tuning(fields, model)
    width, height = _size(fields, model, first)
    seed = fields.whole("seed", 0, 2**63 - 1)
    return Drawing(
        model=name,
        prompt=prompt,
        count=fields.whole("numberResults", 1, model.most) or 1,
        width=width,
        height=height,
        seed=seed_from(name, prompt) if seed is None else seed % 2**31,
        format=FORMATS[fields.word("outputFormat", PIXEL_FORMATS, "JPG")],
        quality=fields.whole("outputQuality", 20, 99),
        **_delivery(fields),
        dollars=model.dollars,
        checks=_checks(fields),
        masked=model.seed_image,
    )


def read_work(fields: Fields, task: str, name: str, tool: Tool, picture: Input) -> Drawing:
    """Raises Wrong for the first thing that is wrong."""
    width, height = _enlarged(fields, tool, picture) if tool.factors else picture.enlarged(1)
    format = FORMATS[fields.word("outputFormat", tool.formats, tool.formats[0])]
    return Drawing(
        task=task,
        model=name,
        prompt="",
        count=1,
        width=width,
        height=height,
        seed=seed_from(name, picture.fingerprint),
        format=format,
        quality=None if format == "svg" else fields.whole("outputQuality", 20, 99),
        **_delivery(fields),
        dollars=tool.dollars,
        seeded=False,
        transparent=tool.transparent,
        kept=tool.kept,
    )


def _enlarged(fields: Fields, tool: Tool, picture: Input) -> tuple[int, int]:
    factor = fields.whole("upscaleFactor", 1, 99, required=True) or 1
    if factor not in tool.factors:
        raise Wrong("upscaleFactor", "value", f"upscaleFactor must be one of {tool.factors}")
    return picture.enlarged(factor, ENLARGED_SIDE)


class Delivery(TypedDict):
    output_type: str
    later: bool
    costs: bool


def _delivery(fields: Fields) -> Delivery:
    return {
        "output_type": fields.word("outputType", OUTPUT_TYPES, "URL"),
        "later": fields.word("deliveryMethod", ("sync", "async"), "sync") == "async",
        "costs": fields.flag("includeCost"),
    }


def _read_tuning(fields: Fields, model: Model) -> None:
    if model.steps is not None:
        fields.whole("steps", *model.steps)
        fields.number("CFGScale", *model.guidance)
    if model.open:
        fields.text("negativePrompt", most_chars=model.prompt_chars[1])
        fields.number("strength", 0, 1)
        fields.text("scheduler")
    if model.bfl:
        settings = fields.inside("providerSettings")
        bfl = settings.inside("bfl")
        bfl.flag("promptUpsampling")
        bfl.whole("safetyTolerance", 0, 6)
        bfl.refuse_rest()
        settings.refuse_rest()


def _checks(fields: Fields) -> bool:
    safety = fields.inside("safety")
    wanted = safety.flag("checkContent")
    safety.refuse_rest()
    return wanted


def _size(fields: Fields, model: Model, first: Input | None) -> tuple[int, int]:
    if model.own_size:
        assert first is not None
        return first.media.width, first.media.height
    width = fields.whole("width", *model.edges, required=model.sized)
    height = fields.whole("height", *model.edges, required=model.sized)
    if (width is None) != (height is None):
        raise Wrong("height" if height is None else "width", "missing", "width and height must be used together")
    if width is None or height is None:
        return _like(first)
    if model.sizes and f"{width}x{height}" not in model.sizes:
        raise Wrong("width", "value", f"width and height must be one of {', '.join(model.sizes)}")
    if width % model.step or height % model.step:
        raise Wrong("width", "range", f"width and height must be multiples of {model.step}")
    if not model.pixels[0] <= width * height <= model.pixels[1]:
        raise Wrong("width", "range", f"width x height must be from {model.pixels[0]} to {model.pixels[1]} pixels")
    return width, height


def _like(first: Input | None) -> tuple[int, int]:
    """A megapixel in the aspect of the picture, where there is one."""
    if first is None:
        return DEFAULT_SIDE, DEFAULT_SIDE
    scale = DEFAULT_SIDE / math.sqrt(first.media.width * first.media.height)
    return round(first.media.width * scale / 16) * 16, round(first.media.height * scale / 16) * 16


def read_uuid(fields: Fields) -> str:
    text = fields.text("taskUUID", required=True)
    try:
        good = str(uuid.UUID(text)) == text.lower() and uuid.UUID(text).version == 4
    except ValueError:
        good = False
    if not good:
        raise Wrong("taskUUID", "value", "taskUUID must be a UUID of version 4")
    return text


# -- the simulator --


class Told(msgspec.Struct):
    """What became of some tasks; `status` of the worst error."""

    data: list[dict[str, object]] = []
    errors: list[dict[str, object]] = []
    status: int = 200


class Runware(Simulator):
    """The task API at `/runware/v1`: POST an array, or open a WebSocket."""

    name = "runware"

    def __init__(self, studio: Studio) -> None:
        super().__init__(studio)
        #: By the caller's UUID the id of the task here; "" for one that was answered at once.
        self._begun = Names(studio.folder / self.name)
        #: By UUID the URLs of pictures that were drawn or uploaded, which may stand for them.
        self._urls: OrderedDict[str, str] = OrderedDict()

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/v1", self._post),
            web.get("/v1", self._open),
            web.route("*", "/{path:.*}", self._lost),
        ]

    async def error(self, visit: Visit, status: int) -> web.StreamResponse:
        return await visit.send({"errors": [_own_error(status).document({})]}, status)

    async def _lost(self, request: web.Request) -> web.StreamResponse:
        with Visit(request, self.studio) as visit:
            return await self.error(visit, 404)

    async def _post(self, request: web.Request) -> web.StreamResponse:
        with Visit(request, self.studio) as visit:
            try:
                tasks, cuts = await read_tasks(visit, request.content.iter_chunked(CHUNK_BYTES))
            except BadRequest as error:
                return await visit.send({"errors": [_wrong(error).document({})]}, 400)
            if not self.studio.accepts(visit.bearer or _key(tasks)):
                return await self.error(visit, 401)
            told = await self._perform(visit, tasks, cuts)
            # Trouble comes when the tasks are begun: what was lost on the way back can be asked about.
            for task in tasks if not told.errors else ():
                if (trouble := await self.misbehave(visit, str(task.get("positivePrompt", "")))) is not None:
                    return trouble
            errors = {"errors": told.errors} if told.errors else {}
            return await visit.send({"data": told.data, **errors}, 200 if told.data else told.status)

    async def _open(self, request: web.Request) -> web.StreamResponse:
        """A connection: an authentication first, then tasks, whose results come one by one."""
        socket = web.WebSocketResponse(max_msg_size=INPUT_BYTES * 2, heartbeat=HEARTBEAT_S, timeout=FAREWELL_S)
        await socket.prepare(request)
        known = False
        with suppress(TimeoutError):
            while (said := await socket.receive(None if known else STRANGER_S)).type == WSMsgType.TEXT:
                with Visit(request, self.studio) as visit:
                    known = await self._hear(visit, socket, said.data, known)
                if not known:
                    _turn_away(request)
                    break
        return socket

    async def _hear(self, visit: Visit, socket: web.WebSocketResponse, text: str, known: bool) -> bool:
        """Answer a message; `known`, and the answer: somebody with a key says it."""
        try:
            tasks, cuts = await read_tasks(visit, _whole(text))
        except BadRequest as error:
            await socket.send_json({"errors": [_wrong(error).document({})]})
            return known
        if not known and not self.studio.accepts(_key(tasks)):
            await socket.send_json({"errors": [_own_error(401).document({"taskType": "authentication"})]})
            return False
        told = await self._perform(visit, tasks, cuts)
        for name, entries in (("data", told.data), ("errors", told.errors)):
            for entry in entries:
                await socket.send_str(await _text({name: [entry]}))
        return True

    async def _perform(self, visit: Visit, tasks: Sequence[Mapping[str, object]], cuts: Sequence[Cut]) -> Told:
        told = Told()
        for task in tasks:
            named = {name: str(task[name]) for name in ("taskType", "taskUUID") if name in task}
            try:
                told.data += await self._do(visit, named.get("taskType", ""), Fields(task), cuts)
            except (ApiError, BadRequest) as error:
                known = error if isinstance(error, ApiError) else _wrong(error)
                told.errors.append(known.document(named))
                told.status = max(told.status, known.status)
        return told

    async def _do(self, visit: Visit, kind: str, fields: Fields, cuts: Sequence[Cut]) -> list[dict[str, object]]:
        fields.text("taskType", required=True)
        if kind == "authentication":
            return [{"taskType": kind, "connectionSessionUUID": str(uuid.uuid4())}]
        if kind == "ping":
            return [{"taskType": kind, "pong": True}]
        if kind == "getResponse":
            return await self._tell(visit, read_uuid(fields))
        if kind == "imageUpload":
            return await self._upload(visit, read_uuid(fields), fields, cuts)
        if kind == "imageInference":
            return await self._infer(visit, read_uuid(fields), fields, cuts)
        if kind in TASKS:
            return await self._work(visit, kind, read_uuid(fields), fields, cuts)
        raise ApiError("unsupportedTaskType", f"The task type {kind[:50]!r} is not supported.", "taskType")

    async def _upload(self, visit: Visit, id: str, fields: Fields, cuts: Sequence[Cut]) -> list[dict[str, object]]:
        picture = await self._input("image", fields.text("image", required=True), cuts)
        fields.refuse_rest()
        spool = visit.spool(picture.media.type)
        spool.write(picture.data)
        url = self.hosted(spool, "")
        return [{"taskType": "imageUpload", "taskUUID": id, "imageUUID": self._identified(url), "imageURL": url}]

    def _identified(self, url: str) -> str:
        """A picture's UUID, known for as long as the picture lies there."""
        id = str(uuid.uuid4())
        self._urls[id] = url
        while len(self._urls) > SHELF_PLACES:
            self._urls.popitem(last=False)
        return id

    async def _infer(self, visit: Visit, id: str, fields: Fields, cuts: Sequence[Cut]) -> list[dict[str, object]]:
        name = fields.text("model", required=True)
        model = MODELS.get(name)
        if model is None:
            raise ApiError("invalidModel", f"The model {name[:100]!r} could not be found.", "model")
        inputs = await self._inputs(fields, model, cuts)
        drawing = read_drawing(fields, name, model, inputs[0] if inputs else None)
        fields.refuse_rest()
        return await self._begin(visit, id, drawing, [image.data for image in inputs])

    async def _work(
        self, visit: Visit, kind: str, id: str, fields: Fields, cuts: Sequence[Cut]
    ) -> list[dict[str, object]]:
        name = fields.text("model", required=True)
        tool = TOOLS.get(name)
        if tool is None or kind not in tool.tasks:
            raise ApiError("invalidModel", f"The model {name[:100]!r} does not do {kind}.", "model")
        inputs = fields.inside("inputs")
        given = fields.text("inputImage") or inputs.text("image")
        inputs.refuse_rest()
        if not given:
            raise Wrong("inputImage", "missing", "inputImage is required")
        picture = await self._input("inputImage", given, cuts)
        drawing = read_work(fields, kind, name, tool, picture)
        fields.refuse_rest()
        return await self._begin(visit, id, drawing, [picture.data])

    async def _begin(self, visit: Visit, id: str, drawing: Drawing, data: Sequence[bytes]) -> list[dict[str, object]]:
        if self._begun.find(id) is not None:
            raise ApiError("conflictTaskUUID", "A task with this taskUUID exists already.", "taskUUID")
        if refused(drawing.prompt):
            raise _REFUSAL
        memo = msgspec.to_builtins(drawing)
        self._begun.give(id, self.studio.tasks.begin(memo, data) if drawing.later else "")
        if drawing.later:
            return [{"taskType": drawing.task, "taskUUID": id}]
        if fails(drawing.prompt) or refused_late(drawing.prompt):
            raise _FAILURE if fails(drawing.prompt) else _REFUSAL
        return await self._results(visit, id, drawing, data)

    async def _inputs(self, fields: Fields, model: Model, cuts: Sequence[Cut]) -> list[Input]:
        """The picture that is worked on, and after it its mask."""
        given: list[tuple[str, object]] = []
        if model.seed_image:
            names = ("seedImage", "maskImage")
            given = [(name, fields.text(name, required=model.needs_mask)) for name in names]
        if model.references:
            inputs = fields.inside("inputs")
            values = inputs.list("referenceImages", most=model.references)
            given = [(inputs.where("referenceImages"), value) for value in values]
            inputs.refuse_rest()
        return [await self._input(where, value, cuts) for where, value in given if value]

    async def _input(self, where: str, value: object, cuts: Sequence[Cut]) -> Input:
        try:
            return await shown(self._urls.get(str(value), value), cuts, self.studio, INPUT_FORMATS, INPUT_BYTES)
        except BadRequest as error:
            raise Wrong(where, "value", error.message) from error

    async def _tell(self, visit: Visit, id: str) -> list[dict[str, object]]:
        task = self.studio.tasks.find(self._begun.find(id) or "")
        if task is None:
            return []
        drawing = msgspec.convert(task.memo, Drawing)
        if task.phase != "done":
            waiting: dict[str, object] = {"taskType": drawing.task, "taskUUID": id, "status": "processing"}
            return [dict(waiting) for _ in range(drawing.count)]
        if refused_late(drawing.prompt):
            raise _REFUSAL
        if fails(drawing.prompt):
            raise ApiError(_FAILURE.code, _FAILURE.message)
        return await self._results(visit, id, drawing, task.inputs)

    async def _results(
        self, visit: Visit, id: str, drawing: Drawing, inputs: Sequence[bytes]
    ) -> list[dict[str, object]]:
        scenes = _scenes(drawing, inputs)
        pictures = await self.paint(visit, scenes)
        return [
            {
                "taskType": drawing.task,
                "taskUUID": id,
                "status": "success",
                **({"seed": scene.seed} if drawing.seeded else {}),
                **self._carried(picture, drawing),
                **({"cost": drawing.dollars} if drawing.costs else {}),
                **({"NSFWContent": "[nsfw]" in drawing.prompt} if drawing.checks else {}),
            }
            for scene, picture in zip_longest(scenes, pictures)  # `paint` may be told to give none
        ]

    def _carried(self, picture: Spool | None, drawing: Drawing) -> dict[str, object]:
        """The picture and its UUID."""
        if picture is not None and drawing.output_type == "URL":
            url = self.hosted(picture, drawing.prompt)
            return {"imageUUID": self._identified(url), "imageURL": url}
        told: dict[str, object] = {"imageUUID": str(uuid.uuid4())}
        if picture is not None and drawing.output_type == "base64Data":
            told["imageBase64Data"] = Inline(picture)
        elif picture is not None:
            told["imageDataURI"] = Inline(picture, f"data:{picture.media_type};base64,")
        return told


async def read_tasks(visit: Visit, chunks: AsyncIterator[bytes]) -> tuple[list[dict[str, object]], Sequence[Cut]]:
    """The tasks of a message, and the data URLs in them."""
    extractor = Extractor(
        visit.spool,
        keys=frozenset(),
        data_urls=True,
        text_cap=TEXT_BYTES,
        picture_cap=INPUT_BYTES,
        picture_count_cap=64,
    )
    async for chunk in chunks:
        extractor.feed(chunk)
    try:
        return msgspec.json.decode(extractor.finish(), type=list[dict[str, object]]), extractor.cuts
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("The request must be an array of objects.", param="request") from error


async def _whole(text: str) -> AsyncIterator[bytes]:
    yield text.encode()


async def _text(document: object) -> str:
    return b"".join(json_payload(document).chunks()).decode()


def _turn_away(request: web.Request) -> None:
    """Hear no more of what a stranger says: his next message might fill the memory."""
    if request.transport is not None:
        request.transport.pause_reading()


def _key(tasks: Sequence[Mapping[str, object]]) -> str:
    """The key of an authentication at the head of a message."""
    first = tasks[0] if tasks else {}
    return str(first.get("apiKey", "")) if first.get("taskType") == "authentication" else ""


def _scenes(drawing: Drawing, inputs: Sequence[bytes]) -> list[Scene]:
    first = Scene(
        model=drawing.model,
        prompt=drawing.prompt,
        width=drawing.width,
        height=drawing.height,
        format=drawing.format,
        compression=drawing.quality,
        transparent=drawing.transparent,
        kept=drawing.kept,
        base=inputs[0] if inputs else None,
        mask=inputs[1] if drawing.masked and len(inputs) > 1 else None,
    )
    return [msgspec.structs.replace(first, seed=drawing.seed + index) for index in range(drawing.count)]
