"""Ended executions on their way to the history; dispatcher/settle.py asks executors in between."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import orjson

from execution_engine import chain, ports
from execution_engine.model import BlockedOn, LogEvent, LogRow, OutcomeCode, Priority, Status
from execution_engine.run import Run
from execution_engine.store.commits import append, log_record
from execution_engine.store.sql import statement

_DUE = statement("settle_due")
_MOVE = statement("settle_runs")
_LATER = statement("settle_later")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the attempt that was open when its execution ended; None if there was none."""

    run: Run
    outcome: OutcomeCode | None
    finding: str = ""


async def due(connection: asyncpg.Connection, vault: ports.Vault, shards: Sequence[int]) -> list[Run]:
    """Ended executions to settle now, with what is needed to ask about their attempt."""
    return [_run(row, vault) for row in await connection.fetch(_DUE, list(shards))]


def _run(row: asyncpg.Record, vault: ports.Vault) -> Run:
    return Run(
        account_id=row["account_id"],
        execution_id=row["execution_id"],
        workflow_id=row["workflow_id"],
        contact_id=row["contact_id"],
        version=row["version"],
        priority=Priority(row["priority"]),
        fence=row["fence"],
        rev=row["rev"],
        status=Status(row["status"]),
        blocked_on=BlockedOn.NOTHING,
        step=row["step"],
        visit=row["visit"],
        attempt=row["attempt"],
        failures=0,
        crashes=0,
        attempt_open=row["attempt_open"],
        open_seq=0,
        open_at=row["now"],
        steps_run=0,
        log_seq=row["log_seq"],
        log_hash=row["log_hash"],
        chain_key=vault.mac_key(ports.CHAIN, row["account_id"]),
    )


async def settle(
    connection: asyncpg.Connection, vault: ports.Vault, verdicts: Sequence[Verdict]
) -> set[UUID]:
    """Appends `outcome_after_end` where there was an attempt, and moves the executions to the history.

    Inside the caller's transaction; returns the ids moved. Others changed meanwhile and come again.
    """
    rows = {v.run.execution_id: _append(v) for v in verdicts if v.outcome is not None}
    runs = [v.run for v in verdicts]
    moved = {
        row[0]
        for row in await connection.fetch(
            _MOVE,
            [r.account_id for r in runs],
            [r.execution_id for r in runs],
            [r.fence for r in runs],
            [r.rev for r in runs],
            [r.log_seq for r in runs],
            [r.log_hash for r in runs],
        )
    }
    records = [
        log_record(vault, r.account_id, r.execution_id, rows[r.execution_id])
        for r in runs
        if r.execution_id in moved and r.execution_id in rows
    ]
    await append(connection, records)
    return moved


def _append(verdict: Verdict) -> LogRow:
    run, outcome = verdict.run, verdict.outcome
    assert outcome is not None
    assert run.open_at is not None
    assert run.program is not None, "an attempt belongs to a step of a program"
    step = run.program.steps[run.step]
    detail = orjson.dumps({"finding": verdict.finding}).decode()
    run.log_seq += 1
    run.log_hash = chain.link(
        run.chain_key,
        run.log_hash,
        run.log_seq,
        LogEvent.OUTCOME_AFTER_END,
        step.id,
        step.type,
        run.visit,
        run.attempt,
        chain.microseconds(run.open_at),
        outcome,
        detail,
    )
    return LogRow(
        run.log_seq,
        run.log_seq,
        LogEvent.OUTCOME_AFTER_END,
        step.id,
        step.type,
        run.visit,
        run.attempt,
        None,
        run.open_at,
        outcome,
        detail,
        b"",
        run.log_hash,
    )


async def later(connection: asyncpg.Connection, runs: Sequence[tuple[Run, float]]) -> None:
    """Comes back to them after so many seconds each."""
    await connection.execute(
        _LATER, [r.account_id for r, _ in runs], [r.execution_id for r, _ in runs], [s for _, s in runs]
    )
