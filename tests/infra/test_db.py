"""The database: groups of units in one commit, each of them whole or not there, and durable when it says so."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pictura.core.errors import BadRequest, HouseError
from pictura.infra.db import GROUP, SqliteDatabase, Tx, open_database

Unit = Callable[[Tx], object]


def make(path: Path) -> SqliteDatabase:
    plain = sqlite3.connect(path)
    plain.executescript(
        "CREATE TABLE IF NOT EXISTS purse (left INTEGER);"
        "CREATE TABLE IF NOT EXISTS note (text TEXT PRIMARY KEY);"
        "CREATE TABLE IF NOT EXISTS child (of TEXT REFERENCES note(text) DEFERRABLE INITIALLY DEFERRED);"
    )
    plain.close()
    return SqliteDatabase(path)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = make(tmp_path / "test.db")
    yield database
    await database.close()


def note(text: str) -> Callable[[Tx], int]:
    return lambda tx: tx.run("INSERT INTO note VALUES (?)", (text,))


def notes(database: SqliteDatabase) -> list[str]:
    return [row[0] for row in database.read(lambda tx: tx.all("SELECT text FROM note ORDER BY text"))]


def refuse(tx: Tx) -> None:
    raise BadRequest("no")


def write_and_refuse(text: str) -> Unit:
    def work(tx: Tx) -> None:
        note(text)(tx)
        raise BadRequest("changed my mind")

    return work


async def write_all(database: SqliteDatabase, units: Sequence[Unit]) -> list[object]:
    """All at once; errors in the place of values."""
    return list(await asyncio.gather(*(database.write(unit) for unit in units), return_exceptions=True))


def commits(database: SqliteDatabase) -> list[str]:
    """Every COMMIT and ROLLBACK from now on."""
    seen: list[str] = []
    database._writer.set_trace_callback(lambda sql: seen.append(sql) if sql in ("COMMIT", "ROLLBACK") else None)
    return seen


async def test_what_is_written_is_seen(database: SqliteDatabase) -> None:
    assert await database.write(note("a")) == 1
    assert await database.write(lambda tx: tx.one("SELECT count(*) FROM note")) == (1,)
    assert notes(database) == ["a"]
    assert await database.browse(lambda tx: tx.all("SELECT text FROM note")) == [("a",)]
    assert database.read(lambda tx: tx.one("SELECT 1 FROM note WHERE text = ?", ("b",))) is None


async def test_what_is_not_committed_yet_is_not_seen(database: SqliteDatabase) -> None:
    seen: list[list[str]] = []

    def work(tx: Tx) -> None:
        note("a")(tx)
        seen.append(notes(database))

    await database.write(work)
    assert seen == [[]]


async def test_reading_cannot_write(database: SqliteDatabase) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.read(note("a"))
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await database.browse(note("a"))


async def test_units_that_wait_together_share_a_commit(database: SqliteDatabase) -> None:
    seen = commits(database)
    values = await write_all(database, [note(f"{number:04}") for number in range(2 * GROUP + 1)])
    assert values == [1] * (2 * GROUP + 1)
    assert seen == ["COMMIT"] * 3
    assert len(notes(database)) == 2 * GROUP + 1


async def test_units_that_come_during_a_commit_are_the_next_group(database: SqliteDatabase) -> None:
    async def wave(number: int) -> None:
        for step in range(5):
            await database.write(note(f"{number}-{step}"))

    seen = commits(database)
    await asyncio.gather(*(wave(number) for number in range(20)))
    assert len(notes(database)) == 100
    assert len(seen) == 5


async def test_who_refuses_before_writing_disturbs_nobody(database: SqliteDatabase) -> None:
    runs: list[str] = []

    def counted(text: str) -> Unit:
        def work(tx: Tx) -> int:
            runs.append(text)
            return note(text)(tx)

        return work

    seen = commits(database)
    first, refused, last = await write_all(database, [counted("a"), refuse, counted("b")])
    assert (first, last) == (1, 1)
    assert isinstance(refused, BadRequest)
    assert runs == ["a", "b"]
    assert seen == ["COMMIT"]


async def test_who_fails_after_writing_is_undone_alone(database: SqliteDatabase) -> None:
    values = await write_all(database, [note("a"), write_and_refuse("x"), refuse, note("b"), note("a")])
    assert [type(value) for value in values] == [int, BadRequest, BadRequest, int, sqlite3.IntegrityError]
    assert notes(database) == ["a", "b"]


async def test_of_a_batch_that_would_overdraw_what_is_affordable_passes(database: SqliteDatabase) -> None:
    await database.write(lambda tx: tx.run("INSERT INTO purse VALUES (10)"))

    def take(tx: Tx) -> int:
        tx.run("UPDATE purse SET left = left - 3")
        (left,) = tx.one("SELECT left FROM purse") or (0,)
        if left < 0:
            raise BadRequest("overdrawn")
        return int(left)

    values = await write_all(database, [take] * 50)
    assert values[:3] == [7, 4, 1]
    assert all(isinstance(value, BadRequest) for value in values[3:])
    assert database.read(lambda tx: tx.one("SELECT left FROM purse")) == (1,)


UNITS: dict[str, Callable[[str], Unit]] = {
    "write": note,
    "refuse": lambda _: refuse,
    "write and refuse": write_and_refuse,
}


@given(st.lists(st.lists(st.sampled_from(sorted(UNITS)), max_size=12), max_size=3))
@settings(max_examples=30, deadline=None)
def test_exactly_what_was_not_refused_is_there(waves: list[list[str]]) -> None:
    async def run(path: Path) -> None:
        database = make(path)
        expected = []
        for wave, kinds in enumerate(waves):
            names = [f"{wave}-{number:02}" for number in range(len(kinds))]
            values = await write_all(database, [UNITS[kind](name) for kind, name in zip(kinds, names, strict=True)])
            assert [value == 1 for value in values] == [kind == "write" for kind in kinds]
            expected += [name for kind, name in zip(kinds, names, strict=True) if kind == "write"]
        assert notes(database) == expected
        await database.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder) / "test.db"))


# -- when the disk says no --


async def test_a_commit_that_fails_is_told_to_all_and_nothing_is_written(database: SqliteDatabase) -> None:
    database._writer.execute("PRAGMA foreign_keys=ON")
    values = await write_all(
        database, [note("a"), lambda tx: tx.run("INSERT INTO child VALUES ('nobody')"), refuse, note("b")]
    )
    assert [type(value) for value in values] == [HouseError, HouseError, BadRequest, HouseError]
    assert "could not be written: FOREIGN KEY" in str(values[0])
    assert notes(database) == []
    assert await database.write(note("c")) == 1
    assert notes(database) == ["c"]


async def test_a_full_disk_fails_who_needs_room_and_leaves_the_database_usable(database: SqliteDatabase) -> None:
    (pages,) = database._writer.execute("PRAGMA page_count").fetchone()
    database._writer.execute(f"PRAGMA max_page_count={pages}")
    values = await write_all(database, [note("a"), note("x" * 100_000), note("b"), note("y" * 100_000)])
    assert [type(value) for value in values] == [int, HouseError, int, HouseError]
    assert "full" in str(values[1])
    assert notes(database) == ["a", "b"]
    database._writer.execute("PRAGMA max_page_count=100000")
    assert await database.write(note("x" * 100_000)) == 1


async def test_a_file_that_may_not_grow_fails_the_commit_and_is_usable_again(tmp_path: Path) -> None:
    """In a process of its own: the limit on file sizes is the process's."""
    script = f"""
        import asyncio, resource
        from pathlib import Path
        from pictura.core.errors import HouseError
        from tests.infra.test_db import make, note, notes, write_all

        async def main():
            database = make(Path({str(tmp_path / "test.db")!r}))
            await database.write(note("before"))
            size = Path({str(tmp_path / "test.db-wal")!r}).stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, resource.RLIM_INFINITY))
            values = await write_all(database, [note("a"), note("b")])
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            assert all(isinstance(value, HouseError) for value in values), values
            assert notes(database) == ["before"]
            await database.write(note("after"))
            assert notes(database) == ["after", "before"]
            await database.close()

        asyncio.run(main())
    """
    done = await asyncio.to_thread(run, script)
    assert done.returncode == 0, done.stderr


