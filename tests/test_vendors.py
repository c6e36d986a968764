"""Every provider there is, from a client's request to its picture: the whole gateway, a test key, the sandbox.

What a provider's own tests show on its wire is shown here of the house around it: refusals and troubles become the
right error, tasks are polled, followed over a kill -9 and taken back, what came of a fan-out is delivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from pictura.core.model import ModelCard
from pictura.core.size import bounds
from pictura.providers.base import CancellingProvider, TaskProvider
from tests.doors.door import TEST, Answer, Door, look, open_door, until
from tests.process import Process
from tests.upstream import Upstream, running
from tests.vendors import CARDS, FOUND, NATIVE, VENDORS, asking, editing

pytestmark = pytest.mark.asyncio(loop_scope="module")

TASKS = {name: card for name, card in NATIVE.items() if issubclass(FOUND[name], TaskProvider)}
#: VOD takes back only what waits.
CANCELLING = {
    name: card for name, card in TASKS.items() if issubclass(FOUND[name], CancellingProvider) and name != "tencent-vod"
}

natives = pytest.mark.parametrize("name", NATIVE)

#: What the prompt asks of the sandbox, and what a client of OpenAI's dialect is told: a refusal is the caller's, a
#: wrong key or an empty account the operator's, and what may have been billed is never tried again.
TROUBLES: Mapping[str, tuple[int, str]] = {
    "[fault:401]": (502, "upstream_rejected"),
    "[fault:429]": (429, "rate_limit_exceeded"),
    "[refuse]": (400, "moderation_blocked"),
}


class Failure(msgspec.Struct):
    message: str
    code: str | None


class Failed(msgspec.Struct):
    error: Failure


class Task(msgspec.Struct):
    id: str
    status: str
    data: list[dict[str, object]] = []
    error: Failure | None = None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    async with running(Upstream()) as upstream, open_door(tmp_path_factory.mktemp("house"), upstream) as door:
        yield door


async def ask(door: Door, fields: Mapping[str, object], query: str = "") -> Answer:
    return await door.ask(dict(fields), path="/openai/v1/images/generations" + query, key=TEST)


def told(answer: Answer) -> tuple[int, str | None]:
    return answer.status, msgspec.json.decode(answer.body, type=Failed).error.code


async def poll(door: Door, id: str) -> Task:
    async with asyncio.timeout(20):
        while True:
            answer = await door.send("GET", f"/openai/v1/images/generations/{id}", key=TEST)
            task = msgspec.json.decode(answer.body, type=Task)
            if task.status in ("completed", "failed"):
                return task
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("id", CARDS)
async def test_every_model_draws(door: Door, id: str) -> None:
    answer = await ask(door, asking(CARDS[id]))
    assert answer.status == 200, answer.body
    found = look(answer.picture)
    assert found.pixels > 0
    assert answer.headers["x-pictura-sandbox"] == "true"
    assert door.job(answer).result is not None


@pytest.mark.parametrize("id", [id for id, card in CARDS.items() if bounds(card.inputs)])
async def test_a_vendor_takes_the_least_and_the_longest_picture_of_its_card(door: Door, id: str) -> None:
    window = CARDS[id].inputs
    least = window.min_edge or 64
    longest = int(least * (window.max_ratio or 2))
    for width, height in ((least, least), (least, longest)):
        answer = await ask(door, editing(CARDS[id], width, height))
        assert answer.status == 200, (width, height, answer.body)
    if window.max_ratio:
        answer = await ask(door, editing(CARDS[id], least, longest + 1))
        assert (answer.status, answer.error.param) == (400, "image")
        assert f"{least}x{longest + 1} pixels; {id} takes" in answer.error.message


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize("trouble", TROUBLES)
async def test_trouble_is_told_for_what_it_is(door: Door, name: str, trouble: str) -> None:
    answer = await ask(door, asking(NATIVE[name], f"{trouble} a fox"))
    assert told(answer) == TROUBLES[trouble]
    assert door.left_behind() == []


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize("trouble", ["[fault:502page]", "[fault:reset]"])
async def test_what_is_lost_may_be_billed(door: Door, name: str, trouble: str) -> None:
    """Nobody sends it again, neither the house nor the client's SDK, unless its vendor knows a repeat for one."""
    answer = await ask(door, asking(NATIVE[name], f"{trouble} a fox"))
    if FOUND[name].dedupes and answer.status == 200:
        assert len(answer.drawn.data) == 1
        return
    assert told(answer) == (504, "upstream_lost")
    assert answer.headers["x-should-retry"] == "false"
    assert door.left_behind() == []


