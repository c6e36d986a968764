from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Callable, Mapping

import httpx
import pytest
import together
from aiohttp import ClientSession
from PIL import Image
from together import AsyncTogether

from tests.sandbox.conftest import data_url

SCHNELL = "black-forest-labs/FLUX.1-schnell"
KONTEXT = "black-forest-labs/FLUX.1-kontext-pro"
DEV = "black-forest-labs/FLUX.2-dev"

MakePicture = Callable[..., bytes]


@pytest.fixture
async def sdk(address: str) -> AsyncIterator[AsyncTogether]:
    """The official client, pointed at the sandbox and nowhere else."""
    async with AsyncTogether(
        api_key="sk-test-sandbox",
        base_url=f"{address}/together/v1",
        max_retries=0,
        http_client=httpx.AsyncClient(trust_env=False),
    ) as client:
        yield client


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text, validate=True)))


# -- the official SDK --


async def test_generate_several(sdk: AsyncTogether) -> None:
    answer = await sdk.images.generate(
        model=SCHNELL, prompt="a fox", n=2, width=512, height=256, steps=4, seed=7, response_format="base64"
    )
    assert (answer.model, answer.object, [datum.index for datum in answer.data]) == (SCHNELL, "list", [0, 1])
    first, second = (opened(datum.b64_json) for datum in answer.data)
    assert (first.format, first.size, second.size) == ("JPEG", (512, 256), (512, 256))
    assert first.tobytes() != second.tobytes()


async def test_a_picture_by_url(sdk: AsyncTogether, http: ClientSession) -> None:
    answer = await sdk.images.generate(model=SCHNELL, prompt="a fox", output_format="png")
    assert answer.data[0].type == "url"
    async with http.get(answer.data[0].url) as drawn:
        picture = Image.open(io.BytesIO(await drawn.read()))
    assert (picture.format, picture.size) == ("PNG", (1024, 1024))


async def test_edits(sdk: AsyncTogether, picture: MakePicture) -> None:
    url = data_url(picture(64, 48))
    one = await sdk.images.generate(model=KONTEXT, prompt="a hat", image_url=url, response_format="base64", seed=1)
    two = await sdk.images.generate(
        model=DEV,
        prompt="a hat",
        reference_images=[url, "https://example.com/a.png"],
        guidance_scale=4,
        negative_prompt="rain",
        image_loras=[{"path": "https://example.com/lora", "scale": 1}],
        response_format="base64",
        seed=1,
    )
    plain = await sdk.images.generate(model=KONTEXT, prompt="a hat", response_format="base64", seed=1)
    assert opened(one.data[0].b64_json).size == opened(two.data[0].b64_json).size == (1024, 1024)
    assert one.data[0].b64_json != plain.data[0].b64_json


@pytest.mark.parametrize(
    ("mark", "error"),
    [
        ("[refuse]", together.UnprocessableEntityError),
        ("[refuse late]", together.UnprocessableEntityError),
        ("[fault:401]", together.AuthenticationError),
        ("[fault:402]", together.APIStatusError),
        ("[fault:429]", together.RateLimitError),
        ("[fault:500]", together.InternalServerError),
        ("[fault:502page]", together.InternalServerError),
        ("[fault:reset]", together.APIConnectionError),
    ],
)
async def test_errors(sdk: AsyncTogether, mark: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await sdk.images.generate(model=SCHNELL, prompt=f"a fox {mark}")


async def test_a_wrong_key(sdk: AsyncTogether) -> None:
    with pytest.raises(together.AuthenticationError) as caught:
        await sdk.with_options(api_key="wrong").images.generate(model=SCHNELL, prompt="a fox")
    assert caught.value.body["error"]["code"] == "invalid_api_key"


# -- what it refuses --


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"model": None}, 400, "model"),
        ({"model": "nobody/nothing"}, 404, None),
        ({"prompt": ""}, 400, "prompt"),
        ({"n": 5}, 400, "n"),
        ({"width": 1000.5}, 400, "width"),
        ({"width": 32}, 400, "width"),
        ({"height": 1800}, 400, "height"),
        ({"height": 1004}, 400, "height"),
        ({"steps": 13}, 400, "steps"),
        ({"guidance_scale": 3}, 400, "guidance_scale"),
        ({"output_format": "webp"}, 400, "output_format"),
        ({"response_format": "b64_json"}, 400, "response_format"),
        ({"image_url": "https://example.com/a.png"}, 400, "image_url"),
        ({"reference_images": ["https://example.com/a.png"]}, 400, "reference_images"),
        ({"model": KONTEXT, "image_url": "a.png"}, 400, "image_url"),
        ({"model": KONTEXT, "image_url": data_url(b"no picture")}, 400, "image_url"),
        ({"model": DEV, "reference_images": ["https://example.com/a.png"] * 9}, 400, "reference_images"),
        ({"size": "512x512"}, 400, "size"),
    ],
    ids=str,
)
async def test_requests_that_are_refused(
    address: str, http: ClientSession, fields: Mapping[str, object], status: int, param: str | None
) -> None:
    body = {"model": SCHNELL, "prompt": "a fox", **fields}
    async with http.post(f"{address}/together/v1/images/generations", json=body) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["param"] == param


async def test_other_paths_are_not_found(address: str, http: ClientSession) -> None:
    async with http.get(f"{address}/together/v1/models") as answer:
        assert answer.status == 404
