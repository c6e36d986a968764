"""Alibaba's Qwen-Image and Wan on DashScope (Model Studio), https://help.aliyun.com/zh/model-studio.

Wire facts: the official SDK, dashscope 2.0.2 (seen 2026-11-20), and Alibaba's API references (2026-02 to 2026-10,
official pages in stored copies) unless said otherwise. Three protocols, which model speaks which is in `_PROTOCOLS`:

    POST /services/aigc/multimodal-generation/generation   at once
    POST /services/aigc/image-generation/generation        X-DashScope-Async: enable
        {"model", "input": {"messages": [{"role": "user", "content": [{"image"}…, {"text"}]}]}, "parameters": {…}}
    POST /services/aigc/text2image/image-synthesis         X-DashScope-Async: enable (image2image/… for edits)
        {"model", "input": {"prompt", "negative_prompt", "images"}, "parameters": {…}}
    → {"request_id", "output": {"task_id", "task_status": "PENDING"}}
    GET /tasks/{id}, POST /tasks/{id}/cancel (as long as it is PENDING)
    → {"request_id", "output": {"task_id", "task_status", "choices": [{"message": {"content": [{"image": URL}]}}]
       | "results": [{"url", "actual_prompt"} | {"code", "message"}]}, "usage": {"image_count", …}}
    → {"request_id", "code", "message"}, with an HTTP error or with 200

Pictures go in as data URLs and come back as URLs, PNG, good for 24 hours. Charged are pictures that were made; a call
or task that failed costs nothing. There is no idempotency key. Sizes have an asterisk on the wire (`1664*928`) and an
x everywhere else.

`released` is the date of the first snapshot, or that of ImageRouter's registry (2026-02).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import ClassVar
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Refused, Rejected, Throttled
from pictura.core.model import (
    Anything,
    Choice,
    Descriptor,
    Flag,
    Inputs,
    ModelCard,
    Prompt,
    Source,
    Span,
    Words,
)
from pictura.core.money import usd
from pictura.core.price import PerPicture, PriceList, Row
from pictura.core.size import FreePixels, ListedPixels, OwnSize, Size
from pictura.infra.http import Answer
from pictura.infra.payload import json_payload
from pictura.providers.answers import code_of, items, mapping, picture, readable, said, task_id
from pictura.providers.base import (
    NOBODY,
    Ask,
    CancellingProvider,
    Channel,
    Done,
    Pending,
    Raw,
    error_from,
    retry_after,
    unreadable,
)

_PAGE = Source("Alibaba's API references for Qwen-Image", "2026-09-04", "official page, stored copy")
_EDIT_PAGE = Source("Alibaba's API reference for Qwen image editing", "2026-09-04", "official page, stored copy")
_WAN_PAGE = Source("Alibaba's API references for Wan", "2026-08-06", "official page, stored copy")
_REMEMBERED = Source("Alibaba's pricing page as remembered", "2026", "memory")
_RESOLD = Source("litellm 1.109.1", "2026-11", "third party")
_RESOLD_TIERS = Source("docs.comfy.org without its surcharge; litellm 1.109.1", "2026-11", "third party")

_OPTIONS: dict[str, Descriptor] = {
    "seed": Span(0, 2**31 - 1),
    "negative_prompt": Words(500),
    "prompt_extend": Flag(default=True),
    "watermark": Flag(default=False),
}
_QWEN_FORMATS = ("jpeg", "png", "bmp", "tiff", "webp", "gif")
_WAN_FORMATS = ("jpeg", "png", "bmp", "webp")
_THREE_INPUTS = Inputs(count=3, formats=_QWEN_FORMATS, max_bytes=10_000_000)
_SHAPED = "Sides are rounded to multiples of 16. Edits take the shape of the last input."
_NOT_ESTABLISHED = "Its price is not established."
_WAN_INPUTS = "A PNG must have no alpha."
_BEST_INPUTS = "Best with inputs of 384 to 3072 pixels a side"

_PLUS = ModelCard(
    id="qwen-image-plus",
    aliases=("qwen-image", "qwen-image-plus-2026-01-09"),
    released="2025-08-01",
    released_known=True,
    prompt=Prompt(max_chars=800),
    # 4:3 is 1472x1104 now and was 1472x1140; both are taken.
    sizes=ListedPixels(
        values=("1664x928", "1472x1140", "1472x1104", "1328x1328", "1140x1472", "1104x1472", "928x1664"),
        auto=True,
        default="1664x928",
    ),
    params=_OPTIONS,
    price=PerPicture(usd("0.03")),
    price_source=_REMEMBERED,
    source=_PAGE,
    notes="In China ¥0.2.",
)
# Where Alibaba counts tokens (1,300; 4,500), one is taken for one character: what is longer it would cut off unsaid.
_QWEN_2 = ModelCard(
    id="qwen-image-2.0",
    aliases=("qwen-image-2.0-2026-03-03",),
    released="2026-03-03",
    released_known=True,
    modes=("generate", "edit"),
    prompt=Prompt(max_chars=1_300),
    sizes=FreePixels(min_pixels=262_144, max_pixels=4_194_304, default="2048x2048"),
    max_n=6,
    inputs=_THREE_INPUTS,
    params=_OPTIONS,
    price=PerPicture(usd("0.035")),
    price_source=_RESOLD,
    source=_PAGE,
    notes=f"{_SHAPED} In China ¥0.2. {_BEST_INPUTS}.",
)
_QWEN_3 = replace(
    _QWEN_2,
    id="qwen-image-3.0",
    aliases=(),
    released="2026-07-20",
    released_known=False,
    prompt=Prompt(max_chars=4_500),
    sizes=FreePixels(min_pixels=262_144, max_pixels=4_194_304, max_ratio=8),
    params={
        **_OPTIONS,
        "prompt_extend_mode": Choice(("direct", "agent"), "direct"),
        "enable_thinking": Flag(default=True),
    },
    price=PerPicture(usd("0.03"), input_amount=usd("0.003")),
    price_source=_RESOLD_TIERS,
    notes=(
        "Without a size the model chooses one. The mode agent takes no inputs. Best with inputs of 384 to 2048 pixels "
        "a side."
    ),
)
_EDIT_PLUS = ModelCard(
    id="qwen-image-edit-plus",
    aliases=("qwen-image-edit-plus-2025-10-30", "qwen-image-edit-plus-2025-12-15"),
    released="2025-10-30",
    released_known=True,
    modes=("edit",),
    prompt=Prompt(max_chars=800),
    sizes=FreePixels(min_edge=512, max_edge=2048),
    max_n=6,
    inputs=replace(_THREE_INPUTS, required=True),
    params=_OPTIONS,
    price=PerPicture(usd("0.03")),
    price_source=_REMEMBERED,
    source=_EDIT_PAGE,
    notes=f"{_BEST_INPUTS}; without a size about one megapixel, shaped as the last one.",
)
_WAN_2_6 = ModelCard(
    id="wan2.6-t2i",
    released="2025-12-16",
    released_known=True,
    prompt=Prompt(max_chars=2_000),
    # 1280x1280 at least, says the page, and recommends 1104x1472, which is a little less.
    sizes=FreePixels(
        min_pixels=1104 * 1472,
        max_pixels=2_073_600,
        max_ratio=4,
        presets=("1280x1280", "1104x1472", "1472x1104", "960x1696", "1696x960"),
        default="1280x1280",
    ),
    max_n=4,
    params=_OPTIONS,
    source=_WAN_PAGE,
    notes=f"The wire's own default is four pictures. {_NOT_ESTABLISHED}",
)
_WAN_2_7 = ModelCard(
    id="wan2.7-image",
    released="2026-04-01",
    modes=("generate", "edit"),
    prompt=Prompt(max_chars=5_000),
    sizes=FreePixels(min_pixels=589_824, max_pixels=4_194_304, max_ratio=8, tiers=("1K", "2K")),
    max_n=4,
    inputs=Inputs(count=9, formats=_WAN_FORMATS, max_bytes=20_000_000, min_edge=240, max_edge=8000, max_ratio=8),
    params={
        "seed": _OPTIONS["seed"],
        "watermark": _OPTIONS["watermark"],
        "bbox_list": Anything(),
        "enable_sequential": Flag(default=False),
        "thinking_mode": Flag(default=True),
        "color_palette": Anything(),
    },
    price=PerPicture(usd("0.03")),
    price_source=Source("three resellers, agreeing with Alibaba's yuan", "2026", "third party"),
    source=_WAN_PAGE,
    notes=f"In China ¥0.2. {_WAN_INPUTS} 2K unless a size is named.",
)


class DashScope(CancellingProvider):
    """DashScope, https://help.aliyun.com/zh/model-studio. At once or by task id, as the model does it.

    A key belongs to its region: `https://dashscope.aliyuncs.com/api/v1` is Beijing, the `base_url`
    `https://dashscope-intl.aliyuncs.com/api/v1` Singapore, `https://<workspace>.<region>.maas.aliyuncs.com/api/v1` a
    workspace of one's own.
    """

    name = "dashscope"
    base_url = "https://dashscope.aliyuncs.com/api/v1"
    sandbox_path = "/dashscope/api/v1"
    env: ClassVar = {"api_key": "DASHSCOPE_API_KEY"}
    optional_env: ClassVar = {"workspace": "DASHSCOPE_WORKSPACE"}
    MODELS = (
        _PLUS,
        replace(
            _PLUS,
            id="qwen-image-max",
            aliases=("qwen-image-max-2025-12-30",),
            released="2025-12-30",
            sizes=FreePixels(
                min_pixels=262_144,
                max_pixels=4_194_304,
                presets=("1664x928", "1472x1104", "1328x1328", "1104x1472", "928x1664"),
                default="1664x928",
            ),
            price=PerPicture(usd("0.075")),
            notes="In China ¥0.5.",
        ),
        _QWEN_2,
        replace(
            _QWEN_2,
            id="qwen-image-2.0-pro",
            aliases=("qwen-image-2.0-pro-2026-03-03", "qwen-image-2.0-pro-2026-04-22"),
            price=PerPicture(usd("0.075")),
            notes=f"{_SHAPED} In China ¥0.5.",
        ),
        _QWEN_3,
        replace(
            _QWEN_3,
            id="qwen-image-3.0-pro",
            # The rows are the two sides of Alibaba's border, 2,250,000 pixels.
            price=PriceList(
                (Row(usd("0.04"), size="1500x1500"), Row(usd("0.075"), size="1500x1501")), input_amount=usd("0.003")
            ),
            notes=f"{_QWEN_3.notes} In China ¥0.25 and ¥0.5.",
        ),
        _EDIT_PLUS,
        replace(
            _EDIT_PLUS,
            id="qwen-image-edit-max",
            aliases=("qwen-image-edit-max-2026-01-16",),
            released="2026-01-16",
            price=PerPicture(usd("0.075")),
        ),
        replace(
            _EDIT_PLUS,
            id="qwen-image-edit",
            aliases=(),
            released="2025-08-18",
            sizes=OwnSize(),
            max_n=1,
            params={name: _OPTIONS[name] for name in ("seed", "negative_prompt", "watermark")},
            price=PerPicture(usd("0.045")),
            notes=f"About one megapixel, shaped as the last input. {_BEST_INPUTS}.",
        ),
        _WAN_2_6,
        replace(
            _WAN_2_6,
            id="wan2.6-image",
            modes=("edit",),
            sizes=FreePixels(
                min_pixels=589_824,
                max_pixels=4_194_304,
                max_ratio=4,
                presets=(
                    *("1280x1280", "1024x1024", "800x1200", "1200x800", "960x1280", "1280x960"),
                    *("720x1280", "1280x720", "1344x576"),
                ),
                tiers=("1K", "2K"),
            ),
            inputs=Inputs(count=4, formats=_WAN_FORMATS, max_bytes=10_000_000, min_edge=240, max_edge=8000),
            params={**_OPTIONS, "enable_interleave": Flag(default=False), "max_images": Span(1, 5)},
            notes=f"{_WAN_INPUTS} {_NOT_ESTABLISHED}",
        ),
        _WAN_2_7,
        replace(
            _WAN_2_7,
            id="wan2.7-image-pro",
            sizes=FreePixels(min_pixels=589_824, max_pixels=16_777_216, max_ratio=8, tiers=("1K", "2K", "4K")),
            price=PerPicture(usd("0.075")),
            notes=f"In China ¥0.5. {_WAN_INPUTS} 2K unless a size is named; more than that for text alone.",
        ),
    )

    def generic(self, model: str) -> ModelCard:
        """What DashScope might take for a model, snapshot or deployment that we know nothing of."""
        return replace(_GENERIC, id=model)

    async def start(self, ask: Ask, via: Channel) -> Done | Pending:
        protocol = _protocol(ask.native)
        headers = _headers(via) | ({"X-DashScope-Async": "enable"} if protocol.by_task else {})
        answer = await via.send("POST", protocol.path, headers=headers, body=json_payload(protocol.write(ask)))
        answer.close()  # results are URLs: there is no picture in it
        document = self._document(answer, via)
        return _accepted(document) if protocol.by_task else self._done(document, via)

    async def check(self, task: Pending, via: Channel) -> Done | Pending:
        answer = await via.send("GET", _place(task), headers=_headers(via))
        answer.close()
        try:
            document = self._document(answer, via)
        except (BadRequest, Failed, Malformed) as error:
            if answer.status < 300 and isinstance(error, Failed):
                # The task may have been drawn all the same, and charged.
                raise Failed(error.message, upstream_status=answer.status, upstream_code=error.upstream_code) from error
            # The question failed, and the task goes on: the engine asks again.
            raise Lost(error.message, upstream_status=answer.status) from error
        output = mapping(document.get("output"))
        state = str(output.get("task_status", ""))
        if state == "SUCCEEDED":
            return self._done(document, via)
        if state == "FAILED":
            raise self._failure(output, via)
        if state in _GONE:
            raise Failed(_GONE[state], upstream_code=state, unbilled=state == "CANCELED")
        return replace(task, poll_after_s=min(2 * task.poll_after_s, SLOWEST_POLL_S))

    async def cancel(self, task: Pending, via: Channel) -> None:
        # A task that runs already is not taken back: 400 UnsupportedOperation.
        (await via.send("POST", f"{_place(task)}/cancel", headers=_headers(via))).close()

    def _document(self, answer: Answer, via: Channel) -> Mapping[str, object]:
        """What was answered; an error in the vendor's own words is one with any status, 200 too."""
        document = readable(answer)
        if document.get("code"):
            raise self._verdict(document, via, answer.status, retry_after(answer))
        if answer.status >= 300:
            raise unreadable(answer)
        return document

    def _done(self, document: Mapping[str, object], via: Channel) -> Done:
        output = mapping(document.get("output"))
        messages = [mapping(choice.get("message")) for choice in items(output.get("choices"))]
        contents = [part for message in messages for part in items(message.get("content"))]
        results = items(output.get("results"))
        pictures = [raw for part in (*contents, *results) if (raw := _raw(part))]
        if not pictures:
            failures = (self._failure(result, via) for result in results if result.get("code"))
            raise next(failures, Malformed("the provider answered without a picture"))
        texts = [text for part in contents if isinstance(text := part.get("text"), str) and text]
        return Done(pictures=tuple(pictures), texts=tuple(texts), echo=_echo(mapping(document.get("usage"))))

    def _failure(self, told: Mapping[str, object], via: Channel) -> PicturaError:
        """The error for a task, or one picture of it, that failed."""
        error = self._verdict(told, via)
        if not isinstance(error, Rejected):
            return error
        # A no before work began is what it was not: the engine would ask on and on.
        return Failed(error.message, upstream_code=error.upstream_code, config=error.config, unbilled=True)

    def _verdict(
        self, told: Mapping[str, object], via: Channel, status: int = 200, retry_after_s: int | None = None
    ) -> PicturaError:
        """The error of the tree, by the stem of the vendor's code (`Throttling.RateQuota`), else by the status."""
        code, message = code_of(told.get("code")), said(told.get("message"), via)
        stem = code.partition(".")[0]
        if stem in _REFUSALS:
            return Refused(message, reason=code, by=self.name)
        if stem in _OPERATORS_AFFAIR:
            return Rejected(message, upstream_status=status, upstream_code=code, config=True)
        if stem == "Throttling":
            return Throttled(message, upstream_status=status, upstream_code=code, retry_after_s=retry_after_s)
        if stem in _CALLERS_AFFAIR:
            return BadRequest(message)
        if 400 <= status < 500 and status not in _TIMED_OUT:
            return error_from(status, message, code, retry_after_s)
        return Failed(message, upstream_status=status, upstream_code=code, unbilled=status not in _TIMED_OUT)


