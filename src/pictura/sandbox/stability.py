"""Stability AI's v2beta Stable Image API, as strict as the vendor: https://platform.stability.ai/docs/api-reference.

The tables here are the vendor's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. They follow the vendor's OpenAPI document as tryAGI/StabilityAI keeps it (2026; confidence: official
specification, at second hand), and so do codes and messages, except those of 401 and 402 (memory).

Not as at the vendor: fields that a service does not know are refused, so that a misspelt one is seen (`none` is not:
the vendor's own examples send it). A task's id is longer than 64 characters. Pictures have the right shape, but never
more than 4 megapixels. Whoever asks for a result more often than every ten seconds is answered.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Literal

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest, TooLarge
from pictura.core.picture import Inline
from pictura.sandbox.base import Upload, Vendor, VendorError, Visit, fails, refused, refused_late
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.fields import Fields, Wrong
from pictura.sandbox.inputs import Input, look
from pictura.sandbox.tasks import Task

# -- errors --


class ApiError(VendorError):
    def __init__(self, name: str, message: str, status: int = 400) -> None:
        super().__init__(status, {"id": secrets.token_hex(16), "name": name, "errors": [message]}, message)


_MODERATED = ApiError(
    "content_moderation",
    "Your request was flagged by our content moderation system, as a result your request was denied and you were not "
    "charged.",
    403,
)
_OWN_ERRORS = {
    401: ("unauthorized", "authorization: is invalid or missing"),
    402: ("payment_required", "You lack sufficient credits to make this request."),
    429: (
        "rate_limit_exceeded",
        "You have exceeded the rate limit of 150 requests within a 10 second period, and have been timed out for 60 "
        "seconds.",
    ),
    500: ("internal_error", "An unexpected server error has occurred, please try again later."),
}


def _own_error(status: int) -> ApiError:
    return ApiError(*_OWN_ERRORS[status], status)


def _bad(field: str, message: str) -> ApiError:
    return ApiError("bad_request", f"{field}: {message}")


# -- the vendor's table of services --


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What an input must be: pixels on a side and in all (0: no bound), and at most so many times longer than wide."""

    least_side: int = 64
    most_side: int = 0
    least_pixels: int = 4_096
    most_pixels: int = 9_437_184
    most_ratio: float = 0
    required: bool = True


class Asked(msgspec.Struct, kw_only=True, eq=False):
    """A request that has passed."""

    service: str
    prompt: str
    values: Mapping[str, object]
    inputs: Mapping[str, Input]
    output_format: str

    @property
    def first(self) -> Input | None:
        return next(iter(self.inputs.values()), None)

    def whole(self, name: str) -> int:
        value = self.values.get(name)
        return value if isinstance(value, int) else 0


Pixels = tuple[int, int]


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What a service takes, besides `output_format`, and how large what it draws is."""

    size: Callable[[Asked], Pixels]
    pictures: Mapping[str, Sight] = {}
    prompt: str = "prompt"
    prompt_need: Literal["required", "optional", "none"] = "required"
    texts: tuple[str, ...] = ("negative_prompt",)
    required_texts: tuple[str, ...] = ()
    words: Mapping[str, tuple[str, ...]] = {}
    wholes: Mapping[str, tuple[int, int]] = {}
    numbers: Mapping[str, tuple[float, float]] = {}
    formats: tuple[str, ...] = ("png", "jpeg", "webp")
    transparent: bool = False
    task: bool = False
    check: Callable[[Asked], None] = lambda asked: None


MOST_PIXELS = 4_194_304
_MEGAPIXEL = 1_048_576


def _shaped(shape: float, area: int) -> Pixels:
    """The size of this shape and area whose sides are multiples of 64; the vendor's own differ a little."""
    width, height = math.sqrt(area * shape), math.sqrt(area / shape)
    return max(1, round(width / 64)) * 64, max(1, round(height / 64)) * 64


def _by_aspect(area: int) -> Callable[[Asked], Pixels]:
    def size(asked: Asked) -> Pixels:
        return _shaped(float(Fraction(str(asked.values["aspect_ratio"]).replace(":", "/"))), area)

    return size


def _by_input(area: int) -> Callable[[Asked], Pixels]:
    def size(asked: Asked) -> Pixels:
        return _shaped(_width(asked) / _height(asked), area)

    return size


