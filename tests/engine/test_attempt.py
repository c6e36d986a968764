"""One call to one channel: its slot, its health, its task, its previews."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pictura.core.errors import Failed, HouseError, Lost, NotSent, PicturaError, Refused, Rejected, Throttled
from pictura.core.request import OCCASION_HEADER
from pictura.engine.attempt import Caller, TimedOut
from pictura.engine.health import Health
from pictura.engine.plan import Candidate
from pictura.engine.run import client_id
from pictura.infra.http import Client
from pictura.infra.spool import Spool
from pictura.providers.base import Ask, Channel, Done, Pending, Preview, Provider, Raw, StreamingProvider
from pictura.store.channels import ChannelRecord
from tests.conftest import CARD, Drawn, Scripted, gate
from tests.engine.conftest import channel, settled

TASK = Pending(upstream_id="task-1", poll_after_s=0)
ASK = Ask(card=CARD, native="fox-1", client_id="try_1")


class Rig:
    """A caller with nothing around it; it notes in which order things happened."""

    def __init__(self, client: Client, folder: Path, timeout_s: float = 5) -> None:
        self.folder = folder
        self.health = Health(lambda *_: None)
        self.caller = Caller(client, self.health, timeout_s)
        self.events: list[str] = []
        self.previews: list[Preview] = []
        self.polled: list[Pending] = []
        self.spools: list[Spool] = []

    def spool(self) -> Spool:
        self.spools.append(Spool(self.folder))
        return self.spools[-1]

    async def call(self, provider: Provider, record: ChannelRecord | None = None, **said: Any) -> Done:
        if isinstance(provider, Scripted):
            provider.open_spool = self.spool
        candidate = Candidate(record or channel(), provider, "fox-1", None)

        async def save(task: Pending) -> None:
            self.events.append(f"saved {task.upstream_id}")

        ask = msgspec.structs.replace(ASK, **said)
        return await self.caller.call(
            candidate, ask, lambda: self.events.append("sent"), self.previews.append, save, self.polled.append
        )


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    client = Client(open_spool=lambda: Spool(tmp_path), transfers=asyncio.Semaphore(1))
    yield client
    await client.close()


@pytest.fixture
async def rig(client: Client, tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(client, tmp_path)
    yield rig
    for spool in rig.spools:
        spool.close()


async def test_an_answer_at_once(rig: Rig) -> None:
    done = await rig.call(Scripted())
    assert len(done.pictures) == 1
    assert rig.events == ["sent"]


async def test_a_task_is_saved_before_the_first_check(rig: Rig) -> None:
    provider = Scripted(TASK)

    async def check(_: object) -> Drawn:
        rig.events.append("checked")
        return Drawn()

    provider.script.append(check)
    await rig.call(provider)
    assert rig.events == ["sent", "saved task-1", "checked"]


async def test_a_provider_sees_its_channel(rig: Rig) -> None:
    options = {"sub_app_id": 7}
    record = channel(
        "azure", base_url="https://x.example", secrets={"api_key": "k"}, region="EU", timeout_s=7, options=options
    )
    via = rig.caller.channel(record)
    assert via.options == options
    assert (via.name, via.base_url, via.region, via.secrets) == ("azure", "https://x.example", "EU", {"api_key": "k"})
    assert (via.timeouts.read_s, via.timeouts.total_s) == (7, 307)
    assert not via.allow_private
    assert rig.caller.channel(channel(origin="sandbox")).allow_private


async def test_the_sandbox_is_told_of_every_equal_call_but_the_first(rig: Rig) -> None:
    told: list[str | None] = []

    class Listening(Scripted):
        async def start(self, ask: Ask, via: Channel) -> Done | Pending:
            told.append(via.headers.get(OCCASION_HEADER))
            return await super().start(ask, via)

    for record in (channel(origin="sandbox"), channel()):
        for number in (0, 1):
            await rig.call(Listening(), record, client_id=client_id("job_7", number))
    assert told == [None, "1", None, None]


# -- slots --


async def test_a_channel_is_asked_so_much_at_once(rig: Rig) -> None:
    record = channel(max_concurrency=2)
    gates = [gate() for _ in range(3)]
    provider = Scripted(*(step for _, _, step in gates))
    calls = [asyncio.create_task(rig.call(provider, record)) for _ in range(3)]
    await gates[1][0].wait()
    await asyncio.sleep(0.01)
    assert len(provider.calls) == 2
    assert rig.events == ["sent", "sent"]  # the third is not sent while it waits
    gates[0][1].set()
    await gates[2][0].wait()
    for _, opened, _ in gates[1:]:
        opened.set()
    await asyncio.gather(*calls)


@pytest.mark.parametrize("end", [Lost("x"), KeyError("x"), None])
async def test_a_slot_is_given_back_however_a_call_ends(rig: Rig, end: Exception | None) -> None:
    record = channel(max_concurrency=1)
    for _ in range(3):
        reached, opened, step = gate(end)
        call = asyncio.create_task(rig.call(Scripted(step), record))
        await reached.wait()
        opened.set()
        await asyncio.gather(call, return_exceptions=True)
    reached, _, step = gate()
    call = asyncio.create_task(rig.call(Scripted(step), record))
    await reached.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await rig.call(Scripted(), record)


async def test_other_channels_have_slots_of_their_own(rig: Rig) -> None:
    reached, opened, step = gate()
    call = asyncio.create_task(rig.call(Scripted(step), channel("one", max_concurrency=1)))
    await reached.wait()
    async with asyncio.timeout(5):
        await rig.call(Scripted(), channel("two", max_concurrency=1))
        await rig.call(Scripted(), channel("one", max_concurrency=2))  # the operator changed it
    opened.set()
    await call


# -- health --


@pytest.mark.parametrize("error", [Throttled("slow", retry_after_s=60), Rejected("no", retry_after_s=60)])
async def test_what_went_wrong_is_told_to_health(rig: Rig, error: PicturaError) -> None:
    with pytest.raises(type(error)):
        await rig.call(Scripted(error))
    assert rig.health.rests_s("main", "fox") > 50


async def test_a_success_is_told_to_health(rig: Rig) -> None:
    for _ in range(4):
        with pytest.raises(Lost):
            await rig.call(Scripted(Lost("x")))
    await rig.call(Scripted())
    with pytest.raises(Lost):
        await rig.call(Scripted(Lost("x")))
    assert rig.health.rests_s("main", "fox") == 0


async def test_a_cancelled_call_leaves_no_trial_behind(rig: Rig) -> None:
    with pytest.raises(Throttled):
        await rig.call(Scripted(Throttled("slow", retry_after_s=0)))
    reached, _, step = gate()
    call = asyncio.create_task(rig.call(Scripted(step)))
    await reached.wait()
    assert rig.health.rests_s("main", "fox") > 0
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert rig.health.rests_s("main", "fox") == 0


# -- what a provider may do --


@pytest.mark.parametrize("bug", [KeyError("x"), TypeError("x"), RecursionError("x")])
async def test_a_provider_that_stumbles_may_have_billed(rig: Rig, bug: Exception) -> None:
    with pytest.raises(Lost, match="scripted answered in a way this version does not understand") as caught:
        await rig.call(Scripted(bug))
    assert caught.value.__cause__ is bug
    with pytest.raises(Lost, match="does not understand"):
        await rig.call(Scripted(TASK, bug))


class Forgetful(Provider):
    """Gives a task id, and cannot be asked about it."""

    name = "forgetful"

    async def start(self, ask: Ask, via: Channel) -> Done | Pending:
        return TASK


async def test_a_task_nobody_can_ask_about(rig: Rig) -> None:
    with pytest.raises(HouseError, match="no way to ask about it"):
        await rig.call(Forgetful())


# -- polling --


@pytest.mark.parametrize(
    ("error", "polled_every_s", "rest_s"),
    [
        *((error, 0, 2) for error in (NotSent("x"), Lost("x"), Rejected("x"))),
        (Throttled("x", retry_after_s=3), 0, 3),
        (Throttled("x", retry_after_s=3), 10, 10),
        (Throttled("come back tomorrow", retry_after_s=86_400), 0, 60),  # by then its picture is gone
        (Failed("the vendor could not say how the task stands", upstream_status=500), 0, 2),
    ],
)
async def test_a_poll_that_does_not_get_through_is_repeated(
    client: Client,
    tmp_path: Path,
    error: PicturaError,
    polled_every_s: float,
    rest_s: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig(client, tmp_path, timeout_s=1e9)
    slept: list[float] = []
    sleep = asyncio.sleep

    async def fast(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", fast)
    await rig.call(Scripted(msgspec.structs.replace(TASK, poll_after_s=polled_every_s), error, Drawn()))
    assert slept == [polled_every_s, rest_s]
    for spool in rig.spools:
        spool.close()


@pytest.mark.parametrize("error", [Failed("x"), Refused("x"), Failed("x", unbilled=True)])
async def test_a_poll_that_tells_of_the_end_is_not(rig: Rig, error: PicturaError) -> None:
    provider = Scripted(TASK, error)
    with pytest.raises(type(error)) as caught:
        await rig.call(provider)
    assert caught.value is error
    assert len(provider.checks) == 1


async def test_an_account_that_is_refused_while_a_task_runs_was_possibly_billed(rig: Rig) -> None:
    withdrawn = Rejected("the key was withdrawn", upstream_status=401, config=True)
    for _ in range(3):
        with pytest.raises(Lost, match="withdrawn") as caught:
            await rig.call(Scripted(TASK, withdrawn))
        assert not caught.value.safe_elsewhere
    assert rig.health.rests_s("main", "fox") > 50  # and the operator's affair


@pytest.mark.parametrize("poll_after_s", [0, 3600])
async def test_a_task_has_its_time(client: Client, tmp_path: Path, poll_after_s: float) -> None:
    rig = Rig(client, tmp_path, timeout_s=0.05)
    provider = Scripted()

    async def still_running(_: object) -> Pending:
        provider.script.append(still_running)
        await asyncio.sleep(0.005)
        return msgspec.structs.replace(TASK, poll_after_s=poll_after_s, state={"seen": "last"})

    provider.script.append(still_running)
    with pytest.raises(TimedOut, match="did not finish"):
        await asyncio.wait_for(rig.call(provider), 3)
    assert provider.checks
    assert [task.state for task in provider.cancelled] == [{"seen": "last"}]


class Unwilling(Scripted):
    async def cancel(self, task: Pending, via: Channel) -> None:
        raise KeyError("cannot be stopped")


async def test_a_task_that_cannot_be_stopped_has_its_time_all_the_same(client: Client, tmp_path: Path) -> None:
    rig = Rig(client, tmp_path, timeout_s=0)
    with pytest.raises(TimedOut):
        await rig.call(Unwilling(TASK))


# -- previews --


class Streaming(StreamingProvider):
    """Shows what it has, then ends: with a picture, or without."""

    name = "streaming"

    def __init__(self, open_spool: Callable[[], Spool], previews: int, *, ends: bool) -> None:
        self._open_spool = open_spool
        self._previews = previews
        self._ends = ends
        self.started = 0

    async def start(self, ask: Ask, via: Channel) -> Done:
        self.started += 1
        return Done(pictures=(Raw(spool=self._open_spool()),))

    async def stream(self, ask: Ask, via: Channel) -> AsyncIterator[Preview | Done]:
        for index in range(self._previews):
            yield Preview(index, self._open_spool())
        if self._ends:
            yield Done(pictures=(Raw(spool=self._open_spool()),))


async def test_previews_come_before_the_picture(rig: Rig) -> None:
    provider = Streaming(rig.spool, 2, ends=True)
    done = await rig.call(provider, partial_images=2)
    assert [preview.index for preview in rig.previews] == [0, 1]
    assert len(done.pictures) == 1
    assert provider.started == 0


async def test_without_a_wish_for_previews_nothing_is_streamed(rig: Rig) -> None:
    provider = Streaming(rig.spool, 2, ends=True)
    await rig.call(provider)
    assert rig.previews == []
    assert provider.started == 1


async def test_a_stream_that_ends_too_early_may_be_billed(rig: Rig) -> None:
    with pytest.raises(Lost, match="without a finished picture"):
        await rig.call(Streaming(rig.spool, 1, ends=False), partial_images=1)


async def test_settled_waits() -> None:
    seen = iter([False, False, True])
    await settled(lambda: next(seen))
