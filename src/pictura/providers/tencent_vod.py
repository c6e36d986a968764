"""Tencent Cloud VOD, https://vod.tencentcloudapi.com: other vendors' models behind one action.

    CreateAigcImageTask   ModelName, ModelVersion, Prompt?, NegativePrompt?, EnhancePrompt?, InputRegion?, SceneType?,
                          Seed?, SessionId, ExtInfo?, FileInfos?: [{Type: Base64, Base64, ReferenceType?: mask}],
                          OutputConfig: {StorageMode, Resolution?, AspectRatio?, OutputImageCount?, OutputFormat?,
                          LogoAdd?}
                          → TaskId
    DescribeTaskDetail    TaskId → Status: WAITING | PROCESSING | FINISH | ABORTED, AigcImageTask: {Status, ErrCode,
                          ErrCodeExt, Message, Output: {FileInfos: [{FileUrl}]}}; what failed is FINISH too
    ManageTask            TaskId, OperationType: Abort; takes back what still waits
    DescribeTasks         Sort, Limit → TaskSet: [{TaskId, SessionId}], of three days

Wire facts: tencentcloud-sdk-python-vod 3.1.194 (seen 2026-11-20, confidence: official SDK) unless said otherwise.
A result's URL lives for seven days. A SessionId that was used within three days is refused, so the call is safe to
repeat; what the first one began is found by it. Accounts since 2023-12-25 must name their application (SubAppId).

A native id is `ModelName/ModelVersion`. OmniRouters sells these models as GPT-image-2, Nano-Banana2, Kling:3.0-omni,
Seedream:4.5 and Hunyuan-3d-2.0. Those names are their makers'; a channel that shall draw them here lists them:
`models = {"gpt-image-2" = "OG/image2", "gemini-3.1-flash-image" = "GG/3.1"}`. Prices depend on the account.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from pictura.core.capability import neutral
from pictura.core.errors import Malformed, PicturaError, Rejected
from pictura.core.model import Anything, Choice, Descriptor, Flag, Inputs, Mask, ModelCard, Prompt, Source, Span, Words
from pictura.core.picture import Inline
from pictura.core.price import PerPicture
from pictura.core.request import REGIONS
from pictura.core.size import FreePixels, OwnSize, Shapes, Size, fit
from pictura.providers.answers import items, mapping, picture, task_id
from pictura.providers.base import NOBODY, Ask, AskPicture, CancellingProvider, Channel, Done, Pending
from pictura.providers.tc3 import ENV, Duplicate, Service
from pictura.providers.yuan import YUAN

_SDK = Source("tencentcloud-sdk-python-vod 3.1.194", "2026-11-20", "official SDK")
_GUIDE = Source("front ends that follow Tencent's integration guide", "2026-09", "third-party code")

_OPTIONS: dict[str, Descriptor] = {
    "input_region": Choice(REGIONS),
    "negative_prompt": Words(),
    "prompt_extend": Flag(),
    "watermark": Flag(default=False),
    "seed": Span(0, 2**31 - 1),
}
_EXPANSION: dict[str, Descriptor] = {
    f"{side}_expansion_ratio": Span(0, 2, whole=False) for side in ("up", "down", "left", "right")
}
# 7 MB is the sum of all inputs of a call.
_INPUTS = Inputs(count=14, formats=("jpeg", "png", "webp"), max_bytes=7_000_000)
_FORMATS = ("jpeg", "png")
_UNPRICED = "Tencent prices it per account."
_TEN_ASPECTS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_EIGHT_ASPECTS = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9")

_GEMINI = ModelCard(
    id="vod-gg-3.1",
    native="GG/3.1",
    released=_SDK.date,
    modes=("generate", "edit"),
    sizes=Shapes(aspects=(*_TEN_ASPECTS, "1:4", "4:1", "1:8", "8:1"), tiers=("720P", "1K", "2K", "4K")),
    inputs=_INPUTS,
    outputs=_FORMATS,
    params=_OPTIONS,
    source=_SDK,
    notes=f"gemini-3.1-flash-image, which OmniRouters calls Nano-Banana2. {_UNPRICED}",
)
_GPT = replace(
    _GEMINI,
    id="vod-og-image2",
    native="OG/image2",
    modes=("generate", "edit", "inpaint"),
    # Longest side and ratio are OpenAI's, whose model draws.
    sizes=FreePixels(
        step=16, min_pixels=655_360, max_pixels=8_294_400, max_edge=3840, max_ratio=3, tiers=("1K", "2K", "4K")
    ),
    max_n=8,
    inputs=replace(_INPUTS, count=16),
    mask=Mask(),
    transparent=True,
    params={
        **_OPTIONS,
        "quality": Choice(("low", "medium", "high"), "medium"),
        "background": Choice(("auto", "transparent"), "auto"),
    },
    notes=f"gpt-image-2; the quality names its version. Sixteen inputs: integration guide of 2026-09. {_UNPRICED}",
)
_GPT_2_5 = replace(
    _GPT,
    id="vod-og-image2.5-sunburst",
    native="OG/image2.5_sunburst",
    params={**_GPT.params, "quality": Choice(("low", "medium", "high", "xhigh", "max"), "medium")},
    source=_GUIDE,
    notes=f"gpt-image-2.5-sunburst; the quality names its version. Not yet in the SDK. {_UNPRICED}",
)
_KLING = replace(
    _GEMINI,
    id="vod-kling-3.0-omni",
    native="Kling/3.0-Omni",
    sizes=Shapes(aspects=_EIGHT_ASPECTS, tiers=("1k", "2k", "4k"), default_aspect="auto"),
    max_n=9,
    inputs=replace(_INPUTS, count=10),
    notes=f"kling-v3-omni, which OmniRouters calls Kling:3.0-omni. {_UNPRICED}",
)
_KLING_3 = replace(
    _KLING,
    id="vod-kling-3.0",
    native="Kling/3.0",
    sizes=Shapes(aspects=_EIGHT_ASPECTS, tiers=("1k", "2k")),
    inputs=replace(_INPUTS, count=1),
    notes=f"kling-v3. {_UNPRICED}",
)
_SEEDREAM = replace(
    _GEMINI,
    id="vod-si-4.5",
    native="SI/4.5",
    sizes=Shapes(tiers=("2K", "4K")),
    notes=(
        "seedream-4.5, which OmniRouters calls Seedream:4.5. Takes no aspect: write it into the prompt. The SDK no "
        f"longer lists SI among the names. {_UNPRICED}"
    ),
)
_HUNYUAN = replace(
    _GEMINI,
    id="vod-hunyuan-3.0",
    native="Hunyuan/3.0",
    sizes=FreePixels(min_edge=512, max_edge=2048, max_pixels=1_048_576),
    inputs=replace(_INPUTS, count=3),
    notes=f"hy-image-v3. {_UNPRICED}",
)
_PANORAMA = replace(
    _HUNYUAN,
    id="hunyuan-panorama-2.0",
    native="Hunyuan/3d_2.0",
    aliases=("Hunyuan-3d-2.0",),
    prompt=Prompt("optional"),
    sizes=OwnSize(pixels="1920x960"),
    inputs=replace(_INPUTS, count=1),
    params={"input_region": _OPTIONS["input_region"]},
    notes=(
        "A panorama of 360° (equirectangular), a picture and no mesh, from a prompt or a picture, not both. Its pixels "
        "are those of the open weights."
    ),
    price=PerPicture(YUAN.micros("5")),
    price_source=Source("a third party's price list", "2026-09", "third party"),
    currency=YUAN,
)


class TencentVod(CancellingProvider):
    """Tencent Cloud VOD, https://cloud.tencent.com/document/product/266. By task id; aborts what waits."""

    name = "tencent-vod"
    base_url = "https://vod.tencentcloudapi.com"
    env: ClassVar = ENV
    # The vendor's SDK reads no such variable; the application is a number.
    optional_env: ClassVar = {"sub_app_id": "TENCENTCLOUD_VOD_SUB_APP_ID"}
    channel_options: ClassVar = {"sub_app_id": "the number of the application that draws; else the account's own"}
    sandbox_path = "/tencent-vod"
    dedupes = True
    SERVES: ClassVar = {
        "gpt-image-2": "vod-og-image2",
        "gemini-3.1-flash-image": "vod-gg-3.1",
        "gemini-3-pro-image": "vod-gg-3.0",
        "gemini-2.5-flash-image": "vod-gg-2.5",
        "kling-v3-omni": "vod-kling-3.0-omni",
        "kling-v3-image": "vod-kling-3.0",
        "kling-image-o1": "vod-kling-o1",
        "kling-v2-1": "vod-kling-2.1",
        "seedream-5.0-lite": "vod-si-5.0-lite",
        "seedream-4.5": "vod-si-4.5",
        "seedream-4.0": "vod-si-4.0",
    }
    MODELS = (
        _PANORAMA,
        _GPT,
        _GPT_2_5,
        replace(
            _GPT_2_5,
            id="vod-og-image2.5-flare",
            native="OG/image2.5_flare",
            notes=f"gpt-image-2.5-flare; the quality names its version. Not yet in the SDK. {_UNPRICED}",
        ),
        _GEMINI,
        replace(
            _GEMINI,
            id="vod-gg-3.1-lite",
            native="GG/3.1-lite",
            sizes=Shapes(aspects=_TEN_ASPECTS, tiers=("1K", "2K", "4K")),
            inputs=replace(_INPUTS, count=3),
            source=_GUIDE,
            notes=f"gemini-3.1-flash-lite-image; more than 1K is enlarged. {_UNPRICED}",
        ),
        replace(
            _GEMINI,
            id="vod-gg-3.0",
            native="GG/3.0",
            sizes=Shapes(aspects=_TEN_ASPECTS, tiers=("1K", "2K", "4K")),
            notes=f"gemini-3-pro-image. {_UNPRICED}",
        ),
        replace(
            _GEMINI,
            id="vod-gg-2.5",
            native="GG/2.5",
            sizes=Shapes(aspects=_TEN_ASPECTS, tiers=("1K", "2K", "4K")),
            inputs=replace(_INPUTS, count=3),
            notes=f"gemini-2.5-flash-image. {_UNPRICED}",
        ),
        _KLING,
        replace(_KLING, id="vod-kling-o1", native="Kling/O1", notes=f"kling-image-o1. {_UNPRICED}"),
        _KLING_3,
        replace(
            _KLING_3,
            id="vod-kling-2.1",
            native="Kling/2.1",
            inputs=replace(_INPUTS, count=4),
            notes=f"kling-v2-1. {_UNPRICED}",
        ),
        replace(
            _KLING_3,
            id="vod-kling-scene",
            native="Kling/scene",
            modes=("edit",),
            prompt=Prompt("optional"),
            sizes=OwnSize(),
            inputs=replace(_INPUTS, count=1, required=True),
            params={**_OPTIONS, **_EXPANSION},
            required=(tuple(_EXPANSION),),
            notes=(
                "Draws on beyond a picture's edges, by ratios of its sides; at most to three times its area. "
                f"{_UNPRICED}"
            ),
        ),
        replace(
            _SEEDREAM,
            id="vod-si-5.0-lite",
            native="SI/5.0-lite",
            sizes=Shapes(tiers=("2K", "3K")),
            notes=f"seedream-5.0-lite. Takes no aspect: write it into the prompt. {_UNPRICED}",
        ),
        _SEEDREAM,
        replace(
            _SEEDREAM,
            id="vod-si-4.0",
            native="SI/4.0",
            sizes=Shapes(tiers=("1K", "2K", "4K")),
            notes=f"seedream-4.0. Takes no aspect: write it into the prompt. {_UNPRICED}",
        ),
        _HUNYUAN,
        replace(
            _HUNYUAN,
            id="vod-hunyuan-3.5-preview",
            native="Hunyuan/3.5-preview",
            sizes=Shapes(tiers=("1K", "2K", "4K")),
            source=_GUIDE,
            notes=f"hy-image-v3.5-preview. {_UNPRICED}",
        ),
        replace(
            _GEMINI,
            id="vod-vidu-q2",
            native="Vidu/q2",
            sizes=Shapes(aspects=_EIGHT_ASPECTS, tiers=("1080p", "2K", "4K")),
            inputs=replace(_INPUTS, count=7),
            notes=_UNPRICED,
        ),
        replace(
            _HUNYUAN,
            id="vod-qwen-0925",
            native="Qwen/0925",
            sizes=FreePixels(min_pixels=262_144, max_pixels=4_194_304),
            inputs=replace(_INPUTS, count=1),
            source=_GUIDE,
            notes=f"A qwen-image of 2025-09. The SDK no longer lists Qwen among the names. {_UNPRICED}",
        ),
        replace(
            _HUNYUAN,
            id="vod-mingmou-1.0",
            native="Mingmou/1.0",
            sizes=OwnSize(),
            inputs=replace(_INPUTS, count=1),
            notes=f"One input: integration guide of 2026-09. {_UNPRICED}",
        ),
    )

    async def start(self, ask: Ask, via: Channel) -> Pending:
        quality = _quality(ask)
        task = {**_account(via), **_parameters(ask, quality)}
        try:
            begun = task_id((await _VOD.call("CreateAigcImageTask", task, via)).get("TaskId"))
        except Duplicate as known:
            begun = await self._begun(ask.client_id, via, known)
        if not begun:
            raise Malformed("the provider answered without a task id")
        return Pending(upstream_id=begun, poll_after_s=3.0, state={"quality": quality} if quality else {})

    async def check(self, task: Pending, via: Channel) -> Done | Pending:
        detail = await _VOD.ask("DescribeTaskDetail", {**_account(via), "TaskId": task.upstream_id}, via)
        image = mapping(detail.get("AigcImageTask"))
        status = image.get("Status") or detail.get("Status")
        # "0" says what "" says (third party, 2026-08).
        codes = [
            str(code) for code in (image.get("ErrCodeExt"), image.get("ErrCode")) if code not in (None, "", "0", 0)
        ]
        if codes or status in ("FAIL", "ABORTED"):
            raise _VOD.failure((codes or [str(status)])[0], image.get("Message") or f"the task ended as {status}", via)
        return _done(image, task) if status == "FINISH" else task

    async def cancel(self, task: Pending, via: Channel) -> None:
        wish = {**_account(via), "TaskId": task.upstream_id, "OperationType": "Abort"}
        await _VOD.ask("ManageTask", wish, via)

    def generic(self, model: str) -> ModelCard | None:
        """Anything written `ModelName/ModelVersion`: which ones there are differs from account to account."""
        name, slash, version = model.partition("/")
        return replace(_GENERIC, id=model) if name and slash and version else None

    async def _begun(self, client_id: str, via: Channel, known: Duplicate) -> str:
        """The task that an earlier call with this id began; looked for among the newest hundred."""
        newest = {**_account(via), "Sort": {"Field": "CreateTime", "Order": "Desc"}, "Limit": 100}
        try:
            listed = await _VOD.ask("DescribeTasks", newest, via)
        except PicturaError as error:
            raise known from error
        tasks = (task for task in items(listed.get("TaskSet")) if task.get("SessionId") == client_id)
        begun = next((task_id(task.get("TaskId")) for task in tasks), "")
        if not begun:
            raise known
        return begun


