from __future__ import annotations

import base64
import io
from functools import partial

import msgspec
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from PIL import Image

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, NotSent, PicturaError, Rejected, Throttled
from pictura.core.media import sniff
from pictura.core.size import parse
from pictura.providers.a1111 import A1111
from tests.providers.conftest import Connect, Make, OpenSpools, Serve, fault_of, half_mask, opened, says, shown

CARD = A1111.MODELS[0]
NAMED = A1111().generic("xl/fox.safetensors [0011223344]")

fault = partial(fault_of, A1111())


def notes(bodies: list[dict[str, object]], headers: list[dict[str, str]] | None = None) -> Handler:
    """Keeps what it was asked."""

    async def handler(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.json())
        if headers is not None:
            headers.append(dict(request.headers))
        return web.json_response({"images": ["Zm94"], "info": "{}"})

    return handler


# -- against the sandbox --


async def test_pictures_have_the_size_and_their_seeds(sandbox: Connect, ask: Make) -> None:
    params = {"seed": 7, "steps": 9, "guidance_scale": 3.5, "sampler_name": "DPM++ 2M", "scheduler": "Karras"}
    asked = ask(CARD, n=2, size=parse("64x96"), params=params)
    done = await A1111().start(asked, sandbox(A1111.sandbox_path))
    assert [raw.seed for raw in done.pictures] == [7, 8]
    assert [image.size for image in await opened(done)] == [(64, 96), (64, 96)]


async def test_a_model_by_its_title(sandbox: Connect, ask: Make) -> None:
    assert (await A1111().start(ask(NAMED), sandbox(A1111.sandbox_path))).pictures


async def test_another_checkpoint_than_was_asked_for_is_no_answer(
    sandbox: Connect, ask: Make, open_spools: OpenSpools
) -> None:
    found = await fault(ask(A1111().generic("missing.safetensors")), sandbox(A1111.sandbox_path))
    assert type(found) is Rejected and found.config
    assert "sandbox-v1" in found.message
    assert not open_spools()


@pytest.mark.parametrize(
    ("given", "asked", "drawn"),
    [
        ((96, 64), "", (96, 64)),
        ((30, 50), "", (32, 48)),
        ((3000, 1500), "", (1448, 728)),
        ((96, 64), "64x64", (64, 64)),
    ],
)
async def test_an_edit_has_the_size_asked_for_or_the_pictures_own(
    given: tuple[int, int],
    asked: str,
    drawn: tuple[int, int],
    sandbox: Connect,
    ask: Make,
) -> None:
    said = ask(CARD, images=(shown(Image.new("RGB", given)),), size=parse(asked))
    done = await A1111().start(said, sandbox(A1111.sandbox_path))
    assert [image.size for image in await opened(done)] == [drawn]


async def test_where_our_mask_is_transparent_it_repaints(sandbox: Connect, ask: Make) -> None:
    image = shown(Image.new("RGB", (64, 64), (255, 0, 0)))
    done = await A1111().start(ask(CARD, images=(image,), mask=half_mask()), sandbox(A1111.sandbox_path))
    (drawn,) = await opened(done)
    assert drawn.getpixel((3, 3)) == (255, 0, 0)
    assert drawn.getpixel((60, 3)) != (255, 0, 0)


