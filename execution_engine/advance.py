"""Decides what happens next to a run: pure, given the run, what happened, and now; the dispatcher calls it.

`advance` takes what became of an attempt (or of a wait) and walks on from there (walk.py), over every
control step, to where the world is needed: an action to begin, a wait, or the end. It writes nothing;
commit does, and only then is anything sent.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

import orjson

from execution_engine import retry
from execution_engine.definition.program import ActionStep, DeliveryClass, OnUnknown
from execution_engine.model import BlockedOn, ErrorClass, Failure, LogEvent, OutcomeCode, Status
from execution_engine.moves import Advance, Gate, Hold
from execution_engine.outcome import (
    NEEDS_REAUTHORISATION,
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
from execution_engine.signals import Ask, SignalKind, first
from execution_engine.walk import Walk

CRASH_LIMIT = 5
"""Leases a visit may lose before its step counts as poisonous."""
_UNREACHABLE_FIRST_S, _UNREACHABLE_CAP_S = 1.0, 30.0
_NEVER_TWICE = frozenset({DeliveryClass.UNSPECIFIED, DeliveryClass.UNKEYED_AT_MOST_ONCE})


def advance(
    run: Run, event: Event, now: datetime, draw: float, hold: Hold = Hold.GO, gate: Gate | None = None
) -> Advance:
    """Moves `run` by `event`. `now` is the database's; `draw` in [0, 1) is the jitter's dice."""
    return _Mover(run, now, draw, hold, gate).move(event)


class _Mover(Walk):
    """One advance: what ended, and what that means."""

    __slots__ = ("draw",)

    def __init__(self, run: Run, now: datetime, draw: float, hold: Hold, gate: Gate | None) -> None:
        super().__init__(run, now, hold, gate)
        self.draw = draw

    def move(self, event: Event) -> Advance:
        match event:
            case Succeeded():
                self._succeeded(event)
            case Claimed():
                self._claimed(event)
            case Failed():
                self._failed(event)
            case Skipped():
                self._unsent()
                self.result.contact_changes = event.contact_changes
                self.journal.end_attempt(
                    self._action(), LogEvent.ACTION_SKIPPED, OutcomeCode.SKIPPED, event.failure
                )
                self.go(self._action().next)
            case Deferred():
                self._deferred(event)
            case Pending():
                self.journal.spill_start()
                self.journal.note(LogEvent.ACTION_PENDING, OutcomeCode.PENDING)
                self._wait(BlockedOn.PENDING, 0.0 if self._was_told() else event.after_s)
            case Unreachable():
                self._unreachable(event)
            case InFlight():
                self._wait(BlockedOn.RECONCILE, max(event.for_s, 0.05))
            case NotDone():
                self._try_again()
            case Unknown():
                self._unknown()
            case _:
                assert_never(event)
        if (self.run.ask or self.run.signals) and self.run.status is Status.WAITING:
            self._heed()
        return self.result

    def _was_told(self) -> bool:
        """Whether the provider's word on this attempt came before its answer: ask at once."""
        told = [one for one in self.run.signals if one["kind"] == SignalKind.RECHECK]
        self.run.signals = [one for one in self.run.signals if one["kind"] != SignalKind.RECHECK]
        return bool(told)

    def _heed(self) -> None:
        """What was asked meanwhile also holds for a run that comes to rest by itself."""
        run = self.run
        if not run.attempt_open:
            self._was_told()  # of an attempt that has ended: left behind, it would have a resume not wait
        end = first(run.signals, SignalKind.END)
        if end is not None and not run.attempt_open:
            self.outside(end)
        elif run.ask & Ask.PAUSE:
            self.pause(run.blocked_on, run.wake_at)
        run.ask = 0

    # Taking up a run

    def _claimed(self, event: Claimed) -> None:
        run = self.run
        fresh = run.log_seq == 1
        if event.was is Status.ACTIVE:
            self.journal.note(LogEvent.RECOVERED, detail={"crashes": run.crashes})
            if run.crashes >= CRASH_LIMIT:
                failure = Failure(
                    ErrorClass.INDETERMINATE, "wayfarer", "CRASH_LIMIT", "the step kept losing its worker"
                )
                run.attempt_open = False
                self.fail("crash_limit", failure)
                return
        if run.attempt_open:
            self.result.reconcile = self._action()
            run.status = Status.ACTIVE
        elif fresh:
            self.start()
        else:
            self.take_up(event.blocked_on)

    # Ends of attempts

    def _succeeded(self, event: Succeeded) -> None:
        run, step = self.run, self._action()
        assert run.program is not None
        self.journal.end_attempt(step, LogEvent.ACTION_COMPLETED, OutcomeCode.SUCCEEDED, None, event.output)
        if event.output and step.id in run.program.outputs_read:
            run.outputs[step.id] = orjson.loads(event.output)
            run.state_changed = True
        result = self.result
        result.contact_changes, result.output = event.contact_changes, event.output
        result.ended_step, result.config = step, run.config
        self.go(step.next)

    def _failed(self, event: Failed) -> None:
        run, step, failure = self.run, self._action(), event.failure
        self.result.contact_changes = event.contact_changes
        once = event.final or step.delivery_class in _NEVER_TWICE
        if event.certainty is Certainty.INDETERMINATE and once:
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
        if event.certainty is Certainty.NOT_DONE:
            self._unsent()
        self.give_up(step, fails=kind is Disposition.FAIL, reason=reason, failure=failure)

    def _deferred(self, event: Deferred) -> None:
        run, step, failure = self.run, self._action(), event.failure
        self.journal.end_attempt(step, LogEvent.ACTION_DEFERRED, OutcomeCode.DEFERRED, failure)
        if failure is None or failure.code != NEEDS_REAUTHORISATION:
            self._wait(BlockedOn.DEFERRAL, event.after_s)
        elif step.on_error.kind in ("default", "retry"):
            run.blocked_by = failure.provider
            self._wait(BlockedOn.REAUTHORISATION, event.after_s)
        else:
            # The step says what is to happen without the provider: that needs no new credentials.
            refused = replace(failure, error_class=ErrorClass.AUTHENTICATION)
            self._unsent()
            self.give_up(step, fails=False, reason="authentication", failure=refused)

    def _unsent(self) -> None:
        """A message that was not sent, and will not be, does not count as one."""
        step = self._action()
        if step.channel is not None:
            self.result.unsent = step.id, self.run.visit

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
        self._try_again()

    def _try_again(self) -> None:
        self.journal.spill_start()
        self.run.attempt_open = False
        self.stay()

    def _decide_unknown(self) -> None:
        step = self._action()
        self.journal.note(LogEvent.OUTCOME_UNKNOWN, OutcomeCode.UNKNOWN)
        match step.on_unknown:
            case OnUnknown.CONTINUE:
                self.go(step.next)
            case OnUnknown.FAIL:
                self.fail("outcome_unknown", None)
            case OnUnknown.HOLD:
                run = self.run
                run.status, run.blocked_on, run.wake_at = Status.PAUSED, BlockedOn.OPERATOR, None
                run.held_on, run.resume_at = BlockedOn.OUTCOME_UNKNOWN, None
                run.reason = "outcome_unknown"
            case _:
                assert_never(step.on_unknown)

    def _ended(
        self, event: LogEvent, outcome: OutcomeCode, failure: Failure | None, output: bytes = b""
    ) -> None:
        self.journal.end_attempt(self._action(), event, outcome, failure, output)

    def _wait(self, reason: BlockedOn, seconds: float) -> None:
        self.wait_until(reason, self.now + timedelta(seconds=seconds))

    def _action(self) -> ActionStep:
        step = self.steps[self.run.step]
        assert isinstance(step, ActionStep), "an attempt belongs to an action"
        return step
