"""The engine put together over a folder, without doors: real database, real files, scripted providers."""

from __future__ import annotations

import asyncio
import io
import logging
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from pictura.core import ids
from pictura.core.request import ImageRequest, Upload
from pictura.engine.attempt import Caller
from pictura.engine.deliver import Deliverer
from pictura.engine.gateway import Draft, Gateway, Handle, Outcome
from pictura.engine.health import Health
from pictura.engine.intake import Intake
from pictura.engine.plan import Planner
from pictura.engine.run import Tools
from pictura.engine.worker import Worker
from pictura.infra.blobs import LocalBlobs
from pictura.infra.config import JobSettings, StorageSettings
from pictura.infra.crypto import Vault
from pictura.infra.db import SqliteDatabase
from pictura.infra.fetch import Fetcher
from pictura.infra.http import Client
from pictura.infra.imaging import Imaging
from pictura.providers.base import Provider
from pictura.store import jobs, ledger
from pictura.store.catalog import Catalog
from pictura.store.channels import ChannelBook, ChannelRecord
from pictura.store.jobs import Attempt, Job
from pictura.store.keys import Key, KeyRing, Project, make_project
from tests.conftest import Scripted

DEFAULT = Project("default", "Default")
PREPAID = Project("prepaid", "Prepaid", prepaid=True)
SETTINGS = JobSettings(timeout_s=5)
STORAGE = StorageSettings()


def channel(name: str = "main", **said: Any) -> ChannelRecord:
    fields: dict[str, Any] = {"provider": "scripted", "base_url": "http://127.0.0.1:9", "secrets": {}, **said}
    return ChannelRecord(name=name, **fields)


def ask(prompt: str = "a fox", **said: Any) -> ImageRequest:
    return ImageRequest(**{"model": "fox", "prompt": prompt, **said})


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Engine(msgspec.Struct):
    folder: Path
    database: SqliteDatabase
    blobs: LocalBlobs
    ring: KeyRing
    channels: ChannelBook
    catalog: Catalog
    health: Health
    planner: Planner
    intake: Intake
    gateway: Gateway
    worker: Worker
    clock: Clock
    notices: list[str]

    def key(self, project: Project = DEFAULT) -> Key:
        return next(key for key in self.ring.all() if key.project.id == project.id and key.kind == "live")

    async def deposit(self, amount: int) -> None:
        await self.database.write(lambda tx: ledger.deposit(tx, PREPAID.id, amount))

    async def submit(
        self,
        request: ImageRequest | None = None,
        *,
        key: Key | None = None,
        uploads: Iterable[Upload] = (),
        retry: bool = False,
        channel: str = "",
    ) -> Handle:
        draft = Draft(request or ask(), key or self.key(), "openai", tuple(uploads), retry=retry, channel=channel)
        return await self.gateway.submit(draft)

    async def draw(self, request: ImageRequest | None = None, **said: Any) -> Outcome:
        """What came of it, within a few seconds."""
        return await outcome_of(await self.submit(request, **said))

    def upload(self, data: bytes) -> Upload:
        spool = self.blobs.spool()
        spool.write(data)
        return Upload("image", spool)

    def job(self, outcome: Outcome | Handle) -> Job:
        job_id = outcome.job_id if isinstance(outcome, Outcome) else outcome.job.id
        found = self.database.read(lambda tx: jobs.find(tx, job_id))
        assert found is not None
        return found

    def attempts(self, outcome: Outcome | Handle) -> list[Attempt]:
        return self.database.read(lambda tx: jobs.attempts(tx, self.job(outcome).id))

    def purse(self, project: Project = DEFAULT) -> tuple[int, int]:
        """Balance and what is held."""
        found = self.database.read(lambda tx: ledger.purse(tx, project.id))
        return found.balance, found.held

    def files(self, kind: str) -> list[str]:
        return sorted(path.name for path in (self.folder / "blobs" / kind).rglob("*") if path.is_file())


async def outcome_of(handle: Handle) -> Outcome:
    outcome = await asyncio.wait_for(asyncio.shield(handle.outcome), 5)
    handle.leave()
    return outcome


