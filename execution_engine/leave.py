"""Asks the send gate whether a step's message may go, and does what a no means; walk.py calls it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from execution_engine.definition.program import ActionStep
from execution_engine.model import LogEvent, OutcomeCode
from execution_engine.sending.channels import Channel, Message, message_of, without
from execution_engine.sending.gate import Allowed, Evidence, Later, Place, Refused, Unread, judge
from execution_engine.sending.rules import rules_of

if TYPE_CHECKING:
    from execution_engine.walk import Walk


@dataclass(frozen=True, slots=True)
class Leave:
    """A message that may go: what the log says of it, and whether the account counts it against caps."""

    message: Message
    evidence: Evidence
    counted: bool


def ask_leave(walk: "Walk", step: ActionStep, channel: Channel) -> Leave | None:
    """Leave to send; else the run waits, goes on past the step, or is to be decided again on newer facts."""
    run = walk.run
    if run.facts is None:
        walk.result.refresh = True
        return None
    contact = run.contact or {}
    zones = {
        "contact": str(contact.get("time_zone") or ""),
        "workflow": walk.program.settings.time_zone,
        "account": str(run.settings.get("time_zone") or ""),
    }
    place = Place((str(run.execution_id), step.id, run.visit), zones)
    rules = rules_of(run.settings.get("sending") or {}, walk.program.settings.sending)
    message = message_of(channel, run.config, contact)
    verdict = judge(message, run.facts, rules, place, walk.now)
    match verdict:
        case Allowed():
            if verdict.dropped:
                run.config = without(channel, run.config, verdict.dropped)
            return Leave(message, verdict.evidence, bool(rules.caps))
        case Unread():
            run.foreign, walk.result.refresh = (message.address, *message.copies), True
        case Later():
            walk.journal.note(LogEvent.SEND_DEFERRED, OutcomeCode.DEFERRED, detail=verdict.evidence)
            run.blocked_by = ""
            walk.wait_until(verdict.reason, verdict.until)
        case Refused():
            walk.journal.note(verdict.event, OutcomeCode.SKIPPED, detail=verdict.evidence)
            walk.go(step.next)
        case _:
            assert_never(verdict)
    return None
