from __future__ import annotations

import base64
import itertools
from collections.abc import Awaitable, Callable, Mapping

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from pictura.core.errors import BadRequest, Failed, Lost, PicturaError, Refused, Rejected
from pictura.core.media import sniff
from pictura.core.model import ModelCard
from pictura.core.price import Usage
from pictura.core.size import Size, parse
from pictura.infra.spool import Spool
from pictura.providers.base import Ask, AskPicture, Channel
from pictura.providers.imagerouter import ImageRouter

CARDS = {card.id.removeprefix("imagerouter-"): card for card in ImageRouter.MODELS}
JUGGERNAUT, FREE = CARDS["juggernaut-pro"], CARDS["flux-2-klein-free"]
GENERIC = ImageRouter().generic("openai/gpt-image-1.5")
BASE64 = base64.b64encode(bytes(range(256)) * 20).decode()

Serve = Callable[[Handler], Awaitable[Channel]]
Make = Callable[..., Ask]
MakePicture = Callable[..., AskPicture]


def says(*answers: tuple[int, object]) -> Handler:
    """A handler that gives these answers by turns."""
    turns = itertools.cycle(answers)

    async def handler(_request: web.Request) -> web.StreamResponse:
        status, document = next(turns)
        return web.json_response(document, status=status)

    return handler


