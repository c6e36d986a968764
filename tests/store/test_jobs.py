"""Jobs: rows that say what was promised, sent and delivered; and whose word about them counts."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec
import pytest

from pictura.core import errors, ids
from pictura.core.errors import (
    BadRequest,
    CallerError,
    Cancelled,
    Failed,
    HouseError,
    InsufficientBalance,
    Lost,
    NotFound,
    PicturaError,
    RateLimited,
    Refused,
    Rejected,
    Throttled,
    TooLarge,
    Unsupported,
)
from pictura.core.job import JobState
from pictura.core.price import Usage
from pictura.core.request import ImageRequest, InputPicture
from pictura.core.result import Delivered, ImageResult
from pictura.core.size import Size
from pictura.engine.attempt import TimedOut
from pictura.infra.db import SqliteDatabase
from pictura.infra.fetch import FetchTooLarge
from pictura.store import assets, jobs, ledger
from pictura.store.jobs import Attempt, Job, Superseded
from pictura.store.keys import Key, KeyRing, Project

RESULT = ImageResult(
    created_ms=7,
    pictures=(
        Delivered(key="out/2026-11-20/a-0-0.png", media_type="image/png", width=64, height=32, bytes=9, seed=3),
        Delivered(url="https://cdn.example.com/a.png", revised_prompt="a red fox"),
    ),
    usage=Usage(text_in=1, image_out=2),
    texts=("here you are",),
    echo={"quality": "high"},
    adjusted=("size=3K→2K",),
    ignored=("lora",),
    short="2 of 3 pictures: no",
)


def job_of(key: Key, **said: Any) -> Job:
    fields: dict[str, Any] = {
        "id": ids.new("job"),
        "project_id": key.project.id,
        "prepaid": key.project.prepaid,
        "key_id": key.id,
        "worker_id": "wrk_1",
        "dialect": "openai",
        "model": "fox",
        "request": ImageRequest(model="fox", prompt="a fox", size=Size(aspect="16:9"), params={"seed": 7}),
        "request_hash": "hash",
        "hold": 50,
        "created_ms": 5,
        **said,
    }
    return Job(**fields)


def attempt(number: int = 0, part: int = 0, channel: str = "main") -> Attempt:
    return Attempt(number=number, part=part, pictures=1, channel=channel, client_id=f"try_{number}")


async def started(database: SqliteDatabase, key: Key, *first: Attempt, **said: Any) -> Job:
    job = job_of(key, **said)
    await database.write(lambda tx: jobs.create(tx, job, key, list(first) or [attempt()]))
    return job


def found(database: SqliteDatabase, job: Job) -> Job:
    seen = database.read(lambda tx: jobs.find(tx, job.id))
    assert seen is not None
    return seen


def held(database: SqliteDatabase) -> int:
    return database.read(lambda tx: ledger.purse(tx, "default")).held


async def test_a_job_is_read_as_it_was_written(database: SqliteDatabase, key: Key) -> None:
    job = await started(database, key, attempt(0, 0), attempt(1, 1, "other"), sandbox=True)
    assert found(database, job) == job
    first, second = database.read(lambda tx: jobs.attempts(tx, job.id))
    assert (first.number, first.part, first.channel, first.state, first.client_id) == (0, 0, "main", "sending", "try_0")
    assert (second.number, second.part, second.channel) == (1, 1, "other")
    assert database.read(lambda tx: jobs.find(tx, "job_none")) is None
    assert database.read(lambda tx: jobs.attempts(tx, "job_none")) == []


async def test_without_money_there_is_no_job(database: SqliteDatabase, prepaid_key: Key) -> None:
    job = job_of(prepaid_key)
    with pytest.raises(InsufficientBalance):
        await database.write(lambda tx: jobs.create(tx, job, prepaid_key, [attempt()]))
    assert database.read(lambda tx: jobs.find(tx, job.id)) is None
    assert database.read(lambda tx: jobs.attempts(tx, job.id)) == []


async def test_a_task_is_saved_with_the_state(database: SqliteDatabase, key: Key) -> None:
    job = await started(database, key)
    await database.write(lambda tx: jobs.save_pending(tx, job, 0, '{"upstream_id": "t"}'))
    assert job.state is found(database, job).state is JobState.WAITING
    (saved,) = database.read(lambda tx: jobs.attempts(tx, job.id))
    assert (saved.state, saved.pending) == ("pending", '{"upstream_id": "t"}')


async def test_attempts_follow_each_other(database: SqliteDatabase, key: Key) -> None:
    job = await started(database, key)
    await database.write(lambda tx: jobs.end_attempt(tx, job.id, 0, "because"))
    await database.write(lambda tx: jobs.begin_attempt(tx, job, attempt(1)))
    await database.write(lambda tx: jobs.end_attempt(tx, job.id, 1))
    states = [(a.state, a.error) for a in database.read(lambda tx: jobs.attempts(tx, job.id))]
    assert states == [("failed", "because"), ("done", None)]
    with pytest.raises(sqlite3.IntegrityError):
        await database.write(lambda tx: jobs.begin_attempt(tx, job, attempt(1)))


async def test_a_job_goes_no_way_that_is_not_drawn(database: SqliteDatabase, key: Key) -> None:
    job = await started(database, key)
    await database.write(lambda tx: tx.run("UPDATE jobs SET state = 'delivering'"))
    with pytest.raises(Superseded):
        await database.write(lambda tx: jobs.save_pending(tx, job, 0, "{}"))
    assert found(database, job).state is JobState.DELIVERING


async def test_success_is_the_result_the_money_and_the_pictures(database: SqliteDatabase, key: Key) -> None:
    job = await started(database, key)
    settled = await database.write(lambda tx: jobs.succeed(tx, job, RESULT, 40))
    assert settled.cost == 40
    seen = found(database, job)
    assert (seen.state, seen.cost, seen.result) == (JobState.SUCCEEDED, 40, settled)
    assert seen.finished_ms
    asset = database.read(lambda tx: assets.find(tx, "out/2026-11-20/a-0-0.png"))
    assert asset is not None
    assert (asset.job_id, asset.project_id, asset.width, asset.bytes) == (job.id, "default", 64, 9)
    assert len(database.read(lambda tx: assets.newest(tx, "default"))) == 1  # a relayed URL is nobody's file
    assert held(database) == 0


async def test_a_cost_that_nobody_knows_is_not_nothing(database: SqliteDatabase, key: Key) -> None:
    job = await started(database, key, hold=0)
    settled = await database.write(lambda tx: jobs.succeed(tx, job, RESULT, None))
    assert settled.cost is None
    assert found(database, job).cost is None


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED])
async def test_what_came_to_nothing_costs_nothing(database: SqliteDatabase, key: Key, state: JobState) -> None:
    job = await started(database, key)
    await database.write(lambda tx: jobs.end(tx, job, state, Rejected("no")))
    seen = found(database, job)
    assert (seen.state, seen.cost, seen.result) == (state, 0, None)
    assert seen.error is not None and seen.error.message == "no"
    assert held(database) == 0


async def test_what_is_uncertain_keeps_its_hold(database: SqliteDatabase, key: Key) -> None:
    job = await started(database, key)
    await database.write(lambda tx: jobs.end(tx, job, JobState.UNCERTAIN, Lost("no answer")))
    assert held(database) == 50


@pytest.mark.parametrize("charge", [True, False])
async def test_an_operator_decides_about_what_is_uncertain(database: SqliteDatabase, key: Key, charge: bool) -> None:
    job = await started(database, key)
    await database.write(lambda tx: jobs.end(tx, job, JobState.UNCERTAIN, Lost("no answer")))
    await database.write(lambda tx: jobs.resolve(tx, job.id, charge=charge))
    assert held(database) == 0
    assert found(database, job).cost == (50 if charge else 0)
    assert found(database, job).state is JobState.FAILED
    with pytest.raises(BadRequest, match="only an uncertain one"):
        await database.write(lambda tx: jobs.resolve(tx, job.id, charge=charge))
    with pytest.raises(NotFound):
        await database.write(lambda tx: jobs.resolve(tx, "job_none", charge=charge))


# -- whose word counts --


async def test_whoever_lost_the_job_is_refused(database: SqliteDatabase, key: Key) -> None:
    old = await started(database, key)
    (new,) = await database.write(lambda tx: jobs.take_over(tx, "wrk_1", "wrk_2"))
    assert (new.worker_id, new.epoch, new.request) == ("wrk_2", 1, old.request)
    for work in (
        lambda tx: jobs.begin_attempt(tx, old, attempt(1)),
        lambda tx: jobs.save_pending(tx, old, 0, "{}"),
        lambda tx: jobs.succeed(tx, old, RESULT, 40),
        lambda tx: jobs.end(tx, old, JobState.FAILED, Rejected("no")),
        lambda tx: jobs.resurrect(tx, old, RESULT, 40),
    ):
        with pytest.raises(Superseded):
            await database.write(work)
    assert found(database, old) == new
    assert len(database.read(lambda tx: jobs.attempts(tx, old.id))) == 1
    await database.write(lambda tx: jobs.succeed(tx, new, RESULT, 40))


async def test_only_the_jobs_of_the_dead_change_hands(database: SqliteDatabase, key: Key) -> None:
    dead = await started(database, key, worker_id="wrk_1")
    over = await started(database, key, worker_id="wrk_1")
    await database.write(lambda tx: jobs.end(tx, over, JobState.FAILED, Rejected("no")))
    waits = await started(database, key, worker_id="wrk_1")
    await database.write(lambda tx: jobs.end(tx, waits, JobState.UNCERTAIN, Lost("no")))
    mine = await started(database, key, worker_id="wrk_2")
    third = await started(database, key, worker_id="wrk_3")
    taken = await database.write(lambda tx: jobs.take_over(tx, "wrk_1", "wrk_2"))
    assert [job.id for job in taken] == [dead.id]
    assert [found(database, job).epoch for job in (dead, over, waits, mine, third)] == [1, 0, 0, 0, 0]
    assert await database.write(lambda tx: jobs.take_over(tx, "wrk_1", "wrk_2")) == []


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.UNCERTAIN])
async def test_a_picture_that_comes_late_is_delivered_once(database: SqliteDatabase, key: Key, state: JobState) -> None:
    old = await started(database, key)
    (new,) = await database.write(lambda tx: jobs.take_over(tx, "wrk_1", "wrk_2"))
    await database.write(lambda tx: jobs.end(tx, new, state, Lost("no answer")))
    late = await database.write(lambda tx: jobs.resurrect(tx, old, RESULT, 40))
    assert late.cost == 40
    assert (found(database, old).state, found(database, old).result) == (JobState.SUCCEEDED, late)
    assert found(database, old).error is None
    assert held(database) == 0
    for job in (old, new):
        with pytest.raises(Superseded, match="outcome already"):
            await database.write(lambda tx, job=job: jobs.resurrect(tx, job, RESULT, 40))  # type: ignore[misc]
    assert database.read(lambda tx: ledger.purse(tx, "default")).balance == -40


async def test_a_late_picture_of_what_was_charged_is_charged_anew(database: SqliteDatabase, key: Key) -> None:
    job = await started(database, key)
    await database.write(lambda tx: jobs.end(tx, job, JobState.UNCERTAIN, Lost("no answer")))
    await database.write(lambda tx: jobs.resolve(tx, job.id, charge=True))
    await database.write(lambda tx: jobs.resurrect(tx, job, RESULT, 40))
    assert database.read(lambda tx: ledger.purse(tx, "default")) == ledger.Purse(-40, 0, False)


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.EXPIRED])
async def test_what_was_cancelled_or_expired_stays_so(database: SqliteDatabase, key: Key, state: JobState) -> None:
    job = await started(database, key)
    await database.write(lambda tx: jobs.end(tx, job, state, NotFound("gone")))
    with pytest.raises(Superseded):
        await database.write(lambda tx: jobs.resurrect(tx, job, RESULT, 40))


# -- looking for jobs --


async def test_the_same_request_of_the_same_key(database: SqliteDatabase, ring: KeyRing, key: Key) -> None:
    other, _ = await ring.make(Key(id="", project=Project("default", "Default"), name="test", kind="test"))
    before = ids.at(0, "job")
    assert database.read(lambda tx: jobs.find_same(tx, key, "hash", before)) is None
    await started(database, key, id="job_1")
    newest = await started(database, key, id="job_2")
    await started(database, other, id="job_3")
    await started(database, key, id="job_4", request_hash="another")
    assert database.read(lambda tx: jobs.find_same(tx, key, "hash", before)) == newest
    assert database.read(lambda tx: jobs.find_same(tx, key, "hash", "job_2")) is None


async def test_the_newest_jobs_page_by_page(database: SqliteDatabase, key: Key, prepaid_key: Key) -> None:
    for number in range(3):
        await started(database, key, id=f"job_{number}")
    await started(database, prepaid_key, id="job_9", hold=0)

    def page(**said: Any) -> list[str]:
        return [job.id for job in database.read(lambda tx: jobs.newest(tx, **said))]

    assert page() == ["job_9", "job_2", "job_1", "job_0"]
    assert page(project_id="default", limit=2) == ["job_2", "job_1"]
    assert page(project_id="default", limit=2, before_id="job_1") == ["job_0"]
    assert database.read(jobs.uses) == {"fox": 4}


# -- errors, kept and raised again --

KEPT: list[PicturaError] = [
    BadRequest("wrong", param="size"),
    Unsupported("no", param="size", allowed=("a",)),
    Cancelled("as asked"),
    RateLimited("slow", retry_after_s=9),
    Refused("no", reason="violence", by="openai"),
    Refused("no", reason="violence", by="openai", billed=True),
    Rejected("no"),
    Throttled("slow", retry_after_s=3),
    Failed("broke"),
    Failed("broke", unbilled=True),
    Lost("who knows"),
    HouseError("ours"),
]


@pytest.mark.parametrize("error", KEPT, ids=lambda error: type(error).__name__)
def test_an_error_is_raised_again_as_it_was(error: PicturaError) -> None:
    again = jobs.revived(msgspec.json.decode(msgspec.json.encode(jobs.stored(error)), type=jobs.StoredError))
    assert type(again) is type(error)
    for name in ("message", "param", "allowed", "possibly_billed", "status", "code"):
        assert getattr(again, name) == getattr(error, name)
    for name in ("retry_after_s", "reason", "by"):
        assert getattr(again, name, None) == getattr(error, name, None)


@pytest.mark.parametrize(
    ("error", "kind"), [(TimedOut("late"), Lost), (FetchTooLarge("big"), TooLarge), (Superseded("late"), HouseError)]
)
def test_an_error_of_another_floor_is_kept_as_its_nearest_class(error: PicturaError, kind: type[PicturaError]) -> None:
    assert type(jobs.revived(jobs.stored(error))) is kind


@pytest.mark.parametrize("cls", [cls for cls in vars(errors).values() if isinstance(cls, type)])
def test_every_class_of_the_tree_can_be_raised_again(cls: type) -> None:
    if issubclass(cls, PicturaError):
        assert type(jobs.revived(jobs.StoredError(cls.__name__, "m"))) is cls


def test_a_class_of_another_version_is_at_least_an_error() -> None:
    assert type(jobs.revived(jobs.StoredError("NeverHeardOf", "m"))) is HouseError
    assert not issubclass(HouseError, CallerError)


def test_inputs_are_kept_with_the_request() -> None:
    request = ImageRequest(model="fox", images=(InputPicture(key="in/x"),))
    assert msgspec.json.decode(msgspec.json.encode(request), type=ImageRequest).images[0].key == "in/x"
