"""The server's own documents drive it with OpenAI's SDK, and so do these tests."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Callable, Mapping

import msgspec
import openai
import pytest
from aiohttp import ClientSession, FormData
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types import ImagesResponse
from PIL import Image

MakePicture = Callable[..., bytes]


class Wrong(msgspec.Struct):
    message: str
    type: str
    code: int
    param: str | None = None


class Failure(msgspec.Struct):
    error: Wrong


@pytest.fixture
async def sdk(address: str) -> AsyncIterator[AsyncOpenAI]:
    http = DefaultAsyncHttpxClient(trust_env=False)
    url = f"{address}/vllm-omni/v1"
    async with AsyncOpenAI(api_key="sk-test-sandbox", base_url=url, max_retries=0, http_client=http) as client:
        yield client


@pytest.fixture
def url(address: str) -> str:
    return f"{address}/vllm-omni/v1/images"


def pictures(answer: ImagesResponse) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(item.b64_json or "", validate=True))) for item in answer.data or []]


async def refusal(http: ClientSession, url: str, status: int, body: object = None, data: object = None) -> Wrong:
    async with http.post(url, json=body, data=data) as answer:
        assert answer.status == status, await answer.text()
        return msgspec.json.decode(await answer.read(), type=Failure).error


def form(pictures: Mapping[str, bytes], **texts: str) -> FormData:
    made = FormData()
    for name, text in texts.items():
        made.add_field(name, text)
    for name, data in pictures.items():
        made.add_field(name, data, filename="a.png", content_type="image/png")
    return made


# -- OpenAI's SDK --


async def test_generate(sdk: AsyncOpenAI) -> None:
    extra = {"num_inference_steps": 4, "seed": 7, "negative_prompt": "rain", "true_cfg_scale": 4.0}
    answer = await sdk.images.generate(model="house", prompt="a fox", size="128x64", n=2, extra_body=extra)
    first, second = pictures(answer)
    assert first.size == second.size == (128, 64)
    assert first.format == "PNG" and first.tobytes() != second.tobytes()
    assert (answer.size, answer.output_format) == ("128x64", "png")


async def test_without_a_size_it_draws_at_the_models_own(sdk: AsyncOpenAI) -> None:
    answer = await sdk.images.generate(model="house", prompt="a fox", output_format="webp")
    (picture,) = pictures(answer)
    assert (picture.size, picture.format) == ((1024, 1024), "WEBP")


async def test_edit_at_the_pictures_size(sdk: AsyncOpenAI, picture: MakePicture) -> None:
    images = [("a.png", picture(96, 64)), ("b.png", picture(32, 32))]
    answer = await sdk.images.edit(model="house", prompt="a hat", image=images, extra_body={"strength": 0.5})
    assert [picture.size for picture in pictures(answer)] == [(96, 64)]


async def test_a_mask_is_grey_and_its_alpha_forgotten(url: str, http: ClientSession) -> None:
    """Black under the holes of an OpenAI mask, so nothing is drawn; white where it is grey."""
    red, size = io.BytesIO(), (64, 64)
    Image.new("RGB", size, (255, 0, 0)).save(red, "png")
    for colours, drawn in (((0, 0, 0, 0), False), ((255, 255, 255, 255), True)):
        mask = io.BytesIO()
        Image.new("RGBA", size, colours).save(mask, "png")
        data = form({"image": red.getvalue(), "mask_image": mask.getvalue()}, prompt="a fox")
        async with http.post(f"{url}/edits", data=data) as answer:
            found = Image.open(io.BytesIO(base64.b64decode((await answer.json())["data"][0]["b64_json"])))
        assert (found.convert("RGB").getpixel((3, 3)) != (255, 0, 0)) is drawn


async def test_a_file(url: str, http: ClientSession) -> None:
    async with http.post(f"{url}/generations", json={"prompt": "a fox", "response_format": "file"}) as answer:
        assert answer.content_type == "image/png"


async def test_errors_are_the_sdks_own(sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        await sdk.images.generate(model="house", prompt="a fox", n=11)
    with pytest.raises(openai.InternalServerError):
        await sdk.images.generate(model="house", prompt="[fault:failed]")
    with pytest.raises(openai.RateLimitError):
        await sdk.images.generate(model="house", prompt="[fault:429]")


async def test_a_wrong_key(sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        await sdk.with_options(api_key="sk-test-wrong").images.generate(model="house", prompt="a fox")


# -- what it refuses --

GENERATIONS: dict[str, dict[str, object]] = {
    "no prompt": {},
    "too many": {"n": 11},
    "none": {"n": 0},
    "steps": {"num_inference_steps": 201},
    "guidance": {"guidance_scale": 20.5},
    "seed": {"seed": 2**63},
    "layers": {"layers": 1},
    "a URL": {"response_format": "url"},
    "another model": {"model": "missing/model"},
    "size": {"size": "wide"},
    "no size": {"size": "0x64"},
    "a large size": {"size": "9000x9000"},
    "compression": {"output_compression": 101},
    "lora": {"lora": "fox"},
}


@pytest.mark.parametrize("case", GENERATIONS)
async def test_generations_that_it_refuses(case: str, url: str, http: ClientSession) -> None:
    body = GENERATIONS[case] if case == "no prompt" else {"prompt": "a fox", **GENERATIONS[case]}
    wrong = await refusal(http, f"{url}/generations", 400, body)
    assert (wrong.type, wrong.code) == ("Bad Request", 400)


EDITS: dict[str, tuple[dict[str, str], int]] = {
    "no prompt": ({}, 400),
    "another model": ({"prompt": "a fox", "model": "missing"}, 400),
    "a URL": ({"prompt": "a fox", "response_format": "url"}, 400),
    "layers": ({"prompt": "a fox", "layers": "11"}, 400),
    "lora": ({"prompt": "a fox", "lora": "{"}, 400),
    "seed": ({"prompt": "a fox", "seed": "seven"}, 400),
}


@pytest.mark.parametrize("case", EDITS)
async def test_edits_that_it_refuses(case: str, url: str, http: ClientSession, picture: MakePicture) -> None:
    texts, status = EDITS[case]
    wrong = await refusal(http, f"{url}/edits", status, data=form({"image": picture(8, 8)}, **texts))
    assert wrong.code == status


async def test_an_edit_wants_a_picture(url: str, http: ClientSession) -> None:
    wrong = await refusal(http, f"{url}/edits", 422, data=form({"mask_image": b""}, prompt="a fox"))
    assert wrong.message == "Field 'image' or 'url' is required"
    wrong = await refusal(http, f"{url}/edits", 400, data=form({"image": b"a fox"}, prompt="a fox"))
    assert wrong.message.startswith("Failed to open uploaded file")


async def test_what_it_does_not_know_is_passed_over(url: str, http: ClientSession) -> None:
    async with http.post(f"{url}/generations", json={"prompt": "[refuse]", "quality": "hd", "size": "16x16"}) as answer:
        assert answer.status == 200


async def test_other_paths_are_not_there(address: str, http: ClientSession) -> None:
    async with http.get(f"{address}/vllm-omni/v1/models") as answer:
        assert (answer.status, await answer.json()) == (404, {"detail": "Not Found"})
