"""Answers on their way out: whole, as events, and to clients that have gone."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
import pytest_asyncio
from starlette.types import Message

from pictura.core.job import JobState
from pictura.core.picture import Inline
from pictura.dialects.base import Event, Reply
from pictura.doors.http import speak
from pictura.doors.http.answer import EventStream, Watch, send_reply
from tests.doors.door import (
    DEPOSIT,
    GENERATIONS,
    MODEL,
    PRICE,
    SHARED,
    Door,
    channel,
    connected,
    head,
    look,
    open_door,
    until,
    usual_channels,
)
from tests.upstream import Upstream, file, noise, page, picture, stream, when

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Served by a channel that makes one call at a time.
NARROW = "somebody/narrow"
PATH = GENERATIONS["openai"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_door(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> AsyncIterator[Door]:
    narrow = channel(shared_upstream, "narrow", models=(NARROW,), max_concurrency=1)
    patient = [msgspec.structs.replace(usual, timeout_s=20) for usual in usual_channels(shared_upstream)]
    async with open_door(tmp_path_factory.mktemp("house"), shared_upstream, channels=(*patient, narrow)) as door:
        yield door


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_left(door: Door) -> AsyncIterator[None]:
    yield
    await until(lambda: not door.left_behind() and not door.house.gateway.running)
    assert door.purse().held == 0


class Wire:
    """Keeps what an application sends."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode("latin-1") for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def ended(self) -> bool:
        """Once, and at the end."""
        more = [message.get("more_body", False) for message in self.messages[1:]]
        return more.count(False) == 1 and more[-1] is False


class Large:
    """A picture of 600 KB."""

    data = bytes(range(256)) * 2400
    size = len(data)

    def read(self, offset: int = 0, size: int = -1) -> bytes:
        return self.data[offset:] if size < 0 else self.data[offset : offset + size]

    def chunks(self, size: int = 65536) -> Iterator[bytes]:
        yield from (self.data[start : start + size] for start in range(0, self.size, size))


# -- whole answers --


@pytest.mark.parametrize(
    "reply",
    [Reply({"data": "狐"}), Reply(b"<svg/>", 200, {}, "image/svg+xml"), Reply(b"", 204), Reply(b"", 200)],
    ids=str,
)
async def test_an_answer_is_as_long_as_it_says(reply: Reply) -> None:
    wire = Wire()
    await send_reply(wire.send, reply, {"x-request-id": "req_1"})
    assert wire.messages[0]["status"] == reply.status
    assert wire.headers["content-length"] == str(len(wire.body))
    assert (wire.headers["content-type"], wire.headers["x-request-id"]) == (reply.media_type, "req_1")
    assert "connection" not in wire.headers
    assert wire.ended


async def test_a_picture_becomes_base64_piece_by_piece() -> None:
    wire = Wire()
    await send_reply(wire.send, Reply({"b64_json": Inline(Large())}), {})
    assert msgspec.json.decode(wire.body, type=dict[str, bytes]) == {"b64_json": Large.data}
    assert wire.headers["content-length"] == str(len(wire.body))
    assert len(wire.messages) > 3
    assert wire.ended


async def test_a_reply_s_own_headers_count_more_and_close_is_said() -> None:
    wire = Wire()
    await send_reply(wire.send, Reply({}, 429, {"retry-after": "7"}), {"retry-after": "1"}, close=True)
    assert wire.headers["retry-after"] == "7"
    assert wire.headers["connection"] == "close"


# -- events --


async def test_a_stream_begins_with_its_first_event() -> None:
    wire = Wire()
    events = EventStream(wire.send, {"x-request-id": "req_1"}, b": still drawing\n\n")
    assert not events.begun and not wire.messages
    await events.keep_alive()
    await events.event(Event("done", {"b64_json": Inline(Large()), "text": "two\nlines"}))
    await events.end()
    assert events.begun and wire.ended
    assert wire.headers == {
        "x-request-id": "req_1",
        "cache-control": "no-cache",
        "x-accel-buffering": "no",
        "content-type": "text/event-stream",
    }
    comment, event, rest = wire.body.split(b"\n\n")
    name, data = event.split(b"\n")
    assert (comment, name, rest) == (b": still drawing", b"event: done", b"")
    told = msgspec.json.decode(data.removeprefix(b"data: "), type=dict[str, str])
    assert told["text"] == "two\nlines"


async def read_events(door: Door, fields: dict[str, object]) -> tuple[int, list[str]]:
    answer = await door.ask({"prompt": "a fox", "stream": True, **fields})
    return answer.status, [part for part in answer.body.decode().split("\n\n") if part]


async def test_a_silent_stream_is_kept_alive(door: Door, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speak, "KEEP_ALIVE_S", 0.05)
    go_on = asyncio.Event()
    upstream.always = when(go_on)
    asking = asyncio.create_task(read_events(door, {"model": MODEL}))
    await asyncio.sleep(0.3)
    go_on.set()
    status, (*comments, last) = await asking
    assert status == 200
    assert len(comments) >= 2 and set(comments) == {": still drawing"}
    assert last.startswith("event: image_generation.completed\ndata: {")


async def test_an_error_after_the_stream_has_begun_is_an_event(
    door: Door, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speak, "KEEP_ALIVE_S", 0.05)
    go_on = asyncio.Event()
    upstream.always = when(go_on, page(502))
    asking = asyncio.create_task(read_events(door, {"model": MODEL}))
    await asyncio.sleep(0.2)
    go_on.set()
    status, events = await asking
    name, _, data = events[-1].partition("\n")
    assert (status, name) == (200, "event: error")
    error = msgspec.json.decode(data.removeprefix("data: "), type=dict[str, dict[str, object]])["error"]
    assert error["code"] == "upstream_lost"
    assert str(error["request_id"]).startswith("req_")


