from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import partial

import pytest
from aiohttp import ClientSession, web
from PIL import Image

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Refused, Rejected, Throttled
from pictura.core.model import ModelCard
from pictura.core.size import AUTO, fit, parse
from pictura.infra.spool import Spool
from pictura.providers.base import Ask, AskPicture, Channel, Done, Pending
from pictura.providers.dashscope import SLOWEST_POLL_S, DashScope
from tests.providers.conftest import (
    KEY,
    Connect,
    Make,
    OpenSpools,
    Serve,
    drawn_by,
    fault_of,
    followed,
    looks,
    says,
    shown,
)

CARDS = {card.id: card for card in DashScope.MODELS}
MAX, PLUS, EDIT = CARDS["qwen-image-max"], CARDS["qwen-image-plus"], CARDS["qwen-image-edit-plus"]
QWEN_3, WAN_2_6, WAN_2_7 = CARDS["qwen-image-3.0"], CARDS["wan2.6-t2i"], CARDS["wan2.7-image-pro"]
URL = "https://dashscope-result-bj.oss-cn-beijing.aliyuncs.com/1.png?Expires=1"
TASK = Pending(upstream_id="t-1", poll_after_s=1.0)


draw, finish, fault = partial(drawn_by, DashScope()), partial(followed, DashScope()), partial(fault_of, DashScope())


def opaque(width: int = 400, height: int = 400) -> AskPicture:
    """An input without alpha, as Wan wants them."""
    return shown(Image.new("RGB", (width, height)))


@pytest.fixture
def via(sandbox: Connect) -> Channel:
    return sandbox(DashScope.sandbox_path)


