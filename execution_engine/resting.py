"""What a run does at a wait: rests, and goes on when its time or an event has come; walk.py calls it."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeGuard

import orjson

from execution_engine import waits
from execution_engine.definition.program import (
    END,
    IfPast,
    OnMissing,
    Step,
    WaitForEventStep,
    WaitStep,
    WaitUntilDateStep,
)
from execution_engine.definition.templates import TemplateError
from execution_engine.model import BlockedOn, ErrorClass, Failure, LogEvent
from execution_engine.moves import Count
from execution_engine.signals import SignalKind, first

if TYPE_CHECKING:
    from execution_engine.walk import Walk


def is_wait(step: Step | None) -> TypeGuard[WaitStep]:
    """Whether the step is one of the waits."""
    return isinstance(step, WaitStep)


def _place(walk: "Walk") -> waits.Place:
    run = walk.run
    return waits.Place(run.contact or {}, run.settings, walk.program.settings)


def begin(walk: "Walk", step: WaitStep) -> int | None:
    """The run has come to a wait: it rests, and None; or where to go at once."""
    run = walk.run
    try:
        due = waits.due(step, run.scope(walk.now), _place(walk), walk.now)
        listening = _listening(walk, step) if isinstance(step, WaitForEventStep) else {}
    except (ValueError, TemplateError) as error:
        failure = Failure(ErrorClass.CONFIGURATION, "wayfarer", "WAIT", str(error)[:500])
        walk.journal.note(LogEvent.CONDITION_FAILED, failure=failure)
        walk.fail("configuration", failure)
        return None
    if isinstance(due, waits.NoDate):
        assert isinstance(step, WaitUntilDateStep)
        return _no_date(walk, step, due)
    if due.at <= walk.now and isinstance(step, WaitUntilDateStep):
        return _past(walk, step, due)
    walk.journal.note(
        LogEvent.WAIT_STARTED,
        detail={
            "resume_at": due.at.isoformat(),
            "rule": due.rule,
            **({"match": "given"} if listening.get("match") else {}),
        },
    )
    run.wait_seq = run.log_seq
    run.wait = {"until": due.at.isoformat(), "began": walk.now.isoformat(), "rule": due.rule, **listening}
    if due.on_contact:
        run.wait["on_contact"] = True
    walk.count(run.step, Count.WAITING)
    walk.result.listens = bool(listening)
    walk.wait_until(BlockedOn.EVENT if listening else BlockedOn.TIMER, due.at)
    return None


def _listening(walk: "Walk", step: WaitForEventStep) -> dict[str, Any]:
    """What the pending wait takes, with its merge fields filled. Raises TemplateError."""
    run = walk.run
    match = orjson.loads(step.pattern.match.render(run.scope(walk.now)))
    if step.since == "last_action" and run.open_at is not None:
        since = run.open_at
    elif step.since:
        since = datetime.fromtimestamp((run.execution_id.int >> 80) / 1000, UTC)
    else:
        since = walk.now - timedelta(seconds=step.look_back_s)
    return {
        "types": list(step.pattern.types),
        "match": match,
        "filter": step.pattern.filter,
        "since": since.isoformat(),
    }


def _no_date(walk: "Walk", step: WaitUntilDateStep, due: waits.NoDate) -> int | None:
    detail = {"problem": due.problem, "on_missing": step.on_missing.value}
    if step.on_missing is OnMissing.CONTINUE:
        walk.journal.note(LogEvent.WAIT_RESUMED, detail=detail)
        return step.next
    if step.on_missing is OnMissing.EXIT:
        walk.journal.note(LogEvent.EXIT_REACHED, detail=detail)
        walk.run.step = END
        walk.complete("no_date")
        return None
    failure = Failure(ErrorClass.CONTACT_DATA, "wayfarer", "NO_DATE", due.problem[:500])
    walk.journal.note(LogEvent.CONDITION_FAILED, failure=failure)
    walk.fail("no_date", failure)
    return None


def _past(walk: "Walk", step: WaitUntilDateStep, due: waits.Due) -> int | None:
    detail = {"resume_at": due.at.isoformat(), "rule": due.rule, "if_past": step.if_past.value}
    if step.if_past is IfPast.EXIT:
        walk.journal.note(LogEvent.EXIT_REACHED, detail=detail)
        walk.run.step = END
        walk.complete("date_past")
        return None
    walk.journal.note(LogEvent.WAIT_RESUMED, detail=detail)
    if step.if_past is IfPast.CONTINUE:
        return step.next
    later = walk.steps[walk.run.step + 1 :]
    return next((one.position for one in later if isinstance(one, WaitStep)), END)


def over(walk: "Walk", step: WaitStep) -> None:
    """The pending wait's time has come, its event arrived, or somebody ended it."""
    run = walk.run
    told = first(run.signals, SignalKind.EVENT, SignalKind.RESUME, SignalKind.LIFT)
    if told is None and (walk.lacks_contact() or _waits_on(walk, step)):
        return
    run.signals = []
    leave(walk)
    waits_for_event = isinstance(step, WaitForEventStep)
    happened = told is not None and told["kind"] != SignalKind.LIFT
    if told is None:
        walk.journal.note(LogEvent.WAIT_TIMED_OUT if waits_for_event else LogEvent.WAIT_RESUMED)
    elif told["kind"] == SignalKind.EVENT:
        event = told["event"]
        walk.journal.note(LogEvent.WAIT_RESUMED, detail={"event": event["type"], "event_id": event["id"]})
    else:
        event_kind = LogEvent.WAIT_RESUMED if happened else LogEvent.WAIT_CANCELLED
        walk.journal.note(event_kind, detail={"actor": told["actor"]})
    if not isinstance(step, WaitForEventStep):
        walk.go(step.next)
        return
    if step.id in walk.program.outputs_read:
        event = told["event"] if told is not None and told["kind"] == SignalKind.EVENT else {}
        run.outputs[step.id] = {
            "timed_out": not happened,
            "event": event.get("type", ""),
            "data": event.get("data", {}),
        }
        run.state_changed = True
    walk.go(step.on_event if happened else step.on_timeout)


