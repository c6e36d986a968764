"""QuickRouter's API, https://api.quickrouter.ai: Flux and GPT pictures.

Fields and the answer follow its page (2026-02, documented), envelopes of errors the new-api family (inferred). The page
calls `aspect_ratio` required and leaves it out of its own example: it is optional here. Its sample request is its
sample answer; what is wrong with that is told.
"""

from __future__ import annotations

from pictura.core.errors import BadRequest, Unsupported
from pictura.core.request import Body, ImageRequest
from pictura.core.views import Call
from pictura.dialects.base import Habits, Limits
from pictura.dialects.new_api import WORDS, NewApi
from pictura.dialects.union import IDLE

#: The page's enumeration, for Flux.
RATIOS = ("21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21")


class QuickRouter(NewApi):
    """DALL·E's fields, and aspects for Flux; URLs."""

    name = "quickrouter"
    hosts = ("api.quickrouter.ai", "quickrouter.ai")
    habits = Habits(
        delivery="url",
        words=WORDS,
        adjustable=IDLE,
        limits=Limits(n=10),
        no_model="model is required, e.g. flux-kontext-pro; GET /v1/models lists what there is",
    )

    def decode(self, call: Call, body: Body, *, edit: bool) -> ImageRequest:
        if not body.form and {"created", "data"} <= body.fields.keys() and "prompt" not in body.fields:
            raise BadRequest(
                "this is an answer, not a request (the page's sample shows one in the place of the other); send "
                'model and prompt: {"model": "flux-kontext-pro", "prompt": "…", "aspect_ratio": "16:9"}',
                param="prompt",
            )
        request = super().decode(call, body, edit=edit)
        if request.size.aspect and "flux" in request.model.lower() and request.size.aspect not in RATIOS:
            raise Unsupported(
                f"aspect_ratio {request.size.aspect} is not offered; allowed: {', '.join(RATIOS)}",
                param="aspect_ratio",
                allowed=RATIOS,
            )
        return request
