from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from xml.etree import ElementTree

import fal_client
import fal_client.client
import httpx
import msgspec
import pytest
from aiohttp import ClientSession
from fal_client import AsyncClient, Completed, FalClientHTTPError, InProgress, Queued, SyncClient

from pictura.core.media import Media, flaw, sniff
from pictura.sandbox.server import Sandbox

KEY = "sk-test-sandbox"
SCHNELL, BANANA, GPT = "fal-ai/flux/schnell", "fal-ai/nano-banana-2", "openai/gpt-image-2"
FOX = {"prompt": "a fox"}
MakePicture = Callable[..., bytes]


class File(msgspec.Struct):
    url: str
    width: int
    height: int
    content_type: str
    file_size: int = 0


class Output(msgspec.Struct):
    images: list[File] = []
    image: File | None = None
    seed: int | None = None
    has_nsfw_concepts: list[bool] = []


@pytest.fixture(autouse=True)
def loopback(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK builds its addresses from constants; none of them leads out of here, and nothing is tried again."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{address}/fal/")
    monkeypatch.setattr(fal_client.client, "RUN_URL_FORMAT", f"{address}/fal/run/")
    for name in ("REST_URL", "CDN_URL"):
        monkeypatch.setattr(fal_client.client, name, "http://127.0.0.1:9/")
    monkeypatch.setattr(fal_client.client, "MAX_ATTEMPTS", 1)


@pytest.fixture
def sync_sdk() -> Iterator[SyncClient]:
    client = SyncClient(key=KEY)
    yield client
    client._client.close()


@pytest.fixture
async def sdk() -> AsyncIterator[AsyncClient]:
    client = AsyncClient(key=KEY)
    yield client
    http: httpx.AsyncClient = await client._client
    await http.aclose()


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def output(answer: object) -> Output:
    return msgspec.convert(answer, Output)


async def look(http: ClientSession, file: File) -> Media:
    async with http.get(file.url) as answer:
        assert answer.status == 200
        data = await answer.read()

    def read(offset: int, size: int) -> bytes:
        return data[offset:][:size]

    media = sniff(read, len(data))
    assert flaw(read, len(data), media) == ""
    assert (media.type, media.width, media.height) == (file.content_type, file.width, file.height)
    return media


async def detail(sdk: AsyncClient, app: str, arguments: Mapping[str, object]) -> dict[str, object]:
    """The first thing that the app has against the arguments."""
    with pytest.raises(FalClientHTTPError) as caught:
        await sdk.subscribe(app, arguments, interval=0.02)
    assert caught.value.status_code == 422
    return msgspec.convert(caught.value.message, list[dict[str, object]])[0]


# -- the official SDK --


async def test_subscribe(sdk: AsyncClient, http: ClientSession) -> None:
    seen: list[object] = []
    answer = await sdk.subscribe(SCHNELL, FOX, with_logs=True, interval=0.02, on_queue_update=seen.append)
    drawn = output(answer)
    assert await look(http, drawn.images[0]) == Media("image/jpeg", 1024, 768)
    assert drawn.has_nsfw_concepts == [False]
    assert isinstance(seen[0], Queued) and isinstance(seen[-1], Completed)
    running = [status for status in seen if isinstance(status, InProgress)]
    assert running and running[0].logs


async def test_the_synchronous_client(sync_sdk: SyncClient, http: ClientSession) -> None:
    arguments = {**FOX, "image_size": {"width": 640, "height": 512}, "num_images": 2, "seed": 7, "output_format": "png"}

    def draw() -> object:
        handle = sync_sdk.submit(SCHNELL, arguments, priority="low")
        assert handle.status_url == f"{handle.response_url}/status"
        assert "/fal/fal-ai/flux/requests/" in handle.response_url
        return handle.get(interval=0.02)

    drawn = output(await asyncio.to_thread(draw))
    assert [await look(http, image) for image in drawn.images] == [Media("image/png", 640, 512)] * 2
    assert drawn.seed == 7


