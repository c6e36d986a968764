"""fal's queue, and its host that answers at once, as strict as the vendor:
https://fal.ai/docs/documentation/model-apis/inference/queue.

The tables here are the vendor's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. The queue follows fal_client 1.0.3 (2026-11, official SDK) and fal.ai/docs (2026, documented); apps follow
fal's llms.txt pages and the types of fal-js (2026-02, official, both seen in part; the rest is memory).

As at the vendor an input is taken unseen: that it is wrong, or refused, is told with the result. `fal.run` gives that
result as its answer (fal_client's `run` reads it so); where both fail, it is inferred that they say the same.

Not as at the vendor: fields that an app does not know are refused, so that a misspelt one is seen; pictures have at
most 16 megapixels, and one that is flagged is not blackened; there are the apps below and no others, and no streams.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Literal

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.core.picture import Inline
from pictura.infra.extract import Cut
from pictura.infra.spool import Spool
from pictura.sandbox.base import SECRET, Vendor, VendorError, Visit, fails, refused, refused_late
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.fields import Fields, Wrong
from pictura.sandbox.inputs import Input, shown
from pictura.sandbox.tasks import Task

# -- the vendor's table of apps --

#: Of each input, where the vendor names no bound.
PICTURE_BYTES = 25_000_000
SIZES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
EDGES = {"0.5K": 512, "1K": 1024, "2K": 2048, "4K": 4096}
ASPECTS = ("21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16")


class App(msgspec.Struct, frozen=True, kw_only=True):
    """What an app takes besides a prompt, and what it answers with.

    `size`: the word for its own size; "" where it takes `aspect_ratio`, or none at all. `aspects` begin with the
    default. `most` pictures a request (0: knows no `num_images`). `tells`: what stands beside the pictures.
    `makes`: the format of one that knows no word about it. `works` over its picture, without a prompt: the result is as
    large as that, or `scale` times as large. `kept`: it shows the picture itself; `transparent`: without its ground.
    `sides`: the least and the most that a picture's may have, both excluded; `area` its pixels in all, excluded too.
    """

    size: str = ""
    step: int = 1
    edges: tuple[int, int] = (1, 14_142)
    pixels: tuple[int, int] = (1, 16_777_216)
    ratio: float = 0
    aspects: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ("1K",)
    fixed: tuple[int, int] = (1024, 1024)
    most: int = 4
    formats: tuple[str, ...] = ()
    makes: str = "png"
    works: bool = False
    scale: tuple[float, float] | None = None
    kept: bool = False
    transparent: bool = False
    prompt_chars: int = 100_000
    picture: Literal["", "image_url", "image_urls"] = ""
    picture_required: bool = True
    most_pictures: int = 1
    picture_formats: tuple[str, ...] = ("png", "jpeg", "webp", "gif")
    picture_bytes: int = PICTURE_BYTES
    sides: tuple[int, int] = (0, 100_000)
    area: int = 10**10
    mask: bool = False
    seed: bool = True
    flags: tuple[str, ...] = ("sync_mode",)
    texts: tuple[str, ...] = ()
    words: Mapping[str, tuple[str, ...]] = {}
    wholes: Mapping[str, tuple[int, int]] = {}
    numbers: Mapping[str, tuple[float, float]] = {}
    tells: tuple[str, ...] = ("seed",)
    alone: bool = False


_TOLERANCE = {"safety_tolerance": ("1", "2", "3", "4", "5", "6")}

SCHNELL = App(
    size="landscape_4_3",
    formats=("jpeg", "png"),
    flags=("sync_mode", "enable_safety_checker"),
    words={"acceleration": ("none", "regular", "high")},
    wholes={"num_inference_steps": (1, 12)},
    numbers={"guidance_scale": (1, 20)},
    tells=("seed", "timings", "prompt", "has_nsfw_concepts"),
)
PRO = msgspec.structs.replace(
    SCHNELL, flags=(*SCHNELL.flags, "enhance_prompt"), words=_TOLERANCE, wholes={}, numbers={}
)
ULTRA = msgspec.structs.replace(
    PRO,
    size="",
    aspects=("16:9", "21:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21"),
    tiers=("2K",),
    picture="image_url",
    picture_required=False,
    flags=(*PRO.flags, "raw"),
    numbers={"image_prompt_strength": (0, 1)},
)
BANANA = App(
    aspects=("1:1", *ASPECTS, "auto"),
    formats=("png", "jpeg", "webp"),
    flags=("sync_mode", "limit_generations"),
    words=_TOLERANCE,
    tells=("description",),
)
BANANA_PRO = msgspec.structs.replace(BANANA, tiers=("1K", "2K", "4K"), flags=(*BANANA.flags, "enable_web_search"))
BANANA_2 = msgspec.structs.replace(
    BANANA_PRO,
    aspects=("auto", *ASPECTS, "4:1", "1:4", "8:1", "1:8"),
    tiers=("1K", "0.5K", "2K", "4K"),
    words={**_TOLERANCE, "thinking_level": ("minimal", "high")},
)
GPT_2 = App(
    size="landscape_4_3",
    step=16,
    edges=(16, 3840),
    pixels=(655_360, 8_294_400),
    ratio=3,
    formats=("png", "jpeg", "webp"),
    seed=False,
    words={"quality": ("high", "auto", "low", "medium")},
    tells=(),
)
TOOL = App(works=True, most=0, picture="image_url", seed=False, tells=(), alone=True)


def _edits(app: App, most: int, mask: bool = False) -> App:
    """The same app on its path for edits."""
    size = "auto" if app.size else ""
    return msgspec.structs.replace(app, size=size, picture="image_urls", most_pictures=most, mask=mask)


APPS: Mapping[str, App] = {
    "fal-ai/flux/schnell": SCHNELL,
    "fal-ai/flux/dev": msgspec.structs.replace(SCHNELL, wholes={"num_inference_steps": (1, 50)}),
    "fal-ai/flux-pro/v1.1": PRO,
    "fal-ai/flux-pro/v1.1-ultra": ULTRA,
    "fal-ai/nano-banana": BANANA,
    "fal-ai/nano-banana/edit": _edits(BANANA, 10),
    "fal-ai/nano-banana-2": BANANA_2,
    "fal-ai/nano-banana-2/edit": _edits(BANANA_2, 14),
    "fal-ai/nano-banana-pro": BANANA_PRO,
    "fal-ai/nano-banana-pro/edit": _edits(BANANA_PRO, 14),
    "openai/gpt-image-2": GPT_2,
    "openai/gpt-image-2/edit": _edits(GPT_2, 16, mask=True),
    "fal-ai/bytedance/seedream/v3/text-to-image": App(
        size="square_hd",
        edges=(512, 2048),
        flags=("sync_mode", "enable_safety_checker"),
        numbers={"guidance_scale": (1, 10)},
    ),
    "fal-ai/ideogram/v3": App(
        size="square_hd",
        most=8,
        flags=("sync_mode", "expand_prompt"),
        texts=("negative_prompt",),
        words={
            "style": ("AUTO", "GENERAL", "REALISTIC", "DESIGN"),
            "rendering_speed": ("BALANCED", "TURBO", "QUALITY"),
        },
    ),
    "fal-ai/recraft/v3/text-to-image": App(
        size="square_hd",
        most=0,
        prompt_chars=1_000,
        seed=False,
        flags=("enable_safety_checker",),
        texts=("style", "style_id"),
        tells=(),
    ),
    "fal-ai/hunyuan_world": App(
        fixed=(1920, 960), most=0, picture="image_url", seed=False, flags=(), tells=(), alone=True
    ),
    "fal-ai/esrgan": msgspec.structs.replace(
        TOOL,
        scale=(1, 8),
        kept=True,
        formats=("png", "jpeg"),
        flags=("face",),
        words={
            "model": (
                *("RealESRGAN_x4plus", "RealESRGAN_x2plus", "RealESRGAN_x4plus_anime_6B"),
                *("RealESRGAN_x4_v3", "RealESRGAN_x4_wdn_v3", "RealESRGAN_x4_anime_v3"),
            )
        },
        wholes={"tile": (0, 2**31)},
    ),
    "fal-ai/bria/background/remove": msgspec.structs.replace(TOOL, kept=True, transparent=True),
    "fal-ai/recraft/vectorize": msgspec.structs.replace(
        TOOL,
        makes="svg",
        flags=(),
        picture_formats=("png", "jpeg", "webp"),
        picture_bytes=5_000_000,
        sides=(256, 4096),
        area=16_000_000,
    ),
}
#: Seconds between two looks at a task whose end is waited for.
TICK_S = 0.02
#: Of the scale, where none is named.
SCALE = 2.0


# -- errors --


class Complaint(BadRequest):
    """What an app has against an input: an entry of its `detail`."""

    def __init__(self, loc: Sequence[str], message: str, kind: str) -> None:
        super().__init__(message)
        url = f"https://docs.fal.ai/errors#{kind}"
        self.detail = [{"loc": ["body", *loc], "msg": message, "type": kind, "url": url, "ctx": {}}]


class QueueError(VendorError):
    """An error of fal's own: `kind` is its `error_type`, where it has one."""

    def __init__(self, status: int, detail: str, kind: str = "") -> None:
        super().__init__(status, {"detail": detail, **({"error_type": kind} if kind else {})}, detail)
        self.kind = kind


