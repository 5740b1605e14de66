"""The one place where runs move: advance, then one transaction for the batch; worker.py owns it.

A run's next action is given out only after the commit that began it. What the commit did not write
is read again: still ours (locked for a moment, or the answer was lost) or lost to another driver.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from dispatcher.clock import Clock
from dispatcher.flights import Sink
from dispatcher.settings import WorkerSettings
from execution_engine import ports
from execution_engine.advance import advance
from execution_engine.definition.program import ActionStep
from execution_engine.model import LogEvent, LogRow, Status
from execution_engine.moves import Gate, Hold
from execution_engine.outcome import Claimed, Event, Succeeded
from execution_engine.run import Run
from execution_engine.store import changes, commits, few, leases
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
    since: datetime | None = None
    """The claim's own time: what was due by then is not decided at a time before it."""
    carried: list[LogRow] | None = None
    gone: bool = False
    """Asked about or lost: no longer this sink's."""
    anew: bool = False
    """It could not be decided on what was known of the contact, or was asked something meanwhile."""
    config: bytes = b""
    """What the attempt that ended was sent with: advancing renders the next one over it."""

    def restore(self, row: Run) -> None:
        """Takes the run back to what its row says, so that the event is decided again."""
        run = self.run
        for name in _ROW_FIELDS:
            setattr(run, name, getattr(row, name))
        run.status, run.state_changed, run.config = Status.ACTIVE, False, self.config
        self.move, self.anew = None, True
        if self.carried:
            # These rows were chained to what the row was; the claim is taken up, and asked about, again.
            recovered = any(entry.event is LogEvent.RECOVERED for entry in self.carried)
            self.event = Claimed(Status.ACTIVE if recovered else Status.WAITING, row.blocked_on)
            self.carried = None