@natives
@pytest.mark.parametrize("trouble", ["[fault:500]", "[fault:garbage]", "[fault:empty]", "[fault:truncated]"])
async def test_what_came_to_nothing_is_an_error_of_the_upstream(door: Door, name: str, trouble: str) -> None:
    answer = await ask(door, asking(NATIVE[name], f"{trouble} a fox"))
    assert answer.status in (502, 504)
    assert door.left_behind() == []


@pytest.mark.parametrize("name", [name for name in TASKS if name != "stability"])
async def test_a_task_that_fails(door: Door, name: str) -> None:
    """Stability's answer to a task that failed is like that to a poll that failed: it is asked until time is up."""
    assert await end(door, asking(TASKS[name], "[fault:failed] a fox")) == "upstream_failed"


@pytest.mark.parametrize("name", [name for name in TASKS if name in VENDORS])
async def test_a_task_that_is_refused(door: Door, name: str) -> None:
    """Kling tells a late refusal in words alone, from which nothing is read."""
    expected = "upstream_failed" if name == "kling" else "moderation_blocked"
    assert await end(door, asking(TASKS[name], "[refuse late] a fox")) == expected


async def end(door: Door, fields: Mapping[str, object]) -> str | None:
    """The code with which a task fails."""
    answer = await ask(door, fields, "?async=true")
    task = await poll(door, msgspec.json.decode(answer.body, type=Task).id)
    assert task.status == "failed"
    assert task.error is not None
    return task.error.code


@pytest.mark.parametrize("name", CANCELLING)
async def test_a_task_is_taken_back(door: Door, name: str) -> None:
    answer = await ask(door, asking(CANCELLING[name], "[fault:long 60] a fox"), "?async=true")
    id = msgspec.json.decode(answer.body, type=Task).id
    async with asyncio.timeout(10):
        while True:
            # Again and again: some take back only what is at work.
            told = await door.send("DELETE", f"/openai/v1/images/generations/{id}", key=TEST)
            if told.status == 200:
                break
            assert told.status == 202
            await asyncio.sleep(0.1)
    task = msgspec.json.decode(told.body, type=Task)
    assert task.error is not None
    assert (task.status, task.error.code) == ("failed", "cancelled")
    assert door.job(answer).state == "cancelled"


@natives
async def test_what_came_of_a_fan_out_is_delivered(door: Door, name: str) -> None:
    """Two calls of which one fails: one picture, and the reason why there is no second."""
    card = NATIVE[name]
    if card.max_n > 1 or not card.fan_out:
        pytest.skip(f"{card.id} is not asked twice for two pictures")
    answer = await ask(door, asking(card, f"[once:500] a fox for {name}", n=2))
    assert answer.status == 200, answer.body
    assert len(answer.drawn.data) == 1
    assert "1 of 2" in answer.headers["x-pictura-short"]


async def test_tasks_outlive_a_kill(tmp_path: Path) -> None:
    """Every vendor's task is under way when the gateway is killed; started anew, it fetches what was paid."""
    async with running(Upstream()) as upstream, aiohttp.ClientSession() as http:
        gateway = Process(tmp_path, upstream)
        await gateway.start()
        try:
            ids = {name: await begin(http, gateway, card) for name, card in TASKS.items()}
            await every_task_known(gateway, len(ids))
            await gateway.kill()
            await gateway.start()
            ends = {name: (await finished(http, gateway, id)).status for name, id in ids.items()}
        finally:
            await gateway.kill()
        assert ends == dict.fromkeys(ids, "completed")
        assert gateway.rows("SELECT count(*) FROM attempts") == [(len(ids),)]


async def begin(http: aiohttp.ClientSession, gateway: Process, card: ModelCard) -> str:
    url = f"{gateway.url}/openai/v1/images/generations?async=true"
    fields = asking(card, "[fault:long 4] a fox")
    async with http.post(url, json=fields, headers={"Authorization": f"Bearer {TEST}"}) as answer:
        assert answer.status == 200, await answer.text()
        return msgspec.json.decode(await answer.read(), type=Task).id


async def every_task_known(gateway: Process, count: int) -> None:
    known = "SELECT count(*) FROM attempts WHERE coalesce(pending, '') != ''"
    await until(lambda: gateway.rows(known) == [(count,)], 10)


async def finished(http: aiohttp.ClientSession, gateway: Process, id: str) -> Task:
    async with asyncio.timeout(30):
        while True:
            url = f"{gateway.url}/openai/v1/images/generations/{id}"
            async with http.get(url, headers={"Authorization": f"Bearer {TEST}"}) as answer:
                task = msgspec.json.decode(await answer.read(), type=Task)
            if task.status in ("completed", "failed"):
                return task
            await asyncio.sleep(0.1)
