"""`?async=true`: accepted at once, asked about until it is over, in every dialect whose paths begin with /v1."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from pictura.core.media import Media
from tests.doors.door import ADMIN, EDITS, LIVE, MODEL, PRICE, TEST, Answer, Door, Shown, png_file, until
from tests.doors.seed import Client, Task, task
from tests.process import Process
from tests.upstream import KEY, Upstream, draw, file, picture, reply, say, stall, when

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Way(msgspec.Struct, frozen=True):
    """A dialect's Host and paths; the units of its `created`, and what it says of a job that nobody knows."""

    host: str
    path: str = "/v1/images/generations"
    edits: str = "/v1/images/edits"
    per_second: int = 1
    unknown: frozenset[str] = frozenset({"error"})


WAYS = {
    "openai": Way("api.openai.com"),
    "openai where nothing names a dialect": Way("127.0.0.1"),
    "openai by prefix": Way("", "/openai/v1/images/generations", "/openai/v1/images/edits"),
    "imagerouter": Way("api.imagerouter.io", "/v1/openai/images/generations", "/v1/openai/images/edits", 1000),
    "imagerouter like the others": Way("api.imagerouter.io", per_second=1000),
    "omnirouters": Way("omnirouters.com", unknown=frozenset({"code", "message", "data"})),
    "quickrouter": Way("api.quickrouter.ai"),
    "mixroute": Way("console.mixroute.io", unknown=frozenset({"code", "msg", "data", "error"})),
    "openopen8": Way("openopen8.ai"),
    "openopen8 the short way": Way("openopen8.ai", edits="/v1/edits"),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)

FOX = {"model": MODEL, "prompt": "a fox", "size": "1024x1024", "response_format": "url", "output_format": "png"}
#: Drawn by a vendor whose tasks can be stopped.
STOPPABLE = "fal-ai/flux/dev"
TASK_KEYS = {"id", "task_id", "object", "status"}


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_left(door: Door) -> AsyncIterator[None]:
    yield
    await until(lambda: not door.left_behind() and not door.house.gateway.running)
    assert door.purse().held == 0


def client(door: Door, way: Way, key: str = LIVE) -> Client:
    return Client(door, way.host or f"127.0.0.1:{door.port}", key)


async def begin(door: Door, way: Way, fields: Mapping[str, object] = FOX, key: str = LIVE) -> Answer:
    return await client(door, way, key).ask(fields, path=f"{way.path}?async=true")


def shown(answer: Answer) -> list[Shown]:
    """The pictures of a completed job, in whichever envelope."""
    data = answer.fields["data"]
    return msgspec.convert(data["data"] if isinstance(data, dict) else data, list[Shown])


def check_created(answer: Answer, way: Way) -> None:
    inner = answer.fields.get("data")
    created = (inner if isinstance(inner, dict) else answer.fields)["created"]
    assert abs(created / way.per_second - time.time()) < 60  # type: ignore[operator]


# -- how a job goes --


@every_way
async def test_queued_in_progress_completed(way: Way, door: Door, upstream: Upstream) -> None:
    enough = asyncio.Event()
    upstream.always = when(enough)
    before = door.purse()
    created = await begin(door, way)
    id = task(created, "queued").id
    assert set(created.fields) == TASK_KEYS | {"created"}
    assert created.headers["retry-after"] == "5"
    check_created(created, way)

    await upstream.wait_for(1)
    polled = await client(door, way).get(f"{way.path}/{id}")
    task(polled, "in_progress")
    assert set(polled.fields) == TASK_KEYS | {"created"}
    assert polled.headers["retry-after"] == "5"
    check_created(polled, way)
    assert door.purse().held == PRICE

    enough.set()
    done = await client(door, way).outcome(id, path=way.path)
    task(done, "completed")
    upstream.always = draw
    waited_for = await client(door, way).ask(FOX, path=way.path)
    assert set(done.fields) == TASK_KEYS | set(waited_for.fields)
    check_created(done, way)
    assert await client(door, way).pictures(shown(done)) == [Media("image/png", 1024, 1024)]
    assert door.purse().balance == before.balance - 2 * PRICE


