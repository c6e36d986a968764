"""ComfyUI, http://127.0.0.1:8188: a model is a workflow."""

from __future__ import annotations

from msgspec.structs import replace

from pictura.core.model import Inputs, Mask, ModelCard, Prompt, Source, Span, Words
from pictura.core.price import Free
from pictura.core.size import FreePixels
from pictura.providers.plain import PlainProvider

_CODE = Source("docs.comfy.org and ComfyUI's source code", "2026-11-20", "source code")

_WORKFLOW = ModelCard(
    id="local-comfyui",
    released=_CODE.date,
    modes=("generate", "edit", "inpaint"),
    prompt=Prompt("optional"),
    sizes=FreePixels(step=8),
    max_n=10,
    inputs=Inputs(count=16),
    mask=Mask(max_bytes=25_000_000),
    outputs=("png", "jpeg", "webp"),
    params={
        "seed": Span(0, 2**63 - 1),
        "negative_prompt": Words(),
        "steps": Span(1, 200),
        "guidance_scale": Span(0, 100, whole=False),
        "strength": Span(0, 1, whole=False),
    },
    price=Free(),
    price_source=_CODE,
    source=_CODE,
    notes="What it takes is the workflow's affair; nothing is refused here that some workflow might take.",
)


class ComfyUI(PlainProvider):
    """ComfyUI, https://docs.comfy.org. Drawn in the sandbox; its own wire is not spoken yet."""

    name = "comfyui"
    live = False
    base_url = "http://127.0.0.1:8188"
    MODELS = (_WORKFLOW,)

    def generic(self, model: str) -> ModelCard:
        """Any workflow, by its name."""
        return replace(_WORKFLOW, id=model)
