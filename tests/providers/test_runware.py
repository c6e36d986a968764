from __future__ import annotations

import base64
import io
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from functools import partial

import pytest
from aiohttp import web
from PIL import Image

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Refused, Rejected, Throttled
from pictura.core.model import ModelCard
from pictura.core.size import AUTO, fit, parse
from pictura.providers.base import Ask, Done, Pending
from pictura.providers.runware import Runware, task_uuid
from tests.providers.conftest import (
    KEY,
    TROUBLES,
    Connect,
    Make,
    MakePicture,
    OpenSpools,
    Serve,
    drawn_by,
    fault_of,
    pixels,
    says,
)

CARDS = {card.id.removeprefix("runware-"): card for card in Runware.MODELS}
DEV, SCHNELL, KONTEXT, FLUX_2, FILL, SEEDREAM = (
    CARDS[name]
    for name in ("flux-dev", "flux-schnell", "flux-kontext-pro", "flux-2-pro", "flux-fill-pro", "seedream-4.5")
)
VECTORIZE, BIREFNET, SWINIR = CARDS["recraft-vectorize"], CARDS["birefnet"], CARDS["swinir"]
PIXEL = "data:image/png;base64,iVBORw0KGgo="
GENERIC = Runware().generic("civitai:36520@76907")
SANDBOX = "/runware/v1"
GUIDED = ["inputs", "referenceImages"]
TASK = Pending(upstream_id=task_uuid("job_1-0"), poll_after_s=1.0)

drawn, fault = partial(drawn_by, Runware()), partial(fault_of, Runware())


def stands(*entries: Mapping[str, object]) -> list[dict[str, object]]:
    """What is told of the task."""
    return [{"taskType": "imageInference", "taskUUID": TASK.upstream_id, **entry} for entry in entries]


def picture_of(seed: int, **more: object) -> Mapping[str, object]:
    url = f"https://im.runware.ai/{seed}.jpg"
    return {"status": "success", "imageUUID": str(seed), "imageURL": url, "seed": seed, **more}


