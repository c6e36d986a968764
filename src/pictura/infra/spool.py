"""Bytes on their way through the house: a little memory, then warm memory while there is some, then a file.

So what is in flight needs a bounded memory, whatever its size and number.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from pictura.core.errors import HouseError
from pictura.infra.slabs import SLAB_BYTES, Slabs

#: A spool larger than this lives in slabs or in a file.
MEMORY_BYTES = 64 * 1024
#: What one read hands on: large enough to spare system calls, small enough for a thousand at once.
CHUNK_BYTES = 128 * 1024
#: What a disk reads and writes at a time; past the page cache, nothing less.
BLOCK_BYTES = 4096

#: Names of this process's spools; what an earlier process left behind is gone before the first.
_numbers = itertools.count()


class Spool:
    """Write, then read as often as you like, then `close`, which forgets the bytes; a file that was saved stays.

    Not safe for two writers at once. Nothing is durable before `save`. With `slabs` it is for what passes through
    within moments: what may have to wait, such as an upload, does not keep memory from others.
    """

    __slots__ = ("_folder", "_place", "_slabs", "media_type", "size")

    def __init__(self, folder: Path, media_type: str = "", slabs: Slabs | None = None) -> None:
        self._folder = folder
        self._slabs = slabs
        self._place: _Place = _Memory()
        #: What somebody said this is (a Content-Type, a data URL's prefix); nothing is believed before it is sniffed.
        self.media_type = media_type
        #: Bytes written so far.
        self.size = 0

    @property
    def path(self) -> Path | None:
        """The file that holds the bytes, for readers that open it themselves; None while memory holds them."""
        return self._place.path

    @property
    def in_memory(self) -> bool:
        return self._place.path is None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Raises HouseError where the disk fails."""
        try:
            while not self._place.write(self.size, data):
                self._move()
        except OSError as error:
            raise _disk_failed(error) from error
        self.size += len(data)

    def read(self, offset: int = 0, size: int = -1) -> bytes:
        """Up to `size` bytes from `offset` (a negative offset counts from the end); the rest where size is -1."""
        if offset < 0:
            offset = max(0, self.size + offset)
        left = max(0, self.size - offset)
        return self._place.read(offset, left if size < 0 else min(size, left))

    def chunks(self, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        for offset in range(0, self.size, size):
            yield self.read(offset, size)

    def save(self, target: Path, *, durable: bool, read_soon: bool = True) -> None:
        """The bytes as a file, which is seen under `target` only when it is whole. The folder exists. What is hardly
        `read_soon` leaves the page cache to others.

        `durable`: on return they outlive a power cut; that blocks, and is for a thread. The sync comes after the
        rename, and makes the new name durable as well (ext4, XFS and btrfs log both together), so that a second sync,
        of the folder, is spared. A power cut in between may leave a torn file: whoever finds a file that nothing speaks
        of checks that it is whole. Raises HouseError where the disk fails.
        """
        try:
            self._save(target, durable=durable, read_soon=read_soon)
        except OSError as error:
            raise _disk_failed(error) from error

    def _save(self, target: Path, *, durable: bool, read_soon: bool) -> None:
        file = self._place.saved(self._folder, self.size, read_soon=read_soon)
        try:
            file.keep(target)
            if durable:
                file.sync()
        finally:
            if file is not self._place:
                file.close()

    def close(self) -> None:
        """Forget the bytes. A saved file stays where it was saved to."""
        self._place.close()
        self._place = _Closed()

    def _move(self) -> None:
        """To a place that holds more."""
        slabs = self._slabs if isinstance(self._place, _Memory) else None
        if slabs is None or not self._fill(_Warm(slabs)):
            self._fill(_File(self._folder))

    def _fill(self, place: _Place) -> bool:
        """False: there is no room."""
        try:
            if not place.write(0, self.read()):
                return False
        except BaseException:
            place.close()
            raise
        self._place.close()
        self._place = place
        return True


class _Place(Protocol):
    """Where a spool's bytes lie."""

    @property
    def path(self) -> Path | None: ...

    def write(self, at: int, data: bytes | bytearray | memoryview) -> bool:
        """At the end, which is `at`. False, and nothing is written: there is no room here."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Both lie within what was written."""
        ...

    def saved(self, folder: Path, size: int, *, read_soon: bool) -> _File:
        """A file of these bytes."""
        ...

    def close(self) -> None: ...


class _Memory:
    path = None

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, at: int, data: bytes | bytearray | memoryview) -> bool:
        if at + len(data) > MEMORY_BYTES:
            return False
        self._bytes += data
        return True

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self._bytes[offset : offset + size])

    def saved(self, folder: Path, size: int, *, read_soon: bool) -> _File:
        return _filed(folder, lambda file: file.write(0, self._bytes))

    def close(self) -> None:
        pass


