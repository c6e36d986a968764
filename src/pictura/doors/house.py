"""The house, put together: one place where every part meets the others. What opens here closes in reverse."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec

from pictura.core import ids
from pictura.core.errors import BadRequest, PicturaError
from pictura.core.plugins import Broken, build, discover
from pictura.dialects.base import Dialect
from pictura.doors.channels import open_channels, sandbox_channel
from pictura.doors.links import Links
from pictura.engine.attempt import Caller
from pictura.engine.deliver import Deliverer
from pictura.engine.gateway import Gateway
from pictura.engine.guard import Guard
from pictura.engine.health import Health
from pictura.engine.intake import Intake
from pictura.engine.plan import Planner
from pictura.engine.run import Tools
from pictura.engine.worker import Worker
from pictura.infra.blobs import LocalBlobs, open_blobs
from pictura.infra.config import Environment, Settings
from pictura.infra.crypto import Vault, open_vault
from pictura.infra.db import SqliteDatabase, open_database
from pictura.infra.fetch import Fetcher
from pictura.infra.http import Client
from pictura.infra.imaging import Imaging
from pictura.providers.base import Provider
from pictura.sandbox.base import CALLER
from pictura.sandbox.server import Sandbox
from pictura.store import audit
from pictura.store.cards import CardBook
from pictura.store.catalog import Catalog
from pictura.store.channels import ChannelBook
from pictura.store.keys import PREFIX, Key, KeyRing, Project, make_project, projects
from pictura.store.migrate import migrate

log = logging.getLogger("pictura")

DEFAULT_PROJECT = "default"


class FirstKeys(msgspec.Struct, frozen=True):
    """Keys made at the very first start; shown once. Empty: they exist since an earlier start."""

    admin: str = ""
    test: str = ""


class House(msgspec.Struct, kw_only=True):
    """All parts, running."""

    settings: Settings
    vault: Vault
    database: SqliteDatabase
    blobs: LocalBlobs
    links: Links
    providers: Mapping[str, Provider]
    dialects: Mapping[str, Dialect]
    broken: list[Broken]
    catalog: Catalog
    cards: CardBook
    channels: ChannelBook
    keys: KeyRing
    guard: Guard
    health: Health
    planner: Planner
    gateway: Gateway
    worker: Worker
    uploads: asyncio.Semaphore
    first_keys: FirstKeys
    sandbox_address: str

    def base_urls(self) -> dict[str, str]:
        """Each provider's own address."""
        return {name: provider.base_url for name, provider in self.providers.items()}


@asynccontextmanager
async def open_house(folder: Path, settings: Settings, environment: Environment) -> AsyncIterator[House]:
    """Open everything in `folder`, ready to serve; close it all at the end. Raises BadRequest for wrong settings."""
    async with AsyncExitStack() as stack:
        yield await _open(stack, folder, settings, environment)


async def _open(stack: AsyncExitStack, folder: Path, settings: Settings, environment: Environment) -> House:
    store = _open_store(stack, folder, settings, environment)
    speakers = _speakers(settings)
    channels = open_channels(store.database, store.vault, settings, environment, speakers.providers)
    cards = CardBook(store.database, speakers.catalog)
    cards.load()
    links = Links(store.vault, settings)
    guard = Guard(store.keys)
    sandbox = await _open_sandbox(stack, folder / "sandbox", store.vault, guard, channels, speakers.providers)
    health = Health(_Notices(store.database).write)
    planner = Planner(speakers.catalog, speakers.providers, channels, health)
    gateway, worker = await _open_engine(stack, settings, environment, store, planner, health, links)
    # Last: keys are shown once, and a start that fails shows none.
    first_keys = await _first_keys(store.database, store.keys, environment)
    return House(
        settings=settings,
        vault=store.vault,
        database=store.database,
        blobs=store.blobs,
        links=links,
        providers=speakers.providers,
        dialects=speakers.dialects,
        broken=[*speakers.broken, *sandbox.broken],
        catalog=speakers.catalog,
        cards=cards,
        channels=channels,
        keys=store.keys,
        guard=guard,
        health=health,
        planner=planner,
        gateway=gateway,
        worker=worker,
        uploads=asyncio.Semaphore(settings.server.transfers),
        first_keys=first_keys,
        sandbox_address=sandbox.address,
    )


class _Store(msgspec.Struct, frozen=True):
    """What remembers."""

    database: SqliteDatabase
    vault: Vault
    keys: KeyRing
    blobs: LocalBlobs


def _open_store(stack: AsyncExitStack, folder: Path, settings: Settings, environment: Environment) -> _Store:
    database = open_database(settings.database.url, folder)
    stack.push_async_callback(database.close)
    migrate(database.path)
    vault = open_vault(environment.secret, folder)
    keys = KeyRing(database, vault)
    keys.load()
    blobs = open_blobs(settings.storage.url, folder)
    stack.callback(blobs.close)
    return _Store(database, vault, keys, blobs)


