"""OpenAI's Images API, as strict as the vendor: https://platform.openai.com/docs/api-reference/images.

The tables here are the vendor's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. Unless a line says otherwise they follow the types of the official SDK, openai 3.52 (2026-11, official).
Messages and codes follow errors reported in public issue trackers (2025-06 to 2026-09, third party); where none was
found, the pattern of the others.

Not as at the vendor: retired models draw, because a test key must reach them; pictures are taken as data URLs or
files, never fetched; `file_id` names nothing; gif and svg are refused as for an account without access to them; among
the models are those that draw pictures and no others, all of one made-up date.
"""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from pictura.core.errors import BadRequest
from pictura.core.media import Media, flaw, guard, sniff
from pictura.core.picture import Inline
from pictura.infra.extract import Cut, find
from pictura.infra.spool import Spool
from pictura.sandbox.base import Simulator, Upload, Visit, refused
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene

# -- the vendor's table of models --


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What one model takes. `free_size`: besides `sizes`, any width and height inside the window below.

    `pictures`: how many an edit takes, 0 for none. `factors`: of the output tokens, by quality.
    """

    sizes: tuple[str, ...] = ("1024x1024", "1024x1536", "1536x1024", "auto")
    free_size: bool = False
    qualities: tuple[str, ...] = ("low", "medium", "high", "auto")
    styles: tuple[str, ...] = ()
    fidelities: tuple[str, ...] = ()
    most: int = 10
    prompt_chars: int = 32_000
    pictures: int = 16
    picture_bytes: int = 50_000_000
    picture_formats: tuple[str, ...] = ("jpeg", "png", "webp")
    markup: bool = False
    complexity: bool = False
    gpt: bool = True
    factors: Mapping[str, int] = {}


_XHIGH = ("low", "medium", "high", "xhigh", "max", "auto")
_FACTORS = {"low": 16, "medium": 48, "high": 96}
_FINE_FACTORS = {"low": 16, "medium": 24, "high": 48, "xhigh": 64, "max": 96}

GPT_1 = Model(fidelities=("high", "low"))
GPT_1_MINI = Model(fidelities=("low",))
GPT_CHAT = Model()
GPT_2 = Model(free_size=True, complexity=True, factors=_FACTORS)
#: For 2.6 the SDK lists the names only; resellers say it is as 2.5 (2026-11-05, third party).
GPT_2_5 = Model(free_size=True, complexity=True, factors=_FINE_FACTORS, qualities=_XHIGH, markup=True)
DALL_E_3 = Model(
    gpt=False,
    sizes=("1024x1024", "1792x1024", "1024x1792"),
    qualities=("standard", "hd"),
    styles=("vivid", "natural"),
    most=1,
    prompt_chars=4_000,
    pictures=0,
)
DALL_E_2 = Model(
    gpt=False,
    sizes=("1024x1024", "256x256", "512x512"),
    qualities=("standard",),
    prompt_chars=1_000,
    pictures=1,
    picture_bytes=4_000_000,
    picture_formats=("png",),
)

MODELS = {
    "gpt-image-2.6-sunburst": GPT_2_5,
    "gpt-image-2.6-flare": GPT_2_5,
    "gpt-image-2.5-sunburst": GPT_2_5,
    "gpt-image-2.5-sunburst-2026-09-08": GPT_2_5,
    "gpt-image-2.5-flare": GPT_2_5,
    "gpt-image-2.5-flare-2026-09-08": GPT_2_5,
    "gpt-image-2": GPT_2,
    "gpt-image-2-2026-04-21": GPT_2,
    "gpt-image-1.5": GPT_1,
    "gpt-image-1.5-2025-12-16": GPT_1,
    "gpt-image-1-mini": GPT_1_MINI,
    "chatgpt-image-latest": GPT_CHAT,
    "gpt-image-1": GPT_1,
    "dall-e-3": DALL_E_3,
    "dall-e-2": DALL_E_2,
}

#: What the list of models says of those that go, or have gone (a third party's table, 2026-11).
SHUTDOWNS = {
    **dict.fromkeys(("gpt-image-1.5", "gpt-image-1.5-2025-12-16"), "2026-12-01"),
    **dict.fromkeys(("gpt-image-1-mini", "chatgpt-image-latest"), "2026-12-01"),
    "gpt-image-1": "2026-10-23",
    **dict.fromkeys(("dall-e-3", "dall-e-2"), "2026-05-12"),
}
CREATED = 1_767_225_600

#: The window of free sizes. Step and ratio: SDK; pixels and edge: three third parties that agree (2026-06 to 2026-08).
STEP = 16
MOST_RATIO = 3
LONGEST_EDGE = 3840
FEWEST_PIXELS, MOST_PIXELS = 655_360, 8_294_400

MASK_BYTES = 4_000_000
#: `image_url` in a JSON edit.
URL_CHARS = 20_971_520

_FORMATS = ("jpeg", "png", "webp")
_GATED_FORMATS = ("gif", "svg")
_MIME_TYPES = ("image/jpeg", "image/png", "image/webp")
_FILE_FIELDS = frozenset({"image", "image[]", "mask", "markup"})
_NUMBERS = frozenset({"n", "output_compression", "partial_images", "frame_count", "frame_duration_ms"})


# -- errors --


class ApiError(Exception):
    """An error as the vendor writes it."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = "invalid_value",
        type: str = "invalid_request_error",
        status: int = 400,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.document = {"error": {"message": message, "type": type, "param": param, "code": code}}


