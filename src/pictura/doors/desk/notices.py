"""Notices: what administrators did, and what the house did by itself."""

from __future__ import annotations

from pictura.doors.desk.act import Act, moment
from pictura.doors.desk.shapes import Newest, Notice, Page
from pictura.store import audit


async def listed(act: Act, asked: Newest) -> Page[Notice]:
    """The newest first."""
    acts = await act.house.database.browse(lambda tx: audit.newest(tx, asked.limit))
    return Page([Notice(moment(a.at_ms), a.actor, a.action, a.subject, a.detail) for a in acts])
