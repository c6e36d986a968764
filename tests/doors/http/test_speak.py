"""From a request to its answer: deliveries and formats, what the headers say, references, relays, and bugs of ours."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from pictura.core.media import Media
from pictura.core.request import Body, ImageRequest
from pictura.core.views import Call
from pictura.dialects.openai import OpenAI
from pictura.infra.blobs import LocalBlobs
from tests.doors.door import (
    ADMIN,
    EDITS,
    GENERATIONS,
    GENERIC,
    LIVE,
    MODEL,
    PRICE,
    SHARED,
    TEST,
    DialectName,
    Door,
    channel,
    look,
    open_door,
    until,
)
from tests.upstream import Behaviour, Upstream, data_with, draw, draw_by_url, file, noise, picture, reply, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIALECTS: tuple[DialectName, ...] = ("openai", "imagerouter")
ASK = {"model": SHARED, "prompt": "a fox", "size": "1024x640"}


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_left(door: Door) -> AsyncIterator[None]:
    yield
    await until(lambda: not door.left_behind() and not door.house.gateway.running)
    assert door.purse().held == 0


# -- deliveries --


@pytest.mark.parametrize("behaviour", [draw, draw_by_url])
@pytest.mark.parametrize("delivery", ["b64_json", "url"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_either_delivery_from_either_upstream(
    dialect: DialectName, delivery: str, behaviour: Behaviour, door: Door, upstream: Upstream
) -> None:
    upstream.always = behaviour
    answer = await door.ask(
        {**ASK, "n": 2, "response_format": delivery, "output_format": "png"}, path=GENERATIONS[dialect]
    )
    first, second = answer.drawn.data
    if delivery == "url":
        assert not first.b64_json and first.url != second.url
        data = (await door.send("GET", first.url)).body
    else:
        assert not first.url
        data = answer.picture
    assert look(data) == Media("image/png", 1024, 640)
    assert len(upstream.seen) == 1


async def test_a_house_without_room_asks_nobody(
    door: Door, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = len(door.jobs())
    monkeypatch.setattr(LocalBlobs, "least_room_bytes", 1 << 62)
    for dialect in ("openai", "imagerouter", "omnirouters"):
        answer = await door.ask(ASK, path=f"/{dialect}/v1/images/generations")
        assert answer.status == 500
        assert b"no room left for pictures" in answer.body
    assert not upstream.seen and len(door.jobs()) == before and door.left_behind() == []
    monkeypatch.undo()
    assert (await door.ask(ASK)).status == 200


async def test_usual_deliveries(door: Door) -> None:
    """Where nobody says anything: openai base64 in the vendor's format, imagerouter a URL of a WebP."""
    assert look((await door.ask(ASK)).picture).type == "image/png"
    answer = await door.ask(ASK, path=GENERATIONS["imagerouter"])
    assert look((await door.send("GET", answer.url)).body).type == "image/webp"


# -- formats --


@pytest.mark.parametrize("wanted", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("came", ["png", "jpeg", "webp"])
async def test_a_vendor_s_format_becomes_the_one_asked_for(
    wanted: str, came: str, door: Door, upstream: Upstream
) -> None:
    original = picture(256, 128, came)
    upstream.queue.append(data_with(original))
    answer = await door.ask({**ASK, "output_format": wanted})
    assert look(answer.picture) == Media(f"image/{wanted}", 256, 128)
    assert answer.drawn.output_format == wanted
    if wanted == came:
        assert answer.picture == original


@pytest.mark.parametrize("wanted", ["jpeg", "webp"])
async def test_compression(wanted: str, door: Door, upstream: Upstream) -> None:
    """The vendor sent a PNG whatever it was asked for, so it is done here."""
    upstream.always = data_with(noise())
    sizes = []
    for compression in (10, 90):
        answer = await door.ask({**ASK, "output_format": wanted, "output_compression": compression})
        sizes.append(len(answer.picture))
    assert sizes[0] < sizes[1] / 2


async def test_a_png_is_not_compressed_in_silence(door: Door, upstream: Upstream) -> None:
    fields = {**ASK, "output_format": "png", "output_compression": 30}
    refused = await door.ask(fields)
    assert (refused.status, refused.error.param, refused.error.code) == (400, "output_compression", "invalid_value")
    assert not upstream.seen
    answer = await door.ask(fields, path=GENERATIONS["imagerouter"])
    assert (answer.status, answer.headers["x-pictura-adjusted"]) == (200, "output_compression=30→none")


async def test_a_format_that_the_vendor_takes_is_asked_of_it(door: Door, upstream: Upstream) -> None:
    await door.ask({**ASK, "output_format": "jpeg", "output_compression": 30})
    assert upstream.seen[0].fields["output_format"] == "jpeg"
    assert upstream.seen[0].fields["output_compression"] == 30


# -- headers --


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_answer_has_its_own_id(dialect: DialectName, door: Door) -> None:
    answers = await asyncio.gather(*(door.ask(ASK, path=GENERATIONS[dialect]) for _ in range(8)))
    answers += await asyncio.gather(*(door.ask({}, path=GENERATIONS[dialect]) for _ in range(8)))
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids)


