"""Reads an execution's log; the API's log pages, Watch and verify use it."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from execution_engine import chain, ports
from execution_engine.model import ExecutionView, LogEvent, LogRow, OutcomeCode

MOST_SEQ = 2**31 - 1
"""The highest sequence number that its column can hold."""
_ROWS = """SELECT seq, seq_end, event, step_id, step_type, visit, attempt, started_at, at, outcome, detail,
    private_sealed, hash
FROM execution_log WHERE account_id = $1 AND execution_id = $2 AND seq_end > $3 ORDER BY seq LIMIT $4"""


async def rows(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    execution_id: UUID,
    after: int,
    most: int,
) -> list[LogRow]:
    """Stored rows with an entry after sequence number `after`, in order, at most `most`."""
    found = await connection.fetch(_ROWS, account_id, execution_id, min(after, MOST_SEQ), most)
    return [_row(row, vault, account_id) for row in found]


def _row(row: asyncpg.Record, vault: ports.Vault, account_id: int) -> LogRow:
    sealed = row["private_sealed"]
    return LogRow(
        seq=row["seq"],
        seq_end=row["seq_end"],
        event=LogEvent(row["event"]),
        step_id=row["step_id"],
        step_type=row["step_type"],
        visit=row["visit"],
        attempt=row["attempt"],
        started_at=row["started_at"],
        at=row["at"],
        outcome=OutcomeCode(row["outcome"]),
        detail=row["detail"],
        private=vault.open(ports.LOG, account_id, sealed) if sealed else b"",
        hash=row["hash"],
    )


def entries(
    view: ExecutionView, stored: Sequence[LogRow], outline: Sequence[tuple[str, str]], after: int
) -> list[LogRow]:
    """Rows as entries, one per sequence number after `after`: starts split off, the open start last.

    `outline` is (id, type) of each step of the execution's version. Rows written after `view` was read
    are left out, so that both tell of one moment; so is the start, if `stored` ends short of it.
    """
    fixed = view.open_seq - 1 if view.open_seq else view.log_seq
    listed: list[LogRow] = []
    for row in stored:
        if row.seq_end > fixed:
            break
        if row.seq_end != row.seq:
            assert row.started_at is not None
            start = chain.open_start(
                row.seq, row.step_id, row.step_type, row.visit, row.attempt, row.started_at, b""
            )
            listed.append(start)
        listed.append(row)
    reached = listed[-1].seq_end if listed else fixed
    if view.open_seq and view.open_at is not None and reached == fixed:
        step_id, step_type = outline[view.step]
        listed.append(
            chain.open_start(
                view.open_seq, step_id, step_type, view.visit, view.attempt, view.open_at, view.log_hash
            )
        )
    return [entry for entry in listed if entry.seq_end > after]
