"""Drives claimed executions: claim, prepare, commit, send, outcome, commit …; services/worker runs it.

Everything a run does passes through the four stages below, in batches. The worker holds a run from
its claim until it waits, ends or is lost; in between nobody else changes its row except to end it.
"""

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg
import grpc
import structlog

from dispatcher.claim import Claimer
from dispatcher.commit import Committer, Pending
from dispatcher.contacts import Contacts
from dispatcher.dispatch import Dispatch
from dispatcher.flights import Sink
from dispatcher.gate import ProviderGate
from dispatcher.heartbeat import Heartbeat, Held
from dispatcher.measure import WorkerMetrics
from dispatcher.programs import Programs
from dispatcher.routing import Routing
from dispatcher.settings import WorkerSettings
from dispatcher.shards import Shards
from execution_engine import ports
from execution_engine.definition.program import END, ActionStep, Reads
from execution_engine.model import LogRow, Status
from execution_engine.moves import Hold
from execution_engine.outcome import Claimed, NotDone, Outcome, Succeeded, Unknown
from execution_engine.run import Run
from execution_engine.store.commits import Move
from execution_engine.store.faults import DATABASE_FAULTS
from execution_engine.store.hints import HintSender
from execution_engine.store.leases import Claim
from execution_engine.store.sql import statement

log = structlog.get_logger(__name__)
_PUT_BACK = statement("put_back_runs")
_PAUSED = "SELECT workflow_id FROM workflow WHERE status = 3"
_PUT_BACK_FOR = timedelta(seconds=2)
_CRM = "crm"


