"""The server's own documents drive it with OpenAI's SDK, and so do these tests."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Callable

import openai
import pytest
from aiohttp import ClientSession, FormData
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types import ImagesResponse
from PIL import Image

MakePicture = Callable[..., bytes]


@pytest.fixture
async def sdk(address: str) -> AsyncIterator[AsyncOpenAI]:
    http = DefaultAsyncHttpxClient(trust_env=False)
    url = f"{address}/sglang/v1"
    async with AsyncOpenAI(api_key="sk-test-sandbox", base_url=url, max_retries=0, http_client=http) as client:
        yield client


@pytest.fixture
def url(address: str) -> str:
    return f"{address}/sglang/v1/images"


def pictures(answer: ImagesResponse) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(item.b64_json or "", validate=True))) for item in answer.data or []]


async def told(http: ClientSession, url: str, status: int, body: object = None, data: FormData | None = None) -> object:
    async with http.post(url, json=body, data=data) as answer:
        assert answer.status == status, await answer.text()
        return (await answer.json())["detail"]


# -- OpenAI's SDK --


async def test_generate(sdk: AsyncOpenAI) -> None:
    extra = {"num_inference_steps": 4, "seed": 7}
    answer = await sdk.images.generate(
        prompt="a fox",
        size="128x64",
        n=2,
        response_format="b64_json",
        extra_body=extra,
    )
    first, second = pictures(answer)
    assert first.size == second.size == (128, 64)
    assert first.format == "JPEG" and first.tobytes() != second.tobytes()
    assert answer.data and answer.data[0].revised_prompt == "a fox"


@pytest.mark.parametrize(
    ("fields", "format"),
    [({"output_format": "webp"}, "WEBP"), ({"output_format": "png"}, "PNG"), ({"background": "transparent"}, "PNG")],
)
async def test_formats(fields: dict[str, str], format: str, sdk: AsyncOpenAI) -> None:
    answer = await sdk.images.generate(prompt="a fox", size="256x256", response_format="b64_json", extra_body=fields)
    assert [picture.format for picture in pictures(answer)] == [format]


async def test_edit_at_the_pictures_size(sdk: AsyncOpenAI, picture: MakePicture) -> None:
    images = [("a.png", picture(96, 64)), ("b.png", picture(32, 32))]
    answer = await sdk.images.edit(prompt="a hat", image=images, mask=("mask.png", picture(96, 64)))
    assert [picture.size for picture in pictures(answer)] == [(96, 64)]
    without = await sdk.images.edit(prompt="a hat", image=images)
    assert pictures(answer) == pictures(without)


async def test_n_is_brought_into_its_bounds(url: str, http: ClientSession) -> None:
    body = {"prompt": "a fox", "n": 99, "size": "16x16", "response_format": "b64_json"}
    async with http.post(f"{url}/generations", json=body) as answer:
        assert len((await answer.json())["data"]) == 10


async def test_errors_are_the_sdks_own(sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        await sdk.images.generate(prompt="a fox")
    with pytest.raises(openai.InternalServerError):
        await sdk.images.generate(prompt="[fault:failed]", response_format="b64_json")
    with pytest.raises(openai.AuthenticationError):
        await sdk.with_options(api_key="sk-test-wrong").images.generate(prompt="a fox")


# -- what it refuses --

REFUSALS: dict[str, tuple[dict[str, object], int]] = {
    "no prompt": ({"prompt": None}, 422),
    "a URL, unless told otherwise": ({"response_format": None}, 400),
    "another form": ({"response_format": "file"}, 400),
    "size": ({"size": "auto"}, 400),
    "no size": ({"size": "0x64"}, 400),
    "seed": ({"seed": -1}, 422),
    "steps": ({"num_inference_steps": 0}, 422),
    "upscaling": ({"upscaling_scale": 9}, 422),
    "a text for a number": ({"guidance_scale": "much"}, 422),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_generations_that_it_refuses(case: str, url: str, http: ClientSession) -> None:
    fields, status = REFUSALS[case]
    body = {"prompt": "a fox", "response_format": "b64_json", **fields}
    detail = await told(http, f"{url}/generations", status, {k: v for k, v in body.items() if v is not None})
    assert isinstance(detail, list if status == 422 else str)


async def test_an_edit_wants_a_picture(url: str, http: ClientSession) -> None:
    form = FormData({"prompt": "a fox"})
    form.add_field("mask", b"", filename="mask.png")
    assert await told(http, f"{url}/edits", 422, data=form) == "Field 'image' or 'url' is required"
    form = FormData({"prompt": "a fox"})
    form.add_field("image", b"a fox", filename="fox.png")
    detail = await told(http, f"{url}/edits", 400, data=form)
    assert isinstance(detail, str) and detail.startswith("Failed to process image source")


async def test_an_error_of_its_own_is_plain_text(url: str, http: ClientSession) -> None:
    body = {"prompt": "[fault:500]", "response_format": "b64_json"}
    async with http.post(f"{url}/generations", json=body) as answer:
        assert (answer.status, await answer.text()) == (500, "Internal Server Error")


async def test_other_paths_are_not_there(url: str, http: ClientSession) -> None:
    async with http.get(f"{url}/1/content") as answer:
        assert (answer.status, await answer.json()) == (404, {"detail": "Not Found"})
