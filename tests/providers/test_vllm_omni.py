from __future__ import annotations

import io
from functools import partial

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from PIL import Image

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Rejected, Throttled, Unsupported
from pictura.core.media import Media
from pictura.core.size import parse
from pictura.providers.vllm_omni import VllmOmni
from tests.providers.conftest import KEY, Connect, Make, OpenSpools, Serve, fault_of, half_mask, looks, says, shown

CARD = VllmOmni.MODELS[0]
NAMED = VllmOmni().generic("Qwen/Qwen-Image")


fault = partial(fault_of, VllmOmni())


def notes(asked: list[object]) -> Handler:
    """Keeps what it was asked: JSON, or the names and texts of a form."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.content_type == "application/json":
            asked.append(await request.json())
        else:
            form = await request.post()
            asked.append([(name, value if isinstance(value, str) else "a file") for name, value in form.items()])
        return web.json_response({"data": [{"b64_json": "Zm94"}]})

    return handler


# -- against the sandbox --


async def test_pictures_of_a_size_and_a_format(sandbox: Connect, ask: Make) -> None:
    params = {"seed": 7, "steps": 4, "true_cfg_scale": 4.0, "flow_shift": 3, "negative_prompt": "rain", "layers": 3}
    said = ask(NAMED, n=2, size=parse("64x96"), params=params, output_format="webp", output_compression=50)
    done = await VllmOmni().start(said, sandbox(VllmOmni.sandbox_path))
    assert await looks(done) == [Media("image/webp", 64, 96)] * 2
    assert done.echo == {"size": "64x96"}


async def test_an_edit_has_the_pictures_size(sandbox: Connect, ask: Make) -> None:
    images = (shown(Image.new("RGB", (96, 64))), shown(Image.new("RGB", (32, 32))))
    params = {"strength": 0.5, "steps": 4, "lora": {"name": "fox", "scale": 0.5}}
    done = await VllmOmni().start(ask(CARD, images=images, params=params), sandbox(VllmOmni.sandbox_path))
    assert await looks(done) == [Media("image/png", 96, 64)]


async def test_where_our_mask_is_transparent_it_repaints(sandbox: Connect, ask: Make) -> None:
    said = ask(CARD, images=(shown(Image.new("RGB", (64, 64), (255, 0, 0))),), mask=half_mask())
    done = await VllmOmni().start(said, sandbox(VllmOmni.sandbox_path))
    spool = done.pictures[0].spool
    assert spool is not None
    drawn = Image.open(io.BytesIO(spool.read())).convert("RGB")
    assert drawn.getpixel((3, 3)) == (255, 0, 0)
    assert drawn.getpixel((60, 3)) != (255, 0, 0)


FAULTS: dict[str, tuple[type[PicturaError], dict[str, object]]] = {
    "401": (Rejected, {"config": True}),
    "402": (Rejected, {"config": True}),
    "429": (Throttled, {"retry_after_s": 2, "message": "Too Many Requests"}),
    "500": (Failed, {"possibly_billed": False, "safe_elsewhere": True}),
    "502page": (Failed, {"possibly_billed": False}),
    "reset": (Failed, {"possibly_billed": False}),
    "failed": (Failed, {"message": "Image generation failed: CUDA out of memory."}),
    "garbage": (Malformed, {}),
    "empty": (Malformed, {"possibly_billed": False}),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_faults(name: str, sandbox: Connect, ask: Make, open_spools: OpenSpools) -> None:
    kind, facts = FAULTS[name]
    found = await fault(ask(CARD, prompt=f"[fault:{name}]"), sandbox(VllmOmni.sandbox_path))
    assert type(found) is kind
    assert {fact: getattr(found, fact) for fact in facts} == facts
    assert not open_spools()


async def test_another_model_than_is_served(sandbox: Connect, ask: Make) -> None:
    found = await fault(ask(VllmOmni().generic("missing/model")), sandbox(VllmOmni.sandbox_path))
    assert type(found) is BadRequest and "missing/model" in found.message


@pytest.mark.parametrize(("option", "editing"), [("flow_shift", True), ("strength", False)])
async def test_what_would_be_passed_over_is_refused(option: str, editing: bool, sandbox: Connect, ask: Make) -> None:
    images = (shown(Image.new("RGB", (8, 8))),) if editing else ()
    found = await fault(ask(CARD, images=images, params={option: 1}), sandbox(VllmOmni.sandbox_path))
    assert (type(found), found.param) == (Unsupported, option)


# -- what is sent --


async def test_what_was_not_said_is_not_sent(serve: Serve, ask: Make) -> None:
    asked: list[object] = []
    await VllmOmni().start(ask(CARD, params={"quality": "high"}), await serve(notes(asked)))
    assert asked == [{"prompt": "a fox", "n": 1, "response_format": "b64_json"}]


async def test_the_model_is_named_where_a_channel_names_it(serve: Serve, ask: Make) -> None:
    asked: list[object] = []
    said = ask(NAMED, params={"steps": 4}, output_format="png", output_compression=50)
    await VllmOmni().start(said, await serve(notes(asked)))
    told = {"model": "Qwen/Qwen-Image", "num_inference_steps": 4, "output_format": "png"}
    assert asked == [{"prompt": "a fox", "n": 1, "response_format": "b64_json", **told}]


@pytest.mark.parametrize(("count", "name"), [(1, "image"), (2, "image[]")])
async def test_an_edit_is_a_form(count: int, name: str, serve: Serve, ask: Make) -> None:
    asked: list[object] = []
    images = tuple(shown(Image.new("RGB", (8, 8))) for _ in range(count))
    params = {"lora": {"name": "fox"}, "strength": 0.5}
    said = ask(CARD, images=images, mask=shown(Image.new("RGBA", (8, 8))), params=params)
    await VllmOmni().start(said, await serve(notes(asked)))
    texts = [("prompt", "a fox"), ("n", "1"), ("response_format", "b64_json")]
    options = [("lora", '{"name":"fox"}'), ("strength", "0.5")]
    assert asked == [[*texts, *options, *[(name, "a file")] * count, ("mask_image", "a file")]]


async def test_a_server_without_a_key(serve: Serve, ask: Make) -> None:
    headers: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        headers.append(dict(request.headers))
        return web.json_response({"data": [{"b64_json": "Zm94"}]})

    channel = await serve(handler)
    await VllmOmni().start(ask(CARD), channel)
    channel.secrets = {}
    await VllmOmni().start(ask(CARD), channel)
    assert [found.get("Authorization") for found in headers] == [f"Bearer {KEY}", None]


# -- what comes back --


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (400, {"error": {"message": "too large", "type": "Bad Request", "code": 400}}, BadRequest, "too large"),
        (401, {"error": "Unauthorized"}, Rejected, "Unauthorized"),
        (404, {"detail": "Not Found"}, Rejected, "Not Found"),
        (422, {"error": {"message": "no image", "type": "Unprocessable Entity", "code": 422}}, BadRequest, "no image"),
        (500, {"error": {"message": "engine dead", "type": "InternalServerError", "code": 500}}, Failed, "engine dead"),
        (503, "upstream", Failed, "the server answered 503"),
        (200, {"data": [{"url": "https://example.com/1.png"}]}, Malformed, None),
        (200, {"data": "none"}, Malformed, None),
    ],
)
async def test_errors(
    status: int, body: object, kind: type[PicturaError], message: str | None, serve: Serve, ask: Make
) -> None:
    found = await fault(ask(CARD), await serve(says(body, status)))
    assert type(found) is kind
    assert message is None or found.message == message


async def test_what_nobody_asked_for_is_closed(serve: Serve, ask: Make, open_spools: OpenSpools) -> None:
    answer = {"data": [{"b64_json": "Zm94"}], "thumbnail": {"b64_json": "Zm94"}}
    done = await VllmOmni().start(ask(CARD), await serve(says(answer)))
    assert open_spools() == [done.pictures[0].spool]
    await fault(ask(CARD), await serve(says({"error": {"b64_json": "Zm94"}}, 500)))
    assert len(open_spools()) == 1


async def test_a_server_that_dies_over_it_has_billed_nobody(serve: Serve, ask: Make) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    found = await fault(ask(CARD), await serve(handler))
    assert type(found) is Failed and isinstance(found.__cause__, Lost)
    assert found.safe_elsewhere and not found.possibly_billed
