"""Where we may dial: the one place that keeps our requests out of private networks.

A name can lead anywhere, and lead elsewhere a second later. So what is checked is neither the URL nor the answer of
the DNS but the address a socket is about to dial: whatever way it was written, named or redirected to, it passes here.

Two sessions, not one with a switch, because a connection outlives the request that opened it: in one common pool a
request that must stay outside could be handed a connection which another, allowed one had opened into the house.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import re
import socket
from collections.abc import Iterable

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from pictura import __version__

#: Idle connections are dropped after this. Uvicorn and Node hang up on an idle client after 5 s, and a request that
#: meets such a hang-up half way looks exactly like one that was lost: possibly billed. So we hang up before they do.
KEEP_ALIVE_S = 4
#: What one read takes from a connection: little while its answer waits for a slot, since a thousand may wait at once.
WAITING_READ_BYTES = 16 * 1024
SLOT_READ_BYTES = 256 * 1024
#: Some vendors' security headers exceed aiohttp's default of 8 190.
HEADER_BYTES = 64 * 1024

#: Public IPv6 unicast (IANA, 2025); what lies outside is local, multicast, reserved or a translator's prefix.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
#: Translators that carry an IPv4 address in their last 32 bits (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
#: What Python 3.11 takes for public and is not: the retired 6to4 relays (RFC 7526), documentation (RFC 9637).
_NOT_PUBLIC = (ipaddress.IPv4Network("192.88.99.0/24"), ipaddress.IPv6Network("3fff::/20"))

_PRINTABLE = re.compile(r"[!-~]+")


class PrivateAddress(OSError):
    """The address that was about to be dialled belongs to a private network."""

    def __init__(self) -> None:
        # The same words for every address: a name with several of them then yields this error and not a summary.
        super().__init__(errno.EACCES, "it is an address of a private network")


class BadUrl(ValueError):
    """Not a URL that can be asked; the message says why, to whoever wrote it."""


def is_public(address: str) -> bool:
    """Whether an IP address, as a socket is given it, can belong to the open internet.

    False for private, loopback, link-local, shared (CGNAT), multicast and reserved ones, also where IPv6 wraps them
    (IPv4-mapped, 6to4, NAT64), and for whatever is no IP address.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    bare = _unwrap(found)
    if bare.is_multicast or not bare.is_global or any(bare in network for network in _NOT_PUBLIC):
        return False
    return isinstance(bare, ipaddress.IPv4Address) or bare in _GLOBAL_UNICAST


def is_loopback(url: str) -> bool:
    """Whether a URL names this very machine, by an address of it."""
    try:
        return ipaddress.ip_address(parse_url(url).host or "").is_loopback
    except ValueError:
        return False


