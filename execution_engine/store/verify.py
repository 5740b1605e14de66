"""Checks the invariants of an account's executions; `wayfarer verify` asks for it.

I1–I12 are those of the guarantees. Counting ones are single statements; I3 and I4 read logs whole.
"""

from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from execution_engine import chain, ports
from execution_engine.fold import fold
from execution_engine.model import TERMINAL, ExecutionView, LogRow, Status
from execution_engine.store import executions, logs
from execution_engine.store.workflows import Outlines

_MOST_EXAMPLES = 10
_COUNTS = {
    "I1": (
        "an execution has ended if and only if nothing will wake it",
        """SELECT execution_id FROM execution WHERE account_id = $1 AND CASE
            WHEN status IN (5, 6, 7) THEN wake_at IS NOT NULL OR worker_id IS NOT NULL
            WHEN status = 3 THEN wake_at IS NOT NULL
            ELSE wake_at IS NULL AND NOT parked END""",
    ),
    "I2": (
        "an execution has a lease if and only if it is ACTIVE",
        """SELECT execution_id FROM execution WHERE account_id = $1
            AND (status = 2) <> (worker_id IS NOT NULL AND lane = 0)""",
    ),
    "I5": (
        "no more executions are ACTIVE than the account's limit",
        """SELECT a.account_id FROM account a WHERE a.account_id = $1 AND a.active_limit
            < (SELECT count(*) FROM execution e WHERE e.account_id = $1 AND e.status = 2)""",
    ),
    "I8": (
        "no visit has more attempts than its retries, crashes and deferrals allow",
        "SELECT execution_id FROM execution WHERE account_id = $1 AND (failures > 101 OR crashes > 6)",
    ),
    "I11": (
        "the log's partition of next month exists",
        """SELECT 'execution_log' WHERE $1 > 0 AND to_regclass('execution_log' || to_char(
            (wf_now() AT TIME ZONE 'UTC') + interval '1 month', '_YYYY_MM')) IS NULL""",
    ),
    "I12": (
        "no execution has been due for more than 5 s without being taken",
        """SELECT e.execution_id FROM execution e JOIN account a USING (account_id)
            WHERE e.account_id = $1 AND e.wake_at < wf_now() - interval '5 seconds'
            AND (e.status = 2 OR (SELECT count(*) FROM execution x WHERE x.account_id = $1 AND x.status = 2)
                < a.active_limit)""",
    ),
}


@dataclass(slots=True)
class Check:
    """One invariant, and what breaks it."""

    id: str
    description: str
    broken: list[str] = field(default_factory=list)
    violations: int = 0

    def breaks(self, what: str) -> None:
        """Notes one violation."""
        self.violations += 1
        if len(self.broken) < _MOST_EXAMPLES:
            self.broken.append(what)


async def counts(connection: asyncpg.Connection, account_id: int) -> list[Check]:
    """The invariants that a statement each can tell."""
    checks = []
    for name, (description, text) in _COUNTS.items():
        check = Check(name, description)
        for row in await connection.fetch(text, account_id):
            check.breaks(str(row[0]))
        checks.append(check)
    return checks


class LogChecks:
    """I3 and I4 (and I7's trace in the log), execution by execution."""

    def __init__(self, vault: ports.Vault, outlines: Outlines) -> None:
        self._vault = vault
        self._outlines = outlines
        self.chained = Check("I3", "each log is gapless and its chain of hashes verifies up to the row")
        self.folded = Check("I4", "each row says what its log says")
        self.checked = 0

    async def check(self, connection: asyncpg.Connection, account_id: int, execution_id: UUID) -> None:
        """Reads one execution and its log in the caller's snapshot."""
        view = await executions.get(connection, account_id, execution_id)
        stored = await logs.rows(connection, self._vault, account_id, execution_id, 0, 1_000_000)
        outline = await self._outlines.of(connection, account_id, view.workflow_id, view.version)
        self.checked += 1
        if problem := self._chain_problem(view, stored, outline):
            self.chained.breaks(f"{execution_id}: {problem}")
        step_id = outline[view.step][0] if view.step >= 0 else ""
        if problem := _fold_problem(view, step_id, logs.entries(view, stored, outline, 0)):
            self.folded.breaks(f"{execution_id}: {problem}")

    def _chain_problem(
        self, view: ExecutionView, stored: list[LogRow], outline: tuple[tuple[str, str], ...]
    ) -> str:
        key = self._vault.mac_key(ports.CHAIN, view.account_id)
        previous, seq = chain.GENESIS, 0
        for row in stored:
            if row.seq != seq + 1:
                return f"entry {seq + 1} is missing"
            if chain.row_hash(key, previous, row) != row.hash:
                return f"entry {row.seq} was altered"
            previous, seq = row.hash, row.seq_end
        if view.open_seq and view.open_at is not None:
            step_id, step_type = outline[view.step]
            previous = chain.start_hash(
                key,
                previous,
                seq + 1,
                step_id,
                step_type,
                view.visit,
                view.attempt,
                chain.microseconds(view.open_at),
            )
            seq += 1
        if seq != view.log_seq:
            return f"the log ends at {seq}, the row says {view.log_seq}"
        return "" if previous == view.log_hash else "the log's end is not the row's"


def _fold_problem(view: ExecutionView, step_id: str, entries: list[LogRow]) -> str:
    told = fold(entries)
    ended = view.status if view.status in TERMINAL else None
    if told.ended is not ended:
        return f"the row is {view.status.name}, the log says {told.ended.name if told.ended else 'running'}"
    if told.entries_after_end:
        return f"{told.entries_after_end} entries after the end"
    # A goal or an exit ends an execution whatever is under way; what became of that is told after the end.
    if view.status is Status.COMPLETED and view.reason == "completed" and told.open_attempt:
        return "completed with an attempt open"
    if view.status is Status.ACTIVE and view.attempt_open and not told.open_attempt:
        return "the row has an attempt open, the log has none"
    if not told.explains(view.steps_run):
        return f"the row has run {view.steps_run} steps, the log {told.steps_left}"
    if view.status is Status.COMPLETED:
        return ""
    visit = step_id, view.visit
    if told.attempts[visit] != view.attempt:
        return f"the row is at attempt {view.attempt}, the log at {told.attempts[visit]}"
    if told.failures[visit] != view.failures:
        return f"the row has {view.failures} failures, the log {told.failures[visit]}"
    return ""
