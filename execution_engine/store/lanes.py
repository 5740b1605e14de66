"""Lanes and breakers as they are kept by their owner, for showing and for the next owner."""

from collections.abc import Sequence

import asyncpg

from execution_engine.admission.state import EXECUTOR, Lane, Settings

_COLUMNS = "account_id, lane, paused_until, failures, opened, open_until, day, used_today"
_SAVE = """INSERT INTO lane AS l
    (account_id, lane, paused_until, failures, opened, open_until, day, used_today, updated_at)
SELECT u.*, wf_now() FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::integer[], $5::integer[],
    $6::timestamptz[], $7::date[], $8::bigint[]) AS u (account_id, lane) ORDER BY u.account_id, u.lane
ON CONFLICT (account_id, lane) DO UPDATE SET paused_until = excluded.paused_until,
    failures = excluded.failures, opened = excluded.opened, open_until = excluded.open_until,
    day = excluded.day, used_today = excluded.used_today, updated_at = excluded.updated_at"""
_OF_SHARDS = f"""SELECT {_COLUMNS} FROM lane l WHERE l.account_id IN
    (SELECT a.account_id FROM account a WHERE a.shard = ANY ($1::smallint[]))"""
_ONE = f"SELECT {_COLUMNS} FROM lane WHERE account_id = $1 AND lane = $2"


async def save(connection: asyncpg.Connection, lanes: Sequence[tuple[int, Lane]]) -> None:
    """Keeps them; the last writer wins."""
    await connection.execute(
        _SAVE,
        [account_id for account_id, _ in lanes],
        [lane.name for _, lane in lanes],
        [lane.paused_until for _, lane in lanes],
        [lane.failures for _, lane in lanes],
        [lane.opened for _, lane in lanes],
        [lane.open_until for _, lane in lanes],
        [lane.day for _, lane in lanes],
        [lane.used_today for _, lane in lanes],
    )


async def of_shards(connection: asyncpg.Connection, shards: Sequence[int]) -> list[tuple[int, Lane]]:
    """Those of the accounts of some shards."""
    return [(row["account_id"], _lane(row)) for row in await connection.fetch(_OF_SHARDS, list(shards))]


async def find(connection: asyncpg.Connection, account_id: int, name: str) -> Lane | None:
    """One lane as it was last kept."""
    row = await connection.fetchrow(_ONE, account_id, name)
    return _lane(row) if row is not None else None


def _lane(row: asyncpg.Record) -> Lane:
    return Lane(
        name=row["lane"],
        settings=EXECUTOR if row["account_id"] == 0 else Settings(),
        paused_until=row["paused_until"],
        failures=row["failures"],
        opened=row["opened"],
        open_until=row["open_until"],
        back_at=max(filter(None, (row["paused_until"], row["open_until"])), default=None),
        day=row["day"],
        used_today=row["used_today"],
    )
