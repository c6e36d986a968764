"""What many tests share: a migrated database, a ring of keys, and a provider that does what a test scripted."""

from __future__ import annotations

import asyncio
import functools
import io
import shutil
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from PIL import Image

from pictura.core.model import Inputs, Mask, ModelCard, Prompt, Source
from pictura.core.picture import Bytes
from pictura.core.price import PerPicture, Usage
from pictura.core.size import FreePixels
from pictura.infra.crypto import Vault
from pictura.infra.db import SqliteDatabase
from pictura.infra.spool import Spool
from pictura.providers.base import Ask, CancellingProvider, Channel, Done, Pending, Raw
from pictura.store.keys import Key, KeyRing, Project, make_project
from pictura.store.migrate import migrate

SOURCE = Source("a test", "2026-11-20")
#: Takes almost everything, at 4 cents a picture.
CARD = ModelCard(
    id="fox",
    native="fox-1",
    aliases=("vulpes",),
    modes=("generate", "edit"),
    prompt=Prompt("optional"),
    sizes=FreePixels(min_edge=16, max_edge=512, default="64x64"),
    max_n=2,
    inputs=Inputs(count=2),
    mask=Mask(),
    outputs=("png", "webp"),
    price=PerPicture(40_000),
    source=SOURCE,
)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with all tables and nothing in them; copied, because migrating takes a while."""
    path = tmp_path_factory.mktemp("migrated") / "pictura.db"
    migrate(path)
    return path


@pytest.fixture
def data(tmp_path: Path, migrated: Path) -> Path:
    """A data folder with a migrated database."""
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(migrated, folder)
    return folder


@pytest.fixture
async def database(data: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(data / "pictura.db")
    yield database
    await database.close()


@pytest.fixture
def vault() -> Vault:
    return Vault(b"the secret of the tests")


@pytest.fixture
async def ring(database: SqliteDatabase, vault: Vault) -> KeyRing:
    """The keys of two projects: `default` is postpaid, `prepaid` has nothing yet."""
    await make_project(database, Project("default", "Default"))
    await make_project(database, Project("prepaid", "Prepaid", prepaid=True))
    ring = KeyRing(database, vault)
    ring.load()
    return ring


@pytest.fixture
async def key(ring: KeyRing) -> Key:
    """A live key of the postpaid project."""
    made, _ = await ring.make(Key(id="", project=Project("default", "Default"), name="live"))
    return made


@pytest.fixture
async def prepaid_key(ring: KeyRing) -> Key:
    made, _ = await ring.make(Key(id="", project=Project("prepaid", "Prepaid", prepaid=True), name="prepaid"))
    return made


@functools.cache
def picture(width: int = 64, height: int = 64, format: str = "png") -> bytes:
    """A whole picture."""
    encoded = io.BytesIO()
    Image.new("RGB", (width, height), (200, 90, 30)).save(encoded, format)
    return encoded.getvalue()


class Drawn(msgspec.Struct):
    """`count` pictures (None: as many as were asked for) of `data`, or `each` of these, or the URLs of `urls`."""

    count: int | None = None
    data: bytes = picture()
    each: tuple[bytes, ...] = ()
    urls: tuple[str, ...] = ()
    usage: Usage | None = None
    cost: int | None = None
    echo: Mapping[str, str] = {}


Step = Drawn | Pending | Exception | Callable[[Ask | Pending], Awaitable[Drawn | Pending]]


class Call(msgspec.Struct):
    """What a provider was asked, when that is over: inputs are read while they are there."""

    channel: str
    ask: Ask
    inputs: tuple[bytes, ...]


class Scripted(CancellingProvider):
    """Plays its script, a step for every start and check, and remembers them; an empty script draws at once."""

    name = "scripted"
    base_url = "http://127.0.0.1:9"
    MODELS: ClassVar[tuple[ModelCard, ...]] = (CARD,)

    def __init__(self, *script: Step) -> None:
        self.script = deque(script)
        self.calls: list[Call] = []
        self.checks: list[Pending] = []
        self.cancelled: list[Pending] = []
        #: Where its answers come to lie; set by whoever opens the blobs.
        self.open_spool: Callable[[], Spool] = lambda: Spool(Path())

    async def start(self, ask: Ask, via: Channel) -> Done | Pending:
        self.calls.append(Call(via.name, ask, tuple(_whole(image.source) for image in ask.images)))
        return await self._play(ask, ask.n)

    async def check(self, task: Pending, via: Channel) -> Done | Pending:
        self.checks.append(task)
        return await self._play(task, 1)

    async def cancel(self, task: Pending, via: Channel) -> None:
        self.cancelled.append(task)

    async def _play(self, asked: Ask | Pending, count: int) -> Done | Pending:
        step = self.script.popleft() if self.script else Drawn()
        if isinstance(step, Exception):
            raise step
        made = step if isinstance(step, Drawn | Pending) else await step(asked)
        return made if isinstance(made, Pending) else self._done(made, count)

    def _done(self, drawn: Drawn, count: int) -> Done:
        raws = [Raw(url=url) for url in drawn.urls]
        copies = 0 if raws else count if drawn.count is None else drawn.count
        for data in drawn.each or [drawn.data] * copies:
            spool = self.open_spool()
            spool.write(data)
            raws.append(Raw(spool=spool))
        return Done(pictures=tuple(raws), usage=drawn.usage, cost=drawn.cost, echo=drawn.echo)


def _whole(source: Bytes) -> bytes:
    return source.read()


def gate(step: Drawn | Pending | Exception | None = None) -> tuple[asyncio.Event, asyncio.Event, Step]:
    """A step that stops midway: it sets the first event when it is reached, and goes on when the second is set."""
    reached, opened = asyncio.Event(), asyncio.Event()

    async def wait(asked: Ask | Pending) -> Drawn | Pending:
        reached.set()
        await opened.wait()
        if isinstance(step, Exception):
            raise step
        return step or Drawn()

    return reached, opened, wait
