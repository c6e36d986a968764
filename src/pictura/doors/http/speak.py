"""The way of one request, from top to bottom: name the dialect, know the key, read the body, decode, submit, wait,
encode. Whatever goes wrong on the way is told in the dialect's own words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import msgspec
from starlette.types import Receive, Scope, Send

from pictura.core.errors import BadRequest, HouseError, NotFound, PicturaError
from pictura.core.job import JobState
from pictura.core.picture import Inline
from pictura.core.request import Body, ImageRequest
from pictura.core.result import Delivered
from pictura.core.views import Call, JobView
from pictura.dialects.base import Dialect, Event, Reply, Verb, answer
from pictura.doors.house import House
from pictura.doors.http.answer import KEEP_ALIVE_S, EventStream, Watch, send_reply
from pictura.doors.http.body import ClientGone, Incoming, close
from pictura.doors.http.switchboard import Found, Switchboard
from pictura.doors.http.visit import Visit, networks
from pictura.doors.views import Views
from pictura.engine.gateway import Draft, Handle, Outcome
from pictura.engine.guard import Place
from pictura.infra.blobs import StoredBlob
from pictura.infra.spool import Spool
from pictura.store.keys import Key

log = logging.getLogger("pictura.door")

#: Every browser may call: a key is asked for, no cookie is looked at.
CORS = {"access-control-allow-origin": "*", "access-control-expose-headers": "*"}
PREFLIGHT = {
    **CORS,
    "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
    # The wildcard stands for every header but this one (the Fetch standard).
    "access-control-allow-headers": "authorization, *",
    "access-control-max-age": "86400",
}


class Speaker:
    """The ASGI application behind all dialect paths."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._board = Switchboard(house.dialects, house.settings.server.hosts)
        self._trusted = networks(house.settings.server.trusted_proxies)
        self._views = Views(house)
        house.links.know(self._board.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = Visit(scope, self._trusted)
        incoming = Incoming(receive, visit.headers, self._house.settings.server, self._house.uploads)
        if visit.method == "OPTIONS":
            await send_reply(send, Reply(b"", 204, PREFLIGHT), {"x-request-id": visit.id})
            return
        found = self._name(visit)
        call = _call(visit, found)
        try:
            await self._serve(visit, found, call, incoming, receive, send)
        except ClientGone:
            log.info("%s: the client went away while it was sending", visit.id)
        except PicturaError as error:
            await self._refuse(found.dialect, call, error, incoming, send)
        except Exception:
            log.exception("%s ran into a bug", visit.id)
            bug = HouseError("something went wrong here; the request id tells the operator where to look")
            await self._refuse(found.dialect, call, bug, incoming, send)

    def owns(self, method: str, path: str) -> bool:
        """Does this path belong to a dialect, wherever else it might lead?"""
        return self._board.owns(method, path)

    def _name(self, visit: Visit) -> Found:
        return self._board.find(visit.method, visit.path, visit.host, lambda: self._dialect_of_key(visit))

    def _dialect_of_key(self, visit: Visit) -> str:
        named = self._board.by_header(visit.headers, visit.method, visit.path)
        try:
            return named or self._house.guard.identify(visit.key, visit.address).dialect
        except PicturaError:
            return ""  # who has no good key is told so further on, in the fallback's words

    async def _serve(
        self, visit: Visit, found: Found, call: Call, incoming: Incoming, receive: Receive, send: Send
    ) -> None:
        if found.route is None:
            raise self._no_path(visit, found.dialect)
        key = None if found.route.open and not visit.key else self._house.guard.identify(visit.key, visit.address)
        if found.route.verb is Verb.DRAW:
            assert key is not None
            with self._house.guard.admit(key) as place:
                await Drawing(self._house, visit, found, call, key, place).go(incoming, receive, send)
            return
        if found.route.verb is Verb.CANCEL:
            view = self._views.job(call, key)
            stopping = await self._house.gateway.cancel(view.id, view.project_id)
            reply, call = self._job(visit, found, call, key, stopping)
        elif found.route.verb is Verb.JOB:
            reply, call = self._job(visit, found, call, key)
        else:
            reply = answer(found.route, found.dialect, call, *await self._views.of(found.route.verb, call, key))
        await incoming.drain()
        await send_reply(send, reply, _headers(call))

    def _job(self, visit: Visit, found: Found, call: Call, key: Key | None, *more: bool) -> tuple[Reply, Call]:
        assert found.route is not None
        view = self._views.job(call, key)
        call = msgspec.structs.replace(call, job_id=view.id, sandbox=view.sandbox)
        return answer(found.route, found.dialect, call, view, Handed(self._house, visit), *more), call

    async def _refuse(self, dialect: Dialect, call: Call, error: PicturaError, incoming: Incoming, send: Send) -> None:
        reply = dialect.error(call, error)
        read_whole = await incoming.drain()
        await send_reply(send, reply, _headers(call), close=not read_whole)

    def _no_path(self, visit: Visit, dialect: Dialect) -> NotFound:
        methods = self._board.methods(visit.path, dialect)
        if methods:
            return NotFound(f"{visit.method} {visit.path[:200]} is not answered; use {' or '.join(methods)}")
        return NotFound(f"there is no {visit.method} {visit.path[:200]} in the {dialect.name} dialect")


class Drawing:
    """A request that wants pictures."""

    def __init__(self, house: House, visit: Visit, found: Found, call: Call, key: Key, place: Place) -> None:
        assert found.route is not None
        self._house = house
        self._visit = visit
        self._dialect = found.dialect
        self._route = found.route
        self._call = call
        self._key = key
        self._place = place

    async def go(self, incoming: Incoming, receive: Receive, send: Send) -> None:
        self._house.blobs.check_room()
        later = self._call.later
        request, body = await self._read(incoming)
        if later:
            await self._accept(request, body, send)
            return
        # Before the job, which may take a while to be made: a reference has to be fetched.
        watch = Watch(receive)
        try:
            handle = await self._submit(request, body)
            watch.tell(lambda: self._client_gone(handle))
            await self._follow(request, handle, send)
        finally:
            watch.stop()

    async def _accept(self, request: ImageRequest, body: Body, send: Send) -> None:
        """Submitted, and left to itself: the client asks again how it stands."""
        try:
            _check_async(request)
        except BaseException:
            close(body.uploads)
            raise
        handle = await self._submit(request, body)
        self._note_job(handle)
        job = handle.job
        view = JobView(job.id, job.project_id, JobState.QUEUED, request, job.created_ms, sandbox=job.sandbox)
        handle.leave()
        reply = self._dialect.task(self._call, view, Handed(self._house, self._visit))
        await send_reply(send, reply, _headers(self._call))

    async def _follow(self, request: ImageRequest, handle: Handle, send: Send) -> None:
        self._note_job(handle)
        try:
            if request.stream:
                await self._stream(request, handle, send)
            else:
                await self._answer(request, await asyncio.shield(handle.outcome), send)
        finally:
            handle.leave()

    async def _read(self, incoming: Incoming) -> tuple[ImageRequest, Body]:
        limits = self._dialect.habits.limits
        cap = limits.edit_picture_bytes if self._route.edit else limits.picture_bytes
        body = await incoming.read(limits, cap, self._house.blobs.spool)
        try:
            return self._dialect.decode(self._call, body, edit=self._route.edit), body
        except BaseException:
            close(body.uploads)
            raise

    async def _submit(self, request: ImageRequest, body: Body) -> Handle:
        limits = self._dialect.habits.limits
        draft = Draft(
            request,
            self._key,
            self._dialect.name,
            body.uploads,
            limits.edit_picture_bytes if self._route.edit else limits.picture_bytes,
            retry=self._is_retry(),
        )
        try:
            handle = await self._house.gateway.submit(draft)
        except BaseException:
            close(body.uploads)
            raise
        self._place.job = handle.outcome
        return handle

    def _is_retry(self) -> bool:
        """OpenAI's SDKs count their own retries in this header (openai 3.52, read in source, 2026-11)."""
        return self._visit.headers.get("x-stainless-retry-count", "0") not in ("", "0")

    def _client_gone(self, handle: Handle) -> None:
        log.info("%s: the client went away; job %s goes on if it was sent", self._visit.id, handle.job.id)
        if not handle.outcome.done():
            self._house.gateway.forsake(handle)

    async def _answer(self, request: ImageRequest, outcome: Outcome, send: Send) -> None:
        if outcome.error is not None:
            await self._fail(outcome.error, send)
            return
        assert outcome.result is not None
        hands = self._hands(outcome)
        reply = self._dialect.picture(self._call, request, outcome.result, hands)
        await send_reply(send, reply, _headers(self._call))
        hands.cool()

    async def _fail(self, error: PicturaError, send: Send) -> None:
        """Unlike a refusal it names the job, under which a picture that turns up late will be found."""
        await send_reply(send, self._dialect.error(self._call, error), _headers(self._call))

    async def _stream(self, request: ImageRequest, handle: Handle, send: Send) -> None:
        stream = EventStream(send, _headers(self._call), self._dialect.keep_alive)
        await self._previews(request, handle, stream)
        outcome = await asyncio.shield(handle.outcome)
        if outcome.error is not None and not stream.begun and not self._dialect.streams_error(outcome.error):
            await self._fail(outcome.error, send)
            return
        for event in self._last_events(request, outcome):
            await stream.event(event)
        await stream.end()

    async def _previews(self, request: ImageRequest, handle: Handle, stream: EventStream) -> None:
        queue = handle.watch()
        while True:
            try:
                preview = await asyncio.wait_for(queue.get(), KEEP_ALIVE_S)
            except TimeoutError:
                await stream.keep_alive()
                continue
            if preview is None:
                return
            event = self._dialect.preview(self._call, request, preview.index, Inline(preview.spool))
            if event is not None:
                await stream.event(event)
            preview.spool.close()

    def _last_events(self, request: ImageRequest, outcome: Outcome) -> list[Event]:
        if outcome.result is not None:
            return list(self._dialect.event(self._call, request, outcome.result, self._hands(outcome)))
        error = outcome.error or HouseError("the job ended without an outcome")
        return [self._dialect.failed_event(self._call, error)]

    def _note_job(self, handle: Handle) -> None:
        self._call = msgspec.structs.replace(self._call, job_id=handle.job.id, sandbox=handle.job.sandbox)

    def _hands(self, outcome: Outcome) -> Handed:
        return Handed(self._house, self._visit, outcome.held)


class Handed:
    """`Hands` over what one visitor gets; `held`: pictures that need not be read from the store."""

    def __init__(self, house: House, visit: Visit, held: Mapping[str, Spool] | None = None) -> None:
        self._house = house
        self._held = held or {}
        self._base = house.links.base(visit.scheme, visit.host, visit.server)
        self._read: list[StoredBlob] = []

    def url(self, picture: Delivered) -> str:
        return picture.url or self._house.links.sign(self._base, picture.key)

    def base64(self, picture: Delivered) -> Inline:
        held = self._held.get(picture.key)
        if held is not None:
            return Inline(held)
        blob = self._house.blobs.open(picture.key)
        self._read.append(blob)
        return Inline(blob)

    def cool(self) -> None:
        """Whoever got a picture as base64 has it, and will hardly fetch it again."""
        for blob in self._read:
            blob.cool()


def _call(visit: Visit, found: Found) -> Call:
    return Call(
        request_id=visit.id,
        method=visit.method,
        path=visit.path,
        place=found.place,
        query=visit.query,
        headers=visit.headers,
    )


def _headers(call: Call) -> dict[str, str]:
    headers = {**CORS, "x-request-id": call.request_id}
    if call.job_id:
        headers["x-pictura-job"] = call.job_id
    if call.sandbox:
        headers["x-pictura-sandbox"] = "true"
    return headers


def _check_async(request: ImageRequest) -> None:
    if request.stream:
        raise BadRequest("stream and async=true exclude each other; leave one of them out", param="stream")
    if request.delivery == "b64_ephemeral":
        raise BadRequest(
            "b64_ephemeral keeps nothing that could be fetched later; with async=true ask for url or b64_json",
            param="response_format",
        )
