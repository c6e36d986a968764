from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Iterator, Mapping
from xml.etree import ElementTree

import msgspec
import pytest
import replicate
from aiohttp import ClientSession
from PIL import Image
from replicate.exceptions import ModelError, ReplicateError

from pictura.sandbox.replicate import VERSIONS
from pictura.sandbox.server import Sandbox

KEY = "sk-test-sandbox"
SCHNELL = "black-forest-labs/flux-schnell"
FILL = "black-forest-labs/flux-fill-pro"
KONTEXT = "black-forest-labs/flux-kontext-max"

MakePicture = Callable[..., bytes]


@pytest.fixture
def sdk(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[replicate.Client]:
    """The official client, pointed at the sandbox and nowhere else. It blocks: for a thread."""
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.02")
    client = replicate.Client(api_token=KEY, base_url=f"{address}/replicate", trust_env=False)
    yield client
    client._client.close()


def fetched(client: replicate.Client, url: str) -> Image.Image:
    return Image.open(io.BytesIO(client._client.get(url).content))


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


# -- the official SDK --


async def test_generate_several(sdk: replicate.Client) -> None:
    given = {"prompt": "a fox", "num_outputs": 2, "aspect_ratio": "3:2", "output_format": "png", "seed": 7}

    def draw() -> list[Image.Image]:
        prediction = sdk.models.predictions.create(SCHNELL, given)
        assert prediction.status == "starting"
        prediction.wait()
        assert (prediction.status, prediction.model, prediction.input["seed"]) == ("succeeded", SCHNELL, 7)
        return [fetched(sdk, url) for url in prediction.output]

    first, second = await asyncio.to_thread(draw)
    assert first.format == second.format == "PNG"
    assert first.size == second.size == (1248, 832)
    assert first.tobytes() != second.tobytes()


async def test_edit_with_files_and_a_mask(sdk: replicate.Client, picture: MakePicture) -> None:
    image, mask = io.BytesIO(picture(96, 64)), io.BytesIO(picture(96, 64, "png", "L"))

    def draw() -> Image.Image:
        output = sdk.run(FILL, input={"prompt": "a hat", "image": image, "mask": mask, "output_format": "png"})
        return fetched(sdk, str(output))

    assert (await asyncio.to_thread(draw)).size == (1248, 832)


async def test_a_version_is_run_as_its_model(sdk: replicate.Client) -> None:
    version = next(id for id, name in VERSIONS.items() if name == SCHNELL)

    def draw() -> list[str]:
        prediction = sdk.predictions.create(version=version, input={"prompt": "a fox", "megapixels": "0.25"})
        prediction.wait()
        output: list[str] = prediction.output
        return output

    (url,) = await asyncio.to_thread(draw)
    assert (await asyncio.to_thread(fetched, sdk, url)).size == (512, 512)


async def test_tools_that_want_no_prompt(sdk: replicate.Client, picture: MakePicture) -> None:
    version = next(id for id, name in VERSIONS.items() if name == "nightmareai/real-esrgan")
    image = data_url(picture(300, 260))

    def draw() -> tuple[Image.Image, Image.Image, bytes]:
        prediction = sdk.predictions.create(version=version, input={"image": image, "scale": 2})
        prediction.wait()
        larger = prediction.output
        cut = sdk.run("recraft-ai/recraft-remove-background", input={"image": image})
        vectors = sdk.run("recraft-ai/recraft-vectorize", input={"image": image})
        return fetched(sdk, str(larger)), fetched(sdk, str(cut)), sdk._client.get(str(vectors)).content

    larger, cut, vectors = await asyncio.to_thread(draw)
    assert (larger.format, larger.size) == ("PNG", (600, 520))
    assert (cut.format, cut.size, cut.getchannel("A").getpixel((0, 0))) == ("PNG", (300, 260), 0)
    assert ElementTree.fromstring(vectors).get("width") == "300"


async def test_a_picture_that_does_not_fit_fails_once_the_model_runs(
    sdk: replicate.Client, picture: MakePicture
) -> None:
    version = next(id for id, name in VERSIONS.items() if name == "nightmareai/real-esrgan")

    def fail() -> tuple[str, str]:
        prediction = sdk.predictions.create(version=version, input={"image": data_url(picture(1536, 1536))})
        prediction.wait()
        return prediction.status, prediction.error or ""

    status, error = await asyncio.to_thread(fail)
    assert status == "failed"
    assert "2359296 greater than the max size that fits in GPU memory on this hardware, 2096704" in error


async def test_cancel(sdk: replicate.Client) -> None:
    def cancel() -> str:
        prediction = sdk.models.predictions.create(SCHNELL, {"prompt": "a fox [fault:long 60]"})
        prediction.cancel()
        status: str = prediction.status
        return status

    assert await asyncio.to_thread(cancel) == "canceled"


@pytest.mark.parametrize(
    ("mark", "message"),
    [("[refuse]", "(E005)"), ("[refuse late]", "(E005)"), ("[fault:failed]", "(E1001)")],
)
async def test_predictions_that_fail(sdk: replicate.Client, mark: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        await asyncio.to_thread(sdk.run, SCHNELL, input={"prompt": f"a fox {mark}"})
    assert caught.value.prediction.error.endswith(message)


@pytest.mark.parametrize(
    ("model", "prompt", "status"),
    [
        (SCHNELL, "[fault:401]", 401),
        (SCHNELL, "[fault:402]", 402),
        (SCHNELL, "[fault:429]", 429),
        (SCHNELL, "[fault:500]", 500),
        (SCHNELL, "", 422),
        ("nobody/nothing", "a fox", 404),
    ],
)
async def test_errors(sdk: replicate.Client, model: str, prompt: str, status: int) -> None:
    with pytest.raises(ReplicateError) as caught:
        await asyncio.to_thread(sdk.models.predictions.create, model, {"prompt": prompt})
    assert caught.value.status == status
    assert caught.value.title and caught.value.detail


async def test_a_wrong_key(address: str) -> None:
    client = replicate.Client(api_token="r8_wrong", base_url=f"{address}/replicate", trust_env=False)
    with pytest.raises(ReplicateError) as caught:
        await asyncio.to_thread(client.predictions.get, "whatever")
    client._client.close()
    assert (caught.value.status, caught.value.title) == (401, "Unauthenticated")


# -- what it refuses --


@pytest.mark.parametrize(
    ("model", "given", "field"),
    [
        (SCHNELL, {}, "input.prompt"),
        (SCHNELL, {"prompt": 7}, "input.prompt"),
        (SCHNELL, {"prompt": "a", "num_outputs": 5}, "input.num_outputs"),
        (SCHNELL, {"prompt": "a", "num_inference_steps": 5}, "input.num_inference_steps"),
        (SCHNELL, {"prompt": "a", "aspect_ratio": "1:2"}, "input.aspect_ratio"),
        (SCHNELL, {"prompt": "a", "output_format": "jpeg"}, "input.output_format"),
        (SCHNELL, {"prompt": "a", "width": 512}, "input.width"),
        (SCHNELL, {"prompt": "a", "seed": "7"}, "input.seed"),
        ("black-forest-labs/flux-1.1-pro", {"prompt": "a", "aspect_ratio": "custom", "width": 512}, "input.height"),
        ("black-forest-labs/flux-1.1-pro", {"prompt": "a", "safety_tolerance": 7}, "input.safety_tolerance"),
        ("black-forest-labs/flux-2-flex", {"prompt": "a", "guidance": 11}, "input.guidance"),
        ("black-forest-labs/flux-2-flex", {"prompt": "a", "input_images": ["ftp://x"]}, "input.input_images"),
        ("bytedance/seedream-4.5", {"prompt": "a", "size": "1K"}, "input.size"),
        (FILL, {"prompt": "a"}, "input.image"),
        ("recraft-ai/recraft-vectorize", {}, "input.image"),
        ("recraft-ai/recraft-vectorize", {"image": "https://example.com/a.png", "prompt": "a"}, "input.prompt"),
        (KONTEXT, {"prompt": "a", "input_image": data_url(b"no picture")}, "input.input_image"),
        (KONTEXT, {"prompt": "a", "input_image": "https://example.com/a.png", "safety_tolerance": 3}, "input.safety_"),
    ],
    ids=str,
)
async def test_inputs_that_are_refused(
    address: str, http: ClientSession, model: str, given: Mapping[str, object], field: str
) -> None:
    async with http.post(f"{address}/replicate/v1/models/{model}/predictions", json={"input": given}) as answer:
        assert answer.status == 422
        problem = await answer.json()
    assert problem["title"] == "Input validation failed"
    assert problem["invalid_fields"][0]["field"].startswith(field)


async def test_other_things_that_are_refused(address: str, http: ClientSession) -> None:
    root = f"{address}/replicate/v1"
    for method, path, body, status in [
        ("POST", "/predictions", {"input": {"prompt": "a"}}, 422),
        ("POST", "/predictions", {"version": "0" * 64, "input": {"prompt": "a"}}, 422),
        ("POST", f"/models/{SCHNELL}/predictions", {"prompt": "a"}, 422),
        ("POST", f"/models/{SCHNELL}/predictions", {"input": {"prompt": "a"}, "wait": True}, 422),
        ("POST", "/models/nightmareai/real-esrgan/predictions", {"input": {}}, 404),
        ("GET", "/predictions/unknown", None, 404),
        ("POST", "/predictions/unknown/cancel", None, 404),
        ("GET", "/models", None, 404),
    ]:
        async with http.request(method, root + path, json=body) as answer:
            assert answer.status == status, (path, await answer.text())
            assert (await answer.json())["status"] == status


# -- tasks --


async def test_a_prediction_survives_a_new_sandbox(picture: MakePicture) -> None:
    first, second = (Sandbox(accepts=lambda key: key == KEY) for _ in range(2))
    given = {"prompt": "a hat " * 200, "input_image": data_url(picture(64, 64)), "aspect_ratio": "1:1", "seed": 5}
    async with ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
        try:
            root = f"{await first.start()}/replicate/v1"
            async with http.post(f"{root}/models/{KONTEXT}/predictions", json={"input": given}) as answer:
                id = (await answer.json())["id"]
        finally:
            await first.close()
        try:
            root = f"{await second.start()}/replicate/v1"
            await asyncio.sleep(0.2)
            async with http.get(f"{root}/predictions/{id}") as answer:
                told = msgspec.json.decode(await answer.read(), type=dict[str, object])
            async with http.get(str(told["output"])) as drawn:
                assert Image.open(io.BytesIO(await drawn.read())).size == (1024, 1024)
        finally:
            await second.close()
    assert told["status"] == "succeeded"