async def sent(asked: Ask, serve: Serve) -> tuple[str, dict[str, object]]:
    """The path, and the JSON or the form's fields by name, files as their names."""
    noted: list[tuple[str, dict[str, object]]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.content_type == "application/json":
            fields: dict[str, object] = await request.json()
        else:
            form = await request.post()
            fields = {name: getattr(value, "filename", value) for name, value in form.items()}
        noted.append((request.path, fields))
        return web.json_response({"data": [{"b64_json": BASE64}]})

    await ImageRouter().start(asked, await serve(handler))
    return noted[0]


async def fault(asked: Ask, channel: Channel) -> PicturaError:
    with pytest.raises(PicturaError) as caught:
        await ImageRouter().start(asked, channel)
    return caught.value


# -- what is sent --


async def test_a_generation_in_its_words(serve: Serve, ask: Make) -> None:
    asked = ask(JUGGERNAUT, n=1, size=parse("512x768"), params={"quality": "low"}, output_format="png")
    assert await sent(asked, serve) == (
        "/v1/images/generations",
        {
            "model": "run-diffusion/Juggernaut-Pro-Flux",
            "prompt": "a fox",
            "quality": "low",
            "size": "512x768",
            "response_format": "b64_json",
            "output_format": "png",
        },
    )


async def test_what_was_not_said_is_not_sent(serve: Serve, ask: Make) -> None:
    _, fields = await sent(ask(JUGGERNAUT, params={"quality": "auto"}), serve)
    assert fields.keys() == {"model", "prompt", "response_format"}


async def test_an_edit_is_a_form_with_brackets(serve: Serve, ask: Make, picture: MakePicture) -> None:
    asked = ask(GENERIC, images=(picture(),), mask=picture(), params={"moderation": "low"})
    path, fields = await sent(asked, serve)
    assert path == "/v1/images/edits"
    assert (fields["image[]"], fields["mask[]"], fields["moderation"]) == ("image.png", "image.png", "low")


@pytest.mark.parametrize(
    ("size", "pixels"),
    [
        (Size(width=1000, height=700), "1000x700"),
        (Size(aspect="16:9"), "1376x768"),
        (Size(aspect="16:9", tier="4K"), "5504x3072"),
        (Size(tier="2K"), "2048x2048"),
        (Size(aspect="1:4", tier="1K"), "512x2048"),
    ],
)
async def test_words_become_the_pixels_it_knows_them_by(size: Size, pixels: str, serve: Serve, ask: Make) -> None:
    assert (await sent(ask(GENERIC, size=size), serve))[1]["size"] == pixels


@pytest.mark.parametrize(("word", "told"), [("hd", "high"), ("standard", "medium"), ("max", "max")])
async def test_qualities_in_dall_es_words(word: str, told: str, serve: Serve, ask: Make) -> None:
    assert (await sent(ask(GENERIC, params={"quality": word}), serve))[1]["quality"] == told


# -- what comes back --

PICTURE = {"created": 1769286389027, "data": [{"b64_json": BASE64, "revised_prompt": None}], "cost": 0.004}
MODERATED = {"error": {"message": "Request was moderated", "type": "request_moderated"}}
POOR = {"error": {"message": "Insufficient credits", "type": "internal_error"}}


async def test_as_many_calls_as_pictures(serve: Serve, ask: Make) -> None:
    usage = {"input_tokens": 10, "output_tokens": 100}
    done = await ImageRouter().start(ask(GENERIC, n=3), await serve(says((200, {**PICTURE, "usage": usage}))))
    assert len(done.pictures) == 3
    assert (done.cost, done.usage) == (12_000, Usage(text_in=30, image_out=300))


async def test_what_came_is_handed_over(serve: Serve, ask: Make, open_spools: Callable[[], list[Spool]]) -> None:
    done = await ImageRouter().start(ask(GENERIC, n=4), await serve(says((200, PICTURE), (200, POOR))))
    assert len(done.pictures) == len(open_spools()) == 2
    assert done.cost == 8_000


async def test_nothing_came_and_the_worst_is_told(serve: Serve, ask: Make) -> None:
    answers = (200, POOR), (200, {**POOR, "cost": 0.04}), (200, POOR)
    assert (await fault(ask(GENERIC, n=3), await serve(says(*answers)))).possibly_billed


@pytest.mark.parametrize(
    ("status", "document", "kind", "billed"),
    [
        (200, MODERATED, Refused, False),
        (200, POOR, Failed, False),
        (200, {"error": {"message": "timed out", "type": "timeout_error"}, "latency": 9, "cost": 0.04}, Failed, True),
        (400, {"error": {"message": "'size' must be", "type": "invalid_request_error"}}, BadRequest, False),
        (401, {"error": {"message": "Invalid API key", "type": "unauthorized"}}, Rejected, False),
        (403, {"error": {"message": "pay first", "type": "deposit_required"}}, Rejected, False),
        (500, {"error": {"message": "Internal server error", "type": "internal_error"}}, Failed, False),
        (502, {"title": "Bad gateway"}, Lost, True),
    ],
)
async def test_errors(
    status: int, document: Mapping[str, object], kind: type[PicturaError], billed: bool, serve: Serve, ask: Make
) -> None:
    found = await fault(ask(JUGGERNAUT), await serve(says((status, document))))
    assert type(found) is kind
    assert found.possibly_billed is billed


# -- against the sandbox --


async def test_it_trickles_blanks_and_tells_the_cost(sandbox: Callable[[str], Channel], ask: Make) -> None:
    asked = ask(JUGGERNAUT, size=parse("256x384"), params={"quality": "high"}, output_format="png")
    done = await ImageRouter().start(asked, sandbox(ImageRouter.sandbox_path))
    spool = done.pictures[0].spool
    assert spool is not None
    media = sniff(spool.read, spool.size)
    assert (media.format, media.width, media.height) == ("png", 256, 384)
    assert done.cost == 9_500


@pytest.mark.parametrize(
    ("card", "more", "kind"),
    [
        (FREE, {"size": parse("1024x2048")}, BadRequest),
        (FREE, {"params": {"quality": "high"}}, Failed),
        (GENERIC, {"params": {"quality": "max"}}, BadRequest),
        (GENERIC, {"prompt": "x" * 10_001}, BadRequest),
    ],
)
async def test_what_the_router_refuses(
    card: ModelCard, more: Mapping[str, object], kind: type[PicturaError], sandbox: Callable[[str], Channel], ask: Make
) -> None:
    assert type(await fault(ask(card, **more), sandbox(ImageRouter.sandbox_path))) is kind
