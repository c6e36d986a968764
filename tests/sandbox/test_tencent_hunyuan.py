"""The official SDK draws in the sandbox. Signatures, which both of Tencent's services share: test_tencent_vod."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Iterator

import msgspec
import pytest
from aiohttp import ClientSession
from PIL import Image
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.hunyuan.v20230901 import models
from tencentcloud.hunyuan.v20230901.hunyuan_client import HunyuanClient

from pictura.sandbox.base import SECRET
from pictura.sandbox.server import Sandbox
from tests.sandbox.conftest import KEY
from tests.sandbox.tencent import Json, Official

JOB, CHAT, LITE = "SubmitHunyuanImageJob", "SubmitHunyuanImageChatJob", "TextToImageLite"

Picture = Callable[..., bytes]


class Result(msgspec.Struct):
    JobStatusCode: str
    JobErrorCode: str
    ResultImage: list[str]
    ResultDetails: list[str] | None = None
    RevisedPrompt: list[str] | None = None
    ChatId: str = ""
    History: list[dict[str, str | int]] | None = None


class Hunyuan(Official):
    service, client, models = "tencent-hunyuan", HunyuanClient, models

    async def begin(self, action: str = JOB, **said: object) -> str:
        return str((await self.call(action, {"Prompt": "a fox", **said}))["JobId"])

    async def finish(self, action: str, job_id: str) -> Result:
        query = action.replace("Submit", "Query")
        while True:
            result = msgspec.convert(await self.call(query, {"JobId": job_id}), Result)
            if result.JobStatusCode not in ("1", "2"):
                return result
            await asyncio.sleep(0.02)

    async def draw(self, action: str = JOB, **said: object) -> Result:
        return await self.finish(action, await self.begin(action, **said))

    async def picture(self, **said: object) -> str:
        """The URL of a job's first."""
        return (await self.draw(JOB, **said)).ResultImage[0]


@pytest.fixture
def hunyuan(address: str) -> Iterator[Hunyuan]:
    client = Hunyuan(address)
    yield client
    client.close()


def content(data: bytes) -> Json:
    return {"ImageBase64": base64.b64encode(data).decode()}


async def fetch(http: ClientSession, url: str) -> bytes:
    async with http.get(url) as answer:
        assert answer.status == 200
        return await answer.read()


async def size_of(http: ClientSession, url: str) -> tuple[int, int]:
    return Image.open(io.BytesIO(await fetch(http, url))).size


# -- drawing --


async def test_pictures_of_a_prompt(hunyuan: Hunyuan, http: ClientSession) -> None:
    result = await hunyuan.draw(NegativePrompt="dogs", Style="riman", Resolution="768:1024", Num=3, LogoAdd=0)
    assert (result.JobStatusCode, result.JobErrorCode, result.ResultDetails) == ("5", "", ["Success"] * 3)
    assert result.RevisedPrompt == ["a fox (as painted in the sandbox)"] * 3
    assert len({await fetch(http, url) for url in result.ResultImage}) == 3
    assert await size_of(http, result.ResultImage[0]) == (768, 1024)


SIZES: list[tuple[Json, tuple[int, int]]] = [
    ({}, (1024, 1024)),
    ({"Resolution": "1280:720"}, (1280, 720)),
    ({"Resolution": "768:768", "Clarity": "x2"}, (1536, 1536)),
]


@pytest.mark.parametrize(("said", "expected"), SIZES, ids=str)
async def test_sizes(said: Json, expected: tuple[int, int], hunyuan: Hunyuan, http: ClientSession) -> None:
    assert await size_of(http, await hunyuan.picture(**said)) == expected


async def test_a_seed_counts_where_the_prompt_is_left_alone(hunyuan: Hunyuan, http: ClientSession) -> None:
    async def picture(**said: int) -> bytes:
        return await fetch(http, await hunyuan.picture(**said))

    assert await picture(Seed=7, Revise=0) == await picture(Seed=7, Revise=0) != await picture(Seed=8, Revise=0)
    assert await picture(Seed=7) == await picture(Seed=8)