def message(*content: Mapping[str, object]) -> dict[str, object]:
    return {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": content}}]}


# -- against the sandbox, which is as strict as the vendor --


@pytest.mark.parametrize("card", DashScope.MODELS, ids=lambda card: card.id)
async def test_every_model_draws_at_its_default(card: ModelCard, via: Channel, ask: Make) -> None:
    images = (opaque(),) if "generate" not in card.modes else ()
    done = await draw(ask(card, images=images, size=fit(AUTO, card.sizes)), via)
    (media,) = await looks(done)
    assert media.format == "png"
    # Only what is told about a picture can be checked; the older protocol tells no size.
    assert done.echo.get("size", f"{media.width}x{media.height}") == f"{media.width}x{media.height}"


@pytest.mark.parametrize(
    ("model", "wanted", "drawn"),
    [
        ("qwen-image-plus", "4:3", "1472x1104"),
        ("qwen-image-plus", "1472x1140", "1472x1140"),
        ("qwen-image-max", "16:9", "1664x928"),
        ("qwen-image-max", "1000x800", "1000x800"),
        ("qwen-image-2.0", "2K", "2048x2048"),
        ("qwen-image-2.0", "4:3", "1184x880"),
        ("qwen-image-3.0-pro", "1:8", "362x2896"),
        ("wan2.6-t2i", "16:9", "1700x956"),
        ("wan2.6-t2i", "1696x960", "1696x960"),
        ("wan2.7-image", "1K", "1024x1024"),
        ("wan2.7-image-pro", "4K", "4096x4096"),
        ("wan2.7-image-pro", "1280x720", "1280x720"),
    ],
)
async def test_sizes_of_every_kind(model: str, wanted: str, drawn: str, via: Channel, ask: Make) -> None:
    card = CARDS[model]
    kind = "tier" if wanted.endswith("K") else "aspect" if ":" in wanted else "size"
    done = await draw(ask(card, size=fit(parse(wanted, kind), card.sizes)), via)
    (media,) = await looks(done)
    assert f"{media.width}x{media.height}" == drawn


async def test_several_pictures_of_several(via: Channel, ask: Make) -> None:
    images = (opaque(400, 400), opaque(600, 300))
    for card in (EDIT, CARDS["qwen-image-2.0-pro"], QWEN_3, CARDS["wan2.6-image"], WAN_2_7):
        done = await draw(ask(card, images=images, n=2, operation="edit"), via)
        urls = {raw.url for raw in done.pictures}
        assert len(urls) == 2
        _, media = await looks(done)
        assert media.width == pytest.approx(2 * media.height, rel=0.03)


@pytest.mark.parametrize("card", [MAX, PLUS, WAN_2_7], ids=lambda card: card.id)
async def test_a_seed_says_which_picture(card: ModelCard, via: Channel, ask: Make) -> None:
    async def picture(seed: int) -> bytes:
        done = await draw(ask(card, params={"seed": seed}, size=parse("1328x1328")), via)
        async with ClientSession() as http, http.get(done.pictures[0].url) as answer:
            return await answer.read()

    first, again, other = [await picture(seed) for seed in (7, 7, 8)]
    assert first == again != other


async def test_the_older_protocol_tells_how_it_understood(via: Channel, ask: Make) -> None:
    done = await draw(ask(PLUS, params={"negative_prompt": "red", "prompt_extend": True}), via)
    assert "a fox" in done.pictures[0].revised_prompt
    done = await draw(ask(PLUS, params={"prompt_extend": False}), via)
    assert done.pictures[0].revised_prompt == ""


async def test_texts_between_pictures(via: Channel, ask: Make) -> None:
    params = {"enable_interleave": True, "max_images": 2}
    done = await draw(ask(CARDS["wan2.6-image"], images=(opaque(),), params=params), via)
    assert len(done.pictures) == len(done.texts) == 2


async def test_models_without_a_card(via: Channel, ask: Make) -> None:
    for model, images in (
        ("wan2.2-t2i-flash", ()),
        ("wan2.5-i2i-preview", (opaque(),)),
        ("qwen-image-2.0-pro-2026-06-22", (opaque(),)),
    ):
        done = await draw(ask(DashScope().generic(model), images=images), via)
        assert len(done.pictures) == 1


@pytest.mark.parametrize(
    ("mark", "kind", "facts"),
    [
        ("[refuse]", Refused, {"reason": "DataInspectionFailed", "by": "dashscope", "possibly_billed": False}),
        ("[refuse late]", Refused, {"reason": "DataInspectionFailed", "possibly_billed": False}),
        ("[fault:401]", Rejected, {"config": True, "upstream_code": "InvalidApiKey"}),
        ("[fault:402]", Rejected, {"config": True, "upstream_code": "Arrearage"}),
        ("[fault:429]", Throttled, {"retry_after_s": 2, "upstream_code": "Throttling.RateQuota"}),
        ("[fault:500]", Failed, {"safe_elsewhere": True, "upstream_status": 500}),
        ("[fault:502page]", Lost, {"possibly_billed": True}),
        ("[fault:reset]", Lost, {"possibly_billed": True}),
        ("[fault:garbage]", Malformed, {"possibly_billed": True}),
        ("[fault:empty]", Malformed, {"possibly_billed": True}),
    ],
)
@pytest.mark.parametrize("card", [MAX, PLUS, WAN_2_6], ids=lambda card: card.id)
async def test_faults(
    mark: str, kind: type[PicturaError], facts: dict[str, object], card: ModelCard, via: Channel, ask: Make
) -> None:
    found = await fault(ask(card, prompt=f"a fox {mark}"), via)
    assert type(found) is kind
    assert {name: getattr(found, name) for name in facts} == facts


@pytest.mark.parametrize("card", [PLUS, WAN_2_6], ids=lambda card: card.id)
async def test_a_task_that_fails_costs_nothing(card: ModelCard, via: Channel, ask: Make) -> None:
    found = await fault(ask(card, prompt="[fault:failed]"), via)
    assert type(found) is Failed
    assert (found.upstream_code, found.safe_elsewhere, found.possibly_billed) == ("InternalError.Algo", True, False)


async def test_what_only_the_running_task_finds_wrong_is_the_callers_fault(via: Channel, ask: Make) -> None:
    assert type(await fault(ask(WAN_2_7, params={"color_palette": []}), via)) is BadRequest


async def test_pictures_that_are_gone_or_broken_are_handed_on(via: Channel, ask: Make) -> None:
    done = await draw(ask(PLUS, prompt="[fault:expired]"), via)
    async with ClientSession() as http, http.get(done.pictures[0].url) as answer:
        assert answer.status == 404
    done = await draw(ask(MAX, prompt="[fault:truncated][fault:slow 0.01]"), via)
    assert done.pictures[0].url


async def test_a_task_is_cancelled_as_long_as_it_waits(via: Channel, ask: Make) -> None:
    task = await DashScope().start(ask(WAN_2_6, prompt="[fault:long 600]"), via)
    assert isinstance(task, Pending)
    await DashScope().cancel(task, via)
    with pytest.raises(Failed) as caught:
        await DashScope().check(task, via)
    assert (caught.value.upstream_code, caught.value.possibly_billed) == ("CANCELED", False)


async def test_a_task_that_is_done_is_not_cancelled(via: Channel, ask: Make) -> None:
    task = await DashScope().start(ask(WAN_2_6, size=parse("1280x1280")), via)
    assert isinstance(task, Pending)
    await finish(task, via)
    await DashScope().cancel(task, via)
    assert isinstance(await DashScope().check(task, via), Done)


async def test_a_task_that_nobody_knows_may_have_been_billed(via: Channel) -> None:
    with pytest.raises(Failed) as caught:
        await DashScope().check(TASK, via)
    assert (caught.value.upstream_code, caught.value.possibly_billed) == ("UNKNOWN", True)


# -- what goes out --


async def sent(ask: Ask, serve: Serve, secrets: Mapping[str, str] | None = None) -> tuple[web.Request, object]:
    seen: list[tuple[web.Request, object]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request, await request.json()))
        return web.json_response({"output": {**message({"image": URL}), "task_id": "t-1"}})

    channel = await serve(handler)
    channel.secrets = {**channel.secrets, **(secrets or {})}
    await DashScope().start(ask, channel)
    return seen[0]


