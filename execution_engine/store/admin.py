"""Accounts and API keys, for AdminService; only the hash of a key is ever stored."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine.errors import LastAdminKey, NotFound

_ACCOUNT = """SELECT account_id, name, settings, active_limit, created_at, updated_at FROM account
WHERE account_id = $1"""
_UPDATE = """UPDATE account SET name = $2, active_limit = $3, settings = $4, updated_at = wf_now()
WHERE account_id = $1"""
_ACCOUNTS = "SELECT * FROM wf_accounts($1, $2)"
_CREATE = "SELECT wf_create_account($1)"
_KEY_COLUMNS = "key_id, actor, role, created_at, expires_at, revoked_at"
_ADD_KEY = f"""INSERT INTO api_key (account_id, key_hash, actor, role) VALUES ($1, $2, $3, $4)
RETURNING {_KEY_COLUMNS}"""
_KEYS = f"SELECT {_KEY_COLUMNS} FROM api_key WHERE account_id = $1 ORDER BY key_id DESC LIMIT 1000"
_KEY = f"""SELECT {_KEY_COLUMNS} FROM api_key WHERE account_id = $1 AND key_id = $2
AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > wf_now())"""
_LOCK = "SELECT account_id FROM account WHERE account_id = $1 FOR NO KEY UPDATE"
_OTHERS = """SELECT count(*) FROM api_key WHERE account_id = $1 AND key_id <> $2 AND role >= 2
AND revoked_at IS NULL AND expires_at IS NULL"""
_REVOKE = f"""UPDATE api_key SET revoked_at = wf_now() WHERE account_id = $1 AND key_id = $2
RETURNING {_KEY_COLUMNS}"""
_EXPIRE = "UPDATE api_key SET expires_at = wf_now() + $3 WHERE account_id = $1 AND key_id = $2"


class Role(IntEnum):
    """What a key may do; the numbers are stored, and those of the proto."""

    MEMBER = 1
    ADMIN = 2
    PLATFORM = 3


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as it is kept."""

    account_id: int
    name: str
    settings: dict[str, Any]
    active_limit: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key without its secret."""

    key_id: UUID
    actor: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def new_secret() -> str:
    """The text of a fresh API key: 256 bits."""
    return f"wf_{secrets.token_urlsafe(32)}"


async def account(connection: asyncpg.Connection, account_id: int, *, lock: bool = False) -> AccountView:
    """One account. Raises NotFound."""
    row = await connection.fetchrow(_ACCOUNT + (" FOR NO KEY UPDATE" if lock else ""), account_id)
    if row is None:
        raise NotFound("account", str(account_id))
    return _account(row)


async def update(
    connection: asyncpg.Connection, account_id: int, name: str, active_limit: int, settings: Mapping[str, Any]
) -> AccountView:
    """Writes an account, which must be locked."""
    await connection.execute(_UPDATE, account_id, name, active_limit, orjson.dumps(settings).decode())
    return await account(connection, account_id)


async def create_account(pool: asyncpg.Pool, name: str) -> int:
    """Makes an account; its id."""
    return int(await pool.fetchval(_CREATE, name))


async def accounts(pool: asyncpg.Pool, before: int, size: int) -> list[AccountView]:
    """Up to `size` accounts, newest first, before that id (0: all)."""
    return [_account(row) for row in await pool.fetch(_ACCOUNTS, before, size)]


async def add_key(
    connection: asyncpg.Connection, account_id: int, actor: str, role: Role
) -> tuple[KeyView, str]:
    """Makes a key; it and its secret."""
    secret = new_secret()
    hashed = hashlib.sha256(secret.encode()).digest()
    return _key(await connection.fetchrow(_ADD_KEY, account_id, hashed, actor, role)), secret


async def keys(connection: asyncpg.Connection, account_id: int) -> list[KeyView]:
    """The account's keys, newest first."""
    return [_key(row) for row in await connection.fetch(_KEYS, account_id)]


async def rotate(
    connection: asyncpg.Connection, account_id: int, key_id: UUID, overlap: timedelta
) -> tuple[KeyView, str]:
    """A new key like the old one, which works on for `overlap`. Raises NotFound."""
    old = await _live_key(connection, account_id, key_id)
    made = await add_key(connection, account_id, old.actor, old.role)
    await connection.execute(_EXPIRE, account_id, key_id, overlap)
    return made


async def revoke(connection: asyncpg.Connection, account_id: int, key_id: UUID) -> KeyView:
    """Ends a key. Raises NotFound, LastAdminKey."""
    await connection.execute(_LOCK, account_id)  # two at once must not each leave the other's
    key = await _live_key(connection, account_id, key_id)
    if key.role >= Role.ADMIN and not await connection.fetchval(_OTHERS, account_id, key_id):
        raise LastAdminKey
    return _key(await connection.fetchrow(_REVOKE, account_id, key_id))


async def _live_key(connection: asyncpg.Connection, account_id: int, key_id: UUID) -> KeyView:
    row = await connection.fetchrow(_KEY, account_id, key_id)
    if row is None:
        raise NotFound("key", str(key_id))
    return _key(row)


def _account(row: asyncpg.Record) -> AccountView:
    return AccountView(
        row["account_id"],
        row["name"],
        orjson.loads(row["settings"]),
        row["active_limit"],
        row["created_at"],
        row["updated_at"],
    )


def _key(row: asyncpg.Record) -> KeyView:
    return KeyView(**{**dict(row), "role": Role(row["role"])})
