"""Goes through a program: from where a run stands over control steps to an action, a wait or the end.

advance.py decides what ended; this decides where that leads. It writes nothing and asks nobody but the
gate that it was given.
"""

from datetime import datetime
from typing import assert_never

import orjson

from execution_engine import resting
from execution_engine.definition.conditions import ConditionFailed
from execution_engine.definition.program import (
    END,
    ActionStep,
    EndStep,
    GoalStep,
    GoToStep,
    IfStep,
    SplitStep,
    Step,
    SwitchStep,
    WaitForEventStep,
    WaitTimeStep,
    WaitUntilDateStep,
    WaitUntilTimeStep,
)
from execution_engine.definition.templates import TemplateError
from execution_engine.journal import Journal, as_json
from execution_engine.leave import Leave, ask_leave
from execution_engine.model import BlockedOn, ErrorClass, Failure, LogEvent, OutcomeCode, Status
from execution_engine.moves import Advance, Count, Gate, Hold
from execution_engine.run import Run
from execution_engine.signals import Ask, Signal, SignalKind, first
from execution_engine.steps import split

_MOST_STEPS = 200
"""Control steps in one move; a run with more gives way to others in between."""


class Walk:
    """One move of one run: the moment, and what has been decided so far."""

    __slots__ = ("gate", "hold", "journal", "now", "program", "result", "run", "steps")

    def __init__(self, run: Run, now: datetime, hold: Hold, gate: Gate | None) -> None:
        assert run.program is not None
        self.run = run
        self.program = run.program
        self.steps = run.program.steps
        self.now = now
        self.hold = hold
        self.gate = gate
        self.result = Advance()
        self.journal = Journal(run, now, self.result.rows)

    # Where to

    def start(self) -> None:
        """The run's first step of all."""
        self.count(END, Count.ENTERED)
        self._arrive(self.run.step)
        self.stay()

    def go(self, target: int) -> None:
        """The step at hand is done: on to `target`, a position or END."""
        self.run.steps_run += 1
        self.count(self.run.step, Count.DONE)
        self._arrive(target)
        self.stay()

    def take_up(self, blocked_on: BlockedOn) -> None:
        """A run that waited is driven again; no attempt is open."""
        run = self.run
        end = first(run.signals, SignalKind.END)
        step = self.steps[run.step] if run.step != END else None
        if end is not None:
            self.outside(end)
        elif blocked_on in (BlockedOn.TIMER, BlockedOn.EVENT) and resting.is_wait(step):
            resting.over(self, step)
        elif blocked_on is BlockedOn.AD_HOC_WAIT:
            resting.ad_hoc_over(self)
        elif blocked_on is BlockedOn.OUTCOME_UNKNOWN and isinstance(step, ActionStep):
            self.go(step.next)
        else:
            self.stay()

    def stay(self) -> None:
        """Runs from the step where the run stands, until the world is needed."""
        run = self.run
        for _ in range(_MOST_STEPS):
            if run.step == END:
                self.complete("completed")
                return
            if (self.hold is not Hold.GO or run.ask or run.signals or run.not_before) and self._stopped():
                return
            if self.lacks_contact():
                return
            step = self.steps[run.step]
            if isinstance(step, ActionStep):
                self._begin(step)
                return
            target = self._control(step)
            if target is None:
                return
            run.steps_run += 1
            self.count(run.step, Count.DONE)
            self._arrive(target)
        self._give_way(self.now)

    def lacks_contact(self) -> bool:
        """Whether the step reads the contact, which was not read: it will be, and the step decided anew."""
        run = self.run
        if run.contact is not None or not self.program.reads_contact[run.step]:
            return False
        self.result.refresh = True
        return True

    def _arrive(self, position: int) -> None:
        run = self.run
        run.step = position
        run.visit, run.attempt, run.failures, run.crashes = 1, 0, 0, 0
        if position == END:
            return
        self.count(position, Count.ENTERED)
        if self.program.loops or run.visits:
            name = self.steps[position].id
            run.visit = run.visits.get(name, 0) + 1
            run.visits[name] = run.visit
            run.state_changed = True

    def count(self, position: int, what: Count) -> None:
        """Counts for the step at `position`, or for the version as a whole."""
        self.result.counts.append((position, what))

    # What may stop a run before its next step

    def _stopped(self) -> bool:
        run = self.run
        end = first(run.signals, SignalKind.END)
        run.signals = []
        if end is not None:
            self.outside(end)
            return True
        if run.ask & Ask.PAUSE:
            self.pause(BlockedOn.NOTHING, None)
            return True
        if self.hold is Hold.PARK:
            run.status, run.blocked_on, run.wake_at = Status.WAITING, BlockedOn.WORKER, None
            return True
        if self.hold is Hold.YIELD or run.ask & Ask.LET_GO:
            run.ask = 0
            self._give_way(self.now)
            return True
        if run.not_before is not None and run.not_before > self.now:
            due = run.not_before
            told = orjson.loads(run.ask_detail) if run.ask_detail else {}
            if not told.get("told"):
                detail = {"resume_at": due.isoformat(), "rule": "ad hoc", "actor": told.get("actor", "")}
                self.journal.note(LogEvent.WAIT_STARTED, detail=detail)
            self.wait_until(BlockedOn.AD_HOC_WAIT, due)
            return True
        run.not_before = None
        return False

    def _give_way(self, until: datetime) -> None:
        self.run.status, self.run.blocked_on, self.run.wake_at = Status.WAITING, BlockedOn.WORKER, until

    def pause(self, held_on: BlockedOn, resume_at: datetime | None) -> None:
        """An operator's pause takes effect; what the run waits for otherwise is kept."""
        run = self.run
        detail = orjson.loads(run.ask_detail) if run.ask_detail else {}
        self.journal.note(LogEvent.PAUSED, detail=detail)
        run.status, run.blocked_on, run.wake_at = Status.PAUSED, BlockedOn.OPERATOR, None
        run.held_on, run.resume_at = held_on, resume_at
        run.ask, run.ask_detail = 0, ""

    def outside(self, end: Signal) -> None:
        """A goal or an exit was met while somebody else drove, or nobody could."""
        run = self.run
        run.signals = []
        event = LogEvent.GOAL_ACHIEVED if end["goal"] else LogEvent.EXIT_REACHED
        resting.leave(self)
        self.journal.note(event, detail={"event": end["event"], "event_id": end["event_id"]})
        target = self.program.entries.get(end["go_to"], END) if end["go_to"] else None
        if target is None:
            run.step = END
            self.complete(end["reason"])
            return
        self._arrive(target)
        self.stay()

    # Control steps: each gives the position to go to, or None when the run rests or has ended

    def _control(self, step: Step) -> int | None:
        match step:
            case IfStep():
                return self._branch(step)
            case SwitchStep():
                return self._switch(step)
            case SplitStep():
                run = self.run
                drawn = split.draw(run.workflow_id, step.id, run.contact_id)
                branch = split.choose(step, drawn)
                detail = {"branch": branch.name, "draw": round(drawn, 4)}
                self.journal.note(LogEvent.BRANCH_TAKEN, detail=detail)
                return branch.then
            case GoToStep():
                return self._jump(step)
            case GoalStep():
                self.journal.note(LogEvent.BRANCH_TAKEN, detail={"goal": "not waited for"})
                return END if step.ends else step.next
            case EndStep():
                self.run.steps_run += 1
                self.count(self.run.step, Count.DONE)
                self.complete("completed")
                return None
            case WaitTimeStep() | WaitUntilDateStep() | WaitUntilTimeStep() | WaitForEventStep():
                return resting.begin(self, step)
            case ActionStep():
                raise AssertionError("an action is no control step")
            case _:
                assert_never(step)

    def _branch(self, step: IfStep) -> int | None:
        try:
            holds = step.condition.evaluate(self.run.scope(self.now))
        except ConditionFailed as error:
            self._condition_failed(error)
            return None
        self.journal.note(LogEvent.CONDITION_EVALUATED, detail={"result": holds})
        return step.then if holds else step.otherwise

    def _switch(self, step: SwitchStep) -> int | None:
        scope = self.run.scope(self.now)
        for place, case in enumerate(step.cases):
            try:
                holds = case.condition.evaluate(scope)
            except ConditionFailed as error:
                self._condition_failed(error)
                return None
            if holds:
                self.journal.note(LogEvent.CONDITION_EVALUATED, detail={"result": True, "case": place + 1})
                return case.then
        self.journal.note(LogEvent.CONDITION_EVALUATED, detail={"result": False, "case": "else"})
        return step.otherwise

    def _jump(self, step: GoToStep) -> int:
        if step.limit and self.run.visit > step.limit:
            self.journal.note(LogEvent.VISIT_LIMIT_REACHED, detail={"limit": step.limit})
            return step.next
        self.journal.note(LogEvent.JUMPED, detail={"to": step.name})
        return step.target

    def _condition_failed(self, error: ConditionFailed) -> None:
        failure = Failure(ErrorClass.CONFIGURATION, "wayfarer", "CONDITION_FAILED", str(error)[:500])
        self.journal.note(LogEvent.CONDITION_FAILED, failure=failure)
        self.fail("condition_failed", failure)

    def wait_until(self, reason: BlockedOn, until: datetime) -> None:
        """The run rests until then."""
        self.run.status, self.run.blocked_on, self.run.wake_at = Status.WAITING, reason, until

    # Actions and ends

    def _begin(self, step: ActionStep) -> None:
        """Opens an attempt: counted and committed before it runs."""
        run = self.run
        try:
            literal = step.config.literal
            config = literal if literal is not None else step.config.render(run.scope(self.now))
        except TemplateError as error:
            failure = Failure(ErrorClass.CONFIGURATION, "wayfarer", "MERGE_FIELD", str(error)[:500])
            self.journal.note(LogEvent.ACTION_FAILED, OutcomeCode.FAILED, failure=failure)
            self.give_up(step, fails=True, reason="configuration", failure=failure)
            return
        run.config = config
        leave: Leave | None = None
        if step.channel is not None:
            leave = ask_leave(self, step, step.channel)
            if leave is None:
                return
        blocked = self.gate(run, step) if self.gate is not None else None
        if blocked is not None:
            run.blocked_by = blocked.lane
            self.wait_until(blocked.reason, blocked.until)
            return
        if leave is not None:
            self.journal.note(LogEvent.SEND_ALLOWED, detail=leave.evidence)
            self.result.message, run.counts_sends = leave.message, leave.counted
        run.blocked_by = ""
        run.status = Status.ACTIVE
        run.blocked_on = BlockedOn.NOTHING
        self.journal.begin_attempt(step)
        self.result.begin = step

    def give_up(self, step: ActionStep, *, fails: bool, reason: str, failure: Failure) -> None:
        """No further attempt: the step's on_error decides, or else whether the failure's class fails."""
        target = step.next
        match step.on_error.kind:
            case "skip":
                fails = False
            case "fail":
                fails = True
            case "go_to":
                fails, target = False, step.on_error.target
            case _:
                pass
        if fails:
            self.fail(reason, failure)
        else:
            self.journal.note(LogEvent.SKIPPED_NON_RETRYABLE_ERROR, failure=failure)
            self.go(target)

    def complete(self, reason: str) -> None:
        """The run ends well."""
        self.run.step = END
        detail: dict[str, object] | None = {"reason": reason} if reason != "completed" else None
        self.journal.note(LogEvent.EXECUTION_COMPLETED, detail=detail)
        self.count(END, Count.DONE)
        self._end(Status.COMPLETED, reason)

    def fail(self, reason: str, failure: Failure | None) -> None:
        """The run fails where it stands; it keeps its place and can be retried."""
        self.journal.note(LogEvent.EXECUTION_FAILED, detail={"reason": reason}, failure=failure)
        self.run.failure = orjson.dumps(as_json(failure)).decode() if failure else None
        self.count(self.run.step, Count.FAILED)
        self.count(END, Count.FAILED)
        self._end(Status.FAILED, reason)

    def _end(self, status: Status, reason: str) -> None:
        run = self.run
        run.status, run.reason = status, reason
        run.blocked_on, run.wake_at, run.ended_at = BlockedOn.NOTHING, None, self.now