@pytest.mark.parametrize(("said", "kind"), [("1", "task"), ("TRUE", "task"), ("0", "data"), ("False", "data")])
async def test_the_ways_to_say_it(said: str, kind: str, door: Door) -> None:
    answer = await door.ask(FOX, path=f"/openai/v1/images/generations?async={said}")
    assert ("status" in answer.fields, "data" in answer.fields) == (kind == "task", kind == "data")


@pytest.mark.parametrize("said", ["yes", "", "2", "on"])
@every_way
async def test_what_does_not_say_whether_to_wait(way: Way, said: str, door: Door) -> None:
    before = len(door.jobs())
    answer = await client(door, way).ask(FOX, path=f"{way.path}?async={said}")
    assert (answer.status, len(door.jobs())) == (400, before)
    assert b"async must be one of true, 1, false, 0" in answer.body


@every_way
async def test_edits(way: Way, door: Door, upstream: Upstream) -> None:
    """By form; they are asked about on either path."""
    sent = [png_file("image", picture()), png_file("mask", picture(mode="RGBA"))]
    texts = {"model": MODEL, "prompt": "a hat", "n": "2", "response_format": "b64_json", "output_format": "png"}
    created = await client(door, way).edit(texts, sent, path=f"{way.edits}?async=true")
    id = task(created, "queued").id
    for path in (way.edits, way.path):
        done = await client(door, way).outcome(id, path=path)
        task(done, "completed")
        assert [bool(one.b64_json) for one in shown(done)] == [True, True]
        assert len(await client(door, way).pictures(shown(done))) == 2
    assert [name for name, _ in upstream.seen[0].files] == ["image", "mask"]


@every_way
async def test_failed(way: Way, door: Door, upstream: Upstream) -> None:
    """With the error that a waiting client would have got, `message` beside it, and the money given back."""
    upstream.always = say(400, code="moderation_blocked", message="not this fox")
    before = door.purse()
    created = await begin(door, way)
    done = await client(door, way).outcome(task(created, "queued").id, path=way.path)
    told = task(done, "failed")
    waited_for = await client(door, way).ask(FOX, path=way.path)
    assert waited_for.status == 400
    assert set(done.fields) == TASK_KEYS | set(waited_for.fields) | {"message"}
    assert "not this fox" in told.message
    assert without_ids(done, "error") == without_ids(waited_for, "error")
    assert door.purse() == before


def without_ids(answer: Answer, field: str) -> str:
    return json.dumps(answer.fields[field]).replace(answer.headers["x-request-id"], "")


async def test_short_of_what_was_asked(door: Door, upstream: Upstream) -> None:
    """What is not as asked is told with every poll."""
    upstream.always = reply(200, msgspec.json.encode({"data": [{"url": f"{upstream.address}/a.png"}]}))
    upstream.files["/a.png"] = file(picture())
    created = await begin(door, WAYS["omnirouters"], {**FOX, "n": 3, "colour": "red"})
    id = task(created, "queued").id
    for _ in range(2):
        done = await client(door, WAYS["omnirouters"]).outcome(id)
        assert len(shown(done)) == 1
        assert done.headers["x-pictura-short"].startswith("1 of 3 pictures")
        assert done.headers["x-pictura-adjusted"] == "size=1024x1024→64x64"
        assert done.headers["x-pictura-ignored"] == "colour"


@every_way
async def test_the_sandbox(way: Way, door: Door) -> None:
    small = {**FOX, "model": "test/test", "size": "64x64"}
    created = await begin(door, way, small, TEST)
    done = await client(door, way, TEST).outcome(task(created, "queued").id, path=way.path)
    assert created.headers["x-pictura-sandbox"] == done.headers["x-pictura-sandbox"] == "true"
    assert await client(door, way).pictures(shown(done)) == [Media("image/png", 64, 64)]


