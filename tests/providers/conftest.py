"""Upstreams on loopback for the providers: one that a test scripts, and the sandbox; and what tests ask of them."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.typedefs import Handler
from PIL import Image

from pictura.core.errors import Failed, Lost, Malformed, PicturaError, Refused, Rejected, Throttled
from pictura.core.media import Media, flaw, sniff
from pictura.core.model import ModelCard
from pictura.core.picture import InMemory
from pictura.infra.http import Client, Timeouts
from pictura.infra.spool import Spool
from pictura.providers.base import Ask, AskPicture, Channel, Done, Pending, Provider, TaskProvider
from pictura.sandbox.server import Sandbox

KEY = "sk-test-0123456789"

# What the fixtures give.
OpenSpools = Callable[[], list[Spool]]
Connect = Callable[[str], Channel]
Serve = Callable[[Handler], Awaitable[Channel]]
MakePicture = Callable[..., AskPicture]
Make = Callable[..., Ask]


# -- what is asked --


def shown(image: Image.Image) -> AskPicture:
    """An input as the engine hands it to a provider."""
    encoded = io.BytesIO()
    image.save(encoded, "png")
    return AskPicture(InMemory(encoded.getvalue()), "image/png", *image.size)


def half_mask() -> AskPicture:
    """A mask of 64×64, transparent on its right."""
    mask = Image.new("RGBA", (64, 64))
    mask.paste((0, 0, 0, 255), (0, 0, 32, 64))
    return shown(mask)


def data_url(image: AskPicture) -> str:
    """… and as a vendor finds it in JSON."""
    return f"data:{image.media_type};base64,{base64.b64encode(image.source.read()).decode()}"


# -- what comes of it --


async def drawn_by(provider: Provider, asked: Ask, via: Channel) -> Done:
    """Start, and ask until it is done."""
    return await followed(provider, await provider.start(asked, via), via)


async def followed(provider: Provider, outcome: Done | Pending, via: Channel) -> Done:
    while isinstance(outcome, Pending):
        assert isinstance(provider, TaskProvider)
        await asyncio.sleep(0.02)
        outcome = await provider.check(outcome, via)
    return outcome


async def fault_of(provider: Provider, asked: Ask, via: Channel) -> PicturaError:
    return await fault(drawn_by(provider, asked, via))


async def fault(work: Awaitable[object]) -> PicturaError:
    """How it goes wrong, without a key in the message."""
    with pytest.raises(PicturaError) as caught:
        await work
    assert KEY not in str(caught.value)
    return caught.value


async def files(done: Done) -> list[bytes]:
    """The pictures' bytes, fetched where a URL was told; nothing under a dead one."""
    found = []
    async with ClientSession() as http:
        for raw in done.pictures:
            if raw.spool is not None:
                found.append(raw.spool.read())
                continue
            async with http.get(raw.url) as answer:
                found.append(await answer.read() if answer.ok else b"")
    return found


async def opened(done: Done) -> list[Image.Image]:
    """The pictures' colours."""
    return [Image.open(io.BytesIO(data)).convert("RGB") for data in await files(done)]


async def looks(done: Done) -> list[Media]:
    return [look(data) for data in await files(done)]


async def pixels(done: Done) -> list[tuple[str, int, int]]:
    """Format, width and height of each."""
    return [(media.format, media.width, media.height) for media in await looks(done)]


async def sides(done: Done) -> list[str]:
    return [f"{media.width}x{media.height}" for media in await looks(done)]


def look(data: bytes) -> Media:
    """What kind of picture it is, a whole one."""
    source = InMemory(data)
    media = sniff(source.read, source.size)
    assert flaw(source.read, source.size, media) == ""
    return media


#: What a prompt asks of the sandbox, and how most providers tell it.
TROUBLES: Sequence[tuple[str, type[PicturaError]]] = (
    ("[refuse]", Refused),
    ("[fault:401]", Rejected),
    ("[fault:402]", Rejected),
    ("[fault:429]", Throttled),
    ("[fault:500]", Failed),
    ("[fault:502page]", Lost),
    ("[fault:reset]", Lost),
    ("[fault:garbage]", Malformed),
    ("[fault:empty]", Malformed),
)


# -- who answers --


def says(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None, media_type: str = "image/png"
) -> Handler:
    """A handler with one answer: JSON, a page, or bytes of a media type."""

    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        if isinstance(body, bytes):
            return web.Response(body=body, status=status, headers=headers, content_type=media_type)
        if isinstance(body, str):
            return web.Response(text=body, status=status, headers=headers, content_type="text/html")
        return web.json_response(body, status=status, headers=headers)

    return handler


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
def picture() -> MakePicture:
    """A transparent input of a size."""
    return lambda width=64, height=64: shown(Image.new("RGBA", (width, height)))


@pytest.fixture
def ask() -> Callable[..., Ask]:
    """A call for a card, its prompt "a fox" unless said otherwise."""

    def make(card: ModelCard, **said: object) -> Ask:
        fields: dict[str, object] = {"card": card, "native": card.native or card.id, "prompt": "a fox", **said}
        return Ask(**fields)  # type: ignore[arg-type]

    return make
