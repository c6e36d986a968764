from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Mapping

import openai
import pytest
from aiohttp import ClientSession
from openai import AsyncAzureOpenAI, AsyncOpenAI, DefaultAsyncHttpxClient

from pictura.core.media import Media, flaw, sniff

KEY = "sk-test-sandbox"
VERSION = "2025-04-01-preview"
PLACE = "/azure/openai/deployments/gpt-image-2/images/generations"

MakePicture = Callable[..., bytes]


@pytest.fixture
async def sdk(address: str) -> AsyncIterator[AsyncAzureOpenAI]:
    """The official client for Azure, pointed at the sandbox and nowhere else."""
    http = DefaultAsyncHttpxClient(trust_env=False)
    async with AsyncAzureOpenAI(
        api_key=KEY, azure_endpoint=f"{address}/azure", api_version=VERSION, max_retries=0, http_client=http
    ) as client:
        yield client


def look(text: str | None) -> Media:
    data = base64.b64decode(text or "", validate=True)

    def read(offset: int, size: int) -> bytes:
        return data[offset:][:size]

    media = sniff(read, len(data))
    assert flaw(read, len(data), media) == ""
    return media


# -- the official SDK --


async def test_generate(sdk: AsyncAzureOpenAI) -> None:
    answer = await sdk.images.generate(model="my-images", prompt="a fox", size="1024x1536", quality="low", n=2)
    assert [look(image.b64_json) for image in answer.data or []] == [Media("image/png", 1024, 1536)] * 2
    assert answer.usage is not None


async def test_edit(sdk: AsyncAzureOpenAI, picture: MakePicture) -> None:
    images = [("a.png", picture(64, 48), "image/png"), ("b.jpg", picture(32, 32, "jpeg", "RGB"), "image/jpeg")]
    answer = await sdk.images.edit(model="gpt-image-1.5", prompt="a hat", image=images, mask=images[0])
    assert look((answer.data or [])[0].b64_json).pixels == 1024 * 1024


async def test_previews(sdk: AsyncAzureOpenAI) -> None:
    stream = await sdk.images.generate(
        model="gpt-image-2", prompt="a fox", size="1024x1024", stream=True, partial_images=1
    )
    assert [event.type async for event in stream] == ["image_generation.partial_image", "image_generation.completed"]


async def test_flux(sdk: AsyncAzureOpenAI, picture: MakePicture) -> None:
    drawn = await sdk.images.generate(model="FLUX-1.1-pro", prompt="a fox", size="1024x1024")
    edited = await sdk.images.edit(
        model="FLUX.1-Kontext-pro", prompt="a hat", image=("a.png", picture(64, 64), "image/png")
    )
    assert look((drawn.data or [])[0].b64_json) == look((edited.data or [])[0].b64_json)


async def test_without_deployments(address: str) -> None:
    http = DefaultAsyncHttpxClient(trust_env=False)
    async with AsyncOpenAI(
        api_key=KEY,
        base_url=f"{address}/azure/openai/v1",
        default_headers={"api-key": KEY},
        max_retries=0,
        http_client=http,
    ) as client:
        answer = await client.images.generate(model="gpt-image-2", prompt="a fox", size="1024x1024")
    assert look((answer.data or [])[0].b64_json).pixels == 1024 * 1024


@pytest.mark.parametrize(
    ("mark", "error", "code"),
    [
        ("[refuse]", openai.BadRequestError, "content_policy_violation"),
        ("[fault:401]", openai.AuthenticationError, "401"),
        ("[fault:402]", openai.RateLimitError, "insufficient_quota"),
        ("[fault:429]", openai.RateLimitError, "429"),
        ("[fault:500]", openai.InternalServerError, "InternalServerError"),
    ],
)
async def test_errors(sdk: AsyncAzureOpenAI, mark: str, error: type[openai.APIStatusError], code: str) -> None:
    with pytest.raises(error) as caught:
        await sdk.images.generate(model="gpt-image-2", prompt=f"a fox {mark}")
    assert caught.value.code == code


async def test_a_picture_that_is_withheld(sdk: AsyncAzureOpenAI) -> None:
    answer = await sdk.images.generate(model="gpt-image-2", prompt="a fox [refuse late]")
    assert not answer.data
    assert (answer.model_extra or {})["error"]["code"] == "contentFilter"


# -- what it refuses --


@pytest.mark.parametrize(
    ("path", "headers", "fields", "status", "code"),
    [
        (f"{PLACE}?api-version={VERSION}", {"api-key": "wrong"}, {}, 401, "401"),
        (f"{PLACE}?api-version={VERSION}", {"api-key": "", "Authorization": f"Bearer {KEY}"}, {}, 401, "401"),
        (PLACE, {}, {}, 404, "404"),
        (f"{PLACE}?api-version=2022-12-01", {}, {}, 404, "404"),
        (f"{PLACE.replace('gpt-image-2', 'dall-e-9')}?api-version={VERSION}", {}, {}, 404, "DeploymentNotFound"),
        ("/azure/openai/v1/images/generations", {}, {"model": "nothing"}, 404, "DeploymentNotFound"),
        ("/azure/openai/images/generations", {}, {}, 404, "404"),
        (f"{PLACE}?api-version={VERSION}", {}, {"size": "100x100"}, 400, "invalid_value"),
        (f"{PLACE}?api-version={VERSION}", {}, {"colour": "red"}, 400, "unknown_parameter"),
    ],
)
async def test_what_it_refuses(
    address: str,
    http: ClientSession,
    path: str,
    headers: Mapping[str, str],
    fields: Mapping[str, object],
    status: int,
    code: str,
) -> None:
    body = {"prompt": "a fox", **fields}
    async with http.post(address + path, json=body, headers={"api-key": KEY, **headers}) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["code"] == code
