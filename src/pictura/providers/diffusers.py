"""Hugging Face's diffusers: pipelines in Python, with no server of their own."""

from __future__ import annotations

from msgspec.structs import replace

from pictura.core.model import Inputs, Mask, ModelCard, Source, Span, Words
from pictura.core.price import Free
from pictura.core.size import FreePixels
from pictura.providers.plain import PlainProvider

_CODE = Source("source code of diffusers 0.42.1", "2026-11-20", "source code")

_PIPELINE = ModelCard(
    id="local-diffusers",
    released=_CODE.date,
    modes=("generate", "edit", "inpaint"),
    sizes=FreePixels(step=16),
    max_n=10,
    inputs=Inputs(count=16),
    mask=Mask(max_bytes=25_000_000),
    outputs=("png", "jpeg", "webp"),
    params={
        "seed": Span(0, 2**63 - 1),
        "negative_prompt": Words(),
        "steps": Span(1, 200, default=50),
        "guidance_scale": Span(0, 100, whole=False),
        "true_cfg_scale": Span(0, 100, whole=False),
        "strength": Span(0, 1, whole=False),
    },
    price=Free(),
    price_source=_CODE,
    source=_CODE,
    notes="A pipeline by the name of its repository. Stable Diffusion takes sides that are multiples of 8, too.",
)


class Diffusers(PlainProvider):
    """diffusers, https://huggingface.co/docs/diffusers. Drawn in the sandbox; nothing runs a pipeline yet."""

    name = "diffusers"
    live = False
    MODELS = (_PIPELINE,)

    def generic(self, model: str) -> ModelCard:
        """Any pipeline, by the name of its repository."""
        return replace(_PIPELINE, id=model)
