from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Mapping
from functools import partial

import msgspec
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from PIL import Image

from pictura.core.errors import (
    BadRequest,
    Failed,
    Lost,
    Malformed,
    NotSent,
    PicturaError,
    Refused,
    Rejected,
    Throttled,
)
from pictura.core.model import ModelCard
from pictura.core.size import AUTO, Size, fit, parse
from pictura.infra.http import Timeouts
from pictura.providers.base import Channel, Done, Pending
from pictura.providers.bfl import BlackForestLabs
from tests.providers.conftest import (
    KEY,
    Connect,
    Make,
    MakePicture,
    OpenSpools,
    Serve,
    drawn_by,
    fault_of,
    files,
    look,
    looks,
)

CARDS = {card.id: card for card in BlackForestLabs.MODELS}
PRO_1_1, ULTRA, KONTEXT = (CARDS[id] for id in ("flux-pro-1.1", "flux-pro-1.1-ultra", "flux-kontext-pro"))
FILL, EXPAND = (CARDS[f"flux-pro-1.0-{id}"] for id in ("fill", "expand"))
PRO, FLEX, KLEIN, FLUX_3 = (CARDS[id] for id in ("flux-2-pro", "flux-2-flex", "flux-2-klein-4b", "flux-3-image"))
POLL = "/v1/get_result?id=t-1"
SAMPLE = "https://delivery.bfl.ai/0.png"

Answer = Callable[[], web.StreamResponse]

drawn, fault = partial(drawn_by, BlackForestLabs()), partial(fault_of, BlackForestLabs())


class Seen(msgspec.Struct):
    method: str
    path: str
    key: str
    body: dict[str, object] = {}


def begun(**said: object) -> web.Response:
    return web.json_response({"id": "t-1", "polling_url": f"https://api.us1.bfl.ai{POLL}", **said})


def standing(status: str, http: int = 200, **said: object) -> web.Response:
    return web.json_response({"id": "t-1", "status": status, "result": None, **said}, status=http)


def ready(**result: object) -> web.Response:
    return standing("Ready", result={"sample": SAMPLE, **result})


def ill(detail: object, status: int, **headers: str) -> web.Response:
    return web.json_response({"detail": detail}, status=status, headers=headers)


