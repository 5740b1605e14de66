"""Starts that made no execution, kept with the reason; enrollment writes them, the API lists them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from execution_engine.ids import new_id

OPT_OUT = "opt_out_blocked"
DEDUPLICATION = "deduplication_blocked"
REENTRY = "reentry_blocked"
NOT_ACTIVE = "workflow_not_active"
LOOP = "loop_blocked"
_ADD = """INSERT INTO start_refusal
    (account_id, refusal_id, kind, workflow_id, contact_id, execution_id, event_id, at)
SELECT $1, u.* FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[],
    $8::timestamptz[]) AS u"""
_PAGE = """SELECT refusal_id, kind, workflow_id, contact_id, execution_id, event_id, at FROM start_refusal
WHERE account_id = $1 AND ($2::uuid IS NULL OR refusal_id < $2) AND ($3::uuid IS NULL OR contact_id = $3)
    AND ($4::uuid IS NULL OR workflow_id = $4) AND ($5 = '' OR kind = $5)
ORDER BY refusal_id DESC LIMIT $6"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One start that made no execution. `execution_id`: the one that was there already."""

    kind: str
    workflow_id: UUID
    contact_id: UUID
    execution_id: UUID | None = None
    event_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class RefusalView:
    """One as it is kept."""

    refusal_id: UUID
    kind: str
    workflow_id: UUID
    contact_id: UUID
    execution_id: UUID | None
    event_id: UUID | None
    at: datetime


async def add(
    connection: asyncpg.Connection, account_id: int, refusals: Sequence[Refusal], now: datetime
) -> None:
    """Keeps them, in the caller's transaction."""
    if not refusals:
        return
    await connection.execute(
        _ADD,
        account_id,
        [new_id(now) for _ in refusals],
        [r.kind for r in refusals],
        [r.workflow_id for r in refusals],
        [r.contact_id for r in refusals],
        [r.execution_id for r in refusals],
        [r.event_id for r in refusals],
        [now] * len(refusals),
    )


async def page(
    connection: asyncpg.Connection,
    account_id: int,
    before: UUID | None,
    size: int,
    contact_id: UUID | None,
    workflow_id: UUID | None,
    kind: str,
) -> list[RefusalView]:
    """Up to `size`, newest first."""
    rows = await connection.fetch(_PAGE, account_id, before, contact_id, workflow_id, kind, size)
    return [RefusalView(**dict(row)) for row in rows]
