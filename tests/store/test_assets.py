"""Pictures: whose they are, since when, and whether anybody still needs their bytes."""

from __future__ import annotations

from pictura.core import ids
from pictura.core.errors import Rejected
from pictura.core.job import JobState
from pictura.core.request import ImageRequest
from pictura.infra.db import SqliteDatabase, Tx
from pictura.store import assets, jobs
from pictura.store.assets import Asset
from pictura.store.jobs import Job
from pictura.store.keys import Key


def insert(key: str, created_ms: int, project_id: str = "default") -> Asset:
    return Asset(key, assets.job_of(key), project_id, "image/png", 64, 32, 9, created_ms)


async def put(database: SqliteDatabase, *made: Asset) -> None:
    def work(tx: Tx) -> None:
        for asset in made:
            tx.run(
                "INSERT INTO assets VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    asset.key,
                    asset.job_id,
                    asset.project_id,
                    asset.media_type,
                    asset.width,
                    asset.height,
                    asset.bytes,
                    asset.created_ms,
                ),
            )

    await database.write(work)


def test_a_key_names_its_job() -> None:
    assert assets.job_of("out/2026-11-20/job_01abc-0-1.png") == "job_01abc"
    assert assets.job_of("in/2026-11-20/job_01abc-0.webp") == "job_01abc"


async def test_pictures_are_found_newest_first(database: SqliteDatabase) -> None:
    old, new = insert("out/2026-11-20/job_1-0-0.png", 10), insert("out/2026-11-20/job_2-0-0.png", 20)
    await put(database, old, new, insert("out/2026-11-20/job_3-0-0.png", 30, "other"))
    assert database.read(lambda tx: assets.find(tx, old.key)) == old
    assert database.read(lambda tx: assets.find(tx, "out/none")) is None
    assert database.read(lambda tx: assets.newest(tx, "default")) == [new, old]
    assert database.read(lambda tx: assets.newest(tx, "default", limit=1)) == [new]


async def test_outdated_pictures_are_forgotten(database: SqliteDatabase) -> None:
    keys = [f"out/2026-11-20/job_{number}-0-0.png" for number in range(4)]
    await put(database, *(insert(key, 10 * number) for number, key in enumerate(keys)))
    assert database.read(lambda tx: assets.outdated(tx, 20)) == keys[:2]
    assert database.read(lambda tx: assets.outdated(tx, 20, limit=1)) == keys[:1]
    await database.write(lambda tx: assets.forget(tx, keys[:2]))
    assert database.read(lambda tx: assets.outdated(tx, 100)) == keys[2:]


async def test_what_is_needed(database: SqliteDatabase, key: Key) -> None:
    running, over = (
        Job(
            id=ids.new("job"),
            project_id="default",
            prepaid=False,
            key_id=key.id,
            worker_id="wrk",
            dialect="openai",
            model="fox",
            request=ImageRequest(model="fox"),
            request_hash="",
            hold=0,
        )
        for _ in range(2)
    )
    for job in (running, over):
        await database.write(lambda tx, job=job: jobs.create(tx, job, key, []))  # type: ignore[misc]
    await database.write(lambda tx: jobs.end(tx, over, JobState.FAILED, Rejected("no")))
    owned = insert("out/2026-11-20/job_9-0-0.png", 10)
    await put(database, owned)
    of_running, of_over = f"in/2026-11-20/{running.id}-0.png", f"out/2026-11-20/{over.id}-0-0.png"
    found = database.read(lambda tx: assets.needed(tx, [of_running, of_over, owned.key, "in/2026-11-20/stray.png"]))
    assert found == {of_running, owned.key}
