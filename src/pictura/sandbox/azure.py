"""Azure OpenAI's image paths, as strict as OpenAI's: https://learn.microsoft.com/azure/ai-foundry/openai.

The models are those of `sandbox.openai`, deployed under their own names, and two of FLUX. Paths, the key's header and
the version follow the official SDK, openai 3.52 (AzureOpenAI), errors Microsoft's pages and the code of those who met
them (2023 to 2026, documented and third party).

What the filter finds in a prompt is a 400 with an `innererror`; a picture that it withholds is told with status 200.
Edits come as forms; `moderation`, which no form knows, is therefore a word for generations alone.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from pictura.core.errors import BadRequest
from pictura.sandbox import openai
from pictura.sandbox.base import Visit, refused, refused_late
from pictura.sandbox.openai import ApiError, Asked, Fields, Inputs, Model, read_asked, read_inputs, read_uploads

_FLUX = Model(sizes=("1024x1024", "auto"), most=1, pictures=0)
#: By the name of the deployment, which here is the model's; one has a name that somebody chose.
DEPLOYMENTS: Mapping[str, Model] = {
    **{name: rules for name, rules in openai.MODELS.items() if rules.gpt},
    "FLUX-1.1-pro": _FLUX,
    "FLUX.1-Kontext-pro": Model(sizes=("1024x1024", "auto"), most=1, pictures=1),
    "my-images": openai.MODELS["gpt-image-2"],
}
VERSIONS = ("2024-02-01", "2024-10-21", "2025-03-01-preview", "2025-04-01-preview", "preview")
FILE_BYTES = 50_000_000

_FILTERED = "Your request was rejected as a result of our safety system."
_WITHHELD = "Generated image was filtered as a result of our safety system."
_OWN_ERRORS = {
    401: (401, "401", "Access denied due to invalid subscription key or wrong API endpoint."),
    402: (429, "insufficient_quota", "You exceeded your current quota."),
    404: (404, "404", "Resource not found"),
    429: (429, "429", "Requests have exceeded the rate limit of your pricing tier."),
    500: (500, "InternalServerError", "The server had an error while processing your request."),
}


class AzureError(Exception):
    """An error of Azure's own, which has a code and a message alone; `inner` says more."""

    def __init__(self, status: int, code: str, message: str, inner: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.status = status
        told = {"code": code, "message": message}
        self.document = {"error": {**told, "innererror": inner} if inner else told}


def _own_error(status: int) -> AzureError:
    return AzureError(*_OWN_ERRORS[status])


def _filtered() -> AzureError:
    results = {"violence": {"filtered": True, "severity": "medium"}}
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_results": results}
    return AzureError(400, "content_policy_violation", _FILTERED, inner)


class Azure(openai.OpenAI):
    """The Images API below `/azure/openai`, by deployment or below `v1`."""

    name = "azure"

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post(f"/openai/{place}/images/{what}", self._answering(handler))
            for place in ("deployments/{deployment}", "v1")
            for what, handler in (("generations", self._generate), ("edits", self._edit))
        ] + [web.route("*", "/{path:.*}", self._answering(self._lost))]

    async def error(self, visit: Visit, status: int) -> web.StreamResponse:
        error = _own_error(status)
        return await visit.send(error.document, error.status)

    def _answering(self, handler: Callable[[Visit], Awaitable[web.StreamResponse]]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            with Visit(request, self.studio) as visit:
                visit.headers["apim-request-id"] = secrets.token_hex(16)
                try:
                    if not self.studio.accepts(request.headers.get("api-key", "")):
                        raise _own_error(401)
                    return await handler(visit)
                except (ApiError, AzureError) as error:
                    return await visit.send(error.document, error.status)
                except BadRequest as error:
                    return await visit.send(ApiError(error.message, param=error.param).document, 400)

        return answer

    async def _lost(self, visit: Visit) -> web.StreamResponse:
        raise _own_error(404)

    async def _generate(self, visit: Visit) -> web.StreamResponse:
        values, _ = await visit.json()
        name, rules = _deployed(visit, str(values.pop("model", "")))
        asked = read_asked(Fields(values), name, rules, editing=False, in_form=False)
        return await self._answer(visit, asked, Inputs())

    async def _edit(self, visit: Visit) -> web.StreamResponse:
        texts, files = await visit.form(FILE_BYTES, frozenset({"image", "image[]", "mask"}))
        said = dict(texts)
        name, rules = _deployed(visit, said.pop("model", ""))
        fields, uploads = read_uploads(list(said.items()), files)
        inputs = read_inputs(uploads, name, rules)
        return await self._answer(visit, read_asked(fields, name, rules, editing=True, in_form=True), inputs)

    async def _answer(self, visit: Visit, asked: Asked, inputs: Inputs) -> web.StreamResponse:
        if refused(asked.prompt):
            raise _filtered()
        if refused_late(asked.prompt):
            told = {"created": int(time.time()), "error": {"code": "contentFilter", "message": _WITHHELD}}
            return await visit.send(told)
        return await super()._answer(visit, asked, inputs)


def _deployed(visit: Visit, model: str) -> tuple[str, Model]:
    """The deployment in the path, whose version is named beside it, or the one that the body calls its model."""
    name = visit.request.match_info.get("deployment")
    version = visit.request.query.get("api-version")
    if version not in VERSIONS and (name or version):
        raise _own_error(404)
    rules = DEPLOYMENTS.get(name or model)
    if rules is None:
        raise AzureError(404, "DeploymentNotFound", "The API deployment for this resource does not exist.")
    return name or model, rules
