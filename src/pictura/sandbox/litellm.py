"""LiteLLM's proxy with a few models behind it, as strict as the software: https://docs.litellm.ai/docs/proxy.

Everything follows the proxy (main of 2026-10, read in source) and its error reference (2026-10-06, documented). Here
`general_settings` names no `image_generation_model`, so a request's own model counts; behind it are the models below.

Not as there: what a model does not take is refused in the words of its vendor, without LiteLLM's long prefix.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from typing import ClassVar

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.sandbox.base import Upload, Visit
from pictura.sandbox.fields import Fields
from pictura.sandbox.routers import FORMATS, INPUT_BYTES, ApiError, Asked, Router, pixels, uploaded

_FILES = frozenset({"image", "image[]", "mask", "mask[]"})
_QUALITIES = ("auto", "low", "medium", "high", "standard", "hd")


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the proxy's model_list: what its vendor takes, and dollars a picture."""

    edits: bool = True
    most: int = 10
    cost: float


MODELS = {
    "litellm-default": Model(cost=0.04),
    "gpt-image-2": Model(cost=0.053),
    "gpt-image-1.5": Model(cost=0.034),
    "flux-pro-1.1": Model(edits=False, most=1, cost=0.04),
}


def read_asked(fields: Fields, where: str) -> tuple[Asked, Model]:
    name = fields.text("model", required=True)
    model = MODELS.get(name)
    if model is None:
        message = f"{where}: Invalid model name passed in model={name}. Call `/v1/models` to view available models."
        raise ApiError(400, message, type="invalid_request_error", code="400")
    width, height = pixels(fields.text("size").replace("auto", ""))
    asked = Asked(
        model=name,
        prompt=fields.text("prompt", required=True),
        width=width,
        height=height,
        count=fields.whole("n", 1, model.most) or 1,
        seed=fields.whole("seed", 0, 2**31 - 1),
        format=fields.word("output_format", FORMATS, "png"),
        compression=fields.whole("output_compression", 0, 100),
        transparent=fields.word("background", ("auto", "transparent", "opaque")) == "transparent",
        label=fields.word("quality", _QUALITIES),
        by_url=fields.word("response_format", ("url", "b64_json")) == "url",
    )
    return asked, model


def _form_value(name: str, text: str) -> object:
    return int(text) if name in ("n", "output_compression", "seed") and text.isdigit() else text


class LiteLLM(Router):
    """The image paths, below `/litellm` and, as the proxy has it, also below `/litellm/v1`."""

    name = "litellm"
    own_errors: ClassVar = {
        401: ApiError(
            401,
            "Authentication Error, Invalid proxy server token passed.",
            type="token_not_found_in_db",
            param="key",
            code="401",
        ),
        402: ApiError(
            400, "Budget has been exceeded! Current cost: 10.2, Max budget: 10.0", type="budget_exceeded", code="400"
        ),
        404: ApiError(404, "Not Found", type="not_found_error", code="404"),
        429: ApiError(429, "litellm.RateLimitError: Rate limit reached.", type="throttling_error", code="429"),
        500: ApiError(
            500, "litellm.InternalServerError: the model's vendor failed.", type="internal_server_error", code="500"
        ),
    }

    def routes(self) -> Iterable[web.RouteDef]:
        drawing = [
            (f"{start}/images/{what}", handler)
            for start in ("", "/v1")
            for what, handler in (("generations", self._generate), ("edits", self._edit))
        ]
        return [
            *(web.post(path, self.answering(handler)) for path, handler in drawing),
            web.route("*", "/{path:.*}", self.answering(self._lost)),
        ]

    def told(self, error: ApiError, visit: Visit) -> object:
        """The code is a text, and what is not known the word None."""
        told = {"message": error.message, "type": error.type or "None", "param": error.param or "None"}
        return {"error": {**told, "code": error.code or str(error.status)}}

    async def _lost(self, visit: Visit) -> web.StreamResponse:
        raise self.own_errors[404].anew()

    async def _generate(self, visit: Visit) -> web.StreamResponse:
        asked, model = read_asked(Fields((await visit.json())[0]), "/images/generations")
        return await self._answer(visit, asked, model)

    async def _edit(self, visit: Visit) -> web.StreamResponse:
        if visit.request.content_type != "multipart/form-data":
            raise BadRequest("'image' must be provided as a multipart file upload, not a string.", param="image")
        texts, files = await visit.form(INPUT_BYTES, _FILES)
        _check_names(files)
        asked, model = read_asked(Fields({name: _form_value(name, text) for name, text in texts}), "/images/edits")
        if not model.edits:
            raise BadRequest(f"{asked.model} does not support image edits")
        asked.inputs = uploaded(files, "image", "image[]")
        asked.mask = next(iter(uploaded(files, "mask", "mask[]")), None)
        return await self._answer(visit, asked, model)

    async def _answer(self, visit: Visit, asked: Asked, model: Model) -> web.StreamResponse:
        refusal = ApiError(
            400,
            "litellm.ContentPolicyViolationError: Your request was rejected by the safety system.",
            type="invalid_request_error",
            code="content_policy_violation",
        )
        if (trouble := await self.trouble(visit, asked.prompt, refusal)) is not None:
            return trouble
        data = await self.painted(visit, asked)
        visit.headers |= _costs(model, len(data))
        return await visit.send({"created": int(time.time()), "data": data, "size": asked.size})


def _costs(model: Model, pictures: int) -> Mapping[str, str]:
    """As Python writes a float, which for little money is 5e-05."""
    return {"x-litellm-call-id": secrets.token_hex(8), "x-litellm-response-cost": str(model.cost * pictures)}


def _check_names(files: Iterable[Upload]) -> None:
    fields = {file.field for file in files}
    for name in ("image", "mask"):
        if {name, f"{name}[]"} <= fields:
            message = f"Cannot specify both '{name}' and '{name}[]'"
            raise ApiError(422, message, type="invalid_request_error", code="422")
