from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import partial

import pytest
from aiohttp import web
from msgspec.structs import replace

from pictura.core.errors import (
    BadRequest,
    Failed,
    Lost,
    Malformed,
    PicturaError,
    Refused,
    Rejected,
    Throttled,
)
from pictura.core.model import ModelCard
from pictura.core.price import Usage
from pictura.core.size import AUTO, fit, parse
from pictura.providers.base import AskPicture, Channel
from pictura.providers.tencent_tokenhub import TencentTokenHub
from tests.providers.conftest import Connect, Make, MakePicture, OpenSpools, Serve, fault_of, files, look, sides
from tests.providers.tencent import Trouble, check_trouble, troubles

CARDS = {card.id: card for card in TencentTokenHub.MODELS}
V3, V35, PANORAMA = CARDS["hy-image-v3"], CARDS["hy-image-v3.5-preview"], CARDS["hy-world2-panorama"]

fault = partial(fault_of, TencentTokenHub())


@pytest.fixture
def tokenhub(sandbox: Connect) -> Channel:
    return sandbox(TencentTokenHub.sandbox_path)


# -- against the sandbox, which is as strict as the vendor --


@pytest.mark.parametrize("card", TencentTokenHub.MODELS, ids=lambda card: card.id)
async def test_every_model_draws_as_its_card_says(card: ModelCard, tokenhub: Channel, ask: Make) -> None:
    done = await TencentTokenHub().start(ask(card, size=fit(AUTO, card.sizes)), tokenhub)
    assert await sides(done)


@pytest.mark.parametrize("card", TencentTokenHub.MODELS, ids=lambda card: card.id)
async def test_every_option_of_a_card_is_taken(
    card: ModelCard, tokenhub: Channel, ask: Make, picture: MakePicture
) -> None:
    options = {
        "seed": 7,
        "footnote": "a fox in the sun",
        "prompt_extend": True,
        "generate_max_pixels": 1_048_576,
        "resize_max_pixels": 65_536,
        "session": "s-1",
        "use_search_tool": True,
    }
    prompt = "" if card is PANORAMA else "a fox"
    params = {name: value for name, value in options.items() if name in card.params}
    images = tuple(picture(512, 512) for _ in range(card.inputs.count))
    done = await TencentTokenHub().start(ask(card, prompt=prompt, images=images, params=params), tokenhub)
    assert await sides(done)


@pytest.mark.parametrize(
    ("card", "size", "expected"),
    [
        (V3, "auto", "1024x1024"),
        (V3, "513x777", "513x777"),
        (V3, "16:9", "1365x768"),
        (V35, "auto", "1536x1536"),
        (V35, "4096x1024", "4096x1024"),
        (V35, "2:3", "832x1248"),
        (PANORAMA, "auto", "1920x960"),
    ],
    ids=lambda value: getattr(value, "id", value),
)
async def test_sizes_of_every_kind(card: ModelCard, size: str, expected: str, tokenhub: Channel, ask: Make) -> None:
    done = await TencentTokenHub().start(ask(card, size=fit(parse(size), card.sizes)), tokenhub)
    assert await sides(done) == [expected]


async def test_a_seed_counts_and_an_input_does(tokenhub: Channel, ask: Make, picture: MakePicture) -> None:
    calls: list[dict[str, object]] = [{"params": {"seed": 7}}, {"params": {"seed": 7}}, {"params": {"seed": 8}}]
    calls.append({**calls[0], "images": (picture(512, 512),)})
    drawn = [await TencentTokenHub().start(ask(V3, **call), tokenhub) for call in calls]
    first, again, *others = [(await files(done))[0] for done in drawn]
    assert first == again
    assert len({first, *others}) == 3


@pytest.mark.parametrize(("size", "tokens"), [("2048x2048", 15_000), ("4096x4096", 20_000)])
async def test_tokens_are_counted(size: str, tokens: int, tokenhub: Channel, ask: Make) -> None:
    done = await TencentTokenHub().start(ask(V35, size=parse(size)), tokenhub)
    assert done.usage == Usage(image_out=tokens)


async def test_a_prompt_is_told_as_it_was_drawn(tokenhub: Channel, ask: Make) -> None:
    done = await TencentTokenHub().start(ask(V3, params={"prompt_extend": True}), tokenhub)
    assert done.pictures[0].revised_prompt == "a fox (as painted in the sandbox)"


