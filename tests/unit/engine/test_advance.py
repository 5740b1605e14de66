"""What advance decides.

R-STEP-1, R-STEP-2, R-STEP-3, R-ERR-1, R-ERR-2, R-ERR-3, R-ERR-4, R-ERR-8, R-WAIT-1, R-LOG-1, R-LOG-3.
"""

from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_engine.advance import CRASH_LIMIT, advance
from execution_engine.definition.program import END
from execution_engine.model import BlockedOn, ErrorClass, Failure, LogRow, OutcomeCode, Status
from execution_engine.moves import Hold
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
from execution_engine.run import Run
from execution_engine.signals import SignalKind, signal
from execution_engine.states import LEGAL
from tests.unit.engine.world import NOW, events, new_run, verify_chain

TAG = {"id": "tag", "type": "add_tag", "config": {"tag": "new"}}
MAIL = {"id": "mail", "type": "send_email", "config": {"subject": "Hi"}}
HOOK = {"id": "hook", "type": "webhook_call", "config": {"url": "https://example.org"}}
FIRST = Claimed(Status.QUEUED, BlockedOn.WORKER)


def failure(error_class: ErrorClass) -> Failure:
    return Failure(error_class, "provider", "CODE", "what happened")


def drive(run: Run, *happenings: Event, draw: float = 0.5) -> list[LogRow]:
    """Advances by each happening in turn, one second apart; all rows written, chain checked."""
    rows: list[LogRow] = []
    for place, event in enumerate(happenings):
        rows += advance(run, event, NOW + timedelta(seconds=place), draw).rows
    if not run.open_seq:
        verify_chain(rows, run.log_hash)
    return rows


def test_steps_run_in_order_and_end_completed() -> None:
    run = new_run([TAG, MAIL])
    rows = drive(run, FIRST, Succeeded(), Succeeded())
    assert events(rows) == [
        "action_started",
        "action_completed",
        "action_started",
        "action_completed",
        "execution_completed",
    ]
    assert [row.step_id for row in rows] == ["tag", "mail", ""]
    assert (run.status, run.step, run.steps_run, run.reason) == (Status.COMPLETED, END, 2, "completed")


def refusal() -> Deferred:
    refused = Failure(ErrorClass.UNSPECIFIED, "twilio", NEEDS_REAUTHORISATION, "new credentials are needed")
    return Deferred(900.0, refused)


@pytest.mark.parametrize("on_error", [None, "retry"])
def test_a_refused_account_is_waited_for_without_a_retry_spent(on_error: str | None) -> None:
    """R-ERR-1, R-STATE-2: WAITING, with the reason and with who refuses; then the same visit goes on."""
    run = new_run([{**MAIL, **({"on_error": on_error} if on_error else {})}])
    rows = drive(run, FIRST, refusal())
    assert events(rows) == ["action_started", "action_deferred"]
    assert (run.status, run.blocked_on, run.blocked_by) == (
        Status.WAITING,
        BlockedOn.REAUTHORISATION,
        "twilio",
    )
    assert (run.wake_at, run.failures, run.visit) == (NOW + timedelta(seconds=901), 0, 1)
    advance(run, Claimed(Status.WAITING, run.blocked_on), NOW + timedelta(seconds=902), 0.5)
    assert (run.status, run.blocked_by, run.attempt_open, run.visit) == (Status.ACTIVE, "", True, 1)


@pytest.mark.parametrize(
    ("on_error", "status", "ran"),
    [
        ("skip", Status.ACTIVE, "tag"),
        ("fail", Status.FAILED, "mail"),
        ({"go_to": "tag"}, Status.ACTIVE, "tag"),
    ],
)
def test_a_step_that_says_what_else_to_do_does_not_wait(on_error: Any, status: Status, ran: str) -> None:
    """R-ERR-1: `on_error` of a step goes before the wait."""
    run = new_run([{**MAIL, "on_error": on_error}, TAG])
    drive(run, FIRST, refusal())
    assert run.program is not None
    assert (run.status, run.program.steps[run.step].id) == (status, ran)
    if status is Status.FAILED:
        assert run.reason == "authentication"
        assert orjson.loads(run.failure or "")["class"] == ErrorClass.AUTHENTICATION


