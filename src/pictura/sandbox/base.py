"""What a simulator is: a vendor's API, imitated on its wire, that draws instead of dreaming.

    class Acme(Simulator):
        \"\"\"Acme Images, as strict as the vendor.\"\"\"
        name = "acme"
        def routes(self) -> Iterable[web.RouteDef]: ...     # mounted at <sandbox address>/acme
        def error(self, visit: Visit, status: int) -> web.StreamResponse: ...

A subclass in this package, or behind an entry point `pictura.simulators`, is found. Every simulator misbehaves on
demand, so that whoever builds on the sandbox can see his own code meet trouble. A prompt that holds one of these marks
gets, once the request is found valid:

    [fault:401] [fault:402] [fault:500]   the vendor's own error of this status
    [fault:429]                           … with Retry-After: 2
    [fault:502page]                       502 with a proxy's HTML page
    [fault:reset]                         the connection reset, without an answer
    [fault:stall]                         no answer, until the caller gives up
    [fault:slow 3]                        three seconds' delay, then the answer
    [fault:garbage]                       200, but not JSON
    [fault:empty]                         200 without a picture
    [fault:truncated]                     pictures that end in the middle
    [fault:long 5]                        a task that takes five seconds
    [fault:failed]                        a task that is accepted, then fails
    [fault:expired]                       a picture whose URL is dead
    [once:500]                            any fault, for the first call with this prompt alone

`[refuse]` gets the vendor's refusal by its safety system, and `[refuse late]` a task that is accepted, then refused.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import struct
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, suppress
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import msgspec
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from pictura.core.errors import BadRequest, TooLarge
from pictura.core.request import OCCASION_HEADER
from pictura.infra.extract import Cut, Extractor
from pictura.infra.payload import json_payload
from pictura.infra.spool import CHUNK_BYTES, Spool
from pictura.sandbox.chance import occasion
from pictura.sandbox.draw import Scene, draw
from pictura.sandbox.tasks import Tasks

#: A form's text field, or all of a JSON body but its pictures.
TEXT_BYTES = 1_000_000
#: More parts than any vendor's form has fields.
MOST_PARTS = 100
#: The secret beside a test key, for vendors whose requests are signed (TC3-HMAC, Kling's JWT).
SECRET = "sandbox"
#: Pictures that stay to be fetched by URL, so that a busy sandbox does not fill the disk.
SHELF_PLACES = 200

#: Seconds after which whoever is silent on a WebSocket is asked whether he is still there.
HEARTBEAT_S = 30.0

#: What a door says that forwards a request to the sandbox.
BASE_HEADER = "X-Pictura-Sandbox-Base"
CLIENT_HEADER = "X-Pictura-Sandbox-Client"

_FAULT = re.compile(r"\[(fault|once):(\w+)(?: (\d{1,4}(?:\.\d{1,3})?))?\]")
#: Prompts whose first call has gone wrong already.
MET_PROMPTS = 1000
_BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


def refused(prompt: str) -> bool:
    """Does the prompt ask for a refusal?"""
    return "[refuse]" in prompt


def refused_late(prompt: str) -> bool:
    """Does it ask for one when the task is under way?"""
    return "[refuse late]" in prompt


def fails(prompt: str) -> bool:
    """Does it ask for a task that fails?"""
    return "[fault:failed]" in prompt


class Caller(msgspec.Struct, frozen=True):
    """Who asks just now: from which address, and what the sandbox is called there ("": by its own address)."""

    address: str = ""
    base: str = ""


NOBODY = Caller()
CALLER: ContextVar[Caller] = ContextVar("caller", default=NOBODY)


class Shelf:
    """Finished pictures under names nobody can guess; the oldest give way to new ones."""

    def __init__(self, folder: Path, places: int = SHELF_PLACES) -> None:
        self._folder = folder
        self._places = places
        self._spools: OrderedDict[str, Spool] = OrderedDict()

    def put(self, source: Spool) -> str:
        """Keep a copy; the answer is its name."""
        name = secrets.token_urlsafe(16)
        copy = self._spools[name] = Spool(self._folder, source.media_type)
        for chunk in source.chunks():
            copy.write(chunk)
        while len(self._spools) > self._places:
            self._spools.popitem(last=False)[1].close()
        return name

    def get(self, name: str) -> Spool | None:
        """The picture of that name, as long as it lies here; not to be closed."""
        return self._spools.get(name)

    async def serve(self, request: web.Request) -> web.Response:
        spool = self._spools.get(request.match_info["name"])
        if spool is None:
            raise web.HTTPNotFound(text="This picture is no longer here.")
        # Read at once: while chunks go out, the picture may have to give way to another.
        return web.Response(body=spool.read(), content_type=spool.media_type)

    def close(self) -> None:
        while self._spools:
            self._spools.popitem()[1].close()


class Studio:
    """What the sandbox lends its simulators: the check of keys, hands that draw, a shelf for finished pictures."""

    def __init__(self, accepts: Callable[[str], bool], folder: Path, threads: Executor) -> None:
        #: Is this one of our test keys, and may the `CALLER` use it?
        self.accepts = accepts
        self.folder = folder
        self.shelf = Shelf(folder)
        self.tasks = Tasks()
        #: "http://127.0.0.1:<port>", once the sandbox listens.
        self.own_address = ""
        #: Set when the sandbox closes: nobody goes on waiting.
        self.closing = asyncio.Event()
        self._threads = threads

    @property
    def address(self) -> str:
        """What every URL in an answer begins with: the sandbox's address as whoever asks just now can reach it."""
        return CALLER.get().base or self.own_address

    def publish(self, picture: Spool) -> str:
        """A URL under which the picture lies for a while."""
        return f"{self.address}/files/{self.shelf.put(picture)}"

    def lying(self, url: str) -> Spool | None:
        """The picture under a URL of the shelf, by whatever address it was got; None for any other URL."""
        return self.shelf.get(url.rpartition("/files/")[2])

    async def draw(self, scene: Scene) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._threads, draw, scene)

    async def pause(self, seconds: float | None = None) -> None:
        """Wait so long, or for ever; but not longer than the sandbox is open."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.closing.wait(), seconds)


class Upload(msgspec.Struct, frozen=True, eq=False):
    """A file of a form. Its spool's `media_type` is what the sender says it is, "" where he says nothing."""

    field: str
    spool: Spool


