from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from typing import Literal

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from PIL import Image

from pictura.core.errors import (
    BadRequest,
    Failed,
    Lost,
    Malformed,
    PicturaError,
    Refused,
    Rejected,
    Throttled,
    Unsupported,
)
from pictura.core.media import flaw, sniff
from pictura.core.model import Choice, ModelCard, Span
from pictura.core.size import Size
from pictura.infra.spool import Spool
from pictura.providers.base import Ask, Channel, Done, Pending
from pictura.providers.stability import POLL_S, STRENGTH, Stability
from tests.providers.conftest import (
    KEY,
    TROUBLES,
    Connect,
    Make,
    MakePicture,
    OpenSpools,
    Serve,
    drawn_by,
    fault_of,
    half_mask,
    pixels,
    says,
    shown,
)

CARDS = {card.id: card for card in Stability.MODELS}
CORE, ULTRA, LARGE = CARDS["stable-image-core"], CARDS["stable-image-ultra"], CARDS["sd3.5-large"]
INPAINT, CREATIVE = CARDS["stable-image-inpaint"], CARDS["stable-image-upscale-creative"]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)

Sent = tuple[str, Mapping[str, str], dict[str, bytes]]

finish, fault = partial(drawn_by, Stability()), partial(fault_of, Stability())


def notes(asked: list[Sent]) -> Handler:
    """A handler that notes what it was asked: path, headers, and the parts of the form."""

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.content_type == "multipart/form-data"
        parts: dict[str, bytes] = {}
        async for part in await request.multipart():
            parts[part.name or ""] = bytes(await part.read())  # type: ignore[union-attr]
        asked.append((request.path, dict(request.headers), parts))
        return web.Response(body=PNG, content_type="image/png", headers={"finish-reason": "SUCCESS", "seed": "7"})

    return handler


async def sent(serve: Serve, asked: Ask) -> Sent:
    noted: list[Sent] = []
    await Stability().start(asked, await serve(notes(noted)))
    return noted[0]


# -- what is sent --


async def test_text_alone_is_a_form_too(serve: Serve, ask: Make) -> None:
    params = {"seed": 7, "negative_prompt": "dogs", "style_preset": "anime", "quality": "auto"}
    said = ask(CORE, size=Size(aspect="16:9"), params=params, output_format="webp")
    path, headers, parts = await sent(serve, said)
    assert path == "/v1/v2beta/stable-image/generate/core"
    assert (headers["Authorization"], headers["Accept"]) == (f"Bearer {KEY}", "image/*")
    assert parts == {
        "prompt": b"a fox",
        "aspect_ratio": b"16:9",
        "seed": b"7",
        "negative_prompt": b"dogs",
        "style_preset": b"anime",
        "output_format": b"webp",
    }


async def test_models_of_sd3_share_a_service(serve: Serve, ask: Make, picture: MakePicture) -> None:
    path, _, parts = await sent(serve, ask(LARGE, params={"guidance_scale": 4.5}))
    assert path == "/v1/v2beta/stable-image/generate/sd3"
    assert parts == {"prompt": b"a fox", "model": b"sd3.5-large", "mode": b"text-to-image", "cfg_scale": b"4.5"}
    image = picture()
    _, _, parts = await sent(serve, ask(LARGE, images=(image,), params={"strength": 0.9}))
    assert (parts["mode"], parts["strength"], parts["image"]) == (b"image-to-image", b"0.9", image.source.read())


async def test_a_strength_is_said_where_the_vendor_has_no_default(
    serve: Serve, ask: Make, picture: MakePicture
) -> None:
    _, _, parts = await sent(serve, ask(ULTRA, images=(picture(),)))
    assert parts["strength"] == str(STRENGTH).encode()
    _, _, parts = await sent(serve, ask(ULTRA))
    assert "strength" not in parts