def notes(seen: list[Seen], answer: Answer = begun) -> Handler:
    """A handler that notes what it was asked."""

    async def handler(request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        seen.append(Seen(request.method, request.path_qs, request.headers["x-key"], body))
        return answer()

    return handler


@pytest.fixture
def box(sandbox: Connect) -> Channel:
    return sandbox(BlackForestLabs.sandbox_path)


# -- against the simulator --


@pytest.mark.parametrize("card", BlackForestLabs.MODELS, ids=lambda card: card.id)
async def test_every_card_draws_at_its_default(card: ModelCard, box: Channel, ask: Make, picture: MakePicture) -> None:
    images = (picture(256, 320),) if card.inputs.required else ()
    asked = ask(card, images=images, mask=picture(256, 320) if card.mask else None, size=fit(AUTO, card.sizes))
    done = await drawn(asked, box)
    assert (await looks(done))[0].format == card.outputs[0]
    assert done.cost


@pytest.mark.parametrize("card", BlackForestLabs.MODELS, ids=lambda card: card.id)
async def test_every_card_draws_from_pictures(card: ModelCard, box: Channel, ask: Make, picture: MakePicture) -> None:
    images = tuple(picture(256, 320) for _ in range(card.inputs.count))
    asked = ask(card, images=images, operation="edit", output_format=card.outputs[-1])
    assert (await looks(await drawn(asked, box)))[0].format == card.outputs[-1]


@pytest.mark.parametrize(
    ("card", "size", "pixels"),
    [
        (PRO_1_1, "1440x256", (1440, 256)),
        (ULTRA, "16:9", (2736, 1536)),
        (KONTEXT, "9:21", (672, 1568)),
        (PRO, "2048x2048", (2048, 2048)),
        (PRO, "64x96", (64, 96)),
        (KLEIN, "3:2", (1248, 832)),
        (FLUX_3, "2k", (2048, 2048)),
        (FLUX_3, "7:5", (1216, 864)),
    ],
)
async def test_sizes(card: ModelCard, size: str, pixels: tuple[int, int], box: Channel, ask: Make) -> None:
    (media,) = await looks(await drawn(ask(card, size=fit(parse(size), card.sizes)), box))
    assert (media.width, media.height) == pixels


async def test_margins_are_painted(box: Channel, ask: Make, picture: MakePicture) -> None:
    asked = ask(EXPAND, images=(picture(256, 256),), params={"left": 20, "top": 0, "bottom": 4})
    (media,) = await looks(await drawn(asked, box))
    assert (media.width, media.height) == (276, 260)


@pytest.mark.parametrize("card", [PRO, ULTRA, FLEX], ids=lambda card: card.id)
async def test_the_edges_of_every_option_are_taken(card: ModelCard, box: Channel, ask: Make) -> None:
    spans = {"seed": 2**32 - 1, "safety_tolerance": 5, "steps": 1, "guidance_scale": 1.5, "image_prompt_strength": 1}
    flags = {"raw": True, "prompt_upsampling": True, "disable_pup": True}
    params = {name: value for name, value in {**spans, **flags}.items() if name in card.params}
    (raw,) = (await drawn(ask(card, params=params), box)).pictures
    assert raw.seed == 2**32 - 1


async def test_what_is_told_about_a_picture(box: Channel, ask: Make) -> None:
    done = await drawn(ask(PRO, params={"seed": 7}, size=Size(width=1920, height=1088)), box)
    (raw,) = done.pictures
    assert (raw.seed, raw.revised_prompt) == (7, "a fox")
    assert (done.cost, done.usage, done.echo) == (45_000, None, {})


@pytest.mark.parametrize(
    ("prompt", "kind", "facts"),
    [
        ("[refuse]", Refused, {"reason": "Request Moderated", "by": "bfl", "possibly_billed": False}),
        ("[refuse late]", Refused, {"reason": "Content Moderated", "possibly_billed": False}),
        ("[fault:failed]", Failed, {"upstream_code": "Error", "message": "Error: The prompt asked for this."}),
        ("[fault:401]", Rejected, {"config": True, "upstream_status": 403}),
        ("[fault:402]", Rejected, {"config": True, "upstream_status": 402}),
        ("[fault:429]", Throttled, {"retry_after_s": 2}),
        ("[fault:500]", Failed, {"possibly_billed": True}),
        ("[fault:502page]", Lost, {"upstream_status": 502}),
        ("[fault:reset]", Lost, {}),
        ("[fault:garbage]", Malformed, {}),
        ("[fault:empty]", Malformed, {"possibly_billed": True}),
    ],
)
async def test_what_goes_wrong(
    prompt: str,
    kind: type[PicturaError],
    facts: Mapping[str, object],
    box: Channel,
    ask: Make,
    open_spools: OpenSpools,
) -> None:
    found = await fault(ask(PRO, prompt=f"a fox {prompt}"), box)
    assert type(found) is kind
    assert {name: getattr(found, name) for name in facts} == facts
    assert not open_spools()


@pytest.mark.parametrize("mark", ["slow 0.1", "long 0.3"])
async def test_what_takes_its_time(mark: str, box: Channel, ask: Make) -> None:
    assert await looks(await drawn(ask(PRO, prompt=f"a fox [fault:{mark}]"), box))


async def test_no_answer_is_lost(box: Channel, ask: Make) -> None:
    box.timeouts = Timeouts(read_s=0.2)
    assert type(await fault(ask(PRO, prompt="a fox [fault:stall]"), box)) is Lost


async def test_broken_and_dead_files_are_handed_over(box: Channel, ask: Make) -> None:
    (broken,) = await files(await drawn(ask(PRO, prompt="a fox [fault:truncated]"), box))
    with pytest.raises(AssertionError):
        look(broken)
    assert await files(await drawn(ask(PRO, prompt="a fox [fault:expired]"), box)) == [b""]


async def test_wrong_parameters_are_the_caller_s(box: Channel, ask: Make) -> None:
    found = await fault(ask(PRO_1_1, size=Size(width=1000, height=1024)), box)
    assert isinstance(found, BadRequest) and found.param == "width"


async def test_another_key_opens_nothing(box: Channel, ask: Make) -> None:
    box.secrets = {"api_key": "other"}
    found = await fault(ask(PRO), box)
    assert isinstance(found, Rejected) and found.config


# -- what is sent --


async def test_a_generation(serve: Serve, ask: Make) -> None:
    seen: list[Seen] = []
    params = {"seed": 0, "guidance_scale": 2.5, "prompt_upsampling": False, "quality": "high"}
    asked = ask(FLEX, size=Size(width=1024, height=768), params=params, output_format="webp", client_id="job-0")
    await BlackForestLabs().start(asked, await serve(notes(seen)))
    body = {
        "prompt": "a fox",
        "width": 1024,
        "height": 768,
        "seed": 0,
        "guidance": 2.5,
        "prompt_upsampling": False,
        "output_format": "webp",
    }
    assert seen == [Seen("POST", "/v1/v1/flux-2-flex", KEY, body)]


@pytest.mark.parametrize(
    ("card", "size", "sent"),
    [
        (ULTRA, Size(aspect="21:9"), {"aspect_ratio": "21:9"}),
        (FLUX_3, Size(aspect="7:5", tier="2k"), {"aspect_ratio": "7:5", "resolution": "2k"}),
        (PRO, AUTO, {}),
    ],
)
async def test_sizes_in_words_and_nothing_that_was_not_said(
    card: ModelCard, size: Size, sent: dict[str, object], serve: Serve, ask: Make
) -> None:
    seen: list[Seen] = []
    asked = ask(card, size=size, params={"safety_tolerance": "auto"}, output_format="jpeg" if card is FLUX_3 else "")
    await BlackForestLabs().start(asked, await serve(notes(seen)))
    assert seen[0].body == {"prompt": "a fox", **sent}


@pytest.mark.parametrize(
    ("card", "names"),
    [
        (PRO, ["input_image", *(f"input_image_{number}" for number in range(2, 9))]),
        (KONTEXT, ["input_image"]),
        (PRO_1_1, ["image_prompt"]),
        (EXPAND, ["image"]),
    ],
)
async def test_pictures_go_as_bare_base64(
    card: ModelCard, names: list[str], serve: Serve, ask: Make, picture: MakePicture
) -> None:
    seen: list[Seen] = []
    images = tuple(picture(64 + number) for number in range(len(names)))
    await BlackForestLabs().start(ask(card, images=images), await serve(notes(seen)))
    encoded = [base64.b64encode(image.source.read()).decode() for image in images]
    assert seen[0].body == {"prompt": "a fox", **dict(zip(names, encoded, strict=True))}


async def test_flux_3_takes_its_pictures_in_a_list(serve: Serve, ask: Make, picture: MakePicture) -> None:
    seen: list[Seen] = []
    image = picture()
    await BlackForestLabs().start(ask(FLUX_3, images=(image, image)), await serve(notes(seen)))
    assert seen[0].body["images"] == [base64.b64encode(image.source.read()).decode()] * 2


async def test_a_mask_is_white_where_it_is_edited(serve: Serve, ask: Make, picture: MakePicture) -> None:
    seen: list[Seen] = []
    await BlackForestLabs().start(ask(FILL, images=(picture(),), mask=picture(4, 2)), await serve(notes(seen)))
    sent = Image.open(io.BytesIO(base64.b64decode(str(seen[0].body["mask"]))))
    assert sent.mode == "L" and sent.tobytes() == bytes([255] * 8)


# -- what comes back --


async def test_a_task_is_asked_about_where_bfl_says(serve: Serve, ask: Make) -> None:
    task = await BlackForestLabs().start(ask(PRO), await serve(notes([], lambda: begun(cost=4.5))))
    state = {"poll": f"https://api.us1.bfl.ai{POLL}", "cost": "45000"}
    assert task == Pending(upstream_id="t-1", poll_after_s=1.0, state=state)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("{base}/v2/get_result?id=t-1", "/v2/get_result?id=t-1"),
        ("https://api.eu4.bfl.ai/v1/get_result?id=t-1", "https://api.eu4.bfl.ai/v1/get_result?id=t-1"),
        ("http://api.eu4.bfl.ai/v1/get_result?id=t-1", POLL),
        ("https://evilbfl.ai/v1/get_result?id=t-1", POLL),
        ("https://api.bfl.ai@example.com/v1/get_result", POLL),
        ("https://api.bfl.ai.example.com/v1/get_result", POLL),
        ("{base}.example.com/v1/get_result", POLL),
        ("//api.bfl.ai/v1/get_result", POLL),
        ("https://[", POLL),
        ("", POLL),
        (None, POLL),
        (7, POLL),
    ],
)
async def test_the_key_goes_to_no_stranger(url: object, kept: str, serve: Serve, ask: Make) -> None:
    said = {"polling_url": url}
    via = await serve(notes([], lambda: begun(**said)))
    said["polling_url"] = url.format(base=via.base_url) if isinstance(url, str) else url
    task = await BlackForestLabs().start(ask(PRO), via)
    assert isinstance(task, Pending) and task.state == {"poll": kept}


