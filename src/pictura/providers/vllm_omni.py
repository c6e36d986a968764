"""vLLM-Omni, http://127.0.0.1:8000: one model a server, spoken to as OpenAI is, with options of its own.

Wire facts: source code of vllm-omni 0.30.0 (seen 2026-11-20, confidence: source code).

    POST /v1/images/generations   JSON: prompt, model?, n, size "WxH"?, negative_prompt, seed, num_inference_steps, …
    POST /v1/images/edits         form: image or image[], mask_image (grey, white = repainted), strength, …
    → {"created", "data": [{"b64_json"}], "output_format", "size", "metrics"}
    → 4xx, 5xx {"error": {"message", "type", "param", "code": the status}}; 401 {"error": "Unauthorized"}

A `model` other than the one that is served is refused with 400, and so is what a model's guardrail refuses: no code
tells them from a wrong field. A field that it does not know is passed over, a mask by most models too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pictura.core.model import Anything, Source, Span
from pictura.providers.local import ImagesServer, card

_CODE = Source("source code of vllm-omni 0.30.0", "2026-11-20", "source code")


class VllmOmni(ImagesServer):
    """vLLM-Omni, https://docs.vllm.ai/projects/vllm-omni. Opened by `--api-key`, where it was started with one."""

    name = "vllm-omni"
    base_url = "http://127.0.0.1:8000/v1"
    optional_env: ClassVar[Mapping[str, str]] = {"api_key": "VLLM_API_KEY"}
    sandbox_path = "/vllm-omni/v1"
    MODELS = (
        card(
            "local-vllm-omni",
            _CODE,
            "The model that is served, whatever its name; a channel names it where that shall be checked.",
            step=16,
            pictures=16,
            outputs=("png", "jpeg", "webp"),
            options={
                "steps": Span(1, 200),
                "guidance_scale": Span(0, 20, whole=False),
                "true_cfg_scale": Span(0, 20, whole=False),
                "flow_shift": Span(0, 100, whole=False),
                "strength": Span(0, 1, whole=False),
                "layers": Span(2, 10),
                "lora": Anything(),
            },
        ),
    )
