"""Google's Gemini API as far as it draws, as strict as the vendor: https://ai.google.dev/api.

The tables here are the vendor's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. Unless a line says otherwise they follow the types and converters of the official SDK, google-genai 3.4
(2026-11, official). Messages, codes and details follow errors reported in public issue trackers (2025-09 to 2026-10,
third party); where none was found, the pattern of the others.

Not as at the vendor: models whose end has come draw, because a test key must reach them; a file's URI is never
fetched; functions, caches and the batch API are unknown; all models are on one page of the list.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.core.picture import Inline
from pictura.infra.extract import Cut, find
from pictura.infra.payload import json_payload
from pictura.infra.spool import Spool
from pictura.sandbox.base import Studio, Vendor, VendorError, Visit, fails, refused, refused_late
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.fields import Fields, Wrong
from pictura.sandbox.inputs import Input, shown

# -- the vendor's tables --

#: Width and height at 1K, by aspect: the image generation guide as quoted by a reseller (2026, third party).
_PIXELS_3 = {
    "1:1": (1024, 1024),
    "2:3": (848, 1264),
    "3:2": (1264, 848),
    "3:4": (896, 1200),
    "4:3": (1200, 896),
    "4:5": (928, 1152),
    "5:4": (1152, 928),
    "9:16": (768, 1376),
    "16:9": (1376, 768),
    "21:9": (1584, 672),
}
#: Before that family (the guide of 2025, memory).
_PIXELS_2_5 = {
    "1:1": (1024, 1024),
    "2:3": (832, 1248),
    "3:2": (1248, 832),
    "3:4": (864, 1184),
    "4:3": (1184, 864),
    "4:5": (896, 1152),
    "5:4": (1152, 896),
    "9:16": (768, 1344),
    "16:9": (1344, 768),
    "21:9": (1536, 672),
}
#: Panoramas: the guide's for 3.1 (2026, memory), and what was measured of its successors (2026-10, third party).
_PANORAMAS = {"1:4": (512, 2048), "4:1": (2048, 512), "1:8": (384, 3072), "8:1": (3072, 384)}
_NEWER_PANORAMAS = {"1:4": (512, 2064), "4:1": (2064, 512), "1:8": (352, 2928), "8:1": (2928, 352)}
#: How much longer the sides are than at 1K.
_SCALES = {"512": 0.5, "1K": 1.0, "2K": 2.0, "4K": 4.0}


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model of generateContent. `pixels` at 1K by aspect; `tokens` of a picture by imageSize; `pictures`: of input.

    `levels`: how hard it can be told to think. One that `thinks` signs what it draws, and wants that back. `limits`:
    tokens in and out.
    """

    title: str
    methods: tuple[str, ...] = ("generateContent", "countTokens", "batchGenerateContent")
    limits: tuple[int, int] = (65_536, 32_768)
    pixels: Mapping[str, tuple[int, int]]
    tokens: Mapping[str, int]
    pictures: int = 14
    thinks: bool = True
    levels: tuple[str, ...] = ()
    searches: bool = True


class Imagen(msgspec.Struct, frozen=True, kw_only=True):
    """A model of predict."""

    title: str
    methods: tuple[str, ...] = ("predict",)
    limits: tuple[int, int] = (480, 8_192)
    sizes: tuple[str, ...] = ("1K", "2K")


_LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH")
# It takes every level, and thinks as it likes (measured, 2026, third party).
_PRO = Model(title="Gemini 3 Pro Image", pixels=_PIXELS_3, tokens={"1K": 1120, "2K": 1120, "4K": 2000}, levels=_LEVELS)

