from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pytest
from aiohttp import web

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Refused, Rejected, Throttled
from pictura.core.media import Media, flaw, sniff
from pictura.core.model import ModelCard
from pictura.core.size import AUTO, fit, parse
from pictura.providers.base import Ask
from pictura.providers.together import Together
from tests.providers.conftest import KEY, TROUBLES, Connect, Make, MakePicture, OpenSpools, Serve, fault_of, looks, says

CARDS = {card.id.removeprefix("together-"): card for card in Together.MODELS}
SCHNELL, KONTEXT, FLUX_2, DEV = (
    CARDS[name] for name in ("flux-schnell", "flux-kontext-pro", "flux-2-pro", "flux-2-dev")
)
GENERIC = Together().generic("acme/painter")
SANDBOX = "/together/v1"

fault = partial(fault_of, Together())


async def body_of(asked: Ask, serve: Serve) -> Mapping[str, object]:
    """The JSON that is sent, without what every request says."""
    noted: list[tuple[str, str, dict[str, object]]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        noted.append((request.path, request.headers["Authorization"], await request.json()))
        return web.json_response({"data": [{"url": "https://api.together.ai/shrt/a"}]})

    done = await Together().start(asked, await serve(handler))
    assert done.pictures[0].url == "https://api.together.ai/shrt/a"
    path, key, body = noted[0]
    assert (path, key) == ("/v1/images/generations", f"Bearer {KEY}")
    assert (body.pop("model"), body.pop("response_format")) == (asked.native, "base64")
    return body


# -- what is sent --


async def test_everything_that_can_be_said(serve: Serve, ask: Make) -> None:
    params = {"steps": 20, "guidance_scale": 4.5, "seed": 7, "quality": "high", "disable_safety_checker": True}
    said = ask(DEV, n=3, size=parse("768x512"), params=params, output_format="png", output_compression=80)
    assert await body_of(said, serve) == {
        "prompt": "a fox",
        "n": 3,
        "width": 768,
        "height": 512,
        "output_format": "png",
        **{name: value for name, value in params.items() if name != "quality"},
    }


async def test_what_was_not_said_is_not_sent(serve: Serve, ask: Make) -> None:
    assert await body_of(ask(SCHNELL, params={"steps": "auto"}), serve) == {"prompt": "a fox", "n": 1}


async def test_pictures_go_where_the_model_takes_them(serve: Serve, ask: Make, picture: MakePicture) -> None:
    one = await body_of(ask(KONTEXT, images=(picture(),)), serve)
    many = await body_of(ask(FLUX_2, images=(picture(), picture())), serve)
    assert str(one["image_url"]).startswith("data:image/png;base64,iVBOR") and "reference_images" not in one
    references = many["reference_images"]
    assert isinstance(references, list) and len(references) == 2 and "image_url" not in many


# -- what comes back --


@pytest.mark.parametrize(
    ("status", "error", "kind", "config"),
    [
        (400, {"message": "bad", "param": "width", "code": None}, BadRequest, None),
        (401, {"message": f"no {KEY}", "code": "invalid_api_key"}, Rejected, True),
        (400, {"message": "no such model", "code": "model_not_available"}, Rejected, True),
        (402, {"message": "pay", "type": "credit_limit", "code": None}, Rejected, True),
        (404, {"message": "nothing"}, Rejected, True),
        (422, {"message": "no", "code": "content_policy_violation"}, Refused, None),
        (429, {"message": "slow down", "type": "model_rate_limit"}, Throttled, False),
        (503, {"message": "overloaded", "type": "service_unavailable"}, Throttled, False),
        (500, {"message": "oops", "type": "server_error"}, Failed, False),
        (500, None, Lost, False),
        (200, None, Malformed, False),
    ],
)
async def test_errors(
    serve: Serve, ask: Make, status: int, error: object, kind: type[PicturaError], config: bool | None
) -> None:
    found = await fault(ask(SCHNELL), await serve(says({"error": error}, status, {"Retry-After": "7"})))
    assert type(found) is kind
    assert getattr(found, "config", None) is config
    if kind is Throttled:
        assert getattr(found, "retry_after_s", None) == 7
    if kind is BadRequest:
        assert found.param == "size"


# -- against the sandbox --


@pytest.mark.parametrize("card", Together.MODELS, ids=CARDS)
async def test_every_card_draws(sandbox: Connect, ask: Make, card: ModelCard) -> None:
    told = {name: getattr(option, "default", None) for name, option in card.params.items()}
    params = {name: default for name, default in told.items() if default is not None}
    done = await Together().start(ask(card, size=fit(AUTO, card.sizes), params=params), sandbox(SANDBOX))
    assert await looks(done) == [Media("image/jpeg", 1024, 1024)]


@pytest.mark.parametrize("card", [KONTEXT, FLUX_2, DEV], ids=lambda card: str(card.id))
async def test_edits(
    sandbox: Connect, ask: Make, picture: MakePicture, open_spools: OpenSpools, card: ModelCard
) -> None:
    images = tuple(picture() for _ in range(card.inputs.count))
    done = await Together().start(ask(card, images=images, size=fit(parse("3:2"), card.sizes)), sandbox(SANDBOX))
    (media,) = await looks(done)
    assert media.width / media.height == pytest.approx(1.5, abs=0.02)
    assert len(open_spools()) == 1


async def test_several_with_a_seed_are_the_same_again(sandbox: Connect, ask: Make) -> None:
    said = ask(SCHNELL, n=4, params={"seed": 11}, size=parse("256x192"), output_format="png")
    first, again = [await Together().start(said, sandbox(SANDBOX)) for _ in range(2)]
    assert await looks(first) == [Media("image/png", 256, 192)] * 4
    data = [raw.spool.read() for raw in first.pictures if raw.spool]
    assert data == [raw.spool.read() for raw in again.pictures if raw.spool]
    assert len(set(data)) == 4


@pytest.mark.parametrize(("mark", "kind"), TROUBLES)
async def test_faults(
    sandbox: Connect, ask: Make, open_spools: OpenSpools, mark: str, kind: type[PicturaError]
) -> None:
    assert type(await fault(ask(SCHNELL, prompt=f"a fox {mark}"), sandbox(SANDBOX))) is kind
    assert not open_spools()


async def test_a_truncated_picture_is_handed_over_as_it_came(sandbox: Connect, ask: Make) -> None:
    done = await Together().start(ask(SCHNELL, prompt="a fox [fault:truncated]"), sandbox(SANDBOX))
    spool = done.pictures[0].spool
    assert spool is not None
    assert flaw(spool.read, spool.size, sniff(spool.read, spool.size))