#: Codes by their stems: Alibaba's error page (2026, official page in a stored copy) and the SDK's list.
#: Refused for its content. Not `InvalidParameter.DataInspection`: that is a picture which could not be inspected.
_REFUSALS = frozenset({"DataInspectionFailed", "IPInfringementSuspect", "FaqRuleBlocked", "CustomRoleBlocked"})
#: What only the operator can mend, whatever the status: `Arrearage` comes with 400, unpaid bills with 429.
_OPERATORS_AFFAIR = frozenset(
    {
        "InvalidApiKey",
        "AccessDenied",
        "Arrearage",
        "AllocationQuota",
        "CommodityNotPurchased",
        "PrepaidBillOverdue",
        "PostpaidBillOverdue",
        "Model",
        "ModelNotFound",
        "Workspace",
        "WorkSpaceNotFound",
    }
)
#: The caller's fault, also where there is no HTTP status: most parameters are looked at when the task runs.
_CALLERS_AFFAIR = frozenset(
    {
        "InvalidParameter",
        "BadRequest",
        "InvalidURL",
        "InvalidFile",
        "InvalidImage",
        "InvalidImageFormat",
        "InvalidImageResolution",
        "InvalidInputLength",
    }
)
#: Nobody can say whether the work went on behind these.
_TIMED_OUT = frozenset({408, 504})
_GONE = {
    "CANCELED": "the task was cancelled before it ran",
    "UNKNOWN": "DashScope does not know this task; it forgets its tasks after 24 hours",
}
#: Seconds: the SDK asks after 1, 2, 4 and then every 8.
FIRST_POLL_S, SLOWEST_POLL_S = 1.0, 8.0

