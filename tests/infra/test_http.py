"""The upstream client against real sockets: every way a request can end, and what is on the wire."""

import asyncio
import base64
import contextlib
import datetime
import gzip
import socket
import ssl
import struct
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pictura.core.errors import Lost, Malformed, NotSent, UpstreamError
from pictura.core.picture import data_url
from pictura.infra.dial import KEEP_ALIVE_S
from pictura.infra.http import FREE_BYTES, MESSAGE_BYTES, MOST_MESSAGES, Client, Request, Timeouts
from pictura.infra.payload import Part, Payload, bytes_payload, json_payload, multipart_payload
from pictura.infra.spool import Spool

PICTURE = bytes(range(256)) * 1024
BASE64 = base64.b64encode(PICTURE)
DOCUMENT = b'{"created":1,"data":[{"b64_json":"' + BASE64 + b'"}]}'
SHORT = Timeouts(connect_s=0.2, read_s=0.2, total_s=5)
SECRET = "sk-secret"


class Received:
    """One request as it came over the wire."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.line, *lines = head.decode().rstrip().split("\r\n")
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        self.body = body


class Upstream:
    """A server that answers whatever comes with `answer`, and then calls `then` or hangs up."""

    def __init__(self, answer: bytes = b"", then: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None):
        self.answer = answer
        self.then = then
        self.requests: list[Received] = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self.hung_up = asyncio.Event()
        self.url = ""
        self.port = 0
        self.handlers: set[asyncio.Task[None]] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writer = writer
        task = asyncio.current_task()
        assert task is not None
        self.handlers.add(task)
        try:
            await self.talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.hung_up.set()
            writer.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            received = Received(head, b"")
            received.body = await reader.readexactly(int(received.headers.get("content-length", 0)))
            self.requests.append(received)
            self.arrived.set()
            writer.write(self.answer)
            await writer.drain()
            if self.then is None:
                return
            await self.then(writer)


async def stay(_writer: asyncio.StreamWriter) -> None:
    """Wait for the next request on the same connection, or for the client to hang up."""


async def stall(_writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def reset(writer: asyncio.StreamWriter) -> None:
    """Hang up with a reset instead of a goodbye."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    raise ConnectionResetError


