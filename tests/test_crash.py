"""kill -9 at every hop: after a restart no hold dangles, no job is lost, no request was sent twice.

Nothing in the gateway helps with this: it is killed when the provider, which the test scripts, is at a known point, or
at any moment under load.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import aiohttp
import msgspec
import pytest

from tests.doors.door import ADMIN, MODEL, connected, form, head, look, png_file, until
from tests.process import Process
from tests.upstream import (
    Behaviour,
    Exchange,
    Upstream,
    draw,
    half_an_answer,
    noise,
    page,
    picture,
    running,
    stall,
    stall_before_reading,
)

STUDIO = "studio"
STUDIO_KEY = "sk-pic-studio-0123456789"
PRICE = 40_000
TERMINAL = {"succeeded", "failed", "cancelled", "expired"}


class Client:
    """Asks for pictures of foxes, each of another, and does not mind when the gateway dies."""

    def __init__(self, gateway: Process, http: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self._http = http
        self._asked = 0

    async def settle_in(self) -> None:
        """A prepaid project with a key that has a cap: every kind of hold there is."""
        await self.order("projects", {"id": STUDIO, "name": "Studio", "prepaid": True})
        await self.order("balance", {"project": STUDIO, "amount": "1000"})
        await self.order("keys", {"project": STUDIO, "name": "Studio", "text": STUDIO_KEY, "cap": "900"})

    async def order(self, path: str, fields: object) -> None:
        headers = {"Authorization": f"Bearer {ADMIN}"}
        async with self._http.post(f"{self.gateway.url}/api/{path}", json=fields, headers=headers) as answer:
            assert answer.status < 300, await answer.text()

    async def ask(self, *, edit: bool = False, n: int = 1) -> int:
        """The status, 0 where there was no answer. Every other request is the prepaid project's."""
        self._asked += 1
        texts = {"model": MODEL, "prompt": f"fox number {self._asked}", "n": str(n)}
        kind, body = form(texts, [png_file("image[]", noise()), png_file("image[]", picture())] if edit else [])
        key = STUDIO_KEY if self._asked % 2 else ADMIN
        path = "/v1/images/edits" if edit else "/imagerouter/v1/openai/images/edits"
        headers = {"Authorization": f"Bearer {key}", "Content-Type": kind}
        try:
            async with self._http.post(self.gateway.url + path, data=body, headers=headers) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, OSError):
            return 0


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running(Upstream()) as upstream:
        yield upstream


@pytest.fixture
async def client(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Client]:
    gateway = Process(tmp_path, upstream)
    async with aiohttp.ClientSession() as http:
        client = Client(gateway, http)
        await gateway.start()
        try:
            await client.settle_in()
            yield client
        finally:
            await gateway.kill()


async def restart(gateway: Process) -> None:
    """kill -9, start, and wait until it has made sense of what it found."""
    await gateway.kill()
    await gateway.start()
    await until(lambda: all(state in TERMINAL for (state,) in gateway.rows("SELECT state FROM jobs")))


def check(gateway: Process, upstream: Upstream) -> None:
    """Everything that must hold, whenever the gateway was killed."""
    assert gateway.rows("SELECT id FROM projects WHERE held <> 0") == []
    assert gateway.rows("SELECT id FROM keys WHERE cap_held <> 0") == []
    check_ledger(gateway)
    check_pictures(gateway)
    sent = Counter(seen.prompt for seen in upstream.seen if seen.body)
    assert [prompt for prompt, count in sent.items() if count > 1] == []
    # Every request that was sent belongs to a job, and there are no attempts but those.
    attempts = gateway.rows("SELECT job_id FROM attempts")
    assert max(Counter(attempts).values(), default=0) <= 1
    assert len(upstream.seen) <= len(attempts)
    assert b"Traceback" not in gateway.told


def check_ledger(gateway: Process) -> None:
    sums = gateway.rows(
        "SELECT p.id FROM projects p WHERE p.balance <> "
        "(SELECT coalesce(sum(amount), 0) FROM ledger l WHERE l.project_id = p.id)"
    )
    assert sums == []
    charged = dict(gateway.rows("SELECT job_id, count(*) FROM ledger WHERE kind = 'charge' GROUP BY job_id"))
    succeeded = [job for (job,) in gateway.rows("SELECT id FROM jobs WHERE state = 'succeeded'")]
    assert charged == dict.fromkeys(succeeded, 1)
    assert set(gateway.rows("SELECT DISTINCT kind FROM ledger")) <= {("deposit",), ("charge",)}
    spent = gateway.rows("SELECT coalesce(-sum(amount), 0) FROM ledger WHERE kind = 'charge'")[0][0]
    pictures = gateway.rows("SELECT count(*) FROM assets")[0][0]
    assert spent == PRICE * pictures


def check_pictures(gateway: Process) -> None:
    """A picture of every job that succeeded, whole; none of any other. Inputs that were left the sweeper finds."""
    root = gateway.data / "blobs"
    kept = {key for (key,) in gateway.rows("SELECT key FROM assets")}
    assert {str(path.relative_to(root)) for path in gateway.files("out")} == kept
    for path in gateway.files("out"):
        look(path.read_bytes())
    with_pictures = {job for (job,) in gateway.rows("SELECT DISTINCT job_id FROM assets")}
    assert with_pictures == {job for (job,) in gateway.rows("SELECT id FROM jobs WHERE state = 'succeeded'")}
    assert gateway.files("tmp") == []