async def test_sd3_cannot_reshape_a_picture(connect: Connect, ask: Make, picture: MakePicture) -> None:
    said = ask(LARGE, images=(picture(),), size=Size(aspect="1:1"))
    found = await fault(said, connect("http://127.0.0.1:9"))
    assert isinstance(found, Unsupported) and found.param == "size"


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("stable-image-relight", {"subject_image", "background_reference", "background_prompt"}),
        ("stable-image-style-transfer", {"init_image", "style_image", "prompt"}),
    ],
)
async def test_two_pictures_have_names_of_their_own(
    model: str, fields: set[str], serve: Serve, ask: Make, picture: MakePicture
) -> None:
    first, second = picture(64, 64), picture(65, 64)
    _, _, parts = await sent(serve, ask(CARDS[model], images=(first, second)))
    assert parts.keys() == fields
    assert {first.source.read(), second.source.read()} <= set(parts.values())


async def test_a_mask_turns_white_where_it_is_clear(serve: Serve, ask: Make, picture: MakePicture) -> None:
    _, _, parts = await sent(serve, ask(INPAINT, images=(picture(),), mask=half_mask()))
    turned = Image.open(io.BytesIO(parts["mask"]))
    assert (turned.mode, turned.getpixel((3, 3)), turned.getpixel((60, 3))) == ("L", 0, 255)


# -- what comes back --


async def test_a_picture_and_its_seed(serve: Serve, ask: Make, open_spools: OpenSpools) -> None:
    headers = {"finish-reason": "SUCCESS", "seed": "343940597"}
    done = await finish(ask(CORE), await serve(says(PNG, headers=headers)))
    (raw,) = done.pictures
    assert raw.spool is not None and raw.spool.read() == PNG
    assert (raw.seed, done.cost) == (343940597, None)
    assert open_spools() == [raw.spool]


async def test_a_task_is_asked_for_seldom(serve: Serve, ask: Make, picture: MakePicture) -> None:
    paths: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        paths.append(f"{request.method} {request.path}")
        if request.method == "POST":
            return web.json_response({"id": "a/b"}, status=202)
        if len(paths) == 2:
            return web.json_response({"id": "a/b", "status": "in-progress"}, status=202)
        return web.Response(body=PNG, content_type="image/png", headers={"finish-reason": "SUCCESS"})

    channel, provider = await serve(handler), Stability()
    task = await provider.start(ask(CREATIVE, images=(picture(),)), channel)
    assert task == Pending(upstream_id="a/b", poll_after_s=POLL_S)
    assert isinstance(task, Pending)
    assert await provider.check(task, channel) == task
    assert isinstance(await provider.check(task, channel), Done)
    assert paths[1:] == ["GET /v1/v2beta/results/a/b"] * 2


def error(name: str, *errors: str) -> dict[str, object]:
    return {"id": "ff54b236a3acdde1522cb1ba641c43ed", "name": name, "errors": list(errors) or ["Something is wrong."]}


@pytest.mark.parametrize(
    ("status", "body", "kind", "facts"),
    [
        (403, error("content_moderation"), Refused, {"reason": "content_moderation", "possibly_billed": False}),
        (422, error("public_figure"), Refused, {"by": "stability", "possibly_billed": False}),
        (422, error("invalid_language"), BadRequest, {"param": None}),
        (400, error("bad_request", "cfg_scale: must be at most 10"), BadRequest, {"param": "guidance_scale"}),
        (400, error("bad_request", "image: is required", "prompt: is required"), BadRequest, {"param": "image"}),
        (413, error("payload_too_large"), BadRequest, {"param": None}),
        (401, error("unauthorized"), Rejected, {"config": True, "safe_elsewhere": True}),
        (401, {"id": "1", "name": "unauthorized", "message": "missing"}, Rejected, {"message": "missing"}),
        (402, error("payment_required"), Rejected, {"config": True, "upstream_code": "payment_required"}),
        (403, error("permission_denied"), Rejected, {"config": True}),
        (404, error("not_found"), Rejected, {"config": True}),
        (429, error("rate_limit_exceeded"), Throttled, {"retry_after_s": 60}),
        (500, error("internal_error"), Failed, {"safe_elsewhere": True, "possibly_billed": False}),
        (503, {"message": "Service Unavailable"}, Lost, {"possibly_billed": True}),
        (502, "<html>Bad Gateway</html>", Lost, {}),
        (404, "<html>nothing here</html>", Rejected, {}),
        (200, "<html>welcome</html>", Malformed, {}),
        (200, {"id": ""}, Malformed, {}),
        (200, b"", Malformed, {}),
    ],
)
async def test_errors_are_told_by_name_and_status(
    status: int,
    body: object,
    kind: type[PicturaError],
    facts: dict[str, object],
    serve: Serve,
    ask: Make,
    open_spools: OpenSpools,
) -> None:
    found = await fault(ask(CORE), await serve(says(body, status)))
    assert type(found) is kind
    assert {name: getattr(found, name) for name in facts} == facts
    assert not open_spools()


