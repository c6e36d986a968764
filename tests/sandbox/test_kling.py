"""Kling has no SDK for Python: the simulator is driven over plain HTTP, as Kling's own pages show it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession

from pictura.core.media import sniff
from pictura.sandbox.base import SECRET
from pictura.sandbox.server import Sandbox
from tests.sandbox.conftest import KEY

CLASSIC, MULTI, OMNI = (f"/v1/images/{word}" for word in ("generations", "multi-image2image", "omni-image"))

Json = Mapping[str, object]
MakePicture = Callable[..., bytes]


class Image(msgspec.Struct):
    index: int
    url: str
    watermark_url: str = ""


class Result(msgspec.Struct):
    result_type: str
    images: list[Image] = []
    series_images: list[Image] = []


class Data(msgspec.Struct):
    task_id: str
    task_status: str
    task_info: dict[str, str]
    created_at: int
    updated_at: int
    task_status_msg: str = ""
    task_result: Result | None = None
    watermark_info: dict[str, bool] = {}
    final_unit_deduction: str = ""

    @property
    def images(self) -> list[Image]:
        assert self.task_result
        return self.task_result.images


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    code: int
    message: str
    request_id: str
    data: Data | None = None


def token(secret: str = SECRET, header: Mapping[str, object] | None = None, **claims: object) -> str:
    """A JWT, made as in the example on Kling's page."""
    now = int(time.time())
    parts: list[Mapping[str, object]] = [
        header or {"alg": "HS256", "typ": "JWT"},
        {"iss": KEY, "exp": now + 1800, "nbf": now - 5, **claims},
    ]
    text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


@pytest.fixture
async def http(address: str) -> AsyncIterator[ClientSession]:
    async with ClientSession(f"{address}/kling/", headers={"Authorization": f"Bearer {token()}"}) as session:
        yield session


async def post(http: ClientSession, path: str, body: object, **headers: str) -> tuple[int, Answer]:
    async with http.post(path[1:], json=body, headers=headers) as answer:
        return answer.status, msgspec.json.decode(await answer.read(), type=Answer)


async def get(http: ClientSession, path: str) -> tuple[int, Answer]:
    async with http.get(path[1:]) as answer:
        return answer.status, msgspec.json.decode(await answer.read(), type=Answer)


async def begun(http: ClientSession, path: str, body: Json) -> Data:
    status, answer = await post(http, path, body)
    assert (status, answer.code) == (200, 0), answer
    assert answer.data and answer.data.task_status == "submitted"
    return answer.data


async def asked(http: ClientSession, path: str, id: str) -> Data:
    _, answer = await get(http, f"{path}/{id}")
    assert answer.data, answer
    return answer.data


async def finished(http: ClientSession, path: str, body: Json) -> Data:
    """The task when it is over."""
    task = await begun(http, path, body)
    while task.task_status in ("submitted", "processing"):
        await asyncio.sleep(0.02)
        task = await asked(http, path, task.task_id)
    return task


async def size(http: ClientSession, url: str) -> tuple[str, int, int]:
    async with http.get(url) as answer:
        data = await answer.read()
    media = sniff(lambda offset, size: data[offset:][:size], len(data))
    return media.type, media.width, media.height


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_text_to_image(http: ClientSession) -> None:
    task = await finished(http, CLASSIC, {"prompt": "a fox", "n": 2})
    assert task.created_at > 1_700_000_000_000
    assert [image.index for image in task.images] == [0, 1]
    assert [await size(http, image.url) for image in task.images] == [("image/png", 1360, 768)] * 2
    assert task.final_unit_deduction == "16"


async def test_a_task_is_known_by_the_asker_s_own_id(http: ClientSession) -> None:
    body = {"prompt": "a fox [fault:long 60]", "external_task_id": "mine"}
    task = await begun(http, CLASSIC, body)
    assert task.task_info == {"external_task_id": "mine"}
    await asyncio.sleep(0.1)
    later = await asked(http, CLASSIC, "mine")
    assert (later.task_id, later.task_status) == (task.task_id, "processing")


@pytest.mark.parametrize(
    ("path", "body", "width", "height", "units"),
    [
        (CLASSIC, {"model_name": "kling-v2-1", "aspect_ratio": "1:1"}, 1024, 1024, "4"),
        (CLASSIC, {"model_name": "kling-v1", "aspect_ratio": "2:3"}, 832, 1248, "1"),
        (OMNI, {}, 1024, 1024, "8"),
        (OMNI, {"model_name": "kling-v3-omni", "resolution": "2k", "aspect_ratio": "21:9"}, 3120, 1328, "8"),
    ],
)
async def test_sizes_and_units(path: str, body: Json, width: int, height: int, units: str, http: ClientSession) -> None:
    task = await finished(http, path, {"prompt": "a fox", **body})
    (image,) = task.images
    assert (await size(http, image.url))[1:] == (width, height)
    assert task.final_unit_deduction == units


