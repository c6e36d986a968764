"""A WebSocket between a client and a simulator: bytes both ways, unread, from its yes to either side's end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from starlette.types import Receive
from yarl import URL

from pictura.infra.spool import CHUNK_BYTES

#: Seconds in which a simulator says whether it wants a WebSocket, and answers the first words on it.
PATIENCE_S = 15.0
#: How much a client may say before the first answer: who has shown no key yet fills no memory.
UNHEARD_BYTES = 64 * 1024
_YES = b"HTTP/1.1 101 "
_MARK = b"x-pictura-sandbox: true\r\n"


class Tunnel:
    """`receive` gives what the client says, `write` says something to it."""

    def __init__(self, receive: Receive, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._receive = receive
        self._write = write
        self._heard = asyncio.Event()

    async def dig(self, url: URL, headers: Sequence[tuple[str, str]]) -> bool:
        """Returns when the WebSocket has ended. False: the simulator wants none, and the client was told nothing."""
        try:
            reader, writer = await asyncio.open_connection(url.host, url.port)
        except OSError:
            return False
        try:
            answer = await self._ask(reader, writer, url, headers)
            if not answer.startswith(_YES):
                return False
            await self._write(answer[:-2] + _MARK + b"\r\n")
            await self._pass_on(reader, writer)
            return True
        finally:
            writer.close()

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        url: URL,
        headers: Sequence[tuple[str, str]],
    ) -> bytes:
        """The head of the simulator's answer; none where there is no answer."""
        lines = [f"GET {url.raw_path_qs} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
        writer.write("\r\n".join(lines).encode())
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await reader.readuntil(b"\r\n\r\n")
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return b""

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ways = [asyncio.create_task(self._inwards(writer)), asyncio.create_task(self._outwards(reader))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)  # however a side ended, the WebSocket has

    async def _inwards(self, writer: asyncio.StreamWriter) -> None:
        taken = 0
        while (message := await self._receive())["type"] != "http.disconnect":
            taken += len(message["body"])
            if taken > UNHEARD_BYTES:
                await asyncio.wait_for(self._heard.wait(), PATIENCE_S)
            writer.write(message["body"])
            await writer.drain()

    async def _outwards(self, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            self._heard.set()
            await self._write(chunk)