async def test_what_is_sent_at_once(serve: Serve, ask: Make) -> None:
    images = (opaque(), opaque())
    params = {"seed": 7, "negative_prompt": "red", "prompt_extend": False, "quality": "auto"}
    said = ask(EDIT, images=images, n=3, size=parse("1024x768"), params=params)
    request, body = await sent(said, serve, {"workspace": "ws-1"})
    assert request.path == "/v1/services/aigc/multimodal-generation/generation"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["X-DashScope-WorkSpace"] == "ws-1"
    assert "X-DashScope-Async" not in request.headers
    url = f"data:image/png;base64,{base64.b64encode(images[0].source.read()).decode()}"
    assert body == {
        "model": "qwen-image-edit-plus",
        "input": {"messages": [{"role": "user", "content": [{"image": url}, {"image": url}, {"text": "a fox"}]}]},
        "parameters": {
            "n": 3,
            "size": "1024*768",
            "watermark": False,
            "seed": 7,
            "negative_prompt": "red",
            "prompt_extend": False,
        },
    }


@pytest.mark.parametrize("model", ["qwen-image-3.0-pro", "wan2.6-t2i", "wan2.7-image"])
async def test_what_is_sent_by_task(model: str, serve: Serve, ask: Make) -> None:
    request, body = await sent(ask(CARDS[model], params={"watermark": True, "negative_prompt": ""}), serve)
    assert request.path == "/v1/services/aigc/image-generation/generation"
    assert request.headers["X-DashScope-Async"] == "enable"
    assert "X-DashScope-WorkSpace" not in request.headers
    assert body == {
        "model": model,
        "input": {"messages": [{"role": "user", "content": [{"text": "a fox"}]}]},
        "parameters": {"n": 1, "watermark": True},
    }