def _by_either(asked: Asked) -> Pixels:
    """SD 3.5 draws in the shape of its input, where there is one."""
    return (_by_input if asked.inputs else _by_aspect)(_MEGAPIXEL)(asked)


def _times(factor: int) -> Callable[[Asked], Pixels]:
    return lambda asked: (_width(asked) * factor, _height(asked) * factor)


def _with_margins(asked: Asked) -> Pixels:
    across, down = asked.whole("left") + asked.whole("right"), asked.whole("up") + asked.whole("down")
    return _width(asked) + across, _height(asked) + down


def _width(asked: Asked) -> int:
    return asked.first.media.width if asked.first else 0


def _height(asked: Asked) -> int:
    return asked.first.media.height if asked.first else 0


def _needs_strength(asked: Asked) -> None:
    if asked.inputs and "strength" not in asked.values:
        raise _bad("strength", "is required when image is provided")


def _fits_its_mode(asked: Asked) -> None:
    """SD 3.5 wants to be told whether it starts from a picture."""
    if asked.values["mode"] == "image-to-image":
        if not asked.inputs:
            raise _bad("image", "is required when mode is image-to-image")
        if "aspect_ratio" in asked.values:
            raise _bad("aspect_ratio", "is only valid for text-to-image requests")
        _needs_strength(asked)
    elif asked.inputs or "strength" in asked.values:
        raise _bad("image" if asked.inputs else "strength", "is only valid for image-to-image requests")


def _has_margins(asked: Asked) -> None:
    if _with_margins(asked) == (_width(asked), _height(asked)):
        raise _bad("left", "at least one outpaint direction (left, right, up or down) must be supplied")


ASPECTS = ("21:9", "16:9", "3:2", "5:4", "1:1", "4:5", "2:3", "9:16", "9:21")
STYLES = (
    *("enhance", "anime", "photographic", "digital-art", "comic-book", "fantasy-art", "line-art", "analog-film"),
    *("neon-punk", "isometric", "low-poly", "origami", "modeling-compound", "cinematic", "3d-model", "pixel-art"),
    "tile-texture",
)
#: `sd3.5-flash` is in the document's text, with its price, but not yet in its list.
MODELS = (
    "sd3.5-large",
    "sd3.5-large-turbo",
    "sd3.5-medium",
    "sd3.5-flash",
    "sd3-large",
    "sd3-large-turbo",
    "sd3-medium",
)
#: Where a field has a default that the size depends on.
_DEFAULTS = {"aspect_ratio": "1:1", "mode": "text-to-image", "model": MODELS[0]}

_ASPECT = {"aspect_ratio": ASPECTS}
_STYLE = {"style_preset": STYLES}
_SEED = {"seed": (0, 4_294_967_294)}
_PART = (0.0, 1.0)
_PLAIN = {"image": Sight()}
_SHAPED = {"image": Sight(most_ratio=2.5)}
_MASKED = {"image": Sight(), "mask": Sight(required=False)}
_SMALL = {"image": Sight(most_pixels=_MEGAPIXEL)}

_CONTROL = Service(size=_times(1), pictures=_SHAPED, words=_STYLE, wholes=_SEED, numbers={"control_strength": _PART})
_SEARCH = Service(
    size=_by_input(MOST_PIXELS),
    pictures=_SHAPED,
    required_texts=("search_prompt",),
    words=_STYLE,
    wholes=_SEED,
    numbers={"grow_mask": (0, 20)},
)

