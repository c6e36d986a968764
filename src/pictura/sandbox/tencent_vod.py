"""Tencent Cloud VOD's AIGC pictures, as strict as the vendor: https://cloud.tencent.com/document/product/266/126240.

The tables here are the vendor's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. They follow the docstrings of tencentcloud-sdk-python-vod 3.1.194 (2026-11, official SDK). What those do not
say, or no longer, is from front ends that follow Tencent's integration guide (2026-09, third party): the versions of OG
image2.5, SI, Qwen, GG 3.1-lite and Mingmou, the number of OG's inputs, and the states of a failed task.

Not as at the vendor: any SubAppId is somebody's, and `File` names nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar

import msgspec

from pictura.core.errors import BadRequest
from pictura.sandbox.base import Studio, fails, refused, refused_late
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.fields import Fields, Wrong
from pictura.sandbox.inputs import Input, shown
from pictura.sandbox.names import Names
from pictura.sandbox.tasks import Task
from pictura.sandbox.tc3 import Action, ApiError, Call, CloudService, Outcome

# -- the vendor's table of models --


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The free sizes of ExtInfo."""

    step: int = 1
    edges: tuple[int, int] = (1, 100_000)
    pixels: tuple[int, int]


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What one version takes. The first resolution is its default; `scene` is the SceneType it wants."""

    inputs: int
    resolutions: tuple[str, ...] = ()
    aspects: tuple[str, ...] = ()
    window: Window | None = None
    count: int = 1
    scene: str = ""
    masks: bool = False
    additional: tuple[str, ...] = ()


_TEN = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_FOURTEEN = (*_TEN, "1:4", "1:8", "4:1", "8:1")
_EIGHT = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9")
_SIDES = ("up_expansion_ratio", "down_expansion_ratio", "left_expansion_ratio", "right_expansion_ratio")
_MEGAPIXEL = 1024 * 1024

_OG = Rules(
    inputs=16,
    resolutions=("1K", "2K", "4K"),
    aspects=("1:1", "3:2", "2:3", "3:4", "4:3", "16:9", "9:16", "21:9", "9:21"),
    window=Window(step=16, pixels=(655_360, 8_294_400)),
    count=8,
    masks=True,
    additional=("size", "background"),
)
_HUNYUAN = Rules(inputs=3, window=Window(edges=(512, 2048), pixels=(512 * 512, _MEGAPIXEL)), additional=("size",))
MODELS: Mapping[str, Mapping[str, Rules]] = {
    "OG": {
        **{f"image2_{quality}": _OG for quality in ("low", "medium", "high")},
        **{
            f"image2.5_{kind}_{quality}": _OG
            for kind in ("sunburst", "flare")
            for quality in ("low", "medium", "high", "xhigh", "max")
        },
    },
    "GG": {
        "2.5": Rules(inputs=3, resolutions=("1K", "2K", "4K"), aspects=_TEN),
        "3.0": Rules(inputs=14, resolutions=("1K", "2K", "4K"), aspects=_TEN),
        "3.1": Rules(inputs=14, resolutions=("1K", "720P", "2K", "4K"), aspects=_FOURTEEN),
        "3.1-lite": Rules(inputs=3, resolutions=("1K", "2K", "4K"), aspects=_TEN),
    },
    "Kling": {
        "2.1": Rules(inputs=4, resolutions=("1k", "2k"), aspects=_EIGHT, count=9),
        "3.0": Rules(inputs=1, resolutions=("1k", "2k"), aspects=_EIGHT, count=9),
        "3.0-Omni": Rules(inputs=10, resolutions=("1k", "2k", "4k"), aspects=(*_EIGHT, "auto"), count=9),
        "O1": Rules(inputs=10, resolutions=("1k", "2k", "4k"), aspects=(*_EIGHT, "auto"), count=9),
        "scene": Rules(inputs=1, resolutions=("1k", "2k"), count=9, scene="image_expand", additional=_SIDES),
    },
    "SI": {
        "4.0": Rules(inputs=14, resolutions=("1K", "2K", "4K")),
        "4.5": Rules(inputs=14, resolutions=("2K", "4K")),
        "5.0-lite": Rules(inputs=14, resolutions=("2K", "3K")),
    },
    "Hunyuan": {
        "3.0": _HUNYUAN,
        "3.5-preview": Rules(inputs=3, resolutions=("1K", "2K", "4K")),
        "3d_2.0": Rules(inputs=1, scene="3d_panorama"),
    },
    "Vidu": {"q2": Rules(inputs=7, resolutions=("1080p", "2K", "4K"), aspects=_EIGHT)},
    "Qwen": {"0925": Rules(inputs=1, window=Window(pixels=(512 * 512, 2048 * 2048)), additional=("size",))},
    "Mingmou": {"1.0": Rules(inputs=1)},
}

#: Of all inputs of a call together.
INPUT_BYTES = 7_000_000
INPUT_FORMATS = ("jpeg", "png", "webp")
MOST_EXPANSION, MOST_EXPANDED_AREA = 2, 3
SESSION_CHARS, CONTEXT_CHARS = 50, 1000
#: Faults that leave the caller without an answer.
LOST_ANSWERS = ("[fault:502page]", "[fault:reset]", "[fault:stall]", "[fault:garbage]")
#: An equirectangular picture; its pixels at the vendor are not established, these are those of the open model.
PANORAMA = (1920, 960)
_EDGES = {"720P": 960, "1K": 1024, "1080P": 1440, "2K": 2048, "3K": 3072, "4K": 4096}
_REGIONS = ("Mainland", "Oversea", "OverseaUSWest")
_SWITCH = ("Enabled", "Disabled")


# -- what is asked --


class Drawing(msgspec.Struct, kw_only=True):
    """A request that has passed; it becomes a task's memo."""

    model: str
    version: str
    prompt: str
    width: int
    height: int
    count: int
    seed: int
    format: str
    transparent: bool = False
    mask: bool = False
    session: str = ""
    context: str = ""