#: The vendor knows no 402: an empty account is locked (issue trackers, 2025, third party).
_OWN_ERRORS = {
    401: QueueError(401, "Cannot access the application. Authentication is required to access it."),
    402: QueueError(403, "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."),
    429: QueueError(429, "Too many requests in the queue."),
    500: QueueError(500, "An unexpected internal error occurred.", "internal_error"),
}
_TYPES = {
    "missing": "missing",
    "type": "type_error",
    "value": "one_of",
    "range": "less_than_equal",
    "length": "sequence_too_long",
    "unknown": "extra_forbidden",
}


def _complaint(wrong: Wrong) -> Complaint:
    return Complaint(wrong.field.replace("[", ".").replace("]", "").split("."), wrong.message, _TYPES[wrong.why])


# -- what is asked --


class Asked(msgspec.Struct, kw_only=True):
    """An input that has passed. Kept in the task's id, all but the pictures."""

    app: str
    prompt: str
    width: int
    height: int
    count: int = 1
    format: str = "png"
    seed: int = 0
    label: str = ""
    masked: bool = False
    #: The pictures stand in the answer.
    inline: bool = False


def read_asked(name: str, app: App, fields: Fields, first: Input | None, masked: bool) -> Asked:
    """Raises Wrong or Complaint for the first thing that is wrong."""
    prompt = "" if app.works else fields.text("prompt", most_chars=app.prompt_chars, required=True)
    width, height = _read_size(app, fields, first)
    count = (fields.whole("num_images", 1, app.most) if app.most else None) or 1
    seed = fields.whole("seed", 0, 2**63 - 1) if app.seed else None
    asked = Asked(
        app=name,
        prompt=prompt,
        width=width,
        height=height,
        count=count,
        format=(app.formats and fields.word("output_format", app.formats, app.formats[0])) or app.makes,
        seed=seed_from(name, prompt or _fingerprint(first)) if seed is None else seed,
        label=fields.word("quality", app.words["quality"], "high") if "quality" in app.words else "",
        masked=masked,
        inline="sync_mode" in app.flags and fields.flag("sync_mode"),
    )
    _read_options(app, fields)
    fields.refuse_rest()
    return asked


