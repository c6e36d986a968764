"""Google Gemini's image models and Imagen, https://generativelanguage.googleapis.com.

`released` is the date of general availability where Google's page states it, else that of ImageRouter's registry
(2026-02); prices per picture follow from tokens per picture (Vertex page and memory) and dollars per token.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from pictura.core.model import Anything, Choice, Descriptor, Flag, Inputs, ModelCard, Source, Span, Words
from pictura.core.money import per_million, usd
from pictura.core.price import PerPicture, PerToken, Row, TokenList
from pictura.core.size import Shapes
from pictura.providers.plain import PlainProvider

_SDK = Source("google-genai 3.3.0; @ai-sdk/google 3.0.141; litellm 1.109.1", "2026-11-20", "official SDK")
_VERTEX = Source("google-genai 3.3.0; Vertex model page", "2026-11-20", "official SDK and page")
_PRICES = Source("litellm 1.109.1, citing ai.google.dev/pricing", "2026-11", "third party")

_TEN_ASPECTS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_OPTIONS: dict[str, Descriptor] = {
    "seed": Span(0, 2**31 - 1),
    "temperature": Span(0, 2, whole=False, default=1),
    "top_p": Span(0, 1, whole=False, default=0.95),
    "top_k": Span(1, 64),
    "response_modalities": Anything(),
    "safetySettings": Anything(),
}
_SEARCH: dict[str, Descriptor] = {"tools": Anything()}


def _four_tiers(first: int, second: int, third: int, fourth: int) -> TokenList:
    """Tokens of a picture of 512, 1K, 2K and 4K."""
    return TokenList((Row(first, "", "512"), Row(second, "", "1K"), Row(third, "", "2K"), Row(fourth, "", "4K")))


_FLASH_2_5 = ModelCard(
    id="gemini-2.5-flash-image",
    aliases=("Nano-Banana", "gemini-2.5-flash-image-preview", "GG:2.5", "google/gemini-2.5-flash-image"),
    released="2025-10-02",
    released_known=True,
    modes=("generate", "edit"),
    sizes=Shapes(aspects=_TEN_ASPECTS, tiers=("1K",), default_tier="1K"),
    inputs=Inputs(count=3, formats=("png", "jpeg", "webp", "heic"), max_bytes=7_000_000),
    params=_OPTIONS,
    # 1,290 tokens are remembered; they give the $0.039 that is published.
    price=PerToken(
        text_in=per_million("0.30"),
        image_in=per_million("0.30"),
        image_out=per_million("30"),
        text_out=per_million("2.50"),
        output=TokenList((Row(1290),)),
        input_tokens=1_290,
    ),
    price_source=_PRICES,
    source=_SDK,
    notes=(
        "Without an aspect it takes that of the input, else 1:1. Ends 2027-03-15 (litellm). Three inputs: third party."
    ),
)


class Gemini(PlainProvider):
    """Google Gemini and Imagen, https://ai.google.dev. Drawn in the sandbox; its own wire is not spoken yet."""

    name = "gemini"
    live = False
    base_url = "https://generativelanguage.googleapis.com/v1beta"
    env: ClassVar = {"api_key": "GEMINI_API_KEY"}
    MODELS = (
        _FLASH_2_5,
        replace(
            _FLASH_2_5,
            id="gemini-3-pro-image",
            aliases=("gemini-3-pro-image-preview", "Nano-Banana-Pro", "nano-banana-pro-preview", "GG:3.0"),
            released="2025-11-20",
            sizes=Shapes(aspects=_TEN_ASPECTS, tiers=("1K", "2K", "4K"), default_tier="1K"),
            inputs=Inputs(count=14, formats=("png", "jpeg", "webp", "heic"), max_bytes=7_000_000),
            params={**_OPTIONS, **_SEARCH},
            # $0.134 for 1K and 2K, $0.24 for 4K (memory). The $0.0011 published for an input are 560 tokens; a hold
            # reckons with twice as many.
            price=PerToken(
                text_in=per_million("2"),
                image_in=per_million("2"),
                image_out=per_million("120"),
                text_out=per_million("12"),
                output=TokenList((Row(1120, "", "1K"), Row(1120, "", "2K"), Row(2000, "", "4K"))),
                input_tokens=1_120,
            ),
            source=_VERTEX,
            notes="Released as a preview, whose id ended on 2026-06-25. Without an aspect it takes that of the input.",
        ),
        replace(
            _FLASH_2_5,
            id="gemini-3.1-flash-image",
            aliases=("Nano-Banana2", "Nano-Banana-2", "gemini-3.1-flash-image-preview", "GG:3.1"),
            released="2026-05-28",
            sizes=Shapes(
                aspects=(*_TEN_ASPECTS, "1:4", "4:1", "1:8", "8:1"), tiers=("512", "1K", "2K", "4K"), default_tier="1K"
            ),
            inputs=Inputs(count=14, formats=("png", "jpeg", "webp", "heic"), max_bytes=7_000_000),
            params={**_OPTIONS, **_SEARCH},
            price=PerToken(
                text_in=per_million("0.50"),
                image_in=per_million("0.50"),
                image_out=per_million("60"),
                text_out=per_million("3"),
                output=_four_tiers(747, 1120, 1680, 2520),
                input_tokens=1_120,
            ),
            source=_VERTEX,
            notes="The Vertex page also lists 9:21. The preview's id ended on 2026-06-25.",
        ),
        replace(
            _FLASH_2_5,
            id="gemini-3.1-flash-lite-image",
            aliases=("GG:3.1-lite",),
            released=_SDK.date,
            released_known=False,
            # The published $0.0336 implies 1,120 tokens.
            price=PerToken(
                text_in=per_million("0.25"),
                image_in=per_million("0.25"),
                image_out=per_million("30"),
                text_out=per_million("1.50"),
                output=TokenList((Row(1120),)),
                input_tokens=1_120,
            ),
            notes="Only the id is official; sizes and the number of inputs are taken over from 2.5.",
        ),
        replace(
            _FLASH_2_5,
            id="gemini-nano-banana-2.1",
            aliases=("Nano-Banana2.1",),
            released=_SDK.date,
            released_known=False,
            sizes=Shapes(
                aspects=(*_TEN_ASPECTS, "1:4", "4:1", "1:8", "8:1"), tiers=("512", "1K", "2K", "4K"), default_tier="1K"
            ),
            # The published $0.0336 implies 1,120 tokens for 1K; the other tiers are taken over from 3.1.
            price=PerToken(
                text_in=per_million("1.50"),
                image_in=per_million("1.50"),
                image_out=per_million("30"),
                text_out=per_million("7.50"),
                output=_four_tiers(747, 1120, 1680, 2520),
                input_tokens=1_120,
            ),
            notes="Only the id is official; sizes are the API's, the number of inputs is taken over from 2.5.",
        ),
        *(
            ModelCard(
                id=model,
                status="deprecated",
                successor="gemini-3.1-flash-image",
                released=released,
                released_known=True,
                sizes=Shapes(aspects=("1:1", "3:4", "4:3", "9:16", "16:9"), tiers=("1K", "2K"), default_tier="1K"),
                max_n=4,
                outputs=("png", "jpeg"),
                params={
                    "seed": Span(0, 2**31 - 1),
                    "negative_prompt": Words(),
                    "watermark": Flag(),
                    "personGeneration": Choice(("dont_allow", "allow_adult", "allow_all")),
                },
                price=PerPicture(usd(dollars)),
                price_source=Source("Google's pricing page as remembered", "2025", "memory"),
                source=Source("google-genai 3.3.0 (Vertex mapping only)", "2026-11-20", "official SDK"),
                notes="Its end was announced for as early as June 2026; the Developer API has dropped it.",
            )
            for model, released, dollars in (
                ("imagen-4.0-generate-001", "2025-05-20", "0.04"),
                ("imagen-4.0-fast-generate-001", "2025-08-14", "0.02"),
                ("imagen-4.0-ultra-generate-001", "2025-05-20", "0.06"),
            )
        ),
    )
