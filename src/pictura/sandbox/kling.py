"""Kling AI's image API, as strict as the vendor: https://kling.ai/document-api.

The tables here are the vendor's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. Unless a line says otherwise they follow Kling's own pages on authentication, error codes, the capability map,
image generation, omni images and multi-image to image (2026-05 to 2026-10, read in copies; confidence: official page).

Not as at the vendor: models that have gone from its pages draw, because a test key must reach them; an account's slots
are not counted; nobody is called back. That a second task with the same external_task_id is refused is assumed: Kling
says only that it must be unique. Unknown fields are passed over, as in Kling's own example, which sends one. A refusal
that comes late is told in words, like any other failure.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.infra.extract import Cut, find
from pictura.sandbox.base import SECRET, Studio, Vendor, VendorError, Visit, fails, refused, refused_late
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.fields import Fields, Wrong
from pictura.sandbox.inputs import Input, shown
from pictura.sandbox.names import Names
from pictura.sandbox.tasks import Task

# -- the vendor's tables --

CLASSIC, MULTI, OMNI = (f"/v1/images/{word}" for word in ("generations", "multi-image2image", "omni-image"))


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What one model takes on one path. `units`: what a picture costs, drawn from text and from inputs."""

    resolutions: tuple[str, ...] = ("1k", "2k")
    aspects: tuple[str, ...] = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9")
    fidelities: tuple[str, ...] = ()
    references: bool = False
    needs_reference: bool = False
    needs_image: bool = False
    elements: bool = False
    series: bool = False
    auto_needs_image: bool = False
    units: tuple[int, int] = (4, 8)


_ALL_FIDELITIES = ("image_fidelity", "human_fidelity")
_OMNI_ASPECTS = (*Model().aspects, "auto")

MODELS: Mapping[str, Mapping[str, Model]] = {
    CLASSIC: {
        "kling-v3": Model(elements=True, units=(8, 8)),
        "kling-v2-1": Model(fidelities=_ALL_FIDELITIES, references=True),
        # From here on: resellers' copies of the page before 2026, and Kling's update notes of 2025.
        "kling-v2-new": Model(needs_image=True),
        "kling-v2": Model(),
        "kling-v1-5": Model(resolutions=("1k",), fidelities=_ALL_FIDELITIES, references=True, needs_reference=True),
        "kling-v1": Model(
            resolutions=("1k",), aspects=Model().aspects[:-1], fidelities=("image_fidelity",), units=(1, 1)
        ),
    },
    MULTI: {"kling-v2-1": Model(units=(16, 16)), "kling-v2": Model(units=(16, 16))},
    OMNI: {
        "kling-v3-omni": Model(
            resolutions=("1k", "2k", "4k"),
            aspects=_OMNI_ASPECTS,
            elements=True,
            series=True,
            auto_needs_image=True,
            units=(8, 8),
        ),
        "kling-image-o1": Model(aspects=_OMNI_ASPECTS, elements=True, units=(8, 8)),
    },
}
#: What is drawn where no model is named.
DEFAULT_MODELS = {CLASSIC: "kling-v3", MULTI: "kling-v2-1", OMNI: "kling-image-o1"}
EDGES = {"1k": 1024, "2k": 2048, "4k": 4096}
FINEST_UNITS = 16

PROMPT_CHARS = 2_500
MOST_PICTURES = 9
INPUT_BYTES, INPUT_SIDE, INPUT_RATIO = 10_000_000, 300, 2.5
MOST_REFERENCES, MOST_SUBJECTS = 10, 4
INPUT_FORMATS = ("jpeg", "png")
_PICTURE_KEYS = frozenset({"image", "subject_image", "scene_image", "style_image"})

#: Service code → HTTP status and explanation.
ERRORS = {
    1001: (401, "Authorization is empty"),
    1002: (401, "Authorization is invalid"),
    1003: (401, "Authorization is not yet valid"),
    1004: (401, "Authorization has expired"),
    1102: (429, "Resource pack exhausted or expired"),
    1201: (400, "Invalid parameters"),
    1202: (404, "The requested method is invalid"),
    1203: (404, "The requested resource does not exist"),
    1301: (400, "Trigger the platform's content security policy"),
    1302: (429, "Too many requests; rate limit exceeded"),
    5000: (500, "Server internal error"),
}
#: It has no 402: who owes is told so with 429.
_FAULTS = {401: 1002, 402: 1102, 429: 1302, 500: 5000}


