"""A provider that a test scripts: a real server on loopback that speaks OpenAI's Images API, well or badly.

Every POST is counted in `seen` before anything else happens. What is done with it says the next behaviour of `queue`,
else `always`; a behaviour is an async function of the `Exchange`. `files` answers GETs, by path.
"""

from __future__ import annotations

import asyncio
import base64
import email.parser
import email.policy
import hashlib
import io
import random
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache

import msgspec
from PIL import Image

Behaviour = Callable[["Exchange"], Awaitable[None]]

#: The key that the house shows to this provider; it may turn up nowhere else.
KEY = "sk-upstream-0123456789abcdef"


@lru_cache(maxsize=64)
def picture(width: int = 64, height: int = 64, format: str = "png", mode: str = "RGB") -> bytes:
    """An encoded picture of one colour: some kilobytes at most."""
    encoded = io.BytesIO()
    Image.new(mode, (width, height), "teal").save(encoded, format)
    return encoded.getvalue()


@lru_cache(maxsize=1)
def noise() -> bytes:
    """A PNG that does not compress: 200 KB."""
    encoded = io.BytesIO()
    Image.frombytes("RGB", (256, 256), random.Random(1).randbytes(256 * 256 * 3)).save(encoded, "png")
    return encoded.getvalue()


class Seen(msgspec.Struct):
    """One POST as it came: `body` is what was read of it."""

    path: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    @property
    def files(self) -> list[tuple[str, bytes]]:
        """A form's files, by field."""
        return [(name, data) for name, filename, data in self._parts() if filename]

    @property
    def fields(self) -> dict[str, object]:
        """A JSON body's fields, or a form's texts."""
        if self.headers.get("content-type", "").startswith("application/json"):
            return msgspec.json.decode(self.body, type=dict[str, object])
        return {name: data.decode() for name, filename, data in self._parts() if not filename}

    @property
    def prompt(self) -> str:
        return str(self.fields.get("prompt", ""))

    def _parts(self) -> list[tuple[str, str, bytes]]:
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + self.body)
        found = []
        for part in message.iter_parts():
            data = part.get_payload(decode=True)
            assert isinstance(data, bytes)
            found.append((str(part.get_param("name", header="content-disposition")), part.get_filename() or "", data))
        return found


