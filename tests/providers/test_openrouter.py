from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec.structs import replace

from pictura.core.errors import BadRequest, Failed, Lost, PicturaError, Refused, Rejected, Throttled
from pictura.core.model import Anything, ModelCard
from pictura.core.price import Usage
from pictura.core.size import Size, parse
from pictura.providers.base import Ask, AskPicture, Channel, Done, Preview
from pictura.providers.openrouter import OpenRouter

SEEDREAM, GEMINI, GPT = OpenRouter.MODELS
GENERIC = OpenRouter().generic("black-forest-labs/flux.2-pro")
BASE64 = base64.b64encode(bytes(range(256)) * 20).decode()

Serve = Callable[[Handler], Awaitable[Channel]]
Make = Callable[..., Ask]
MakePicture = Callable[..., AskPicture]


def says(document: object, status: int = 200) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.json_response(document, status=status, headers={"Retry-After": "60"})

    return handler


async def sent(asked: Ask, serve: Serve) -> dict[str, object]:
    noted: list[tuple[str, dict[str, object]]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        noted.append((request.path, await request.json()))
        return web.json_response({"created": 0, "data": [{"b64_json": BASE64}]})

    await OpenRouter().start(asked, await serve(handler))
    path, fields = noted[0]
    assert path == "/v1/images"
    return fields


# -- what is sent --


async def test_a_generation_in_its_words(serve: Serve, ask: Make) -> None:
    params = {"quality": "high", "background": "transparent"}
    asked = ask(GPT, n=2, size=parse("1536x1024"), params=params, output_format="webp", output_compression=80)
    assert await sent(asked, serve) == {
        "model": "openai/gpt-image-2",
        "prompt": "a fox",
        "n": 2,
        "size": "1536x1024",
        "output_format": "webp",
        "output_compression": 80,
        **params,
    }


@pytest.mark.parametrize("tier", ["512", "0.5K"])
async def test_the_smallest_tier_is_a_number(tier: str, serve: Serve, ask: Make) -> None:
    fields = await sent(ask(GEMINI, size=Size(aspect="16:9", tier=tier)), serve)
    assert (fields["aspect_ratio"], fields["resolution"]) == ("16:9", "512")


async def test_what_one_vendor_takes_an_operator_can_set(serve: Serve, ask: Make) -> None:
    options = {"options": {"bytedance": {"watermark": True}}}
    card = replace(SEEDREAM, params={**SEEDREAM.params, "provider": Anything()})
    assert (await sent(ask(card, params={"seed": 7, "provider": options}), serve))["provider"] == options


async def test_references_are_data_urls(serve: Serve, ask: Make, picture: MakePicture) -> None:
    image = picture()
    url = f"data:image/png;base64,{base64.b64encode(image.source.read()).decode()}"
    fields = await sent(ask(SEEDREAM, images=(image,)), serve)
    assert fields["input_references"] == [{"type": "image_url", "image_url": {"url": url}}]


# -- what comes back --


@pytest.mark.parametrize(
    ("usage", "expected", "cost"),
    [
        (
            {"prompt_tokens": 7, "completion_tokens": 4175, "total_tokens": 4182, "cost": 0.04},
            Usage(text_in=7, image_out=4175),
            40_000,
        ),
        ({"prompt_tokens": 0, "completion_tokens": 0, "cost": 0.1234567}, None, 123_457),
        ({"prompt_tokens": -1, "completion_tokens": 5, "cost": None}, None, None),
        (None, None, None),
    ],
)
async def test_the_cost_it_tells(
    usage: object, expected: Usage | None, cost: int | None, serve: Serve, ask: Make
) -> None:
    document = {"created": 1748372400, "data": [{"b64_json": BASE64, "media_type": "image/png"}], "usage": usage}
    done = await OpenRouter().start(ask(SEEDREAM), await serve(says(document)))
    assert (done.usage, done.cost) == (expected, cost)


@pytest.mark.parametrize(
    ("status", "code", "metadata", "kind", "facts"),
    [
        (400, 400, {"error_type": "invalid_request"}, BadRequest, {}),
        (400, 400, {"error_type": "content_policy_violation"}, Refused, {"reason": "content_policy_violation"}),
        (400, 400, {"error_type": "refusal"}, Refused, {"reason": "refusal"}),
        (403, 403, {"reasons": ["violence"], "flagged_input": "…"}, Refused, {"by": "openrouter"}),
        (403, 403, {"patterns": ["ignore"]}, Rejected, {"config": True}),
        (401, 401, None, Rejected, {"config": True}),
        (402, 402, None, Rejected, {"config": True}),
        (404, 404, {"error_type": "not_found"}, Rejected, {"config": True}),
        (429, 429, {"error_type": "rate_limit_exceeded"}, Throttled, {"retry_after_s": 60}),
        (503, 503, {"error_type": "provider_overloaded"}, Failed, {"safe_elsewhere": True, "retry_after_s": 60}),
        (502, 502, {"error_type": "provider_unavailable"}, Failed, {"possibly_billed": False}),
        (200, 429, {"error_type": "rate_limit_exceeded"}, Throttled, {}),
        (200, 400, {"error_type": "content_policy_violation"}, Refused, {}),
        (200, "server_error", None, Failed, {"possibly_billed": False}),
    ],
)
async def test_errors_by_type_and_status(
    status: int,
    code: object,
    metadata: object,
    kind: type[PicturaError],
    facts: Mapping[str, object],
    serve: Serve,
    ask: Make,
) -> None:
    error = {"code": code, "message": "no", **({"metadata": metadata} if metadata else {})}
    with pytest.raises(PicturaError) as caught:
        await OpenRouter().start(ask(SEEDREAM), await serve(says({"error": error}, status)))
    assert type(caught.value) is kind
    assert {name: getattr(caught.value, name) for name in facts} == facts


async def test_a_proxys_error_is_not_its_own(serve: Serve, ask: Make) -> None:
    with pytest.raises(Lost):
        await OpenRouter().start(ask(SEEDREAM), await serve(says({"title": "Bad gateway"}, 502)))


# -- against the sandbox --


async def test_previews_and_the_cost_at_the_end(sandbox: Callable[[str], Channel], ask: Make) -> None:
    asked = ask(GPT, partial_images=2, size=parse("1024x1024"))
    preview, done = [news async for news in OpenRouter().stream(asked, sandbox(OpenRouter.sandbox_path))]
    assert isinstance(preview, Preview) and isinstance(done, Done)
    assert done.cost == 130_000


async def test_whoever_shows_no_previews_just_answers(sandbox: Callable[[str], Channel], ask: Make) -> None:
    asked = ask(SEEDREAM, partial_images=2, size=Size(tier="2K"))
    (done,) = [news async for news in OpenRouter().stream(asked, sandbox(OpenRouter.sandbox_path))]
    assert isinstance(done, Done)


@pytest.mark.parametrize(
    ("card", "more"),
    [
        (SEEDREAM, {"n": 2}),
        (SEEDREAM, {"size": Size(tier="1K")}),
        (GENERIC, {"params": {"style": "vivid"}}),
        (GPT, {"params": {"background": "transparent"}, "output_format": "jpeg"}),
        (GENERIC, {"prompt": ""}),
    ],
)
async def test_what_the_router_refuses(
    card: ModelCard, more: Mapping[str, object], sandbox: Callable[[str], Channel], ask: Make
) -> None:
    with pytest.raises(BadRequest):
        await OpenRouter().start(ask(card, **more), sandbox(OpenRouter.sandbox_path))


async def test_a_task_that_fails_is_not_billed(sandbox: Callable[[str], Channel], ask: Make) -> None:
    with pytest.raises(Failed) as caught:
        await OpenRouter().start(ask(SEEDREAM, prompt="a fox [fault:failed]"), sandbox(OpenRouter.sandbox_path))
    assert caught.value.safe_elsewhere
