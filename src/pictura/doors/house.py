"""The house, put together: one place where every part meets the others. What opens here closes in reverse."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec

from pictura.core import ids
from pictura.core.errors import BadRequest, PicturaError
from pictura.core.plugins import Broken, build, discover
from pictura.dialects.base import Dialect
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
from pictura.infra.config import ChannelSettings, Environment, Settings
from pictura.infra.crypto import Vault, open_vault
from pictura.infra.db import SqliteDatabase, open_database
from pictura.infra.fetch import Fetcher
from pictura.infra.http import Client
from pictura.infra.imaging import Imaging
from pictura.providers.base import Provider
from pictura.providers.plain import SANDBOX_PATH
from pictura.sandbox.base import CALLER
from pictura.sandbox.base import SECRET as SANDBOX_SECRET
from pictura.sandbox.server import Sandbox
from pictura.store import audit
from pictura.store.cards import CardBook
from pictura.store.catalog import Catalog
from pictura.store.channels import SANDBOX_PREFIX, ChannelBook, ChannelRecord, from_settings
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
    database = open_database(settings.database.url, folder)
    stack.push_async_callback(database.close)
    migrate(database.path)
    vault = open_vault(environment.secret, folder)
    keys = KeyRing(database, vault)
    keys.load()
    blobs = open_blobs(settings.storage.url, folder)
    stack.callback(blobs.close)
    links = Links(vault, settings)

    providers, dialects, catalog, broken = _plugins(settings)
    channels = _channels(database, vault, settings, environment, providers)
    cards = CardBook(database, catalog)
    cards.load()
    guard = Guard(keys)
    sandbox = await _open_sandbox(stack, folder / "sandbox", vault, guard, channels, providers)
    health = Health(_Notices(database).write)
    planner = Planner(catalog, providers, channels, health)

    worker_id = ids.new("wrk")
    http, fetcher, imaging = _hands(stack, settings, environment, blobs)
    tools = Tools(
        database=database,
        planner=planner,
        caller=Caller(http, health, settings.jobs.timeout_s),
        deliverer=Deliverer(blobs, fetcher, imaging),
        resend_lost=settings.jobs.on_lost == "resend",
        link=links.public,
    )
    gateway = Gateway(
        database, planner, Intake(blobs, fetcher, imaging, links.own_key), tools, settings.jobs, worker_id
    )
    worker = Worker(worker_id, database, gateway, blobs, settings.storage, alone=True)
    await worker.start()
    stack.push_async_callback(worker.stop)
    # Last: keys are shown once, and a start that fails shows none.
    first_keys = await _first_keys(database, keys, environment)
    return House(
        settings=settings,
        vault=vault,
        database=database,
        blobs=blobs,
        links=links,
        providers=providers,
        dialects=dialects,
        broken=[*broken, *sandbox.broken],
        catalog=catalog,
        cards=cards,
        channels=channels,
        keys=keys,
        guard=guard,
        health=health,
        planner=planner,
        gateway=gateway,
        worker=worker,
        uploads=asyncio.Semaphore(settings.server.transfers),
        first_keys=first_keys,
        sandbox_address=sandbox.address,
    )


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
    for name, provider in providers.items():
        channels.add(_sandbox_channel(name, provider, address, key))
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


def _plugins(settings: Settings) -> tuple[dict[str, Provider], dict[str, Dialect], Catalog, list[Broken]]:
    """What speaks, the catalogue of its models, and what of strangers' cannot be used."""
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
    return providers, dialects, catalog, [*broken, *more, *unfit, *mute]


def _channels(
    database: SqliteDatabase,
    vault: Vault,
    settings: Settings,
    environment: Environment,
    providers: Mapping[str, Provider],
) -> ChannelBook:
    """The channels of the environment, of the file and of the console."""
    book = ChannelBook(database, vault)
    named = {channel.provider for channel in settings.channel}
    for name, provider in providers.items():
        found = _secrets(provider.env, environment)
        address = environment.variables.get(provider.base_url_env, "")
        if (found or address) and all(found.values()) and provider.live and name not in named:
            more = _secrets(provider.optional_env, environment)
            found.update({secret: value for secret, value in more.items() if value})
            here = ChannelSettings(name=name, provider=name, base_url=address, secrets=found)
            book.add(from_settings(here, provider.base_url, {}, "environment"))
    for channel in settings.channel:
        speaker = providers.get(channel.provider)
        if speaker is None or not speaker.live:
            live = ", ".join(sorted(name for name, provider in providers.items() if provider.live))
            why = "is not known" if speaker is None else "is drawn in the sandbox only, so far"
            raise BadRequest(f"channel {channel.name!r}: provider {channel.provider!r} {why}; there are: {live}")
        try:
            speaker.check_options(channel.options)
        except BadRequest as error:
            raise BadRequest(f"channel {channel.name!r}: {error.message}") from None
        book.add(from_settings(channel, speaker.base_url, environment.variables, "file"))
    book.load({name: provider.base_url for name, provider in providers.items()})
    return book


def _secrets(wanted: Mapping[str, str], environment: Environment) -> dict[str, str]:
    """By secret what the environment has for it, "" where it has nothing."""
    found = environment.variables
    return {
        secret: next((found[name] for name in names.split() if found.get(name)), "") for secret, names in wanted.items()
    }


def _sandbox_channel(name: str, provider: Provider, address: str, key: str) -> ChannelRecord:
    # The test key is the id; what is signed is signed with a word that everybody knows.
    first, *others = provider.env or ("api_key",)
    secrets_of = {first: key, **dict.fromkeys(others, SANDBOX_SECRET)}
    return ChannelRecord(
        name=SANDBOX_PREFIX + name,
        provider=name,
        base_url=address + (provider.sandbox_path or SANDBOX_PATH),
        secrets=secrets_of,
        origin="sandbox",
    )
