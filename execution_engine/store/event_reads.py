"""Reads events and their receipts; the API's EventService uses it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports, receipts
from execution_engine.errors import NotFound
from execution_engine.receipts import Consequence

_COLUMNS = """event_id, contact_id, type, source_id, occurred_at, received_at, data_sealed, cause_execution,
receipt"""
_BY_ID = f"SELECT {_COLUMNS} FROM event WHERE account_id = $1 AND event_id = $2"
_ID_OF = "SELECT event_id FROM event_key WHERE account_id = $1 AND source_id = $2"
_PAGE = f"""SELECT {_COLUMNS} FROM event WHERE account_id = $1 AND ($2::uuid IS NULL OR event_id < $2)
    AND ($3::uuid IS NULL OR contact_id = $3) AND ($4 = '' OR type = $4) ORDER BY event_id DESC LIMIT $5"""


@dataclass(frozen=True, slots=True)
class EventView:
    """An event as it was taken in. `data` is a JSON object."""

    event_id: UUID
    contact_id: UUID
    type: str
    source_id: str
    occurred_at: datetime
    received_at: datetime
    data: dict[str, object]
    cause_execution: UUID | None
    consequences: tuple[Consequence, ...]


async def get(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, event_id: UUID | None, source_id: str
) -> EventView:
    """One event, by our id or (with None) the sender's. Raises NotFound."""
    found = event_id or await connection.fetchval(_ID_OF, account_id, source_id)
    row = await connection.fetchrow(_BY_ID, account_id, found) if found is not None else None
    if row is None:
        raise NotFound("event", str(event_id or source_id))
    return _view(row, vault, account_id)


async def page(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    before: UUID | None,
    size: int,
    contact_id: UUID | None,
    type: str,
) -> list[EventView]:
    """Up to `size` events, newest first."""
    rows = await connection.fetch(_PAGE, account_id, before, contact_id, type, size)
    return [_view(row, vault, account_id) for row in rows]


def _view(row: asyncpg.Record, vault: ports.Vault, account_id: int) -> EventView:
    sealed = row["data_sealed"]
    return EventView(
        event_id=row["event_id"],
        contact_id=row["contact_id"],
        type=row["type"],
        source_id=row["source_id"],
        occurred_at=row["occurred_at"],
        received_at=row["received_at"],
        data=orjson.loads(vault.open(ports.EVENT, account_id, sealed)) if sealed else {},
        cause_execution=row["cause_execution"],
        consequences=tuple(receipts.load(row["receipt"])),
    )
