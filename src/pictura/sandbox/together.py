"""Together AI's images API, as strict as the vendor: https://docs.together.ai/reference/post-images-generations.

The tables here are the vendor's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. Fields follow the types of the official SDK, together 2.36 (2026-11, official), models and counts its
documentation (stored copies, 2026), 1 to 50 steps too; ranges of sides and guidance, schnell's steps, and the codes of
errors, are memory.

A refusal has the vendor's words (third party, 2026) and a code that is a guess: none is documented.

Not as at the vendor: an unknown field is refused, so that a misspelt one is seen; `aspect_ratio`, of which one page
speaks and the SDK does not, is unknown; pictures are taken as data URLs or URLs, never fetched; LoRAs change nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.core.picture import Inline
from pictura.infra.extract import Cut
from pictura.infra.spool import Spool
from pictura.sandbox.base import Simulator, Visit, refused, refused_late
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.fields import Fields, Wrong
from pictura.sandbox.inputs import Input, shown

# -- the vendor's table of models --


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """`edges`: the shortest and the longest. `image_url` and `references`: pictures it takes there."""

    edges: tuple[int, int] = (64, 1792)
    steps: tuple[int, int] = (0, 0)
    guidance: bool = False
    image_url: bool = False
    references: int = 0


_FLUX_2 = (256, 1920)
MODELS = {
    "black-forest-labs/FLUX.1-schnell": Model(steps=(1, 12)),
    "black-forest-labs/FLUX.1.1-pro": Model(),
    "black-forest-labs/FLUX.1-kontext-pro": Model(image_url=True),
    "black-forest-labs/FLUX.1-kontext-max": Model(image_url=True),
    "black-forest-labs/FLUX.2-pro": Model(edges=_FLUX_2, image_url=True, references=8),
    "black-forest-labs/FLUX.2-flex": Model(edges=_FLUX_2, image_url=True, references=8, steps=(1, 50), guidance=True),
    "black-forest-labs/FLUX.2-dev": Model(edges=_FLUX_2, references=8, steps=(1, 50), guidance=True),
}

#: Width and height are multiples of this.
STEP = 8
MOST_PICTURES = 4
DEFAULT_SIDE = 1024
INPUT_BYTES = 25_000_000
FORMATS = ("jpeg", "png", "webp")

# -- errors --


class ApiError(Exception):
    """An error as the vendor writes it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        error = {"message": message, "type": type, "param": param, "code": code}
        self.document = {"id": secrets.token_hex(8), "error": error}


_OWN_ERRORS: dict[int, tuple[str, str, str | None]] = {
    401: ("Invalid API key provided.", "invalid_request_error", "invalid_api_key"),
    402: ("Credit limit exceeded.", "credit_limit", None),
    404: ("The requested URL was not found.", "invalid_request_error", None),
    429: ("You have reached the rate limit specific to this model.", "model_rate_limit", None),
    500: ("The server had an error while processing your request.", "server_error", None),
}


def _own_error(status: int) -> ApiError:
    message, type, code = _OWN_ERRORS[status]
    return ApiError(status, message, type=type, code=code)


# -- what is asked --


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    prompt: str
    count: int
    width: int
    height: int
    seed: int | None
    format: str
    by_url: bool


def read_asked(fields: Fields, name: str, model: Model) -> Asked:
    """Everything but the pictures. Raises Wrong for the first thing that is wrong."""
    if model.steps[1]:
        fields.whole("steps", *model.steps)
    if model.guidance:
        fields.number("guidance_scale", 1, 10)
    fields.text("negative_prompt")
    fields.flag("disable_safety_checker")
    for lora in fields.objects("image_loras"):
        lora.text("path", required=True)
        lora.number("scale", -10, 10)
    return Asked(
        model=name,
        prompt=fields.text("prompt", required=True),
        count=fields.whole("n", 1, MOST_PICTURES) or 1,
        width=_side(fields, "width", model),
        height=_side(fields, "height", model),
        seed=fields.whole("seed", 0, 2**63 - 1),
        format=fields.word("output_format", ("jpeg", "png"), "jpeg"),
        by_url=fields.word("response_format", ("base64", "url"), "url") == "url",
    )