async def settled(condition: Callable[[], bool]) -> None:
    """Wait until it holds, some seconds at the most."""
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not happen")


@asynccontextmanager
async def open_engine(
    folder: Path,
    *providers: Provider,
    channels: Iterable[ChannelRecord] = (channel(),),
    settings: JobSettings = SETTINGS,
    storage: StorageSettings = STORAGE,
    fetch_allow: Iterable[tuple[str, int]] = (),
    aliases: dict[str, str] | None = None,
    own_key: Callable[[str], str] = lambda url: "",
    link: Callable[[str], str] = lambda key: "",
) -> AsyncIterator[Engine]:
    """Everything but the worker's start: `engine.worker.start()` takes over what an earlier engine left in `folder`."""
    async with AsyncExitStack() as stack:
        database = SqliteDatabase(folder / "pictura.db")
        stack.push_async_callback(database.close)
        vault = Vault(b"the secret of the tests")
        ring = KeyRing(database, vault)
        ring.load()
        if not ring.all():
            await _first_keys(database, ring)
        blobs = LocalBlobs(folder / "blobs")
        book = ChannelBook(database, vault)
        for record in channels:
            book.add(record)
        catalog = Catalog(aliases)
        for provider in providers:
            catalog.add(provider.name, provider.MODELS)
            if isinstance(provider, Scripted):
                provider.open_spool = partial(blobs.spool, passing=True)
        client = Client(open_spool=partial(blobs.spool, passing=True), transfers=asyncio.Semaphore(4))
        stack.push_async_callback(client.close)
        fetcher = Fetcher(open_spool=blobs.spool, transfers=asyncio.Semaphore(4), allow=fetch_allow)
        stack.push_async_callback(fetcher.close)
        imaging = Imaging(workers=1)
        stack.callback(imaging.close)
        clock, notices = Clock(), list[str]()
        health = Health(lambda name, text: notices.append(f"{name} {text}"), clock)
        planner = Planner(catalog, {provider.name: provider for provider in providers}, book, health)
        tools = Tools(
            database=database,
            planner=planner,
            caller=Caller(client, health, settings.timeout_s),
            deliverer=Deliverer(blobs, fetcher, imaging),
            resend_lost=settings.on_lost == "resend",
            link=link,
        )
        intake = Intake(blobs, fetcher, imaging, own_key)
        worker_id = ids.new("wrk")
        gateway = Gateway(database, planner, intake, tools, settings, worker_id)
        worker = Worker(worker_id, database, gateway, blobs, storage, alone=True)
        stack.push_async_callback(_end_all, gateway)
        yield Engine(
            folder=folder,
            database=database,
            blobs=blobs,
            ring=ring,
            channels=book,
            catalog=catalog,
            health=health,
            planner=planner,
            intake=intake,
            gateway=gateway,
            worker=worker,
            clock=clock,
            notices=notices,
        )


async def _first_keys(database: SqliteDatabase, ring: KeyRing) -> None:
    for project in (DEFAULT, PREPAID):
        await make_project(database, project)
        await ring.make(Key(id="", project=project, name=project.name))
    await ring.make(Key(id="", project=DEFAULT, name="test", kind="test"))


async def _end_all(gateway: Gateway) -> None:
    """What a test left on its way stops as at the end of a process: no job is ended by it."""
    tasks = [handle.task for handle in gateway._running.values() if handle.task]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def provider() -> Scripted:
    return Scripted()


@pytest.fixture
async def engine(data: Path, provider: Scripted) -> AsyncIterator[Engine]:
    async with open_engine(data, provider) as engine:
        yield engine
    assert engine.blobs.slabs.out == 0


@pytest.fixture
def crashed(tmp_path: Path) -> Callable[[Engine], Path]:
    """What a crash at this moment would leave on the disk: a copy of the folder, which another engine can open."""

    def copy(engine: Engine) -> Path:
        target = tmp_path / f"crashed-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(engine.folder, target, ignore=shutil.ignore_patterns("*.lock", "tmp"))
        return target

    return copy


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """For tests in which a bug is logged on purpose."""
    caplog.set_level(logging.CRITICAL)
    return caplog


def size_of(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size