class Exchange:
    """One request, and the connection to answer it on."""

    def __init__(self, upstream: Upstream, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.upstream = upstream
        self.seen = seen
        self.writer = writer
        self._reader = reader

    async def read(self) -> Seen:
        """The rest of the body."""
        left = int(self.seen.headers.get("content-length", 0)) - len(self.seen.body)
        self.seen.body += await self._reader.readexactly(left)
        return self.seen

    async def answer(
        self, status: int, body: bytes, kind: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> None:
        extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        head = f"HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
        await self.write(head.encode() + body)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Hang up with a reset instead of a goodbye."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


class Upstream:
    """See the module; `url` is what a channel's `base_url` is set to."""

    def __init__(self, always: Behaviour | None = None) -> None:
        self.seen: list[Seen] = []
        self.queue: deque[Behaviour] = deque()
        self.always: Behaviour = always or draw
        self.files: dict[str, Behaviour] = {}
        self.fetched: list[str] = []
        self.port = 0
        self.arrived = asyncio.Event()
        self._handlers: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.address}/v1"

    def reset(self) -> None:
        """As new, for the next test."""
        self.seen.clear()
        self.queue.clear()
        self.files.clear()
        self.fetched.clear()
        self.arrived.clear()
        self.always = draw

    async def wait_for(self, count: int) -> None:
        """Until so many POSTs have arrived."""
        async with asyncio.timeout(5):
            while len(self.seen) < count:
                self.arrived.clear()
                await self.arrived.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            while True:
                await self._one(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._handlers.discard(task)
            writer.close()

    async def stop(self) -> None:
        for task in list(self._handlers):
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        method, path, _ = line.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        exchange = Exchange(self, Seen(path, headers), reader, writer)
        if method == "GET":
            self.fetched.append(path)
            await self.files.get(path, missing)(exchange)
            return
        self.seen.append(exchange.seen)
        self.arrived.set()
        await (self.queue.popleft() if self.queue else self.always)(exchange)


@asynccontextmanager
async def running(upstream: Upstream) -> AsyncIterator[Upstream]:
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, limit=1024 * 1024)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        await upstream.stop()
        await server.wait_closed()


# -- behaviours: well --


async def draw(exchange: Exchange) -> None:
    """What was asked for, as base64."""
    await exchange.answer(200, drawn(await exchange.read()))


async def draw_by_url(exchange: Exchange) -> None:
    """What was asked for, as URLs of this server."""
    seen = await exchange.read()
    upstream = exchange.upstream
    pictures = []
    for encoded in _pictures(seen):
        path = f"/pictures/{len(upstream.files)}"
        upstream.files[path] = file(encoded, "image/png")
        pictures.append({"url": f"{upstream.address}{path}?signature=secret"})
        upstream.files[f"{path}?signature=secret"] = upstream.files[path]
    await exchange.answer(200, msgspec.json.encode({"created": 1, "data": pictures}))


def file(
    data: bytes, kind: str = "image/png", status: int = 200, headers: Mapping[str, str] | None = None
) -> Behaviour:
    """For `Upstream.files`."""

    async def behave(exchange: Exchange) -> None:
        await exchange.answer(status, data, kind, headers)

    return behave


async def missing(exchange: Exchange) -> None:
    await exchange.answer(404, b"nothing here", "text/plain")


def after(seconds: float, then: Behaviour = draw) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        await exchange.read()
        await asyncio.sleep(seconds)
        await then(exchange)

    return behave


def when(event: asyncio.Event, then: Behaviour = draw) -> Behaviour:
    """Reads the request, and does the rest once `event` is set."""

    async def behave(exchange: Exchange) -> None:
        await exchange.read()
        await event.wait()
        await then(exchange)

    return behave


def stream(*events: tuple[str, Mapping[str, object]], pause: asyncio.Event | None = None) -> Behaviour:
    """Server-sent events; before the last one it waits for `pause`. The connection ends with them."""

    async def behave(exchange: Exchange) -> None:
        await exchange.read()
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for number, (name, data) in enumerate(events, 1):
            if pause is not None and number == len(events):
                await pause.wait()
            await exchange.write(f"event: {name}\ndata: {msgspec.json.encode(data).decode()}\n\n".encode())
        raise EOFError

    return behave


# -- behaviours: badly --


def say(status: int, *, code: str = "", message: str = "no", headers: Mapping[str, str] | None = None) -> Behaviour:
    """An error in OpenAI's own words."""
    error = {"message": message, "type": "some_error", "param": None, "code": code or None}
    return reply(status, msgspec.json.encode({"error": error}), headers=headers)


def reply(
    status: int, body: bytes, kind: str = "application/json", headers: Mapping[str, str] | None = None
) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        await exchange.read()
        await exchange.answer(status, body, kind, headers)

    return behave


def page(status: int) -> Behaviour:
    """A proxy's page."""
    return reply(status, b"<html><body>Bad gateway: sk-live-page-secret</body></html>", "text/html")


def data(*entries: Mapping[str, object]) -> Behaviour:
    return reply(200, msgspec.json.encode({"created": 1, "data": list(entries)}))


def data_with(encoded: bytes, **more: object) -> Behaviour:
    """An answer whose picture is `encoded`, whatever that is, and what it says about it."""
    return data({"b64_json": base64.b64encode(encoded).decode(), **more})


async def reset_before_reading(exchange: Exchange) -> None:
    exchange.reset()
    raise EOFError


async def reset_after_reading(exchange: Exchange) -> None:
    await exchange.read()
    exchange.reset()
    raise EOFError


async def reset_in_the_answer(exchange: Exchange) -> None:
    await half_an_answer(exchange)
    exchange.reset()
    raise EOFError


async def stall_in_the_answer(exchange: Exchange) -> None:
    await half_an_answer(exchange)
    await asyncio.Event().wait()


async def half_an_answer(exchange: Exchange) -> None:
    body = drawn(await exchange.read())
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    await exchange.write(head.encode() + body[: len(body) // 2])


async def stall(exchange: Exchange) -> None:
    await exchange.read()
    await asyncio.Event().wait()


async def stall_before_reading(exchange: Exchange) -> None:
    await asyncio.Event().wait()


def drawn(seen: Seen) -> bytes:
    """A whole answer to `seen`."""
    data = [{"b64_json": base64.b64encode(encoded).decode()} for encoded in _pictures(seen)]
    return msgspec.json.encode({"created": 1, "data": data})


def _pictures(seen: Seen) -> list[bytes]:
    fields = seen.fields
    width, _, height = str(fields.get("size", "64x64")).partition("x")
    encoded = picture(int(width), int(height or width), str(fields.get("output_format", "png")))
    return [encoded] * int(str(fields.get("n", 1)))
