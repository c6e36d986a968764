"""The tables. Money in micro-USD, times in Unix milliseconds, structures as JSON text.

Migrations are written against this (`store/migrations`), and a test says when the two differ.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, MetaData, Table, Text, text

metadata = MetaData()

projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("prepaid", Boolean, nullable=False),
    # Always the sum of the project's ledger entries; kept here so that a hold is one statement.
    Column("balance", BigInteger, nullable=False, server_default="0"),
    # Always the sum of the holds of its open jobs.
    Column("held", BigInteger, nullable=False, server_default="0"),
    Column("created_ms", BigInteger, nullable=False),
    CheckConstraint("held >= 0", name="held_not_negative"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False, index=True),
    Column("name", Text, nullable=False),
    # HMAC of the key under the house's secret; the key itself is nowhere.
    Column("hash", Text, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("dialect", Text, nullable=False, server_default=""),
    Column("models", Text, nullable=False, server_default="[]"),
    Column("networks", Text, nullable=False, server_default="[]"),
    Column("requests_per_minute", Integer, nullable=False, server_default="0"),
    Column("concurrency", Integer, nullable=False, server_default="0"),
    Column("cap", BigInteger),
    Column("cap_period", Text, nullable=False, server_default=""),
    Column("cap_spent", BigInteger, nullable=False, server_default="0"),
    Column("cap_held", BigInteger, nullable=False, server_default="0"),
    Column("cap_started_ms", BigInteger, nullable=False, server_default="0"),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("disabled_ms", BigInteger),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    # Grows with every take-over; whoever writes with an old one is refused.
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("worker_id", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("sandbox", Boolean, nullable=False),
    Column("request", Text, nullable=False),
    Column("request_hash", Text, nullable=False),
    Column("hold", BigInteger, nullable=False),
    # NULL while it runs, and for good where nobody knows the price.
    Column("cost", BigInteger),
    Column("result", Text),
    Column("error", Text),
    Column("created_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    Index("jobs_of_project", "project_id", "id"),
    Index(
        "jobs_open",
        "worker_id",
        sqlite_where=text("finished_ms IS NULL"),
        postgresql_where=text("finished_ms IS NULL"),
    ),
)

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("part", Integer, nullable=False),
    Column("pictures", Integer, nullable=False),
    Column("channel", Text, nullable=False),
    # What a vendor that refuses duplicates is given.
    Column("client_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("pending", Text),
    Column("error", Text),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
)

ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("project_id", Text, nullable=False),
    Column("key_id", Text, nullable=False, server_default=""),
    Column("job_id", Text, nullable=False, server_default=""),
    Column("kind", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("at_ms", BigInteger, nullable=False),
    Index("ledger_of_project", "project_id", "id"),
)

assets = Table(
    "assets",
    metadata,
    Column("key", Text, primary_key=True),
    Column("job_id", Text, nullable=False, index=True),
    Column("project_id", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False, index=True),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("beat_ms", BigInteger, nullable=False),
)

channels = Table(
    "channels",
    metadata,
    Column("name", Text, primary_key=True),
    Column("settings", Text, nullable=False),
    # The secrets as JSON, sealed with the house's secret.
    Column("sealed", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

cards = Table(
    "cards",
    metadata,
    # The public id, in lower case.
    Column("id", Text, primary_key=True),
    # What the console says of the model: a `[[model]]` as JSON.
    Column("settings", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
)
