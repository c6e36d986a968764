"""Writing an answer: headers that every one carries, bodies whose base64 is made as it flows out, events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from starlette.types import Receive, Send

from pictura.dialects.base import Event, Reply
from pictura.infra.payload import Payload, bytes_payload, json_payload

#: Seconds of silence after which an event stream says that it is still there: proxies cut what is silent for 60.
KEEP_ALIVE_S = 15.0


async def send_reply(send: Send, reply: Reply, headers: Mapping[str, str], *, close: bool = False) -> None:
    """`close`: the connection ends with this answer, because the request's body was not read to its end."""
    payload = _payload(reply)
    await send(_start(reply.status, {**headers, **reply.headers}, payload.content_type, payload.size, close=close))
    left = payload.size
    if not left:
        await send({"type": "http.response.body"})
        return
    for chunk in payload.chunks():
        left -= len(chunk)
        await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})


class EventStream:
    """A text/event-stream. Its head goes out with the first event, so that an early error keeps its true status."""

    def __init__(self, send: Send, headers: Mapping[str, str], silence: bytes) -> None:
        self.begun = False
        self._silence = silence
        self._send = send
        self._headers = headers

    async def event(self, event: Event) -> None:
        await self._begin()
        await self._write((f"event: {event.name}\n" if event.name else "").encode() + b"data: ")
        for chunk in json_payload(event.data).chunks():
            await self._write(chunk)
        await self._write(b"\n\n")

    async def keep_alive(self) -> None:
        await self._begin()
        await self._write(self._silence)

    async def end(self) -> None:
        await self._send({"type": "http.response.body"})

    async def _begin(self) -> None:
        if not self.begun:
            self.begun = True
            headers = {**self._headers, "cache-control": "no-cache", "x-accel-buffering": "no"}
            await self._send(_start(200, headers, "text/event-stream", None))

    async def _write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})


class Watch:
    """Notices that the client has gone, once an answer takes longer than a moment: no server cancels a handler.

    Most answers that are slow enough to be left are slower than the moment, and the others are spared a task.
    """

    MOMENT_S = 0.2

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False
        self._on_gone: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(self.MOMENT_S, self._begin)

    def tell(self, on_gone: Callable[[], None]) -> None:
        """Whom to tell; at once, where it has happened already."""
        self._on_gone = on_gone
        if self._gone:
            on_gone()

    def stop(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._on_gone is not None:
            self._on_gone()


def _payload(reply: Reply) -> Payload:
    if isinstance(reply.body, bytes):
        return bytes_payload(reply.body, reply.media_type)
    return json_payload(reply.body)


def _start(
    status: int, headers: Mapping[str, str], content_type: str, size: int | None, *, close: bool = False
) -> dict[str, object]:
    raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
    raw.append((b"content-type", content_type.encode("latin-1")))
    if size is not None:
        raw.append((b"content-length", b"%d" % size))
    if close:
        raw.append((b"connection", b"close"))
    return {"type": "http.response.start", "status": status, "headers": raw}
