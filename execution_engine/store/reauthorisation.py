"""Lets executions go on that wait for new credentials of a provider; admin_servicer.py calls."""

from datetime import timedelta
from uuid import UUID

import asyncpg

from execution_engine.store.accounts import account_transaction

_KNOWN_EVERYWHERE = timedelta(seconds=3)
_AT_A_TIME = 1000
_WAKE = """WITH waiting AS MATERIALIZED (
    SELECT ctid AS place FROM execution
    WHERE account_id = $1 AND execution_id > $3 AND (
        status = 4 AND blocked_on = 19 AND wake_at > wf_now() + $2::interval
        OR status = 3 AND held_on = 19 AND resume_at > wf_now() + $2::interval)
    ORDER BY execution_id LIMIT $4 FOR UPDATE SKIP LOCKED
)
UPDATE execution e SET rev = e.rev + 1,
    wake_at = CASE WHEN e.status = 4 THEN wf_now() + $2::interval ELSE e.wake_at END,
    resume_at = CASE WHEN e.status = 3 THEN wf_now() + $2::interval ELSE e.resume_at END
FROM waiting w WHERE e.ctid = w.place
RETURNING e.execution_id"""


async def wake(pool: asyncpg.Pool, account_id: int) -> int:
    """Makes them due, a thousand at a time, whatever provider they wait for; how many there were.

    Not at once: other processes of a family may act by the old choice for two seconds more. One that is
    locked meanwhile, or comes to wait in this moment, asks again by itself. Each statement goes on where the
    last one ended: what waits for something else is read once, not once per thousand.
    """
    woken, last = 0, UUID(int=0)
    while True:
        async with account_transaction(pool, account_id) as connection:
            rows = await connection.fetch(_WAKE, account_id, _KNOWN_EVERYWHERE, last, _AT_A_TIME)
        woken += len(rows)
        if len(rows) < _AT_A_TIME:
            return woken
        last = max(row[0] for row in rows)