def _waits_on(walk: "Walk", step: WaitStep) -> bool:
    """Never early: woken before its time, the run rests again, by the time as it now is."""
    run = walk.run
    wait = run.wait or {}
    until = datetime.fromisoformat(wait["until"]) if "until" in wait else walk.now
    if first(run.signals, SignalKind.RECHECK) is not None and run.wait is not None:
        began = datetime.fromisoformat(wait["began"])
        due = waits.due(step, run.scope(walk.now), _place(walk), began)
        if isinstance(due, waits.Due) and due.at != until:
            until = due.at
            run.wait["until"], run.wait["rule"] = until.isoformat(), due.rule
            walk.journal.note(
                LogEvent.WAIT_RESCHEDULED, detail={"resume_at": until.isoformat(), "rule": due.rule}
            )
    run.signals = []
    if until <= walk.now:
        return False
    walk.wait_until(BlockedOn.EVENT if "types" in wait else BlockedOn.TIMER, until)
    return True


def leave(walk: "Walk") -> None:
    """The run waits for nothing of its step any more."""
    run = walk.run
    if run.wait_seq:
        walk.count(run.step, Count.NOT_WAITING)
    run.wait_seq, run.wait = 0, None


def ad_hoc_over(walk: "Walk") -> None:
    """An ad-hoc wait's time has come, or somebody ended it."""
    run = walk.run
    told = first(run.signals, SignalKind.RESUME, SignalKind.LIFT)
    if told is None and run.not_before is not None and run.not_before > walk.now:
        walk.wait_until(BlockedOn.AD_HOC_WAIT, run.not_before)
        return
    run.signals = []
    run.not_before = None
    lifted = told is not None and told["kind"] == SignalKind.LIFT
    detail = {"rule": "ad hoc", **({"actor": told["actor"]} if told else {})}
    walk.journal.note(LogEvent.WAIT_CANCELLED if lifted else LogEvent.WAIT_RESUMED, detail=detail)
    walk.stay()
