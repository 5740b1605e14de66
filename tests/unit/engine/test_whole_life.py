"""A run's whole life under Hypothesis: outcomes, waits, events, goals, pauses and lost workers in any order.

R-STATE-1, R-STATE-2, R-STATE-6, R-STEP-2, R-WAIT-2, R-GOAL-1, G14: whatever comes, every move is legal, the log is
gapless, chained and folds to the row, a wait ends once, and a step begins only when nothing holds it.
"""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from execution_engine import chain
from execution_engine.advance import advance
from execution_engine.definition.program import END, ActionStep, WaitStep
from execution_engine.model import BlockedOn, LogEvent, LogRow, Status
from execution_engine.moves import Advance, Blocked, Count, Hold
from execution_engine.outcome import Claimed, Event, InFlight, Pending
from execution_engine.run import Run
from execution_engine.signals import Ask, SignalKind, signal
from execution_engine.states import LEGAL
from tests.unit.engine.test_fold import OUTCOMES, problem_of, started
from tests.unit.engine.world import KEY, NOW, new_run

STEPS: list[dict[str, Any]] = [
    {"id": "tag", "type": "add_tag", "config": {"tag": "x"}, "retry": {"max_retries": 1}},
    {
        "id": "which",
        "type": "switch",
        "config": {"cases": [{"condition": "'vip' in contact.tags", "then": "mail"}], "else": "half"},
    },
    {
        "id": "half",
        "type": "split",
        "config": {"branches": [{"percent": 30, "then": "mail"}, {"percent": 70, "then": "until"}]},
    },
    {"id": "mail", "type": "send_email", "config": {"subject": "Hi"}, "on_unknown": "hold"},
    {
        "id": "open",
        "type": "wait_for_event",
        "config": {"event": "opened", "timeout": "1h", "on_event": "booked", "on_timeout": "again"},
    },
    {"id": "again", "type": "go_to", "config": {"step": "mail", "limit": 2}},
    {"id": "until", "type": "wait_until_time", "config": {"time": "09:00", "time_zone": "Europe/Berlin"}},
    {"id": "booked", "type": "goal", "config": {"event": "booked"}},
    {"id": "date", "type": "wait_until_date", "config": {"date": "2026-11-21T18:00"}},
    {"id": "hook", "type": "webhook_call", "config": {"url": "https://example.org"}, "on_error": "skip"},
    {"id": "done", "type": "end"},
]


