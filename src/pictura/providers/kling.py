"""Kling AI's image models, https://kling.ai/document-api (in China https://klingai.com/document-api).

Wire facts: Kling's own pages on authentication, error codes, image generation, omni images, multi-image to image, and
its update notes (2026-09 and 2026-10, read in copies; confidence: official page) unless said otherwise.

    POST /v1/images/generations         {"model_name", "prompt", "negative_prompt"?, "image"?, "image_reference"?, …}
    POST /v1/images/multi-image2image   {"model_name", "prompt", "subject_image_list": [{"subject_image"}, …], …}
    POST /v1/images/omni-image          {"model_name", "prompt", "image_list": [{"image"}, …]?, "element_list"?, …}
    → {"code": 0, "message", "request_id", "data": {"task_id", "task_status": "submitted", "task_info", …}}
    GET  the same path + "/" + the task's id, or the external_task_id it was given
    → "data": {"task_status": submitted | processing | succeed | failed, "task_status_msg", "final_unit_deduction",
               "task_result": {"images": [{"index", "url", "watermark_url"?}], "series_images"?: […]}}
    → 4xx, 5xx {"code", "message", "request_id"}

Pictures go as bare base64. There is no seed, no mask, no choice of format and no cancel; a URL lives for 30 days.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from pictura.core.capability import neutral
from pictura.core.errors import (
    BadRequest,
    CallerError,
    Failed,
    Lost,
    Malformed,
    PicturaError,
    Refused,
    Rejected,
    Throttled,
    Unsupported,
)
from pictura.core.model import Anything, Choice, Descriptor, Flag, Inputs, ModelCard, Prompt, Source, Span, Words
from pictura.core.money import usd
from pictura.core.picture import Inline
from pictura.core.price import PerPicture, PriceList, Row
from pictura.core.size import Shapes
from pictura.infra.http import Answer
from pictura.infra.payload import Payload, json_payload
from pictura.providers.answers import document_of, items, mapping, picture, said, task_id
from pictura.providers.base import Ask, Channel, Done, Pending, TaskProvider, error_from, retry_after, unreadable

_PAGE = Source("Kling's pages on image generation, omni images and the capability map", "2026-10-04", "official page")
_FORMER = Source(
    "Kling's update notes; resellers' copies of its former page", "2026-03-29", "third party, partly official"
)
_PRICES = Source("Kling's page of image prices", "2026-09", "official page")
_FORMER_PRICES = Source("inference.sh's list of Kling's prices", "2026", "third party")

# The classic path draws 16:9 when nothing is said; the omni path decides itself.
_ASPECTS = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9")
_COMMON: dict[str, Descriptor] = {"watermark": Flag(False)}
_OMNI_OPTIONS: dict[str, Descriptor] = {**_COMMON, "element_list": Anything()}
_CLASSIC_OPTIONS: dict[str, Descriptor] = {**_COMMON, "negative_prompt": Words(2_500)}
_LIKENESS: dict[str, Descriptor] = {
    "image_fidelity": Span(0, 1, whole=False, default=0.5),
    "human_fidelity": Span(0, 1, whole=False, default=0.45),
}

_OMNI = ModelCard(
    id="kling-v3-omni",
    aliases=("Kling:3.0-omni",),
    released="2026-02-25",
    released_known=True,
    modes=("generate", "edit"),
    prompt=Prompt(max_chars=2_500),
    sizes=Shapes(aspects=_ASPECTS, tiers=("1k", "2k", "4k"), default_aspect="auto", default_tier="1k"),
    max_n=9,
    inputs=Inputs(count=10, formats=("jpeg", "png"), max_bytes=10_000_000, min_edge=300, max_ratio=2.5),
    params={**_OMNI_OPTIONS, "result_type": Choice(("single", "series"), "single"), "series_amount": Anything()},
    price=PriceList((Row(usd("0.028"), size="1K"), Row(usd("0.028"), size="2K"), Row(usd("0.056"), size="4K"))),
    price_source=_PRICES,
    source=_PAGE,
    notes=(
        "A prompt names its inputs <<<image_1>>>. With result_type series, n counts for nothing and series_amount (2 "
        "to 9, or auto) is billed."
    ),
)
_CLASSIC = replace(
    _OMNI,
    id="kling-v2-1",
    aliases=("Kling:2.1",),
    released="2025-07-30",
    sizes=Shapes(aspects=_ASPECTS, tiers=("1k", "2k"), default_aspect="16:9", default_tier="1k"),
    inputs=replace(_OMNI.inputs, count=4),
    params={**_CLASSIC_OPTIONS, **_LIKENESS, "image_reference": Choice(("subject", "face"))},
    # Of several inputs a picture costs $0.056, however many they are.
    price=PerPicture(usd("0.014"), input_amount=usd("0.014")),
    notes="Only of one input, or none, it takes more options than watermark. A negative prompt goes with no input.",
)
_ONE_INPUT = replace(_CLASSIC.inputs, count=1)
_OLD = replace(
    _CLASSIC,
    status="deprecated",
    successor="kling-v2-1",
    params=_CLASSIC_OPTIONS,
    price_source=_FORMER_PRICES,
    source=_FORMER,
    notes="Gone from Kling's pages since 2026; whether it still draws is not established.",
)


class Kling(TaskProvider):
    """Kling AI, https://kling.ai/document-api. Answers by task id."""

    name = "kling"
    base_url = "https://api-singapore.klingai.com"
    env: ClassVar = {"access_key": "KLING_ACCESS_KEY", "secret_key": "KLING_SECRET_KEY"}
    #: Kling's newer kind of key, which signs nothing; where a channel has one, the pair is not used.
    optional_env: ClassVar = {"api_key": "KLING_API_KEY"}
    sandbox_path = "/kling"
    # An external_task_id "must be unique"; that a second one is refused nobody says, so a repeat looks for the first.
    dedupes = True
    MODELS = (
        _OMNI,
        replace(
            _OMNI,
            id="kling-image-o1",
            aliases=("Kling:O1",),
            released="2025-12-15",
            sizes=replace(_OMNI.sizes, tiers=("1k", "2k")),
            params=_OMNI_OPTIONS,
            price=PerPicture(usd("0.028")),
            notes="A prompt names its inputs <<<image_1>>>. Tencent and ComfyUI list 4k for it too, at $0.056.",
        ),
        replace(
            _CLASSIC,
            id="kling-v3-image",
            native="kling-v3",
            aliases=("Kling:3.0",),
            released="2026-02-25",
            inputs=_ONE_INPUT,
            params={**_CLASSIC_OPTIONS, "element_list": Anything()},
            price=PerPicture(usd("0.028")),
            notes="A negative prompt goes with no input.",
        ),
        _CLASSIC,
        replace(
            _OLD,
            id="kling-v2-new",
            aliases=(),
            released="2025-08-15",
            modes=("edit",),
            inputs=replace(_ONE_INPUT, required=True),
            # It takes a negative prompt only where there is no picture.
            params={name: option for name, option in _OLD.params.items() if name != "negative_prompt"},
            notes=f"Gives a picture another style. {_OLD.notes}",
        ),
        replace(_OLD, id="kling-v2", aliases=("Kling:2.0",), released="2025-05-13"),
        replace(
            _OLD,
            id="kling-v1-5",
            aliases=("Kling:1.5",),
            released="2025-03-12",
            sizes=replace(_CLASSIC.sizes, tiers=("1k",)),
            inputs=_ONE_INPUT,
            # With an input, Kling wants to be told which.
            params={**_CLASSIC_OPTIONS, **_LIKENESS, "image_reference": Choice(("subject", "face"), "subject")},
        ),
        replace(
            _OLD,
            id="kling-v1",
            aliases=("Kling:1.0",),
            released=_FORMER.date,
            released_known=False,
            # 21:9 came with kling-v1-5.
            sizes=replace(_CLASSIC.sizes, aspects=_ASPECTS[:-1], tiers=("1k",)),
            inputs=_ONE_INPUT,
            params={**_CLASSIC_OPTIONS, "image_fidelity": _LIKENESS["image_fidelity"]},
            price=PerPicture(usd("0.0035")),
        ),
    )

    async def start(self, ask: Ask, via: Channel) -> Pending:
        path = _path(ask)
        own = f"{path}/{quote(ask.client_id, safe='')}"
        data = await self._found(via, own) if ask.repeated else {}
        try:
            data = data or await self._call(via, "POST", path, json_payload(_body(ask, path)))
        except (BadRequest, Lost, Malformed):
            # Turned away, perhaps because its id is known, or without an answer: it may be at work already.
            data = await self._found(via, own) if ask.client_id else {}
            if not data:
                raise
        id = task_id(data.get("task_id"))
        if not id:
            raise Malformed(f"{self.name} answered without a task id")
        # Asked for a watermark, it gives each picture twice.
        field = "watermark_url" if ask.params.get("watermark") is True else "url"
        return Pending(upstream_id=id, poll_after_s=POLL_S, state={"path": path, "field": field})

    async def check(self, task: Pending, via: Channel) -> Done | Pending:
        try:
            data = await self._call(via, "GET", f"{task.state['path']}/{quote(task.upstream_id, safe='')}")
        except (CallerError, Failed, Malformed) as error:
            # The question failed. That the task did, only its own status says.
            raise Lost(error.message) from error
        status = data.get("task_status")
        if status == "failed":  # a refusal by its safety system is told in words only
            raise Failed(said(data.get("task_status_msg"), via), upstream_code="failed")
        return _done(data, task.state["field"]) if status == "succeed" else task

    async def _found(self, via: Channel, path: str) -> Mapping[str, object]:
        """`data` of a task that is there; empty where none is, or nobody can tell."""
        try:
            return await self._call(via, "GET", path)
        except PicturaError:
            return {}

    async def _call(self, via: Channel, method: str, path: str, body: Payload | None = None) -> Mapping[str, object]:
        """`data` of an answer of code 0. Raises what another code says."""
        answer = await via.send(method, path, headers={"Authorization": f"Bearer {_token(via)}"}, body=body)
        answer.close()  # results are URLs: there is no picture in it
        document = document_of(answer)
        code = document.get("code")
        if code == 0 and answer.status < 300:
            return mapping(document.get("data"))
        if isinstance(code, int):
            raise self._verdict(code, said(document.get("message"), via), answer)
        if answer.status < 300:
            raise Malformed(f"{self.name} answered without a code", upstream_status=answer.status)
        raise unreadable(answer)

    def _verdict(self, code: int, message: str, answer: Answer) -> PicturaError:
        rest_s = retry_after(answer)
        if code in _REFUSALS:
            return Refused(message, reason=str(code), by=self.name)
        if code in _CALLERS_FAULT:
            return BadRequest(message)
        if code in _TOO_MANY:
            return Throttled(message, upstream_status=answer.status, upstream_code=str(code), retry_after_s=rest_s or 1)
        if code in _OPERATORS_AFFAIR:
            return Rejected(message, upstream_status=answer.status, upstream_code=str(code), config=True)
        if answer.status < 300:
            return Failed(message, upstream_status=answer.status, upstream_code=str(code))
        return error_from(answer.status, message, str(code), rest_s)