async def test_a_blurred_picture_is_a_refusal_that_is_charged(
    serve: Serve, ask: Make, spools: list[Spool], open_spools: OpenSpools
) -> None:
    found = await fault(ask(CORE), await serve(says(PNG, headers={"finish-reason": "CONTENT_FILTERED"})))
    assert isinstance(found, Refused)
    assert (found.reason, found.possibly_billed) == ("CONTENT_FILTERED", True)
    assert spools and not open_spools()


@pytest.mark.parametrize(
    ("status", "body", "kind", "billed"),
    [
        (403, error("content_moderation"), Refused, False),
        (404, error("generation_not_found"), Failed, True),
        (500, error("internal_error"), Failed, True),
        (429, error("rate_limit_exceeded"), Throttled, False),
    ],
)
async def test_what_a_poll_may_find(
    status: int, body: object, kind: type[PicturaError], billed: bool, serve: Serve
) -> None:
    with pytest.raises(PicturaError) as caught:
        await Stability().check(Pending(upstream_id="1"), await serve(says(body, status)))
    assert (type(caught.value), caught.value.possibly_billed) == (kind, billed)


async def test_messages_hold_no_key(serve: Serve, ask: Make) -> None:
    found = await fault(ask(CORE), await serve(says(error("unauthorized", f"{KEY} is not known"), 401)))
    assert found.message == "*** is not known"


# -- against the sandbox, which is as strict as the vendor --

#: What a service cannot do without, and a card cannot say.
NEEDED: dict[str, dict[str, object]] = {
    "stable-image-outpaint": {"left": 16, "up": 32},
    "stable-image-search-and-replace": {"search_prompt": "the dog"},
    "stable-image-search-and-recolor": {"select_prompt": "the dog"},
}


@pytest.fixture
def house(sandbox: Connect) -> Channel:
    return sandbox(Stability.sandbox_path)


@pytest.mark.parametrize("card", Stability.MODELS, ids=lambda card: card.id)
async def test_every_model_draws(card: ModelCard, house: Channel, ask: Make, picture: MakePicture) -> None:
    images = tuple(picture() for _ in range(card.inputs.count)) if "generate" not in card.modes else ()
    prompt = "" if card.prompt.need == "none" else "a fox"
    done = await finish(ask(card, prompt=prompt, images=images, params=NEEDED.get(card.id, {})), house)
    assert (await pixels(done))[0][0] == "png"
    assert done.pictures[0].seed


def extremes(card: ModelCard, end: Literal["low", "high"]) -> dict[str, object]:
    """All options of a card at one end of what it allows."""
    found: dict[str, object] = {}
    for name, option in card.params.items():
        if isinstance(option, Span):
            found[name] = int(getattr(option, end)) if option.whole else getattr(option, end)
        elif isinstance(option, Choice):
            found[name] = option.values[0 if end == "low" else -1]
        else:
            found[name] = "the dog"
    return {**found, "left": 1} if "left" in found else found


