"""The official SDK draws in the sandbox; what it cannot say goes over plain HTTP, signed here."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession
from PIL import Image
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.vod.v20180717 import models
from tencentcloud.vod.v20180717.vod_client import VodClient

from pictura.sandbox.base import SECRET
from pictura.sandbox.server import Sandbox
from tests.sandbox.conftest import KEY
from tests.sandbox.tencent import Json, Official

Picture = Callable[..., bytes]


class Meta(msgspec.Struct):
    Width: int
    Height: int
    Size: int


class File(msgspec.Struct):
    FileUrl: str
    FileType: str
    MetaData: Meta


class Output(msgspec.Struct):
    FileInfos: list[File]


class Drawn(msgspec.Struct):
    Status: str
    ErrCode: int
    ErrCodeExt: str
    Progress: int
    Output: Output
    SessionId: str


class Detail(msgspec.Struct):
    Status: str
    AigcImageTask: Drawn


class Vod(Official):
    service, client, models = "tencent-vod", VodClient, models

    async def begin(self, model: str = "GG/3.1", **said: object) -> str:
        name, _, version = model.partition("/")
        task = {"ModelName": name, "ModelVersion": version, "Prompt": "a fox", **said}
        return str((await self.call("CreateAigcImageTask", task))["TaskId"])

    async def detail(self, task_id: str, **said: object) -> Detail:
        return msgspec.convert(await self.call("DescribeTaskDetail", {"TaskId": task_id, **said}), Detail)

    async def finish(self, task_id: str) -> Drawn:
        while True:
            detail = await self.detail(task_id)
            if detail.Status not in ("WAITING", "PROCESSING"):
                return detail.AigcImageTask
            await asyncio.sleep(0.02)

    async def draw(self, model: str = "GG/3.1", **said: object) -> Drawn:
        return await self.finish(await self.begin(model, **said))


@pytest.fixture
def vod(address: str) -> Iterator[Vod]:
    client = Vod(address)
    yield client
    client.close()


def base64_file(data: bytes, **more: str) -> Json:
    return {"Type": "Base64", "Base64": base64.b64encode(data).decode(), **more}


def extra(**additional: object) -> str:
    return json.dumps({"AdditionalParameters": json.dumps(additional)})


async def fetch(http: ClientSession, url: str) -> bytes:
    async with http.get(url) as answer:
        assert answer.status == 200
        return await answer.read()


# -- drawing --


async def test_a_picture_of_a_prompt(vod: Vod, http: ClientSession) -> None:
    image = await vod.draw(
        "Kling/3.0-Omni",
        NegativePrompt="dogs",
        EnhancePrompt="Disabled",
        InputRegion="Oversea",
        TasksPriority=10,
        Seed=7,
        OutputConfig={
            "StorageMode": "Temporary",
            "Resolution": "2k",
            "AspectRatio": "16:9",
            "OutputImageCount": 2,
            "OutputFormat": "jpeg",
            "PersonGeneration": "AllowAdult",
            "LogoAdd": "Disabled",
        },
    )
    assert (image.Status, image.ErrCode, image.ErrCodeExt, image.Progress) == ("FINISH", 0, "", 100)
    drawn = [await fetch(http, file.FileUrl) for file in image.Output.FileInfos]
    assert len(set(drawn)) == 2
    for file, data in zip(image.Output.FileInfos, drawn, strict=True):
        picture = Image.open(io.BytesIO(data))
        assert (picture.format, file.FileType, file.MetaData.Size) == ("JPEG", "jpeg", len(data))
        assert picture.size == (file.MetaData.Width, file.MetaData.Height) == (2736, 1536)


SIZES: list[tuple[str, Json, tuple[int, int]]] = [
    ("GG/3.1", {}, (1024, 1024)),
    ("GG/3.1", {"OutputConfig": {"AspectRatio": "1:8"}}, (368, 2944)),
    ("GG/3.1", {"OutputConfig": {"Resolution": "720P"}}, (960, 960)),
    ("SI/4.5", {}, (2048, 2048)),
    ("Vidu/q2", {}, (1440, 1440)),
    ("OG/image2_low", {"ExtInfo": extra(size="1536x1024")}, (1536, 1024)),
    ("OG/image2_low", {"OutputConfig": {"Resolution": "4K"}}, (2880, 2880)),
    ("Hunyuan/3.0", {"ExtInfo": extra(size="728x1024")}, (728, 1024)),
    ("Hunyuan/3d_2.0", {"SceneType": "3d_panorama"}, (1920, 960)),
]


@pytest.mark.parametrize(("model", "said", "expected"), SIZES, ids=lambda value: value if type(value) is str else "")
async def test_sizes_of_every_kind(model: str, said: Json, expected: tuple[int, int], vod: Vod) -> None:
    (file,) = (await vod.draw(model, **said)).Output.FileInfos
    assert (file.MetaData.Width, file.MetaData.Height) == expected


async def test_an_edit_with_a_mask(vod: Vod, http: ClientSession, picture: Picture) -> None:
    first, hole = base64_file(picture(64, 64)), base64_file(picture(64, 64, "png", "RGB"), ReferenceType="mask")
    size = extra(size="1024x1024", background="transparent")
    drawn = []
    for files in ([], [first], [first, hole]):
        image = await vod.draw("OG/image2_high", FileInfos=files, ExtInfo=size)
        drawn.append(await fetch(http, image.Output.FileInfos[0].FileUrl))
    assert len(set(drawn)) == 3


async def test_pictures_by_url(vod: Vod, picture: Picture) -> None:
    known = (await vod.draw()).Output.FileInfos[0].FileUrl
    files = [{"Type": "Url", "Url": url} for url in (known, "https://pictures.example.com/1.png")]
    assert (await vod.draw(FileInfos=files)).Output.FileInfos
    panorama = await vod.draw("Hunyuan/3d_2.0", SceneType="3d_panorama", Prompt="", FileInfos=files[:1])
    assert panorama.Output.FileInfos


async def test_a_picture_beyond_its_edges(vod: Vod, picture: Picture) -> None:
    image = await vod.draw(
        "Kling/scene",
        SceneType="image_expand",
        FileInfos=[base64_file(picture(640, 480))],
        ExtInfo=extra(right_expansion_ratio=0.5),
    )
    (file,) = image.Output.FileInfos
    assert (file.MetaData.Width, file.MetaData.Height) == (1456, 720)


# -- tasks --


async def test_tasks_outlive_the_sandbox(vod: Vod, http: ClientSession, picture: Picture) -> None:
    files = [base64_file(picture(64, 64)), base64_file(picture(64, 64), ReferenceType="mask")]
    task_id = await vod.begin("OG/image2_low", FileInfos=files, SessionId="job_1-0")
    later = Sandbox(accepts=lambda key: key == KEY)
    other = Vod(await later.start())
    try:
        image = await other.finish(task_id)
        assert (image.SessionId, len(image.Output.FileInfos)) == ("job_1-0", 1)
        assert await fetch(http, image.Output.FileInfos[0].FileUrl)
    finally:
        other.close()
        await later.close()


async def test_a_waiting_task_is_taken_back(vod: Vod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pictura.sandbox.tasks.QUEUED_S", 60)
    task_id = await vod.begin(Prompt="[fault:long 60]")
    assert (await vod.detail(task_id)).Status == "WAITING"
    await vod.call("ManageTask", {"OperationType": "Abort", "TaskId": task_id})
    detail = await vod.detail(task_id)
    assert (detail.Status, detail.AigcImageTask.ErrCodeExt) == ("ABORTED", "OperationCanceled")
    assert await vod.error("ManageTask", {"OperationType": "Abort", "TaskId": task_id}) == "FailedOperation"


async def test_a_running_task_is_not(vod: Vod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pictura.sandbox.tasks.QUEUED_S", 0)
    task_id = await vod.begin(Prompt="[fault:long 60]")
    assert await vod.error("ManageTask", {"OperationType": "Abort", "TaskId": task_id}) == "FailedOperation"
    assert (await vod.detail(task_id)).Status == "PROCESSING"


async def test_tasks_belong_to_an_application(vod: Vod) -> None:
    task_id = await vod.begin(SubAppId=7)
    assert task_id.startswith("7-AigcImageTask-")
    assert (await vod.detail(task_id, SubAppId=7)).Status
    assert await vod.error("DescribeTaskDetail", {"TaskId": task_id}) == "InvalidParameterValue.TaskId"
    assert await vod.error("DescribeTaskDetail", {"TaskId": "7-AigcImageTask-x", "SubAppId": 7}) == (
        "InvalidParameterValue.TaskId"
    )


async def test_tasks_are_listed_the_newest_first(vod: Vod) -> None:
    begun = [await vod.begin(SessionId=session, SessionContext="mine") for session in ("a", "b", "")]
    await vod.begin(SubAppId=7)
    listed = msgspec.convert((await vod.call("DescribeTasks", {"Limit": 2}))["TaskSet"], list[dict[str, object]])
    assert [(task["TaskId"], task["SessionId"]) for task in listed] == [(begun[2], ""), (begun[1], "b")]


async def test_a_session_begins_one_task(vod: Vod) -> None:
    again = {"ModelName": "GG", "ModelVersion": "3.1", "Prompt": "a fox", "SessionId": "job_1-0"}
    await vod.call("CreateAigcImageTask", again)
    assert await vod.error("CreateAigcImageTask", again) == "InvalidParameterValue.SessionId"
    assert await vod.call("CreateAigcImageTask", {**again, "SubAppId": 7})


async def test_a_session_outlives_the_sandbox(tmp_path: Path) -> None:
    """A second task is turned away after a restart too, and the first is listed."""
    again = {"ModelName": "GG", "ModelVersion": "3.1", "Prompt": "a fox", "SessionId": "job_1-0"}
    begun: list[object] = []
    for _ in range(2):
        sandbox = Sandbox(accepts=lambda key: key == KEY, folder=tmp_path)
        vod = Vod(await sandbox.start())
        try:
            if begun:
                assert await vod.error("CreateAigcImageTask", again) == "InvalidParameterValue.SessionId"
            else:
                begun = [(await vod.call("CreateAigcImageTask", again))["TaskId"]]
            listed = msgspec.convert((await vod.call("DescribeTasks", {}))["TaskSet"], list[dict[str, object]])
            assert [task["TaskId"] for task in listed] == begun
        finally:
            vod.close()
            await sandbox.close()


async def test_a_lost_answer_s_task_is_there(vod: Vod) -> None:
    lost = {"ModelName": "GG", "ModelVersion": "3.1", "Prompt": "[fault:reset]", "SessionId": "job_1-0"}
    with pytest.raises(TencentCloudSDKException):
        await vod.call("CreateAigcImageTask", lost)
    (task,) = msgspec.convert((await vod.call("DescribeTasks", {}))["TaskSet"], list[dict[str, object]])
    assert task["SessionId"] == "job_1-0"
    assert (await vod.finish(str(task["TaskId"]))).Output.FileInfos


# -- what goes wrong --


@pytest.mark.parametrize(
    ("mark", "code"),
    [
        ("[refuse]", "InvalidParameter.ViolationContent"),
        ("[fault:401]", "AuthFailure.SecretIdNotFound"),
        ("[fault:402]", "FailedOperation.UserStatusInavlid"),
        ("[fault:429]", "RequestLimitExceeded"),
        ("[fault:500]", "InternalError"),
        ("[fault:502page]", "ServerNetworkError"),
        ("[fault:garbage]", "JSONDecodeError"),
    ],
)
async def test_what_goes_wrong_at_once(mark: str, code: str, vod: Vod) -> None:
    assert await vod.error("CreateAigcImageTask", {"ModelName": "GG", "ModelVersion": "3.1", "Prompt": mark}) == code


@pytest.mark.parametrize(
    ("mark", "code"), [("[refuse late]", "ContentModerationFailed"), ("[fault:failed]", "ModelGenerateFailed")]
)
async def test_what_goes_wrong_late(mark: str, code: str, vod: Vod) -> None:
    image = await vod.draw(Prompt=mark)
    assert (image.Status, image.ErrCode, image.ErrCodeExt) == ("FINISH", 70000, code)
    assert not image.Output.FileInfos


# -- what it refuses --

REFUSED: list[tuple[Json, str]] = [
    ({"Colour": "red"}, "UnknownParameter"),
    ({"Prompt": ""}, "MissingParameter"),
    ({"Prompt": 7}, "InvalidParameter"),
    ({"ModelName": ""}, "MissingParameter"),
    ({"ModelName": "Acme"}, "InvalidParameterValue"),
    ({"ModelVersion": None}, "MissingParameter"),
    ({"ModelVersion": "3.2"}, "InvalidParameterValue"),
    ({"ModelName": "OG", "ModelVersion": "image2"}, "InvalidParameterValue"),
    ({"SceneType": "3d_panorama"}, "InvalidParameterValue"),
    ({"SceneType": "moon"}, "InvalidParameterValue"),
    ({"ModelName": "Hunyuan", "ModelVersion": "3d_2.0"}, "InvalidParameterValue"),
    ({"ModelName": "Kling", "ModelVersion": "scene", "SceneType": "image_expand"}, "MissingParameter"),
    ({"EnhancePrompt": "on"}, "InvalidParameterValue"),
    ({"InputRegion": "Moon"}, "InvalidParameterValue"),
    ({"Seed": -1}, "InvalidParameterValue"),
    ({"Seed": 2**32}, "InvalidParameterValue"),
    ({"TasksPriority": 11}, "InvalidParameterValue"),
    ({"SubAppId": "7"}, "InvalidParameter"),
    ({"SessionId": "s" * 51}, "InvalidParameterValue.SessionIdTooLong"),
    ({"SessionContext": "s" * 1001}, "InvalidParameterValue.SessionContextTooLong"),
    ({"OutputConfig": {"Colour": "red"}}, "UnknownParameter"),
    ({"OutputConfig": {"StorageMode": "Nowhere"}}, "InvalidParameterValue"),
    ({"OutputConfig": {"Resolution": "8K"}}, "InvalidParameterValue.Resolution"),
    ({"OutputConfig": {"AspectRatio": "7:5"}}, "InvalidParameterValue"),
    ({"OutputConfig": {"OutputImageCount": 10}}, "InvalidParameterValue"),
    ({"OutputConfig": {"OutputFormat": "webp"}}, "InvalidParameterValue"),
    ({"OutputConfig": {"LogoAdd": True}}, "InvalidParameter"),
    ({"OutputConfig": {"MediaName": "m" * 65}}, "InvalidParameterValue"),
    ({"ExtInfo": "size"}, "InvalidParameterValue"),
    ({"ExtInfo": '{"Size": "1K"}'}, "UnknownParameter"),
    ({"ExtInfo": '{"AdditionalParameters": {}}'}, "InvalidParameter"),
    ({"ExtInfo": extra(size="1024x1024")}, "InvalidParameterValue"),
    ({"FileInfos": [{}]}, "MissingParameter"),
    ({"FileInfos": [{"Type": "Base64"}]}, "MissingParameter"),
    ({"FileInfos": [{"Type": "File", "FileId": "1"}]}, "ResourceNotFound.FileNotExist"),
    ({"FileInfos": [{"Type": "Base64", "Base64": "no picture"}]}, "InvalidParameterValue.ImageDecodeError"),
    ({"FileInfos": [{"Type": "Url", "Url": "ftp://x"}]}, "InvalidParameterValue.ImageDecodeError"),
    ({"FileInfos": [{"Type": "Url", "Url": "https://a.example/1", "ReferenceType": "x"}]}, "InvalidParameterValue"),
    ({"FileInfos": [{"Type": "Url", "Url": "https://a.example/1"}] * 15}, "InvalidParameterValue"),
]


@pytest.mark.parametrize(("said", "code"), REFUSED, ids=str)
async def test_what_is_wrong_is_told(said: Json, code: str, http: ClientSession, address: str) -> None:
    body = {"ModelName": "GG", "ModelVersion": "3.1", "Prompt": "a fox", **said}
    assert await code_of(http, address, signed(body)) == code


@pytest.mark.parametrize(
    ("size", "code"),
    [
        ("1024x1024", ""),
        ("3840x2160", ""),
        ("large", "InvalidParameterValue"),
        ("1000x1000", "InvalidParameterValue"),
        ("512x512", "InvalidParameterValue"),
        ("3840x3840", "InvalidParameterValue"),
    ],
)
async def test_og_takes_a_window_of_sizes(size: str, code: str, http: ClientSession, address: str) -> None:
    body = {"ModelName": "OG", "ModelVersion": "image2_low", "Prompt": "a fox", "ExtInfo": extra(size=size)}
    assert await code_of(http, address, signed(body)) == code


FILES: list[tuple[str, list[str], Json, str]] = [
    ("OG/image2_low", ["mask"], {}, "InvalidParameterValue"),
    ("OG/image2_low", ["", "mask", "mask"], {}, "InvalidParameterValue"),
    ("GG/3.1", ["", "mask"], {}, "InvalidParameterValue"),
    ("Kling/3.0", ["", ""], {}, "InvalidParameterValue"),
    ("Hunyuan/3d_2.0", [""], {"SceneType": "3d_panorama"}, "InvalidParameterValue"),
    ("Kling/scene", [""], {"SceneType": "image_expand"}, "InvalidParameterValue"),
    (
        "Kling/scene",
        [""],
        {"SceneType": "image_expand", "ExtInfo": extra(up_expansion_ratio=2, left_expansion_ratio=1)},
        "InvalidParameterValue",
    ),
    (
        "Kling/scene",
        [""],
        {"SceneType": "image_expand", "ExtInfo": extra(up_expansion_ratio=2.5)},
        "InvalidParameterValue",
    ),
    ("GG/3.1", [""], {}, ""),
]


@pytest.mark.parametrize(("model", "kinds", "said", "code"), FILES)
async def test_pictures_have_rules(
    model: str, kinds: list[str], said: Json, code: str, http: ClientSession, address: str, picture: Picture
) -> None:
    name, _, version = model.partition("/")
    files = [base64_file(picture(64, 64), ReferenceType=kind) for kind in kinds]
    body = {"ModelName": name, "ModelVersion": version, "Prompt": "a fox", "FileInfos": files, **said}
    assert await code_of(http, address, signed(body)) == code


async def test_pictures_of_a_format_that_is_not_taken(http: ClientSession, address: str, picture: Picture) -> None:
    files = [base64_file(picture(64, 64, "gif", "RGB"))]
    body = {"ModelName": "GG", "ModelVersion": "3.1", "Prompt": "a fox", "FileInfos": files}
    assert await code_of(http, address, signed(body)) == "InvalidParameterValue.ImageDecodeError"


async def test_pictures_together_have_a_limit(http: ClientSession, address: str, picture: Picture) -> None:
    file = base64_file(picture(64, 64) + bytes(3_600_000))
    body = {"ModelName": "GG", "ModelVersion": "3.1", "Prompt": "a fox", "FileInfos": [file]}
    assert await code_of(http, address, signed(body)) == ""
    assert await code_of(http, address, signed({**body, "FileInfos": [file, file]})) == "InvalidParameterValue"


# -- signatures --

ACTION = {"X-TC-Action": "CreateAigcImageTask", "X-TC-Version": "2018-07-17"}
BODY: Json = {"ModelName": "GG", "ModelVersion": "3.1", "Prompt": "a fox"}


class Signed(msgspec.Struct):
    body: bytes
    headers: dict[str, str]


def signed(
    body: object,
    *,
    secret_id: str = KEY,
    secret_key: str = SECRET,
    service: str = "vod",
    age_s: int = 0,
    date: str = "",
    headers: Mapping[str, str] | None = None,
) -> Signed:
    """Written from Tencent's page "Signature v3"; the Host is a name that this test gives itself."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    now = int(time.time()) - age_s
    date = date or datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    said = {"content-type": "application/json", "host": "vod.tencentcloudapi.com", **(headers or {})}
    names = ";".join(sorted(said))
    lines = "".join(f"{name}:{said[name]}\n" for name in sorted(said))
    request = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(data).hexdigest()}"
    scope = f"{date}/{service}/tc3_request"
    text = f"TC3-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"TC3{secret_key}".encode()
    for part in (date, service, "tc3_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    credential = f"TC3-HMAC-SHA256 Credential={secret_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return Signed(data, {**said, **ACTION, "X-TC-Timestamp": str(now), "Authorization": credential})


async def code_of(http: ClientSession, address: str, request: Signed) -> str:
    async with http.post(f"{address}/tencent-vod/", data=io.BytesIO(request.body), headers=request.headers) as answer:
        assert answer.status == 200
        response = (await answer.json())["Response"]
    assert response["RequestId"]
    if "Error" in response:
        assert SECRET not in response["Error"]["Message"]
        return str(response["Error"]["Code"])
    return ""


def without(request: Signed, header: str) -> Signed:
    return Signed(request.body, {name: value for name, value in request.headers.items() if name != header})


def changed(request: Signed, **headers: str) -> Signed:
    return Signed(request.body, {**request.headers, **{name.replace("_", "-"): v for name, v in headers.items()}})


SIGNATURES: list[tuple[Callable[[], Signed], str]] = [
    (lambda: signed(BODY), ""),
    (lambda: signed(BODY, headers={"x-tc-action": "createaigcimagetask"}), ""),
    (lambda: signed(BODY, age_s=290), ""),
    (lambda: without(signed(BODY), "Authorization"), "AuthFailure.InvalidAuthorization"),
    (lambda: changed(signed(BODY), Authorization="Bearer x"), "AuthFailure.InvalidAuthorization"),
    (lambda: signed(BODY, secret_id="nobody"), "AuthFailure.SecretIdNotFound"),
    (lambda: signed(BODY, secret_key="wrong"), "AuthFailure.SignatureFailure"),
    (lambda: signed(BODY, service="cvm"), "AuthFailure.SignatureFailure"),
    (lambda: signed(BODY, date="2020-01-01"), "AuthFailure.SignatureFailure"),
    (lambda: signed(BODY, age_s=400), "AuthFailure.SignatureExpire"),
    (lambda: signed(BODY, age_s=-400), "AuthFailure.SignatureExpire"),
    (lambda: without(signed(BODY), "X-TC-Timestamp"), "MissingParameter"),
    (lambda: changed(signed(BODY), X_TC_Timestamp="yesterday"), "MissingParameter"),
    (lambda: Signed(b'{"Prompt": "a dog"}', signed(BODY).headers), "AuthFailure.SignatureFailure"),
    (lambda: changed(signed(BODY), host="elsewhere.example.com"), "AuthFailure.SignatureFailure"),
    (lambda: changed(signed(BODY), X_TC_Version="2017-03-12"), "NoSuchVersion"),
    (lambda: changed(signed(BODY), X_TC_Action="DrawMe"), "InvalidAction"),
    (lambda: signed(b"[]"), "InvalidParameter"),
    (lambda: signed(b"{no"), "InvalidParameter"),
    (lambda: signed({**BODY, "FileInfos": [base64_file(bytes(7_500_000))]}), "RequestSizeLimitExceeded"),
]


@pytest.mark.parametrize(("request_of", "code"), SIGNATURES)
async def test_signatures_are_verified(
    request_of: Callable[[], Signed], code: str, http: ClientSession, address: str
) -> None:
    assert await code_of(http, address, request_of()) == code


async def test_the_sdk_s_wrong_secret_is_found(address: str) -> None:
    stranger = Vod(address, secret_key="wrong")
    try:
        assert await stranger.error("DescribeTasks", {}) == "AuthFailure.SignatureFailure"
    finally:
        stranger.close()


async def test_other_paths_are_not_found(http: ClientSession, address: str) -> None:
    async with http.post(f"{address}/tencent-vod/v2", data=b"{}") as answer:
        assert answer.status == 404
