"""The tables that queries are built on are those the migrations make: names, types, nullability, keys."""

import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.dialects import postgresql

from execution_engine.store import bulk_tables
from services.local.bootstrap import prepare
from services.local.postgres import Postgres

METADATA = bulk_tables.bulk_list.metadata
"""The one of tables.py, with the tables of both files."""
_COLUMNS = """
SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type,
    a.attnotnull AS required, coalesce(array_position(k.conkey, a.attnum), 0) AS key_place
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND c.relname <> 'schema_migration'
ORDER BY c.relname, a.attnum"""


@pytest.fixture(scope="module")
async def migrated() -> AsyncIterator[asyncpg.Connection]:
    """The engine's database, migrated as the local stack does it."""
    with tempfile.TemporaryDirectory(prefix="wayfarer-tables-") as name:
        folder = Path(name)
        _open_to_the_server(folder)
        async with Postgres(folder / "data", _free_port(), settings={"shared_buffers": "32MB"}) as postgres:
            prepared = await prepare(postgres, folder)
            connection = await asyncpg.connect(prepared.dsns["wayfarer_owner"])
            yield connection
            await connection.close()


def _open_to_the_server(folder: Path) -> None:
    folder.chmod(0o755)  # the server runs as another user


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_tables_mirror_the_migrations(migrated: asyncpg.Connection) -> None:
    made: dict[str, list[tuple[str, str, bool]]] = {}
    keys: dict[str, dict[int, str]] = {}
    for row in await migrated.fetch(_COLUMNS):
        made.setdefault(row["table"], []).append((row["column"], row["type"], row["required"]))
        if row["key_place"]:
            keys.setdefault(row["table"], {})[row["key_place"]] = row["column"]
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    told = {
        table.name: [
            (column.name, column.type.compile(dialect).lower(), not column.nullable)
            for column in table.columns
        ]
        for table in METADATA.sorted_tables
    }
    assert told == made
    assert {
        table.name: [column.name for column in table.primary_key] for table in METADATA.sorted_tables
    } == {name: [column for _, column in sorted(places.items())] for name, places in keys.items()}


async def test_every_table_of_an_accounts_data_is_keyed_by_account_and_behind_row_level_security(
    migrated: asyncpg.Connection,
) -> None:
    query = "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = $1::text::regclass"
    for table in METADATA.sorted_tables:
        if "account_id" in table.columns:
            assert next(iter(table.primary_key)).name == "account_id", table.name
            assert await migrated.fetchval(query, table.name), table.name


async def test_a_months_tables_are_sampled_anew_at_twice_their_size(migrated: asyncpg.Connection) -> None:
    """Those there are, and those made later; at PostgreSQL's own tenth that would be every few seconds."""
    await migrated.execute("SELECT wf_make_partitions(now() + interval '9 months', 1)")
    months = await migrated.fetch(
        "SELECT c.relname, c.reloptions FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent::regclass::text IN ('execution_history', 'execution_log', 'event')"
        " AND c.relkind = 'r'"
    )
    assert len(months) >= 3 * 7
    assert {tuple(month["reloptions"] or ()) for month in months} == {("autovacuum_analyze_scale_factor=1",)}
