"""One door for everything: infrastructure on any Host, every other path a dialect's; every answer with an id."""

from __future__ import annotations

import pytest
from starlette.types import Message

from pictura.doors.http.app import application
from tests.doors.door import ADMIN, GENERATIONS, LIVE, TEST, Door

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("HEAD", "/health", 200),
        ("POST", "/health", 405),
        ("GET", "/files/out/nothing.png", 404),
        ("GET", "/api/channels", 200),
        ("GET", "/api/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/healthy", 404),
        ("GET", "/files", 404),
        ("GET", "/favicon.ico", 404),
        ("GET", "/v1/models", 200),
        ("GET", "/v2/models", 200),
        ("OPTIONS", "/v1/images/generations", 204),
        ("PATCH", "/v1/images/generations", 404),
        ("GET", "/v1/models/%00%0d%0a", 404),
        ("GET", "/v1/models/%ff%fe", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
    ],
)
async def test_every_answer_has_an_id(method: str, path: str, status: int, door: Door) -> None:
    answer = await door.send(method, path, key=ADMIN)
    assert answer.status == status, answer.body
    assert answer.headers["x-request-id"].startswith("req_")


async def test_health_says_so_in_json(door: Door) -> None:
    answer = await door.send("GET", "/health")
    assert (answer.body, answer.headers["content-type"]) == (b'{"status":"ok"}', "application/json")


async def test_what_needs_a_key(door: Door) -> None:
    for path in ("/v1/models", "/v1/models/test/test", "/v1/credits", "/api/keys", "/no/such/path"):
        assert (await door.send("GET", path)).status in (401, 404), path
    for path in ("/health", "/v2/models", "/imagerouter/v1/models", "/v1/openai/images/models"):
        assert (await door.send("GET", path)).status == 200, path
    for key in (LIVE, TEST):
        assert (await door.send("GET", "/api/keys", key=key)).status == 403
    assert (await door.send("POST", GENERATIONS["openai"], b"{}")).status == 401


async def test_a_wrong_key_opens_no_open_path_either(door: Door) -> None:
    assert (await door.send("GET", "/v2/models", key="sk-nobodys")).status == 401


async def test_what_is_no_http_is_left_alone(door: Door) -> None:
    """Nothing is said on a lifespan's or a websocket's line."""

    async def receive() -> Message:
        raise AssertionError("read")

    async def send(message: Message) -> None:
        raise AssertionError("written")

    for kind in ("lifespan", "websocket"):
        await application(door.house)({"type": kind, "path": "/health"}, receive, send)
