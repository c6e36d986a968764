"""The sandbox on the gateway's own port: `/sandbox/<provider>/…` is what the simulator of that name answers.

A request goes on as it came: method, path, query, body, and headers with the Host, which some vendors sign. So does the
answer. Which keys open a simulator, and what a wrong one is told, is the simulator's affair; no limit of a key counts.

A WebSocket is passed on as bytes, both ways: how large its messages may be, too, is for the simulator to say.
"""

from __future__ import annotations

import asyncio
import string
from collections.abc import AsyncIterator
from urllib.parse import quote

import aiohttp
from starlette.types import Receive, Scope, Send
from yarl import URL

from pictura.core.errors import PicturaError, TooLarge
from pictura.dialects.base import Reply
from pictura.doors.house import House
from pictura.doors.http.answer import Watch, send_reply
from pictura.doors.http.body import ClientGone, Incoming
from pictura.doors.http.server import RESET, SANDBOX, SOCKET
from pictura.doors.http.tunnel import PATIENCE_S, Tunnel
from pictura.doors.http.visit import Visit, networks
from pictura.sandbox.base import BASE_HEADER, CLIENT_HEADER

#: Above what any vendor takes in one request.
MOST_BYTES = 64 * 1024 * 1024
#: Of one connection and not of the next (RFC 9110, 7.6.1), or said anew on this side.
_OWN_OF_A_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade", "expect", "date", "server"),
    }
)
_OURS = frozenset({BASE_HEADER.lower(), CLIENT_HEADER.lower()})
#: aiohttp would add these to a request that lacks them.
_NOT_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
#: A simulated answer may hold what a stranger's prompt said: on our own origin it runs nothing.
_INERT = [
    (b"x-pictura-sandbox", b"true"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    (b"x-content-type-options", b"nosniff"),
]


class Forwarder:
    """The ASGI application behind `/sandbox/`."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._trusted = networks(house.settings.server.trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = Visit(scope, self._trusted)
        incoming = Incoming(receive, visit.headers, self._house.settings.server, self._house.uploads)
        try:
            await _Forwarding(self._house, visit, scope, incoming, receive, send).go()
        except ClientGone:
            pass
        except PicturaError as error:
            told = {"code": error.code, "message": error.message, "request_id": visit.id}
            read_whole = await incoming.drain()
            reply = Reply({"error": told}, error.status)
            await send_reply(send, reply, {"x-request-id": visit.id}, close=not read_whole)


class _Forwarding:
    """One request and its answer, both passed on as they flow."""

    def __init__(
        self, house: House, visit: Visit, scope: Scope, incoming: Incoming, receive: Receive, send: Send
    ) -> None:
        self._visit = visit
        self._scope = scope
        self._incoming = incoming
        self._receive = receive
        self._send = send
        self._url = target(house.sandbox_address, scope)
        self._base = house.links.base(visit.scheme, visit.host, visit.server) + SANDBOX
        self._watch: Watch | None = None
        self._patience = asyncio.timeout(None)
        self._answered = False
        #: Why the body could not be read to its end.
        self._flaw: PicturaError | ClientGone | None = None

    async def go(self) -> None:
        """Raises what is wrong with the body, and ClientGone."""
        if await self._goes_on_as_socket():
            return
        try:
            async with self._patience:
                await self._exchange()
        except TimeoutError:
            raise ClientGone from None
        except aiohttp.ClientError:
            if self._flaw is not None and not self._answered:
                raise self._flaw from None
            await self._break_off()
        finally:
            self._stop_watching()

    async def _goes_on_as_socket(self) -> bool:
        """False: there is still an answer to be given."""
        line = self._scope["extensions"].get(SOCKET)
        if line is None:
            return False
        tunnel = Tunnel(self._receive, line["write"])
        if not await tunnel.dig(self._url, [*self._headers(), ("connection", "upgrade"), ("upgrade", "websocket")]):
            return False
        line["close"]()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._see_off()
        except TimeoutError:
            await self._break_off()  # it takes in nothing more
        return True

    async def _exchange(self) -> None:
        has_body = not {"content-length", "transfer-encoding"}.isdisjoint(self._visit.headers)
        if not has_body:
            self._watch_client()
        # A session of its own: its connection is used once, so that nothing is ever sent a second time.
        async with (
            aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.request(
                self._visit.method,
                self._url,
                headers=self._headers(),
                data=self._body() if has_body else None,
                allow_redirects=False,
                skip_auto_headers=_NOT_ADDED,
            ) as answer,
        ):
            await self._pass_on(answer)

    async def _pass_on(self, answer: aiohttp.ClientResponse) -> None:
        headers = [(name.lower(), value) for name, value in answer.raw_headers]
        kept = [header for header in headers if header[0].decode("latin-1") not in _OWN_OF_A_HOP]
        self._answered = True
        await self._send({"type": "http.response.start", "status": answer.status, "headers": kept + _INERT})
        async for chunk in answer.content.iter_any():
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body"})

    async def _body(self) -> AsyncIterator[bytes]:
        taken = 0
        try:
            while chunk := await self._incoming.chunk():
                taken += len(chunk)
                if taken > MOST_BYTES:
                    raise TooLarge(f"the sandbox takes at most {MOST_BYTES:,} bytes in one request")
                yield chunk
        except (PicturaError, ClientGone) as error:
            self._flaw = error
            raise
        self._watch_client()

    def _headers(self) -> list[tuple[str, str]]:
        told = [(name.decode("latin-1"), value.decode(errors="replace")) for name, value in self._scope["headers"]]
        kept = [header for header in told if header[0] not in _OWN_OF_A_HOP | _OURS]
        return [*kept, (BASE_HEADER, self._base), (CLIENT_HEADER, self._visit.address)]

    def _watch_client(self) -> None:
        """Once the body is read: a client that goes away does not leave a stalled answer behind."""
        self._watch = Watch(self._receive)
        self._watch.tell(lambda: self._patience.reschedule(asyncio.get_running_loop().time()))

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.stop()

    async def _break_off(self) -> None:
        """The simulator did, because a prompt asked for it: the client's connection ends in the same way."""
        self._stop_watching()
        self._scope["extensions"][RESET]["reset"]()
        await self._see_off()

    async def _see_off(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


def target(address: str, scope: Scope) -> URL:
    """Byte for byte what was asked for, behind the prefix: a decoded path would not be the one that was signed."""
    path = scope["raw_path"].split(b"/", 2)[2]
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    return URL(f"{address}/{quote(path + query, safe=string.punctuation)}", encoded=True)
