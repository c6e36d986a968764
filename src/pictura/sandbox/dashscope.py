"""Alibaba's DashScope (Model Studio) for pictures, as strict as the vendor: Qwen-Image and Wan.

The tables here are the vendor's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. They follow Alibaba's API references (2026-02 to 2026-10, official pages in stored copies) and the SDK,
dashscope 2.0.2 (2026-11); errors follow Alibaba's error page (2026). That a task is accepted first and its parameters
are looked at when it runs is a third party's measurement (2026).

Not as at the vendor: a parameter that is no parameter of the model is refused, where the vendor may just ignore it;
prompts are cut by characters where it counts tokens; nothing is streamed, so interleaved texts come by task only. The
SDK's upload of local files (`file://`, GET /uploads, then `oss://`) is not imitated: whoever wants to show a picture
writes a data URL, or an http(s) URL, which is not fetched. Other paths answer 404.
"""

from __future__ import annotations

import math
import re
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.core.media import Media
from pictura.infra.extract import Cut
from pictura.infra.spool import Spool
from pictura.sandbox.base import Studio, Vendor, VendorError, Visit, fails, refused, refused_late
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.fields import Fields, Wrong
from pictura.sandbox.inputs import Input, shown
from pictura.sandbox.tasks import Task

# -- the vendor's table of models --

#: What a service is called in its path.
AT_ONCE = "multimodal-generation/generation"
BY_TASK = "image-generation/generation"
TEXT_TO_IMAGE = "text2image/image-synthesis"
IMAGE_TO_IMAGE = "image2image/image-synthesis"