async def test_what_is_sent_in_the_older_way(serve: Serve, ask: Make) -> None:
    request, body = await sent(ask(PLUS, params={"negative_prompt": "red"}, size=parse("1328x1328")), serve)
    assert request.path == "/v1/services/aigc/text2image/image-synthesis"
    assert body == {
        "model": "qwen-image-plus",
        "input": {"prompt": "a fox", "negative_prompt": "red"},
        "parameters": {"n": 1, "size": "1328*1328", "watermark": False},
    }
    card = DashScope().generic("wan2.5-i2i-preview")
    request, body = await sent(ask(card, images=(opaque(),), size=parse("2K", "tier")), serve)
    assert request.path == "/v1/services/aigc/image2image/image-synthesis"
    assert isinstance(body, dict)
    assert list(body["input"]) == ["prompt", "images"]
    assert body["parameters"] == {"n": 1, "size": "2K", "watermark": False}


# -- what comes back --


@pytest.mark.parametrize(
    ("usage", "echo"),
    [
        ({"image_count": 1, "width": 1664, "height": 928}, {"size": "1664x928"}),
        ({"output_width": 2048, "output_height": 1024, "output_image_count": 1}, {"size": "2048x1024"}),
        ({"image_count": 1, "size": "1280*1280", "total_tokens": 0}, {"size": "1280x1280"}),
        ({"image_count": 0, "size": "0*0"}, {}),
        ({"width": "wide", "height": 3}, {}),
        ("free", {}),
        (None, {}),
    ],
)
async def test_the_size_that_was_drawn(usage: object, echo: dict[str, str], serve: Serve, ask: Make) -> None:
    document = {"output": message({"image": URL, "type": "image"}), "usage": usage}
    done = await draw(ask(MAX), await serve(says(document)))
    assert [raw.url for raw in done.pictures] == [URL]
    assert done.echo == echo
    assert done.usage is None and done.cost is None


async def test_what_came_of_a_task_that_half_failed(serve: Serve) -> None:
    failed = {"code": "InternalError.Timeout", "message": "Too slow."}
    output = {"task_status": "SUCCEEDED", "results": [{"url": URL, "actual_prompt": "a red fox"}, failed]}
    done = await DashScope().check(TASK, await serve(says({"output": output})))
    assert isinstance(done, Done)
    assert [(raw.url, raw.revised_prompt) for raw in done.pictures] == [(URL, "a red fox")]


# -- errors --

ERRORS: list[tuple[int, dict[str, object], type[PicturaError], dict[str, object]]] = [
    (400, {"code": "DataInspectionFailed"}, Refused, {"reason": "DataInspectionFailed"}),
    (200, {"code": "DataInspectionFailed"}, Refused, {"by": "dashscope", "possibly_billed": False}),
    (400, {"code": "IPInfringementSuspect"}, Refused, {"reason": "IPInfringementSuspect"}),
    (400, {"code": "CustomRoleBlocked"}, Refused, {}),
    (400, {"code": "InvalidParameter"}, BadRequest, {}),
    (400, {"code": "InvalidParameter.DataInspection"}, BadRequest, {}),
    (200, {"code": "InvalidParameter"}, BadRequest, {}),
    (400, {"code": "BadRequest.InputDownloadFailed"}, BadRequest, {}),
    (400, {"code": "SomethingNew"}, BadRequest, {}),
    (400, {"code": "Arrearage"}, Rejected, {"config": True, "safe_elsewhere": True}),
    (401, {"code": "InvalidApiKey"}, Rejected, {"config": True, "upstream_status": 401}),
    (403, {"code": "AccessDenied.Unpurchased"}, Rejected, {"config": True}),
    (403, {"code": "Model.AccessDenied"}, Rejected, {"config": True}),
    (403, {"code": "AllocationQuota.FreeTierOnly"}, Rejected, {"config": True}),
    (404, {"code": "ModelNotFound"}, Rejected, {"config": True}),
    (404, {"code": "NotFound"}, Rejected, {"config": True}),
    (429, {"code": "PostpaidBillOverdue"}, Rejected, {"config": True}),
    (429, {"code": "Throttling"}, Throttled, {"config": False, "retry_after_s": 7}),
    (429, {"code": "Throttling.AllocationQuota"}, Throttled, {"retry_after_s": 7}),
    (429, {"code": "LimitRequests"}, Throttled, {"retry_after_s": 7}),
    (500, {"code": "InternalError.Algo"}, Failed, {"possibly_billed": False, "safe_elsewhere": True}),
    (503, {"code": "ModelUnavailable"}, Failed, {"possibly_billed": False}),
    (504, {"code": "GatewayTimeout"}, Failed, {"possibly_billed": True}),
    (408, {"code": "RequestTimeOut"}, Failed, {"possibly_billed": True}),
    (200, {"code": "SystemError"}, Failed, {"possibly_billed": False}),
]


