"""Bytes on their way through the house: memory up to 64 KB, then a file, whatever their size."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

#: A spool larger than this lives in a file.
MEMORY_BYTES = 64 * 1024
#: What one read hands on: large enough to spare system calls, small enough for a thousand at once.
CHUNK_BYTES = 128 * 1024

#: Names of this process's spools; what an earlier process left behind is gone before the first.
_numbers = itertools.count()


class Spool:
    """Write, then read as often as you like, then `close` (which removes the file, unless it was taken).

    Not safe for two writers at once. Writes go to the page cache; nothing is durable before `sync`.
    """

    __slots__ = ("_file", "_folder", "_memory", "_path", "media_type", "size")

    def __init__(self, folder: Path, media_type: str = "") -> None:
        self._folder = folder
        self._memory: bytearray | None = bytearray()
        self._file: int | None = None
        self._path: Path | None = None
        #: What somebody said this is (a Content-Type, a data URL's prefix); nothing is believed before it is sniffed.
        self.media_type = media_type
        #: Bytes written so far.
        self.size = 0

    @property
    def path(self) -> Path | None:
        """The file that holds the bytes, for readers that open it themselves; None while memory holds them."""
        return self._path

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.size += len(data)
        if self._memory is not None:
            if self.size <= MEMORY_BYTES:
                self._memory += data
                return
            self._spill()
        self._write_file(data)

    def read(self, offset: int = 0, size: int = -1) -> bytes:
        """Up to `size` bytes from `offset` (a negative offset counts from the end); the rest where size is -1."""
        if offset < 0:
            offset = max(0, self.size + offset)
        if size < 0:
            size = max(0, self.size - offset)
        if self._memory is not None:
            return bytes(self._memory[offset : offset + size])
        if self._path is None:
            raise ValueError("this spool is closed")
        return self._read_file(offset, size)

    def chunks(self, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        for offset in range(0, self.size, size):
            yield self.read(offset, size)

    def take(self, target: Path) -> None:
        """Move the bytes to `target`, in a folder that exists; the spool then reads from there."""
        if self._memory is not None:
            self._spill()
        assert self._path is not None
        self._path.rename(target)
        self._path = target
        self._folder = Path()

    def sync(self) -> None:
        """Return when the bytes outlive a power cut. Blocks; for a thread.

        After `take`, not before: the sync then makes the new name durable as well (ext4, XFS and btrfs log both
        together), and a second sync, of the folder, is spared. A power cut in between may leave a torn file, so
        whoever finds a file that nothing speaks of checks that it is whole.
        """
        assert self._file is not None
        os.fsync(self._file)

    def close(self) -> None:
        """Forget the bytes. A taken file stays where it was taken to."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            if self._path is not None and self._folder != Path():
                self._path.unlink(missing_ok=True)
        self._memory = None
        self._path = None

    def _spill(self) -> None:
        self._path = self._folder / f"spool-{os.getpid()}-{next(_numbers)}"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        held, self._memory = self._memory, None
        if held:
            self._write_file(held)

    def _write_file(self, data: bytes | bytearray | memoryview) -> None:
        if self._file is None:
            raise ValueError("this spool is closed")
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def _read_file(self, offset: int, size: int) -> bytes:
        assert self._file is not None
        found = os.pread(self._file, size, offset)
        while len(found) < size and (more := os.pread(self._file, size - len(found), offset + len(found))):
            found += more
        return found