async def test_an_edit(hunyuan: Hunyuan, http: ClientSession, picture: Picture) -> None:
    plain = await hunyuan.draw(Revise=0)
    edited = await hunyuan.draw(ContentImage=content(picture(64, 64)), Resolution="1024:1024")
    assert await fetch(http, plain.ResultImage[0]) != await fetch(http, edited.ResultImage[0])
    like_it = await hunyuan.draw(ContentImage=content(picture(640, 480, "jpeg", "RGB")))
    assert await size_of(http, like_it.ResultImage[0]) == (1024, 768)
    by_url = await hunyuan.draw(ContentImage={"ImageUrl": plain.ResultImage[0]}, Style="riman")
    assert await size_of(http, by_url.ResultImage[0]) == (1024, 1024)


async def test_a_chat_goes_on(hunyuan: Hunyuan, http: ClientSession) -> None:
    first = await hunyuan.draw(CHAT)
    assert (first.History, bool(first.ChatId)) == ([], True)
    second = await hunyuan.draw(CHAT, Prompt="now with a hat", ChatId=first.ChatId)
    assert second.History
    (earlier,) = second.History
    assert (earlier["ChatId"], earlier["Prompt"], type(earlier["Seed"])) == (first.ChatId, "a fox", int)
    alone = await hunyuan.draw(CHAT, Prompt="now with a hat")
    assert await fetch(http, second.ResultImage[0]) != await fetch(http, alone.ResultImage[0])
    assert await hunyuan.error(CHAT, {"Prompt": "a fox", "ChatId": "nobody's"}) == "ResourceNotFound"


async def test_the_lite_model_answers_at_once(hunyuan: Hunyuan, http: ClientSession) -> None:
    told = await hunyuan.call(LITE, {"Prompt": "a fox", "RspImgType": "url", "Resolution": "1920:1080", "LogoAdd": 0})
    assert await size_of(http, str(told["ResultImage"])) == (1920, 1080)
    told = await hunyuan.call(LITE, {"Prompt": "a fox"})
    assert Image.open(io.BytesIO(base64.b64decode(str(told["ResultImage"])))).size == (768, 768)


# -- jobs --


async def test_jobs_outlive_the_sandbox(hunyuan: Hunyuan, http: ClientSession, picture: Picture) -> None:
    jobs = {
        JOB: await hunyuan.begin(ContentImage=content(picture(64, 64))),
        CHAT: await hunyuan.begin(CHAT),
    }
    later = Sandbox(accepts=lambda key: key == KEY)
    other = Hunyuan(await later.start())
    try:
        for action, job_id in jobs.items():
            result = await other.finish(action, job_id)
            assert await size_of(http, result.ResultImage[0]) == (1024, 1024)
    finally:
        other.close()
        await later.close()


