"""Tencent Hunyuan's cloud API of 2023-09-01, as strict as the vendor: https://cloud.tencent.com/document/product/1729.

The tables here are the vendor's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. They follow the docstrings of tencentcloud-sdk-python-hunyuan 3.1.180 (2026-11, official SDK).

Not as at the vendor: an account has room for any number of jobs, every style number is a style, and a chat is
forgotten when the sandbox ends.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from pictura.core.errors import BadRequest
from pictura.core.picture import Inline
from pictura.sandbox.base import Studio, fails, refused, refused_late
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.fields import Fields
from pictura.sandbox.inputs import Input, shown
from pictura.sandbox.tasks import Phase, Task
from pictura.sandbox.tc3 import Action, ApiError, Call, CloudService, Outcome

_BESIDE_A_PICTURE = ("768:768", "768:1024", "1024:768", "1024:1024")
RESOLUTIONS = (*_BESIDE_A_PICTURE, "720:1280", "1280:720", "768:1280", "1280:768")
LITE_RESOLUTIONS = (*RESOLUTIONS, "1080:1920", "1920:1080")
PROMPT_CHARS, LITE_PROMPT_CHARS = 1024, 256
MOST_PICTURES = 4
#: As base64; and pixels on a side.
PICTURE_CHARS, PICTURE_SIDE = 8_000_000, 5000
LONG_SIDE = 1024
CLARITIES = {"": 1, "x2": 2, "x4": 4}
MOST_ROUNDS = 100
CHATS_KEPT = 1000

_STATUS: Mapping[Phase, tuple[str, str]] = {
    "queued": ("1", "排队中"),
    "running": ("2", "处理中"),
    "done": ("5", "处理完成"),
    "cancelled": ("4", "处理失败"),
}
_JOB_PREFIX = "1300000000-"


class Round(msgspec.Struct):
    """An earlier round of a chat."""

    ChatId: str
    Prompt: str


class Drawing(msgspec.Struct, kw_only=True):
    """A request that has passed; it becomes a job's memo."""

    prompt: str
    width: int
    height: int
    count: int = 1
    seed: int = 0
    revise: bool = False
    rounds: list[Round] = []

    @property
    def revised(self) -> str:
        return f"{self.prompt} (as painted in the sandbox)" if self.revise else self.prompt


def _check_content(prompt: str) -> None:
    if refused(prompt):
        raise ApiError("OperationDenied.TextIllegalDetected", "The text holds what the law does not allow.")


def _read_logo(fields: Fields) -> None:
    # "Other numbers are as good as 1."
    fields.whole("LogoAdd", -(2**31), 2**31)
    logo = fields.inside("LogoParam")
    logo.text("LogoUrl")
    logo.text("LogoImage")
    logo.inside("LogoRect")
    logo.refuse_rest()


def _pixels(resolution: str) -> tuple[int, int]:
    width, height = map(int, resolution.split(":"))
    return width, height


def read_job(fields: Fields, first: Input | None) -> Drawing:
    """Raises ApiError and Wrong for the first thing that is wrong."""
    prompt = fields.text("Prompt", most_chars=PROMPT_CHARS, required=True)
    fields.text("NegativePrompt", most_chars=PROMPT_CHARS)
    style = fields.text("Style")
    resolution = fields.word("Resolution", _BESIDE_A_PICTURE if first else RESOLUTIONS)
    width, height = _pixels(resolution or "1024:1024")
    if first and (style or not resolution):
        width, height = _like(first)
    larger = CLARITIES[fields.word("Clarity", ("x2", "x4"))]
    revise = fields.whole("Revise", 0, 1) != 0 or first is not None
    seed = fields.whole("Seed", 1, 2**32 - 1) or 0
    drawing = Drawing(
        prompt=prompt,
        width=width * larger,
        height=height * larger,
        count=fields.whole("Num", 1, MOST_PICTURES) or 1,
        seed=0 if revise else seed,
        revise=revise,
    )
    _read_logo(fields)
    fields.refuse_rest()
    return drawing


