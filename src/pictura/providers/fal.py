"""fal, https://queue.fal.run: other vendors' models as apps, each with a schema of its own.

A native id is the app's path. The schemas were not seen; sizes and options are those of fal's usual conventions.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from pictura.core.model import Choice, Descriptor, Flag, Inputs, ModelCard, Prompt, Source, Span
from pictura.core.money import usd
from pictura.core.price import PerPicture, PriceList, Row
from pictura.core.size import FreePixels, OwnSize, Shapes
from pictura.providers.plain import PlainProvider

_CODE = Source("litellm 1.109.1; fal's llms.txt pages", "2026-11-20", "third-party code")
_PRICES = Source("litellm 1.109.1", "2026-11", "third party")

_SEED: dict[str, Descriptor] = {"seed": Span(0, 2**31 - 1)}
_FLUX_OPTIONS: dict[str, Descriptor] = {**_SEED, "enable_safety_checker": Flag(default=True)}
_TEN_ASPECTS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")

_SCHNELL = ModelCard(
    id="fal-flux-schnell",
    native="fal-ai/flux/schnell",
    released=_CODE.date,
    # fal's words for these: landscape_4_3, square_hd, square, portrait_4_3, portrait_16_9, landscape_16_9.
    sizes=FreePixels(
        presets=("1024x768", "1024x1024", "512x512", "768x1024", "576x1024", "1024x576"), default="1024x768"
    ),
    max_n=4,
    outputs=("jpeg", "png", "webp"),
    params={**_FLUX_OPTIONS, "steps": Span(1, 12, default=4)},
    price=PerPicture(usd("0.003")),
    price_source=_PRICES,
    source=_CODE,
)
_BANANA_2 = replace(
    _SCHNELL,
    id="fal-nano-banana-2",
    native="fal-ai/nano-banana-2",
    sizes=Shapes(
        aspects=(*_TEN_ASPECTS, "1:4", "4:1", "1:8", "8:1"), tiers=("0.5K", "1K", "2K", "4K"), default_tier="1K"
    ),
    params=_SEED,
    price=PriceList(
        (
            Row(usd("0.06"), "", "0.5K"),
            Row(usd("0.08"), "", "1K"),
            Row(usd("0.12"), "", "2K"),
            Row(usd("0.16"), "", "4K"),
        )
    ),
    notes="Aspects are taken over from gemini-3.1-flash-image.",
)


class Fal(PlainProvider):
    """fal, https://docs.fal.ai. Drawn in the sandbox; its own wire is not spoken yet."""

    name = "fal"
    live = False
    base_url = "https://queue.fal.run"
    env: ClassVar = {"api_key": "FAL_KEY"}
    MODELS = (
        _SCHNELL,
        replace(
            _SCHNELL,
            id="fal-flux-dev",
            native="fal-ai/flux/dev",
            params={**_FLUX_OPTIONS, "steps": Span(1, 50, default=28), "guidance_scale": Span(1, 20, whole=False)},
            price=PerPicture(usd("0.025")),
        ),
        _BANANA_2,
        replace(
            _BANANA_2,
            id="fal-nano-banana-pro",
            native="fal-ai/nano-banana-pro",
            sizes=Shapes(aspects=_TEN_ASPECTS, tiers=("1K", "2K", "4K"), default_tier="1K"),
            price=PriceList((Row(usd("0.15"), "", "1K"), Row(usd("0.15"), "", "2K"), Row(usd("0.30"), "", "4K"))),
            notes="Aspects are taken over from gemini-3-pro-image.",
        ),
        replace(
            _SCHNELL,
            id="fal-gpt-image-2",
            native="openai/gpt-image-2",
            sizes=FreePixels(
                step=16,
                min_pixels=655_360,
                max_pixels=8_294_400,
                max_edge=3840,
                max_ratio=3,
                presets=("1024x1024", "1536x1024", "1024x1536"),
            ),
            params={"quality": Choice(("auto", "low", "medium", "high"), "auto")},
            price=PriceList(
                (
                    Row(usd("0.006"), "low", "1024x1024"),
                    Row(usd("0.053"), "medium", "1024x1024"),
                    Row(usd("0.211"), "high", "1024x1024"),
                )
            ),
            notes="The prices are those of 1024x1024; larger ones cost more, as at OpenAI.",
        ),
        replace(
            _SCHNELL,
            id="fal-hunyuan-world",
            native="fal-ai/hunyuan_world",
            modes=("edit",),
            prompt=Prompt("optional"),
            sizes=OwnSize(),
            max_n=1,
            inputs=Inputs(count=1, required=True),
            params={},
            price=PerPicture(usd("0.15")),
            notes="A panorama of 360° from a picture.",
        ),
    )
