"""Alibaba's Qwen-Image and Wan on DashScope (Model Studio), https://dashscope.aliyuncs.com.

`released` is the date of the first snapshot, or that of ImageRouter's registry (2026-02). The wire writes sizes with an
asterisk (`1664*928`); here they have an x like everywhere else.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from pictura.core.model import Anything, Descriptor, Flag, Inputs, ModelCard, Prompt, Source, Span, Words
from pictura.core.money import usd
from pictura.core.price import PerPicture
from pictura.core.size import FreePixels, ListedPixels, OwnSize
from pictura.providers.plain import PlainProvider

_PAGE = Source("Alibaba's help pages", "2026-03-18", "official page")
_EDIT_PAGE = Source("Alibaba's help page", "2026-01-28", "official page")
_CODE = Source("new-api's source; ComfyUI; litellm 1.109.1", "2026-11-20", "third-party code")
_SDK = Source("dashscope 2.0.2; resellers", "2026-11-20", "fields official, limits not")
_REMEMBERED = Source("Alibaba's pricing page as remembered", "2026", "memory")
_RESOLD = Source("litellm 1.109.1", "2026-11", "third party")

_OPTIONS: dict[str, Descriptor] = {
    "seed": Span(0, 2**31 - 1),
    "negative_prompt": Words(500),
    "prompt_extend": Flag(default=True),
    "watermark": Flag(default=False),
}
_QWEN_FORMATS = ("jpeg", "png", "bmp", "tiff", "webp")
_WAN_FORMATS = ("jpeg", "png", "bmp", "webp")
_THREE_INPUTS = Inputs(count=3, formats=_QWEN_FORMATS, max_bytes=10_000_000)
_NOT_ESTABLISHED = "Its price is not established."

_PLUS = ModelCard(
    id="qwen-image-plus",
    aliases=("qwen-image", "qwen-image-plus-2026-01-09"),
    released="2025-08-01",
    released_known=True,
    prompt=Prompt(max_chars=800),
    # Pages differ about 4:3 (1472x1140 or 1472x1104) and about the default; both are taken.
    sizes=ListedPixels(
        values=("1664x928", "1472x1140", "1472x1104", "1328x1328", "1140x1472", "1104x1472", "928x1664"),
        auto=True,
        default="1664x928",
    ),
    params=_OPTIONS,
    price=PerPicture(usd("0.03")),
    price_source=_REMEMBERED,
    source=_PAGE,
    notes="In China ¥0.2.",
)
_QWEN_2 = ModelCard(
    id="qwen-image-2.0",
    aliases=("qwen-image-2.0-2026-03-03",),
    released="2026-03-03",
    released_known=True,
    modes=("generate", "edit"),
    prompt=Prompt(max_chars=800),
    sizes=FreePixels(min_pixels=262_144, max_pixels=4_194_304, default="2048x2048"),
    max_n=6,
    inputs=_THREE_INPUTS,
    params=_OPTIONS,
    price=PerPicture(usd("0.035")),
    price_source=_RESOLD,
    source=_PAGE,
    notes="A third party says that no side may exceed 2368 pixels.",
)
_EDIT_PLUS = ModelCard(
    id="qwen-image-edit-plus",
    aliases=("qwen-image-edit-plus-2025-10-30", "qwen-image-edit-plus-2025-12-15"),
    released="2025-10-30",
    released_known=True,
    modes=("edit",),
    prompt=Prompt(max_chars=800),
    sizes=FreePixels(min_edge=512, max_edge=2048),
    max_n=6,
    inputs=replace(_THREE_INPUTS, required=True),
    params=_OPTIONS,
    price=PerPicture(usd("0.03")),
    price_source=_REMEMBERED,
    source=_EDIT_PAGE,
    notes="Inputs from 384 to 3072 pixels a side; without a size about one megapixel, shaped as the last of them.",
)
_WAN = ModelCard(
    id="wan2.6-t2i",
    released=_SDK.date,
    prompt=Prompt(max_chars=2_000),
    sizes=FreePixels(min_pixels=1_638_400, max_pixels=2_073_600, max_ratio=4, default="1280x1280"),
    max_n=4,
    params=_OPTIONS,
    source=_SDK,
    notes=f"The wire's own default is four pictures. {_NOT_ESTABLISHED}",
)


class DashScope(PlainProvider):
    """DashScope, https://help.aliyun.com/zh/model-studio. Drawn in the sandbox; its own wire is not spoken yet."""

    name = "dashscope"
    live = False
    base_url = "https://dashscope.aliyuncs.com"
    env: ClassVar = {"api_key": "DASHSCOPE_API_KEY"}
    MODELS = (
        _PLUS,
        replace(
            _PLUS,
            id="qwen-image-max",
            aliases=("qwen-image-max-2025-12-30",),
            released="2025-12-30",
            price=PerPicture(usd("0.075")),
            notes="",
        ),
        _QWEN_2,
        replace(
            _QWEN_2,
            id="qwen-image-2.0-pro",
            aliases=("qwen-image-2.0-pro-2026-03-03",),
            price=PerPicture(usd("0.075")),
            notes=f"{_QWEN_2.notes} In China ¥0.5.",
        ),
        replace(
            _QWEN_2,
            id="qwen-image-3.0",
            aliases=(),
            released=_CODE.date,
            released_known=False,
            price=PerPicture(usd("0.03")),
            source=_CODE,
            notes="Sizes are taken over from 2.0. Inputs may be billed too; for how much is not established.",
        ),
        replace(
            _QWEN_2,
            id="qwen-image-3.0-pro",
            aliases=(),
            released=_CODE.date,
            released_known=False,
            price=None,
            price_source=None,
            source=_CODE,
            notes=f"Sizes are taken over from 2.0. {_NOT_ESTABLISHED}",
        ),
        _EDIT_PLUS,
        replace(
            _EDIT_PLUS,
            id="qwen-image-edit-max",
            aliases=("qwen-image-edit-max-2026-01-16",),
            released="2026-01-16",
            price=PerPicture(usd("0.075")),
        ),
        replace(
            _EDIT_PLUS,
            id="qwen-image-edit",
            aliases=(),
            released="2025-08-18",
            sizes=OwnSize(),
            max_n=1,
            params={"negative_prompt": Words(500), "watermark": Flag(default=False)},
            price=PerPicture(usd("0.045")),
            notes="About one megapixel, shaped as the last input.",
        ),
        _WAN,
        replace(
            _WAN,
            id="wan2.6-image",
            modes=("edit",),
            sizes=FreePixels(tiers=("1K", "2K")),
            inputs=Inputs(count=4, formats=_WAN_FORMATS, max_bytes=10_000_000),
            params={**_OPTIONS, "enable_interleave": Flag(), "max_images": Span(1, 5)},
            notes=f"PNG inputs must have no alpha. {_NOT_ESTABLISHED}",
        ),
        *(
            replace(
                _WAN,
                id=model,
                modes=("generate", "edit"),
                sizes=FreePixels(tiers=tiers),
                inputs=Inputs(count=9, formats=_WAN_FORMATS, max_bytes=10_000_000),
                params={
                    **_OPTIONS,
                    "bbox_list": Anything(),
                    "enable_sequential": Flag(),
                    "thinking_mode": Anything(),
                    "color_palette": Anything(),
                },
                source=Source("Alibaba's help page; qwencloud 2026-04", "2026-04-01", "third-party code"),
                released="2026-04-01",
                notes=f"PNG inputs must have no alpha. {_NOT_ESTABLISHED}",
            )
            for model, tiers in (("wan2.7-image", ("1K", "2K")), ("wan2.7-image-pro", ("1K", "2K", "4K")))
        ),
    )