def _like(first: Input) -> tuple[int, int]:
    """The picture's shape, its long side 1024."""
    scale = LONG_SIDE / max(first.media.width, first.media.height)
    return max(1, round(first.media.width * scale)), max(1, round(first.media.height * scale))


class TencentHunyuan(CloudService):
    """Hunyuan's pictures, at `/tencent-hunyuan`."""

    name = "tencent-hunyuan"
    service = "hunyuan"
    version = "2023-09-01"
    regions = ("ap-guangzhou",)
    picture_keys = frozenset({"ImageBase64"})
    troubles: ClassVar[Mapping[int, str]] = {
        401: "AuthFailure.SecretIdNotFound",
        402: "ResourceUnavailable.InArrears",
        429: "RequestLimitExceeded",
        500: "FailedOperation.EngineServerError",
    }

    def __init__(self, studio: Studio) -> None:
        super().__init__(studio)
        #: The job of each round, by its ChatId.
        self._chats: OrderedDict[str, str] = OrderedDict()

    def actions(self) -> Mapping[str, Action]:
        return {
            "SubmitHunyuanImageJob": self._submit,
            "QueryHunyuanImageJob": self._query,
            "SubmitHunyuanImageChatJob": self._submit_chat,
            "QueryHunyuanImageChatJob": self._query_chat,
            "TextToImageLite": self._lite,
        }

    async def _submit(self, call: Call) -> Outcome:
        first = await self._shown(call)
        drawing = read_job(call.fields, first)
        return await self._begin(call, drawing, [first.data] if first else [], "image")

    async def _submit_chat(self, call: Call) -> Outcome:
        fields = call.fields
        prompt, before = fields.text("Prompt", most_chars=PROMPT_CHARS, required=True), fields.text("ChatId")
        _read_logo(fields)
        fields.refuse_rest()
        last = self._find(self._chats.get(before, ""), "chat") if before else None
        rounds = [*_drawing(last).rounds, Round(before, last.prompt)] if last else []
        if len(rounds) >= MOST_ROUNDS:
            raise ApiError("InvalidParameterValue.ParameterValueError", f"A chat has at most {MOST_ROUNDS} rounds.")
        base = [await self.studio.draw(_scenes(last)[0])] if last else []
        return await self._begin(call, Drawing(prompt=prompt, width=1024, height=1024, rounds=rounds), base, "chat")

    async def _begin(self, call: Call, drawing: Drawing, inputs: Sequence[bytes], kind: str) -> Outcome:
        _check_content(drawing.prompt)
        trouble = await self.misbehave(call.visit, drawing.prompt)
        if trouble is not None:
            return trouble
        memo = {**msgspec.to_builtins(drawing), "kind": kind}
        job_id = self.studio.tasks.begin(memo, inputs, _JOB_PREFIX)
        self._chats[_chat_id(job_id)] = job_id
        while len(self._chats) > CHATS_KEPT:
            self._chats.popitem(last=False)
        return {"JobId": job_id}

    async def _query(self, call: Call) -> Outcome:
        job = self._asked(call.fields, "image")
        drawing = _drawing(job)
        result = await self._result(call, job)
        return {**result, "RevisedPrompt": [drawing.revised] * drawing.count if job.phase == "done" else []}

    async def _query_chat(self, call: Call) -> Outcome:
        job = self._asked(call.fields, "chat")
        history = [
            {**msgspec.to_builtins(earlier), "RevisedPrompt": earlier.Prompt, "Seed": _own_seed(earlier.Prompt)}
            for earlier in _drawing(job).rounds
        ]
        result = await self._result(call, job)
        return {**result, "ChatId": _chat_id(job.id) if job.phase == "done" else "", "History": history}

    def _asked(self, fields: Fields, kind: str) -> Task:
        job_id = fields.text("JobId", required=True)
        fields.refuse_rest()
        return self._find(job_id, kind)

    def _find(self, job_id: str, kind: str) -> Task:
        job = self.studio.tasks.find(job_id, _JOB_PREFIX)
        if job is None or job.memo["kind"] != kind:
            raise ApiError("ResourceNotFound", "The job does not exist.")
        return job

    async def _result(self, call: Call, job: Task) -> Mapping[str, object]:
        status, message = _STATUS[job.phase]
        told = {"JobStatusCode": status, "JobStatusMsg": message, "JobErrorCode": "", "JobErrorMsg": ""}
        if job.phase != "done":
            return {**told, "ResultImage": [], "ResultDetails": []}
        if failure := _failure(job.prompt):
            return {**told, "JobStatusCode": "4", "JobStatusMsg": "处理失败", **failure, "ResultImage": []}
        pictures = await self.paint(call.visit, _scenes(job))
        urls = [self.hosted(picture, job.prompt) for picture in pictures]
        return {**told, "ResultImage": urls, "ResultDetails": ["Success"] * len(urls)}

    async def _lite(self, call: Call) -> Outcome:
        fields = call.fields
        prompt = fields.text("Prompt", most_chars=LITE_PROMPT_CHARS, required=True)
        fields.text("NegativePrompt", most_chars=LITE_PROMPT_CHARS)
        fields.text("Style")
        width, height = _pixels(fields.word("Resolution", LITE_RESOLUTIONS, "768:768"))
        by_url = fields.word("RspImgType", ("base64", "url"), "base64") == "url"
        _read_logo(fields)
        fields.refuse_rest()
        _check_content(prompt)
        if (trouble := await self.misbehave(call.visit, prompt)) is not None:
            return trouble
        if failure := _failure(prompt):
            raise ApiError(failure["JobErrorCode"], failure["JobErrorMsg"])
        scene = Scene("TextToImageLite", prompt, width, height, seed=seed_from("lite", prompt))
        pictures = await self.paint(call.visit, [scene])
        results = [self.hosted(picture, prompt) if by_url else Inline(picture) for picture in pictures]
        return {"ResultImage": results[0] if results else ""}

    async def _shown(self, call: Call) -> Input | None:
        if "ContentImage" not in call.fields:
            return None
        image = call.fields.inside("ContentImage")
        value = image.anything("ImageUrl") or image.anything("ImageBase64")
        image.anything("ImageBase64")
        image.refuse_rest()
        try:
            first = await shown(value, call.cuts, self.studio, ("jpeg", "png"), PICTURE_CHARS * 3 // 4)
        except BadRequest as error:
            raise ApiError("InvalidParameterValue.ImageRequestError", f"{error.message}.") from error
        if max(first.media.width, first.media.height) >= PICTURE_SIDE:
            raise ApiError("InvalidParameterValue.ImageRequestError", f"A side has {PICTURE_SIDE} pixels or more.")
        return first


def _chat_id(job_id: str) -> str:
    return str(seed_from("chat", job_id))


def _own_seed(prompt: str) -> int:
    return seed_from("hunyuan", prompt)


def _failure(prompt: str) -> dict[str, str]:
    if refused_late(prompt):
        return {"JobErrorCode": "OperationDenied.ImageIllegalDetected", "JobErrorMsg": "The picture is not allowed."}
    if fails(prompt):
        return {"JobErrorCode": "FailedOperation.EngineServerError", "JobErrorMsg": "The engine failed."}
    return {}


def _drawing(job: Task) -> Drawing:
    return msgspec.convert(job.memo, Drawing)


def _scenes(job: Task) -> list[Scene]:
    """One for each picture; they differ by their seeds, and share the input."""
    drawing = _drawing(job)
    seed = drawing.seed or _own_seed(drawing.prompt)
    first = Scene(
        model="Hunyuan",
        prompt=drawing.prompt,
        width=drawing.width,
        height=drawing.height,
        base=job.inputs[0] if job.inputs else None,
    )
    return [msgspec.structs.replace(first, seed=seed + index) for index in range(drawing.count)]