MODELS = {
    "gemini-2.5-flash-image": Model(
        title="Gemini 2.5 Flash Image",
        pixels=_PIXELS_2_5,
        tokens={"1K": 1290},
        pictures=3,
        thinks=False,
        searches=False,
    ),
    "gemini-3-pro-image": _PRO,
    "nano-banana-pro-preview": _PRO,
    "gemini-3.1-flash-image": Model(
        title="Gemini 3.1 Flash Image",
        pixels={**_PIXELS_3, **_PANORAMAS},
        tokens={"512": 747, "1K": 1120, "2K": 1680, "4K": 2520},
        levels=("MINIMAL", "HIGH"),
    ),
    "gemini-3.1-flash-lite-image": Model(
        title="Gemini 3.1 Flash Lite Image",
        pixels={**_PIXELS_3, **_NEWER_PANORAMAS},
        tokens={"1K": 1120},
        levels=("MINIMAL", "HIGH"),
        searches=False,
    ),
    "gemini-nano-banana-2.1": Model(
        title="Gemini Nano Banana 2.1",
        pixels={**_PIXELS_3, **_NEWER_PANORAMAS},
        tokens={"1K": 1120, "2K": 1680, "4K": 3780},
        levels=("MINIMAL", "MEDIUM", "HIGH"),
    ),
}
IMAGENS = {
    "imagen-4.0-generate-001": Imagen(title="Imagen 4"),
    "imagen-4.0-fast-generate-001": Imagen(title="Imagen 4 Fast", sizes=("1K",)),
    "imagen-4.0-ultra-generate-001": Imagen(title="Imagen 4 Ultra"),
}
#: Imagen's width and height at 1K (Google Cloud's page of 2025, memory).
_IMAGEN_PIXELS = {
    "1:1": (1024, 1024),
    "3:4": (896, 1280),
    "4:3": (1280, 896),
    "9:16": (768, 1408),
    "16:9": (1408, 768),
}

#: Tokens of an input picture (measured at a reseller, 2026, third party).
INPUT_TOKENS = 258
#: What a thinking model thinks; what it writes and no detail tells of (both in the range measured there).
THOUGHT_TOKENS, UNTOLD_TOKENS = 200, 100

PICTURE_BYTES = 7_000_000
_FORMATS = ("png", "jpeg", "webp", "heic")
_MIME_TYPES = tuple(f"image/{format}" for format in (*_FORMATS, "heif"))
#: In a conversation, with the signatures, there are more of them than a model takes in one turn.
_MOST_CUTS = 100
_PICTURE_KEYS = frozenset({"data", "thoughtSignature", "thought_signature"})

_MODALITIES = ("TEXT", "IMAGE")
_OTHER_MODALITIES = ("AUDIO", "VIDEO", "MODALITY_UNSPECIFIED")
_CATEGORIES = tuple(
    f"HARM_CATEGORY_{name}"
    for name in (
        *("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT", "CIVIC_INTEGRITY", "JAILBREAK"),
        "UNSPECIFIED",
    )
)
_THRESHOLDS = ("BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF")
#: Known to the vendor, and without a bearing on what is drawn here.
_PASSED_OVER = (
    *("model", "systemInstruction", "toolConfig", "cachedContent", "labels", "serviceTier", "store"),
    "continuationToken",
)
_PASSED_OVER_IN_CONFIG = (
    *("maxOutputTokens", "stopSequences", "responseLogprobs", "logprobs", "presencePenalty", "frequencyPenalty"),
    *("mediaResolution", "speechConfig", "enableEnhancedCivicAnswers", "audioTranscriptionConfig"),
)
_PASSED_OVER_IN_PART = ("thought", "mediaResolution", "videoMetadata", "partMetadata", "mediaProcessing")

_TROUBLESHOOTING = "https://developers.generativeai.google/guide/troubleshooting"
_SIGNATURES = "https://ai.google.dev/gemini-api/docs/thought-signatures#model-behavior"


# -- errors --


class ApiError(VendorError):
    """An error as Google writes it: `details` are objects with an @type of google.rpc."""

    def __init__(
        self,
        message: str,
        *,
        code: int = 400,
        status: str = "INVALID_ARGUMENT",
        details: Sequence[Mapping[str, object]] = (),
    ) -> None:
        told = {"details": list(details)} if details else {}
        super().__init__(code, {"error": {"code": code, "message": message, "status": status, **told}}, message)


