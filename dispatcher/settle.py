"""Sweeps executions that ended with an attempt open: asks what became of it, logs it, moves them to history.

services/worker calls it every second. An attempt under way when its execution was cancelled still
had its effect or had not; the log says which (`outcome_after_end`), and only then is it all past.
"""

import asyncpg
import grpc
import structlog

from dispatcher import wire
from dispatcher.programs import Programs
from dispatcher.routing import Routing
from dispatcher.shards import Shards
from execution_engine import ports
from execution_engine.definition.program import ActionStep
from execution_engine.model import OutcomeCode
from execution_engine.outcome import (
    Deferred,
    Failed,
    InFlight,
    NotDone,
    Outcome,
    Pending,
    Skipped,
    Succeeded,
    Unknown,
    Unreachable,
)
from execution_engine.run import Run
from execution_engine.store import settling
from execution_engine.store.settling import Verdict

log = structlog.get_logger(__name__)
_LATER_S = 5.0
_FULL = 200


class Settler:
    """Settles the ended executions of the worker's shards."""

    def __init__(self, pool: asyncpg.Pool, vault: ports.Vault, routing: Routing, shards: Shards) -> None:
        self._pool = pool
        self._vault = vault
        self._routing = routing
        self._shards = shards
        self._programs = Programs(pool, vault, lambda: routing.catalogue)

    async def sweep(self) -> bool:
        """Settles what is due; True if there may be more."""
        if not self._shards.owned:
            return False
        async with self._pool.acquire() as connection:
            runs = await settling.due(connection, self._vault, sorted(self._shards.owned))
        if not runs:
            return False
        still_open = [run for run in runs if run.attempt_open]
        verdicts = [Verdict(run, None) for run in runs if not run.attempt_open]
        waiting: list[tuple[Run, float]] = []
        if still_open:
            await self._programs.attach(still_open)
            for run, outcome in await self._ask(still_open):
                verdict = _verdict(run, outcome)
                if verdict is None:
                    waiting.append((run, outcome.for_s if isinstance(outcome, InFlight) else _LATER_S))
                else:
                    verdicts.append(verdict)
        async with self._pool.acquire() as connection, connection.transaction():
            if verdicts:
                await settling.settle(connection, self._vault, verdicts)
            if waiting:
                await settling.later(connection, waiting)
        return len(runs) == _FULL and bool(verdicts)

    async def _ask(self, runs: list[Run]) -> list[tuple[Run, Outcome]]:
        by_family: dict[str, list[tuple[Run, ActionStep]]] = {}
        answers: list[tuple[Run, Outcome]] = []
        for run in runs:
            step = run.program.steps[run.step] if run.program is not None else None
            if isinstance(step, ActionStep) and step.family in self._routing.clients:
                by_family.setdefault(step.family, []).append((run, step))
            else:
                answers.append((run, Unreachable("its executor is not configured")))
        for family, asked in by_family.items():
            items = [wire.reconcile_item(run, step) for run, step in asked]
            try:
                findings = await self._routing.clients[family].reconcile(items)
            except grpc.aio.AioRpcError as error:
                log.warning("settle_cannot_ask", family=family, code=error.code().name)
                answers += [(run, Unreachable("reconcile failed")) for run, _ in asked]
                continue
            answers += [(run, wire.finding(found)) for (run, _), found in zip(asked, findings, strict=True)]
        return answers


def _verdict(run: Run, outcome: Outcome) -> Verdict | None:
    """What to log of the late outcome; None to ask again later."""
    match outcome:
        case InFlight() | Unreachable() | Pending():
            return None
        case Succeeded():
            return Verdict(run, OutcomeCode.SUCCEEDED, "DONE")
        case Skipped():
            return Verdict(run, OutcomeCode.SKIPPED, "DONE")
        case Failed() | Deferred():
            return Verdict(run, OutcomeCode.FAILED, "DONE")
        case NotDone():
            return Verdict(run, OutcomeCode.NONE, "NOT_DONE")
        case Unknown():
            return Verdict(run, OutcomeCode.UNKNOWN, "UNKNOWN")
