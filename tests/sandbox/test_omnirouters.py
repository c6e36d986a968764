from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Mapping

import msgspec
import pytest
from aiohttp import ClientSession
from PIL import Image

from pictura.sandbox.server import Sandbox

KEY = "sk-test-sandbox"
PLACE = "/omnirouters/v1/images/generations"

MakePicture = Callable[..., bytes]


class Datum(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    b64_json: str
    revised_prompt: str


class Told(msgspec.Struct):
    task_id: str = ""
    status: str = ""
    data: list[Datum] | None = None
    error: Mapping[str, str] | None = None
    code: str = ""


async def ask(http: ClientSession, url: str, body: Mapping[str, object] | None = None, status: int = 200) -> Told:
    method = "GET" if body is None else "POST"
    async with http.request(method, url, json=body) as answer:
        assert answer.status == status, await answer.text()
        return msgspec.json.decode(await answer.read(), type=Told)


async def finished(http: ClientSession, url: str) -> Told:
    async with asyncio.timeout(10):
        while (told := await ask(http, url)).status in ("queued", "in_progress"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return told


async def size(http: ClientSession, url: str) -> tuple[int, int]:
    async with http.get(url) as answer:
        return Image.open(io.BytesIO(await answer.read())).size


# -- its page's examples --

EXAMPLES: Mapping[str, Mapping[str, object]] = {
    "text": {"model": "Nano-Banana2", "resolution": "1K", "prompt": "一个女孩", "aspect_ratio": "16:9"},
    "pictures": {
        "model": "Nano-Banana2",
        "resolution": "1K",
        "prompt": "将图1的服装换为图2的服装",
        "images": ["https://example.com/image1.png", "https://example.com/image2.png"],
        "aspect_ratio": "16:9",
        "input_region": "Mainland",
    },
    "GPT": {"model": "GPT-image-2", "quality": "low", "resolution": "1K", "prompt": "a fox", "n": 3},
    "Kling": {"model": "Kling:3.0-omni", "resolution": "1K", "prompt": "一只小猫坐在窗边", "n": 3},
    "Seedream": {"model": "Seedream:4.5", "resolution": "2K", "prompt": "一只小猫坐在窗边"},
    "panorama": {"model": "Hunyuan-3d-2.0", "prompt": "一个雪山湖泊的360度全景图"},
}


@pytest.mark.parametrize("example", EXAMPLES)
async def test_examples_as_tasks(address: str, http: ClientSession, example: str) -> None:
    body = EXAMPLES[example]
    begun = await ask(http, f"{address}{PLACE}?async=TRUE", body)
    assert (begun.task_id[:5], begun.status) == ("task_", "queued")
    told = await finished(http, f"{address}{PLACE}/{begun.task_id}")
    assert (told.status, len(told.data or [])) == ("completed", body.get("n", 1))
    width, height = await size(http, (told.data or [])[0].url)
    if "aspect_ratio" in body:
        assert width / height == pytest.approx(16 / 9, abs=0.02)


async def test_a_picture_at_once(address: str, http: ClientSession, picture: MakePicture) -> None:
    inline = f"data:image/png;base64,{base64.b64encode(picture(64, 48)).decode()}"
    told = await ask(http, address + PLACE, {"model": "Nano-Banana2", "prompt": "a hat", "images": [inline]})
    assert (told.status, len(told.data or [])) == ("", 1)


# -- how a task ends --


@pytest.mark.parametrize(("mark", "code"), [("[refuse late]", "content_policy_violation"), ("[fault:failed]", None)])
async def test_a_task_that_ends_badly(address: str, http: ClientSession, mark: str, code: str | None) -> None:
    begun = await ask(http, f"{address}{PLACE}?async=true", {"model": "Nano-Banana2", "prompt": f"a fox {mark}"})
    told = await finished(http, f"{address}{PLACE}/{begun.task_id}")
    assert told.status == "failed"
    assert told.error is not None and told.error.get("code") == code


async def test_a_task_is_known_to_a_sandbox_started_anew(address: str, http: ClientSession) -> None:
    begun = await ask(http, f"{address}{PLACE}?async=true", EXAMPLES["pictures"])
    anew = Sandbox(accepts=lambda key: key == KEY)
    try:
        told = await finished(http, f"{await anew.start()}{PLACE}/{begun.task_id}")
        assert (told.status, len(told.data or [])) == ("completed", 1)
    finally:
        await anew.close()


async def test_a_task_that_nobody_knows(address: str, http: ClientSession) -> None:
    told = await ask(http, f"{address}{PLACE}/task_abc", status=400)
    assert told.code == "task_not_exist"


# -- what it refuses --


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"model": None}, 500, "invalid_request"),
        ({"model": "Nano-Banana9"}, 503, "model_not_found"),
        ({"n": "3"}, 500, "invalid_request"),
        ({"n": 2}, 400, "invalid_value"),
        ({"prompt": None}, 400, "invalid_value"),
        ({"resolution": "3K"}, 400, "invalid_value"),
        ({"aspect_ratio": "7:5"}, 400, "invalid_value"),
        ({"model": "Seedream:4.5", "aspect_ratio": "16:9"}, 400, "invalid_value"),
        ({"quality": "low"}, 400, "invalid_value"),
        ({"input_region": "Moon"}, 400, "invalid_value"),
        ({"images": "https://example.com/a.png"}, 500, "invalid_request"),
        ({"images": ["a.png"]}, 500, "invalid_request"),
        ({"model": "Hunyuan-3d-2.0", "images": ["https://example.com/a.png"]}, 400, "invalid_value"),
        ({"prompt": "a fox [refuse]"}, 400, "content_policy_violation"),
        ({"prompt": "a fox [fault:402]"}, 403, "insufficient_user_quota"),
    ],
)
@pytest.mark.parametrize("query", ["", "?async=true"])
async def test_what_it_refuses(
    address: str, http: ClientSession, fields: Mapping[str, object], status: int, code: str, query: str
) -> None:
    body = {"model": "Nano-Banana2", "prompt": "a fox", "colour": "passed over", **fields}
    told = await ask(http, f"{address}{PLACE}{query}", body, status)
    assert told.error is not None and told.error["code"] == code
    assert told.error["message"].count("request id") == 1


async def test_a_wrong_key_and_a_wrong_path(address: str, http: ClientSession) -> None:
    async with ClientSession() as nobody, nobody.get(f"{address}{PLACE}/task_abc") as answer:
        assert answer.status == 401
    await ask(http, f"{address}/omnirouters/v1/images/edits", {}, 404)
