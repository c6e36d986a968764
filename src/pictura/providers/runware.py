"""Runware, https://runware.ai: open models and others' through one API. Answers by task id.

Wire facts: runware 0.5.24 (seen 2026-11-20, confidence: official SDK), which speaks WebSocket, and runware.ai/docs
(stored copies of 2026; documented), which has the same tasks over HTTP, unless said otherwise.

    POST /   a JSON array of tasks, of which only one is sent here
    [{"taskType": "imageInference", "taskUUID", "model": "runware:100@1", "positivePrompt", "width", "height",
      "numberResults", "outputFormat": "JPG" | "PNG" | "WEBP", "includeCost", "deliveryMethod": "async", …}]
    [{"taskType": "getResponse", "taskUUID"}]
    → {"data": [{"taskType", "taskUUID"}]}                             accepted
    → {"data": [{"taskUUID", "status": "processing"}]}                 each of the pictures as it stands
    → {"data": [{"taskUUID", "status": "success", "imageUUID", "imageURL", "seed", "cost", "NSFWContent"?}]}
    → {"errors": [{"code", "message", "parameter", "taskType", "taskUUID"}]}

A second task with the same UUID is turned away with `conflictTaskUUID`, and the SDK then asks for the first one's
results. So the UUID is made from our client id, and a lost call may be repeated. For how long Runware remembers a UUID
is not documented.

What works over a picture without a word has tasks of its own, answered in the same way; they are called and they take
their picture as the SDK has it (`imageUpscale` and `imageBackgroundRemoval` in `inputImage`, `vectorize` in
`inputs.image`). The vendor's pages of 2026 say `upscale` and `removeBackground`, and `inputs.image` for all.

Where a model takes its pictures, and what sizes: ImageRouter's registry (2026-02) and bifrost's table, made from
Runware's published schemas (2026; both third party). A field that a model does not declare is refused.

A picture that the safety check flags is delivered all the same; where a caller asked for the check, it is withheld.
There is no cancel.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import ClassVar

from msgspec.structs import replace

from pictura.core.errors import BadRequest, Failed, Malformed, PicturaError, Refused, Rejected
from pictura.core.model import Anything, Descriptor, Flag, Inputs, Mask, ModelCard, Prompt, Source, Span, Words
from pictura.core.money import usd
from pictura.core.picture import Inline
from pictura.core.price import PerMegapixel, PerPicture
from pictura.core.size import FreePixels, ListedPixels, OwnSize
from pictura.infra.http import Answer
from pictura.infra.payload import json_payload
from pictura.providers.answers import DEAREST_USD, items, mapping, micro_usd, picture, question, said, word
from pictura.providers.base import (
    NOBODY,
    Ask,
    Channel,
    Done,
    Pending,
    Raw,
    TaskProvider,
    error_from,
    retry_after,
    unreadable,
)
from pictura.providers.masks import white_where_edited

_DOCS = Source("runware 0.5.24; runware.ai/docs", "2026-11-20", "official SDK; ranges of numbers are memory")
_ROUTER = Source(
    "runware.ai/docs, as told by bifrost and a skill of 2026; ImageRouter's registry", "2026", "third party"
)
_PRICES = Source("runware.ai/docs, the model's page, as a project read it", "2026-05-02", "third party")
_PAGES = Source("runware.ai/docs, the model's page (1K)", "2026", "documented")
_BFL_PRICES = Source("BFL's price, which Runware takes over wherever its pages name one", "2026", "inferred")
_TOOL_PAGES = Source("runware 0.5.24; runware.ai/docs (2025-10, 2026)", "2026-11-20", "official SDK and documented")
_RECRAFT = Source("Recraft's pricing page, whose price Runware is taken to ask too", "2026", "inferred")

_OPTIONS: dict[str, Descriptor] = {"seed": Span(0, 2**31 - 1), "checkContent": Flag(default=False)}
_BFL_OPTIONS: dict[str, Descriptor] = {
    **_OPTIONS,
    "prompt_upsampling": Flag(default=False),
    "safety_tolerance": Span(0, 6, default=2),
}
_OPEN_OPTIONS: dict[str, Descriptor] = {
    **_OPTIONS,
    "steps": Span(1, 100, default=28),
    "guidance_scale": Span(0, 50, whole=False, default=3.5),
    "strength": Span(0, 1, whole=False, default=0.8),
    "negative_prompt": Words(3_000),
    "scheduler": Words(100),
}

_DEV = ModelCard(
    id="runware-flux-dev",
    native="runware:101@1",
    released=_DOCS.date,
    modes=("generate", "edit", "inpaint"),
    prompt=Prompt(max_chars=3_000),
    sizes=FreePixels(
        step=64,
        min_edge=128,
        max_edge=2048,
        presets=("1024x1024", "1344x768", "768x1344", "1216x832", "832x1216", "1152x896", "896x1152"),
        auto=False,
        default="1024x1024",
    ),
    max_n=20,
    inputs=Inputs(count=1),
    mask=Mask(),
    outputs=("jpeg", "png", "webp"),
    params=_OPEN_OPTIONS,
    source=_DOCS,
    notes="Priced by what was computed; Runware tells the cost of each picture.",
)
_PRO = replace(
    _DEV,
    id="runware-flux-1.1-pro",
    native="bfl:2@1",
    released="2024-10-02",
    released_known=True,
    modes=("generate",),
    sizes=FreePixels(
        step=32,
        min_edge=256,
        max_edge=1440,
        presets=("1024x1024", "1344x768", "768x1344", "1216x832", "832x1216"),
        auto=False,
        default="1024x1024",
    ),
    inputs=Inputs(),
    mask=None,
    params=_BFL_OPTIONS,
    price=PerPicture(usd("0.04")),
    price_source=_PAGES,
    source=_ROUTER,
    notes="",
)
#: What works over a picture without a word.
_TOOL = ModelCard(
    id="runware-recraft-vectorize",
    native="recraft:1@1",
    released=_DOCS.date,
    modes=("edit",),
    prompt=Prompt("none"),
    inputs=Inputs(count=1, max_bytes=20_000_000, required=True),
    outputs=("svg",),
    price=PerPicture(usd("0.01")),
    price_source=_RECRAFT,
    source=_TOOL_PAGES,
)


class Runware(TaskProvider):
    """Runware, https://runware.ai/docs. Answers by task id."""

    name = "runware"
    base_url = "https://api.runware.ai/v1"
    env: ClassVar = {"api_key": "RUNWARE_API_KEY"}
    sandbox_path = "/runware/v1"
    dedupes = True
    MODELS = (
        _DEV,
        replace(
            _DEV,
            id="runware-flux-schnell",
            native="runware:100@1",
            params={**_OPEN_OPTIONS, "steps": Span(1, 100, default=4)},
        ),
        _PRO,
        replace(
            _PRO,
            id="runware-flux-kontext-pro",
            native="bfl:3@1",
            released="2025-07-11",
            modes=("generate", "edit"),
            sizes=ListedPixels(
                values=(
                    *("1568x672", "1392x752", "1184x880", "1248x832", "1024x1024"),
                    *("832x1248", "880x1184", "752x1392", "672x1568"),
                ),
                default="1024x1024",
            ),
            inputs=Inputs(count=2),
        ),
        replace(
            _PRO,
            id="runware-flux-2-pro",
            native="bfl:5@1",
            released="2025-11-26",
            modes=("generate", "edit"),
            prompt=Prompt(max_chars=32_000),
            sizes=FreePixels(
                step=16,
                min_edge=256,
                max_edge=2048,
                max_pixels=4_194_304,
                presets=("1024x1024", "1344x768", "768x1344", "1216x832", "832x1216", "2048x2048"),
            ),
            max_n=1,
            inputs=Inputs(count=9),
            price=PerMegapixel(usd("0.03"), usd("0.015"), usd("0.015")),
            price_source=replace(_PAGES, name=f"{_PAGES.name}, and BFL's price, which it agrees with"),
        ),
        replace(
            _PRO,
            id="runware-flux-fill-pro",
            native="bfl:1@2",
            released=_DOCS.date,
            released_known=False,
            modes=("inpaint",),
            sizes=OwnSize(),
            inputs=Inputs(count=1, required=True),
            mask=Mask(),
            params={
                **_BFL_OPTIONS,
                "steps": Span(15, 50, default=50),
                "guidance_scale": Span(1.5, 100, whole=False, default=60),
            },
            price=PerPicture(usd("0.05")),
            price_source=_BFL_PRICES,
            notes="Runware wants the mask too.",
        ),
        replace(
            _PRO,
            id="runware-seedream-4.5",
            native="bytedance:seedream@4.5",
            released=_DOCS.date,
            released_known=False,
            modes=("generate", "edit"),
            params=_OPTIONS,
            sizes=FreePixels(
                min_pixels=3_686_400,
                max_pixels=16_777_216,
                max_ratio=16,
                presets=(
                    *("2048x2048", "2304x1728", "1728x2304", "2560x1440", "1440x2560", "2496x1664", "1664x2496"),
                    *("3024x1296", "4096x4096", "4608x3456", "3456x4608"),
                ),
                auto=False,
                default="2048x2048",
            ),
            inputs=Inputs(count=14),
            price_source=_PRICES,
        ),
        _TOOL,
        replace(
            _TOOL,
            id="runware-birefnet",
            native="runware:112@1",
            outputs=("png",),
            transparent=True,
            price=None,
            price_source=None,
            notes=_DEV.notes,
        ),
        replace(
            _TOOL,
            id="runware-swinir",
            native="runware:503@1",
            outputs=("jpeg", "png", "webp"),
            params={"upscale_factor": Span(2, 4, default=2)},
            price=None,
            price_source=None,
            notes=f"upscale_factor is 2 or 4; the picture becomes at most 4096x4096. {_DEV.notes}",
        ),
    )

    def generic(self, model: str) -> ModelCard:
        """What any model might take. `model` is an AIR id, `civitai:36520@76907`."""
        return replace(_GENERIC, id=model)

    async def start(self, ask: Ask, via: Channel) -> Done | Pending:
        task = Pending(upstream_id=task_uuid(ask.client_id), poll_after_s=1.0)
        mask = (await white_where_edited(ask.mask)).data_url if ask.mask else None
        kind = _TOOLS.get(ask.native, "imageInference")
        answer = await _send(via, {"taskType": kind, "taskUUID": task.upstream_id, **_fields(ask, mask)})
        return self._outcome(answer, task, via, began=False)

    async def check(self, task: Pending, via: Channel) -> Done | Pending:
        answer = await _send(via, {"taskType": "getResponse", "taskUUID": task.upstream_id})
        with question(answer) if answer.status >= 300 else nullcontext():
            return self._outcome(answer, task, via, began=True)

    def _outcome(self, answer: Answer, task: Pending, via: Channel, *, began: bool) -> Done | Pending:
        try:
            return self._read(answer, task, via, began=began)
        finally:
            answer.close()  # pictures come as URLs

    def _read(self, answer: Answer, task: Pending, via: Channel, *, began: bool) -> Done | Pending:
        """`began`: the task was accepted before, so that an error which names it is its end."""
        document = _document(answer, began)
        entries = _of(task, document.get("data"))
        errors = _of(task, document.get("errors"))
        if began and answer.status in _TOLD and errors and not entries:
            raise self._failure(errors[0], via)
        if not began and errors and errors[0].get("code") == _CONFLICT:
            return task
        if answer.status >= 300 or (errors and not entries):
            raise self._verdict(answer, errors or items(document.get("errors")), via)
        if not entries and not began:
            raise Malformed("the provider answered without a task", upstream_status=answer.status)
        results = [entry for entry in entries if entry.get("imageUUID")]
        if not results or any(entry.get("status") == "processing" for entry in entries):
            return task
        return self._done(results)

    def _done(self, results: Sequence[Mapping[str, object]]) -> Done:
        clean = [entry for entry in results if entry.get("NSFWContent") is not True]
        if not clean:
            message = "the safety check that was asked for flagged what was drawn"
            raise Refused(message, reason="NSFWContent", by=self.name, billed=True)
        pictures = [raw for entry in clean if (raw := _raw(entry))]
        if not pictures:
            raise Malformed("the provider's task succeeded without a picture")
        return Done(pictures=tuple(pictures), cost=_cost(results))

    def _failure(self, error: Mapping[str, object], via: Channel) -> PicturaError:
        """The end of a task that was accepted."""
        message, code = said(error.get("message"), via), str(error.get("code", ""))
        if code in _REFUSALS:
            return Refused(message, reason=code, by=self.name)
        return Failed(message, upstream_code=code)

    def _verdict(self, answer: Answer, errors: Sequence[Mapping[str, object]], via: Channel) -> PicturaError:
        """Why a request was not taken."""
        if not errors:
            return unreadable(answer)
        error = errors[0]
        message, code, status = said(error.get("message"), via), str(error.get("code", "")), answer.status
        if code in _REFUSALS:
            return Refused(message, reason=code, by=self.name)
        if code in _OPERATORS_AFFAIR:
            return Rejected(message, upstream_status=status, upstream_code=code, config=True)
        if status in (400, 422):
            param = word(error.get("parameter"))
            return BadRequest(message, param=_PARAMS.get(param, param) or None)
        if status < 300:
            return Failed(message, upstream_status=status, upstream_code=code)
        return error_from(status, message, code, retry_after(answer))


