"""OmniRouters' Omni-Image, https://omnirouters.com: tiers and aspects, pictures by URL, tasks.

Fields, routes and the answer of a task follow its page (2026-02, documented); the words of a task's state, its flat
error and the envelope of other errors the public fork it is built on (2026-05, read in source). Region names are those
of Tencent VOD's `InputRegion` (official SDK).
"""

from __future__ import annotations

from pictura.core.errors import PicturaError, UnknownJob
from pictura.core.request import ImageRequest
from pictura.core.result import Delivered
from pictura.core.views import Call
from pictura.dialects.base import Habits, Hands, Reply
from pictura.dialects.new_api import WORDS, NewApi
from pictura.dialects.union import IDLE


class OmniRouters(NewApi):
    """`resolution` and `aspect_ratio`, `images` as URLs, `?async=true`."""

    name = "omnirouters"
    hosts = ("omnirouters.com", "www.omnirouters.com", "api.omnirouters.com")
    habits = Habits(
        delivery="url",
        words=WORDS,
        adjustable=IDLE,
        no_model="model is required, e.g. Nano-Banana2; GET /v1/models lists what there is",
    )

    def datum(self, request: ImageRequest, picture: Delivered, hands: Hands) -> dict[str, object]:
        """All three fields are always there, empty where nothing stands in them."""
        return {"url": "", "b64_json": "", "revised_prompt": "", **super().datum(request, picture, hands)}

    def error(self, call: Call, error: PicturaError) -> Reply:
        """Flat for a task that nobody knows."""
        reply = super().error(call, error)
        if not isinstance(error, UnknownJob):
            return reply
        flat = {"code": "task_not_exist", "message": self.said(call, error), "data": None}
        return Reply(flat, reply.status, reply.headers)