@pytest.mark.parametrize(("status", "error", "kind", "facts"), ERRORS)
async def test_errors_are_told_by_code_and_status(
    status: int,
    error: dict[str, object],
    kind: type[PicturaError],
    facts: dict[str, object],
    serve: Serve,
    ask: Make,
) -> None:
    document = {"request_id": "r-1", "message": f"No: {KEY}.", **error}
    found = await fault(ask(MAX), await serve(says(document, status, {"Retry-After": "7"})))
    assert type(found) is kind
    assert found.message == "No: ***."
    assert {name: getattr(found, name) for name in facts} == facts


async def test_the_words_of_a_message_decide_nothing(serve: Serve, ask: Make) -> None:
    document = {"code": "InvalidParameter", "message": "DataInspectionFailed, Throttling, Arrearage"}
    assert type(await fault(ask(MAX), await serve(says(document, 400)))) is BadRequest


@pytest.mark.parametrize(
    ("status", "document", "kind"),
    [
        (200, "<html>welcome</html>", Malformed),
        (200, {}, Malformed),
        (200, [], Malformed),
        (200, {"output": None}, Malformed),
        (200, {"output": message({"text": "no"})}, Malformed),
        (200, {"output": message({"image": "oss://1.png"})}, Malformed),
        (200, {"output": {"choices": [{"message": {"content": "no"}}]}}, Malformed),
        (200, {"output": message({"image": "pictura-cut:0"})}, Malformed),
        (302, "", Rejected),
        (404, "<html>nothing here</html>", Rejected),
        (404, {"error": "nothing here"}, Rejected),
        (502, {"error": "bad gateway"}, Lost),
        (504, "", Lost),
    ],
)
@pytest.mark.parametrize("card", [MAX, WAN_2_6], ids=["at once", "by task"])
async def test_answers_in_nobodys_words(
    status: int, document: object, kind: type[PicturaError], card: ModelCard, serve: Serve, ask: Make
) -> None:
    assert type(await fault(ask(card), await serve(says(document, status)))) is kind


# -- polling --


async def news(document: object, serve: Serve, status: int = 200, task: Pending = TASK) -> Done | Pending:
    return await DashScope().check(task, await serve(says(document, status, {"Retry-After": "7"})))


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "SUSPENDED", "DREAMING"])
async def test_it_asks_again_and_more_and_more_slowly(state: str, serve: Serve) -> None:
    task, pauses = TASK, []
    for _ in range(4):
        outcome = await news({"output": {"task_id": "t-1", "task_status": state}}, serve, task=task)
        assert isinstance(outcome, Pending)
        task = outcome
        pauses.append(task.poll_after_s)
    assert pauses == [2, 4, 8, SLOWEST_POLL_S]
    assert task.upstream_id == "t-1"


