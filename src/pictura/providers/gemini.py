"""Google Gemini's image models and Imagen, https://generativelanguage.googleapis.com/v1beta.

Wire facts: google-genai 3.4.0 (types and converters; seen 2026-11-20, confidence: official SDK) unless said otherwise.

    POST /models/{model}:generateContent          header x-goog-api-key
    {"contents": [{"role": "user" | "model", "parts": [{"text"} | {"inlineData": {"mimeType", "data"}}]}],
     "generationConfig": {"responseModalities", "imageConfig": {"aspectRatio", "imageSize"}, "seed", "temperature",
     "topP", "topK", "thinkingConfig"}, "tools", "safetySettings",
     "systemInstruction": {"parts": [{"text"}]}}
    → {"candidates": [{"content": {"parts": […]}, "finishReason", "finishMessage", "groundingMetadata",
       "safetyRatings"}],
       "promptFeedback": {"blockReason"}, "usageMetadata"}

    POST /models/{imagen}:predict
    {"instances": [{"prompt"}], "parameters": {"sampleCount", "aspectRatio", "sampleImageSize", "personGeneration",
     "includeRaiReason", "outputOptions": {"mimeType", "compressionQuality"}}}
    → {"predictions": [{"bytesBase64Encoded", "prompt"?} | {"raiFilteredReason"}]}

    → 4xx, 5xx {"error": {"code", "message", "status", "details": [ErrorInfo | RetryInfo | BadRequest | …]}}

A refusal is an answer with status 200. There is no task id, no cancel and no idempotency key: what is lost is lost.

`released` is the date of general availability where Google's page states it, else that of ImageRouter's registry
(2026-02); prices per picture follow from tokens per picture (Vertex page; Google's pricing page, as quoted at
discuss.ai.google.dev/t/101173 and lumenfall.ai) and dollars per token.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from pictura.core.errors import BadRequest, Failed, Malformed, PicturaError, Refused, Rejected
from pictura.core.model import Anything, Choice, Descriptor, Inputs, ModelCard, Source, Span
from pictura.core.money import per_million, usd
from pictura.core.picture import Inline
from pictura.core.price import PerPicture, PerToken, Row, TokenList, Usage
from pictura.core.request import Turn
from pictura.core.result import Piece
from pictura.core.size import Shapes
from pictura.infra.extract import Cut, find
from pictura.infra.http import Answer
from pictura.infra.payload import json_payload
from pictura.providers.answers import (
    MOST_TOKENS,
    Tokens,
    close_unused,
    closed_on_error,
    document_of,
    items,
    mapping,
    picture,
    said,
    word,
)
from pictura.providers.base import NOBODY, Ask, Channel, Done, Provider, Raw, error_from, retry_after, unreadable

_SDK = Source("google-genai 3.4.0; @ai-sdk/google 3.0.141; litellm 1.109.1", "2026-11-20", "official SDK")
_VERTEX = Source("google-genai 3.4.0; Vertex model page", "2026-11-20", "official SDK and page")
_PRICES = Source("litellm 1.109.1, citing ai.google.dev/pricing", "2026-11", "third party")

_TEN_ASPECTS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_ALL_ASPECTS = (*_TEN_ASPECTS, "1:4", "4:1", "1:8", "8:1")
_FORMATS = ("png", "jpeg", "webp", "heic")
_OPTIONS: dict[str, Descriptor] = {
    "seed": Span(0, 2**31 - 1),
    "temperature": Span(0, 2, whole=False, default=1),
    "top_p": Span(0, 1, whole=False, default=0.95),
    "top_k": Span(1, 64),
    "response_modalities": Anything(),
    "safetySettings": Anything(),
}
_SEARCH: dict[str, Descriptor] = {"tools": Anything()}
#: How long a model thinks: {"thinkingLevel": "minimal" | "high"} (official pages of 3.1 Flash Lite and 2.1, 2026).
_THINKING: dict[str, Descriptor] = {"thinkingConfig": Anything()}

_FLASH_2_5 = ModelCard(
    id="gemini-2.5-flash-image",
    aliases=("Nano-Banana", "gemini-2.5-flash-image-preview", "GG:2.5", "google/gemini-2.5-flash-image"),
    released="2025-10-02",
    released_known=True,
    modes=("generate", "edit"),
    sizes=Shapes(aspects=_TEN_ASPECTS, tiers=("1K",), default_tier="1K"),
    inputs=Inputs(count=3, formats=_FORMATS, max_bytes=7_000_000),
    params=_OPTIONS,
    # 1,290 tokens give the $0.039 that is published.
    price=PerToken(
        text_in=per_million("0.30"),
        image_in=per_million("0.30"),
        image_out=per_million("30"),
        text_out=per_million("2.50"),
        output=TokenList((Row(1290),)),
        input_tokens=1_290,
        words_out=500,
    ),
    price_source=_PRICES,
    source=_SDK,
    notes=(
        "Without an aspect it takes that of the input, else 1:1. Ends 2027-03-15 (litellm). Three inputs: third party."
    ),
)
_FLASH_3_1 = replace(
    _FLASH_2_5,
    id="gemini-3.1-flash-image",
    aliases=("Nano-Banana2", "Nano-Banana-2", "gemini-3.1-flash-image-preview", "GG:3.1"),
    released="2026-05-28",
    sizes=Shapes(aspects=_ALL_ASPECTS, tiers=("512", "1K", "2K", "4K"), default_tier="1K"),
    inputs=Inputs(count=14, formats=_FORMATS, max_bytes=7_000_000),
    params={**_OPTIONS, **_SEARCH, **_THINKING},
    price=PerToken(
        text_in=per_million("0.50"),
        image_in=per_million("0.50"),
        image_out=per_million("60"),
        text_out=per_million("3"),
        output=TokenList((Row(747, "", "512"), Row(1120, "", "1K"), Row(1680, "", "2K"), Row(2520, "", "4K"))),
        input_tokens=1_120,
        words_out=2_000,
    ),
    source=_VERTEX,
    notes="The Vertex page also lists 9:21. The preview's id ended on 2026-06-25.",
)
_IMAGEN = ModelCard(
    id="imagen-4.0-generate-001",
    status="retired",
    ends="2026-08-17",
    successor="gemini-3.1-flash-image",
    released="2025-05-20",
    released_known=True,
    sizes=Shapes(aspects=("1:1", "3:4", "4:3", "9:16", "16:9"), tiers=("1K", "2K"), default_tier="1K"),
    max_n=4,
    outputs=("png", "jpeg"),
    params={"personGeneration": Choice(("dont_allow", "allow_adult", "allow_all"))},
    price=PerPicture(usd("0.04")),
    price_source=Source(
        "Google's pricing page, as quoted at discuss.ai.google.dev/t/101173", "2025", "official, quoted"
    ),
    source=Source("google-genai 3.4.0 for Vertex; its sisters of 2025 for this API", "2026-11-20", "official SDK"),
    notes=(
        "Vertex alone takes a seed, a negative prompt and addWatermark. Its end is that of Google's page of "
        "deprecations as four sites cite it (2026-06, 2026-07); the SDK no longer speaks it here."
    ),
)
_IMAGENS = (
    _IMAGEN,
    replace(
        _IMAGEN,
        id="imagen-4.0-fast-generate-001",
        released="2025-08-14",
        sizes=Shapes(aspects=("1:1", "3:4", "4:3", "9:16", "16:9"), tiers=("1K",), default_tier="1K"),
        price=PerPicture(usd("0.02")),
    ),
    replace(_IMAGEN, id="imagen-4.0-ultra-generate-001", price=PerPicture(usd("0.06"))),
)


class Gemini(Provider):
    """Google Gemini and Imagen, https://ai.google.dev. Answers at once."""

    name = "gemini"
    compresses = frozenset({"jpeg"})
    base_url = "https://generativelanguage.googleapis.com/v1beta"
    sandbox_path = "/gemini/v1beta"
    env: ClassVar = {"api_key": "GEMINI_API_KEY GOOGLE_API_KEY"}
    MODELS = (
        _FLASH_2_5,
        replace(
            _FLASH_2_5,
            id="gemini-3-pro-image",
            aliases=("gemini-3-pro-image-preview", "Nano-Banana-Pro", "nano-banana-pro-preview", "GG:3.0"),
            released="2026-05-28",
            sizes=Shapes(aspects=_TEN_ASPECTS, tiers=("1K", "2K", "4K"), default_tier="1K"),
            inputs=Inputs(count=14, formats=_FORMATS, max_bytes=7_000_000),
            params={**_OPTIONS, **_SEARCH},
            # $0.134 for 1K and 2K, $0.24 for 4K. The $0.0011 published for an input are 560 tokens; a hold reckons with
            # twice as many.
            price=PerToken(
                text_in=per_million("2"),
                image_in=per_million("2"),
                image_out=per_million("120"),
                text_out=per_million("12"),
                output=TokenList((Row(1120, "", "1K"), Row(1120, "", "2K"), Row(2000, "", "4K"))),
                input_tokens=1_120,
                words_out=2_000,
            ),
            source=_VERTEX,
            notes=(
                "A preview since 2025-11-20; its id ended on 2026-06-25. Without an aspect it takes that of the input."
            ),
        ),
        _FLASH_3_1,
        replace(
            _FLASH_3_1,
            id="gemini-3.1-flash-lite-image",
            aliases=("GG:3.1-lite",),
            released="2026-06-30",
            sizes=Shapes(aspects=_ALL_ASPECTS, tiers=("1K",), default_tier="1K"),
            params={**_OPTIONS, **_THINKING},
            # The published $0.0336 implies 1,120 tokens.
            price=PerToken(
                text_in=per_million("0.25"),
                image_in=per_million("0.25"),
                image_out=per_million("30"),
                text_out=per_million("1.50"),
                output=TokenList((Row(1120),)),
                input_tokens=1_120,
                words_out=2_000,
            ),
            source=Source("the model's pages at Google and Google Cloud", "2026-06-30", "documented"),
            notes="Without an aspect it takes that of the input.",
        ),
        replace(
            _FLASH_3_1,
            id="gemini-nano-banana-2.1",
            aliases=("Nano-Banana2.1",),
            released="2026-10-06",
            sizes=Shapes(aspects=_ALL_ASPECTS, tiers=("1K", "2K", "4K"), default_tier="1K"),
            price=PerToken(
                text_in=per_million("1.50"),
                image_in=per_million("1.50"),
                image_out=per_million("30"),
                text_out=per_million("7.50"),
                output=TokenList((Row(1120, "", "1K"), Row(1680, "", "2K"), Row(3780, "", "4K"))),
                input_tokens=1_120,
                words_out=2_000,
            ),
            price_source=Source(
                "Google's pricing page of 2026-10-09, cited by three projects", "2026-10", "third party"
            ),
            source=Source("google-genai 3.4.0 (id); projects citing Google's page", "2026-10-09", "third party"),
            notes="Takes no 512, says a reseller who tried. It thinks at a medium level unless told otherwise.",
        ),
        *_IMAGENS,
    )

    def generic(self, model: str) -> ModelCard:
        """What a Gemini model that we know nothing of might take: the API is the one to refuse."""
        return replace(_GENERIC, id=model)

    def instructed(self, card: ModelCard, native: str) -> bool:
        return not _is_predicted(card, native)

    async def start(self, ask: Ask, via: Channel) -> Done:
        if _is_predicted(ask.card, ask.native):
            return await self._call("predict", _prediction(ask), _predicted, ask, via)
        return await self._call("generateContent", _generation(ask), _generated, ask, via)

    async def _call(self, method: str, fields: Mapping[str, object], read: _Reader, ask: Ask, via: Channel) -> Done:
        answer = await via.send(
            "POST",
            f"/models/{quote(ask.native, safe='')}:{method}",
            headers={"x-goog-api-key": via.secrets.get("api_key", "")},
            body=json_payload(fields),
            picture_keys=_PICTURE_KEYS,
        )
        with closed_on_error(answer):
            if not 200 <= answer.status < 300:
                raise _error(answer, via)
            done = read(mapping(answer.json()), ask, answer, via)
        close_unused(answer.pictures, done.pictures)
        return done