async def test_an_answer_names_its_job(door: Door) -> None:
    answer = await door.ask(ASK)
    job = door.job(answer)
    assert (job.model, job.dialect, job.cost, job.state.value) == (SHARED, "openai", PRICE, "succeeded")


async def test_a_picture_of_another_size_is_said_to_be_one(door: Door, upstream: Upstream) -> None:
    upstream.queue.append(data_with(picture(64, 64)))
    answer = await door.ask(ASK)
    assert answer.headers["x-pictura-adjusted"] == "size=1024x640→64x64"
    assert answer.drawn.size == "64x64"


@pytest.mark.parametrize("fields", [{}, {"stream": True}], ids=["whole", "stream"])
async def test_sandbox_answers_say_so(fields: dict[str, object], door: Door) -> None:
    small = {"model": "test/test", "prompt": "a fox", "size": "64x64", **fields}
    for key, model in ((TEST, "test/test"), (TEST, SHARED), (LIVE, "test/test")):
        answer = await door.ask({**small, "model": model, "size": "1024x640"}, key=key)
        assert (answer.status, answer.headers.get("x-pictura-sandbox")) == (200, "true"), (key, model)
    assert "x-pictura-sandbox" not in (await door.ask({**ASK, **fields})).headers


async def test_the_sandbox_costs_nothing(door: Door) -> None:
    before = door.purse()
    answer = await door.ask({"model": "test/test", "prompt": "a fox"}, path=GENERATIONS["imagerouter"])
    assert answer.drawn.cost == 0
    assert door.purse() == before