class Worker:
    """One worker process's share of the work."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        vault: ports.Vault,
        settings: WorkerSettings,
        routing: Routing,
        contacts: Contacts,
        shards: Shards,
        changed: HintSender,
        metrics: WorkerMetrics,
        dice: random.Random,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._contacts = contacts
        self._shards = shards
        self._changed = changed
        self._metrics = metrics
        self._gate = ProviderGate(pool)
        self._programs = Programs(pool, vault, lambda: routing.catalogue, self._gate.learn_settings)
        self._runs: dict[UUID, Run] = {}
        self._paused: frozenset[UUID] = frozenset()
        self._draining = False
        self._heartbeat: Heartbeat | None = None
        self.claimer = Claimer(
            pool, vault, shards, settings, self._take, lambda: list(self._runs), self._room, self._healthy
        )
        self._intake: Sink[Claim] = Sink(
            self._prepare, cap=settings.claim_batch, flights=2, name="prepare", dropped=self._drop_claims
        )
        self._readers: Sink[Pending] = Sink(
            self._read_contacts, cap=500, flights=4, name="contacts", dropped=self._drop
        )
        self._committer = Committer(
            pool,
            vault,
            settings,
            done=self._done,
            reconcile=self._ask,
            lost=self._lose,
            hold=self._hold,
            gate=self._gate.at,
            not_sent=self._gate.not_sent,
            refresh=self._readers.put_all,
            under_way=lambda: len(self._runs),
            dice=dice,
        )
        self._dispatch = Dispatch(routing, settings, self._ended, self._found, lambda: len(self._runs))

    # What the heartbeat and the claimer ask

    def held(self) -> Held:
        """The leases this worker holds; called on the heartbeat's thread, so it copies first."""
        return [(run.account_id, run.execution_id, run.fence) for run in list(self._runs.values())]

    def watch(self, heartbeat: Heartbeat) -> None:
        """Work only while this heartbeat holds."""
        self._heartbeat = heartbeat

    def _room(self) -> int:
        return 0 if self._draining else self._settings.max_runs - len(self._runs)

    def _healthy(self) -> bool:
        return self._heartbeat is None or self._heartbeat.holding

    def _hold(self, workflow_id: UUID) -> Hold:
        if workflow_id in self._paused:
            return Hold.PARK
        return Hold.YIELD if self._draining else Hold.GO

    @property
    def gate(self) -> ProviderGate:
        """What lets actions go to their providers."""
        return self._gate

    async def refresh_paused(self) -> None:
        """Reads which workflows are paused; their runs stop before their next step."""
        self._paused = frozenset(row[0] for row in await self._pool.fetch(_PAUSED))

    # Stage 1: claimed runs get their program and, where it is read, their contact

    def _take(self, claims: list[Claim]) -> None:
        now = time.monotonic()
        for claim in claims:
            claim.run.claimed_at = now
            self._runs[claim.run.execution_id] = claim.run
        self._metrics.claimed.inc(len(claims))
        self._metrics.lateness.observe_all(max((c.now - c.due_at).total_seconds(), 0.0) for c in claims)
        self._metrics.held.set(len(self._runs))
        self._intake.put_all(claims)

    async def _prepare(self, claims: list[Claim]) -> None:
        runs = [claim.run for claim in claims]
        try:
            await self._programs.attach(runs)
        except DATABASE_FAULTS as error:
            log.warning("programs_failed", problem=str(error) or type(error).__name__)
            await self._put_back(runs)
            return
        without = [run for run in runs if run.program is None]
        if without:
            await self._put_back(without)
        self._move_on(
            Pending(claim.run, claim.event, since=claim.now)
            for claim in claims
            if claim.run.program is not None
        )

    def _move_on(self, moved: Iterable[Pending]) -> None:
        """On to the commit, by way of the contact's data where that may be read next and is not at hand."""
        ready: list[Pending] = []
        unread: list[Pending] = []
        for pending in moved:
            run, reads = pending.run, _reads(pending)
            missing = (reads.contact and run.contact is None) or (reads.facts and run.facts is None)
            (unread if missing else ready).append(pending)
        self._readers.put_all(unread)
        self._committer.sink.put_all(ready)

    async def _read_contacts(self, batch: list[Pending]) -> None:
        runs = [pending.run for pending in batch]
        sending = [pending.run for pending in batch if pending.anew or _reads(pending).facts]
        for attempt in range(20):
            try:
                await self._contacts.attach(runs, sending)
            except (grpc.aio.AioRpcError, *DATABASE_FAULTS) as error:
                log.warning("contacts_failed", problem=str(error) or type(error).__name__, attempt=attempt)
                await asyncio.sleep(min(0.05 * 2**attempt, 1.0))
            else:
                self._committer.sink.put_all(batch)
                return
        # Untouched claims go back. A run whose outcome is in hand is dropped: once its lease is ended
        # by put-back, its next driver learns the outcome from the executor's ledger.
        await self._put_back(runs)

    # Stage 2 → 3: what the commit has made durable goes out

    def _done(self, moves: list[Move]) -> None:
        now = time.monotonic()
        # Others may believe this worker dead: then whoever claims the runs reconciles their open attempts.
        healthy = self._healthy()
        ended: list[float] = []
        begun: list[tuple[Run, ActionStep]] = []
        for move in moves:
            run, step = move.run, move.result.begin
            if run.sent_at:
                ended.append(now - run.sent_at)
                run.sent_at = 0.0
            if run.status is not Status.ACTIVE or step is None:
                self._release(run)
            elif healthy:
                run.sent_at = now
                begun.append((run, step))
            else:
                self._forget(run)
        self._dispatch.send(begun)
        self._changed.tell(*{move.run.account_id for move in moves})
        self._metrics.overhead.observe_all(ended)
        self._metrics.actions.inc(len(ended))
        self._metrics.commits.inc()

    def _ask(self, moves: list[Move]) -> None:
        for move in moves:
            assert move.result.reconcile is not None
            self._dispatch.ask(move.run, move.result.reconcile, move.rows)

    def _release(self, run: Run) -> None:
        """The run waits or has ended: it is nobody's now."""
        if run.wake_at is not None and run.status is Status.WAITING:
            self.claimer.expect(run.account_id, int(run.priority), run.wake_at)
        self._forget(run)

    # Stage 4: outcomes come back

    def _ended(self, outcomes: Sequence[tuple[Run, Outcome]]) -> None:
        moved: list[Pending] = []
        for run, outcome in outcomes:
            self._gate.told(run, outcome)  # a run lost meanwhile may have been the probe
            if self._runs.get(run.execution_id) is run:
                _forget_contact(run, outcome)
                moved.append(Pending(run, outcome))
        self._move_on(moved)

    def _found(self, findings: Sequence[tuple[Run, Outcome, list[LogRow]]]) -> None:
        moved: list[Pending] = []
        for run, outcome, rows in findings:
            if self._runs.get(run.execution_id) is run:
                _forget_contact(run, outcome)
                moved.append(Pending(run, outcome, carried=rows))
        self._move_on(moved)

    # Letting go

    def _drop_claims(self, claims: list[Claim]) -> None:
        self._lose([claim.run for claim in claims])

    def _drop(self, batch: list[Pending]) -> None:
        self._lose([pending.run for pending in batch])

    def _lose(self, runs: Iterable[Run]) -> None:
        """Forgets runs: they are somebody else's, or their lease ends by itself and they are due again."""
        for run in runs:
            self._metrics.lost.inc()
            self._forget(run)

    def _forget(self, run: Run) -> None:
        # Its id may have been claimed anew meanwhile: then that run is another, and stays.
        if self._runs.get(run.execution_id) is run:
            del self._runs[run.execution_id]
            self.claimer.freed(run.account_id)
            self._metrics.held.set(len(self._runs))

    async def _put_back(self, runs: Sequence[Run]) -> None:
        try:
            await self._pool.execute(
                _PUT_BACK,
                [r.account_id for r in runs],
                [r.execution_id for r in runs],
                [r.fence for r in runs],
                _PUT_BACK_FOR,
            )
        except DATABASE_FAULTS as error:
            log.warning(
                "put_back_failed", problem=str(error) or type(error).__name__
            )  # leases end by themselves
        for run in runs:
            self._forget(run)

    async def drain(self, grace_s: float) -> None:
        """Takes no more, lets actions under way end, and yields their runs; what is left loses its lease."""
        self._draining = True
        deadline = time.monotonic() + grace_s
        while self._runs and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if self._runs:
            log.warning("drain_incomplete", runs=len(self._runs))
        for sink in (self._intake, self._readers, self._committer.sink):
            await sink.close()
        await self._dispatch.close()


def _reads(pending: Pending) -> Reads:
    """What the run may read of its contact next, after what happened to it."""
    run, program = pending.run, pending.run.program
    if program is None or run.step == END:
        return Reads()
    stays = isinstance(pending.event, Claimed | NotDone | Unknown)
    return (program.reads_from if stays else program.reads_after)[run.step]


def _forget_contact(run: Run, outcome: Outcome) -> None:
    """What was read of a contact is old once an action has changed it."""
    assert run.program is not None
    if isinstance(outcome, Succeeded) and getattr(run.program.steps[run.step], "family", None) == _CRM:
        run.contact = run.facts = None
