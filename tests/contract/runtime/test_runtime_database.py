"""Pools and migrations on a real PostgreSQL: limits hold, history is kept, migrators do not collide."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from services.runtime.database import DatabaseUnavailableError, open_pool, use_jsonb, wait_until_up
from services.runtime.migrate import MigrationError, migrate


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, sql in files.items():
        (folder / f"{name.removeprefix('_')}.sql").write_text(sql)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(
        tmp_path / "migrations",
        _0001_things="CREATE TABLE thing (id bigint PRIMARY KEY); INSERT INTO thing VALUES (1);",
        _0002_names="ALTER TABLE thing ADD COLUMN name text;",
    )


async def test_applies_each_file_once_in_order(database_url: str, folder: Path) -> None:
    assert await migrate(database_url, folder, stream="engine") == ["0001_things.sql", "0002_names.sql"]
    assert await migrate(database_url, folder, stream="engine") == []
    write(folder, _0003_more="CREATE TABLE more ();")
    assert await migrate(database_url, folder, stream="engine") == ["0003_more.sql"]
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch(
        "SELECT stream, name, length(sha256) AS n FROM schema_migration ORDER BY name"
    )
    await connection.close()
    assert [tuple(row) for row in rows] == [
        ("engine", "0001_things.sql", 64),
        ("engine", "0002_names.sql", 64),
        ("engine", "0003_more.sql", 64),
    ]


async def test_streams_share_a_database(database_url: str, folder: Path, tmp_path: Path) -> None:
    await migrate(database_url, folder, stream="executor")
    own = write(tmp_path / "own", _0001_things="CREATE TABLE own ();")
    assert await migrate(database_url, own, stream="crm") == ["0001_things.sql"]


async def test_a_failing_file_leaves_nothing_and_keeps_what_came_before(
    database_url: str, folder: Path
) -> None:
    write(folder, _0003_bad="CREATE TABLE half (); SELECT nonsense;")
    with pytest.raises(MigrationError, match=r"engine/0003_bad\.sql failed.*nonsense"):
        await migrate(database_url, folder, stream="engine")
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT to_regclass('half')") is None
    assert await connection.fetchval("SELECT count(*) FROM schema_migration") == 2
    await connection.close()
    write(folder, _0003_bad="CREATE TABLE half ();")
    assert await migrate(database_url, folder, stream="engine") == ["0003_bad.sql"]


async def test_a_changed_file_is_refused(database_url: str, folder: Path) -> None:
    await migrate(database_url, folder, stream="engine")
    write(folder, _0001_things="CREATE TABLE thing (id int PRIMARY KEY);")
    with pytest.raises(MigrationError, match=r"engine/0001_things\.sql has changed"):
        await migrate(database_url, folder, stream="engine")


async def test_line_ends_are_no_change(database_url: str, folder: Path) -> None:
    write(folder, _0003_lines="CREATE TABLE a ();\nCREATE TABLE b ();\n")
    await migrate(database_url, folder, stream="engine")
    (folder / "0003_lines.sql").write_bytes(b"CREATE TABLE a ();\r\nCREATE TABLE b ();\r\n")
    assert await migrate(database_url, folder, stream="engine") == []


async def test_a_file_slipped_in_is_refused(database_url: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "m", _0002_b="CREATE TABLE b ();")
    await migrate(database_url, folder, stream="engine")
    write(folder, _0001_a="CREATE TABLE a ();")
    with pytest.raises(MigrationError, match=r"0001_a\.sql comes before 0002_b\.sql"):
        await migrate(database_url, folder, stream="engine")


async def test_an_older_release_leaves_a_newer_schema_alone(database_url: str, folder: Path) -> None:
    await migrate(database_url, folder, stream="engine")
    (folder / "0002_names.sql").unlink()
    assert await migrate(database_url, folder, stream="engine") == []


async def test_migrators_at_the_same_time_apply_each_file_once(database_url: str, folder: Path) -> None:
    applied = await asyncio.gather(*(migrate(database_url, folder, stream="engine") for _ in range(5)))
    assert sorted(name for names in applied for name in names) == ["0001_things.sql", "0002_names.sql"]


@pytest.mark.parametrize("names", [("_1_short",), ("_0001_Upper",), ("_0001_a", "_0001_b")])
async def test_misnamed_files_are_refused(database_url: str, tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = write(tmp_path / "m", **dict.fromkeys(names, "SELECT 1"))
    with pytest.raises(MigrationError):
        await migrate(database_url, folder, stream="engine")


async def test_a_pool_sets_its_limits(database_url: str) -> None:
    async with open_pool(
        database_url, name="test-pool", statement_timeout_s=0.2, server_settings={"work_mem": "8MB"}
    ) as pool:
        wanted = {
            "application_name": "test-pool",
            "timezone": "UTC",
            "statement_timeout": "200ms",
            "transaction_timeout": "30s",
            "idle_in_transaction_session_timeout": "10s",
            "lock_timeout": "5s",
            "work_mem": "8MB",
        }
        found = {name: await pool.fetchval("SELECT current_setting($1)", name) for name in wanted}
        assert found == wanted
        with pytest.raises(asyncpg.QueryCanceledError):
            await pool.execute("SELECT pg_sleep(60)")
        assert await pool.fetchval("SELECT 1") == 1


async def test_a_transaction_left_open_is_ended_by_the_server(database_url: str) -> None:
    async with open_pool(database_url, name="test", idle_in_transaction_timeout_s=0.1) as pool:
        async with pool.acquire() as connection:
            ended = asyncio.Event()
            connection.add_termination_listener(lambda _: ended.set())
            transaction = connection.transaction()
            await transaction.start()
            await asyncio.wait_for(ended.wait(), 10)
        assert await pool.fetchval("SELECT 1") == 1


async def test_jsonb_may_travel_as_values(database_url: str) -> None:
    value = {"a": [1, None, "x"], "é": {"deep": True}}
    async with open_pool(database_url, name="test", init=use_jsonb) as pool:
        assert await pool.fetchval("SELECT $1::jsonb", value) == value
        assert await pool.fetchval("SELECT '[1, 2]'::jsonb") == [1, 2]


async def test_a_pool_in_use_is_cut_off_at_the_end(database_url: str) -> None:
    async with open_pool(database_url, name="test", close_s=0.1) as pool:
        connection = await pool.acquire()
        running = asyncio.ensure_future(connection.fetchval("SELECT pg_sleep(60)"))
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await running


async def test_a_database_that_comes_up_late_is_waited_for(database_url: str) -> None:
    real = urlsplit(database_url)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    late = real._replace(netloc=f"{real.username}:{real.password}@127.0.0.1:{port}").geturl()
    with pytest.raises(DatabaseUnavailableError, match=r"no database after 0\.2 s"):
        await wait_until_up(late, wait_s=0.2)
    waiting = asyncio.ensure_future(wait_until_up(late, wait_s=30))

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection(real.hostname, real.port)
        await asyncio.gather(_copy(reader, downstream), _copy(upstream, writer))

    async with await asyncio.start_server(forward, "127.0.0.1", port):
        await waiting


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()
