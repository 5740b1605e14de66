"""Transactions of one account, and who a key belongs to; every use of the API's pool goes through here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg

_BIND = "SELECT set_config('wayfarer.account_id', $1, true)"
_WHOSE = "SELECT account_id, key_id, actor, role FROM wf_account_of_key($1)"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key a call came with; `actor` is who the log names, `role` what it may do (store/admin.py)."""

    account_id: int
    key_id: UUID
    actor: str
    role: int = 1


@asynccontextmanager
async def account_transaction(
    pool: asyncpg.Pool, account_id: int, *, snapshot: bool = False
) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that row-level security binds to one account; with `snapshot` it reads one moment."""
    isolation = "repeatable_read" if snapshot else "read_committed"
    async with pool.acquire() as connection, connection.transaction(isolation=isolation, readonly=snapshot):
        await connection.execute(_BIND, str(account_id))
        yield connection


async def caller_of_key(pool: asyncpg.Pool, key_hash: bytes) -> Caller | None:
    """The caller of an API key by its SHA-256; None for one unknown or revoked."""
    row = await pool.fetchrow(_WHOSE, key_hash)
    return Caller(row["account_id"], row["key_id"], row["actor"], row["role"]) if row is not None else None
