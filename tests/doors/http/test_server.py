"""The listening socket: connections that say nothing, the port that is taken, SIGTERM, and how much memory it takes."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from starlette.types import Message, Receive, Scope, Send

from pictura.core.errors import BadRequest, HouseError
from pictura.doors.http import server
from pictura.doors.http.server import Cork, listen
from tests.doors.door import (
    ADMIN,
    GENERATIONS,
    LIVE,
    MODEL,
    TEST,
    Door,
    answering,
    connected,
    head,
    look,
    read_answer,
    until,
)
from tests.process import Process
from tests.upstream import Upstream, picture, when

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = GENERATIONS["openai"]
FIELDS = msgspec.json.encode({"model": "test/test", "prompt": "a fox", "size": "16x16"})
ASK = head("POST", PATH, key=TEST, Content_Type="application/json", Content_Length=len(FIELDS)) + FIELDS


@pytest_asyncio.fixture(loop_scope="module")
async def impatient(door: Door, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """The port of a server that waits 0.2 s for a head."""
    monkeypatch.setattr(server, "IDLE_S", 0.2)
    async with answering(door.house) as port:
        yield port


# -- what goes out together --


class Wire:
    """A transport that notes what it is given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True


def corked() -> tuple[Wire, Cork]:
    wire = Wire()
    return wire, Cork(wire, asyncio.get_running_loop())  # type: ignore[arg-type]


async def test_a_head_waits_for_its_body() -> None:
    wire, cork = corked()
    cork.write(b"HTTP/1.1 200 OK\r\n\r\n")
    assert wire.sent == []
    cork.write(b"body")
    cork.write(b"more")
    assert wire.sent == [b"HTTP/1.1 200 OK\r\n\r\nbody", b"more"]
    await asyncio.sleep(0)
    assert len(wire.sent) == 2


async def test_a_head_alone_leaves_with_the_next_turn() -> None:
    wire, cork = corked()
    cork.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    await asyncio.sleep(0)
    assert wire.sent == [b"HTTP/1.1 204 No Content\r\n\r\n"]


async def test_go_on_is_said_at_once_and_a_close_loses_nothing() -> None:
    wire, cork = corked()
    cork.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert wire.sent == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    cork.write(b"HTTP/1.1 200 OK\r\n\r\n")
    cork.close()
    assert wire.closed and wire.sent[1:] == [b"HTTP/1.1 200 OK\r\n\r\n"]


# -- idle connections --


@pytest.mark.parametrize("said", [b"", b"P", ASK[:40]], ids=["nothing", "one letter", "half a head"])
async def test_a_connection_that_does_not_say_what_it_wants(said: bytes, impatient: int) -> None:
    async with connected(impatient) as (reader, writer):
        writer.write(said)
        async with asyncio.timeout(3):
            assert await reader.read() == b""


@pytest.mark.parametrize("said", [b"", b"P", ASK[:40]], ids=["nothing", "one letter", "half a head"])
async def test_a_connection_that_says_no_more(said: bytes, impatient: int) -> None:
    """The same after an answer."""
    async with connected(impatient) as (reader, writer):
        writer.write(ASK)
        assert (await read_answer(reader)).status == 200
        writer.write(said)
        async with asyncio.timeout(3):
            assert await reader.read() == b""


async def test_a_connection_that_drips(impatient: int) -> None:
    """A head has one deadline, however often a letter of it comes."""
    async with connected(impatient) as (reader, writer):
        closing = asyncio.create_task(reader.read())
        for letter in ASK[:60]:
            writer.write(bytes([letter]))
            await asyncio.sleep(0.05)
            if closing.done():
                break
        assert closing.done()
        assert await closing == b""


async def test_a_picture_may_take_longer_than_that(door: Door, upstream: Upstream, impatient: int) -> None:
    go_on = asyncio.Event()
    upstream.always = when(go_on)
    body = msgspec.json.encode({"model": "gpt-image-2", "prompt": "a fox", "size": "1024x640"})
    async with connected(impatient) as (reader, writer):
        writer.write(head("POST", PATH, key=LIVE, Content_Type="application/json", Content_Length=len(body)) + body)
        await upstream.wait_for(1)
        await asyncio.sleep(0.4)
        go_on.set()
        answer = await read_answer(reader)
        assert look(answer.picture).width == 1024
        writer.write(ASK)
        assert (await read_answer(reader)).status == 200


async def test_several_requests_on_one_connection(impatient: int) -> None:
    async with connected(impatient) as (reader, writer):
        for _ in range(3):
            writer.write(ASK)
            assert (await read_answer(reader)).status == 200


