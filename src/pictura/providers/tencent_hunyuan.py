"""Tencent Hunyuan by the cloud API of 2023-09-01, https://hunyuan.tencentcloudapi.com: on its way out."""

from __future__ import annotations

from typing import ClassVar

from pictura.core.model import Choice, Flag, Inputs, ModelCard, Prompt, Source, Span, Words
from pictura.core.size import ListedPixels
from pictura.providers.plain import PlainProvider

_SDK = Source("tencentcloud-sdk-python-hunyuan 3.1.180", "2026-11-20", "official SDK")


class TencentHunyuan(PlainProvider):
    """Hunyuan, https://cloud.tencent.com/document/product/1729. Drawn in the sandbox; wire not spoken yet."""

    name = "tencent-hunyuan"
    live = False
    base_url = "https://hunyuan.tencentcloudapi.com"
    env: ClassVar = {"secret_id": "TENCENTCLOUD_SECRET_ID", "secret_key": "TENCENTCLOUD_SECRET_KEY"}
    MODELS = (
        ModelCard(
            id="hunyuan-image-legacy",
            native="SubmitHunyuanImageJob",
            aliases=("hunyuan-image",),
            status="deprecated",
            ends="2026-09-30",
            successor="hy-image-v3",
            released=_SDK.date,
            modes=("generate", "edit"),
            prompt=Prompt(max_chars=1_024),
            sizes=ListedPixels(
                values=(
                    *("768x768", "768x1024", "1024x768", "1024x1024"),
                    *("720x1280", "1280x720", "768x1280", "1280x768"),
                ),
                auto=True,
                default="1024x1024",
            ),
            max_n=4,
            inputs=Inputs(count=1, formats=("jpeg", "png"), max_bytes=8_000_000),
            outputs=("png", "jpeg"),
            params={
                "negative_prompt": Words(1_024),
                "style": Words(64),
                "seed": Span(1, 2**32 - 1),
                "watermark": Flag(default=True),
                "prompt_extend": Flag(default=True),
                "clarity": Choice(("x2", "x4")),
            },
            source=_SDK,
            notes=(
                "Its console closed on 2026-09-30 and the SDK calls the API pre-offline. The wire's Revise is "
                "prompt_extend here (while it is on, the seed is ignored), its LogoAdd watermark. The price is not "
                "established."
            ),
        ),
    )