#: Reads an answer of status 200; raises the refusal or the lack that it tells of.
_Reader = Callable[[Mapping[str, object], Ask, Answer, Channel], Done]

#: Models that are asked by predict; a channel may know one of them by a name of its own.
_PREDICTED = frozenset(card.id for card in _IMAGENS)
#: A signature is base64 of any length, and stays out of the small document like a picture.
_PICTURE_KEYS = frozenset({"data", "thoughtSignature", "bytesBase64Encoded"})
#: Longer ones are not kept: they stand in the job, and come back in a request whose texts are bounded too.
_SIGNATURE_BYTES = 96 * 1024
#: Of each thing that is passed on as it came.
_EXTRA_BYTES = 32 * 1024
#: Where options stand, and under which name: those of generationConfig, and those beside it.
_IN_CONFIG = {
    "seed": "seed",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "thinkingConfig": "thinkingConfig",
}
_BESIDE_CONFIG = ("tools", "safetySettings")
#: Gemini 3 wants back what it signed; where the client sent no signature, this word asks it not to look for one
#: (ai.google.dev/gemini-api/docs/thought-signatures, 2025-11, documented).
_UNSIGNED = "skip_thought_signature_validator"

#: Why a candidate ended: refused for its content. The text kinds too, since pictures are drawn from texts.
_REFUSALS = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "ESCALATION",
        "MODEL_ARMOR",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
    }
)
#: What only the operator can mend: the account is limited for what it drew before; a wrong key, which Google answers
#: with 400 (public issues, 2025 and 2026, third party); a country or an account without billing (documented).
_OPERATORS_AFFAIR = frozenset({"PUP_LIMITED_DISABLED", "API_KEY_INVALID", "FAILED_PRECONDITION"})