class KlingError(VendorError):
    def __init__(self, code: int, message: str = "") -> None:
        status, explanation = ERRORS[code]
        told = {"code": code, "message": message or explanation, "request_id": str(uuid.uuid4())}
        super().__init__(status, told, message or explanation)


# -- who asks --


class _Claims(msgspec.Struct):
    iss: str = ""
    exp: int = 0
    nbf: int = 0


class _Header(msgspec.Struct):
    alg: str = ""
    typ: str = ""


def issuer(token: str, now: float) -> str:
    """The access key that a JWT was made for, signed with the sandbox's word; any other token is itself the key.

    Raises KlingError for a token that is not to be trusted, or not now.
    """
    if token.count(".") != 2:
        return token
    text, _, signature = token.rpartition(".")
    head, _, body = text.partition(".")
    try:
        header = msgspec.json.decode(_bytes(head), type=_Header)
        claims = msgspec.json.decode(_bytes(body), type=_Claims)
        signed = hmac.compare_digest(_bytes(signature), hmac.digest(SECRET.encode(), text.encode(), hashlib.sha256))
    except (ValueError, msgspec.DecodeError) as error:
        raise KlingError(1002) from error
    if not signed or header != _Header("HS256", "JWT"):
        raise KlingError(1002)
    if claims.nbf > now:
        raise KlingError(1003)
    if claims.exp <= now:
        raise KlingError(1004)
    return claims.iss


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


# -- what is asked --


class Asked(msgspec.Struct, kw_only=True):
    """A request that has passed, as its task remembers it. Pixels and units are added when its pictures are known."""

    path: str
    model: str
    prompt: str
    resolution: str
    aspect: str
    count: int
    series: bool
    watermark: bool
    external: str
    width: int = 0
    height: int = 0
    units: int = 0


def read_asked(fields: Fields, path: str, pictures: int) -> Asked:
    """Everything but the pictures, of which there are so many. Raises Wrong and KlingError for what is wrong first."""
    name = fields.text("model_name") or DEFAULT_MODELS[path]
    rules = MODELS[path].get(name)
    if rules is None:
        raise KlingError(1201, f"model_name value '{name}' is invalid")
    if path == CLASSIC:
        _check_classic(fields, name, rules, pictures)
    _check_elements(fields, rules, pictures)
    if fields.text("callback_url"):
        raise Wrong("callback_url", "value", "the sandbox calls nobody back; leave callback_url out and ask")
    count = fields.whole("n", 1, MOST_PICTURES) or 1
    series = path == OMNI and _is_series(fields, rules)
    return Asked(
        path=path,
        model=name,
        prompt=fields.text("prompt", most_chars=PROMPT_CHARS, required=path != MULTI),
        resolution="1k" if path == MULTI else fields.word("resolution", rules.resolutions, "1k"),
        aspect=_read_aspect(fields, path, rules, pictures),
        count=_series_amount(fields) if series else count,
        series=series,
        watermark=fields.inside("watermark_info").flag("enabled"),
        external=fields.text("external_task_id"),
    )


def _read_aspect(fields: Fields, path: str, rules: Model, pictures: int) -> str:
    aspect = fields.word("aspect_ratio", rules.aspects)
    if aspect == "auto" and rules.auto_needs_image and not pictures:
        raise Wrong("aspect_ratio", "value", "aspect_ratio auto is not supported without an image")
    return aspect or ("auto" if path == OMNI else "16:9")


def _is_series(fields: Fields, rules: Model) -> bool:
    return fields.word("result_type", ("single", "series") if rules.series else ("single",)) == "series"


def _check_classic(fields: Fields, name: str, rules: Model, pictures: int) -> None:
    if rules.needs_image and not pictures:
        raise Wrong("image", "missing", f"image is required by {name}")
    if fields.text("negative_prompt", most_chars=PROMPT_CHARS) and pictures:
        raise Wrong("negative_prompt", "value", "negative_prompt is not supported when image is not empty")
    reference = fields.word("image_reference", ("subject", "face") if rules.references else ())
    if reference and not pictures:
        raise Wrong("image", "missing", "image is required when image_reference is not empty")
    if rules.needs_reference and pictures and not reference:
        raise Wrong("image_reference", "missing", f"image_reference is required by {name} when image is not empty")
    for fidelity in _ALL_FIDELITIES:
        if fields.number(fidelity, 0, 1) is not None and fidelity not in rules.fidelities:
            raise Wrong(fidelity, "value", f"{fidelity} is not supported by {name}")


