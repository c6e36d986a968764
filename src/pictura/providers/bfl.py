"""Black Forest Labs' FLUX, https://api.bfl.ai.

`released` is that of ImageRouter's registry (2026-02) where it has the model. Prices are bfl.ai's as litellm and BFL's
own skill page tell them; the vendor says in its answer what a picture did cost.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from pictura.core.model import Descriptor, Flag, Inputs, Mask, ModelCard, Source, Span
from pictura.core.money import usd
from pictura.core.price import PerMegapixel, PerPicture
from pictura.core.size import FreePixels, OwnSize, Shapes
from pictura.providers.plain import PlainProvider

_CODE = Source("BFL's docs (excerpt); ComfyUI's bfl nodes; @ai-sdk/black-forest-labs", "2026-11-20", "third-party code")
_PAGE = Source("BFL's docs page of flux-2-pro; ComfyUI's bfl nodes", "2026-11-20", "official page")
_PRICES = Source("litellm 1.109.1; BFL's skill page", "2026", "third party")

_FORMATS = ("png", "jpeg", "webp")
_OPTIONS: dict[str, Descriptor] = {"seed": Span(0, 2**32 - 1), "safety_tolerance": Span(0, 6, default=2)}
_OPTIONS_2: dict[str, Descriptor] = {"seed": Span(0, 2**32 - 1), "safety_tolerance": Span(0, 5, default=2)}
_UPSAMPLING: dict[str, Descriptor] = {"prompt_upsampling": Flag()}
_STEERED: dict[str, Descriptor] = {"steps": Span(15, 50), "guidance_scale": Span(1.5, 100, whole=False)}

_PRO_1_1 = ModelCard(
    id="flux-pro-1.1",
    released="2024-11-02",
    released_known=True,
    sizes=FreePixels(step=32, min_edge=256, max_edge=1440, default="1024x768"),
    inputs=Inputs(count=1, formats=_FORMATS, max_bytes=20_000_000),
    outputs=("jpeg", "png"),
    params={**_OPTIONS, **_UPSAMPLING},
    price=PerPicture(usd("0.04")),
    price_source=_PRICES,
    source=_CODE,
    notes="The input is an example to go by, not a picture to edit.",
)
_KONTEXT_PRO = replace(
    _PRO_1_1,
    id="flux-kontext-pro",
    aliases=("flux-1-kontext-pro", "black-forest-labs/flux-kontext-pro"),
    released="2025-05-29",
    modes=("generate", "edit"),
    sizes=Shapes(aspects=("21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21")),
    inputs=Inputs(count=4, formats=_FORMATS, max_bytes=20_000_000),
    notes="About one megapixel. BFL's page also names 3:7 to 7:3. With an input safety_tolerance goes up to 2.",
)
_FILL = replace(
    _PRO_1_1,
    id="flux-pro-1.0-fill",
    released=_CODE.date,
    released_known=False,
    modes=("inpaint",),
    sizes=OwnSize(),
    inputs=Inputs(count=1, formats=_FORMATS, max_bytes=20_000_000, required=True),
    mask=Mask(max_bytes=20_000_000),
    params={**_OPTIONS, **_UPSAMPLING, **_STEERED},
    price=PerPicture(usd("0.05")),
    notes="The picture's own alpha serves where there is no mask. The wire's masks are white where it paints.",
)
# An input counts like a further megapixel: assumed, because the answer bills `input_mp` and no page says how.
_FLUX_2_PRO = replace(
    _PRO_1_1,
    id="flux-2-pro",
    aliases=("FLUX.2-pro", "black-forest-labs/flux-2-pro"),
    released="2025-11-25",
    modes=("generate", "edit"),
    sizes=FreePixels(step=16, min_edge=64, max_pixels=4_194_304, default="1024x768"),
    inputs=Inputs(count=8, formats=_FORMATS, max_bytes=20_000_000),
    params=_OPTIONS_2,
    price=PerMegapixel(usd("0.03"), usd("0.015"), usd("0.015")),
    source=_PAGE,
    notes="Without a size it takes that of the input. ComfyUI says multiples of 32, @ai-sdk up to ten inputs.",
)


class BlackForestLabs(PlainProvider):
    """Black Forest Labs, https://docs.bfl.ai. Drawn in the sandbox; its own wire is not spoken yet."""

    name = "bfl"
    live = False
    base_url = "https://api.bfl.ai"
    env: ClassVar = {"api_key": "BFL_API_KEY"}
    MODELS = (
        _PRO_1_1,
        replace(
            _PRO_1_1,
            id="flux-pro-1.1-ultra",
            released="2024-11-06",
            sizes=replace(_KONTEXT_PRO.sizes, default_aspect="16:9"),
            params={**_OPTIONS, "raw": Flag(), "image_prompt_strength": Span(0, 1, whole=False)},
            price=PerPicture(usd("0.06")),
            notes=f"{_PRO_1_1.notes} Any aspect from 21:9 to 9:21; listed are the usual ones.",
        ),
        replace(
            _PRO_1_1,
            id="flux-dev",
            aliases=("flux-1",),
            released="2024-08-01",
            params={**_OPTIONS, "steps": Span(1, 50), "guidance_scale": Span(1.5, 5, whole=False)},
            price=PerPicture(usd("0.025")),
            notes="`flux-1` is QuickRouter's word; BFL has no such model, and this is FLUX.1 in its plainest form.",
        ),
        _KONTEXT_PRO,
        replace(
            _KONTEXT_PRO,
            id="flux-kontext-max",
            aliases=(),
            price=PerPicture(usd("0.08")),
            notes=f"{_KONTEXT_PRO.notes} Six tasks at once.",
        ),
        _FILL,
        replace(
            _FILL,
            id="flux-pro-1.0-expand",
            modes=("edit",),
            mask=None,
            params={
                **_OPTIONS,
                **_STEERED,
                **{side: Span(0, 2048) for side in ("top", "bottom", "left", "right")},
            },
            notes="Paints so many pixels beyond each side of the input.",
        ),
        _FLUX_2_PRO,
        replace(
            _FLUX_2_PRO,
            id="flux-2-max",
            aliases=(),
            released="2025-12-16",
            price=PerMegapixel(usd("0.07"), usd("0.03"), usd("0.03")),
            source=_CODE,
            notes=f"{_FLUX_2_PRO.notes} Looks things up on the web.",
        ),
        replace(
            _FLUX_2_PRO,
            id="flux-2-flex",
            aliases=(),
            params={**_OPTIONS_2, "steps": Span(1, 50), "guidance_scale": Span(1.5, 10, whole=False)},
            price=PerMegapixel(usd("0.05"), usd("0.05"), usd("0.05")),
            source=_CODE,
        ),
        *(
            replace(
                _FLUX_2_PRO,
                id=model,
                aliases=(),
                released="2026-01-23",
                inputs=Inputs(count=4, formats=_FORMATS, max_bytes=20_000_000),
                price=PerMegapixel(usd(first), usd(further), usd(further)),
                source=_CODE,
                notes="Without a size it takes that of the input.",
            )
            for model, first, further in (
                ("flux-2-klein-9b", "0.015", "0.002"),
                ("flux-2-klein-4b", "0.014", "0.001"),
            )
        ),
    )