def _supported(words: Sequence[str]) -> str:
    *others, last = (f"'{word}'" for word in words)
    return f"{', '.join(others)}, and {last}" if others else last


def _unsupported(param: str, value: str, words: Sequence[str]) -> ApiError:
    return ApiError(f"Invalid value: '{value}'. Supported values are: {_supported(words)}.", param=param)


def _missing(param: str) -> ApiError:
    return ApiError(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def _check_type(visit: Visit, *accepted: str) -> str:
    """The body's content type, where the path accepts it."""
    found = visit.request.content_type
    if found not in accepted:
        message = f"Unsupported content type: '{found}'. This API method only accepts {_supported(accepted)} requests."
        raise ApiError(message, code="unsupported_content_type")
    return found


def _not_found(path: str) -> ApiError:
    return ApiError(f"Invalid URL ({path})", code=None, status=404)


_OWN_ERRORS: dict[int, tuple[str, str, str | None]] = {
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    402: ("You exceeded your current quota.", "insufficient_quota", "billing_hard_limit_reached"),
    429: ("Rate limit reached for images per minute.", "requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request.", "server_error", None),
}


def _own_error(status: int) -> ApiError:
    message, type, code = _OWN_ERRORS[status]
    return ApiError(message, type=type, code=code, status=status)


def _moderated(request_id: str) -> ApiError:
    """As logged on 2026-07-15 (third party); DALL·E's differed, and is no longer to be had."""
    return ApiError(
        "Your request was rejected by the safety system. If you believe this is an error, contact us at "
        f"help.openai.com and include the request ID {request_id}. safety_violations=[sandbox].",
        type="image_generation_user_error",
        code="moderation_blocked",
    )


# -- fields --

_KINDS = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    list: "an array",
    dict: "an object",
}