class Visit:
    """One request and its answer. Pictures on their way in and out live in spools that end with it.

    `headers` go with every answer that `send` and `stream` give.
    """

    def __init__(self, request: web.Request, studio: Studio) -> None:
        self.request = request
        self.headers: dict[str, str] = {}
        self._studio = studio
        self._spools = ExitStack()
        occasion.set(request.headers.get(OCCASION_HEADER, ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spools.close()

    @property
    def bearer(self) -> str:
        """The key in `Authorization: Bearer …`, "" where there is none."""
        scheme, _, key = self.request.headers.get("Authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else ""

    def spool(self, media_type: str = "") -> Spool:
        spool = Spool(self._studio.folder, media_type)
        self._spools.callback(spool.close)
        return spool

    async def json(
        self, picture_bytes: int = 0, pictures: int = 0, picture_keys: frozenset[str] = frozenset()
    ) -> tuple[dict[str, object], Sequence[Cut]]:
        """The body's JSON object, and the pictures in it, which `infra.extract.find` tells from other strings.

        Pictures are data URLs wherever they stand, and bare base64 under `picture_keys`, where only a URL of another
        scheme is left alone. With `pictures` 0 they are strings like others. Raises TooLarge for more than so many, or
        for one of more than `picture_bytes`; BadRequest for what is no JSON object.
        """
        extractor = Extractor(
            self.spool,
            keys=picture_keys,
            data_urls=pictures > 0,
            text_cap=TEXT_BYTES,
            picture_cap=picture_bytes,
            picture_count_cap=pictures,
        )
        async for chunk in self.request.content.iter_chunked(CHUNK_BYTES):
            extractor.feed(chunk)
        try:
            return msgspec.json.decode(extractor.finish(), type=dict[str, object]), extractor.cuts
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest("The body is not a JSON object; send one as application/json.") from error

    async def form(self, file_bytes: int, file_fields: frozenset[str]) -> tuple[list[tuple[str, str]], list[Upload]]:
        """The texts and files of a multipart form, in order; `file_fields` are files, whatever they look like.

        Raises TooLarge for a file of more than `file_bytes`, BadRequest for what is no form.
        """
        texts: list[tuple[str, str]] = []
        files: list[Upload] = []
        try:
            async for part in self._parts():
                name = part.name or ""
                if part.filename is not None or name in file_fields:
                    files.append(Upload(name, await self._file(part, name, file_bytes)))
                else:
                    texts.append((name, (await self._file(part, name, TEXT_BYTES)).read().decode()))
        except (ValueError, AssertionError, HttpProcessingError) as error:  # all of them aiohttp's, for a broken form
            raise BadRequest("The body is not a form; send multipart/form-data with its boundary.") from error
        return texts, files

    async def _parts(self) -> AsyncIterator[BodyPartReader]:
        reader = await self.request.multipart()
        for _ in range(MOST_PARTS):
            part = await reader.next()
            if part is None:
                return
            if not isinstance(part, BodyPartReader):
                raise BadRequest("The form holds a form; send one field or file in each part.")
            yield part
        raise BadRequest(f"The form has more than {MOST_PARTS} parts; send fewer.")

    async def _file(self, part: BodyPartReader, name: str, most_bytes: int) -> Spool:
        spool = self.spool(part.headers.get("Content-Type", "").partition(";")[0].strip().lower())
        while not part.at_eof():
            spool.write(await part.read_chunk(CHUNK_BYTES))
            if spool.size > most_bytes:
                raise TooLarge(f"'{name}' has more than {most_bytes:,} bytes; send a smaller file.", param=name)
        return spool

    async def send(self, document: object, status: int = 200) -> web.StreamResponse:
        """Answer with JSON, in which an `core.picture.Inline` becomes base64."""
        payload = json_payload(document)
        response = web.StreamResponse(status=status, headers={**self.headers, "Content-Type": payload.content_type})
        response.content_length = payload.size
        await response.prepare(self.request)
        for chunk in payload.chunks():
            await response.write(chunk)
        await response.write_eof()
        return response

    async def stream(self, events: AsyncIterator[tuple[str, object]]) -> web.StreamResponse:
        """Answer with server-sent events, each a name ("" for none) and what becomes its JSON.

        The answer begins with the first event: what is raised before it can still become an error.
        """
        response = web.StreamResponse(headers={**self.headers, "Content-Type": "text/event-stream; charset=utf-8"})
        async for name, document in events:
            if not response.prepared:
                await response.prepare(self.request)
            await response.write((f"event: {name}\n" if name else "").encode() + b"data: ")
            for chunk in json_payload(document).chunks():
                await response.write(chunk)
            await response.write(b"\n\n")
        await response.prepare(self.request)
        await response.write_eof()
        return response

    def reset(self) -> web.StreamResponse:
        """Break the connection off, so that the caller's next read fails; what is returned goes nowhere."""
        transport = self.request.transport
        if transport is not None:
            # Closing at once, with nothing lingering, is what makes the kernel send RST rather than FIN.
            connection: socket.socket = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        return web.Response()


class Simulator(ABC):
    """Base of all simulators."""

    name: ClassVar[str] = ""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._met: OrderedDict[str, None] = OrderedDict()

    @abstractmethod
    def routes(self) -> Iterable[web.RouteDef]:
        """Its paths, below `/<name>`."""

    @abstractmethod
    async def error(self, visit: Visit, status: int) -> web.StreamResponse:
        """The vendor's own error of this status: 401, 402, 429 or 500."""

    async def misbehave(self, visit: Visit, prompt: str) -> web.StreamResponse | None:
        """The trouble that the prompt asks for; None where there is to be an answer, perhaps after a while."""
        first = self._meet(prompt)
        for when, fault, argument in _FAULT.findall(prompt):
            if when == "once" and not first:
                continue
            if fault == "slow":
                await self.studio.pause(float(argument or 1))
            elif fault in ("401", "402", "429", "500"):
                return await self._vendor_error(visit, int(fault))
            elif fault == "502page":
                return web.Response(status=502, text=_BAD_GATEWAY, content_type="text/html")
            elif fault == "garbage":
                return web.Response(text="{this is not JSON", content_type="application/json")
            elif fault == "reset":
                return visit.reset()
            elif fault == "stall":
                await self.studio.pause()
                return visit.reset()
        return None

    def _meet(self, prompt: str) -> bool:
        """Is this the first call with this prompt?"""
        if prompt in self._met:
            return False
        self._met[prompt] = None
        while len(self._met) > MET_PROMPTS:
            self._met.popitem(last=False)
        return True

    def hosted(self, picture: Spool, prompt: str) -> str:
        """A URL of a finished picture; a dead one where the prompt asks for that."""
        url = self.studio.publish(picture)
        return f"{url}-expired" if "[fault:expired]" in prompt else url

    async def _vendor_error(self, visit: Visit, status: int) -> web.StreamResponse:
        if status == 429:
            visit.headers["Retry-After"] = "2"
        return await self.error(visit, status)

    async def paint(self, visit: Visit, scenes: Iterable[Scene]) -> list[Spool]:
        """The scenes as pictures, in order; none, or broken ones, where the prompt asks for that.

        Raises BadRequest where an input turns out to be no picture.
        """
        wanted = [scene for scene in scenes if "[fault:empty]" not in scene.prompt]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._picture(visit, scene)) for scene in wanted]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _picture(self, visit: Visit, scene: Scene) -> Spool:
        data = await self.studio.draw(scene)
        spool = visit.spool(scene.media_type)
        spool.write(data[: len(data) // 2] if "[fault:truncated]" in scene.prompt else data)
        return spool


class VendorError(Exception):
    """An error as a vendor writes it: its status, and the JSON that goes with it."""

    def __init__(self, status: int, document: Mapping[str, object], message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.document = document


class Vendor(Simulator):
    """Base of simulators whose handlers raise their errors; routes are `self.answering(handler)`."""

    @abstractmethod
    def own_error(self, status: int) -> VendorError:
        """The vendor's own error of this status: 401, 402, 429 or 500."""

    @abstractmethod
    def translated(self, error: BadRequest) -> VendorError:
        """What is wrong with a request, in the vendor's words."""

    def begin(self, visit: Visit) -> None:
        """What every visit has, such as headers that go with its answer."""

    def check_key(self, visit: Visit) -> None:
        """Raises the vendor's error for whoever holds no key; most vendors want it as a bearer token."""
        if not self.studio.accepts(visit.bearer):
            raise self.own_error(401)

    async def tell(self, visit: Visit, error: VendorError) -> web.StreamResponse:
        return await visit.send(error.document, error.status)

    async def error(self, visit: Visit, status: int) -> web.StreamResponse:
        return await self.tell(visit, self.own_error(status))

    def answering(self, handler: Callable[[Visit], Awaitable[web.StreamResponse]]) -> Handler:
        """What a route wants: whoever holds a key gets to the handler."""

        async def answer(request: web.Request) -> web.StreamResponse:
            with Visit(request, self.studio) as visit:
                self.begin(visit)
                try:
                    self.check_key(visit)
                    return await handler(visit)
                except VendorError as error:
                    return await self.tell(visit, error)
                except BadRequest as error:
                    return await self.tell(visit, self.translated(error))

        return answer
