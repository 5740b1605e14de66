"""Writes what advance decided: one transaction for hundreds of runs; dispatcher/commit.py calls it.

Three statements for the three ways on (stays ACTIVE, rests, completes), then COPY of the log rows
of those whose fence still held. What is missing from the returned ids was not written at all. A few moves
go another way (few.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.model import LogRow, Status
from execution_engine.moves import Advance
from execution_engine.run import JsonObject, Run
from execution_engine.store import changes, contact_changes, counts, intents, lookback, notices
from execution_engine.store.sql import statement

_STATEMENTS = {name: statement(name) for name in ("advance_runs", "rest_runs", "finish_runs")}
_REREAD = statement("reread_runs")
_INSERT_LOG = statement("insert_log")
_GATES = statement("lock_gates_of")
_FEW = 64
"""Records up to which one INSERT is quicker than COPY."""
LOG_COLUMNS = (
    "account_id",
    "execution_id",
    "seq",
    "seq_end",
    "event",
    "step_id",
    "step_type",
    "visit",
    "attempt",
    "started_at",
    "at",
    "outcome",
    "detail",
    "private_sealed",
    "hash",
)


@dataclass(slots=True, eq=False)
class Move:
    """One run that was moved, and what to write of it. `rows` in order of seq."""

    run: Run
    result: Advance
    rows: list[LogRow]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a row stands: fence, rev and asks of a hot row (None in history) and its chain's head."""

    fence: int | None
    rev: int | None
    asks: int | None
    log_hash: bytes


async def commit(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    now: datetime,
    moves: Sequence[Move],
    heard: set[tuple[int, str]],
) -> set[UUID]:
    """Writes the moves inside the caller's transaction and returns the ids it wrote.

    An id not returned lost its lease, is locked by somebody else, or was decided on facts that are no longer
    the newest (its move then says `refresh`): nothing of it was written. `heard` are the event types, by
    account, that somebody listens for.
    """
    gates = await _lock_gates(connection, moves)
    for move in moves:
        move.result.refresh = False
    intents.mark_stale(gates, [(move.run, move.result) for move in moves if move.result.message is not None])
    moves = [move for move in moves if not move.result.refresh]
    written: set[UUID] = set()
    for name, _, columns in grouped(vault, moves, now):
        written.update(row[0] for row in await connection.fetch(_STATEMENTS[name], *columns))
    await append(connection, _log_records(vault, moves, written))
    landed = [move for move in moves if move.run.execution_id in written]
    await _keep_intents(connection, landed)
    await counts.add(connection, [(m.run, m.result.counts) for m in landed])
    if heard:
        told = [(m.run, m.result) for m in landed if m.result.output]
        await changes.tell(connection, vault, told, heard, now)
    await notices.add(connection, [m.run for m in landed if m.run.status is Status.FAILED], now)
    changed = [(m.run, m.result.contact_changes) for m in landed if m.result.contact_changes]
    await contact_changes.apply(connection, vault, changed, now)
    await lookback.look(connection, vault, [m.run for m in landed if m.result.listens], now)
    return written


def grouped(
    vault: ports.Vault, moves: Sequence[Move], now: datetime
) -> Iterator[tuple[str, list[Move], tuple[Any, ...]]]:
    """The moves by the way they go on: the statement's name, whose moves, and its parameters."""
    advancing: list[Move] = []
    resting: list[Move] = []
    finishing: list[Move] = []
    for move in moves:
        status = move.run.status
        kind = advancing if status is Status.ACTIVE else finishing if status is Status.COMPLETED else resting
        kind.append(move)
    if advancing:
        # NULL for the moment itself, which is nearly all: a timestamp is the dearest of values to encode.
        begun_at = [None if m.run.open_at is now else m.run.open_at for m in advancing]
        yield "advance_runs", advancing, (*_columns(vault, advancing), now, begun_at)
    if resting:
        yield "rest_runs", resting, (*_columns(vault, resting), now, *_rest_columns(vault, resting))
    if finishing:
        yield "finish_runs", finishing, (*_columns(vault, finishing), now, [m.run.reason for m in finishing])


async def _lock_gates(connection: asyncpg.Connection, moves: Sequence[Move]) -> intents.Gates:
    """Events, waits and messages of a contact meet under its gate; every transaction takes gates first."""
    keys = [(m.run.account_id, m.run.contact_id) for m in moves if m.result.listens or m.result.message]
    changed = [(m.run, m.result.contact_changes) for m in moves if m.result.contact_changes]
    if changed:
        keys += await contact_changes.concerned(connection, changed)
    if not keys:
        return {}
    rows = await connection.fetch(_GATES, [key[0] for key in keys], [key[1] for key in keys])
    return {(row["account_id"], row["contact_id"]): row for row in rows}


