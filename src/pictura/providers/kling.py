"""Kling AI's image models, https://api-singapore.klingai.com (in China https://api-beijing.klingai.com).

Limits are from resellers' copies of the official page (2026, agreeing with each other); prices from resellers.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from pictura.core.model import Anything, Choice, Descriptor, Flag, Inputs, ModelCard, Prompt, Source, Span, Words
from pictura.core.money import usd
from pictura.core.price import PerPicture
from pictura.core.size import Shapes
from pictura.providers.plain import PlainProvider

_COPIES = Source("ComfyUI's Kling nodes; resellers' copies of Kling's page", "2026-11-20", "third-party code")
_PRICES = Source("resellers (302.ai)", "2026", "third party, partly memory")

# The classic path draws 16:9 when nothing is said (memory); the omni path decides itself.
_ASPECTS = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9")
_OMNI_OPTIONS: dict[str, Descriptor] = {
    "element_list": Anything(),
    "result_type": Choice(("single", "series"), "single"),
    "series_amount": Anything(),
    "watermark": Flag(),
}
_CLASSIC_OPTIONS: dict[str, Descriptor] = {
    "negative_prompt": Words(2_500),
    "image_reference": Choice(("subject", "face")),
    "image_fidelity": Span(0, 1, whole=False, default=0.5),
    "human_fidelity": Span(0, 1, whole=False, default=0.45),
}
_FOUR_INPUTS = "More than one input only by way of multi-image2image."

_OMNI = ModelCard(
    id="kling-v3-omni",
    aliases=("Kling:3.0-omni",),
    released=_COPIES.date,
    modes=("generate", "edit"),
    prompt=Prompt(max_chars=2_500),
    sizes=Shapes(aspects=_ASPECTS, tiers=("1k", "2k", "4k"), default_aspect="auto", default_tier="1k"),
    max_n=9,
    inputs=Inputs(count=10, formats=("jpeg", "png"), max_bytes=10_000_000),
    params=_OMNI_OPTIONS,
    price=PerPicture(usd("0.028")),
    price_source=_PRICES,
    source=_COPIES,
    notes="The price is that of 1k and 2k; 4k costs more, how much is not established. A prompt names <<<image_1>>>.",
)
_CLASSIC = replace(
    _OMNI,
    id="kling-v2-1",
    aliases=("Kling:2.1",),
    sizes=Shapes(aspects=_ASPECTS, tiers=("1k", "2k"), default_aspect="16:9", default_tier="1k"),
    inputs=Inputs(count=4, formats=("jpeg", "png"), max_bytes=10_000_000),
    params=_CLASSIC_OPTIONS,
    # From a picture it costs about twice as much.
    price=PerPicture(usd("0.014"), input_amount=usd("0.014")),
    notes=_FOUR_INPUTS,
)
_ONE_INPUT = replace(_CLASSIC.inputs, count=1)


class Kling(PlainProvider):
    """Kling AI, https://app.klingai.com/global/dev. Drawn in the sandbox; its own wire is not spoken yet."""

    name = "kling"
    live = False
    base_url = "https://api-singapore.klingai.com"
    env: ClassVar = {"access_key": "KLING_ACCESS_KEY", "secret_key": "KLING_SECRET_KEY"}
    MODELS = (
        _OMNI,
        replace(
            _OMNI,
            id="kling-image-o1",
            aliases=("Kling:O1",),
            sizes=replace(_OMNI.sizes, tiers=("1k", "2k")),
            params={name: option for name, option in _OMNI_OPTIONS.items() if name != "watermark"},
            notes="Tencent lists 4k for it too.",
        ),
        replace(
            _CLASSIC,
            id="kling-v3-image",
            native="kling-v3",
            aliases=("Kling:3.0",),
            inputs=_ONE_INPUT,
            params={**_CLASSIC_OPTIONS, "element_list": Anything()},
            price=PerPicture(usd("0.028")),
            notes="A negative prompt only without an input.",
        ),
        _CLASSIC,
        replace(_CLASSIC, id="kling-v2-new", aliases=(), inputs=_ONE_INPUT, notes=""),
        replace(_CLASSIC, id="kling-v2", aliases=("Kling:2.0",)),
        replace(
            _CLASSIC,
            id="kling-v1-5",
            aliases=("Kling:1.5",),
            sizes=replace(_CLASSIC.sizes, tiers=("1k",)),
            inputs=_ONE_INPUT,
            notes="With an input, image_reference is required.",
        ),
        replace(
            _CLASSIC,
            id="kling-v1",
            aliases=("Kling:1.0",),
            sizes=replace(_CLASSIC.sizes, tiers=("1k",)),
            inputs=_ONE_INPUT,
            price=PerPicture(usd("0.0035")),
            notes="",
        ),
    )
