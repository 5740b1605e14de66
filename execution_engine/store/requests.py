"""Answers by request id: the same id answers the same for 24 hours; the API's mutations use it."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from execution_engine import ports
from execution_engine.errors import RequestIdReused

_CLAIM = """INSERT INTO request (account_id, request_id, method, payload_hash, answer_sealed)
VALUES ($1, $2, $3, $4, '') ON CONFLICT DO NOTHING RETURNING true"""
_READ = "SELECT method, payload_hash, answer_sealed FROM request WHERE account_id = $1 AND request_id = $2"
_ANSWER = "UPDATE request SET answer_sealed = $3 WHERE account_id = $1 AND request_id = $2"
_FORGET = "DELETE FROM request WHERE account_id = $1 AND request_id = $2 AND answer_sealed = ''"


@dataclass(frozen=True, slots=True)
class RequestKey:
    """One request: its id, the rpc's full name, and the hash of what it asked."""

    request_id: UUID
    method: str
    payload_hash: bytes


async def recall(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, key: RequestKey
) -> bytes | None:
    """The answer given before, or None: then the caller does the work and calls `remember`.

    A request of the same id in another transaction is waited for, so that one of two simultaneous
    ones does the work. Raises RequestIdReused if the id came with another payload.
    """
    claimed = await connection.fetchval(_CLAIM, account_id, key.request_id, key.method, key.payload_hash)
    if claimed:
        return None
    row = await connection.fetchrow(_READ, account_id, key.request_id)
    if row["method"] != key.method or row["payload_hash"] != key.payload_hash:
        raise RequestIdReused(str(key.request_id))
    sealed: bytes = row["answer_sealed"]
    return vault.open(ports.REQUEST, account_id, sealed) if sealed else None


async def remember(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, key: RequestKey, answer: bytes
) -> None:
    """Keeps the answer for whoever asks again."""
    await connection.execute(
        _ANSWER, account_id, key.request_id, vault.seal(ports.REQUEST, account_id, answer)
    )


async def forget(connection: asyncpg.Connection, account_id: int, key: RequestKey) -> None:
    """Gives the id back: the request was refused, changed nothing, and may be tried again."""
    await connection.execute(_FORGET, account_id, key.request_id)
