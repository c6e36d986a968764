"""Black Forest Labs has no SDK for Python: the simulator is driven over plain HTTP, as its own pages show it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping

import msgspec
import pytest
from aiohttp import ClientSession

from pictura.core.media import Media, sniff
from pictura.sandbox.bfl import MODELS
from pictura.sandbox.server import Sandbox
from tests.sandbox.conftest import KEY

Json = Mapping[str, object]
MakePicture = Callable[..., bytes]


class Accepted(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    polling_url: str
    cost: float | None
    input_mp: float
    output_mp: float


class Result(msgspec.Struct):
    sample: str
    prompt: str
    seed: int
    duration: float


class Standing(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    status: str
    result: Result | None
    progress: float | None
    details: dict[str, object] | None
    preview: None


class Problem(msgspec.Struct, forbid_unknown_fields=True):
    loc: list[str]
    msg: str
    type: str


class Refusal(msgspec.Struct, forbid_unknown_fields=True):
    detail: str | list[Problem]


@pytest.fixture
async def http(address: str) -> AsyncIterator[ClientSession]:
    async with ClientSession(f"{address}/bfl/v1/", headers={"x-key": KEY}) as session:
        yield session


async def begun(http: ClientSession, model: str, body: Json) -> Accepted:
    async with http.post(model, json=body) as answer:
        assert answer.status == 200, await answer.text()
        return msgspec.json.decode(await answer.read(), type=Accepted)


async def asked(http: ClientSession, polling_url: str) -> Standing:
    async with http.get(polling_url) as answer:
        assert answer.status == 200
        return msgspec.json.decode(await answer.read(), type=Standing)


async def finished(http: ClientSession, model: str, body: Json) -> Standing:
    task = await begun(http, model, body)
    now = await asked(http, task.polling_url)
    while now.status in ("Pending", "Generating"):
        await asyncio.sleep(0.02)
        now = await asked(http, task.polling_url)
    return now


async def drawn(http: ClientSession, model: str, body: Json) -> tuple[Media, Result]:
    """The picture that comes of it, and what is said about it."""
    now = await finished(http, model, body)
    assert now.status == "Ready" and now.result
    async with http.get(now.result.sample) as answer:
        data = await answer.read()
    return sniff(lambda offset, size: data[offset:][:size], len(data)), now.result


async def refusal(http: ClientSession, model: str, body: Json, **headers: str) -> tuple[int, str | list[Problem]]:
    async with http.post(model, json=body, headers=headers) as answer:
        return answer.status, msgspec.json.decode(await answer.read(), type=Refusal).detail


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def filled(body: Json, **pictures: bytes) -> Json:
    """With pictures where their names stand, alone or in a list."""

    def fill(value: object) -> object:
        if isinstance(value, list):
            return [fill(entry) for entry in value]
        return b64(pictures[value]) if isinstance(value, str) and value in pictures else value

    return {name: fill(value) for name, value in body.items()}


def inputs(model: str, encoded: str) -> Json:
    return {"image": encoded} if MODELS[model].sizing in ("own", "margins") else {}


@pytest.mark.parametrize("model", MODELS)
async def test_every_model_draws(model: str, http: ClientSession, picture: MakePicture) -> None:
    media, result = await drawn(http, model, {"prompt": "a fox", **inputs(model, b64(picture(256, 320)))})
    assert media.format == MODELS[model].formats[0]
    assert result.prompt == "a fox" and result.duration > 0


@pytest.mark.parametrize(
    ("model", "body", "width", "height"),
    [
        ("flux-pro-1.1", {}, 1024, 768),
        ("flux-dev", {"width": 256, "height": 1440}, 256, 1440),
        ("flux-pro-1.1-ultra", {"aspect_ratio": "1:1"}, 2048, 2048),
        ("flux-kontext-pro", {"aspect_ratio": "7:3"}, 1568, 672),
        ("flux-2-pro", {"width": 1920, "height": 1080}, 1920, 1072),
        ("flux-2-klein-4b", {}, 1024, 1024),
        ("flux-3-image", {"aspect_ratio": "2:1", "resolution": "768sq"}, 1088, 544),
    ],
)
async def test_sizes(model: str, body: Json, width: int, height: int, http: ClientSession) -> None:
    media, _ = await drawn(http, model, {"prompt": "a fox", **body})
    assert (media.width, media.height) == (width, height)


@pytest.mark.parametrize(
    ("model", "body", "width", "height"),
    [
        ("flux-2-max", {"input_image": "PNG"}, 512, 256),
        ("flux-kontext-max", {"input_image": "PNG", "input_image_4": "PNG"}, 1424, 736),
        ("flux-3-image", {"images": ["PNG", "PNG"]}, 1424, 736),
        ("flux-3-image", {"images": "PNG"}, 1424, 736),
        ("flux-pro-1.0-expand", {"image": "PNG", "left": 10, "top": 20, "bottom": 3}, 522, 287),
        ("flux-pro-1.0-fill", {"image": "PNG", "prompt": ""}, 512, 264),
    ],
)
async def test_pictures_give_the_size(
    model: str, body: Json, width: int, height: int, http: ClientSession, picture: MakePicture
) -> None:
    media, _ = await drawn(http, model, {"prompt": "a fox", **filled(body, PNG=picture(512, 264))})
    assert (media.width, media.height) == (width, height)


@pytest.mark.parametrize("seed", [7, -(2**63), 2**63])
async def test_the_same_seed_gives_the_same_picture(seed: int, http: ClientSession) -> None:
    body = {"prompt": "a fox", "seed": seed, "output_format": "webp", "width": 256, "height": 256}
    found = []
    for _ in range(2):
        now = await finished(http, "flux-2-pro", body)
        assert now.result and now.result.seed == seed
        async with http.get(now.result.sample) as answer:
            assert answer.content_type == "image/webp"
            found.append(await answer.read())
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("model", "body", "cost"),
    [
        ("flux-pro-1.1", {}, 4),
        ("flux-kontext-max", {"input_image": "PNG"}, 8),
        ("flux-2-pro", {"width": 1920, "height": 1080}, 4.5),
        ("flux-2-pro", {"width": 1024, "height": 1024, "input_image": "PNG"}, 4.5),
        ("flux-2-klein-4b", {"width": 2048, "height": 2048}, 1.7),
        ("flux-3-image", {"resolution": "2k"}, 10),
        ("flux-3-image", {"resolution": "1.5k"}, 7),
        ("flux-3-image", {"resolution": "4k"}, 60.7),
    ],
)
async def test_what_it_costs(model: str, body: Json, cost: float, http: ClientSession, picture: MakePicture) -> None:
    task = await begun(http, model, {"prompt": "a fox", **filled(body, PNG=picture(300, 300))})
    assert task.cost == cost
    assert task.input_mp == (0.09 if "input_image" in body else 0)


async def test_a_mask_is_white_where_it_paints(http: ClientSession, picture: MakePicture) -> None:
    body = {"prompt": "a fox", "image": b64(picture(300, 300)), "mask": b64(picture(300, 300, "png", "L"))}
    media, _ = await drawn(http, "flux-pro-1.0-fill", body)
    assert (media.width, media.height) == (300, 300)


async def test_states(http: ClientSession) -> None:
    task = await begun(http, "flux-2-pro", {"prompt": "a fox [fault:long 60]"})
    await asyncio.sleep(0.1)
    now = await asked(http, task.polling_url)
    assert (now.id, now.status, now.result) == (task.id, "Generating", None)
    async with http.get("get_result") as answer:
        assert answer.status == 422
    assert (await asked(http, "get_result?id=nothing")).status == "Task not found"


async def test_a_task_outlives_its_sandbox(http: ClientSession, picture: MakePicture) -> None:
    task = await begun(http, "flux-2-pro", {"prompt": "a fox", "input_image": b64(picture(640, 320))})
    sandbox = Sandbox(accepts=lambda key: key == KEY)
    try:
        address = await sandbox.start()
        await asyncio.sleep(0.2)
        now = await asked(http, f"{address}/bfl/v1/get_result?id={task.id}")
        assert now.result and now.result.sample.startswith(address)
    finally:
        await sandbox.close()


@pytest.mark.parametrize(
    ("mark", "status"),
    [
        ("[refuse]", "Request Moderated"),
        ("[refuse late]", "Content Moderated"),
        ("[fault:failed]", "Error"),
    ],
)
async def test_tasks_that_come_to_nothing(mark: str, status: str, http: ClientSession) -> None:
    now = await finished(http, "flux-2-pro", {"prompt": f"a fox {mark}"})
    assert (now.status, now.result) == (status, None)
    assert now.details


# -- strictness --

WRONG: list[tuple[str, Json, str]] = [
    ("flux-2-pro", {"prompt": ""}, "prompt"),
    ("flux-2-pro", {"prompt": 7}, "prompt"),
    ("flux-pro-1.1", {"width": 1000}, "width"),
    ("flux-pro-1.1", {"height": 1472}, "height"),
    ("flux-pro-1.1", {"width": 224}, "width"),
    ("flux-pro-1.1", {"width": "1024"}, "width"),
    ("flux-2-pro", {"width": 48}, "width"),
    ("flux-2-pro", {"width": 4096, "height": 2048}, "width"),
    ("flux-2-pro", {"safety_tolerance": 6}, "safety_tolerance"),
    ("flux-pro-1.1", {"safety_tolerance": 7}, "safety_tolerance"),
    ("flux-3-image", {"safety_tolerance": 5}, "safety_tolerance"),
    ("flux-2-pro", {"disable_pup": "yes"}, "disable_pup"),
    ("flux-2-pro", {"seed": 1.5}, "seed"),
    ("flux-2-pro", {"output_format": "gif"}, "output_format"),
    ("flux-2-flex", {"steps": 0}, "steps"),
    ("flux-2-flex", {"guidance": 11}, "guidance"),
    ("flux-dev", {"guidance": 6}, "guidance"),
    ("flux-pro-1.0-fill", {"steps": 14}, "steps"),
    ("flux-pro-1.0-fill", {}, "image"),
    ("flux-pro-1.0-fill", {"image": "OPAQUE"}, "mask"),
    ("flux-pro-1.0-fill", {"image": "OPAQUE", "mask": "SMALL"}, "mask"),
    ("flux-pro-1.0-fill", {"image": "OPAQUE", "mask": "CLEAR"}, "mask"),
    ("flux-pro-1.0-expand", {"image": "OPAQUE", "left": 2049}, "left"),
    ("flux-kontext-pro", {"aspect_ratio": "3:1"}, "aspect_ratio"),
    ("flux-kontext-pro", {"aspect_ratio": "wide"}, "aspect_ratio"),
    ("flux-pro-1.1-ultra", {"image_prompt_strength": 1.5}, "image_prompt_strength"),
    ("flux-3-image", {"aspect_ratio": "7:3"}, "aspect_ratio"),
    ("flux-3-image", {"resolution": "3k"}, "resolution"),
    ("flux-3-image", {"seed": 7}, "seed"),
    ("flux-3-image", {"output_format": "png"}, "output_format"),
    ("flux-3-image", {"images": ["SMALL"]}, "images"),
    ("flux-3-image", {"images": []}, "images"),
    ("flux-3-image", {"images": ["fox.png"]}, "images"),
    ("flux-2-pro", {"input_image": "GIF"}, "input_image"),
    ("flux-2-pro", {"input_image": "fox.png"}, "input_image"),
    ("flux-2-pro", {"webhook_url": "https://example.com"}, "webhook_url"),
]


@pytest.mark.parametrize(("model", "body", "named"), WRONG)
async def test_what_bfl_does_not_take(
    model: str, body: Json, named: str, http: ClientSession, picture: MakePicture
) -> None:
    given = filled(
        body,
        OPAQUE=picture(256, 256, "png", "RGB"),
        CLEAR=picture(256, 256),
        SMALL=picture(255, 256, "png", "L"),
        GIF=picture(256, 256, "gif", "L"),
    )
    status, detail = await refusal(http, model, {"prompt": "a fox", **given})
    assert status == 422
    assert isinstance(detail, list) and detail[0].loc == ["body", named], detail


async def test_more_pictures_than_are_taken(http: ClientSession, picture: MakePicture) -> None:
    status, _ = await refusal(http, "flux-3-image", {"prompt": "a fox", "images": [b64(picture(256, 256))] * 11})
    assert status == 422


async def test_unknown_fields_are_passed_over_but_by_flux_3(http: ClientSession) -> None:
    assert (await begun(http, "flux-2-pro", {"prompt": "a fox", "aspect_ratio": "1:1"})).output_mp == 1
    status, detail = await refusal(http, "flux-3-image", {"prompt": "a fox", "width": 1024})
    assert status == 422
    assert isinstance(detail, list) and detail[0].type == "extra_forbidden"


@pytest.mark.parametrize("key", ["", "sk-other"])
async def test_a_wrong_key(key: str, http: ClientSession) -> None:
    assert await refusal(http, "flux-2-pro", {"prompt": "a fox"}, **{"x-key": key}) == (403, "Not authenticated")


@pytest.mark.parametrize(("mark", "status"), [("401", 403), ("402", 402), ("429", 429), ("500", 500)])
async def test_errors_on_demand(mark: str, status: int, http: ClientSession) -> None:
    found, detail = await refusal(http, "flux-2-pro", {"prompt": f"a fox [fault:{mark}]"})
    assert found == status and isinstance(detail, str)


async def test_credits_and_what_is_not_there(http: ClientSession) -> None:
    async with http.get("credits") as answer:
        assert (await answer.json())["credits"] > 0
    assert await refusal(http, "flux-9", {"prompt": "a fox"}) == (404, "Not Found")