_ROW_FIELDS = (
    "rev",
    "blocked_on",
    "blocked_by",
    "version",
    "step",
    "visit",
    "attempt",
    "failures",
    "crashes",
    "attempt_open",
    "open_seq",
    "open_at",
    "steps_run",
    "log_seq",
    "log_hash",
    "outputs",
    "visits",
    "asks",
    "ask",
    "ask_detail",
    "held_on",
    "resume_at",
    "not_before",
    "wait_seq",
    "wait",
    "signals",
)


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
        gate: Callable[[datetime], Gate],
        not_sent: Callable[[list[Run]], None],
        refresh: Callable[[list[Pending]], None],
        under_way: Callable[[], int],
        dice: random.Random,
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._done = done
        self._reconcile = reconcile
        self._lost = lost
        self._hold = hold
        self._gate = gate
        self._not_sent = not_sent
        self._refresh = refresh
        self._dice = dice
        self.clock = Clock()
        self.sink: Sink[Pending] = Sink(
            self._fly,
            cap=settings.commit_batch,
            flights=settings.commit_flights,
            beside=few.MOST,  # so few are quicker in the commit that follows
            under_way=under_way,
            name="commit",
            dropped=lambda batch: lost([pending.run for pending in batch]),
        )

    async def _fly(self, batch: list[Pending]) -> None:
        batch, twice = _once_each(batch)
        self.sink.put_all(twice)
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
            now, heard = await self._now_and_heard(connection, batch)
            moves = self._advance(batch, now)
            ready = [move for move in moves if not move.result.refresh]
            written = await self._write(connection, ready, now, heard) if ready else set()
        landed: list[Move] = []
        again: list[Pending] = []
        stale: list[Pending] = []
        for pending in batch:
            if pending.move is None:
                continue
            if pending.run.execution_id in written:
                pending.run.rev += 1
                landed.append(pending.move)
            else:
                (stale if pending.move.result.refresh else again).append(pending)
        self._done(landed)
        unsettled = await self._decide_anew(stale) if stale else []
        return unsettled + (await self._sift(again) if again else [])

    async def _now_and_heard(
        self, connection: asyncpg.Connection, batch: Sequence[Pending]
    ) -> tuple[datetime, set[tuple[int, str]]]:
        """The time, and which events that the outcomes may be somebody listens for; asked for if it must be.

        The time is guessed only for what goes on from here: no delay begins earlier than what it follows, and
        who was asked something meanwhile decides after that.
        """
        telling = _telling(batch)
        guess = None if telling else self.clock.now()
        if guess is not None and all(_may_be_guessed(pending, guess) for pending in batch):
            return guess, set()
        asked_at = self.clock.elapsed()
        now, heard = await changes.now_and_listening(connection, telling)
        self.clock.told(now, asked_at)
        return now, heard

    async def _decide_anew(self, stale: list[Pending]) -> list[Pending]:
        """What is known of these contacts is too little, or not the newest: on by way of their data.

        A write whose answer was lost may itself have made it old; that one has landed. Returns what must fly
        again because the database could not be asked.
        """
        try:
            async with self._pool.acquire() as connection:
                standings = await commits.reread(connection, [pending.run for pending in stale])
        except DATABASE_FAULTS:
            await asyncio.sleep(_PAUSE_S)
            return stale
        landed, lost, unwritten = _sorted(stale, standings)
        self._not_sent([pending.run for pending in unwritten])
        restored = await self._restore(unwritten, lost)
        self._tell(landed, lost)
        for pending in restored:
            pending.anew = True
        self._refresh(restored)
        return []

    def _tell(self, landed: list[Move], lost: list[Run]) -> None:
        if landed:
            self._done(landed)
        if lost:
            self._lost(lost)

    def _advance(self, batch: list[Pending], now: datetime) -> list[Move]:
        moves: list[Move] = []
        asked: list[Move] = []
        gate = self._gate(now)
        for pending in batch:
            if pending.move is None:
                run = pending.run
                pending.config = run.config
                try:
                    result = advance(
                        run, pending.event, now, self._dice.random(), self._hold(run.workflow_id), gate
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

    async def _write(
        self,
        connection: asyncpg.Connection,
        moves: Sequence[Move],
        now: datetime,
        heard: set[tuple[int, str]],
    ) -> set[UUID]:
        """Writes the moves; a row that poisons the batch is found by halving and left out."""
        try:
            if few.suits(moves, heard):
                asked_at = self.clock.elapsed()
                written, told = await few.write(connection, self._vault, now, moves)
                if told is not None:
                    self.clock.told(told, asked_at)
                return written
            async with connection.transaction():
                return await commits.commit(connection, self._vault, now, moves, heard)
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
        first = await self._write(connection, moves[:middle], now, heard)
        return first | await self._write(connection, moves[middle:], now, heard)

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
        landed, lost, unwritten = _sorted(doubtful, standings)
        again: list[Pending] = []
        asked: list[Pending] = []
        for pending in unwritten:
            same = standings[pending.run.execution_id].asks == pending.run.asks
            (again if same else asked).append(pending)
        again += await self._restore(asked, lost)
        self._tell(landed, lost)
        return unmoved + again

    async def _restore(self, asked: list[Pending], lost: list[Run]) -> list[Pending]:
        """Runs somebody asked something of, as their rows are now: what happened to them is decided anew."""
        if not asked:
            return []
        held = [(p.run.account_id, p.run.execution_id, p.run.fence) for p in asked]
        try:
            async with self._pool.acquire() as connection:
                rows = await leases.reload(connection, self._vault, held)
        except DATABASE_FAULTS:
            return asked
        restored: list[Pending] = []
        for pending in asked:
            row = rows.get(pending.run.execution_id)
            if row is None:
                lost.append(pending.run)
                continue
            pending.restore(row)
            restored.append(pending)
        return restored


def _may_be_guessed(pending: Pending, now: datetime) -> bool:
    """Whether what happened may be decided at a time that was not asked for."""
    if pending.anew:
        return False
    if pending.since is not None:
        return now >= pending.since
    return isinstance(pending.event, Succeeded)


def _once_each(batch: list[Pending]) -> tuple[list[Pending], list[Pending]]:
    """Those of a batch that are the first of their execution, and the others.

    A run that was lost and claimed again may be here twice; what is written is known by the execution's id.
    """
    first: dict[UUID, Pending] = {}
    for pending in batch:
        first.setdefault(pending.run.execution_id, pending)
    if len(first) == len(batch):
        return batch, []
    once = list(first.values())
    return once, [pending for pending in batch if first[pending.run.execution_id] is not pending]


def _telling(batch: Sequence[Pending]) -> dict[int, set[str]]:
    """Event types, by account, that the outcomes at hand may be."""
    types: dict[int, set[str]] = {}
    for pending in batch:
        event, run = pending.event, pending.run
        if isinstance(event, Succeeded) and event.output and run.program is not None:
            step = run.program.steps[run.step] if pending.move is None else pending.move.result.ended_step
            if isinstance(step, ActionStep) and step.emits:
                types.setdefault(run.account_id, set()).update(name for name, _ in step.emits)
    return types


def _sorted(
    doubtful: Sequence[Pending], standings: Mapping[UUID, commits.Standing]
) -> tuple[list[Move], list[Run], list[Pending]]:
    """Written after all (the answer was lost, not the commit); another driver's; still to be written."""
    landed: list[Move] = []
    lost: list[Run] = []
    unwritten: list[Pending] = []
    for pending in doubtful:
        run, standing = pending.run, standings.get(pending.run.execution_id)
        assert pending.move is not None
        if standing is not None and _is_written(standing, run):
            run.rev += 1
            landed.append(pending.move)
        elif standing is not None and (standing.fence, standing.rev) == (run.fence, run.rev):
            unwritten.append(pending)
        else:
            lost.append(run)
    return landed, lost, unwritten


def _is_written(standing: commits.Standing, run: Run) -> bool:
    """True if the row stands where this run's move would have put it."""
    if standing.fence is None:
        return standing.log_hash == run.log_hash
    return (standing.fence, standing.rev) == (run.fence, run.rev + 1)