def test_any_other_deferral_is_one() -> None:
    run = new_run([MAIL])
    drive(run, FIRST, Deferred(5.0))
    assert (run.status, run.blocked_on) == (Status.WAITING, BlockedOn.DEFERRAL)


def test_an_attempt_is_counted_before_it_runs() -> None:
    run = new_run([TAG])
    result = advance(run, FIRST, NOW, 0.5)
    assert result.begin is not None
    assert (run.attempt, run.attempt_open, run.open_seq, run.log_seq) == (1, True, 2, 2)


@pytest.mark.parametrize(("tags", "branch"), [(["vip"], "yes"), ([], "no")])
def test_condition_takes_its_branch_and_says_so(tags: list[str], branch: str) -> None:
    run = new_run(
        [
            {
                "id": "c",
                "type": "if",
                "config": {"condition": "'vip' in contact.tags", "then": "yes", "else": "no"},
            },
            {"id": "yes", "type": "add_tag", "config": {"tag": "a"}, "next": "end"},
            {"id": "no", "type": "add_tag", "config": {"tag": "b"}},
        ]
    )
    run.contact = {"tags": tags}
    result = advance(run, FIRST, NOW, 0.5)
    assert result.begin is not None
    assert result.begin.id == branch
    assert events(result.rows) == ["condition_evaluated"]
    assert orjson.loads(result.rows[0].detail) == {"result": bool(tags)}


def test_condition_on_missing_data_fails_with_its_reason() -> None:
    run = new_run(
        [
            {
                "id": "c",
                "type": "if",
                "config": {"condition": "trigger.amount > 3", "then": "end", "else": "end"},
            }
        ]
    )
    rows = drive(run, FIRST)
    assert (run.status, run.reason) == (Status.FAILED, "condition_failed")
    assert events(rows) == ["condition_failed", "execution_failed"]


def test_wait_time_waits_and_goes_on() -> None:
    run = new_run([{"id": "w", "type": "wait_time", "config": {"amount": 2, "unit": "hours"}}, TAG])
    advance(run, FIRST, NOW, 0.5)
    assert (run.status, run.blocked_on, run.wake_at) == (
        Status.WAITING,
        BlockedOn.TIMER,
        NOW + timedelta(hours=2),
    )
    result = advance(run, Claimed(Status.WAITING, BlockedOn.TIMER), NOW + timedelta(hours=2), 0.5)
    assert events(result.rows) == ["wait_resumed"]
    assert result.begin is not None


@pytest.mark.parametrize(
    ("error_class", "status", "event"),
    [
        (ErrorClass.TIMEOUT, Status.WAITING, "retry_scheduled"),
        (ErrorClass.RATE_LIMIT, Status.WAITING, "retry_scheduled"),
        (ErrorClass.SERVER_ERROR, Status.WAITING, "retry_scheduled"),
        (ErrorClass.NETWORK, Status.WAITING, "retry_scheduled"),
        (ErrorClass.DATABASE, Status.WAITING, "retry_scheduled"),
        (ErrorClass.VALIDATION, Status.COMPLETED, "skipped_non_retryable_error"),
        (ErrorClass.NOT_FOUND, Status.COMPLETED, "skipped_non_retryable_error"),
        (ErrorClass.CONTACT_DATA, Status.COMPLETED, "skipped_non_retryable_error"),
        (ErrorClass.AUTHENTICATION, Status.FAILED, "execution_failed"),
        (ErrorClass.AUTHORIZATION, Status.FAILED, "execution_failed"),
        (ErrorClass.CONFIGURATION, Status.FAILED, "execution_failed"),
    ],
)
def test_classes_of_failure(error_class: ErrorClass, status: Status, event: str) -> None:
    run = new_run([TAG])
    rows = drive(run, FIRST, Failed(failure(error_class), Certainty.NOT_DONE))
    assert run.status is status
    assert event in events(rows)


