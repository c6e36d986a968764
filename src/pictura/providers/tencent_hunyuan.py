"""Tencent Hunyuan by the cloud API of 2023-09-01, https://hunyuan.tencentcloudapi.com.

    SubmitHunyuanImageJob      Prompt, NegativePrompt?, Style?, Resolution?: "1024:768", Num?, Clarity?, Revise?: 0 | 1,
                               ContentImage?: {ImageBase64}, Seed?, LogoAdd: 0 | 1 → JobId
    SubmitHunyuanImageChatJob  Prompt, ChatId?, LogoAdd → JobId
    QueryHunyuanImageJob, QueryHunyuanImageChatJob
                               JobId → JobStatusCode: "1" waits, "2" runs, "4" failed, "5" done; JobErrorCode,
                               JobErrorMsg, ResultImage: [URL], ResultDetails: ["Success"], RevisedPrompt?, ChatId?
    TextToImageLite            Prompt, NegativePrompt?, Style?, Resolution?, LogoAdd, RspImgType: url
                               → ResultImage: URL

Wire facts: tencentcloud-sdk-python-hunyuan 3.1.180 (seen 2026-11-20, confidence: official SDK). A result's URL lives
for an hour, a chat's for seven days. An account has room for one job at a time. There is no cancel and no dedupe key.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import ClassVar

from msgspec.structs import replace

from pictura.core.capability import neutral
from pictura.core.errors import Malformed
from pictura.core.model import Choice, Descriptor, Flag, Inputs, ModelCard, Prompt, Source, Span, Words
from pictura.core.picture import Inline
from pictura.core.size import ListedPixels, OwnSize, Size
from pictura.providers.answers import picture, task_id
from pictura.providers.base import Ask, Channel, Done, Pending, Raw, TaskProvider
from pictura.providers.tc3 import ENV, Service

_SDK = Source("tencentcloud-sdk-python-hunyuan 3.1.180", "2026-11-20", "official SDK")
_NOTE = (
    "The service's console was to close on 2026-09-30, for which the SDK calls its text actions pre-offline, but not "
    "those that draw. The vendor puts a visible mark on its pictures unless told not to; this house tells it not to. "
    "The price is not established."
)
_SIZES = ("768x768", "768x1024", "1024x768", "1024x1024", "720x1280", "1280x720", "768x1280", "1280x768")
_MARK: dict[str, Descriptor] = {"watermark": Flag(default=False)}

_JOB = ModelCard(
    id="hunyuan-image-legacy",
    native="SubmitHunyuanImageJob",
    aliases=("hunyuan-image",),
    released=_SDK.date,
    modes=("generate", "edit"),
    prompt=Prompt(max_chars=1_024),
    sizes=ListedPixels(values=_SIZES, auto=True, default="1024x1024"),
    max_n=4,
    # 8 MB as base64; sides of less than 5000 pixels.
    inputs=Inputs(count=1, formats=("jpeg", "png"), max_bytes=6_000_000, max_edge=4999),
    params={
        **_MARK,
        "negative_prompt": Words(1_024),
        "style": Words(64),
        "seed": Span(1, 2**32 - 1),
        "prompt_extend": Flag(default=True),
        "clarity": Choice(("x2", "x4")),
    },
    source=_SDK,
    notes=(
        f"{_NOTE} The wire's Revise is prompt_extend here; a seed turns it off, since beside it the vendor passes over "
        "the seed. With an input only the first four sizes."
    ),
)


class TencentHunyuan(TaskProvider):
    """Hunyuan, https://cloud.tencent.com/document/product/1729. Answers by task id, its lite model at once."""

    name = "tencent-hunyuan"
    base_url = "https://hunyuan.tencentcloudapi.com"
    env: ClassVar = ENV
    sandbox_path = "/tencent-hunyuan"
    MODELS = (
        _JOB,
        replace(
            _JOB,
            id="hunyuan-image-chat",
            native="SubmitHunyuanImageChatJob",
            aliases=(),
            modes=("generate",),
            sizes=OwnSize(),
            max_n=1,
            inputs=Inputs(),
            params={**_MARK, "chat_id": Words(1_024)},
            notes=f"{_NOTE} Goes on from an earlier picture whose chat_id it is given.",
        ),
        replace(
            _JOB,
            id="hunyuan-image-lite",
            native="TextToImageLite",
            aliases=(),
            modes=("generate",),
            prompt=Prompt(max_chars=256),
            sizes=ListedPixels(values=(*_SIZES, "1080x1920", "1920x1080"), auto=True, default="768x768"),
            max_n=1,
            inputs=Inputs(),
            params={**_MARK, "negative_prompt": Words(256), "style": Words(64)},
            notes=f"{_NOTE} Without a style it draws anime (201).",
        ),
    )

    async def start(self, ask: Ask, via: Channel) -> Done | Pending:
        response = await _HUNYUAN.call(ask.native, _parameters(ask), via)
        if ask.native not in _QUERIES:
            return Done(pictures=_pictures([response.get("ResultImage")], []))
        job = task_id(response.get("JobId"))
        if not job:
            raise Malformed("the provider answered without a job id")
        return Pending(upstream_id=job, poll_after_s=2.0, state={"query": _QUERIES[ask.native]})

    async def check(self, task: Pending, via: Channel) -> Done | Pending:
        job = await _HUNYUAN.ask(task.state["query"], {"JobId": task.upstream_id}, via)
        # Strings in the SDK; a number would mean the same.
        status = str(job.get("JobStatusCode"))
        if status == _FAILED:
            raise _HUNYUAN.failure(str(job.get("JobErrorCode")), job.get("JobErrorMsg"), via)
        if status != _DONE:
            return task
        images, details = _texts(job.get("ResultImage")), _texts(job.get("ResultDetails"))
        flaws = [detail for detail in details if detail not in ("", "Success")]
        if not any(images) and flaws:
            raise _HUNYUAN.failure(flaws[0], job.get("JobErrorMsg") or flaws[0], via)
        chat = job.get("ChatId")
        return Done(
            pictures=_pictures(images, _texts(job.get("RevisedPrompt"))),
            echo={"chat_id": chat} if isinstance(chat, str) and chat else {},
        )