def _series_amount(fields: Fields) -> int:
    amount = fields.anything("series_amount")
    if amount in (None, "auto"):
        return 4
    if type(amount) is not int or not 2 <= amount <= MOST_PICTURES:
        raise Wrong("series_amount", "range", f"series_amount must be from 2 to {MOST_PICTURES}, or auto")
    return amount


def _check_elements(fields: Fields, rules: Model, pictures: int) -> None:
    elements = fields.objects("element_list")
    for element in elements:
        element.take("element_id", int, required=True)
    if elements and not rules.elements:
        raise Wrong("element_list", "value", "element_list is not supported by this model")
    if len(elements) + pictures > MOST_REFERENCES:
        raise Wrong("element_list", "length", f"elements and images must not exceed {MOST_REFERENCES}")


def read_references(fields: Fields, path: str) -> list[tuple[str, object]]:
    """The pictures of a request, each with the field it stands in, as values of its JSON."""
    if path == CLASSIC:
        return [("image", image)] if (image := fields.anything("image")) else []
    if path == OMNI:
        entries = fields.objects("image_list", most=MOST_REFERENCES)
        return [(entry.where("image"), entry.take("image", str, required=True)) for entry in entries]
    entries = fields.objects("subject_image_list", least=1, most=MOST_SUBJECTS)
    subjects = [(entry.where("subject_image"), entry.take("subject_image", str, required=True)) for entry in entries]
    extras = [(name, value) for name in ("scene_image", "style_image") if (value := fields.anything(name))]
    return [*subjects, *extras]


def measure(asked: Asked, inputs: Sequence[Input]) -> tuple[int, int]:
    """Pixels: the area of the resolution's square in the aspect asked for; `auto` is the first input's, else 1:1."""
    wide, high = (inputs[0].media.width, inputs[0].media.height) if inputs else (1, 1)
    if asked.aspect != "auto":
        wide, high = (int(side) for side in asked.aspect.split(":"))
    edge = EDGES[asked.resolution]
    return int(edge * math.sqrt(wide / high)) // 16 * 16, int(edge * math.sqrt(high / wide)) // 16 * 16


def price(asked: Asked, inputs: Sequence[Input]) -> int:
    """In units, by Kling's page of image prices."""
    from_text, from_inputs = MODELS[asked.path][asked.model].units
    each = FINEST_UNITS if asked.resolution == "4k" else from_inputs if inputs else from_text
    return each * asked.count


# -- the simulator --


