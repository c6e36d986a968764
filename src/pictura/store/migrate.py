"""Bringing a database to the present schema. Alembic is imported only where there is something to do: it is slow."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from pictura.core.errors import HouseError

#: The newest revision in `migrations/versions`; a test compares.
HEAD = "0002"


def migrate(path: Path) -> None:
    """Bring the SQLite file at `path` (made where missing) to HEAD. Raises HouseError where it is beyond that."""
    found = _revision(path)
    if found > HEAD:
        raise HouseError(
            f"this data folder was written by a newer Pictura (its tables are at {found}, this version knows {HEAD}); "
            "start the newer one, or give --data another folder"
        )
    if found != HEAD:
        upgrade(f"sqlite:///{path}")


def upgrade(url: str, revision: str = "head") -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    command.upgrade(config, revision)


def _revision(path: Path) -> str:
    if not path.exists():
        return ""
    connection = sqlite3.connect(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return ""
    finally:
        connection.close()
    return str(row[0]) if row else ""
