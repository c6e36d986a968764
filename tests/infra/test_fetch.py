"""The fetcher against real servers, hostile ones above all."""

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from pictura.core.errors import BadRequest, TooLarge
from pictura.infra.fetch import Fetcher, FetchFailed, FetchTooLarge, _next_url, _Refused
from pictura.infra.spool import Spool

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 1024
CAP = len(PICTURE)
SECRET = "X-Signature=secret"


class Names(AbstractResolver):
    """A DNS in which every name leads to one address."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [ResolveResult(hostname=host, host=self.address, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


class Site:
    """A server that answers by path, each with the whole bytes of an answer."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.heads: list[str] = []
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            self.asked.append(head.split(" ")[1])
            page = self.pages[self.asked[-1].partition("?")[0]]
            writer.write(page)
            await writer.drain()
            if page.endswith(b"DRIP"):
                while True:
                    writer.write(b".")
                    await writer.drain()
                    await asyncio.sleep(0.02)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}?{SECRET}"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        with contextlib.closing(writer), contextlib.suppress(asyncio.CancelledError):
            await site.handle(reader, writer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    yield site
    server.close()
    for task in handlers:
        task.cancel()
    await asyncio.gather(*handlers)
    await server.wait_closed()


@pytest.fixture
async def fetcher(site: Site, tmp_path: Path) -> AsyncIterator[Fetcher]:
    transfers = asyncio.Semaphore(1)
    fetcher = Fetcher(open_spool=lambda: Spool(tmp_path), transfers=transfers, allow=[("127.0.0.1", site.port)])
    yield fetcher
    await fetcher.close()
    assert not spools(tmp_path)
    assert not transfers.locked()


@contextlib.asynccontextmanager
async def strict(
    folder: Path, *, names: AbstractResolver | None = None, proxy: str | None = None
) -> AsyncIterator[Fetcher]:
    """A fetcher to which no private address is allowed."""
    fetcher = Fetcher(open_spool=lambda: Spool(folder), transfers=asyncio.Semaphore(1), resolver=names, proxy=proxy)
    try:
        yield fetcher
    finally:
        await fetcher.close()


def spools(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def http(body: bytes = b"", *, status: str = "200 OK", kind: str = "image/png", extra: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def redirect(location: str, status: int = 302) -> bytes:
    return http(status=f"{status} Moved", extra=f"Location: {location}\r\n")


async def failing(fetcher: Fetcher, url: str, *, kind: type[FetchFailed] = FetchFailed, timeout_s: float = 5) -> str:
    with pytest.raises(kind) as caught:
        await fetcher.picture(url, cap_bytes=CAP, timeout_s=timeout_s)
    message = str(caught.value)
    assert message.startswith("The picture at ")
    assert "could not be fetched: " in message
    assert "secret" not in message
    assert caught.value.param is None
    return message.partition("could not be fetched: ")[2]


async def test_a_picture(fetcher: Fetcher, site: Site) -> None:
    site.pages["/fox.png"] = http(PICTURE, kind="image/png; x=y")
    spool = await fetcher.picture(site.url("/fox.png"), cap_bytes=CAP)
    assert spool.read() == PICTURE
    assert spool.media_type == "image/png"
    assert site.asked == [f"/fox.png?{SECRET}"]
    assert "accept-encoding: identity" in site.heads[0].lower()
    spool.close()


async def test_a_signed_url_is_asked_as_it_is_written(fetcher: Fetcher, site: Site) -> None:
    site.pages["/a%2Fb%7e"] = redirect("/c%2Fd%7e?sig=%2B%7e")
    site.pages["/c%2Fd%7e"] = http(PICTURE)
    (await fetcher.picture(site.url("/a%2Fb%7e"), cap_bytes=CAP)).close()
    assert site.asked == [f"/a%2Fb%7e?{SECRET}", "/c%2Fd%7e?sig=%2B%7e"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(fetcher: Fetcher, site: Site, status: int) -> None:
    site.pages |= {"/a": redirect("b", status), "/b": redirect(site.url("/c"), status), "/c": http(PICTURE)}
    spool = await fetcher.picture(site.url("/a"), cap_bytes=CAP)
    assert spool.size == len(PICTURE)
    spool.close()


async def test_redirects_end(fetcher: Fetcher, site: Site) -> None:
    site.pages["/a"] = redirect("/a")
    assert await failing(fetcher, site.url("/a")) == "it redirects more than 3 times."
    assert len(site.asked) == 4


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("", "it redirects to nowhere."),
        ("ftp://example.com/", "its URL must begin with http:// or https://."),
        ("file:///etc/passwd", "its URL must begin with http:// or https://."),
        ("http://[::1", "it is not a valid URL."),
        ("http://h:99999/", "it is not a valid URL."),
        ("//user:secret@example.com/", "its URL must not hold credentials."),
    ],
)
async def test_a_bad_redirect(fetcher: Fetcher, site: Site, location: str, reason: str) -> None:
    site.pages["/a"] = redirect(location)
    assert await failing(fetcher, site.url("/a")) == reason


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://localhost/",
        "http://0.0.0.0/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://017700000001/",
        "http://2130706433/",
        "http://127.1/",
        "http://１２７.0.0.1/",
        "http://127.0.0.1./",
        "http://10.0.0.1/",
        "http://100.64.0.1/",
    ],
)
@pytest.mark.parametrize("redirected", [False, True])
async def test_no_way_into_the_house(fetcher: Fetcher, site: Site, target: str, redirected: bool) -> None:
    site.pages["/a"] = redirect(target)
    reason = await failing(fetcher, site.url("/a") if redirected else target)
    assert "private network" in reason or "has an address that cannot be dialled" in reason or "DNS" in reason