class Life(RuleBasedStateMachine):
    """The driver, the operator and the world, against one run; what must hold is told by the invariants."""

    def __init__(self) -> None:
        super().__init__()
        self.run: Run = new_run([dict(step) for step in STEPS])
        self.rows: list[LogRow] = [started()]
        self.now: datetime = NOW
        self.event: Event | None = Claimed(Status.QUEUED, BlockedOn.WORKER)
        self.last = Advance()
        self.waits = 0
        self.waiting_count = 0

    @initialize(tags=st.sampled_from([[], ["vip"]]))
    def contact(self, tags: list[str]) -> None:
        self.run.contact = {"tags": tags}

    def _move(self, event: Event, hold: Hold = Hold.GO, blocked: bool = False) -> None:
        run, before = self.run, self.run.status
        gate = None
        if blocked:
            later = self.now + timedelta(seconds=30)
            gate = lambda run, step: Blocked(BlockedOn.LANE, "email", later)  # noqa: E731
        held = (
            hold is not Hold.GO or bool(run.ask) or (run.not_before is not None and run.not_before > self.now)
        )
        self.last = advance(run, event, self.now, 0.5, hold, gate)
        self.rows += self.last.rows
        for _, what in self.last.counts:
            self.waiting_count += {Count.WAITING: 1, Count.NOT_WAITING: -1}.get(what, 0)
        if run.status is not before:
            assert run.status in LEGAL[before], (before, run.status)
        if self.last.begin is not None:
            assert not held, "a step began that was held"
            assert not blocked
        self.event = None

    # The driver

    @precondition(lambda self: self.event is not None)
    @rule(hold=st.sampled_from([Hold.GO, Hold.GO, Hold.GO, Hold.PARK, Hold.YIELD]), blocked=st.booleans())
    def decide(self, hold: Hold, blocked: bool) -> None:
        assert self.event is not None
        self._move(self.event, hold, blocked)

    @precondition(lambda self: self.event is None and self.run.status is Status.ACTIVE)
    @rule(outcome=st.sampled_from(OUTCOMES))
    def an_attempt_ends(self, outcome: Event) -> None:
        if self.last.reconcile is not None or not isinstance(outcome, InFlight | Pending):
            self.event = outcome

    @precondition(lambda self: self.event is None and self.run.status is Status.ACTIVE)
    @rule()
    def the_worker_is_lost(self) -> None:
        self.run.crashes += 1
        self.event = Claimed(Status.ACTIVE, BlockedOn.NOTHING)

    @precondition(lambda self: self.event is None and self.run.status is Status.WAITING)
    @rule()
    def its_time_comes(self) -> None:
        self.now = max(self.now, self.run.wake_at or self.now)
        self._claim()

    @precondition(lambda self: self.event is None and self.run.status is Status.WAITING)
    @rule()
    def it_is_woken_early(self) -> None:
        """By whatever: what waits must not end before its time."""
        wait = self.run.wait
        waited = self.run.blocked_on in (BlockedOn.TIMER, BlockedOn.EVENT) and not self.run.signals
        self._claim()
        if waited and wait is not None and datetime.fromisoformat(wait["until"]) > self.now:
            assert self.event is not None
            self._move(self.event)
            assert self.run.status is Status.WAITING
            assert self.run.wait_seq

    def _claim(self) -> None:
        self.run.status = Status.ACTIVE
        self.event = Claimed(Status.WAITING, self.run.blocked_on)

    @rule(seconds=st.integers(1, 90_000))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # The operator and the world

    @precondition(lambda self: self.run.status is Status.ACTIVE)
    @rule()
    def somebody_asks_for_a_pause(self) -> None:
        self.run.ask |= Ask.PAUSE
        self.run.ask_detail = '{"actor":"ada"}'

    @precondition(lambda self: self.run.status is Status.PAUSED)
    @rule()
    def somebody_resumes(self) -> None:
        run = self.run
        waits = run.held_on not in (BlockedOn.NOTHING, BlockedOn.WORKER, BlockedOn.OUTCOME_UNKNOWN)
        assert (Status.WAITING if waits else Status.QUEUED) in LEGAL[Status.PAUSED]
        run.status, run.blocked_on = Status.ACTIVE, run.held_on or BlockedOn.WORKER
        run.held_on, run.resume_at, run.reason = BlockedOn.NOTHING, None, ""
        self.event = Claimed(Status.WAITING if waits else Status.QUEUED, run.blocked_on)

    @precondition(lambda self: self.run.status in (Status.ACTIVE, Status.WAITING, Status.PAUSED))
    @rule(hours=st.integers(1, 48))
    def somebody_puts_a_wait_on_it(self, hours: int) -> None:
        self.run.not_before = self.now + timedelta(hours=hours)

    @precondition(lambda self: self.run.wait_seq and self.run.wait and "types" in self.run.wait)
    @rule()
    def the_event_comes(self) -> None:
        event = {"id": "e", "type": "opened", "time": "", "data": {}}
        self.run.signals.append(signal(SignalKind.EVENT, event=event))

    @precondition(lambda self: self.run.wait_seq)
    @rule(kind=st.sampled_from([SignalKind.RESUME, SignalKind.LIFT]))
    def somebody_ends_the_wait(self, kind: SignalKind) -> None:
        self.run.signals.append(signal(kind, actor="ada"))

    @precondition(lambda self: self.run.status in (Status.WAITING, Status.PAUSED) and self.run.step != END)
    @rule(go_to=st.sampled_from(["", "booked"]))
    def a_goal_is_met(self, go_to: str) -> None:
        told = signal(
            SignalKind.END, reason="goal_achieved", goal=True, go_to=go_to, event="booked", event_id="g"
        )
        self.run.signals.append(told)

    # What must always hold

    @invariant()
    def the_log_folds_to_the_row(self) -> None:
        if self.event is None:
            assert problem_of(self.run, self.rows, self.now) == ""

    @invariant()
    def the_log_is_chained(self) -> None:
        previous = chain.GENESIS
        for row in self.rows[1:]:
            previous = previous if previous != chain.GENESIS else self._first_hash()
            assert chain.row_hash(KEY, previous, row) == row.hash
            previous = row.hash

    def _first_hash(self) -> bytes:
        at = chain.microseconds(NOW)
        return chain.link(KEY, chain.GENESIS, 1, LogEvent.EXECUTION_STARTED, "", "", 0, 0, at)

    @invariant()
    def what_rests_has_a_reason(self) -> None:
        run = self.run
        if self.event is not None:
            return
        if run.status is Status.PAUSED:
            assert run.blocked_on is BlockedOn.OPERATOR
        if run.status is Status.WAITING and run.wake_at is not None:
            assert run.blocked_on is not BlockedOn.NOTHING
        if run.status in (Status.COMPLETED, Status.FAILED):
            assert run.wake_at is None
            assert run.ended_at is not None

    @invariant()
    def a_wait_is_pending_at_a_wait_step_only(self) -> None:
        run = self.run
        assert run.program is not None
        if run.wait_seq and run.step != END:
            assert isinstance(run.program.steps[run.step], WaitStep)
        assert self.waiting_count == (1 if run.wait_seq else 0)
        if run.attempt_open:
            assert isinstance(run.program.steps[run.step], ActionStep)

    @invariant()
    def each_wait_ends_once(self) -> None:
        """Each start has at most one end, and the next start comes after it."""
        pending = False
        for row in self.rows:
            if '"ad hoc"' in row.detail:
                continue
            if row.event is LogEvent.WAIT_STARTED:
                assert not pending
                pending = True
            elif (
                row.event in (LogEvent.WAIT_RESUMED, LogEvent.WAIT_TIMED_OUT, LogEvent.WAIT_CANCELLED)
                or row.event is LogEvent.GOAL_ACHIEVED
            ):
                pending = False

    @invariant()
    def visits_are_bounded_by_the_limit(self) -> None:
        assert self.run.visits.get("mail", 0) <= 4


TestLife = Life.TestCase
TestLife.settings = hypothesis_settings(stateful_step_count=60, deadline=None)
