"""Workers: the processes that run jobs. Each heartbeats one row; its jobs point to it."""

from __future__ import annotations

from pictura.infra.db import Tx


def join(tx: Tx, worker_id: str, host: str) -> None:
    now_ms = tx.now_ms()
    tx.run("INSERT INTO workers (id, host, started_ms, beat_ms) VALUES (?, ?, ?, ?)", (worker_id, host, now_ms, now_ms))


def beat(tx: Tx, worker_id: str) -> bool:
    """I live. False: somebody declared this worker dead meanwhile; it must take no more jobs under this name."""
    return tx.run("UPDATE workers SET beat_ms = ? WHERE id = ?", (tx.now_ms(), worker_id)) == 1


def others(tx: Tx, worker_id: str, silent_ms: int) -> list[str]:
    """Workers that have not been heard of for `silent_ms`, by the database's clock; all of them where it is 0."""
    rows = tx.all("SELECT id, beat_ms FROM workers WHERE id <> ?", (worker_id,))
    before = tx.now_ms() - silent_ms
    # A beat may lie in the future, where the clock was set back.
    return [row[0] for row in rows if not silent_ms or row[1] <= before]


def orphans(tx: Tx) -> list[str]:
    """Workers that still own open jobs but have no row any more."""
    rows = tx.all(
        "SELECT DISTINCT worker_id FROM jobs WHERE finished_ms IS NULL AND worker_id NOT IN (SELECT id FROM workers)"
    )
    return [row[0] for row in rows]


def leave(tx: Tx, worker_id: str) -> None:
    tx.run("DELETE FROM workers WHERE id = ?", (worker_id,))
