"""What the simulated routers have in common: keys, errors in their shapes, pictures in and out.

    class Acme(Router):
        \"\"\"Acme's router, as strict as its pages.\"\"\"
        name = "acme"
        own_errors = {401: ApiError(401, "…"), …}
        def routes(self): return [web.post("/v1/images/generations", self.answering(self._generate)), …]

A router draws with models of others, of which each simulator has a table: what the router itself checks, and no more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import ClassVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from pictura.core.errors import BadRequest, TooLarge
from pictura.core.picture import Inline
from pictura.core.size import FreePixels, Size, combine, nearest, parse
from pictura.infra.extract import Cut
from pictura.infra.spool import Spool
from pictura.sandbox.base import Simulator, Upload, Visit, refused, refused_late
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.inputs import look, shown

FORMATS = ("png", "jpeg", "webp")
INPUT_BYTES = 25_000_000
#: What any model of a router draws, so that no size keeps the machine busy for long.
WINDOW = FreePixels(step=16, min_edge=64, max_edge=6336, max_ratio=8, default="1024x1024", auto=False)


class ApiError(Exception):
    """An error as a router tells it. `code` None: it has none, not even an empty one."""

    def __init__(
        self, status: int, message: str, *, type: str = "", code: str | int | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param

    def anew(self) -> ApiError:
        """The same, to be raised: an exception gathers where it has been."""
        return ApiError(self.status, self.message, type=self.type, code=self.code, param=self.param)


class Asked(msgspec.Struct, kw_only=True):
    """What is to be drawn. `label`: what else shall be seen on it, such as its quality; `inputs`, `mask`: encoded."""

    model: str
    prompt: str
    width: int = 1024
    height: int = 1024
    count: int = 1
    seed: int | None = None
    format: str = "png"
    compression: int | None = None
    transparent: bool = False
    label: str = ""
    inputs: Sequence[bytes] = ()
    mask: bytes | None = None
    by_url: bool = False

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"

    def scenes(self) -> Iterator[Scene]:
        """One for each picture; they differ by their seeds, and share the input."""
        seed = seed_from(self.model, self.prompt) if self.seed is None else self.seed % 2**31
        for index in range(self.count):
            yield Scene(
                model=self.model,
                prompt=self.prompt,
                width=self.width,
                height=self.height,
                seed=seed + index,
                format=self.format,
                compression=self.compression,
                transparent=self.transparent,
                label=self.label,
                base=self.inputs[0] if self.inputs else None,
                mask=self.mask,
            )


class Router(Simulator):
    """Base of all of them."""

    #: By the status that a prompt may ask for (401, 402, 429, 500): how this router tells it.
    own_errors: ClassVar[Mapping[int, ApiError]] = {}

    def told(self, error: ApiError, visit: Visit) -> object:
        """An error's JSON."""
        told: dict[str, object] = {"message": error.message, "type": error.type, "param": error.param}
        return {"error": told if error.code is None else {**told, "code": error.code}}

    def translated(self, error: BadRequest) -> ApiError:
        """A mistake in the request, in this router's words."""
        status = 413 if isinstance(error, TooLarge) else 400
        return ApiError(status, error.message, type="invalid_request_error", param=error.param)

    def begin(self, visit: Visit) -> None:
        """What is done first, such as headers that go with every answer."""

    async def error(self, visit: Visit, status: int) -> web.StreamResponse:
        return await self.send_error(visit, self.own_errors[status])

    async def send_error(self, visit: Visit, error: ApiError) -> web.StreamResponse:
        return await visit.send(self.told(error, visit), error.status)

    def answering(self, handler: Callable[[Visit], Awaitable[web.StreamResponse]]) -> Handler:
        """A handler whose callers hold a key, and whose errors are told in the router's words."""

        async def answer(request: web.Request) -> web.StreamResponse:
            with Visit(request, self.studio) as visit:
                self.begin(visit)
                try:
                    if not self.studio.accepts(visit.bearer):
                        raise self.own_errors[401].anew()
                    return await handler(visit)
                except ApiError as error:
                    return await self.send_error(visit, error)
                except BadRequest as error:
                    return await self.send_error(visit, self.translated(error))

        return answer

    async def trouble(
        self, visit: Visit, prompt: str, refusal: ApiError, *, late: bool = True
    ) -> web.StreamResponse | None:
        """What the prompt asks for instead of pictures.

        Raises the refusal where it asks for that; also where it asks for a late one, if that would be too `late`.
        """
        if refused(prompt) or (late and refused_late(prompt)):
            raise refusal.anew()
        return await self.misbehave(visit, prompt)

    async def painted(self, visit: Visit, asked: Asked) -> list[dict[str, object]]:
        """The pictures as members of an answer's `data`."""
        pictures = await self.paint(visit, asked.scenes())
        return [self.shown(picture, asked) for picture in pictures]

    def shown(self, picture: Spool, asked: Asked) -> dict[str, object]:
        return {"url": self.hosted(picture, asked.prompt)} if asked.by_url else {"b64_json": Inline(picture)}

    async def looked(self, value: object, cuts: Sequence[Cut], param: str, most_bytes: int = INPUT_BYTES) -> bytes:
        """A picture in a JSON body: a data URL, or an http(s) URL."""
        try:
            return (await shown(value, cuts, self.studio, FORMATS, most_bytes)).data
        except BadRequest as error:
            raise BadRequest(f"{param}: {error.message}", param=param) from error


def uploaded(files: Sequence[Upload], *names: str) -> list[bytes]:
    """The files of a form under these names, looked at."""
    found = []
    for file in files:
        if file.field in names:
            try:
                found.append(look(file.spool, FORMATS, INPUT_BYTES).data)
            except BadRequest as error:
                raise BadRequest(f"{file.field}: {error.message}", param=file.field) from error
    return found


def pixels(size: str = "", aspect: str = "", tier: str = "") -> tuple[int, int]:
    """The pixels that stand behind the words. Raises BadRequest for what are none."""
    wanted = combine(parse(size), parse(aspect, "aspect_ratio"), parse(tier, "resolution"))
    found = nearest(wanted if not wanted.auto else Size(width=1024, height=1024), WINDOW)
    return found.width, found.height
