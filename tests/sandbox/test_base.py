from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from pictura.core.errors import BadRequest
from pictura.sandbox.base import Studio, Vendor, VendorError, Visit
from tests.sandbox.conftest import KEY


class Acme(Vendor):
    """A vendor with one path, whose handler draws nothing."""

    name = "acme"

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.post("/draw", self.answering(self._draw))]

    def own_error(self, status: int) -> VendorError:
        return VendorError(status, {"code": status}, f"error {status}")

    def translated(self, error: BadRequest) -> VendorError:
        return VendorError(422, {"wrong": error.message})

    def begin(self, visit: Visit) -> None:
        visit.headers["x-request-id"] = "r-1"

    async def _draw(self, visit: Visit) -> web.StreamResponse:
        values, _ = await visit.json()
        prompt = str(values.get("prompt"))
        if prompt == "dear":
            raise VendorError(418, {"code": "teapot"})
        return await self.misbehave(visit, prompt) or await visit.send({"drawn": prompt})


@pytest.fixture
async def acme(tmp_path: Path) -> AsyncIterator[str]:
    with ThreadPoolExecutor(1) as threads:
        application = web.Application()
        application.add_routes(Acme(Studio(lambda key: key == KEY, tmp_path, threads)).routes())
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/draw"
        await runner.cleanup()


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ('{"prompt": "a fox"}', 200, {"drawn": "a fox"}),
        ('{"prompt": "dear"}', 418, {"code": "teapot"}),
        ('{"prompt": "[fault:402]"}', 402, {"code": 402}),
        ("{", 422, {"wrong": "The body is not a JSON object; send one as application/json."}),
    ],
)
async def test_errors_are_told_in_the_vendor_s_words(
    body: str, status: int, told: object, acme: str, http: ClientSession
) -> None:
    async with http.post(acme, data=body) as answer:
        assert (answer.status, await answer.json()) == (status, told)
        assert answer.headers["x-request-id"] == "r-1"


async def test_nobody_gets_in_without_a_key(acme: str) -> None:
    async with ClientSession() as http:
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": KEY}):
            async with http.post(acme, data="{", headers=headers) as answer:
                assert (answer.status, await answer.json()) == (401, {"code": 401})
