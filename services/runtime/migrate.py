"""Applies numbered .sql files to a database; called by `python -m services.migrate`, the local stack, tests.

Each file (`0001_name.sql`) runs once, in one transaction with the row that records it. Files are history:
one that has been applied may not change, and none may be slipped in before the last applied one.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import structlog

from services.runtime.database import wait_until_up

log = structlog.get_logger(__name__)

_FILE_NAME: Final = re.compile(r"[0-9]{4}_[a-z0-9_]+\.sql")
_LOCK: Final = "SELECT pg_advisory_lock(hashtextextended('wayfarer.migrate', 0))"
_LEDGER: Final = """
CREATE TABLE IF NOT EXISTS schema_migration (
    stream     text        NOT NULL,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    sha256     text        NOT NULL,
    PRIMARY KEY (stream, name)
)
"""
_APPLIED: Final = "SELECT name, sha256 FROM schema_migration WHERE stream = $1 ORDER BY name"
_RECORD: Final = "INSERT INTO schema_migration (stream, name, sha256) VALUES ($1, $2, $3)"


class MigrationError(Exception):
    """The files do not fit the history in the database, or one failed; nothing of that one was applied."""


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    sql: str
    sha256: str


async def migrate(dsn: str, folder: Path, *, stream: str, wait_s: float = 30.0) -> list[str]:
    """Apply the files of `folder` that `stream` has not had, in order, and return their names.

    `dsn` is the owner role's, direct to PostgreSQL (the lock is a session's). Several may call at once: the
    others wait and find nothing left to do. Names the database knows and the folder does not are a newer
    release's, and are left alone. Raises MigrationError, DatabaseUnavailableError.
    """
    files = _files(folder)
    await wait_until_up(dsn, wait_s=wait_s)
    connection = await asyncpg.connect(
        dsn, server_settings={"application_name": f"wayfarer-migrate-{stream}", "timezone": "UTC"}
    )
    try:
        await connection.execute(_LOCK)  # freed with the session
        await connection.execute(_LEDGER)
        applied = {row["name"]: row["sha256"] for row in await connection.fetch(_APPLIED, stream)}
        pending = _pending(files, applied, stream)
        for file in pending:
            await _apply(connection, file, stream)
        return [file.name for file in pending]
    finally:
        await connection.close()


def _files(folder: Path) -> list[_File]:
    if not folder.is_dir():
        raise MigrationError(f"there is no folder {folder}")
    files: list[_File] = []
    for path in sorted(folder.glob("*.sql")):
        if not _FILE_NAME.fullmatch(path.name):
            raise MigrationError(f"{path.name} is not named like 0001_name.sql")
        if files and files[-1].name[:4] == path.name[:4]:
            raise MigrationError(f"{files[-1].name} and {path.name} have the same number")
        # Line ends are a checkout's, not the author's.
        content = path.read_bytes().replace(b"\r\n", b"\n")
        files.append(_File(path.name, content.decode(), hashlib.sha256(content).hexdigest()))
    return files


def _pending(files: list[_File], applied: dict[str, str], stream: str) -> list[_File]:
    for file in files:
        if applied.get(file.name, file.sha256) != file.sha256:
            raise MigrationError(
                f"{stream}/{file.name} has changed since it was applied; add a new file instead"
            )
    last = max(applied, default="")
    pending = [file for file in files if file.name not in applied]
    if pending and pending[0].name < last:
        raise MigrationError(
            f"{stream}/{pending[0].name} comes before {last}, which is applied already; renumber it"
        )
    return pending


async def _apply(connection: asyncpg.Connection, file: _File, stream: str) -> None:
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '10s'")
            await connection.execute(file.sql)
            await connection.execute(_RECORD, stream, file.name, file.sha256)
    except asyncpg.PostgresError as error:
        where = f" at character {error.position}" if getattr(error, "position", None) else ""
        raise MigrationError(f"{stream}/{file.name} failed{where}: {error}") from error
    log.info("migration_applied", stream=stream, name=file.name)