def _read_options(app: App, fields: Fields) -> None:
    for name in app.flags:
        fields.flag(name)
    for name in app.texts:
        fields.text(name)
    for name, words in app.words.items():
        fields.word(name, words)
    for name, (least, most) in app.wholes.items():
        fields.whole(name, least, most)
    for name, (low, high) in app.numbers.items():
        fields.number(name, low, high)


def _read_size(app: App, fields: Fields, first: Input | None) -> tuple[int, int]:
    if app.works and first:
        scale = fields.number("scale", *app.scale) or SCALE if app.scale else 1
        return first.enlarged(scale)
    if app.size:
        return _read_image_size(app, fields.anything("image_size"))
    if not app.aspects:
        return app.fixed
    aspect = fields.word("aspect_ratio", app.aspects, "auto" if first and "auto" in app.aspects else app.aspects[0])
    tier = app.tiers[0]
    if len(app.tiers) > 1:  # an app of one tier takes no word about it
        tier = fields.word("resolution", app.tiers, tier)
    shape = Fraction(aspect.replace(":", "/")) if aspect != "auto" else _shape(first)
    edge = EDGES[tier]
    return round(math.sqrt(edge**2 * shape)), round(math.sqrt(edge**2 / shape))


def _fingerprint(first: Input | None) -> str:
    return first.fingerprint if first else ""


