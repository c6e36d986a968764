from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from pictura.core.errors import BadRequest, Failed, NotSent, PicturaError, Refused, Rejected, Throttled
from pictura.core.media import sniff
from pictura.core.size import parse
from pictura.providers.azure import API_VERSION, Azure
from pictura.providers.base import Ask, AskPicture, Channel, Done, Preview

KEY = "sk-test-0123456789"
GPT, FLUX, KONTEXT = Azure.MODELS
GENERIC = Azure().generic("my-images")
BASE64 = base64.b64encode(bytes(range(256)) * 20).decode()

Serve = Callable[[Handler], Awaitable[Channel]]
Make = Callable[..., Ask]
MakePicture = Callable[..., AskPicture]


def says(document: object, status: int = 200) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.json_response(document, status=status)

    return handler


async def fault(asked: Ask, channel: Channel) -> PicturaError:
    with pytest.raises(PicturaError) as caught:
        await Azure().start(asked, channel)
    return caught.value


# -- where it goes --

DEPLOYED = "/openai/deployments/gpt-image-2/images/generations"


@pytest.mark.parametrize(
    ("base", "options", "path"),
    [
        ("", {}, f"/openai/deployments/gpt-image-2/images/generations?api-version={API_VERSION}"),
        (
            "/",
            {"api_version": "2024-10-21"},
            "/openai/deployments/gpt-image-2/images/generations?api-version=2024-10-21",
        ),
        ("/openai", {}, f"/openai/deployments/gpt-image-2/images/generations?api-version={API_VERSION}"),
        ("/openai/v1/", {}, "/openai/v1/images/generations"),
        ("/openai/v1", {"api_version": "preview"}, "/openai/v1/images/generations?api-version=preview"),
        ("/team", {}, f"/team{DEPLOYED}?api-version={API_VERSION}"),
    ],
)
@pytest.mark.parametrize("from_environment", [False, True])
async def test_by_deployment_or_by_model(
    base: str, options: Mapping[str, str], path: str, from_environment: bool, serve: Serve, ask: Make
) -> None:
    noted: list[tuple[str, str, str]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        noted.append((request.raw_path, request.headers["api-key"], (await request.json())["model"]))
        assert "Authorization" not in request.headers
        return web.json_response({"data": [{"b64_json": BASE64}]})

    channel = await serve(handler)
    address = channel.base_url.removesuffix("/v1") + base
    # A channel that the environment made has an address among its secrets.
    channel.base_url, channel.secrets, channel.options = address, {"api_key": KEY}, options
    if from_environment:
        channel.base_url, channel.secrets = "", {"api_key": KEY, "endpoint": address}
    await Azure().start(ask(GPT), channel)
    assert noted == [(path, KEY, "gpt-image-2")]


async def test_a_deployments_name_is_one_step_of_the_path(serve: Serve, ask: Make, picture: MakePicture) -> None:
    noted: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        noted.append(request.raw_path.partition("?")[0])
        return web.json_response({"data": [{"b64_json": BASE64}]})

    channel = await serve(handler)
    channel.base_url = channel.base_url.removesuffix("/v1")
    asked = ask(Azure().generic("a/../b c"), images=(picture(),), params={"moderation": "low"})
    await Azure().start(asked, channel)
    assert noted == ["/openai/deployments/a%2F..%2Fb%20c/images/edits"]


async def test_without_an_address_nothing_leaves_this_house(connect: Callable[[str], Channel], ask: Make) -> None:
    assert type(await fault(ask(GPT), connect(""))) is NotSent


# -- errors --

INNER = {"code": "ResponsibleAIPolicyViolation", "content_filter_results": {}}


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"code": "contentFilter", "message": "no"}, Refused),
        (400, {"code": "content_policy_violation", "message": "no", "innererror": INNER}, Refused),
        (400, {"code": "invalid_request", "message": "no", "inner_error": INNER}, Refused),
        (200, {"code": "contentFilter", "message": "no"}, Refused),
        (400, {"code": "invalid_value", "message": "no", "param": "size"}, BadRequest),
        (401, {"code": "401", "message": "no"}, Rejected),
        (404, {"code": "DeploymentNotFound", "message": "no"}, Rejected),
        (429, {"code": "429", "message": "no"}, Throttled),
        (500, {"code": "InternalServerError", "message": "no"}, Failed),
    ],
)
async def test_errors(
    status: int, error: Mapping[str, object], kind: type[PicturaError], serve: Serve, ask: Make
) -> None:
    found = await fault(ask(GPT), await serve(says({"error": error}, status)))
    assert type(found) is kind
    assert found.possibly_billed is (kind is Failed)


# -- against the sandbox --


async def test_a_deployment_by_the_name_somebody_chose(sandbox: Callable[[str], Channel], ask: Make) -> None:
    done = await Azure().start(ask(GENERIC, size=parse("1024x1536"), n=2), sandbox(Azure.sandbox_path))
    assert len(done.pictures) == 2
    assert done.usage is not None and done.echo["size"] == "1024x1536"


async def test_an_edit_with_a_mask(sandbox: Callable[[str], Channel], ask: Make, picture: MakePicture) -> None:
    asked = ask(GPT, images=(picture(), picture()), mask=picture(), params={"quality": "low"})
    spool = (await Azure().start(asked, sandbox(Azure.sandbox_path))).pictures[0].spool
    assert spool is not None
    assert sniff(spool.read, spool.size).format == "png"


async def test_previews(sandbox: Callable[[str], Channel], ask: Make) -> None:
    asked = ask(GPT, partial_images=1, size=parse("1024x1024"))
    news = [news async for news in Azure().stream(asked, sandbox(Azure.sandbox_path))]
    assert [type(item) for item in news] == [Preview, Done]


async def test_a_deployment_that_is_not_there(sandbox: Callable[[str], Channel], ask: Make) -> None:
    found = await fault(ask(Azure().generic("nothing")), sandbox(Azure.sandbox_path))
    assert isinstance(found, Rejected)
    assert (found.config, found.upstream_code) == (True, "DeploymentNotFound")