_GENERIC = ModelCard(
    id="",
    modes=("generate", "edit"),
    sizes=Shapes(aspects=_ALL_ASPECTS, tiers=("512", "1K", "2K", "4K"), default_tier="1K"),
    inputs=Inputs(count=14, formats=_FORMATS, max_bytes=7_000_000),
    params={**_OPTIONS, **_SEARCH, **_THINKING},
    source=NOBODY,
)


# -- what is asked --


def _generation(ask: Ask) -> dict[str, object]:
    options = ask.options()
    shape = _shape(ask, "imageSize")
    config = {
        "responseModalities": _modalities(options.get("response_modalities")),
        **({"imageConfig": shape} if shape else {}),
        **{name: options[ours] for ours, name in _IN_CONFIG.items() if ours in options},
    }
    beside = {name: options[name] for name in _BESIDE_CONFIG if name in options}
    system = {"systemInstruction": {"parts": [{"text": ask.system}]}} if ask.system else {}
    return {"contents": _contents(ask), **system, "generationConfig": config, **beside}


def _is_predicted(card: ModelCard, native: str) -> bool:
    return not _PREDICTED.isdisjoint((card.id, native))


def _prediction(ask: Ask) -> dict[str, object]:
    output: dict[str, object] = {}
    if ask.output_format:
        output["mimeType"] = f"image/{ask.output_format}"
        if ask.output_compression is not None and ask.output_format == "jpeg":
            output["compressionQuality"] = ask.output_compression
    parameters = {
        "sampleCount": ask.n,
        **_shape(ask, "sampleImageSize"),
        **ask.options(),
        # Without it, what was refused is passed over in silence.
        "includeRaiReason": True,
        **({"outputOptions": output} if output else {}),
    }
    return {"instances": [{"prompt": ask.prompt}], "parameters": parameters}


