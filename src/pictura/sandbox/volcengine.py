"""Volcengine Ark's image generation API, as strict as the vendor: https://www.volcengine.com/docs/82379/1541523.

The tables here are the vendor's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. Unless a line says otherwise they follow the pages of BytePlus ModelArk, its twin abroad (1541523, 1824121,
1824137 and 1299023, copies of 2025-12 to 2026-09; documented) and the official SDK, volcengine-ark-runtime 5.0.54.

As logged in public (2026-06 to 2026-09, third party): fields that no model has are passed over, while one that only
other models have is refused, whatever its value; null counts as absent, since the official SDK sends it; `param` and
often `type` of an error are empty; a group has as many pictures as the prompt speaks of, one where it names no number.

Not as at the vendor: every model answers under its names of both regions, and 3.0 draws, because a test key must
reach it; pictures by URL are never fetched; a watermark is a word on the picture's card; layers are not split off.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.core.media import FORMATS
from pictura.core.picture import Inline
from pictura.infra.extract import Cut
from pictura.infra.spool import Spool
from pictura.sandbox.base import Vendor, VendorError, Visit, fails, refused, refused_late
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.fields import Fields, Wrong
from pictura.sandbox.inputs import Input, shown

# -- the vendor's table of models --

#: By tier, what a model draws where it may choose the aspect: the nearest to that of the prompt or the first picture.
_1K = ("1024x1024", "1152x864", "864x1152", "1312x736", "736x1312", "1248x832", "832x1248", "1568x672")
_2K = ("2048x2048", "2304x1728", "1728x2304", "2848x1600", "1600x2848", "2496x1664", "1664x2496", "3136x1344")
_3K = ("3072x3072", "3456x2592", "2592x3456", "4096x2304", "2304x4096", "3744x2496", "2496x3744", "4704x2016")
_4K = ("4096x4096", "4704x3520", "3520x4704", "5504x3040", "3040x5504", "4992x3328", "3328x4992", "6240x2656")
_PRO_1K = ("1024x1024", "1152x864", "864x1152", "1424x800", "800x1424", "1248x832", "832x1248", "1568x672")
_PRO_15K = ("1536x1536", "1792x1344", "1344x1792", "2048x1152", "1152x2048", "1872x1248", "1248x1872", "2352x1008")
_PRO_2K = ("2048x2048", "2368x1776", "1776x2368", "2816x1584", "1584x2816", "2496x1664", "1664x2496", "3136x1344")
#: SeedEdit's own table has fifty lines, all of them near one megapixel.
_ADAPTIVE = (*_1K, "512x1536", "1536x512", "672x1344", "1344x672")

_COMMON_FORMATS = ("jpeg", "png", "webp", "bmp", "tiff", "gif")


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What one model takes. `pixels`: the least and the most of a free size; no such sizes where it is empty.

    `pictures`: how many it may be shown, 0 for none, each of a longer side at most `picture_ratio` times the shorter.
    `groups`: sequences and streams. `modes` of its prompt optimizer. `formats` it can be asked for, its default first.
    """

    pixels: tuple[int, int] | tuple[()] = ()
    tiers: Mapping[str, tuple[str, ...]] = {}
    default: str
    pictures: int = 14
    picture_needed: bool = False
    picture_bytes: int = 10_000_000
    picture_formats: tuple[str, ...] = _COMMON_FORMATS
    picture_ratio: float = 16
    groups: bool = False
    seed: bool = False
    guided: bool = False
    search: bool = False
    modes: tuple[str, ...] = ()
    formats: tuple[str, ...] = ("jpeg",)
    backgrounds: tuple[str, ...] = ()
    #: A transparent background only from one picture that has one.
    transparent_from_picture: bool = False


