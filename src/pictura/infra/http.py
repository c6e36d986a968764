"""The client that asks providers: every way a request can end is one class of `core.errors`.

    client = Client(open_spool=…, transfers=asyncio.Semaphore(32))
    answer = await client.send(Request(url="https://…", body=json_payload({…})))
    async with client.open(request) as incoming:
        async for event in incoming.events(): …
    async with aclosing(client.messages(request, seconds=1)) as messages:
        async for message in messages: …        # of a WebSocket; it never fails

* `NotSent`: not one byte of the request left this house.
* `Lost`: some may have left, and no whole answer came back. The provider may have worked, and billed.
* `Malformed`: the answer is larger than it may be.
* An answer of any status is an `Answer`; what it means, the provider's file knows.

Nothing is ever sent twice and no redirect is followed. A picture in an answer goes to a spool as it arrives.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import select
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from functools import cache
from weakref import WeakSet

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, AbstractStreamWriter
from yarl import URL

from pictura.core.errors import BadRequest, Lost, Malformed, NotSent, UpstreamError
from pictura.infra.dial import SLOT_READ_BYTES, WAITING_READ_BYTES, BadUrl, Dialler, PrivateAddress, explain, parse_url
from pictura.infra.extract import Cut, Extractor, is_plain
from pictura.infra.payload import Payload
from pictura.infra.spool import Spool
from pictura.infra.sse import Event, EventReader

log = logging.getLogger("pictura.upstream")

#: The part of a body that needs no transfer slot: a small answer, an error, white space that keeps a line open. Each of
#: a thousand that wait for a slot holds so much, and as much again in aiohttp.
FREE_BYTES = 16 * 1024
MEGABYTE = 1024 * 1024

#: What is heard of a WebSocket at a time: so many messages, of so many bytes each.
MOST_MESSAGES = 200
MESSAGE_BYTES = 64 * 1024
#: How long the other side may take to say goodbye.
GOODBYE_S = 0.2

#: What may stand before a JSON document: white space (some routers send it while they wait), a byte order mark.
_BEFORE_JSON = b" \t\r\n\xef\xbb\xbf"
_NO_MORE = (
    aiohttp.WSMsgType.CLOSE,
    aiohttp.WSMsgType.CLOSING,
    aiohttp.WSMsgType.CLOSED,
    aiohttp.WSMsgType.ERROR,
)
_BINARY_TYPES = ("application/octet-stream", "binary/octet-stream")


class SendState(enum.Enum):
    """How much of a request may have left this house."""

    NOTHING = "nothing"
    #: The head, and perhaps a part of the body.
    HEADERS = "headers"
    #: All of it.
    BODY = "body"


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds. `connect_s` is for DNS, TCP and TLS; `read_s` between two arrivals: a picture may take minutes."""

    connect_s: float = 10
    read_s: float = 600
    total_s: float = 900