async def test_an_id_stays_an_id(serve: Serve, ask: Make) -> None:
    task = await BlackForestLabs().start(ask(PRO), await serve(notes([], lambda: begun(id="a&b=/c", polling_url=None))))
    assert isinstance(task, Pending) and task.state["poll"] == "/v1/get_result?id=a%26b%3D%2Fc"


@pytest.mark.parametrize(
    ("credits", "cost"),
    [(4, 40_000), (0.1, 1_000), (0, 0), (None, None), (-1, None), (True, None), ("4", None), (1e9, None)],
)
async def test_what_it_cost(credits: object, cost: int | None, serve: Serve, ask: Make) -> None:
    answers = iter([begun(cost=credits, polling_url=None), ready()])
    assert (await drawn(ask(PRO), await serve(notes([], lambda: next(answers))))).cost == cost


ERRORS: list[tuple[object, int, type[PicturaError], Mapping[str, object]]] = [
    (
        [{"loc": ["body", "width"], "msg": "Input should be a multiple of 32", "type": "value_error"}],
        422,
        BadRequest,
        {"param": "width", "message": "Input should be a multiple of 32"},
    ),
    ([{"loc": ["body", "images", 0], "msg": "Too small"}], 422, BadRequest, {"param": "images"}),
    ([{"loc": "body", "msg": "Too small"}], 400, BadRequest, {"param": None}),
    ("Too many megapixels", 400, BadRequest, {"param": None, "message": "Too many megapixels"}),
    ("Insufficient credits", 402, Rejected, {"config": True}),
    (f"No such key: {KEY}", 403, Rejected, {"config": True, "message": "No such key: ***"}),
    ("Not Found", 404, Rejected, {"config": True, "upstream_status": 404}),
    ("Too many active tasks", 429, Throttled, {"retry_after_s": 7, "config": False}),
    ("Internal Server Error", 500, Failed, {"upstream_status": 500}),
]


