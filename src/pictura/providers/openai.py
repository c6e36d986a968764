"""OpenAI Images, https://api.openai.com/v1, and every server that speaks like it.

Wire facts: openai-python 3.51.0 (types; seen 2026-11-20, confidence: official SDK) unless said otherwise.

    POST /images/generations   JSON
    POST /images/edits         multipart: `image`, or `image[]` several times, and `mask`; or JSON:
                               "images": [{"image_url"}], "mask": {"image_url"}
    → {"created", "data": [{"b64_json" | "url", "revised_prompt"?}], "size", "quality", "background",
       "output_format", "usage"}
    with "stream": true → server-sent events image_generation.partial_image … image_generation.completed
                          (image_edit.* for edits)
    → 4xx, 5xx {"error": {"message", "type", "param", "code"}}

There is no task id, no cancel and no idempotency key: what is lost is lost.

`released` on the cards is the date in the vendor's snapshot id, else that of ImageRouter's registry (2026-02).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import starmap
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from pictura.core.capability import neutral
from pictura.core.datasheet import LOSSY
from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Refused, Rejected, Unsupported
from pictura.core.model import Anything, Choice, Descriptor, Inputs, Mask, ModelCard, Prompt, Source, Words
from pictura.core.money import per_million, usd
from pictura.core.price import PerToken, PriceList, Row, TokenFormula, TokenList, Usage
from pictura.core.size import FreePixels, ListedPixels, Size
from pictura.infra.extract import find
from pictura.infra.http import Answer, Request
from pictura.infra.payload import Part, Payload, field, json_payload, multipart_payload
from pictura.infra.sse import Event
from pictura.providers.answers import (
    Tokens,
    close_unused,
    closed_on_error,
    code_of,
    document_of,
    items,
    mapping,
    micro_usd,
    picture,
    said,
    whole,
    word,
)
from pictura.providers.base import (
    Ask,
    Channel,
    Done,
    Preview,
    Provider,
    Raw,
    StreamingProvider,
    error_from,
    retry_after,
    unreadable,
)

_SDK = Source("openai-python 3.51.0", "2026-11-20", "official SDK")
_PRICES = Source("litellm 1.109.1, citing OpenAI's pricing page", "2026-11", "third party")
_MODEL_PAGES = Source("OpenAI's page of the model, developers.openai.com", "2026-11", "official page")
_PRICES_1 = Source("fal's page of gpt-image-1, which took over OpenAI's prices", "2026", "third party")
_OLD_PRICES = Source("docs.comfy.org's price page, agreeing with lists of 2023", "2026-09", "third party")
_SDK_2_6 = Source(
    "openai-python 3.51.0; OpenAI's page of Sunburst", "2026-11-20", "official; sizes and qualities resold"
)

_QUALITIES = ("auto", "low", "medium", "high")
_OPTIONS: dict[str, Descriptor] = {
    "background": Choice(("auto", "transparent", "opaque"), "auto"),
    "moderation": Choice(("auto", "low"), "auto"),
    "safety_identifier": Words(256),
}
_THREE_SIZES = ListedPixels(values=("1024x1024", "1536x1024", "1024x1536"), auto=True)

# A cached image token costs $2, which the price has no room for: OpenAI does not tell which cached tokens were images.
_PER_TOKEN = PerToken(
    text_in=per_million("5"),
    cached_in=per_million("1.25"),
    image_in=per_million("8"),
    image_out=per_million("30"),
    output=TokenFormula({"low": 16, "medium": 48, "high": 96}),
    preview=100,  # third party (2026)
)
# Factors derived: they reproduce the five prices that fal publishes for 1024x1024 (2026-11).
_PER_TOKEN_2_5 = replace(_PER_TOKEN, output=TokenFormula({"low": 16, "medium": 24, "high": 48, "xhigh": 64, "max": 96}))
# The token table of the gpt-image-1 family (OpenAI's guide to image generation, copies of 2026). At $32 a million it
# gives what is published for a picture of 1.5: $0.009, $0.034, $0.133 for 1024x1024; $0.013, $0.05, $0.20 for the long
# sizes, of which landscape takes a few less: 400, 1,568 and 6,208.
_PER_TOKEN_1_5 = replace(
    _PER_TOKEN,
    image_out=per_million("32"),
    text_out=per_million("10"),
    output=TokenList(
        (
            Row(272, "low", "1024x1024"),
            Row(1056, "medium", "1024x1024"),
            Row(4160, "high", "1024x1024"),
            Row(408, "low", "1024x1536"),
            Row(1584, "medium", "1024x1536"),
            Row(6240, "high", "1024x1536"),
        )
    ),
)
# The table does not fit the prices published for mini ($8 a million, $0.005 for low) nor high of gpt-image-1
# ($40 a million, $0.167), so those two go by the picture.
_PER_PICTURE_MINI = PriceList(
    (
        Row(usd("0.005"), "low", "1024x1024"),
        Row(usd("0.011"), "medium", "1024x1024"),
        Row(usd("0.036"), "high", "1024x1024"),
        Row(usd("0.006"), "low", "1024x1536"),
        Row(usd("0.015"), "medium", "1024x1536"),
        Row(usd("0.052"), "high", "1024x1536"),
    )
)
_PER_PICTURE_1 = PriceList(
    (
        Row(usd("0.011"), "low", "1024x1024"),
        Row(usd("0.042"), "medium", "1024x1024"),
        Row(usd("0.167"), "high", "1024x1024"),
        Row(usd("0.016"), "low", "1024x1536"),
        Row(usd("0.063"), "medium", "1024x1536"),
        Row(usd("0.25"), "high", "1024x1536"),
    )
)

GPT_IMAGE_2 = ModelCard(
    id="gpt-image-2",
    aliases=("gpt-image-2-2026-04-21", "OG:image2"),
    released="2026-04-21",
    released_known=True,
    modes=("generate", "edit", "inpaint"),
    # The window of pixels and the longest edge are third parties' (fal, Tencent); above 2560x1440 it is experimental.
    sizes=FreePixels(
        step=16,
        min_pixels=655_360,
        max_pixels=8_294_400,
        max_edge=3840,
        max_ratio=3,
        presets=("1024x1024", "1536x1024", "1024x1536"),
    ),
    max_n=10,
    inputs=Inputs(count=16, max_bytes=50_000_000),
    mask=Mask(),
    outputs=("png", "jpeg", "webp"),
    transparent=True,
    previews=True,
    params={
        **_OPTIONS,
        "quality": Choice(_QUALITIES, "auto"),
        "complexity": Choice(("low", "medium", "high")),
    },
    price=_PER_TOKEN,
    price_source=_PRICES,
    source=_SDK,
    notes="Takes no input_fidelity. A transparent background is in preview.",
)
_GPT_IMAGE_2_5 = replace(
    GPT_IMAGE_2,
    id="gpt-image-2.5-sunburst",
    aliases=("gpt-image-2.5-sunburst-2026-09-08", "openai/gpt-image-2.5/sunburst"),
    released="2026-09-08",
    params={**GPT_IMAGE_2.params, "quality": Choice((*_QUALITIES, "xhigh", "max"), "auto")},
    price=_PER_TOKEN_2_5,
    notes=(
        "gif and svg output need an access that OpenAI grants per model, so they are not offered; nor is markup, a "
        "transparent PNG over the first picture in place of a mask."
    ),
)
_GPT_IMAGE_1_5 = replace(
    GPT_IMAGE_2,
    id="gpt-image-1.5",
    aliases=("gpt-image-1.5-2025-12-16",),
    status="deprecated",
    ends="2026-12-01",
    successor="gpt-image-2.5-sunburst",
    released="2025-12-16",
    sizes=_THREE_SIZES,
    params={**_OPTIONS, "quality": Choice(_QUALITIES, "auto"), "input_fidelity": Choice(("low", "high"), "low")},
    price=_PER_TOKEN_1_5,
    notes="The date of its end is that of OpenAI's page of deprecations and of GET /models, as copied on 2026-10-27.",
)


#: Refused for its content, unbilled: OpenAI's two codes (a real log of 2026-07-15, and dall-e's), Azure's spellings and
#: those of the new-api family of routers, of ImageRouter and of OpenRouter (third party and documented, 2026).
_REFUSALS = frozenset(
    {
        "moderation_blocked",
        "content_policy_violation",
        "content_filter",
        "contentFilter",
        "ResponsibleAIPolicyViolation",
        "sensitive_words_detected",
        "prompt_blocked",
        "request_moderated",
        "refusal",
    }
)
#: What only the operator can mend, whatever the status: OpenAI's 429 and 400 for an empty account (memory), the new-api
#: family's 403 for the same and its 503 for a model it does not have (third party, 2026), LiteLLM's 400 for a spent
#: budget (documented).
_OPERATORS_AFFAIR = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "insufficient_user_quota",
        "pre_consume_token_quota_failed",
        "model_not_found",
        "invalid_api_key",
        "budget_exceeded",
    }
)


class ImagesWire(Provider):
    """What all who speak like OpenAI say and understand; what one of them says differently is a method to override."""

    #: Takes an edit as JSON too.
    json_edits: ClassVar[bool] = True
    #: Has a place for a mask.
    masks: ClassVar[bool] = True

    def generic(self, model: str) -> ModelCard:
        """What a server that speaks like OpenAI might take from a model we know nothing of: it is the one to refuse."""
        card = replace(GENERIC, id=model)
        return card if self.masks else replace(card, modes=("generate", "edit"), mask=None)

    # -- what is sent --

    def request(self, ask: Ask, via: Channel, fields: Mapping[str, object]) -> Request:
        if ask.mask and not self.masks:
            cannot = Unsupported(f"{self.name} takes no mask; leave it out", param="mask")
            cannot.safe_elsewhere = True  # a channel that leads to somebody else may take it
            raise cannot
        request = via.request(
            "POST",
            self.place(ask, via),
            headers=self.headers(via),
            body=self.body(ask, fields),
            picture_keys=frozenset({"b64_json"}),
        )
        # Some routers put a data URL where the URL belongs.
        return replace(request, data_urls=True)

    def place(self, ask: Ask, via: Channel) -> str:
        """The path below the channel's base_url, or a whole URL."""
        return "/images/edits" if ask.images else "/images/generations"

    def headers(self, via: Channel) -> Mapping[str, str]:
        return via.bearer

    def fields(self, ask: Ask) -> dict[str, object]:
        """Everything but the pictures."""
        fields = {
            "model": self.model(ask),
            "prompt": ask.prompt,
            "n": ask.n,
            **self.size(ask.size),
            **self.options(ask),
        }
        # A model with one format takes no word about it.
        if ask.output_format and len(ask.card.outputs) > 1:
            fields["output_format"] = ask.output_format
            if ask.output_compression is not None and ask.output_format in ("jpeg", "webp"):
                fields["output_compression"] = ask.output_compression
        if ask.native in _URL_BY_DEFAULT:
            fields["response_format"] = "b64_json"
        return fields

    def model(self, ask: Ask) -> str:
        return self.called(ask.native)

    def size(self, size: Size) -> Mapping[str, object]:
        """Pixels as OpenAI wants them; aspect and tier, which none of its models has, in the words routers share."""
        if size.width:
            return {"size": str(size)}
        return {name: word for name, word in (("aspect_ratio", size.aspect), ("resolution", size.tier)) if word}

    def options(self, ask: Ask) -> dict[str, object]:
        return {name: value for name, value in ask.params.items() if _is_meant(value, ask.card.params.get(name))}

    def body(self, ask: Ask, fields: Mapping[str, object]) -> Payload:
        """A form for an edit, which every server takes; JSON for `moderation`, which OpenAI knows in no form."""
        if not ask.images:
            return json_payload(fields)
        if "moderation" not in fields or not self.json_edits:
            return multipart_payload([*starmap(field, fields.items()), *self.files(ask)])
        images = {"images": [{"image_url": image.data_url} for image in ask.images]}
        mask = {"mask": {"image_url": ask.mask.data_url}} if ask.mask else {}
        return json_payload({**fields, **images, **mask})

    def files(self, ask: Ask) -> list[Part]:
        # As the official SDK does it. The brackets mean a list, and servers for one picture know only the bare name.
        name = "image" if len(ask.images) == 1 else "image[]"
        return [image.part(name) for image in ask.images] + ([ask.mask.part("mask")] if ask.mask else [])

    # -- what comes back --

    def done(self, answer: Answer, via: Channel) -> Done:
        with closed_on_error(answer):
            if not 200 <= answer.status < 300:
                raise self.error(answer, via)
            document = self.opened(mapping(answer.json()))
            pictures = [raw for item in items(document.get("data")) if (raw := _raw(item, answer))]
            if not pictures:
                raise self._no_picture(document, answer.status, via)
        close_unused(answer.pictures, pictures)
        return self.told(document, pictures, answer.headers)

    def opened(self, document: Mapping[str, object]) -> Mapping[str, object]:
        """What stands inside the answer's envelope, where there is one."""
        return document

    def told(self, document: Mapping[str, object], pictures: Sequence[Raw], headers: Mapping[str, str]) -> Done:
        """The pictures, and what the answer says about them."""
        return Done(
            pictures=tuple(pictures),
            usage=_usage(document.get("usage")),
            echo={key: value for key in _ECHOED if isinstance(value := document.get(key), str)},
            cost=micro_usd(document.get("cost")),
        )

    def _no_picture(self, document: Mapping[str, object], status: int, via: Channel) -> PicturaError:
        if document.get("error"):  # ImageRouter tells of its errors with status 200
            return self.verdict(document, status, via)
        return Malformed("the provider answered without a picture", upstream_status=status)

    def error(self, answer: Answer, via: Channel) -> PicturaError:
        document = self.opened(document_of(answer))
        # A 5xx is the server's own only in its own words; a gateway on the way has JSON too.
        if not document or (answer.status >= 500 and not document.get("error")):
            return unreadable(answer)
        return self.verdict(document, answer.status, via, retry_after(answer))

    def verdict(
        self, document: Mapping[str, object], status: int, via: Channel, retry_after_s: int | None = None
    ) -> PicturaError:
        """The error of the tree, by the vendor's codes first and by the status else; never by its message."""
        error = mapping(document.get("error")) or document
        words = (error.get("message"), error.get("detail"), document.get("error"))
        message = said(next((word for word in words if isinstance(word, str)), ""), via)
        codes = self.codes(error)
        code = codes[0] if codes else ""
        if refusal := _REFUSALS.intersection(codes):
            return Refused(message, reason=min(refusal), by=self.name)
        if _OPERATORS_AFFAIR.intersection(codes):
            return Rejected(message, upstream_status=status, upstream_code=code, config=True)
        if status in (400, 422):
            return BadRequest(message, param=word(error.get("param")) or None)
        if status < 300 or status >= 500:
            return Failed(
                message,
                upstream_status=status,
                upstream_code=code,
                retry_after_s=retry_after_s,
                unbilled=self.refunds(document),
            )
        return error_from(status, message, code, retry_after_s)

    def codes(self, error: Mapping[str, object]) -> list[str]:
        """The words for an error's kind, the most telling first."""
        return [code for key in ("code", "type") if (code := code_of(error.get(key)))]

    def refunds(self, document: Mapping[str, object]) -> bool:
        """Is it certain that what failed with these words is not billed?"""
        return False