async def body_of(asked: Ask, serve: Serve) -> dict[str, object]:
    """The task that is sent, without what every task says."""
    noted: list[tuple[str, str, list[dict[str, object]]]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        noted.append((request.path, request.headers["Authorization"], await request.json()))
        return web.json_response({"data": [{"taskUUID": noted[0][2][0]["taskUUID"]}]})

    pending = await Runware().start(asked, await serve(handler))
    assert isinstance(pending, Pending)
    (path, key, (task,)) = noted[0]
    assert (path, key) == ("/v1", f"Bearer {KEY}")
    assert task.pop("taskUUID") == pending.upstream_id
    common = {"taskType": "imageInference", "outputType": "URL", "includeCost": True, "deliveryMethod": "async"}
    assert {name: task.pop(name) for name in common} == common
    assert task.pop("model") == asked.native
    return task


# -- what is sent --


async def test_everything_that_can_be_said(serve: Serve, ask: Make) -> None:
    params = {
        "steps": 20,
        "guidance_scale": 4.5,
        "negative_prompt": "rain",
        "seed": 7,
        "checkContent": True,
        "quality": "high",
        "scheduler": "auto",
    }
    said = ask(DEV, n=3, size=parse("768x512"), params=params, output_format="webp", output_compression=100)
    assert await body_of(said, serve) == {
        "positivePrompt": "a fox",
        "numberResults": 3,
        "width": 768,
        "height": 512,
        "outputFormat": "WEBP",
        "outputQuality": 99,
        "steps": 20,
        "CFGScale": 4.5,
        "negativePrompt": "rain",
        "seed": 7,
        "safety": {"checkContent": True},
    }


async def test_what_bfl_alone_takes(serve: Serve, ask: Make) -> None:
    params = {"prompt_upsampling": True, "safety_tolerance": 0}
    sent = await body_of(ask(FLUX_2, params=params), serve)
    assert sent["providerSettings"] == {"bfl": {"promptUpsampling": True, "safetyTolerance": 0}}


async def test_what_was_not_said_is_not_sent(serve: Serve, ask: Make) -> None:
    assert await body_of(ask(FLUX_2, params={"checkContent": False}), serve) == {
        "positivePrompt": "a fox",
        "numberResults": 1,
    }


@pytest.mark.parametrize(
    ("card", "places"),
    [(DEV, ["seedImage"]), (GENERIC, ["seedImage"]), *((card, GUIDED) for card in (KONTEXT, FLUX_2, SEEDREAM))],
    ids=lambda value: "" if isinstance(value, list) else str(value.id),
)
async def test_pictures_go_where_the_model_takes_them(
    serve: Serve, ask: Make, picture: MakePicture, card: ModelCard, places: Sequence[str]
) -> None:
    found: object = await body_of(ask(card, images=(picture(),)), serve)
    for place in places:
        assert isinstance(found, dict)
        found = found[place]
    urls = found if isinstance(found, list) else [found]
    assert [str(url)[:27] for url in urls] == ["data:image/png;base64,iVBOR"]


async def test_a_mask_is_white_where_ours_is_transparent(serve: Serve, ask: Make, picture: MakePicture) -> None:
    sent = await body_of(ask(GENERIC, images=(picture(4, 2),), mask=picture(4, 2)), serve)
    assert str(sent["seedImage"]).startswith("data:image/png;base64,")
    mask = Image.open(io.BytesIO(base64.b64decode(str(sent["maskImage"]).partition(",")[2])))
    assert mask.mode == "L" and mask.tobytes() == bytes([255] * 8)


def test_a_uuid_is_the_same_whenever_the_attempt_is() -> None:
    first, again, other = task_uuid("job_1-0"), task_uuid("job_1-0"), task_uuid("job_1-1")
    assert first == again != other
    assert uuid.UUID(first).version == 4
    assert task_uuid("") != task_uuid("")


# -- what comes back --


@pytest.mark.parametrize(
    "data", [[], stands({"status": "processing"}), stands(picture_of(1), {"status": "processing"})]
)
async def test_a_task_that_is_not_done(serve: Serve, data: object) -> None:
    assert await Runware().check(TASK, await serve(says({"data": data}))) == TASK


async def test_what_is_told_of_other_tasks_is_not_heard(serve: Serve) -> None:
    others = {"data": [{**picture_of(1), "taskUUID": "other"}], "errors": [{"code": "invalid", "taskUUID": "other"}]}
    assert await Runware().check(TASK, await serve(says(others))) == TASK


async def test_pictures_seeds_and_cost(serve: Serve) -> None:
    data = stands(picture_of(7, cost=0.0013), picture_of(8, cost=0.00135, NSFWContent=False))
    done = await Runware().check(TASK, await serve(says({"data": data, "errors": stands({"code": "timeoutProvider"})})))
    assert isinstance(done, Done)
    assert [(raw.url, raw.seed) for raw in done.pictures] == [
        ("https://im.runware.ai/7.jpg", 7),
        ("https://im.runware.ai/8.jpg", 8),
    ]
    assert done.cost == 2_650


@pytest.mark.parametrize("cost", [None, 0, -1, 20_000, "much"])
async def test_a_cost_that_cannot_be_is_none(serve: Serve, cost: object) -> None:
    done = await Runware().check(TASK, await serve(says({"data": stands(picture_of(7, cost=cost))})))
    assert isinstance(done, Done) and done.cost is None


async def test_flagged_pictures_are_withheld(serve: Serve) -> None:
    flagged = picture_of(7, NSFWContent=True, cost=0.04)
    some = await Runware().check(TASK, await serve(says({"data": stands(flagged, picture_of(8, cost=0.04))})))
    assert isinstance(some, Done) and [raw.seed for raw in some.pictures] == [8]
    assert some.cost == 80_000
    with pytest.raises(Refused) as caught:
        await Runware().check(TASK, await serve(says({"data": stands(flagged)})))
    assert caught.value.reason == "NSFWContent" and caught.value.possibly_billed


@pytest.mark.parametrize(
    ("status", "errors", "kind"),
    [
        (200, stands({"code": "timeoutProvider", "message": f"gone {KEY}"}), Failed),
        (400, stands({"code": "timeoutProvider"}), Failed),
        (200, stands({"code": "invalidProviderContent"}), Refused),
        (400, stands({"code": "invalidProviderContent"}), Refused),
        (401, [{"code": "invalidApiKey"}], Rejected),
        (429, stands({"code": "rateLimitExceeded"}), Throttled),
        (500, stands({"code": "internalServerError"}), Failed),
        (503, [], Lost),
    ],
)
async def test_errors_of_a_task_and_of_the_question(
    serve: Serve, status: int, errors: object, kind: type[PicturaError]
) -> None:
    with pytest.raises(PicturaError) as caught:
        await Runware().check(TASK, await serve(says({"data": [], "errors": errors}, status)))
    assert type(caught.value) is kind
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "error", "kind", "config"),
    [
        (400, {"code": "invalidWidth", "parameter": "width"}, BadRequest, None),
        (400, {"code": "invalidModel", "parameter": "model"}, Rejected, True),
        (400, {"code": "invalidProviderContent"}, Refused, None),
        (401, {"code": "invalidApiKey", "message": f"no {KEY}"}, Rejected, True),
        (402, {"code": "insufficientCredits"}, Rejected, True),
        (429, {"code": "rateLimitExceeded"}, Throttled, False),
        (500, {"code": "internalServerError"}, Failed, False),
        (200, {"code": "providerError", "taskUUID": TASK.upstream_id}, Failed, False),
        (502, None, Lost, False),
        (200, None, Malformed, False),
    ],
)
async def test_errors_of_a_call(
    serve: Serve, ask: Make, status: int, error: object, kind: type[PicturaError], config: bool | None
) -> None:
    answer = {"errors": [error]} if error else {"data": []}
    found = await fault(ask(DEV, client_id="job_1-0"), await serve(says(answer, status, {"Retry-After": "7"})))
    assert type(found) is kind
    assert getattr(found, "config", None) is config
    if kind is Throttled:
        assert getattr(found, "retry_after_s", None) == 7
    if kind is BadRequest:
        assert found.param == "size"


