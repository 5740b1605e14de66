"""R-SEND, R-LOG-1: what a run does at a step that is a message, by the gate's verdict."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from execution_engine.advance import advance
from execution_engine.definition.program import ActionStep
from execution_engine.model import BlockedOn, ErrorClass, Failure, Status
from execution_engine.moves import Advance, Blocked
from execution_engine.outcome import Certainty as Known
from execution_engine.outcome import Claimed, Failed, Skipped
from execution_engine.run import Run
from execution_engine.sending.channels import Channel
from execution_engine.sending.facts import Facts
from tests.unit.engine.world import NOW, events, new_run

FIRST = Claimed(Status.QUEUED, BlockedOn.WORKER)
ADDRESS = "ann@example.com"
STEPS = [
    {"id": "mail", "type": "send_email", "config": {"subject": "Hi", "text": "Hello"}},
    {"id": "tag", "type": "add_tag", "config": {"tag": "a"}},
]


def messaging(facts: Facts | None, **account: Any) -> Run:
    """A run at a message to a contact of whom this is known."""
    run = new_run(STEPS)
    assert run.program is not None
    mail, *others = run.program.steps
    assert isinstance(mail, ActionStep)
    run.program = replace(run.program, steps=(replace(mail, channel=Channel.EMAIL), *others))
    run.contact, run.facts, run.settings = {"email": ADDRESS}, facts, {"sending": account} if account else {}
    return run


def known(**given: Any) -> Facts:
    return Facts(rev=1, hashes={ADDRESS: b"h"}, **given)


def claimed(run: Run, gate: Callable[..., Blocked | None] | None = None) -> Advance:
    return advance(run, FIRST, NOW, 0.5, gate=gate)


def test_leave_is_logged_before_the_attempt_begins() -> None:
    run = messaging(known())
    result = claimed(run)
    assert events(result.rows) == ["send_allowed"]
    assert run.attempt_open
    assert result.message is not None
    assert (result.message.address, run.counts_sends) == (ADDRESS, False)
    capped = messaging(known(), frequency_caps=[{"most": 1}])
    claimed(capped)
    assert capped.counts_sends


def test_without_facts_or_with_an_unread_address_it_is_decided_again() -> None:
    for run, foreign in ((messaging(None), ()), (messaging(Facts(rev=1)), (ADDRESS,))):
        result = claimed(run)
        assert result.refresh
        assert run.foreign == foreign
        assert not run.attempt_open


def test_a_refused_message_is_passed_over_and_the_next_step_begins() -> None:
    run = messaging(known(opted_out=True))
    result = claimed(run)
    assert events(result.rows) == ["opt_out_blocked"]
    assert (run.step, run.attempt_open, result.message) == (1, True, None)


def test_quiet_hours_spend_no_attempt() -> None:
    run = messaging(known(), quiet_hours={"from": "11:00", "to": "13:00", "spread": 0})
    result = claimed(run)
    assert events(result.rows) == ["send_deferred"]
    assert (run.status, run.blocked_on, run.attempt) == (Status.WAITING, BlockedOn.QUIET_HOURS, 0)
    assert run.wake_at == NOW + timedelta(hours=1)


def test_a_message_that_a_lane_holds_up_is_none_yet() -> None:
    held = Blocked(BlockedOn.LANE, "email", NOW + timedelta(seconds=5))
    run = messaging(known(), frequency_caps=[{"most": 1}])
    result = claimed(run, lambda run, step: held)
    assert (run.blocked_on, result.message, run.counts_sends) == (BlockedOn.LANE, None, False)
    assert not result.rows


def test_what_was_not_sent_for_good_is_taken_back() -> None:
    failure = Failure(ErrorClass.CONTACT_DATA, "smtp", "INVALID_ADDRESS", "no")
    for outcome in (Skipped(failure), Failed(failure, Known.NOT_DONE)):
        run = messaging(known())
        claimed(run)
        assert advance(run, outcome, NOW, 0.5).unsent == ("mail", 1)
    run = messaging(known())
    claimed(run)
    assert advance(run, Failed(failure, Known.INDETERMINATE), NOW, 0.5).unsent is None
