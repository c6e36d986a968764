"""MixRoute's API, https://console.mixroute.io: the bodies of four vendors on one path.

Fields, defaults, formats and both envelopes follow its page (2026-02, documented). Of errors it says nothing: in the
wrapped envelope they are told as `{"code", "msg", "data": null}` (inferred), with OpenAI's `error` beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from pictura.core.errors import PicturaError
from pictura.core.request import Body, ImageRequest
from pictura.core.result import Delivered, ImageResult
from pictura.core.views import Call
from pictura.dialects.base import Habits, Hands, Limits, Reply
from pictura.dialects.kinds import within, wrong
from pictura.dialects.new_api import WORDS, NewApi
from pictura.dialects.union import IDLE

_SUCCESS = "操作成功"
#: Pictures of one group, by its page.
MOST_OF_A_GROUP = 4
_GPT = "gpt-image-"
_GROUP = "sequential_image_generation_options"


class MixRouteSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`[dialects.mixroute]`"""

    envelope: Literal["wrapped", "plain"] = "wrapped"
    """`wrapped`: `{"code": 200, "msg": "操作成功", "data": {"data": […], "created": …}}`; `plain`: what stands in its
    `data`. The page shows both, and no answer can be both at once."""


class MixRoute(NewApi):
    """Gemini's contents, Seedream's groups, GPT's pictures and Qwen's messages, all at `/v1/images/generations`."""

    name = "mixroute"
    hosts = ("console.mixroute.io", "mixroute.io", "api.mixroute.ai")
    Settings = MixRouteSettings
    settings: MixRouteSettings
    habits = Habits(
        delivery="url",
        deliveries={_GPT: "b64_json", "gemini-": "b64_json", "nano-banana": "b64_json"},
        words={**WORDS, "input_fidelity": {"medium": "low"}},
        # `image_size: 3K`, a `quality` for Gemini, `input_fidelity` for models that know none: the page's own examples.
        adjustable=IDLE | {"size", "quality", "input_fidelity"},
        limits=Limits(picture_bytes=10_000_000, edit_picture_bytes=10_000_000, n=10),
        bare_edits=True,
        takes={_GPT: ("gif",)},
        sizes={_GPT: "1024x1024"},
        no_model="model is required, e.g. gemini-2.5-flash-image; GET /v1/models lists what there is",
    )

    def decode(self, call: Call, body: Body, *, edit: bool) -> ImageRequest:
        request = super().decode(call, body, edit=edit)
        if request.params.get("sequential_image_generation") == "auto":
            request = _with_group(request)
        return request

    def datum(self, request: ImageRequest, picture: Delivered, hands: Hands) -> dict[str, object]:
        """All three fields are always there, empty where nothing stands in them."""
        return {"url": "", "b64_json": "", "revised_prompt": "", **super().datum(request, picture, hands)}

    def picture(self, call: Call, request: ImageRequest, result: ImageResult, hands: Hands) -> Reply:
        plain = super().picture(call, request, result, hands)
        if self.settings.envelope == "plain":
            return plain
        return Reply({"code": 200, "msg": _SUCCESS, "data": plain.body}, headers=plain.headers)

    def error(self, call: Call, error: PicturaError) -> Reply:
        plain = super().error(call, error)
        if self.settings.envelope == "plain":
            return plain
        wrapped = {"code": plain.status, "msg": self.said(call, error), "data": None}
        assert isinstance(plain.body, Mapping)
        return Reply({**wrapped, **plain.body}, plain.status, plain.headers)


def _with_group(request: ImageRequest) -> ImageRequest:
    """A group of the size that was asked for, four by itself; its pictures count like any others."""
    options = request.params.get(_GROUP, {})
    if not isinstance(options, dict):
        raise wrong(_GROUP, "an object", options)
    most = within(1, MOST_OF_A_GROUP)(options.get("max_images", MOST_OF_A_GROUP), f"{_GROUP}.max_images")
    return msgspec.structs.replace(request, params={**request.params, _GROUP: {**options, "max_images": most}})