async def test_pages_of_other_sites_may_call(door: Door) -> None:
    answer = await door.ask(ASK, headers={"Origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-expose-headers"] == "*"
    asked = {"Origin": "https://app.example", "Access-Control-Request-Headers": "authorization,content-type"}
    allowed = await door.send("OPTIONS", GENERATIONS["openai"], headers=asked)
    assert allowed.status == 204
    # The wildcard does not stand for this one.
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    assert allowed.headers["access-control-allow-methods"] == "GET, POST, DELETE, OPTIONS"
    assert "access-control-allow-credentials" not in allowed.headers


# -- what is passed on --


async def test_a_model_that_no_card_describes(door: Door, upstream: Upstream) -> None:
    """Nothing is refused that its provider might take."""
    answer = await door.ask({"model": GENERIC, "prompt": "a fox", "size": "333x77", "seed": 7, "style": "noir"})
    assert answer.status == 200
    told = {"model": GENERIC, "prompt": "a fox", "n": 1, "size": "333x77", "seed": 7, "style": "noir"}
    assert upstream.seen[0].fields == told
    assert door.job(answer).cost == PRICE


async def test_the_channel_s_key_and_no_other_is_shown_to_the_provider(door: Door, upstream: Upstream) -> None:
    await door.ask(ASK, headers={"OpenAI-Organization": "org-secret", "Cookie": "a=b"})
    headers = upstream.seen[0].headers
    assert headers["authorization"] == "Bearer sk-upstream-0123456789abcdef"
    assert not {"cookie", "openai-organization", "x-forwarded-for"} & set(headers)
    assert LIVE not in str(headers)


@pytest.mark.parametrize(
    "bill",
    [
        {"cost": 1e30},
        {"cost": -1},
        {"usage": {"input_tokens": 1, "output_tokens": 2**63 - 1}},
        {"usage": {"input_tokens": 2**70, "output_tokens": 1}},
    ],
    ids=str,
)
async def test_a_bill_that_cannot_be_does_not_cost_the_picture(
    bill: dict[str, object], tmp_path_factory: pytest.TempPathFactory, upstream: Upstream
) -> None:
    unpriced = channel(upstream, "unpriced", models=(MODEL, GENERIC), price=None)
    async with open_door(tmp_path_factory.mktemp("house"), upstream, channels=(unpriced,)) as door:
        data = [{"b64_json": base64.b64encode(picture()).decode()}]
        upstream.always = reply(200, msgspec.json.encode({"data": data, **bill}))
        # By its card's price, the dearest that it may be; without one nobody knows.
        for model, cost in ((MODEL, 133_130), (GENERIC, None)):
            answer = await door.ask({"model": model, "prompt": "a fox"}, key=ADMIN)
            assert look(answer.picture).width == 64
            assert door.job(answer).cost == cost
        assert door.purse("default").balance == -133_130


# -- pictures by URL --


async def test_a_reference_is_fetched(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> None:
    original = picture(80, 48, "webp")
    upstream.files["/fox.webp?size=large"] = file(original, "image/webp")
    async with open_door(tmp_path_factory.mktemp("house"), upstream, fetch_allow=f"127.0.0.1:{upstream.port}") as door:
        images = [{"image_url": f"{upstream.address}/fox.webp?size=large"}]
        answer = await door.ask({"model": MODEL, "prompt": "a hat", "images": images}, path=EDITS["openai"])
        assert answer.status == 200
        assert upstream.seen[0].files == [("image", original)]
        await until(lambda: not door.left_behind())


@pytest.mark.parametrize("base", ["", "https://img.example.com", "http://api.imagerouter.io"])
async def test_a_picture_of_this_house_is_known_again(base: str, door: Door, upstream: Upstream) -> None:
    """Under whatever name: it is not fetched, which would be refused, for it lies in a private network."""
    url = (await door.ask({**ASK, "response_format": "url"})).url
    original = (await door.send("GET", url)).body
    reference = (base or door.url) + url.removeprefix(door.url)
    answer = await door.ask({"model": MODEL, "prompt": "a hat", "image": reference}, path=EDITS["openai"])
    assert answer.status == 200, answer.body
    assert upstream.seen[1].files == [("image", original)]
    assert (await door.send("GET", url)).body == original


async def test_a_forged_or_expired_link_of_this_house(
    door: Door, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = (await door.ask({**ASK, "response_format": "url"})).url
    monkeypatch.setattr(door.house.links, "_ttl_s", -1)
    expired = door.house.links.sign(door.url, url.partition("/files/")[2].partition("?")[0])
    for bad, why in ((url[:-1], "this link is not one of this house's"), (expired, "this link has expired")):
        answer = await door.ask({"model": MODEL, "prompt": "a hat", "image": bad}, path=EDITS["openai"])
        assert (answer.status, answer.error.param) == (400, "image")
        assert why in answer.error.message
    assert len(upstream.seen) == 1


async def test_a_picture_of_this_house_that_is_gone(door: Door, upstream: Upstream) -> None:
    url = (await door.ask({**ASK, "response_format": "url"})).url
    await door.house.blobs.delete(url.partition("/files/")[2].partition("?")[0])
    answer = await door.ask({"model": MODEL, "prompt": "a hat", "image": url}, path=EDITS["openai"])
    assert (answer.status, answer.error.param) == (400, "image")
    assert "no longer kept" in answer.error.message


# -- relays --


async def test_a_relay_hands_the_vendor_s_url_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with running(Upstream(draw_by_url)) as upstream:
        relay = channel(upstream, "relay", models=(MODEL,), results="relay")
        async with open_door(tmp_path_factory.mktemp("house"), upstream, channels=(relay,)) as door:
            fields = {"model": MODEL, "prompt": "a fox"}
            for path in GENERATIONS.values():
                answer = await door.ask(fields, path=path)
                assert answer.url.startswith(f"{upstream.address}/pictures/")
                assert not answer.drawn.data[0].b64_json
            assert (upstream.fetched, door.outputs()) == ([], [])
            assert door.purse().balance == 100_000_000 - 2 * PRICE
            named = await door.ask({**fields, "response_format": "b64_json"})
            assert look(named.picture).type == "image/png"
            ephemeral = await door.ask({**fields, "response_format": "b64_ephemeral"})
            assert look(ephemeral.picture).type == "image/png"
            assert len(door.outputs()) == 1


async def test_a_relay_still_hosts_what_comes_as_bytes(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with running(Upstream(draw)) as upstream:
        relay = channel(upstream, "relay", models=(MODEL,), results="relay")
        async with open_door(tmp_path_factory.mktemp("house"), upstream, channels=(relay,)) as door:
            answer = await door.ask({"model": MODEL, "prompt": "a fox"}, path=GENERATIONS["imagerouter"])
            assert look((await door.send("GET", answer.url)).body).type == "image/webp"


# -- our own bugs, our own log --


@pytest.mark.parametrize("stream", [False, True])
async def test_a_bug_is_told_by_its_request_id_alone(
    stream: bool, door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: OpenAI, call: Call, body: Body, *, edit: bool) -> ImageRequest:
        raise RuntimeError("the inner workings")

    monkeypatch.setattr(OpenAI, "decode", broken)
    answer = await door.ask({**ASK, "stream": stream})
    assert (answer.status, answer.error.type, answer.error.code) == (500, "server_error", None)
    assert b"inner workings" not in answer.body
    assert answer.error.request_id == answer.headers["x-request-id"]
    assert answer.error.request_id in caplog.text
    assert "inner workings" in caplog.text
    monkeypatch.undo()
    assert (await door.ask(ASK)).status == 200
