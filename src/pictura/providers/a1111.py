"""AUTOMATIC1111's and Forge's web UI, started with --api: http://127.0.0.1:7860."""

from __future__ import annotations

from msgspec.structs import replace

from pictura.core.model import Inputs, Mask, ModelCard, Prompt, Source, Span, Words
from pictura.core.price import Free
from pictura.core.size import FreePixels
from pictura.providers.plain import PlainProvider

_CODE = Source("source code of AUTOMATIC1111 and Forge", "2026-11-20", "source code")

_CHECKPOINT = ModelCard(
    id="local-a1111",
    released=_CODE.date,
    modes=("generate", "edit", "inpaint"),
    prompt=Prompt("optional"),
    sizes=FreePixels(step=8, default="512x512"),
    max_n=10,
    inputs=Inputs(count=1),
    mask=Mask(max_bytes=25_000_000),
    outputs=("png", "jpeg", "webp"),
    params={
        "seed": Span(-1, 2**32 - 1, default=-1),
        "negative_prompt": Words(),
        "steps": Span(1, 150, default=20),
        "guidance_scale": Span(0, 30, whole=False, default=7),
        "strength": Span(0, 1, whole=False, default=0.75),
        "sampler_name": Words(100),
        "scheduler": Words(100),
    },
    price=Free(),
    price_source=_CODE,
    source=_CODE,
    notes="The checkpoint that is loaded; a channel names others by title. The wire repaints where a mask is white.",
)


class A1111(PlainProvider):
    """Stable Diffusion web UI, https://github.com/AUTOMATIC1111/stable-diffusion-webui. Drawn in the sandbox so far."""

    name = "a1111"
    live = False
    base_url = "http://127.0.0.1:7860"
    MODELS = (_CHECKPOINT,)

    def generic(self, model: str) -> ModelCard:
        """Any checkpoint, by its title."""
        return replace(_CHECKPOINT, id=model)