class Shown(msgspec.Struct, frozen=True):
    """The pictures of a request."""

    inputs: Sequence[Input] = ()
    masks: Sequence[Input] = ()

    @property
    def data(self) -> Sequence[bytes]:
        """The mask first, since only the first few outlive the sandbox."""
        return [input.data for input in (*self.masks, *self.inputs)]


def read_rules(fields: Fields) -> tuple[str, str, Rules]:
    name = fields.text("ModelName", required=True)
    version = fields.text("ModelVersion", required=True)
    if name not in MODELS:
        raise ApiError("InvalidParameterValue", f"ModelName {name} is invalid.")
    if version not in MODELS[name]:
        raise ApiError("InvalidParameterValue", f"ModelVersion {version} is invalid for ModelName {name}.")
    rules = MODELS[name][version]
    scene = fields.word("SceneType", ("3d_panorama", "image_expand"))
    if scene != rules.scene:
        wanted = f"be {rules.scene}" if rules.scene else "not be given"
        raise ApiError("InvalidParameterValue", f"SceneType must {wanted} for {name} {version}.")
    return name, version, rules


def read_drawing(fields: Fields, shown: Shown) -> Drawing:
    """Everything but the pictures. Raises ApiError and Wrong for the first thing that is wrong."""
    name, version, rules = read_rules(fields)
    prompt = fields.text("Prompt")
    _check_inputs(prompt, shown, rules)
    additional = _read_additional(fields, rules)
    output = fields.inside("OutputConfig")
    first = shown.inputs[0] if shown.inputs else None
    width, height = _read_size(output, additional, rules, first)
    drawing = Drawing(
        model=name,
        version=version,
        prompt=prompt,
        width=width,
        height=height,
        count=_read_count(output, rules),
        seed=fields.whole("Seed", 0, 2**32 - 1) or 0,
        format=output.word("OutputFormat", ("jpeg", "png"), "png"),
        transparent=additional.word("background", ("auto", "opaque", "transparent")) == "transparent",
        mask=bool(shown.masks),
        session=fields.text("SessionId"),
        context=fields.text("SessionContext"),
    )
    _read_rest(fields, output)
    for rest in (additional, output, fields):
        rest.refuse_rest()
    _check_session(drawing)
    return drawing


def _read_count(output: Fields, rules: Rules) -> int:
    """Models that draw one picture pass over the number."""
    asked = output.whole("OutputImageCount", 1, rules.count if rules.count > 1 else 9) or 1
    return min(asked, rules.count)


def _check_inputs(prompt: str, shown: Shown, rules: Rules) -> None:
    count = len(shown.inputs)
    if len(shown.masks) > 1 or (shown.masks and not (rules.masks and count)):
        raise ApiError("InvalidParameterValue", "One ReferenceType mask is for OG, beside the picture it belongs to.")
    if count > rules.inputs:
        raise ApiError("InvalidParameterValue", f"FileInfos holds {count} pictures, at most {rules.inputs} are taken.")
    if not prompt.strip() and not count:
        raise ApiError("MissingParameter", "The request is missing a required parameter `Prompt`.")
    if rules.scene == "3d_panorama" and prompt.strip() and count:
        raise ApiError("InvalidParameterValue", "Prompt and FileInfos exclude each other for 3d_panorama.")
    if rules.scene == "image_expand" and not count:
        raise ApiError("MissingParameter", "The request is missing a required parameter `FileInfos`.")