async def test_the_allowed_port_allows_no_other(fetcher: Fetcher, site: Site) -> None:
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as other:
        url = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}/"
        assert "private network" in await failing(fetcher, url)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1"])
async def test_a_name_that_leads_into_the_house(site: Site, tmp_path: Path, address: str) -> None:
    async with strict(tmp_path, names=Names(address)) as fetcher:
        assert "private network" in await failing(fetcher, site.url("/a", "pictures.example.com"))
    assert site.asked == []


async def test_an_unknown_name(tmp_path: Path) -> None:
    async with strict(tmp_path, names=Names("")) as fetcher:
        assert await failing(fetcher, "http://pictures.invalid/") == "its server has a name that DNS does not know."


async def test_a_proxy_is_no_way_into_the_house(site: Site, tmp_path: Path) -> None:
    async with strict(tmp_path, names=Names("127.0.0.1"), proxy=f"http://127.0.0.1:{site.port}") as fetcher:
        assert "private network" in await failing(fetcher, "http://pictures.example.com/a")
        assert "DNS" in await failing(fetcher, "http://pictures.invalid/a")
    assert site.asked == []


async def test_through_a_proxy(site: Site, tmp_path: Path) -> None:
    site.pages["http://pictures.example.com/a"] = http(PICTURE)
    async with strict(tmp_path, names=Names("8.8.8.8"), proxy=f"http://127.0.0.1:{site.port}") as fetcher:
        (await fetcher.picture("http://pictures.example.com/a", cap_bytes=CAP)).close()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "its URL must begin with http:// or https://."),
        ("data:image/png;base64,AAAA", "its URL must begin with http:// or https://."),
        ("file:///etc/passwd", "its URL must begin with http:// or https://."),
        ("https:///x", "its URL names no host."),
        ("http://[::1", "it is not a valid URL."),
        ("https://user:secret@example.com/x", "its URL must not hold credentials."),
        (f"http://{'a' * 70}.example.com/", "its server"),
    ],
)
async def test_a_url_that_cannot_be_fetched(fetcher: Fetcher, url: str, reason: str) -> None:
    assert (await failing(fetcher, url)).startswith(reason)


def test_https_stays_https() -> None:
    with pytest.raises(_Refused, match="from https to http"):
        _next_url(URL("https://example.com/a"), "http://example.com/a")
    assert _next_url(URL("http://example.com/a"), "https://example.com/b") == URL("https://example.com/b")


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content", "206 Partial Content"])
async def test_another_status_than_200(fetcher: Fetcher, site: Site, status: str) -> None:
    site.pages["/a"] = http(b"no" * (status[:3] != "204"), status=status)
    message = await failing(fetcher, site.url("/a"))
    assert message == f"it answered {status[:3]}."


@pytest.mark.parametrize(
    "page",
    [
        http(PICTURE + b".")[:200],
        b"HTTP/1.1 200 OK\r\n\r\n" + PICTURE + b".",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (CAP + 1, PICTURE + b"."),
        http(gzip.compress(b"\0" * 20_000_000), extra="Content-Encoding: gzip\r\n"),
    ],
    ids=["announced", "not announced", "chunked", "packed"],
)
async def test_too_large(fetcher: Fetcher, site: Site, page: bytes) -> None:
    site.pages["/a"] = page
    assert await failing(fetcher, site.url("/a"), kind=FetchTooLarge) == f"it is larger than {CAP} bytes."


def test_what_the_errors_are() -> None:
    assert issubclass(FetchFailed, BadRequest)
    assert issubclass(FetchTooLarge, TooLarge)
    assert (FetchFailed("").status, FetchTooLarge("").status, FetchTooLarge("").code) == (400, 413, "too_large")


@pytest.mark.parametrize(
    "page",
    [b"", http(PICTURE)[:-1], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", b"SSH-2.0\r\n\r\n"],
    ids=["nothing", "length", "chunk", "not http"],
)
async def test_half_a_picture(fetcher: Fetcher, site: Site, page: bytes) -> None:
    site.pages["/a"] = page
    assert (await failing(fetcher, site.url("/a"))).startswith("its server ")


@pytest.mark.parametrize("page", [b"HTTP/1.1 200 OK\r\nX: DRIP", b"HTTP/1.1 200 OK\r\n\r\nDRIP"], ids=["head", "body"])
async def test_dripping_does_not_stretch_the_time(fetcher: Fetcher, site: Site, page: bytes) -> None:
    site.pages["/a"] = page
    assert await failing(fetcher, site.url("/a"), timeout_s=0.3) == "it took longer than 0.3 s."


async def test_a_refused_port(site: Site, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fetcher = Fetcher(open_spool=lambda: Spool(tmp_path), transfers=asyncio.Semaphore(1), allow=[("127.0.0.1", port)])
    reason = await failing(fetcher, f"http://127.0.0.1:{port}/")
    assert reason == "its server could not be reached (Connection refused)."
    await fetcher.close()