# -- against the sandbox --


@pytest.mark.parametrize("card", Runware.MODELS, ids=CARDS)
async def test_every_card_draws(sandbox: Connect, ask: Make, picture: MakePicture, card: ModelCard) -> None:
    told = {name: getattr(option, "default", None) for name, option in card.params.items()}
    params = {name: default for name, default in told.items() if default is not None}
    images = (picture(96, 64),) if card.inputs.required else ()
    mask = picture(96, 64) if card.inputs.required and card.mask else None
    prompt = "a fox" if card.prompt.need != "none" else ""
    said = ask(
        card, images=images, mask=mask, size=fit(AUTO, card.sizes), params=params, client_id=card.id, prompt=prompt
    )
    (found,) = await pixels(await drawn(said, sandbox(SANDBOX)))
    assert found[0] == card.outputs[0]


@pytest.mark.parametrize(
    ("card", "params", "told"),
    [
        (VECTORIZE, {}, {"taskType": "vectorize", "outputFormat": "SVG", "inputs": {"image": PIXEL}}),
        (BIREFNET, {}, {"taskType": "imageBackgroundRemoval", "outputFormat": "PNG", "inputImage": PIXEL}),
        (SWINIR, {}, {"taskType": "imageUpscale", "upscaleFactor": 2, "inputImage": PIXEL}),
        (SWINIR, {"upscale_factor": 4}, {"taskType": "imageUpscale", "upscaleFactor": 4, "inputImage": PIXEL}),
    ],
    ids=lambda value: str(getattr(value, "id", "")),
)
async def test_tasks_that_want_no_prompt(
    serve: Serve,
    ask: Make,
    picture: MakePicture,
    card: ModelCard,
    params: Mapping[str, object],
    told: Mapping[str, object],
) -> None:
    noted: list[dict[str, object]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        noted.extend(json.loads(re.sub(r'"data:[^"]+"', f'"{PIXEL}"', await request.text())))
        return web.json_response({"data": [{"taskUUID": noted[0]["taskUUID"]}]})

    await Runware().start(ask(card, images=(picture(),), params=params, prompt=""), await serve(handler))
    (sent,) = noted
    del sent["taskUUID"]
    assert sent == {
        **told,
        "model": card.native,
        "outputType": "URL",
        "includeCost": True,
        "deliveryMethod": "async",
    }


@pytest.mark.parametrize(("format", "quality"), [("svg", None), ("png", None), ("jpeg", 70)])
async def test_a_quality_is_told_of_formats_that_have_one(
    serve: Serve, ask: Make, picture: MakePicture, format: str, quality: int | None
) -> None:
    noted: list[dict[str, object]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        noted.extend(await request.json())
        return web.json_response({"data": [{"taskUUID": noted[0]["taskUUID"]}]})

    card = VECTORIZE if format == "svg" else SWINIR
    said = ask(card, images=(picture(),), prompt="", output_format=format, output_compression=70)
    await Runware().start(said, await serve(handler))
    assert noted[0].get("outputQuality") == quality


@pytest.mark.parametrize(
    ("size", "factor", "expected", "cost"),
    [((64, 48), 2, (128, 96), 4_500), ((2000, 1000), 4, (4096, 2048), 4_500)],
)
async def test_an_upscaler_enlarges(
    sandbox: Connect,
    ask: Make,
    picture: MakePicture,
    size: tuple[int, int],
    factor: int,
    expected: tuple[int, int],
    cost: int,
) -> None:
    said = ask(SWINIR, images=(picture(*size),), params={"upscale_factor": factor}, prompt="", output_format="webp")
    done = await drawn(said, sandbox(SANDBOX))
    assert await pixels(done) == [("webp", *expected)]
    assert (done.cost, done.pictures[0].seed) == (cost, None)


async def test_a_factor_between_is_the_vendors_to_refuse(sandbox: Connect, ask: Make, picture: MakePicture) -> None:
    error = await fault(ask(SWINIR, images=(picture(),), params={"upscale_factor": 3}, prompt=""), sandbox(SANDBOX))
    assert isinstance(error, BadRequest) and error.param == "upscale_factor"


@pytest.mark.parametrize("card", [DEV, KONTEXT, FLUX_2, FILL, SEEDREAM], ids=lambda card: str(card.id))
async def test_edits(
    sandbox: Connect, ask: Make, picture: MakePicture, open_spools: OpenSpools, card: ModelCard
) -> None:
    images = tuple(picture(96, 64) for _ in range(card.inputs.count))
    mask = picture(96, 64) if card.mask else None
    said = ask(card, images=images, mask=mask, size=fit(AUTO, card.sizes), output_format="png")
    (found,) = await pixels(await drawn(said, sandbox(SANDBOX)))
    assert found[0] == "png"
    assert not open_spools()


@pytest.mark.parametrize(
    ("card", "size", "expected"),
    [
        (SCHNELL, "16:9", (1344, 768)),
        (DEV, "512x128", (512, 128)),
        (KONTEXT, "1392x752", (1392, 752)),
        (FLUX_2, "1008x1008", (1008, 1008)),
        (SEEDREAM, "2560x1440", (2560, 1440)),
    ],
)
async def test_sizes(sandbox: Connect, ask: Make, card: ModelCard, size: str, expected: tuple[int, int]) -> None:
    done = await drawn(ask(card, size=fit(parse(size), card.sizes)), sandbox(SANDBOX))
    assert [found[1:] for found in await pixels(done)] == [expected]


async def test_several_with_a_seed_and_their_cost(sandbox: Connect, ask: Make) -> None:
    said = ask(SCHNELL, n=3, size=parse("128x128"), params={"seed": 11})
    done = await drawn(said, sandbox(SANDBOX))
    assert [raw.seed for raw in done.pictures] == [11, 12, 13]
    assert done.cost == 3_900


@pytest.mark.parametrize(("mark", "kind"), [*TROUBLES, ("[refuse late]", Refused), ("[fault:failed]", Failed)])
async def test_faults(
    sandbox: Connect, ask: Make, open_spools: OpenSpools, mark: str, kind: type[PicturaError]
) -> None:
    said = ask(SCHNELL, prompt=f"a fox {mark}", size=parse("128x128"))
    assert type(await fault(said, sandbox(SANDBOX))) is kind
    assert not open_spools()


async def test_a_flagged_picture(sandbox: Connect, ask: Make) -> None:
    said = ask(SCHNELL, prompt="a fox [nsfw]", size=parse("128x128"), params={"checkContent": True})
    assert isinstance(await fault(said, sandbox(SANDBOX)), Refused)


async def test_a_lost_call_is_found_again_and_drawn_once(sandbox: Connect, ask: Make) -> None:
    assert Runware.dedupes
    channel = sandbox(SANDBOX)
    said = ask(SCHNELL, prompt="a fox [fault:reset]", size=parse("128x128"), client_id="job_7-0")
    with pytest.raises(Lost):
        await Runware().start(said, channel)
    again = await Runware().start(said, channel)
    assert again == Pending(upstream_id=task_uuid("job_7-0"), poll_after_s=1.0)
    assert len((await drawn(said, channel)).pictures) == 1