async def test_a_head_without_an_end(impatient: int) -> None:
    """No key is needed to send one, so it may not fill the memory."""
    async with connected(impatient) as (reader, writer):
        writer.write(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Long: ")
        answering = asyncio.create_task(read_answer(reader))
        for _ in range(1000):
            if answering.done():
                break
            writer.write(b"x" * 10_000)
            await asyncio.sleep(0)
        assert (await answering).status == 400


async def test_a_head_of_a_length_that_others_allow(impatient: int) -> None:
    async with connected(impatient) as (reader, writer):
        told = head("GET", "/health", X_Long="x" * 60_000, Cookie="y" * 30_000)
        writer.write(told[:70_000])
        await asyncio.sleep(0.05)
        writer.write(told[70_000:])
        assert (await read_answer(reader)).status == 200


@pytest.mark.parametrize("wish", ["h2c", "websocket"])
async def test_a_wish_to_speak_another_protocol(wish: str, impatient: int) -> None:
    """Java's client has it whenever a line is not encrypted."""
    told = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": wish, "HTTP2_Settings": "AAMAAABkAAQAAP__"}
    async with connected(impatient) as (reader, writer):
        for _ in range(2):
            writer.write(head("POST", PATH, key=TEST, Content_Length=len(FIELDS), **told) + FIELDS)
            assert (await read_answer(reader)).status == 200


async def test_what_is_not_http(impatient: int) -> None:
    async with connected(impatient) as (reader, writer):
        writer.write(b"\x16\x03\x01 I speak TLS\r\n\r\n")
        answer = await read_answer(reader)
        assert answer.status == 400
        assert b"Traceback" not in answer.body


# -- the socket --


async def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0) as sock:
        sock.listen()
        port = sock.getsockname()[1]
        with pytest.raises(HouseError, match=f"port {port} on 127.0.0.1 is taken by another program; .* --port"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("port", [-1, 65536])
async def test_a_port_that_cannot_be(port: int) -> None:
    with pytest.raises(BadRequest, match=f"no port {port}; choose one from 0 .* to 65535"):
        listen("127.0.0.1", port)


async def test_an_address_that_is_not_here() -> None:
    with pytest.raises(HouseError, match=r"cannot listen on 192\.0\.2\.1:0"):
        listen("192.0.2.1", 0)


async def test_a_port_that_needs_more_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: tuple[str, int]) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(HouseError, match="above 1023"):
        listen("127.0.0.1", 80)


async def test_both_families() -> None:
    for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        with listen(host, 0) as sock:
            assert sock.family is family


async def test_serving_says_when_it_listens_and_ends_with_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[server.Server] = []
    startup = server.Server.startup

    async def remember(self: server.Server, sockets: list[socket.socket] | None = None) -> None:
        running.append(self)
        await startup(self, sockets)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        told: list[Message] = [
            {"type": "http.response.start", "status": 204, "headers": []},
            {"type": "http.response.body"},
        ]
        for message in told:
            await send(message)

    monkeypatch.setattr(server.Server, "startup", remember)
    listening = asyncio.Event()
    with listen("127.0.0.1", 0) as sock:
        serving = asyncio.create_task(server.serve(app, sock, listening.set))
        await listening.wait()
        async with connected(sock.getsockname()[1]) as (reader, writer):
            writer.write(head("GET", "/"))
            assert (await read_answer(reader)).status == 204
        running[0].should_exit = True
        await serving


# -- the process --


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> AsyncIterator[Process]:
    started = Process(tmp_path_factory.mktemp("process"), upstream)
    await started.start()
    yield started
    await started.kill()


async def test_sigterm_finishes_what_is_in_flight(gateway: Process, upstream: Upstream) -> None:
    go_on = asyncio.Event()
    upstream.always = when(go_on)
    fields = {"model": MODEL, "prompt": "a fox"}
    headers = {"Authorization": f"Bearer {ADMIN}"}
    async with aiohttp.ClientSession(headers=headers) as http:

        async def draw() -> bytes:
            async with http.post(f"{gateway.url}/v1/images/generations", json=fields) as answer:
                assert answer.status == 200
                return await answer.read()

        drawing = asyncio.create_task(draw())
        await upstream.wait_for(1)
        gateway.terminate()
        await until(lambda: not _accepts(gateway.port))
        go_on.set()
        assert b"b64_json" in await drawing
    assert await gateway.stop() == 0
    assert gateway.rows("SELECT state FROM jobs") == [("succeeded",)]
    assert gateway.rows("SELECT count(*) FROM workers") == [(0,)]
    assert b"Traceback" not in gateway.told


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_memory_does_not_depend_on_what_is_sent(gateway: Process, upstream: Upstream) -> None:
    """A prompt of 60 MB is refused, four edits with pictures of 20 MB are drawn: some megabytes more than at rest."""
    before = gateway.peak_memory()
    start, piece = b'{"model": "gpt-image-1.5", "prompt": "', bytes(b"x" * 1_000_000)
    async with connected(gateway.port) as (reader, writer):
        length = len(start) + 60 * len(piece) + 2
        told = head("POST", PATH, key=ADMIN, Content_Type="application/json", Content_Length=length)
        writer.write(told + start)
        for _ in range(60):
            writer.write(piece)
            await writer.drain()
        writer.write(b'"}')
        assert (await read_answer(reader)).status == 413
    assert not upstream.seen
    large = picture() + bytes(20_000_000)
    await asyncio.gather(*(_edit(gateway, large) for _ in range(4)))
    assert [len(seen.body) > 20_000_000 for seen in upstream.seen] == [True] * 4
    assert gateway.peak_memory() - before < 60_000_000


async def _edit(gateway: Process, large: bytes) -> None:
    form = aiohttp.FormData({"model": MODEL, "prompt": "a hat"})

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 500_000):
            yield large[start : start + 500_000]

    form.add_field("image", pieces(), filename="a.png", content_type="image/png")
    headers = {"Authorization": f"Bearer {ADMIN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{gateway.url}/v1/images/edits", data=form) as answer,
    ):
        assert answer.status == 200, await answer.text()