SERVICES: Mapping[str, Service] = {
    "generate/ultra": Service(
        size=_by_aspect(_MEGAPIXEL),
        pictures={"image": Sight(most_side=16_384, most_pixels=0, required=False)},
        words={**_ASPECT, **_STYLE},
        wholes=_SEED,
        numbers={"strength": _PART},
        check=_needs_strength,
    ),
    "generate/core": Service(size=_by_aspect(1_572_864), words={**_ASPECT, **_STYLE}, wholes=_SEED),
    "generate/sd3": Service(
        size=_by_either,
        pictures={"image": Sight(least_pixels=0, most_pixels=0, required=False)},
        words={**_ASPECT, **_STYLE, "mode": ("text-to-image", "image-to-image"), "model": MODELS},
        wholes=_SEED,
        numbers={"strength": _PART, "cfg_scale": (1, 10)},
        check=_fits_its_mode,
    ),
    "edit/inpaint": Service(
        size=_by_input(MOST_PIXELS),
        pictures=_MASKED,
        words=_STYLE,
        wholes=_SEED,
        numbers={"grow_mask": (0, 100)},
    ),
    "edit/erase": Service(
        size=_by_input(MOST_PIXELS),
        pictures=_MASKED,
        prompt_need="none",
        texts=(),
        wholes=_SEED,
        numbers={"grow_mask": (0, 20)},
    ),
    "edit/outpaint": Service(
        size=_with_margins,
        pictures=_SHAPED,
        prompt_need="optional",
        texts=(),
        words=_STYLE,
        wholes={**_SEED, **dict.fromkeys(("left", "right", "up", "down"), (0, 2_000))},
        numbers={"creativity": _PART},
        check=_has_margins,
    ),
    "edit/search-and-replace": _SEARCH,
    "edit/search-and-recolor": msgspec.structs.replace(_SEARCH, size=_times(1), required_texts=("select_prompt",)),
    "edit/remove-background": Service(
        size=_times(1),
        pictures={"image": Sight(most_pixels=MOST_PIXELS)},
        prompt_need="none",
        texts=(),
        formats=("png", "webp"),
        transparent=True,
    ),
    "edit/replace-background-and-relight": Service(
        size=_times(1),
        pictures={
            "subject_image": Sight(most_ratio=2.5),
            "background_reference": Sight(required=False),
            "light_reference": Sight(required=False),
        },
        prompt="background_prompt",
        texts=("negative_prompt", "foreground_prompt"),
        words={
            "keep_original_background": ("true", "false"),
            "light_source_direction": ("left", "right", "above", "below"),
        },
        wholes=_SEED,
        numbers=dict.fromkeys(
            ("preserve_original_subject", "original_background_depth", "light_source_strength"), _PART
        ),
        task=True,
    ),
    "control/sketch": _CONTROL,
    "control/structure": _CONTROL,
    "control/style": Service(
        size=_by_aspect(_MEGAPIXEL),
        pictures=_SHAPED,
        words={**_ASPECT, **_STYLE},
        wholes=_SEED,
        numbers={"fidelity": _PART},
    ),
    "control/style-transfer": Service(
        size=_by_input(_MEGAPIXEL),
        pictures={
            "init_image": Sight(most_side=16_383, most_ratio=2.5),
            "style_image": Sight(most_side=16_383),
        },
        prompt_need="optional",
        wholes=_SEED,
        numbers={"style_strength": _PART, "composition_fidelity": _PART, "change_strength": (0.1, 1)},
    ),
    "upscale/fast": Service(
        size=_times(4),
        pictures={"image": Sight(least_side=32, most_side=1_536, least_pixels=1_024, most_pixels=_MEGAPIXEL)},
        prompt_need="none",
        texts=(),
    ),
    "upscale/conservative": Service(
        size=_by_input(MOST_PIXELS), pictures=_SHAPED, wholes=_SEED, numbers={"creativity": (0.2, 0.5)}
    ),
    "upscale/creative": Service(
        size=_by_input(MOST_PIXELS),
        pictures=_SMALL,
        words=_STYLE,
        wholes=_SEED,
        numbers={"creativity": (0.1, 0.5)},
        task=True,
    ),
}

PROMPT_CHARS = 10_000
#: Of a whole request.
MOST_BYTES = 10 * 1024 * 1024
_INPUT_FORMATS = ("jpeg", "png", "webp")
_FILE_FIELDS = frozenset(name for service in SERVICES.values() for name in service.pictures)
_ACCEPTED = ("image/*", "application/json")
_TOO_LARGE = ApiError("payload_too_large", "body: payloads cannot be larger than 10MiB in size", 413)


# -- what is asked --


