from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial

import msgspec
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Refused, Rejected, Throttled
from pictura.core.media import sniff
from pictura.core.size import Shapes, Size, parse
from pictura.infra.spool import Spool
from pictura.providers import test
from pictura.providers.base import AskPicture
from pictura.providers.plain import SANDBOX_PATH, PlainProvider
from tests.providers.conftest import KEY, Connect, Make, OpenSpools, Serve, fault_of, says

PICTURE = bytes(range(256)) * 40
BASE64 = base64.b64encode(PICTURE).decode()
(CARD,) = test.Test.MODELS

fault = partial(fault_of, test.Test())


def notes(asked: list[tuple[str, str, dict[str, object]]]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append((request.path, request.headers["Authorization"], await request.json()))
        return web.json_response({"pictures": [{"b64_json": BASE64, "seed": 5}]})

    return handler


async def test_the_whole_request(serve: Serve, ask: Make, picture: Callable[..., AskPicture]) -> None:
    asked: list[tuple[str, str, dict[str, object]]] = []
    image = picture()
    said = ask(
        CARD,
        images=(image,),
        mask=image,
        n=2,
        size=parse("64x48"),
        params={"quality": "low", "background": "transparent", "seed": 4},
        output_format="webp",
        output_compression=50,
        client_id="attempt-1",
    )
    done = await test.Test().start(said, await serve(notes(asked)))
    data_url = f"data:image/png;base64,{base64.b64encode(image.source.read()).decode()}"
    ((path, authorization, body),) = asked
    assert (path, authorization) == ("/v1/v1/draw", f"Bearer {KEY}")
    assert body == {
        "model": "test/test",
        "prompt": "a fox",
        "n": 2,
        "size": "64x48",
        "aspect": "",
        "tier": "",
        "seed": 4,
        "quality": "low",
        "background": "transparent",
        "output_format": "webp",
        "output_compression": 50,
        "images": [data_url],
        "mask": data_url,
        "client_id": "attempt-1",
    }
    assert done.pictures[0].spool is not None
    assert (done.pictures[0].spool.read(), done.pictures[0].seed) == (PICTURE, 5)


async def test_aspect_and_tier_stay_words(serve: Serve, ask: Make) -> None:
    asked: list[tuple[str, str, dict[str, object]]] = []
    card = msgspec.structs.replace(CARD, sizes=Shapes(aspects=("16:9",), tiers=("2K",)))
    said = ask(card, size=Size(aspect="16:9", tier="2K"), params={"seed": -1})
    await PlainProvider().start(said, await serve(notes(asked)))
    body = asked[0][2]
    assert (body["size"], body["aspect"], body["tier"], body["seed"]) == ("", "16:9", "2K", None)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"code": "content_refused", "message": "no"}}, Refused),
        (400, {"error": {"code": "invalid_request", "message": "no"}}, BadRequest),
        (401, {"error": {"code": "unauthorized", "message": "no"}}, Rejected),
        (429, {"error": {"code": "rate_limited", "message": "no"}}, Throttled),
        (500, {"error": {"code": "internal_error", "message": "no"}}, Failed),
        (502, "<html>", Lost),
        (200, "{nonsense", Malformed),
        (200, {"pictures": []}, Malformed),
        (200, {"pictures": [{"seed": 1}]}, Malformed),
    ],
)
async def test_errors(status: int, body: object, kind: type[PicturaError], serve: Serve, ask: Make) -> None:
    found = await fault(ask(CARD), await serve(says(body, status, {"Retry-After": "3"})))
    assert type(found) is kind
    if isinstance(found, Refused):
        assert (found.by, found.reason, found.possibly_billed) == ("sandbox", "content_refused", False)
    if status == 429:
        assert isinstance(found, Throttled) and found.retry_after_s == 3


async def test_nothing_stays_open_after_an_error(
    serve: Serve, ask: Make, spools: list[Spool], open_spools: OpenSpools
) -> None:
    await fault(ask(CARD), await serve(says({"error": {"code": "x", "message": "no", "b64_json": BASE64}}, 500)))
    assert spools and not open_spools()


async def test_the_built_in_model_draws_in_the_sandbox(
    sandbox: Connect, ask: Make, picture: Callable[..., AskPicture]
) -> None:
    said = ask(CARD, images=(picture(),), n=2, size=parse("320x240"), params={"quality": "high", "seed": 9})
    done = await test.Test().start(said, sandbox(SANDBOX_PATH))
    assert [picture.seed for picture in done.pictures] == [9, 10]
    spool = done.pictures[0].spool
    assert spool is not None
    media = sniff(spool.read, spool.size)
    assert (media.format, media.width, media.height) == ("png", 320, 240)


async def test_a_refusal_of_the_sandbox(sandbox: Connect, ask: Make) -> None:
    assert type(await fault(ask(CARD, prompt="[refuse]"), sandbox(SANDBOX_PATH))) is Refused