def test_retries_wait_60_120_240_and_then_fail() -> None:
    run = new_run([TAG])
    rows = advance(run, FIRST, NOW, 0.5).rows
    waits = []
    for _ in range(4):
        rows += advance(run, Failed(failure(ErrorClass.SERVER_ERROR), Certainty.NOT_DONE), NOW, 0.5).rows
        if run.status is Status.WAITING:
            assert run.wake_at is not None
            waits.append((run.wake_at - NOW).total_seconds())
            rows += advance(run, Claimed(Status.WAITING, BlockedOn.RETRY), NOW, 0.5).rows
    assert waits == [60, 120, 240]
    assert (run.status, run.reason, run.attempt) == (Status.FAILED, "max_retries_exhausted", 4)
    assert events(rows)[-2:] == ["max_retries_exhausted", "execution_failed"]
    verify_chain(rows, run.log_hash)


def test_retry_after_wins_over_the_schedule() -> None:
    run = new_run([TAG])
    drive(run, FIRST, Failed(failure(ErrorClass.RATE_LIMIT), Certainty.NOT_DONE, retry_after_s=30))
    assert run.wake_at == NOW + timedelta(seconds=1 + 30)


@pytest.mark.parametrize(
    ("on_unknown", "status"),
    [("continue", Status.COMPLETED), ("fail", Status.FAILED), ("hold", Status.PAUSED)],
)
def test_an_unknown_outcome_is_shown_and_never_resent(on_unknown: str, status: Status) -> None:
    run = new_run([MAIL | {"on_unknown": on_unknown}])
    rows = drive(run, FIRST, Unknown())
    assert run.status is status
    assert "outcome_unknown" in events(rows)
    assert any(row.outcome is OutcomeCode.UNKNOWN for row in rows)


@pytest.mark.parametrize(
    ("on_unknown", "status"),
    [("continue", Status.COMPLETED), ("fail", Status.FAILED), ("hold", Status.PAUSED)],
)
def test_what_must_not_be_tried_again_is_not_whatever_its_type(on_unknown: str, status: Status) -> None:
    """R-ACT: an executor may know of one attempt what its type cannot say of all."""
    run = new_run([TAG | {"on_unknown": on_unknown}])
    in_doubt = Failed(failure(ErrorClass.INDETERMINATE), Certainty.INDETERMINATE, final=True)
    rows = drive(run, FIRST, in_doubt)
    assert run.status is status
    assert "outcome_unknown" in events(rows)
    assert "retry_scheduled" not in events(rows)


def test_at_least_once_runs_again_when_unknown() -> None:
    run = new_run([HOOK])
    advance(run, FIRST, NOW, 0.5)
    result = advance(run, Unknown(), NOW, 0.5)
    assert result.begin is not None
    assert run.attempt == 2


def test_a_providers_word_that_came_before_its_answer_is_asked_for_at_once() -> None:
    run = new_run([HOOK])
    drive(run, FIRST)
    run.signals = [signal(SignalKind.RECHECK)]
    advance(run, Pending(60.0), NOW, 0.5)
    assert (run.blocked_on, run.wake_at, run.signals) == (BlockedOn.PENDING, NOW, [])
    run.status = Status.ACTIVE
    advance(run, Pending(60.0), NOW, 0.5)
    assert run.wake_at == NOW + timedelta(seconds=60)


def test_a_providers_word_goes_with_the_attempt_it_was_about() -> None:
    """G3: kept over the attempt's end, it would make a resume take the backoff for over."""
    run = new_run([HOOK])
    drive(run, FIRST)
    run.signals = [signal(SignalKind.RECHECK)]
    advance(run, Failed(failure(ErrorClass.SERVER_ERROR), Certainty.NOT_DONE), NOW, 0.5)
    assert (run.blocked_on, run.signals) == (BlockedOn.RETRY, [])


def test_a_word_that_came_while_the_executor_was_away_is_kept_for_the_next_look() -> None:
    run = new_run([HOOK])
    drive(run, FIRST)
    run.signals = [signal(SignalKind.RECHECK)]
    advance(run, Unreachable("gone"), NOW, 0.5)
    assert (run.blocked_on, len(run.signals)) == (BlockedOn.EXECUTOR, 1)


