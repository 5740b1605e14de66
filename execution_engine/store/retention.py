"""Lets go of what has been kept long enough; services/worker calls it, one worker at a time."""

from dataclasses import dataclass

import asyncpg

_TURN = "SELECT pg_try_advisory_xact_lock(hashtextextended('wayfarer.retention', 0))"
_AGE_OUT = "SELECT wf_age_out_failed($1, $2)"
_HISTORY = "SELECT wf_forget_history($1)"
_ROWS = "SELECT wf_forget_rows($1, $2, $3)"
_INTENTS = "SELECT wf_forget_intents($1)"
_ACTIVITY = "SELECT wf_forget_activity($1)"
_MONTHS = "SELECT * FROM wf_drop_months($1, $2)"
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Keep:
    """Days that the platform keeps things for; an account may keep its history for less, or for longer."""

    history_days: int = 400
    failed_days: int = 90
    event_days: int = 30
    other_days: int = 90


async def forget(connection: asyncpg.Connection, keep: Keep) -> int:
    """A bounded batch of everything, in the caller's transaction; how many rows. 0 if another does it."""
    if not await connection.fetchval(_TURN):
        return 0
    gone = int(await connection.fetchval(_AGE_OUT, keep.failed_days, BATCH))
    gone += int(await connection.fetchval(_HISTORY, BATCH))
    gone += int(await connection.fetchval(_INTENTS, BATCH))
    gone += int(await connection.fetchval(_ACTIVITY, BATCH))
    return gone + int(await connection.fetchval(_ROWS, keep.event_days, keep.other_days, BATCH))


async def drop_months(connection: asyncpg.Connection, keep: Keep) -> list[str]:
    """Drops partitions whose time has come; their names. None if another worker does it."""
    if not await connection.fetchval(_TURN):
        return []
    return [row[0] for row in await connection.fetch(_MONTHS, keep.history_days, keep.event_days)]
