"""Where pictures are kept: by key, whole or not at all.

A key is a path of plain words, such as `out/2026-11-20/job_01jd…-0-0.webp`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol

from pictura.core.errors import BadRequest, HouseError, NotFound
from pictura.infra.slabs import Slabs
from pictura.infra.spool import CHUNK_BYTES, Spool

log = logging.getLogger("pictura.blobs")

#: Files made durable at a time; a disk sorts a few by itself.
SYNCS = 8

_KEY = re.compile(r"[a-z]+/[0-9-]{10}/[A-Za-z0-9_-]{1,80}(\.[a-z0-9]{1,5})?")


class StoredBlob:
    """A blob to read from. Holds no file open between reads: a thousand waiting answers are a thousand paths."""

    __slots__ = ("path", "size")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size

    def read(self, offset: int = 0, size: int = -1) -> bytes:
        if offset < 0:
            offset = max(0, self.size + offset)
        with self.path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), size if size >= 0 else self.size, offset)

    def chunks(self, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        with self.path.open("rb", buffering=0) as file:
            for offset in range(0, self.size, size):
                yield os.pread(file.fileno(), size, offset)

    def cool(self) -> None:
        """Nobody will ask for this soon: leave the memory that caches it to pictures that are asked for."""
        with self.path.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Blobs(Protocol):
    def spool(self, *, passing: bool = False) -> Spool:
        """A fresh spool, on the same disk as the blobs where there is one. `passing`: it is closed within moments."""
        ...

    def check_room(self) -> None:
        """Raises HouseError where pictures could not be kept."""
        ...

    async def put(self, key: str, spool: Spool, *, durable: bool = True, read_soon: bool = True) -> None:
        """Keep the spool's bytes under `key`; where `durable`, they outlive a power cut from here on.

        Raises HouseError where they cannot be written.
        """
        ...

    def open(self, key: str) -> StoredBlob:
        """Raises NotFound."""
        ...

    async def delete(self, key: str) -> None: ...

    async def find(self, prefix: str) -> list[str]:
        """Keys that begin with `prefix`; its folder must be in it."""
        ...

    async def old(self, kind: str, age_s: float) -> list[str]:
        """Keys of a kind (`in`, `out`) that were put longer than `age_s` seconds ago."""
        ...


class LocalBlobs:
    """Blobs as files below a folder. A write is a rename of a synced file, so that half a picture is never seen."""

    #: Where there is less room than this, nothing is drawn: what cannot be kept would be paid for nothing.
    least_room_bytes: ClassVar[int] = 64 * 1024 * 1024

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spools = root / "tmp"
        self._spools.mkdir(parents=True, exist_ok=True)
        self.slabs = Slabs()
        self._folders: set[Path] = set()
        self._syncing = ThreadPoolExecutor(SYNCS, "sync")
        for left_over in self._spools.iterdir():
            left_over.unlink(missing_ok=True)

    def spool(self, *, passing: bool = False) -> Spool:
        return Spool(self._spools, slabs=self.slabs if passing else None)

    def close(self) -> None:
        self._syncing.shutdown()

    def check_room(self) -> None:
        disk = os.statvfs(self._root)
        if disk.f_bavail * disk.f_frsize < self.least_room_bytes:
            log.error("less than %d MB are free below %s: nothing is drawn", self.least_room_bytes >> 20, self._root)
            raise HouseError("this house has no room left for pictures; no provider was asked, and nothing is charged")

    async def put(self, key: str, spool: Spool, *, durable: bool = True, read_soon: bool = True) -> None:
        path = self._path(key)
        if path.parent not in self._folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(path.parent)
        if not durable:
            spool.save(path, durable=False)
            return
        save = partial(spool.save, path, durable=True, read_soon=read_soon)
        saving = asyncio.get_running_loop().run_in_executor(self._syncing, save)
        try:
            await asyncio.shield(saving)
        except asyncio.CancelledError:
            await asyncio.wait({saving})  # or whoever closes the spool gives its memory to others while it is read
            raise

    def open(self, key: str) -> StoredBlob:
        try:
            return StoredBlob(self._path(key))
        except (FileNotFoundError, BadRequest):
            raise NotFound("there is no such file, or it is no longer kept") from None

    async def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    async def find(self, prefix: str) -> list[str]:
        folder, _, stem = prefix.rpartition("/")
        return await asyncio.to_thread(_listed, self._root / folder, self._root, stem)

    async def old(self, kind: str, age_s: float) -> list[str]:
        return await asyncio.to_thread(_older, self._root / kind, self._root, time.time() - age_s)

    def _path(self, key: str) -> Path:
        # The pattern allows no dot before the ending and no empty part: a key cannot lead out of the folder.
        if not _KEY.fullmatch(key):
            raise BadRequest("this is not the name of a file here")
        return self._root / key


def _listed(folder: Path, root: Path, stem: str) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(str(path.relative_to(root)) for path in folder.iterdir() if path.name.startswith(stem))


def _older(folder: Path, root: Path, before_s: float) -> list[str]:
    found = []
    for path, _, names in os.walk(folder):
        for name in names:
            file = Path(path, name)
            try:
                if file.stat().st_mtime < before_s:
                    found.append(str(file.relative_to(root)))
            except FileNotFoundError:
                continue
    return found


def open_blobs(url: str, folder: Path) -> LocalBlobs:
    """The store of `[storage] url`; `folder/blobs` where it is empty."""
    scheme, _, rest = url.partition("://")
    if not url:
        return LocalBlobs(folder / "blobs")
    if scheme == "file":
        return LocalBlobs(Path(rest))
    raise BadRequest(f"[storage] url begins with {scheme!r}; this version opens file:///path/to/folder")
