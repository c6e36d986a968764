from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import partial
from typing import Literal

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec.structs import replace

from pictura.core.errors import (
    BadRequest,
    Failed,
    Lost,
    Malformed,
    PicturaError,
    Refused,
    Rejected,
    Throttled,
    Unsupported,
)
from pictura.core.media import Media
from pictura.core.model import Choice, Flag, ModelCard, Span
from pictura.core.size import AUTO, Size, fit, parse
from pictura.providers.base import Ask, Channel, Done, Pending
from pictura.providers.fal import POLL_S, Fal
from pictura.sandbox.server import Sandbox
from tests.providers.conftest import (
    KEY,
    TROUBLES,
    Connect,
    Make,
    MakePicture,
    OpenSpools,
    Serve,
    data_url,
    drawn_by,
    fault,
    files,
    followed,
    look,
    looks,
    says,
)

CARDS = {card.id: card for card in Fal.MODELS}
SCHNELL, BANANA, GPT = CARDS["fal-flux-schnell"], CARDS["fal-nano-banana-2"], CARDS["fal-gpt-image-2"]
WORLD, ULTRA = CARDS["fal-hunyuan-world"], CARDS["fal-flux-pro-1.1-ultra"]
ESRGAN, VECTORIZE = CARDS["fal-esrgan"], CARDS["fal-recraft-vectorize"]
REQUEST = "fal-ai/flux/requests/r-1"
STATE = {"status": f"/{REQUEST}/status", "response": f"/{REQUEST}", "cancel": f"/{REQUEST}/cancel"}
TASK = Pending(upstream_id="r-1", poll_after_s=POLL_S, state=STATE)

Answers = tuple[int, object]

finish, follow = partial(drawn_by, Fal()), partial(followed, Fal())


