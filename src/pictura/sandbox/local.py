"""What the simulators of engines on one's own machine share.

Those engines have no safety system, so `[refuse]` is drawn like any prompt; nor do they know accounts, so 402 and 429
are what a proxy before them would say. They want no key unless they were started with one, as here: a test key, as a
bearer token or as the password of basic authentication.
"""

from __future__ import annotations

import binascii
import re
from abc import abstractmethod
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from pictura.core.errors import BadRequest
from pictura.infra.vips import vips
from pictura.sandbox.base import Simulator, Studio, Visit

Shape = TypeVar("Shape")

#: What an error says that a prompt asked for.
REASONS = {401: "Unauthorized", 402: "Payment Required", 429: "Too Many Requests", 500: "Internal Server Error"}

_MISSING = re.compile(r"Object missing required field `(\w+)`")
_PLACE = re.compile(r" - at `\$\.?(.*)`$")


def opened(visit: Visit, studio: Studio) -> bool:
    """Does the visitor have a test key?"""
    scheme, _, word = visit.request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return studio.accepts(visit.bearer)
    try:
        _, _, password = b64decode(word).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return studio.accepts(password)


def grey(data: bytes) -> bytes:
    """A picture as Pillow's `convert("L")` makes it: its alpha is forgotten."""
    found = vips().Image.new_from_buffer(data, "")
    bare = found.extract_band(0, n=found.bands - 1) if found.hasalpha() else found
    made: bytes = bare.colourspace("b-w").write_to_buffer(".png", keep="none")
    return made


class HttpError(Exception):
    """FastAPI's exception of this name."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Invalid(Exception):
    """A field is missing or wrong, as pydantic tells it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.detail = [{"type": "value_error", "loc": ["body", field], "msg": message}]


def read(values: Mapping[str, object], shape: type[Shape]) -> Shape:
    """The fields of a body as pydantic reads them: a text may stand for a number, null for what may be missing, and
    what nobody knows is passed over.
    """
    try:
        return msgspec.convert(values, shape, strict=False)
    except msgspec.ValidationError as error:
        text = str(error)
        missing, place = _MISSING.search(text), _PLACE.search(text)
        field = missing[1] if missing else place[1] if place else ""
        raise Invalid(field, "Field required" if missing else _PLACE.sub("", text)) from None


class FastApi(Simulator):
    """Base of the simulators of servers that are made with FastAPI."""

    @abstractmethod
    def document(self, error: HttpError | Invalid) -> tuple[int, object]:
        """An error's status and body."""

    def lost(self) -> web.RouteDef:
        """Every path that is not imitated; to be listed last."""
        return web.route("*", "/{path:.*}", self._lost)

    def answering(self, handler: Callable[[Visit], Awaitable[web.StreamResponse]]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            with Visit(request, self.studio) as visit:
                try:
                    if not opened(visit, self.studio):
                        return await self.error(visit, 401)
                    return await handler(visit)
                except (HttpError, Invalid) as error:
                    status, document = self.document(error)
                except BadRequest as error:
                    status, document = self.document(HttpError(400, error.message))
                return await visit.send(document, status)

        return answer

    async def error(self, visit: Visit, status: int) -> web.StreamResponse:
        status, document = self.document(HttpError(status, REASONS[status]))
        return await visit.send(document, status)

    async def _lost(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"detail": "Not Found"}, status=404)