async def test_how_far_it_is(door: Door) -> None:
    """Where the engine says so, as ComfyUI does over its WebSocket."""
    way = WAYS["omnirouters"]
    fields = {"model": "local-comfyui", "prompt": "[fault:long 2] a fox", "size": "64x64"}
    asker = client(door, way, TEST)
    id = task(await begin(door, way, fields, TEST), "queued").id
    found: list[int] = []
    while "retry-after" in (polled := await asker.get(f"{way.path}/{id}")).headers:
        found += [msgspec.convert(polled.fields["progress"], int)] if "progress" in polled.fields else []
        await asyncio.sleep(0.05)
    task(polled, "completed")
    assert "progress" not in polled.fields
    assert found == sorted(found) and len(set(found)) > 2
    assert 0 <= found[0] < found[-1] <= 100


async def test_a_job_may_be_asked_about_in_another_dialect(door: Door) -> None:
    id = task(await begin(door, WAYS["omnirouters"]), "queued").id
    for way in WAYS.values():
        done = await client(door, way).outcome(id, path=way.path)
        assert await client(door, way).pictures(shown(done)) == [Media("image/png", 1024, 1024)]


async def test_a_waited_for_job_may_be_asked_about_too(door: Door) -> None:
    way = WAYS["quickrouter"]
    answer = await client(door, way).ask(FOX, path=way.path)
    done = await client(door, way).outcome(answer.headers["x-pictura-job"])
    assert task(done, "completed").object == "image.task"
    assert urlsplit(shown(done)[0].url).path == urlsplit(shown(answer)[0].url).path


# -- who may ask --


@every_way
async def test_a_job_that_nobody_knows(way: Way, door: Door) -> None:
    answer = await client(door, way).get(f"{way.path}/job_0123456789abcdefghjkmnpqrs")
    assert (answer.status, set(answer.fields)) == (404, set(way.unknown))
    assert "retry-after" not in answer.headers


@every_way
async def test_another_project_s_job_is_unknown(way: Way, door: Door) -> None:
    """It is told of in the same words, and nothing else tells that there is one."""
    id = task(await begin(door, way, {**FOX, "model": "test/test", "size": "64x64"}, TEST), "queued").id
    theirs = await client(door, way).get(f"{way.path}/{id}")
    nobody_s = await client(door, way).get(f"{way.path}/{'x' * len(id)}")
    assert (theirs.status, set(theirs.fields)) == (404, set(way.unknown))
    assert theirs.headers.keys() == nobody_s.headers.keys()
    told, expected = (answer.body.decode().replace(answer.headers["x-request-id"], "") for answer in (theirs, nobody_s))
    assert told.replace(id, "x" * len(id)) == expected


@every_way
async def test_without_a_key(way: Way, door: Door) -> None:
    id = task(await begin(door, way), "queued").id
    for key in ("", "sk-nobodys"):
        headers = {"Host": client(door, way).host}
        assert (await door.send("GET", f"{way.path}/{id}", key=key, headers=headers)).status == 401


# -- taking back --


@every_way
async def test_a_task_that_its_vendor_can_stop(way: Way, door: Door) -> None:
    """Simulated, so that the vendor's own wire is spoken."""
    fields = {"model": STOPPABLE, "prompt": "[fault:long 60] a fox"}
    path = f"{way.path}/{task(await begin(door, way, fields, TEST), 'queued').id}"
    answer = await take_back(door, way, path, TEST)
    assert answer.status == 202
    assert answer.fields["status"] in ("queued", "in_progress")
    assert (answer.fields["cancelling"], "error" in answer.fields) == (True, False)
    ended = await client(door, way, TEST).outcome(answer.headers["x-pictura-job"], path=way.path)
    for answer in (ended, await take_back(door, way, path, TEST)):
        assert (answer.status, answer.fields["status"]) == (200, "failed")
        assert "this request was cancelled" in str(answer.fields["message"])


@every_way
async def test_a_task_that_its_vendor_cannot_stop(way: Way, door: Door, upstream: Upstream) -> None:
    enough, before = asyncio.Event(), door.purse().balance
    upstream.always = when(enough)
    id = task(await begin(door, way), "queued").id
    await upstream.wait_for(1)
    answer = await take_back(door, way, f"{way.path}/{id}")
    assert answer.status == 409
    assert (answer.fields["id"], answer.fields["status"]) == (id, "in_progress")
    assert "cannot be stopped" in str(answer.fields["message"]) and "error" in answer.fields
    enough.set()
    done = await client(door, way).outcome(id, path=way.path)
    assert (await take_back(door, way, f"{way.path}/{id}")).fields.keys() == done.fields.keys()
    assert door.purse().balance == before - PRICE