class Kling(Vendor):
    """Image generation, omni images and multi-image to image, below `/kling`."""

    name = "kling"

    def __init__(self, studio: Studio) -> None:
        super().__init__(studio)
        #: Tasks by their asker's key and his own id.
        self._external = Names(studio.folder / self.name)

    def routes(self) -> Iterable[web.RouteDef]:
        for path in MODELS:
            yield web.post(path, self.answering(partial(self._create, path)))
            yield web.get(path + "/{id}", self.answering(partial(self._query, path)))
        yield web.route("*", "/{path:.*}", self.answering(self._lost))

    def own_error(self, status: int) -> KlingError:
        return KlingError(_FAULTS[status])

    def translated(self, error: BadRequest) -> KlingError:
        return KlingError(1201, error.message)

    def check_key(self, visit: Visit) -> None:
        self._caller(visit)

    def _caller(self, visit: Visit) -> str:
        """The access key, or the API key, of whoever asks."""
        if not visit.bearer:
            raise KlingError(1001)
        key = issuer(visit.bearer, time.time())
        if not self.studio.accepts(key):
            raise KlingError(1002)
        return key

    async def _create(self, path: str, visit: Visit) -> web.StreamResponse:
        caller = self._caller(visit)
        values, cuts = await visit.json(INPUT_BYTES, MOST_REFERENCES, _PICTURE_KEYS)
        fields = Fields(values)
        references = read_references(fields, path)
        asked = read_asked(fields, path, len(references))
        inputs = [await self._look(where, value, cuts) for where, value in references]
        if asked.external and self._external.find(f"{caller} {asked.external}") is not None:
            raise Wrong("external_task_id", "value", "external_task_id is already in use")
        if refused(asked.prompt):
            raise KlingError(1301)
        if (trouble := await self.misbehave(visit, asked.prompt)) is not None:
            return trouble
        asked.width, asked.height = measure(asked, inputs)
        asked.units = price(asked, inputs)
        task = self._find(path, self._begin(caller, asked, inputs))
        return await _say(visit, _head(task, "submitted", asked))

    async def _look(self, where: str, value: object, cuts: Sequence[Cut]) -> Input:
        """A picture of the request, if it is one that Kling takes."""
        cut = find(value, cuts)
        if cut is not None and cut.spool.media_type:
            raise Wrong(where, "value", f"{where} must be base64 without the prefix data:{cut.spool.media_type}")
        try:
            found = await shown(value, cuts, self.studio, INPUT_FORMATS, INPUT_BYTES)
        except BadRequest as error:
            raise Wrong(where, "value", f"{where}: {error.message}") from error
        short, long = sorted((found.media.width, found.media.height))
        if short < INPUT_SIDE or long > INPUT_RATIO * short:
            message = f"{where} must have {INPUT_SIDE} pixels a side at least, and an aspect from 1:2.5 to 2.5:1"
            raise Wrong(where, "range", message)
        return found

    def _begin(self, caller: str, asked: Asked, inputs: Sequence[Input]) -> str:
        id = self.studio.tasks.begin(msgspec.structs.asdict(asked), [found.data for found in inputs])
        if asked.external:
            self._external.give(f"{caller} {asked.external}", id)
        return id

    def _find(self, path: str, id: str) -> Task:
        task = self.studio.tasks.find(id)
        if task is None or task.memo.get("path") != path:
            raise KlingError(1203, f"The task '{id[:40]}' does not exist")
        return task

    async def _query(self, path: str, visit: Visit) -> web.StreamResponse:
        caller = self._caller(visit)
        id = visit.request.match_info["id"]
        task = self._find(path, self._external.find(f"{caller} {id}") or id)
        asked = msgspec.convert(task.memo, Asked)
        if task.phase != "done":
            status = "submitted" if task.phase == "queued" else "processing"
            return await _say(visit, {**_head(task, status, asked), "task_status_msg": ""})
        for wanted, message in ((refused_late, "Failure to pass the risk control system"), (fails, "Failed")):
            if wanted(asked.prompt):
                told = {"task_status_msg": message, "final_unit_deduction": "0"}
                return await _say(visit, {**_head(task, "failed", asked), **told})
        return await _say(visit, {**_head(task, "succeed", asked), **await self._result(visit, task, asked)})

    async def _result(self, visit: Visit, task: Task, asked: Asked) -> Mapping[str, object]:
        scenes = _scenes(task, asked)
        pictures = await self.paint(visit, scenes)
        images = [{"index": index, "url": self.hosted(p, asked.prompt)} for index, p in enumerate(pictures)]
        if asked.watermark:
            marked = [msgspec.structs.replace(scene, label="Kling AI") for scene in scenes]
            for image, picture in zip(images, await self.paint(visit, marked), strict=True):
                image["watermark_url"] = self.hosted(picture, asked.prompt)
        kind, name = ("series", "series_images") if asked.series else ("single", "images")
        return {
            "task_status_msg": "",
            "task_result": {"result_type": kind, name: images},
            "watermark_info": {"enabled": asked.watermark},
            "final_unit_deduction": str(asked.units),
        }

    async def _lost(self, visit: Visit) -> web.StreamResponse:
        raise KlingError(1202)


def _head(task: Task, status: str, asked: Asked) -> Mapping[str, object]:
    return {
        "task_id": task.id,
        "task_status": status,
        "task_info": {"external_task_id": asked.external},
        "created_at": task.began_ms,
        "updated_at": int(time.time() * 1000),
    }


def _scenes(task: Task, asked: Asked) -> list[Scene]:
    """One for each picture; they differ by their seeds, and share the input."""
    first = Scene(
        model=asked.model,
        prompt=asked.prompt,
        width=asked.width,
        height=asked.height,
        base=task.inputs[0] if task.inputs else None,
    )
    seeds = (seed_from(asked.model, asked.prompt, str(index)) for index in range(asked.count))
    return [msgspec.structs.replace(first, seed=seed) for seed in seeds]


async def _say(visit: Visit, data: Mapping[str, object]) -> web.StreamResponse:
    return await visit.send({"code": 0, "message": "SUCCEED", "request_id": str(uuid.uuid4()), "data": data})