#: `RequestLimitExceeded` and `ResourceInsufficient` are common codes; as a task's, `FailedOperation` says that too many
#: tasks wait for the model (SDK).
_VOD = Service(
    name="vod",
    version="2018-07-17",
    by=TencentVod.name,
    codes={
        "FailedOperation.InvalidAccount": "operator",
        "FailedOperation.InvalidVodUser": "operator",
        "FailedOperation.NoPrivileges": "operator",
        "FailedOperation.UserStatusInavlid": "operator",
        "InvalidParameter.ViolationContent": "refused",
        "InvalidParameter.VoilationContent": "refused",
        "InvalidParameterValue.AppId": "operator",
        "InvalidParameterValue.SessionId": "duplicate",
        "InvalidParameterValue.SubAppId": "operator",
        "LimitExceeded.Quota": "operator",
        "ResourceNotFound.ServiceNotExist": "operator",
        "ResourceNotFound.UserNotExist": "operator",
    },
    task_codes={"ContentModerationFailed": "refused", "FailedOperation": "throttled"},
)

_GENERIC = replace(
    _GEMINI,
    id="",
    native="",
    modes=("generate", "edit", "inpaint"),
    prompt=Prompt("optional"),
    sizes=Shapes(
        aspects=(*_TEN_ASPECTS, "9:21", "1:4", "4:1", "1:8", "8:1"), tiers=("720P", "1K", "1080P", "2K", "3K", "4K")
    ),
    max_n=9,
    inputs=replace(_INPUTS, count=16),
    mask=Mask(),
    transparent=True,
    params={
        **_OPTIONS,
        **dict.fromkeys(("quality", "background", "scene_type", *_EXPANSION), Anything()),
    },
    source=NOBODY,
    notes="",
)

