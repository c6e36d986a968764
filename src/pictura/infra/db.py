"""The database: short transactions, written as plain functions, committed in groups.

    held = await database.write(lambda tx: ledger.hold(tx, project, amount))

A unit of work is a function of a `Tx`. Units that wait at the same time share one transaction and one fsync: a unit is
durable when `write` returns. Its statements run on the event loop (microseconds each, in the page cache), only the
COMMIT runs in a thread. So no statement ever waits for the interpreter's lock, which is what makes a writer thread slow
beside a busy loop (docs/decisions/003).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Generic, Protocol, TypeVar

from pictura.core.errors import HouseError

T = TypeVar("T")
Row = Any
Params = Sequence[object]

#: Units in one group at most: bounds how long the loop is busy with one group (about 5 ms).
GROUP = 256


class Tx(Protocol):
    """Statements inside a transaction; placeholders are `?`."""

    def run(self, sql: str, params: Params = ()) -> int:
        """Rows changed."""
        ...

    def one(self, sql: str, params: Params = ()) -> Row | None: ...
    def all(self, sql: str, params: Params = ()) -> list[Row]: ...
    def now_ms(self) -> int:
        """The database's own clock, Unix milliseconds: leases are measured with it alone."""
        ...


class Database(Protocol):
    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in a transaction; durable on return. What `work` raises is raised here, and nothing is written."""
        ...

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run a short query now, on the event loop."""
        ...

    async def browse(self, work: Callable[[Tx], T]) -> T:
        """Run a long query in a thread."""
        ...

    async def close(self) -> None: ...


class SqliteTx:
    """A Tx over one SQLite connection."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, sql: str, params: Params = ()) -> int:
        return self._connection.execute(sql, params).rowcount

    def one(self, sql: str, params: Params = ()) -> Row | None:
        return self._connection.execute(sql, params).fetchone()

    def all(self, sql: str, params: Params = ()) -> list[Row]:
        return self._connection.execute(sql, params).fetchall()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class _Unit(Generic[T]):
    __slots__ = ("done", "error", "value", "work")

    def __init__(self, work: Callable[[Tx], T], done: asyncio.Future[T]) -> None:
        self.work = work
        self.done = done
        self.value: T | None = None
        self.error: BaseException | None = None

    def run(self, tx: Tx) -> None:
        self.value = self.error = None
        try:
            self.value = self.work(tx)
        except sqlite3.OperationalError as error:
            self.fail(error)
        except Exception as error:
            self.error = error

    def fail(self, why: sqlite3.Error) -> None:
        """The database gave up, not the work; where the work had raised by itself, that is what its caller hears."""
        if self.error is None:
            self.value, self.error = None, HouseError(f"the database could not be written: {why}")
            self.error.__cause__ = why

    def resolve(self) -> None:
        if self.done.done():
            return
        if self.error is not None:
            self.done.set_exception(self.error)
        else:
            self.done.set_result(self.value)  # type: ignore[arg-type]


class SqliteDatabase:
    """SQLite in WAL mode with synchronous=FULL, owned by this process alone."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _own(path.with_name(path.name + ".lock"))
        self.path = path
        self._writer = _connect(path)
        self._writer.execute("PRAGMA journal_mode=WAL")
        self._reader = _connect(path)
        self._reader.execute("PRAGMA query_only=ON")
        self._tx = SqliteTx(self._writer)
        self._waiting: deque[_Unit[Any]] = deque()
        self._committing = False
        self._committer = ThreadPoolExecutor(1, "commit")
        self._browser = ThreadPoolExecutor(2, "browse")
        self._groups: set[asyncio.Task[None]] = set()

    async def write(self, work: Callable[[Tx], T]) -> T:
        loop = asyncio.get_running_loop()
        unit = _Unit(work, loop.create_future())
        self._waiting.append(unit)
        if not self._committing:
            self._committing = True
            # Not at once: whoever is ready in this turn of the loop joins the group.
            task = loop.create_task(self._commit_groups())
            self._groups.add(task)
            task.add_done_callback(self._groups.discard)
        value: T = await unit.done
        return value

    def read(self, work: Callable[[Tx], T]) -> T:
        return work(SqliteTx(self._reader))

    async def browse(self, work: Callable[[Tx], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._browser, self._browse, work)

    async def close(self) -> None:
        while self._groups:
            await asyncio.wait(self._groups)
        self._committer.shutdown()
        self._browser.shutdown()
        self._reader.close()
        self._writer.close()
        self._lock.close()

    async def _commit_groups(self) -> None:
        try:
            while self._waiting:
                group = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
                try:
                    await self._commit_group(group)
                except sqlite3.Error as error:
                    self._give_up(group, error)
                for unit in group:
                    unit.resolve()
        finally:
            self._committing = False

    async def _commit_group(self, group: list[_Unit[Any]]) -> None:
        """One transaction for all; where a unit fails after it wrote something, each gets its own instead."""
        self._writer.execute("BEGIN IMMEDIATE")
        for unit in group:
            before = self._writer.total_changes
            unit.run(self._tx)
            # A full disk makes SQLite roll back by itself, and what came after would be written without a transaction.
            spoilt = self._writer.total_changes != before or not self._writer.in_transaction
            if unit.error is not None and spoilt:
                self._roll_back()
                for single in group:
                    await self._commit_alone(single)
                return
        await self._commit(group)

    async def _commit_alone(self, unit: _Unit[Any]) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            unit.run(self._tx)
            if unit.error is None:
                await self._commit([unit])
        except sqlite3.Error as error:
            self._give_up([unit], error)
        self._roll_back()

    async def _commit(self, group: list[_Unit[Any]]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._committer, self._writer.execute, "COMMIT")
        except sqlite3.Error as error:
            self._give_up(group, error)

    def _give_up(self, group: list[_Unit[Any]], why: sqlite3.Error) -> None:
        self._roll_back()
        for unit in group:
            unit.fail(why)

    def _roll_back(self) -> None:
        # Where not even this works, the next BEGIN says so to everybody who waits.
        with suppress(sqlite3.Error):
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")

    def _browse(self, work: Callable[[Tx], T]) -> T:
        connection = _connect(self.path)
        try:
            connection.execute("PRAGMA query_only=ON")
            return work(SqliteTx(connection))
        finally:
            connection.close()


def open_database(url: str, folder: Path) -> SqliteDatabase:
    """The database of `[database] url`; `folder/pictura.db` where it is empty."""
    scheme, _, rest = url.partition("://")
    if not url:
        return SqliteDatabase(folder / "pictura.db")
    if scheme == "sqlite":
        return SqliteDatabase(Path(rest.removeprefix("/") if rest.startswith("/./") else rest))
    raise HouseError(f"[database] url begins with {scheme!r}; this version opens sqlite:///path/to/file")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA busy_timeout=10000")
    return connection


def _own(path: Path) -> IO[str]:
    """Lock the database for this process: two writers would each believe that the other's jobs are dead."""
    handle = path.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read().strip() or "unknown"
        handle.close()
        raise HouseError(
            f"this data folder belongs to a running Pictura (process {holder}); stop it, or give --data another folder"
        ) from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle
