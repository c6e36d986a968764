"""Bodies on their way in: caps to the byte, clients that are slow, silent, rude or gone."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from pictura.dialects.base import Limits
from pictura.doors.http import body
from pictura.infra.config import ServerSettings
from tests.doors.door import (
    EDITS,
    GENERATIONS,
    LIVE,
    MODEL,
    TEST,
    DialectName,
    Door,
    connected,
    data_url,
    form,
    head,
    open_door,
    png_file,
    read_answer,
    until,
)
from tests.upstream import Upstream, picture

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = GENERATIONS["openai"]
JSON = "application/json"
TEXT_BYTES = Limits().text_bytes
PNG = picture()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_door(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> AsyncIterator[Door]:
    """Impatient, and with room for one transfer."""
    server = ServerSettings(body_idle_s=0.3, body_slowest=10_000, transfers=1)
    async with open_door(tmp_path_factory.mktemp("house"), shared_upstream, server=server) as door:
        yield door


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_left(door: Door) -> AsyncIterator[None]:
    yield
    await until(lambda: not door.left_behind())
    assert not door.house.uploads.locked()
    assert door.purse().held == 0


@pytest.fixture
def short_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "DRAIN_S", 0.3)
    monkeypatch.setattr(body, "DRAIN_BYTES", 1_000_000)


async def pieces(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def padded(size: int) -> bytes:
    """A right request of exactly so many bytes."""
    start = b'{"model": "test/test", "prompt": "a fox", "size": "16x16"'
    return start + b" " * (size - len(start) - 1) + b"}"


# -- what a body may begin with, and how it may be packed --


@pytest.mark.parametrize("size", [1, 2, 1000], ids=["byte by byte", "in pairs", "whole"])
@pytest.mark.parametrize("more", [{}, {"image": data_url(PNG)}], ids=["plain", "with a picture"])
async def test_a_byte_order_mark_is_passed_over(
    more: dict[str, object], size: int, door: Door, upstream: Upstream
) -> None:
    data = b"\xef\xbb\xbf" + msgspec.json.encode({"model": MODEL, "prompt": "a fox", **more})
    answer = await door.send("POST", PATH, pieces(data, size), key=LIVE, headers={"Content-Type": JSON})
    assert answer.status == 200
    assert upstream.seen[0].prompt == "a fox"


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "identity, gzip"])
@pytest.mark.parametrize("dialect", sorted(GENERATIONS))
async def test_a_compressed_body_is_not_unpacked(dialect: DialectName, encoding: str, door: Door) -> None:
    packed = gzip.compress(b'{"model": "test/test", "prompt": "a fox"}')
    headers = {"Content-Encoding": encoding}
    answer = await door.ask(packed, path=GENERATIONS[dialect], key=TEST, headers=headers)
    assert (answer.status, answer.error.type) == (415, "invalid_request_error")
    assert answer.error.message == (
        f"the body came as Content-Encoding: {encoding.lower()}; send it uncompressed, without that header"
    )


async def test_a_body_that_says_it_is_as_it_is(door: Door) -> None:
    fields = {"model": "test/test", "prompt": "a fox"}
    assert (await door.ask(fields, key=TEST, headers={"Content-Encoding": "identity"})).status == 200


# -- caps --


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "status"), [(TEXT_BYTES, 200), (TEXT_BYTES + 1, 413)])
async def test_text_of_json(size: int, status: int, chunked: bool, door: Door) -> None:
    data = padded(size)
    answer = await door.send("POST", PATH, pieces(data) if chunked else data, key=TEST, headers={"Content-Type": JSON})
    assert answer.status == status


@pytest.mark.parametrize(("size", "status"), [(TEXT_BYTES, 200), (TEXT_BYTES + 1, 413)])
async def test_texts_of_a_form(size: int, status: int, door: Door) -> None:
    """All of them together."""
    texts = {"model": "test/test", "prompt": "a fox", "size": "16x16"}
    left = size - sum(len(text) for text in texts.values())
    texts |= {"colour": "x" * (left // 2), "mood": "x" * (left - left // 2)}
    answer = await door.ask_form(texts, path=EDITS["imagerouter"], key=TEST)
    assert answer.status == status


async def test_a_form_has_so_many_parts(door: Door) -> None:
    texts = {"model": "test/test", "prompt": "a fox", "size": "16x16"}
    most = 2 * body.SPARE_PARTS - len(texts)
    for more, status in ((most, 200), (most + 1, 400)):
        extra = {f"x{number}": "x" for number in range(more)}
        answer = await door.ask_form({**texts, **extra}, path=EDITS["imagerouter"], key=TEST)
        assert answer.status == status


async def test_pictures_do_not_count_as_text(door: Door, upstream: Upstream) -> None:
    large = PNG + bytes(2_000_000)
    answer = await door.ask({"model": MODEL, "prompt": "a hat", "image": data_url(large)})
    assert answer.status == 200
    assert upstream.seen[0].files == [("image", large)]


@pytest.mark.parametrize(
    ("dialect", "size", "status"),
    [
        ("imagerouter", 25_000_000, 200),
        ("imagerouter", 25_000_001, 413),
        ("openai", 25_000_001, 200),
        ("mixroute", 10_000_000, 200),
        ("mixroute", 10_000_001, 413),
    ],
)
async def test_a_picture_in_json(dialect: str, size: int, status: int, door: Door, upstream: Upstream) -> None:
    whole = PNG + bytes(size - len(PNG))
    answer = await door.ask(
        {"model": MODEL, "prompt": "a hat", "image": data_url(whole)}, path=f"/{dialect}/v1/images/edits"
    )
    assert answer.status == status
    assert [seen.files for seen in upstream.seen] == ([[("image", whole)]] if status == 200 else [])


async def test_a_picture_in_a_form_is_refused_while_it_comes(door: Door, short_drain: None) -> None:
    kind, data = form({"model": MODEL, "prompt": "a hat"}, [png_file("image", PNG)])
    begun = data[: data.index(PNG) + len(PNG)]
    async with connected(door.port) as (reader, writer):
        writer.write(head("POST", EDITS["imagerouter"], Content_Type=kind, Content_Length=10**12) + begun)
        answering = asyncio.create_task(read_answer(reader))
        for _ in range(40):  # megabytes
            writer.write(bytes(1_000_000))
            await asyncio.sleep(0)
            if answering.done():
                break
        assert (await answering).status == 413


async def test_sixteen_pictures_in_their_order(door: Door, upstream: Upstream) -> None:
    pictures = [picture(16 + number, 16) for number in range(16)]
    files = [png_file("image[]", data) for data in pictures]
    answer = await door.ask_form({"model": MODEL, "prompt": "all of them"}, files)
    assert answer.status == 200
    assert upstream.seen[0].files == [("image[]", data) for data in pictures]


async def test_a_form_s_text_may_hold_a_picture(door: Door, upstream: Upstream) -> None:
    answer = await door.ask_form({"model": MODEL, "prompt": "a hat", "image": data_url(PNG)})
    assert answer.status == 200
    assert upstream.seen[0].files == [("image", PNG)]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/x+json", None])
async def test_kinds_that_are_json(kind: str | None, door: Door) -> None:
    told = {} if kind is None else {"Content_Type": kind}
    data = padded(100)
    async with connected(door.port) as (reader, writer):
        writer.write(head("POST", PATH, key=TEST, Content_Length=len(data), **told) + data)
        assert (await read_answer(reader)).status == 200


# -- the slow and the silent --


async def test_a_body_that_stops_coming(door: Door) -> None:
    async with connected(door.port) as (reader, writer):
        writer.write(head("POST", PATH, Content_Type=JSON, Content_Length=1000) + b'{"model": ')
        answer = await read_answer(reader)
        assert (answer.status, answer.error.code) == (408, "request_timeout")
        assert answer.headers["connection"] == "close"
        assert await reader.read() == b""


async def test_a_body_that_drips(door: Door) -> None:
    """Never silent for long, and yet far too slow."""
    async with connected(door.port) as (reader, writer):
        writer.write(head("POST", PATH, Content_Type=JSON, Content_Length=100_000))
        answering = asyncio.create_task(read_answer(reader))
        for _ in range(40):
            writer.write(b" ")
            await asyncio.sleep(0.05)
            if answering.done():
                break
        answer = await answering
    assert (answer.status, answer.error.code) == (408, "request_timeout")
    assert "slower than 10000 bytes a second" in answer.error.message


async def test_a_body_that_hesitates_is_read(door: Door) -> None:
    data = padded(100)
    async with connected(door.port) as (reader, writer):
        writer.write(head("POST", PATH, key=TEST, Content_Type=JSON, Content_Length=100) + data[:10])
        for start in range(10, 100, 45):
            await asyncio.sleep(0.05)
            writer.write(data[start : start + 45])
        assert (await read_answer(reader)).status == 200


async def test_a_slow_picture_leaves_nothing_behind(door: Door) -> None:
    kind, data = form({"model": MODEL, "prompt": "a hat"}, [png_file("image", PNG + bytes(500_000))])
    async with connected(door.port) as (reader, writer):
        writer.write(head("POST", EDITS["openai"], Content_Type=kind, Content_Length=len(data)) + data[:-100])
        assert (await read_answer(reader)).status == 408


async def test_a_client_that_goes_while_it_sends(door: Door, upstream: Upstream) -> None:
    kind, data = form({"model": MODEL, "prompt": "a hat"}, [png_file("image", PNG + bytes(500_000))])
    jobs = len(door.jobs())
    async with connected(door.port) as (_, writer):
        writer.write(head("POST", EDITS["openai"], Content_Type=kind, Content_Length=len(data)) + data[:-100])
        await writer.drain()
        await until(door.left_behind)
    await until(lambda: not door.left_behind())
    assert len(door.jobs()) == jobs
    assert not upstream.seen


# -- early refusals --


async def test_a_refusal_reaches_a_client_that_sends_the_rest_slowly(door: Door) -> None:
    """What is wrong was seen early on; the deadline for the next piece is no longer of interest."""
    data = padded(TEXT_BYTES + 1000)
    async with connected(door.port) as (reader, writer):
        writer.write(head("POST", PATH, Content_Type=JSON, Content_Length=len(data)) + data[:-10])
        await asyncio.sleep(0.6)
        writer.write(data[-10:])
        answer = await read_answer(reader)
    assert answer.status == 413


async def test_a_stranger_s_body_is_taken_in_and_forgotten(door: Door) -> None:
    """The connection lives on: the whole body was read."""
    data = padded(200_000)
    async with connected(door.port) as (reader, writer):
        for key, status in (("sk-nobodys", 401), (TEST, 200)):
            writer.write(head("POST", PATH, key=key, Content_Type=JSON, Content_Length=len(data)) + data)
            answer = await read_answer(reader)
            assert answer.status == status
            assert "connection" not in answer.headers


async def test_a_stranger_who_does_not_stop_is_answered(
    door: Door, short_drain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "DRAIN_S", 60)  # it is what he sends that counts, not how long it takes
    async with connected(door.port) as (reader, writer):
        writer.write(head("POST", PATH, key="sk-nobodys", Content_Type=JSON, Content_Length=10**12))
        answering = asyncio.create_task(read_answer(reader))
        for _ in range(100):
            writer.write(bytes(100_000))
            await asyncio.sleep(0)
            if answering.done():
                break
        answer = await asyncio.wait_for(answering, 5)
    assert (answer.status, answer.headers["connection"]) == (401, "close")


async def test_a_stranger_who_stops_is_answered(door: Door, short_drain: None) -> None:
    async with connected(door.port) as (reader, writer):
        writer.write(head("POST", PATH, key="sk-nobodys", Content_Type=JSON, Content_Length=10**12) + bytes(1000))
        answer = await read_answer(reader)
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert await reader.read() == b""


async def test_a_client_that_asks_first_is_told_to_go_on(door: Door) -> None:
    data = padded(100)
    async with connected(door.port) as (reader, writer):
        writer.write(head("POST", PATH, key=TEST, Content_Type=JSON, Content_Length=100, Expect="100-continue"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(data)
        assert (await read_answer(reader)).status == 200


async def test_a_client_that_asks_first_is_refused_at_once(door: Door) -> None:
    async with connected(door.port) as (reader, writer):
        writer.write(head("POST", PATH, key="sk-no", Content_Type=JSON, Content_Length=10**9, Expect="100-continue"))
        answer = await read_answer(reader)
        assert (answer.status, answer.headers["connection"]) == (401, "close")


# -- transfer slots --


async def test_large_bodies_wait_for_one_another_and_small_ones_do_not(door: Door) -> None:
    data = padded(200_000)
    async with connected(door.port) as (first_reader, first), connected(door.port) as (second_reader, second):
        first.write(head("POST", PATH, key=TEST, Content_Type=JSON, Content_Length=len(data)) + data[:-1])
        await until(door.house.uploads.locked)
        second.write(head("POST", PATH, key=TEST, Content_Type=JSON, Content_Length=len(data)) + data)
        waiting = asyncio.create_task(read_answer(second_reader))
        small = await door.ask({"model": "test/test", "prompt": "a fox", "size": "16x16"}, key=TEST)
        assert small.status == 200
        assert not waiting.done()
        first.write(data[-1:])
        assert (await read_answer(first_reader)).status == 200
        assert (await waiting).status == 200


async def test_a_chunked_body_takes_a_slot(door: Door) -> None:
    """Nobody knows how long it will be."""
    async with connected(door.port) as (reader, writer):
        writer.write(head("POST", PATH, key=TEST, Content_Type=JSON, Transfer_Encoding="chunked"))
        await until(door.house.uploads.locked)
        writer.write(b"64\r\n" + padded(100) + b"\r\n0\r\n\r\n")
        assert (await read_answer(reader)).status == 200


async def test_slots_come_back_from_whoever_is_refused(door: Door) -> None:
    for _ in range(3):
        answer = await door.ask(padded(TEXT_BYTES + 1), key=LIVE)
        assert answer.status == 413
