from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping

import pytest
from aiohttp import ClientSession
from PIL import Image

PLACE = "/openrouter/api/v1/images"
SEEDREAM = "bytedance-seed/seedream-4.5"

MakePicture = Callable[..., bytes]


async def ask(address: str, http: ClientSession, body: Mapping[str, object]) -> tuple[int, str]:
    async with http.post(address + PLACE, json={"model": SEEDREAM, "prompt": "a red panda", **body}) as answer:
        return answer.status, await answer.text()


def opened(datum: Mapping[str, str]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(datum["b64_json"], validate=True)))


def reference(url: str) -> Mapping[str, object]:
    return {"type": "image_url", "image_url": {"url": url}}


# -- its guide's examples --


async def test_a_first_picture_and_what_it_cost(address: str, http: ClientSession) -> None:
    _, text = await ask(address, http, {"aspect_ratio": "16:9", "resolution": "2K"})
    told = json.loads(text)
    assert told["usage"]["cost"] == 0.04
    assert told["usage"]["total_tokens"] == told["usage"]["prompt_tokens"] + told["usage"]["completion_tokens"]
    (datum,) = told["data"]
    picture = opened(datum)
    assert (picture.format, datum["media_type"]) == ("JPEG", "image/jpeg")
    assert picture.width / picture.height == pytest.approx(16 / 9, abs=0.02)


async def test_several_with_a_transparent_ground(address: str, http: ClientSession) -> None:
    body = {"model": "openai/gpt-image-1", "n": 2, "quality": "high", "background": "transparent", "size": "256x256"}
    _, text = await ask(address, http, {**body, "output_format": "png"})
    told = json.loads(text)
    assert [opened(datum).mode for datum in told["data"]] == ["RGBA"] * 2
    assert told["usage"]["cost"] == 0.022


async def test_references(address: str, http: ClientSession, picture: MakePicture) -> None:
    inline = f"data:image/png;base64,{base64.b64encode(picture(64, 48)).decode()}"
    body = {"model": "openai/gpt-image-1", "size": "256x256", "seed": 1}
    urls = [reference(inline), reference("https://example.com/photo.jpg")]
    edited, plain = [await ask(address, http, {**body, **more}) for more in ({"input_references": urls}, {})]
    assert edited[0] == plain[0] == 200
    assert json.loads(edited[1])["data"] != json.loads(plain[1])["data"]


async def test_a_stream(address: str, http: ClientSession) -> None:
    status, text = await ask(address, http, {"model": "openai/gpt-image-1", "size": "256x256", "stream": True})
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    partial, completed, end = lines
    assert (status, end) == (200, "[DONE]")
    assert json.loads(partial)["type"] == "image_generation.partial_image"
    assert json.loads(completed)["usage"]["cost"] == 0.011


async def test_whoever_does_not_stream_answers(address: str, http: ClientSession) -> None:
    status, text = await ask(address, http, {"resolution": "2K", "aspect_ratio": "1:1", "stream": True})
    assert (status, len(json.loads(text)["data"])) == (200, 1)


# -- errors --


@pytest.mark.parametrize(
    ("fields", "status", "kind"),
    [
        ({"model": None}, 400, "invalid_request"),
        ({"model": "nobody/nothing"}, 404, "not_found"),
        ({"prompt": ""}, 400, "invalid_request"),
        ({"n": 11}, 400, "invalid_request"),
        ({"n": 2}, 400, "invalid_request"),
        ({"resolution": "1K"}, 400, "invalid_request"),
        ({"aspect_ratio": "7:5"}, 400, "invalid_request"),
        ({"size": "2048x2048", "aspect_ratio": "16:9"}, 400, "invalid_request"),
        ({"size": "large"}, 400, "invalid_request"),
        ({"background": "transparent"}, 400, "invalid_request"),
        ({"output_format": "gif"}, 400, "invalid_request"),
        ({"output_compression": 101}, 400, "invalid_request"),
        ({"input_references": [reference("a.png")]}, 400, "invalid_request"),
        ({"input_references": [{"type": "url"}]}, 400, "invalid_request"),
        ({"input_references": [reference("https://example.com/a.png")] * 15}, 400, "invalid_request"),
        ({"colour": "red"}, 400, "invalid_request"),
        ({"prompt": "a fox [refuse]"}, 400, "content_policy_violation"),
        ({"prompt": "a fox [refuse late]"}, 200, "content_policy_violation"),
        ({"prompt": "a fox [fault:failed]"}, 502, "provider_unavailable"),
        ({"prompt": "a fox [fault:429]"}, 429, "rate_limit_exceeded"),
        ({"prompt": "a fox [fault:500]"}, 500, "server"),
        ({"prompt": "a fox [fault:402]"}, 402, None),
    ],
    ids=str,
)
async def test_errors(
    address: str, http: ClientSession, fields: Mapping[str, object], status: int, kind: str | None
) -> None:
    found, text = await ask(address, http, fields)
    error = json.loads(text)["error"]
    assert (found, error.get("metadata", {}).get("error_type")) == (status, kind)
    assert error["code"] == (status if status >= 400 else 400)


async def test_a_wrong_key_and_a_wrong_path(address: str, http: ClientSession) -> None:
    async with ClientSession() as nobody, nobody.post(address + PLACE, json={}) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (401, 401)
    async with http.get(f"{address}{PLACE}/models") as answer:
        assert answer.status == 404
