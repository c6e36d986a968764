"""Stability AI's Stable Image and SD3.5, https://api.stability.ai.

No official page was seen: limits are remembered. `released` is that of ImageRouter's registry (2026-02).
"""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from pictura.core.model import Choice, Descriptor, Inputs, ModelCard, Prompt, Source, Span, Words
from pictura.core.money import usd
from pictura.core.price import PerPicture
from pictura.core.size import Shapes
from pictura.providers.plain import PlainProvider

_CODE = Source("litellm 1.109.1 (types)", "2026-11-20", "third-party code and memory")
_PRICES = Source("litellm 1.109.1", "2026", "third party")

_SEED: dict[str, Descriptor] = {"seed": Span(0, 4_294_967_294), "negative_prompt": Words(10_000)}
_STRENGTH: dict[str, Descriptor] = {"strength": Span(0, 1, whole=False)}
_GUIDANCE: dict[str, Descriptor] = {"guidance_scale": Span(1, 10, whole=False)}
_STYLES = (
    *("3d-model", "analog-film", "anime", "cinematic", "comic-book", "digital-art", "enhance", "fantasy-art"),
    *("isometric", "line-art", "low-poly", "modeling-compound", "neon-punk", "origami", "photographic"),
    *("pixel-art", "tile-texture"),
)

_ULTRA = ModelCard(
    id="stable-image-ultra",
    aliases=("stability/stable-image-ultra",),
    released=_CODE.date,
    modes=("generate", "edit"),
    prompt=Prompt(max_chars=10_000),
    sizes=Shapes(aspects=("16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21")),
    inputs=Inputs(count=1, formats=("jpeg", "png", "webp"), max_bytes=10_000_000),
    outputs=("png", "jpeg", "webp"),
    params={**_SEED, **_STRENGTH},
    price=PerPicture(usd("0.08")),
    price_source=_PRICES,
    source=_CODE,
)
_LARGE = replace(
    _ULTRA,
    id="sd3.5-large",
    aliases=("stability/sd3.5-large",),
    released="2024-10-22",
    released_known=True,
    outputs=("png", "jpeg"),
    params={**_SEED, **_STRENGTH, **_GUIDANCE},
    price=PerPicture(usd("0.065")),
    notes="With an input it takes no aspect. The wire calls guidance_scale cfg_scale.",
)


class Stability(PlainProvider):
    """Stability AI, https://platform.stability.ai/docs. Drawn in the sandbox; its own wire is not spoken yet."""

    name = "stability"
    live = False
    base_url = "https://api.stability.ai"
    env: ClassVar = {"api_key": "STABILITY_API_KEY"}
    MODELS = (
        _ULTRA,
        replace(
            _ULTRA,
            id="stable-image-core",
            aliases=("stability/stable-image-core",),
            modes=("generate",),
            inputs=Inputs(),
            params={**_SEED, "style_preset": Choice(_STYLES)},
            price=PerPicture(usd("0.03")),
        ),
        _LARGE,
        replace(
            _LARGE,
            id="sd3.5-large-turbo",
            aliases=("stability/sd3.5-large-turbo",),
            params={**_SEED, **_STRENGTH},
            price=PerPicture(usd("0.04")),
        ),
        replace(_LARGE, id="sd3.5-medium", aliases=("stability/sd3.5-medium",), price=PerPicture(usd("0.035"))),
    )