async def take_back(door: Door, way: Way, path: str, key: str = LIVE) -> Answer:
    return await door.send("DELETE", path, key=key, headers={"Host": client(door, way).host})


# -- what is refused at once --


@every_way
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"stream": True}, "stream and async=true exclude each other"),
        ({"response_format": "b64_ephemeral"}, "b64_ephemeral keeps nothing that could be fetched later"),
        ({"n": 11}, "n must be an integer from 1 to 10"),
    ],
    ids=["stream", "ephemeral", "wrong"],
)
async def test_what_cannot_be_done_later(
    way: Way, more: dict[str, object], words: str, door: Door, upstream: Upstream
) -> None:
    if "stream" in more and "imagerouter" in way.host:
        pytest.skip("ImageRouter passes stream over")
    before = len(door.jobs())
    answer = await begin(door, way, {**FOX, **more})
    assert answer.status == 400
    assert words in answer.body.decode()
    assert (len(door.jobs()), upstream.seen) == (before, [])
    assert "x-pictura-job" not in answer.headers


async def test_what_came_with_it_is_forgotten(door: Door) -> None:
    large = picture() + bytes(100_000)  # too much for a spool's memory: it would stay on the disk
    texts = {"model": MODEL, "prompt": "a hat", "stream": "true"}
    answer = await door.ask_form(texts, [png_file("image", large)], path=f"{EDITS['openai']}?async=true")
    assert (answer.status, answer.error.param) == (400, "stream")


async def test_what_cannot_be_paid(door: Door, upstream: Upstream) -> None:
    await door.new_key("sk-pic-capped-0123456789", cap=PRICE - 1)
    answer = await begin(door, WAYS["omnirouters"], key="sk-pic-capped-0123456789")
    assert (answer.status, upstream.seen) == (403, [])


@pytest.mark.parametrize(
    ("query", "later"),
    [("async=TRUE", True), ("async=True", True), ("async=false", False), ("async=", False), ("", False)],
)
async def test_how_it_is_asked_for(query: str, later: bool, door: Door) -> None:
    way = WAYS["omnirouters"]
    answer = await client(door, way).ask(FOX, path=f"{way.path}?{query}")
    assert ("task_id" in answer.fields) == later
    if later:
        await client(door, way).outcome(task(answer, "queued").id)


async def test_tasks_count_among_what_a_key_may_run_at_once(door: Door, upstream: Upstream) -> None:
    """Until they end, not until they are accepted."""
    key = "sk-pic-two-at-once-0123456789"
    await door.new_key(key, concurrency=2)
    enough = asyncio.Event()
    upstream.always = when(enough)
    way = WAYS["openai"]
    answers = [await begin(door, way, key=key) for _ in range(6)]
    assert [answer.status for answer in answers[2:]] == [429] * 4
    enough.set()
    upstream.always = draw
    for answer in answers[:2]:
        done = await client(door, way, key).outcome(task(answer, "queued").id, path=way.path)
        task(done, "completed")
    await until(lambda: not door.house.gateway.running)
    task(await begin(door, way, key=key), "queued")


async def test_it_is_no_field_of_the_body(door: Door) -> None:
    """OmniRouters' page says so."""
    answer = await client(door, WAYS["omnirouters"]).ask({**FOX, "async": True})
    assert set(answer.fields) == {"created", "data"}
    assert answer.headers["x-pictura-ignored"] == "async"


async def test_pages_of_other_sites_may_ask_about_a_job_and_take_it_back(door: Door) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "DELETE"}
    allowed = await door.send("OPTIONS", f"{WAYS['openai'].path}/job_0", headers=asked)
    assert {"GET", "POST", "DELETE"} <= set(allowed.headers["access-control-allow-methods"].split(", "))