def _shape(ask: Ask, tier_field: str) -> dict[str, object]:
    """Aspect and tier. A model with one tier takes no word about it (third party, 2026-06)."""
    sizes = ask.card.sizes
    tier = ask.size.tier if isinstance(sizes, Shapes) and len(sizes.tiers) > 1 else ""
    return {name: word for name, word in (("aspectRatio", ask.size.aspect), (tier_field, tier)) if word}


def _modalities(asked: object) -> list[str]:
    """Pictures, and texts only where they were asked for: they cost tokens too."""
    words = asked if isinstance(asked, list) else [asked]
    return ["TEXT", "IMAGE"] if any(str(word).upper() == "TEXT" for word in words) else ["IMAGE"]


def _contents(ask: Ask) -> list[dict[str, object]]:
    """The conversation, or a single turn of prompt and pictures; what no turn shows goes into the last one."""
    turns = ask.turns or (Turn("user", (ask.prompt,)),)
    shown = {part for turn in turns for part in turn.parts}
    rest = tuple(index for index in range(len(ask.images)) if index not in shown)
    last = replace(turns[-1], parts=turns[-1].parts + rest)
    return [{"role": turn.role, "parts": _parts(turn, ask)} for turn in (*turns[:-1], last)]


def _parts(turn: Turn, ask: Ask) -> list[dict[str, object]]:
    unsigned = _UNSIGNED if turn.role == "model" else ""
    signatures = [*turn.signatures, *[""] * (len(turn.parts) - len(turn.signatures))]
    return [
        {**_part(part, ask), **({"thoughtSignature": signature or unsigned} if signature or unsigned else {})}
        for part, signature in zip(turn.parts, signatures, strict=True)
    ]


