"""What an operator sets on a channel is what its provider sees: headers, options, an egress proxy, a region."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from pictura.infra.config import ChannelSettings
from tests.doors.door import LIVE, MODEL, Door, channel, look, open_door
from tests.upstream import KEY, Upstream, picture, running


@asynccontextmanager
async def one_channel(folder: Path, **said: object) -> AsyncIterator[Door]:
    async with running(Upstream()) as upstream:
        settings: ChannelSettings = channel(upstream, "main", models=(MODEL,), **said)
        async with open_door(folder, upstream, channels=(settings,)) as door:
            yield door


async def test_its_headers_go_with_every_call_in_the_place_of_the_providers_own(tmp_path: Path) -> None:
    headers = {"OpenAI-Organization": "org-1", "authorization": "Bearer sk-of-the-proxy-in-between"}
    async with one_channel(tmp_path, headers=headers) as door:
        assert (await door.ask({"model": MODEL, "prompt": "a fox"})).status == 200
        (seen,) = door.upstream.seen
    assert seen.headers["openai-organization"] == "org-1"
    assert seen.headers["authorization"] == "Bearer sk-of-the-proxy-in-between"
    assert KEY not in str(seen.headers)


async def test_its_options_win_over_the_clients(tmp_path: Path) -> None:
    params = {"moderation": "low", "x_vendor_switch": {"on": True}}
    async with one_channel(tmp_path, params=params) as door:
        answer = await door.ask({"model": MODEL, "prompt": "a fox", "moderation": "auto", "quality": "low"})
        assert answer.status == 200
        fields = door.upstream.seen[0].fields
        # What was asked stands on the job; what the operator adds is his own affair.
        assert door.job(answer).request.params == {"moderation": "auto", "quality": "low"}
    assert (fields["moderation"], fields["quality"]) == ("low", "low")
    assert fields["x_vendor_switch"] == {"on": True}


@asynccontextmanager
async def proxy() -> AsyncIterator[tuple[list[str], int]]:
    """Passes on what is sent to it as a whole URL; gives the URLs, and its port."""
    targets: list[str] = []

    async def forward(request: web.BaseRequest) -> web.Response:
        targets.append(str(request.url))
        kept = {"Authorization": request.headers["Authorization"], "Content-Type": request.headers["Content-Type"]}
        body = await request.read()
        async with ClientSession() as http, http.post(request.url, data=body, headers=kept) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

    runner = web.ServerRunner(web.Server(forward))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield targets, runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_its_calls_leave_through_its_proxy(tmp_path: Path) -> None:
    async with proxy() as (targets, port), one_channel(tmp_path, proxy=f"http://127.0.0.1:{port}") as door:
        answer = await door.ask({"model": MODEL, "prompt": "a fox", "response_format": "b64_json"})
        assert answer.status == 200
        assert look(answer.picture).type == look(picture()).type
        assert targets == [f"{door.upstream.url}/images/generations"]


async def test_a_proxy_that_is_not_there_is_nobodys_bill(tmp_path: Path) -> None:
    async with one_channel(tmp_path, proxy="http://127.0.0.1:9") as door:
        answer = await door.ask({"model": MODEL, "prompt": "a fox"}, key=LIVE)
        assert (answer.status, answer.error.code) == (503, "upstream_unreachable")
        assert door.upstream.seen == []
        assert door.purse().held == 0


@pytest.mark.parametrize(("region", "asked"), [("Mainland", "near"), ("Oversea", "far"), ("OverseaUSWest", "near")])
async def test_a_region_is_preferred_and_excludes_nobody(tmp_path: Path, region: str, asked: str) -> None:
    async with running(Upstream()) as near, running(Upstream()) as far:
        channels = (
            channel(near, "near", models=(MODEL,), region="Mainland"),
            channel(far, "far", models=(MODEL,), region="Oversea", priority=1),
        )
        async with open_door(tmp_path, near, channels=channels) as door:
            body = {"model": MODEL, "prompt": "a fox", "input_region": region}
            assert (await door.ask(body, path="/omnirouters/v1/images/generations")).status == 200
        assert {"near": len(near.seen), "far": len(far.seen)} == {"near": 0, "far": 0, asked: 1}