TROUBLES = troubles(
    refuses="451001",
    by="tencent-tokenhub",
    refuses_late="content_filter",
    breaks="500001",
    fails={"upstream_code": "502001"},
)


@pytest.mark.parametrize("trouble", TROUBLES, ids=[row[0] for row in TROUBLES])
async def test_what_goes_wrong_is_told(trouble: Trouble, tokenhub: Channel, ask: Make) -> None:
    await check_trouble(trouble, TencentTokenHub(), ask(V35, prompt=f"a fox {trouble[0]}"), tokenhub)


async def test_what_the_vendor_does_not_take_is_the_caller_s_fault(
    tokenhub: Channel, ask: Make, picture: MakePicture
) -> None:
    both = await fault(ask(PANORAMA, images=(picture(512, 512),)), tokenhub)
    small = await fault(ask(PANORAMA, prompt="", images=(picture(),)), tokenhub)
    assert (type(both), type(small)) == (BadRequest, BadRequest)


async def test_a_slow_answer_comes(tokenhub: Channel, ask: Make) -> None:
    assert await TencentTokenHub().start(ask(V3, prompt="[fault:slow 0.1]"), tokenhub)


async def test_results_that_are_broken_or_gone(tokenhub: Channel, ask: Make) -> None:
    done = await TencentTokenHub().start(ask(V3, prompt="[fault:truncated]"), tokenhub)
    (broken,) = await files(done)
    with pytest.raises(AssertionError):
        look(broken)
    done = await TencentTokenHub().start(ask(V35, prompt="[fault:expired]"), tokenhub)
    assert await files(done) == [b""]


# -- what is sent --


class Scripted:
    """A server that answers everything alike, and remembers what it was asked."""

    def __init__(self, answer: object, status: int = 200) -> None:
        self.answer, self.status = answer, status
        self.asked: list[tuple[str, str, object]] = []

    async def handler(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, request.headers["Authorization"], await request.json()))
        return web.json_response(self.answer, status=self.status)


URL = "https://files.example.com/1.png"
DONE = {"data": [{"url": URL}]}


def shown(image: AskPicture) -> str:
    return f"data:image/png;base64,{base64.b64encode(image.source.read()).decode()}"


async def test_what_v3_is_sent(serve: Serve, ask: Make, picture: MakePicture) -> None:
    script, image = Scripted(DONE), picture()
    via = await serve(script.handler)
    params = {"seed": 7, "footnote": "mine", "prompt_extend": False}
    await TencentTokenHub().start(ask(V3), via)
    await TencentTokenHub().start(ask(V3, images=(image,), size=parse("512x768"), params=params), via)
    assert script.asked[0] == (
        "/v1/hunyuan-image/v3-generation",
        f"Bearer {via.secrets['api_key']}",
        {"model": "hy-image-v3", "prompt": "a fox"},
    )
    assert script.asked[1][2] == {
        "model": "hy-image-v3",
        "prompt": "a fox",
        "images": [shown(image)],
        "size": "512x768",
        "seed": 7,
        "footnote": "mine",
        "revise": False,
    }


async def test_what_v35_is_sent(serve: Serve, ask: Make, picture: MakePicture) -> None:
    script, image = Scripted(DONE), picture()
    params = {
        "seed": 7,
        "generate_max_pixels": 1_048_576,
        "session": "s-1",
        "use_search_tool": True,
        "footnote": "auto",
    }
    said = ask(V35, images=(image,), size=parse("512x768"), params=params)
    await TencentTokenHub().start(said, await serve(script.handler))
    content = [{"type": "text", "text": "a fox"}, {"type": "image_url", "image_url": {"url": shown(image)}}]
    path, _, body = script.asked[0]
    assert path == "/v1/hunyuan-image/v35-generation"
    assert body == {
        "model": "hy-image-v3.5-preview",
        "messages": [{"role": "user", "content": content}],
        "size": "512x768",
        "seed": 7,
        "generate_max_pixels": 1_048_576,
        "session": "s-1",
        "use_search_tool": True,
    }


