"""A gateway to knock at: the whole house behind a real socket, with a provider that the test scripts."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

import aiohttp
import msgspec

from pictura.core import media
from pictura.core.media import Media
from pictura.core.money import usd
from pictura.doors.house import House, open_house
from pictura.doors.http.app import application
from pictura.doors.http.server import Server, listen
from pictura.infra.config import (
    ChannelPrice,
    ChannelSettings,
    Environment,
    JobSettings,
    ServerSettings,
    Settings,
    StorageSettings,
)
from pictura.store import jobs, ledger
from pictura.store.jobs import Job
from pictura.store.keys import Key, Project, make_project
from pictura.store.ledger import Entry, Purse
from tests.upstream import KEY, Upstream

ADMIN = "sk-pic-admin-0123456789abcdef"
TEST = "sk-test-0123456789abcdef"
#: Of the prepaid project `studio`: it pays, and its money is looked at.
LIVE = "sk-pic-live-0123456789abcdef"
KEYS = (ADMIN, TEST, LIVE, KEY)

USUAL = Settings()
STUDIO = "studio"
DEPOSIT = usd("100")
PRICE = usd("0.04")

#: Served by the channel `main` alone, and by nobody else.
MODEL = "gpt-image-1.5"
#: Served by `main`, and by `spare` where that fails.
SHARED = "gpt-image-2"
#: A model that no card describes, served by `main`.
GENERIC = "somebody/new-model"

DialectName = Literal["openai", "imagerouter"]
GENERATIONS: Mapping[str, str] = {
    "openai": "/openai/v1/images/generations",
    "imagerouter": "/imagerouter/v1/openai/images/generations",
}
EDITS: Mapping[str, str] = {
    "openai": "/openai/v1/images/edits",
    "imagerouter": "/imagerouter/v1/openai/images/edits",
}

#: A file of a form: field, file name, media type, bytes.
File = tuple[str, str, str, bytes]


class Wrong(msgspec.Struct):
    """What stands under "error". `param` and `code` are of the openai dialect."""

    message: str
    type: str
    request_id: str
    param: str | None = None
    code: str | None = None


class _Failure(msgspec.Struct):
    error: Wrong


class Shown(msgspec.Struct):
    url: str = ""
    b64_json: str = ""
    revised_prompt: str | None = None


class Drawn(msgspec.Struct):
    """The answer to a request that succeeded, in either dialect."""

    created: int
    data: list[Shown]
    latency: int = 0
    cost: float | None = None
    size: str = ""
    output_format: str = ""


class Answer(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> Wrong:
        return msgspec.json.decode(self.body, type=_Failure).error

    @property
    def drawn(self) -> Drawn:
        assert self.status == 200, self.body
        return msgspec.json.decode(self.body, type=Drawn)

    @property
    def fields(self) -> dict[str, object]:
        return msgspec.json.decode(self.body, type=dict[str, object])

    @property
    def url(self) -> str:
        return self.drawn.data[0].url

    @property
    def picture(self) -> bytes:
        return base64.b64decode(self.drawn.data[0].b64_json, validate=True)


class Door:
    """An open house, its address, and the provider behind its channels `main` and `spare`."""

    def __init__(self, house: House, folder: Path, port: int, upstream: Upstream, http: aiohttp.ClientSession) -> None:
        self.house = house
        self.folder = folder
        self.port = port
        self.upstream = upstream
        self.http = http

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | AsyncIterator[bytes] | None = None,
        *,
        key: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request. `path` may be a whole URL, as pictures have it."""
        shown = {"Authorization": f"Bearer {key}"} if key else {}
        if isinstance(body, bytes) and len(body) > 1_000_000:
            shown["Content-Length"] = str(len(body))
            body = _in_pieces(body)
        url = path if "://" in path else self.url + path
        async with self.http.request(
            method, url, data=body, headers={**shown, **(headers or {})}, allow_redirects=False
        ) as answer:
            told = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, told, await answer.read())

    async def ask(
        self,
        fields: object,
        *,
        path: str = GENERATIONS["openai"],
        key: str = LIVE,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """POST JSON; bytes are sent as they are."""
        body = fields if isinstance(fields, bytes) else msgspec.json.encode(fields)
        return await self.send(
            "POST", path, body, key=key, headers={"Content-Type": "application/json", **(headers or {})}
        )

    async def ask_form(
        self,
        texts: Mapping[str, str],
        files: Sequence[File] = (),
        *,
        path: str = EDITS["openai"],
        key: str = LIVE,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        kind, body = form(texts, files)
        return await self.send("POST", path, body, key=key, headers={"Content-Type": kind, **(headers or {})})

    async def new_key(self, text: str, **fields: object) -> Key:
        """A key of `studio`, unless `project` says otherwise."""
        whole = {"id": "", "project": Project(STUDIO, "Studio", prepaid=True), "name": "a key", **fields}
        key, _ = await self.house.keys.make(Key(**whole), text)  # type: ignore[arg-type]
        return key

    def purse(self, project: str = STUDIO) -> Purse:
        return self.house.database.read(lambda tx: ledger.purse(tx, project))

    def entries(self, project: str = STUDIO) -> list[Entry]:
        return self.house.database.read(lambda tx: ledger.entries(tx, project, 100_000))

    def jobs(self) -> list[Job]:
        """The newest first."""
        return self.house.database.read(lambda tx: jobs.newest(tx, limit=1000))

    def job(self, answer: Answer) -> Job:
        """The job that an answer names."""
        found = self.house.database.read(lambda tx: jobs.find(tx, answer.headers["x-pictura-job"]))
        assert found is not None
        return found

    def left_behind(self) -> list[str]:
        """What no job that has ended should leave: spools and inputs."""
        blobs = self.folder / "blobs"
        return [
            str(path.relative_to(blobs))
            for kind in ("tmp", "in")
            for path in (blobs / kind).rglob("*")
            if path.is_file()
        ]

    def outputs(self) -> list[Path]:
        return [path for path in (self.folder / "blobs" / "out").rglob("*") if path.is_file()]


def channel(upstream: Upstream, name: str, **said: object) -> ChannelSettings:
    """A channel to `upstream`, whose pictures cost PRICE."""
    fields: dict[str, object] = {
        "name": name,
        "provider": "openai",
        "api_key": KEY,
        "base_url": upstream.url,
        "allow_private_network": True,
        "price": ChannelPrice("0.04"),
        **said,
    }
    return ChannelSettings(**fields)  # type: ignore[arg-type]


def usual_channels(upstream: Upstream) -> tuple[ChannelSettings, ...]:
    return (
        channel(upstream, "main", models=(MODEL, SHARED, GENERIC), timeout_s=2),
        channel(upstream, "spare", models=(SHARED,), priority=1, timeout_s=2),
    )


@asynccontextmanager
async def open_door(
    folder: Path,
    upstream: Upstream,
    *,
    server: ServerSettings = USUAL.server,
    jobs: JobSettings = USUAL.jobs,
    storage: StorageSettings = USUAL.storage,
    channels: Sequence[ChannelSettings] | None = None,
    fetch_allow: str = "",
) -> AsyncIterator[Door]:
    """A house of its own in `folder`, its keys made, its server listening; all closed at the end."""
    listed = usual_channels(upstream) if channels is None else tuple(channels)
    settings = Settings(server=server, jobs=jobs, storage=storage, channel=listed)
    variables = {"PICTURA_ADMIN_KEY": ADMIN, "PICTURA_TEST_KEY": TEST, "PICTURA_FETCH_ALLOW": fetch_allow}
    async with open_house(folder, settings, Environment(variables)) as house, answering(house) as port:
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as http:
            door = Door(house, folder, port, upstream, http)
            await make_project(house.database, Project(STUDIO, "Studio", prepaid=True))
            await house.database.write(lambda tx: ledger.deposit(tx, STUDIO, DEPOSIT))
            await door.new_key(LIVE)
            yield door
        await house.gateway.drain(5)
    assert house.blobs.slabs.out == 0, "somebody kept memory that is meant for pictures that pass through"


@asynccontextmanager
async def answering(house: House) -> AsyncIterator[int]:
    """The house's server, for as long as the context; gives its port."""
    with listen("127.0.0.1", 0) as sock:
        server = Server(application(house))
        task = asyncio.create_task(server.serve([sock]))
        await server.listening.wait()
        try:
            yield sock.getsockname()[1]
        finally:
            server.should_exit = True
            await task


def form(texts: Mapping[str, str], files: Sequence[File] = ()) -> tuple[str, bytes]:
    """Content-Type and body of a multipart form."""
    boundary = "the-line-between"
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode() for name, text in texts.items()]
    for name, filename, kind, data in files:
        head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {kind}\r\n\r\n'
        parts.append(head.encode() + data)
    body = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in parts)
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


async def _in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1_000_000):
        yield body[start : start + 1_000_000]


def png_file(name: str, data: bytes, filename: str = "a.png") -> File:
    return (name, filename, "image/png", data)


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def look(data: bytes) -> Media:
    """What a picture is; fails where it is not whole."""

    def read(offset: int, size: int) -> bytes:
        return data[offset:][:size]

    found = media.sniff(read, len(data))
    assert media.flaw(read, len(data), found) == ""
    return found


async def until(what: Callable[[], object], seconds: float = 5) -> None:
    """Wait until `what()` is true; at most so long."""
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110 (the house says nothing when it changes)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of one's own, for what no client library would send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """One answer with a Content-Length."""
    line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answer(int(line.split(" ")[1]), headers, body)


def head(method: str, path: str, *, key: str = LIVE, **headers: object) -> bytes:
    """The head of a request by hand; underscores in names stand for hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {key}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


Send = Callable[[Door, DialectName], Awaitable[Answer]]