_GENERIC = ModelCard(
    id="",
    modes=("generate", "edit"),
    prompt=Prompt("optional", max_chars=200_000),
    sizes=FreePixels(presets=("1024x1024", "1280x720", "720x1280"), tiers=("1K", "2K", "4K")),
    inputs=Inputs(count=10, formats=_QWEN_FORMATS, max_bytes=20_000_000),
    params=dict.fromkeys(
        (
            *("seed", "negative_prompt", "prompt_extend", "prompt_extend_mode", "watermark", "style"),
            *("enable_thinking", "enable_interleave", "enable_sequential", "max_images"),
            *("bbox_list", "thinking_mode", "color_palette"),
        ),
        Anything(),
    ),
    source=NOBODY,
)


def _messages(ask: Ask) -> Mapping[str, object]:
    content = [*({"image": image.data_url} for image in ask.images), {"text": ask.prompt}]
    return {
        "model": ask.native,
        "input": {"messages": [{"role": "user", "content": content}]},
        "parameters": _parameters(ask),
    }


def _prompt(ask: Ask) -> Mapping[str, object]:
    """The older way to say the same: what the picture shall not show stands beside what it shall."""
    parameters = _parameters(ask)
    wanted: dict[str, object] = {"prompt": ask.prompt}
    if "negative_prompt" in parameters:
        wanted["negative_prompt"] = parameters.pop("negative_prompt")
    if ask.images:
        wanted["images"] = [image.data_url for image in ask.images]
    return {"model": ask.native, "input": wanted, "parameters": parameters}


