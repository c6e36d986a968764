"""ByteDance Seedream and SeedEdit on Volcengine Ark, https://ark.cn-beijing.volces.com (abroad: BytePlus ModelArk).

`released` is the date in the vendor's own id. Prices in dollars are BytePlus's, as resellers tell them.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from pictura.core.model import Anything, Choice, Descriptor, Flag, Inputs, ModelCard, Source, Span
from pictura.core.money import usd
from pictura.core.price import PerPicture
from pictura.core.size import FreePixels, OwnSize
from pictura.providers.plain import PlainProvider

_SDK = Source("volcengine-ark-runtime 5.0.54; ComfyUI's nodes; resellers", "2026-11-20", "fields official, limits not")
_CODE = Source("ComfyUI's partner nodes; volcengine-ark-runtime 5.0.54", "2026-11-20", "third-party code")
_PRICES = Source("resellers (litellm 1.109.1, ComfyUI)", "2026-11", "third party")

# What the vendor recommends for each tier (ComfyUI's nodes, 2026).
_1K = (
    *("1024x1024", "864x1152", "1152x864", "1312x736", "736x1312"),
    *("832x1248", "1248x832", "1568x672"),
)
_2K = (
    *("2048x2048", "1728x2304", "2304x1728", "2848x1600", "1600x2848"),
    *("1664x2496", "2496x1664", "3136x1344"),
)
_3K = (
    *("3072x3072", "2592x3456", "3456x2592", "4096x2304", "2304x4096"),
    *("2496x3744", "3744x2496", "4704x2016"),
)
_4K = (
    *("4096x4096", "3520x4704", "4704x3520", "5504x3040", "3040x5504"),
    *("3328x4992", "4992x3328", "6240x2656"),
)
_OPTIONS: dict[str, Descriptor] = {
    "seed": Span(-1, 2**31 - 1, default=-1),
    "watermark": Flag(default=True),
    "optimize_prompt_options": Anything(),
}
_SEQUENCE: dict[str, Descriptor] = {
    "sequential_image_generation": Choice(("disabled", "auto"), "disabled"),
    "sequential_image_generation_options": Anything(),
}
_GUIDED: dict[str, Descriptor] = {"seed": _OPTIONS["seed"], "watermark": _OPTIONS["watermark"]}
_INPUTS = Inputs(count=14, formats=("jpeg", "png", "webp", "bmp", "tiff", "gif"), max_bytes=10_000_000)
_SEQUENCE_NOTE = (
    "The wire has no n: several pictures are a sequence whose number the model decides, of at most 15 with the inputs."
)

_SEEDREAM_4_5 = ModelCard(
    id="seedream-4.5",
    native="doubao-seedream-4-5-251128",
    aliases=("Seedream:4.5", "seedream-4-5-251128", "doubao-seedream-4.5", "SI:4.5"),
    released="2025-11-28",
    released_known=True,
    modes=("generate", "edit"),
    sizes=FreePixels(
        min_pixels=3_686_400,
        max_pixels=16_777_216,
        max_ratio=16,
        presets=(*_2K, *_4K),
        tiers=("2K", "4K"),
        default="2048x2048",
    ),
    max_n=15,
    inputs=_INPUTS,
    outputs=("jpeg",),
    params={**_OPTIONS, **_SEQUENCE},
    price=PerPicture(usd("0.04")),
    price_source=_PRICES,
    source=_SDK,
    notes=f"{_SEQUENCE_NOTE} 1024x1024 is too small for it. In China ¥0.25 (memory).",
)


class Volcengine(PlainProvider):
    """Volcengine Ark, https://www.volcengine.com/docs/82379. Drawn in the sandbox; its own wire is not spoken yet."""

    name = "volcengine"
    live = False
    base_url = "https://ark.cn-beijing.volces.com/api/v3"
    env: ClassVar = {"api_key": "ARK_API_KEY"}
    MODELS = (
        ModelCard(
            id="seedream-5.0-pro",
            native="seedream-5-0-pro-260628",
            aliases=("Seedream:5.0-pro", "doubao-seedream-5-0-pro", "dola-seedream-5-0-pro", "seedream-image-v5.0-pro"),
            released="2026-06-28",
            released_known=True,
            modes=("generate", "edit"),
            sizes=FreePixels(max_ratio=16, presets=(*_1K, *_2K), tiers=("1K", "2K"), default="2048x2048"),
            inputs=replace(_INPUTS, count=10),
            outputs=("jpeg", "png"),
            params={**_OPTIONS, "layer_decomposition": Flag()},
            price=PerPicture(usd("0.09")),
            price_source=_PRICES,
            source=_CODE,
            notes="The native id is BytePlus's; the date at the end of Ark's own was not seen, nor its pixel window.",
        ),
        replace(
            _SEEDREAM_4_5,
            id="seedream-5.0-lite",
            native="seedream-5-0-260128",
            aliases=(
                *("Seedream:5.0-lite", "Seedream:5.0", "doubao-seedream-5-0-lite", "doubao-seedream-5.0-lite"),
                *("SI:5.0-lite", "seedream-image-v5.0-lite"),
            ),
            released="2026-01-28",
            sizes=FreePixels(
                min_pixels=3_686_400,
                max_pixels=16_777_216,
                max_ratio=16,
                presets=(*_2K, *_3K, *_4K),
                tiers=("2K", "3K", "4K"),
                default="2048x2048",
            ),
            outputs=("jpeg", "png"),
            params={**_OPTIONS, **_SEQUENCE, "tools": Anything()},
            price=PerPicture(usd("0.035")),
            source=_CODE,
            notes=(
                f"{_SEQUENCE_NOTE} The native id is BytePlus's; the date at the end of Ark's own was not seen. 4K came "
                "after its launch. In China ¥0.25."
            ),
        ),
        _SEEDREAM_4_5,
        replace(
            _SEEDREAM_4_5,
            id="seedream-4.0",
            native="doubao-seedream-4-0-250828",
            aliases=("Seedream:4.0", "seedream-4-0-250828", "doubao-seedream-4.0", "seedream-4.0-base", "SI:4.0"),
            released="2025-08-28",
            sizes=FreePixels(
                min_pixels=921_600,
                max_pixels=16_777_216,
                max_ratio=16,
                presets=(*_1K, *_2K, *_4K),
                tiers=("1K", "2K", "4K"),
                default="2048x2048",
            ),
            price=PerPicture(usd("0.03")),
            notes=f"{_SEQUENCE_NOTE} Early pages say 10 inputs. In China ¥0.2.",
        ),
        ModelCard(
            id="seedream-3.0",
            native="doubao-seedream-3-0-t2i-250415",
            aliases=("Seedream:3.0", "seedream-3-0-t2i-250415", "doubao-seedream-3.0"),
            released="2025-04-15",
            released_known=True,
            sizes=FreePixels(
                min_edge=512,
                max_edge=2048,
                presets=(
                    *("1024x1024", "864x1152", "1152x864", "1280x720", "720x1280"),
                    *("832x1248", "1248x832", "1512x648"),
                ),
                default="1024x1024",
            ),
            outputs=("jpeg",),
            params={**_GUIDED, "guidance_scale": Span(1, 10, whole=False, default=2.5)},
            price=PerPicture(usd("0.03")),
            price_source=Source("BytePlus's pricing page as remembered", "2025", "memory"),
            source=_CODE,
            notes="In China ¥0.259.",
        ),
        ModelCard(
            id="seededit-3.0",
            native="doubao-seededit-3-0-i2i-250628",
            aliases=("SeedEdit:3.0", "seededit-3-0-i2i-250628"),
            released="2025-06-28",
            released_known=True,
            modes=("edit",),
            sizes=OwnSize(),
            inputs=Inputs(count=1, formats=("jpeg", "png"), max_bytes=10_000_000, required=True),
            outputs=("jpeg",),
            params={**_GUIDED, "guidance_scale": Span(1, 10, whole=False, default=5.5)},
            source=_CODE,
            notes="Priced in yuan only: ¥0.3 a picture (2025, memory).",
        ),
    )
