from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from pictura.core.errors import BadRequest, Failed, Lost, NotSent, PicturaError, Refused, Rejected, Throttled
from pictura.core.model import ModelCard
from pictura.core.size import Size, parse
from pictura.providers.base import Ask, AskPicture, Channel, Done, Preview
from pictura.providers.new_api import NewApi
from pictura.providers.openai import OpenAI

(ALL,) = NewApi.MODELS
FLUX = NewApi().generic("flux-kontext-pro")
GPT = next(card for card in OpenAI.MODELS if card.id == "gpt-image-2")

Serve = Callable[[Handler], Awaitable[Channel]]
Make = Callable[..., Ask]
MakePicture = Callable[..., AskPicture]


def says(document: object, status: int) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.json_response(document, status=status)

    return handler


async def fault(asked: Ask, channel: Channel) -> PicturaError:
    with pytest.raises(PicturaError) as caught:
        await NewApi().start(asked, channel)
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "kind", "facts"),
    [
        (401, "", Rejected, {"config": True}),
        (403, "insufficient_user_quota", Rejected, {"config": True}),
        (403, "pre_consume_token_quota_failed", Rejected, {"config": True}),
        (503, "model_not_found", Rejected, {"config": True}),
        (500, "get_channel_failed", Rejected, {"config": False, "safe_elsewhere": True}),
        (500, "convert_request_failed", Rejected, {"safe_elsewhere": True}),
        (500, "channel:no_available_key", Rejected, {"safe_elsewhere": True}),
        (400, "model_price_error", Rejected, {"upstream_code": "model_price_error"}),
        (500, "invalid_request", BadRequest, {"param": None}),
        (413, "read_request_body_failed", BadRequest, {}),
        (500, "sensitive_words_detected", Refused, {"reason": "sensitive_words_detected"}),
        (400, "prompt_blocked", Refused, {"by": "new-api"}),
        (429, "rate_limit_exceeded", Throttled, {}),
        (500, "do_request_failed", Failed, {"possibly_billed": False, "safe_elsewhere": True}),
        (500, "bad_response_body", Failed, {"possibly_billed": False}),
        (504, "bad_response_status_code", Failed, {"possibly_billed": False}),
    ],
)
async def test_errors_by_the_familys_codes(
    status: int, code: str, kind: type[PicturaError], facts: Mapping[str, object], serve: Serve, ask: Make
) -> None:
    error = {"message": "no (request id: 20260101)", "type": "new_api_error", "param": "", "code": code}
    found = await fault(ask(ALL), await serve(says({"error": error}, status)))
    assert type(found) is kind
    assert {name: getattr(found, name) for name in facts} == facts


async def test_a_number_for_a_code(serve: Serve, ask: Make) -> None:
    """As OpenOpen8's guide shows it."""
    error = {"message": "Rate limit exceeded.", "type": "rate_limit_error", "code": 429}
    assert type(await fault(ask(ALL), await serve(says({"error": error}, 429)))) is Throttled


@pytest.mark.parametrize(("status", "kind"), [(429, Throttled), (502, Lost)])
async def test_errors_without_a_body(status: int, kind: type[PicturaError], serve: Serve, ask: Make) -> None:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    assert type(await fault(ask(ALL), await serve(handler))) is kind


async def test_without_an_address_nothing_leaves_this_house(connect: Callable[[str], Channel], ask: Make) -> None:
    assert type(await fault(ask(ALL), connect(""))) is NotSent


# -- against the sandbox --


@pytest.mark.parametrize(
    ("card", "said", "pixels"),
    [
        (ALL, {"size": parse("1536x1024")}, "1536x1024"),
        (FLUX, {"size": Size(aspect="16:9")}, ""),
        (GPT, {"size": parse("1024x1024"), "params": {"quality": "high"}, "output_format": "webp"}, "1024x1024"),
    ],
)
async def test_generations(
    card: ModelCard, said: Mapping[str, object], pixels: str, sandbox: Callable[[str], Channel], ask: Make
) -> None:
    done = await NewApi().start(ask(card, **said), sandbox(NewApi.sandbox_path))
    assert done.pictures[0].url or done.pictures[0].spool


@pytest.mark.parametrize("params", [{"quality": "low"}, {"moderation": "low"}], ids=["form", "JSON"])
async def test_an_edit_with_a_mask(
    params: Mapping[str, object], sandbox: Callable[[str], Channel], ask: Make, picture: MakePicture
) -> None:
    asked = ask(GPT, images=(picture(), picture()), mask=picture(), params=params, size=parse("1024x1024"))
    assert (await NewApi().start(asked, sandbox(NewApi.sandbox_path))).pictures[0].spool


@pytest.mark.parametrize("edit", [False, True])
async def test_previews(edit: bool, sandbox: Callable[[str], Channel], ask: Make, picture: MakePicture) -> None:
    asked = ask(GPT, images=(picture(),) if edit else (), partial_images=2, size=parse("1024x1024"))
    news = [news async for news in NewApi().stream(asked, sandbox(NewApi.sandbox_path))]
    assert [type(item) for item in news] == [Preview, Preview, Done]


async def test_what_the_vendor_behind_it_refuses(sandbox: Callable[[str], Channel], ask: Make) -> None:
    found = await fault(ask(ALL, params={"quality": "divine"}), sandbox(NewApi.sandbox_path))
    assert (type(found), found.param) == (BadRequest, "quality")