class ImagesApi(ImagesWire):
    """Base of those who answer at once."""

    async def start(self, ask: Ask, via: Channel) -> Done:
        return self.done(await via.http.send(self.request(ask, via, self.fields(ask))), via)


class StreamingImagesApi(ImagesApi, StreamingProvider):
    """… and of those who show previews besides."""

    async def stream(self, ask: Ask, via: Channel) -> AsyncIterator[Preview | Done]:
        fields = {**self.fields(ask), "stream": True, "partial_images": ask.partial_images}
        async with via.http.open(self.request(ask, via, fields)) as incoming:
            if not incoming.is_events:  # an error, or a server that knows no streams
                yield self.done(await incoming.answer(), via)
                return
            async for event in incoming.events():
                if (news := self._news(event, via)) is not None:
                    yield news
                if isinstance(news, Done):
                    return
        raise Lost("the provider ended its stream before the picture was whole; it may have been billed")

    def _news(self, event: Event, via: Channel) -> Preview | Done | None:
        """What an event says; None where it says nothing to us."""
        with closed_on_error(event):
            document = mapping(event.json()) if event.data != b"[DONE]" else {}
            kind = str(document.get("type") or event.name)
            if kind == "error" or document.get("error"):
                raise self.verdict(document, 200, via)
            cut = find(document.get("b64_json"), event.pictures)
            if cut is None and kind.endswith(".completed"):
                raise Malformed("the provider's last event holds no picture")
        if cut is None or not kind.endswith((".partial_image", ".completed")):
            event.close()
            return None
        raw = Raw(spool=cut.spool, flaw=cut.flaw)
        close_unused(event.pictures, [raw])
        if kind.endswith(".completed"):
            return self.told(document, [raw], {})
        return Preview(whole(document.get("partial_image_index")) or 0, cut.spool)