#: Who takes pictures in `inputs.referenceImages`, to be guided by them: the houses whose models all do, by the first
#: part of an AIR id, and models of the others. Everybody else works over one, in `seedImage`.
_GUIDED_HOUSES = frozenset(
    {
        *("alibaba", "bytedance", "google", "klingai", "krea", "luma"),
        *("openai", "reve", "runway", "sourceful", "vidu", "xai"),
    }
)
_GUIDED = frozenset(
    {
        *("bfl:3@1", "bfl:4@1", "bfl:5@1", "bfl:6@1", "bfl:7@1"),
        *("runware:106@1", "runware:108@20", "runware:108@22"),
        *("runware:400@1", "runware:400@2", "runware:400@3", "runware:400@4", "runware:400@5"),
    }
)

#: The tasks of those that work over a picture without a word.
_TOOLS = {
    "recraft:1@1": "vectorize",
    "runware:112@1": "imageBackgroundRemoval",
    "runware:503@1": "imageUpscale",
}

#: Statuses of an answer that tells of a task, rather than of the question about it.
_TOLD = frozenset({200, 400, 422})
_CONFLICT = "conflictTaskUUID"
#: The first is what several clients meet (third party, 2026); the others stand in one client's list of codes.
_REFUSALS = frozenset(
    {
        "invalidProviderContent",
        "contentPolicyViolation",
        "providerContentPolicyViolation",
        "sensitiveContentDetected",
        "nsfwContentDetected",
        "unsafeContentDetected",
        "promptBlocked",
        "imageBlocked",
        "moderationFailed",
    }
)
#: invalidApiKey: documented; the others from the same client's list.
_OPERATORS_AFFAIR = frozenset(
    {
        "invalidApiKey",
        "missingApiKey",
        "insufficientCredits",
        "quotaExceeded",
        "paymentRequired",
        "accountSuspended",
        "invalidModel",
        "modelNotFound",
    }
)
#: The house's names of fields, and Runware's; then those that go into `providerSettings.bfl`.
_NAMES = {"guidance_scale": "CFGScale", "negative_prompt": "negativePrompt", "upscale_factor": "upscaleFactor"}
_BFL_NAMES = {"prompt_upsampling": "promptUpsampling", "safety_tolerance": "safetyTolerance"}
_PARAMS = {
    "positivePrompt": "prompt",
    "negativePrompt": "negative_prompt",
    "CFGScale": "guidance_scale",
    "numberResults": "n",
    "outputFormat": "output_format",
    "upscaleFactor": "upscale_factor",
    "width": "size",
    "height": "size",
    "seedImage": "image",
    "inputImage": "image",
    "inputs.image": "image",
    "inputs.referenceImages": "image",
    "maskImage": "mask",
}
_FORMATS = {"jpeg": "JPG", "png": "PNG", "webp": "WEBP", "svg": "SVG"}
#: Those that have a quality.
_LOSSY = ("jpeg", "webp")
_LEAST_QUALITY, _MOST_QUALITY = 20, 99

