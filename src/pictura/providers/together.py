"""Together AI, https://www.together.ai: open models and BFL's, drawn at once.

Wire facts: together 2.36.0 (types; seen 2026-11-20, confidence: official SDK) and docs.together.ai (stored copies of
2026; documented) unless said otherwise. Older pages say api.together.xyz; the SDK has gone to api.together.ai.

    POST /images/generations   {"model", "prompt", "n", "width", "height", "steps", "seed", "negative_prompt",
                                "guidance_scale", "image_url" | "reference_images", "output_format": "jpeg" | "png",
                                "response_format": "base64" | "url", "disable_safety_checker"}
    → {"id", "model", "object": "list", "data": [{"index", "type", "b64_json" | "url"}]}
    → 4xx, 5xx {"error": {"message", "type", "param", "code"}}

There is no task id, no cancel and no idempotency key: what is lost is lost. Nothing tells of cost or seeds.

The pages disagree about schnell and Kontext: one says that they are sized by `aspect_ratio`, which the SDK does not
know, another sizes Kontext by width and height, as here.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from pictura.core.errors import BadRequest, Malformed, PicturaError, Refused, Rejected, Throttled
from pictura.core.model import Anything, Descriptor, Flag, Inputs, ModelCard, Prompt, Source, Span, Words
from pictura.core.money import usd
from pictura.core.price import PerMegapixel, PerPicture
from pictura.core.size import FreePixels
from pictura.infra.http import Answer
from pictura.infra.payload import json_payload
from pictura.providers.answers import (
    close_unused,
    closed_on_error,
    code_of,
    document_of,
    items,
    mapping,
    picture,
    said,
    word,
)
from pictura.providers.base import NOBODY, Ask, Channel, Done, Provider, error_from, retry_after, unreadable

_DOCS = Source("together 2.36.0; docs.together.ai", "2026-11-20", "official; sides and guidance are memory")
# The list is of $0.0027, $0.0154 and $0.03 for a million pixels, reckoned by the exact area: here per 2^20 pixels. Pro
# models are not priced by their size, it says.
_PRICES = Source("docs.together.ai/docs/serverless-models", "2026", "official page, stored copies")
_BY_AREA = "Together bills the exact area, here each begun megapixel counts."
_STEPS_COST = "More steps than its default, which Together does not name, cost more in proportion."

_COMMON: dict[str, Descriptor] = {"seed": Span(0, 2**31 - 1), "disable_safety_checker": Flag(default=False)}
_TUNABLE: dict[str, Descriptor] = {
    **_COMMON,
    "steps": Span(1, 50),
    "guidance_scale": Span(1, 10, whole=False, default=3.5),
}
_FLUX_1_SIZES = FreePixels(
    step=16,
    min_edge=64,
    max_edge=1792,
    presets=("1024x1024", "1024x768", "768x1024", "1344x768", "768x1344"),
    default="1024x1024",
)
_FLUX_2_SIZES = replace(_FLUX_1_SIZES, min_edge=256, max_edge=1920)

_SCHNELL = ModelCard(
    id="together-flux-schnell",
    native="black-forest-labs/FLUX.1-schnell",
    released=_DOCS.date,
    sizes=_FLUX_1_SIZES,
    max_n=4,
    outputs=("jpeg", "png"),
    params={**_COMMON, "steps": Span(1, 4, default=4), "negative_prompt": Words(10_000)},
    price=PerMegapixel(usd("0.002831"), usd("0.002831")),
    price_source=_PRICES,
    source=_DOCS,
    notes=(
        f"{_BY_AREA} Steps beyond four, which cost more, are not offered. The newest copy of the list leaves this "
        "model out; the overview of image models still names it."
    ),
)
_PRO = replace(
    _SCHNELL,
    id="together-flux-1.1-pro",
    native="black-forest-labs/FLUX.1.1-pro",
    params=_COMMON,
    price=PerPicture(usd("0.04")),
    notes="",
)
_KONTEXT = replace(
    _PRO,
    id="together-flux-kontext-pro",
    native="black-forest-labs/FLUX.1-kontext-pro",
    modes=("generate", "edit"),
    inputs=Inputs(count=1),
    price=PerPicture(usd("0.04")),
)
_FLUX_2 = replace(
    _KONTEXT,
    id="together-flux-2-pro",
    native="black-forest-labs/FLUX.2-pro",
    sizes=_FLUX_2_SIZES,
    inputs=Inputs(count=8),
    price=PerPicture(usd("0.03")),
)


class Together(Provider):
    """Together AI, https://docs.together.ai/reference/post-images-generations. Answers at once."""

    name = "together"
    base_url = "https://api.together.ai/v1"
    env: ClassVar = {"api_key": "TOGETHER_API_KEY"}
    sandbox_path = "/together/v1"
    MODELS = (
        _SCHNELL,
        _PRO,
        _KONTEXT,
        replace(
            _KONTEXT,
            id="together-flux-kontext-max",
            native="black-forest-labs/FLUX.1-kontext-max",
            price=PerPicture(usd("0.08")),
        ),
        _FLUX_2,
        replace(
            _FLUX_2,
            id="together-flux-2-dev",
            native="black-forest-labs/FLUX.2-dev",
            params=_TUNABLE,
            price=PerMegapixel(usd("0.016148"), usd("0.016148")),
            notes=f"{_BY_AREA} {_STEPS_COST}",
        ),
        replace(
            _FLUX_2,
            id="together-flux-2-flex",
            native="black-forest-labs/FLUX.2-flex",
            params=_TUNABLE,
            price=PerMegapixel(usd("0.031457"), usd("0.031457")),
            notes=f"{_BY_AREA} {_STEPS_COST}",
        ),
    )

    def generic(self, model: str) -> ModelCard:
        """What a model that nobody described might take."""
        return replace(_GENERIC, id=model)

    async def start(self, ask: Ask, via: Channel) -> Done:
        answer = await via.send(
            "POST",
            "/images/generations",
            headers=via.bearer,
            body=json_payload(_fields(ask)),
            picture_keys=frozenset({"b64_json"}),
        )
        with closed_on_error(answer):
            return self._done(answer, via)

    def _done(self, answer: Answer, via: Channel) -> Done:
        if answer.status >= 300:
            raise self._error(answer, via)
        found = [
            picture((entry.get("b64_json"), entry.get("url")), answer.pictures)
            for entry in items(mapping(answer.json()).get("data"))
        ]
        pictures = tuple(filter(None, found))
        if not pictures:
            raise Malformed("the provider answered without a picture", upstream_status=answer.status)
        close_unused(answer.pictures, pictures)
        return Done(pictures=pictures)

    def _error(self, answer: Answer, via: Channel) -> PicturaError:
        error = mapping(document_of(answer).get("error"))
        if not error:
            return unreadable(answer)
        message, status = said(error.get("message"), via), answer.status
        codes = [code for key in ("code", "type") if (code := code_of(error.get(key)))]
        code = codes[0] if codes else ""
        if refusal := _REFUSALS.intersection(codes):
            return Refused(message, reason=min(refusal), by=self.name)
        if _OPERATORS_AFFAIR.intersection(codes):
            return Rejected(message, upstream_status=status, upstream_code=code, config=True)
        if status in (400, 422):
            param = word(error.get("param"))
            return BadRequest(message, param=_PARAMS.get(param, param) or None)
        if status == _OVERLOADED:
            return Throttled(message, upstream_status=status, upstream_code=code, retry_after_s=retry_after(answer))
        return error_from(status, message, code, retry_after(answer))


