"""The access log: one line for each request, whichever door it came to, once it is answered."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pictura.doors.house import House
from pictura.doors.http.visit import Visit, networks

log = logging.getLogger("pictura.access")


class AccessLog:
    """Who asked for what, the status of the answer (`-` where none was begun, or a WebSocket took its place), and the
    milliseconds until it was sent whole. Keys and signatures in queries are taken out.
    """

    def __init__(self, house: House, application: ASGIApp) -> None:
        self._house = house
        self._application = application
        self._trusted = networks(house.settings.server.trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._house.settings.server.access_log:
            await self._logged(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _logged(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = Visit(scope, self._trusted)
        started = time.monotonic()
        status = "-"

        async def noticed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._application(scope, receive, noticed)
        finally:
            took_ms = (time.monotonic() - started) * 1000
            log.info("%s %s %s %s %.0f ms", visit.address, visit.method, visit.shown_target(), status, took_ms)