def test_a_recovered_run_asks_before_it_repeats() -> None:
    run = new_run([TAG])
    rows = advance(run, FIRST, NOW, 0.5).rows
    run.crashes = 1
    result = advance(run, Claimed(Status.ACTIVE, BlockedOn.NOTHING), NOW, 0.5)
    assert result.reconcile is not None
    assert result.begin is None
    assert events(result.rows) == ["action_started", "recovered"]
    rows += result.rows
    rows += advance(run, Succeeded(), NOW, 0.5).rows
    assert run.status is Status.COMPLETED
    verify_chain(rows, run.log_hash)


def test_a_step_that_keeps_losing_its_worker_ends() -> None:
    run = new_run([TAG])
    advance(run, FIRST, NOW, 0.5)
    run.crashes = CRASH_LIMIT
    advance(run, Claimed(Status.ACTIVE, BlockedOn.NOTHING), NOW, 0.5)
    assert (run.status, run.reason) == (Status.FAILED, "crash_limit")


@pytest.mark.parametrize("hold", [Hold.PARK, Hold.YIELD])
def test_a_held_run_stops_before_its_next_step(hold: Hold) -> None:
    run = new_run([TAG, MAIL])
    advance(run, FIRST, NOW, 0.5)
    result = advance(run, Succeeded(), NOW, 0.5, hold)
    assert result.begin is None
    assert (run.status, run.step) == (Status.WAITING, 1)
    assert (run.wake_at is None) == (hold is Hold.PARK)
    result = advance(run, Claimed(Status.WAITING, BlockedOn.WORKER), NOW, 0.5)
    assert result.begin is not None
    assert result.begin.id == "mail"


def test_merge_field_that_is_missing_fails_the_step_clearly() -> None:
    run = new_run([TAG | {"config": {"tag": "{{ trigger.city }}"}}])
    rows = drive(run, FIRST)
    assert run.status is Status.FAILED
    assert "trigger.city" in rows[-1].detail


_FAILURES = st.builds(
    Failed,
    st.builds(failure, st.sampled_from(list(ErrorClass))),
    st.sampled_from(list(Certainty)),
    st.one_of(st.none(), st.floats(0, 1e5)),
)
_OUTCOMES: st.SearchStrategy[Any] = st.one_of(
    st.just(Succeeded(b'{"x":1}')),
    st.just(Skipped()),
    st.builds(Deferred, st.floats(0, 100)),
    st.builds(Pending, st.floats(0, 100)),
    st.builds(InFlight, st.floats(0, 100)),
    st.just(Unreachable("gone")),
    st.just(NotDone()),
    st.just(Unknown()),
    _FAILURES,
)


@given(st.lists(_OUTCOMES, max_size=30), st.floats(0, 0.999))
def test_whatever_happens_the_log_is_gapless_and_chained(outcomes: list[Any], draw: float) -> None:
    """R-LOG-1, R-LOG-3, R-STATE-2: any happenings give a chained log and a state with a reason to move."""
    run = new_run(
        [TAG, MAIL | {"on_error": "skip"}, HOOK | {"on_error": {"go_to": "tag2"}}, TAG | {"id": "tag2"}]
    )
    rows = advance(run, FIRST, NOW, draw).rows
    for outcome in outcomes:
        status = run.status
        if status in (Status.WAITING, Status.PAUSED):
            rows += advance(run, Claimed(Status.WAITING, run.blocked_on), NOW, draw).rows
            status = run.status
        if status is not Status.ACTIVE:
            break
        rows += advance(run, outcome, NOW, draw).rows
        waits: Status = run.status
        assert waits is Status.ACTIVE or waits in LEGAL[Status.ACTIVE], "R-STATE-1"
        assert (run.wake_at is not None) or waits is not Status.WAITING
        assert not run.open_seq or run.open_seq == run.log_seq
        assert run.failures <= 4
    if run.open_seq:
        rows += [] if run.status is not Status.ACTIVE else advance(run, Skipped(), NOW, draw, Hold.YIELD).rows
    if not run.open_seq:
        verify_chain(rows, run.log_hash)
