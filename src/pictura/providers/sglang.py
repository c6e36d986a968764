"""SGLang's diffusion server, http://127.0.0.1:30000: spoken to as OpenAI is, with options of its own."""

from __future__ import annotations

from msgspec.structs import replace

from pictura.core.model import Flag, Inputs, Mask, ModelCard, Source, Span, Words
from pictura.core.price import Free
from pictura.core.size import FreePixels
from pictura.providers.plain import PlainProvider

_CODE = Source("source code of sglang 0.5.23", "2026-11-20", "source code")

_SERVED = ModelCard(
    id="local-sglang",
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
        "guidance_scale": Span(0, 100, whole=False),
        "true_cfg_scale": Span(0, 100, whole=False),
        "flow_shift": Span(0, 100, whole=False),
        "strength": Span(0, 1, whole=False),
        "enable_teacache": Flag(),
        "enable_upscaling": Flag(),
        "upscaling_scale": Span(1, 8),
    },
    price=Free(),
    price_source=_CODE,
    source=_CODE,
    notes="The model that is served. It must be asked for b64_json: for URLs it wants a cloud storage.",
)


class SGLang(PlainProvider):
    """SGLang diffusion, https://docs.sglang.ai. Drawn in the sandbox; its own wire is not spoken yet."""

    name = "sglang"
    live = False
    base_url = "http://127.0.0.1:30000/v1"
    MODELS = (_SERVED,)

    def generic(self, model: str) -> ModelCard:
        """Any model that a server was started with."""
        return replace(_SERVED, id=model)