def _part(part: str | int, ask: Ask) -> dict[str, object]:
    if isinstance(part, str):
        return {"text": part}
    image = ask.images[part]
    return {"inlineData": {"mimeType": image.media_type, "data": Inline(image.source)}}


# -- what comes back --


def _generated(document: Mapping[str, object], ask: Ask, answer: Answer, via: Channel) -> Done:
    candidates = items(document.get("candidates"))
    parts = [part for candidate in candidates for part in items(mapping(candidate.get("content")).get("parts"))]
    # A thought's picture is a draft.
    pieces, pictures = _in_order([part for part in parts if not part.get("thought")], answer.pictures)
    texts = tuple(piece.text for piece in pieces if piece.text)
    first = candidates[0] if candidates else {}
    if not pictures:
        raise _no_picture(document, first, texts, via)
    # Where more came than was asked for, drafts came before the picture, without being marked as thoughts (measured at
    # a relay of gemini-3-pro-image, 2026, third party). All are paid; first goes what was meant.
    drafts = max(0, len(pictures) - ask.n)
    usage = _usage(document.get("usageMetadata"))
    return Done(
        pictures=(*pictures[drafts:], *pictures[:drafts]),
        usage=usage,
        texts=texts,
        pieces=tuple(
            piece if piece.picture is None else replace(piece, picture=(piece.picture - drafts) % len(pictures))
            for piece in pieces
        ),
        thought_tokens=_thoughts(document.get("usageMetadata")) if usage else 0,
        extras=_extras(first),
    )


def _in_order(parts: Iterable[Mapping[str, object]], cuts: Sequence[Cut]) -> tuple[list[Piece], list[Raw]]:
    """What the parts say and show, and the pictures that they show."""
    pieces: list[Piece] = []
    pictures: list[Raw] = []
    for part in parts:
        raw = picture([mapping(part.get("inlineData")).get("data")], cuts)
        text, signature = part.get("text"), _signature(part.get("thoughtSignature"), cuts)
        if raw is not None:
            pieces.append(Piece(picture=len(pictures), signature=signature))
            pictures.append(raw)
        elif isinstance(text, str) and (text or signature):
            pieces.append(Piece(text=text, signature=signature))
    return pieces, pictures


def _signature(value: object, cuts: Sequence[Cut]) -> str:
    """As the client has to send it back; "" where there is none, and for one that is too long to be kept."""
    cut = find(value, cuts)
    if cut is None or cut.flaw or cut.spool.size > _SIGNATURE_BYTES:
        return ""
    return base64.b64encode(cut.spool.read()).decode()


def _extras(candidate: Mapping[str, object]) -> dict[str, object]:
    """What Google tells beside the picture: where it searched, how safe it found it."""
    told = {
        "groundingMetadata": mapping(candidate.get("groundingMetadata")),
        "safetyRatings": items(candidate.get("safetyRatings")),
    }
    return {name: value for name, value in told.items() if value and len(msgspec.json.encode(value)) <= _EXTRA_BYTES}


def _no_picture(
    document: Mapping[str, object], candidate: Mapping[str, object], texts: Sequence[str], via: Channel
) -> PicturaError:
    feedback = mapping(document.get("promptFeedback"))
    blocked, ended = word(feedback.get("blockReason")), word(candidate.get("finishReason"))
    reason = blocked or ended
    told = candidate.get("finishMessage") or " ".join(texts)
    words = said(told, via) if told else ""
    message = words or f"Google refused to draw this: {reason}"
    if ended in _OPERATORS_AFFAIR:
        return Rejected(message, upstream_status=200, upstream_code=ended, config=True)
    if blocked or ended in _REFUSALS:
        return Refused(message, reason=reason, by=Gemini.name, billed=_usage(document.get("usageMetadata")) is not None)
    # A model that asks back, or declines, ends as if nothing had happened (Google Cloud's page on responsible AI, 2026,
    # documented): its words may be a refusal, and nobody but a reader can tell.
    lack = (
        f"with words instead of a picture: {words}" if words else f"without a picture: {reason or 'it gave no reason'}"
    )
    return Malformed(f"the provider answered {lack}", upstream_status=200, upstream_code=reason)


