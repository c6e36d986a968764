from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Refused, Rejected, Throttled
from pictura.core.model import ModelCard
from pictura.core.request import Turn
from pictura.core.size import Size, parse
from pictura.infra.spool import Spool
from pictura.providers.base import Ask, AskPicture, Channel
from pictura.providers.mixroute import MixRoute

GEMINI, SEEDREAM, GPT, QWEN = MixRoute.MODELS
GENERIC = MixRoute().generic("grok-image")
QWEN_EDIT = MixRoute().generic("qwen-image-edit-plus")
PICTURE = bytes(range(256)) * 20
BASE64 = base64.b64encode(PICTURE).decode()
URL = "https://x.example.com/1.png"

Serve = Callable[[Handler], Awaitable[Channel]]
Make = Callable[..., Ask]
MakePicture = Callable[..., AskPicture]


def says(document: object, status: int = 200) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.json_response(document, status=status)

    return handler


async def sent(asked: Ask, serve: Serve) -> dict[str, object]:
    """The JSON, but for the model's name."""
    noted: list[tuple[str, dict[str, object]]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        noted.append((request.path, await request.json()))
        return web.json_response({"created": 1, "data": [{"url": URL}]})

    await MixRoute().start(asked, await serve(handler))
    path, fields = noted[0]
    assert path == "/v1/images/generations"
    assert fields.pop("model") == asked.native.removeprefix("mixroute/")
    return fields


def inline(image: AskPicture) -> str:
    return f"data:image/png;base64,{base64.b64encode(image.source.read()).decode()}"


# -- what is sent --


async def test_gemini_has_aspects_and_a_kind_of_its_own(serve: Serve, ask: Make) -> None:
    asked = ask(GEMINI, size=Size(aspect="16:9"), params={"temperature": 1.1}, output_format="jpeg")
    assert await sent(asked, serve) == {
        "prompt": "a fox",
        "n": 1,
        "size": "16:9",
        "temperature": 1.1,
        "mime_type": "image/jpeg",
        "response_modalities": "image",
        "response_format": "b64_json",
    }


async def test_pixels_become_gemini_s_words(serve: Serve, ask: Make) -> None:
    fields = await sent(ask(MixRoute().generic("gemini-9"), size=parse("3840x2160")), serve)
    assert (fields["size"], fields["image_size"]) == ("16:9", "4K")


async def test_gemini_is_shown_pictures_in_a_conversation(serve: Serve, ask: Make, picture: MakePicture) -> None:
    first, second = picture(), picture(32, 32)
    turns = (Turn("user", ("a fox", 0)), Turn("model", ("here",)), Turn("user", ("and a hat",)))
    fields = await sent(ask(GEMINI, images=(first, second), turns=turns), serve)
    assert "prompt" not in fields
    assert fields["contents"] == [
        {"role": "user", "parts": [{"text": "a fox"}, {"image": inline(first)}]},
        {"role": "model", "parts": [{"text": "here"}]},
        {"role": "user", "parts": [{"text": "and a hat"}, {"image": inline(second)}]},
    ]


async def test_seedream_has_pixels_and_no_stamp(serve: Serve, ask: Make, picture: MakePicture) -> None:
    image = picture()
    fields = await sent(ask(SEEDREAM, images=(image,), size=parse("2048x2048"), params={"seed": 7}), serve)
    parts = [{"text": "a fox"}, {"image": inline(image)}]
    assert fields == {
        "size": "2048x2048",
        "watermark": False,
        "seed": 7,
        "contents": [{"role": "user", "parts": parts}],
    }


async def test_seedream_has_tiers_too(serve: Serve, ask: Make) -> None:
    fields = await sent(ask(SEEDREAM, size=Size(tier="4K"), params={"watermark": True}), serve)
    assert fields == {"prompt": "a fox", "size": "4K", "watermark": True}


async def test_gpt_is_shown_a_picture_beside_its_prompt(serve: Serve, ask: Make, picture: MakePicture) -> None:
    one, two = picture(), picture(32, 32)
    asked = ask(GPT, images=(one,), n=2, size=parse("1024x1536"), params={"quality": "high"})
    assert await sent(asked, serve) == {
        "prompt": "a fox",
        "n": 2,
        "size": "1024x1536",
        "quality": "high",
        "image": inline(one),
    }
    assert (await sent(ask(GPT, images=(one, two)), serve))["image"] == [inline(one), inline(two)]


async def test_qwen_speaks_as_alibaba_does(serve: Serve, ask: Make, picture: MakePicture) -> None:
    params = {"negative_prompt": "rain", "prompt_extend": True, "seed": 4}
    assert await sent(ask(QWEN, size=parse("1664x928"), params=params), serve) == {
        "input": {"messages": [{"role": "user", "content": [{"text": "a fox"}]}]},
        "parameters": {"n": 1, **params, "size": "1664*928"},
    }
    image = picture()
    fields = await sent(ask(QWEN_EDIT, images=(image,)), serve)
    content = [{"image": inline(image)}, {"text": "a fox"}]
    assert fields["input"] == {"messages": [{"role": "user", "content": content}]}


async def test_of_others_nothing_is_supposed(serve: Serve, ask: Make) -> None:
    fields = await sent(ask(GENERIC, size=Size(aspect="16:9", tier="2K"), params={"seed": 1}), serve)
    assert fields == {"prompt": "a fox", "n": 1, "aspect_ratio": "16:9", "resolution": "2K", "seed": 1}


# -- what comes back --

ITEM = {"url": "", "b64_json": BASE64, "revised_prompt": ""}


@pytest.mark.parametrize(
    "document",
    [
        {"code": 200, "msg": "操作成功", "data": {"data": [ITEM], "created": 1757320007}},
        {"created": 1709459123, "data": [ITEM]},
        {"code": 200, "data": [ITEM]},
    ],
    ids=["wrapped", "plain", "half wrapped"],
)
async def test_both_envelopes(
    document: object, serve: Serve, ask: Make, open_spools: Callable[[], list[Spool]]
) -> None:
    done = await MixRoute().start(ask(GPT), await serve(says(document)))
    spool = done.pictures[0].spool
    assert spool is not None and spool.read() == PICTURE
    assert open_spools() == [spool]


@pytest.mark.parametrize(
    ("status", "document", "kind", "billed"),
    [
        (200, {"code": 400, "msg": "bad size", "data": None}, BadRequest, False),
        (200, {"code": 401, "msg": "no", "data": None}, Rejected, False),
        (200, {"code": 429, "msg": "slowly", "data": None}, Throttled, False),
        (200, {"code": 500, "msg": "oh", "data": None}, Failed, True),
        (200, {"code": 7, "msg": "oh", "data": None}, Failed, True),
        (500, {"code": 500, "msg": "oh", "data": None}, Failed, True),
        (400, {"code": 400, "error": {"message": "no", "code": "content_policy_violation"}}, Refused, False),
        (403, {"error": {"message": "no", "code": "insufficient_user_quota"}}, Rejected, False),
        (200, {"code": 200, "msg": "操作成功", "data": {"data": []}}, Malformed, True),
        (200, {"code": 200, "msg": "操作成功", "data": None}, Malformed, True),
        (502, {"message": "Bad gateway"}, Lost, True),
    ],
)
async def test_errors(
    status: int, document: Mapping[str, object], kind: type[PicturaError], billed: bool, serve: Serve, ask: Make
) -> None:
    with pytest.raises(PicturaError) as caught:
        await MixRoute().start(ask(GPT), await serve(says(document, status)))
    assert type(caught.value) is kind
    assert caught.value.possibly_billed is billed


# -- against the sandbox --


@pytest.mark.parametrize(
    ("card", "more"),
    [
        (GPT, {"size": parse("512x512")}),
        (GEMINI, {"size": Size(aspect="1:8")}),
        (QWEN_EDIT, {}),
        (SEEDREAM, {"params": {"sequential_image_generation": "perhaps"}}),
    ],
)
async def test_what_the_router_refuses(
    card: ModelCard, more: Mapping[str, object], sandbox: Callable[[str], Channel], ask: Make
) -> None:
    with pytest.raises(BadRequest):
        await MixRoute().start(ask(card, **more), sandbox(MixRoute.sandbox_path))


async def test_a_group_has_as_many_as_were_allowed(sandbox: Callable[[str], Channel], ask: Make) -> None:
    params = {"sequential_image_generation": "auto", "sequential_image_generation_options": {"max_images": 3}}
    done = await MixRoute().start(ask(SEEDREAM, params=params), sandbox(MixRoute.sandbox_path))
    assert [bool(raw.url) for raw in done.pictures] == [True] * 3
