"""OpenRouter's Image API, https://openrouter.ai/docs/guides/overview/multimodal/image-generation.

    POST /images   JSON {"model", "prompt", "n", "size" | "resolution" + "aspect_ratio", "quality", "background",
                         "output_format", "output_compression", "seed", "stream",
                         "input_references": [{"type": "image_url", "image_url": {"url"}}], "provider": {…}}
    → {"created", "data": [{"b64_json", "media_type"?}], "usage": {"prompt_tokens", "completion_tokens", "cost", …}}
      with "stream": true → server-sent events image_generation.partial_image … image_generation.completed
    → 4xx, 5xx {"error": {"code": <the status>, "message", "metadata"?: {"error_type" | "reasons", …}}}; once a model is
      at work also with 200

Wire facts: OpenRouter's typescript-sdk and its documentation's source (both of 2026-10, read in copies; official SDK
and documented). A generation is billed whole, in dollars that the answer tells, or not at all: without a picture that
can be decoded an answer counts as the vendor's failure, and costs nothing, whatever the vendor takes for it
(openrouter.ai/docs, Zero Completion Insurance; documented). Left to pay is what ran beside the model, such as a web
search, which is never asked for here, and with keys of one's own at OpenRouter the vendor. There is no mask, no task id
and no cancel. What one vendor alone takes goes into `provider.options`, which an operator can set on a channel:
`params = {provider = {options = {black-forest-labs = {steps = 40}}}}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from pictura.core.errors import PicturaError
from pictura.core.model import Descriptor, Inputs, ModelCard, Source, Span
from pictura.core.money import usd
from pictura.core.price import PerPicture, PriceList, Row, Usage
from pictura.core.size import Shapes, Size
from pictura.infra.payload import Payload, json_payload
from pictura.providers.answers import Tokens, mapping, micro_usd
from pictura.providers.base import Ask, Channel, Done, Raw
from pictura.providers.openai import GPT_IMAGE_2, StreamingImagesApi

_DOCS = Source("OpenRouter's documentation and typescript-sdk", "2026-10", "documented")
_SEEDREAM_PRICE = Source("openrouter.ai/bytedance-seed/seedream-4.5, in a copy", "2026", "official page, stored copy")
_GEMINI_PRICE = Source("Google's price, which OpenRouter hands on, as published", "2026-11", "third party")

_SEED: dict[str, Descriptor] = {"seed": Span(0, 2**31 - 1)}
_SEEDREAM = ModelCard(
    id="openrouter-seedream-4.5",
    native="bytedance-seed/seedream-4.5",
    released="2025-11-28",
    modes=("generate", "edit"),
    sizes=Shapes(
        aspects=("1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9", "21:9"), tiers=("2K", "4K"), default_tier="2K"
    ),
    inputs=Inputs(count=14, max_bytes=10_000_000),
    outputs=("jpeg",),
    params=_SEED,
    price=PerPicture(usd("0.04")),
    price_source=_SEEDREAM_PRICE,
    source=_DOCS,
    notes="An example in the documentation tells $0.05. Which aspects there are is taken over from the maker.",
)


class OpenRouter(StreamingImagesApi):
    """OpenRouter. Answers at once; shows previews where its vendor does."""

    name = "openrouter"
    base_url = "https://openrouter.ai/api/v1"
    env: ClassVar = {"api_key": "OPENROUTER_API_KEY"}
    sandbox_path = "/openrouter/api/v1"
    marker = "openrouter/"
    masks = False
    SERVES: ClassVar = {
        "seedream-4.5": "openrouter-seedream-4.5",
        "gemini-3.1-flash-image": "openrouter-gemini-3.1-flash-image",
        "gpt-image-2": "openrouter-gpt-image-2",
    }
    MODELS = (
        _SEEDREAM,
        replace(
            _SEEDREAM,
            id="openrouter-gemini-3.1-flash-image",
            native="google/gemini-3.1-flash-image",
            released="2026-05-28",
            sizes=Shapes(
                aspects=("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"),
                tiers=("512", "1K", "2K", "4K"),
                default_tier="1K",
            ),
            inputs=Inputs(count=14, max_bytes=7_000_000),
            outputs=("png",),
            price=PriceList(
                (
                    Row(usd("0.045"), "", "512"),
                    Row(usd("0.067"), "", "1K"),
                    Row(usd("0.101"), "", "2K"),
                    Row(usd("0.151"), "", "4K"),
                )
            ),
            price_source=_GEMINI_PRICE,
            notes="What it takes is taken over from Google.",
        ),
        replace(
            GPT_IMAGE_2,
            id="openrouter-gpt-image-2",
            native="openrouter/openai/gpt-image-2",
            aliases=(),
            modes=("generate", "edit"),
            mask=None,
            params={name: GPT_IMAGE_2.params[name] for name in ("quality", "background")},
            price_source=_DOCS,
            source=_DOCS,
            notes="What it takes and costs is taken over from OpenAI; there is no mask.",
        ),
    )

    def place(self, ask: Ask, via: Channel) -> str:
        return "/images"

    def size(self, size: Size) -> Mapping[str, object]:
        """Pixels by themselves, since words beside them are refused; tiers as OpenRouter writes them."""
        tier = size.tier.upper()
        return super().size(replace(size, tier="512" if tier == "0.5K" else tier))

    def body(self, ask: Ask, fields: Mapping[str, object]) -> Payload:
        # How many previews there are is not for us to say.
        said = {name: value for name, value in fields.items() if name != "partial_images"}
        shown = [{"type": "image_url", "image_url": {"url": image.data_url}} for image in ask.images]
        pictures = {"input_references": shown} if shown else {}
        return json_payload({**said, **pictures})

    def told(self, document: Mapping[str, object], pictures: Sequence[Raw], headers: Mapping[str, str]) -> Done:
        done = super().told(document, pictures, headers)
        done.cost = micro_usd(mapping(document.get("usage")).get("cost"))
        done.usage = _usage(document.get("usage"))
        return done

    def verdict(
        self, document: Mapping[str, object], status: int, via: Channel, retry_after_s: int | None = None
    ) -> PicturaError:
        """With status 200 the true one stands in the code."""
        code = mapping(document.get("error")).get("code")
        true = code if status < 300 and isinstance(code, int) and 400 <= code < 600 else status
        return super().verdict(document, true, via, retry_after_s)

    def codes(self, error: Mapping[str, object]) -> list[str]:
        metadata = mapping(error.get("metadata"))
        # What is flagged before a model is asked has reasons in the place of a type.
        kind = metadata.get("error_type") or ("content_policy_violation" if metadata.get("reasons") else "")
        return [str(kind)] if kind else []

    def refunds(self, document: Mapping[str, object]) -> bool:
        return True  # in its own words: 502 and 504 tell of the vendor's failure, and are insured


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: Tokens = 0
    completion_tokens: Tokens = 0


def _usage(value: object) -> Usage | None:
    """None where there is none, or one that cannot be; it does not tell which of the tokens were pictures."""
    try:
        counted = msgspec.convert(value, _Usage)
    except msgspec.ValidationError:
        return None
    if not counted.completion_tokens:
        return None
    return Usage(text_in=counted.prompt_tokens, image_out=counted.completion_tokens)