class OpenAI(StreamingImagesApi):
    """OpenAI Images, https://platform.openai.com/docs/api-reference/images. Answers at once; shows previews."""

    name = "openai"
    base_url = "https://api.openai.com/v1"
    env: ClassVar = {"api_key": "OPENAI_API_KEY"}
    sandbox_path = "/openai/v1"
    compresses = LOSSY
    MODELS = (
        GPT_IMAGE_2,
        replace(
            _GPT_IMAGE_2_5,
            id="gpt-image-2.5-flare",
            aliases=("gpt-image-2.5-flare-2026-09-08", "openai/gpt-image-2.5/flare"),
        ),
        replace(
            _GPT_IMAGE_2_5,
            id="gpt-image-2.6-flare",
            aliases=(),
            released="2026-11-04",
            price_source=_MODEL_PAGES,
            source=_SDK_2_6,
            notes=f"Sizes and qualities are those of 2.5, and resellers list the same. {_GPT_IMAGE_2_5.notes}",
        ),
        _GPT_IMAGE_2_5,
        replace(
            _GPT_IMAGE_2_5,
            id="gpt-image-2.6-sunburst",
            aliases=(),
            released="2026-11-04",
            price_source=_MODEL_PAGES,
            source=_SDK_2_6,
            notes=f"Sizes and qualities are those of 2.5, and resellers list the same. {_GPT_IMAGE_2_5.notes}",
        ),
        _GPT_IMAGE_1_5,
        replace(
            _GPT_IMAGE_1_5,
            id="gpt-image-1-mini",
            aliases=(),
            released="2025-10-06",
            params={**_GPT_IMAGE_1_5.params, "input_fidelity": Choice(("low",), "low")},
            price=_PER_PICTURE_MINI,
            price_source=_MODEL_PAGES,
        ),
        replace(
            _GPT_IMAGE_1_5,
            id="chatgpt-image-latest",
            aliases=(),
            params={**_OPTIONS, "quality": Choice(_QUALITIES, "auto")},
            notes=f"Released with gpt-image-1.5 (memory). {_GPT_IMAGE_1_5.notes}",
        ),
        replace(
            _GPT_IMAGE_1_5,
            id="gpt-image-1",
            aliases=("openai/gpt-image-1",),
            status="retired",
            ends="2026-10-23",
            released="2025-04-23",
            price=_PER_PICTURE_1,
            price_source=_PRICES_1,
            notes="Tokens cost $5 (text in), $10 (image in) and $40 (image out) a million.",
        ),
        ModelCard(
            id="dall-e-3",
            aliases=("openai/dall-e-3",),
            status="retired",
            ends="2026-05-12",
            successor="gpt-image-2.5-sunburst",
            released="2023-10-20",
            released_known=True,
            prompt=Prompt(max_chars=4_000),
            sizes=ListedPixels(values=("1024x1024", "1792x1024", "1024x1792"), auto=True, default="1024x1024"),
            fan_out=False,
            params={
                "quality": Choice(("standard", "hd"), "standard"),
                "style": Choice(("vivid", "natural"), "vivid"),
            },
            price=PriceList(
                (
                    Row(usd("0.04"), "", "1024x1024"),
                    Row(usd("0.08"), "", "1792x1024"),
                    Row(usd("0.08"), "hd", "1024x1024"),
                    Row(usd("0.12"), "hd", "1792x1024"),
                )
            ),
            price_source=_OLD_PRICES,
            source=Source("openai-openapi 2026-08-21", "2026-08-21", "official specification"),
        ),
        ModelCard(
            id="dall-e-2",
            aliases=("openai/dall-e-2",),
            status="retired",
            ends="2026-05-12",
            successor="gpt-image-2.5-sunburst",
            released="2022-04-06",
            released_known=True,
            modes=("generate", "edit", "inpaint"),
            prompt=Prompt(max_chars=1_000),
            sizes=ListedPixels(values=("256x256", "512x512", "1024x1024"), auto=True, default="1024x1024"),
            max_n=10,
            inputs=Inputs(count=1, formats=("png",), max_bytes=3_999_999, max_ratio=1),
            mask=Mask(),
            price=PriceList(
                (
                    Row(usd("0.016"), "", "256x256"),
                    Row(usd("0.018"), "", "512x512"),
                    Row(usd("0.02"), "", "1024x1024"),
                )
            ),
            price_source=_OLD_PRICES,
            source=Source("openai-openapi 2026-08-21", "2026-08-21", "official specification"),
            notes="The picture to edit has less than 4 MB.",
        ),
    )