def over(result: Answers, **said: object) -> Handler:
    """A queue whose task is over, with this status and body for its result."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/status"):
            return web.json_response({"status": "COMPLETED", "logs": None, **said})
        return await says(result[1], result[0])(request)

    return handler


async def sent(serve: Serve, asked: Ask) -> tuple[str, Mapping[str, str], dict[str, object]]:
    noted: list[tuple[str, Mapping[str, str], dict[str, object]]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        noted.append((request.path, dict(request.headers), await request.json()))
        return web.json_response({"request_id": "r-1"})

    await Fal().start(asked, await serve(handler))
    return noted[0]


# -- what is sent --


async def test_an_input_in_fals_words(serve: Serve, ask: Make) -> None:
    params = {"seed": 7, "steps": 2, "guidance_scale": 2.5, "enable_safety_checker": False, "quality": "auto"}
    path, headers, body = await sent(
        serve, ask(SCHNELL, n=3, size=parse("640x512"), params=params, output_format="png")
    )
    assert path == "/v1/fal-ai/flux/schnell"
    assert headers["Authorization"] == f"Key {KEY}"
    assert body == {
        "prompt": "a fox",
        "num_images": 3,
        "image_size": {"width": 640, "height": 512},
        "output_format": "png",
        "seed": 7,
        "num_inference_steps": 2,
        "guidance_scale": 2.5,
        "enable_safety_checker": False,
    }


async def test_aspects_and_tiers(serve: Serve, ask: Make) -> None:
    path, _, body = await sent(serve, ask(BANANA, size=Size(aspect="16:9", tier="4K")))
    assert path == "/v1/fal-ai/nano-banana-2"
    assert body == {"prompt": "a fox", "num_images": 1, "aspect_ratio": "16:9", "resolution": "4K"}
    _, _, body = await sent(serve, ask(BANANA))
    assert body == {"prompt": "a fox", "num_images": 1}


async def test_edits_have_a_path_of_their_own(serve: Serve, ask: Make, picture: MakePicture) -> None:
    first, second, mask = picture(64, 48), picture(32, 32), picture(64, 48)
    path, _, body = await sent(serve, ask(GPT, images=(first,), mask=mask))
    assert path == "/v1/openai/gpt-image-2/edit"
    assert (body["image_urls"], body["mask_url"]) == ([data_url(first)], data_url(mask))
    path, _, body = await sent(serve, ask(BANANA, images=(first, second)))
    assert (path, body["image_urls"]) == ("/v1/fal-ai/nano-banana-2/edit", [data_url(first), data_url(second)])


async def test_by_convention_one_picture_goes_alone(serve: Serve, ask: Make, picture: MakePicture) -> None:
    image = picture()
    path, _, body = await sent(serve, ask(WORLD, images=(image,), output_format="png"))
    assert path == "/v1/fal-ai/hunyuan_world"
    assert body == {"prompt": "a fox", "image_url": data_url(image)}
    card = Fal().generic("somebody/app/edit")
    _, _, body = await sent(serve, ask(card, images=(image, image)))
    assert body["image_urls"] == [data_url(image)] * 2


# -- the queue --


@pytest.mark.parametrize(
    ("native", "app"),
    [
        ("fal-ai/flux/schnell", "fal-ai/flux"),
        ("somebody/app", "somebody/app"),
        ("workflows/somebody/flow/v2", "workflows/somebody/flow"),
    ],
)
async def test_a_task_is_asked_for_below_its_app(native: str, app: str, serve: Serve, ask: Make) -> None:
    channel = await serve(says({"request_id": "r/1"}))
    task = await Fal().start(ask(Fal().generic(native)), channel)
    assert isinstance(task, Pending)
    root = f"/{app}/requests/r%2F1"
    assert (task.upstream_id, task.poll_after_s) == ("r/1", POLL_S)
    assert task.state == {"status": f"{root}/status", "response": root, "cancel": f"{root}/cancel"}


async def test_urls_of_a_queue_are_taken_from_friends_only(serve: Serve, ask: Make) -> None:
    told: dict[str, object] = {}

    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"request_id": "r-1", **told})

    channel = await serve(handler)
    told.update(
        status_url=f"{channel.base_url}/fal-ai/other/requests/r-1/status",
        response_url="https://queue.falrun.com/fal-ai/flux/requests/r-1",
        cancel_url="https://queue.fal.run@evil.example/fal-ai/flux/requests/r-1/cancel",
    )
    task = await Fal().start(ask(SCHNELL), channel)
    assert isinstance(task, Pending)
    assert task.state == {
        "status": "/fal-ai/other/requests/r-1/status",
        "response": "https://queue.falrun.com/fal-ai/flux/requests/r-1",
        "cancel": "/fal-ai/flux/requests/r-1/cancel",
    }
    told.update(status_url="http://queue.fal.run/x", response_url=7, cancel_url=f"{channel.base_url}.evil/x")
    task = await Fal().start(ask(SCHNELL), channel)
    assert isinstance(task, Pending) and task.state == STATE


@pytest.mark.parametrize("word", ["IN_QUEUE", "IN_PROGRESS"])
async def test_a_task_under_way(word: str, serve: Serve) -> None:
    channel = await serve(says({"status": word, "queue_position": 3, "logs": []}, 202))
    assert await Fal().check(TASK, channel) == TASK


IMAGES = [{"url": f"https://v3.fal.media/files/{n}.png", "width": 64, "height": 48} for n in (1, 2)]


@pytest.mark.parametrize(
    ("output", "urls", "seed", "texts"),
    [
        ({"images": IMAGES, "seed": 7, "has_nsfw_concepts": [False, False]}, [1, 2], 7, ()),
        ({"images": IMAGES, "has_nsfw_concepts": [True, False], "seed": True}, [2], None, ()),
        ({"images": IMAGES[:1], "description": "A fox it is."}, [1], None, ("A fox it is.",)),
        ({"image": IMAGES[0], "description": ""}, [1], None, ()),
    ],
)
async def test_outputs(output: object, urls: list[int], seed: int | None, texts: tuple[str, ...], serve: Serve) -> None:
    done = await Fal().check(TASK, await serve(over((200, output))))
    assert isinstance(done, Done)
    assert [(raw.url, raw.seed) for raw in done.pictures] == [(IMAGES[n - 1]["url"], seed) for n in urls]
    assert done.texts == texts


async def test_pictures_inside_the_answer(serve: Serve, open_spools: OpenSpools) -> None:
    data = f"data:image/png;base64,{base64.b64encode(b'picture' * 9).decode()}"
    output = {"images": [{"url": data}, {"url": data}], "has_nsfw_concepts": [False, True]}
    done = await Fal().check(TASK, await serve(over((200, output))))
    assert isinstance(done, Done)
    (raw,) = done.pictures
    assert raw.spool is not None and raw.spool.read() == b"picture" * 9
    assert open_spools() == [raw.spool]


async def test_an_address_that_answers_at_once(serve: Serve, ask: Make) -> None:
    done = await Fal().start(ask(SCHNELL), await serve(says({"images": IMAGES, "seed": 7})))
    assert isinstance(done, Done) and len(done.pictures) == 2


async def test_cancel(serve: Serve) -> None:
    asked: list[str] = []
    told = {"status": 202}

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(f"{request.method} {request.path}")
        return web.json_response({"detail": "no", "status": "CANCELLATION_REQUESTED"}, status=told["status"])

    channel = await serve(handler)
    for status in (202, 400, 404):
        told["status"] = status
        await Fal().cancel(TASK, channel)
    assert asked == [f"PUT /v1/{REQUEST}/cancel"] * 3
    told["status"] = 401
    assert isinstance(await fault(Fal().cancel(TASK, channel)), Rejected)


# -- errors --


def details(kind: str, *loc: str) -> dict[str, object]:
    return {"detail": [{"loc": ["body", *loc], "msg": "Something is wrong.", "type": kind, "url": "", "ctx": {}}]}


AT_ONCE: list[tuple[int, object, type[PicturaError], dict[str, object]]] = [
    (422, details("content_policy_violation", "prompt"), Refused, {"possibly_billed": False, "by": "fal"}),
    (422, details("missing", "image_url"), BadRequest, {"param": "image"}),
    (422, details("less_than_equal", "image_size", "width"), BadRequest, {"param": "size"}),
    (422, details("one_of"), BadRequest, {"param": None}),
    (400, {"detail": "no", "error_type": "bad_request"}, BadRequest, {"message": "no"}),
    (401, {"detail": "no key"}, Rejected, {"config": True}),
    (403, {"detail": "User is locked."}, Rejected, {"config": True, "safe_elsewhere": True}),
    (404, {"detail": "Application not found"}, Rejected, {"config": True}),
    (429, {"detail": "slow down"}, Throttled, {"retry_after_s": 7}),
    (500, {"detail": "no", "error_type": "internal_error"}, Failed, {"safe_elsewhere": True, "possibly_billed": False}),
    (503, {"detail": "no", "error_type": "runner_scheduling_failure"}, Failed, {"possibly_billed": False}),
    (502, "<html>Bad Gateway</html>", Lost, {"possibly_billed": True}),
    (503, {"message": "Service Unavailable"}, Lost, {}),
    (404, "<html>nothing here</html>", Rejected, {}),
    (200, "<html>welcome</html>", Malformed, {}),
    (200, {}, Malformed, {}),
    (200, {"images": []}, Malformed, {}),
]


@pytest.mark.parametrize(("status", "body", "kind", "facts"), AT_ONCE)
async def test_errors_at_once(
    status: int,
    body: object,
    kind: type[PicturaError],
    facts: dict[str, object],
    serve: Serve,
    ask: Make,
    open_spools: OpenSpools,
) -> None:
    channel = await serve(says(body, status, {"Retry-After": "7"}))
    found = await fault(Fal().start(ask(SCHNELL), channel))
    assert type(found) is kind
    assert {name: getattr(found, name) for name in facts} == facts
    assert not open_spools()


FAILED = {"error": "The runner went away.", "error_type": "runner_disconnected"}
ENDED = {"possibly_billed": False, "upstream_status": None}


@pytest.mark.parametrize(
    ("result", "said", "kind", "facts"),
    [
        ((422, details("content_policy_violation")), {}, Refused, {"possibly_billed": True}),
        ((422, details("multiple_of", "image_size")), {}, BadRequest, {"param": "size"}),
        # With a status of 500 and above, the engine would ask again; a task that has failed is not asked about again.
        ((503, {"detail": "no"}), FAILED, Failed, {"message": "no", **ENDED}),
        ((502, "<html>Bad Gateway</html>"), FAILED, Failed, {"message": "The runner went away.", **ENDED}),
        ((504, details("generation_timeout")), {}, Failed, {"upstream_code": "generation_timeout", **ENDED}),
        ((500, {"detail": "no"}), {}, Failed, {"possibly_billed": True, "upstream_status": 500}),
        ((499, {"detail": "gone", "error_type": "client_cancelled"}), FAILED, Failed, {"possibly_billed": True}),
        ((200, {"images": []}), FAILED, Failed, {"upstream_code": "runner_disconnected"}),
        ((200, {"images": []}), {}, Malformed, {}),
        ((200, {"images": IMAGES, "has_nsfw_concepts": [True, True]}), {}, Refused, {"reason": "has_nsfw_concepts"}),
        ((404, {"detail": "gone"}), {}, Rejected, {}),
        ((429, {"detail": "slow down"}), {}, Throttled, {}),
        ((502, "<html>Bad Gateway</html>"), {}, Lost, {}),
    ],
)
async def test_how_a_task_may_end(
    result: Answers,
    said: Mapping[str, object],
    kind: type[PicturaError],
    facts: dict[str, object],
    serve: Serve,
    open_spools: OpenSpools,
) -> None:
    found = await fault(Fal().check(TASK, await serve(over(result, **said))))
    assert type(found) is kind
    assert {name: getattr(found, name) for name in facts} == facts
    assert not open_spools()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, {"detail": "no"}, Failed),
        (429, {"detail": "slow down"}, Throttled),
        (502, "<html>Bad Gateway</html>", Lost),
        (401, {"detail": "no key"}, Rejected),
    ],
)
async def test_a_poll_that_fails(status: int, body: object, kind: type[PicturaError], serve: Serve) -> None:
    found = await fault(Fal().check(TASK, await serve(says(body, status))))
    assert type(found) is kind
    assert found.possibly_billed or not isinstance(found, Failed)  # the task itself may well be drawn


async def test_the_kind_may_stand_in_a_header(serve: Serve, ask: Make) -> None:
    channel = await serve(says({"detail": f"{KEY} is no key"}, 504, {"X-Fal-Error-Type": "request_timeout"}))
    found = await fault(Fal().start(ask(SCHNELL), channel))
    assert isinstance(found, Failed)
    assert (found.upstream_code, found.message) == ("request_timeout", "*** is no key")


# -- against the sandbox, which is as strict as the vendor --


@pytest.fixture
def queue(sandbox: Connect) -> Channel:
    return sandbox(Fal.sandbox_path)


@pytest.mark.parametrize("card", Fal.MODELS, ids=lambda card: card.id)
async def test_every_model_draws(card: ModelCard, queue: Channel, ask: Make, picture: MakePicture) -> None:
    images = (picture(300, 300),) if card.inputs.required else ()
    said = ask(card, images=images, size=fit(AUTO, card.sizes), output_format=card.outputs[0], prompt=told(card))
    (media,) = await looks(await finish(said, queue))
    assert media.format == card.outputs[0]


def told(card: ModelCard, prompt: str = "a fox") -> str:
    return prompt if card.prompt.need != "none" else ""


@pytest.mark.parametrize("card", [card for card in Fal.MODELS if "edit" in card.modes], ids=lambda card: card.id)
async def test_every_model_that_edits_takes_all_its_pictures(
    card: ModelCard, queue: Channel, ask: Make, picture: MakePicture
) -> None:
    images = tuple(picture(300, 300) for _ in range(card.inputs.count))
    mask = picture(300, 300) if card.mask else None
    assert await looks(await finish(ask(card, images=images, mask=mask, prompt=told(card)), queue))


def extremes(card: ModelCard, end: Literal["low", "high"]) -> dict[str, object]:
    """All options of a card at one end of what it allows."""
    found: dict[str, object] = {}
    for name, option in card.params.items():
        if isinstance(option, Span):
            found[name] = int(getattr(option, end)) if option.whole else getattr(option, end)
        elif isinstance(option, Choice):
            found[name] = option.values[0 if end == "low" else -1]
        else:
            found[name] = end == "low" if isinstance(option, Flag) else "dogs"
    return found


@pytest.mark.parametrize("end", ["low", "high"])
@pytest.mark.parametrize("card", Fal.MODELS, ids=lambda card: card.id)
async def test_the_vendor_takes_what_a_card_allows(
    card: ModelCard, end: Literal["low", "high"], queue: Channel, ask: Make, picture: MakePicture
) -> None:
    """The vendor draws nothing: it refuses the prompt, where one is taken, once it has found all else valid."""
    images = (picture(300, 300),) if card.inputs.required else ()
    format, prompt = card.outputs[0 if end == "low" else -1], told(card, "[refuse]")
    said = ask(card, images=images, params=extremes(card, end), n=card.max_n, output_format=format, prompt=prompt)
    if not prompt:
        assert await looks(await finish(said, queue))
        return
    found = await fault(finish(said, queue))
    assert isinstance(found, Refused), found.message


@pytest.mark.parametrize(("params", "side"), [({"upscale_factor": 3}, 192), ({"upscale_factor": 1.5}, 96), ({}, 128)])
async def test_an_upscaler_enlarges(
    params: Mapping[str, object], side: int, queue: Channel, ask: Make, picture: MakePicture
) -> None:
    said = ask(ESRGAN, images=(picture(),), params={**params, "face": True}, prompt="", output_format="jpeg")
    assert await looks(await finish(said, queue)) == [Media("image/jpeg", side, side)]


async def test_what_the_house_could_not_deliver_is_not_asked_for(
    queue: Channel, ask: Make, picture: MakePicture
) -> None:
    image = replace(picture(), width=4000, height=3000)
    found = await fault(finish(ask(ESRGAN, images=(image,), params={"upscale_factor": 8}, prompt=""), queue))
    assert isinstance(found, Unsupported)
    assert (found.param, found.allowed) == ("upscale_factor", ("at most 2.88",))


async def test_a_vectoriser_is_told_of_its_picture_alone(serve: Serve, ask: Make, picture: MakePicture) -> None:
    image = picture()
    path, _, body = await sent(serve, ask(VECTORIZE, images=(image,), prompt="", output_format="svg"))
    assert (path, body) == ("/v1/fal-ai/recraft/vectorize", {"image_url": data_url(image)})


async def test_a_picture_too_small_for_a_vectoriser(queue: Channel, ask: Make, picture: MakePicture) -> None:
    found = await fault(finish(ask(VECTORIZE, images=(picture(256, 300),), prompt=""), queue))
    assert isinstance(found, BadRequest) and found.param == "image"


@pytest.mark.parametrize(
    ("card", "asked", "width", "height"),
    [
        (SCHNELL, "512x512", 512, 512),
        (SCHNELL, "16:9", 1365, 768),
        (BANANA, "21:9", 1564, 670),
        (BANANA, "0.5K", 512, 512),
        (GPT, "1536x1024", 1536, 1024),
        (GPT, "auto", 1024, 768),
        (ULTRA, "9:16", 1536, 2731),
    ],
)
async def test_sizes(card: ModelCard, asked: str, width: int, height: int, queue: Channel, ask: Make) -> None:
    (media,) = await looks(await finish(ask(card, size=fit(parse(asked), card.sizes)), queue))
    assert (media.width, media.height) == (width, height)


async def test_several_pictures_of_one_seed(queue: Channel, ask: Make) -> None:
    done = await finish(ask(SCHNELL, n=4, size=parse("512x512"), params={"seed": 11}), queue)
    assert len(await looks(done)) == 4
    assert {raw.seed for raw in done.pictures} == {11}


async def test_cancelled_in_the_sandbox(queue: Channel, ask: Make) -> None:
    provider = Fal()
    task = await provider.start(ask(SCHNELL, prompt="[fault:long 60]"), queue)
    assert isinstance(task, Pending)
    assert await provider.check(task, queue) == task
    await provider.cancel(task, queue)
    found = await fault(provider.check(task, queue))
    assert isinstance(found, Failed) and found.upstream_code == "client_cancelled"


async def test_a_task_outlives_its_sandbox(queue: Channel, connect: Connect, ask: Make) -> None:
    task = await Fal().start(ask(SCHNELL), queue)
    assert isinstance(task, Pending)
    assert json.dumps(task.state).count("127.0.0.1") == 0
    second = Sandbox(accepts=lambda key: key == KEY)
    channel = connect(await second.start() + Fal.sandbox_path)
    try:
        assert await looks(await follow(task, channel))
    finally:
        await second.close()


@pytest.mark.parametrize(("prompt", "kind"), [*TROUBLES, ("[refuse late]", Refused), ("[fault:failed]", Failed)])
@pytest.mark.parametrize("card", [SCHNELL, BANANA], ids=lambda card: card.id)
async def test_trouble(
    card: ModelCard, prompt: str, kind: type[PicturaError], queue: Channel, ask: Make, open_spools: OpenSpools
) -> None:
    assert type(await fault(finish(ask(card, prompt=prompt), queue))) is kind
    assert not open_spools()


async def test_dead_and_broken_pictures_are_handed_on_to_be_found(queue: Channel, ask: Make) -> None:
    done = await finish(ask(SCHNELL, prompt="[fault:expired]"), queue)
    assert await files(done) == [b""]
    done = await finish(ask(SCHNELL, prompt="[fault:truncated]"), queue)
    (broken,) = await files(done)
    with pytest.raises(AssertionError):
        look(broken)