def _shape(first: Input | None) -> Fraction:
    return Fraction(first.media.width, first.media.height) if first else Fraction(1)


def _read_image_size(app: App, value: object) -> tuple[int, int]:
    """A word for a size, or `{"width", "height"}` inside the app's window."""
    if value is None or isinstance(value, str):
        words = {**SIZES, "auto": (1024, 1024)} if app.size == "auto" else SIZES
        if (found := words.get(value or app.size)) is None:
            raise Complaint(["image_size"], f"Input should be one of {', '.join(words)}", "one_of")
        return found
    if not isinstance(value, dict):
        raise Complaint(["image_size"], "Input should be a word or an object", "type_error")
    fields = Fields(value, "image_size.")
    width = fields.whole("width", *app.edges, required=True) or 0
    height = fields.whole("height", *app.edges, required=True) or 0
    if width % app.step or height % app.step:
        raise Complaint(["image_size"], f"Both sides must be multiples of {app.step}", "multiple_of")
    if not app.pixels[0] <= width * height <= app.pixels[1]:
        bounds = f"between {app.pixels[0]:,} and {app.pixels[1]:,} pixels"
        raise Complaint(["image_size"], f"There must be {bounds} in all", "less_than_equal")
    if app.ratio and max(width, height) > app.ratio * min(width, height):
        raise Complaint(["image_size"], f"The aspect ratio must be at most {app.ratio:g}:1", "less_than_equal")
    return width, height


# -- the simulator --

#: What becomes of a task that was begun.
Reaction = Callable[[Visit, Task], Awaitable[web.StreamResponse]]