def _read_additional(fields: Fields, rules: Rules) -> Fields:
    """The JSON in the JSON of ExtInfo."""
    outer = Fields(_json(fields.text("ExtInfo"), "ExtInfo"), "ExtInfo.")
    path = "ExtInfo.AdditionalParameters"
    values = _json(outer.text("AdditionalParameters"), path)
    outer.refuse_rest()
    strange = [name for name in values if name not in rules.additional]
    if strange:
        raise ApiError("InvalidParameterValue", f"{path}: {strange[0]} is not supported by this model.")
    return Fields(values, f"{path}.")


def _json(text: str, what: str) -> Mapping[str, object]:
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ApiError("InvalidParameterValue", f"{what} is not a JSON object.") from error


def _read_size(output: Fields, additional: Fields, rules: Rules, first: Input | None) -> tuple[int, int]:
    resolution, aspect = output.text("Resolution"), output.text("AspectRatio")
    if resolution and resolution not in rules.resolutions:
        raise ApiError("InvalidParameterValue.Resolution", f"Resolution {resolution} is not supported by this model.")
    if aspect and aspect not in rules.aspects:
        raise ApiError("InvalidParameterValue", f"AspectRatio {aspect} is not supported by this model.")
    size = additional.text("size")
    if size and rules.window:
        return _read_pixels(size, rules.window)
    if rules.scene == "3d_panorama":
        return PANORAMA
    edge = _EDGES[(resolution or (*rules.resolutions, "1K")[0]).upper()]
    if rules.scene == "image_expand" and first:
        return _shaped(edge, *_expanded(additional, first))
    wide, high = (aspect if aspect not in ("", "auto") else "1:1").split(":")
    return _shaped(edge, float(wide), float(high), rules.window)


def _read_pixels(size: str, window: Window) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    if found is None:
        raise ApiError("InvalidParameterValue", f"size {size} must be written as WIDTHxHEIGHT.")
    width, height = int(found[1]), int(found[2])
    low, high = window.edges
    inside = low <= min(width, height) and max(width, height) <= high
    fewest, most = window.pixels
    if width % window.step or height % window.step or not inside or not fewest <= width * height <= most:
        raise ApiError("InvalidParameterValue", f"size {size} is outside what this model supports.")
    return width, height


def _expanded(additional: Fields, first: Input) -> tuple[float, float]:
    """Sides of the new picture."""
    up, down, left, right = (additional.number(side, 0, MOST_EXPANSION) or 0.0 for side in _SIDES)
    across, along = 1 + left + right, 1 + up + down
    if not 1 < across * along <= MOST_EXPANDED_AREA:
        raise ApiError("InvalidParameterValue", "The expansion must enlarge the picture, to at most 3 times its area.")
    return first.media.width * across, first.media.height * along


def _shaped(edge: int, wide: float, high: float, window: Window | None = None) -> tuple[int, int]:
    """Sides of this ratio, of the area of a square of this edge or of the largest that the model draws."""
    area = min(edge**2, window.pixels[1] if window else edge**2)
    width = max(16, round((area * wide / high) ** 0.5 / 16) * 16)
    return width, max(16, int(width * high / wide / 16) * 16)


def _read_rest(fields: Fields, output: Fields) -> None:
    """What is checked, and shows in no picture."""
    fields.whole("SubAppId", 1, 2**63 - 1)
    fields.text("NegativePrompt")
    fields.word("EnhancePrompt", _SWITCH)
    fields.word("InputRegion", _REGIONS)
    fields.whole("TasksPriority", -10, 10)
    output.word("StorageMode", ("Temporary", "Permanent"))
    output.text("MediaName", most_chars=64)
    output.whole("ClassId", 0, 2**31 - 1)
    output.text("ExpireTime")
    output.word("PersonGeneration", ("AllowAdult", "Disallowed"))
    for switch in ("InputComplianceCheck", "OutputComplianceCheck", "LogoAdd"):
        output.word(switch, _SWITCH)


def _check_session(drawing: Drawing) -> None:
    if len(drawing.session) > SESSION_CHARS:
        raise ApiError("InvalidParameterValue.SessionIdTooLong", "SessionId is too long.")
    if len(drawing.context) > CONTEXT_CHARS:
        raise ApiError("InvalidParameterValue.SessionContextTooLong", "SessionContext is too long.")


