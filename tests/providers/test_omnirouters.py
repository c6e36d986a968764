from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec.structs import replace

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Refused, Rejected
from pictura.core.size import Size, parse
from pictura.infra.spool import Spool
from pictura.providers.base import Ask, AskPicture, Channel, Done, Pending
from pictura.providers.omnirouters import OmniRouters
from pictura.sandbox.server import Sandbox

KEY = "sk-test-0123456789"
CARDS = {card.id.removeprefix("omnirouters-"): card for card in OmniRouters.MODELS}
BANANA, GPT = CARDS["nano-banana2"], CARDS["gpt-image-2"]
GENERIC = OmniRouters().generic("GPT-image-3")
BASE64 = base64.b64encode(bytes(range(256)) * 20).decode()
TASK = Pending(upstream_id="task_a/b", poll_after_s=5)

Serve = Callable[[Handler], Awaitable[Channel]]
Make = Callable[..., Ask]
MakePicture = Callable[..., AskPicture]


def says(document: object, status: int = 200) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        if isinstance(document, str):
            return web.Response(text=document, status=status)
        return web.json_response(document, status=status)

    return handler


async def sent(asked: Ask, serve: Serve) -> Mapping[str, object]:
    noted: list[tuple[str, dict[str, object]]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        noted.append((request.path_qs, await request.json()))
        return web.json_response({"task_id": "task_1", "status": "queued"})

    begun = await OmniRouters().start(asked, await serve(handler))
    assert begun == Pending(upstream_id="task_1", poll_after_s=5)
    path, fields = noted[0]
    assert path == "/v1/images/generations?async=true"
    return fields


async def fault(channel: Channel, task: Pending = TASK) -> PicturaError:
    with pytest.raises(PicturaError) as caught:
        await OmniRouters().check(task, channel)
    return caught.value


# -- what is sent --


async def test_a_generation_in_its_words(serve: Serve, ask: Make) -> None:
    asked = ask(
        GPT,
        n=3,
        size=Size(aspect="16:9", tier="4K"),
        params={"quality": "low", "input_region": "Oversea", "style": "vivid"},
        output_format="png",
    )
    assert await sent(asked, serve) == {
        "model": "GPT-image-2",
        "prompt": "a fox",
        "n": 3,
        "aspect_ratio": "16:9",
        "resolution": "4K",
        "quality": "low",
        "input_region": "Oversea",
    }


@pytest.mark.parametrize(
    ("pixels", "aspect", "tier"),
    [
        ("1024x1024", "1:1", "1K"),
        ("1536x1024", "3:2", "1K"),
        ("3840x2160", "16:9", "4K"),
        ("2160x3840", "9:16", "4K"),
        ("4096x4096", "1:1", "4K"),
        ("1328x1472", "1:1", "1K"),
        ("3072x1024", "3:1", "2K"),
    ],
)
async def test_pixels_become_words(pixels: str, aspect: str, tier: str, serve: Serve, ask: Make) -> None:
    fields = await sent(ask(GENERIC, size=parse(pixels)), serve)
    assert (fields["aspect_ratio"], fields["resolution"]) == (aspect, tier)


async def test_pictures_go_by_url_where_they_have_one(serve: Serve, ask: Make, picture: MakePicture) -> None:
    here, there = picture(), replace(picture(), url="https://example.com/a.png")
    fields = await sent(ask(BANANA, images=(there, here)), serve)
    inline = base64.b64encode(here.source.read()).decode()
    assert fields["images"] == ["https://example.com/a.png", f"data:image/png;base64,{inline}"]


# -- what comes back --


@pytest.mark.parametrize(
    "document", [{"created": 1, "data": [{"url": "https://x.example.com/1.png"}]}, {"data": [{"b64_json": BASE64}]}]
)
async def test_a_picture_at_once(document: object, serve: Serve, ask: Make) -> None:
    done = await OmniRouters().start(ask(BANANA), await serve(says(document)))
    assert isinstance(done, Done)
    assert done.pictures[0].url or done.pictures[0].spool


async def test_neither_a_picture_nor_a_task(serve: Serve, ask: Make) -> None:
    with pytest.raises(Malformed):
        await OmniRouters().start(ask(BANANA), await serve(says({"status": "queued"})))


async def test_a_task_is_asked_about_below_the_same_path(serve: Serve) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(f"{request.method} {request.raw_path} {request.headers['Authorization']}")
        return web.json_response({"task_id": "task_a/b", "status": "in_progress"})

    assert await OmniRouters().check(TASK, await serve(handler)) == TASK
    assert asked == [f"GET /v1/images/generations/task_a%2Fb Bearer {KEY}"]


@pytest.mark.parametrize("status", ["queued", "in_progress", "unknown", "submitted", ""])
async def test_a_task_goes_on(status: str, serve: Serve) -> None:
    assert await OmniRouters().check(TASK, await serve(says({"task_id": "1", "status": status}))) == TASK


@pytest.mark.parametrize("status", ["completed", "SUCCESS", "finished"])
async def test_a_task_is_done(status: str, serve: Serve) -> None:
    item = {"url": "https://x.example.com/1.png", "b64_json": "", "revised_prompt": "a red fox"}
    done = await OmniRouters().check(TASK, await serve(says({"status": status, "data": [item]})))
    assert isinstance(done, Done)
    assert [(raw.url, raw.revised_prompt) for raw in done.pictures] == [("https://x.example.com/1.png", "a red fox")]


@pytest.mark.parametrize(
    ("status", "document", "kind", "facts"),
    [
        (200, {"status": "failed", "error": {"message": "oh"}}, Failed, {"safe_elsewhere": True, "message": "oh"}),
        (200, {"status": "failed", "message": "oh"}, Failed, {"message": "oh"}),
        (200, {"status": "failed"}, Failed, {"possibly_billed": False}),
        (200, {"status": "failed", "error": {"code": "prompt_blocked", "message": "no"}}, Refused, {}),
        (200, {"status": "failed", "error": {"code": "insufficient_user_quota"}}, Failed, {"config": True}),
        (200, {"status": "completed", "data": []}, Malformed, {}),
        (400, {"code": "task_not_exist", "message": "no", "data": None}, Failed, {"upstream_status": 400}),
        (500, {"code": "get_task_failed", "message": "no", "data": None}, Lost, {}),
        (401, {"error": {"message": "Invalid token", "type": "new_api_error", "code": ""}}, Rejected, {"config": True}),
        (200, "<html>", Lost, {}),
    ],
)
async def test_how_a_task_can_end(
    status: int,
    document: object,
    kind: type[PicturaError],
    facts: Mapping[str, object],
    serve: Serve,
    open_spools: Callable[[], list[Spool]],
) -> None:
    found = await fault(await serve(says(document, status)))
    assert type(found) is kind
    assert {name: getattr(found, name) for name in facts} == facts
    assert not open_spools()


# -- against the sandbox --


async def test_what_the_router_refuses_at_once(sandbox: Callable[[str], Channel], ask: Make) -> None:
    card = replace(GENERIC, id="Seedream:4.5")
    with pytest.raises(BadRequest) as caught:
        await OmniRouters().start(ask(card, size=Size(aspect="16:9")), sandbox(OmniRouters.sandbox_path))
    assert caught.value.param == "aspect_ratio"


async def test_a_task_outlives_its_sandbox(connect: Callable[[str], Channel], ask: Make, picture: MakePicture) -> None:
    first, second = (Sandbox(accepts=lambda key: key == KEY) for _ in range(2))
    try:
        channel = connect(await first.start() + OmniRouters.sandbox_path)
        task = await OmniRouters().start(ask(BANANA, images=(picture(),)), channel)
    finally:
        await first.close()
    try:
        channel = connect(await second.start() + OmniRouters.sandbox_path)
        while isinstance(task, Pending):
            await asyncio.sleep(0.02)
            task = await OmniRouters().check(task, channel)
    finally:
        await second.close()
    assert task.pictures[0].url


@pytest.mark.parametrize(("mark", "kind"), [("[fault:failed]", Failed), ("[refuse late]", Refused)])
async def test_a_task_that_is_accepted_and_ends_badly(
    mark: str, kind: type[PicturaError], sandbox: Callable[[str], Channel], ask: Make
) -> None:
    channel = sandbox(OmniRouters.sandbox_path)
    task = await OmniRouters().start(ask(BANANA, prompt=f"a fox {mark}"), channel)
    assert isinstance(task, Pending)
    await asyncio.sleep(0.2)
    assert type(await fault(channel, task)) is kind