@pytest.mark.parametrize(("detail", "status", "kind", "facts"), ERRORS)
async def test_errors_are_told_by_status(
    detail: object, status: int, kind: type[PicturaError], facts: Mapping[str, object], serve: Serve, ask: Make
) -> None:
    found = await fault(ask(PRO), await serve(notes([], lambda: ill(detail, status, **{"Retry-After": "7"}))))
    assert type(found) is kind
    assert {name: getattr(found, name) for name in facts} == facts


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda: web.Response(status=502, text="<html>"), Lost),
        (lambda: web.Response(status=429, text="<html>"), Throttled),
        (lambda: web.Response(status=403, text="<html>"), Rejected),
        (lambda: web.Response(text="<html>"), Malformed),
        (lambda: web.Response(), Malformed),
        (lambda: web.json_response([]), Malformed),
        (lambda: begun(id=""), Malformed),
        (lambda: begun(id=7), Malformed),
        (lambda: web.Response(body=b"\x89PNG", content_type="image/png"), Malformed),
        (lambda: ill({"msg": "?"}, 503), Lost),
        (lambda: ill([], 422), BadRequest),
    ],
)
async def test_answers_in_nobodys_words(
    answer: Answer, kind: type[PicturaError], serve: Serve, ask: Make, open_spools: OpenSpools
) -> None:
    assert type(await fault(ask(PRO), await serve(notes([], answer)))) is kind
    assert not open_spools()