# -- the simulator --


class TencentVod(CloudService):
    """CreateAigcImageTask and what belongs to it, at `/tencent-vod`."""

    name = "tencent-vod"
    service = "vod"
    version = "2018-07-17"
    picture_keys = frozenset({"Base64"})
    troubles: ClassVar[Mapping[int, str]] = {
        401: "AuthFailure.SecretIdNotFound",
        402: "FailedOperation.UserStatusInavlid",
        429: "RequestLimitExceeded",
        500: "InternalError",
    }

    def __init__(self, studio: Studio) -> None:
        super().__init__(studio)
        #: Per application and SessionId, the task that it began.
        self._sessions = Names(studio.folder / self.name)

    def actions(self) -> Mapping[str, Action]:
        return {
            "CreateAigcImageTask": self._create,
            "DescribeTaskDetail": self._detail,
            "DescribeTasks": self._list,
            "ManageTask": self._manage,
        }

    async def _create(self, call: Call) -> Outcome:
        prefix = _prefix(call.fields)
        shown = await self._shown(call)
        drawing = read_drawing(call.fields, shown)
        if refused(drawing.prompt):
            raise ApiError("InvalidParameter.ViolationContent", "Input Prompt violates policy.")
        if drawing.session and self._sessions.find(prefix + drawing.session) is not None:
            raise ApiError("InvalidParameterValue.SessionId", "The request is removed: this SessionId was used before.")
        # Where only the answer gets lost, there is a task.
        lost = any(fault in drawing.prompt for fault in LOST_ANSWERS)
        begun = self._begin(prefix, drawing, shown) if lost else ""
        trouble = await self.misbehave(call.visit, drawing.prompt)
        if trouble is not None:
            return trouble
        return {"TaskId": begun or self._begin(prefix, drawing, shown)}

    def _begin(self, prefix: str, drawing: Drawing, shown: Shown) -> str:
        begun = self.studio.tasks.begin(msgspec.to_builtins(drawing), shown.data, prefix)
        self._sessions.give(prefix + drawing.session if drawing.session else begun, begun)
        return begun

    async def _shown(self, call: Call) -> Shown:
        inputs: list[Input] = []
        masks: list[Input] = []
        for file in call.fields.objects("FileInfos", most=20):
            target = masks if file.word("ReferenceType", ("mask",)) else inputs
            target.append(await self._file(file, call))
        shown = Shown(inputs, masks)
        if sum(map(len, shown.data)) > INPUT_BYTES:
            raise ApiError("InvalidParameterValue", f"The files together exceed {INPUT_BYTES:,} bytes.")
        return shown

    async def _file(self, file: Fields, call: Call) -> Input:
        type = file.word("Type", ("File", "Url", "Base64"))
        values = {name: file.anything(name) for name in ("FileId", "Url", "Base64")}
        file.text("Text")
        file.refuse_rest()
        if type == "File":
            raise ApiError("ResourceNotFound.FileNotExist", "The file does not exist.")
        value = values.get(type)
        if value is None:
            raise Wrong(file.where(type or "Type"), "missing", f"{file.where(type or 'Type')} is required")
        try:
            return await shown(value, call.cuts, self.studio, INPUT_FORMATS, INPUT_BYTES)
        except BadRequest as error:
            raise ApiError("InvalidParameterValue.ImageDecodeError", f"{error.message}.") from error

    async def _detail(self, call: Call) -> Outcome:
        task = self._find(call.fields)
        drawing = msgspec.convert(task.memo, Drawing)
        done, aborted = task.phase == "done", task.phase == "cancelled"
        status = {"queued": "WAITING", "running": "PROCESSING", "done": "FINISH", "cancelled": "ABORTED"}[task.phase]
        return {
            "TaskType": "AigcImageTask",
            "Status": status,
            "CreateTime": _iso(task.began_ms / 1000),
            "BeginProcessTime": _iso(task.began_ms / 1000),
            "FinishTime": _iso(time.time()) if done or aborted else "",
            "AigcImageTask": {
                "TaskId": task.id,
                "Status": "FINISH" if done or aborted else "PROCESSING",
                **_failure(task),
                "Progress": task.progress,
                "Input": _input(drawing),
                "Output": {"FileInfos": await self._results(call, task, drawing) if done else []},
                "SessionId": drawing.session,
                "SessionContext": drawing.context,
            },
        }

    async def _results(self, call: Call, task: Task, drawing: Drawing) -> list[Mapping[str, object]]:
        if refused_late(task.prompt) or fails(task.prompt):
            return []
        pictures = await self.paint(call.visit, _scenes(task, drawing))
        return [
            {
                "StorageMode": "Temporary",
                "MediaName": "",
                "ClassId": 0,
                "ExpireTime": _iso(task.began_ms / 1000 + 7 * 86_400),
                "FileType": drawing.format,
                "FileUrl": self.hosted(picture, task.prompt),
                "FileId": "",
                "MetaData": {"Width": drawing.width, "Height": drawing.height, "Size": picture.size},
            }
            for picture in pictures
        ]

    async def _list(self, call: Call) -> Outcome:
        """The newest first, whatever Sort says; without pages."""
        prefix = _prefix(call.fields)
        limit = call.fields.whole("Limit", 1, 100) or 10
        sort = call.fields.inside("Sort")
        sort.word("Field", ("CreateTime", "FinishTime"))
        sort.word("Order", ("Asc", "Desc"))
        call.fields.refuse_rest()
        begun = [task_id for task_id in self._sessions.meanings() if task_id.startswith(prefix)]
        known = [task for task_id in begun if (task := self.studio.tasks.find(task_id, prefix))]
        tasks = sorted(known, key=lambda task: task.began_ms, reverse=True)[:limit]
        return {
            "TaskSet": [
                {
                    "TaskId": task.id,
                    "Status": "FINISH" if task.phase == "done" else "PROCESSING",
                    "TaskType": "AigcImageTask",
                    "CreateTime": _iso(task.began_ms / 1000),
                    "SessionId": task.memo["session"],
                    "SessionContext": task.memo["context"],
                }
                for task in tasks
            ],
            "ScrollToken": "",
        }

    async def _manage(self, call: Call) -> Outcome:
        operation = call.fields.word("OperationType", ("Abort",))
        task = self._find(call.fields)
        if not operation:
            raise Wrong("OperationType", "missing", "OperationType is required")
        if task.phase != "queued":
            raise ApiError("FailedOperation", "Only a task that is waiting can be aborted.")
        self.studio.tasks.cancel(task.id)
        return {}

    def _find(self, fields: Fields) -> Task:
        prefix = _prefix(fields)
        task_id = fields.text("TaskId", required=True)
        fields.refuse_rest()
        task = self.studio.tasks.find(task_id, prefix) if task_id.startswith(prefix) else None
        if task is None:
            raise ApiError("InvalidParameterValue.TaskId", "The task does not exist.")
        return task