class _Protocol(msgspec.Struct, frozen=True):
    """`by_task`: it answers with a task's id. `write`: the body."""

    path: str
    by_task: bool
    write: Callable[[Ask], Mapping[str, object]]


_AT_ONCE = _Protocol("/services/aigc/multimodal-generation/generation", False, _messages)
_BY_TASK = _Protocol("/services/aigc/image-generation/generation", True, _messages)
_TEXT_TO_IMAGE = _Protocol("/services/aigc/text2image/image-synthesis", True, _prompt)
_IMAGE_TO_IMAGE = _Protocol("/services/aigc/image2image/image-synthesis", True, _prompt)
#: By the beginning of the model's name, the first that fits; all others answer at once. Where a model speaks two, the
#: one with a task: what is made there can still be had after a crash.
_PROTOCOLS = {
    "qwen-image-plus": _TEXT_TO_IMAGE,
    "qwen-image-3": _BY_TASK,
    "wan2.5-i2i": _IMAGE_TO_IMAGE,
    "wan2.5": _TEXT_TO_IMAGE,
    "wan2.2": _TEXT_TO_IMAGE,
    "wanx": _TEXT_TO_IMAGE,
    "wan": _BY_TASK,
}


def _protocol(model: str) -> _Protocol:
    return next((protocol for start, protocol in _PROTOCOLS.items() if model.startswith(start)), _AT_ONCE)


