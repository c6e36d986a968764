from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, NotSent, PicturaError, Refused, Rejected, Throttled
from pictura.core.media import sniff
from pictura.core.model import ModelCard
from pictura.core.price import Usage
from pictura.core.size import Size, parse
from pictura.infra.spool import Spool
from pictura.providers.base import Ask, AskPicture, Channel, Done, Preview
from pictura.providers.openai import OpenAI

KEY = "sk-test-0123456789"
PICTURE = bytes(range(256)) * 40
BASE64 = base64.b64encode(PICTURE).decode()
CARDS = {card.id: card for card in OpenAI.MODELS}
GPT = CARDS["gpt-image-2"]
GENERIC = OpenAI().generic("house-model-7")

Serve = Callable[[Handler], Awaitable[Channel]]
Make = Callable[..., Ask]


def says(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    """A handler with one answer: JSON, or text as it stands."""

    async def handler(_request: web.Request) -> web.StreamResponse:
        if isinstance(body, str):
            return web.Response(text=body, status=status, headers=headers, content_type="text/html")
        return web.json_response(body, status=status, headers=headers)

    return handler


def notes(asked: list[tuple[str, dict[str, str], object]]) -> Handler:
    """A handler that notes what it was asked: path, headers, and JSON or the parts of a form."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.content_type == "application/json":
            body: object = await request.json()
        else:
            body = [
                (part.name, part.filename, part.headers.get("Content-Type"), bytes(await part.read()))  # type: ignore[union-attr]
                async for part in await request.multipart()
            ]
        asked.append((request.path, dict(request.headers), body))
        return web.json_response({"created": 1, "data": [{"b64_json": BASE64}]})

    return handler


async def fault(channel: Channel, asked: Ask) -> PicturaError:
    with pytest.raises(PicturaError) as caught:
        await OpenAI().start(asked, channel)
    assert KEY not in str(caught.value)
    return caught.value


def content(spool: Spool | None) -> bytes:
    assert spool is not None
    return spool.read()


# -- what is sent --


async def test_a_generation_is_json_and_carries_the_key(serve: Serve, ask: Make) -> None:
    asked: list[tuple[str, dict[str, str], object]] = []
    channel = await serve(notes(asked))
    params = {"quality": "high", "background": "transparent", "moderation": "low", "complexity": "low"}
    said = ask(GPT, n=2, size=parse("1536x1024"), params=params, output_format="webp", output_compression=80)
    await OpenAI().start(said, channel)
    path, headers, body = asked[0]
    assert path == "/v1/images/generations"
    assert headers["Authorization"] == f"Bearer {KEY}"
    told = {"size": "1536x1024", "output_format": "webp", "output_compression": 80}
    assert body == {"model": "gpt-image-2", "prompt": "a fox", "n": 2, **told, **params}


async def test_what_was_not_said_is_not_sent(serve: Serve, ask: Make) -> None:
    asked: list[tuple[str, dict[str, str], object]] = []
    await OpenAI().start(ask(GPT, params={"quality": "auto", "seed": 7}), await serve(notes(asked)))
    assert asked[0][2] == {"model": "gpt-image-2", "prompt": "a fox", "n": 1}


async def test_compression_goes_only_with_a_format_that_has_it(serve: Serve, ask: Make) -> None:
    asked: list[tuple[str, dict[str, str], object]] = []
    await OpenAI().start(ask(GPT, output_format="png", output_compression=80), await serve(notes(asked)))
    assert asked[0][2] == {"model": "gpt-image-2", "prompt": "a fox", "n": 1, "output_format": "png"}


async def test_dall_e_is_asked_for_base64_and_for_no_format(serve: Serve, ask: Make) -> None:
    asked: list[tuple[str, dict[str, str], object]] = []
    said = ask(CARDS["dall-e-3"], params={"style": "natural", "quality": "hd"}, output_format="png")
    await OpenAI().start(said, await serve(notes(asked)))
    told = {"style": "natural", "quality": "hd", "response_format": "b64_json"}
    assert asked[0][2] == {"model": "dall-e-3", "prompt": "a fox", "n": 1, **told}


async def test_aspect_and_tier_go_in_the_words_of_routers(serve: Serve, ask: Make) -> None:
    asked: list[tuple[str, dict[str, str], object]] = []
    await OpenAI().start(ask(GENERIC, size=Size(aspect="16:9", tier="4K")), await serve(notes(asked)))
    told = {"aspect_ratio": "16:9", "resolution": "4K"}
    assert asked[0][2] == {"model": "house-model-7", "prompt": "a fox", "n": 1, **told}


async def test_a_server_of_ones_own_needs_no_key(serve: Serve, ask: Make) -> None:
    asked: list[tuple[str, dict[str, str], object]] = []
    channel = await serve(notes(asked))
    channel.secrets = {}
    await OpenAI().start(ask(GENERIC), channel)
    assert "Authorization" not in asked[0][1]


async def test_an_edit_is_a_form_with_files(serve: Serve, ask: Make, picture: Callable[..., AskPicture]) -> None:
    asked: list[tuple[str, dict[str, str], object]] = []
    first, second, mask = picture(64, 48), picture(32, 32), picture(64, 48)
    said = ask(GPT, images=(first, second), mask=mask, n=3, params={"quality": "low"}, operation="edit")
    await OpenAI().start(said, await serve(notes(asked)))
    path, headers, parts = asked[0]
    assert path == "/v1/images/edits"
    assert headers["Content-Length"]
    assert parts == [
        ("model", None, None, b"gpt-image-2"),
        ("prompt", None, None, b"a fox"),
        ("n", None, None, b"3"),
        ("quality", None, None, b"low"),
        ("image[]", "image.png", "image/png", first.source.read()),
        ("image[]", "image.png", "image/png", second.source.read()),
        ("mask", "image.png", "image/png", mask.source.read()),
    ]


async def test_a_single_picture_goes_without_brackets(
    serve: Serve, ask: Make, picture: Callable[..., AskPicture]
) -> None:
    asked: list[tuple[str, dict[str, str], object]] = []
    await OpenAI().start(ask(GENERIC, images=(picture(),), params={"watermark": False}), await serve(notes(asked)))
    parts = asked[0][2]
    assert isinstance(parts, list)
    assert [part[0] for part in parts] == ["model", "prompt", "n", "watermark", "image"]
    assert parts[3][3] == b"false"


async def test_an_edit_with_moderation_is_json_because_no_form_knows_it(
    serve: Serve, ask: Make, picture: Callable[..., AskPicture]
) -> None:
    asked: list[tuple[str, dict[str, str], object]] = []
    image, mask = picture(), picture()
    await OpenAI().start(ask(GPT, images=(image,), mask=mask, params={"moderation": "low"}), await serve(notes(asked)))
    path, _, body = asked[0]
    assert path == "/v1/images/edits"
    url = {"image_url": f"data:image/png;base64,{base64.b64encode(image.source.read()).decode()}"}
    told = {"moderation": "low", "images": [url], "mask": url}
    assert body == {"model": "gpt-image-2", "prompt": "a fox", "n": 1, **told}


# -- what comes back --

ITEMS = {
    "bare": {"b64_json": BASE64},
    "data URL": {"b64_json": f"data:image/png;base64,{BASE64}"},
    "data URL for a URL": {"url": f"data:image/png;base64,{BASE64}"},
    "empty URL beside it": {"url": "", "b64_json": BASE64, "revised_prompt": ""},
    "null beside it": {"b64_json": BASE64, "url": None, "revised_prompt": None, "seed": None},
}


@pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS)
async def test_pictures_as_compatible_servers_write_them(
    item: dict[str, object], serve: Serve, ask: Make, open_spools: Callable[[], list[Spool]]
) -> None:
    done = await OpenAI().start(ask(GENERIC), await serve(says({"created": "soon", "data": [item]})))
    assert content(done.pictures[0].spool) == PICTURE
    assert done.usage is None and done.cost is None
    assert len(open_spools()) == 1


async def test_a_url_is_handed_on(serve: Serve, ask: Make) -> None:
    item = {"url": "https://files.example.com/1.png?sig=a%2Fb", "revised_prompt": "a red fox", "seed": 7}
    done = await OpenAI().start(ask(GENERIC), await serve(says({"created": 1769286389027, "data": [item]})))
    assert [(p.url, p.revised_prompt, p.seed, p.spool) for p in done.pictures] == [
        ("https://files.example.com/1.png?sig=a%2Fb", "a red fox", 7, None)
    ]


async def test_white_space_before_the_answer_is_passed_over(serve: Serve, ask: Make) -> None:
    text = " \n  " + json.dumps({"data": [{"b64_json": BASE64}], "cost": 0.004, "latency": 6942})
    done = await OpenAI().start(ask(GENERIC), await serve(says(text)))
    assert content(done.pictures[0].spool) == PICTURE
    assert done.cost == 4000


async def test_usage_and_what_was_really_drawn(serve: Serve, ask: Make) -> None:
    echo = {"size": "1024x1536", "quality": "high", "background": "opaque", "output_format": "png"}
    usage = {
        "input_tokens": 350,
        "output_tokens": 8320,
        "total_tokens": 8670,
        "input_tokens_details": {"text_tokens": 50, "image_tokens": 300, "cached_tokens": 10},
        "output_tokens_details": {"text_tokens": 20, "image_tokens": 8300},
    }
    answer = {"data": [{"b64_json": BASE64}, {"b64_json": BASE64}], **echo, "usage": usage}
    done = await OpenAI().start(ask(GPT), await serve(says(answer)))
    assert len(done.pictures) == 2
    assert done.usage == Usage(text_in=50, image_in=300, cached_in=10, text_out=20, image_out=8300)
    assert done.echo == echo


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 9, "output_tokens": 272}, Usage(text_in=9, image_out=272)),
        ({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, None),
        ({"input_tokens": -1, "output_tokens": 5}, None),
        ({"prompt_tokens": 9}, None),
        ("free", None),
    ],
)
async def test_odd_usage_never_costs_a_picture(usage: object, expected: Usage | None, serve: Serve, ask: Make) -> None:
    done = await OpenAI().start(ask(GENERIC), await serve(says({"data": [{"b64_json": BASE64}], "usage": usage})))
    assert done.usage == expected


@pytest.mark.parametrize("cost", [-1, True, "0.1", None])
async def test_odd_costs_are_none(cost: object, serve: Serve, ask: Make) -> None:
    done = await OpenAI().start(ask(GENERIC), await serve(says({"data": [{"b64_json": BASE64}], "cost": cost})))
    assert done.cost is None


async def test_broken_base64_is_marked(serve: Serve, ask: Make) -> None:
    done = await OpenAI().start(ask(GPT), await serve(says({"data": [{"b64_json": BASE64[:-3] + "!!!"}]})))
    assert done.pictures[0].flaw


# -- errors --

ERRORS: list[tuple[int, dict[str, object], type[PicturaError], dict[str, object]]] = [
    (400, {"code": "moderation_blocked", "type": "image_generation_user_error"}, Refused, {"possibly_billed": False}),
    (400, {"code": "content_policy_violation"}, Refused, {"by": "openai", "reason": "content_policy_violation"}),
    (500, {"code": "moderation_blocked"}, Refused, {"status": 400}),
    (429, {"code": "insufficient_quota", "type": "insufficient_quota"}, Rejected, {"config": True}),
    (400, {"code": "billing_hard_limit_reached"}, Rejected, {"config": True}),
    (403, {"code": "insufficient_user_quota"}, Rejected, {"config": True}),
    (503, {"code": "model_not_found"}, Rejected, {"config": True, "possibly_billed": False}),
    (429, {"code": "rate_limit_exceeded", "type": "requests"}, Throttled, {"config": False, "retry_after_s": 7}),
    (401, {"code": "invalid_api_key"}, Rejected, {"config": True, "upstream_status": 401}),
    (402, {"type": "payment_required"}, Rejected, {"config": True}),
    (403, {}, Rejected, {"config": True}),
    (404, {}, Rejected, {"config": True, "safe_elsewhere": True}),
    (409, {}, Rejected, {"config": False}),
    (400, {"code": "invalid_value", "param": "size"}, BadRequest, {"param": "size"}),
    (422, {"param": 7}, BadRequest, {"param": None}),
    (500, {"type": "server_error"}, Failed, {"possibly_billed": True, "upstream_code": "server_error"}),
    (503, {"code": "overloaded"}, Failed, {"upstream_status": 503, "safe_elsewhere": False}),
    (200, {"type": "internal_error"}, Failed, {"possibly_billed": True}),
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
    body = {"error": {"message": "Something is wrong.", **error}}
    found = await fault(await serve(says(body, status, {"Retry-After": "7"})), ask(GPT))
    assert type(found) is kind
    assert found.message == "Something is wrong."
    assert {name: getattr(found, name) for name in facts} == facts


async def test_the_words_of_a_message_decide_nothing(serve: Serve, ask: Make) -> None:
    message = "Your request was rejected by the safety system: insufficient_quota, moderation_blocked."
    found = await fault(await serve(says({"error": {"message": message}}, 400)), ask(GPT))
    assert type(found) is BadRequest


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": "No such thing."}, "No such thing."),
        ({"detail": "No such thing."}, "No such thing."),
        ({"code": 17, "message": "No such thing."}, "No such thing."),
        ({"error": {"message": None}}, "the provider gave no reason"),
    ],
)
async def test_errors_in_other_shapes(body: object, message: str, serve: Serve, ask: Make) -> None:
    found = await fault(await serve(says(body, 400)), ask(GPT))
    assert (type(found), found.message) == (BadRequest, message)


async def test_messages_are_trimmed_and_hold_no_key(serve: Serve, ask: Make) -> None:
    message = f"Incorrect API key provided: {KEY}. You wrote sk-proj-****************wxyz.\n" + "Really. " * 200
    found = await fault(await serve(says({"error": {"message": message}}, 401)), ask(GPT))
    assert found.message.startswith("Incorrect API key provided: ***. You wrote ***")
    assert "wxyz" not in found.message
    assert len(found.message) == 500


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (502, "<html>Bad Gateway</html>", Lost),
        (504, "", Lost),
        (524, {"title": "A timeout occurred", "status": 524}, Lost),
        (503, {"message": "Service Unavailable"}, Lost),
        (404, "<html>nothing here</html>", Rejected),
        (429, "slow down", Throttled),
        (302, "", Rejected),
        (200, "<html>welcome</html>", Malformed),
        (200, "", Malformed),
        (200, {"data": []}, Malformed),
        (200, {"data": None}, Malformed),
        (200, {"data": [{"url": ""}, "nonsense"]}, Malformed),
        (200, ["nonsense"], Malformed),
        (200, {"data": [{"url": "pictura-cut:0"}]}, Malformed),
    ],
)
async def test_answers_in_nobodys_words(
    status: int, body: object, kind: type[PicturaError], serve: Serve, ask: Make
) -> None:
    assert type(await fault(await serve(says(body, status)), ask(GPT))) is kind


async def test_nothing_stays_open_after_an_error(
    serve: Serve, ask: Make, spools: list[Spool], open_spools: Callable[[], list[Spool]]
) -> None:
    answer = {"error": {"message": "no", "b64_json": BASE64}}
    await fault(await serve(says(answer, 500)), ask(GPT))
    assert spools and not open_spools()


async def test_what_nobody_asked_for_is_closed(
    serve: Serve, ask: Make, spools: list[Spool], open_spools: Callable[[], list[Spool]]
) -> None:
    answer = {"data": [{"b64_json": BASE64}], "thumbnail": {"b64_json": BASE64}}
    done = await OpenAI().start(ask(GENERIC), await serve(says(answer)))
    assert len(spools) == 2
    assert open_spools() == [done.pictures[0].spool]


async def test_no_server_is_not_sent(connect: Callable[[str], Channel], ask: Make) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    assert type(await fault(connect(f"http://127.0.0.1:{port}/v1"), ask(GPT))) is NotSent


async def test_a_server_that_hangs_up_has_perhaps_billed(serve: Serve, ask: Make) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    assert type(await fault(await serve(handler), ask(GPT))) is Lost


# -- streams --


def streams(*events: Told) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        fields = await request.json()
        assert (fields["stream"], fields["partial_images"]) == (True, 2)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for name, data in events:
            text = data if isinstance(data, str) else json.dumps({"type": name, **data})
            await response.write(f"event: {name}\ndata: {text}\n\n".encode())
        await response.write_eof()
        return response

    return handler


async def collect(stream: AsyncIterator[Preview | Done]) -> list[Preview | Done]:
    return [news async for news in stream]


Told = tuple[str, dict[str, object] | str]
PARTIAL: Told = ("image_generation.partial_image", {"b64_json": BASE64, "partial_image_index": 1})
COMPLETED: Told = (
    "image_generation.completed",
    {"b64_json": BASE64, "size": "1024x1024", "usage": {"input_tokens": 4, "output_tokens": 296}},
)


async def test_previews_come_before_the_picture(serve: Serve, ask: Make) -> None:
    channel = await serve(streams(PARTIAL, ("keepalive", {}), COMPLETED, ("end", "[DONE]")))
    preview, done = await collect(OpenAI().stream(ask(GPT, partial_images=2), channel))
    assert isinstance(preview, Preview) and isinstance(done, Done)
    assert (preview.index, content(preview.spool)) == (1, PICTURE)
    assert content(done.pictures[0].spool) == PICTURE
    assert done.usage == Usage(text_in=4, image_out=296)
    assert done.echo == {"size": "1024x1024"}


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([PARTIAL], Lost),
        ([("end", "[DONE]")], Lost),
        ([("image_generation.completed", {"b64_json": ""})], Malformed),
        ([("image_generation.completed", "{nonsense")], Malformed),
        ([("error", {"error": {"code": "moderation_blocked", "message": "no"}})], Refused),
        ([("error", {"code": "server_error", "message": "oh", "param": None})], Failed),
        ([("message", {"error": {"code": "insufficient_quota", "message": "no"}})], Rejected),
    ],
)
async def test_streams_that_end_badly(events: list[Told], kind: type[PicturaError], serve: Serve, ask: Make) -> None:
    with pytest.raises(PicturaError) as caught:
        await collect(OpenAI().stream(ask(GPT, partial_images=2), await serve(streams(*events))))
    assert type(caught.value) is kind


async def test_a_server_without_streams_just_answers(serve: Serve, ask: Make) -> None:
    channel = await serve(says({"data": [{"b64_json": BASE64}]}))
    (done,) = await collect(OpenAI().stream(ask(GENERIC), channel))
    assert isinstance(done, Done)
    assert content(done.pictures[0].spool) == PICTURE


async def test_an_error_instead_of_a_stream(serve: Serve, ask: Make) -> None:
    channel = await serve(says({"error": {"message": "no", "code": "moderation_blocked"}}, 400))
    with pytest.raises(Refused):
        await collect(OpenAI().stream(ask(GPT), channel))


async def test_a_stream_can_be_left_early(serve: Serve, ask: Make) -> None:
    channel = await serve(streams(PARTIAL, COMPLETED))
    stream = OpenAI().stream(ask(GPT, partial_images=2), channel)
    assert isinstance(stream, AsyncGenerator)
    async with aclosing(stream):
        async for news in stream:
            assert isinstance(news, Preview)
            break


# -- against the sandbox, which is as strict as the vendor --


@pytest.mark.parametrize("card", OpenAI.MODELS, ids=lambda card: card.id)
async def test_every_model_draws_in_the_sandbox(card: ModelCard, sandbox: Callable[[str], Channel], ask: Make) -> None:
    said = ask(card, size=parse("1024x1024"), output_format=card.outputs[0])
    done = await OpenAI().start(said, sandbox(OpenAI.sandbox_path))
    spool = done.pictures[0].spool
    assert spool is not None
    media = sniff(spool.read, spool.size)
    assert (media.format, media.width, media.height) == ("png", 1024, 1024)


@pytest.mark.parametrize("params", [{"quality": "low"}, {"moderation": "low"}], ids=["form", "JSON"])
async def test_an_edit_with_a_mask_in_the_sandbox(
    params: dict[str, object],
    sandbox: Callable[[str], Channel],
    ask: Make,
    picture: Callable[..., AskPicture],
) -> None:
    said = ask(GPT, images=(picture(), picture()), mask=picture(), params=params, size=parse("1024x1024"))
    done = await OpenAI().start(said, sandbox(OpenAI.sandbox_path))
    assert done.pictures[0].spool is not None
    assert done.usage is not None and done.usage.image_in


async def test_an_edit_streams_in_the_sandbox(
    sandbox: Callable[[str], Channel], ask: Make, picture: Callable[..., AskPicture]
) -> None:
    said = ask(GPT, images=(picture(),), partial_images=2, size=parse("1024x1024"))
    news = await collect(OpenAI().stream(said, sandbox(OpenAI.sandbox_path)))
    assert [type(item) for item in news] == [Preview, Preview, Done]


async def test_the_sandbox_refuses_in_the_vendors_words(sandbox: Callable[[str], Channel], ask: Make) -> None:
    found = await fault(sandbox(OpenAI.sandbox_path), ask(GPT, prompt="[refuse]"))
    assert isinstance(found, Refused)
    assert found.reason == "moderation_blocked"