def _side(fields: Fields, name: str, model: Model) -> int:
    side = fields.whole(name, *model.edges)
    if side is not None and side % STEP:
        raise Wrong(name, "range", f"{name} must be a multiple of {STEP}")
    return side or DEFAULT_SIDE


# -- the simulator --


class Together(Simulator):
    """The images API, below `/together/v1`."""

    name = "together"

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.post("/v1/images/generations", self._answer), web.route("*", "/{path:.*}", self._lost)]

    async def error(self, visit: Visit, status: int) -> web.StreamResponse:
        return await visit.send(_own_error(status).document, status)

    async def _lost(self, request: web.Request) -> web.StreamResponse:
        with Visit(request, self.studio) as visit:
            return await self.error(visit, 404 if self.studio.accepts(visit.bearer) else 401)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        with Visit(request, self.studio) as visit:
            try:
                return await self._generate(visit)
            except ApiError as error:
                return await visit.send(error.document, error.status)
            except BadRequest as error:
                wrong = ApiError(400, error.message, param=error.param, code="invalid_value")
                return await visit.send(wrong.document, wrong.status)

    async def _generate(self, visit: Visit) -> web.StreamResponse:
        if not self.studio.accepts(visit.bearer):
            raise _own_error(401)
        values, cuts = await visit.json(INPUT_BYTES, pictures=2 * _most_references())
        fields = Fields(values)
        name = fields.text("model", required=True)
        model = MODELS.get(name)
        if model is None:
            raise ApiError(404, f"Unable to access model {name}.", code="model_not_available")
        asked = read_asked(fields, name, model)
        inputs = await self._inputs(fields, model, cuts)
        fields.refuse_rest()
        if refused(asked.prompt) or refused_late(asked.prompt):
            raise ApiError(422, "image may contain NSFW content", code="content_policy_violation")
        if (trouble := await self.misbehave(visit, asked.prompt)) is not None:
            return trouble
        pictures = await self.paint(visit, _scenes(asked, inputs))
        data = [self._datum(asked, index, picture) for index, picture in enumerate(pictures)]
        return await visit.send({"id": secrets.token_hex(8), "model": name, "object": "list", "data": data})

    async def _inputs(self, fields: Fields, model: Model, cuts: Sequence[Cut]) -> Sequence[Input]:
        url = fields.text("image_url") if model.image_url else ""
        references = fields.list("reference_images", most=model.references) if model.references else []
        given = [("image_url", url)] if url else [("reference_images", value) for value in references]
        return [await self._input(name, value, cuts) for name, value in given]

    async def _input(self, name: str, value: object, cuts: Sequence[Cut]) -> Input:
        try:
            return await shown(value, cuts, self.studio, FORMATS, INPUT_BYTES)
        except BadRequest as error:
            raise Wrong(name, "value", error.message) from error

    def _datum(self, asked: Asked, index: int, picture: Spool) -> dict[str, object]:
        if asked.by_url:
            return {"index": index, "type": "url", "url": self.hosted(picture, asked.prompt)}
        return {"index": index, "type": "b64_json", "b64_json": Inline(picture)}


def _most_references() -> int:
    return max(model.references for model in MODELS.values())


def _scenes(asked: Asked, inputs: Sequence[Input]) -> list[Scene]:
    seed = seed_from(asked.model, asked.prompt) if asked.seed is None else asked.seed % 2**31
    first = Scene(
        model=asked.model,
        prompt=asked.prompt,
        width=asked.width,
        height=asked.height,
        format=asked.format,
        base=inputs[0].data if inputs else None,
    )
    return [msgspec.structs.replace(first, seed=seed + index) for index in range(asked.count)]