#: No code is documented: of a refusal only the words are known, "image may contain NSFW content" (third party, 2026).
#: These are the codes that OpenAI and its imitators have for it.
_REFUSALS = frozenset({"content_policy_violation", "content_filter", "moderation_blocked"})
#: Memory, 2025.
_OPERATORS_AFFAIR = frozenset({"invalid_api_key", "model_not_available", "credit_limit"})
#: "Engine overloaded": turned away at the door.
_OVERLOADED = 503
_PARAMS = {"width": "size", "height": "size", "image_url": "image", "reference_images": "image"}
#: Models whose picture goes into `image_url`; all others take a list, `reference_images`.
_BY_IMAGE_URL = frozenset({"black-forest-labs/FLUX.1-kontext-pro", "black-forest-labs/FLUX.1-kontext-max"})

_GENERIC = replace(
    _FLUX_2,
    id="",
    native="",
    released="",
    prompt=Prompt("optional", max_chars=200_000),
    sizes=FreePixels(presets=_FLUX_1_SIZES.presets),
    inputs=Inputs(count=16, max_bytes=50_000_000),
    params=dict.fromkeys(
        (*_TUNABLE, "negative_prompt", "image_loras", "aspect_ratio", "prompt_upsampling"),
        Anything(),
    ),
    price=None,
    price_source=None,
    source=NOBODY,
)


def _fields(ask: Ask) -> dict[str, object]:
    fields = {"model": ask.native, "prompt": ask.prompt, "n": ask.n, "response_format": "base64", **ask.options()}
    if ask.size.width:
        fields |= {"width": ask.size.width, "height": ask.size.height}
    if ask.output_format:
        fields["output_format"] = ask.output_format
    # That data URLs are taken where the pages speak of URLs is memory.
    references = [image.data_url for image in ask.images]
    if references:
        fields |= {"image_url": references[0]} if ask.native in _BY_IMAGE_URL else {"reference_images": references}
    return fields