async def test_status_and_result_by_id(sdk: AsyncClient, http: ClientSession) -> None:
    handle = await sdk.submit(BANANA, {**FOX, "aspect_ratio": "16:9", "resolution": "0.5K"})
    assert isinstance(await sdk.status(BANANA, handle.request_id), Queued)
    drawn = output(await sdk.result(BANANA, handle.request_id))
    assert await look(http, drawn.images[0]) == Media("image/png", 683, 384)
    assert isinstance(await sdk.status(f"{BANANA}/edit", handle.request_id), Completed)


async def test_run_answers_at_once(sdk: AsyncClient, sync_sdk: SyncClient, http: ClientSession) -> None:
    drawn = output(await sdk.run(SCHNELL, FOX))
    assert await look(http, drawn.images[0]) == Media("image/jpeg", 1024, 768)
    again = output(await asyncio.to_thread(sync_sdk.run, SCHNELL, FOX))
    assert again.seed == drawn.seed


@pytest.mark.parametrize(
    ("prompt", "status", "kind"),
    [
        ("a fox [refuse]", 422, None),
        ("a fox [fault:failed]", 500, "runner_server_error"),
        ("a fox [fault:429]", 429, None),
    ],
)
async def test_run_tells_what_went_wrong(prompt: str, status: int, kind: str | None, sdk: AsyncClient) -> None:
    with pytest.raises(FalClientHTTPError) as caught:
        await sdk.run(BANANA, {"prompt": prompt})
    assert (caught.value.status_code, caught.value.error_type) == (status, kind)


async def test_a_picture_in_the_answer(sdk: AsyncClient) -> None:
    drawn = output(await sdk.run(SCHNELL, {**FOX, "sync_mode": True}))
    kind, _, data = drawn.images[0].url.partition(",")
    assert kind == "data:image/jpeg;base64"
    assert len(base64.b64decode(data, validate=True)) == drawn.images[0].file_size


async def test_cancel(sdk: AsyncClient) -> None:
    handle = await sdk.submit(SCHNELL, {"prompt": "[fault:long 60]"})
    await sdk.cancel(SCHNELL, handle.request_id)
    status = await handle.status()
    assert isinstance(status, Completed) and status.error_type == "client_cancelled"
    with pytest.raises(FalClientHTTPError) as caught:
        await handle.get(interval=0.02)
    assert (caught.value.status_code, caught.value.error_type) == (499, "client_cancelled")


async def test_what_is_over_cannot_be_cancelled(sdk: AsyncClient) -> None:
    handle = await sdk.submit("fal-ai/hunyuan_world", FOX)
    async for _ in handle.iter_events(interval=0.02):
        pass
    with pytest.raises(FalClientHTTPError) as caught:
        await handle.cancel()
    assert caught.value.status_code == 400
    assert caught.value.response.json() == {"status": "ALREADY_COMPLETED"}


async def test_edit(sdk: AsyncClient, http: ClientSession, picture: MakePicture) -> None:
    pictures = [data_url(picture(64, 48)), data_url(picture(80, 80, "jpeg", "RGB"))]
    drawn = output(await sdk.subscribe(f"{BANANA}/edit", {**FOX, "image_urls": pictures}, interval=0.02))
    assert await look(http, drawn.images[0]) == Media("image/png", 1182, 887)
    again = {**FOX, "image_urls": [drawn.images[0].url], "mask_url": data_url(picture(64, 64)), "quality": "low"}
    drawn = output(await sdk.subscribe(f"{GPT}/edit", again, interval=0.02))
    assert await look(http, drawn.images[0]) == Media("image/png", 1024, 1024)


