"""Who changed what: every act of an administrator, and what the house did by itself (a channel set aside)."""

from __future__ import annotations

import msgspec

from pictura.infra.db import Tx


class Act(msgspec.Struct, frozen=True):
    id: int
    at_ms: int
    actor: str
    action: str
    subject: str
    detail: str


def note(tx: Tx, actor: str, action: str, subject: str, detail: str = "") -> None:
    tx.run(
        "INSERT INTO audit (at_ms, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)",
        (tx.now_ms(), actor, action, subject, detail),
    )


def newest(tx: Tx, limit: int = 100) -> list[Act]:
    rows = tx.all("SELECT id, at_ms, actor, action, subject, detail FROM audit ORDER BY id DESC LIMIT ?", (limit,))
    return [Act(*row) for row in rows]