#: Models that answer with a URL unless asked for base64. The others refuse to be asked.
_URL_BY_DEFAULT = frozenset({"dall-e-2", "dall-e-3"})
_ECHOED = ("size", "quality", "background", "output_format")

GENERIC = ModelCard(
    id="",
    modes=("generate", "edit", "inpaint"),
    prompt=Prompt("optional", max_chars=200_000),
    sizes=FreePixels(presets=("1024x1024", "1536x1024", "1024x1536")),
    max_n=10,
    inputs=Inputs(count=16, max_bytes=50_000_000),
    mask=Mask(max_bytes=50_000_000),
    outputs=("png", "jpeg", "webp"),
    transparent=True,
    previews=True,
    params={
        **dict.fromkeys(
            (
                *("quality", "style", "background", "moderation", "input_fidelity", "complexity", "safety_identifier"),
                *("seed", "negative_prompt", "guidance_scale", "steps", "strength", "watermark", "prompt_extend"),
                *("num_inference_steps", "true_cfg_scale", "sequential_image_generation_options"),
                *("optimize_prompt_options", "input_region"),
            ),
            Anything(),
        ),
        "sequential_image_generation": Choice(("disabled", "auto"), "disabled"),
    },
    source=Source("nobody: a channel names this model, and no card describes it", ""),
)