# -- whoever restarts the house --

#: Black Forest Labs work by tasks: one is begun, asked about, and says where its picture is.
SLOW = "flux-kontext-pro"
TASK = "/v1/get_result?id=task-1"
BEGUN = reply(200, b'{"id": "task-1"}')
AT_WORK = file(b'{"id": "task-1", "status": "Pending"}', "application/json")


@pytest.fixture
def gateway(tmp_path: Path, upstream: Upstream) -> Process:
    gateway = Process(tmp_path, upstream)
    channel = {"name": "slow", "provider": "bfl", "api_key": KEY, "base_url": upstream.address}
    with (tmp_path / "pictura.toml").open("a") as settings:
        settings.write("[[channel]]\nallow_private_network = true\n")
        settings.writelines(f"{name} = {json.dumps(value)}\n" for name, value in channel.items())
    return gateway


class Told(Task):
    """What OmniRouters tells: of the pictures too."""

    data: tuple[Shown, ...] = ()


class Caller:
    """Asks a gateway that is killed and started again, with the admin's key where nothing else is said."""

    def __init__(self, gateway: Process, http: aiohttp.ClientSession) -> None:
        self._gateway = gateway
        self._http = http

    async def begin(self, model: str, key: str = ADMIN) -> str:
        url = f"{self._gateway.url}/omnirouters/v1/images/generations?async=true"
        fields = {"model": model, "prompt": "a fox", "output_format": "png"}
        async with self._http.post(url, json=fields, headers={"Authorization": f"Bearer {key}"}) as answer:
            return msgspec.json.decode(await answer.read(), type=Task).id

    async def told(self, id: str, key: str = ADMIN) -> Told:
        url = f"{self._gateway.url}/omnirouters/v1/images/generations/{id}"
        async with self._http.get(url, headers={"Authorization": f"Bearer {key}"}) as answer:
            assert answer.status == 200
            return msgspec.json.decode(await answer.read(), type=Told)

    async def outcome(self, id: str, key: str = ADMIN) -> Told:
        async with asyncio.timeout(10):
            while True:
                told = await self.told(id, key)
                if told.status in ("completed", "failed"):
                    return told
                await asyncio.sleep(0.02)

    async def picture(self, url: str) -> bytes:
        async with self._http.get(url) as answer:
            assert answer.status == 200
            return await answer.read()


async def test_jobs_survive_the_end_of_the_house(gateway: Process, upstream: Upstream) -> None:
    """kill -9: what was drawn is there, a task is asked about again, and what nobody can ask about has failed."""
    async with aiohttp.ClientSession() as http:
        caller = Caller(gateway, http)
        await gateway.start()
        try:
            drawn = await caller.begin("test/test", TEST)
            assert (await caller.outcome(drawn, TEST)).status == "completed"
            upstream.queue.extend([BEGUN, stall])
            upstream.files[TASK] = AT_WORK
            begun = await caller.begin(SLOW)
            await until(lambda: TASK in upstream.fetched)
            lost = await caller.begin(MODEL)
            await upstream.wait_for(2)
            assert (await caller.told(begun)).status == "in_progress"

            await gateway.kill()
            upstream.fetched.clear()
            await gateway.start()

            (fox,) = (await caller.outcome(drawn, TEST)).data
            assert len(await caller.picture(fox.url)) > 1000
            failed = await caller.outcome(lost)
            assert (failed.status, failed.data) == ("failed", ())
            assert failed.message
            await until(lambda: TASK in upstream.fetched)
            assert (await caller.told(begun)).status == "in_progress"

            upstream.files["/drawn.png"] = file(picture(48, 32))
            done = {"id": "task-1", "status": "Ready", "result": {"sample": f"{upstream.address}/drawn.png"}}
            upstream.files[TASK] = file(msgspec.json.encode(done), "application/json")
            (fox,) = (await caller.outcome(begun)).data
            assert await caller.picture(fox.url) == picture(48, 32)
            assert len(upstream.seen) == 2  # nothing was asked for twice
        finally:
            await gateway.kill()