async def killed_while(
    client: Client, upstream: Upstream, behaviour: Behaviour, reached: Callable[[], Awaitable[object]]
) -> list[str]:
    """Three requests, an edit among them, killed at a known point. Gives what became of the three jobs."""
    upstream.always = behaviour
    asked = [asyncio.create_task(client.ask(edit=edit, n=2)) for edit in (False, True, False)]
    await reached()
    await restart(client.gateway)
    assert await asyncio.gather(*asked) == [0, 0, 0]
    check(client.gateway, upstream)
    await until(lambda: client.gateway.files("in") == [])
    return [state for (state,) in client.gateway.rows("SELECT state FROM jobs ORDER BY id DESC LIMIT 3")]


async def test_killed_before_the_provider_reads(client: Client, upstream: Upstream) -> None:
    """What was on its way may have arrived: it is not sent again, and the hold is given back."""
    states = await killed_while(client, upstream, stall_before_reading, lambda: upstream.wait_for(3))
    assert states == ["failed"] * 3
    (kind,) = {msgspec.json.decode(error)["kind"] for (error,) in client.gateway.rows("SELECT error FROM jobs")}
    assert kind == "Lost"
    # And so it goes on.
    upstream.always = draw
    assert await client.ask() == 200


async def test_killed_while_the_provider_draws(client: Client, upstream: Upstream) -> None:
    states = await killed_while(client, upstream, stall, lambda: upstream.wait_for(3))
    assert states == ["failed"] * 3
    assert client.gateway.rows("SELECT count(*) FROM ledger WHERE kind = 'charge'") == [(0,)]


async def test_killed_in_the_middle_of_the_answer(client: Client, upstream: Upstream) -> None:
    sent: list[Exchange] = []

    async def half(exchange: Exchange) -> None:
        await half_an_answer(exchange)
        sent.append(exchange)
        await asyncio.Event().wait()

    states = await killed_while(client, upstream, half, lambda: until(lambda: len(sent) == 3))
    assert states == ["failed"] * 3


@pytest.mark.parametrize("later_s", [0.0, 0.005, 0.01, 0.02, 0.04])
async def test_killed_right_after_the_answer(later_s: float, client: Client, upstream: Upstream) -> None:
    """While the picture is checked, converted, stored, settled and sent: whatever was stored is delivered and paid."""
    sent: list[Exchange] = []

    async def whole(exchange: Exchange) -> None:
        await draw(exchange)
        sent.append(exchange)

    async def reached() -> None:
        await until(lambda: len(sent) == 3)
        await asyncio.sleep(later_s)

    upstream.always = whole
    asked = [asyncio.create_task(client.ask(edit=edit, n=2)) for edit in (False, True, False)]
    await reached()
    await restart(client.gateway)
    answered = await asyncio.gather(*asked)
    check(client.gateway, upstream)
    states = [state for (state,) in client.gateway.rows("SELECT state FROM jobs")]
    assert states.count("succeeded") >= answered.count(200)


async def test_killed_while_the_client_still_sends(client: Client, upstream: Upstream) -> None:
    kind, body = form({"model": MODEL, "prompt": "a hat"}, [png_file("image", noise())])
    async with connected(client.gateway.port) as (reader, writer):
        told = head("POST", "/v1/images/edits", key=STUDIO_KEY, Content_Type=kind, Content_Length=len(body))
        writer.write(told + body[:-1000])
        await until(lambda: client.gateway.files("tmp"))
        await restart(client.gateway)
        assert await reader.read() == b""
    check(client.gateway, upstream)
    assert client.gateway.rows("SELECT count(*) FROM jobs") == [(0,)]
    assert not upstream.seen


async def test_killed_at_any_moment_under_load(client: Client, upstream: Upstream) -> None:
    """Fifty requests at once, of which some fail; again and again."""
    chance = random.Random(7)
    answered: list[Exchange] = []

    async def at_random(exchange: Exchange) -> None:
        await exchange.read()
        await asyncio.sleep(chance.uniform(0, 0.05))
        await (page(502) if chance.random() < 0.1 else draw)(exchange)
        answered.append(exchange)

    upstream.always = at_random
    for _ in range(5):
        answered.clear()
        asked = [asyncio.create_task(client.ask(edit=number % 10 == 0)) for number in range(50)]
        count = chance.randrange(45)
        await until(partial(_has, answered, count))
        await asyncio.sleep(chance.uniform(0, 0.05))
        await restart(client.gateway)
        await asyncio.gather(*asked)
        check(client.gateway, upstream)
    states = Counter(state for (state,) in client.gateway.rows("SELECT state FROM jobs"))
    assert states["succeeded"] and states["failed"]
    assert await client.gateway.stop() == 0


def _has(found: list[Exchange], count: int) -> bool:
    return len(found) >= count