def _unwrap(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address inside an IPv6 one, where there is one that somebody on the way would unpack."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def parse_url(text: str) -> URL:
    """An absolute http(s) URL. Raises BadUrl."""
    url = read_url(text)
    if url.scheme not in ("http", "https"):
        raise BadUrl("its URL must begin with http:// or https://")
    if not url.host:
        raise BadUrl("its URL names no host")
    return url


def read_url(text: str) -> URL:
    """A URL, absolute or not, left as it is written where it can be sent so: a signature covers every character."""
    try:
        url = URL(text, encoded=_PRINTABLE.fullmatch(text) is not None)
        # yarl puts off reading host and port, and with it their errors, until somebody asks.
        _ = url.host, url.port
    except ValueError:
        raise BadUrl("it is not a valid URL") from None
    return url


class Dialler:
    """The sessions of one event loop: a guarded one, and an open one for what is allowed to be private.

    `allow`: hosts (names or addresses, as URLs write them) and ports that may be private. `resolver` is for tests.
    """

    def __init__(
        self,
        *,
        allow: Iterable[tuple[str, int]] = (),
        resolver: AbstractResolver | None = None,
        request_class: type[aiohttp.ClientRequest] = aiohttp.ClientRequest,
    ) -> None:
        self._allow = frozenset((_plain(host), port) for host, port in allow)
        self._resolver = resolver
        self._request_class = request_class
        self._guarded: aiohttp.ClientSession | None = None
        self._open: aiohttp.ClientSession | None = None

    async def session(self, url: URL, *, private: bool = False, proxied: bool = False) -> aiohttp.ClientSession:
        """The session for `url`. `private`: it may lead into a private network.

        Behind a proxy (`proxied`) we dial only the proxy, which the operator named and which may be private; the
        target is looked up here first. Raises PrivateAddress or another OSError when it may not be or is not found.
        """
        if not private and (_plain(url.host or ""), url.port) not in self._allow:
            if not proxied:
                return self._guarded_session()
            await self._check(url)
        return self._open_session()

    async def close(self) -> None:
        for session in (self._guarded, self._open):
            if session is not None:
                await session.close()
        self._guarded = self._open = None

    def _guarded_session(self) -> aiohttp.ClientSession:
        if self._guarded is None:
            self._guarded = self._new_session(_guarded_socket)
        return self._guarded

    def _open_session(self) -> aiohttp.ClientSession:
        if self._open is None:
            self._open = self._new_session(None)
        return self._open

    def _new_session(self, socket_factory: aiohttp.SocketFactoryType | None) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,  # channels have limits of their own
            keepalive_timeout=KEEP_ALIVE_S,
            resolver=self._name_server(),
            socket_factory=socket_factory,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # A picture does not compress, not even as base64; unpacking it would cost more CPU than all the rest.
            headers={"User-Agent": f"pictura/{__version__}", "Accept-Encoding": "identity"},
            read_bufsize=WAITING_READ_BYTES // 2,  # twice as much may wait in aiohttp before it stops reading
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
            request_class=self._request_class,
        )

    def _name_server(self) -> AbstractResolver:
        if self._resolver is None:
            self._resolver = ThreadedResolver()
        return self._resolver

    async def _check(self, url: URL) -> None:
        found = await self._name_server().resolve(url.raw_host or "", url.port or 0, socket.AF_UNSPEC)
        if not all(is_public(address["host"]) for address in found):
            raise PrivateAddress


def _plain(host: str) -> str:
    return host.rstrip(".").lower()


def _guarded_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, target = address
    if not is_public(str(target[0])):
        raise PrivateAddress
    return socket.socket(family, kind, protocol)


#: Special cases first: these classes inherit from one another.
_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "has a name that DNS does not know"),
    (socket.gaierror, "has a name that DNS does not know"),
    (aiohttp.ClientConnectorCertificateError, "has a TLS certificate that is not valid for it"),
    (aiohttp.ClientConnectorSSLError, "does not speak TLS as we do"),
    (aiohttp.ClientProxyConnectionError, "lies behind an egress proxy that could not be reached"),
    (aiohttp.ClientHttpProxyError, "was refused by the egress proxy"),
    (aiohttp.ConnectionTimeoutError, "did not accept the connection in time"),
    (aiohttp.SocketTimeoutError, "fell silent for too long"),
    (asyncio.TimeoutError, "took too long in all"),
    (aiohttp.ServerDisconnectedError, "closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "broke off in the middle of its answer"),
    (aiohttp.ClientResponseError, "answered with something that is not HTTP"),
    (aiohttp.InvalidURL, "has an address that cannot be dialled"),
    (UnicodeError, "has an address that cannot be dialled"),
)


def explain(error: BaseException) -> str:
    """What happened on the wire, to be read after the host's name. Never the URL, never what was sent."""
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words
    return _system_words(error)


def _system_words(error: BaseException) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, PrivateAddress):
        return "leads to an address of a private network"
    what = "could not be reached" if isinstance(error, aiohttp.ClientConnectorError) else "broke the connection"
    if isinstance(cause, OSError) and cause.errno is not None:
        return f"{what} ({os.strerror(cause.errno)})"
    return what