async def test_a_panorama(sdk: AsyncClient, http: ClientSession, picture: MakePicture) -> None:
    arguments = {**FOX, "image_url": data_url(picture(64, 48))}
    drawn = output(await sdk.subscribe("fal-ai/hunyuan_world", arguments, interval=0.02))
    assert drawn.image and await look(http, drawn.image) == Media("image/png", 1920, 960)


async def test_tools_that_want_no_prompt(sdk: AsyncClient, http: ClientSession, picture: MakePicture) -> None:
    url = data_url(picture(400, 300))
    larger = output(await sdk.subscribe("fal-ai/esrgan", {"image_url": url, "scale": 1.5}, interval=0.02))
    assert larger.image and await look(http, larger.image) == Media("image/png", 600, 450, alpha=True)
    cut = output(await sdk.subscribe("fal-ai/bria/background/remove", {"image_url": url}, interval=0.02))
    assert cut.image and await look(http, cut.image) == Media("image/png", 400, 300, alpha=True)
    answer = await sdk.subscribe("fal-ai/recraft/vectorize", {"image_url": url}, interval=0.02)
    file = msgspec.convert(answer, dict[str, dict[str, object]])["image"]
    assert (file["content_type"], "width" in file) == ("image/svg+xml", False)
    async with http.get(str(file["url"])) as served:
        assert served.content_type == "image/svg+xml"
        root = ElementTree.fromstring(await served.text())
    assert (root.get("width"), root.get("height")) == ("400", "300")


async def test_an_enlarged_picture_has_no_more_than_the_sandbox_draws(
    sdk: AsyncClient, http: ClientSession, picture: MakePicture
) -> None:
    arguments = {"image_url": data_url(picture(2000, 1000)), "scale": 8, "output_format": "jpeg"}
    drawn = output(await sdk.subscribe("fal-ai/esrgan", arguments, interval=0.02))
    assert drawn.image and await look(http, drawn.image) == Media("image/jpeg", 5793, 2896)