@contextlib.asynccontextmanager
async def serving(upstream: Upstream, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    server = await asyncio.start_server(upstream.handle, "127.0.0.1", 0, ssl=tls)
    upstream.port = server.sockets[0].getsockname()[1]
    upstream.url = f"{'https' if tls else 'http'}://127.0.0.1:{upstream.port}/v1?key={SECRET}"
    try:
        yield upstream
    finally:
        server.close()
        for task in upstream.handlers:
            task.cancel()
        await asyncio.gather(*upstream.handlers)
        await server.wait_closed()


@pytest.fixture
def transfers() -> asyncio.Semaphore:
    return asyncio.Semaphore(1)


@pytest.fixture
async def client(tmp_path: Path, transfers: asyncio.Semaphore) -> AsyncIterator[Client]:
    client = Client(open_spool=lambda: Spool(tmp_path), transfers=transfers)
    yield client
    await client.close()
    # Whatever happened: nobody forgot a file, nobody kept a slot.
    assert spools(tmp_path) == []
    assert not transfers.locked()


def spools(folder: Path) -> list[Path]:
    return list(folder.glob("spool-*"))


def ask(url: str, *, body: Payload | None = None, timeouts: Timeouts = SHORT, method: str = "POST") -> Request:
    headers = {"Authorization": f"Bearer {SECRET}"}
    return Request(url=url, method=method, headers=headers, body=body, timeouts=timeouts, allow_private=True)


def http(body: bytes, *, status: str = "200 OK", kind: str = "application/json", extra: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def chunked(*pieces: bytes, kind: str = "application/json", end: bool = True) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if end else b"")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def failing(client: Client, request: Request, kind: type[UpstreamError]) -> UpstreamError:
    with pytest.raises(kind) as caught:
        await client.send(request)
    shown = "".join(traceback.format_exception(caught.value)) + repr(request)
    assert SECRET not in shown
    return caught.value


# Nothing left this house


async def test_a_refused_connection_is_not_sent(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """The client does not learn the address, the operator does, and nobody learns the key in it."""
    port = free_port()
    error = await failing(client, ask(f"http://127.0.0.1:{port}/?key={SECRET}"), NotSent)
    assert caplog.messages == [f"127.0.0.1:{port} could not be reached (Connection refused)"]
    assert str(error) == "The provider could not be reached (Connection refused). Nothing was sent."
    assert not error.config


class NoNames(AbstractResolver):
    """A DNS that knows nobody."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    async def close(self) -> None:
        pass


async def test_an_unknown_name_is_not_sent(tmp_path: Path) -> None:
    client = Client(open_spool=lambda: Spool(tmp_path), transfers=asyncio.Semaphore(1), resolver=NoNames())
    error = await failing(client, ask("http://pictura.invalid/"), NotSent)
    assert str(error) == "The provider has a name that DNS does not know. Nothing was sent."
    await client.close()


async def test_a_server_without_tls_is_not_sent(client: Client) -> None:
    async with serving(Upstream(http(b"{}"))) as upstream:
        await failing(client, ask(upstream.url.replace("http:", "https:")), NotSent)
        assert upstream.requests == []


async def test_a_wrong_certificate_is_not_sent(client: Client, tmp_path: Path) -> None:
    async with serving(Upstream(http(b"{}")), tls=self_signed(tmp_path)) as upstream:
        error = await failing(client, ask(upstream.url, body=json_payload({})), NotSent)
        assert "certificate" in str(error)
        assert upstream.requests == []


async def test_a_silent_handshake_is_not_sent(client: Client) -> None:
    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await _reader.read()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await failing(client, ask(f"https://127.0.0.1:{port}/?key={SECRET}"), NotSent)
        assert "did not accept the connection in time" in str(error)


async def test_the_whole_time_may_pass_before_anything_is_sent(client: Client) -> None:
    async with serving(Upstream(then=stall)) as upstream:
        request = ask(upstream.url.replace("http:", "https:"), timeouts=Timeouts(connect_s=5, read_s=5, total_s=0.2))
        await failing(client, request, NotSent)


async def test_a_private_address_is_not_sent_unless_allowed(client: Client, tmp_path: Path) -> None:
    async with serving(Upstream(http(b"{}"), then=stay)) as upstream:
        error = await failing(client, Request(url=upstream.url), NotSent)
        assert error.config
        assert "private network" in str(error)
        assert upstream.connections == 0
        allowed = Client(
            open_spool=lambda: Spool(tmp_path), transfers=asyncio.Semaphore(1), allow=[("127.0.0.1", upstream.port)]
        )
        assert (await allowed.send(Request(url=upstream.url))).json() == {}
        await allowed.close()


@pytest.mark.parametrize("url", ["", "api.example.com/v1", "ftp://h/", "http://h:99999/", "http://[::1"])
async def test_an_impossible_url_is_the_operator_s_to_mend(client: Client, url: str) -> None:
    error = await failing(client, ask(url), NotSent)
    assert error.config
    assert "base_url" in str(error)


@pytest.mark.parametrize("key", [f"Bearer {SECRET}\n", f"Bearer {SECRET}\r\nX: y", f"Bearer {SECRET}\0"])
@pytest.mark.parametrize("body", [None, b"{}"])
async def test_an_impossible_header_is_the_operator_s_to_mend(client: Client, key: str, body: bytes | None) -> None:
    async with serving(Upstream(http(b"{}"))) as upstream:
        payload = body and bytes_payload(body, "application/json")
        request = Request(url=upstream.url, headers={"Authorization": key}, body=payload or None, allow_private=True)
        error = await failing(client, request, NotSent)
        assert error.config
        assert upstream.requests == []


async def test_a_connection_that_closes_before_the_first_byte_is_not_sent(
    client: Client, transfers: asyncio.Semaphore, tmp_path: Path
) -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await transfers.acquire()
        large = bytes_payload(b"x" * (FREE_BYTES + 1), "text/plain")
        await failing(client, ask(f"http://127.0.0.1:{port}/", body=large), NotSent)
        transfers.release()


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "still in the kernel"])
@pytest.mark.parametrize("size", [2, FREE_BYTES + 1])
async def test_a_kept_connection_that_is_dead_is_replaced(client: Client, seen: bool, size: int) -> None:
    async with serving(Upstream(http(b"{}"), then=stay)) as upstream:
        await client.send(ask(upstream.url))
        upstream.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
        if seen:
            # Now the loop reads the goodbye between taking the connection and writing to it.
            await asyncio.sleep(0)
        body = bytes_payload(b"x" * size, "text/plain")
        assert (await client.send(ask(upstream.url, body=body))).json() == {}
        assert [len(received.body) for received in upstream.requests] == [0, size]
        assert upstream.connections == 2


async def test_it_is_not_replaced_once_something_was_sent(client: Client) -> None:
    async with serving(Upstream(http(b"{}"), then=stay)) as upstream:
        await client.send(ask(upstream.url))
        upstream.answer, upstream.then = b"", None
        await failing(client, ask(upstream.url, body=json_payload({})), Lost)
        assert (len(upstream.requests), upstream.connections) == (2, 1)


# Sent, and no whole answer


async def test_a_disconnect_after_the_request_is_lost(client: Client) -> None:
    async with serving(Upstream()) as upstream:
        error = await failing(client, ask(upstream.url, body=json_payload({"n": 1})), Lost)
        assert len(upstream.requests) == 1
        assert "closed the connection without an answer, after we had sent the request" in str(error)
        assert error.possibly_billed
        assert not error.safe_elsewhere


async def test_a_reset_after_the_request_is_lost(client: Client) -> None:
    async with serving(Upstream(then=reset)) as upstream:
        error = await failing(client, ask(upstream.url, body=json_payload({"n": 1})), Lost)
        assert "reset by peer" in str(error)


async def test_a_reset_within_the_request_is_lost(client: Client, tmp_path: Path) -> None:
    async def read_little(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            await reset(writer)

    async with await asyncio.start_server(read_little, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        large = bytes_payload(b"x" * 32 * 1024 * 1024, "text/plain")
        error = await failing(client, ask(f"http://127.0.0.1:{port}/", body=large), Lost)
        assert "while we sent the request" in str(error)


async def test_a_get_is_lost_too_and_not_sent_again(client: Client) -> None:
    """aiohttp would repeat it: it looks like a kept-alive connection that had gone stale."""
    async with serving(Upstream(http(b"{}"), then=stay)) as upstream:
        (await client.send(ask(upstream.url, method="GET"))).close()
        upstream.answer, upstream.then = b"", None
        await failing(client, ask(upstream.url, method="GET"), Lost)
        assert len(upstream.requests) == 2
        assert upstream.connections == 1


async def test_silence_is_lost(client: Client) -> None:
    async with serving(Upstream(then=stall)) as upstream:
        error = await failing(client, ask(upstream.url, body=json_payload({})), Lost)
        assert "fell silent for too long" in str(error)


async def test_the_whole_time_ends_a_slow_answer(client: Client) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(Upstream(b"HTTP/1.1 200 OK\r\n\r\n{", then=drip)) as upstream:
        error = await failing(client, ask(upstream.url, timeouts=Timeouts(read_s=5, total_s=0.3)), Lost)
        assert "took too long in all" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        http(DOCUMENT)[:-1000],
        http(PICTURE, kind="image/png")[:-1],
        http(b"<html>", kind="text/html")[:-1],
        chunked(DOCUMENT, end=False),
        chunked(DOCUMENT)[:-3000],
        http(gzip.compress(DOCUMENT), extra="Content-Encoding: gzip\r\n")[:-9],
    ],
    ids=["length", "picture", "text", "chunks", "chunk", "gzip"],
)
@pytest.mark.parametrize("then", [None, reset, stall], ids=["closed", "reset", "stalled"])
async def test_half_an_answer_is_lost(
    client: Client, answer: bytes, then: Callable[[asyncio.StreamWriter], Awaitable[None]] | None
) -> None:
    async with serving(Upstream(answer, then)) as upstream:
        await failing(client, ask(upstream.url, body=json_payload({})), Lost)


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
async def test_what_is_not_http_is_lost(client: Client, answer: bytes) -> None:
    async with serving(Upstream(answer)) as upstream:
        error = await failing(client, ask(upstream.url), Lost)
        assert "not HTTP" in str(error)


async def test_cancelling_hangs_up(client: Client) -> None:
    for answer in (b"", http(DOCUMENT)[:-1000]):
        async with serving(Upstream(answer, then=stay)) as upstream:
            task = asyncio.create_task(client.send(ask(upstream.url, timeouts=Timeouts())))
            await upstream.arrived.wait()
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await upstream.hung_up.wait()


# Answers


async def test_a_picture_in_json_goes_to_a_spool(client: Client) -> None:
    for answer in (http(DOCUMENT), chunked(DOCUMENT[:9], DOCUMENT[9:70_000], DOCUMENT[70_000:])):
        async with serving(Upstream(answer)) as upstream:
            found = await client.send(ask(upstream.url, body=json_payload({"prompt": "a fox"})))
            assert found.status == 200
            assert found.url == upstream.url.partition("?")[0]
            assert found.headers["content-type"] == found.headers["Content-Type"] == "application/json"
            assert len(found.body) < 100
            assert [cut.spool.read() for cut in found.pictures] == [PICTURE]
            assert isinstance(found.json(), dict)
            found.close()


@pytest.mark.parametrize("kind", ["text/plain", "text/html; charset=utf-8", "application/octet-stream", ""])
@pytest.mark.parametrize("before", [b"", b" \n", b"\xef\xbb\xbf"])
async def test_json_is_told_by_its_first_character(client: Client, kind: str, before: bytes) -> None:
    async with serving(Upstream(http(before + DOCUMENT, kind=kind))) as upstream:
        found = await client.send(ask(upstream.url))
        assert len(found.pictures) == 1
        found.close()


async def test_white_space_that_keeps_a_line_open_is_no_answer_yet(
    client: Client, transfers: asyncio.Semaphore
) -> None:
    async def wait_and_answer(writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            writer.write(b"\n")
            await writer.drain()
            await asyncio.sleep(0.02)
        assert not transfers.locked()
        writer.write(DOCUMENT)
        raise ConnectionAbortedError

    async with serving(Upstream(b"HTTP/1.1 200 OK\r\n\r\n", then=wait_and_answer)) as upstream:
        found = await client.send(ask(upstream.url))
        assert len(found.pictures) == 1
        found.close()


@pytest.mark.parametrize("kind", ["image/png", "IMAGE/PNG; x=y", "application/octet-stream"])
async def test_a_bare_picture_goes_to_a_spool(client: Client, kind: str) -> None:
    async with serving(Upstream(http(PICTURE, kind=kind))) as upstream:
        found = await client.send(ask(upstream.url))
        assert found.spool is not None
        assert found.spool.read() == PICTURE
        assert found.spool.media_type == kind.lower().partition(";")[0]
        assert found.body == b""
        found.close()


async def test_an_error_page_is_an_answer(client: Client) -> None:
    page = http(b"<html>Bad gateway</html>", status="502 Bad Gateway", kind="text/html")
    async with serving(Upstream(page)) as upstream:
        found = await client.send(ask(upstream.url))
        assert (found.status, found.body) == (502, b"<html>Bad gateway</html>")
        with pytest.raises(Malformed, match="answered 502") as caught:
            found.json()
        assert caught.value.upstream_status == 502


async def test_an_empty_answer_is_one(client: Client) -> None:
    async with serving(Upstream(b"HTTP/1.1 204 No Content\r\n\r\n")) as upstream:
        found = await client.send(ask(upstream.url))
        assert (found.status, found.body, found.pictures, found.spool) == (204, b"", [], None)


async def test_a_redirect_is_an_answer_and_not_followed(client: Client) -> None:
    async with serving(Upstream(http(b"", status="302 Found", extra="Location: /elsewhere\r\n"))) as upstream:
        found = await client.send(ask(upstream.url))
        assert (found.status, found.headers["location"]) == (302, "/elsewhere")
        assert len(upstream.requests) == 1


async def test_an_answer_to_half_a_request_is_an_answer(client: Client) -> None:
    """Servers refuse what is too large before they have read it."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(http(b'{"error":"too large"}', status="413 Too Large"))
            await asyncio.sleep(0.1)
            while await reader.read(1 << 20):
                pass

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        large = bytes_payload(b"x" * 32 * 1024 * 1024, "text/plain")
        found = await client.send(ask(f"http://127.0.0.1:{port}/", body=large))
        assert (found.status, found.json()) == (413, {"error": "too large"})


async def test_a_packed_answer_is_unpacked(client: Client) -> None:
    packed = http(gzip.compress(DOCUMENT), extra="Content-Encoding: gzip\r\n")
    async with serving(Upstream(packed)) as upstream:
        found = await client.send(ask(upstream.url))
        assert found.pictures[0].spool.read() == PICTURE
        found.close()


@pytest.mark.parametrize(
    "answer",
    [
        http(b'{"text":"' + b"x" * 10_000 + b'"}'),
        http(b"x" * 10_000, kind="text/plain"),
        http(PICTURE, kind="image/png"),
        http(DOCUMENT),
        http(b'{"data":[' + b",".join([b'{"b64_json":"AAAA"}'] * 5) + b"]}"),
        http(gzip.compress(b"x" * 20_000_000), kind="text/html", extra="Content-Encoding: gzip\r\n"),
        http(gzip.compress(b"\0" * 20_000_000), kind="image/png", extra="Content-Encoding: gzip\r\n"),
    ],
    ids=["json", "text", "bare picture", "picture", "pictures", "packed text", "packed picture"],
)
async def test_a_cap_makes_an_answer_malformed(client: Client, answer: bytes) -> None:
    async with serving(Upstream(answer)) as upstream:
        request = Request(url=upstream.url, allow_private=True, text_cap=1000, picture_cap=100_000, picture_count_cap=4)
        error = await failing(client, request, Malformed)
        assert error.upstream_status == 200
        assert error.possibly_billed


# On the wire


async def test_every_payload_has_its_length(client: Client, tmp_path: Path) -> None:
    spool = Spool(tmp_path, "image/png")
    spool.write(PICTURE)
    payloads = [
        bytes_payload(b"", "text/plain"),
        bytes_payload(b"a=1", "application/x-www-form-urlencoded"),
        json_payload({"prompt": "a fox", "image": data_url(spool, "image/png")}),
        multipart_payload([Part("prompt", "a fox"), Part("image", spool)]),
    ]
    async with serving(Upstream(http(b"{}"), then=stay)) as upstream:
        for payload in payloads:
            for _ in range(2):  # a payload can be sent again
                (await client.send(ask(upstream.url, body=payload))).close()
                received = upstream.requests[-1]
                assert "transfer-encoding" not in received.headers
                assert received.headers["content-length"] == str(payload.size)
                assert received.headers["content-type"] == payload.content_type
                assert received.body == b"".join(payload.chunks())
        assert upstream.connections == 1
    spool.close()


async def test_the_head_says_what_it_should(client: Client) -> None:
    async with serving(Upstream(http(b"{}", extra="Set-Cookie: a=b; Path=/\r\n"), then=stay)) as upstream:
        for method in ("GET", "POST", "DELETE"):
            # By name: a cookie jar would take none from a bare address.
            (await client.send(ask(upstream.url.replace("127.0.0.1", "localhost"), method=method))).close()
        for method, received in zip(("GET", "POST", "DELETE"), upstream.requests, strict=True):
            assert received.line == f"{method} /v1?key={SECRET} HTTP/1.1"
            assert received.headers["authorization"] == f"Bearer {SECRET}"
            assert received.headers["accept-encoding"] == "identity"
            assert received.headers["user-agent"].startswith("pictura/")
            assert "cookie" not in received.headers
        assert "content-length" not in upstream.requests[0].headers
        assert upstream.requests[1].headers["content-length"] == "0"


async def test_as_many_wait_at_once_as_there_are(client: Client) -> None:
    """aiohttp alone would stop at a hundred; channels have limits of their own."""
    everyone = 101
    arrived = asyncio.Semaphore(0)
    go = asyncio.Event()

    async def answer_all(writer: asyncio.StreamWriter) -> None:
        arrived.release()
        await go.wait()
        writer.write(http(b"{}"))

    async with serving(Upstream(then=answer_all)) as upstream:
        tasks = [asyncio.create_task(client.send(ask(upstream.url, timeouts=Timeouts()))) for _ in range(everyone)]
        for _ in range(everyone):
            await arrived.acquire()
        go.set()
        assert {answer.status for answer in await asyncio.gather(*tasks)} == {200}


def test_idle_connections_end_before_common_servers_hang_up() -> None:
    assert KEEP_ALIVE_S < 5


async def test_through_a_proxy(client: Client) -> None:
    async with serving(Upstream(http(b'{"by":"proxy"}'), then=stay)) as proxy:
        request = Request(
            url=f"http://api.example.com/v1?key={SECRET}",
            proxy=f"http://user:{SECRET}@127.0.0.1:{proxy.port}",
            allow_private=True,
        )
        assert (await client.send(request)).json() == {"by": "proxy"}
        assert proxy.requests[0].line == f"POST http://api.example.com/v1?key={SECRET} HTTP/1.1"
        assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")


async def test_a_proxy_that_refuses_or_is_gone_is_not_sent(client: Client) -> None:
    async with serving(Upstream(http(b"", status="407 Proxy Authentication Required"))) as proxy:
        secure = Request(
            url=f"https://api.example.com/v1?key={SECRET}", proxy=f"http://127.0.0.1:{proxy.port}", allow_private=True
        )
        error = await failing(client, secure, NotSent)
        assert str(error).startswith("The provider was refused by the egress proxy")
        assert proxy.requests[0].line == "CONNECT api.example.com:443 HTTP/1.1"
    error = await failing(client, secure, NotSent)
    assert "egress proxy that could not be reached" in str(error)


async def test_a_proxy_is_no_way_into_the_house(client: Client) -> None:
    async with serving(Upstream(http(b"{}"))) as proxy:
        request = Request(url="http://169.254.169.254/latest", proxy=f"http://127.0.0.1:{proxy.port}")
        assert (await failing(client, request, NotSent)).config
        assert proxy.connections == 0


# Slots


async def test_small_bodies_and_waiting_need_no_slot(client: Client, transfers: asyncio.Semaphore) -> None:
    await transfers.acquire()
    async with serving(Upstream(http(b'{"error":"no"}', status="401 No"))) as upstream:
        found = await client.send(ask(upstream.url, body=json_payload({"prompt": "a fox"})))
        assert found.status == 401
    transfers.release()


async def test_a_large_answer_waits_for_a_slot(client: Client, transfers: asyncio.Semaphore) -> None:
    await transfers.acquire()
    async with serving(Upstream(http(DOCUMENT), then=stay)) as upstream:
        task = asyncio.create_task(client.send(ask(upstream.url, timeouts=Timeouts())))
        await upstream.arrived.wait()
        assert not (await asyncio.wait([task], timeout=0.1))[0]
        transfers.release()
        (await task).close()


async def test_a_large_request_waits_for_a_slot(client: Client, transfers: asyncio.Semaphore) -> None:
    await transfers.acquire()
    async with serving(Upstream(http(b"{}"), then=stay)) as upstream:
        large = bytes_payload(b"x" * (FREE_BYTES + 1), "text/plain")
        task = asyncio.create_task(client.send(ask(upstream.url, body=large, timeouts=Timeouts())))
        assert not (await asyncio.wait([task], timeout=0.1))[0]
        assert upstream.requests == []
        transfers.release()
        assert (await task).json() == {}


# Event streams


def event(name: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


async def test_events_come_one_by_one(client: Client, transfers: asyncio.Semaphore) -> None:
    stream = event("image_edit.partial_image", DOCUMENT) + b": ping\n\n" + event("image_edit.completed", DOCUMENT)

    async def send_in_pieces(writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(stream), 30_000):
            writer.write(stream[start : start + 30_000])
            await writer.drain()
            await asyncio.sleep(0)
        raise ConnectionAbortedError

    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"
    names = []
    async with serving(Upstream(head, then=send_in_pieces)) as upstream, client.open(ask(upstream.url)) as incoming:
        assert incoming.is_events
        async for found in incoming.events():
            assert not transfers.locked()
            assert [cut.spool.read() for cut in found.pictures] == [PICTURE]
            assert len(found.data) < 100
            names.append(found.name)
            found.close()
    assert names == ["image_edit.partial_image", "image_edit.completed"]


async def test_what_is_no_stream_is_an_answer(client: Client) -> None:
    async with (
        serving(Upstream(http(b'{"error":{}}', status="400 Bad Request"))) as upstream,
        client.open(ask(upstream.url)) as incoming,
    ):
        assert (incoming.status, incoming.is_events) == (400, False)
        assert (await incoming.answer()).json() == {"error": {}}


async def test_a_stream_that_breaks_off_is_lost(client: Client) -> None:
    answer = chunked(event("a", DOCUMENT), event("b", DOCUMENT)[:-3000], kind="text/event-stream", end=False)
    async with serving(Upstream(answer)) as upstream:
        with pytest.raises(Lost):
            async with client.open(ask(upstream.url)) as incoming:
                async for found in incoming.events():
                    assert found.name == "a"
                    found.close()


async def test_an_event_has_caps_too(client: Client) -> None:
    async with serving(
        Upstream(chunked(event("a", b"{}"), event("b", DOCUMENT), kind="text/event-stream"))
    ) as upstream:
        names = []
        with pytest.raises(Malformed):
            async with client.open(Request(url=upstream.url, allow_private=True, picture_cap=1000)) as incoming:
                async for found in incoming.events():
                    names.append(found.name)
        assert names == ["a"]


async def test_leaving_a_stream_hangs_up(client: Client) -> None:
    answer = chunked(event("a", DOCUMENT), event("b", DOCUMENT)[:-3000], kind="text/event-stream", end=False)
    async with serving(Upstream(answer, then=stay)) as upstream:
        async with client.open(ask(upstream.url, timeouts=Timeouts())) as incoming:
            events = incoming.events()
            (await anext(events)).close()
            await events.aclose()
        await upstream.hung_up.wait()


# WebSockets

Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


class Speaker:
    """A WebSocket that says what `talk` does, and then hangs up."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.url = ""
        self.asked: list[web.Request] = []
        self.closed = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        try:
            await self.talk(socket)
        finally:
            self.closed.set()
        return socket


@contextlib.asynccontextmanager
async def speaking(talk: Talk) -> AsyncIterator[Speaker]:
    speaker = Speaker(talk)
    application = web.Application()
    application.router.add_get("/ws", speaker.answer)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    speaker.url = f"http://127.0.0.1:{runner.addresses[0][1]}/ws?clientId=fox&key={SECRET}"
    try:
        yield speaker
    finally:
        await runner.cleanup()


async def messages(client: Client, url: str, seconds: float = 5) -> list[object]:
    return [message async for message in client.messages(ask(url, method="GET"), seconds)]


async def hold(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        pass


async def test_messages_are_heard_until_the_other_side_hangs_up(client: Client) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json({"type": "status"})
        await socket.send_bytes(b"a preview")
        await socket.ping()
        await socket.send_json([1, 2])

    async with speaking(talk) as speaker:
        assert await messages(client, speaker.url) == [{"type": "status"}, [1, 2]]
        (asked,) = speaker.asked
        assert asked.query["clientId"] == "fox"
        assert asked.headers["Authorization"] == f"Bearer {SECRET}"
        assert asked.headers["User-Agent"].startswith("pictura/")


async def test_messages_are_heard_for_so_long(client: Client) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json("a fox")
        await hold(socket)

    async with speaking(talk) as speaker:
        assert await messages(client, speaker.url, 0.2) == ["a fox"]
        await speaker.closed.wait()


async def test_whoever_never_ends_is_left(client: Client) -> None:
    """… also one who talks on over our goodbye."""

    async def talk(socket: web.WebSocketResponse) -> None:
        while True:
            await socket.send_json("a fox")
            await asyncio.sleep(0)

    async with speaking(talk) as speaker:
        assert await messages(client, speaker.url) == ["a fox"] * MOST_MESSAGES
        await speaker.closed.wait()


async def test_whoever_has_heard_enough_hangs_up(client: Client) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json("a fox")
        await hold(socket)

    async with speaking(talk) as speaker:
        async with contextlib.aclosing(client.messages(ask(speaker.url), 60)) as heard:
            assert await anext(heard) == "a fox"
        await speaker.closed.wait()


async def test_cancelling_hangs_up_on_a_speaker(client: Client) -> None:
    async with speaking(hold) as speaker:
        task = asyncio.create_task(messages(client, speaker.url, 60))
        while not speaker.asked:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await speaker.closed.wait()


async def test_what_is_done_with_a_message_is_not_cut_short(client: Client) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json("a fox")
        await hold(socket)

    heard = []
    async with speaking(talk) as speaker:
        async for message in client.messages(ask(speaker.url), 0.2):
            await asyncio.sleep(0.3)
            heard.append(message)
    assert heard == ["a fox"]


@pytest.mark.parametrize(
    "said",
    ["{", "NaN", "[" * 10_000, f'"{"x" * MESSAGE_BYTES}"'],
    ids=["half", "no number", "deep", "too long"],
)
async def test_garbage_ends_the_messages(client: Client, said: str) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json("a fox")
        await socket.send_str(said)
        await socket.send_json("not heard")

    async with speaking(talk) as speaker:
        assert await messages(client, speaker.url) == ["a fox"]


@pytest.mark.parametrize(
    ("answer", "then"),
    [
        (http(b"{}"), None),
        (http(b"{}", status="404 Not Found"), None),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", stay),
        (b"SSH-2.0-OpenSSH\r\n\r\n", None),
        (b"", None),
        (b"", reset),
        (b"", stay),
    ],
    ids=["no socket", "not there", "wrong key", "no http", "hangs up", "reset", "silent"],
)
async def test_without_a_websocket_there_are_no_messages(
    client: Client, answer: bytes, then: Callable[[asyncio.StreamWriter], Awaitable[None]] | None
) -> None:
    async with serving(Upstream(answer, then)) as upstream:
        assert await messages(client, upstream.url, 0.3) == []
        assert upstream.requests[0].headers["upgrade"] == "websocket"
        await upstream.hung_up.wait()


async def test_messages_from_nowhere(client: Client) -> None:
    for url in (f"http://127.0.0.1:{free_port()}/", "", "ftp://h/", "http://h:99999/"):
        assert await messages(client, url) == []
    async with speaking(hold) as speaker:
        assert [message async for message in client.messages(Request(url=speaker.url), 5)] == []  # a private network
        assert speaker.asked == []


async def test_a_handshake_follows_no_redirect(client: Client) -> None:
    async with speaking(hold) as speaker:
        away = http(b"", status="302 Found", extra=f"Location: {speaker.url}\r\n")
        async with serving(Upstream(away, then=stay)) as upstream:
            assert await messages(client, upstream.url) == []
        assert speaker.asked == []


async def test_messages_come_through_a_proxy(client: Client) -> None:
    async with serving(Upstream(http(b"", status="403 Forbidden"))) as proxy:
        request = Request(
            url="https://api.example.com/ws", proxy=f"http://127.0.0.1:{proxy.port}", allow_private=True, method="GET"
        )
        assert [message async for message in client.messages(request, 5)] == []
        assert proxy.requests[0].line == "CONNECT api.example.com:443 HTTP/1.1"


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "server.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context
