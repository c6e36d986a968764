"""Real upstreams on loopback for the providers: one that a test scripts, and the sandbox."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from PIL import Image

from pictura.core.model import ModelCard
from pictura.infra.http import Client, Timeouts
from pictura.infra.spool import Spool
from pictura.providers.base import Ask, AskPicture, Channel
from pictura.sandbox.server import Sandbox

KEY = "sk-test-0123456789"


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[list[Spool]]:
    """Every spool that an answer was read into."""
    opened: list[Spool] = []
    yield opened
    for spool in opened:
        spool.close()


@pytest.fixture
def open_spools(spools: list[Spool]) -> Callable[[], list[Spool]]:
    """Those that nobody has closed yet."""

    def is_open(spool: Spool) -> bool:
        try:
            spool.read(0, 1)
        except ValueError:
            return False
        return True

    return lambda: [spool for spool in spools if is_open(spool)]


@pytest.fixture
async def connect(tmp_path: Path, spools: list[Spool]) -> AsyncIterator[Callable[[str], Channel]]:
    """A channel to an address on loopback."""

    def open_spool() -> Spool:
        spools.append(Spool(tmp_path))
        return spools[-1]

    client = Client(open_spool=open_spool, transfers=asyncio.Semaphore(4))

    def channel(base_url: str) -> Channel:
        return Channel(
            name="main",
            base_url=base_url,
            secrets={"api_key": KEY},
            http=client,
            timeouts=Timeouts(read_s=30),
            allow_private=True,
        )

    yield channel
    await client.close()


@pytest.fixture
async def serve(connect: Callable[[str], Channel]) -> AsyncIterator[Callable[[Handler], Awaitable[Channel]]]:
    """Starts a server whose every path is answered by a handler, and gives a channel to it."""
    async with AsyncExitStack() as running:

        async def start(handler: Handler) -> Channel:
            application = web.Application()
            application.router.add_route("*", "/{path:.*}", handler)
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            running.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return connect(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")

        yield start


@pytest.fixture
async def sandbox(connect: Callable[[str], Channel]) -> AsyncIterator[Callable[[str], Channel]]:
    """A channel to the sandbox, below a path of it."""
    house = Sandbox(accepts=lambda key: key == KEY)
    address = await house.start()
    try:
        yield lambda path: connect(address + path)
    finally:
        await house.close()


@pytest.fixture
def picture(tmp_path: Path) -> Iterator[Callable[..., AskPicture]]:
    """An input as the engine hands it to a provider."""
    made: list[Spool] = []

    def make(width: int = 64, height: int = 64) -> AskPicture:
        encoded = io.BytesIO()
        Image.new("RGBA", (width, height)).save(encoded, "png")
        made.append(Spool(tmp_path))
        made[-1].write(encoded.getvalue())
        return AskPicture(made[-1], "image/png", width, height)

    yield make
    for spool in made:
        spool.close()


@pytest.fixture
def ask() -> Callable[..., Ask]:
    """A call for a card, its prompt "a fox" unless said otherwise."""

    def make(card: ModelCard, **said: object) -> Ask:
        fields: dict[str, object] = {"card": card, "native": card.native or card.id, "prompt": "a fox", **said}
        return Ask(**fields)  # type: ignore[arg-type]

    return make