POLL_S = 3.0
#: Of a JWT: how long it lives, and by how much our clock may be ahead of Kling's.
TOKEN_S, LEEWAY_S = 1800, 5
#: What Kling counts in.
UNIT = usd("0.0035")

_CLASSIC_PATH, _MULTI_PATH, _OMNI_PATH = (
    f"/v1/images/{word}" for word in ("generations", "multi-image2image", "omni-image")
)
_OMNI_MODELS = frozenset({"kling-v3-omni", "kling-image-o1"})
#: Kling's service codes; 5000 to 5002 are its server's own trouble.
_REFUSALS = frozenset({1300, 1301})
_CALLERS_FAULT = frozenset({1200, 1201})
_TOO_MANY = frozenset({1302, 1303})
#: The key or our clock, arrears, what the account may not use, an unknown path or model, an address that is not listed.
_OPERATORS_AFFAIR = frozenset({1000, 1001, 1002, 1003, 1004, 1100, 1101, 1102, 1103, 1202, 1203, 1304})


def _token(via: Channel) -> str:
    if key := via.secrets.get("api_key"):
        return key
    now = int(time.time())
    claims = {"iss": via.secrets.get("access_key", ""), "exp": now + TOKEN_S, "nbf": now - LEEWAY_S}
    return _signed(claims, via.secrets.get("secret_key", ""))