_OWN = {card.native: card for card in TencentVod.MODELS}
#: Models of which every quality is a version of its own.
_VERSION_BY_QUALITY = frozenset(native for native, card in _OWN.items() if "quality" in card.params)
_DEFAULT_QUALITY = "medium"
_SCENES = {"Hunyuan/3d_2.0": "3d_panorama", "Kling/scene": "image_expand"}
#: Options that go on by way of ExtInfo.
_ADDITIONAL = ("background", *_EXPANSION)


def _account(via: Channel) -> dict[str, int]:
    number = via.option("sub_app_id")
    if not number:
        return {}
    if not (number.isascii() and number.isdecimal()):
        raise Rejected("the channel's sub_app_id is not a number; VOD's console shows it", config=True)
    return {"SubAppId": int(number)}


def _quality(ask: Ask) -> str:
    if ask.native not in _VERSION_BY_QUALITY:
        return ""
    asked = ask.params.get("quality")
    return asked if isinstance(asked, str) and not neutral(asked) else _DEFAULT_QUALITY


def _parameters(ask: Ask, quality: str) -> dict[str, object]:
    name, _, version = ask.native.partition("/")
    options = {option: value for option, value in ask.params.items() if not neutral(value)}
    size = _size(ask)
    return _given(
        ModelName=name,
        ModelVersion=f"{version}_{quality}" if quality else version,
        Prompt=ask.prompt,
        NegativePrompt=options.get("negative_prompt"),
        EnhancePrompt=_switch(options.get("prompt_extend")),
        FileInfos=_files(ask),
        OutputConfig=_output(ask, options, size),
        InputRegion=options.get("input_region"),
        SceneType=_SCENES.get(ask.native) or options.get("scene_type"),
        Seed=options.get("seed"),
        SessionId=ask.client_id,
        ExtInfo=_additional(options, size),
    )