class Fal(Vendor):
    """The queue, `queue.fal.run`, below `/fal`; `fal.run` below `/fal/run`."""

    name = "fal"

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/{app:.+}/requests/{id}/status", self.answering(self._status)),
            web.get("/{app:.+}/requests/{id}", self.answering(self._result)),
            web.put("/{app:.+}/requests/{id}/cancel", self.answering(self._cancel)),
            web.post("/run/{app:.+}", self.answering(self._run)),
            web.post("/{app:.+}", self.answering(self._submit)),
            web.route("*", "/{app:.*}", self.answering(self._lost)),
        ]

    def own_error(self, status: int) -> QueueError:
        return _OWN_ERRORS[status]

    def translated(self, error: BadRequest) -> QueueError:
        return QueueError(400, error.message, "bad_request")

    async def tell(self, visit: Visit, error: VendorError) -> web.StreamResponse:
        if isinstance(error, QueueError) and error.kind:
            visit.headers["X-Fal-Error-Type"] = error.kind
        return await super().tell(visit, error)

    def check_key(self, visit: Visit) -> None:
        """`Key <key>`, or `Key <id>:<secret>`."""
        scheme, _, key = visit.request.headers.get("Authorization", "").partition(" ")
        if scheme != "Key" or not self.studio.accepts(key.removesuffix(f":{SECRET}")):
            raise _OWN_ERRORS[401]

    async def _lost(self, visit: Visit) -> web.StreamResponse:
        raise QueueError(404, "Not Found")

    async def _submit(self, visit: Visit) -> web.StreamResponse:
        return await self._take(visit, self._queue)

    async def _run(self, visit: Visit) -> web.StreamResponse:
        return await self._take(visit, self._wait)

    async def _take(self, visit: Visit, then: Reaction) -> web.StreamResponse:
        name = visit.request.match_info["app"]
        app = APPS.get(name)
        if app is None:
            raise QueueError(404, f"Application '{name}' not found")
        values, cuts = await visit.json(PICTURE_BYTES, 32)
        prompt = str(values.get("prompt", ""))
        if (trouble := await self.misbehave(visit, prompt)) is not None:
            return trouble
        task = self.studio.tasks.find(await self._begin(name, app, values, cuts, prompt))
        assert task is not None
        visit.headers["x-fal-request-id"] = task.id
        return await then(visit, task)

    async def _queue(self, visit: Visit, task: Task) -> web.StreamResponse:
        urls = self._urls(_application(str(task.memo["app"])), task.id)
        return await visit.send({"status": "IN_QUEUE", "request_id": task.id, "queue_position": 0, **urls})

    async def _wait(self, visit: Visit, task: Task) -> web.StreamResponse:
        while task.phase != "done" and not self.studio.closing.is_set():
            await self.studio.pause(TICK_S)
        return await self._outcome(visit, task)

    async def _begin(self, name: str, app: App, values: Mapping[str, object], cuts: Sequence[Cut], prompt: str) -> str:
        """The id of a task, which knows already what will come of it."""
        tasks = self.studio.tasks
        try:
            fields = Fields(values)
            inputs = await self._inputs(app, fields, cuts)
            mask = await self._mask(app, fields, cuts)
            asked = read_asked(name, app, fields, inputs[0] if inputs else None, mask is not None)
        except Wrong as wrong:
            found = _complaint(wrong)
        except Complaint as complaint:
            found = complaint
        else:
            memo = msgspec.to_builtins(asked)
            return tasks.begin(memo, [picture.data for picture in (*inputs[:1], *([mask] if mask else []))])
        return tasks.begin({"app": name, "prompt": prompt, "detail": found.detail})

    async def _inputs(self, app: App, fields: Fields, cuts: Sequence[Cut]) -> Sequence[Input]:
        if not app.picture:
            return ()
        if app.picture == "image_urls":
            values = fields.list("image_urls", least=int(app.picture_required), most=app.most_pictures)
        else:
            value = fields.anything("image_url")
            values = () if value is None else (value,)
            if not values and app.picture_required:
                raise Wrong("image_url", "missing", "Field required")
        return [await self._look(app, app.picture, value, cuts) for value in values]

    async def _mask(self, app: App, fields: Fields, cuts: Sequence[Cut]) -> Input | None:
        value = fields.anything("mask_url") if app.mask else None
        return None if value is None else await self._look(app, "mask_url", value, cuts)

    async def _look(self, app: App, field: str, value: object, cuts: Sequence[Cut]) -> Input:
        try:
            found = await shown(value, cuts, self.studio, app.picture_formats, app.picture_bytes)
        except BadRequest as error:
            raise Complaint([field], error.message, "image_load_error") from error
        least, most = app.sides
        if min(found.media.width, found.media.height) <= least:
            raise Complaint([field], f"Both sides must have more than {least} pixels", "image_too_small")
        if max(found.media.width, found.media.height) >= most or found.media.pixels >= app.area:
            limits = f"Both sides must have less than {most} pixels, and the image less than {app.area}"
            raise Complaint([field], limits, "image_too_large")
        return found

    def _urls(self, application: str, id: str) -> dict[str, str]:
        response = f"{self.studio.address}/{self.name}/{application}/requests/{id}"
        return {"response_url": response, "status_url": f"{response}/status", "cancel_url": f"{response}/cancel"}

    def _task(self, visit: Visit) -> Task:
        found = self.studio.tasks.find(visit.request.match_info["id"])
        if found is None or visit.request.match_info["app"] != _application(str(found.memo["app"])):
            raise QueueError(404, "Request not found")
        return found

    async def _status(self, visit: Visit) -> web.StreamResponse:
        task = self._task(visit)
        told: dict[str, object] = {"request_id": task.id, **self._urls(visit.request.match_info["app"], task.id)}
        if task.phase == "queued":
            return await visit.send({"status": "IN_QUEUE", "queue_position": 0, **told}, 202)
        wanted = visit.request.query.get("logs", "0").lower() in ("1", "true")
        log = {"message": "painting", "level": "INFO", "source": "USER", "timestamp": "2026-01-01T00:00:00.000Z"}
        told["logs"] = [log] if wanted else None
        if task.phase == "running":
            return await visit.send({"status": "IN_PROGRESS", **told}, 202)
        failure = _failure(task)
        error = {"error": str(failure), "error_type": failure.kind} if failure else {}
        return await visit.send({"status": "COMPLETED", "metrics": {"inference_time": 0.1}, **told, **error})

    async def _cancel(self, visit: Visit) -> web.StreamResponse:
        task = self._task(visit)
        if task.phase == "done":
            return await visit.send({"status": "ALREADY_COMPLETED"}, 400)
        self.studio.tasks.cancel(task.id)
        return await visit.send({"status": "CANCELLATION_REQUESTED"}, 202)

    async def _result(self, visit: Visit) -> web.StreamResponse:
        task = self._task(visit)
        visit.headers["x-fal-request-id"] = task.id
        if task.phase in ("queued", "running"):
            raise QueueError(400, "Request is still in progress")
        return await self._outcome(visit, task)

    async def _outcome(self, visit: Visit, task: Task) -> web.StreamResponse:
        if (failure := _failure(task)) is not None:
            raise failure
        if (detail := _verdict(task)) is not None:
            visit.headers["X-Fal-Retryable"] = "false"
            return await visit.send({"detail": detail}, 422)
        asked = msgspec.convert(task.memo, Asked)
        pictures = await self.paint(visit, _scenes(asked, task.inputs))
        return await visit.send(self._output(asked, pictures, black=refused_late(task.prompt)))

    def _output(self, asked: Asked, pictures: Sequence[Spool], *, black: bool) -> dict[str, object]:
        app = APPS[asked.app]
        files = [self._file(asked, picture, index) for index, picture in enumerate(pictures)]
        beside: dict[str, object] = {
            "seed": asked.seed,
            "timings": {"inference": 0.1},
            "prompt": asked.prompt,
            "has_nsfw_concepts": [black] * len(files),
            "description": "",
        }
        told = {name: beside[name] for name in app.tells}
        return {**({"image": files[0] if files else None} if app.alone else {"images": files}), **told}

    def _file(self, asked: Asked, picture: Spool, index: int) -> dict[str, object]:
        """Of a drawing in vectors no pixels are told."""
        size = {} if asked.format == "svg" else {"width": asked.width, "height": asked.height}
        inline = Inline(picture, f"data:{picture.media_type};base64,")
        return {
            "url": inline if asked.inline else self.hosted(picture, asked.prompt),
            **size,
            "content_type": picture.media_type,
            "file_name": f"{asked.seed}-{index}.{asked.format}",
            "file_size": picture.size,
        }


