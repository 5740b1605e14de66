"""How an account does: counts, lateness, lanes, failures, activity; the API's OverviewService uses it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine.model import Status

MOST_COUNTED = 100_000
MOST_DUE = 10_000
_GROUPED = 1_000
SHOWN = (Status.QUEUED, Status.ACTIVE, Status.PAUSED, Status.WAITING, Status.FAILED)
# Bounded per status: an account with a million that wait must not make its overview slow.
COUNTS = """SELECT s.status, (SELECT count(*) FROM (SELECT FROM execution e
        WHERE e.account_id = $1 AND e.status = s.status LIMIT $3) AS most)::integer AS executions
FROM unnest($2::smallint[]) AS s (status)"""
DUE = """SELECT min(d.since) AS since, wf_now() AS now, coalesce(sum(d.number), 0)::integer AS number
FROM unnest('{1,2,3}'::smallint[]) AS l (lane)
CROSS JOIN LATERAL (SELECT min(most.wake_at) AS since, count(*) AS number FROM (
    SELECT e.wake_at FROM execution e WHERE e.account_id = $1 AND e.lane = l.lane AND e.wake_at <= wf_now()
    ORDER BY e.wake_at LIMIT $2) AS most) AS d"""
FAILURES = f"""SELECT workflow_id, version, step, count(*)::integer AS executions, max(ended_at) AS last_at,
    (array_agg(failure ORDER BY execution_id DESC))[1] AS failure
FROM (SELECT execution_id, workflow_id, version, step, ended_at, failure FROM execution
    WHERE account_id = $1 AND status = 6 ORDER BY execution_id DESC LIMIT {_GROUPED}) AS newest
GROUP BY workflow_id, version, step, failure::jsonb ->> 'class', failure::jsonb ->> 'code'
ORDER BY executions DESC, last_at DESC"""
_LANES = """SELECT account_id, lane, paused_until, open_until, failures, used_today,
    day = (wf_now() AT TIME ZONE 'UTC')::date AS today
FROM lane WHERE account_id IN (0, $1) ORDER BY account_id, lane LIMIT 200"""
_LIMIT = "SELECT active_limit FROM account WHERE account_id = $1"
ACTIVITY = """SELECT date_bin($3, at, $2) AS at, sum(started)::bigint AS started,
    sum(completed)::bigint AS completed, sum(failed)::bigint AS failed, sum(steps)::bigint AS steps
FROM activity WHERE account_id = $1 AND at >= $2 AND ($4::uuid IS NULL OR workflow_id = $4) GROUP BY 1"""
_NOTHING = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class LaneView:
    """A lane as its owner last saw it; `shared` for an executor's own."""

    lane: str
    paused_until: datetime | None
    open_until: datetime | None
    failures: int
    used_today: int
    shared: bool


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """FAILED executions of one version that stand at one step for one error."""

    workflow_id: UUID
    version: int
    step: int
    executions: int
    last_at: datetime
    failure: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Overview:
    """An account now."""

    counts: Mapping[Status, int]
    due: int
    lateness: timedelta
    active_limit: int
    lanes: tuple[LaneView, ...]
    failures: tuple[FailureGroup, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """What was done from `at` on, to the next point."""

    at: datetime
    started: int
    completed: int
    failed: int
    steps: int


async def read(connection: asyncpg.Connection, account_id: int) -> Overview:
    """The account as it is now."""
    counted = await connection.fetch(COUNTS, account_id, [int(status) for status in SHOWN], MOST_COUNTED)
    due = await connection.fetchrow(DUE, account_id, MOST_DUE)
    lanes = await connection.fetch(_LANES, account_id)
    failures = await connection.fetch(FAILURES, account_id)
    return Overview(
        counts={Status(row["status"]): row["executions"] for row in counted},
        due=min(due["number"], MOST_DUE),
        lateness=max(due["now"] - due["since"], timedelta()) if due["since"] else timedelta(),
        active_limit=await connection.fetchval(_LIMIT, account_id),
        lanes=tuple(_lane(row) for row in lanes),
        failures=tuple(_group(row) for row in failures),
    )


async def activity(
    connection: asyncpg.Connection, account_id: int, workflow_id: UUID | None, points: int, each: timedelta
) -> list[Point]:
    """The newest `points`, oldest first, none left out; the last is still growing. `each`: whole minutes."""
    now: datetime = await connection.fetchval("SELECT wf_now()")
    last = now.replace(second=0, microsecond=0)
    first = last - each * points + timedelta(minutes=1)
    rows = await connection.fetch(ACTIVITY, account_id, first, each, workflow_id)
    found = {row["at"]: (row["started"], row["completed"], row["failed"], row["steps"]) for row in rows}
    moments = [first + each * number for number in range(points)]
    return [Point(at, *found.get(at, _NOTHING)) for at in moments]


def _lane(row: asyncpg.Record) -> LaneView:
    return LaneView(
        row["lane"],
        row["paused_until"],
        row["open_until"],
        row["failures"],
        row["used_today"] if row["today"] else 0,
        shared=row["account_id"] == 0,
    )


def _group(row: asyncpg.Record) -> FailureGroup:
    failure = orjson.loads(row["failure"]) if row["failure"] else None
    return FailureGroup(
        row["workflow_id"], row["version"], row["step"], row["executions"], row["last_at"], failure
    )