MEGABYTE = 1024 * 1024
_QWEN_FORMATS = ("jpeg", "png", "bmp", "tiff", "webp", "gif")
_WAN_FORMATS = ("jpeg", "png", "bmp", "webp")
_COMMON = ("negative_prompt", "prompt_extend", "watermark", "seed")


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What one model takes. Field by field:

    `services` it answers on; `sizes` the only ones, or with `pixels` (fewest and most of a free size; `shown_pixels`
    instead where pictures are shown) merely some; `sides` shortest and longest; `ratio` long to short at most; `tiers`
    the pixels on a side of a square; `step` that sides are rounded to; `default` size, "" for about a megapixel.
    `most` and `count`: pictures at most, and unless asked otherwise. `pictures`: how many are shown, at least and at
    most; `picture_sides` their pixels, `picture_ratio` long to short at most; `alpha` may be in them. `usage`: the way
    it tells what it drew.
    """

    services: tuple[str, ...] = (AT_ONCE,)
    sizes: tuple[str, ...] = ()
    pixels: tuple[int, int] | None = None
    shown_pixels: tuple[int, int] | None = None
    sides: tuple[int, int] = (1, 99_999)
    ratio: int = 1_000
    tiers: Mapping[str, int] = {}
    step: int = 1
    default: str = ""
    most: int = 1
    count: int = 1
    pictures: tuple[int, int] = (0, 0)
    picture_sides: tuple[int, int] = (10, 99_999)
    picture_ratio: int = 1_000
    picture_bytes: int = 10 * MEGABYTE
    formats: tuple[str, ...] = _QWEN_FORMATS
    alpha: bool = True
    prompt_chars: int = 800
    options: tuple[str, ...] = _COMMON
    usage: Literal["qwen", "qwen-3", "wan"] = "qwen"


#: 4:3 is 1472*1104 in newer pages, 1472*1140 in older ones.
_FIVE_SIZES = ("1664*928", "1472*1104", "1328*1328", "1104*1472", "928*1664", "1472*1140", "1140*1472")
_QWEN_PIXELS = (512 * 512, 2048 * 2048)
_WAN_PIXELS = (768 * 768, 2048 * 2048)
_WAN_OPTIONS = ("bbox_list", "enable_sequential", "thinking_mode", "color_palette", "watermark", "seed")

QWEN_PLUS = Model(services=(AT_ONCE, TEXT_TO_IMAGE), sizes=_FIVE_SIZES, default="1664*928")
QWEN_MAX = Model(sizes=_FIVE_SIZES, pixels=_QWEN_PIXELS, default="1664*928")
QWEN_2 = Model(pixels=_QWEN_PIXELS, step=16, default="2048*2048", most=6, pictures=(0, 3), prompt_chars=1_300)
QWEN_3 = Model(
    services=(AT_ONCE, BY_TASK),
    pixels=_QWEN_PIXELS,
    ratio=8,
    most=6,
    pictures=(0, 3),
    prompt_chars=4_500,
    options=(*_COMMON, "prompt_extend_mode", "enable_thinking"),
    usage="qwen-3",
)
QWEN_EDIT_PLUS = Model(pixels=(512 * 512, 2048 * 2048), sides=(512, 2048), step=16, most=6, pictures=(1, 3))
QWEN_EDIT = Model(pictures=(1, 3), options=("negative_prompt", "watermark", "seed"))
WAN_2_2 = Model(
    services=(TEXT_TO_IMAGE,), pixels=(512 * 512, 1440 * 1440), sides=(512, 1440), default="1024*1024", most=4, count=4
)
#: 1280*1280 at least, says the page, and recommends this, which is a little less.
WAN_2_5 = Model(
    services=(TEXT_TO_IMAGE,),
    pixels=(1104 * 1472, 1440 * 1440),
    ratio=4,
    default="1280*1280",
    most=4,
    count=4,
    prompt_chars=2_000,
)
#: Its page was not seen; as the SDK sends it, and for the rest as 2.6 (memory).
WAN_2_5_EDIT = Model(
    services=(IMAGE_TO_IMAGE,),
    pixels=(768 * 768, 1280 * 1280),
    ratio=4,
    most=4,
    count=4,
    pictures=(1, 3),
    picture_sides=(384, 5000),
    picture_ratio=4,
    formats=_WAN_FORMATS,
    alpha=False,
    prompt_chars=2_000,
)
WAN_2_6 = msgspec.structs.replace(WAN_2_5, services=(AT_ONCE, BY_TASK), prompt_chars=2_100, usage="wan")
WAN_2_6_EDIT = Model(
    services=(AT_ONCE, BY_TASK),
    pixels=_WAN_PIXELS,
    ratio=4,
    tiers={"1K": 1280, "2K": 2048},
    default="1K",
    most=4,
    count=4,
    pictures=(1, 4),
    picture_sides=(240, 8000),
    formats=_WAN_FORMATS,
    alpha=False,
    prompt_chars=2_000,
    options=(*_COMMON, "enable_interleave", "max_images"),
    usage="wan",
)
WAN_2_7 = Model(
    services=(AT_ONCE, BY_TASK),
    pixels=_WAN_PIXELS,
    ratio=8,
    tiers={"1K": 1024, "2K": 2048},
    default="2K",
    most=4,
    pictures=(0, 9),
    picture_sides=(240, 8000),
    picture_ratio=8,
    picture_bytes=20 * MEGABYTE,
    formats=_WAN_FORMATS,
    alpha=False,
    prompt_chars=5_000,
    options=_WAN_OPTIONS,
    usage="wan",
)
WAN_2_7_PRO = msgspec.structs.replace(
    WAN_2_7, pixels=(768 * 768, 4096 * 4096), shown_pixels=_WAN_PIXELS, tiers={"1K": 1024, "2K": 2048, "4K": 4096}
)

MODELS = {
    "qwen-image": QWEN_PLUS,
    "qwen-image-plus": QWEN_PLUS,
    "qwen-image-plus-2026-01-09": QWEN_PLUS,
    "qwen-image-max": QWEN_MAX,
    "qwen-image-max-2025-12-30": QWEN_MAX,
    "qwen-image-2.0": QWEN_2,
    "qwen-image-2.0-2026-03-03": QWEN_2,
    "qwen-image-2.0-pro": QWEN_2,
    "qwen-image-2.0-pro-2026-03-03": QWEN_2,
    "qwen-image-2.0-pro-2026-04-22": QWEN_2,
    "qwen-image-2.0-pro-2026-06-22": QWEN_2,
    "qwen-image-3.0": QWEN_3,
    "qwen-image-3.0-pro": QWEN_3,
    "qwen-image-edit": QWEN_EDIT,
    "qwen-image-edit-plus": QWEN_EDIT_PLUS,
    "qwen-image-edit-plus-2025-10-30": QWEN_EDIT_PLUS,
    "qwen-image-edit-plus-2025-12-15": QWEN_EDIT_PLUS,
    "qwen-image-edit-max": QWEN_EDIT_PLUS,
    "qwen-image-edit-max-2026-01-16": QWEN_EDIT_PLUS,
    "wanx2.1-t2i-turbo": WAN_2_2,
    "wanx2.1-t2i-plus": WAN_2_2,
    "wan2.2-t2i-flash": WAN_2_2,
    "wan2.2-t2i-plus": WAN_2_2,
    "wan2.5-t2i-preview": WAN_2_5,
    "wan2.5-i2i-preview": WAN_2_5_EDIT,
    "wan2.6-t2i": WAN_2_6,
    "wan2.6-image": WAN_2_6_EDIT,
    "wan2.7-image": WAN_2_7,
    "wan2.7-image-pro": WAN_2_7_PRO,
}

LARGEST_PICTURE = WAN_2_7.picture_bytes
MOST_SHOWN = 9
#: An area up to which Qwen-Image 3.0 counts a picture as 1K.
SMALL_PIXELS = 2_250_000
#: What a picture has without a size, where it follows what was shown.
USUAL_PIXELS = 1024 * 1024

# -- errors --


class ApiError(VendorError):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, {"code": code, "message": message}, message)
        self.code = code
        self.message = message


_OWN_ERRORS = {
    401: (401, "InvalidApiKey", "Invalid API-key provided."),
    402: (400, "Arrearage", "Access denied, please make sure your account is in good standing."),
    429: (429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later."),
    500: (500, "InternalError", "An internal error has occured, please try again later."),
}


def _inappropriate(side: Literal["Input", "Output"]) -> ApiError:
    return ApiError(400, "DataInspectionFailed", f"{side} data may contain inappropriate content.")


def _not_found() -> ApiError:
    return ApiError(404, "NotFound", "Not found!")


def _no_streams() -> ApiError:
    return ApiError(400, "InvalidParameter", "The sandbox does not stream; ask by task.")


def _told(error: BadRequest) -> ApiError:
    """What is wrong with a request, in the vendor's words where they are known."""
    missing = isinstance(error, Wrong) and error.why == "missing"
    return ApiError(400, "InvalidParameter", f"Field required: {error.param}" if missing else error.message)


