"""The ASGI application: infrastructure paths on any Host, everything else is a dialect's."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pictura.core import ids
from pictura.doors.admin import Admin
from pictura.doors.house import House
from pictura.doors.http.access import AccessLog
from pictura.doors.http.files import Files
from pictura.doors.http.sandbox import Forwarder
from pictura.doors.http.server import SANDBOX
from pictura.doors.http.speak import Speaker
from pictura.doors.links import FILES


async def health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def application(house: House) -> ASGIApp:
    """Infrastructure by Starlette's router; a dialect's path spares the walk through it."""
    infrastructure = Starlette(
        routes=[
            Route("/health", health),
            Route(FILES + "{key:path}", Files(house).serve),
            Mount("/api", routes=Admin(house).routes()),
        ]
    )
    return AccessLog(house, _Door(infrastructure, Forwarder(house), Speaker(house)))


class _Door:
    def __init__(self, infrastructure: ASGIApp, forwarder: Forwarder, speaker: Speaker) -> None:
        self._infrastructure = infrastructure
        self._forwarder = forwarder
        self._speaker = speaker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path == "/health" or path.startswith(FILES) or self._is_admin(scope["method"], path):
            await self._infrastructure(scope, receive, _numbered(send))
        elif path.startswith(SANDBOX + "/"):
            await self._forwarder(scope, receive, _numbered(send))
        else:
            await self._speaker(scope, receive, send)

    def _is_admin(self, method: str, path: str) -> bool:
        """Routers of the new-api family have paths below `/api` too, which their clients know by heart."""
        return path.startswith("/api/") and not self._speaker.owns(method, path)


def _numbered(send: Send) -> Send:
    """Every answer has a request id; those that name none themselves get one here."""

    async def numbered(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).setdefault("x-request-id", ids.new("req"))
        await send(message)

    return numbered
