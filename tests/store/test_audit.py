"""Who changed what."""

from __future__ import annotations

from pictura.infra.db import SqliteDatabase
from pictura.store import audit


async def test_acts_are_kept_newest_first(database: SqliteDatabase) -> None:
    await database.write(lambda tx: audit.note(tx, "admin", "store channel", "main", "openai"))
    await database.write(lambda tx: audit.note(tx, "house", "channel", "main"))
    newest, oldest = database.read(audit.newest)
    assert (oldest.actor, oldest.action, oldest.subject, oldest.detail) == ("admin", "store channel", "main", "openai")
    assert (newest.actor, newest.detail) == ("house", "")
    assert newest.id > oldest.id
    assert newest.at_ms >= oldest.at_ms > 0
    assert database.read(lambda tx: audit.newest(tx, limit=1)) == [newest]


async def test_an_act_that_was_rolled_back_is_not_noted(database: SqliteDatabase) -> None:
    def work(tx: object) -> None:
        audit.note(tx, "admin", "make key", "key_1")  # type: ignore[arg-type]
        raise ValueError

    try:
        await database.write(work)
    except ValueError:
        pass
    assert database.read(audit.newest) == []