# -- what is asked --


class Work(msgspec.Struct, kw_only=True):
    """What is to be drawn, as a task keeps it. With `code` it is known from the start that it will fail."""

    service: str
    model: str
    prompt: str = ""
    count: int = 1
    width: int = 1024
    height: int = 1024
    seed: int = 0
    watermark: bool = False
    extended: bool = False
    interleaved: bool = False
    shown: int = 0
    code: str = ""
    message: str = ""


async def read_asked(fields: Fields, cuts: Sequence[Cut], work: Work, studio: Studio) -> Sequence[Input]:
    """Fill in `work`, whose model is known; the answer is what is shown to it.

    Raises BadRequest for the first thing that is wrong.
    """
    rules = MODELS[work.model]
    content = fields.inside("input", required=True)
    parameters = fields.inside("parameters")
    fields.refuse_rest()
    if work.service in (TEXT_TO_IMAGE, IMAGE_TO_IMAGE):
        prompt, pictures = _read_prompt(content, rules)
        options = tuple(name for name in rules.options if name != "negative_prompt")
    else:
        prompt, pictures = _read_message(content)
        options = rules.options
    work.prompt = prompt[: rules.prompt_chars]
    inputs = [await _look(value, cuts, rules, studio) for value in pictures]
    work.shown = len(inputs)
    _read_parameters(parameters, options, rules, work, inputs)
    return inputs


def _read_prompt(content: Fields, rules: Model) -> tuple[str, Sequence[object]]:
    prompt = content.text("prompt", required=True)
    content.text("negative_prompt")
    pictures = content.list("images", least=rules.pictures[0], most=10) if rules.pictures[1] else ()
    content.refuse_rest()
    return prompt, pictures