def _signed(claims: Mapping[str, object], secret: str) -> str:
    """A JSON Web Token (RFC 7519) by HMAC-SHA256."""
    text = b".".join(_base64url(msgspec.json.encode(part)) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signature = hmac.digest(secret.encode(), text, hashlib.sha256)
    return b".".join((text, _base64url(signature))).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _path(ask: Ask) -> str:
    if ask.card.id in _OMNI_MODELS:
        return _OMNI_PATH
    return _MULTI_PATH if len(ask.images) > 1 else _CLASSIC_PATH


def _body(ask: Ask, path: str) -> Mapping[str, object]:
    told = {"aspect_ratio": ask.size.aspect, "resolution": ask.size.tier, "external_task_id": ask.client_id}
    return {
        "model_name": ask.native,
        "prompt": ask.prompt,
        "n": ask.n,
        **{name: word for name, word in told.items() if word},
        **_options(ask, path),
        **_pictures(ask, path),
    }


def _options(ask: Ask, path: str) -> dict[str, object]:
    """What the card lists, under Kling's names. A series_amount of "auto" means something."""
    options = {
        name: value
        for name, value in ask.params.items()
        if name in ask.card.params and (name == "series_amount" or not neutral(value))
    }
    if "watermark" in options:
        options["watermark_info"] = {"enabled": options.pop("watermark")}
    reference = ask.card.params.get("image_reference")
    if ask.images and isinstance(reference, Choice) and reference.default:
        options.setdefault("image_reference", reference.default)
    for name in options.keys() - {"watermark_info"} if path == _MULTI_PATH else ():
        raise Unsupported(f"{ask.card.id} takes {name} with one input at most; leave it out", param=name)
    return options


def _pictures(ask: Ask, path: str) -> Mapping[str, object]:
    inlines = [Inline(image.source) for image in ask.images]
    if not inlines:
        return {}
    if path == _OMNI_PATH:
        return {"image_list": [{"image": inline} for inline in inlines]}
    if path == _MULTI_PATH:
        return {"subject_image_list": [{"subject_image": inline} for inline in inlines]}
    return {"image": inlines[0]}


def _done(data: Mapping[str, object], field: str) -> Done:
    result = mapping(data.get("task_result"))
    entries = [*items(result.get("images")), *items(result.get("series_images"))]
    pictures = [raw for entry in entries if (raw := picture((entry.get(field), entry.get("url"))))]
    if not pictures:
        raise Malformed("the provider's task succeeded without a picture")
    return Done(pictures=tuple(pictures), cost=_cost(data.get("final_unit_deduction")))


def _cost(units: object) -> int | None:
    """Micro-USD; None where no units are told, or none were taken: an account without a package pays otherwise."""
    if not isinstance(units, str) or not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", units):
        return None
    return int(Decimal(units) * UNIT) or None
