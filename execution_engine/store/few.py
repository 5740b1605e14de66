"""Writes a few plain moves at one round trip a kind, where commits.py takes six: rows, log and counters.

While little is going on, round trips are what an action waits for. What is written is the same, by the same
statements: the three of commits.py with the log and the counters hung on.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.model import Status
from execution_engine.store.commits import Move, grouped, log_record
from execution_engine.store.counts import deltas_of
from execution_engine.store.sql import statement

MOST = 16
"""Moves up to which it pays."""
_MARK = "-- moved:\n"
_LOG = re.sub(r"\A(--.*\n)+", "", statement("insert_log"))
_COUNTS = """INSERT INTO step_delta (account_id, workflow_id, version, deltas)
SELECT u.account_id, u.workflow_id, u.version, u.deltas
FROM unnest($1::bigint[], $2::uuid[], $3::integer[], $4::jsonb[], $5::uuid[])
    AS u (account_id, workflow_id, version, deltas, execution_id)"""
_LOG_COLUMNS = 15


def _whole(name: str) -> str:
    """The statement `name`, with the log and the counters of just those rows that it wrote."""
    rows, _, move = statement(name).partition(_MARK)
    taken = max(int(number) for number in re.findall(r"\$(\d+)", rows + move))
    log, counts = _shifted(_LOG, taken), _shifted(_COUNTS, taken + _LOG_COLUMNS)
    written = "WHERE u.execution_id IN (SELECT execution_id FROM moved)"
    return f"""{rows}, moved AS ({move}), logged AS ({log} {written}), counted AS ({counts} {written})
SELECT execution_id FROM moved"""


def _shifted(text: str, by: int) -> str:
    return re.sub(r"\$(\d+)", lambda found: f"${int(found[1]) + by}", text)


_STATEMENTS = {name: _whole(name) for name in ("advance_runs", "rest_runs", "finish_runs")}


def suits(moves: Sequence[Move], heard: set[tuple[int, str]]) -> bool:
    """Whether these moves are few, and nothing is to be written of them but rows, log and counters."""
    return len(moves) <= MOST and not heard and all(_is_plain(move) for move in moves)


def _is_plain(move: Move) -> bool:
    result = move.result
    special = result.message or result.unsent or result.contact_changes or result.listens
    return not special and move.run.status is not Status.FAILED


async def write(
    connection: asyncpg.Connection, vault: ports.Vault, now: datetime, moves: Sequence[Move]
) -> set[UUID]:
    """As commits.commit, without a transaction around it: each kind of move is one statement."""
    written: set[UUID] = set()
    for name, group, columns in grouped(vault, moves, now):
        records = [
            log_record(vault, move.run.account_id, move.run.execution_id, row)
            for move in group
            for row in move.rows
        ]
        log: Sequence[Any] = list(zip(*records, strict=True)) or [()] * _LOG_COLUMNS
        counted = [move for move in group if move.result.counts]
        rows = await connection.fetch(
            _STATEMENTS[name],
            *columns,
            *log,
            [move.run.account_id for move in counted],
            [move.run.workflow_id for move in counted],
            [move.run.version for move in counted],
            [orjson.dumps(deltas_of(move.run, move.result.counts)).decode() for move in counted],
            [move.run.execution_id for move in counted],
        )
        written.update(row[0] for row in rows)
    return written