def _read_message(content: Fields) -> tuple[str, Sequence[object]]:
    messages = content.objects("messages", least=1)
    content.refuse_rest()
    if len(messages) != 1:
        raise Wrong("input.messages", "length", "messages length only support 1")
    message = messages[0]
    if message.text("role") != "user":
        raise Wrong(message.where("role"), "value", "The input messages do not contain elements with the role of user")
    texts: list[str] = []
    pictures: list[object] = []
    for part in message.objects("content", least=1):
        # The vendor's own answers have it, so it may come back.
        part.word("type", ("text", "image"))
        if "text" in part:
            texts.append(part.text("text"))
        elif "image" in part:
            pictures.append(part.anything("image"))
        part.refuse_rest()
    message.refuse_rest()
    if len(texts) != 1 or not texts[0].strip():
        raise Wrong("input.messages", "length", "the content must contain exactly one text")
    return texts[0], pictures


async def _look(value: object, cuts: Sequence[Cut], rules: Model, studio: Studio) -> Input:
    found = await shown(value, cuts, studio, rules.formats, rules.picture_bytes)
    width, height = found.media.width, found.media.height
    short, long = sorted((width, height))
    low, high = rules.picture_sides
    if short < low or long > high:
        # As logged by callers of wan2.5 (2026-03 to 2026-06, third party).
        raise BadRequest(f"Image dimensions must be in [{low}, {high}], got {width}x{height}")
    if long > short * rules.picture_ratio:
        raise BadRequest(f"Image aspect ratio must be in [1:{rules.picture_ratio}, {rules.picture_ratio}:1]")
    if found.media.alpha and not rules.alpha:
        raise BadRequest("the alpha channel of a PNG is not supported")
    return found


def _read_parameters(
    parameters: Fields, options: Sequence[str], rules: Model, work: Work, inputs: Sequence[Input]
) -> None:
    size = parameters.text("size")
    flags = {name: parameters.flag(name, default) for name, default in _FLAGS.items() if name in options}
    work.watermark, work.extended = flags.get("watermark", False), flags.get("prompt_extend", False)
    work.interleaved = flags.get("enable_interleave", False)
    sequential = flags.get("enable_sequential", False)
    work.count = _read_count(parameters, rules, work, sequential)
    seed = parameters.whole("seed", 0, 2**31 - 1)
    work.seed = seed_from(work.model, work.prompt) if seed is None else seed
    _read_more(parameters, options, inputs)
    _refuse_stream(parameters, work)
    parameters.refuse_rest()
    _check_shown(rules, work, inputs)
    work.width, work.height = _measured(size, rules, [found.media for found in inputs], sequential)


#: Flags and their defaults.
_FLAGS = {
    "prompt_extend": True,
    "watermark": False,
    "enable_thinking": True,
    "enable_interleave": False,
    "enable_sequential": False,
    "thinking_mode": True,
}


def _read_count(parameters: Fields, rules: Model, work: Work, sequential: bool) -> int:
    if work.interleaved:
        parameters.whole("n", 1, 1)
        return parameters.whole("max_images", 1, 5) or 5
    if sequential:
        return parameters.whole("n", 1, 12) or 12
    if rules.most > 1:
        return parameters.whole("n", 1, rules.most) or rules.count
    if parameters.whole("n", -(2**31), 2**31) not in (None, 1):
        raise Wrong("parameters.n", "range", "num_images_per_prompt must be 1")
    return 1


def _read_more(parameters: Fields, options: Sequence[str], inputs: Sequence[Input]) -> None:
    """What is checked and then changes nothing in a drawing."""
    if "negative_prompt" in options:
        parameters.text("negative_prompt")
    if "max_images" in options:
        parameters.whole("max_images", 1, 5)
    if "prompt_extend_mode" in options:
        parameters.word("prompt_extend_mode", ("direct",) if inputs else ("direct", "agent"))
    if "bbox_list" in options and "bbox_list" in parameters:
        parameters.list("bbox_list", least=len(inputs), most=len(inputs))
    if "color_palette" in options and "color_palette" in parameters:
        parameters.objects("color_palette", least=3, most=10)