async def test_a_job_waits_and_runs(hunyuan: Hunyuan, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await hunyuan.begin(Prompt="[fault:long 60]")
    for queued_s, status in ((60, "1"), (0, "2")):
        monkeypatch.setattr("pictura.sandbox.tasks.QUEUED_S", queued_s)
        told = await hunyuan.call("QueryHunyuanImageJob", {"JobId": job_id})
        assert (told["JobStatusCode"], told["ResultImage"]) == (status, [])


async def test_a_job_is_asked_for_by_its_own_query(hunyuan: Hunyuan) -> None:
    job_id = await hunyuan.begin()
    assert await hunyuan.error("QueryHunyuanImageChatJob", {"JobId": job_id}) == "ResourceNotFound"
    assert await hunyuan.error("QueryHunyuanImageJob", {"JobId": f"{job_id}x"}) == "ResourceNotFound"
    assert await hunyuan.error("QueryHunyuanImageJob", {}) == "MissingParameter"


# -- what goes wrong --


@pytest.mark.parametrize("action", [JOB, CHAT, LITE])
@pytest.mark.parametrize(
    ("mark", "code"),
    [
        ("[refuse]", "OperationDenied.TextIllegalDetected"),
        ("[fault:401]", "AuthFailure.SecretIdNotFound"),
        ("[fault:402]", "ResourceUnavailable.InArrears"),
        ("[fault:429]", "RequestLimitExceeded"),
        ("[fault:500]", "FailedOperation.EngineServerError"),
        ("[fault:502page]", "ServerNetworkError"),
    ],
)
async def test_what_goes_wrong_at_once(action: str, mark: str, code: str, hunyuan: Hunyuan) -> None:
    assert await hunyuan.error(action, {"Prompt": mark}) == code


LATE = [
    ("[refuse late]", "OperationDenied.ImageIllegalDetected"),
    ("[fault:failed]", "FailedOperation.EngineServerError"),
]


@pytest.mark.parametrize("action", [JOB, CHAT])
@pytest.mark.parametrize(("mark", "code"), LATE)
async def test_what_goes_wrong_late(action: str, mark: str, code: str, hunyuan: Hunyuan) -> None:
    result = await hunyuan.draw(action, Prompt=mark)
    assert (result.JobStatusCode, result.JobErrorCode, result.ResultImage) == ("4", code, [])


@pytest.mark.parametrize(("mark", "code"), LATE)
async def test_what_goes_wrong_in_the_lite_model(mark: str, code: str, hunyuan: Hunyuan) -> None:
    assert await hunyuan.error(LITE, {"Prompt": mark}) == code


# -- what it refuses --

UNREADABLE = "InvalidParameterValue.ImageRequestError"
REFUSED: list[tuple[str, Json, str]] = [
    (JOB, {"Prompt": ""}, "MissingParameter"),
    (JOB, {"Prompt": "a" * 1025}, "InvalidParameterValue"),
    (JOB, {"NegativePrompt": "a" * 1025}, "InvalidParameterValue"),
    (JOB, {"Resolution": "1024x1024"}, "InvalidParameterValue"),
    (JOB, {"Resolution": "1080:1920"}, "InvalidParameterValue"),
    (JOB, {"Num": 5}, "InvalidParameterValue"),
    (JOB, {"Num": "1"}, "InvalidParameter"),
    (JOB, {"Clarity": "x3"}, "InvalidParameterValue"),
    (JOB, {"Revise": 2}, "InvalidParameterValue"),
    (JOB, {"Seed": 0}, "InvalidParameterValue"),
    (JOB, {"Seed": 2**32}, "InvalidParameterValue"),
    (JOB, {"LogoAdd": "no"}, "InvalidParameter"),
    (JOB, {"ContentImage": {"ImageBase64": "no picture"}}, UNREADABLE),
    (JOB, {"ContentImage": {"ImageUrl": "ftp://pictures.example.com"}}, UNREADABLE),
    (JOB, {"ContentImage": {}}, UNREADABLE),
    (JOB, {"ContentImage": {"ImageUrl": "https://a.example/1"}, "Resolution": "720:1280"}, "InvalidParameterValue"),
    (CHAT, {"Prompt": "a" * 1025}, "InvalidParameterValue"),
    (LITE, {"Prompt": "a" * 257}, "InvalidParameterValue"),
    (LITE, {"Resolution": "1:1"}, "InvalidParameterValue"),
    (LITE, {"RspImgType": "file"}, "InvalidParameterValue"),
]


@pytest.mark.parametrize(("action", "said", "code"), REFUSED, ids=lambda value: str(value)[:60])
async def test_what_is_wrong_is_told(action: str, said: Json, code: str, hunyuan: Hunyuan) -> None:
    assert await hunyuan.error(action, {"Prompt": "a fox", **said}) == code


@pytest.mark.parametrize("action", [JOB, CHAT, LITE])
async def test_what_it_does_not_know_is_refused(action: str, hunyuan: Hunyuan) -> None:
    with pytest.raises(TencentCloudSDKException) as caught:
        await asyncio.to_thread(hunyuan.official.call_json, action, {"Prompt": "a fox", "Colour": "red"})
    assert caught.value.code == "UnknownParameter"


@pytest.mark.parametrize(
    ("format", "width", "padding"), [("webp", 64, 0), ("gif", 64, 0), ("png", 5000, 0), ("png", 64, 6_000_000)]
)
async def test_pictures_that_are_not_taken(
    format: str, width: int, padding: int, hunyuan: Hunyuan, picture: Picture
) -> None:
    data = picture(width, 64, format, "RGB") + bytes(padding)
    assert await hunyuan.error(JOB, {"Prompt": "a fox", "ContentImage": content(data)}) == UNREADABLE


@pytest.mark.parametrize(
    ("secret_key", "region", "code"),
    [
        ("wrong", "ap-guangzhou", "AuthFailure.SignatureFailure"),
        (SECRET, "eu-moscow", "UnsupportedRegion"),
        (SECRET, "", "MissingParameter"),
    ],
)
async def test_callers_that_are_set_up_wrong(secret_key: str, region: str, code: str, address: str) -> None:
    client = Hunyuan(address, secret_key, region)
    try:
        assert await client.error(JOB, {"Prompt": "a fox"}) == code
    finally:
        client.close()
