from __future__ import annotations

import asyncio
import base64
import socket
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.typedefs import Handler
from msgspec.structs import replace
from yarl import URL

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Refused, Rejected, Throttled
from pictura.core.media import Media
from pictura.core.model import ModelCard
from pictura.core.price import Usage
from pictura.core.size import AUTO, Size, allowed, fit, parse
from pictura.infra.http import Client
from pictura.infra.spool import Spool
from pictura.providers.base import Ask, Done
from pictura.providers.volcengine import Volcengine
from tests.providers.conftest import (
    KEY,
    Connect,
    Make,
    MakePicture,
    OpenSpools,
    Serve,
    data_url,
    fault_of,
    files,
    look,
    looks,
    says,
)

PICTURE = bytes(range(256)) * 40
BASE64 = base64.b64encode(PICTURE).decode()
CARDS = {card.id: card for card in Volcengine.MODELS}
V4 = CARDS["seedream-4.0"]
PRO = CARDS["seedream-5.0-pro"]
NEWEST = CARDS["seedream-5.5"]
LITE = CARDS["seedream-5.0-lite"]
EDIT = CARDS["seededit-3.0"]
SMALL = parse("1280x720")
GROUP = {"sequential_image_generation": "auto"}

fault = partial(fault_of, Volcengine())


def notes(asked: list[tuple[str, str, dict[str, object]]]) -> Handler:
    """A handler that notes what it was asked: path, key and JSON."""

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append((request.path, request.headers["Authorization"], await request.json()))
        return web.json_response({"data": [{"b64_json": BASE64}]})

    return handler


async def asks(serve: Serve, said: Ask) -> dict[str, object]:
    """The body that goes out, less what every call has."""
    asked: list[tuple[str, str, dict[str, object]]] = []
    await Volcengine().start(said, await serve(notes(asked)))
    ((path, key, fields),) = asked
    assert (path, key) == ("/v1/images/generations", f"Bearer {KEY}")
    assert fields.pop("model") == said.native
    assert (fields.pop("prompt"), fields.pop("response_format")) == (said.prompt, "b64_json")
    return fields


# -- what is sent --


async def test_a_generation_with_every_option(serve: Serve, ask: Make) -> None:
    params = {"seed": 7, "watermark": True, "optimize_prompt_options": {"mode": "fast"}, **GROUP}
    options = {"sequential_image_generation_options": {"max_images": 4}}
    said = ask(V4, size=SMALL, params={**params, **options})
    assert await asks(serve, said) == {**params, **options, "size": "1280x720"}


async def test_what_was_not_said_is_not_sent_but_for_the_watermark(serve: Serve, ask: Make) -> None:
    params = {"quality": "auto", "background": "auto", "seed": ""}
    assert await asks(serve, ask(V4, params=params, output_format="jpeg")) == {"watermark": False}


@pytest.mark.parametrize(
    ("card", "size", "expected"),
    [
        (V4, "2K", "2K"),
        (V4, "16:9 1K", "1312x736"),
        (V4, "3:4", "864x1152"),
        (PRO, "16:9 2K", "2816x1584"),
        (LITE, "16:9", "2560x1440"),
        (LITE, "2:3 3K", "2496x3744"),
        (V4, "1600x600", "1600x600"),
        (V4, "auto", None),
        (EDIT, "auto", "adaptive"),
    ],
    ids=lambda value: getattr(value, "id", None),
)
async def test_sizes(card: ModelCard, size: str, expected: str | None, serve: Serve, ask: Make) -> None:
    aspect, _, tier = size.partition(" ")
    asked = Size(aspect=aspect, tier=tier) if tier else parse(size)
    assert (await asks(serve, ask(card, size=fit(asked, card.sizes)))).get("size") == expected


@pytest.mark.parametrize(
    ("card", "output_format", "params", "expected"),
    [
        (LITE, "png", {}, "png"),
        (LITE, "", {}, None),
        (V4, "jpeg", {}, None),
        (PRO, "", {"background": "transparent"}, "png"),
        (NEWEST, "", {"background": "auto"}, None),
        (NEWEST, "jpeg", {"background": "opaque"}, "jpeg"),
    ],
)
async def test_formats(
    card: ModelCard, output_format: str, params: dict[str, str], expected: str | None, serve: Serve, ask: Make
) -> None:
    sent = await asks(serve, ask(card, output_format=output_format, params=params))
    assert sent.get("output_format") == expected
    assert sent.get("background") == params.get("background")


async def test_one_picture_is_a_string_and_several_are_a_list(serve: Serve, ask: Make, picture: MakePicture) -> None:
    first, second = picture(64, 48), picture(32, 32)
    assert (await asks(serve, ask(V4, images=(first,))))["image"] == data_url(first)
    assert (await asks(serve, ask(V4, images=(first, second))))["image"] == [data_url(first), data_url(second)]