def _refuse_stream(parameters: Fields, work: Work) -> None:
    # Of chats, but Alibaba's examples set them here too; and what its SDK lets slip.
    for name in ("result_format", "incremental_output", "is_async"):
        parameters.anything(name)
    if parameters.flag("stream"):
        raise _no_streams()
    if work.interleaved and work.service == AT_ONCE:
        raise Wrong("parameters.stream", "value", "stream must be true when enable_interleave is true")


def _check_shown(rules: Model, work: Work, inputs: Sequence[Input]) -> None:
    least, most = (0, 1) if work.interleaved else rules.pictures
    if not least <= len(inputs) <= most:
        message = f"the last message must contain {least} to {most} images" if most else "lack of image or text"
        raise Wrong("input.messages", "length", message)


# -- sizes --


def _measured(size: str, rules: Model, shown: Sequence[Media], sequential: bool) -> tuple[int, int]:
    """Pixels of the pictures; without pixels in `size` they are shaped as the last picture that was shown."""
    last = shown[-1] if shown else None
    if not size and (last is None or rules.default in rules.tiers):
        size = rules.default
    if not size:
        return _shaped(USUAL_PIXELS, last)
    if not rules.sizes and rules.pixels is None:
        raise Wrong("parameters.size", "value", "size is not supported by this model")
    restrained = bool(shown) or sequential
    if size in rules.tiers:
        if restrained and rules.shown_pixels and rules.tiers[size] ** 2 > rules.shown_pixels[1]:
            raise Wrong("parameters.size", "value", f"{size} is for text alone")
        return _shaped(rules.tiers[size] ** 2, last)
    return _asked_for(size, rules, restrained)


def _shaped(pixels: int, like: Media | None) -> tuple[int, int]:
    """So many pixels, as near as multiples of 16 allow."""
    shape = like.width / like.height if like else 1.0
    width = math.sqrt(pixels * shape)
    return max(16, round(width / 16) * 16), max(16, round(width / shape / 16) * 16)


def _asked_for(size: str, rules: Model, restrained: bool) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,4})\*([1-9]\d{0,4})", size)
    if found is None:
        raise Wrong("parameters.size", "value", "Expected format: '<width>*<height>'")
    width, height = int(found[1]), int(found[2])
    if size not in rules.sizes and not _inside(width, height, rules, restrained):
        raise Wrong("parameters.size", "value", f"The size {size} does not match what this model takes.")
    # Halves go to the even side, as in Alibaba's example: 1033*1032 becomes 1040*1024.
    return round(width / rules.step) * rules.step, round(height / rules.step) * rules.step


def _inside(width: int, height: int, rules: Model, restrained: bool) -> bool:
    pixels = (rules.shown_pixels if restrained else None) or rules.pixels
    if pixels is None:
        return False
    short, long = sorted((width, height))
    area = pixels[0] <= width * height <= pixels[1]
    return area and rules.sides[0] <= short and long <= rules.sides[1] and long <= short * rules.ratio


# -- what is answered --


def _scenes(work: Work, inputs: Sequence[bytes]) -> list[Scene]:
    """One for each picture; they differ by their seeds."""
    first = Scene(
        model=work.model,
        prompt=work.prompt,
        width=work.width,
        height=work.height,
        label="watermark" if work.watermark else "",
        base=inputs[0] if inputs else None,
    )
    return [msgspec.structs.replace(first, seed=work.seed + index) for index in range(work.count)]


def _result(work: Work, urls: Sequence[str]) -> dict[str, object]:
    """The part of `output` that holds the pictures."""
    rules = MODELS[work.model]
    if work.service in (TEXT_TO_IMAGE, IMAGE_TO_IMAGE):
        extended = {"actual_prompt": f"{work.prompt}, as painted in the sandbox"} if work.extended else {}
        results = [{"orig_prompt": work.prompt, **extended, "url": url} for url in urls]
        metrics = {"TOTAL": work.count, "SUCCEEDED": len(urls), "FAILED": work.count - len(urls)}
        return {"results": results, "task_metrics": metrics}
    if work.interleaved:
        contents = [[part for url in urls for part in (_text(work.prompt), _image(url))]]
    elif rules.usage == "wan":
        contents = [[_image(url)] for url in urls]
    else:
        contents = [[{"image": url} for url in urls]]
    choices = [_choice(content) for content in contents]
    more: dict[str, object] = {"finished": True} if rules.usage == "wan" else {}
    return {"choices": choices, **more, **({"rewrite_status": "success"} if rules.usage == "qwen-3" else {})}


