"""A router's clients at this house's door: they send what its page prints, and look at what comes back."""

from __future__ import annotations

import asyncio
import base64
import io
import struct
import time
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec
from PIL import Image

from pictura.core.media import Media
from pictura.core.size import TIER_EDGE
from pictura.doors.house import open_house
from pictura.infra.config import Environment, ServerSettings, Settings
from tests.doors.door import (
    ADMIN,
    TEST,
    Answer,
    Door,
    File,
    Shown,
    answering,
    data_url,
    form,
    look,
    open_door,
    usual_channels,
)
from tests.upstream import Upstream, file, picture

GENERATIONS = "/v1/images/generations"
EDITS = "/v1/images/edits"

#: Where the pages' examples have their reference pictures, and how they cut an inline one short.
_EXAMPLE_SITE = "https://example.com"
_CUT_PICTURE = "data:image/png;base64,iVBORw0KGgoAAxxxx..."

CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}


class Wrong(msgspec.Struct):
    """What the family's errors hold; `param` and `code` are never null, and no field is left out."""

    message: str
    type: str
    param: str
    code: str | int


class _Failure(msgspec.Struct):
    error: Wrong


class Task(msgspec.Struct):
    """What every dialect tells of a job."""

    id: str
    task_id: str
    object: str
    status: str
    message: str = ""


