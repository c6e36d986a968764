from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from aiohttp import web

from pictura.core.capability import check
from pictura.core.errors import BadRequest, Failed, Malformed, PicturaError, Rejected, Throttled, Unsupported
from pictura.core.media import Media
from pictura.core.request import ImageRequest, InputPicture
from pictura.core.size import parse
from pictura.providers.base import AskPicture
from pictura.providers.sglang import SGLang
from tests.providers.conftest import Connect, Make, OpenSpools, Serve, fault_of, looks

CARD = SGLang.MODELS[0]

fault = partial(fault_of, SGLang())


# -- against the sandbox --


async def test_without_a_format_it_is_the_servers_own(sandbox: Connect, ask: Make) -> None:
    done = await SGLang().start(ask(CARD, n=2), sandbox(SGLang.sandbox_path))
    assert await looks(done) == [Media(f"image/{CARD.outputs[0]}", 1024, 1024)] * 2


@pytest.mark.parametrize("format", CARD.outputs)
async def test_every_format(format: str, sandbox: Connect, ask: Make) -> None:
    params = {"seed": 7, "steps": 4, "guidance_scale": 1.5, "enable_teacache": True, "upscaling_scale": 2}
    said = ask(CARD, size=parse("64x96"), params=params, output_format=format, output_compression=50)
    done = await SGLang().start(said, sandbox(SGLang.sandbox_path))
    assert await looks(done) == [Media(f"image/{format}", 64, 96)]


async def test_an_edit_with_several_pictures(sandbox: Connect, ask: Make, picture: Callable[..., AskPicture]) -> None:
    said = ask(CARD, images=(picture(96, 64), picture()), params={"enable_upscaling": False}, output_format="png")
    done = await SGLang().start(said, sandbox(SGLang.sandbox_path))
    assert await looks(done) == [Media("image/png", 96, 64)]


FAULTS: dict[str, tuple[type[PicturaError], dict[str, object]]] = {
    "401": (Rejected, {"config": True}),
    "402": (Rejected, {"config": True}),
    "429": (Throttled, {"retry_after_s": 2}),
    "500": (Failed, {"possibly_billed": False, "safe_elsewhere": True}),
    "502page": (Failed, {"possibly_billed": False}),
    "reset": (Failed, {"possibly_billed": False}),
    "failed": (Failed, {"message": "the server answered 500", "safe_elsewhere": True}),
    "garbage": (Malformed, {}),
    "empty": (Malformed, {"possibly_billed": False}),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_faults(name: str, sandbox: Connect, ask: Make, open_spools: OpenSpools) -> None:
    kind, facts = FAULTS[name]
    found = await fault(ask(CARD, prompt=f"[fault:{name}]"), sandbox(SGLang.sandbox_path))
    assert type(found) is kind
    assert {fact: getattr(found, fact) for fact in facts} == facts
    assert not open_spools()


async def test_wrong_fields_are_named(sandbox: Connect, ask: Make) -> None:
    found = await fault(ask(CARD, params={"steps": 0}), sandbox(SGLang.sandbox_path))
    assert (type(found), found.message) == (BadRequest, "num_inference_steps: Expected `int` >= 1")


async def test_what_an_edit_would_pass_over_is_refused(
    sandbox: Connect, ask: Make, picture: Callable[..., AskPicture]
) -> None:
    said = ask(CARD, images=(picture(),), params={"flow_shift": 3})
    found = await fault(said, sandbox(SGLang.sandbox_path))
    assert (type(found), found.param) == (Unsupported, "flow_shift")


def test_a_mask_is_not_taken_because_it_would_not_be_read() -> None:
    picture = InputPicture(ref="upload:0")
    (problem,) = check(ImageRequest(model=CARD.id, prompt="a fox", images=(picture,), mask=picture), CARD)
    assert problem.param == "mask"


# -- what is sent --


async def test_it_is_asked_for_base64(serve: Serve, ask: Make, picture: Callable[..., AskPicture]) -> None:
    asked: list[object] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        form = request.content_type != "application/json"
        asked.append([*(await request.post()).items()][:3] if form else await request.json())
        return web.json_response({"data": [{"b64_json": "Zm94", "revised_prompt": "a fox"}]})

    channel = await serve(handler)
    await SGLang().start(ask(CARD), channel)
    done = await SGLang().start(ask(CARD, images=(picture(),)), channel)
    assert asked == [
        {"prompt": "a fox", "n": 1, "response_format": "b64_json"},
        [("prompt", "a fox"), ("n", "1"), ("response_format", "b64_json")],
    ]
    assert done.pictures[0].revised_prompt == ""