_GENERIC = replace(
    _DEV,
    id="",
    native="",
    released="",
    prompt=Prompt("optional", max_chars=200_000),
    sizes=FreePixels(presets=("1024x1024", "1344x768", "768x1344", "1216x832", "832x1216")),
    inputs=Inputs(count=16, max_bytes=50_000_000),
    mask=Mask(max_bytes=50_000_000),
    params=dict.fromkeys(
        (
            *_OPEN_OPTIONS,
            *("resolution", "acceleration", "acceleratorOptions", "lora", "embeddings", "controlNet", "ipAdapters"),
            *("clipSkip", "vae", "refiner", "outpaint", "maskMargin", "promptWeighting", "useCache"),
            *("providerSettings", "settings", "ttl"),
        ),
        Anything(),
    ),
    source=NOBODY,
    notes="",
)


def task_uuid(client_id: str) -> str:
    """The UUID (of version 4, as Runware wants it) of an attempt: the same whenever the attempt is."""
    if not client_id:
        return str(uuid.uuid4())
    return str(uuid.UUID(bytes=hashlib.sha256(client_id.encode()).digest()[:16], version=4))


async def _send(via: Channel, task: Mapping[str, object]) -> Answer:
    return await via.send("POST", "", headers=via.bearer, body=json_payload([task]))