async def test_a_database_that_is_busy_fails_who_waits_instead_of_leaving_him_waiting(
    database: SqliteDatabase,
) -> None:
    database._writer.execute("PRAGMA busy_timeout=1")
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    values = await asyncio.wait_for(write_all(database, [note("a"), note("b")]), 5)
    assert [type(value) for value in values] == [HouseError, HouseError]
    other.close()
    assert await database.write(note("c")) == 1


async def test_work_with_a_mistake_in_its_sql_fails_alone(database: SqliteDatabase) -> None:
    wrong, right = await write_all(database, [lambda tx: tx.run("INSERT INTO nowhere VALUES (1)"), note("a")])
    assert isinstance(wrong, HouseError)
    assert isinstance(wrong.__cause__, sqlite3.OperationalError)
    assert right == 1


# -- callers that go away, processes that end --


async def test_a_writer_that_is_cancelled_disturbs_nobody(database: SqliteDatabase) -> None:
    tasks = [asyncio.create_task(database.write(note(name))) for name in "abc"]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.wait(tasks)
    assert (tasks[0].result(), tasks[2].result()) == (1, 1)
    assert {"a", "c"} <= set(notes(database))
    assert await database.write(note("d")) == 1


async def test_closing_waits_for_what_is_written(tmp_path: Path) -> None:
    database = make(tmp_path / "test.db")
    writes = asyncio.gather(*(database.write(note(str(number))) for number in range(2 * GROUP)))
    await asyncio.sleep(0)
    await database.close()
    await writes
    again = SqliteDatabase(tmp_path / "test.db")
    assert len(notes(again)) == 2 * GROUP
    await again.close()


