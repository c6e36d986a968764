"""Where pictures are kept: whole or not at all, by keys that lead nowhere else."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from pictura.core.errors import BadRequest, HouseError, NotFound
from pictura.infra.blobs import LocalBlobs, open_blobs
from pictura.infra.spool import CHUNK_BYTES

BIG = bytes(range(256)) * 2048
DAY = "out/2026-11-20"


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


async def put(blobs: LocalBlobs, key: str, data: bytes = b"x", *, durable: bool = True) -> None:
    spool = blobs.spool()
    spool.write(data)
    await blobs.put(key, spool, durable=durable)
    spool.close()


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("data", [b"", b"x", BIG])
async def test_what_was_put_is_read(blobs: LocalBlobs, data: bytes, durable: bool) -> None:
    await put(blobs, f"{DAY}/job-0-0.png", data, durable=durable)
    blob = blobs.open(f"{DAY}/job-0-0.png")
    assert blob.size == len(data)
    assert blob.read() == data
    assert b"".join(blob.chunks()) == data
    assert b"".join(blob.chunks(1000)) == data
    assert blob.read(-5) == data[-5:]
    assert blob.read(2, 3) == data[2:5]
    assert blob.read(len(data) + 1) == b""


async def test_a_spool_that_is_being_written_out_is_not_closed_by_a_cancellation(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its memory would go to another picture, whose bytes would come into this file."""
    writes, sync = threading.Event(), os.fsync
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(handle: int) -> None:
        loop.call_soon_threadsafe(begun.set)
        writes.wait(10)
        sync(handle)

    monkeypatch.setattr(os, "fsync", slow)
    spool = blobs.spool(passing=True)
    spool.write(BIG)
    putting = asyncio.create_task(blobs.put(f"{DAY}/job-0-0.png", spool))
    await begun.wait()
    putting.cancel()
    await asyncio.wait({putting}, timeout=0.05)
    assert not putting.done()
    writes.set()
    with pytest.raises(asyncio.CancelledError):
        await putting
    spool.close()
    assert blobs.open(f"{DAY}/job-0-0.png").read() == BIG and blobs.slabs.out == 0


async def test_a_blob_holds_no_file_open(blobs: LocalBlobs) -> None:
    await put(blobs, f"{DAY}/job-0-0.png", BIG)
    before = open_files()
    opened = [blobs.open(f"{DAY}/job-0-0.png") for _ in range(20)]
    assert all(blob.read(0, 1) == b"\0" for blob in opened)
    assert open_files() == before


async def test_what_was_deleted_is_not_found(blobs: LocalBlobs) -> None:
    await put(blobs, f"{DAY}/job-0-0.png")
    for _ in range(2):
        await blobs.delete(f"{DAY}/job-0-0.png")
        with pytest.raises(NotFound, match="no longer kept"):
            blobs.open(f"{DAY}/job-0-0.png")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "out/2026-11-20/",
        "../secret",
        "/etc/passwd",
        "out/../../../secret",
        "out/2026-11-20/../../x",
        "out/..-..-..-./x",
        "out/2026-11-20/.png",
        "out/2026-11-20/a.png/b",
        "out/2026-11-20/a\n",
        "out/2026-11-20/a.tar.gz",
        "OUT/2026-11-20/a",
        "out/2026-11-20/" + "a" * 81,
        "out/2026-11-20/ä",
        "out/2026-11-20/a\0",
    ],
)
async def test_a_key_cannot_lead_out_of_the_folder(blobs: LocalBlobs, tmp_path: Path, key: str) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(NotFound):
        blobs.open(key)
    with pytest.raises(BadRequest):
        await put(blobs, key)
    with pytest.raises(BadRequest):
        await blobs.delete(key)


async def test_blobs_are_found_by_what_their_keys_begin_with(blobs: LocalBlobs) -> None:
    for name in ("job_a-0-0.png", "job_a-0-1.webp", "job_a-1-0.png", "job_a-10-0.png", "job_b-0-0.png"):
        await put(blobs, f"{DAY}/{name}")
    assert await blobs.find(f"{DAY}/job_a-0-") == [f"{DAY}/job_a-0-0.png", f"{DAY}/job_a-0-1.webp"]
    assert await blobs.find(f"{DAY}/job_a-1-") == [f"{DAY}/job_a-1-0.png"]
    assert await blobs.find("out/1999-01-01/job_a-") == []


async def test_old_blobs_of_a_kind(blobs: LocalBlobs, tmp_path: Path) -> None:
    for kind in ("in", "out"):
        await put(blobs, f"{kind}/2026-11-20/old.png")
        await put(blobs, f"{kind}/2026-11-20/new.png")
        long_ago = time.time() - 7200
        os.utime(tmp_path / "blobs" / kind / "2026-11-20" / "old.png", (long_ago, long_ago))
    assert await blobs.old("in", 3600) == ["in/2026-11-20/old.png"]
    assert await blobs.old("out", 3600) == ["out/2026-11-20/old.png"]
    assert await blobs.old("out", 9999) == []
    assert await blobs.old("none", 0) == []


async def test_what_an_earlier_process_left_half_written_is_gone(tmp_path: Path) -> None:
    earlier = LocalBlobs(tmp_path)
    spool = earlier.spool()
    spool.write(BIG)
    await put(earlier, f"{DAY}/job-0-0.png")
    LocalBlobs(tmp_path)
    assert files(tmp_path) == ["job-0-0.png"]
    spool.close()


async def test_a_spool_that_was_not_put_leaves_nothing(blobs: LocalBlobs, tmp_path: Path) -> None:
    spool = blobs.spool()
    spool.write(BIG)
    spool.close()
    assert not files(tmp_path)


async def test_cooling_changes_nothing(blobs: LocalBlobs) -> None:
    await put(blobs, f"{DAY}/job-0-0.png", BIG)
    blob = blobs.open(f"{DAY}/job-0-0.png")
    blob.cool()
    assert blob.read(CHUNK_BYTES, 1) == BIG[CHUNK_BYTES : CHUNK_BYTES + 1]


def test_where_blobs_are(tmp_path: Path) -> None:
    open_blobs("", tmp_path)
    assert (tmp_path / "blobs" / "tmp").is_dir()
    open_blobs(f"file://{tmp_path}/other", tmp_path)
    assert (tmp_path / "other" / "tmp").is_dir()
    with pytest.raises(BadRequest, match="file:///path/to/folder"):
        open_blobs("s3://bucket", tmp_path)


def test_there_must_be_room_for_pictures(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    blobs.check_room()
    monkeypatch.setattr(LocalBlobs, "least_room_bytes", 1 << 62)
    with pytest.raises(HouseError, match="no room left for pictures; no provider was asked"):
        blobs.check_room()
    assert "are free below" in caplog.text