@pytest.mark.parametrize("end", ["low", "high"])
@pytest.mark.parametrize(
    "card", [card for card in Stability.MODELS if card.prompt.need != "none"], ids=lambda card: card.id
)
async def test_the_vendor_takes_what_a_card_allows(
    card: ModelCard, end: Literal["low", "high"], house: Channel, ask: Make, picture: MakePicture
) -> None:
    """The prompt stops it once it is found valid, before anything is drawn."""
    images = tuple(picture() for _ in range(card.inputs.count))
    said = ask(card, images=images, params=extremes(card, end), output_format=card.outputs[-1], prompt="[fault:402]")
    found = await fault(said, house)
    assert isinstance(found, Rejected), found.message


@pytest.mark.parametrize("aspect", ["16:9", "9:21", "1:1", ""])
async def test_aspects(aspect: str, house: Channel, ask: Make) -> None:
    ((_, width, height),) = await pixels(await finish(ask(ULTRA, size=Size(aspect=aspect)), house))
    wide, high = map(int, (aspect or "1:1").split(":"))
    assert 0.85 < width / height / (wide / high) < 1.15


async def test_seeds_and_formats(house: Channel, ask: Make) -> None:
    first, again, other = [
        await finish(ask(CORE, params={"seed": seed}, output_format="webp"), house) for seed in (7, 7, 8)
    ]
    spools = [done.pictures[0].spool for done in (first, again, other)]
    assert all(spools)
    assert spools[0].read() == spools[1].read() != spools[2].read()  # type: ignore[union-attr]
    assert ((await pixels(first))[0][0], first.pictures[0].seed) == ("webp", 7)


async def test_a_mask_in_the_sandbox(house: Channel, ask: Make, picture: MakePicture) -> None:
    base = shown(Image.new("RGB", (64, 64)))
    done = await finish(ask(INPAINT, images=(base,), mask=half_mask()), house)
    assert done.pictures[0].spool is not None
    drawn = Image.open(io.BytesIO(done.pictures[0].spool.read())).convert("L")
    assert drawn.crop((0, 0, 900, 1200)).getextrema() == (0, 0)
    assert drawn.crop((1148, 0, 2048, 1200)).getextrema() != (0, 0)


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        *TROUBLES,
        ("[refuse late]", Refused),
    ],
)
@pytest.mark.parametrize("card", [CORE, CREATIVE], ids=lambda card: card.id)
async def test_trouble(
    card: ModelCard,
    prompt: str,
    kind: type[PicturaError],
    house: Channel,
    ask: Make,
    picture: MakePicture,
    open_spools: OpenSpools,
) -> None:
    images = (picture(),) if card.inputs.required else ()
    assert type(await fault(ask(card, prompt=prompt, images=images), house)) is kind
    assert not open_spools()


async def test_a_task_that_fails(house: Channel, ask: Make, picture: MakePicture) -> None:
    found = await fault(ask(CREATIVE, prompt="[fault:failed]", images=(picture(),)), house)
    assert type(found) is Failed and found.upstream_code == "internal_error"


async def test_a_broken_picture_is_handed_on_to_be_found(house: Channel, ask: Make) -> None:
    done = await finish(ask(CORE, prompt="[fault:truncated]"), house)
    spool = done.pictures[0].spool
    assert spool is not None
    assert flaw(spool.read, spool.size, sniff(spool.read, spool.size))


async def test_a_wrong_key(house: Channel, ask: Make) -> None:
    house.secrets = {"api_key": "sk-wrong"}
    found = await fault(ask(CORE), house)
    assert isinstance(found, Rejected) and found.config


async def test_a_service_that_no_card_describes(house: Channel, ask: Make, picture: MakePicture) -> None:
    card = Stability().generic("control/sketch")
    assert (await pixels(await finish(ask(card, images=(picture(),)), house)))[0][0] == "png"