class Request(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """`picture_keys`: the JSON keys whose strings are base64 pictures; `data_urls`: data URLs are pictures anywhere.

    Caps are bytes: of an answer without its pictures, and of each picture. `allow_private`: the channel may lead into
    a private network. `proxy`: the URL of an egress proxy.
    """

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = {}
    body: Payload | None = None
    timeouts: Timeouts = Timeouts()
    picture_keys: frozenset[str] = frozenset({"b64_json"})
    data_urls: bool = False
    text_cap: int = MEGABYTE
    picture_cap: int = 64 * MEGABYTE
    picture_count_cap: int = 32
    allow_private: bool = False
    proxy: str | None = None

    def __repr__(self) -> str:
        # The headers hold the channel's key, and some vendors want theirs in the query.
        return f"Request({self.method} {self.url.partition('?')[0]})"


class Answer(msgspec.Struct, kw_only=True, eq=False):
    """A whole answer. Whoever gets it closes it, or takes the spools out of it.

    `body`: a JSON document without its `pictures`, or text; empty where the answer is itself a picture, in `spool`.
    `headers` knows no upper and lower case. `url` lacks the query, where some vendors want their key.
    """

    status: int
    headers: Mapping[str, str]
    url: str
    body: bytes = b""
    pictures: list[Cut] = []
    spool: Spool | None = None

    def json(self) -> object:
        """Raises Malformed where the body is not JSON."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError):
            message = f"The provider answered {self.status} with something that is not JSON."
            raise Malformed(message, upstream_status=self.status) from None

    def close(self) -> None:
        for cut in self.pictures:
            cut.spool.close()
        if self.spool is not None:
            self.spool.close()


class Incoming:
    """An answer whose head has come. Its body is read once: by `answer`, or by `events`."""

    def __init__(self, response: aiohttp.ClientResponse, sending: _Sending, open_spool: Callable[[], Spool]) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.url = str(sending.url.with_query(None))
        #: The media type, without parameters, in lower case.
        self.media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        self._response = response
        self._sending = sending
        self._slot = _Slot(sending.transfers)
        self._open_spool = open_spool
        self._reader: EventReader | None = None

    @property
    def is_events(self) -> bool:
        return self.media_type == "text/event-stream"

    async def answer(self) -> Answer:
        """The whole of it: JSON is told by its first character, since many servers call it text.

        Raises Lost and Malformed.
        """
        if self.media_type.startswith("image/"):
            return await self._picture(await self._read())
        first = await self._first()
        if first.startswith((b"{", b"[")):
            return await self._document(first)
        return await (self._picture(first) if self.media_type in _BINARY_TYPES else self._text(first))

    async def events(self) -> AsyncGenerator[Event, None]:
        """The events of a stream as they come in. Raises Lost and Malformed."""
        self._reader = EventReader(self._new_extractor)
        while chunk := await self._read():
            with self._within_caps():
                for event in self._reader.feed(chunk):
                    # Minutes may pass before the next one: others may have the slot.
                    self._slot.leave()
                    yield event
        with self._within_caps():
            last = self._reader.finish()
        if last is not None:
            yield last

    def close(self) -> None:
        """Let go; a body that was not read to its end takes its connection with it."""
        self._response.close()
        self._slot.leave()
        if self._reader is not None:
            self._reader.close()

    async def _first(self) -> bytes:
        while (chunk := await self._read()) and chunk[0] in _BEFORE_JSON:
            if chunk := chunk.lstrip(_BEFORE_JSON):
                break
        return chunk

    async def _read(self) -> bytes:
        """The next bytes of the body, none at its end."""
        try:
            chunk = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise self._sending.verdict(error) from None
        if await self._slot.count(len(chunk)):
            self._hurry()
        return chunk

    def _hurry(self) -> None:
        """There is a slot: take more at a time, and let aiohttp's buffer hold as much without stopping the reader."""
        self._response.content.set_read_chunk_size(SLOT_READ_BYTES)
        if self._response.connection is not None:
            _read_at_once(self._response.connection.transport, SLOT_READ_BYTES)

    async def _document(self, chunk: bytes) -> Answer:
        if self._response.content.at_eof() and self._is_plain(chunk):
            return self._whole(body=chunk)
        extractor = self._new_extractor()
        try:
            while chunk:
                with self._within_caps():
                    extractor.feed(chunk)
                chunk = await self._read()
            with self._within_caps():
                return self._whole(body=extractor.finish(), pictures=extractor.cuts)
        except BaseException:
            extractor.close()
            raise

    def _is_plain(self, body: bytes) -> bool:
        """Most answers that come in one piece hold no picture: they need no extractor."""
        request = self._sending.request
        small = len(body) <= request.text_cap
        return small and is_plain(body, request.picture_keys, data_urls=request.data_urls)

    async def _picture(self, chunk: bytes) -> Answer:
        spool = self._open_spool()
        spool.media_type = self.media_type
        try:
            while chunk:
                spool.write(chunk)
                if spool.size > self._sending.request.picture_cap:
                    raise self._oversized()
                chunk = await self._read()
        except BaseException:
            spool.close()
            raise
        return self._whole(spool=spool)

    async def _text(self, chunk: bytes) -> Answer:
        text = bytearray()
        while chunk:
            text += chunk
            if len(text) > self._sending.request.text_cap:
                raise self._oversized()
            chunk = await self._read()
        return self._whole(body=bytes(text))

    def _whole(self, *, body: bytes = b"", pictures: list[Cut] | None = None, spool: Spool | None = None) -> Answer:
        return Answer(
            status=self.status, headers=self.headers, url=self.url, body=body, pictures=pictures or [], spool=spool
        )

    @contextmanager
    def _within_caps(self) -> Iterator[None]:
        try:
            yield
        except BadRequest:
            # The extractor speaks to callers of ours; this time it is a provider who sent too much.
            raise self._oversized() from None

    def _oversized(self) -> Malformed:
        request = self._sending.request
        message = (
            f"The provider answered with more than is allowed: {request.text_cap} bytes of text and "
            f"{request.picture_count_cap} pictures of {request.picture_cap} bytes."
        )
        return Malformed(message, upstream_status=self.status)

    def _new_extractor(self) -> Extractor:
        request = self._sending.request
        return Extractor(
            self._open_spool,
            keys=request.picture_keys,
            data_urls=request.data_urls,
            text_cap=request.text_cap,
            picture_cap=request.picture_cap,
            picture_count_cap=request.picture_count_cap,
        )


class Client:
    """One for a process. `transfers` bounds the bodies in transfer, `allow` as in `Dialler`."""

    def __init__(
        self,
        *,
        open_spool: Callable[[], Spool],
        transfers: asyncio.Semaphore,
        allow: Iterable[tuple[str, int]] = (),
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._open_spool = open_spool
        self._transfers = transfers
        self._dialler = Dialler(allow=allow, resolver=resolver, request_class=_Request)
        #: Connections that have carried a request.
        self._used: WeakSet[asyncio.WriteTransport] = WeakSet()

    def spool(self) -> Spool:
        """A fresh spool where answers come to lie, for a picture that comes another way; whoever gets it closes it."""
        return self._open_spool()

    async def send(self, request: Request) -> Answer:
        """Raises NotSent, Lost and Malformed. Cancelling it closes the connection."""
        incoming = await self._ask(request)
        try:
            return await incoming.answer()
        finally:
            incoming.close()

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[Incoming]:
        """Send, and wait for the head of the answer. Raises NotSent and Lost."""
        incoming = await self._ask(request)
        try:
            yield incoming
        finally:
            incoming.close()

    async def messages(self, request: Request, seconds: float) -> AsyncGenerator[object, None]:
        """The JSON of a WebSocket's text messages, as they come within so many seconds; what else comes is passed over.

        A courtesy: whatever goes wrong (nobody there, no WebSocket, no JSON, too long a message) ends it, and is no
        error. Who leaves early closes it, with `aclosing`.
        """
        ends = asyncio.get_running_loop().time() + seconds
        with suppress(aiohttp.ClientError, OSError, ValueError, msgspec.DecodeError, RecursionError):
            async with self._socket(request, ends) as socket:
                for _ in range(MOST_MESSAGES):
                    # Not around the yield: what is done with a message is not ours to cancel.
                    async with asyncio.timeout_at(ends):
                        message = await socket.receive()
                    if message.type in _NO_MORE:
                        return
                    if message.type is aiohttp.WSMsgType.TEXT:
                        yield msgspec.json.decode(message.data)

    async def close(self) -> None:
        await self._dialler.close()

    @asynccontextmanager
    async def _socket(self, request: Request, ends: float) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """An open WebSocket at the request's URL, if it opens before the loop's time is `ends`."""
        url = parse_url(request.url)
        async with asyncio.timeout_at(ends):
            session = await self._dialler.session(url, private=request.allow_private, proxied=bool(request.proxy))
            socket = await _handshake(session, url, request)
        try:
            yield socket
        finally:
            with suppress(TimeoutError):
                # aiohttp's own limit starts anew with every message that still comes.
                async with asyncio.timeout(GOODBYE_S):
                    await socket.close()

    async def _ask(self, request: Request) -> Incoming:
        sending = _Sending(request, self._transfers, self._used)
        return Incoming(await self._head(sending), sending, self._open_spool)

    async def _head(self, sending: _Sending) -> aiohttp.ClientResponse:
        request, url = sending.request, sending.url
        try:
            session = await self._dialler.session(url, private=request.allow_private, proxied=bool(request.proxy))
            return await session.request(
                request.method,
                url,
                headers=request.headers,
                data=None if request.body is None else _Body(request.body, sending),
                allow_redirects=False,
                proxy=request.proxy,
                timeout=_client_timeout(request.timeouts),
                middlewares=(sending.once,),
            )
        except (aiohttp.ClientError, OSError, ValueError, _Broken) as error:
            # Not `from error`: aiohttp's messages hold the URL with its query, and there the key of some vendors.
            raise sending.verdict(error) from None


class _Sending:
    """One request on its way, and how far it came. Raises NotSent for a request that HTTP cannot carry."""

    def __init__(self, request: Request, transfers: asyncio.Semaphore, used: WeakSet[asyncio.WriteTransport]) -> None:
        self.request = request
        self.transfers = transfers
        self.state = SendState.NOTHING
        #: It travels on a connection that earlier requests have used.
        self.reuses = False
        self._used = used
        try:
            self.url = parse_url(request.url)
        except BadUrl as error:
            message = f"The provider's address cannot be used: {error}. Correct the channel's base_url."
            raise NotSent(message, config=True) from None
        if not all(text.isprintable() for header in request.headers.items() for text in header):
            message = "The provider was not asked: a header holds a control character. Correct the channel's key."
            raise NotSent(message, config=True)

    async def once(self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Around aiohttp's own sending, which repeats a GET or a PUT when a kept connection breaks under it.

        Some vendors' GETs draw, so nothing is repeated that may have left; but a connection that turns out dead
        before the first byte is replaced.
        """
        if isinstance(request, _Request):
            request.sending = self
        while True:
            try:
                return await send(request)
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
                if not self.reuses or self.state is not SendState.NOTHING:
                    raise _Broken(error) from None
                self.reuses = False

    def board(self, transport: asyncio.WriteTransport | None) -> None:
        """There is a connection. The head is on its way, unless there is a body: then it travels with that."""
        if transport is not None:
            self.reuses = transport in self._used
            self._used.add(transport)
        if self.request.body is None:
            self.state = SendState.BODY

    def verdict(self, error: BaseException) -> UpstreamError:
        """Clients read the message, and have no business with the address; the operator finds that in the log."""
        if isinstance(error, _Broken):
            error = error.cause
        log.warning("%s %s", self.url.host_port_subcomponent, explain(error))
        if self.state is SendState.NOTHING:
            return NotSent(f"The provider {explain(error)}. Nothing was sent.", config=_is_config(error))
        when = "while we sent the request" if self.state is SendState.HEADERS else "after we had sent the request"
        return Lost(f"The provider {explain(error)}, {when}. It may have been billed.")


async def _handshake(session: aiohttp.ClientSession, url: URL, request: Request) -> aiohttp.ClientWebSocketResponse:
    """A WebSocket over the session's connector, which guards what is dialled."""
    assert session.connector is not None  # without one, the session below would make its own, and dial anything
    once = aiohttp.ClientSession(
        connector=session.connector,
        connector_owner=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=session.headers,
        middlewares=(_upgraded,),
    )
    async with once:
        return await once.ws_connect(url, headers=request.headers, proxy=request.proxy, max_msg_size=MESSAGE_BYTES)


async def _upgraded(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Around aiohttp's handshake, which would follow a redirect."""
    response = await send(request)
    if response.status != 101:
        response.close()
        raise aiohttp.ClientError(f"no WebSocket: {response.status}")
    return response


class _Request(aiohttp.ClientRequest):
    """aiohttp's request, which says when it gets a connection. Its traces would too, at ten times the cost."""

    sending: _Sending | None = None

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        _read_at_once(conn.transport, WAITING_READ_BYTES)
        if self.sending is not None:
            self.sending.board(conn.transport)
        return await super().send(conn)


class _Slot:
    """A transfer slot, taken when more of a body arrives than is free."""

    def __init__(self, transfers: asyncio.Semaphore) -> None:
        self._transfers = transfers
        self.held = False
        self._seen = 0

    async def count(self, size: int) -> bool:
        """Whether it was taken just now."""
        self._seen += size
        if self._seen <= FREE_BYTES or self.held:
            return False
        await self._transfers.acquire()
        self.held = True
        return True

    def leave(self) -> None:
        self._seen = 0
        if self.held:
            self._transfers.release()
            self.held = False


class _Body(aiohttp.Payload):
    """Our payload as aiohttp wants it. A known size keeps it from falling back to chunks."""

    def __init__(self, body: Payload, sending: _Sending) -> None:
        super().__init__(body, content_type=body.content_type)
        self._body = body
        self._sending = sending

    @property
    def size(self) -> int:
        return self._body.size

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a body is sent as it is read, never held as a text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        for chunk in self._body.chunks():
            await writer.write(chunk)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        async with self._sending.transfers if self.size > FREE_BYTES else nullcontext():
            # aiohttp holds the head back until the first bytes of the body, so it is not too late to look.
            if _is_dead(writer.transport, self._sending.reuses):
                raise ConnectionResetError
            self._sending.state = SendState.HEADERS
            await self.write(writer)
        self._sending.state = SendState.BODY


class _Broken(Exception):
    """An error of aiohttp in a coat it does not know: see `_Sending.once`."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__()
        self.cause = cause


def _read_at_once(transport: object, size: int) -> None:
    """How much the loop reads from a connection in one go: the stdlib's transports ask their `max_size`."""
    if hasattr(transport, "max_size"):
        transport.max_size = size


def _is_dead(transport: asyncio.WriteTransport | None, reused: bool) -> bool:
    """Whether the other side has hung up.

    On a kept connection there is nothing to read but a goodbye, and it may be here before our loop has seen it.
    """
    if transport is None or transport.is_closing():
        return True
    if not reused:
        return False  # TLS may still have something to say
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))


@cache
def _client_timeout(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=timeouts.total_s, connect=timeouts.connect_s, sock_read=timeouts.read_s)


def _is_config(error: BaseException) -> bool:
    """Whether only the operator can mend it: a URL that nobody can dial, or that leads where it must not."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(cause, PrivateAddress | aiohttp.InvalidURL | UnicodeError)