async def _open_engine(
    stack: AsyncExitStack,
    settings: Settings,
    environment: Environment,
    store: _Store,
    planner: Planner,
    health: Health,
    links: Links,
) -> tuple[Gateway, Worker]:
    worker_id = ids.new("wrk")
    http, fetcher, imaging = _hands(stack, settings, environment, store.blobs)
    tools = Tools(
        database=store.database,
        planner=planner,
        caller=Caller(http, health, settings.jobs.timeout_s),
        deliverer=Deliverer(store.blobs, fetcher, imaging),
        resend_lost=settings.jobs.on_lost == "resend",
        link=links.public,
    )
    intake = Intake(store.blobs, fetcher, imaging, links.own_key)
    gateway = Gateway(store.database, planner, intake, tools, settings.jobs, worker_id)
    worker = Worker(worker_id, store.database, gateway, store.blobs, settings.storage, alone=True)
    await worker.start()
    stack.push_async_callback(worker.stop)
    return gateway, worker


def _hands(
    stack: AsyncExitStack, settings: Settings, environment: Environment, blobs: LocalBlobs
) -> tuple[Client, Fetcher, Imaging]:
    """What reaches out and what converts. Paid answers and strangers' pictures wait for slots of their own."""
    transfers = settings.server.transfers
    http = Client(open_spool=partial(blobs.spool, passing=True), transfers=asyncio.Semaphore(transfers))
    stack.push_async_callback(http.close)
    fetcher = Fetcher(open_spool=blobs.spool, transfers=asyncio.Semaphore(transfers), allow=environment.fetch_allow)
    stack.push_async_callback(fetcher.close)
    imaging = Imaging()
    stack.callback(imaging.close)
    return http, fetcher, imaging


async def _open_sandbox(
    stack: AsyncExitStack,
    folder: Path,
    vault: Vault,
    guard: Guard,
    channels: ChannelBook,
    providers: Mapping[str, Provider],
) -> Sandbox:
    """Start the simulators, with a channel to each that has a key of its own."""
    # The same after a restart: some vendors' tasks belong to the key that began them.
    key = PREFIX["test"] + vault.sign("the sandbox's own key")
    sandbox = Sandbox(accepts=_opens(guard, key), folder=folder)
    address = await sandbox.start()
    stack.push_async_callback(sandbox.close)
    for provider in providers.values():
        channels.add(sandbox_channel(provider, address, key))
    return sandbox


def _opens(guard: Guard, own: str) -> Callable[[str], bool]:
    """What opens the simulators: the `own` key of their channels, and clients' test keys, from where they may come."""

    def accepts(text: str) -> bool:
        if not text.isascii():
            return False
        if secrets.compare_digest(text, own):
            return True
        try:
            return guard.identify(text, CALLER.get().address).kind == "test"
        except PicturaError:
            return False

    return accepts


class _Notices:
    """What the operator should know: into the log and the audit trail."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._writing: set[asyncio.Task[None]] = set()

    def write(self, channel: str, text: str) -> None:
        log.warning("channel %s %s", channel, text)
        task = asyncio.get_running_loop().create_task(
            self._database.write(lambda tx: audit.note(tx, "house", "channel", channel, text))
        )
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)


async def _first_keys(database: SqliteDatabase, keys: KeyRing, environment: Environment) -> FirstKeys:
    """The default project and its first two keys, where there are none yet."""
    if not database.read(projects):
        await make_project(database, Project(DEFAULT_PROJECT, "Default"))
    if keys.all():
        return FirstKeys()
    project = Project(DEFAULT_PROJECT, "Default")
    _, admin = await keys.make(
        Key(id="", project=project, name="First admin key", scopes=("draw", "admin")), environment.admin_key
    )
    _, test = await keys.make(Key(id="", project=project, name="First test key", kind="test"), environment.test_key)
    return FirstKeys(admin, test)


class _Speakers(msgspec.Struct, frozen=True):
    """What speaks, the catalogue of its models, and what of strangers' cannot be used."""

    providers: Mapping[str, Provider]
    dialects: Mapping[str, Dialect]
    catalog: Catalog
    broken: Sequence[Broken]


def _speakers(settings: Settings) -> _Speakers:
    provider_classes, broken = discover("pictura.providers", "pictura.providers", Provider)  # type: ignore[type-abstract]
    dialect_classes, more = discover("pictura.dialects", "pictura.dialects", Dialect)  # type: ignore[type-abstract]
    strange = next((name for name in settings.dialects if name not in dialect_classes), "")
    if strange:
        raise BadRequest(f"[dialects.{strange}]: there is no such dialect; there are {', '.join(dialect_classes)}")
    catalog = Catalog(settings.aliases)

    def provide(cls: type[Provider]) -> Provider:
        made = cls()
        catalog.add(cls.name, cls.MODELS, made.generic)
        return made

    providers, unfit = build(provider_classes, provide)
    catalog.add_file(settings.model)
    dialects, mute = build(dialect_classes, lambda cls: cls(settings.dialects.get(cls.name)))
    return _Speakers(providers, dialects, catalog, [*broken, *more, *unfit, *mute])
