"""The one door inside, against providers that do what a test scripted: nothing is paid twice and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from pictura.core.errors import (
    BadRequest,
    Cancelled,
    CapReached,
    Failed,
    Forbidden,
    HouseError,
    InsufficientBalance,
    Lost,
    Malformed,
    NotFound,
    NotSent,
    PicturaError,
    Refused,
    Rejected,
    RetiredModel,
    Throttled,
    UnknownModel,
)
from pictura.core.job import JobState
from pictura.core.model import Choice
from pictura.core.price import PerMegapixel, PerPicture, PerToken, Price, PriceList, Row, TokenList, Usage
from pictura.core.request import ImageRequest, InputPicture
from pictura.core.size import Size
from pictura.engine.gateway import Outcome
from pictura.infra.config import JobSettings
from pictura.infra.db import Tx
from pictura.providers.base import Ask, Channel, Done, Pending, Preview, StreamingProvider
from pictura.store import jobs, ledger
from pictura.store.keys import Key
from tests.conftest import CARD, Drawn, Scripted, Step, gate, picture
from tests.engine.conftest import (
    DEFAULT,
    PREPAID,
    Engine,
    ask,
    channel,
    open_engine,
    outcome_of,
    settled,
)

TWO = (channel("first"), channel("second", priority=1))
TASK = Pending(upstream_id="task-1", poll_after_s=0)
T = TypeVar("T")


def error_of(outcome: Outcome) -> PicturaError:
    assert outcome.result is None
    assert outcome.error is not None
    return outcome.error


def states(engine: Engine, outcome: Outcome) -> list[str]:
    return [attempt.state for attempt in engine.attempts(outcome)]


# -- one picture --


async def test_a_picture_is_drawn_stored_and_paid(engine: Engine, provider: Scripted) -> None:
    outcome = await engine.draw()
    assert outcome.result is not None
    (drawn,) = outcome.result.pictures
    assert (drawn.media_type, drawn.width, drawn.height, drawn.bytes) == ("image/png", 64, 64, len(picture()))
    assert engine.blobs.open(drawn.key).read() == picture()
    assert outcome.result.cost == 40_000
    job = engine.job(outcome)
    assert (job.state, job.cost, job.result) == (JobState.SUCCEEDED, 40_000, outcome.result)
    assert engine.purse() == (-40_000, 0)
    assert states(engine, outcome) == ["done"]
    assert engine.gateway.running == 0
    (call,) = provider.calls
    assert (call.channel, call.ask.native, call.ask.prompt, call.ask.n) == ("main", "fox-1", "a fox", 1)


async def test_the_job_is_in_the_database_before_anything_is_sent(engine: Engine, provider: Scripted) -> None:
    reached, opened, step = gate()
    provider.script.append(step)
    handle = await engine.submit()
    await reached.wait()
    assert engine.job(handle).state is JobState.SUBMITTING
    assert [(a.channel, a.client_id) for a in engine.attempts(handle)] == [("main", provider.calls[0].ask.client_id)]
    assert engine.purse() == (0, 40_000)
    opened.set()
    await outcome_of(handle)


async def test_a_job_is_seen_by_its_project_alone(engine: Engine) -> None:
    outcome = await engine.draw()
    view = engine.gateway.get(outcome.job_id, "default")
    assert (view.state, view.result, view.error) == (JobState.SUCCEEDED, outcome.result, None)
    for job_id, project_id in ((outcome.job_id, "prepaid"), ("job_none", "default")):
        with pytest.raises(NotFound, match="of yours"):
            engine.gateway.get(job_id, project_id)


async def test_a_failure_is_seen_on_the_job(engine: Engine, provider: Scripted) -> None:
    provider.script.append(Refused("no foxes", reason="animals", by="scripted"))
    error = error_of(await engine.draw())
    assert isinstance(error, Refused)
    (job,) = engine.database.read(lambda tx: jobs.newest(tx))
    seen = engine.gateway.get(job.id, "default").error
    assert isinstance(seen, Refused)
    assert (seen.reason, seen.by) == ("animals", "scripted")
    assert engine.purse() == (0, 0)


async def test_another_format_is_made_here(engine: Engine, provider: Scripted) -> None:
    provider.script.append(Drawn(data=picture(64, 64, "webp")))
    outcome = await engine.draw(ask(output_format="jpeg"))
    assert outcome.result is not None
    assert outcome.result.pictures[0].media_type == "image/jpeg"
    assert engine.blobs.open(outcome.result.pictures[0].key).read(0, 2) == b"\xff\xd8"
    assert provider.calls[0].ask.output_format == ""  # the vendor cannot


@pytest.mark.parametrize(("wanted", "told"), [("webp", 50), ("jpeg", None)])
async def test_a_vendor_is_told_how_to_compress_what_it_makes_itself(
    engine: Engine, provider: Scripted, wanted: str, told: int | None
) -> None:
    await engine.draw(ask(output_format=wanted, output_compression=50))
    assert provider.calls[0].ask.output_compression == told


async def test_another_size_than_asked_for_is_said_and_billed_as_it_is(engine: Engine, provider: Scripted) -> None:
    provider.script.append(Drawn(data=picture(32, 48)))
    outcome = await engine.draw(ask(size=Size(width=64, height=64)))
    assert outcome.result is not None
    assert outcome.result.adjusted == ("size=64x64→32x48",)


async def test_what_was_adjusted_and_ignored_is_said(engine: Engine, provider: Scripted) -> None:
    request = ask(
        size=Size(width=9999, height=9999),
        params={"style": "vivid"},
        extra={"lora": "x"},
        adjustable=frozenset({"size", "style"}),
        adjusted=("n=9→8",),
    )
    provider.script.append(Drawn(data=picture(512, 512)))
    outcome = await engine.draw(request)
    assert outcome.result is not None
    assert outcome.result.adjusted == ("n=9→8", "size=9999x9999→512x512", "style=vivid→none")
    assert outcome.result.ignored == ("lora",)
    assert provider.calls[0].ask.size == Size(width=512, height=512)
    assert provider.calls[0].ask.params == {}


@pytest.mark.parametrize("junk", [b"", b"no picture", picture()[:-20]])
async def test_what_is_no_whole_picture_is_not_delivered(engine: Engine, provider: Scripted, junk: bytes) -> None:
    provider.script.append(Drawn(data=junk))
    error = error_of(await engine.draw())
    assert isinstance(error, Malformed)
    assert error.possibly_billed
    assert engine.files("out") == []
    assert engine.purse() == (0, 0)


async def test_an_answer_without_a_picture(engine: Engine, provider: Scripted) -> None:
    provider.script.append(Drawn(count=0))
    assert isinstance(error_of(await engine.draw()), Malformed)


# -- from channel to channel --


@pytest.mark.parametrize(
    "error", [Rejected("no"), Throttled("slow"), NotSent("no way"), Failed("broke", unbilled=True)]
)
async def test_where_nobody_was_billed_another_channel_is_asked(
    data: Path, provider: Scripted, error: PicturaError
) -> None:
    provider.script.append(error)
    async with open_engine(data, provider, channels=TWO) as engine:
        outcome = await engine.draw()
        assert outcome.error is None
        assert [call.channel for call in provider.calls] == ["first", "second"]
        first, second = engine.attempts(outcome)
        assert (first.state, second.state) == ("failed", "done")
        assert first.client_id != second.client_id
        assert "no" in (first.error or "") or "slow" in (first.error or "") or "broke" in (first.error or "")


async def test_a_second_attempt_is_in_the_database_before_it_is_sent(data: Path, provider: Scripted) -> None:
    reached, opened, step = gate()
    provider.script.extend([Rejected("no"), step])
    async with open_engine(data, provider, channels=TWO) as engine:
        handle = await engine.submit()
        await reached.wait()
        assert [(a.channel, a.state) for a in engine.attempts(handle)] == [("first", "failed"), ("second", "sending")]
        opened.set()
        await outcome_of(handle)


@pytest.mark.parametrize(
    "error",
    [
        Lost("who knows"),
        Failed("broke"),
        Malformed("nothing in it"),
        Refused("no foxes"),
        BadRequest("wrong"),
    ],
)
async def test_where_somebody_may_have_been_billed_nobody_else_is_asked(
    data: Path, provider: Scripted, error: PicturaError
) -> None:
    provider.script.append(error)
    async with open_engine(data, provider, channels=TWO) as engine:
        outcome = await engine.draw()
        assert error_of(outcome) is error
        assert len(provider.calls) == 1
        assert engine.job(outcome).state is JobState.FAILED
        assert states(engine, outcome) == ["failed"]
        assert engine.purse() == (0, 0)


async def test_when_all_say_no_the_last_no_is_told(data: Path, provider: Scripted) -> None:
    provider.script.extend([Rejected("first no"), Rejected("second no")])
    async with open_engine(data, provider, channels=TWO) as engine:
        outcome = await engine.draw()
        assert error_of(outcome).message == "second no"
        assert states(engine, outcome) == ["failed", "failed"]
        assert engine.purse() == (0, 0)


async def test_a_dearer_second_channel_is_held_for_and_the_delivering_one_is_billed(
    data: Path, provider: Scripted
) -> None:
    reached, opened, step = gate()
    provider.script.append(step)
    dear = channel("dear", priority=1, price_per_picture=90_000)
    async with open_engine(data, provider, channels=[channel("cheap", price_per_picture=10_000), dear]) as engine:
        handle = await engine.submit()
        await reached.wait()
        assert engine.purse() == (0, 90_000)
        opened.set()
        await outcome_of(handle)
        assert engine.purse() == (-10_000, 0)


async def test_a_provider_that_stumbles_may_have_billed(
    data: Path, provider: Scripted, quiet: pytest.LogCaptureFixture
) -> None:
    provider.script.append(KeyError("data"))
    async with open_engine(data, provider, channels=TWO) as engine:
        outcome = await engine.draw()
        error = error_of(outcome)
        assert isinstance(error, Lost)
        assert "does not understand" in error.message
        assert len(provider.calls) == 1
        assert engine.purse() == (0, 0)
        assert states(engine, outcome) == ["failed"]


# -- lost calls --


async def test_a_lost_call_may_be_held_for_the_operator(data: Path, provider: Scripted) -> None:
    provider.script.append(Lost("who knows"))
    async with open_engine(data, provider, settings=JobSettings(on_lost="hold_for_operator")) as engine:
        await engine.deposit(100_000)
        outcome = await engine.draw(key=engine.key(PREPAID))
        assert engine.job(outcome).state is JobState.UNCERTAIN
        assert engine.purse(PREPAID) == (100_000, 40_000)
        assert engine.gateway.get(outcome.job_id, "prepaid").state is JobState.UNCERTAIN


async def test_a_lost_part_is_held_for_the_operator_whatever_the_other_said(data: Path, provider: Scripted) -> None:
    provider.script += [Lost("who knows"), Refused("not that")]
    async with open_engine(data, provider, settings=JobSettings(on_lost="hold_for_operator")) as engine:
        await engine.deposit(200_000)
        outcome = await engine.draw(ask(n=4), key=engine.key(PREPAID))
        assert isinstance(outcome.error, Refused)
        assert engine.job(outcome).state is JobState.UNCERTAIN
        assert engine.purse(PREPAID) == (200_000, 160_000)


async def test_a_lost_part_is_held_for_the_operator_though_another_took_too_long(
    data: Path, provider: Scripted
) -> None:
    slow = msgspec.structs.replace(TASK, poll_after_s=60)
    provider.script += [slow, Lost("who knows"), slow, slow]
    settings = JobSettings(timeout_s=0.05, on_lost="hold_for_operator")
    async with open_engine(data, provider, settings=settings) as engine:
        assert engine.job(await engine.draw(ask(n=4))).state is JobState.UNCERTAIN


async def test_what_is_not_lost_is_never_held_for_the_operator(data: Path, provider: Scripted) -> None:
    provider.script.append(Failed("broke"))
    async with open_engine(data, provider, settings=JobSettings(on_lost="hold_for_operator")) as engine:
        assert engine.job(await engine.draw()).state is JobState.FAILED


class Deduping(Scripted):
    name = "scripted"
    dedupes = True


@pytest.mark.parametrize("dedupes", [True, False])
async def test_a_lost_call_is_repeated_once_where_that_is_wanted(data: Path, dedupes: bool) -> None:
    provider = (Deduping if dedupes else Scripted)(Lost("who knows"))
    settings = JobSettings() if dedupes else JobSettings(on_lost="resend")
    async with open_engine(data, provider, channels=TWO, settings=settings) as engine:
        outcome = await engine.draw()
        assert outcome.error is None
        assert [call.channel for call in provider.calls] == ["first", "first"]
        assert provider.calls[0].ask.client_id == provider.calls[1].ask.client_id
        assert states(engine, outcome) == ["failed", "done"]
        assert engine.purse() == (-40_000, 0)
        assert [call.ask.repeated for call in provider.calls] == [False, True][: len(provider.calls)]


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (Lost("second"), "second"),
        (Failed("second"), "second"),
        (Refused("second"), "second"),
        (Rejected("a duplicate"), "first"),
        (NotSent("no way"), "first"),
        (BadRequest("a duplicate"), "first"),
    ],
)
async def test_a_repeat_that_is_turned_away_does_not_make_the_first_call_unbilled(
    data: Path, second: PicturaError, told: str
) -> None:
    provider = Deduping(Lost("first"), second)
    async with open_engine(data, provider, channels=TWO) as engine:
        outcome = await engine.draw()
        assert error_of(outcome).message == told
        assert len(provider.calls) == 2
        assert states(engine, outcome) == ["failed", "failed"]
        assert engine.purse() == (0, 0)


# -- tasks --


async def test_a_task_is_followed_to_its_end(engine: Engine, provider: Scripted) -> None:
    provider.script.extend([TASK, msgspec.structs.replace(TASK, state={"step": "2"}), Drawn(count=1)])
    outcome = await engine.draw()
    assert outcome.error is None
    assert [check.state for check in provider.checks] == [{}, {"step": "2"}]
    assert len(provider.calls) == 1
    assert states(engine, outcome) == ["done"]


async def test_a_task_is_saved_before_it_is_asked_about(engine: Engine, provider: Scripted) -> None:
    reached, opened, step = gate()
    provider.script.extend([TASK, step])
    handle = await engine.submit()
    await reached.wait()
    assert engine.job(handle).state is JobState.WAITING
    (attempt,) = engine.attempts(handle)
    assert attempt.state == "pending"
    assert msgspec.json.decode(attempt.pending or "", type=Pending) == TASK
    opened.set()
    await outcome_of(handle)


async def test_a_task_that_was_accepted_is_not_given_to_another_channel(data: Path, provider: Scripted) -> None:
    provider.script.extend([TASK, Rejected("the key was withdrawn", upstream_status=401, config=True)])
    async with open_engine(data, provider, channels=TWO) as engine:
        error = error_of(await engine.draw())
        assert isinstance(error, Lost)
        assert len(provider.calls) == 1


@pytest.mark.parametrize("error", [Failed("broke"), Refused("no foxes"), KeyError("status")])
async def test_a_task_that_fails_ends_the_job(
    engine: Engine, provider: Scripted, error: Exception, quiet: pytest.LogCaptureFixture
) -> None:
    provider.script.extend([TASK, error])
    outcome = await engine.draw()
    assert isinstance(error_of(outcome), type(error) if isinstance(error, PicturaError) else Lost)
    assert engine.job(outcome).state is JobState.FAILED
    assert engine.purse() == (0, 0)


async def test_a_task_that_takes_too_long_is_stopped_and_expires(data: Path, provider: Scripted) -> None:
    provider.script.extend([msgspec.structs.replace(TASK, poll_after_s=60)] * 9)
    async with open_engine(
        data, provider, channels=TWO, settings=JobSettings(timeout_s=0.05, on_lost="resend")
    ) as engine:
        outcome = await engine.draw()
        assert error_of(outcome).possibly_billed
        assert engine.job(outcome).state is JobState.EXPIRED
        assert [task.upstream_id for task in provider.cancelled] == ["task-1"]
        assert len(provider.calls) == 1
        assert engine.purse() == (0, 0)


async def test_a_task_whose_id_cannot_be_saved_is_followed_all_the_same(
    engine: Engine, provider: Scripted, monkeypatch: pytest.MonkeyPatch, quiet: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise HouseError("the disk is full")

    monkeypatch.setattr(jobs, "save_pending", fail)
    provider.script.extend([TASK, Drawn(count=1)])
    outcome = await engine.draw()
    assert outcome.error is None
    assert engine.job(outcome).state is JobState.SUCCEEDED


# -- several pictures --


async def test_more_than_a_vendor_draws_at_once_is_several_calls(engine: Engine, provider: Scripted) -> None:
    outcome = await engine.draw(ask(n=5))
    assert outcome.result is not None
    assert len(outcome.result.pictures) == len(engine.files("out")) == 5
    assert sorted(call.ask.n for call in provider.calls) == [1, 2, 2]
    assert outcome.result.cost == 200_000
    assert [(a.part, a.pictures, a.state) for a in engine.attempts(outcome)] == [
        (0, 2, "done"),
        (1, 2, "done"),
        (2, 1, "done"),
    ]
    assert engine.purse() == (-200_000, 0)


async def test_what_came_is_delivered_and_what_did_not_is_said(engine: Engine, provider: Scripted) -> None:
    provider.script.extend([Drawn(), Refused("no foxes"), Drawn()])
    outcome = await engine.draw(ask(n=5))
    assert outcome.result is not None
    count = len(outcome.result.pictures)
    assert count in (3, 4)
    assert outcome.result.short == f"{count} of 5 pictures: no foxes"
    assert engine.purse() == (-40_000 * count, 0)
    assert sorted(states(engine, outcome)) == ["done", "done", "failed"]


async def test_a_vendor_that_sends_fewer_is_said_so(engine: Engine, provider: Scripted) -> None:
    provider.script.append(Drawn(count=1))
    outcome = await engine.draw(ask(n=2))
    assert outcome.result is not None
    assert outcome.result.short == "1 of 2 pictures: the provider sent fewer"
    assert outcome.result.cost == 40_000


async def test_of_an_answer_the_whole_pictures_are_delivered(engine: Engine, provider: Scripted) -> None:
    provider.script.append(Drawn(each=(picture()[:-20], picture())))
    outcome = await engine.draw(ask(n=2))
    assert outcome.result is not None
    assert len(outcome.result.pictures) == 1
    assert outcome.result.short.startswith("1 of 2 pictures: the provider's picture is not whole")
    assert engine.purse() == (-40_000, 0)
    assert engine.files("tmp") == []


@pytest.mark.parametrize(
    ("errors", "worst"),
    [
        ([Rejected("a"), Lost("b"), Refused("c")], Refused),
        ([Rejected("a"), Failed("b"), Rejected("c")], Failed),
        ([Rejected("a"), Rejected("b"), Rejected("c")], Rejected),
    ],
)
async def test_when_nothing_came_the_worst_error_is_told(
    engine: Engine, provider: Scripted, errors: list[Step], worst: type[PicturaError]
) -> None:
    provider.script.extend(errors)
    outcome = await engine.draw(ask(n=5))
    assert type(error_of(outcome)) is worst
    assert states(engine, outcome) == ["failed"] * 3
    assert engine.purse() == (0, 0)


async def test_parts_go_from_channel_to_channel_each_for_itself(data: Path, provider: Scripted) -> None:
    provider.script.extend([Rejected("a"), Rejected("b"), Rejected("c")])
    async with open_engine(data, provider, channels=TWO) as engine:
        outcome = await engine.draw(ask(n=5))
        assert outcome.result is not None
        assert len(outcome.result.pictures) == 5
        attempts = engine.attempts(outcome)
        assert sorted((a.part, a.channel, a.state) for a in attempts) == sorted(
            (part, name, state) for part in range(3) for name, state in (("first", "failed"), ("second", "done"))
        )
        assert len({a.client_id for a in attempts}) == 6


async def test_how_a_part_ended_is_written_down_though_another_was_writing(data: Path) -> None:
    reached, opened, fails = gate(Failed("broke"))
    refused_reached, refuse, turned_away = gate(Rejected("no"))
    provider = Scripted(turned_away, fails)
    async with open_engine(data, provider, channels=TWO) as engine:
        handle = await engine.submit(ask(n=4))
        await asyncio.gather(reached.wait(), refused_reached.wait())
        write = engine.database.write

        async def slowly(work: Callable[[Tx], T]) -> T:
            written = await write(work)
            opened.set()
            await settled(lambda: handle.run is not None and len(handle.run.ended) == 2)
            return written

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(engine.database, "write", slowly)
            refuse.set()
            await settled(lambda: len(provider.calls) == 3)
        outcome = await outcome_of(handle)
        assert states(engine, outcome) == ["failed", "failed", "done"]


async def test_a_bug_in_one_part_does_not_cost_the_others(
    engine: Engine, provider: Scripted, monkeypatch: pytest.MonkeyPatch, quiet: pytest.LogCaptureFixture
) -> None:
    put = engine.blobs.put
    broken: list[str] = []

    async def put_once_not(key: str, *said: object, **more: object) -> None:
        if not broken:
            broken.append(key)
            raise OSError(28, "No space left on device")
        await put(key, *said, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.blobs, "put", put_once_not)
    outcome = await engine.draw(ask(n=4))
    assert outcome.result is not None
    assert len(outcome.result.pictures) == 3
    assert outcome.result.short.startswith("3 of 4")
    assert engine.purse() == (-120_000, 0)


async def test_a_picture_that_cannot_be_kept_may_be_billed_and_is_not_drawn_again(
    engine: Engine, provider: Scripted, monkeypatch: pytest.MonkeyPatch, quiet: pytest.LogCaptureFixture
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine.blobs, "put", full)
    outcome = await engine.draw()
    error = error_of(outcome)
    assert isinstance(error, HouseError)
    assert error.possibly_billed
    assert "space" not in error.message
    assert states(engine, outcome) == ["failed"]
    assert error_of(await engine.draw(retry=True)).possibly_billed
    assert len(provider.calls) == 1


async def test_a_disk_that_fails_once_a_provider_was_asked_says_so_and_that_it_may_have_billed(
    engine: Engine, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    outcome = await engine.draw(ask(delivery="url", delivery_named=True))
    error = error_of(outcome)
    assert isinstance(error, HouseError)
    assert (error.possibly_billed, "could not write to its disk" in error.message) == (True, True)
    assert states(engine, outcome) == ["failed"]
    assert engine.purse() == (0, 0)


# -- money --


async def test_a_prepaid_project_needs_the_money_first(engine: Engine, provider: Scripted) -> None:
    await engine.deposit(50_000)
    key = engine.key(PREPAID)
    with pytest.raises(InsufficientBalance):
        await engine.draw(ask(n=2), key=key)
    assert not provider.calls
    assert engine.gateway.running == 0
    outcome = await engine.draw(key=key)
    assert outcome.result is not None
    assert engine.purse(PREPAID) == (10_000, 0)


async def test_a_prepaid_project_pays_no_more_than_was_held(engine: Engine, provider: Scripted) -> None:
    await engine.deposit(50_000)
    provider.script.append(Drawn(count=3))
    outcome = await engine.draw(key=engine.key(PREPAID))
    assert outcome.result is not None
    assert outcome.result.cost == 40_000
    assert engine.purse(PREPAID) == (10_000, 0)
    house = engine.database.read(lambda tx: ledger.entries(tx, ledger.HOUSE))
    assert [(entry.kind, entry.amount) for entry in house] == [("excess", -80_000)]


async def test_a_cap_is_kept(engine: Engine, provider: Scripted) -> None:
    key = msgspec.structs.replace(engine.key(), cap=70_000)
    await engine.ring.change(key)
    await engine.draw(key=key)
    with pytest.raises(CapReached):
        await engine.draw(key=key)
    assert len(provider.calls) == 1


class Unpriced(Scripted):
    MODELS = (msgspec.structs.replace(CARD, price=None),)


async def test_what_nobody_knows_the_price_of_is_for_postpaid_projects(data: Path) -> None:
    provider = Unpriced()
    async with open_engine(data, provider) as engine:
        await engine.deposit(10**9)
        with pytest.raises(Forbidden, match="nobody knows what this model costs"):
            await engine.draw(key=engine.key(PREPAID))
        outcome = await engine.draw()
        assert outcome.result is not None
        assert outcome.result.cost is None
        assert engine.job(outcome).cost is None
        assert engine.purse() == (0, 0)


async def test_what_the_vendor_itself_reports_is_the_cost_where_there_is_no_price(data: Path) -> None:
    provider = Unpriced(Drawn(cost=123))
    async with open_engine(data, provider) as engine:
        outcome = await engine.draw()
        assert outcome.result is not None
        assert outcome.result.cost == 123
        assert engine.purse() == (-123, 0)


@pytest.mark.parametrize(("second", "cost"), [(70, 193), (None, None)])
async def test_several_calls_cost_what_each_does_and_what_one_of_them_does_not_say_nobody_knows(
    data: Path, second: int | None, cost: int | None
) -> None:
    usage = Usage(text_in=1, image_out=10)
    provider = Unpriced(Drawn(cost=123, usage=usage), Drawn(cost=second, usage=usage))
    async with open_engine(data, provider) as engine:
        outcome = await engine.draw(ask(n=4))
        assert outcome.result is not None
        assert (outcome.result.cost, outcome.result.usage) == (cost, Usage(text_in=2, image_out=20))
        assert engine.purse() == (-(cost or 0), 0)


async def test_a_channels_own_price_goes_before_the_cards(data: Path) -> None:
    provider = Unpriced()
    async with open_engine(data, provider, channels=[channel(price_per_picture=7)]) as engine:
        await engine.deposit(100)
        outcome = await engine.draw(key=engine.key(PREPAID))
        assert outcome.result is not None
        assert outcome.result.cost == 7


class PayingForInputs(Scripted):
    MODELS = (msgspec.structs.replace(CARD, max_n=1, price=PerPicture(100, 10)),)


async def test_every_call_pays_for_its_inputs_and_was_held_for(data: Path) -> None:
    provider = PayingForInputs()
    async with open_engine(data, provider) as engine:
        await engine.deposit(330)
        request = ask(n=3, images=(InputPicture(ref="upload:0"),))
        outcome = await engine.draw(request, key=engine.key(PREPAID), uploads=[engine.upload(picture())])
        assert outcome.result is not None
        assert outcome.result.cost == 330
        assert engine.database.read(lambda tx: ledger.entries(tx, ledger.HOUSE)) == []


def priced(price: Price, *script: Step) -> Scripted:
    """Draws what was scripted, and sells it at this price."""
    provider = Scripted(*script)
    quality = Choice(("auto", "low", "high"))
    card = msgspec.structs.replace(CARD, price=price, params={"quality": quality})
    provider.MODELS = (card,)  # type: ignore[misc]
    return provider


async def cost_of(data: Path, provider: Scripted, request: ImageRequest | None = None, **said: Any) -> int | None:
    """What a postpaid project was charged for a request at a channel."""
    async with open_engine(data, provider, channels=[channel(**said)]) as engine:
        outcome = await engine.draw(request)
        assert outcome.result is not None
        assert engine.purse() == (-(outcome.result.cost or 0), 0)
        return outcome.result.cost


@pytest.mark.parametrize(("own_price", "cost"), [(None, 123), (7, 7)])
async def test_what_the_vendor_tells_of_a_call_counts_more_than_the_card_and_less_than_the_operator(
    data: Path, own_price: int | None, cost: int
) -> None:
    assert await cost_of(data, priced(PerPicture(40_000), Drawn(cost=123)), price_per_picture=own_price) == cost


async def test_the_pixels_that_came_are_billed(data: Path) -> None:
    provider = priced(PerMegapixel(100, 10), Drawn(data=picture(1100, 1100)))
    assert await cost_of(data, provider, ask(size=Size(width=64, height=64))) == 110


async def test_a_picture_whose_pixels_nobody_saw_is_billed_as_asked_for(data: Path) -> None:
    provider = priced(PriceList((Row(10, size="64x64"), Row(99, size="512x512"))), Drawn(urls=("http://a.test/b",)))
    assert await cost_of(data, provider, ask(size=Size(width=64, height=64), delivery="url"), relay=True) == 10


@pytest.mark.parametrize(("echo", "cost"), [({"quality": "low"}, 5), ({}, 50)])
async def test_the_quality_that_the_vendor_chose_is_billed_else_the_one_asked_for(
    data: Path, echo: dict[str, str], cost: int
) -> None:
    provider = priced(PriceList((Row(5, "low"), Row(50, "high"))), Drawn(echo=echo))
    assert await cost_of(data, provider, ask(params={"quality": "high"})) == cost


async def test_the_tokens_that_the_vendor_counted_are_billed(data: Path) -> None:
    price = PerToken(text_in=1_000, image_in=2_000, image_out=3_000, output=TokenList((Row(500),)))
    provider = priced(price, Drawn(usage=Usage(text_in=10, image_out=100)))
    assert await cost_of(data, provider) == 310


class Simulated(Scripted):
    sandbox_path = "/scripted"
    MODELS = (msgspec.structs.replace(CARD, imitated="fox-1"),)


async def test_the_sandbox_costs_nothing_whatever_the_card_says(data: Path) -> None:
    provider = Simulated(Drawn(cost=123))
    async with open_engine(data, provider, channels=[channel(origin="sandbox")]) as engine:
        key = next(key for key in engine.ring.all() if key.kind == "test")
        outcome = await engine.draw(key=key)
        assert outcome.result is not None
        assert (outcome.result.cost, engine.purse()) == (0, (0, 0))


# -- who may --


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (ask(model="wolf"), UnknownModel),
        (ask(model=""), UnknownModel),
        (ask(n=11), BadRequest),
        (ask(size=Size(width=9, height=9)), BadRequest),
        (ask(params={"style": "vivid"}), BadRequest),
        (ask(output_format="bmp"), BadRequest),
        (ask(extra={"lora": 1}, unknown="refuse"), BadRequest),
        (ask(images=(InputPicture(ref="upload:0"),)), BadRequest),
    ],
)
async def test_what_is_wrong_is_refused_before_there_is_a_job(
    engine: Engine, provider: Scripted, request_: ImageRequest, error: type[PicturaError]
) -> None:
    with pytest.raises(error):
        await engine.draw(request_, uploads=[engine.upload(b"no picture")])
    assert not provider.calls
    assert engine.database.read(lambda tx: jobs.newest(tx)) == []
    assert engine.purse() == (0, 0)
    assert engine.files("in") == []


class Old(Scripted):
    MODELS = (msgspec.structs.replace(CARD, status="retired", ends="2026-01-01", successor="vixen"),)


async def test_a_model_that_was_switched_off_names_its_successor(data: Path) -> None:
    async with open_engine(data, Old()) as engine:
        with pytest.raises(RetiredModel, match="use vixen instead") as caught:
            await engine.draw()
        assert caught.value.successor == "vixen"


async def test_a_key_is_limited_to_its_models_under_every_spelling(data: Path, provider: Scripted) -> None:
    async with open_engine(data, provider, aliases={"reynard": "fox"}) as engine:

        def limited(*models: str) -> Key:
            return msgspec.structs.replace(engine.key(), models=models)

        for models in (("fox",), ("FOX*",), ("vulpes",), ("fox-1",), ("wolf", "f?x")):
            assert (await engine.draw(key=limited(*models))).error is None
        assert (await engine.draw(ask(model="reynard"), key=limited("reynard"))).error is None
        for name in ("fox", "wolf/fox", "wolf/vulpes:free", "reynard"):
            with pytest.raises(Forbidden, match="limited to wolf"):
                await engine.draw(ask(model=name), key=limited("wolf*"))


# -- leaving, cancelling, retrying --


async def test_a_job_that_was_not_sent_is_cancelled(engine: Engine, provider: Scripted) -> None:
    handle = await engine.submit()
    assert engine.gateway.forsake(handle)
    outcome = await outcome_of(handle)
    assert isinstance(error_of(outcome), Cancelled)
    assert engine.job(outcome).state is JobState.CANCELLED
    assert engine.purse() == (0, 0)
    assert not provider.calls
    assert engine.gateway.running == 0


async def test_a_job_that_waits_for_room_is_cancelled(data: Path, provider: Scripted) -> None:
    reached, opened, step = gate()
    provider.script.append(step)
    async with open_engine(data, provider, channels=[channel(max_concurrency=1)]) as engine:
        first = await engine.submit()
        await reached.wait()
        second = await engine.submit()
        await asyncio.sleep(0.01)
        assert await engine.gateway.cancel(second.job.id, "default")
        assert engine.job(await outcome_of(second)).state is JobState.CANCELLED
        opened.set()
        assert (await outcome_of(first)).error is None
        assert (await engine.draw()).error is None  # its place was given back
        assert len(provider.calls) == 2


async def test_a_job_that_another_guest_waits_for_is_not_cancelled(data: Path, provider: Scripted) -> None:
    reached, opened, step = gate()
    provider.script.append(step)
    async with open_engine(data, provider, channels=[channel(max_concurrency=1)]) as engine:
        first = await engine.submit(ask("another"))
        await reached.wait()
        queued = await engine.submit()
        retry = await engine.submit(retry=True)
        assert retry is queued
        assert not engine.gateway.forsake(queued)
        queued.leave()
        opened.set()
        assert (await outcome_of(retry)).error is None
        await outcome_of(first)


async def test_a_job_that_was_sent_is_finished_whoever_leaves(engine: Engine, provider: Scripted) -> None:
    reached, opened, step = gate()
    provider.script.append(step)
    handle = await engine.submit()
    await reached.wait()
    assert not engine.gateway.forsake(handle)
    handle.leave()
    opened.set()
    await settled(lambda: engine.gateway.running == 0)
    assert engine.job(handle).state is JobState.SUCCEEDED
    assert engine.purse() == (-40_000, 0)


async def test_a_task_is_taken_back_at_its_vendor(engine: Engine, provider: Scripted) -> None:
    """It is asked to stop, and what it then says of the task ends the job."""
    reached, opened, step = gate(Failed("the task was cancelled", unbilled=True))
    provider.script.extend([TASK, step])
    handle = await engine.submit()
    await reached.wait()
    assert await engine.gateway.cancel(handle.job.id, "default")
    assert [task.upstream_id for task in provider.cancelled] == ["task-1"]
    opened.set()
    outcome = await outcome_of(handle)
    assert isinstance(error_of(outcome), Cancelled)
    assert "Failed" in (engine.attempts(handle)[0].error or "")
    job = engine.job(handle)
    assert job.state is JobState.CANCELLED
    assert job.error and isinstance(jobs.revived(job.error), Cancelled)
    assert len(provider.calls) == 1
    assert engine.purse() == (0, 0)


async def test_a_wish_to_stop_reaches_a_vendor_that_has_not_answered_yet(engine: Engine, provider: Scripted) -> None:
    reached, opened, step = gate(TASK)
    provider.script.extend([step, Failed("the task was cancelled", unbilled=True)])
    handle = await engine.submit()
    await reached.wait()
    assert await engine.gateway.cancel(handle.job.id, "default")
    opened.set()
    assert (await outcome_of(handle)).result is None
    assert [task.upstream_id for task in provider.cancelled] == ["task-1"]
    assert engine.job(handle).state is JobState.CANCELLED


async def test_after_a_wish_to_stop_nobody_else_is_asked(data: Path, provider: Scripted) -> None:
    reached, opened, step = gate(Throttled("too many"))
    provider.script.append(step)
    async with open_engine(data, provider, channels=TWO) as engine:
        handle = await engine.submit()
        await reached.wait()
        await engine.gateway.cancel(handle.job.id, "default")
        opened.set()
        assert (await outcome_of(handle)).result is None
        assert [call.channel for call in provider.calls] == ["first"]
        assert engine.purse() == (0, 0)


async def test_a_task_that_its_vendor_finishes_all_the_same_is_delivered(engine: Engine, provider: Scripted) -> None:
    reached, opened, step = gate()
    provider.script.extend([TASK, step])
    handle = await engine.submit()
    await reached.wait()
    assert await engine.gateway.cancel(handle.job.id, "default")
    opened.set()
    assert (await outcome_of(handle)).result is not None
    assert engine.job(handle).state is JobState.SUCCEEDED


@pytest.mark.parametrize(("told", "progress"), [("40", 40), ("140", 100), ("soon", None)])
async def test_how_far_a_task_is_can_be_asked(
    engine: Engine, provider: Scripted, told: str, progress: int | None
) -> None:
    reached, opened, step = gate()
    far = msgspec.structs.replace(TASK, state={"progress": told})
    provider.script.extend([TASK, far, step])
    handle = await engine.submit()
    await reached.wait()
    assert engine.gateway.get(handle.job.id, "default").progress == progress
    opened.set()
    await outcome_of(handle)
    assert engine.gateway.get(handle.job.id, "default").progress is None


async def test_a_guest_who_is_cancelled_takes_nothing_with_him(engine: Engine, provider: Scripted) -> None:
    reached, opened, step = gate()
    provider.script.append(step)
    handle = await engine.submit()

    async def wait() -> None:
        await handle.outcome  # without a shield

    guest = asyncio.create_task(wait())
    await reached.wait()
    guest.cancel()
    opened.set()
    await settled(lambda: engine.gateway.running == 0)
    handle.leave()
    assert engine.job(handle).state is JobState.SUCCEEDED
    assert handle.task is not None
    await handle.task


async def test_cancelling_what_is_not_yours_or_over(engine: Engine) -> None:
    outcome = await engine.draw()
    assert not await engine.gateway.cancel(outcome.job_id, "default")
    with pytest.raises(NotFound):
        await engine.gateway.cancel(outcome.job_id, "prepaid")


async def test_a_retry_joins_the_job_that_still_runs(engine: Engine, provider: Scripted) -> None:
    reached, opened, step = gate()
    provider.script.append(step)
    first = await engine.submit()
    await reached.wait()
    second = await engine.submit(retry=True)
    assert second is first
    opened.set()
    outcomes = [await outcome_of(first), await outcome_of(second)]
    assert outcomes[0] is outcomes[1]
    assert len(provider.calls) == 1


async def test_a_retry_gets_what_was_drawn(engine: Engine, provider: Scripted) -> None:
    first, second = await engine.draw(), await engine.draw(retry=True)
    assert second.job_id == first.job_id
    assert second.result == first.result
    assert len(provider.calls) == 1
    assert engine.purse() == (-40_000, 0)


@pytest.mark.parametrize(
    ("error", "again"), [(Lost("who knows"), False), (Failed("broke"), False), (Rejected("no"), True)]
)
async def test_a_retry_is_drawn_anew_only_where_nothing_was_billed(
    engine: Engine, provider: Scripted, error: PicturaError, again: bool
) -> None:
    provider.script.append(error)
    engine.clock.now = 0
    first = await engine.draw()
    engine.clock.now = 100  # the channel has rested
    second = await engine.draw(retry=True)
    assert (second.error is None) == again
    assert (second.job_id != first.job_id) == again
    if not again:
        assert error_of(second).message == error.message
        assert error_of(second).possibly_billed


@pytest.mark.parametrize(("minutes", "again"), [(29, False), (31, True)])
async def test_a_retry_that_comes_late_is_drawn_anew(
    engine: Engine, provider: Scripted, monkeypatch: pytest.MonkeyPatch, minutes: int, again: bool
) -> None:
    first = await engine.draw()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + minutes * 60)
    second = await engine.draw(retry=True)
    assert (second.job_id != first.job_id) == again


async def test_what_is_not_a_retry_is_a_job_of_its_own(engine: Engine, provider: Scripted) -> None:
    await engine.draw()
    await engine.draw()
    await engine.draw(ask("another fox"), retry=True)
    other = next(key for key in engine.ring.all() if key.project.id == "prepaid")
    await engine.deposit(10**6)
    await engine.draw(key=other, retry=True)
    colleague, _ = await engine.ring.make(Key(id="", project=DEFAULT, name="a colleague's"))
    await engine.draw(key=colleague, retry=True)
    assert len(provider.calls) == 5


async def test_a_retry_with_other_pictures_is_another_request(engine: Engine, provider: Scripted) -> None:
    request = ask(images=(InputPicture(ref="upload:0"),))
    for data in (picture(), picture(), picture(32, 32)):
        outcome = await engine.draw(request, uploads=[engine.upload(data)], retry=True)
        assert outcome.error is None
    assert [call.inputs for call in provider.calls] == [(picture(),), (picture(32, 32),)]


# -- channels that are not well --


async def test_an_account_that_is_refused_is_set_aside_and_comes_back(engine: Engine, provider: Scripted) -> None:
    provider.script.extend([Rejected("the key is wrong", upstream_status=401, config=True)] * 3)
    for _ in range(3):
        assert isinstance(error_of(await engine.draw()), Rejected)
    assert engine.notices == ["main set aside for 60 s (fox): it keeps answering 401: the key is wrong"]
    with pytest.raises(NotSent, match=r"resting after errors; try again in 6[01] s"):
        await engine.draw()
    assert len(provider.calls) == 3
    engine.clock.now += 60
    assert (await engine.draw()).error is None
    assert engine.notices[-1] == "main answers again for fox"


async def test_after_a_rest_the_next_request_is_the_only_trial(engine: Engine, provider: Scripted) -> None:
    provider.script.append(Throttled("slow", retry_after_s=30))
    assert isinstance(error_of(await engine.draw()), Throttled)
    with pytest.raises(NotSent, match=r"try again in 3[01] s"):
        await engine.draw()
    engine.clock.now += 30
    reached, opened, step = gate()
    provider.script.append(step)
    trial = await engine.submit()
    await reached.wait()
    with pytest.raises(NotSent):
        await engine.draw()
    opened.set()
    assert (await outcome_of(trial)).error is None
    assert (await engine.draw()).error is None


async def test_a_resting_channel_is_passed_over(data: Path, provider: Scripted) -> None:
    async with open_engine(data, provider, channels=TWO) as engine:
        engine.health.failed("first", "fox", Throttled("slow", retry_after_s=30))
        assert (await engine.draw()).error is None
        assert [call.channel for call in provider.calls] == ["second"]


# -- previews --


class Streaming(Scripted, StreamingProvider):
    """Two previews, then a picture; `shown` is set in between."""

    def __init__(self) -> None:
        super().__init__()
        self.shown, self.go_on = asyncio.Event(), asyncio.Event()
        self.previews: list[Preview] = []

    async def stream(self, ask: Ask, via: Channel) -> AsyncIterator[Preview | Done]:
        for index in range(2):
            spool = self.open_spool()
            spool.write(picture())
            self.previews.append(Preview(index, spool))
            yield self.previews[-1]
        self.shown.set()
        await self.go_on.wait()
        done = await self.start(ask, via)
        assert isinstance(done, Done)
        yield done


async def test_whoever_watches_gets_the_previews(data: Path) -> None:
    provider = Streaming()
    async with open_engine(data, provider) as engine:
        handle = await engine.submit(ask(stream=True, partial_images=2))
        first, second = handle.watch(), handle.watch()
        await provider.shown.wait()
        assert [(await first.get()), (await first.get())] == provider.previews
        assert first.empty()
        provider.go_on.set()
        assert await first.get() is None
        assert await second.get() is None
        late = handle.watch()
        assert (await outcome_of(handle)).error is None
        assert await late.get() is None
        for preview in provider.previews:
            preview.spool.close()


async def test_previews_that_nobody_watches_are_closed(data: Path) -> None:
    provider = Streaming()
    provider.go_on.set()
    async with open_engine(data, provider) as engine:
        assert (await engine.draw(ask(stream=True, partial_images=2))).error is None
        assert len(provider.previews) == 2
        assert all(_closed(preview.spool) for preview in provider.previews)


async def test_previews_that_a_watcher_left_behind_are_closed(data: Path) -> None:
    provider = Streaming()
    async with open_engine(data, provider) as engine:
        handle = await engine.submit(ask(stream=True, partial_images=2))
        handle.watch()
        await provider.shown.wait()
        handle.leave()
        provider.go_on.set()
        await settled(lambda: engine.gateway.running == 0)
        assert all(_closed(preview.spool) for preview in provider.previews)


# -- inputs --


async def test_inputs_are_stored_with_the_job_and_forgotten_after_it(engine: Engine, provider: Scripted) -> None:
    reached, opened, step = gate()
    provider.script.append(step)
    uploads = [engine.upload(picture()), engine.upload(picture(128, 64))]
    request = ask(images=(InputPicture(ref="upload:1"), InputPicture(ref="upload:0")))
    handle = await engine.submit(request, uploads=uploads)
    await reached.wait()
    assert len(engine.files("in")) == 2
    kept = engine.job(handle).request.images
    assert [(image.width, image.height) for image in kept] == [(128, 64), (64, 64)]
    assert engine.blobs.open(kept[0].key).read() == picture(128, 64)
    opened.set()
    assert (await outcome_of(handle)).error is None
    assert provider.calls[0].inputs == (picture(128, 64), picture())
    assert engine.files("in") == engine.files("tmp") == []


async def test_an_input_is_linked_where_no_url_of_its_own_leads_to_it(data: Path, provider: Scripted) -> None:
    async with open_engine(
        data, provider, own_key=lambda url: drawn.key, link=lambda key: f"https://img.test/{key}"
    ) as engine:
        outcome = await engine.draw()
        assert outcome.result is not None
        (drawn,) = outcome.result.pictures
        request = ask(images=(InputPicture(ref="upload:0"), InputPicture(ref="https://a.test/fox.png")))
        await engine.draw(request, uploads=[engine.upload(picture())])
        uploaded, referred = provider.calls[1].ask.images
        assert uploaded.url.startswith("https://img.test/in/")
        assert referred.url == "https://a.test/fox.png"
        await engine.draw(ask(delivery="b64_ephemeral", images=request.images[:1]), uploads=[engine.upload(picture())])
        assert provider.calls[2].ask.images[0].url == ""  # it is not stored


async def test_inputs_of_a_job_whose_end_could_not_be_written_stay(
    engine: Engine, provider: Scripted, monkeypatch: pytest.MonkeyPatch, quiet: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise HouseError("the disk is full")

    monkeypatch.setattr(jobs, "succeed", fail)
    request = ask(images=(InputPicture(ref="upload:0"),))
    outcome = await engine.draw(request, uploads=[engine.upload(picture())])
    assert error_of(outcome).possibly_billed
    assert engine.job(outcome).finished_ms is None
    assert len(engine.files("in")) == len(engine.files("out")) == 1
    assert engine.gateway.running == 0


async def test_without_money_inputs_are_not_kept(engine: Engine) -> None:
    request = ask(images=(InputPicture(ref="upload:0"),))
    with pytest.raises(InsufficientBalance):
        await engine.draw(request, uploads=[engine.upload(picture())], key=engine.key(PREPAID))
    assert engine.files("in") == []


# -- ephemeral jobs --


async def test_an_ephemeral_job_leaves_nothing(engine: Engine, provider: Scripted) -> None:
    request = ask(
        "a secret fox",
        delivery="b64_ephemeral",
        user="somebody",
        images=(InputPicture(ref="upload:0"),),
    )
    handle = await engine.submit(request, uploads=[engine.upload(picture())])
    outcome = await asyncio.wait_for(asyncio.shield(handle.outcome), 5)
    assert outcome.result is not None
    (drawn,) = outcome.result.pictures
    held = outcome.held[drawn.key]
    assert held.read() == picture()
    handle.leave()
    with pytest.raises(ValueError, match="closed"):
        held.read()
    (call,) = provider.calls
    assert (call.ask.prompt, call.inputs) == ("a secret fox", (picture(),))
    assert engine.files("in") == engine.files("out") == engine.files("tmp") == []
    everything = str([engine.database.read(lambda tx, t=t: tx.all(f"SELECT * FROM {t}")) for t in ("jobs", "assets")])  # type: ignore[misc]
    assert "secret fox" not in everything
    assert "somebody" not in everything
    assert drawn.key not in everything
    assert engine.purse() == (-40_000, 0)


async def test_a_retry_of_an_ephemeral_job_is_drawn_anew(engine: Engine, provider: Scripted) -> None:
    request = ask(delivery="b64_ephemeral")
    await engine.draw(request)
    again = await engine.submit(request, retry=True)
    outcome = await asyncio.shield(again.outcome)
    assert outcome.result is not None
    assert outcome.held[outcome.result.pictures[0].key].read() == picture()
    again.leave()


async def test_an_ephemeral_job_nobody_waits_for_leaves_nothing_either(engine: Engine, provider: Scripted) -> None:
    reached, opened, step = gate()
    provider.script.append(step)
    handle = await engine.submit(ask(delivery="b64_ephemeral"))
    await reached.wait()
    handle.leave()
    opened.set()
    await settled(lambda: engine.gateway.running == 0)
    assert all(_closed(spool) for spool in handle.outcome.result().held.values())


def _closed(spool: object) -> bool:
    try:
        spool.read()  # type: ignore[attr-defined]
    except ValueError:
        return True
    return False


# -- a process that ends --


async def test_draining_waits_for_what_is_on_its_way(engine: Engine, provider: Scripted) -> None:
    await engine.gateway.drain(1)
    reached, opened, step = gate()
    provider.script.append(step)
    handle = await engine.submit()
    await reached.wait()
    await engine.gateway.drain(0.01)
    assert engine.gateway.running == 1
    draining = asyncio.create_task(engine.gateway.drain(5))
    await asyncio.sleep(0)
    opened.set()
    await draining
    assert engine.gateway.running == 0
    handle.leave()


async def test_a_job_that_was_sent_stays_open_when_the_process_stops(data: Path, provider: Scripted) -> None:
    reached, _, step = gate()
    provider.script.extend([TASK, step])
    request = ask(images=(InputPicture(ref="upload:0"),))
    async with open_engine(data, provider) as engine:
        handle = await engine.submit(request, uploads=[engine.upload(picture())])
        await reached.wait()
        assert handle.task is not None
        handle.task.cancel()
        error = error_of(await outcome_of(handle))
        assert isinstance(error, HouseError)
        assert "stopping" in error.message
        assert engine.job(handle).state is JobState.WAITING
        assert len(engine.files("in")) == 1