def _predicted(document: Mapping[str, object], ask: Ask, answer: Answer, via: Channel) -> Done:
    predictions = items(document.get("predictions"))
    pictures = tuple(raw for prediction in predictions if (raw := _predicted_picture(prediction, answer)))
    if not pictures:
        reasons = [reason for prediction in predictions if (reason := prediction.get("raiFilteredReason"))]
        if reasons:
            raise Refused(said(reasons[0], via), reason="raiFilteredReason", by=Gemini.name)
        raise Malformed("the provider answered without a picture", upstream_status=answer.status)
    return Done(pictures=pictures)


def _predicted_picture(prediction: Mapping[str, object], answer: Answer) -> Raw | None:
    return picture([prediction.get("bytesBase64Encoded")], answer.pictures, revised_prompt=prediction.get("prompt"))


class _Kind(msgspec.Struct, frozen=True, rename="camel"):
    modality: str = ""
    token_count: Tokens = 0


class _Counted(msgspec.Struct, frozen=True, rename="camel"):
    prompt_token_count: Tokens = 0
    prompt_tokens_details: tuple[_Kind, ...] = ()
    tool_use_prompt_token_count: Tokens = 0
    cached_content_token_count: Tokens = 0
    candidates_token_count: Tokens = 0
    candidates_tokens_details: tuple[_Kind, ...] = ()
    thoughts_token_count: Tokens = 0


def _usage(value: object) -> Usage | None:
    """None where nothing came out, or for counts that cannot be: a picture is worth more than its bill.

    Of what came out, the details name the pictures alone; the rest is text, and costs what text costs (Google's forum,
    2026, and a public billing report of 2026-01; third party).
    """
    counted = _counted(value)
    if not counted.candidates_token_count:
        return None
    shown = _of_pictures(counted.prompt_tokens_details)
    drawn = _of_pictures(counted.candidates_tokens_details)
    if not counted.candidates_tokens_details:
        drawn = counted.candidates_token_count
    usage = Usage(
        text_in=max(0, counted.prompt_token_count - shown) + counted.tool_use_prompt_token_count,
        image_in=shown,
        cached_in=counted.cached_content_token_count,
        text_out=max(0, counted.candidates_token_count - drawn) + counted.thoughts_token_count,
        image_out=drawn,
    )
    return usage if max(usage.total_in, usage.total_out) <= MOST_TOKENS else None


def _thoughts(value: object) -> int:
    return _counted(value).thoughts_token_count


def _counted(value: object) -> _Counted:
    try:
        return msgspec.convert(value, _Counted)
    except msgspec.ValidationError:
        return _Counted()


def _of_pictures(details: Iterable[_Kind]) -> int:
    return sum(kind.token_count for kind in details if kind.modality == "IMAGE")


# -- errors --


def _error(answer: Answer, via: Channel) -> PicturaError:
    error = mapping(document_of(answer).get("error"))
    if not error:
        return unreadable(answer)
    message, status = said(error.get("message"), via), word(error.get("status"))
    details = items(error.get("details"))
    reason = _detail(details, "reason")
    code, wait = reason or status, _rest(details, answer)
    if not _OPERATORS_AFFAIR.isdisjoint((reason, status)):
        return Rejected(message, upstream_status=answer.status, upstream_code=code, config=True)
    if answer.status == 400:
        return BadRequest(message, param=_violated(details))
    if answer.status >= 500:
        # "If your request fails with a 400 or 500 error, you won't be charged" (Google's billing page, 2026-09,
        # documented); a router between us and Google, which knows no status words, does not promise that.
        # 503 is its word for a model that is overloaded and did not begin; a 504 may have drawn.
        unbilled = bool(status) and answer.status in (500, 503)
        return Failed(message, upstream_status=answer.status, upstream_code=code, retry_after_s=wait, unbilled=unbilled)
    return error_from(answer.status, message, code, wait)


def _detail(details: Iterable[Mapping[str, object]], name: str) -> str:
    """The first field of this name among an error's details, which are of a dozen kinds; "" where there is none."""
    return next((value for detail in details if isinstance(value := detail.get(name), str)), "")


def _rest(details: Iterable[Mapping[str, object]], answer: Answer) -> int | None:
    """Seconds to rest, from RetryInfo ("47.4s") or the header."""
    delay = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,9})?)s", _detail(details, "retryDelay"))
    return math.ceil(float(delay[1])) if delay else retry_after(answer)


def _violated(details: Iterable[Mapping[str, object]]) -> str | None:
    """The field that a BadRequest complains of."""
    violations = [violation for detail in details for violation in items(detail.get("fieldViolations"))]
    return word(_detail(violations, "field")) or None
