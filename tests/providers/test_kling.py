from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from functools import partial

import msgspec
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

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
    Unsupported,
)
from pictura.core.model import ModelCard
from pictura.core.size import AUTO, Size, fit, parse
from pictura.infra.http import Timeouts
from pictura.providers.base import Channel, Done, Pending
from pictura.providers.kling import Kling
from pictura.sandbox.base import SECRET
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
    followed,
    look,
    looks,
)

CARDS = {card.id: card for card in Kling.MODELS}
OMNI, V3, V2_1, V1_5 = (CARDS[id] for id in ("kling-v3-omni", "kling-v3-image", "kling-v2-1", "kling-v1-5"))
TASK = {"task_id": "844", "task_status": "submitted", "task_info": {}, "created_at": 1, "updated_at": 1}

drawn, follow, fault = partial(drawn_by, Kling()), partial(followed, Kling()), partial(fault_of, Kling())


class Seen(msgspec.Struct):
    method: str
    path: str
    bearer: str
    body: dict[str, object] = {}


def well(**data: object) -> web.Response:
    return web.json_response({"code": 0, "message": "SUCCEED", "request_id": "r", "data": {**TASK, **data}})


def ill(code: int, status: int, message: str = "Something is wrong.", **headers: str) -> web.Response:
    return web.json_response({"code": code, "message": message, "request_id": "r"}, status=status, headers=headers)


