from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping

import pytest
from aiohttp import ClientSession, FormData
from PIL import Image

PLACE = "/imagerouter/v1/openai/images"

MakePicture = Callable[..., bytes]


async def ask(
    address: str, http: ClientSession, body: Mapping[str, object] | FormData, path: str = "generations"
) -> tuple[int, bytes]:
    form, fields = (body, None) if isinstance(body, FormData) else (None, body)
    async with http.post(f"{address}{PLACE}/{path}", data=form, json=fields) as answer:
        return answer.status, await answer.read()


def form(picture: MakePicture, *files: str, **texts: str) -> FormData:
    made = FormData({"model": "test/test", "prompt": "a hat", **texts}, default_to_multipart=True)
    for name in files:
        made.add_field(name, picture(64, 48), filename="a.png", content_type="image/png")
    return made


# -- its skill page's examples --


async def test_a_first_picture(address: str, http: ClientSession) -> None:
    body = {"prompt": "日落时宁静的山景", "model": "test/test", "quality": "auto", "size": "auto"}
    status, answer = await ask(address, http, {**body, "response_format": "url", "output_format": "webp"})
    assert status == 200
    assert answer.startswith(b"  {")
    told = json.loads(answer)
    assert told.keys() == {"created", "data", "latency", "cost"}
    assert told["created"] > 1e12 and told["cost"] == 0
    async with http.get(told["data"][0]["url"]) as drawn:
        assert Image.open(io.BytesIO(await drawn.read())).format == "WEBP"


async def test_a_picture_inside_the_answer(address: str, http: ClientSession) -> None:
    body = {"model": "run-diffusion/Juggernaut-Pro-Flux", "quality": "high", "size": "256×384", "output_format": "JPG"}
    _, answer = await ask(address, http, {**body, "response_format": "b64_ephemeral", "n": 3, "colour": "red"})
    told = json.loads(answer)
    (datum,) = told["data"]
    assert datum["revised_prompt"] is None
    picture = Image.open(io.BytesIO(base64.b64decode(datum["b64_json"], validate=True)))
    assert (picture.format, picture.size, told["cost"]) == ("JPEG", (256, 384), 0.0095)


async def test_text_to_picture_as_a_form(address: str, http: ClientSession, picture: MakePicture) -> None:
    status, _ = await ask(address, http, form(picture, size="1024x1024", quality="high"), "edits")
    assert status == 200


@pytest.mark.parametrize("files", [["image[]"] * 3, ["image"], ["image[]", "mask[]"]])
async def test_edits(address: str, http: ClientSession, picture: MakePicture, files: list[str]) -> None:
    status, answer = await ask(address, http, form(picture, *files), "edits")
    assert (status, "data" in json.loads(answer)) == (200, True)


# -- errors --


@pytest.mark.parametrize(
    ("fields", "status", "type"),
    [
        ({"model": None}, 400, "invalid_request_error"),
        ({"model": "nobody/nothing"}, 400, "invalid_request_error"),
        ({"prompt": "x" * 10_001}, 400, "invalid_request_error"),
        ({"quality": "hd"}, 400, "invalid_request_error"),
        ({"size": "16:9"}, 400, "invalid_request_error"),
        ({"response_format": "base64"}, 400, "invalid_request_error"),
        ({"output_format": "gif"}, 400, "invalid_request_error"),
        ({"model": "black-forest-labs/FLUX-2-klein-4b:free", "size": "2048x1024"}, 400, "invalid_request_error"),
        ({"colour": "x" * 110_000}, 500, "internal_error"),
        # Found valid, and then:
        ({"model": "black-forest-labs/FLUX-2-klein-4b:free", "quality": "high"}, 200, "internal_error"),
        ({"prompt": "a fox [refuse]"}, 200, "request_moderated"),
        ({"prompt": "a fox [refuse late]"}, 200, "request_moderated"),
        ({"prompt": "a fox [fault:402]"}, 200, "internal_error"),
        ({"prompt": "a fox [fault:500]"}, 200, "internal_error"),
        ({"prompt": "a fox [fault:empty]"}, 200, "internal_error"),
        ({"prompt": "a fox [fault:401]"}, 401, "unauthorized"),
        ({"prompt": "a fox [fault:429]"}, 429, "rate_limit_error"),
    ],
)
async def test_errors(address: str, http: ClientSession, fields: Mapping[str, object], status: int, type: str) -> None:
    body = {"model": "test/test", "prompt": "a fox", **fields}
    found, answer = await ask(address, http, body)
    assert (found, json.loads(answer)["error"]["type"]) == (status, type)


@pytest.mark.parametrize(
    ("files", "model", "status"),
    [
        (["image[]"] * 17, "test/test", 400),
        (["mask"] * 2, "test/test", 400),
        (["picture"], "test/test", 400),
        (["image"], "qwen/qwen-image", 200),
        (["image", "mask"], "google/gemini-3-pro", 200),
    ],
)
async def test_files_that_are_not_taken(
    address: str, http: ClientSession, picture: MakePicture, files: list[str], model: str, status: int
) -> None:
    found, answer = await ask(address, http, form(picture, *files, model=model), "edits")
    assert found == status
    assert "error" in json.loads(answer)


async def test_a_wrong_key_and_a_wrong_path(address: str, http: ClientSession) -> None:
    async with ClientSession() as nobody, nobody.post(f"{address}{PLACE}/generations", json={}) as answer:
        assert answer.status == 401
    assert (await ask(address, http, {}, "variations"))[0] == 404
