"""Pictures that were delivered: which blob belongs to whom, and since when."""

from __future__ import annotations

import msgspec

from pictura.infra.db import Tx


class Asset(msgspec.Struct, frozen=True):
    key: str
    job_id: str
    project_id: str
    media_type: str
    width: int
    height: int
    bytes: int
    created_ms: int


_COLUMNS = "key, job_id, project_id, media_type, width, height, bytes, created_ms"


def find(tx: Tx, key: str) -> Asset | None:
    row = tx.one(f"SELECT {_COLUMNS} FROM assets WHERE key = ?", (key,))
    return None if row is None else Asset(*row)


def newest(tx: Tx, project_id: str, limit: int = 50) -> list[Asset]:
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM assets WHERE project_id = ? ORDER BY created_ms DESC LIMIT ?", (project_id, limit)
    )
    return [Asset(*row) for row in rows]


def outdated(tx: Tx, before_ms: int, limit: int = 1000) -> list[str]:
    """Keys of pictures made before `before_ms`."""
    rows = tx.all("SELECT key FROM assets WHERE created_ms < ? ORDER BY created_ms LIMIT ?", (before_ms, limit))
    return [row[0] for row in rows]


def forget(tx: Tx, keys: list[str]) -> None:
    for key in keys:
        tx.run("DELETE FROM assets WHERE key = ?", (key,))


def needed(tx: Tx, keys: list[str]) -> set[str]:
    """Those of `keys` that are somebody's picture, or whose job (named in the key) is not over yet."""
    open_jobs = {row[0] for row in tx.all("SELECT id FROM jobs WHERE finished_ms IS NULL")}
    return {key for key in keys if job_of(key) in open_jobs or find(tx, key) is not None}


def job_of(key: str) -> str:
    """The id of the job that a blob was stored for: `out/2026-11-20/job_01jd…-0-1.png` → `job_01jd…`."""
    return key.rpartition("/")[2].partition("-")[0]
