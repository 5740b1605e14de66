"""Decides what happens next to a run: pure, given the run, what happened, and now; the dispatcher calls it.

`advance` runs every control step it meets and stops where the world is needed: at an action to
begin, a wait, or the end. It writes nothing; commit does, and only then is anything sent.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import assert_never

import orjson

from execution_engine import retry
from execution_engine.definition.conditions import ConditionFailed
from execution_engine.definition.program import (
    END,
    ActionStep,
    DeliveryClass,
    EndStep,
    IfStep,
    OnUnknown,
    WaitTimeStep,
)
from execution_engine.definition.templates import TemplateError
from execution_engine.journal import Journal, as_json
from execution_engine.model import (
    BlockedOn,
    ErrorClass,
    Failure,
    LogEvent,
    LogRow,
    OutcomeCode,
    Status,
)
from execution_engine.outcome import (
    Certainty,
    Claimed,
    Deferred,
    Event,
    Failed,
    InFlight,
    NotDone,
    Pending,
    Skipped,
    Succeeded,
    Unknown,
    Unreachable,
)
from execution_engine.retry import Disposition
from execution_engine.run import Run

CRASH_LIMIT = 5
"""Leases a visit may lose before its step counts as poisonous."""
_UNREACHABLE_FIRST_S, _UNREACHABLE_CAP_S = 1.0, 30.0


@dataclass(slots=True)
class Advance:
    """What to do with a run that has been moved: append `rows`, and then what `run.status` says.

    ACTIVE with `begin`: send that action once the commit is durable. ACTIVE with `reconcile`:
    ask that action's executor what became of its open attempt. Anything else: let the run go.
    """

    rows: list[LogRow] = field(default_factory=list)
    begin: ActionStep | None = None
    reconcile: ActionStep | None = None
    contact_changes: bytes = b""


class Hold(Enum):
    """Whether the run may start another step now."""

    GO = 0
    """Yes."""
    PARK = 1
    """No: its workflow is paused. It leaves the wake-up index until the workflow resumes."""
    YIELD = 2
    """No: this worker drains. Another takes it at once."""


def advance(run: Run, event: Event, now: datetime, draw: float, hold: Hold = Hold.GO) -> Advance:
    """Moves `run` by `event`. `now` is the database's; `draw` in [0, 1) is the jitter's dice."""
    assert run.program is not None, "a run is advanced with its program"
    return _Mover(run, now, draw, hold).move(event)


class _Mover:
    """One advance: the run, the moment, and what has been decided so far."""

    __slots__ = ("draw", "hold", "journal", "now", "result", "run", "steps")

    def __init__(self, run: Run, now: datetime, draw: float, hold: Hold) -> None:
        assert run.program is not None
        self.run = run
        self.steps = run.program.steps
        self.now = now
        self.draw = draw
        self.hold = hold
        self.result = Advance()
        self.journal = Journal(run, now, self.result.rows)

    def move(self, event: Event) -> Advance:
        match event:
            case Succeeded():
                self._succeeded(event)
            case Claimed():
                self._claimed(event)
            case Failed():
                self._failed(event)
            case Skipped():
                self.journal.end_attempt(
                    self._action(), LogEvent.ACTION_SKIPPED, OutcomeCode.SKIPPED, event.failure
                )
                self._next(self._action().next)
            case Deferred():
                self.journal.end_attempt(
                    self._action(), LogEvent.ACTION_DEFERRED, OutcomeCode.DEFERRED, event.failure
                )
                self._wait(BlockedOn.DEFERRAL, event.after_s)
            case Pending():
                self.journal.spill_start()
                self.journal.note(LogEvent.ACTION_PENDING, OutcomeCode.PENDING)
                self._wait(BlockedOn.PENDING, event.after_s)
            case Unreachable():
                self._unreachable(event)
            case InFlight():
                self._wait(BlockedOn.RECONCILE, max(event.for_s, 0.05))
            case NotDone():
                self.journal.spill_start()
                self.run.attempt_open = False
                self._run_from(self.run.step)
            case Unknown():
                self._unknown()
            case _:
                assert_never(event)
        return self.result

    # Taking up a run

    def _claimed(self, event: Claimed) -> None:
        run = self.run
        if event.was is Status.ACTIVE:
            self.journal.note(LogEvent.RECOVERED, detail={"crashes": run.crashes})
            if run.crashes >= CRASH_LIMIT:
                failure = Failure(
                    ErrorClass.INDETERMINATE, "wayfarer", "CRASH_LIMIT", "the step kept losing its worker"
                )
                run.attempt_open = False
                self._fail("crash_limit", failure)
                return
        if run.attempt_open:
            self.result.reconcile = self._action()
            run.status = Status.ACTIVE
            return
        if event.blocked_on is BlockedOn.TIMER:
            self.journal.note(LogEvent.WAIT_RESUMED)
            step = self.steps[run.step]
            assert isinstance(step, WaitTimeStep), "only a wait step waits on a timer"
            self._next(step.next)
            return
        self._run_from(run.step)

    # Ends of attempts

    def _succeeded(self, event: Succeeded) -> None:
        run, step = self.run, self._action()
        assert run.program is not None
        self.journal.end_attempt(
            self._action(), LogEvent.ACTION_COMPLETED, OutcomeCode.SUCCEEDED, None, event.output
        )
        if event.output and step.id in run.program.outputs_read:
            run.outputs[step.id] = orjson.loads(event.output)
            run.outputs_changed = True
        self.result.contact_changes = event.contact_changes
        self._next(step.next)

    def _failed(self, event: Failed) -> None:
        run, step, failure = self.run, self._action(), event.failure
        if event.certainty is Certainty.INDETERMINATE and step.delivery_class in _NEVER_TWICE:
            self._ended(LogEvent.ACTION_FAILED, OutcomeCode.UNKNOWN, failure)
            self._decide_unknown()
            return
        self._ended(LogEvent.ACTION_FAILED, OutcomeCode.FAILED, failure)
        if failure.error_class is ErrorClass.RATE_LIMIT:
            self.journal.note(LogEvent.RATE_LIMIT_HIT, detail={"retry_after_s": event.retry_after_s})
        kind = retry.disposition(failure.error_class)
        if kind is not Disposition.RETRY and step.on_error.kind == "retry":
            kind = Disposition.RETRY
        if kind is Disposition.RETRY:
            run.failures += 1
            if run.failures <= step.max_retries:
                self._schedule_retry(step, failure, event.retry_after_s)
                return
            self.journal.note(LogEvent.MAX_RETRIES_EXHAUSTED, failure=failure)
            kind = Disposition.FAIL
            reason = "max_retries_exhausted"
        else:
            reason = failure.error_class.name.lower()
        self._give_up(step, kind, reason, failure)

    def _give_up(self, step: ActionStep, kind: Disposition, reason: str, failure: Failure) -> None:
        """No further attempt: the step's on_error decides, or else the class of the failure."""
        target = step.next
        match step.on_error.kind:
            case "skip":
                kind = Disposition.SKIP
            case "fail":
                kind = Disposition.FAIL
            case "go_to":
                kind, target = Disposition.SKIP, step.on_error.target
            case _:
                pass
        if kind is Disposition.SKIP:
            self.journal.note(LogEvent.SKIPPED_NON_RETRYABLE_ERROR, failure=failure)
            self._next(target)
        else:
            self._fail(reason, failure)

    def _schedule_retry(self, step: ActionStep, failure: Failure, retry_after_s: float | None) -> None:
        delay = retry.delay_s(
            self.run.failures,
            step.retry_base_s,
            step.retry_cap_s,
            step.retry_jitter,
            self.draw,
            retry_after_s,
        )
        due = self.now + timedelta(seconds=delay)
        self.journal.note(
            LogEvent.RETRY_SCHEDULED,
            detail={"retry": self.run.failures, "due": due.isoformat(), "delay_s": round(delay, 3)},
            failure=failure,
        )
        self._wait(BlockedOn.RETRY, delay)

    def _unreachable(self, event: Unreachable) -> None:
        """The attempt stays open: whoever claims the run next reconciles it first."""
        run = self.run
        if run.open_seq:
            self.journal.note(LogEvent.EXECUTOR_UNAVAILABLE, detail={"problem": event.problem[:200]})
        since = (self.now - run.open_at).total_seconds() if run.open_at else 0.0
        delay = min(max(since / 4, _UNREACHABLE_FIRST_S), _UNREACHABLE_CAP_S)
        self._wait(BlockedOn.EXECUTOR, delay * (0.9 + 0.2 * self.draw))

    def _unknown(self) -> None:
        step = self._action()
        if step.delivery_class in _NEVER_TWICE:
            failure = Failure(
                ErrorClass.INDETERMINATE, step.family, "UNKNOWN", "whether the effect happened cannot be told"
            )
            self._ended(LogEvent.ACTION_FAILED, OutcomeCode.UNKNOWN, failure)
            self._decide_unknown()
            return
        self.journal.spill_start()
        self.run.attempt_open = False
        self._run_from(self.run.step)

    def _decide_unknown(self) -> None:
        step = self._action()
        self.journal.note(LogEvent.OUTCOME_UNKNOWN, OutcomeCode.UNKNOWN)
        match step.on_unknown:
            case OnUnknown.CONTINUE:
                self._next(step.next)
            case OnUnknown.FAIL:
                self._fail("outcome_unknown", None)
            case OnUnknown.HOLD:
                self.run.status = Status.PAUSED
                self.run.blocked_on = BlockedOn.OPERATOR
                self.run.wake_at = None
                self.run.reason = "outcome_unknown"
            case _:
                assert_never(step.on_unknown)

    # Going through the program

    def _next(self, target: int) -> None:
        """The step at hand is done: go to `target`, a position or END."""
        run = self.run
        run.steps_run += 1
        run.visit, run.attempt, run.failures, run.crashes = 1, 0, 0, 0
        self._run_from(target)

    def _run_from(self, position: int) -> None:
        run = self.run
        while True:
            if position == END:
                self._complete("completed")
                return
            run.step = position
            if self.hold is not Hold.GO:
                run.status, run.blocked_on = Status.WAITING, BlockedOn.WORKER
                run.wake_at = self.now if self.hold is Hold.YIELD else None
                return
            step = self.steps[position]
            match step:
                case ActionStep():
                    self._begin(step)
                    return
                case IfStep():
                    try:
                        holds = step.condition.evaluate(run.scope(self.now))
                    except ConditionFailed as error:
                        failure = Failure(
                            ErrorClass.CONFIGURATION, "wayfarer", "CONDITION_FAILED", str(error)[:500]
                        )
                        self.journal.note(LogEvent.CONDITION_FAILED, failure=failure)
                        self._fail("condition_failed", failure)
                        return
                    self.journal.note(LogEvent.CONDITION_EVALUATED, detail={"result": holds})
                    position = step.then if holds else step.otherwise
                case WaitTimeStep():
                    due = self.now + timedelta(seconds=step.seconds)
                    self.journal.note(
                        LogEvent.WAIT_STARTED,
                        detail={"resume_at": due.isoformat(), "rule": f"wait_time {step.seconds:g} s"},
                    )
                    self._wait(BlockedOn.TIMER, step.seconds)
                    return
                case EndStep():
                    run.steps_run += 1
                    self._complete("completed")
                    return
                case _:
                    assert_never(step)
            run.steps_run += 1

    def _begin(self, step: ActionStep) -> None:
        """Opens an attempt: counted and committed before it runs."""
        run = self.run
        try:
            literal = step.config.literal
            run.config = literal if literal is not None else step.config.render(run.scope(self.now))
        except TemplateError as error:
            failure = Failure(ErrorClass.CONFIGURATION, "wayfarer", "MERGE_FIELD", str(error)[:500])
            self.journal.note(LogEvent.ACTION_FAILED, OutcomeCode.FAILED, failure=failure)
            self._give_up(step, Disposition.FAIL, "configuration", failure)
            return
        run.status = Status.ACTIVE
        run.blocked_on = BlockedOn.NOTHING
        self.journal.begin_attempt(step)
        self.result.begin = step

    def _ended(
        self, event: LogEvent, outcome: OutcomeCode, failure: Failure | None, output: bytes = b""
    ) -> None:
        self.journal.end_attempt(self._action(), event, outcome, failure, output)

    def _wait(self, reason: BlockedOn, seconds: float) -> None:
        self.run.status = Status.WAITING
        self.run.blocked_on = reason
        self.run.wake_at = self.now + timedelta(seconds=seconds)

    def _complete(self, reason: str) -> None:
        run = self.run
        run.step = END
        self.journal.note(LogEvent.EXECUTION_COMPLETED)
        self._end(Status.COMPLETED, reason)

    def _fail(self, reason: str, failure: Failure | None) -> None:
        self.journal.note(LogEvent.EXECUTION_FAILED, detail={"reason": reason}, failure=failure)
        self.run.failure = orjson.dumps(as_json(failure)).decode() if failure else None
        self._end(Status.FAILED, reason)

    def _end(self, status: Status, reason: str) -> None:
        run = self.run
        run.status, run.reason = status, reason
        run.blocked_on, run.wake_at, run.ended_at = BlockedOn.NOTHING, None, self.now

    def _action(self) -> ActionStep:
        step = self.steps[self.run.step]
        assert isinstance(step, ActionStep), "an attempt belongs to an action"
        return step


_NEVER_TWICE = frozenset({DeliveryClass.UNSPECIFIED, DeliveryClass.UNKEYED_AT_MOST_ONCE})