def _application(name: str) -> str:
    """What stands in a request's URLs: an app without its path."""
    return "/".join(name.split("/")[:2])


def _failure(task: Task) -> QueueError | None:
    """Why the queue itself gave a task up."""
    if task.phase == "cancelled":
        return QueueError(499, "The request was cancelled by the client.", "client_cancelled")
    if fails(task.prompt):
        return QueueError(500, "The runner encountered an internal server error.", "runner_server_error")
    return None


def _verdict(task: Task) -> object:
    """The detail with which an app turned an input down; None where it did not."""
    if "detail" in task.memo:
        return task.memo["detail"]
    flags_pictures = "has_nsfw_concepts" in APPS[str(task.memo["app"])].tells
    if refused(task.prompt) or (refused_late(task.prompt) and not flags_pictures):
        message = "The content could not be processed because it contained material flagged by a content checker."
        return Complaint(["prompt"], message, "content_policy_violation").detail
    return None


def _scenes(asked: Asked, inputs: Sequence[bytes]) -> list[Scene]:
    app = APPS[asked.app]
    first = Scene(
        model=asked.app,
        prompt=asked.prompt,
        width=asked.width,
        height=asked.height,
        format=asked.format,
        transparent=app.transparent,
        kept=app.kept,
        label=asked.label,
        base=inputs[0] if inputs else None,
        mask=inputs[1] if asked.masked and len(inputs) > 1 else None,
    )
    return [msgspec.structs.replace(first, seed=asked.seed + index) for index in range(asked.count)]