def _fields(ask: Ask, mask: Inline | None) -> dict[str, object]:
    fields: dict[str, object] = {
        "model": ask.native,
        "outputType": "URL",
        "includeCost": True,
        "deliveryMethod": "async",
    }
    if ask.native not in _TOOLS:
        fields["numberResults"] = ask.n
    if ask.prompt:
        fields["positivePrompt"] = ask.prompt
    if ask.size.width:
        fields |= {"width": ask.size.width, "height": ask.size.height}
    if ask.output_format or len(ask.card.outputs) == 1:
        fields["outputFormat"] = _FORMATS[ask.output_format or ask.card.outputs[0]]
        if ask.output_compression is not None and ask.output_format in _LOSSY:
            fields["outputQuality"] = min(max(ask.output_compression, _LEAST_QUALITY), _MOST_QUALITY)
    return fields | _options(ask) | _pictures(ask, mask)


def _options(ask: Ask) -> dict[str, object]:
    options = ask.options(_NAMES)
    if isinstance(factor := ask.card.params.get("upscale_factor"), Span):  # it cannot be left to the vendor
        options.setdefault(_NAMES["upscale_factor"], factor.default)
    bfl = {theirs: options.pop(ours) for ours, theirs in _BFL_NAMES.items() if ours in options}
    more: dict[str, object] = {"providerSettings": {"bfl": bfl}} if bfl else {}
    if options.pop("checkContent", None) is True:
        more["safety"] = {"checkContent": True}
    return options | more