PENDING = Pending(upstream_id="t-1", poll_after_s=1.0, state={"poll": POLL, "cost": "45000"})


@pytest.mark.parametrize("status", ["Pending", "Reasoning", "Generating", "Something new"])
async def test_a_task_under_way_is_asked_about_again(status: str, serve: Serve) -> None:
    seen: list[Seen] = []
    assert await BlackForestLabs().check(PENDING, await serve(notes(seen, lambda: standing(status)))) == PENDING
    assert seen == [Seen("GET", f"/v1{POLL}", KEY)]


async def test_a_task_that_is_ready(serve: Serve) -> None:
    via = await serve(notes([], lambda: ready(prompt="a red fox", seed=7)))
    done = await BlackForestLabs().check(PENDING, via)
    assert isinstance(done, Done) and done.cost == 45_000
    (raw,) = done.pictures
    assert (raw.url, raw.revised_prompt, raw.seed) == (SAMPLE, "a red fox", 7)


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (lambda: standing("Task not found"), Failed, "Task not found"),
        (lambda: standing("Failed", 422, details={"error": f"{KEY} broke"}), Failed, "Failed: *** broke"),
        (lambda: standing("Error", 503, result={"error": "Overloaded"}), Failed, "Error: Overloaded"),
        (
            lambda: standing("Content Moderated", details={"Moderation Reasons": ["Derivative", "Violence", 7]}),
            Refused,
            "Content Moderated: Derivative, Violence",
        ),
        (lambda: ready(sample=None), Malformed, None),
        (lambda: standing("Ready", result="?"), Malformed, None),
    ],
)
async def test_how_a_task_ends(answer: Answer, kind: type[PicturaError], message: str | None, serve: Serve) -> None:
    via = await serve(notes([], answer))
    with pytest.raises(kind) as caught:
        await BlackForestLabs().check(PENDING, via)
    assert message is None or caught.value.message == message
    # With one of 500 and more the engine would take it for a question that failed.
    assert getattr(caught.value, "upstream_status", None) is None


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda: ill("Too many requests", 429), Throttled),
        (lambda: ill("Not authenticated", 403), Rejected),
        (lambda: ill("Internal Server Error", 500), Lost),
        (lambda: web.Response(status=502, text="<html>"), Lost),
        (lambda: web.Response(text="?"), Lost),
        (lambda: web.json_response({"id": "t-1"}), Lost),
    ],
)
async def test_a_question_that_fails_says_nothing_about_the_task(
    answer: Answer, kind: type[PicturaError], serve: Serve, open_spools: OpenSpools
) -> None:
    via = await serve(notes([], answer))
    with pytest.raises(PicturaError) as caught:
        await BlackForestLabs().check(PENDING, via)
    assert type(caught.value) is kind
    assert not open_spools()


async def test_no_server_is_not_sent(connect: Connect, ask: Make) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    assert type(await fault(ask(PRO), connect(f"http://127.0.0.1:{port}"))) is NotSent
