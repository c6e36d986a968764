"""Spools: bytes in memory or in a file, and always the same bytes."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pictura.core.errors import HouseError
from pictura.infra.slabs import SLAB_BYTES, Slabs
from pictura.infra.spool import BLOCK_BYTES, CHUNK_BYTES, MEMORY_BYTES, Spool

BIG = bytes(range(256)) * 2048  # 512 KB
SIZES = [0, 1, MEMORY_BYTES, MEMORY_BYTES + 1, CHUNK_BYTES + 1, len(BIG)]


@pytest.fixture(params=["file", "slabs"])
def spool(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Spool]:
    (tmp_path / "spools").mkdir()
    spool = Spool(tmp_path / "spools", slabs=Slabs(3) if request.param == "slabs" else None)
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
    st.integers(1, 60),
    st.sampled_from([None, 0, 1, 2, 9]),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_spool_reads_as_one_string_of_bytes_would(
    tmp_path: Path, parts: list[bytes], offset: int, size: int, times: int, slabs: int | None
) -> None:
    spool = Spool(tmp_path, slabs=None if slabs is None else Slabs(slabs))
    parts = [part * times for part in parts]
    for part in parts:
        spool.write(memoryview(bytearray(part)))
    whole = b"".join(parts)
    assert spool.read() == whole
    start = max(0, len(whole) + offset) if offset < 0 else offset
    assert spool.read(offset, size) == (whole[start:] if size < 0 else whole[start : start + size])
    spool.close()
    assert not files(tmp_path)


def test_little_needs_no_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.write(BIG[:MEMORY_BYTES])
    assert spool.path is None
    assert not files(tmp_path)
    spool.write(b"x")
    assert spool.path is not None
    assert spool.path.read_bytes() == BIG[:MEMORY_BYTES] + b"x"
    spool.close()


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


@pytest.mark.parametrize(("durable", "read_soon"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("size", [*SIZES, SLAB_BYTES - 1, 2 * SLAB_BYTES, 3 * SLAB_BYTES + 1])
def test_what_was_saved_stays_where_it_was_saved_to(
    spool: Spool, tmp_path: Path, size: int, durable: bool, read_soon: bool
) -> None:
    data = (BIG * 7)[:size]
    target = tmp_path / "kept" / "picture.png"
    target.parent.mkdir()
    before = open_files()
    spool.write(data)
    spool.save(target, durable=durable, read_soon=read_soon)
    assert target.read_bytes() == data
    assert target.stat().st_mode & 0o077 == 0
    assert spool.read() == data
    spool.close()
    assert files(tmp_path) == ["picture.png"]
    assert open_files() == before


def test_a_saved_file_takes_the_place_of_an_older_one(spool: Spool, tmp_path: Path) -> None:
    target = tmp_path / "picture.png"
    target.write_bytes(b"older")
    spool.write(b"newer")
    spool.save(target, durable=False)
    assert target.read_bytes() == b"newer"


@pytest.mark.parametrize("size", [1, len(BIG)])
def test_the_sync_is_of_the_file_under_its_new_name(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink())))
    spool.write(BIG[:size])
    spool.save(tmp_path / "one", durable=True)
    assert synced == [str(tmp_path / "one")]


def test_with_slabs_no_file_is_written_before_it_is_saved(tmp_path: Path) -> None:
    slabs = Slabs(1)
    first, second = Spool(tmp_path, slabs=slabs), Spool(tmp_path, slabs=slabs)
    first.write(BIG)
    assert first.in_memory and not files(tmp_path)
    second.write(BIG)  # there is no slab left
    assert second.path is not None and second.path.read_bytes() == BIG
    first.write(BIG * 2)  # more than the slab that it has
    assert first.path is not None and first.read() == BIG * 3
    first.close()
    second.close()
    assert not files(tmp_path) and slabs.take(1) is not None


def test_what_a_slab_held_before_reaches_no_file(tmp_path: Path) -> None:
    """A file is written in whole blocks, and cut to its length."""
    slabs = Slabs(1)
    for data in (b"secret" * 100_000, BIG[: MEMORY_BYTES + 5]):
        spool = Spool(tmp_path, slabs=slabs)
        spool.write(data)
        spool.save(tmp_path / "picture", durable=True, read_soon=False)
        (slab,) = spool._place._taken  # type: ignore[attr-defined]
        assert (tmp_path / "picture").read_bytes() == data
        assert not any(slab[len(data) : -(-len(data) // BLOCK_BYTES) * BLOCK_BYTES])
        spool.close()


@pytest.mark.parametrize("refuses", ["open", "write"])
def test_a_file_system_without_direct_writes_gets_the_ordinary_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: str
) -> None:
    control, write = fcntl.fcntl, os.pwritev

    def refuse(handle: int, command: int, argument: int = 0) -> int:
        if refuses == "open" and argument & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no")
        return control(handle, command, argument)

    def refuse_write(handle: int, pieces: list[memoryview], offset: int) -> int:
        if refuses == "write" and control(handle, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no")
        return write(handle, pieces, offset)

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    monkeypatch.setattr(os, "pwritev", refuse_write)
    spool = Spool(tmp_path, slabs=Slabs())
    spool.write(BIG * 5)
    spool.save(tmp_path / "picture", durable=True, read_soon=False)
    assert (tmp_path / "picture").read_bytes() == BIG * 5
    spool.close()


@pytest.mark.parametrize("slabs", [Slabs(), None])
def test_a_write_that_comes_short_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slabs: Slabs | None) -> None:
    write, write_at = os.write, os.pwritev
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:BLOCK_BYTES]))
    monkeypatch.setattr(os, "pwritev", lambda handle, pieces, at: write_at(handle, [pieces[0][:BLOCK_BYTES]], at))
    spool = Spool(tmp_path, slabs=slabs)
    spool.write(BIG * 3)
    spool.save(tmp_path / "picture", durable=True, read_soon=False)
    assert (tmp_path / "picture").read_bytes() == BIG * 3
    spool.close()


def test_spools_do_not_meet(tmp_path: Path) -> None:
    spools = [Spool(tmp_path, f"type/{number}") for number in range(5)]
    for number, spool in enumerate(spools):
        spool.write(bytes([number]) * len(BIG))
    for number, spool in enumerate(spools):
        assert spool.read() == bytes([number]) * len(BIG)
        assert spool.media_type == f"type/{number}"
        spool.close()
    assert not files(tmp_path)


def test_a_spool_is_its_owners_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.write(BIG)
    assert spool.path is not None
    assert spool.path.stat().st_mode & 0o077 == 0
    spool.close()


@pytest.mark.parametrize("slabs", [0, 9])
@pytest.mark.parametrize("read_soon", [True, False])
@pytest.mark.parametrize("size", [100, len(BIG)])
def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, slabs: int, read_soon: bool
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    before, warm = open_files(), Slabs(slabs)
    spool = Spool(tmp_path, slabs=warm)
    with monkeypatch.context() as patch:
        for name in ("write", "pwritev", "fsync"):
            patch.setattr(os, name, full)
        with pytest.raises(HouseError, match=r"could not write to its disk \(full\)"):
            spool.write(BIG[:size])
            spool.save(tmp_path / "picture", durable=True, read_soon=read_soon)
    spool.close()
    (tmp_path / "picture").unlink(missing_ok=True)
    assert not files(tmp_path) and open_files() == before and warm.out == 0
