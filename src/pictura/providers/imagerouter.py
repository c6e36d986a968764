"""ImageRouter, https://docs.imagerouter.io: many makers' models, one picture a call.

    POST /v1/openai/images/generations   JSON {"model", "prompt", "quality", "size", "response_format", "output_format"}
    POST /v1/openai/images/edits         the same as a form, with files `image[]` and `mask[]`
    → 200 {"created": <ms>, "data": [{"url" | "b64_json", "revised_prompt"}], "latency", "cost": <dollars>}
    → 4xx {"error": {"message", "type"}} for what is wrong with the request; after that also errors have status 200

Wire facts: its skill page (2026-02-01, documented) and its public backend (9615cf3 of 2026-02-11, read in source). A
blank is sent every three seconds while it draws. Fields that it does not know, `n` among them, are passed over. An
error without a `cost` beside it was refunded. Sizes are pixels even where a model knows aspects and tiers alone: they
are told by a table of Google's sizes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar

from msgspec.structs import replace

from pictura.core.errors import PicturaError
from pictura.core.model import Choice, Inputs, ModelCard, Source
from pictura.core.money import usd
from pictura.core.price import Free, PerPicture, PriceList, Row
from pictura.core.size import FreePixels, OwnSize, Size, nearest
from pictura.infra.payload import Part
from pictura.providers.base import Ask, Channel, Done
from pictura.providers.openai import ImagesApi

_REGISTRY = Source("ImageRouter's registry", "2026-02-11", "read in source")
_RUNWARE_SIZES = FreePixels(step=64, min_edge=128, max_edge=2048, presets=("1024x1024",))

_JUGGERNAUT = ModelCard(
    id="imagerouter-juggernaut-pro",
    native="run-diffusion/Juggernaut-Pro-Flux",
    released="2025-03-05",
    released_known=True,
    sizes=_RUNWARE_SIZES,
    outputs=("webp", "png", "jpeg"),
    params={"quality": Choice(("auto", "low", "medium", "high"), "auto")},
    price=PriceList((Row(usd("0.0025"), "low"), Row(usd("0.005"), "medium"), Row(usd("0.0095"), "high"))),
    price_source=_REGISTRY,
    source=_REGISTRY,
    notes="Priced by what was computed, within this range; sizes are Runware's, as remembered.",
)


class ImageRouter(ImagesApi):
    """ImageRouter. Answers at once."""

    name = "imagerouter"
    base_url = "https://api.imagerouter.io/v1/openai"
    env: ClassVar = {"api_key": "IMAGEROUTER_API_KEY"}
    sandbox_path = "/imagerouter/v1/openai"
    json_edits = False
    MODELS = (
        _JUGGERNAUT,
        replace(
            _JUGGERNAUT,
            id="imagerouter-hidream-i1",
            native="HiDream-ai/HiDream-I1-Full",
            released="2025-04-28",
            price=PriceList((Row(usd("0.0045"), "low"), Row(usd("0.009"), "medium"), Row(usd("0.015"), "high"))),
        ),
        replace(
            _JUGGERNAUT,
            id="imagerouter-flux-2-klein-free",
            native="black-forest-labs/FLUX-2-klein-4b:free",
            released="2026-01-15",
            modes=("generate", "edit"),
            sizes=replace(_RUNWARE_SIZES, max_edge=1024),
            inputs=Inputs(count=1),
            params={"quality": Choice(("auto", "low", "medium"), "auto")},
            price=Free(),
            notes="Ten pictures a day, fifty for those who have paid before; sizes are Runware's, as remembered.",
        ),
        replace(
            _JUGGERNAUT,
            id="imagerouter-midjourney",
            native="midjourney/midjourney",
            released="2025-06-17",
            modes=("generate", "edit"),
            sizes=OwnSize(),
            inputs=Inputs(count=1),
            params={},
            price=PerPicture(usd("0.0848")),
            notes="What really was charged may be some hundredths of that more.",
        ),
    )

    async def start(self, ask: Ask, via: Channel) -> Done:
        """As many calls as pictures: what came of them is told together, and what did not only where nothing came."""
        one = super().start
        outcomes = await asyncio.gather(*(one(ask, via) for _ in range(ask.n)), return_exceptions=True)
        drawn = [outcome for outcome in outcomes if isinstance(outcome, Done)]
        if not drawn:
            raise _worst([outcome for outcome in outcomes if isinstance(outcome, BaseException)])
        return _together(drawn)

    def fields(self, ask: Ask) -> dict[str, object]:
        fields = {**super().fields(ask), "response_format": "b64_json"}
        del fields["n"]
        if ask.output_format:
            fields["output_format"] = ask.output_format
        return fields

    def options(self, ask: Ask) -> dict[str, object]:
        options = super().options(ask)
        quality = options.get("quality")
        return {**options, "quality": _QUALITIES[quality]} if quality in _QUALITIES else options

    def size(self, size: Size) -> Mapping[str, object]:
        return {} if size.auto else {"size": str(_pixels(size))}

    def files(self, ask: Ask) -> list[Part]:
        pictures = [image.part("image[]") for image in ask.images]
        return pictures + ([ask.mask.part("mask[]")] if ask.mask else [])

    def refunds(self, document: Mapping[str, object]) -> bool:
        return not document.get("cost")


#: DALL·E's words, as ImageRouter tells them to DALL·E.
_QUALITIES: Mapping[object, str] = {"hd": "high", "standard": "medium"}
#: By aspect Google's pixels at 1K (backend's `sizeToAspectRatio`); at 2K and 4K all are twice and four times as long.
_GOOGLES = {
    "1:1": (1024, 1024),
    "2:3": (848, 1264),
    "3:2": (1264, 848),
    "3:4": (896, 1200),
    "4:3": (1200, 896),
    "4:5": (928, 1152),
    "5:4": (1152, 928),
    "9:16": (768, 1376),
    "16:9": (1376, 768),
    "21:9": (1584, 672),
}
_TIMES = {"": 1, "1K": 1, "2K": 2, "4K": 4}


def _pixels(size: Size) -> Size:
    if size.width:
        return size
    width, height = _GOOGLES.get(size.aspect or "1:1", (0, 0))
    times = _TIMES.get(size.tier.upper(), 0)
    if not width * times:
        return nearest(size, FreePixels(step=16))
    return Size(width=width * times, height=height * times)


def _worst(errors: Sequence[BaseException]) -> BaseException:
    """What is no error of the tree, then one that somebody may have been billed for, then any."""
    billed = [error for error in errors if not isinstance(error, PicturaError) or error.possibly_billed]
    return (billed or errors)[0]


def _together(drawn: Sequence[Done]) -> Done:
    costs = [done.cost for done in drawn]
    usages = [done.usage for done in drawn if done.usage is not None]
    return replace(
        drawn[0],
        pictures=tuple(raw for done in drawn for raw in done.pictures),
        usage=sum(usages[1:], usages[0]) if usages else None,
        cost=None if None in costs else sum(cost for cost in costs if cost is not None),
    )