def _pictures(ask: Ask, mask: Inline | None) -> dict[str, object]:
    pictures = [image.data_url for image in ask.images]
    if not pictures:
        return {}
    if mask is not None:
        return {"seedImage": pictures[0], "maskImage": mask}
    if tool := _TOOLS.get(ask.native):
        return {"inputs": {"image": pictures[0]}} if tool == "vectorize" else {"inputImage": pictures[0]}
    guided = ask.native in _GUIDED or ask.native.partition(":")[0] in _GUIDED_HOUSES
    return {"inputs": {"referenceImages": pictures}} if guided else {"seedImage": pictures[0]}


def _document(answer: Answer, began: bool) -> Mapping[str, object]:
    """Empty where an error is in nobody's words, and where that is all that is told of a task which goes on."""
    try:
        return mapping(answer.json())
    except Malformed:
        if answer.status < 300 and not began:
            raise
        return {}


def _of(task: Pending, entries: object) -> list[Mapping[str, object]]:
    """What is told about a task."""
    return [entry for entry in items(entries) if entry.get("taskUUID") == task.upstream_id]


def _raw(entry: Mapping[str, object]) -> Raw | None:
    return picture([entry.get("imageURL")], seed=entry.get("seed"))


def _cost(results: Sequence[Mapping[str, object]]) -> int | None:
    """Micro-USD of all of them; None where one has no price tag, or one that cannot be."""
    costs = [micro_usd(entry.get("cost")) for entry in results]
    total = sum(filter(None, costs))
    return total if all(costs) and total <= usd(DEAREST_USD) else None