def _detail(kind: str, **fields: object) -> dict[str, object]:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


def _error_info(reason: str) -> dict[str, object]:
    metadata = {"service": "generativelanguage.googleapis.com"}
    return _detail("ErrorInfo", reason=reason, domain="googleapis.com", metadata=metadata)


def _snake_case(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def _violation(error: Wrong) -> ApiError:
    """What is wrong with a field, which Google calls by the name that it has inside."""
    path = _snake_case(error.field)
    if error.why == "unknown":
        path, _, name = path.rpartition(".")
        message = f'Invalid JSON payload received. Unknown name "{name}"{f" at {path!r}" if path else ""}: '
        message += "Cannot find field."
    else:
        message = f"Invalid value at '{path}': {error.message.replace(error.field, path)}"
    violation = {"field": path, "description": message} if path else {"description": message}
    return ApiError(message, details=[_detail("BadRequest", fieldViolations=[violation])])


def _not_found(name: str, method: str, version: str) -> ApiError:
    message = (
        f"models/{name} is not found for API version {version}, or is not supported for {method}. Call "
        "ModelService.ListModels to see the list of available models and their supported methods."
    )
    return ApiError(message, code=404, status="NOT_FOUND")


def _no_key() -> ApiError:
    return ApiError(
        "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
        "other form of API consumer identity to call this API.",
        code=403,
        status="PERMISSION_DENIED",
    )


def _wrong_key() -> ApiError:
    message = "API key not valid. Please pass a valid API key."
    told = _detail("LocalizedMessage", locale="en-US", message=message)
    return ApiError(message, details=[_error_info("API_KEY_INVALID"), told])


def _bad_picture() -> ApiError:
    return ApiError(f"Unable to process input image. Please retry or report in {_TROUBLESHOOTING}")


_QUOTA = {"quotaId": "GenerateRequestsPerMinutePerProjectPerModel", "quotaValue": "10"}
#: By the status asked for: status, its word, message, details. Google has no 402: who has no billing is denied.
_OWN_ERRORS: dict[int, tuple[int, str, str, Sequence[Mapping[str, object]]]] = {
    401: (
        401,
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
        "authentication credential.",
        [_error_info("ACCESS_TOKEN_TYPE_UNSUPPORTED")],
    ),
    402: (
        403,
        "PERMISSION_DENIED",
        "This API method requires billing to be enabled. Please enable billing on the project, then retry.",
        [_error_info("BILLING_DISABLED")],
    ),
    429: (
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details.\nPlease retry in 2s.",
        [_detail("QuotaFailure", violations=[_QUOTA]), _detail("RetryInfo", retryDelay="2s")],
    ),
    500: (
        500,
        "INTERNAL",
        f"An internal error has occurred. Please retry or report in {_TROUBLESHOOTING}",
        [],
    ),
}


def _own_error(asked: int) -> ApiError:
    code, status, message, details = _OWN_ERRORS[asked]
    return ApiError(message, code=code, status=status, details=details)


# -- what is asked --


class Turn(msgspec.Struct, frozen=True, eq=False):
    """What one side said."""

    role: str
    text: str
    pictures: Sequence[Input]


class Config(msgspec.Struct, kw_only=True):
    """Of generationConfig, what shows. `aspect` "": that of the input."""

    seed: int | None = None
    writes: bool = True
    draws: bool = True
    shows_thoughts: bool = False
    aspect: str = ""
    size: str = "1K"


class Asked(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A request that has passed."""

    model: str
    rules: Model
    turns: Sequence[Turn]
    config: Config

    @property
    def prompt(self) -> str:
        return self.turns[-1].text

    @property
    def pictures(self) -> list[Input]:
        return [picture for turn in self.turns for picture in turn.pictures]

    @property
    def base(self) -> Input | None:
        """What is edited: the first picture that is shown now, else the last that there was."""
        now = self.turns[-1].pictures
        return now[0] if now else next(iter(reversed(self.pictures)), None)


def camel_case(value: object) -> object:
    """A JSON value with its fields under their JSON names: protocol buffers take `image_config` as well."""
    if isinstance(value, list):
        return [camel_case(entry) for entry in value]
    if isinstance(value, dict):
        return {
            re.sub(r"_([a-z0-9])", lambda letter: letter[1].upper(), name): camel_case(entry)
            for name, entry in value.items()
        }
    return value


def _fields(values: Mapping[str, object]) -> Fields:
    named = camel_case(values)
    assert isinstance(named, dict)
    return Fields(named)


async def read_asked(
    model: str, rules: Model, values: Mapping[str, object], cuts: Sequence[Cut], studio: Studio
) -> Asked:
    """Raises ApiError or Wrong for the first thing that the vendor would not take."""
    fields = _fields(values)
    _pass_over(fields, _PASSED_OVER)
    _read_safety(fields)
    _read_tools(fields, rules)
    config = _read_config(fields.inside("generationConfig"), rules)
    contents = fields.objects("contents")
    fields.refuse_rest()
    if not contents:
        raise ApiError("* GenerateContentRequest.contents: contents is not specified\n")
    turns = [await _read_turn(turn, place, rules, cuts, studio) for place, turn in enumerate(contents, 1)]
    if sum(len(turn.pictures) for turn in turns if turn.role == "user") > rules.pictures:
        raise ApiError(f"Too many images: the model takes at most {rules.pictures} images per prompt.")
    return Asked(model=model, rules=rules, turns=turns, config=config)


def _pass_over(fields: Fields, names: Iterable[str]) -> None:
    for name in names:
        fields.anything(name)


def _word(fields: Fields, name: str, words: Sequence[str]) -> str:
    """One of the words of an enumeration, whose case does not matter."""
    value = fields.text(name)
    return Fields({name: value.upper()}, fields.where("")).word(name, words)


def _read_safety(fields: Fields) -> None:
    for setting in fields.objects("safetySettings"):
        _word(setting, "category", _CATEGORIES)
        _word(setting, "threshold", _THRESHOLDS)
        setting.refuse_rest()


def _read_tools(fields: Fields, rules: Model) -> None:
    for tool in fields.objects("tools"):
        if "googleSearch" in tool and not rules.searches:
            raise ApiError("Search Grounding is not supported.")


def _read_config(fields: Fields, rules: Model) -> Config:
    _pass_over(fields, _PASSED_OVER_IN_CONFIG)
    config = Config(seed=fields.whole("seed", -(2**31), 2**31 - 1))
    fields.number("temperature", 0, 2)
    fields.number("topP", 0, 1)
    fields.number("topK", 1, 1000)
    fields.word("responseMimeType", ("text/plain",))
    if fields.whole("candidateCount", 1, 8) not in (None, 1):
        raise ApiError("Multiple candidates is not enabled for this model")
    _read_modalities(fields, config)
    _read_thinking(fields.inside("thinkingConfig"), rules, config)
    image = fields.inside("imageConfig")
    config.aspect = image.word("aspectRatio", tuple(rules.pixels))
    config.size = image.word("imageSize", tuple(rules.tokens), "1K")
    image.refuse_rest()
    fields.refuse_rest()
    return config


def _read_modalities(fields: Fields, config: Config) -> None:
    said = [str(entry).upper() for entry in fields.list("responseModalities")]
    for place, word in enumerate(said):
        if word not in (*_MODALITIES, *_OTHER_MODALITIES):
            where = f"{fields.where('responseModalities')}[{place}]"
            raise Wrong(where, "value", f"{where} must be one of {', '.join(_MODALITIES)}")
    if not set(said) <= set(_MODALITIES):
        raise ApiError(f"Model does not support the requested response modalities: {','.join(said).lower()}")
    if said:
        config.writes, config.draws = "TEXT" in said, "IMAGE" in said


def _read_thinking(fields: Fields, rules: Model, config: Config) -> None:
    config.shows_thoughts = fields.flag("includeThoughts")
    level = _word(fields, "thinkingLevel", _LEVELS)
    budget = fields.whole("thinkingBudget", -1, 32_768)
    fields.refuse_rest()
    if not rules.thinks and (config.shows_thoughts or level or budget is not None):
        raise ApiError("Thinking is not enabled for this model.")
    if level and level not in rules.levels:
        raise ApiError(f"Thinking level {level} is not supported for this model.")


async def _read_turn(fields: Fields, place: int, rules: Model, cuts: Sequence[Cut], studio: Studio) -> Turn:
    role = fields.text("role") or "user"
    parts = fields.objects("parts")
    fields.refuse_rest()
    if role not in ("user", "model"):
        raise ApiError("Please use a valid role: user, model.")
    if not parts:
        raise ApiError(f"* GenerateContentRequest.contents[{place - 1}].parts: contents.parts must not be empty.\n")
    texts, pictures = [], []
    for number, part in enumerate(parts, 1):
        _pass_over(part, _PASSED_OVER_IN_PART)
        signed = _is_signature(part.anything("thoughtSignature"), cuts)
        item = await _read_part(part, cuts, studio)
        if isinstance(item, str):
            texts.append(item)
            continue
        if role == "model" and rules.thinks and not signed:
            raise ApiError(
                f"Image part is missing a thought_signature in content position {place}, part position {number}. "
                f"Please refer to {_SIGNATURES} for more details."
            )
        pictures.append(item)
    return Turn(role, "\n".join(texts), pictures)


def _is_signature(value: object, cuts: Sequence[Cut]) -> bool:
    cut = find(value, cuts)
    if cut is not None and cut.flaw:
        raise ApiError("Thought signature is not valid.")
    return cut is not None


async def _read_part(part: Fields, cuts: Sequence[Cut], studio: Studio) -> str | Input:
    said = [name for name in ("text", "inlineData", "fileData") if name in part]
    text = part.text("text", most_chars=1_000_000)
    inline, file = part.inside("inlineData"), part.inside("fileData")
    part.refuse_rest()
    if len(said) != 1:
        where = f"GenerateContentRequest.{part.where('data')}"
        raise ApiError(f"* {where}: required oneof field 'data' must have one initialized field\n")
    if said == ["text"]:
        return text
    source, key = (inline, "data") if said == ["inlineData"] else (file, "fileUri")
    media_type, value = source.text("mimeType"), source.anything(key)
    _pass_over(source, ("displayName",))
    source.refuse_rest()
    if media_type.lower() not in _MIME_TYPES:
        raise ApiError(f"Unsupported MIME type: {media_type}")
    try:
        return await shown(value, cuts, studio, _FORMATS, PICTURE_BYTES)
    except BadRequest:
        raise _bad_picture() from None


# -- what comes back --


def _size(asked: Asked) -> tuple[int, int]:
    pixels, aspect = asked.rules.pixels, asked.config.aspect
    if not aspect and asked.base is not None:
        media = asked.base.media
        wanted = math.log(media.width / media.height)
        aspect = min(pixels, key=lambda name: abs(math.log(pixels[name][0] / pixels[name][1]) - wanted))
    width, height = pixels[aspect or "1:1"]
    scale = _SCALES[asked.config.size]
    return int(width * scale), int(height * scale)


def _scene(asked: Asked) -> Scene:
    width, height = _size(asked)
    seed = asked.config.seed
    return Scene(
        model=asked.model,
        prompt=asked.prompt,
        width=width,
        height=height,
        seed=seed_from(asked.model, asked.prompt) if seed is None else seed,
        label=asked.config.size,
        base=asked.base.data if asked.base else None,
    )


def _signature(scene: Scene) -> str:
    told = f"{scene.model}\0{scene.prompt}\0{scene.seed}"
    return base64.b64encode(hashlib.sha512(told.encode()).digest()).decode()


def usage(asked: Asked, pictures: int, *, ended_early: bool = False) -> dict[str, object]:
    """Details tell of pictures alone, and one that was refused mirrors its thoughts (measured, 2026, third party)."""
    texts = math.ceil(sum(len(turn.text.encode()) for turn in asked.turns) / 4)
    images = len(asked.pictures) * INPUT_TOKENS
    thoughts = THOUGHT_TOKENS if asked.rules.thinks else 0
    drawn = pictures * asked.rules.tokens[asked.config.size]
    candidates = thoughts if ended_early else drawn + UNTOLD_TOKENS
    kinds = [("TEXT", texts)] + ([("IMAGE", images)] if images else [])
    total = texts + images + (thoughts if ended_early else candidates + thoughts)
    return {
        "promptTokenCount": texts + images,
        "promptTokensDetails": [{"modality": kind, "tokenCount": count} for kind, count in kinds],
        **({"candidatesTokenCount": candidates} if candidates else {}),
        **({"candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": drawn}]} if drawn else {}),
        **({"thoughtsTokenCount": thoughts} if thoughts else {}),
        "totalTokenCount": total,
    }


class Outcome(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What came of a request: parts, or why there are none."""

    usage: Mapping[str, object]
    parts: Sequence[Mapping[str, object]] = ()
    blocked: str = ""
    finish: str = "STOP"
    message: str = ""


def _blocked(asked: Asked) -> Outcome:
    counted = usage(asked, 0, ended_early=True)
    prompt = {name: counted[name] for name in ("promptTokenCount", "promptTokensDetails")}
    return Outcome(usage={**prompt, "totalTokenCount": counted["promptTokenCount"]}, blocked="PROHIBITED_CONTENT")


def _ended(asked: Asked, finish: str, message: str = "") -> Outcome:
    return Outcome(usage=usage(asked, 0, ended_early=True), finish=finish, message=message)


_FILTERED = (
    "Unable to show the generated image. The image was filtered out because it violated Google's Generative AI "
    "Prohibited Use policy. You will not be charged for blocked images. Try rephrasing the prompt."
)
_COULD_NOT = "Unable to show the generated image. The model could not generate the image based on the prompt provided."


def _documents(asked: Asked, outcome: Outcome, *, one_by_one: bool) -> list[dict[str, object]]:
    """The answer, or what a stream of it says: a part at a time, the last with the reason of its end."""
    told: dict[str, object] = {
        "usageMetadata": outcome.usage,
        "modelVersion": asked.model,
        "responseId": secrets.token_urlsafe(16),
    }
    if outcome.blocked:
        return [{"promptFeedback": {"blockReason": outcome.blocked}, **told}]
    groups = [[part] for part in outcome.parts] if one_by_one and outcome.parts else [list(outcome.parts)]
    documents: list[dict[str, object]] = []
    for place, parts in enumerate(groups, 1):
        content = {"parts": parts, "role": "model"} if parts else {}
        candidate: dict[str, object] = {"content": content, "index": 0}
        if place == len(groups):
            candidate["finishReason"] = outcome.finish
            candidate |= {"finishMessage": outcome.message} if outcome.message else {}
        documents.append({"candidates": [candidate], **told})
    return documents


# -- Imagen --


class Imagined(msgspec.Struct, frozen=True, kw_only=True):
    """A request to Imagen that has passed."""

    scene: Scene
    count: int
    tells_reason: bool


def read_imagined(model: str, rules: Imagen, values: Mapping[str, object]) -> Imagined:
    """Of this API, and not of Vertex: neither seed nor negativePrompt nor addWatermark (SDK of 2025, official)."""
    fields = _fields(values)
    (instance,) = fields.objects("instances", least=1, most=1)
    prompt = instance.text("prompt", required=True)
    instance.refuse_rest()
    parameters = fields.inside("parameters")
    fields.refuse_rest()
    count = parameters.whole("sampleCount", 1, 4)
    width, height = _IMAGEN_PIXELS[parameters.word("aspectRatio", tuple(_IMAGEN_PIXELS), "1:1")]
    scale = int(_SCALES[parameters.word("sampleImageSize", rules.sizes, "1K")])
    _word(parameters, "personGeneration", ("DONT_ALLOW", "ALLOW_ADULT", "ALLOW_ALL"))
    _word(parameters, "safetySetting", _THRESHOLDS)
    parameters.number("guidanceScale", 0, 100)
    parameters.text("language")
    parameters.flag("includeSafetyAttributes")
    tells_reason = parameters.flag("includeRaiReason")
    format, compression = _read_output(parameters.inside("outputOptions"))
    parameters.refuse_rest()
    scene = Scene(model, prompt, width * scale, height * scale, format=format, compression=compression)
    return Imagined(scene=scene, count=4 if count is None else count, tells_reason=tells_reason)


def _read_output(fields: Fields) -> tuple[str, int | None]:
    format = fields.word("mimeType", ("image/png", "image/jpeg"), "image/png").removeprefix("image/")
    compression = fields.whole("compressionQuality", 0, 100)
    fields.refuse_rest()
    return format, compression if format == "jpeg" else None


# -- the simulator --


class Gemini(Vendor):
    """What draws, and the list of models, below `/gemini/v1beta`, and `/gemini/v1` that the SDK speaks by default."""

    name = "gemini"

    def routes(self) -> Iterable[web.RouteDef]:
        version = "/{version:v1|v1beta}"
        return [
            web.get(f"{version}/models", self.answering(self._list)),
            web.get(f"{version}/models/{{model}}", self.answering(self._show)),
            web.post(f"{version}/models/{{call}}", self.answering(self._call)),
            web.route("*", "/{path:.*}", self.answering(self._lost)),
        ]

    def own_error(self, status: int) -> ApiError:
        return _own_error(status)

    def translated(self, error: BadRequest) -> ApiError:
        return _violation(error) if isinstance(error, Wrong) else ApiError(error.message)

    def check_key(self, visit: Visit) -> None:
        key = visit.request.headers.get("x-goog-api-key") or visit.request.query.get("key", "")
        if not key:
            raise _no_key()
        if not self.studio.accepts(key):
            raise _wrong_key()

    async def _list(self, visit: Visit) -> web.StreamResponse:
        names = (*MODELS, *IMAGENS)
        return await visit.send({"models": [_described(name) for name in names]})

    async def _show(self, visit: Visit) -> web.StreamResponse:
        place = visit.request.match_info
        if place["model"] not in (*MODELS, *IMAGENS):
            raise _not_found(place["model"], "GetModel", place["version"])
        return await visit.send(_described(place["model"]))

    async def _lost(self, visit: Visit) -> web.StreamResponse:
        raise ApiError("Requested entity was not found.", code=404, status="NOT_FOUND")

    async def _call(self, visit: Visit) -> web.StreamResponse:
        place = visit.request.match_info
        name, _, method = place["call"].rpartition(":")
        if method in ("generateContent", "streamGenerateContent") and name in MODELS:
            return await self._generate(visit, name, streams=method.startswith("stream"))
        if method == "predict" and name in IMAGENS:
            return await self._predict(visit, name)
        raise _not_found(name, method, place["version"])

    async def _generate(self, visit: Visit, name: str, *, streams: bool) -> web.StreamResponse:
        values, cuts = await visit.json(2 * PICTURE_BYTES, _MOST_CUTS, _PICTURE_KEYS)
        asked = await read_asked(name, MODELS[name], values, cuts, self.studio)
        if (trouble := await self.misbehave(visit, asked.prompt)) is not None:
            return trouble
        documents = _documents(asked, await self._outcome(visit, asked), one_by_one=streams)
        if not streams:
            return await visit.send(documents[0])
        if visit.request.query.get("alt") != "sse":
            return await visit.send(documents)
        return await _send_events(visit, documents)

    async def _outcome(self, visit: Visit, asked: Asked) -> Outcome:
        if refused(asked.prompt):
            return _blocked(asked)
        if refused_late(asked.prompt):
            return _ended(asked, "IMAGE_SAFETY", _FILTERED)
        if fails(asked.prompt):
            return _ended(asked, "IMAGE_OTHER", _COULD_NOT)
        scene = _scene(asked)
        pictures = await self.paint(visit, [scene] if asked.config.draws else [])
        if asked.config.draws and not pictures:
            return _ended(asked, "NO_IMAGE")
        signature = {"thoughtSignature": _signature(scene)} if asked.rules.thinks else {}
        text = {"text": f"Here is a picture of {asked.prompt}." if pictures else "The sandbox writes no texts."}
        parts: list[Mapping[str, object]] = [
            *(await self._thoughts(visit, scene) if asked.config.shows_thoughts else ()),
            *([text] if asked.config.writes else []),
            *({"inlineData": _blob(picture), **signature} for picture in pictures),
        ]
        return Outcome(usage=usage(asked, len(pictures)), parts=parts)

    async def _thoughts(self, visit: Visit, scene: Scene) -> list[dict[str, object]]:
        """What a model says and draws on the way."""
        draft = msgspec.structs.replace(scene, width=512, height=512, label="draft")
        drafts = await self.paint(visit, [draft])
        thought = {"text": "I look at it from a distance first.", "thought": True}
        return [thought, *({"inlineData": _blob(picture), "thought": True} for picture in drafts)]

    async def _predict(self, visit: Visit, name: str) -> web.StreamResponse:
        values, _ = await visit.json()
        asked = read_imagined(name, IMAGENS[name], values)
        prompt = asked.scene.prompt
        if (trouble := await self.misbehave(visit, prompt)) is not None:
            return trouble
        if refused(prompt) or refused_late(prompt):
            reason = "Unable to show generated images. Your prompt was filtered out. Support codes: 89371032"
            return await visit.send({"predictions": [{"raiFilteredReason": reason}]} if asked.tells_reason else {})
        if fails(prompt):
            return await self.error(visit, 500)
        seeds = [seed_from(name, prompt, str(number)) for number in range(asked.count)]
        pictures = await self.paint(visit, [msgspec.structs.replace(asked.scene, seed=seed) for seed in seeds])
        return await visit.send({"predictions": [_prediction(picture) for picture in pictures]} if pictures else {})


def _described(name: str) -> dict[str, object]:
    rules = MODELS.get(name) or IMAGENS[name]
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": rules.title,
        "inputTokenLimit": rules.limits[0],
        "outputTokenLimit": rules.limits[1],
        "supportedGenerationMethods": rules.methods,
    }


def _blob(picture: Spool) -> dict[str, object]:
    return {"mimeType": picture.media_type, "data": Inline(picture)}


def _prediction(picture: Spool) -> dict[str, object]:
    return {"mimeType": picture.media_type, "bytesBase64Encoded": Inline(picture)}


async def _send_events(visit: Visit, documents: Iterable[object]) -> web.StreamResponse:
    """Events without a name: the SDK takes every line but `data:` for JSON."""
    response = web.StreamResponse(headers={**visit.headers, "Content-Type": "text/event-stream"})
    await response.prepare(visit.request)
    for document in documents:
        await response.write(b"data: ")
        for chunk in json_payload(document).chunks():
            await response.write(chunk)
        await response.write(b"\r\n\r\n")
    await response.write_eof()
    return response