def _headers(via: Channel) -> dict[str, str]:
    workspace = via.secrets.get("workspace")
    return via.bearer | ({"X-DashScope-WorkSpace": workspace} if workspace else {})


def _place(task: Pending) -> str:
    return f"/tasks/{quote(task.upstream_id, safe='')}"


def _parameters(ask: Ask) -> dict[str, object]:
    # Wan draws four pictures unless told otherwise.
    return {"n": ask.n, "watermark": False, **_size(ask.size), **ask.options()}


def _size(size: Size) -> Mapping[str, object]:
    words = f"{size.width}*{size.height}" if size.width else size.tier
    return {"size": words} if words else {}


def _accepted(document: Mapping[str, object]) -> Pending:
    id = task_id(mapping(document.get("output")).get("task_id"))
    if not id:
        raise Malformed("the provider accepted a task without telling its id")
    return Pending(upstream_id=id, poll_after_s=FIRST_POLL_S)


def _raw(part: Mapping[str, object]) -> Raw | None:
    """One picture, of a message's content (`image`) or of a task's results (`url`)."""
    return picture((part.get("image"), part.get("url")), revised_prompt=part.get("actual_prompt"))


def _echo(usage: Mapping[str, object]) -> Mapping[str, str]:
    """The size that was drawn, in whichever of three ways the model tells it."""
    for width, height in (("width", "height"), ("output_width", "output_height")):
        if isinstance(usage.get(width), int) and isinstance(usage.get(height), int):
            return {"size": f"{usage[width]}x{usage[height]}"}
    found = re.fullmatch(r"([1-9][0-9]*)\*([1-9][0-9]*)", str(usage.get("size", "")))
    return {"size": f"{found[1]}x{found[2]}"} if found else {}