async def test_an_error_before_is_an_ordinary_answer(door: Door, upstream: Upstream) -> None:
    upstream.always = page(502)
    answer = await door.ask({"model": MODEL, "prompt": "a fox", "stream": True})
    assert (answer.status, answer.headers["content-type"]) == (504, "application/json")
    assert answer.headers["x-should-retry"] == "false"
    assert door.job(answer).state is JobState.FAILED


# -- clients that go --


async def leave(door: Door, upstream: Upstream, **fields: object) -> None:
    """Ask, and hang up once the request is with the provider."""
    body = msgspec.json.encode({"prompt": "a fox", **fields})
    async with connected(door.port) as (_, writer):
        writer.write(head("POST", PATH, Content_Type="application/json", Content_Length=len(body)) + body)
        await upstream.wait_for(1)


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"stream": True, "partial_images": 2}], ids=str)
async def test_what_was_sent_is_finished_and_kept(
    fields: dict[str, object], door: Door, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    go_on, before = asyncio.Event(), door.purse().balance
    upstream.always = when(go_on)
    await leave(door, upstream, model=MODEL, **fields)
    await until(lambda: "the client went away" in caplog.text)
    go_on.set()
    await until(lambda: not door.house.gateway.running)
    job = door.jobs()[0]
    assert job.state is JobState.SUCCEEDED
    assert door.purse().balance == before - PRICE
    assert job.result is not None
    assert look(door.house.blobs.open(job.result.pictures[0].key).read()).width == 64
    # It waits under its id: the client's retry finds it.
    again = await door.ask({"model": MODEL, "prompt": "a fox", **fields}, headers={"x-stainless-retry-count": "1"})
    assert again.headers["x-pictura-job"] == job.id
    assert len(upstream.seen) == 1


async def test_previews_that_nobody_waits_for_are_let_go(door: Door, upstream: Upstream) -> None:
    go_on = asyncio.Event()
    encoded = base64.b64encode(noise()).decode()
    previews = [
        ("image_generation.partial_image", {"b64_json": encoded, "partial_image_index": index}) for index in range(3)
    ]
    last = ("image_generation.completed", {"b64_json": encoded})
    upstream.always = stream(*previews, last, pause=go_on)
    await leave(door, upstream, model=SHARED, stream=True, partial_images=3)
    await asyncio.sleep(0.3)
    go_on.set()
    await until(lambda: not door.house.gateway.running)
    assert door.jobs()[0].state is JobState.SUCCEEDED


async def test_what_was_not_sent_yet_is_cancelled(door: Door, upstream: Upstream) -> None:
    go_on, before = asyncio.Event(), door.purse().balance
    upstream.always = when(go_on)
    first = asyncio.create_task(door.ask({"model": NARROW, "prompt": "the first"}))
    await upstream.wait_for(1)
    body = msgspec.json.encode({"model": NARROW, "prompt": "the second"})
    try:
        async with connected(door.port) as (_, writer):
            writer.write(head("POST", PATH, Content_Type="application/json", Content_Length=len(body)) + body)
            await until(lambda: door.house.gateway.running == 2)
        await until(lambda: door.jobs()[0].state is JobState.CANCELLED, 1)
    finally:
        go_on.set()
        await first
    assert len(upstream.seen) == 1
    assert door.purse().balance == before - PRICE


async def test_who_goes_while_a_reference_is_fetched_pays_nothing(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream
) -> None:
    go_on = asyncio.Event()
    upstream.files["/fox.png"] = when(go_on, file(picture()))
    allowed = f"127.0.0.1:{upstream.port}"
    async with open_door(tmp_path_factory.mktemp("house"), upstream, fetch_allow=allowed) as door:
        body = msgspec.json.encode({"model": MODEL, "prompt": "a hat", "image": f"{upstream.address}/fox.png"})
        async with connected(door.port) as (_, writer):
            writer.write(head("POST", PATH, Content_Type="application/json", Content_Length=len(body)) + body)
            await until(lambda: upstream.fetched)
        await asyncio.sleep(0.3)
        go_on.set()
        await asyncio.sleep(0.1)
        await door.house.gateway.drain(5)
        assert not upstream.seen
        assert door.purse().balance == DEPOSIT


# -- noticing it --


async def test_a_watch_sees_the_client_go() -> None:
    gone: list[bool] = []
    messages = iter([{"type": "http.request"}, {"type": "http.disconnect"}])

    async def receive() -> Message:
        return next(messages)

    watch = Watch(receive)
    watch.tell(lambda: gone.append(True))
    await until(lambda: gone == [True])


async def test_who_asks_late_is_told_that_the_client_went(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "MOMENT_S", 0)
    gone, looked = [], asyncio.Event()

    async def receive() -> Message:
        looked.set()
        return {"type": "http.disconnect"}

    watch = Watch(receive)
    await looked.wait()
    await asyncio.sleep(0)
    watch.tell(lambda: gone.append(True))
    assert gone == [True]


async def test_a_watch_that_is_stopped_looks_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "MOMENT_S", 0)
    looked = asyncio.Event()

    async def receive() -> Message:
        looked.set()
        return await asyncio.Future()

    watch = Watch(receive)
    watch.tell(lambda: pytest.fail("nobody went"))
    await looked.wait()
    watch.stop()
    early = Watch(receive)
    looked.clear()
    early.stop()
    await asyncio.sleep(0.01)
    assert not looked.is_set()
