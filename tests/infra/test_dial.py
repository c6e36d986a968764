"""Which addresses are public, and which session dials what."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from pictura.infra.dial import BadUrl, Dialler, PrivateAddress, explain, is_loopback, is_public, parse_url

PUBLIC = ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
NOT_PUBLIC = [
    *["127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"],
    *["192.0.2.1", "198.18.0.1", "192.88.99.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"],
    *["::", "::1", "fc00::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001:db8::1", "3fff::1", "5f00::1"],
    *["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "::8.8.8.8", "2002:7f00:1::", "2002:a00:1::1"],
    *["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2001:0:808:808::1"],
    *["", "localhost", "127.1", "0x7f.1", "2130706433"],
]


class Names(AbstractResolver):
    """A DNS of our own."""

    def __init__(self, **names: list[str]) -> None:
        self.names = {name.replace("_", "."): addresses for name, addresses in names.items()}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.names[host]
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def listener() -> AsyncIterator[int]:
    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()

    async with await asyncio.start_server(hello, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def get(dialler: Dialler, url: str, *, private: bool = False) -> int:
    session = await dialler.session(URL(url), private=private)
    async with session.get(url) as response:
        return response.status


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://127.0.0.1:8188", True),
        ("http://127.8.0.1/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://10.0.0.1:8000", False),
        ("https://api.openai.com/v1", False),
        ("http://localhost:8000", False),
        ("", False),
    ],
)
def test_an_address_of_this_machine(url: str, found: bool) -> None:
    assert is_loopback(url) is found


async def test_only_what_is_allowed_reaches_a_private_address() -> None:
    async with listener() as port, listener() as other:
        names = Names(inside_example=["127.0.0.1"])
        dialler = Dialler(allow=[("127.0.0.1", port), ("Inside.Example", port)], resolver=names)
        assert await get(dialler, f"http://127.0.0.1:{port}/") == 204
        assert await get(dialler, f"http://inside.example:{port}/") == 204
        assert await get(dialler, f"http://127.0.0.1:{other}/", private=True) == 204
        for url in (f"http://127.0.0.1:{other}/", f"http://inside.example:{other}/"):
            with pytest.raises(aiohttp.ClientConnectorError) as caught:
                await get(dialler, url)
            assert isinstance(caught.value.os_error, PrivateAddress)
        await dialler.close()


async def test_an_open_connection_is_not_lent_to_who_may_not_dial_it() -> None:
    async with listener() as port:
        dialler = Dialler()
        assert await get(dialler, f"http://127.0.0.1:{port}/", private=True) == 204
        with pytest.raises(aiohttp.ClientConnectorError):
            await get(dialler, f"http://127.0.0.1:{port}/")
        await dialler.close()


async def test_behind_a_proxy_the_target_is_looked_up_here() -> None:
    names = Names(inside_example=["8.8.8.8", "10.0.0.1"], outside_example=["8.8.8.8"])
    dialler = Dialler(resolver=names, allow=[("inside.example", 444)])
    await dialler.session(URL("https://outside.example/"), proxied=True)
    await dialler.session(URL("https://inside.example:444/"), proxied=True)
    with pytest.raises(PrivateAddress):
        await dialler.session(URL("https://inside.example/"), proxied=True)
    with pytest.raises(socket.gaierror):
        await dialler.session(URL("https://nowhere.example/"), proxied=True)
    await dialler.close()


@pytest.mark.parametrize(
    "text", ["", "x", "//h/x", "ftp://h/x", "file:///etc/passwd", "http:///x", "http://[::1", "http://h:99999/"]
)
def test_bad_urls(text: str) -> None:
    with pytest.raises(BadUrl):
        parse_url(text)


def test_a_signed_url_stays_as_it_is() -> None:
    text = "https://h/a%2Fb?X-Sig=%7e%2B+%20"
    assert str(parse_url(text)) == text
    assert str(parse_url("https://h/ü b")) == "https://h/%C3%BC%20b"


def test_explanations_hold_no_url() -> None:
    assert explain(aiohttp.ConnectionTimeoutError("https://h/?key=secret")) == "did not accept the connection in time"
    assert explain(PrivateAddress()) == "leads to an address of a private network"
    assert explain(ConnectionResetError(104, "secret")) == "broke the connection (Connection reset by peer)"
