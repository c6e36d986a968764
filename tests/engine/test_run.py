"""What is left after a crash, and how the next process goes on: the folder is copied as it lies on the disk at that
moment, and another engine opens the copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pictura.core.errors import Failed, HouseError, Lost, Malformed, NotFound, PicturaError, Refused, Rejected
from pictura.core.job import JobState
from pictura.core.request import InputPicture
from pictura.engine.run import worst
from pictura.infra.config import JobSettings
from pictura.providers.base import Pending
from pictura.store import jobs
from pictura.store.jobs import Job
from tests.conftest import Drawn, Scripted, gate, picture
from tests.engine.conftest import PREPAID, Engine, ask, channel, open_engine, settled

TASK = Pending(upstream_id="task-1", poll_after_s=0, state={"region": "eu"})
TWO = (channel("first"), channel("second", priority=1))
Crash = Callable[[Engine], Path]
FAILING = HouseError("the disk is full")


class Deduping(Scripted):
    name = "scripted"
    dedupes = True


def only_job(engine: Engine) -> Job:
    (job,) = engine.database.read(lambda tx: jobs.newest(tx))
    return job


async def taken_over(engine: Engine) -> Job:
    """The job, after the next process has done with it what can be done."""
    await engine.worker.start()
    await settled(lambda: engine.gateway.running == 0)
    await engine.worker.stop()
    return only_job(engine)


def error_of(job: Job) -> PicturaError:
    assert job.error is not None
    return jobs.revived(job.error)


def attempt_states(engine: Engine) -> list[str]:
    return [attempt.state for attempt in engine.database.read(lambda tx: jobs.attempts(tx, only_job(engine).id))]


async def crash_while_sending(data: Path, crashed: Crash, *, prepaid: bool = False, **said: object) -> Path:
    """A request has left, nothing has come back."""
    reached, _, step = gate()
    provider = Scripted(step)
    async with open_engine(data, provider, channels=TWO) as engine:
        await engine.deposit(100_000)
        request = ask(**said)  # type: ignore[arg-type]
        uploads = [engine.upload(picture()) for _ in request.images]
        await engine.submit(request, uploads=uploads, key=engine.key(PREPAID) if prepaid else None)
        await reached.wait()
        return crashed(engine)


async def crash_while_waiting(data: Path, crashed: Crash, **said: object) -> Path:
    """A task was accepted; its id is saved."""
    reached, _, step = gate()
    async with open_engine(data, Scripted(TASK, step), channels=TWO) as engine:
        request = ask(**said)  # type: ignore[arg-type]
        await engine.submit(request, uploads=[engine.upload(picture()) for _ in request.images])
        await reached.wait()
        return crashed(engine)


async def crash_before_the_last_commit(
    data: Path, crashed: Crash, monkeypatch: pytest.MonkeyPatch, provider: Scripted, **said: object
) -> Path:
    """Everything came and is stored; what is missing is the commit that says so."""

    def fail(*_: object) -> None:
        raise FAILING

    with monkeypatch.context() as patched:
        patched.setattr(jobs, "succeed", fail)
        async with open_engine(data, provider) as engine:
            outcome = await engine.draw(ask(**said))  # type: ignore[arg-type]
            assert outcome.error is FAILING
            return crashed(engine)


# -- sent, no answer --


async def test_what_was_sent_is_lost_and_not_sent_again(data: Path, crashed: Crash) -> None:
    left = await crash_while_sending(data, crashed, prepaid=True)
    provider = Scripted()
    async with open_engine(left, provider, channels=TWO) as engine:
        assert engine.purse(PREPAID) == (100_000, 40_000)
        job = await taken_over(engine)
        assert (job.state, job.epoch, job.worker_id) == (JobState.FAILED, 1, engine.worker.id)
        assert isinstance(error_of(job), Lost)
        assert not provider.calls
        assert engine.purse(PREPAID) == (100_000, 0)
        assert attempt_states(engine) == ["failed"]


async def test_what_was_lost_may_be_held_for_the_operator(data: Path, crashed: Crash) -> None:
    left = await crash_while_sending(data, crashed)
    async with open_engine(left, Scripted(), channels=TWO, settings=JobSettings(on_lost="hold_for_operator")) as engine:
        assert (await taken_over(engine)).state is JobState.UNCERTAIN
        assert engine.purse() == (0, 40_000)


@pytest.mark.parametrize("dedupes", [True, False])
async def test_what_was_lost_is_repeated_where_that_is_wanted(data: Path, crashed: Crash, dedupes: bool) -> None:
    left = await crash_while_sending(data, crashed, images=(InputPicture(ref="upload:0"),))
    provider = Deduping() if dedupes else Scripted()
    settings = JobSettings() if dedupes else JobSettings(on_lost="resend")
    async with open_engine(left, provider, channels=TWO, settings=settings) as engine:
        (before,) = engine.database.read(lambda tx: jobs.attempts(tx, only_job(engine).id))
        assert (await taken_over(engine)).state is JobState.SUCCEEDED
        (call,) = provider.calls
        assert (call.channel, call.ask.client_id, call.inputs) == ("first", before.client_id, (picture(),))
        assert attempt_states(engine) == ["failed", "done"]
        assert engine.files("in") == []


@pytest.mark.parametrize("error", [Rejected("a duplicate"), Lost("again")])
async def test_a_repeat_that_fails_is_lost_as_well(data: Path, crashed: Crash, error: PicturaError) -> None:
    left = await crash_while_sending(data, crashed)
    async with open_engine(left, Deduping(error), channels=TWO) as engine:
        job = await taken_over(engine)
        assert isinstance(error_of(job), Lost)
        assert attempt_states(engine) == ["failed", "failed"]
        assert engine.purse() == (0, 0)


async def test_what_cannot_be_repeated_whole_is_not_repeated(data: Path, crashed: Crash) -> None:
    left = await crash_while_sending(data, crashed, images=(InputPicture(ref="upload:0"),))
    for path in (left / "blobs" / "in").rglob("*.png"):
        path.unlink()
    provider = Deduping()
    async with open_engine(left, provider, channels=TWO) as engine:
        assert isinstance(error_of(await taken_over(engine)), Lost)
        assert not provider.calls


async def test_what_an_ephemeral_job_forgot_is_not_sent(data: Path, crashed: Crash) -> None:
    left = await crash_while_sending(data, crashed, delivery="b64_ephemeral")
    provider = Deduping()
    async with open_engine(left, provider, channels=TWO) as engine:
        assert isinstance(error_of(await taken_over(engine)), Lost)
        assert not provider.calls


# -- tasks --


async def test_a_task_is_asked_about_and_never_made_again(data: Path, crashed: Crash) -> None:
    left = await crash_while_waiting(data, crashed)
    provider = Scripted(msgspec.structs.replace(TASK, state={"region": "us"}), Drawn(count=1))
    async with open_engine(left, provider, channels=TWO) as engine:
        job = await taken_over(engine)
        assert job.state is JobState.SUCCEEDED
        assert not provider.calls
        assert [task.state for task in provider.checks] == [{"region": "eu"}, {"region": "us"}]
        assert job.result is not None
        assert engine.blobs.open(job.result.pictures[0].key).read() == picture()
        assert engine.purse() == (-40_000, 0)
        assert attempt_states(engine) == ["done"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Failed("broke"), Failed),
        (Failed("broke", unbilled=True), Failed),
        (Refused("no foxes"), Refused),
        (Rejected("no such key", config=True), Lost),
        (KeyError("status"), Lost),
    ],
)
async def test_a_task_that_failed_meanwhile_fails(
    data: Path, crashed: Crash, error: Exception, kind: type[PicturaError], quiet: pytest.LogCaptureFixture
) -> None:
    left = await crash_while_waiting(data, crashed)
    provider = Scripted(error)
    async with open_engine(left, provider, channels=TWO) as engine:
        job = await taken_over(engine)
        assert job.state is JobState.FAILED
        assert type(error_of(job)) is kind
        assert not provider.calls
        assert engine.purse() == (0, 0)


async def test_a_task_needs_neither_its_inputs_nor_channels_that_failed_before(data: Path, crashed: Crash) -> None:
    reached, _, step = gate()
    async with open_engine(data, Scripted(Rejected("no"), TASK, step), channels=TWO) as engine:
        request = ask(images=(InputPicture(ref="upload:0"),))
        await engine.submit(request, uploads=[engine.upload(picture())])
        await reached.wait()
        left = crashed(engine)
    for path in (left / "blobs" / "in").rglob("*.png"):
        path.unlink()
    async with open_engine(left, Scripted(Drawn(count=1)), channels=TWO[1:]) as engine:
        assert (await taken_over(engine)).state is JobState.SUCCEEDED


async def test_a_job_survives_two_crashes(data: Path, crashed: Crash) -> None:
    left = await crash_while_waiting(data, crashed)
    reached, _, step = gate()
    async with open_engine(left, Scripted(step), channels=TWO) as engine:
        await engine.worker.start()
        await reached.wait()
        again = crashed(engine)
        await engine.worker.stop()
    async with open_engine(again, Scripted(Drawn(count=1)), channels=TWO) as engine:
        job = await taken_over(engine)
        assert (job.state, job.epoch) == (JobState.SUCCEEDED, 2)


@pytest.mark.parametrize("gone", ["channel", "model"])
async def test_a_job_whose_channel_or_model_is_gone_is_given_up(data: Path, crashed: Crash, gone: str) -> None:
    left = await crash_while_waiting(data, crashed)
    providers = [] if gone == "model" else [Scripted()]
    channels = TWO if gone == "model" else [channel("third")]
    async with open_engine(left, *providers, channels=channels) as engine:
        job = await taken_over(engine)
        assert job.state is JobState.FAILED
        assert engine.purse() == (0, 0)


async def test_a_job_that_cannot_be_taken_up_does_not_keep_the_others_down(
    data: Path, crashed: Crash, monkeypatch: pytest.MonkeyPatch, quiet: pytest.LogCaptureFixture
) -> None:
    left = await crash_while_waiting(data, crashed)
    async with open_engine(left, Scripted(), channels=TWO) as engine:
        monkeypatch.setattr(engine.planner, "plan_again", lambda *_: 1 // 0)
        job = await taken_over(engine)
        assert job.state is JobState.FAILED
        assert isinstance(error_of(job), HouseError)


# -- stored, not said --


@pytest.mark.parametrize("task", [True, False])
async def test_a_picture_that_was_stored_is_found_again(
    data: Path, crashed: Crash, monkeypatch: pytest.MonkeyPatch, task: bool
) -> None:
    first = Scripted(TASK, Drawn(count=1)) if task else Scripted()
    left = await crash_before_the_last_commit(data, crashed, monkeypatch, first)
    provider = Scripted()
    async with open_engine(left, provider) as engine:
        job = await taken_over(engine)
        assert job.state is JobState.SUCCEEDED
        assert not provider.calls
        assert not provider.checks
        assert job.result is not None
        (found,) = job.result.pictures
        assert (found.media_type, found.width, found.height, found.bytes) == ("image/png", 64, 64, len(picture()))
        assert engine.blobs.open(found.key).read() == picture()
        assert job.cost == 40_000
        assert engine.purse() == (-40_000, 0)
        assert attempt_states(engine) == ["done"]


async def test_all_parts_are_found_again(data: Path, crashed: Crash, monkeypatch: pytest.MonkeyPatch) -> None:
    left = await crash_before_the_last_commit(data, crashed, monkeypatch, Scripted(), n=5)
    async with open_engine(left, Scripted()) as engine:
        job = await taken_over(engine)
        assert job.result is not None
        assert len(job.result.pictures) == 5
        assert job.result.short == ""
        assert job.cost == 200_000


async def test_of_a_task_that_was_stored_in_part_the_rest_is_fetched(
    data: Path, crashed: Crash, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Scripted(TASK, Drawn(count=2))
    left = await crash_before_the_last_commit(data, crashed, monkeypatch, first, n=2)
    next(iter((left / "blobs" / "out").rglob("*-0-1.png"))).unlink()
    async with open_engine(left, Scripted(Drawn(count=2))) as engine:
        job = await taken_over(engine)
        assert job.result is not None
        assert len(job.result.pictures) == 2


async def test_what_was_stored_in_part_is_delivered_where_the_rest_is_gone(
    data: Path, crashed: Crash, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Scripted(TASK, Drawn(count=2))
    left = await crash_before_the_last_commit(data, crashed, monkeypatch, first, n=2)
    next(iter((left / "blobs" / "out").rglob("*-0-1.png"))).unlink()
    async with open_engine(left, Scripted(Failed("the task is no longer known"))) as engine:
        job = await taken_over(engine)
        assert job.result is not None
        assert len(job.result.pictures) == 1
        assert job.result.short.startswith("1 of 2")
        assert job.cost == 40_000


async def test_a_torn_file_is_no_picture(data: Path, crashed: Crash, monkeypatch: pytest.MonkeyPatch) -> None:
    left = await crash_before_the_last_commit(data, crashed, monkeypatch, Scripted())
    (torn,) = (left / "blobs" / "out").rglob("*.png")
    torn.write_bytes(picture()[:-10])
    async with open_engine(left, Scripted()) as engine:
        assert isinstance(error_of(await taken_over(engine)), Lost)


async def test_parts_are_recovered_each_for_itself(data: Path, crashed: Crash) -> None:
    """Part 0 was delivered, part 1 is a task, part 2 was on its way."""
    reached, _, sending = gate()
    waiting, _, checking = gate()
    provider = Scripted()

    async def by_part(asked: object) -> Drawn | Pending:
        number = len(provider.calls)
        if number == 1:
            return Drawn()
        if number == 2:
            return TASK
        return await sending(asked)  # type: ignore[operator,arg-type]

    provider.script.extend([by_part, by_part, by_part, checking])
    async with open_engine(data, provider) as engine:
        await engine.submit(ask(n=5))
        await reached.wait()
        await waiting.wait()
        await settled(lambda: len(engine.files("out")) == 2)
        left = crashed(engine)
    again = Scripted(Drawn(count=2))
    async with open_engine(left, again) as engine:
        job = await taken_over(engine)
        assert job.result is not None
        assert len(job.result.pictures) == 4
        assert job.result.short.startswith("4 of 5 pictures: this gateway stopped")
        assert not again.calls
        assert len(again.checks) == 1
        assert job.cost == 160_000
        assert attempt_states(engine) == ["done", "done", "failed"]


# -- a worker that wakes up --


async def test_a_picture_in_the_hands_of_a_worker_that_was_declared_dead_is_delivered(
    data: Path, provider: Scripted
) -> None:
    reached, opened, step = gate()
    provider.script.append(step)
    async with open_engine(data, provider) as engine:
        handle = await engine.submit()
        await reached.wait()
        (other,) = await engine.database.write(lambda tx: jobs.take_over(tx, handle.job.worker_id, "wrk_other"))
        await engine.database.write(lambda tx: jobs.end(tx, other, JobState.FAILED, Lost("interrupted")))
        assert engine.purse() == (0, 0)
        opened.set()
        await settled(lambda: engine.gateway.running == 0)
        assert engine.job(handle).state is JobState.SUCCEEDED
        assert handle.outcome.result().result is not None
        assert engine.purse() == (-40_000, 0)
        assert attempt_states(engine) == ["done"]


async def test_a_worker_that_was_declared_dead_cannot_send_again(data: Path, provider: Scripted) -> None:
    reached, opened, step = gate(Rejected("no"))
    provider.script.append(step)
    async with open_engine(data, provider, channels=TWO) as engine:
        handle = await engine.submit()
        await reached.wait()
        await engine.database.write(lambda tx: jobs.take_over(tx, handle.job.worker_id, "wrk_other"))
        opened.set()
        await settled(lambda: engine.gateway.running == 0)
        assert len(provider.calls) == 1
        assert engine.job(handle).finished_ms is None  # it is the other's to end


# -- the worst of several errors --


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ([Rejected("a")], "a"),
        ([Rejected("a"), Malformed("b")], "b"),
        ([Lost("a"), Refused("b")], "b"),
        ([NotFound("a"), Rejected("b")], "a"),
    ],
)
def test_the_worst_error(errors: list[PicturaError], told: str) -> None:
    assert worst(errors).message == told
