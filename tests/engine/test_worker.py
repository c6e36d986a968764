"""The house's own work: a heartbeat, the jobs of the dead, the broom."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pictura.core import ids
from pictura.core.errors import HouseError
from pictura.core.job import JobState
from pictura.core.request import InputPicture
from pictura.engine import worker as worker_module
from pictura.engine.worker import SPARED_S, Worker
from pictura.infra.config import StorageSettings
from pictura.store import assets, jobs, workers
from tests.conftest import Drawn, Scripted, gate, picture
from tests.engine.conftest import Engine, ask, open_engine, settled
from tests.engine.test_run import TASK

DAY_S = 86_400.0


def members(engine: Engine) -> list[str]:
    return [row[0] for row in engine.database.read(lambda tx: tx.all("SELECT id FROM workers"))]


async def open_jobs(engine: Engine, count: int) -> list[str]:
    """So many jobs on their way, each with a task."""
    gates = [gate() for _ in range(count)]
    provider = engine.planner.providers["scripted"]
    assert isinstance(provider, Scripted)
    handles = []
    for reached, _, step in gates:
        provider.script.extend([TASK, step])
        handles.append(await engine.submit())
        await reached.wait()
    return [handle.job.id for handle in handles]


# -- coming and going --


async def test_a_worker_joins_and_leaves(engine: Engine) -> None:
    await engine.worker.start()
    assert members(engine) == [engine.worker.id]
    await engine.worker.stop()
    assert members(engine) == []


async def test_a_heart_beats(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "BEAT_S", 0.01)
    await engine.worker.start()
    await engine.database.write(lambda tx: tx.run("UPDATE workers SET beat_ms = 1"))
    await settled(lambda: engine.database.read(lambda tx: tx.one("SELECT beat_ms FROM workers"))[0] > 1)  # type: ignore[index]
    await engine.worker.stop()


async def test_a_worker_that_was_declared_dead_joins_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, quiet: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_module, "BEAT_S", 0.01)
    await engine.worker.start()
    await engine.database.write(lambda tx: workers.leave(tx, engine.worker.id))
    await settled(lambda: members(engine) == [engine.worker.id])
    await engine.worker.stop()


@pytest.mark.parametrize("trouble", [HouseError("the disk is full"), ValueError("a bug")])
async def test_a_bad_beat_is_not_the_last(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, quiet: pytest.LogCaptureFixture, trouble: Exception
) -> None:
    beats: list[str] = []

    def beat(tx: object, worker_id: str) -> bool:
        beats.append(worker_id)
        if len(beats) < 3:
            raise trouble
        return True

    monkeypatch.setattr(worker_module, "BEAT_S", 0.01)
    monkeypatch.setattr(workers, "beat", beat)
    await engine.worker.start()
    await settled(lambda: len(beats) > 3)
    await engine.worker.stop()


# -- jobs of the dead --


async def test_the_jobs_of_dead_workers_are_taken_over_once(data: Path, crashed: Callable[[Engine], Path]) -> None:
    async with open_engine(data, Scripted()) as engine:
        await engine.database.write(lambda tx: workers.join(tx, engine.worker.id, "host"))
        first = await open_jobs(engine, 2)
        await engine.database.write(
            lambda tx: tx.run("UPDATE jobs SET worker_id = 'wrk_second' WHERE id = ?", (first[1],))
        )
        await engine.database.write(lambda tx: workers.join(tx, "wrk_second", "host"))
        left = crashed(engine)
    provider = Scripted(Drawn(count=1), Drawn(count=1))
    async with open_engine(left, provider) as engine:
        await engine.worker.start()
        await settled(lambda: engine.gateway.running == 0)
        assert members(engine) == [engine.worker.id]
        found = [engine.database.read(lambda tx, id=id: jobs.find(tx, id)) for id in first]  # type: ignore[misc]
        assert [job and job.state for job in found] == [JobState.SUCCEEDED] * 2
        assert [job and job.epoch for job in found] == [1, 1]
        assert len(provider.checks) == 2  # not three: what the first left is not taken from the heir again
        assert engine.purse() == (-80_000, 0)
        await engine.worker.stop()


async def test_jobs_of_a_worker_that_left_no_row_are_taken_over(data: Path, crashed: Callable[[Engine], Path]) -> None:
    async with open_engine(data, Scripted()) as engine:
        await open_jobs(engine, 1)  # this engine's worker never joined
        left = crashed(engine)
    async with open_engine(left, Scripted(Drawn(count=1))) as engine:
        await engine.worker.start()
        await settled(lambda: engine.gateway.running == 0)
        assert engine.purse() == (-40_000, 0)
        await engine.worker.stop()


async def test_a_clock_that_was_set_back_does_not_hide_the_dead(data: Path, crashed: Callable[[Engine], Path]) -> None:
    async with open_engine(data, Scripted()) as engine:
        await engine.database.write(lambda tx: workers.join(tx, engine.worker.id, "host"))
        await engine.database.write(lambda tx: tx.run("UPDATE workers SET beat_ms = beat_ms + 3600000"))
        await open_jobs(engine, 1)
        left = crashed(engine)
    async with open_engine(left, Scripted(Drawn(count=1))) as engine:
        await engine.worker.start()
        await settled(lambda: engine.gateway.running == 0)
        assert engine.purse() == (-40_000, 0)
        await engine.worker.stop()


async def test_among_several_the_jobs_of_the_silent_alone_are_taken(data: Path) -> None:
    """As with several processes on one database: what a worker itself has on its way is not begun anew."""
    async with open_engine(data, Scripted()) as engine:
        worker = Worker(
            engine.gateway._worker_id, engine.database, engine.gateway, engine.blobs, StorageSettings(), alone=False
        )
        await worker.start()
        mine = await open_jobs(engine, 2)
        silent, living = await open_jobs(engine, 2)
        for job_id, worker_id in ((silent, "wrk_silent"), (living, "wrk_living")):
            await engine.database.write(
                lambda tx, job_id=job_id, worker_id=worker_id: tx.run(  # type: ignore[misc]
                    "UPDATE jobs SET worker_id = ? WHERE id = ?", (worker_id, job_id)
                )
            )
            await engine.database.write(lambda tx, worker_id=worker_id: workers.join(tx, worker_id, "host"))  # type: ignore[misc]
        assert await worker.take_over() == 0
        await engine.database.write(lambda tx: tx.run("UPDATE workers SET beat_ms = 0 WHERE id = 'wrk_silent'"))
        resumed: list[str] = []
        engine.gateway.resume = lambda job, attempts: resumed.append(job.id)  # type: ignore[method-assign,assignment,return-value]
        assert await worker.take_over() == 1
        assert resumed == [silent]
        rows = engine.database.read(lambda tx: tx.all("SELECT id, worker_id, epoch FROM jobs"))
        owners = {job_id: (worker_id, epoch) for job_id, worker_id, epoch in rows}
        assert owners == {
            **dict.fromkeys(mine, (worker.id, 0)),
            silent: (worker.id, 1),
            living: ("wrk_living", 0),
        }
        await worker.stop()


# -- the broom --


def age(engine: Engine, key: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(engine.folder / "blobs" / key, (then, then))


async def put(engine: Engine, key: str, age_s: float = 0) -> str:
    spool = engine.blobs.spool()
    spool.write(picture())
    await engine.blobs.put(key, spool)
    spool.close()
    age(engine, key, age_s)
    return key


def there(engine: Engine, key: str) -> bool:
    return (engine.folder / "blobs" / key).exists()


async def test_what_belongs_to_nobody_is_swept_when_it_is_old(engine: Engine) -> None:
    stray = [f"{kind}/2026-11-20/{ids.new('job')}-0-{n}.png" for kind in ("in", "out") for n in range(2)]
    old_in, young_in, old_out, young_out = stray
    for key, age_s in ((old_in, 2 * SPARED_S), (young_in, 0), (old_out, 2 * SPARED_S), (young_out, SPARED_S - 60)):
        await put(engine, key, age_s)
    assert await engine.worker.sweep() == 2
    assert [there(engine, key) for key in stray] == [False, True, False, True]
    assert await engine.worker.sweep() == 0


async def test_pictures_are_kept_as_long_as_was_said(data: Path) -> None:
    async with open_engine(data, Scripted(), storage=StorageSettings(keep_days=2)) as engine:
        keys = []
        for days in (1, 3):
            outcome = await engine.draw()
            assert outcome.result is not None
            keys.append(outcome.result.pictures[0].key)
            age(engine, keys[-1], days * DAY_S)
            made_ms = int((time.time() - days * DAY_S) * 1000)
            await engine.database.write(
                lambda tx, made_ms=made_ms: tx.run(  # type: ignore[misc]
                    "UPDATE assets SET created_ms = ? WHERE key = ?", (made_ms, keys[-1])
                )
            )
        assert await engine.worker.sweep() == 1
        assert [there(engine, key) for key in keys] == [True, False]
        assert engine.database.read(lambda tx: assets.find(tx, keys[1])) is None
        assert engine.database.read(lambda tx: assets.find(tx, keys[0])) is not None


async def test_pictures_may_be_kept_for_ever(data: Path) -> None:
    async with open_engine(data, Scripted(), storage=StorageSettings(keep_days=0)) as engine:
        outcome = await engine.draw()
        assert outcome.result is not None
        age(engine, outcome.result.pictures[0].key, 9999 * DAY_S)
        await engine.database.write(lambda tx: tx.run("UPDATE assets SET created_ms = 1"))
        assert await engine.worker.sweep() == 0


async def test_what_an_open_job_needs_is_spared(engine: Engine, provider: Scripted) -> None:
    reached, opened, step = gate()
    provider.script.append(step)
    request = ask(images=(InputPicture(ref="upload:0"),))
    handle = await engine.submit(request, uploads=[engine.upload(picture())])
    await reached.wait()
    input_key = engine.job(handle).request.images[0].key
    stored = await put(engine, f"out/2026-11-20/{handle.job.id}-0-0.png", 9 * SPARED_S)
    age(engine, input_key, 9 * SPARED_S)
    assert await engine.worker.sweep() == 0
    assert there(engine, input_key)
    assert there(engine, stored)
    opened.set()
    await asyncio.shield(handle.outcome)
    handle.leave()


async def test_sweeping_goes_on_after_trouble(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, quiet: pytest.LogCaptureFixture
) -> None:
    sweeps: list[int] = []

    async def sweep() -> int:
        sweeps.append(1)
        if len(sweeps) < 3:
            raise ValueError("a bug")
        return 0

    monkeypatch.setattr(worker_module, "SWEEP_S", 0.01)
    monkeypatch.setattr(engine.worker, "sweep", sweep)
    await engine.worker.start()
    await settled(lambda: len(sweeps) > 3)
    await engine.worker.stop()
