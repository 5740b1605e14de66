"""Opens PostgreSQL pools with time limits set; every process with a database enters `open_pool`.

Limits are set as session settings, so a forgotten transaction or a runaway statement ends by itself instead
of holding locks and old snapshots.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import orjson
import structlog

log = structlog.get_logger(__name__)

InitHook = Callable[[asyncpg.Connection], Awaitable[None]]

_NOT_UP_YET: Final = (
    OSError,  # refused, reset, unreachable, and asyncio's TimeoutError
    asyncpg.CannotConnectNowError,  # starting up, shutting down, in recovery
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.TooManyConnectionsError,
)
_CONNECT_TIMEOUT_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


class DatabaseUnavailableError(Exception):
    """No connection was to be had within the time allowed."""


@asynccontextmanager
async def open_pool(
    dsn: str,
    *,
    name: str,
    min_size: int = 1,
    max_size: int = 8,
    statement_timeout_s: float = 10.0,
    transaction_timeout_s: float = 30.0,
    idle_in_transaction_timeout_s: float = 10.0,
    lock_timeout_s: float = 5.0,
    wait_s: float = 30.0,
    close_s: float = 5.0,
    init: InitHook | None = None,
    server_settings: Mapping[str, str] | None = None,
) -> AsyncIterator[asyncpg.Pool]:
    """Give a pool of `min_size`..`max_size` connections, shown in pg_stat_activity as `name`.

    A database that is not up yet is waited for up to `wait_s` seconds. `init` runs once per new connection.
    `server_settings` add to or replace the settings made here. PostgreSQL 17 or newer (transaction_timeout).
    Raises DatabaseUnavailableError; a wrong password or unknown database is raised at once by asyncpg.
    """
    settings = {
        "application_name": name,
        "timezone": "UTC",
        "statement_timeout": _milliseconds(statement_timeout_s),
        "transaction_timeout": _milliseconds(transaction_timeout_s),
        "idle_in_transaction_session_timeout": _milliseconds(idle_in_transaction_timeout_s),
        "lock_timeout": _milliseconds(lock_timeout_s),
        **(server_settings or {}),
    }
    await wait_until_up(dsn, wait_s=wait_s)
    pool = await asyncpg.create_pool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        timeout=_CONNECT_TIMEOUT_S,
        # The server gives up first; this one is for a server that is gone without a word.
        command_timeout=statement_timeout_s + 5.0 if statement_timeout_s else None,
        init=init,
        reset=_keep_session,
        server_settings=settings,
    )
    try:
        yield pool
    finally:
        await _close(pool, close_s)


async def _keep_session(connection: asyncpg.Connection) -> None:
    """Nothing to undo between uses: settings change within transactions only, and nobody listens on a pool.

    The default asks the server to reset everything, which is one more round trip for each use.
    """


async def use_jsonb(connection: asyncpg.Connection) -> None:
    """Make this connection take and give jsonb as Python values; an `init` hook."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + orjson.dumps(value),  # 1 is the version of jsonb's binary form
        decoder=lambda raw: orjson.loads(raw[1:]),
        format="binary",
    )


async def wait_until_up(dsn: str, *, wait_s: float) -> None:
    """Return once a connection works; raise DatabaseUnavailableError after `wait_s` seconds without one."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + wait_s
    pause_s = _FIRST_PAUSE_S
    logged = False
    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=_CONNECT_TIMEOUT_S)
        except _NOT_UP_YET as error:
            if clock() + pause_s > deadline:
                raise DatabaseUnavailableError(f"no database after {wait_s:g} s: {error}") from error
            if not logged:
                log.info("database_awaited", error=str(error), wait_s=wait_s)
                logged = True
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        else:
            await connection.close()
            return


async def _close(pool: asyncpg.Pool, close_s: float) -> None:
    """Close when the connections in use come back, or cut them off after `close_s` seconds."""
    try:
        async with asyncio.timeout(close_s):
            await pool.close()
    except TimeoutError:
        log.warning("database_pool_cut_off", close_s=close_s)
        pool.terminate()


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