#: By the action that begins a job, the one that asks about it.
_QUERIES = {
    "SubmitHunyuanImageJob": "QueryHunyuanImageJob",
    "SubmitHunyuanImageChatJob": "QueryHunyuanImageChatJob",
}
_FAILED, _DONE = "4", "5"

_HUNYUAN = Service(
    name="hunyuan",
    version="2023-09-01",
    by=TencentHunyuan.name,
    region="ap-guangzhou",
    codes={
        "FailedOperation.DownloadError": "caller",
        "FailedOperation.EngineServerLimitExceeded": "throttled",
        "FailedOperation.FreeResourcePackExhausted": "operator",
        # "The picture holds sensitive content", says the SDK, whatever the code says.
        "FailedOperation.GenerateImageFailed": "refused",
        "FailedOperation.ImageDecodeFailed": "caller",
        "FailedOperation.ImageDownloadError": "caller",
        "FailedOperation.JobNotExist": "caller",
        "FailedOperation.ModerationFailed": "refused",
        "FailedOperation.PartnerAccountUnSupport": "operator",
        "FailedOperation.ResourcePackExhausted": "operator",
        "FailedOperation.ServiceNotActivated": "operator",
        "FailedOperation.ServiceStop": "operator",
        "FailedOperation.ServiceStopArrears": "operator",
        "FailedOperation.SetPayModeExceed": "operator",
        "FailedOperation.UserUnAuthError": "operator",
        "InvalidParameterValue.Model": "operator",
        "OperationDenied.ImageIllegalDetected": "refused",
        "OperationDenied.TextIllegalDetected": "refused",
        "ResourceInsufficient.ChargeResourceExhaust": "operator",
    },
)
#: Options that go on under another name, as they are.
_OPTIONS = {
    "negative_prompt": "NegativePrompt",
    "style": "Style",
    "clarity": "Clarity",
    "seed": "Seed",
    "chat_id": "ChatId",
}


def _parameters(ask: Ask) -> dict[str, object]:
    options = {option: value for option, value in ask.params.items() if not neutral(value)}
    parameters: dict[str, object] = {"Prompt": ask.prompt, "LogoAdd": int(options.get("watermark") is True)}
    parameters |= {name: options[option] for option, name in _OPTIONS.items() if option in options}
    parameters |= _resolution(ask.size) | _revise(options)
    if ask.n > 1:
        parameters["Num"] = ask.n
    if ask.images:
        parameters["ContentImage"] = {"ImageBase64": Inline(ask.images[0].source)}
    if ask.native not in _QUERIES:
        parameters["RspImgType"] = "url"
    return parameters


def _resolution(size: Size) -> dict[str, object]:
    return {"Resolution": f"{size.width}:{size.height}"} if size.width else {}


def _revise(options: Mapping[str, object]) -> dict[str, object]:
    wanted = options.get("prompt_extend", False if "seed" in options else None)
    return {"Revise": int(wanted)} if isinstance(wanted, bool) else {}


def _texts(value: object) -> list[str]:
    return [str(entry) for entry in value] if isinstance(value, list) else []


def _pictures(urls: Sequence[object], revised: Sequence[str]) -> tuple[Raw, ...]:
    """Raises Malformed where there is none."""
    told = itertools.zip_longest(urls, revised[: len(urls)])
    found = tuple(raw for url, prompt in told if (raw := picture([url], revised_prompt=prompt)))
    if not found:
        raise Malformed("the provider finished without a picture")
    return found