class Client:
    """Sends to `host` what its page prints, with a test key where nothing else is said."""

    def __init__(self, door: Door, host: str, key: str = TEST) -> None:
        self.door = door
        self.host = host
        self.key = key

    async def ask(
        self,
        body: str | Mapping[str, object],
        *,
        path: str = GENERATIONS,
        key: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """POST a body as printed, its pictures filled in, or fields."""
        sent = filled(body, self.door.upstream).encode() if isinstance(body, str) else msgspec.json.encode(body)
        return await self.door.ask(sent, path=path, key=key or self.key, headers={"Host": self.host, **(headers or {})})

    async def edit(
        self, texts: Mapping[str, str], files: Sequence[File], *, path: str = EDITS, key: str = ""
    ) -> Answer:
        kind, body = form(texts, files)
        headers = {"Host": self.host, "Content-Type": kind}
        return await self.door.send("POST", path, body, key=key or self.key, headers=headers)

    async def get(self, path: str, *, key: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        return await self.door.send("GET", path, key=key or self.key, headers={"Host": self.host, **(headers or {})})

    async def outcome(self, id: str, *, path: str = GENERATIONS, key: str = "") -> Answer:
        """What is told of a job once it is over."""
        async with asyncio.timeout(20):
            while True:
                answer = await self.get(f"{path}/{id}", key=key)
                if "retry-after" not in answer.headers:
                    return answer
                assert msgspec.json.decode(answer.body, type=Task).status in ("queued", "in_progress")
                await asyncio.sleep(0.02)

    async def pictures(self, shown: Sequence[Shown]) -> list[Media]:
        """What was really drawn, however it was delivered."""
        return [look(await self.file(one)) for one in shown]

    async def file(self, shown: Shown) -> bytes:
        if shown.b64_json:
            assert not shown.url
            return base64.b64decode(shown.b64_json, validate=True)
        file = await self.door.send("GET", self.door.url + shown.url[shown.url.index("/files/") :])
        assert (file.status, file.headers["content-type"]) == (200, look(file.body).type)
        return file.body


@asynccontextmanager
async def seed_door(folder: Path, upstream: Upstream) -> AsyncIterator[Door]:
    """A house behind a proxy that ends TLS, which may fetch the examples' reference pictures."""
    server = ServerSettings(trusted_proxies=("127.0.0.0/8",))
    async with open_door(folder, upstream, server=server, fetch_allow=f"127.0.0.1:{upstream.port}") as door:
        yield door


@asynccontextmanager
async def configured_door(folder: Path, upstream: Upstream, settings: Settings) -> AsyncIterator[Door]:
    """A house as its operator set it up, with the usual channels; its live key is the admin's."""
    settings = msgspec.structs.replace(settings, channel=usual_channels(upstream))
    variables = {"PICTURA_ADMIN_KEY": ADMIN, "PICTURA_TEST_KEY": TEST}
    async with (
        open_house(folder, settings, Environment(variables)) as house,
        answering(house) as port,
        aiohttp.ClientSession(auto_decompress=False) as http,
    ):
        yield Door(house, folder, port, upstream, http)
        await house.gateway.drain(5)


def place_references(upstream: Upstream) -> None:
    """The reference pictures of the pages' examples."""
    upstream.files["/image1.png"] = file(picture(120, 80))
    upstream.files["/image2.png"] = file(picture(80, 120))


def filled(body: str, upstream: Upstream) -> str:
    """A printed body with pictures where the page has placeholders."""
    return body.replace(_EXAMPLE_SITE, upstream.address).replace(_CUT_PICTURE, data_url(picture(120, 80)))


# -- what comes back --


def plain(answer: Answer, keys: set[str]) -> list[Shown]:
    """The pictures of a plain answer: `created` in seconds and `data`, whose entries have these keys, all texts."""
    assert answer.status == 200, answer.body
    assert set(answer.fields) == {"created", "data"}
    return entries(answer.fields, keys)


def entries(fields: Mapping[str, object], keys: set[str]) -> list[Shown]:
    created, data = fields["created"], fields["data"]
    assert type(created) is int and abs(created - time.time()) < 60
    assert isinstance(data, list)
    for entry in data:
        assert keys <= set(entry) <= keys | {"revised_prompt"}  # which some vendors tell and others do not
        assert all(type(value) is str for value in entry.values())
    return msgspec.convert(data, list[Shown])


def refusal(answer: Answer, status: int = 400) -> Wrong:
    """What an error says, in the envelope of the new-api family."""
    assert answer.status == status, answer.body
    assert set(answer.fields) == {"error"}
    wrong = msgspec.json.decode(answer.body, type=_Failure).error
    assert answer.headers["x-oneapi-request-id"] == answer.headers["x-request-id"]
    assert wrong.message.endswith(f" (request id: {answer.headers['x-request-id']})")
    return wrong


def task(answer: Answer, status: str) -> Task:
    assert answer.status == 200, answer.body
    told = msgspec.json.decode(answer.body, type=Task)
    assert told.status == status
    assert told.id == told.task_id == answer.headers["x-pictura-job"]
    return told


def check_shape(found: Media, aspect: str = "", tier: str = "") -> None:
    """Of that aspect and tier, as far as vendors are exact: they draw on grids, and 4K is 3840 as well as 4096."""
    if aspect:
        wide, high = aspect.split(":")
        assert abs(found.width / found.height * int(high) / int(wide) - 1) < 0.05, (found, aspect)
    if tier:
        edge = TIER_EDGE[tier]
        assert max(found.width, found.height) > 0.9 * edge, (found, tier)
        assert found.width * found.height < 1.3 * edge**2, (found, tier)


def expires_in_s(url: str) -> int:
    """Seconds for which a picture's URL is good."""
    (expires,) = parse_qs(urlsplit(url).query)["e"]
    return int(expires) - int(time.time())


# -- what is sent --


def encoded(format: str, width: int = 512, height: int = 512) -> bytes:
    """A picture of a format that clients send: PNG, JPEG, GIF, WEBP, BMP, TIFF."""
    written = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(written, format)
    return written.getvalue()


def heavy(size: int, width: int = 512, height: int = 512) -> bytes:
    """A whole PNG of exactly so many bytes: it carries chunks that mean nothing to anybody."""
    whole = picture(width, height)
    end = whole.index(b"IEND") - 4
    missing = size - len(whole)
    ballast = []
    while missing:
        taken = missing if missing <= 1_000_000 else 900_000
        ballast.append(_chunk(b"piCt", bytes(taken - 12)))
        missing -= taken
    return whole[:end] + b"".join(ballast) + whole[end:]


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