PRO_5_0 = Model(
    pixels=(921_600, 4_624_220),
    tiers={"1K": _PRO_1K, "1.5K": _PRO_15K, "2K": _PRO_2K},
    default="2K",
    pictures=10,
    picture_bytes=30_000_000,
    picture_formats=(*_COMMON_FORMATS, "heic"),
    modes=("standard", "fast"),
    formats=("jpeg", "png"),
    backgrounds=("opaque", "transparent"),
    transparent_from_picture=True,
)
FLASH_5_0 = msgspec.structs.replace(PRO_5_0, modes=("standard",))
#: Third party (docs.comfy.org, docs.laozhang.ai; 2026-11).
V5_5 = msgspec.structs.replace(
    PRO_5_0,
    formats=("png", "jpeg"),
    backgrounds=("auto", "opaque", "transparent"),
    transparent_from_picture=False,
)
V4_5 = Model(
    pixels=(3_686_400, 16_777_216),
    tiers={"2K": _2K, "4K": _4K},
    default="2048x2048",
    groups=True,
    seed=True,
    modes=("standard",),
)
LITE_5_0 = msgspec.structs.replace(V4_5, tiers={"2K": _2K, "3K": _3K, "4K": _4K}, search=True, formats=("jpeg", "png"))
V4_0 = msgspec.structs.replace(
    V4_5, pixels=(921_600, 16_777_216), tiers={"1K": _1K, "2K": _2K, "4K": _4K}, modes=("standard", "fast")
)
V3_0 = Model(pixels=(512 * 512, 2048 * 2048), default="1024x1024", pictures=0, seed=True, guided=True)
EDIT_3_0 = Model(
    tiers={"adaptive": _ADAPTIVE},
    default="adaptive",
    pictures=1,
    picture_needed=True,
    picture_formats=("jpeg", "png"),
    picture_ratio=3,
    seed=True,
    guided=True,
)

#: Under their names in China, and abroad.
MODELS = {
    "doubao-seedream-5-5-261028": V5_5,
    "dola-seedream-5-5-261028": V5_5,
    "doubao-seedream-5-0-pro-260628": PRO_5_0,
    "dola-seedream-5-0-pro-260628": PRO_5_0,
    "doubao-seedream-5-0-flash-260915": FLASH_5_0,
    "dola-seedream-5-0-flash-260915": FLASH_5_0,
    "doubao-seedream-5-0-260128": LITE_5_0,
    "doubao-seedream-5-0-lite-260128": LITE_5_0,
    "seedream-5-0-260128": LITE_5_0,
    "seedream-5-0-lite-260128": LITE_5_0,
    "doubao-seedream-4-5-251128": V4_5,
    "seedream-4-5-251128": V4_5,
    "doubao-seedream-4-0-250828": V4_0,
    "seedream-4-0-250828": V4_0,
    "doubao-seedream-3-0-t2i-250415": V3_0,
    "seedream-3-0-t2i-250415": V3_0,
    "doubao-seededit-3-0-i2i-250628": EDIT_3_0,
    "seededit-3-0-i2i-250628": EDIT_3_0,
}

#: Pictures in and out of a group, together.
GROUP_MOST = 15
#: More than any model is shown, so that the count is refused in the vendor's words.
_BODY_PICTURES, _BODY_PICTURE_BYTES = 20, 40_000_000
_MOST_INPUT_PIXELS = 36_000_000
#: Of a picture that is drawn, its longer side to its shorter.
_MOST_RATIO = 16
#: A picture's sides must be longer.
_SHORTEST_SIDE = 14
_TOKEN_PIXELS = 256

_PIXELS = re.compile(r"(\d{1,5})x(\d{1,5})")
_ASPECT = re.compile(r"(?<!\d)(\d{1,2}):(\d{1,2})(?!\d)")
_MARKS = re.compile(r"\[[^\]]*\]")
_COUNT = re.compile(r"(?<![\w:.])([2-9]|1[0-5])(?![\w:]|\.\d)", re.ASCII)


# -- errors --

#: The vendor's own by HTTP status: the true status, its code, type and message. It has no 402.
_OWN_ERRORS: dict[int, tuple[int, str, str, str]] = {
    401: (401, "AuthenticationError", "Unauthorized", "The API key in the request is missing or invalid."),
    402: (
        403,
        "AccountOverdueError",
        "Forbidden",
        "The request failed because your account has an overdue balance.",
    ),
    404: (404, "NotFound", "NotFound", "The specified path is not found."),
    429: (
        429,
        "ModelAccountIpmRateLimitExceeded",
        "TooManyRequests",
        "The Images Per Minute (IPM) limit of the model for your account has been exceeded.",
    ),
    500: (500, "InternalServiceError", "InternalServerError", "The service encountered an unexpected internal error."),
}
_SENSITIVE = {
    "InputTextSensitiveContentDetected": (
        "The request failed because the input text may contain sensitive information."
    ),
    "OutputImageSensitiveContentDetected": (
        "The request failed because the output image may contain sensitive information."
    ),
}


class ApiError(VendorError):
    """The request's id is put behind its message."""

    def __init__(self, code: str, message: str, *, status: int = 400, type: str = "") -> None:
        super().__init__(status, {"code": code, "message": message, "param": "", "type": type}, message)


