"""The one place where runs move: advance, then one transaction for the batch; worker.py owns it.

A run's next action is given out only after the commit that began it. What the commit did not write
is read again: still ours (locked for a moment, or the answer was lost) or lost to another driver.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from dispatcher.flights import Sink
from dispatcher.settings import WorkerSettings
from execution_engine import ports
from execution_engine.advance import Hold, advance
from execution_engine.model import LogRow
from execution_engine.outcome import Event
from execution_engine.run import Run
from execution_engine.store import commits
from execution_engine.store.commits import Move
from execution_engine.store.faults import DATABASE_FAULTS

log = structlog.get_logger(__name__)
_POISON = ("22", "23", "54")
"""SQLSTATE classes of a row's own fault: data, constraint, limit. Only these are found by halving."""
_PAUSE_S = 0.2


@dataclass(slots=True, eq=False)
class Pending:
    """A run and what happened to it; once advanced, the move that is still to be written."""

    run: Run
    event: Event
    move: Move | None = None
    carried: list[LogRow] | None = None
    gone: bool = False
    """Asked about or lost: no longer this sink's."""


class Committer:
    """Moves runs and writes them. `done` gets each written move, `lost` each run not ours any more."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        vault: ports.Vault,
        settings: WorkerSettings,
        *,
        done: Callable[[list[Move]], None],
        reconcile: Callable[[list[Move]], None],
        lost: Callable[[list[Run]], None],
        hold: Callable[[UUID], Hold],
        dice: random.Random,
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._done = done
        self._reconcile = reconcile
        self._lost = lost
        self._hold = hold
        self._dice = dice
        self.sink: Sink[Pending] = Sink(
            self._fly,
            cap=settings.commit_batch,
            flights=settings.commit_flights,
            linger=settings.linger_s,
            name="commit",
            dropped=lambda batch: lost([pending.run for pending in batch]),
        )

    async def _fly(self, batch: list[Pending]) -> None:
        while batch:
            try:
                batch = await self._once(batch)
            except DATABASE_FAULTS as error:
                log.warning("commit_failed", runs=len(batch), problem=str(error) or type(error).__name__)
                await asyncio.sleep(_PAUSE_S)
                batch = await self._sift(batch)
            if batch:
                await asyncio.sleep(0.002)

    async def _once(self, batch: list[Pending]) -> list[Pending]:
        """One transaction; returns what must fly again."""
        async with self._pool.acquire() as connection:
            now: datetime = await connection.fetchval("SELECT wf_now()")
            moves = self._advance(batch, now)
            if not moves:
                return []
            written = await self._write(connection, moves, now)
        landed: list[Move] = []
        again: list[Pending] = []
        for pending in batch:
            if pending.move is None:
                continue
            if pending.run.execution_id in written:
                pending.run.rev += 1
                landed.append(pending.move)
            else:
                again.append(pending)
        self._done(landed)
        return await self._sift(again) if again else []

    def _advance(self, batch: list[Pending], now: datetime) -> list[Move]:
        moves: list[Move] = []
        asked: list[Move] = []
        for pending in batch:
            if pending.move is None:
                run = pending.run
                try:
                    result = advance(
                        run, pending.event, now, self._dice.random(), self._hold(run.workflow_id)
                    )
                except Exception:
                    # One bad run must not take its batch down; its lease ends and its crashes are counted.
                    log.exception("advance_failed", execution_id=str(run.execution_id))
                    pending.gone = True
                    self._lost([run])
                    continue
                rows = (pending.carried or []) + result.rows
                move = Move(run, result, rows)
                if result.reconcile is not None:
                    pending.gone = True
                    asked.append(move)
                    continue
                pending.move = move
            moves.append(pending.move)
        if asked:
            self._reconcile(asked)
        return moves

    async def _write(self, connection: asyncpg.Connection, moves: Sequence[Move], now: datetime) -> set[UUID]:
        """Writes the moves; a row that poisons the batch is found by halving and left out."""
        try:
            async with connection.transaction():
                return await commits.commit(connection, self._vault, now, moves)
        except Exception as error:
            # Only a row's own fault is looked for; a fault of the database is waited out by the caller.
            state = getattr(error, "sqlstate", None) or ""
            if isinstance(error, DATABASE_FAULTS) and state[:2] not in _POISON:
                raise
            if len(moves) == 1:
                log.exception("run_cannot_be_written", execution_id=str(moves[0].run.execution_id))
                self._lost([moves[0].run])
                return set()
        middle = len(moves) // 2
        written = await self._write(connection, moves[:middle], now)
        return written | await self._write(connection, moves[middle:], now)

    async def _sift(self, batch: list[Pending]) -> list[Pending]:
        """Reads rows again whose write is in doubt: written after all, still to be written, or lost."""
        unmoved = [p for p in batch if p.move is None and not p.gone]
        doubtful = [p for p in batch if p.move is not None]
        if not doubtful:
            return unmoved
        try:
            async with self._pool.acquire() as connection:
                standings = await commits.reread(connection, [p.run for p in doubtful])
        except DATABASE_FAULTS:
            await asyncio.sleep(_PAUSE_S)
            return batch
        landed: list[Move] = []
        lost: list[Run] = []
        again: list[Pending] = []
        for pending in doubtful:
            run, standing = pending.run, standings.get(pending.run.execution_id)
            assert pending.move is not None
            if standing is not None and _is_written(standing, run):
                # The commit's answer was lost, not the commit.
                run.rev += 1
                landed.append(pending.move)
            elif standing is not None and (standing.fence, standing.rev) == (run.fence, run.rev):
                again.append(pending)
            else:
                lost.append(run)
        if landed:
            self._done(landed)
        if lost:
            self._lost(lost)
        return unmoved + again


def _is_written(standing: commits.Standing, run: Run) -> bool:
    """True if the row stands where this run's move would have put it."""
    if standing.fence is None:
        return standing.log_hash == run.log_hash
    return (standing.fence, standing.rev) == (run.fence, run.rev + 1)
