"""Tencent TokenHub, https://tokenhub.tencentmaas.com (abroad https://tokenhub-intl.tencentcloudmaas.com)."""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from pictura.core.model import Flag, Inputs, ModelCard, Prompt, Source, Span, Words
from pictura.core.size import FreePixels, OwnSize
from pictura.providers.plain import PlainProvider

_PAGE = Source("Tencent Cloud documents 1823/135745 and 1823/136578", "2026-11-20", "official page")

_IMAGE_3 = ModelCard(
    id="hy-image-v3",
    aliases=("Hunyuan:3.0", "hunyuan-image-3", "Hy-Image-3.0"),
    released=_PAGE.date,
    modes=("generate", "edit"),
    prompt=Prompt(max_chars=8_192),
    sizes=FreePixels(min_edge=512, max_edge=2048, max_pixels=1_048_576),
    inputs=Inputs(count=3, formats=("png", "jpeg"), max_bytes=10_000_000),
    params={"seed": Span(1, 2**32 - 1), "footnote": Words(16), "revise": Flag()},
    source=_PAGE,
    notes="Its price is not established (¥0.2 to ¥0.5, memory).",
)


class TencentTokenHub(PlainProvider):
    """Tencent TokenHub, https://cloud.tencent.com/document/product/1823. Drawn in the sandbox; wire not spoken yet."""

    name = "tencent-tokenhub"
    live = False
    base_url = "https://tokenhub.tencentmaas.com/v1/wand"
    env: ClassVar = {"api_key": "TOKENHUB_API_KEY"}
    MODELS = (
        replace(
            _IMAGE_3,
            id="hy-world2-panorama",
            aliases=("HY-World-2.1-panorama",),
            prompt=Prompt("optional", max_chars=600),
            sizes=OwnSize(),
            inputs=Inputs(count=1, formats=("jpeg", "png", "webp"), max_bytes=10_000_000),
            params={},
            notes=(
                "A panorama of 360° (equirectangular; its pixels and price are not established) from a prompt or a "
                "picture of at least 512x512, not both."
            ),
        ),
        _IMAGE_3,
        replace(
            _IMAGE_3,
            id="hy-image-v3.5-preview",
            aliases=("Hunyuan:3.5-preview",),
            sizes=FreePixels(min_edge=256, max_edge=8192, max_pixels=16_777_216),
            inputs=replace(_IMAGE_3.inputs, count=5),
            params={"seed": Span(1, 2**32 - 1), "footnote": Words(16), "generate_max_pixels": Span(1, 16_777_216)},
            notes="Five inputs: Tencent's MPS SDK. Its price is not established.",
        ),
    )