class _Warm:
    """Slabs, as many as the bytes need."""

    path = None

    def __init__(self, slabs: Slabs) -> None:
        self._slabs = slabs
        self._taken: list[memoryview] = []

    def write(self, at: int, data: bytes | bytearray | memoryview) -> bool:
        more = self._slabs.take(-(-(at + len(data)) // SLAB_BYTES) - len(self._taken))
        if more is None:
            return False
        self._taken += more
        rest = memoryview(data)
        for slab, start, end in _stretches(self._taken, at, len(data)):
            slab[start:end] = rest[: end - start]
            rest = rest[end - start :]
        return True

    def read(self, offset: int, size: int) -> bytes:
        return b"".join(_slices(self._taken, offset, size))

    def saved(self, folder: Path, size: int, *, read_soon: bool) -> _File:
        write = _File.write_slabs if read_soon else _File.write_past_cache
        return _filed(folder, lambda file: write(file, self._taken, size))

    def close(self) -> None:
        self._slabs.give_back(self._taken)
        self._taken = []


class _File:
    """A file of its owner's alone, gone when it is closed unless it is kept."""

    def __init__(self, folder: Path) -> None:
        self.path: Path | None = folder / f"spool-{os.getpid()}-{next(_numbers)}"
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._kept = False

    def write(self, at: int, data: bytes | bytearray | memoryview) -> bool:
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]
        return True

    def write_slabs(self, slabs: list[memoryview], size: int, at_once: int = CHUNK_BYTES) -> None:
        """The first `size` bytes of `slabs`, so many bytes `at_once`."""
        at = 0
        while at < size:
            at += os.pwritev(self._handle, _slices(slabs, at, min(at_once, size - at)), at)

    def write_past_cache(self, slabs: list[memoryview], size: int) -> None:
        """The same, from memory to disk without a copy in between, where the file system knows how to do that."""
        blocks = -(-size // BLOCK_BYTES) * BLOCK_BYTES
        for slab, start, end in _stretches(slabs, size, blocks - size):
            slab[start:end] = bytes(end - start)  # not what somebody else left there
        flags = fcntl.fcntl(self._handle, fcntl.F_GETFL)
        try:
            fcntl.fcntl(self._handle, fcntl.F_SETFL, flags | os.O_DIRECT)
            self.write_slabs(slabs, blocks, at_once=blocks)
            os.ftruncate(self._handle, size)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            fcntl.fcntl(self._handle, fcntl.F_SETFL, flags)
            self.write_slabs(slabs, size)

    def read(self, offset: int, size: int) -> bytes:
        found = os.pread(self._handle, size, offset)
        while len(found) < size and (more := os.pread(self._handle, size - len(found), offset + len(found))):
            found += more
        return found

    def saved(self, folder: Path, size: int, *, read_soon: bool) -> _File:
        return self

    def keep(self, target: Path) -> None:
        assert self.path is not None
        self.path.rename(target)
        self.path = target
        self._kept = True

    def sync(self) -> None:
        os.fsync(self._handle)

    def close(self) -> None:
        os.close(self._handle)
        if self.path is not None and not self._kept:
            self.path.unlink(missing_ok=True)


class _Closed:
    path = None

    def write(self, at: int, data: bytes | bytearray | memoryview) -> bool:
        raise ValueError("this spool is closed")

    def read(self, offset: int, size: int) -> bytes:
        raise ValueError("this spool is closed")

    def saved(self, folder: Path, size: int, *, read_soon: bool) -> _File:
        raise ValueError("this spool is closed")

    def close(self) -> None:
        pass


def _disk_failed(error: OSError) -> HouseError:
    return HouseError(f"this house could not write to its disk ({error.strerror}); nothing is charged")


def _filed(folder: Path, fill: Callable[[_File], object]) -> _File:
    """A new file; none is left where it cannot be filled."""
    file = _File(folder)
    try:
        fill(file)
    except BaseException:
        file.close()
        raise
    return file


def _stretches(slabs: list[memoryview], at: int, size: int) -> Iterator[tuple[memoryview, int, int]]:
    """Where so many bytes from `at` on lie: a slab, and from where to where in it."""
    end = at + size
    while at < end:
        start = at % SLAB_BYTES
        stop = min(SLAB_BYTES, start + end - at)
        yield slabs[at // SLAB_BYTES], start, stop
        at += stop - start


def _slices(slabs: list[memoryview], at: int, size: int) -> list[memoryview]:
    return [slab[start:end] for slab, start, end in _stretches(slabs, at, size)]
