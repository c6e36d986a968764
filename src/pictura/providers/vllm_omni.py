"""vLLM-Omni, http://127.0.0.1:8000: one model a server, spoken to as OpenAI is, with options of its own."""

from __future__ import annotations

from msgspec.structs import replace

from pictura.core.model import Anything, Inputs, Mask, ModelCard, Source, Span, Words
from pictura.core.price import Free
from pictura.core.size import FreePixels
from pictura.providers.plain import PlainProvider

_CODE = Source("source code of vllm-omni 0.30.0", "2026-11-20", "source code")

_SERVED = ModelCard(
    id="local-vllm-omni",
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
        "steps": Span(1, 200),
        "guidance_scale": Span(0, 20, whole=False),
        "true_cfg_scale": Span(0, 20, whole=False),
        "flow_shift": Span(0, 100, whole=False),
        "strength": Span(0, 1, whole=False),
        "layers": Span(2, 10),
        "lora": Anything(),
    },
    price=Free(),
    price_source=_CODE,
    source=_CODE,
    notes="The model that is served; edits under another name are refused. The wire's steps are num_inference_steps.",
)


class VllmOmni(PlainProvider):
    """vLLM-Omni, https://docs.vllm.ai/projects/vllm-omni. Drawn in the sandbox; its own wire is not spoken yet."""

    name = "vllm-omni"
    live = False
    base_url = "http://127.0.0.1:8000/v1"
    MODELS = (_SERVED,)

    def generic(self, model: str) -> ModelCard:
        """Any model that a server was started with."""
        return replace(_SERVED, id=model)
