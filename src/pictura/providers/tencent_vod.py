"""Tencent Cloud VOD, https://vod.tencentcloudapi.com: other vendors' models behind one action, CreateAigcImageTask.

A native id is `ModelName/ModelVersion`. OmniRouters sells these same models as GPT-image-2, Nano-Banana2,
Kling:3.0-omni, Seedream:4.5 and Hunyuan-3d-2.0. Prices are not established; they depend on the account.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from pictura.core.model import Choice, Descriptor, Flag, Inputs, Mask, ModelCard, Prompt, Source, Span, Words
from pictura.core.size import OwnSize, Shapes
from pictura.providers.plain import PlainProvider

_SDK = Source("tencentcloud-sdk-python-vod 3.1.194", "2026-11-20", "official SDK")

_REGION: dict[str, Descriptor] = {"input_region": Choice(("Mainland", "Oversea", "OverseaUSWest"))}
_OPTIONS: dict[str, Descriptor] = {
    **_REGION,
    "negative_prompt": Words(),
    "prompt_extend": Flag(),
    "watermark": Flag(),
    "seed": Span(0, 2**31 - 1),
}
# 7 MB is the sum of all inputs that travel as base64. For OG and SI no number of inputs is stated.
_INPUTS = Inputs(count=14, formats=("jpeg", "png", "webp"), max_bytes=7_000_000)

_GEMINI = ModelCard(
    id="vod-gg-3.1",
    native="GG/3.1",
    released=_SDK.date,
    modes=("generate", "edit"),
    sizes=Shapes(
        aspects=(
            *("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"),
            *("1:4", "4:1", "1:8", "8:1"),
        ),
        tiers=("720P", "1K", "2K", "4K"),
    ),
    inputs=_INPUTS,
    outputs=("jpeg", "png"),
    params=_OPTIONS,
    source=_SDK,
    notes="gemini-3.1-flash-image, which OmniRouters calls Nano-Banana2.",
)


class TencentVod(PlainProvider):
    """Tencent Cloud VOD, https://cloud.tencent.com/document/product/266. Drawn in the sandbox; wire not spoken yet."""

    name = "tencent-vod"
    live = False
    base_url = "https://vod.tencentcloudapi.com"
    env: ClassVar = {"secret_id": "TENCENTCLOUD_SECRET_ID", "secret_key": "TENCENTCLOUD_SECRET_KEY"}
    MODELS = (
        ModelCard(
            id="hunyuan-panorama-2.0",
            native="Hunyuan/3d_2.0",
            aliases=("Hunyuan-3d-2.0",),
            released=_SDK.date,
            modes=("generate", "edit"),
            prompt=Prompt("optional"),
            sizes=OwnSize(),
            inputs=replace(_INPUTS, count=1),
            outputs=("jpeg", "png"),
            params=_REGION,
            source=_SDK,
            notes=(
                "A panorama of 360° (equirectangular; its pixels are not established), a picture and no mesh, from a "
                "prompt or a picture, not both. SceneType 3d_panorama."
            ),
        ),
        replace(
            _GEMINI,
            id="vod-og-image2",
            native="OG/image2",
            modes=("generate", "edit", "inpaint"),
            sizes=Shapes(
                aspects=("1:1", "3:2", "2:3", "3:4", "4:3", "16:9", "9:16", "21:9", "9:21"), tiers=("1K", "2K", "4K")
            ),
            max_n=8,
            mask=Mask(),
            params={**_OPTIONS, "quality": Choice(("low", "medium", "high"))},
            notes="gpt-image-2. Its versions are image2_low, image2_medium and image2_high: the quality names one.",
        ),
        _GEMINI,
        replace(
            _GEMINI,
            id="vod-kling-3.0-omni",
            native="Kling/3.0-Omni",
            sizes=Shapes(
                aspects=("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9"),
                tiers=("1k", "2k", "4k"),
                default_aspect="auto",
            ),
            max_n=9,
            inputs=replace(_INPUTS, count=10),
            notes="kling-v3-omni, which OmniRouters calls Kling:3.0-omni.",
        ),
        replace(
            _GEMINI,
            id="vod-si-4.5",
            native="SI/4.5",
            sizes=Shapes(tiers=("2K", "4K")),
            notes=(
                "seedream-4.5, which OmniRouters calls Seedream:4.5. Takes no aspect: write it into the prompt. The "
                "SDK no longer lists SI among the names."
            ),
        ),
    )
