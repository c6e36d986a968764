from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

import openai
import pytest
from aiohttp import ClientSession, FormData
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

MakePicture = Callable[..., bytes]


@pytest.fixture
async def sdk(address: str) -> AsyncIterator[AsyncOpenAI]:
    """OpenAI's client, which is the family's too, pointed at the sandbox and nowhere else."""
    http = DefaultAsyncHttpxClient(trust_env=False)
    async with AsyncOpenAI(
        api_key="sk-test-sandbox", base_url=f"{address}/new-api/v1", max_retries=0, http_client=http
    ) as client:
        yield client


async def test_what_is_passed_on_and_what_is_converted(sdk: AsyncOpenAI) -> None:
    own = await sdk.images.generate(model="gpt-image-2", prompt="a fox", n=2, size="1024x1024", quality="low")
    others = await sdk.images.generate(model="flux-1", prompt="a fox", size="1024x1024")
    assert [bool(image.b64_json) for image in own.data or []] == [True, True]
    (image,) = others.data or []
    assert (bool(image.url), image.b64_json, image.revised_prompt) == (True, "", "")


async def test_edit(sdk: AsyncOpenAI, picture: MakePicture) -> None:
    image = ("a.png", picture(64, 48), "image/png")
    answer = await sdk.images.edit(model="gpt-image-1.5", prompt="a hat", image=[image, image], mask=image, n=2)
    assert len(answer.data or []) == 2


async def test_previews(sdk: AsyncOpenAI) -> None:
    stream = await sdk.images.generate(
        model="gpt-image-2", prompt="a fox", size="1024x1024", stream=True, partial_images=2
    )
    kinds = [event.type async for event in stream]
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]


@pytest.mark.parametrize(
    ("mark", "status", "code"),
    [
        ("[refuse]", 400, "content_policy_violation"),
        ("[refuse late]", 400, "content_policy_violation"),
        ("[fault:401]", 401, ""),
        ("[fault:402]", 403, "insufficient_user_quota"),
        ("[fault:429]", 429, "rate_limit_exceeded"),
        ("[fault:500]", 500, "bad_response_status_code"),
    ],
)
async def test_errors(sdk: AsyncOpenAI, mark: str, status: int, code: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await sdk.images.generate(model="gpt-image-2", prompt=f"a fox {mark}")
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.response.headers["x-oneapi-request-id"] in caught.value.message


@pytest.mark.parametrize(
    ("path", "fields", "status", "code"),
    [
        ("generations", {"model": None}, 500, "invalid_request"),
        ("generations", {"model": "nothing"}, 503, "model_not_found"),
        ("generations", {"n": "2"}, 500, "invalid_request"),
        ("generations", {"n": -1}, 500, "invalid_request"),
        ("generations", {"n": 11}, 400, "invalid_value"),
        ("generations", {"size": "1024×1024"}, 500, "invalid_request"),
        ("generations", {"model": "gpt-image-1", "size": "512x512"}, 400, "invalid_value"),
        ("generations", {"model": "flux-1", "aspect_ratio": "7:5"}, 400, "invalid_value"),
        ("generations", {"prompt": ""}, 400, "invalid_value"),
        ("edits", {}, 500, "convert_request_failed"),
        ("variations", {}, 501, "api_not_implemented"),
        ("nothing", {}, 404, ""),
    ],
)
async def test_what_it_refuses(
    address: str, http: ClientSession, path: str, fields: Mapping[str, object], status: int, code: str
) -> None:
    body = {"model": "gpt-image-2", "prompt": "a fox", "colour": "passed over", **fields}
    async with http.post(f"{address}/new-api/v1/images/{path}", json=body) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["code"] == code


async def test_too_many_inputs(address: str, http: ClientSession, picture: MakePicture) -> None:
    form = FormData({"model": "flux-kontext-pro", "prompt": "a hat"})
    for _ in range(2):
        form.add_field("image", picture(32, 32), filename="a.png", content_type="image/png")
    async with http.post(f"{address}/new-api/v1/images/edits", data=form) as answer:
        assert answer.status == 400


async def test_a_wrong_key(address: str) -> None:
    async with ClientSession() as nobody, nobody.post(f"{address}/new-api/v1/images/generations", json={}) as answer:
        assert answer.status == 401
