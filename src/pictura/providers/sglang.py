"""SGLang's diffusion server, http://127.0.0.1:30000: spoken to as OpenAI is, with options of its own.

Wire facts: source code of sglang 0.5.23 (seen 2026-11-20, confidence: source code).

    POST /v1/images/generations   JSON: prompt, n, size "WxH"?, response_format, seed, num_inference_steps, …
    POST /v1/images/edits         form: image or image[], the same options
    → {"id", "created", "data": [{"b64_json", "revised_prompt"}], "inference_time_s", "peak_memory_mb"}
    → 4xx {"detail": a text, or a list of {"loc", "msg", "type"}}; 500 "Internal Server Error" as plain text

It must be asked for base64: for URLs it wants a cloud storage. `model` is passed over, and so is `mask`, although the
form has that field. `revised_prompt` is the prompt, unless `enhance_prompt` was on. Without a format it gives JPEG.
"""

from __future__ import annotations

from pictura.core.model import Flag, Source, Span
from pictura.providers.local import ImagesServer, card

_CODE = Source("source code of sglang 0.5.23", "2026-11-20", "source code")


class SGLang(ImagesServer):
    """SGLang diffusion, https://docs.sglang.ai. It has no keys of its own; a proxy before it may want one."""

    name = "sglang"
    base_url = "http://127.0.0.1:30000/v1"
    sandbox_path = "/sglang/v1"
    MODELS = (
        card(
            "local-sglang",
            _CODE,
            "The model that is served. Masks are not read, whatever the model.",
            step=16,
            pictures=16,
            masks=False,
            outputs=("jpeg", "png", "webp"),
            options={
                "steps": Span(1, 200),
                "guidance_scale": Span(0, 100, whole=False),
                "true_cfg_scale": Span(0, 100, whole=False),
                "flow_shift": Span(0, 100, whole=False),
                "enable_teacache": Flag(False),
                "enable_upscaling": Flag(False),
                "upscaling_scale": Span(1, 8, default=4),
            },
        ),
    )