def run(script: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **more},
        cwd=Path(__file__).parents[2],
    )


async def test_what_was_written_outlives_a_kill(tmp_path: Path) -> None:
    script = f"""
        import asyncio, os, signal
        from pathlib import Path
        from tests.infra.test_db import make, note, write_all

        async def main():
            database = make(Path({str(tmp_path / "test.db")!r}))
            await write_all(database, [note(str(number)) for number in range(10)])
            database._waiting.clear()
            asyncio.create_task(database.write(note("never awaited")))
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """
    done = await asyncio.to_thread(run, script)
    assert done.returncode == -signal.SIGKILL, done.stderr
    database = SqliteDatabase(tmp_path / "test.db")
    assert notes(database) == [str(number) for number in range(10)]
    await database.close()


async def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path, database: SqliteDatabase) -> None:
    script = f"""
        from pathlib import Path
        from pictura.core.errors import HouseError
        from pictura.infra.db import SqliteDatabase
        try:
            SqliteDatabase(Path({str(database.path)!r}))
        except HouseError as error:
            print(error.message)
    """
    done = await asyncio.to_thread(run, script)
    assert done.stdout.startswith(f"this data folder belongs to a running Pictura (process {os.getpid()}); stop it")
    assert done.stderr == ""


async def test_a_closed_database_can_be_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "test.db"
    for _ in range(2):
        database = SqliteDatabase(path)
        with pytest.raises(HouseError, match="belongs to a running Pictura"):
            SqliteDatabase(path)
        await database.close()


async def test_every_write_is_synced(database: SqliteDatabase) -> None:
    assert database._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database._writer.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


@pytest.mark.parametrize(
    ("url", "path"),
    [("", "pictura.db"), ("sqlite:///{folder}/other.db", "other.db"), ("sqlite:///./here.db", "here.db")],
)
async def test_where_a_database_is(url: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    database = open_database(url.format(folder=str(tmp_path).lstrip("/")), tmp_path)
    assert database.path.resolve() == tmp_path / path
    await database.close()


def test_another_engine_is_refused_with_what_is_taken(tmp_path: Path) -> None:
    with pytest.raises(HouseError, match="sqlite:///path/to/file") as caught:
        open_database("postgresql://me:secret@host/db", tmp_path)
    assert "secret" not in caught.value.message