class Loopback(AbstractResolver):
    """Every name is this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("host", "native", "name"),
    [
        ("ark.ap-southeast.bytepluses.com", V4.native, "seedream-4-0-250828"),
        ("ark.eu-west.bytepluses.com", PRO.native, "dola-seedream-5-0-pro-260628"),
        ("ark.eu-west.bytepluses.com", "ep-20260918-fox", "ep-20260918-fox"),
        ("ark.cn-beijing.volces.com", PRO.native, "doubao-seedream-5-0-pro-260628"),
    ],
)
async def test_models_have_other_names_abroad(
    host: str, native: str, name: str, serve: Serve, ask: Make, tmp_path: Path
) -> None:
    asked: list[tuple[str, str, dict[str, object]]] = []
    channel = await serve(notes(asked))
    client = Client(open_spool=lambda: Spool(tmp_path), transfers=asyncio.Semaphore(1), resolver=Loopback())
    channel.http, channel.base_url = client, str(URL(channel.base_url).with_host(host))
    try:
        await Volcengine().start(ask(V4, native=native), channel)
    finally:
        await client.close()
    assert asked[0][2]["model"] == name


async def test_a_model_without_a_card_is_the_vendor_s_to_judge(serve: Serve, ask: Make) -> None:
    card = Volcengine().generic("ep-20260918-fox")
    said = ask(card, params={"guidance_scale": 99, **GROUP}, size=parse("4K"), output_format="png")
    sent = {"guidance_scale": 99, **GROUP, "size": "4K", "output_format": "png", "watermark": False}
    assert await asks(serve, said) == sent


# -- what comes back --


async def test_a_group_delivers_what_came(
    serve: Serve, ask: Make, spools: list[Spool], open_spools: OpenSpools
) -> None:
    answer = {
        "model": V4.native,
        "created": 1757388756,
        "data": [
            {"b64_json": BASE64, "size": "2720x1536", "output_format": "jpeg"},
            {"error": {"code": "OutputImageSensitiveContentDetected", "message": "blocked"}},
            {"url": "https://files.example.com/2.jpeg?sig=a%2Fb", "size": "2720x1536"},
        ],
        "usage": {"generated_images": 2, "output_tokens": 32640, "total_tokens": 32640},
        "preview": {"b64_json": BASE64},
    }
    done = await Volcengine().start(ask(V4, params=GROUP), await serve(says(answer)))
    first, second = done.pictures
    assert first.spool is not None and first.spool.read() == PICTURE
    assert (second.url, second.spool) == ("https://files.example.com/2.jpeg?sig=a%2Fb", None)
    assert done.usage == Usage(image_out=32640)
    assert done.echo == {"size": "2720x1536", "output_format": "jpeg"}
    assert len(spools) == 2 and open_spools() == [first.spool]


@pytest.mark.parametrize("usage", [None, "free", {"output_tokens": 0}, {"output_tokens": -1}, {"output_tokens": True}])
async def test_odd_usage_never_costs_a_picture(usage: object, serve: Serve, ask: Make) -> None:
    done = await Volcengine().start(ask(V4), await serve(says({"data": [{"b64_json": BASE64}], "usage": usage})))
    assert done.usage is None and len(done.pictures) == 1


async def test_broken_base64_is_marked(serve: Serve, ask: Make) -> None:
    done = await Volcengine().start(ask(V4), await serve(says({"data": [{"b64_json": BASE64[:-3] + "!!!"}]})))
    assert done.pictures[0].flaw


# -- errors --

ERRORS: list[tuple[int, str, type[PicturaError], dict[str, object]]] = [
    (400, "InputTextSensitiveContentDetected", Refused, {"by": "volcengine", "possibly_billed": False}),
    (400, "SensitiveContentDetected.Violence", Refused, {"reason": "SensitiveContentDetected.Violence"}),
    (400, "InputImageSensitiveContentDetected.PrivacyInformation", Refused, {}),
    (400, "OutputImageRiskDetection", Refused, {}),
    (200, "OutputImageSensitiveContentDetected", Refused, {"possibly_billed": False}),
    (400, "ContentSecurityDetectionError", Failed, {"safe_elsewhere": True, "possibly_billed": False}),
    (400, "InvalidParameter", BadRequest, {"param": "size"}),
    (400, "MissingParameter.prompt", BadRequest, {}),
    (400, "InvalidEndpoint.ClosedEndpoint", Rejected, {"config": True}),
    (401, "AuthenticationError", Rejected, {"config": True, "upstream_status": 401}),
    (403, "AccountOverdueError", Rejected, {"config": True, "upstream_code": "AccountOverdueError"}),
    (403, "OperationDenied.ServiceNotOpen", Rejected, {"config": True}),
    (404, "InvalidEndpointOrModel.NotFound", Rejected, {"config": True, "safe_elsewhere": True}),
    (404, "ModelNotOpen", Rejected, {"config": True}),
    (429, "SetLimitExceeded", Rejected, {"config": True}),
    (429, "QuotaExceeded", Rejected, {"config": True}),
    (429, "ModelAccountIpmRateLimitExceeded", Throttled, {"config": False, "retry_after_s": 7}),
    (429, "ServerOverloaded", Throttled, {"retry_after_s": 7}),
    (500, "InternalServiceError", Failed, {"safe_elsewhere": True, "possibly_billed": False}),
    (200, "InternalServiceError", Failed, {"safe_elsewhere": True}),
    (503, "SomethingNew", Failed, {"possibly_billed": True, "upstream_status": 503}),
    (200, "SomethingNew", Failed, {"possibly_billed": True}),
]


@pytest.mark.parametrize(("status", "code", "kind", "facts"), ERRORS, ids=[f"{row[0]} {row[1]}" for row in ERRORS])
async def test_errors_are_told_by_code_and_status(
    status: int, code: str, kind: type[PicturaError], facts: dict[str, object], serve: Serve, ask: Make
) -> None:
    error = {"code": code, "message": f"Something is wrong with {KEY}.", "param": "size", "type": ""}
    found = await fault(ask(V4), await serve(says({"error": error}, status, {"Retry-After": "7"})))
    assert type(found) is kind
    assert found.message == "Something is wrong with ***."
    assert {name: getattr(found, name) for name in facts} == facts


async def test_the_words_of_a_message_decide_nothing(serve: Serve, ask: Make) -> None:
    error = {"code": "InvalidParameter", "message": "not SensitiveContentDetected, InternalServiceError", "param": ""}
    found = await fault(ask(V4), await serve(says({"error": error}, 400)))
    assert (type(found), found.param) == (BadRequest, None)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"code": "InputTextSensitiveContentDetected", "message": "no", "param": "", "type": ""}, Refused),
        (200, {"data": [{"error": {"code": "OutputImageRiskDetection", "message": "no"}}]}, Refused),
        (200, {"data": [{"error": {"code": "InternalServiceError", "message": "no"}}]}, Failed),
        (502, "<html>Bad Gateway</html>", Lost),
        (504, "", Lost),
        (503, {"message": "Service Unavailable"}, Lost),
        (404, "<html>nothing here</html>", Rejected),
        (429, "slow down", Throttled),
        (200, "<html>welcome</html>", Malformed),
        (200, {"data": []}, Malformed),
        (200, {"data": None}, Malformed),
        (200, {"data": [{"url": ""}, "nonsense"]}, Malformed),
        (200, ["nonsense"], Malformed),
    ],
)
async def test_answers_in_other_shapes(
    status: int, body: object, kind: type[PicturaError], serve: Serve, ask: Make
) -> None:
    assert type(await fault(ask(V4), await serve(says(body, status)))) is kind


async def test_nothing_stays_open_after_an_error(
    serve: Serve, ask: Make, spools: list[Spool], open_spools: OpenSpools
) -> None:
    answer = {"error": {"code": "InternalServiceError", "message": "no", "b64_json": BASE64}}
    await fault(ask(V4), await serve(says(answer, 500)))
    assert spools and not open_spools()


# -- against the sandbox, which is as strict as the vendor --


async def draw(sandbox: Connect, said: Ask) -> Done:
    return await Volcengine().start(said, sandbox(Volcengine.sandbox_path))


@pytest.mark.parametrize("card", Volcengine.MODELS, ids=lambda card: card.id)
async def test_every_model_draws_by_default(card: ModelCard, sandbox: Connect, ask: Make, picture: MakePicture) -> None:
    images = (picture(),) if card.inputs.required else ()
    done = await draw(sandbox, ask(card, images=images, size=fit(AUTO, card.sizes)))
    (media,) = await looks(done)
    assert media.format == card.outputs[0]
    assert f"{media.width}x{media.height}" == done.echo["size"] == getattr(card.sizes, "default", "1024x1024")
    assert done.usage and done.usage.image_out == media.pixels // 256


@pytest.mark.parametrize("card", Volcengine.MODELS, ids=lambda card: card.id)
async def test_every_option_of_a_card_is_taken(
    card: ModelCard, sandbox: Connect, ask: Make, picture: MakePicture
) -> None:
    values = {
        "seed": 7,
        "watermark": True,
        "guidance_scale": 3.5,
        "optimize_prompt_options": {"mode": "standard"},
        "sequential_image_generation": "auto",
        "sequential_image_generation_options": {"max_images": 2},
        "tools": [{"type": "web_search"}],
        "background": "transparent",
    }
    params = {name: values[name] for name in card.params}
    images = (picture(),) if card.inputs.count else ()
    done = await draw(sandbox, ask(card, images=images, params=params, prompt="2 foxes"))
    assert len(done.pictures) == (2 if card.group_most else 1)
    assert (await looks(done))[0].alpha == ("background" in params)


@pytest.mark.parametrize("card", Volcengine.MODELS, ids=lambda card: card.id)
async def test_every_size_and_all_the_inputs_of_a_card_are_taken(
    card: ModelCard, sandbox: Connect, ask: Make, picture: MakePicture
) -> None:
    images = (picture(),) * card.inputs.count
    for word in allowed(card.sizes):
        # This trouble comes only to a request that was found valid, and before anything is drawn.
        said = ask(card, images=images, size=fit(parse(word), card.sizes), prompt="[fault:429]")
        assert isinstance(await fault(said, sandbox(Volcengine.sandbox_path)), Throttled), word


@pytest.mark.parametrize("output_format", ["png", "jpeg"])
async def test_a_format_is_drawn(output_format: str, sandbox: Connect, ask: Make) -> None:
    done = await draw(sandbox, ask(PRO, size=SMALL, output_format=output_format))
    assert await looks(done) == [Media(f"image/{output_format}", 1280, 720)]


async def test_an_edit_of_several_pictures(sandbox: Connect, ask: Make, picture: MakePicture) -> None:
    done = await draw(sandbox, ask(V4, images=(picture(320, 180), picture()), size=Size(tier="1K")))
    assert await looks(done) == [Media("image/jpeg", 1312, 736)]


async def test_the_same_seed_draws_the_same(sandbox: Connect, ask: Make) -> None:
    drawn = [await draw(sandbox, ask(V4, size=SMALL, params={"seed": seed})) for seed in (7, 7, 8)]
    same, again, other = (done.pictures[0].spool for done in drawn)
    assert same and again and other
    assert same.read() == again.read() != other.read()


async def test_a_group_is_short_by_what_was_refused(sandbox: Connect, ask: Make) -> None:
    done = await draw(sandbox, ask(V4, prompt="3 foxes [refuse late]", size=SMALL, params=GROUP))
    assert len(done.pictures) == 2


@pytest.mark.parametrize(
    ("prompt", "params", "kind", "facts"),
    [
        ("[refuse]", {}, Refused, {"reason": "InputTextSensitiveContentDetected"}),
        ("[refuse late]", {}, Refused, {"reason": "OutputImageSensitiveContentDetected", "possibly_billed": False}),
        ("[refuse late]", GROUP, Refused, {"reason": "OutputImageSensitiveContentDetected"}),
        ("[fault:failed]", {}, Failed, {"upstream_code": "InternalServiceError", "possibly_billed": False}),
        ("[fault:401]", {}, Rejected, {"config": True}),
        ("[fault:402]", {}, Rejected, {"config": True, "upstream_code": "AccountOverdueError"}),
        ("[fault:429]", {}, Throttled, {"retry_after_s": 2}),
        ("[fault:500]", {}, Failed, {"safe_elsewhere": True}),
        ("[fault:502page]", {}, Lost, {"possibly_billed": True}),
        ("[fault:reset]", {}, Lost, {}),
        ("[fault:garbage]", {}, Malformed, {}),
        ("[fault:empty]", {}, Malformed, {}),
    ],
)
async def test_trouble(
    prompt: str,
    params: dict[str, object],
    kind: type[PicturaError],
    facts: dict[str, object],
    sandbox: Connect,
    ask: Make,
    open_spools: OpenSpools,
) -> None:
    found = await fault(ask(V4, prompt=prompt, size=SMALL, params=params), sandbox(Volcengine.sandbox_path))
    assert type(found) is kind
    assert {name: getattr(found, name) for name in facts} == facts
    assert not open_spools()


async def test_a_picture_cut_short_is_handed_over_to_whoever_checks(sandbox: Connect, ask: Make) -> None:
    done = await draw(sandbox, ask(V4, prompt="[fault:truncated]", size=SMALL))
    (broken,) = await files(done)
    with pytest.raises(AssertionError):
        look(broken)


async def test_a_wrong_key(sandbox: Connect, ask: Make) -> None:
    channel = sandbox(Volcengine.sandbox_path)
    channel.secrets = {"api_key": "sk-other"}
    found = await fault(ask(V4), channel)
    assert isinstance(found, Rejected) and found.config


async def test_a_stall_ends_with_the_caller_s_patience(sandbox: Connect, ask: Make) -> None:
    channel = sandbox(Volcengine.sandbox_path)
    channel.timeouts = replace(channel.timeouts, read_s=0.1)
    assert isinstance(await fault(ask(V4, prompt="[fault:stall]"), channel), Lost)