async def _keep_intents(connection: asyncpg.Connection, landed: Sequence[Move]) -> None:
    unsent = [(m.run, *m.result.unsent) for m in landed if m.result.unsent is not None]
    await intents.take_back(connection, unsent)
    sending = [
        (m.run, m.result.begin.id, m.result.message)
        for m in landed
        if m.result.begin is not None and m.result.message is not None
    ]
    await intents.add(connection, sending)


async def append(connection: asyncpg.Connection, records: Sequence[tuple[Any, ...]]) -> None:
    """Writes log records (see log_record): a few in one statement, many by COPY."""
    if len(records) > _FEW:
        await connection.copy_records_to_table("execution_log", records=records, columns=LOG_COLUMNS)
    elif records:
        await connection.execute(_INSERT_LOG, *(list(column) for column in zip(*records, strict=True)))


async def reread(connection: asyncpg.Connection, runs: Sequence[Run]) -> dict[UUID, Standing]:
    """Where the rows of `runs` stand now; ids that are nowhere are left out."""
    rows = await connection.fetch(_REREAD, [r.account_id for r in runs], [r.execution_id for r in runs])
    return {
        row["execution_id"]: Standing(row["fence"], row["rev"], row["asks"], row["log_hash"]) for row in rows
    }


def _columns(vault: ports.Vault, moves: list[Move]) -> tuple[list[Any], ...]:
    runs = [m.run for m in moves]
    return (
        [r.account_id for r in runs],
        [r.execution_id for r in runs],
        [r.fence for r in runs],
        [r.rev for r in runs],
        [r.step for r in runs],
        [r.visit for r in runs],
        [r.attempt for r in runs],
        [r.failures for r in runs],
        [r.open_seq for r in runs],
        [r.steps_run for r in runs],
        [r.log_seq for r in runs],
        [r.log_hash for r in runs],
        [
            vault.seal(ports.STATE, r.account_id, state_of(r.outputs, r.visits)) if r.state_changed else None
            for r in runs
        ],
        [r.asks for r in runs],
    )


def state_of(outputs: JsonObject, visits: JsonObject) -> bytes:
    """What `state_sealed` holds."""
    return orjson.dumps({"outputs": outputs, "visits": visits} if visits else {"outputs": outputs})


def _rest_columns(vault: ports.Vault, moves: list[Move]) -> tuple[list[Any], ...]:
    runs = [m.run for m in moves]
    return (
        [r.status for r in runs],
        [r.blocked_on for r in runs],
        [r.wake_at for r in runs],
        [r.attempt_open for r in runs],
        [r.reason for r in runs],
        [r.failure for r in runs],
        [r.ended_at for r in runs],
        [r.open_at for r in runs],
        [r.held_on if r.status is Status.PAUSED else 0 for r in runs],
        [r.resume_at for r in runs],
        [r.not_before for r in runs],
        [r.wait_seq for r in runs],
        [_sealed(vault, ports.WAIT, r.account_id, r.wait) for r in runs],
        [_sealed(vault, ports.SIGNALS, r.account_id, r.signals) for r in runs],
        [r.blocked_by if r.status is Status.WAITING else "" for r in runs],
    )


def _sealed(vault: ports.Vault, purpose: str, account_id: int, value: object) -> bytes | None:
    return vault.seal(purpose, account_id, orjson.dumps(value)) if value else None


def _log_records(vault: ports.Vault, moves: Sequence[Move], written: set[UUID]) -> list[tuple[Any, ...]]:
    records: list[tuple[Any, ...]] = []
    for move in moves:
        account_id, execution_id = move.run.account_id, move.run.execution_id
        if execution_id not in written:
            continue
        records += [log_record(vault, account_id, execution_id, row) for row in move.rows]
    return records


def log_record(vault: ports.Vault, account_id: int, execution_id: UUID, row: LogRow) -> tuple[Any, ...]:
    """One row of the log as COPY takes it, in the order of LOG_COLUMNS; its private part sealed."""
    return (
        account_id,
        execution_id,
        row.seq,
        row.seq_end,
        row.event,
        row.step_id,
        row.step_type,
        row.visit,
        row.attempt,
        row.started_at,
        row.at,
        row.outcome,
        row.detail,
        vault.seal(ports.LOG, account_id, row.private) if row.private else None,
        row.hash,
    )