def read_asked(name: str, service: Service, fields: Fields, uploads: Mapping[str, Upload]) -> Asked:
    """Raises ApiError, or Wrong, for the first thing that is wrong."""
    prompt = ""
    if service.prompt_need != "none":
        needed = service.prompt_need == "required" and "background_reference" not in uploads
        prompt = fields.text(service.prompt, most_chars=PROMPT_CHARS, required=needed)
    asked = Asked(
        service=name,
        prompt=prompt,
        values=_read_values(service, fields),
        inputs=_read_inputs(service, uploads),
        output_format=fields.word("output_format", service.formats, "png"),
    )
    fields.refuse_rest()
    service.check(asked)
    if "aspect_ratio" in service.words:
        asked.values = {"aspect_ratio": _DEFAULTS["aspect_ratio"], **asked.values}
    return asked


def _read_values(service: Service, fields: Fields) -> dict[str, object]:
    values: dict[str, object] = {}
    for name in service.texts:
        values[name] = fields.text(name, most_chars=PROMPT_CHARS)
    for name in service.required_texts:
        values[name] = fields.text(name, most_chars=PROMPT_CHARS, required=True)
    for name, words in service.words.items():
        values[name] = fields.word(name, words, _DEFAULTS[name] if name in ("mode", "model") else "")
    for name, (least, most) in service.wholes.items():
        values[name] = fields.whole(name, least, most)
    for name, (low, high) in service.numbers.items():
        values[name] = fields.number(name, low, high)
    return {name: value for name, value in values.items() if value not in (None, "")}


def _form_value(service: Service, name: str, text: str) -> object:
    """In a form all is text; the vendor reads numbers where it expects them."""
    if name in (*service.wholes, *service.numbers) and re.fullmatch(r"-?\d{1,12}", text):
        return int(text)
    if name in service.numbers and re.fullmatch(r"-?\d{1,12}\.\d{1,20}(e-?\d{1,2})?", text):
        return float(text)
    return text


def _read_inputs(service: Service, uploads: Mapping[str, Upload]) -> dict[str, Input]:
    for name in uploads:
        if name not in service.pictures:
            raise _bad(name, "is not a known field")
    found = {}
    for name, sight in service.pictures.items():
        if name in uploads:
            found[name] = _look(name, uploads[name], sight)
        elif sight.required:
            raise _bad(name, "is required")
    return found


def _look(name: str, upload: Upload, sight: Sight) -> Input:
    try:
        found = look(upload.spool, _INPUT_FORMATS, MOST_BYTES)
    except BadRequest as error:
        raise _bad(name, error.message) from error
    longest, shortest = max(found.media.width, found.media.height), min(found.media.width, found.media.height)
    pixels = found.media.width * found.media.height
    if shortest < sight.least_side:
        raise _bad(name, f"every side must be at least {sight.least_side} pixels")
    if sight.most_side and longest > sight.most_side:
        raise _bad(name, f"no side may have more than {sight.most_side:,} pixels")
    if pixels < sight.least_pixels or (sight.most_pixels and pixels > sight.most_pixels):
        bounds = f"between {sight.least_pixels:,} and {sight.most_pixels:,} pixels"
        raise _bad(name, f"total pixel count must be {bounds}")
    if sight.most_ratio and longest > sight.most_ratio * shortest:
        raise _bad(name, "the aspect ratio must be between 1:2.5 and 2.5:1")
    return found


# -- what is drawn --


def _scene(asked: Asked, service: Service) -> Scene:
    width, height = service.size(asked)
    scale = min(1.0, math.sqrt(MOST_PIXELS / (width * height)))
    seed = asked.whole("seed")
    model = asked.values.get("model") if "model" in service.words else asked.service
    return Scene(
        model=str(model),
        prompt=asked.prompt,
        width=max(1, int(width * scale)),
        height=max(1, int(height * scale)),
        # 0 is the vendor's word for any.
        seed=seed or seed_from(asked.service, asked.prompt),
        format=asked.output_format,
        transparent=service.transparent,
        label=str(asked.values.get("style_preset", "")),
        base=asked.first.data if asked.first else None,
        mask=_mask(asked),
    )


def _mask(asked: Asked) -> bytes | None:
    """A mask has its white part painted; without one, the input has its transparent part painted."""
    if "mask" not in SERVICES[asked.service].pictures or asked.first is None:
        return None
    if "mask" in asked.inputs:
        return asked.inputs["mask"].data
    return asked.first.data if asked.first.media.alpha else None


# -- the simulator --


