from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from pictura.core.errors import BadRequest, Failed, NotSent, PicturaError, Refused, Rejected, Throttled
from pictura.core.size import parse
from pictura.providers.base import Ask, AskPicture, Channel
from pictura.providers.litellm import LiteLLM

(DEFAULT,) = LiteLLM.MODELS
GENERIC = LiteLLM().generic("gpt-image-2")
BASE64 = base64.b64encode(bytes(range(256)) * 20).decode()

Serve = Callable[[Handler], Awaitable[Channel]]
Make = Callable[..., Ask]
MakePicture = Callable[..., AskPicture]


def says(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.json_response(document, status=status, headers=headers)

    return handler


@pytest.mark.parametrize(
    ("told", "cost"),
    [("0.053", 53_000), ("5e-05", 50), ("1", 1_000_000), ("", None), ("None", None), ("-1", None), ("nan", None)],
)
async def test_the_cost_stands_in_a_header(told: str, cost: int | None, serve: Serve, ask: Make) -> None:
    headers = {"x-litellm-response-cost": told}
    channel = await serve(says({"data": [{"b64_json": BASE64}]}, headers=headers))
    assert (await LiteLLM().start(ask(DEFAULT), channel)).cost == cost


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"type": "budget_exceeded", "code": "400"}, Rejected),
        (429, {"type": "budget_exceeded", "code": "429"}, Rejected),
        (401, {"type": "token_not_found_in_db", "code": "401"}, Rejected),
        (403, {"type": "key_model_access_denied", "code": "403"}, Rejected),
        (400, {"type": "invalid_request_error", "code": "content_policy_violation"}, Refused),
        (400, {"type": "invalid_request_error", "code": "400", "param": "size"}, BadRequest),
        (429, {"type": "throttling_error", "code": "429"}, Throttled),
        (500, {"type": "internal_server_error", "code": "500"}, Failed),
    ],
)
async def test_errors(
    status: int, error: Mapping[str, object], kind: type[PicturaError], serve: Serve, ask: Make
) -> None:
    with pytest.raises(PicturaError) as caught:
        await LiteLLM().start(ask(DEFAULT), await serve(says({"error": {"message": "no", **error}}, status)))
    assert type(caught.value) is kind
    assert getattr(caught.value, "config", False) is (kind is Rejected)
    assert caught.value.possibly_billed is (kind is Failed)


async def test_without_an_address_nothing_leaves_this_house(connect: Callable[[str], Channel], ask: Make) -> None:
    with pytest.raises(NotSent):
        await LiteLLM().start(ask(DEFAULT), connect(""))


async def test_an_edit_is_a_form_whatever_it_says(
    sandbox: Callable[[str], Channel], ask: Make, picture: MakePicture
) -> None:
    params = {"moderation": "low", "quality": "high"}
    asked = ask(GENERIC, images=(picture(), picture()), mask=picture(), params=params, size=parse("512x512"))
    done = await LiteLLM().start(asked, sandbox(LiteLLM.sandbox_path))
    assert (done.cost, done.echo) == (53_000, {"size": "512x512"})


async def test_what_the_proxy_refuses(sandbox: Callable[[str], Channel], ask: Make, picture: MakePicture) -> None:
    asked = ask(LiteLLM().generic("flux-pro-1.1"), images=(picture(),))
    with pytest.raises(BadRequest):
        await LiteLLM().start(asked, sandbox(LiteLLM.sandbox_path))