class Fields:
    """A request's fields, each taken out as it is checked: what remains in the end is unknown to the vendor."""

    def __init__(self, values: Mapping[str, object]) -> None:
        # null is as good as absent.
        self._values = {name: value for name, value in values.items() if value is not None}

    def take(self, name: str, kind: type) -> object:
        """The field's value, None where it is absent."""
        value = self._values.pop(name, None)
        if value is not None and type(value) is not kind:
            found = _KINDS.get(type(value), "something else")
            message = f"Invalid type for '{name}': expected {_KINDS[kind]}, but got {found} instead."
            raise ApiError(message, param=name, code="invalid_type")
        return value

    def text(self, name: str, most_chars: int = 1_000) -> str:
        value = self.take(name, str) or ""
        assert isinstance(value, str)
        if len(value) > most_chars:
            raise ApiError(
                f"Invalid '{name}': string too long. Expected a string with maximum length {most_chars}, "
                f"but got a string with length {len(value)} instead.",
                param=name,
                code="string_above_max_length",
            )
        return value

    def required(self, name: str, most_chars: int = 1_000) -> str:
        value = self.text(name, most_chars)
        if not value:
            raise _missing(name)
        return value

    def word(self, name: str, words: Sequence[str], default: str) -> str:
        value = self.text(name) or default
        if value not in words:
            raise _unsupported(name, value, words)
        return value

    def number(self, name: str, low: int, high: int) -> int | None:
        value = self.take(name, int)
        if value is None:
            return None
        assert isinstance(value, int)
        if value < low:
            raise _out_of_range(name, value, "below minimum", f">= {low}", "integer_below_min_value")
        if value > high:
            raise _out_of_range(name, value, "above maximum", f"<= {high}", "integer_above_max_value")
        return value

    def flag(self, name: str) -> bool:
        return self.take(name, bool) is True

    def given(self, name: str) -> bool:
        return name in self._values

    def refuse_rest(self) -> None:
        for name in self._values:
            raise ApiError(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def _out_of_range(name: str, value: int, side: str, expected: str, code: str) -> ApiError:
    message = f"Invalid '{name}': integer {side} value. Expected a value {expected}, but got {value} instead."
    return ApiError(message, param=name, code=code)


def _form_value(name: str, text: str) -> object:
    """In a form all is text; the vendor reads numbers and booleans where it expects them."""
    if name in _NUMBERS and re.fullmatch(r"-?\d{1,9}", text):
        return int(text)
    if name == "stream" and text in ("true", "false"):
        return text == "true"
    return text


# -- what is asked --


class Picture(msgspec.Struct, frozen=True, eq=False):
    """An input that has been looked at."""

    spool: Spool
    media: Media


class Inputs(msgspec.Struct, frozen=True, eq=False):
    """The pictures of an edit."""

    pictures: Sequence[Picture] = ()
    mask: Picture | None = None
    markup: Picture | None = None


class Asked(msgspec.Struct, kw_only=True):
    """A request that has passed. Quality, size and background are what `auto` became."""

    model: str
    rules: Model
    prompt: str
    count: int
    width: int
    height: int
    quality: str
    background: str = "opaque"
    output_format: str = "png"
    output_compression: int | None = None
    stream: bool = False
    partial_images: int = 0
    by_url: bool = False
    fidelity: str = "low"
    safety_identifier: str = ""

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"


def read_model(fields: Fields) -> tuple[str, Model]:
    name = fields.required("model")
    rules = MODELS.get(name)
    if rules is None:
        raise ApiError(f"The model '{name}' does not exist.", param="model", code="model_not_found", status=404)
    return name, rules


def read_asked(fields: Fields, model: str, rules: Model, *, editing: bool, in_form: bool) -> Asked:
    """Everything but the pictures. Raises ApiError for the first thing that is wrong."""
    prompt = fields.required("prompt", rules.prompt_chars)
    count = fields.number("n", 1, rules.most) or 1
    width, height = _read_size(fields.text("size"), rules)
    quality = fields.word("quality", rules.qualities, rules.qualities[-1 if rules.gpt else 0])
    asked = Asked(
        model=model,
        rules=rules,
        prompt=prompt,
        count=count,
        width=width,
        height=height,
        # What `auto` stands for is the vendor's secret; `high` is what callers report most.
        quality="high" if quality == "auto" else quality,
    )
    user = fields.text("user")
    if rules.gpt:
        _read_gpt(fields, asked, user, editing=editing)
        if not (editing and in_form):
            fields.word("moderation", ("low", "auto"), "auto")
    else:
        _read_dall_e(fields, asked)
    fields.refuse_rest()
    return asked


def _read_size(size: str, rules: Model) -> tuple[int, int]:
    size = size or rules.sizes[0]
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    if size not in rules.sizes and not (found and rules.free_size):
        raise _unsupported("size", size, rules.sizes)
    if found is None:
        return 1024, 1024
    width, height = int(found[1]), int(found[2])
    if rules.free_size and (broken := _outside(width, height)):
        raise ApiError(f"Invalid size '{size}'. {broken}", param="size")
    return width, height


def _outside(width: int, height: int) -> str:
    """Which rule of the window is broken, in the vendor's words where they are known; "" inside."""
    if not width or not height or width % STEP or height % STEP:
        return f"Width and height must both be divisible by {STEP}."
    if max(width, height) > LONGEST_EDGE:
        return f"The longest edge must be at most {LONGEST_EDGE} pixels."
    if max(width, height) > MOST_RATIO * min(width, height):
        return f"The aspect ratio must be between 1:{MOST_RATIO} and {MOST_RATIO}:1."
    if not FEWEST_PIXELS <= width * height <= MOST_PIXELS:
        return f"The total number of pixels must be between {FEWEST_PIXELS} and {MOST_PIXELS}."
    return ""


def _read_gpt(fields: Fields, asked: Asked, user: str, *, editing: bool) -> None:
    rules = asked.rules
    _read_output(fields, asked)
    asked.stream = fields.flag("stream")
    asked.partial_images = fields.number("partial_images", 0, 3) or 0
    asked.safety_identifier = fields.text("safety_identifier") or user
    if rules.complexity:
        fields.word("complexity", ("low", "medium", "high"), "medium")
    if editing and fields.given("input_fidelity"):
        if not rules.fidelities:
            message = f"The model '{asked.model}' does not support the 'input_fidelity' parameter."
            raise ApiError(message, param="input_fidelity", code="invalid_input_fidelity_model")
        asked.fidelity = fields.word("input_fidelity", rules.fidelities, "low")


def _read_output(fields: Fields, asked: Asked) -> None:
    asked.output_format = fields.word("output_format", (*_FORMATS, *_GATED_FORMATS), "png")
    if asked.output_format in _GATED_FORMATS:
        message = f"output_format '{asked.output_format}' requires access that this account does not have."
        raise ApiError(message, param="output_format")
    for name, format in (("frame_count", "gif"), ("frame_duration_ms", "gif"), ("svg", "svg"), ("svg[model]", "svg")):
        if fields.given(name):
            raise ApiError(f"'{name}' is only supported with output_format '{format}'.", param=name)
    asked.output_compression = fields.number("output_compression", 0, 100)
    if asked.output_compression is not None and asked.output_format == "png":
        message = "'output_compression' is only supported with output_format 'jpeg' or 'webp'."
        raise ApiError(message, param="output_compression")
    background = fields.word("background", ("transparent", "opaque", "auto"), "auto")
    if background == "transparent" and asked.output_format == "jpeg":
        message = "Transparent background is not supported for output_format 'jpeg'; use 'png' or 'webp'."
        raise ApiError(message, param="background")
    asked.background = "transparent" if background == "transparent" else "opaque"


def _read_dall_e(fields: Fields, asked: Asked) -> None:
    asked.by_url = fields.word("response_format", ("url", "b64_json"), "url") == "url"
    if asked.rules.styles:
        fields.word("style", asked.rules.styles, "vivid")


# -- what is shown to it --


def read_uploads(texts: Sequence[tuple[str, str]], files: Sequence[Upload]) -> tuple[Fields, dict[str, list[Upload]]]:
    """A form's fields, and its files by field, `image[]` counted as `image`."""
    uploads: dict[str, list[Upload]] = {}
    for upload in files:
        name = upload.field.removesuffix("[]")
        if upload.field not in _FILE_FIELDS:
            raise ApiError(f"Unknown parameter: '{upload.field}'.", param=upload.field, code="unknown_parameter")
        if name in uploads and upload.field == name:
            raise ApiError(
                f"Duplicate parameter: '{name}'. You provided multiple values for this parameter, whereas only one is "
                f"allowed. To provide a list of values, use the array syntax: '{name}[]'.",
                param=name,
                code="duplicate_parameter",
            )
        uploads.setdefault(name, []).append(upload)
    if "image" not in uploads:
        raise _missing("image")
    return Fields({name: _form_value(name, text) for name, text in texts}), uploads


def read_references(values: Mapping[str, object], cuts: Sequence[Cut]) -> tuple[Fields, dict[str, list[Upload]]]:
    """A JSON edit's fields, and its pictures: `images: [{image_url}]` and `mask: {image_url}`."""
    fields = Fields(values)
    images, mask = fields.take("images", list), fields.take("mask", dict)
    if not isinstance(images, list) or not images:
        raise _missing("images")
    uploads = {"image": [_reference(f"images[{i}]", image, cuts) for i, image in enumerate(images)]}
    if mask is not None:
        uploads["mask"] = [_reference("mask", mask, cuts)]
    return fields, uploads


def _reference(param: str, value: object, cuts: Sequence[Cut]) -> Upload:
    if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= {"image_url", "file_id"}:
        raise ApiError(f"'{param}' must have exactly one of 'image_url' and 'file_id'.", param=param)
    if "file_id" in value:
        raise ApiError(f"'{param}.file_id' names no file; the sandbox keeps none.", param=f"{param}.file_id")
    cut = find(value["image_url"], cuts)
    if cut is None or cut.flaw:
        why = f": {cut.flaw}" if cut else "; the sandbox fetches nothing"
        raise ApiError(f"'{param}.image_url' must be a base64 data URL{why}.", param=f"{param}.image_url")
    return Upload(param, cut.spool)


def read_inputs(uploads: Mapping[str, Sequence[Upload]], model: str, rules: Model) -> Inputs:
    """Look at the pictures of an edit. Raises ApiError for the first one that the vendor would not take."""
    if not rules.pictures:
        takers = [name for name, other in MODELS.items() if other.pictures]
        raise _unsupported("model", model, takers)
    images = uploads["image"]
    if len(images) > rules.pictures:
        raise ApiError(
            f"Invalid 'image': array too long. Expected an array with maximum length {rules.pictures}, "
            f"but got an array with length {len(images)} instead.",
            param="image",
            code="array_above_max_length",
        )
    pictures = [_look(upload, f"image {i}", rules) for i, upload in enumerate(images, 1)]
    mask = _overlay(uploads.get("mask", ()), pictures[0], "mask", rules)
    markup = _overlay(uploads.get("markup", ()), pictures[0], "markup", rules)
    if markup and not rules.markup:
        raise ApiError(f"The model '{model}' does not support the 'markup' parameter.", param="markup")
    if markup and mask:
        raise ApiError("'markup' cannot be combined with 'mask'.", param="markup")
    if not rules.gpt and (pictures[0].media.width != pictures[0].media.height or not (pictures[0].media.alpha or mask)):
        raise ApiError("The image must be square, and have an alpha channel or a mask.", param="image")
    return Inputs(pictures, mask, markup)


def _look(upload: Upload, what: str, rules: Model) -> Picture:
    spool = upload.spool
    if spool.media_type not in _MIME_TYPES:
        raise ApiError(
            f"Invalid file '{upload.field}': unsupported mimetype ('{spool.media_type}'). "
            f"Supported file formats are {_supported(_MIME_TYPES)}.",
            param=upload.field,
            code="unsupported_file_mimetype",
        )
    if spool.size >= rules.picture_bytes:
        message = f"Invalid {what}: the file must be less than {rules.picture_bytes // 1_000_000} MB."
        raise ApiError(message, param="image", code="image_file_too_large")
    try:
        media = sniff(spool.read, spool.size)
        guard(media)
        whole = not flaw(spool.read, spool.size, media)
    except BadRequest:
        whole = False
    if not whole or media.format not in rules.picture_formats:
        message = f"Invalid image file or mode for {what}, please check your image file."
        raise ApiError(message, param="image", type="image_generation_user_error", code="invalid_image_file")
    return Picture(spool, media)


def _overlay(uploads: Sequence[Upload], first: Picture, name: str, rules: Model) -> Picture | None:
    """A mask or markup: a PNG with transparent pixels that lies on the first picture."""
    if not uploads:
        return None
    picture = _look(uploads[0], name, rules)
    if picture.media.format != "png" or picture.spool.size >= MASK_BYTES:
        raise _bad_mask(name, f"must be a PNG of less than {MASK_BYTES // 1_000_000} MB")
    if not picture.media.alpha:
        raise _bad_mask(name, "has no alpha channel")
    if (picture.media.width, picture.media.height) != (first.media.width, first.media.height):
        raise _bad_mask(name, "size does not match image size")
    return picture


def _bad_mask(name: str, what: str) -> ApiError:
    message = f"Invalid {name} image format - {name} {what}"
    code = f"invalid_{name}_image_format"
    return ApiError(message, param=name, type="image_generation_user_error", code=code)


# -- what it costs --

#: Output tokens of the models before gpt-image-2: square, portrait, landscape (vendor's price page, 2025; memory).
_LISTED_TOKENS = {"low": (272, 408, 400), "medium": (1056, 1584, 1568), "high": (4160, 6240, 6208)}
#: Each partial image costs so many more (third party).
PARTIAL_TOKENS = 100


def output_tokens(rules: Model, quality: str, width: int, height: int) -> int:
    """Of one picture. The formula since gpt-image-2: community post of 2026-06, and five published prices agree."""
    if not rules.factors:
        return _LISTED_TOKENS[quality][(width > height) * 2 + (width < height)]
    factor = rules.factors[quality]
    cells = factor * math.floor(factor * min(width, height) / max(width, height) + 0.5)
    return math.ceil(cells * (2_000_000 + width * height) / 4_000_000)


def input_tokens(media: Media, fidelity: str) -> int:
    """Of one picture: 65 and 129 a tile of 512 pixels, its short side scaled to one tile (memory; plausible only)."""
    long, short = max(media.width, media.height), min(media.width, media.height)
    faithful = 0 if fidelity == "low" else 4096 if long == short else 6144
    return 65 + 129 * math.ceil(long / short) + faithful


def usage(asked: Asked, inputs: Inputs, pictures: int, partials: int = 0) -> dict[str, object]:
    text = math.ceil(len(asked.prompt.encode()) / 4)
    images = sum(input_tokens(picture.media, asked.fidelity) for picture in inputs.pictures)
    out = pictures * output_tokens(asked.rules, asked.quality, asked.width, asked.height) + partials * PARTIAL_TOKENS
    return {
        "input_tokens": text + images,
        "input_tokens_details": {"text_tokens": text, "image_tokens": images},
        "output_tokens": out,
        "total_tokens": text + images + out,
    }


def _described(model: str) -> dict[str, object]:
    """A model as `GET /v1/models` has it."""
    gone = SHUTDOWNS.get(model)
    return {"id": model, "object": "model", "created": CREATED, "owned_by": "system", "shutdown_date": gone}


# -- the simulator --


class OpenAI(Simulator):
    """The Images API, below `/openai/v1`."""

    name = "openai"

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/v1/images/generations", self._answering(self._generate)),
            web.post("/v1/images/edits", self._answering(self._edit)),
            web.post("/v1/images/variations", self._answering(self._vary)),
            web.get("/v1/models", self._answering(self._list)),
            web.get("/v1/models/{model}", self._answering(self._show)),
            web.route("*", "/{path:.*}", self._answering(self._lost)),
        ]

    async def error(self, visit: Visit, status: int) -> web.StreamResponse:
        return await visit.send(_own_error(status).document, status)

    def _answering(self, handler: Callable[[Visit], Awaitable[web.StreamResponse]]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            with Visit(request, self.studio) as visit:
                visit.headers["x-request-id"] = f"req_{secrets.token_hex(16)}"
                try:
                    self._check_key(visit.bearer)
                    return await handler(visit)
                except ApiError as error:
                    return await visit.send(error.document, error.status)
                except BadRequest as error:
                    return await visit.send(ApiError(error.message, param=error.param).document, 400)

        return answer

    def _check_key(self, key: str) -> None:
        if not key:
            message = "You didn't provide an API key. Provide it as Authorization: Bearer YOUR_KEY."
            raise ApiError(message, code=None, status=401)
        if not self.studio.accepts(key):
            raise _own_error(401)

    async def _generate(self, visit: Visit) -> web.StreamResponse:
        _check_type(visit, "application/json")
        values, _ = await visit.json()
        fields = Fields(values)
        model, rules = read_model(fields)
        return await self._answer(visit, read_asked(fields, model, rules, editing=False, in_form=False), Inputs())

    async def _edit(self, visit: Visit) -> web.StreamResponse:
        in_form = _check_type(visit, "application/json", "multipart/form-data") == "multipart/form-data"
        if in_form:
            fields, uploads = read_uploads(*await visit.form(GPT_1.picture_bytes, _FILE_FIELDS))
        else:
            fields, uploads = read_references(*await visit.json(URL_CHARS * 3 // 4, pictures=2 * GPT_1.pictures))
        model, rules = read_model(fields)
        inputs = read_inputs(uploads, model, rules)
        return await self._answer(visit, read_asked(fields, model, rules, editing=True, in_form=in_form), inputs)

    async def _vary(self, visit: Visit) -> web.StreamResponse:
        raise ApiError("Image variations are no longer supported.", code=None, status=404)

    async def _list(self, visit: Visit) -> web.StreamResponse:
        return await visit.send({"object": "list", "data": [_described(name) for name in MODELS]})

    async def _show(self, visit: Visit) -> web.StreamResponse:
        name, _ = read_model(Fields(dict(visit.request.match_info)))
        return await visit.send(_described(name))

    async def _lost(self, visit: Visit) -> web.StreamResponse:
        raise _not_found(f"{visit.request.method} {visit.request.path.removeprefix(f'/{self.name}')}")

    async def _answer(self, visit: Visit, asked: Asked, inputs: Inputs) -> web.StreamResponse:
        if refused(asked.prompt):
            raise _moderated(visit.headers["x-request-id"])
        if (trouble := await self.misbehave(visit, asked.prompt)) is not None:
            return trouble
        if asked.stream:
            return await visit.stream(self._events(visit, asked, inputs))
        pictures = await self.paint(visit, _scenes(asked, inputs))
        if asked.rules.gpt:
            return await visit.send(_gpt_document(asked, inputs, pictures))
        return await visit.send({"created": int(time.time()), "data": [self._datum(asked, p) for p in pictures]})

    def _datum(self, asked: Asked, picture: Spool) -> dict[str, object]:
        """DALL·E's; version 3 told how it had understood the prompt."""
        told = {"revised_prompt": f"{asked.prompt} (as painted in the sandbox)"} if asked.rules is DALL_E_3 else {}
        if asked.by_url:
            return {**told, "url": self.studio.publish(picture)}
        return {**told, "b64_json": Inline(picture)}

    async def _events(self, visit: Visit, asked: Asked, inputs: Inputs) -> AsyncIterator[tuple[str, object]]:
        """What the vendor does when n > 1 is not documented: here picture follows picture, each with its usage."""
        kind = "image_edit" if inputs.pictures else "image_generation"
        for scene in _scenes(asked, inputs):
            for index in range(asked.partial_images):
                label = f"{scene.label} · preview {index + 1}"
                for preview in await self.paint(visit, [msgspec.structs.replace(scene, label=label)]):
                    yield _event(asked, f"{kind}.partial_image", preview, partial_image_index=index)
            for picture in await self.paint(visit, [scene]):
                used = usage(asked, inputs, 1, asked.partial_images)
                yield _event(asked, f"{kind}.completed", picture, usage=used)


def _scenes(asked: Asked, inputs: Inputs) -> list[Scene]:
    """One for each picture; they differ by their seeds, and share the input."""
    first = Scene(
        model=asked.model,
        prompt=asked.prompt,
        width=asked.width,
        height=asked.height,
        format=asked.output_format,
        transparent=asked.background == "transparent",
        compression=asked.output_compression,
        label=asked.quality,
        base=inputs.pictures[0].spool.read() if inputs.pictures else None,
        mask=inputs.mask.spool.read() if inputs.mask else None,
    )
    seeds = [seed_from(asked.model, asked.prompt, str(index)) for index in range(asked.count)]
    return [msgspec.structs.replace(first, seed=seed) for seed in seeds]


def _common(asked: Asked) -> dict[str, object]:
    """What every answer of a GPT image model says about its pictures."""
    told: dict[str, object] = {
        "background": asked.background,
        "output_format": asked.output_format,
        "quality": asked.quality,
        "size": asked.size,
    }
    return {**told, "safety_identifier": asked.safety_identifier} if asked.safety_identifier else told


def _gpt_document(asked: Asked, inputs: Inputs, pictures: Sequence[Spool]) -> dict[str, object]:
    used = usage(asked, inputs, len(pictures))
    details = {"text_tokens": 0, "image_tokens": used["output_tokens"]}
    return {
        "created": int(time.time()),
        **_common(asked),
        "data": [{"b64_json": Inline(picture)} for picture in pictures],
        # Its events, by the SDK, say nothing about details of the output.
        "usage": {**used, "output_tokens_details": details},
    }


def _event(asked: Asked, name: str, picture: Spool, **more: object) -> tuple[str, object]:
    told = {"type": name, "b64_json": Inline(picture), "created_at": int(time.time())}
    return name, {**told, **_common(asked), **more}