def _prefix(fields: Fields) -> str:
    """Of the ids of an application's tasks; its own where none is named."""
    return f"{fields.whole('SubAppId', 1, 2**63 - 1) or 1500000000}-AigcImageTask-"


def _failure(task: Task) -> Mapping[str, object]:
    if task.phase == "cancelled":
        return {"ErrCode": 70000, "ErrCodeExt": "OperationCanceled", "Message": "The task was aborted."}
    if task.phase == "done" and refused_late(task.prompt):
        return {"ErrCode": 70000, "ErrCodeExt": "ContentModerationFailed", "Message": "The content was not approved."}
    if task.phase == "done" and fails(task.prompt):
        return {"ErrCode": 70000, "ErrCodeExt": "ModelGenerateFailed", "Message": "The model failed."}
    return {"ErrCode": 0, "ErrCodeExt": "", "Message": ""}


def _input(drawing: Drawing) -> Mapping[str, object]:
    return {
        "ModelName": drawing.model,
        "ModelVersion": drawing.version,
        "Prompt": drawing.prompt,
        "Seed": drawing.seed,
        "OutputConfig": {"StorageMode": "Temporary", "OutputImageCount": drawing.count},
    }


def _scenes(task: Task, drawing: Drawing) -> list[Scene]:
    """One for each picture; they differ by their seeds, and share the input."""
    seed = drawing.seed or seed_from(drawing.model, drawing.version, task.prompt)
    bases = task.inputs[drawing.mask :]
    first = Scene(
        model=f"{drawing.model} {drawing.version}",
        prompt=drawing.prompt,
        width=drawing.width,
        height=drawing.height,
        format=drawing.format,
        transparent=drawing.transparent,
        base=bases[0] if bases else None,
        mask=task.inputs[0] if drawing.mask else None,
    )
    return [msgspec.structs.replace(first, seed=seed + index) for index in range(drawing.count)]


def _iso(moment_s: float) -> str:
    return datetime.fromtimestamp(moment_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
