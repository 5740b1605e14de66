"""R-STEP: a contact is read when a step that reads it may come next, and before that step decides."""

from dataclasses import replace
from typing import Any

import pytest

from execution_engine.advance import advance
from execution_engine.definition.program import ActionStep, Reads
from execution_engine.definition.reading import forecast, reads_contact
from execution_engine.model import BlockedOn, Status
from execution_engine.outcome import Claimed, Succeeded
from execution_engine.run import Run
from execution_engine.sending.channels import Channel
from execution_engine.signals import SignalKind
from tests.unit.engine.world import NOW, new_run

NOTHING, CONTACT, MESSAGE = Reads(), Reads(contact=True), Reads(contact=True, facts=True)
FIRST = Claimed(Status.QUEUED, BlockedOn.WORKER)


def tag(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "add_tag", "config": {"tag": name}, **more}


def whether(name: str, condition: str, then: str, otherwise: str) -> dict[str, Any]:
    return {"id": name, "type": "if", "config": {"condition": condition, "then": then, "else": otherwise}}


def pause(name: str) -> dict[str, Any]:
    return {"id": name, "type": "wait_time", "config": {"amount": 1, "unit": "hours"}}


MAIL = {"id": "mail", "type": "send_email", "config": {"subject": "Hi", "text": "Hello"}}
VIP = "'vip' in contact.tags"


def run_of(*steps: dict[str, Any]) -> Run:
    """A run of these steps, whose e-mails are messages as an executor describes them."""
    run = new_run(list(steps))
    assert run.program is not None
    run.contact = None
    told = tuple(
        replace(step, channel=Channel.EMAIL, needs_contact=True)
        if isinstance(step, ActionStep) and step.id == "mail"
        else step
        for step in run.program.steps
    )
    taken_up, after = forecast(told)
    run.program = replace(
        run.program,
        steps=told,
        reads_from=taken_up,
        reads_after=after,
        reads_contact=tuple(reads_contact(step) for step in told),
    )
    return run


CASES: dict[str, tuple[list[dict[str, Any]], list[Reads], list[Reads]]] = {
    "nothing reads": ([tag("a"), tag("b")], [NOTHING, NOTHING], [NOTHING, NOTHING]),
    "an action's own": (
        [tag("a"), tag("b"), MAIL],
        [NOTHING, NOTHING, MESSAGE],
        [NOTHING, MESSAGE, NOTHING],
    ),
    "past control steps, not past an action": (
        [tag("a"), whether("i", VIP, "b", "end"), tag("b"), MAIL],
        [NOTHING, CONTACT, NOTHING, MESSAGE],
        [CONTACT, NOTHING, MESSAGE, NOTHING],
    ),
    "either way on": (
        [tag("a"), whether("i", "now > now", "b", "mail"), tag("b", next="end"), MAIL],
        [NOTHING, MESSAGE, NOTHING, MESSAGE],
        [MESSAGE, MESSAGE, NOTHING, NOTHING],
    ),
    "a wait rests, and goes on": (
        [tag("a"), pause("p"), MAIL],
        [NOTHING, MESSAGE, MESSAGE],
        [NOTHING, MESSAGE, NOTHING],
    ),
    "where an error leads": (
        [tag("a", on_error={"go_to": "mail"}), tag("b", next="end"), MAIL],
        [NOTHING, NOTHING, MESSAGE],
        [MESSAGE, NOTHING, NOTHING],
    ),
    "a jump back": (
        [
            whether("i", VIP, "b", "j"),
            tag("b"),
            {"id": "j", "type": "go_to", "config": {"step": "i", "limit": 3}},
        ],
        [CONTACT, NOTHING, CONTACT],
        [CONTACT, CONTACT, CONTACT],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_next_is_known_by_position(name: str) -> None:
    steps, taken_up, after = CASES[name]
    program = run_of(*steps).program
    assert program is not None
    assert list(program.reads_from) == taken_up
    assert [program.reads_after[p] for p, s in enumerate(program.steps) if isinstance(s, ActionStep)] == [
        after[p] for p, s in enumerate(program.steps) if isinstance(s, ActionStep)
    ]


def test_a_step_that_reads_the_contact_decides_nothing_without_it() -> None:
    """A condition sees the contact, not the lack of one."""
    run = run_of(tag("a"), whether("i", VIP, "b", "end"), tag("b"))
    advance(run, FIRST, NOW, 0.5)
    result = advance(run, Succeeded(), NOW, 0.5)
    assert result.refresh
    assert (run.step, result.begin) == (1, None)
    run = run_of(tag("a"), whether("i", VIP, "b", "end"), tag("b"))
    run.contact = {"tags": ["vip"]}
    advance(run, FIRST, NOW, 0.5)
    result = advance(run, Succeeded(), NOW, 0.5)
    assert (run.step, result.refresh) == (2, False)


def test_a_goal_that_leads_elsewhere_asks_for_the_contact_there() -> None:
    run = run_of(tag("a"), tag("b"), MAIL)
    advance(run, FIRST, NOW, 0.5)
    run.signals = [
        {
            "kind": SignalKind.END,
            "goal": True,
            "event": "custom:x",
            "event_id": "1",
            "go_to": "mail",
            "reason": "",
        }
    ]
    assert advance(run, Succeeded(), NOW, 0.5).refresh