async def test_a_task_survives_a_new_sandbox(sdk: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = await sdk.submit(SCHNELL, {**FOX, "seed": 5, "num_images": 2, "image_size": "square"})
    second = Sandbox(accepts=lambda key: key == KEY)
    try:
        monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{await second.start()}/fal/")
        drawn = output(await sdk.result(SCHNELL, handle.request_id))
    finally:
        await second.close()
    assert [(image.width, image.height) for image in drawn.images] == [(512, 512)] * 2
    assert drawn.seed == 5


@pytest.mark.parametrize("key", ["sk-other", f"sk-other:{KEY}", f"{KEY}:other"])
async def test_a_wrong_key(key: str) -> None:
    client = AsyncClient(key=key)
    with pytest.raises(FalClientHTTPError) as caught:
        await client.submit(SCHNELL, FOX)
    assert caught.value.status_code == 401
    http: httpx.AsyncClient = await client._client
    await http.aclose()


async def test_an_id_and_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAL_KEY", raising=False)
    monkeypatch.setenv("FAL_KEY_ID", KEY)
    monkeypatch.setenv("FAL_KEY_SECRET", "sandbox")
    client = AsyncClient()
    assert (await client.submit(SCHNELL, FOX)).request_id
    http: httpx.AsyncClient = await client._client
    await http.aclose()


@pytest.mark.parametrize(
    ("prompt", "status", "kind"),
    [
        ("[fault:401]", 401, None),
        ("[fault:402]", 403, None),
        ("[fault:429]", 429, None),
        ("[fault:500]", 500, "internal_error"),
        ("[fault:failed]", 500, "runner_server_error"),
    ],
)
async def test_the_vendors_own_errors(prompt: str, status: int, kind: str | None, sdk: AsyncClient) -> None:
    with pytest.raises(FalClientHTTPError) as caught:
        await sdk.subscribe(SCHNELL, {"prompt": prompt}, interval=0.02)
    assert (caught.value.status_code, caught.value.error_type) == (status, kind)


@pytest.mark.parametrize("app", [SCHNELL, GPT])
async def test_a_refusal_comes_with_the_result(app: str, sdk: AsyncClient) -> None:
    found = await detail(sdk, app, {"prompt": "[refuse]"})
    assert (found["type"], found["loc"]) == ("content_policy_violation", ["body", "prompt"])


async def test_a_late_refusal(sdk: AsyncClient) -> None:
    drawn = output(await sdk.subscribe(SCHNELL, {"prompt": "[refuse late]", "num_images": 2}, interval=0.02))
    assert drawn.has_nsfw_concepts == [True, True]
    assert (await detail(sdk, GPT, {"prompt": "[refuse late]"}))["type"] == "content_policy_violation"


async def test_a_dead_url(sdk: AsyncClient, http: ClientSession) -> None:
    drawn = output(await sdk.subscribe(SCHNELL, {"prompt": "[fault:expired]"}, interval=0.02))
    async with http.get(drawn.images[0].url) as answer:
        assert answer.status == 404


# -- what it refuses --


@pytest.mark.parametrize(
    ("app", "arguments", "loc", "kind"),
    [
        (SCHNELL, {}, ["prompt"], "missing"),
        (SCHNELL, {"prompt": 7}, ["prompt"], "type_error"),
        (SCHNELL, {**FOX, "num_images": 5}, ["num_images"], "less_than_equal"),
        (SCHNELL, {**FOX, "num_inference_steps": 13}, ["num_inference_steps"], "less_than_equal"),
        (SCHNELL, {**FOX, "image_size": "huge"}, ["image_size"], "one_of"),
        (SCHNELL, {**FOX, "image_size": "auto"}, ["image_size"], "one_of"),
        (SCHNELL, {**FOX, "image_size": {"width": 0, "height": 9}}, ["image_size", "width"], "less_than_equal"),
        (SCHNELL, {**FOX, "image_size": {"width": 9}}, ["image_size", "height"], "missing"),
        (SCHNELL, {**FOX, "image_size": {"width": 9_000, "height": 9_000}}, ["image_size"], "less_than_equal"),
        (SCHNELL, {**FOX, "output_format": "webp"}, ["output_format"], "one_of"),
        (SCHNELL, {**FOX, "steps": 4}, ["steps"], "extra_forbidden"),
        (SCHNELL, {**FOX, "image_url": "data:,"}, ["image_url"], "extra_forbidden"),
        ("fal-ai/flux-pro/v1.1", {**FOX, "safety_tolerance": 2}, ["safety_tolerance"], "type_error"),
        ("fal-ai/flux-pro/v1.1-ultra", {**FOX, "aspect_ratio": "4:5"}, ["aspect_ratio"], "one_of"),
        (BANANA, {**FOX, "resolution": "3K"}, ["resolution"], "one_of"),
        (BANANA, {**FOX, "image_size": "square"}, ["image_size"], "extra_forbidden"),
        ("fal-ai/nano-banana", {**FOX, "resolution": "1K"}, ["resolution"], "extra_forbidden"),
        ("fal-ai/nano-banana", {**FOX, "aspect_ratio": "1:8"}, ["aspect_ratio"], "one_of"),
        (f"{BANANA}/edit", FOX, ["image_urls"], "missing"),
        (f"{BANANA}/edit", {**FOX, "image_urls": []}, ["image_urls"], "sequence_too_long"),
        (
            f"{BANANA}/edit",
            {**FOX, "image_urls": ["data:image/png;base64,aGVsbG8="]},
            ["image_urls"],
            "image_load_error",
        ),
        (f"{BANANA}/edit", {**FOX, "image_urls": ["no picture"]}, ["image_urls"], "image_load_error"),
        (GPT, {**FOX, "image_size": {"width": 1000, "height": 1000}}, ["image_size"], "multiple_of"),
        (GPT, {**FOX, "image_size": {"width": 3840, "height": 1264}}, ["image_size"], "less_than_equal"),
        (GPT, {**FOX, "seed": 1}, ["seed"], "extra_forbidden"),
        (GPT, {**FOX, "quality": "max"}, ["quality"], "one_of"),
        ("fal-ai/hunyuan_world", FOX, ["image_url"], "missing"),
        ("fal-ai/recraft/v3/text-to-image", {"prompt": "x" * 1001}, ["prompt"], "sequence_too_long"),
        ("fal-ai/recraft/v3/text-to-image", {**FOX, "num_images": 1}, ["num_images"], "extra_forbidden"),
    ],
)
async def test_inputs_that_an_app_turns_down(
    app: str, arguments: Mapping[str, object], loc: list[str], kind: str, sdk: AsyncClient
) -> None:
    found = await detail(sdk, app, arguments)
    assert (found["loc"], found["type"]) == (["body", *loc], kind)


@pytest.mark.parametrize(
    ("app", "arguments", "size", "loc", "kind"),
    [
        ("recraft/vectorize", {}, (0, 0), ["image_url"], "missing"),
        ("recraft/vectorize", {"prompt": "a fox"}, (300, 300), ["prompt"], "extra_forbidden"),
        ("recraft/vectorize", {"output_format": "svg"}, (300, 300), ["output_format"], "extra_forbidden"),
        ("recraft/vectorize", {}, (256, 300), ["image_url"], "image_too_small"),
        ("recraft/vectorize", {}, (300, 4096), ["image_url"], "image_too_large"),
        ("recraft/vectorize", {}, (4000, 4000), ["image_url"], "image_too_large"),
        ("esrgan", {"scale": 8.5}, (64, 64), ["scale"], "less_than_equal"),
        ("esrgan", {"scale": "2"}, (64, 64), ["scale"], "type_error"),
        ("esrgan", {"upscale_factor": 2}, (64, 64), ["upscale_factor"], "extra_forbidden"),
        ("esrgan", {"model": "RealESRGAN"}, (64, 64), ["model"], "one_of"),
        ("esrgan", {"output_format": "webp"}, (64, 64), ["output_format"], "one_of"),
        ("bria/background/remove", {"scale": 2}, (64, 64), ["scale"], "extra_forbidden"),
    ],
)
async def test_what_tools_turn_down(
    app: str,
    arguments: Mapping[str, object],
    size: tuple[int, int],
    loc: list[str],
    kind: str,
    sdk: AsyncClient,
    picture: MakePicture,
) -> None:
    shown = {"image_url": data_url(picture(*size))} if size[0] else {}
    found = await detail(sdk, f"fal-ai/{app}", {**arguments, **shown})
    assert (found["loc"], found["type"]) == (["body", *loc], kind)


async def test_roads_that_lead_nowhere(address: str) -> None:
    async with ClientSession(headers={"Authorization": f"Key {KEY}"}) as http:
        for method, path, status in (
            ("POST", "fal-ai/nothing", 404),
            ("GET", "fal-ai/flux", 404),
            ("GET", "fal-ai/flux/requests/unknown/status", 404),
            ("PUT", "fal-ai/flux/requests/unknown/cancel", 404),
        ):
            async with http.request(method, f"{address}/fal/{path}", json=FOX) as answer:
                assert answer.status == status
                assert (await answer.json()).keys() == {"detail"}
        async with http.post(f"{address}/fal/{SCHNELL}", data=b"{") as answer:
            assert answer.status == 400
        async with http.post(f"{address}/fal/{SCHNELL}", json={"prompt": "[fault:long 60]"}) as answer:
            urls = await answer.json()
        async with http.get(urls["response_url"]) as answer:
            assert (answer.status, await answer.json()) == (400, {"detail": "Request is still in progress"})
        async with http.get(urls["status_url"].replace("/flux/", "/nano-banana/")) as answer:
            assert answer.status == 404