def _given(**parameters: object) -> dict[str, object]:
    return {name: value for name, value in parameters.items() if value not in (None, "", [])}


def _switch(value: object) -> str:
    return ("Enabled" if value else "Disabled") if isinstance(value, bool) else ""


def _size(ask: Ask) -> Size:
    """In the words of this wire, also where the card is the maker's and names pixels for an aspect and a tier.

    Raises Unsupported for a size that the maker takes and VOD does not.
    """
    own = _OWN.get(ask.native)
    return fit(ask.size, own.sizes) if own else ask.size


def _output(ask: Ask, options: Mapping[str, object], size: Size) -> dict[str, object]:
    return _given(
        StorageMode="Temporary",
        Resolution=size.tier,
        AspectRatio=size.aspect,
        OutputImageCount=ask.n if ask.n > 1 else None,
        OutputFormat=ask.output_format if ask.output_format in _FORMATS else "",
        LogoAdd=_switch(options.get("watermark")),
    )


def _files(ask: Ask) -> list[dict[str, object]]:
    # The mask's polarity is OpenAI's, to whose model it goes: what is transparent is drawn anew. Callers of this action
    # send OpenAI's masks as they are (third party, 2026-09).
    mask = [{**_file(ask.mask), "ReferenceType": "mask"}] if ask.mask else []
    return [*map(_file, ask.images), *mask]


def _file(image: AskPicture) -> dict[str, object]:
    return {"Type": "Base64", "Base64": Inline(image.source)}


def _additional(options: Mapping[str, object], size: Size) -> str:
    """What goes to the model itself: JSON that holds JSON."""
    told = _given(size=str(size) if size.width else "", **{name: options.get(name) for name in _ADDITIONAL})
    return _json({"AdditionalParameters": _json(told)}) if told else ""


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _done(image: Mapping[str, object], task: Pending) -> Done:
    files = items(mapping(image.get("Output")).get("FileInfos"))
    pictures = tuple(raw for file in files if (raw := picture([file.get("FileUrl")])))
    if not pictures:
        raise Malformed("the task is finished, and holds no picture")
    return Done(pictures=pictures, echo=task.state)
