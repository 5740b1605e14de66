"""Events that were written with what caused them, on their way in; the API's intake takes them in order."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.store.definitions import Definitions
from execution_engine.store.events import Arrival, ingest
from execution_engine.store.workflows import Outlines

_ACCOUNTS = "SELECT account_id FROM wf_inbox_accounts($1)"
_TURN = "SELECT pg_try_advisory_xact_lock(hashtextextended('wayfarer.inbox', $1))"
_OLDEST = """SELECT inbox_id, contact_id, type, source_id, occurred_at, data_sealed, cause_sealed
FROM event_inbox WHERE account_id = $1 AND failed_at IS NULL ORDER BY inbox_id LIMIT $2"""
_ASIDE = """UPDATE event_inbox SET failed_at = wf_now() WHERE (account_id, inbox_id) IN (
    SELECT account_id, inbox_id FROM event_inbox WHERE account_id = $1 AND failed_at IS NULL
    ORDER BY inbox_id LIMIT 1)"""
_SET_ASIDE = """SELECT inbox_id, contact_id, type, source_id, occurred_at, failed_at FROM event_inbox
WHERE account_id = $1 AND failed_at IS NOT NULL AND ($2::bigint IS NULL OR inbox_id < $2)
    AND ($3::uuid IS NULL OR contact_id = $3) ORDER BY inbox_id DESC LIMIT $4"""
_GONE = "DELETE FROM event_inbox WHERE account_id = $1 AND inbox_id = ANY ($2::bigint[])"


@dataclass(frozen=True, slots=True)
class SetAside:
    """An event that could not be taken in."""

    inbox_id: int
    contact_id: UUID
    type: str
    source_id: str
    occurred_at: datetime
    failed_at: datetime


async def accounts(pool: asyncpg.Pool, most: int) -> list[int]:
    """Accounts with events on their way."""
    return [row[0] for row in await pool.fetch(_ACCOUNTS, most)]


async def take_in(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    definitions: Definitions,
    account_id: int,
    most: int,
) -> int:
    """Takes in up to `most` events of the account, in the order they were written; how many.

    One process at a time per account, or the order would be lost. Inside the caller's transaction.
    """
    if not await connection.fetchval(_TURN, account_id):
        return 0
    rows = await connection.fetch(_OLDEST, account_id, most)
    if not rows:
        return 0
    arrivals = [arrival_of(row, vault, account_id) for row in rows]
    # One that is refused (its contact is gone) is dropped: nobody waits for its receipt.
    await ingest(connection, vault, outlines, definitions, account_id, arrivals)
    await connection.execute(_GONE, account_id, [row["inbox_id"] for row in rows])
    return len(rows)


async def set_aside(connection: asyncpg.Connection, account_id: int) -> None:
    """The oldest event cannot be taken in: it is kept, and those behind it go on."""
    await connection.execute(_ASIDE, account_id)


async def page(
    connection: asyncpg.Connection, account_id: int, before: int | None, size: int, contact_id: UUID | None
) -> list[SetAside]:
    """Up to `size` events that were set aside, newest first, after place `before`."""
    rows = await connection.fetch(_SET_ASIDE, account_id, before, contact_id, size)
    return [SetAside(**dict(row)) for row in rows]


def arrival_of(row: asyncpg.Record, vault: ports.Vault, account_id: int) -> Arrival:
    """An event of the inbox as it is to be taken in; raises what opening and reading it raises."""
    data, cause = row["data_sealed"], row["cause_sealed"]
    told = orjson.loads(vault.open(ports.INPUT, account_id, cause)) if cause else {}
    return Arrival(
        source_id=row["source_id"],
        contact_id=row["contact_id"],
        type=row["type"],
        occurred_at=row["occurred_at"],
        data=orjson.loads(vault.open(ports.EVENT, account_id, data)) if data else {},
        payload_hash=b"",
        cause=UUID(told["execution"]) if "execution" in told else None,
        workflows=tuple(told.get("workflows", ())),
    )
