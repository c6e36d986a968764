"""The tables as declared, as migrated and as used are the same."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import create_engine, pool

from pictura.infra.db import SqliteDatabase
from pictura.store.assets import Asset
from pictura.store.audit import Act
from pictura.store.ledger import Entry
from pictura.store.schema import metadata


def described(path: Path) -> dict[str, object]:
    """Every table's columns with types, defaults and keys, and every index."""
    connection = sqlite3.connect(path)
    ours = "FROM sqlite_master WHERE tbl_name NOT IN ('alembic_version', 'sqlite_sequence')"
    names = [name for (name,) in connection.execute(f"SELECT name {ours} AND type = 'table'").fetchall()]
    columns = 'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?) ORDER BY name'
    found: dict[str, object] = {name: connection.execute(columns, (name,)).fetchall() for name in names}
    found["indexes"] = connection.execute(f"SELECT name, sql {ours} AND type = 'index' ORDER BY name").fetchall()
    connection.close()
    return found


def test_the_migrations_make_what_is_declared(migrated: Path, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'declared.db'}", poolclass=pool.NullPool)
    metadata.create_all(engine)
    engine.dispose()
    assert described(migrated) == described(tmp_path / "declared.db")


@pytest.mark.parametrize(("table", "struct"), [("assets", Asset), ("audit", Act), ("ledger", Entry)])
def test_structs_have_the_columns_of_their_tables(table: str, struct: type[msgspec.Struct]) -> None:
    assert set(struct.__struct_fields__) == set(metadata.tables[table].columns.keys())


async def test_a_project_cannot_hold_less_than_nothing(database: SqliteDatabase) -> None:
    await database.write(lambda tx: tx.run("INSERT INTO projects VALUES ('p', 'P', 1, 0, 0, 0)"))
    with pytest.raises(Exception, match="held_not_negative"):
        await database.write(lambda tx: tx.run("UPDATE projects SET held = -1"))


async def test_open_jobs_are_found_without_a_walk_over_all(database: SqliteDatabase) -> None:
    def plan(sql: str) -> str:
        return str(database.read(lambda tx: tx.all("EXPLAIN QUERY PLAN " + sql)))

    assert "jobs_open" in plan("SELECT id FROM jobs WHERE worker_id = 'w' AND finished_ms IS NULL")
    assert "jobs_of_project" in plan("SELECT id FROM jobs WHERE project_id = 'p' AND id > 'j' AND request_hash = 'h'")
    assert "jobs_open" in plan("SELECT id FROM jobs WHERE finished_ms IS NULL")
