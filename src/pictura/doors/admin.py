"""The admin API, below `/api`: what the CLI and the console are made of. Needs a key with the scope `admin`, but where
an endpoint says otherwise.

Every path is a line of `ENDPOINTS`: what it takes (a JSON object; for GET and DELETE the query) and who answers
(`doors.desk`). An error of any kind is `{"error": {"code", "message", "param", "request_id"}}` under its own status.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pictura.core.errors import BadRequest, HouseError, NotFound, PicturaError
from pictura.dialects.base import Limits, error_headers
from pictura.doors.desk import channels, doctor, jobs, keys, live, models, notices, projects
from pictura.doors.desk.act import Act
from pictura.doors.desk.shapes import (
    Channels,
    Decision,
    Deposit,
    KeyChange,
    Named,
    Newest,
    NewKey,
    NewModel,
    NewProject,
    Nothing,
    OfProject,
    Trial,
)
from pictura.doors.house import House
from pictura.doors.http.body import ClientGone, Incoming, close
from pictura.doors.http.visit import Visit, networks
from pictura.infra.config import ChannelSettings
from pictura.store.keys import Scope

log = logging.getLogger("pictura.admin")

T = TypeVar("T")

#: No act needs more text than this.
LIMITS = Limits(text_bytes=64 * 1024)


class Endpoint(msgspec.Struct, Generic[T], frozen=True):
    """`scope`: what a key needs for it; None: any key will do."""

    method: str
    path: str
    takes: type[T]
    answer: Callable[[Act, T], Awaitable[object]]
    status: int = 200
    scope: Scope | None = "admin"


ENDPOINTS: tuple[Endpoint[Any], ...] = (
    Endpoint("GET", "/keys", OfProject, keys.listed),
    Endpoint("POST", "/keys", NewKey, keys.create, 201),
    Endpoint("PATCH", "/keys/{id}", KeyChange, keys.change),
    Endpoint("POST", "/keys/{id}/disable", Nothing, keys.disable),
    Endpoint("POST", "/keys/{id}/enable", Nothing, keys.enable),
    Endpoint("GET", "/projects", Nothing, projects.listed),
    Endpoint("POST", "/projects", NewProject, projects.create, 201),
    Endpoint("GET", "/balance", OfProject, projects.balance),
    Endpoint("POST", "/balance", Deposit, projects.deposit),
    Endpoint("GET", "/channels", Nothing, channels.listed),
    Endpoint("POST", "/channels", ChannelSettings, channels.store),
    Endpoint("DELETE", "/channels/{name}", Nothing, channels.remove),
    Endpoint("GET", "/models", Named, models.listed, scope=None),
    # Ids may hold slashes.
    Endpoint("GET", "/models/{id:path}", Nothing, models.one, scope=None),
    Endpoint("PUT", "/models/{id:path}", NewModel, models.store),
    Endpoint("DELETE", "/models/{id:path}", Nothing, models.remove),
    Endpoint("GET", "/jobs", OfProject, jobs.listed),
    Endpoint("GET", "/jobs/{id}", Nothing, jobs.one),
    Endpoint("POST", "/jobs/{id}/cancel", Nothing, jobs.cancel),
    Endpoint("POST", "/jobs/{id}/resolve", Decision, jobs.resolve),
    Endpoint("GET", "/notices", Newest, notices.listed),
    Endpoint("GET", "/doctor", Nothing, doctor.report),
    Endpoint("GET", "/doctor/live", Channels, live.planned),
    Endpoint("POST", "/doctor/live", Trial, live.tried),
)


class Admin:
    def __init__(self, house: House) -> None:
        self._house = house
        self._trusted = networks(house.settings.server.trusted_proxies)

    def routes(self) -> list[BaseRoute]:
        """The last one takes what no other does, so that its error is told like every other."""
        nowhere = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        return [
            *(Route(endpoint.path, self._serving(endpoint), methods=[endpoint.method]) for endpoint in ENDPOINTS),
            Route("/{path:path}", self._serving(None), methods=nowhere),
        ]

    def _serving(self, endpoint: Endpoint[Any] | None) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            visit = Visit(request.scope, self._trusted)
            incoming = Incoming(request.receive, visit.headers, self._house.settings.server, self._house.uploads)
            try:
                return await self._answer(endpoint, request, visit, incoming)
            except ClientGone:
                return Response(status_code=400)
            except PicturaError as error:
                return await _refusal(error, visit, incoming)
            except Exception:
                log.exception("%s ran into a bug", visit.id)
                bug = HouseError("something went wrong here; the request id tells the operator where to look")
                return await _refusal(bug, visit, incoming)

        return serve

    async def _answer(
        self, endpoint: Endpoint[Any] | None, request: Request, visit: Visit, incoming: Incoming
    ) -> Response:
        key = self._house.guard.identify(visit.key, visit.address, endpoint.scope if endpoint else "admin")
        if endpoint is None:
            raise _no_path(visit)
        wanted = await self._wanted(endpoint, visit, incoming)
        base_url = self._house.links.base(visit.scheme, visit.host, visit.server)
        told = await endpoint.answer(Act(self._house, key, base_url, visit.address, request.path_params), wanted)
        return _json(told, endpoint.status, visit)

    async def _wanted(self, endpoint: Endpoint[T], visit: Visit, incoming: Incoming) -> T:
        if endpoint.method in ("GET", "DELETE"):
            query = {name: value for name, value in visit.query.items() if name != "key"}
            return _convert(query, endpoint.takes, strict=False)
        if endpoint.takes is Nothing:
            await incoming.drain()
            return endpoint.takes()
        body = await incoming.read(LIMITS, LIMITS.text_bytes, self._house.blobs.spool)
        close(body.uploads)
        if body.form:
            raise BadRequest("send a JSON object, as application/json")
        return _convert(body.fields, endpoint.takes, strict=True)


def _convert(fields: dict[str, object] | dict[str, str], kind: type[T], *, strict: bool) -> T:
    try:
        return msgspec.convert(fields, kind, strict=strict)
    except msgspec.ValidationError as error:
        place = re.search(r"(?:at `\$\.?([^`]+)`|field `([^`]+)`)", str(error))
        raise BadRequest(str(error), param=(place[1] or place[2]) if place else None) from None


def _no_path(visit: Visit) -> NotFound:
    here = visit.path.removeprefix("/api")
    methods = [endpoint.method for endpoint in ENDPOINTS if _pattern(endpoint.path).fullmatch(here)]
    if methods:
        return NotFound(f"{visit.method} {visit.path[:200]} is not answered; use {' or '.join(methods)}")
    return NotFound(f"there is no {visit.method} {visit.path[:200]}")


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{\w+\}", "[^/]+", re.sub(r"\{\w+:path\}", ".+", path)))


async def _refusal(error: PicturaError, visit: Visit, incoming: Incoming) -> Response:
    """The body is read to its end, so that a client that is still sending gets to see why."""
    read_whole = await incoming.drain()
    told = {"code": error.code, "message": error.message, "param": error.param, "request_id": visit.id}
    answer = _json({"error": told}, error.status, visit)
    answer.headers.update(error_headers(error))
    if not read_whole:
        answer.headers["connection"] = "close"
    return answer


def _json(told: object, status: int, visit: Visit) -> Response:
    headers = {"x-request-id": visit.id, "cache-control": "no-store"}
    return Response(msgspec.json.encode(told), status, headers, "application/json")
