"""Listening: uvicorn on the stdlib loop, with deadlines for clients that open a connection and say nothing."""

from __future__ import annotations

import asyncio
import errno
import gc
import re
import socket
import struct
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pictura.core.errors import BadRequest, HouseError

LAST_PORT = 65535
#: Seconds in which a new connection must have sent its first request's head, and an old one its next.
IDLE_S = 65
#: The most that a request's head may have: far above what servers in front of this one pass on.
HEAD_BYTES = 128 * 1024
#: How much of a body may wait for its reader: one read of the loop.
WAITING_BYTES = 256 * 1024
#: In a scope's `extensions`: `{"reset": a function}`, which breaks the connection off without another word.
RESET = "pictura.reset"
#: The simulators' prefix, below which alone a client may go on as a WebSocket.
SANDBOX = "/sandbox"
#: In the `extensions` of a GET that wishes to: `{"write": an async function, "close": a function}`. What is written
#: goes past HTTP to the client; what the client says from there on comes as a request's body does.
SOCKET = "pictura.socket"
_MAY_BE_SOCKET = f"GET {SANDBOX}/".encode()
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_OTHER_UPGRADE = re.compile(rb"\r\nupgrade:(?![ \t]*websocket)", re.IGNORECASE)
#: New objects before the collector looks at them, and how often the older ones have their turn. By default it looks at
#: every 700th, several times a request, and finds nothing: what a request makes holds no cycles.
GARBAGE = (10_000, 20, 20)
#: Seconds that requests in flight get to finish after SIGTERM: as long as pictures take.
GRACE_S = 900


class Protocol(HttpToolsProtocol):
    """uvicorn closes a connection that idles after an answer, but waits for ever for the rest of a request's head,
    and takes in heads of any length."""

    _deadline: asyncio.TimerHandle | None = None
    _in_head = False
    _in_body = False
    _is_socket = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = Cork(transport, self.loop)  # type: ignore[assignment]
        self.access_log = False  # it would show the keys in queries; the door has a log of its own
        self._set_deadline()

    def data_received(self, data: bytes) -> None:
        if self._is_socket:
            self.on_body(data)
            return
        super().data_received(data if self._in_body else self._without_upgrade(data))
        # Most heads come in one piece, and need neither a deadline nor to be measured.
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.send_400_response(f"The head of a request has at most {HEAD_BYTES} bytes.")
            elif self._deadline is None:
                self._set_deadline()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()
        self.scope["extensions"] = {RESET: {"reset": self._reset}}

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._in_body = True
        self._drop_deadline()
        is_free = self.cycle is None or self.cycle.response_complete
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False  # the parser reads no further
            if is_free and self._line.startswith(_MAY_BE_SOCKET) and self._get_upgrade() == b"websocket":
                self._is_socket = True
                self.scope["extensions"][SOCKET] = {"write": self._write, "close": self.transport.close}

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """uvicorn gathers a body's pieces in a bytearray, copies it out again, and stops reading while 64 KB wait:
        with larger reads that would be after every one of them.
        """
        cycle = self.cycle
        if cycle.response_complete:
            return
        if not cycle.body:
            cycle.body = body  # type: ignore[assignment]  # mostly there is but one piece, which need not be copied
        else:
            if isinstance(cycle.body, bytes):
                cycle.body = bytearray(cycle.body)  # or many tiny pieces would be copied again and again
            cycle.body += body
        if len(cycle.body) > WAITING_BYTES:
            self.flow.pause_reading()
        cycle.message_event.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_head = False
        self._drop_deadline()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        if self._is_socket:
            self.transport.close()  # it has no end that could be waited for
        else:
            super().shutdown()

    def _unsupported_upgrade_warning(self) -> None:
        """Nobody need be warned: we go on in HTTP."""

    def _without_upgrade(self, data: bytes) -> bytes:
        """A head without its wish to speak another protocol: we go on in this one, as we may (RFC 9110, 7.8).

        Java's own client wishes for h2c with every request that is not encrypted, and httptools drops the body of such
        a request. A header that comes in pieces is left as it is.
        """
        if b"pgrade:" not in data:
            return data
        line = self._line if self._in_head else data
        unheard = _OTHER_UPGRADE if line.startswith(_MAY_BE_SOCKET) else _UPGRADE
        head, end, body = data.partition(b"\r\n\r\n")
        return unheard.sub(b"\r\nIgnored:", head) + end + body

    @property
    def _line(self) -> bytes:
        """The request's first line, as far as it is read."""
        return b"%b %b" % (self.parser.get_method(), self.url)

    async def _write(self, data: bytes) -> None:
        self.transport.write(data)
        await self.flow.drain()

    def _reset(self) -> None:
        # Closing at once, with nothing lingering, is what makes the kernel send RST rather than FIN.
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(IDLE_S, self._give_up)

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._set_deadline()  # the request before this one is still being answered
        elif not self.transport.is_closing():
            self.transport.close()


class Cork:
    """A transport that holds an answer's head until its body comes: one system call and one packet, not two."""

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
            self._transport.write(data)
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 100"):
            self._head = data
            self._loop.call_soon(self._flush)  # a body that is late, or none
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._head:
            data, self._head = self._head, b""
            self._transport.write(data)


class Server(uvicorn.Server):
    """`listening` is set once requests are answered."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            http=Protocol,
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            ws="none",
            backlog=4096,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def listen(host: str, port: int) -> socket.socket:
    """The socket to serve on. Raises BadRequest for a port there cannot be, HouseError that says what is in the way."""
    if not 0 <= port <= LAST_PORT:
        raise BadRequest(f"there is no port {port}; choose one from 0 (any that is free) to {LAST_PORT} with --port")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, or asyncio does not know that it may switch Nagle's delay of 40 ms off.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise HouseError(_why(host, port, error)) from None
    sock.setblocking(False)
    return sock


async def serve(app: ASGIApp, sock: socket.socket, on_listening: Any = None) -> None:
    """Until SIGTERM or SIGINT; what is in flight is finished first."""
    server = Server(app)
    task = asyncio.create_task(server.serve([sock]))
    ready = asyncio.create_task(server.listening.wait())
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    # What stands now stands for good: the collector need not look at it again with every thousandth request.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    if on_listening is not None and not task.done():
        on_listening()
    await task


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken by another program; stop it, or choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights than this process has; choose one above 1023 with --port"
    return f"cannot listen on {host}:{port}: {error.strerror}"
