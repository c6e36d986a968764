from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

import openai
import pytest
from aiohttp import ClientSession, FormData
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

MakePicture = Callable[..., bytes]


@pytest.fixture
async def sdk(address: str) -> AsyncIterator[AsyncOpenAI]:
    """OpenAI's client, which is the proxy's too, pointed at the sandbox and nowhere else."""
    http = DefaultAsyncHttpxClient(trust_env=False)
    async with AsyncOpenAI(
        api_key="sk-test-sandbox", base_url=f"{address}/litellm/v1", max_retries=0, http_client=http
    ) as client:
        yield client


async def test_generate_and_what_it_cost(sdk: AsyncOpenAI) -> None:
    raw = await sdk.images.with_raw_response.generate(model="gpt-image-2", prompt="a fox", n=2, size="1024x1024")
    assert float(raw.headers["x-litellm-response-cost"]) == pytest.approx(0.106)
    assert len(raw.parse().data or []) == 2


async def test_edit(sdk: AsyncOpenAI, picture: MakePicture) -> None:
    image = ("a.png", picture(64, 48), "image/png")
    answer = await sdk.images.edit(model="litellm-default", prompt="a hat", image=[image, image], mask=image, n=1)
    assert (answer.data or [])[0].b64_json


@pytest.mark.parametrize(
    ("mark", "error", "kind"),
    [
        ("[refuse]", openai.BadRequestError, "invalid_request_error"),
        ("[refuse late]", openai.BadRequestError, "invalid_request_error"),
        ("[fault:401]", openai.AuthenticationError, "token_not_found_in_db"),
        ("[fault:402]", openai.BadRequestError, "budget_exceeded"),
        ("[fault:429]", openai.RateLimitError, "throttling_error"),
        ("[fault:500]", openai.InternalServerError, "internal_server_error"),
    ],
)
async def test_errors(sdk: AsyncOpenAI, mark: str, error: type[openai.APIStatusError], kind: str) -> None:
    with pytest.raises(error) as caught:
        await sdk.images.generate(model="gpt-image-2", prompt=f"a fox {mark}")
    assert caught.value.type == kind


async def test_a_wrong_key(sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        await sdk.with_options(api_key="wrong").images.generate(model="gpt-image-2", prompt="a fox")


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/v1/images/generations", {"model": "nothing"}, 400),
        ("/images/generations", {"prompt": ""}, 400),
        ("/v1/images/generations", {"n": 11}, 400),
        ("/v1/images/generations", {"quality": "divine"}, 400),
        ("/v1/images/edits", {"image": "data:image/png;base64,AAAA"}, 400),
        ("/v1/images/variations", {}, 404),
    ],
)
async def test_what_it_refuses(
    address: str, http: ClientSession, path: str, fields: Mapping[str, object], status: int
) -> None:
    body = {"model": "gpt-image-2", "prompt": "a fox", **fields}
    async with http.post(f"{address}/litellm{path}", json=body) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["code"] == str(status)


async def test_one_name_for_the_files_of_a_form(address: str, http: ClientSession, picture: MakePicture) -> None:
    form = FormData({"model": "gpt-image-2", "prompt": "a hat"})
    for name in ("image", "image[]"):
        form.add_field(name, picture(32, 32), filename="a.png", content_type="image/png")
    async with http.post(f"{address}/litellm/v1/images/edits", data=form) as answer:
        assert answer.status == 422


async def test_models_that_do_not_edit(address: str, http: ClientSession, picture: MakePicture) -> None:
    form = FormData({"model": "flux-pro-1.1", "prompt": "a hat"})
    form.add_field("image", picture(32, 32), filename="a.png", content_type="image/png")
    async with http.post(f"{address}/litellm/v1/images/edits", data=form) as answer:
        assert answer.status == 400
