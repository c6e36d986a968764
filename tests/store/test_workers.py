"""Workers: who lives, who is silent, and whose jobs nobody minds."""

from __future__ import annotations

import time

import pytest

from pictura.core import ids
from pictura.core.errors import Rejected
from pictura.core.job import JobState
from pictura.core.request import ImageRequest
from pictura.infra.db import SqliteDatabase
from pictura.store import jobs, workers
from pictura.store.jobs import Job
from pictura.store.keys import Key


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ms = 1_000_000
        monkeypatch.setattr(time, "time_ns", lambda: self.ms * 1_000_000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def silent(database: SqliteDatabase, worker_id: str, silent_ms: int) -> list[str]:
    return sorted(database.read(lambda tx: workers.others(tx, worker_id, silent_ms)))


async def test_who_beats_is_not_silent(database: SqliteDatabase, clock: Clock) -> None:
    for name in ("a", "b"):
        await database.write(lambda tx, name=name: workers.join(tx, name, "host"))  # type: ignore[misc]
    clock.ms += 9_999
    assert silent(database, "a", 10_000) == []
    assert await database.write(lambda tx: workers.beat(tx, "a"))
    clock.ms += 1
    assert silent(database, "a", 10_000) == ["b"]
    assert silent(database, "b", 10_000) == []
    assert silent(database, "c", 10_000) == ["b"]


async def test_where_there_can_be_no_other_all_others_are_dead(database: SqliteDatabase, clock: Clock) -> None:
    await database.write(lambda tx: workers.join(tx, "a", "host"))
    clock.ms -= 3_600_000  # the clock was set back before the next start
    assert silent(database, "b", 0) == ["a"]


async def test_who_was_declared_dead_is_told_so(database: SqliteDatabase) -> None:
    await database.write(lambda tx: workers.join(tx, "a", "host"))
    await database.write(lambda tx: workers.leave(tx, "a"))
    assert not await database.write(lambda tx: workers.beat(tx, "a"))


async def test_jobs_without_a_worker(database: SqliteDatabase, key: Key) -> None:
    await database.write(lambda tx: workers.join(tx, "alive", "host"))
    for worker_id, over in (("alive", False), ("gone", False), ("gone", False), ("done", True)):
        job = Job(
            id=ids.new("job"),
            project_id="default",
            prepaid=False,
            key_id=key.id,
            worker_id=worker_id,
            dialect="openai",
            model="fox",
            request=ImageRequest(model="fox"),
            request_hash="",
            hold=0,
        )
        await database.write(lambda tx, job=job: jobs.create(tx, job, key, []))  # type: ignore[misc]
        if over:
            await database.write(lambda tx, job=job: jobs.end(tx, job, JobState.FAILED, Rejected("no")))  # type: ignore[misc]
    assert database.read(workers.orphans) == ["gone"]
