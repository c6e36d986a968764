"""Spools: bytes in memory or in a file, and always the same bytes."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pictura.infra.spool import CHUNK_BYTES, MEMORY_BYTES, Spool

BIG = bytes(range(256)) * 2048  # 512 KB
SIZES = [0, 1, MEMORY_BYTES, MEMORY_BYTES + 1, CHUNK_BYTES + 1, len(BIG)]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    (tmp_path / "spools").mkdir()
    spool = Spool(tmp_path / "spools")
    yield spool
    spool.close()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("size", SIZES)
def test_what_was_written_is_read(spool: Spool, size: int) -> None:
    spool.write(BIG[:size])
    assert spool.size == size
    assert spool.read() == BIG[:size]
    assert b"".join(spool.chunks()) == BIG[:size]
    assert b"".join(spool.chunks(1000)) == BIG[:size]
    assert spool.read(-10) == BIG[:size][-10:]
    assert spool.read(-(10**9), 5) == BIG[: min(size, 5)]
    assert spool.read(3, 4) == BIG[:size][3:7]
    assert spool.read(size) == spool.read(size + 1, 9) == b""


@given(
    st.lists(st.binary(max_size=3 * MEMORY_BYTES // 4), max_size=4),
    st.integers(-300_000, 300_000),
    st.integers(-1, 300_000),
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_spool_reads_as_one_string_of_bytes_would(tmp_path: Path, parts: list[bytes], offset: int, size: int) -> None:
    spool = Spool(tmp_path)
    for part in parts:
        spool.write(memoryview(bytearray(part)))
    whole = b"".join(parts)
    start = max(0, len(whole) + offset) if offset < 0 else offset
    assert spool.read(offset, size) == (whole[start:] if size < 0 else whole[start : start + size])
    spool.close()
    assert not files(tmp_path)


def test_little_needs_no_file(spool: Spool, tmp_path: Path) -> None:
    spool.write(BIG[:MEMORY_BYTES])
    assert spool.path is None
    assert not files(tmp_path)
    spool.write(b"x")
    assert spool.path is not None
    assert spool.path.read_bytes() == BIG[:MEMORY_BYTES] + b"x"


@pytest.mark.parametrize("size", [1, len(BIG)])
def test_closing_leaves_nothing(spool: Spool, tmp_path: Path, size: int) -> None:
    before = open_files()
    spool.write(BIG[:size])
    spool.close()
    spool.close()
    assert not files(tmp_path)
    assert open_files() == before
    assert spool.size == size
    with pytest.raises(ValueError, match="closed"):
        spool.read()
    with pytest.raises(ValueError, match="closed"):
        spool.write(b"x")


@pytest.mark.parametrize("size", SIZES)
def test_what_was_taken_stays_where_it_was_taken_to(spool: Spool, tmp_path: Path, size: int) -> None:
    target = tmp_path / "kept" / "picture.png"
    target.parent.mkdir()
    spool.write(BIG[:size])
    spool.take(target)
    assert target.read_bytes() == BIG[:size]
    assert spool.path == target
    assert spool.read() == BIG[:size]
    spool.close()
    assert files(tmp_path) == ["picture.png"]


def test_a_taken_file_takes_the_place_of_an_older_one(spool: Spool, tmp_path: Path) -> None:
    target = tmp_path / "picture.png"
    target.write_bytes(b"older")
    spool.write(b"newer")
    spool.take(target)
    assert target.read_bytes() == b"newer"


def test_the_sync_is_of_the_file_that_was_taken(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink())))
    spool.write(b"x")
    spool.take(tmp_path / "one")
    assert not synced
    spool.sync()
    assert synced == [str(tmp_path / "one")]


def test_spools_do_not_meet(tmp_path: Path) -> None:
    spools = [Spool(tmp_path, f"type/{number}") for number in range(5)]
    for number, spool in enumerate(spools):
        spool.write(bytes([number]) * len(BIG))
    for number, spool in enumerate(spools):
        assert spool.read() == bytes([number]) * len(BIG)
        assert spool.media_type == f"type/{number}"
        spool.close()
    assert not files(tmp_path)


def test_a_spool_is_its_owners_alone(spool: Spool) -> None:
    spool.write(BIG)
    assert spool.path is not None
    assert spool.path.stat().st_mode & 0o077 == 0