FAULTS: dict[str, tuple[type[PicturaError], dict[str, object]]] = {
    "401": (Rejected, {"config": True}),
    "402": (Rejected, {"config": True}),
    "429": (Throttled, {"retry_after_s": 2}),
    "500": (Failed, {"possibly_billed": False, "safe_elsewhere": True}),
    "502page": (Failed, {"possibly_billed": False, "upstream_status": 502}),
    "reset": (Failed, {"possibly_billed": False, "safe_elsewhere": True}),
    "failed": (Failed, {"message": "CUDA out of memory."}),
    "garbage": (Malformed, {}),
    "empty": (Malformed, {"possibly_billed": False}),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_faults(name: str, sandbox: Connect, ask: Make, open_spools: OpenSpools) -> None:
    kind, facts = FAULTS[name]
    found = await fault(ask(CARD, prompt=f"[fault:{name}]"), sandbox(A1111.sandbox_path))
    assert type(found) is kind
    assert {fact: getattr(found, fact) for fact in facts} == facts
    assert not open_spools()


async def test_a_truncated_picture_is_handed_on_as_it_came(sandbox: Connect, ask: Make) -> None:
    done = await A1111().start(ask(CARD, prompt="[fault:truncated]"), sandbox(A1111.sandbox_path))
    spool = done.pictures[0].spool
    assert spool is not None and sniff(spool.read, spool.size).width == 512


async def test_what_the_server_says_of_the_callers_fault(sandbox: Connect, ask: Make) -> None:
    found = await fault(ask(CARD, params={"sampler_name": "Brush"}), sandbox(A1111.sandbox_path))
    assert (type(found), found.message) == (BadRequest, "Sampler not found")
    found = await fault(ask(CARD, size=parse("9000x8")), sandbox(A1111.sandbox_path))
    assert (type(found), found.message) == (BadRequest, "width: Expected `int` <= 8192")


async def test_a_prompt_is_never_refused(sandbox: Connect, ask: Make) -> None:
    assert (await A1111().start(ask(CARD, prompt="[refuse]"), sandbox(A1111.sandbox_path))).pictures


# -- what is sent --


async def test_what_was_not_said_is_not_sent(serve: Serve, ask: Make) -> None:
    bodies: list[dict[str, object]] = []
    await A1111().start(ask(CARD, params={"sampler_name": "", "quality": "high"}), await serve(notes(bodies)))
    assert bodies == [{"prompt": "a fox", "n_iter": 1}]


async def test_an_inpainting_as_the_web_page_does_it(serve: Serve, ask: Make) -> None:
    bodies: list[dict[str, object]] = []
    image, mask = shown(Image.new("RGB", (64, 64))), half_mask()
    said = ask(NAMED, images=(image,), mask=mask, params={"strength": 0.4, "seed": -1})
    await A1111().start(said, await serve(notes(bodies)))
    (body,) = bodies
    assert isinstance(body["mask"], str) and isinstance(body["init_images"], list)
    sent = Image.open(io.BytesIO(base64.b64decode(body["mask"].removeprefix("data:image/png;base64,"))))
    assert (sent.mode, sent.getpixel((3, 3)), sent.getpixel((60, 3))) == ("L", 0, 255)
    assert {name: body[name] for name in body if name not in ("mask", "init_images")} == {
        "prompt": "a fox",
        "n_iter": 1,
        "denoising_strength": 0.4,
        "seed": -1,
        "override_settings": {"sd_model_checkpoint": "xl/fox.safetensors [0011223344]"},
        "width": 64,
        "height": 64,
        "resize_mode": 1,
        "inpainting_fill": 1,
        "inpaint_full_res": False,
    }


@pytest.mark.parametrize(
    ("secrets", "header"),
    [
        ({}, None),
        ({"api_key": "token"}, "Bearer token"),
        ({"username": "fox", "password": "hen", "api_key": "token"}, "Basic Zm94Omhlbg=="),
    ],
)
async def test_how_a_locked_server_is_opened(
    secrets: dict[str, str], header: str | None, serve: Serve, ask: Make
) -> None:
    headers: list[dict[str, str]] = []
    channel = await serve(notes([], headers))
    channel.secrets = secrets
    await A1111().start(ask(CARD), channel)
    assert headers[0].get("Authorization") == header


# -- what comes back --


def told(**info: object) -> str:
    return msgspec.json.encode(info).decode()


@pytest.mark.parametrize(
    ("images", "info", "found"),
    [
        (["Z3JpZA==", "YQ==", "Yg=="], told(index_of_first_image=1, all_seeds=[7, 8]), [(b"a", 7), (b"b", 8)]),
        (["YQ==", "Yg==", "bWFw"], told(all_seeds=[7, 8]), [(b"a", 7), (b"b", 8)]),
        (["YQ=="], told(all_seeds=[7, 8]), [(b"a", 7)]),
        (["YQ==", "Yg=="], "not JSON", [(b"a", None), (b"b", None)]),
        (["YQ==", None], None, [(b"a", None)]),
    ],
    ids=["a grid before", "a map behind", "interrupted", "odd info", "nothing beside"],
)
async def test_which_of_the_pictures_were_asked_for(
    images: list[object],
    info: object,
    found: list[tuple[bytes, int | None]],
    serve: Serve,
    ask: Make,
    open_spools: OpenSpools,
) -> None:
    done = await A1111().start(ask(CARD, n=2), await serve(says({"images": images, "info": info})))
    assert [(raw.spool.read() if raw.spool else b"", raw.seed) for raw in done.pictures] == found
    assert len(open_spools()) == len(found)


async def test_what_is_no_base64_is_marked(serve: Serve, ask: Make) -> None:
    done = await A1111().start(ask(CARD), await serve(says({"images": ["a fox!"]})))
    assert done.pictures[0].flaw


@pytest.mark.parametrize(
    ("info", "other"),
    [
        ({"sd_model_name": "fox", "sd_model_hash": "ff"}, False),
        ({"sd_model_name": "renamed", "sd_model_hash": "0011223344"}, False),
        ({"sd_model_name": None}, False),
        ({"sd_model_name": "hen", "sd_model_hash": "ff"}, True),
    ],
)
async def test_by_which_marks_a_checkpoint_is_known(
    info: dict[str, object], other: bool, serve: Serve, ask: Make
) -> None:
    channel = await serve(says({"images": ["Zm94"], "info": told(**info)}))
    if other:
        assert type(await fault(ask(NAMED), channel)) is Rejected
    else:
        assert (await A1111().start(ask(NAMED), channel)).pictures


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (404, {"detail": "Not Found"}, Rejected, "Not Found"),
        (405, {"detail": "Method Not Allowed"}, Rejected, "Method Not Allowed"),
        (422, {"detail": [{"loc": ["body", "steps"], "msg": "wrong"}, {"msg": "odd"}]}, BadRequest, None),
        (500, {"error": "OutOfMemoryError", "detail": "", "errors": "CUDA"}, Failed, "CUDA"),
        (503, "<html>no</html>", Failed, "the server answered 503"),
        (200, {"images": None}, Malformed, None),
        (200, ["nonsense"], Malformed, None),
    ],
)
async def test_errors(
    status: int, body: object, kind: type[PicturaError], message: str | None, serve: Serve, ask: Make
) -> None:
    found = await fault(ask(CARD), await serve(says(body, status)))
    assert type(found) is kind
    assert message is None or found.message == message
    assert not isinstance(found, Rejected) or found.config


async def test_no_server_is_not_sent(connect: Connect, ask: Make) -> None:
    assert type(await fault(ask(CARD), connect("http://127.0.0.1:9"))) is NotSent


async def test_a_server_that_dies_over_it_has_billed_nobody(serve: Serve, ask: Make) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    found = await fault(ask(CARD), await serve(handler))
    assert type(found) is Failed and isinstance(found.__cause__, Lost)
    assert found.safe_elsewhere and not found.possibly_billed
