"""Fills the table of executions with millions that wait or queue, as rows of years of use would: scale.py."""

from datetime import timedelta
from uuid import UUID

import asyncpg

_CHUNK = 100_000
_FILL = """INSERT INTO execution (account_id, execution_id, workflow_id, contact_id, version, shard, status,
    priority, lane, blocked_on, wake_at, step, visit, log_seq, log_hash, created_at, updated_at)
SELECT a.account_id, uuidv7(), u.workflow_id, uuidv7(), 1, a.shard, $3, 2, 2, $4,
    wf_now() + $5::interval + n.n * $6::interval / $7, $8, 1, 2, sha256(n.n::text::bytea), wf_now(), wf_now()
FROM generate_series(1, $7) AS n (n)
JOIN unnest($1::bigint[], $2::uuid[]) WITH ORDINALITY AS u (account_id, workflow_id, place)
    ON u.place = n.n % cardinality($1) + 1
JOIN account a ON a.account_id = u.account_id"""
QUEUED, WAITING = 1, 4
_BY_WORKER, _BY_TIMER = 1, 2


async def fill(
    owner: asyncpg.Connection,
    workflows: dict[int, UUID],
    count: int,
    *,
    status: int = WAITING,
    first: timedelta = timedelta(days=30),
    spread: timedelta = timedelta(days=300),
    step: int = 0,
) -> None:
    """Adds `count` executions whose times come from `first` from now on, evenly over `spread`."""
    blocked_on = _BY_TIMER if status == WAITING else _BY_WORKER
    done = 0
    while done < count:
        part = min(_CHUNK, count - done)
        share = spread * part / count
        await owner.execute(
            _FILL,
            list(workflows),
            list(workflows.values()),
            status,
            blocked_on,
            first + spread * done / count,
            share,
            part,
            step,
            timeout=300,
        )
        done += part
    await owner.execute("VACUUM (ANALYZE) execution", timeout=300)