def _own_error(status: int) -> ApiError:
    true_status, code, type, message = _OWN_ERRORS[status]
    return ApiError(code, message, status=true_status, type=type)


def _failure(code: str) -> ApiError:
    """A picture that was not made, as an error of the whole request."""
    if code in _SENSITIVE:
        return ApiError(code, _SENSITIVE[code], type="BadRequest")
    return _own_error(500)


def _invalid(name: str, why: str = "", kind: str = "") -> ApiError:
    reason = f": {why}" if why else ""
    code = f"InvalidParameter.{kind}" if kind else "InvalidParameter"
    return ApiError(code, f"The parameter `{name}` specified in the request is not valid{reason}.")


def _translated(error: BadRequest) -> ApiError:
    """What a strict reader found wrong, in the vendor's words."""
    if not isinstance(error, Wrong):
        return ApiError("InvalidParameter", error.message)
    if error.why == "missing":
        return ApiError("MissingParameter", f"The request failed because it is missing `{error.field}` parameter.")
    return _invalid(error.field, error.message)


# -- what is asked --


class Asked(msgspec.Struct, kw_only=True):
    """A request that has passed. `most`: pictures of its group at most, 0 where it asks for no group."""

    model: str
    rules: Model
    prompt: str
    pictures: Sequence[Input]
    width: int
    height: int
    most: int = 0
    stream: bool = False
    by_url: bool = True
    watermark: bool = True
    output_format: str = "jpeg"
    transparent: bool = False
    seed: int = -1
    search: bool = False

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def count(self) -> int:
        """As many pictures as the prompt speaks of: marks and aspects are not numbers of pictures."""
        found = _COUNT.search(_MARKS.sub("", self.prompt)) if self.most else None
        return min(self.most, int(found[1])) if found else 1


def read_model(fields: Fields) -> tuple[str, Model]:
    name = fields.text("model", required=True)
    rules = MODELS.get(name)
    if rules is None:
        message = f"The model or endpoint {name} does not exist or you do not have access to it."
        raise ApiError("InvalidEndpointOrModel.NotFound", message, status=404, type="NotFound")
    return name, rules


def read_asked(fields: Fields, model: str, rules: Model, pictures: Sequence[Input]) -> Asked:
    """Everything but the pictures. Raises ApiError or Wrong for the first thing that is wrong."""
    _refuse_others_fields(fields, rules)
    prompt = fields.text("prompt", required=True)
    width, height = _read_size(fields.text("size") or rules.default, rules, prompt, pictures)
    asked = Asked(model=model, rules=rules, prompt=prompt, pictures=pictures, width=width, height=height)
    asked.by_url = fields.word("response_format", ("url", "b64_json"), "url") == "url"
    asked.watermark = fields.flag("watermark", default=True)
    asked.stream = fields.flag("stream")
    seed = fields.whole("seed", -1, 2**31 - 1)
    asked.seed = -1 if seed is None else seed
    fields.number("guidance_scale", 1, 10)
    asked.most = _read_group(fields, len(pictures))
    asked.search = any(tool.word("type", ("web_search",)) for tool in fields.objects("tools"))
    _read_optimizer(fields, rules)
    _read_output(fields, asked)
    return asked


def _refuse_others_fields(fields: Fields, rules: Model) -> None:
    """Fields that other models have."""
    has = {
        "sequential_image_generation": rules.groups,
        "sequential_image_generation_options": rules.groups,
        "stream": rules.groups,
        # Only 3.0 obeys a seed, 4.x and 5.0 lite let it pass; whether the newest do was not seen.
        "seed": rules.seed,
        "guidance_scale": rules.guided,
        "tools": rules.search,
        "optimize_prompt_options": bool(rules.modes),
        "output_format": len(rules.formats) > 1,
        "background": bool(rules.backgrounds),
        "layer_decomposition": False,
    }
    for name, known in has.items():
        if name in fields and not known:
            raise _invalid(name, f"the parameter `{name}` is not supported by the current model")


def _read_size(size: str, rules: Model, prompt: str, pictures: Sequence[Input]) -> tuple[int, int]:
    if size in rules.tiers:
        return _nearest(rules.tiers[size], _wanted_ratio(prompt, pictures))
    found = _PIXELS.fullmatch(size)
    if found is None or not rules.pixels:
        raise _invalid("size")
    width, height = int(found[1]), int(found[2])
    least, most = rules.pixels
    if width * height < least:
        raise _invalid("size", f"image size must be at least {least} pixels")
    if width * height > most:
        raise _invalid("size", f"image size must be at most {most} pixels")
    if max(width, height) > _MOST_RATIO * min(width, height):
        raise _invalid("size", f"the aspect ratio must be between 1/{_MOST_RATIO} and {_MOST_RATIO}")
    return width, height


