from __future__ import annotations

import asyncio
import base64
import io
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest
from aiohttp import ClientSession
from PIL import Image
from runware import IImageBackgroundRemoval, IImageInference, IImageUpscale, IInputs, ISafety, Runware
from runware.types import IAsyncTaskResponse, IVectorize
from runware.utils import RunwareAPIError

from pictura.sandbox.server import Sandbox

KEY = "sk-test-sandbox"
SCHNELL, FLUX_2, FILL, SEEDREAM = "runware:100@1", "bfl:5@1", "bfl:1@2", "bytedance:seedream@4.5"

MakePicture = Callable[..., bytes]


@pytest.fixture
async def sdk(address: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Runware]:
    """The official client, pointed at the sandbox and nowhere else. It speaks WebSocket."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client = Runware(api_key=KEY, url=f"{address.replace('http', 'ws')}/runware/v1")
    await client.connect()
    yield client
    await client.disconnect()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


async def fetched(http: ClientSession, url: str) -> Image.Image:
    async with http.get(url) as answer:
        return opened(await answer.read())


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def inference(**fields: object) -> dict[str, object]:
    task = {"taskType": "imageInference", "taskUUID": str(uuid.uuid4()), "model": SCHNELL, "positivePrompt": "a fox"}
    return {**task, "width": 256, "height": 256, **fields}


async def posted(
    http: ClientSession, address: str, *tasks: Mapping[str, object]
) -> tuple[int, dict[str, list[object]]]:
    async with http.post(f"{address}/runware/v1", json=tasks) as answer:
        return answer.status, await answer.json()


# -- the official SDK --


async def test_generate_several(sdk: Runware, http: ClientSession) -> None:
    assert sdk.isAuthenticated()
    images = await sdk.imageInference(
        IImageInference(
            model=SCHNELL,
            positivePrompt="a fox",
            negativePrompt="rain",
            width=512,
            height=256,
            steps=4,
            CFGScale=1.5,
            seed=7,
            numberResults=2,
            outputFormat="PNG",
            includeCost=True,
            safety=ISafety(checkContent=True),
        )
    )
    assert [(image.seed, image.cost, image.NSFWContent) for image in images] == [
        (7, 0.0013, False),
        (8, 0.0013, False),
    ]
    first, second = [await fetched(http, image.imageURL) for image in images]
    assert (first.format, first.size, second.size) == ("PNG", (512, 256), (512, 256))
    assert first.tobytes() != second.tobytes()


@pytest.mark.parametrize("kind", ["base64Data", "dataURI"])
async def test_pictures_in_the_answer(sdk: Runware, kind: str) -> None:
    (image,) = await sdk.imageInference(
        IImageInference(model=SCHNELL, positivePrompt="a fox", width=128, height=128, outputType=kind)
    )
    text = image.imageBase64Data or image.imageDataURI.partition(",")[2]
    assert opened(base64.b64decode(text, validate=True)).format == "JPEG"


async def test_edits(sdk: Runware, http: ClientSession, picture: MakePicture) -> None:
    url, mask = data_url(picture(96, 64)), data_url(picture(96, 64, "png", "L"))
    (filled,) = await sdk.imageInference(
        IImageInference(model=FILL, positivePrompt="a hat", seedImage=url, maskImage=mask, outputFormat="WEBP")
    )
    (guided,) = await sdk.imageInference(
        IImageInference(model=FLUX_2, positivePrompt="a hat", inputs=IInputs(referenceImages=[url, url]))
    )
    assert (await fetched(http, filled.imageURL)).size == (96, 64)
    assert (await fetched(http, guided.imageURL)).size == (1248, 832)


async def test_a_picture_goes_by_its_uuid(
    sdk: Runware, http: ClientSession, picture: MakePicture, tmp_path: Path
) -> None:
    """… an uploaded one, and one that was drawn."""
    file = tmp_path / "a.png"
    file.write_bytes(picture(96, 64))
    uploaded = await sdk.uploadImage(str(file))
    assert (await fetched(http, uploaded.imageURL)).size == (96, 64)
    for named in (uploaded.imageUUID, str(file)):  # which the SDK uploads itself
        (larger,) = await sdk.imageUpscale(IImageUpscale(model="runware:503@1", inputImage=named, upscaleFactor=2))
        (again,) = await sdk.imageUpscale(
            IImageUpscale(model="runware:503@1", inputImage=larger.imageUUID, upscaleFactor=2)
        )
        assert (await fetched(http, again.imageURL)).size == (384, 256)
    with pytest.raises(RunwareAPIError) as unknown:
        await sdk.imageUpscale(IImageUpscale(model="runware:503@1", inputImage=str(uuid.uuid4()), upscaleFactor=2))
    assert unknown.value.code == "invalidInputImage"


async def test_tools_that_want_no_prompt(sdk: Runware, http: ClientSession, picture: MakePicture) -> None:
    url = data_url(picture(96, 64))
    (larger,) = await sdk.imageUpscale(
        IImageUpscale(model="runware:503@1", inputImage=url, upscaleFactor=4, outputFormat="PNG", includeCost=True)
    )
    (cut,) = await sdk.imageBackgroundRemoval(IImageBackgroundRemoval(model="runware:112@1", inputImage=url))
    (vectors,) = await sdk.imageVectorize(IVectorize(model="recraft:1@1", inputs=IInputs(image=url)))
    assert (larger.taskType, larger.seed, larger.cost) == ("imageUpscale", None, 0.0045)
    assert (await fetched(http, larger.imageURL)).size == (384, 256)
    removed = await fetched(http, cut.imageURL)
    assert (removed.size, removed.getchannel("A").getpixel((0, 0))) == ((96, 64), 0)
    async with http.get(vectors.imageURL) as served:
        assert served.content_type == "image/svg+xml"
        assert ElementTree.fromstring(await served.text()).get("width") == "96"


async def test_an_upscale_that_answers_later(sdk: Runware, http: ClientSession, picture: MakePicture) -> None:
    payload = IImageUpscale(
        model="runware:503@1", inputs={"image": data_url(picture(96, 64))}, upscaleFactor=2, deliveryMethod="async"
    )
    accepted = await sdk.imageUpscale(payload)
    assert isinstance(accepted, IAsyncTaskResponse) and accepted.taskType == "imageUpscale"
    await asyncio.sleep(0.2)  # a first question that comes too early makes the SDK wait half a minute
    (image,) = await sdk.getResponse(accepted.taskUUID, numberResults=1)
    assert (await fetched(http, image.imageURL)).size == (192, 128)


async def test_a_task_that_answers_later(sdk: Runware, http: ClientSession) -> None:
    accepted = await sdk.imageInference(
        IImageInference(
            model=SCHNELL, positivePrompt="a fox", width=128, height=128, numberResults=2, deliveryMethod="async"
        )
    )
    assert isinstance(accepted, IAsyncTaskResponse)
    await asyncio.sleep(0.2)  # a first question that comes too early makes the SDK wait half a minute
    images = await sdk.getResponse(accepted.taskUUID, numberResults=2)
    assert [image.status for image in images] == ["success", "success"]
    assert (await fetched(http, images[1].imageURL)).size == (128, 128)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"positivePrompt": "a fox [refuse]"}, "invalidProviderContent"),
        ({"positivePrompt": "a fox [refuse late]"}, "invalidProviderContent"),
        ({"positivePrompt": "a fox [fault:failed]"}, "timeoutProvider"),
        ({"model": "nobody:1@1"}, "invalidModel"),
        ({"width": 100}, "invalidWidth"),
    ],
)
async def test_errors(sdk: Runware, fields: Mapping[str, str], code: str) -> None:
    task = {"model": SCHNELL, "positivePrompt": "a fox", "width": 128, "height": 128, **fields}
    with pytest.raises(RunwareAPIError) as caught:
        await sdk.imageInference(IImageInference(**task))
    assert caught.value.code == code
    assert caught.value.error_data["taskType"] == "imageInference"


async def test_a_wrong_key(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client = Runware(api_key="wrong", url=f"{address.replace('http', 'ws')}/runware/v1")
    await client.connect()
    assert not client.isAuthenticated()
    await client.disconnect()


# -- over HTTP --


async def test_several_tasks_in_one_request(address: str, http: ClientSession) -> None:
    status, told = await posted(
        http,
        address,
        inference(),
        inference(width=100),
        {"taskType": "videoInference", "taskUUID": str(uuid.uuid4())},
    )
    assert status == 200
    assert (len(told["data"]), len(told["errors"])) == (1, 2)


async def test_the_key_may_stand_in_the_body(address: str) -> None:
    async with ClientSession() as anyone:
        key = {"taskType": "authentication", "apiKey": KEY}
        assert (await posted(anyone, address, key, inference()))[0] == 200
        status, told = await posted(anyone, address, inference())
    assert status == 401
    assert told["errors"] == [
        {
            "code": "invalidApiKey",
            "message": "Invalid API key. Get one at https://runware.ai/signup",
            "parameter": "apiKey",
        }
    ]


async def test_a_uuid_is_good_for_one_task(address: str, http: ClientSession) -> None:
    for method in ("sync", "async"):
        task = inference(deliveryMethod=method)
        assert (await posted(http, address, task))[0] == 200
        status, told = await posted(http, address, task)
        assert status == 400
        assert told["errors"][0]["code"] == "conflictTaskUUID"  # type: ignore[index]
        assert told["errors"][0]["taskUUID"] == task["taskUUID"]  # type: ignore[index]


async def test_how_a_task_stands(address: str, http: ClientSession) -> None:
    task = inference(deliveryMethod="async", numberResults=2, positivePrompt="a fox [fault:long 60]")
    question = {"taskType": "getResponse", "taskUUID": task["taskUUID"]}
    assert await posted(http, address, question) == (200, {"data": []})
    told = {"taskType": "imageInference", "taskUUID": task["taskUUID"]}
    assert await posted(http, address, task) == (200, {"data": [told]})
    assert await posted(http, address, question) == (200, {"data": [{**told, "status": "processing"}] * 2})


async def test_tasks_survive_a_new_sandbox(tmp_path: Path) -> None:
    """… in the same folder: how they stand, their pictures, and that their UUIDs are taken."""
    task = inference(deliveryMethod="async", outputType="base64Data")
    ask = {"taskType": "getResponse", "taskUUID": task["taskUUID"]}
    told: list[dict[str, list[object]]] = []
    async with ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
        for said in ([task], [ask, task]):
            sandbox = Sandbox(accepts=lambda key: key == KEY, folder=tmp_path)
            try:
                address = await sandbox.start()
                told += [(await posted(http, address, *said))[1]]
                await asyncio.sleep(0.2)
                told += [(await posted(http, address, ask))[1]]
            finally:
                await sandbox.close()
    accepted, drawn, again, at_last = told
    assert accepted["data"] == [{"taskType": "imageInference", "taskUUID": task["taskUUID"]}]
    assert again["errors"][0]["code"] == "conflictTaskUUID"  # type: ignore[index]
    pictures = [entry["imageBase64Data"] for answer in (drawn, again, at_last) for entry in answer["data"]]  # type: ignore[index]
    assert len(pictures) == 3 and len(set(pictures)) == 1


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"taskUUID": "7"}, "invalidTaskUUID"),
        ({"taskUUID": "5d9e6a4e-e4fd-11f1-8bcf-02fc00000001"}, "invalidTaskUUID"),
        ({"taskUUID": None}, "missingTaskUUID"),
        ({"model": ""}, "missingModel"),
        ({"positivePrompt": "a"}, "invalidPositivePrompt"),
        ({"positivePrompt": "a" * 3001}, "invalidPositivePrompt"),
        ({"positivePrompt": None}, "missingPositivePrompt"),
        ({"height": None}, "missingHeight"),
        ({"height": 64}, "invalidHeight"),
        ({"height": 250}, "invalidWidth"),
        ({"numberResults": 21}, "invalidNumberResults"),
        ({"outputFormat": "jpeg"}, "invalidOutputFormat"),
        ({"outputQuality": 100}, "invalidOutputQuality"),
        ({"deliveryMethod": "later"}, "invalidDeliveryMethod"),
        ({"steps": 0}, "invalidSteps"),
        ({"safety": {"level": 1}}, "unsupportedParameter"),
        ({"n": 2}, "unsupportedParameter"),
        ({"seedImage": "a.png"}, "invalidSeedImage"),
        ({"seedImage": data_url(b"no picture")}, "invalidSeedImage"),
        ({"model": "bfl:2@1", "steps": 4}, "unsupportedParameter"),
        ({"model": "bfl:2@1", "providerSettings": {"bfl": {"safetyTolerance": 7}}}, "invalidSafetyTolerance"),
        ({"model": "bfl:3@1", "width": 1000, "height": 1000}, "invalidWidth"),
        ({"model": "bfl:3@1", "inputs": {"referenceImages": ["https://a.example/a"] * 3}}, "invalidReferenceImages"),
        ({"model": FLUX_2, "height": None}, "missingHeight"),
        ({"model": FLUX_2, "numberResults": 2}, "invalidNumberResults"),
        ({"model": FLUX_2, "referenceImages": ["https://example.com/a.png"]}, "unsupportedParameter"),
        ({"model": FILL}, "missingSeedImage"),
        ({"model": FILL, "seedImage": "https://example.com/a.png"}, "missingMaskImage"),
        ({"model": SEEDREAM, "width": 1024, "height": 1024}, "invalidWidth"),
    ],
    ids=str,
)
async def test_tasks_that_are_refused(
    address: str, http: ClientSession, fields: Mapping[str, object], code: str
) -> None:
    status, told = await posted(http, address, inference(**fields))
    assert status == 400
    assert told["errors"][0]["code"] == code  # type: ignore[index]


def tool(**fields: object) -> dict[str, object]:
    image = {"inputImage": "https://example.com/a.png", "upscaleFactor": 2}
    return {"taskType": "imageUpscale", "taskUUID": str(uuid.uuid4()), "model": "runware:503@1", **image, **fields}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"model": "recraft:1@1"}, "invalidModel"),
        ({"model": SCHNELL}, "invalidModel"),
        ({"inputImage": None}, "missingInputImage"),
        ({"inputImage": data_url(b"no picture")}, "invalidInputImage"),
        ({"upscaleFactor": None}, "missingUpscaleFactor"),
        ({"upscaleFactor": 3}, "invalidUpscaleFactor"),
        ({"outputFormat": "SVG"}, "invalidOutputFormat"),
        ({"positivePrompt": "a fox"}, "unsupportedParameter"),
        ({"numberResults": 1}, "unsupportedParameter"),
        ({"taskType": "vectorize", "model": "recraft:1@1", "outputFormat": "PNG"}, "invalidOutputFormat"),
        ({"taskType": "vectorize", "model": "recraft:1@1"}, "unsupportedParameter"),
        ({"taskType": "removeBackground", "model": "runware:112@1"}, "unsupportedParameter"),
    ],
    ids=str,
)
async def test_tools_are_as_strict(address: str, http: ClientSession, fields: Mapping[str, object], code: str) -> None:
    status, told = await posted(http, address, tool(**fields))
    assert status == 400
    assert told["errors"][0]["code"] == code  # type: ignore[index]


async def test_the_pages_have_other_names_for_the_same(address: str, http: ClientSession) -> None:
    image = {"inputImage": None, "inputs": {"image": "https://example.com/a.png"}, "outputFormat": "JPG"}
    upscale = tool(taskType="upscale", **image)
    remove = tool(taskType="removeBackground", model="runware:112@1", upscaleFactor=None, **image)
    status, told = await posted(http, address, upscale, remove)
    assert status == 200
    assert [entry["taskType"] for entry in told["data"]] == ["upscale", "removeBackground"]  # type: ignore[index]


async def test_bodies_that_are_no_tasks(address: str, http: ClientSession) -> None:
    for body in (b"{}", b"[7]", b"[", b""):
        async with http.post(f"{address}/runware/v1", data=body) as answer:
            assert answer.status == 400
    async with http.get(f"{address}/runware/v2") as answer:
        assert answer.status == 404