def notes(seen: list[Seen], *answers: Callable[[], web.Response]) -> Handler:
    """A handler that notes what it was asked, and gives these answers in turn; afterwards, a task."""
    script = list(answers)

    async def handler(request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        seen.append(Seen(request.method, request.path, request.headers["Authorization"].removeprefix("Bearer "), body))
        return script.pop(0)() if script else well()

    return handler


def keyed(channel: Channel) -> Channel:
    channel.secrets = {"access_key": KEY, "secret_key": SECRET}
    return channel


@pytest.fixture
def box(sandbox: Connect) -> Channel:
    return keyed(sandbox(Kling.sandbox_path))


# -- against the simulator --


@pytest.mark.parametrize("card", Kling.MODELS, ids=lambda card: card.id)
async def test_every_card_draws_at_its_default(card: ModelCard, box: Channel, ask: Make, picture: MakePicture) -> None:
    images = (picture(320, 300),) if card.inputs.required else ()
    done = await drawn(ask(card, images=images, size=fit(AUTO, card.sizes), client_id="job-0"), box)
    assert len(await looks(done)) == 1


@pytest.mark.parametrize("card", Kling.MODELS, ids=lambda card: card.id)
async def test_every_card_draws_from_a_picture(card: ModelCard, box: Channel, ask: Make, picture: MakePicture) -> None:
    images = tuple(picture(320, 300) for _ in range(card.inputs.count))
    assert (await drawn(ask(card, images=images, operation="edit"), box)).pictures[0].url


@pytest.mark.parametrize(
    ("card", "size", "pixels"),
    [
        (OMNI, "16:9", (1360, 768)),
        (OMNI, "2k", (2048, 2048)),
        (V3, "1024x1024", (1024, 1024)),
        (V2_1, "9:16", (768, 1360)),
    ],
)
async def test_sizes(card: ModelCard, size: str, pixels: tuple[int, int], box: Channel, ask: Make) -> None:
    (media,) = await looks(await drawn(ask(card, size=fit(parse(size), card.sizes)), box))
    assert (media.width, media.height) == pixels


async def test_several_pictures_and_what_they_cost(box: Channel, ask: Make) -> None:
    done = await drawn(ask(V2_1, n=3), box)
    assert len(done.pictures) == 3
    assert done.cost == 3 * 14_000
    assert (done.usage, done.echo) == (None, {})


@pytest.mark.parametrize("amount", [3, "auto"])
async def test_a_series(amount: object, box: Channel, ask: Make) -> None:
    done = await drawn(ask(OMNI, params={"result_type": "series", "series_amount": amount}), box)
    assert len(done.pictures) == (4 if amount == "auto" else amount)


@pytest.mark.parametrize(
    ("prompt", "kind", "facts"),
    [
        ("[refuse]", Refused, {"reason": "1301", "by": "kling", "possibly_billed": False}),
        ("[refuse late]", Failed, {"upstream_code": "failed", "message": "Failure to pass the risk control system"}),
        ("[fault:failed]", Failed, {"possibly_billed": True}),
        ("[fault:401]", Rejected, {"config": True, "upstream_code": "1002"}),
        ("[fault:402]", Rejected, {"config": True, "upstream_code": "1102", "upstream_status": 429}),
        ("[fault:429]", Throttled, {"retry_after_s": 2, "upstream_code": "1302"}),
        ("[fault:500]", Failed, {"upstream_code": "5000"}),
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
    found = await fault(ask(OMNI, prompt=f"a fox {prompt}", client_id="job-0"), box)
    assert type(found) is kind
    assert {name: getattr(found, name) for name in facts} == facts
    assert not open_spools()


@pytest.mark.parametrize("mark", ["slow 0.1", "long 0.3"])
async def test_what_takes_its_time(mark: str, box: Channel, ask: Make) -> None:
    assert len(await looks(await drawn(ask(V3, prompt=f"a fox [fault:{mark}]"), box))) == 1


async def test_no_answer_is_lost(box: Channel, ask: Make) -> None:
    box.timeouts = Timeouts(read_s=0.2)
    assert type(await fault(ask(V3, prompt="a fox [fault:stall]"), box)) is Lost


async def test_broken_and_dead_files_are_handed_over(box: Channel, ask: Make) -> None:
    (broken,) = await files(await drawn(ask(V3, prompt="a fox [fault:truncated]"), box))
    with pytest.raises(AssertionError):
        look(broken)
    assert await files(await drawn(ask(V3, prompt="a fox [fault:expired]"), box)) == [b""]


async def test_a_repeat_looks_before_it_asks_again(serve: Serve, ask: Make) -> None:
    """Nobody says that Kling refuses an id that it knows, and a second task would be paid."""
    seen: list[str] = []

    async def knows(request: web.Request) -> web.Response:
        seen.append(request.method)
        return web.json_response({"code": 0, "data": {"task_id": "870", "task_status": "submitted"}})

    channel = await serve(knows)
    channel.secrets = {"access_key": "a", "secret_key": "b"}
    task = await Kling().start(ask(V3, client_id="job-0", repeated=True), channel)
    assert (task.upstream_id, seen) == ("870", ["GET"])


async def test_a_repeat_finds_the_first(box: Channel, ask: Make) -> None:
    first = await Kling().start(ask(V3, client_id="job-0"), box)
    again = await Kling().start(ask(V3, client_id="job-0"), box)
    assert isinstance(first, Pending) and again == first


async def test_wrong_parameters_are_the_caller_s(box: Channel, ask: Make, picture: MakePicture) -> None:
    asked = ask(V3, images=(picture(320, 300),), params={"negative_prompt": "blur"}, client_id="job-0")
    assert type(await fault(asked, box)) is BadRequest


async def test_another_secret_opens_nothing(box: Channel, ask: Make) -> None:
    box.secrets = {"access_key": KEY, "secret_key": "other"}
    found = await fault(ask(V3), box)
    assert isinstance(found, Rejected) and (found.config, found.upstream_code) == (True, "1002")


# -- what is sent --


async def test_a_generation(serve: Serve, ask: Make) -> None:
    seen: list[Seen] = []
    params = {"negative_prompt": "blur", "watermark": False, "quality": "high", "element_list": [{"element_id": 7}]}
    asked = ask(V3, n=2, size=Size(aspect="16:9", tier="2k"), params=params, client_id="job-0")
    task = await Kling().start(asked, keyed(await serve(notes(seen))))
    assert seen[0].path == "/v1/v1/images/generations"
    assert seen[0].body == {
        "model_name": "kling-v3",
        "prompt": "a fox",
        "n": 2,
        "aspect_ratio": "16:9",
        "resolution": "2k",
        "negative_prompt": "blur",
        "element_list": [{"element_id": 7}],
        "watermark_info": {"enabled": False},
        "external_task_id": "job-0",
    }
    state = {"path": "/v1/images/generations", "field": "url"}
    assert task == Pending(upstream_id="844", poll_after_s=3.0, state=state)


async def test_what_was_not_said_is_not_sent(serve: Serve, ask: Make) -> None:
    seen: list[Seen] = []
    await Kling().start(ask(V2_1, params={"image_reference": "auto"}), keyed(await serve(notes(seen))))
    assert seen[0].body == {"model_name": "kling-v2-1", "prompt": "a fox", "n": 1}


@pytest.mark.parametrize(
    ("card", "count", "path", "field"),
    [
        (V3, 1, "generations", "image"),
        (V2_1, 1, "generations", "image"),
        (V2_1, 2, "multi-image2image", "subject_image_list"),
        (OMNI, 2, "omni-image", "image_list"),
    ],
)
async def test_pictures_go_as_bare_base64(
    card: ModelCard, count: int, path: str, field: str, serve: Serve, ask: Make, picture: MakePicture
) -> None:
    seen: list[Seen] = []
    images = tuple(picture(300 + number, 300) for number in range(count))
    await Kling().start(ask(card, images=images), keyed(await serve(notes(seen))))
    encoded = [base64.b64encode(image.source.read()).decode() for image in images]
    entries = {
        "image": encoded[0],
        "subject_image_list": [{"subject_image": text} for text in encoded],
        "image_list": [{"image": text} for text in encoded],
    }
    assert seen[0].path == f"/v1/v1/images/{path}"
    assert seen[0].body[field] == entries[field]


@pytest.mark.parametrize(("said", "sent"), [({}, "subject"), ({"image_reference": "face"}, "face")])
async def test_v1_5_is_told_what_its_picture_is_for(
    said: dict[str, object], sent: str, serve: Serve, ask: Make, picture: MakePicture
) -> None:
    seen: list[Seen] = []
    await Kling().start(ask(V1_5, images=(picture(300, 300),), params=said), keyed(await serve(notes(seen))))
    assert seen[0].body["image_reference"] == sent


async def test_options_of_one_input_are_refused_with_several(serve: Serve, ask: Make, picture: MakePicture) -> None:
    seen: list[Seen] = []
    asked = ask(V2_1, images=(picture(), picture()), params={"negative_prompt": "blur", "watermark": True})
    found = await fault(asked, keyed(await serve(notes(seen))))
    assert isinstance(found, Unsupported) and found.param == "negative_prompt"
    assert not seen


async def test_every_call_is_signed_anew(serve: Serve, ask: Make) -> None:
    seen: list[Seen] = []
    await Kling().start(ask(V3), keyed(await serve(notes(seen))))
    text, _, signature = seen[0].bearer.rpartition(".")
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in text.split("."))
    assert header == {"alg": "HS256", "typ": "JWT"}
    assert claims["iss"] == KEY
    assert claims["nbf"] < time.time() < claims["exp"] == claims["nbf"] + 1805
    expected = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(signature + "==") == expected


async def test_the_newer_kind_of_key_is_sent_as_it_is(serve: Serve, ask: Make) -> None:
    seen: list[Seen] = []
    channel = await serve(notes(seen))
    channel.secrets = {"access_key": "a", "secret_key": "s", "api_key": "k-123"}
    await Kling().start(ask(V3), channel)
    assert seen[0].bearer == "k-123"


# -- what comes back --


@pytest.mark.parametrize(
    "answer", [lambda: ill(1201, 400), lambda: web.Response(status=504), lambda: web.Response(text="?")]
)
async def test_a_call_without_a_good_answer_is_looked_for(
    answer: Callable[[], web.Response], serve: Serve, ask: Make
) -> None:
    seen: list[Seen] = []
    task = await Kling().start(ask(OMNI, client_id="job-0"), keyed(await serve(notes(seen, answer, well))))
    assert [(call.method, call.path) for call in seen] == [
        ("POST", "/v1/v1/images/omni-image"),
        ("GET", "/v1/v1/images/omni-image/job-0"),
    ]
    assert isinstance(task, Pending) and task.upstream_id == "844"


async def test_what_is_not_found_stays_what_it_was(serve: Serve, ask: Make) -> None:
    channel = keyed(await serve(notes([], lambda: web.Response(status=504), lambda: ill(1203, 404))))
    with pytest.raises(Lost):
        await Kling().start(ask(OMNI, client_id="job-0"), channel)


async def test_without_an_id_nothing_can_be_looked_for(serve: Serve, ask: Make) -> None:
    seen: list[Seen] = []
    with pytest.raises(BadRequest):
        await Kling().start(ask(OMNI), keyed(await serve(notes(seen, lambda: ill(1201, 400)))))
    assert len(seen) == 1


CODES: list[tuple[int, int, type[PicturaError], Mapping[str, object]]] = [
    *((code, 401, Rejected, {"config": True, "upstream_code": str(code)}) for code in range(1000, 1005)),
    *((code, 429, Rejected, {"config": True, "upstream_status": 429}) for code in (1100, 1101, 1102, 1304)),
    (1103, 403, Rejected, {"config": True}),
    (1200, 400, BadRequest, {}),
    (1202, 404, Rejected, {"config": True}),
    (1203, 404, Rejected, {"config": True}),
    (1300, 400, Refused, {"reason": "1300"}),
    (1301, 400, Refused, {"reason": "1301", "possibly_billed": False}),
    (1302, 429, Throttled, {"retry_after_s": 7, "config": False}),
    (1303, 429, Throttled, {"retry_after_s": 7}),
    (5000, 500, Failed, {"possibly_billed": True}),
    (5001, 503, Failed, {"upstream_status": 503}),
    (5002, 504, Failed, {"upstream_code": "5002"}),
    (9999, 200, Failed, {"upstream_code": "9999"}),
    (9999, 418, Rejected, {"config": False}),
]


@pytest.mark.parametrize(("code", "status", "kind", "facts"), CODES)
async def test_errors_are_told_by_code(
    code: int, status: int, kind: type[PicturaError], facts: Mapping[str, object], serve: Serve, ask: Make
) -> None:
    headers = {"Retry-After": "7"}
    found = await fault(ask(V3), keyed(await serve(notes([], lambda: ill(code, status, **headers)))))
    assert type(found) is kind
    assert found.message == "Something is wrong."
    assert {name: getattr(found, name) for name in facts} == facts


async def test_the_words_of_a_message_decide_nothing_and_hold_no_key(serve: Serve, ask: Make) -> None:
    message = f"content security policy; arrears; your key {KEY} and secret {SECRET}"
    found = await fault(ask(V3), keyed(await serve(notes([], lambda: ill(1201, 400, message)))))
    assert (type(found), found.message) == (BadRequest, "content security policy; arrears; your key *** and secret ***")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda: web.Response(status=502, text="<html>"), Lost),
        (lambda: web.Response(status=403, text="<html>"), Rejected),
        (lambda: web.Response(text="<html>"), Malformed),
        (lambda: web.Response(), Malformed),
        (lambda: web.json_response([]), Malformed),
        (lambda: web.json_response({"code": "0"}), Malformed),
        (lambda: well(task_id=""), Malformed),
        (lambda: web.Response(body=b"\x89PNG", content_type="image/png"), Malformed),
    ],
)
async def test_answers_in_nobodys_words(
    answer: Callable[[], web.Response],
    kind: type[PicturaError],
    serve: Serve,
    ask: Make,
    open_spools: OpenSpools,
) -> None:
    assert type(await fault(ask(V3), keyed(await serve(notes([], answer))))) is kind
    assert not open_spools()