class Stability(Vendor):
    """Stable Image, below `/stability/v2beta`."""

    name = "stability"

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/v2beta/stable-image/{service:.*}", self.answering(self._draw)),
            web.get("/v2beta/results/{id}", self.answering(self._result)),
            web.route("*", "/{path:.*}", self.answering(self._lost)),
        ]

    def own_error(self, status: int) -> ApiError:
        return _own_error(status)

    def translated(self, error: BadRequest) -> ApiError:
        if isinstance(error, Wrong):
            return _bad(error.field, error.message.removeprefix(error.field).strip())
        return _TOO_LARGE if isinstance(error, TooLarge) else _bad("body", error.message)

    def begin(self, visit: Visit) -> None:
        visit.headers["x-request-id"] = secrets.token_hex(16)

    async def _lost(self, visit: Visit) -> web.StreamResponse:
        raise ApiError("not_found", f"{visit.request.method} {visit.request.path}: there is no such endpoint", 404)

    async def _draw(self, visit: Visit) -> web.StreamResponse:
        name = visit.request.match_info["service"]
        service = SERVICES.get(name)
        if service is None:
            return await self._lost(visit)
        asked = await self._read(visit, name, service)
        if refused(asked.prompt):
            raise _MODERATED
        if (trouble := await self.misbehave(visit, asked.prompt)) is not None:
            return trouble
        scene = _scene(asked, service)
        if service.task:
            return await visit.send({"id": self._begin(visit, scene)})
        return await self._painted(visit, scene)

    async def _read(self, visit: Visit, name: str, service: Service) -> Asked:
        if visit.request.content_type != "multipart/form-data":
            raise _bad("content-type", "must be multipart/form-data")
        if (visit.request.content_length or 0) > MOST_BYTES:
            raise _TOO_LARGE
        texts, files = await visit.form(MOST_BYTES, _FILE_FIELDS)
        uploads = {upload.field: upload for upload in files if upload.field != "none"}
        values = {field: _form_value(service, field, text) for field, text in texts if field != "none"}
        return read_asked(name, service, Fields(values), uploads)

    def _begin(self, visit: Visit, scene: Scene) -> str:
        memo: dict[str, object] = {
            "prompt": scene.prompt,
            "model": scene.model,
            "width": scene.width,
            "height": scene.height,
            "seed": scene.seed,
            "format": scene.format,
            "owner": _fingerprint(visit.bearer),
        }
        return self.studio.tasks.begin(memo, [scene.base] if scene.base else [])

    async def _result(self, visit: Visit) -> web.StreamResponse:
        task = self.studio.tasks.find(visit.request.match_info["id"])
        if task is None or task.memo.get("owner") != _fingerprint(visit.bearer):
            message = "id: the generation either does not exist or has expired."
            raise ApiError("generation_not_found", message, 404)
        if task.phase != "done":
            return await visit.send({"id": task.id, "status": "in-progress"}, 202)
        if fails(task.prompt):
            raise _own_error(500)
        return await self._painted(visit, _remembered(task))

    async def _painted(self, visit: Visit, scene: Scene) -> web.StreamResponse:
        """The picture as the caller wants it: bytes, or base64 in JSON."""
        accept = visit.request.headers.get("Accept", "*/*")
        if accept not in (*_ACCEPTED, "*/*"):
            raise _bad("accept", f"must be one of {', '.join(_ACCEPTED)}")
        spools = await self.paint(visit, [scene])
        # It would be blurred, and it is charged like any other.
        reason = "CONTENT_FILTERED" if refused_late(scene.prompt) else "SUCCESS"
        if accept == "application/json":
            image = Inline(spools[0]) if spools else ""
            return await visit.send({"image": image, "finish_reason": reason, "seed": scene.seed})
        headers = {**visit.headers, "finish-reason": reason, "seed": str(scene.seed)}
        body = b"".join(spool.read() for spool in spools)
        return web.Response(body=body, content_type=f"image/{scene.format}", headers=headers)


def _remembered(task: Task) -> Scene:
    known = {name: task.memo[name] for name in ("prompt", "model", "width", "height", "seed", "format")}
    return msgspec.convert({**known, "base": task.inputs[0] if task.inputs else None}, Scene)


def _fingerprint(key: str) -> str:
    """Tells whose task it is, without the key in its id."""
    return hashlib.blake2s(key.encode(), digest_size=4).hexdigest()