async def test_pictures_are_bare_base64_or_urls(http: ClientSession, picture: MakePicture) -> None:
    encoded = b64(picture(600, 300))
    body = {"model_name": "kling-v2-1", "prompt": "a fox", "image": encoded, "image_reference": "subject"}
    task = await finished(http, CLASSIC, body)
    assert task.final_unit_deduction == "8"
    first = task.images[0].url
    images = [{"image": encoded}, {"image": first}, {"image": "https://example.com/fox.png"}]
    task = await finished(http, OMNI, {"prompt": "<<<image_1>>> there", "image_list": images, "aspect_ratio": "auto"})
    assert (await size(http, task.images[0].url))[1:] == (1440, 720)
    subjects = [{"subject_image": encoded}, {"subject_image": encoded}]
    task = await finished(http, MULTI, {"subject_image_list": subjects, "scene_image": first, "negative_prompt": ""})
    assert task.final_unit_deduction == "16"


async def test_a_watermarked_copy_comes_beside_the_picture(http: ClientSession) -> None:
    task = await finished(http, CLASSIC, {"prompt": "a fox", "watermark_info": {"enabled": True}})
    (image,) = task.images
    assert task.watermark_info == {"enabled": True}
    assert await size(http, image.watermark_url) == await size(http, image.url)


@pytest.mark.parametrize(("amount", "count"), [(2, 2), ("auto", 4)])
async def test_a_series(amount: object, count: int, http: ClientSession) -> None:
    body = {"model_name": "kling-v3-omni", "prompt": "a fox", "result_type": "series", "series_amount": amount}
    result = (await finished(http, OMNI, body)).task_result
    assert result and result.result_type == "series"
    assert len(result.series_images) == count


async def test_a_task_outlives_its_sandbox(http: ClientSession, picture: MakePicture) -> None:
    body: Json = {"model_name": "kling-image-o1", "prompt": "a fox", "image_list": [{"image": b64(picture(400, 400))}]}
    task = await begun(http, OMNI, body)
    sandbox = Sandbox(accepts=lambda key: key == KEY)
    try:
        address = await sandbox.start()
        await asyncio.sleep(0.2)
        async with ClientSession(f"{address}/kling/", headers={"Authorization": f"Bearer {token()}"}) as later:
            assert (await asked(later, OMNI, task.task_id)).task_status == "succeed"
            assert (await get(later, f"{CLASSIC}/{task.task_id}"))[1].code == 1203
    finally:
        await sandbox.close()


# -- who asks --


@pytest.mark.parametrize(
    ("bearer", "code"),
    [
        ("", 1001),
        (token(secret="other"), 1002),
        (token(iss="sk-live-1"), 1002),
        (token(header={"alg": "none", "typ": "JWT"}), 1002),
        (token(header={"alg": "HS256"}), 1002),
        (token(nbf=int(time.time()) + 600), 1003),
        (token(exp=int(time.time()) - 1), 1004),
        ("a.b.c", 1002),
        ("sk-other", 1002),
    ],
)
async def test_a_token_that_is_not_to_be_trusted(bearer: str, code: int, http: ClientSession) -> None:
    status, answer = await post(http, CLASSIC, {"prompt": "a fox"}, Authorization=f"Bearer {bearer}")
    assert (status, answer.code) == (401, code)
    assert answer.request_id and answer.data is None


async def test_a_plain_key_is_one_too(http: ClientSession) -> None:
    status, _ = await post(http, CLASSIC, {"prompt": "a fox"}, Authorization=f"Bearer {KEY}")
    assert status == 200


# -- strictness --

