"""Bringing a database to the present schema."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import pictura.store.migrations.versions as versions
from pictura.core.errors import HouseError
from pictura.infra.db import SqliteDatabase
from pictura.store.migrate import HEAD, migrate, upgrade


def revision(path: Path) -> str:
    connection = sqlite3.connect(path)
    (found,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    connection.close()
    return str(found)


def test_head_is_the_newest_migration() -> None:
    folder = Path(next(iter(versions.__path__)))
    found = [match[1] for path in folder.iterdir() if (match := re.match(r"(\d{4})_", path.name))]
    assert sorted(found)[-1] == HEAD


def test_a_new_database_gets_all_tables(tmp_path: Path) -> None:
    path = tmp_path / "with % and blank.db"
    migrate(path)
    assert revision(path) == HEAD
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
    connection.close()


async def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pictura.db"
    migrate(path)
    database = SqliteDatabase(path)
    await database.write(lambda tx: tx.run("INSERT INTO workers VALUES ('a', 'host', 1, 1)"))
    migrate(path)
    assert database.read(lambda tx: tx.one("SELECT id FROM workers")) == ("a",)
    await database.close()


async def test_an_older_database_keeps_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "pictura.db"
    upgrade(f"sqlite:///{path}", "0001")
    assert revision(path) == "0001"
    database = SqliteDatabase(path)
    await database.write(lambda tx: tx.run("INSERT INTO workers VALUES ('a', 'host', 1, 1)"))
    migrate(path)
    assert revision(path) == HEAD
    assert database.read(lambda tx: tx.one("SELECT id FROM workers")) == ("a",)
    assert database.read(lambda tx: tx.all("SELECT id, settings, created_ms FROM cards")) == []
    await database.close()


async def test_a_database_is_migrated_while_its_owner_has_it_open(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "pictura.db")
    migrate(database.path)
    assert database.read(lambda tx: tx.all("SELECT * FROM jobs")) == []
    await database.close()


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pictura.db"
    migrate(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(HouseError, match="written by a newer Pictura"):
        migrate(path)
    assert revision(path) == "9999"


def test_alembic_is_not_loaded_where_there_is_nothing_to_do(migrated: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pictura.store.migrate import migrate; "
        f"migrate(Path({str(migrated)!r})); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