def _text(prompt: str) -> dict[str, str]:
    return {"type": "text", "text": f"{prompt}, told in the sandbox"}


def _image(url: str) -> dict[str, str]:
    return {"type": "image", "image": url}


def _choice(content: Sequence[Mapping[str, str]]) -> dict[str, object]:
    return {"finish_reason": "stop", "message": {"role": "assistant", "content": content}}


def _usage(work: Work, count: int) -> dict[str, object]:
    rules = MODELS[work.model]
    if work.service in (TEXT_TO_IMAGE, IMAGE_TO_IMAGE):
        return {"image_count": count}
    if rules.usage == "wan":
        tokens = dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), 0)
        return {"image_count": count, "size": f"{work.width}*{work.height}", **tokens}
    if rules.usage == "qwen":
        return {"image_count": count, "width": work.width, "height": work.height}
    tier = "1k" if work.width * work.height <= SMALL_PIXELS else "2k"
    return {
        "output_width": work.width,
        "output_height": work.height,
        "output_image_count": count,
        "output_image_type": f"qima_output_{tier}",
        "input_image_count": work.shown,
        "input_image_type": f"qima_input_{tier}",
    }


def _state(task: Task) -> str:
    """Half of its time a task spends in the queue, so that it can be cancelled."""
    if task.cancelled:
        return "CANCELED"
    if task.phase != "done":
        return "PENDING" if task.progress < 50 else "RUNNING"
    return "FAILED" if _failure(task) else "SUCCEEDED"


def _failure(task: Task) -> ApiError | None:
    """What a task ends in that does not end well."""
    work = msgspec.convert(task.memo, Work)
    if work.code:
        return ApiError(400, work.code, work.message)
    if refused_late(work.prompt):
        return _inappropriate("Output")
    if fails(work.prompt):
        return ApiError(500, "InternalError.Algo", "An internal error has occured during algorithm execution.")
    return None


def _times(task: Task, state: str) -> dict[str, str]:
    """When it was submitted, began and ended, as far as it has."""
    began_s = task.began_ms / 1000
    moments = {"submit_time": began_s}
    if state != "PENDING":
        moments["scheduled_time"] = began_s + 0.03
    if state in ("SUCCEEDED", "FAILED", "CANCELED"):
        moments["end_time"] = time.time()
    return {name: _clock(moment) for name, moment in moments.items()}


def _clock(moment_s: float) -> str:
    """Beijing's time."""
    return f"{datetime.fromtimestamp(moment_s, UTC) + timedelta(hours=8):%Y-%m-%d %H:%M:%S.%f}"[:-3]


# -- the simulator --


class DashScope(Vendor):
    """The services for pictures and their tasks, below `/dashscope/api/v1`."""

    name = "dashscope"

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/api/v1/services/aigc/{task}/{function}", self.answering(self._serve)),
            web.get("/api/v1/tasks/{id}", self.answering(self._fetch)),
            web.post("/api/v1/tasks/{id}/cancel", self.answering(self._cancel)),
            web.route("*", "/{path:.*}", self.answering(self._lost)),
        ]

    def own_error(self, status: int) -> ApiError:
        return ApiError(*_OWN_ERRORS[status])

    def translated(self, error: BadRequest) -> ApiError:
        return _told(error)

    def check_key(self, visit: Visit) -> None:
        if not visit.bearer:
            raise ApiError(401, "InvalidApiKey", "No API-key provided.")
        super().check_key(visit)

    async def tell(self, visit: Visit, error: VendorError) -> web.StreamResponse:
        return await _send(visit, error.document, error.status)

    async def _lost(self, visit: Visit) -> web.StreamResponse:
        raise _not_found()

    async def _serve(self, visit: Visit) -> web.StreamResponse:
        place = visit.request.match_info
        service = f"{place['task']}/{place['function']}"
        by_task = visit.request.headers.get("X-DashScope-Async") == "enable"
        if service not in (AT_ONCE, BY_TASK, TEXT_TO_IMAGE, IMAGE_TO_IMAGE):
            raise _not_found()
        if by_task is (service == AT_ONCE):
            kind = "asynchronous" if by_task else "synchronous"
            raise ApiError(403, "AccessDenied", f"current user api does not support {kind} calls")
        if visit.request.headers.get("X-DashScope-SSE") == "enable":
            raise _no_streams()
        values, cuts = await visit.json(LARGEST_PICTURE, MOST_SHOWN + 1)
        fields = Fields(values)
        work = Work(service=service, model=_read_model(fields, service))
        return await (self._submit if by_task else self._draw)(visit, fields, cuts, work)

    async def _draw(self, visit: Visit, fields: Fields, cuts: Sequence[Cut], work: Work) -> web.StreamResponse:
        inputs = await read_asked(fields, cuts, work, self.studio)
        if refused(work.prompt):
            raise _inappropriate("Input")
        if refused_late(work.prompt):
            raise _inappropriate("Output")
        if (trouble := await self.misbehave(visit, work.prompt)) is not None:
            return trouble
        urls = await self._paint(visit, work, [found.data for found in inputs])
        return await _send(visit, {"output": _result(work, urls), "usage": _usage(work, len(urls))})

    async def _submit(self, visit: Visit, fields: Fields, cuts: Sequence[Cut], work: Work) -> web.StreamResponse:
        inputs: Sequence[Input] = ()
        try:
            inputs = await read_asked(fields, cuts, work, self.studio)
        except BadRequest as error:
            told = _told(error)
            work.code, work.message = told.code, told.message
        if refused(work.prompt):
            raise _inappropriate("Input")
        if (trouble := await self.misbehave(visit, work.prompt)) is not None:
            return trouble
        id = self.studio.tasks.begin(msgspec.to_builtins(work), [found.data for found in inputs])
        return await _send(visit, {"output": {"task_status": "PENDING", "task_id": id}})

    async def _fetch(self, visit: Visit) -> web.StreamResponse:
        id = visit.request.match_info["id"]
        task = self.studio.tasks.find(id)
        if task is None:
            return await _send(visit, {"output": {"task_id": id, "task_status": "UNKNOWN"}})
        state = _state(task)
        output: dict[str, object] = {"task_id": id, "task_status": state, **_times(task, state)}
        if state == "FAILED" and (failure := _failure(task)):
            return await _send(visit, {"output": {**output, "code": failure.code, "message": failure.message}})
        if state != "SUCCEEDED":
            return await _send(visit, {"output": output})
        work = msgspec.convert(task.memo, Work)
        urls = await self._paint(visit, work, task.inputs)
        return await _send(visit, {"output": {**output, **_result(work, urls)}, "usage": _usage(work, len(urls))})

    async def _cancel(self, visit: Visit) -> web.StreamResponse:
        task = self.studio.tasks.find(visit.request.match_info["id"])
        if task is None or _state(task) != "PENDING":
            message = "Failed to cancel the task, please confirm if the task is in PENDING status."
            raise ApiError(400, "UnsupportedOperation", message)
        self.studio.tasks.cancel(task.id)
        return await _send(visit, {})

    async def _paint(self, visit: Visit, work: Work, inputs: Sequence[bytes]) -> list[str]:
        drawn: list[Spool] = await self.paint(visit, _scenes(work, inputs))
        return [self.hosted(spool, work.prompt) for spool in drawn]


def _read_model(fields: Fields, service: str) -> str:
    name = fields.text("model")
    if not name:
        raise ApiError(400, "BadRequest.EmptyModel", 'Required parameter "model" missing from request.')
    if name not in MODELS:
        raise ApiError(404, "ModelNotFound", "Model can not be found.")
    if service not in MODELS[name].services:
        raise ApiError(400, "InvalidParameter", "url error, please check url！")
    return name


async def _send(visit: Visit, document: Mapping[str, object], status: int = 200) -> web.StreamResponse:
    return await visit.send({**document, "request_id": str(uuid.uuid4())}, status)
