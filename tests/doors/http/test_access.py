"""The access log: a line for whatever door was asked, and no key in it."""

from __future__ import annotations

import logging
import re

import aiohttp
import msgspec
import pytest

from pictura.infra.config import ServerSettings
from tests.doors.door import ADMIN, GENERATIONS, LIVE, MODEL, TEST, Door, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK = {"model": MODEL, "prompt": "a fox", "response_format": "url"}


@pytest.fixture
def logged(door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "pictura.access")
    settings = msgspec.structs.replace(door.house.settings, server=ServerSettings(access_log=True))
    monkeypatch.setattr(door.house, "settings", settings)
    return caplog


async def lines(logged: pytest.LogCaptureFixture, count: int) -> list[str]:
    """The log's, their milliseconds as N; a line is written when its answer has left already."""
    await until(lambda: len(logged.messages) >= count)
    return [re.sub(r"\b\d+ ms$", "N ms", message) for message in logged.messages]


@pytest.mark.parametrize(
    ("method", "path", "key", "line"),
    [
        ("GET", f"/v1/models?key={LIVE}&limit=1", "", "/v1/models?key=***&limit=1 200"),
        ("OPTIONS", "/v1/images/generations", "", "/v1/images/generations 204"),
        ("GET", "/api/keys", ADMIN, "/api/keys 200"),
        ("GET", "/api/keys", LIVE, "/api/keys 403"),
        ("GET", f"/sandbox/gemini/v1beta/models?key={TEST}", "", "/sandbox/gemini/v1beta/models?key=*** 200"),
        ("GET", "/files/nothing?e=1&s=abc", "", "/files/nothing?e=1&s=*** 404"),
        ("GET", "/health", "", "/health 200"),
        ("GET", "/nowhere%0Aelse", "", "/nowhere%0Aelse 404"),
    ],
)
async def test_a_line_for_each_request(
    door: Door, logged: pytest.LogCaptureFixture, method: str, path: str, key: str, line: str
) -> None:
    await door.send(method, path, key=key)
    assert await lines(logged, 1) == [f"127.0.0.1 {method} {line} N ms"]


async def test_a_picture_and_its_file_without_key_and_signature(door: Door, logged: pytest.LogCaptureFixture) -> None:
    url = (await door.ask(ASK)).url
    await door.send("GET", url)
    drawn, fetched = await lines(logged, 2)
    assert drawn == f"127.0.0.1 POST {GENERATIONS['openai']} 200 N ms"
    assert re.fullmatch(r"127\.0\.0\.1 GET /files/out/\S+&s=\*\*\* 200 N ms", fetched)
    assert LIVE not in logged.text and url.rpartition("s=")[2] not in logged.text


async def test_who_got_no_answer_is_logged_too(door: Door, logged: pytest.LogCaptureFixture) -> None:
    body = {"model": "gpt-image-2", "prompt": "[fault:reset]"}
    with pytest.raises(aiohttp.ClientOSError):
        await door.ask(body, path="/sandbox/openai/v1/images/generations", key=TEST)
    assert await lines(logged, 1) == ["127.0.0.1 POST /sandbox/openai/v1/images/generations - N ms"]


async def test_nothing_is_logged_that_was_not_wished(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pictura.access")
    for _ in range(2):  # when the second is answered, the first is over for good
        await door.send("GET", "/v1/models")
    assert caplog.messages == []