@pytest.mark.parametrize(
    ("output", "kind", "facts"),
    [
        ({"code": "DataInspectionFailed"}, Refused, {"possibly_billed": False}),
        ({"code": "IPInfringementSuspect"}, Refused, {"reason": "IPInfringementSuspect"}),
        ({"code": "InvalidParameter", "message": "The size is not match."}, BadRequest, {}),
        ({"code": "InternalError.Timeout"}, Failed, {"safe_elsewhere": True}),
        ({"code": "Throttling.RateQuota"}, Failed, {"safe_elsewhere": True, "config": False}),
        ({"code": "Arrearage"}, Failed, {"safe_elsewhere": True, "config": True}),
        ({}, Failed, {"safe_elsewhere": True, "upstream_code": ""}),
    ],
)
async def test_a_task_that_failed(
    output: dict[str, object], kind: type[PicturaError], facts: dict[str, object], serve: Serve
) -> None:
    with pytest.raises(PicturaError) as caught:
        await news({"output": {"task_id": "t-1", "task_status": "FAILED", **output}}, serve)
    assert type(caught.value) is kind
    assert {name: getattr(caught.value, name) for name in facts} == facts


@pytest.mark.parametrize(
    ("results", "kind"),
    [
        ([{"code": "DataInspectionFailed"}, {"code": "InternalError"}], Refused),
        ([{"code": "InternalError", "message": "Oh."}], Failed),
        ([{"code": "Throttling"}], Failed),
        ([], Malformed),
    ],
)
async def test_a_task_that_succeeded_without_a_picture(
    results: list[object], kind: type[PicturaError], serve: Serve
) -> None:
    with pytest.raises(PicturaError) as caught:
        await news({"output": {"task_status": "SUCCEEDED", "results": results}}, serve)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("status", "document", "kind"),
    [
        (429, {"code": "Throttling.RateQuota"}, Throttled),
        (401, {"code": "InvalidApiKey"}, Rejected),
        (500, {"code": "InternalError"}, Lost),
        (504, {"code": "GatewayTimeout"}, Lost),
        (502, "<html>bad gateway</html>", Lost),
        (200, "<html>please wait</html>", Lost),
        (200, {"code": "InternalError"}, Failed),
        (400, {"code": "InvalidParameter"}, Lost),
        (400, {"code": "DataInspectionFailed"}, Refused),
    ],
)
async def test_a_question_that_fails_says_nothing_of_the_task(
    status: int, document: object, kind: type[PicturaError], serve: Serve
) -> None:
    with pytest.raises(PicturaError) as caught:
        await news(document, serve, status)
    assert type(caught.value) is kind
    assert caught.value.possibly_billed is (kind in (Failed, Lost))
    if kind is Throttled:
        assert isinstance(caught.value, Throttled) and caught.value.retry_after_s == 7


async def test_a_task_keeps_to_its_place(serve: Serve) -> None:
    paths: list[tuple[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        paths.append((request.method, request.raw_path))
        return web.json_response({"output": {"task_status": "RUNNING"}})

    channel = await serve(handler)
    task = Pending(upstream_id="../t?1")
    await DashScope().check(task, channel)
    await DashScope().cancel(task, channel)
    assert paths == [("GET", "/v1/tasks/..%2Ft%3F1"), ("POST", "/v1/tasks/..%2Ft%3F1/cancel")]


async def test_nothing_stays_open(serve: Serve, ask: Make, spools: list[Spool], open_spools: OpenSpools) -> None:
    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b"\x89PNG", content_type="image/png")

    channel = await serve(handler)
    for card in (MAX, WAN_2_6):
        with pytest.raises(Malformed):
            await DashScope().start(ask(card), channel)
    with pytest.raises(Lost):
        await DashScope().check(TASK, channel)
    await DashScope().cancel(TASK, channel)
    assert len(spools) == 4 and not open_spools()