WRONG: list[tuple[str, Json, str]] = [
    (CLASSIC, {"prompt": ""}, "prompt"),
    (CLASSIC, {"prompt": "x" * 2501}, "prompt"),
    (CLASSIC, {"prompt": 7}, "prompt"),
    (CLASSIC, {"model_name": "kling-v9"}, "model_name"),
    (CLASSIC, {"model_name": "kling-v3-omni"}, "model_name"),
    (OMNI, {"model_name": "kling-v3"}, "model_name"),
    (CLASSIC, {"n": 10}, "n"),
    (CLASSIC, {"n": 0}, "n"),
    (CLASSIC, {"resolution": "4k"}, "resolution"),
    (OMNI, {"model_name": "kling-image-o1", "resolution": "4k"}, "resolution"),
    (CLASSIC, {"model_name": "kling-v1-5", "resolution": "2k"}, "resolution"),
    (CLASSIC, {"aspect_ratio": "auto"}, "aspect_ratio"),
    (CLASSIC, {"model_name": "kling-v1", "aspect_ratio": "21:9"}, "aspect_ratio"),
    (OMNI, {"model_name": "kling-v3-omni", "aspect_ratio": "auto"}, "aspect_ratio"),
    (OMNI, {"aspect_ratio": "5:4"}, "aspect_ratio"),
    (OMNI, {"result_type": "series"}, "result_type"),
    (OMNI, {"model_name": "kling-v3-omni", "result_type": "series", "series_amount": 1}, "series_amount"),
    (CLASSIC, {"image": "PNG", "negative_prompt": "blur"}, "negative_prompt"),
    (CLASSIC, {"model_name": "kling-v2-1", "image_reference": "face"}, "image"),
    (CLASSIC, {"model_name": "kling-v1-5", "image": "PNG"}, "image_reference"),
    (CLASSIC, {"model_name": "kling-v2-new"}, "image"),
    (CLASSIC, {"image": "PNG", "image_reference": "face"}, "image_reference"),
    (CLASSIC, {"image_fidelity": 0.5}, "image_fidelity"),
    (CLASSIC, {"model_name": "kling-v2-1", "human_fidelity": 1.5}, "human_fidelity"),
    (CLASSIC, {"model_name": "kling-v2-1", "element_list": [{"element_id": 7}]}, "element_list"),
    (OMNI, {"element_list": [{"element_id": "7"}]}, "element_id"),
    (OMNI, {"element_list": [{"element_id": 7}] * 9, "image_list": [{"image": "PNG"}] * 2}, "elements and images"),
    (OMNI, {"image_list": [{"image": "PNG"}] * 11}, "pictures"),
    (MULTI, {}, "subject_image_list"),
    (MULTI, {"subject_image_list": [{"subject_image": "PNG"}] * 5}, "subject_image_list"),
    (CLASSIC, {"watermark_info": True}, "watermark_info"),
    (CLASSIC, {"callback_url": "https://example.com"}, "callback_url"),
    (CLASSIC, {"image": "DATA"}, "data:"),
    (CLASSIC, {"image": "SMALL"}, "300 pixels"),
    (CLASSIC, {"image": "THIN"}, "2.5:1"),
    (CLASSIC, {"image": "WEBP"}, "webp"),
    (CLASSIC, {"image": "fox.png"}, "base64"),
]


def filled(value: object, pictures: Mapping[str, str]) -> object:
    """With the pictures in the places of their names."""
    if isinstance(value, dict):
        return {name: filled(inner, pictures) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, pictures) for inner in value]
    return pictures.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize(("path", "body", "named"), WRONG)
async def test_what_kling_does_not_take(
    path: str, body: Json, named: str, http: ClientSession, picture: MakePicture
) -> None:
    pictures = {
        "PNG": b64(picture(300, 300)),
        "DATA": f"data:image/png;base64,{b64(picture(300, 300))}",
        "SMALL": b64(picture(300, 299)),
        "THIN": b64(picture(300, 751)),
        "WEBP": b64(picture(300, 300, "webp")),
    }
    status, answer = await post(http, path, filled({"prompt": "a fox", **body}, pictures))
    assert (status, answer.code) == (400, 1201), answer
    assert named in answer.message


async def test_an_external_id_outlives_its_sandbox(tmp_path: Path) -> None:
    body: Json = {"prompt": "a fox", "external_task_id": "once"}
    statuses = []
    for _ in range(2):
        sandbox = Sandbox(accepts=lambda key: key == KEY, folder=tmp_path)
        try:
            address = await sandbox.start()
            async with ClientSession(f"{address}/kling/", headers={"Authorization": f"Bearer {token()}"}) as client:
                statuses.append((await post(client, CLASSIC, body))[0])
                assert (await asked(client, CLASSIC, "once")).task_info == {"external_task_id": "once"}
        finally:
            await sandbox.close()
    assert statuses == [200, 400]


async def test_an_external_id_is_used_once(http: ClientSession) -> None:
    body = {"prompt": "a fox", "external_task_id": "once"}
    assert (await post(http, CLASSIC, body))[0] == 200
    status, answer = await post(http, CLASSIC, body)
    assert (status, answer.code) == (400, 1201)
    assert (await post(http, CLASSIC, body, Authorization=f"Bearer {token()}"))[0] == 400


@pytest.mark.parametrize(
    ("prompt", "status", "code"),
    [
        ("[refuse]", 400, 1301),
        ("[fault:401]", 401, 1002),
        ("[fault:402]", 429, 1102),
        ("[fault:429]", 429, 1302),
        ("[fault:500]", 500, 5000),
    ],
)
async def test_errors_on_demand(prompt: str, status: int, code: int, http: ClientSession) -> None:
    found, answer = await post(http, OMNI, {"prompt": f"a fox {prompt}"})
    assert (found, answer.code) == (status, code)


@pytest.mark.parametrize("mark", ["[refuse late]", "[fault:failed]"])
async def test_a_task_that_fails(mark: str, http: ClientSession) -> None:
    task = await finished(http, OMNI, {"prompt": f"a fox {mark}"})
    assert (task.task_status, task.final_unit_deduction) == ("failed", "0")
    assert task.task_status_msg


@pytest.mark.parametrize(("path", "code"), [(f"{OMNI}/nothing", 1203), ("/v1/videos/text2video", 1202)])
async def test_what_is_not_there(path: str, code: int, http: ClientSession) -> None:
    status, answer = await get(http, path)
    assert (status, answer.code) == (404, code)