def _wanted_ratio(prompt: str, pictures: Sequence[Input]) -> float:
    """Width by height, as the prompt says it in words, or the first picture shows it."""
    said = _ASPECT.search(_MARKS.sub("", prompt))
    if said and int(said[1]) and int(said[2]):
        return int(said[1]) / int(said[2])
    return pictures[0].media.width / pictures[0].media.height if pictures else 1


def _nearest(sizes: Iterable[str], ratio: float) -> tuple[int, int]:
    pairs = [(int(found[1]), int(found[2])) for size in sizes if (found := _PIXELS.fullmatch(size))]
    return min(pairs, key=lambda pair: abs(pair[0] / pair[1] - ratio))


def _read_group(fields: Fields, shown: int) -> int:
    mode = fields.word("sequential_image_generation", ("auto", "disabled"), "disabled")
    options = fields.inside("sequential_image_generation_options")
    most = options.whole("max_images", 1, GROUP_MOST) or GROUP_MOST
    return min(most, GROUP_MOST - shown) if mode == "auto" else 0


def _read_optimizer(fields: Fields, rules: Model) -> None:
    options = fields.inside("optimize_prompt_options")
    options.word("mode", rules.modes)
    options.word("thinking", ("auto", "enabled", "disabled"))
    fields.flag("optimize_prompt")


def _read_output(fields: Fields, asked: Asked) -> None:
    rules = asked.rules
    asked.output_format = fields.word("output_format", rules.formats, rules.formats[0])
    background = fields.word("background", rules.backgrounds)
    if background != "transparent":
        return
    if asked.output_format == "jpeg":
        raise _invalid("background", "a transparent background needs output_format png")
    alone = len(asked.pictures) == 1 and asked.pictures[0].media.alpha
    if rules.transparent_from_picture and not alone:
        raise _invalid("background", "a transparent background needs one png image with an alpha channel")
    asked.transparent = True


# -- what is shown to it --


def check_picture(picture: Input, rules: Model) -> None:
    """Raises ApiError for a picture that the vendor would not take."""
    media = picture.media
    if media.format not in rules.picture_formats:
        raise _invalid("image", f"the image format {media.format} is not supported", "UnsupportedImageFormat")
    if len(picture.data) > rules.picture_bytes or media.pixels > _MOST_INPUT_PIXELS:
        raise _invalid("image", "the image is too large", "OversizedImage")
    if min(media.width, media.height) <= _SHORTEST_SIDE:
        raise _invalid("image", f"width and height of the image must be greater than {_SHORTEST_SIDE} px")
    if max(media.width, media.height) > rules.picture_ratio * min(media.width, media.height):
        raise _invalid("image", f"the image's aspect ratio must be at most {rules.picture_ratio:g}")


# -- the simulator --


