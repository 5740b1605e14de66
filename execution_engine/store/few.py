"""Writes plain moves at one round trip, where commits.py takes six: rows, log and counters.

While little is going on, round trips are what an action waits for. What is written is the same, by the same
statements: those of commits.py put together, with the log and the counters hung on.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.model import Status
from execution_engine.store.commits import Move, grouped, log_record
from execution_engine.store.counts import deltas_of
from execution_engine.store.sql import statement

MOST = 64
"""Moves up to which it pays."""
_MARK = "-- moved:\n"
_PARTS = re.compile(r"\b(item|gone)\b")
"""What the statements of all kinds call their parts."""
_PARAMETER = re.compile(r"\$(\d+)")


def _bare(name: str) -> str:
    """The statement `name` without the comment before it."""
    return re.sub(r"\A(--.*\n)+", "", statement(name))


_LOG = _bare("insert_log")
_COUNTS = """INSERT INTO step_delta (account_id, workflow_id, version, deltas)
SELECT u.account_id, u.workflow_id, u.version, u.deltas
FROM unnest($1::bigint[], $2::uuid[], $3::integer[], $4::jsonb[], $5::uuid[])
    AS u (account_id, workflow_id, version, deltas, execution_id)"""
_LOG_COLUMNS = 15


@cache
def _whole(kinds: tuple[str, ...]) -> str:
    """One statement for moves of these kinds, with log and counters of just the rows that it wrote."""
    parts, taken = [], 0
    for kind in kinds:
        text = _bare(kind).removeprefix("WITH ")
        rows, _, move = _shifted(_PARTS.sub(rf"{kind}_\1", text), taken).partition(_MARK)
        parts.append(f"{rows}, {kind}_moved AS ({move})")
        taken += max(int(number) for number in _PARAMETER.findall(text))
    moved = " UNION ALL ".join(f"SELECT execution_id FROM {kind}_moved" for kind in kinds)
    written = "WHERE u.execution_id = ANY (ARRAY(SELECT execution_id FROM moved))"
    parts.append(f"moved AS ({moved})")
    parts.append(f"logged AS ({_shifted(_LOG, taken)} {written})")
    parts.append(f"counted AS ({_shifted(_COUNTS, taken + _LOG_COLUMNS)} {written})")
    return f"WITH {', '.join(parts)} SELECT execution_id, (SELECT wf_now()) FROM moved"


def _shifted(text: str, by: int) -> str:
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + by}", text)


def suits(moves: Sequence[Move], heard: set[tuple[int, str]]) -> bool:
    """Whether these moves are few, and nothing is to be written of them but rows, log and counters."""
    return len(moves) <= MOST and not heard and all(_is_plain(move) for move in moves)


def _is_plain(move: Move) -> bool:
    result = move.result
    special = result.message or result.unsent or result.contact_changes or result.listens
    return not special and move.run.status is not Status.FAILED


async def write(
    connection: asyncpg.Connection, vault: ports.Vault, now: datetime, moves: Sequence[Move]
) -> tuple[set[UUID], datetime | None]:
    """As commits.commit, but one statement without a transaction around it. And the time, if it wrote any."""
    kinds = list(grouped(vault, moves, now))
    records = [
        log_record(vault, move.run.account_id, move.run.execution_id, row)
        for _, group, _ in kinds
        for move in group
        for row in move.rows
    ]
    log: Sequence[Any] = list(zip(*records, strict=True)) or [()] * _LOG_COLUMNS
    counted = [move for move in moves if move.result.counts]
    rows = await connection.fetch(
        _whole(tuple(name for name, _, _ in kinds)),
        *(column for _, _, columns in kinds for column in columns),
        *log,
        [move.run.account_id for move in counted],
        [move.run.workflow_id for move in counted],
        [move.run.version for move in counted],
        [orjson.dumps(deltas_of(move.run, move.result.counts)).decode() for move in counted],
        [move.run.execution_id for move in counted],
    )
    return {row[0] for row in rows}, rows[0][1] if rows else None