STATE = {"path": "/v1/images/omni-image", "field": "url"}
PENDING = Pending(upstream_id="844", poll_after_s=3.0, state=STATE)


@pytest.mark.parametrize("status", ["submitted", "processing", "something new"])
async def test_a_task_under_way_is_asked_about_again(status: str, serve: Serve) -> None:
    seen: list[Seen] = []
    via = keyed(await serve(notes(seen, lambda: well(task_status=status))))
    assert await Kling().check(PENDING, via) == PENDING
    assert (seen[0].method, seen[0].path) == ("GET", "/v1/v1/images/omni-image/844")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda: ill(1303, 429), Throttled),
        (lambda: ill(1004, 401), Rejected),
        (lambda: ill(5000, 500), Lost),
        (lambda: ill(1201, 400), Lost),
        (lambda: ill(1301, 400), Lost),
        (lambda: web.Response(text="?"), Lost),
        (lambda: web.Response(status=502), Lost),
    ],
)
async def test_a_question_that_fails_says_nothing_about_the_task(
    answer: Callable[[], web.Response], kind: type[PicturaError], serve: Serve
) -> None:
    via = keyed(await serve(notes([], answer)))
    with pytest.raises(PicturaError) as caught:
        await Kling().check(PENDING, via)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("units", "cost"), [("8", 28_000), ("0.5", 1_750), ("0", None), ("", None), (8, None), ("-1", None), (None, None)]
)
async def test_what_it_cost(units: object, cost: int | None, serve: Serve) -> None:
    images = [{"index": 0, "url": "https://cdn.example.com/0.png"}, {"url": ""}, "nonsense"]
    answer = well(task_status="succeed", task_result={"images": images}, final_unit_deduction=units)
    done = await Kling().check(PENDING, keyed(await serve(notes([], lambda: answer))))
    assert isinstance(done, Done)
    assert [raw.url for raw in done.pictures] == ["https://cdn.example.com/0.png"]
    assert done.cost == cost


@pytest.mark.parametrize("watermark", [True, False])
async def test_with_a_watermark_the_marked_picture_is_taken(watermark: bool, serve: Serve, ask: Make) -> None:
    image = {"index": 0, "url": "https://cdn.example.com/0.png", "watermark_url": "https://cdn.example.com/w.png"}
    finished = well(task_status="succeed", task_result={"images": [image]})
    via = keyed(await serve(notes([], well, lambda: finished)))
    done = await drawn(ask(V3, params={"watermark": watermark}), via)
    assert done.pictures[0].url == image["watermark_url" if watermark else "url"]


async def test_success_without_a_picture_is_malformed(serve: Serve) -> None:
    via = keyed(await serve(notes([], lambda: well(task_status="succeed"))))
    with pytest.raises(Malformed):
        await Kling().check(PENDING, via)


async def test_no_server_is_not_sent(connect: Connect, ask: Make) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    assert type(await fault(ask(V3, client_id="job-0"), keyed(connect(f"http://127.0.0.1:{port}")))) is NotSent