async def test_what_the_panorama_is_sent(serve: Serve, ask: Make, picture: MakePicture) -> None:
    script, image = Scripted(DONE), picture()
    lying = replace(image, url="https://pictures.example.com/1.png")
    via = await serve(script.handler)
    for said in (ask(PANORAMA), *(ask(PANORAMA, prompt="", images=(one,)) for one in (image, lying))):
        await TencentTokenHub().start(said, via)
    assert [path for path, _, _ in script.asked] == ["/v1/hunyuan-video/world2-panorama"] * 3
    assert [body for _, _, body in script.asked] == [
        {"model": PANORAMA.id, **told}
        for told in ({"prompt": "a fox"}, {"image_url": shown(image)}, {"image_url": lying.url})
    ]


async def test_a_model_without_a_path(connect: Connect, ask: Make) -> None:
    found = await fault(ask(V3, native="hy-image-v9"), connect("http://127.0.0.1:9"))
    assert isinstance(found, Rejected)
    assert found.config
    assert "hy-image-v3.5-preview" in found.message


# -- what comes back --


ERRORS: list[tuple[int, dict[str, object], type[PicturaError], dict[str, object]]] = [
    (400, {"type": "invalid_request_error", "code": "400001"}, BadRequest, {}),
    (400, {"type": "invalid_request_error", "code": "400004"}, Rejected, {"config": True, "upstream_code": "400004"}),
    (401, {"type": "authentication_error", "code": "401002"}, Rejected, {"config": True}),
    (402, {"type": "permission_error", "code": "403004"}, Rejected, {"config": True}),
    (403, {"type": "permission_error", "code": 403002}, Rejected, {"config": True, "upstream_code": "403002"}),
    (429, {"type": "rate_limit_error", "code": "429001"}, Throttled, {}),
    (451, {"type": "other", "code": ""}, Refused, {"reason": "other"}),
    (502, {"type": "upstream_error", "code": "502001"}, Failed, {}),
    (200, {"type": "content_filter_error"}, Refused, {"reason": "content_filter_error"}),
    (200, {"type": "invalid_request_error", "code": "content_filter"}, Refused, {"reason": "content_filter"}),
    (200, {"type": "invalid_request_error", "code": "400001"}, BadRequest, {}),
    (200, {"type": "rate_limit_error"}, Throttled, {}),
    (200, {"type": "nobody knows"}, Failed, {}),
]


@pytest.mark.parametrize(("status", "error", "kind", "facts"), ERRORS)
async def test_errors_mean_what_their_codes_say(
    status: int, error: dict[str, object], kind: type[PicturaError], facts: dict[str, object], serve: Serve, ask: Make
) -> None:
    via = await serve(Scripted({"error": {**error, "message": "no"}}, status).handler)
    found = await fault(ask(V3), via)
    assert (type(found), found.message) == (kind, "no")
    assert {name: getattr(found, name) for name in facts} == facts


@pytest.mark.parametrize(
    ("answer", "status", "kind"),
    [
        ({}, 200, Malformed),
        ([], 200, Malformed),
        ({"data": []}, 200, Malformed),
        ({"data": [{"url": ""}]}, 200, Malformed),
        ({"choices": [{"delta": {"image": None}}]}, 200, Malformed),
        ({"detail": "later"}, 503, Lost),
    ],
)
async def test_answers_without_a_picture(
    answer: object, status: int, kind: type[PicturaError], serve: Serve, ask: Make
) -> None:
    assert type(await fault(ask(V3), await serve(Scripted(answer, status).handler))) is kind


@pytest.mark.parametrize("usage", [None, {}, {"total_tokens": "15000"}, {"total_tokens": -1}, {"total_tokens": 0}])
async def test_tokens_that_are_none_are_not_counted(
    usage: Mapping[str, object] | None, serve: Serve, ask: Make
) -> None:
    answer = {"choices": [{"delta": {"image": {"url": URL}}}], "tokenhub_usage": usage}
    done = await TencentTokenHub().start(ask(V35), await serve(Scripted(answer).handler))
    assert (done.usage, [raw.url for raw in done.pictures]) == (None, [URL])


async def test_nothing_stays_open(tokenhub: Channel, ask: Make, open_spools: OpenSpools) -> None:
    await TencentTokenHub().start(ask(V3), tokenhub)
    await fault(ask(V3, prompt="[refuse]"), tokenhub)
    await fault(ask(V3, prompt="[fault:garbage]"), tokenhub)
    assert not open_spools()