class Volcengine(Vendor):
    """The image generation API, below `/volcengine/api/v3`."""

    name = "volcengine"

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/api/v3/images/generations", self.answering(self._generate)),
            web.route("*", "/{path:.*}", self.answering(self._lost)),
        ]

    def own_error(self, status: int) -> ApiError:
        return _own_error(status)

    def translated(self, error: BadRequest) -> ApiError:
        return _translated(error)

    def begin(self, visit: Visit) -> None:
        visit.headers["X-Request-Id"] = f"{int(time.time())}{secrets.token_hex(16)}"

    async def tell(self, visit: Visit, error: VendorError) -> web.StreamResponse:
        message = f"{error} Request id: {visit.headers['X-Request-Id']}"
        return await visit.send({"error": {**error.document, "message": message}}, error.status)

    async def _lost(self, visit: Visit) -> web.StreamResponse:
        raise _own_error(404)

    async def _generate(self, visit: Visit) -> web.StreamResponse:
        values, cuts = await visit.json(_BODY_PICTURE_BYTES, pictures=_BODY_PICTURES)
        fields = Fields(values)
        model, rules = read_model(fields)
        pictures = [picture async for picture in self._shown(fields.anything("image"), cuts, rules)]
        asked = read_asked(fields, model, rules, pictures)
        if refused(asked.prompt):
            raise _failure("InputTextSensitiveContentDetected")
        if (trouble := await self.misbehave(visit, asked.prompt)) is not None:
            return trouble
        return await (self._stream(visit, asked) if asked.stream else self._whole(visit, asked))

    async def _shown(self, image: object, cuts: Sequence[Cut], rules: Model) -> AsyncIterator[Input]:
        """The pictures of `image`, a string or a list of strings."""
        values = image if isinstance(image, list) else [] if image is None else [image]
        if rules.picture_needed and not values:
            raise ApiError("MissingParameter", "The request failed because it is missing `image` parameter.")
        if len(values) > rules.pictures:
            raise _invalid("image", f"the number of images must be at most {rules.pictures}")
        for value in values:
            try:
                picture = await shown(value, cuts, self.studio, tuple(FORMATS), _BODY_PICTURE_BYTES)
            except BadRequest as error:
                raise _invalid("image", error.message) from error
            check_picture(picture, rules)
            yield picture

    async def _whole(self, visit: Visit, asked: Asked) -> web.StreamResponse:
        scenes, failed = _planned(asked)
        if failed and not asked.most:
            raise _failure(failed)
        pictures = await self.paint(visit, scenes)
        data = [self._datum(asked, picture) for picture in pictures]
        data += [_failed(failed)] if failed else []
        return await visit.send({**_head(asked), "data": data, **_usage(asked, len(pictures))})

    async def _stream(self, visit: Visit, asked: Asked) -> web.StreamResponse:
        async def events() -> AsyncIterator[tuple[str, object]]:
            scenes, failed = _planned(asked)
            for index, scene in enumerate(scenes):
                for picture in await self.paint(visit, [scene]):
                    told = {**_head(asked), "image_index": index, **self._datum(asked, picture)}
                    yield _event("partial_succeeded", told)
            if failed:
                yield _event("partial_failed", {**_head(asked), "image_index": len(scenes), **_failed(failed)})
            yield _event("completed", {**_head(asked), **_usage(asked, len(scenes))})
            # The end, which is no JSON; an event without a name is one of the usual kind.
            yield "", msgspec.Raw(b"[DONE]")

        return await visit.stream(events())

    def _datum(self, asked: Asked, picture: Spool) -> dict[str, object]:
        where = {"url": self.hosted(picture, asked.prompt)} if asked.by_url else {"b64_json": Inline(picture)}
        told = {"output_format": asked.output_format} if len(asked.rules.formats) > 1 else {}
        return {**where, "size": asked.size, **told}


def _planned(asked: Asked) -> tuple[list[Scene], str]:
    """What is drawn, and the code with which the next picture fails, "" where none does.

    A refused picture is one of a group; behind an internal error nothing more is drawn.
    """
    if refused_late(asked.prompt):
        return list(_scenes(asked, asked.count - 1)), "OutputImageSensitiveContentDetected"
    if fails(asked.prompt):
        return list(_scenes(asked, min(1, asked.count - 1))), "InternalServiceError"
    return list(_scenes(asked, asked.count)), ""


def _scenes(asked: Asked, count: int) -> Iterator[Scene]:
    """They differ by their seeds, and share the input."""
    for index in range(count):
        yield Scene(
            model=asked.model,
            prompt=asked.prompt,
            width=asked.width,
            height=asked.height,
            seed=asked.seed + index if asked.seed >= 0 else seed_from(asked.model, asked.prompt, str(index)),
            format=asked.output_format,
            transparent=asked.transparent,
            label="AI generated" if asked.watermark else "",
            base=asked.pictures[0].data if asked.pictures else None,
        )


def _head(asked: Asked) -> dict[str, object]:
    return {"model": asked.model, "created": int(time.time())}


def _failed(code: str) -> dict[str, object]:
    """A picture of a group that did not come."""
    return {"error": {"code": code, "message": str(_failure(code))}}


def _event(kind: str, told: Mapping[str, object]) -> tuple[str, object]:
    name = f"image_generation.{kind}"
    return name, {"type": name, **told}


def _usage(asked: Asked, pictures: int) -> dict[str, object]:
    tokens = pictures * asked.width * asked.height // _TOKEN_PIXELS
    used: dict[str, object] = {"generated_images": pictures, "output_tokens": tokens, "total_tokens": tokens}
    if asked.pictures:
        used["input_images"] = len(asked.pictures)
    if asked.search:
        used["tool_usage"] = {"web_search": 1}
    return {"usage": used}