def _is_meant(value: object, descriptor: Descriptor | None) -> bool:
    """Is it an option that the card lists, and no word for the model's own default? `auto` switches groups on."""
    switches = isinstance(descriptor, Choice) and value in descriptor.values and descriptor.default not in ("", value)
    return descriptor is not None and (switches or not neutral(value))


def _raw(item: Mapping[str, object], answer: Answer) -> Raw | None:
    return picture(
        (item.get("b64_json"), item.get("url")),
        answer.pictures,
        seed=item.get("seed"),
        revised_prompt=item.get("revised_prompt"),
    )


class _Details(msgspec.Struct, frozen=True):
    text_tokens: Tokens = 0
    image_tokens: Tokens = 0
    cached_tokens: Tokens = 0


class _Usage(msgspec.Struct, frozen=True):
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


def _usage(value: object) -> Usage | None:
    """None where there is none, or one that cannot be: a picture is worth more than its bill."""
    try:
        counted = msgspec.convert(value, _Usage)
    except msgspec.ValidationError:
        return None
    if not counted.output_tokens:
        return None
    into, out = counted.input_tokens_details or _Details(), counted.output_tokens_details or _Details()
    return Usage(
        text_in=max(0, counted.input_tokens - into.image_tokens),
        image_in=into.image_tokens,
        cached_in=into.cached_tokens,
        text_out=min(out.text_tokens, counted.output_tokens),
        image_out=max(0, counted.output_tokens - out.text_tokens),
    )
