"""LiteLLM's proxy, https://docs.litellm.ai/docs/proxy: one's own router, with OpenAI's paths for whatever it leads to.

    POST /images/generations   JSON
    POST /images/edits         multipart: files as `image` or `image[]`, never both; `mask`
    → OpenAI's answer, and x-litellm-response-cost: dollars
    → 4xx, 5xx {"error": {"message", "type", "param", "code"}}; `code` is the status as text, or the upstream's own

Wire facts: LiteLLM's proxy (main of 2026-10, read in source) and its error reference (2026-10-06, documented). Whether
a call that failed behind it was billed, it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from pictura.core.model import Source
from pictura.providers.answers import micro_usd
from pictura.providers.base import Done, Raw
from pictura.providers.openai import GENERIC, ImagesApi

_PROXY = Source("LiteLLM's proxy, main", "2026-10-06", "read in source")

_DEFAULT = replace(
    GENERIC,
    id="litellm-default",
    released=_PROXY.date,
    previews=False,
    source=_PROXY,
    notes=(
        "Whatever `image_generation_model` in the proxy's general_settings says; where it says nothing, the model that "
        "goes by this name there. What it takes and costs is the proxy's affair, which tells the cost of every picture."
    ),
)


class LiteLLM(ImagesApi):
    """LiteLLM's proxy. Answers at once. There is no address but the channel's own: `base_url = "http://…:4000/v1"`."""

    name = "litellm"
    sandbox_path = "/litellm/v1"
    json_edits = False
    MODELS = (_DEFAULT,)

    def told(self, document: Mapping[str, object], pictures: Sequence[Raw], headers: Mapping[str, str]) -> Done:
        done = super().told(document, pictures, headers)
        cost = headers.get("x-litellm-response-cost", "")
        done.cost = micro_usd(float(cost)) if _NUMBER.fullmatch(cost) else done.cost
        return done


_NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,30})?(e-?[0-9]{1,2})?")
