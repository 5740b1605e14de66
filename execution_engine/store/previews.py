"""What an enrolment of many would come to, counted without doing it; the API's BulkService asks."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

_COUNT = """WITH given AS (
    SELECT contact_id, row_number() OVER (PARTITION BY contact_id ORDER BY place) AS copy
    FROM unnest($3::uuid[]) WITH ORDINALITY AS u (contact_id, place)
)
SELECT CASE
    WHEN c.contact_id IS NULL OR c.deleted_at IS NOT NULL THEN 'contact_not_found'
    WHEN c.opted_out THEN 'opted_out'
    WHEN g.copy > 1 THEN 'duplicate'
    WHEN e.started_at + make_interval(secs => w.dedup_window_ms / 1000.0) > wf_now() THEN 'duplicate'
    WHEN w.reentry = 1 AND e.execution_id IS NOT NULL THEN 'already_in'
    WHEN w.reentry = 2 AND EXISTS (
        SELECT FROM execution x WHERE x.account_id = $1 AND x.contact_id = g.contact_id AND x.workflow_id = $2
            AND x.status IN (1, 2, 3, 4)) THEN 'already_in'
    ELSE 'started' END AS outcome, count(*) AS number
FROM given g
JOIN workflow w ON w.account_id = $1 AND w.workflow_id = $2
LEFT JOIN contact c ON c.account_id = $1 AND c.contact_id = g.contact_id
LEFT JOIN enrollment e ON e.account_id = $1 AND e.workflow_id = $2 AND e.contact_id = g.contact_id
    AND e.entry_key = ''
GROUP BY 1"""


async def enrollment(
    connection: asyncpg.Connection, account_id: int, workflow_id: UUID, contacts: Sequence[UUID]
) -> dict[str, int]:
    """How many of the contacts would come to what, as things stand now."""
    rows = await connection.fetch(_COUNT, account_id, workflow_id, list(contacts))
    return {row["outcome"]: row["number"] for row in rows}
