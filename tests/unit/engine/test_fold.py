"""I4: whatever happens to a run, folding its log gives what its row says."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from execution_engine.advance import advance
from execution_engine.definition.program import ActionStep
from execution_engine.fold import fold
from execution_engine.model import (
    BlockedOn,
    ErrorClass,
    ExecutionView,
    Failure,
    LogEvent,
    LogRow,
    OutcomeCode,
    Priority,
    Status,
)
from execution_engine.moves import Hold
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
from execution_engine.run import Run
from execution_engine.store.logs import entries
from execution_engine.store.verify import _fold_problem
from tests.unit.engine.world import NOW, new_run

STEPS: list[dict[str, Any]] = [
    {"id": "tag", "type": "add_tag", "config": {"tag": "x"}, "retry": {"max_retries": 2}},
    {
        "id": "ask",
        "type": "if",
        "config": {"condition": "'x' in contact.tags", "then": "mail", "else": "hook"},
    },
    {"id": "mail", "type": "send_email", "config": {"subject": "Hi"}, "on_unknown": "continue"},
    {"id": "pause", "type": "wait_time", "config": {"amount": 1, "unit": "hours"}},
    {"id": "hook", "type": "webhook_call", "config": {"url": "https://example.org"}, "on_error": "skip"},
    {"id": "done", "type": "end"},
]
FAILURES = [Failure(kind, "p", "c", "m") for kind in ErrorClass]
OUTCOMES: list[Event] = [
    Succeeded(),
    Skipped(),
    Deferred(1.0),
    Pending(1.0),
    Unreachable("gone"),
    InFlight(1.0),
    NotDone(),
    Unknown(),
    *(Failed(failure, Certainty.NOT_DONE) for failure in FAILURES),
    *(Failed(failure, Certainty.INDETERMINATE) for failure in FAILURES),
]


def view_of(run: Run, at: datetime) -> ExecutionView:
    """The row of a run, as the commit writes it."""
    return ExecutionView(
        account_id=1,
        execution_id=run.execution_id,
        workflow_id=run.workflow_id,
        contact_id=run.contact_id,
        version=1,
        status=run.status,
        priority=Priority.NORMAL,
        blocked_on=run.blocked_on,
        wake_at=run.wake_at,
        step=run.step,
        visit=run.visit,
        attempt=run.attempt,
        failures=run.failures,
        steps_run=run.steps_run,
        attempt_open=run.attempt_open,
        open_seq=run.open_seq,
        open_at=run.open_at,
        log_seq=run.log_seq,
        log_hash=run.log_hash,
        reason=run.reason,
        failure=run.failure,
        created_at=NOW,
        updated_at=at,
        ended_at=run.ended_at,
    )


def started() -> LogRow:
    return LogRow(
        1, 1, LogEvent.EXECUTION_STARTED, "", "", 0, 0, None, NOW, OutcomeCode.NONE, "", b"", bytes(32)
    )


def outline(run: Run) -> list[tuple[str, str]]:
    assert run.program is not None
    return [(step.id, step.type) for step in run.program.steps]


def problem_of(run: Run, rows: list[LogRow], at: datetime) -> str:
    view = view_of(run, at)
    steps = outline(run)
    listed = entries(view, rows, steps, 0)
    assert [entry.seq_end for entry in listed] == list(range(1, run.log_seq + 1))
    return _fold_problem(view, steps[run.step][0] if run.step >= 0 else "", listed)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_folding_the_log_gives_the_row(data: st.DataObject) -> None:
    run = new_run([dict(step) for step in STEPS])
    run.contact = {"tags": data.draw(st.sampled_from([["x"], []]))}
    rows, at = [started()], NOW
    event: Event = Claimed(Status.QUEUED, BlockedOn.WORKER)
    for _ in range(40):
        at += timedelta(seconds=1)
        hold = data.draw(st.sampled_from([Hold.GO, Hold.GO, Hold.GO, Hold.PARK, Hold.YIELD]))
        rows += advance(run, event, at, 0.5, hold).rows
        assert problem_of(run, rows, at) == ""
        if run.status not in (Status.ACTIVE, Status.WAITING):
            return
        if run.status is Status.WAITING:
            event = Claimed(Status.WAITING, run.blocked_on)
        elif data.draw(st.integers(0, 9)) == 0:
            run.crashes += 1
            event = Claimed(Status.ACTIVE, BlockedOn.NOTHING)
        else:
            event = data.draw(st.sampled_from(OUTCOMES))


def wrongs(view: ExecutionView) -> list[ExecutionView]:
    """Rows that this log does not tell of."""
    return [
        replace(view, status=Status.FAILED),
        replace(view, status=Status.COMPLETED),
        replace(view, attempt=view.attempt + 1),
        replace(view, failures=view.failures + 1),
        replace(view, steps_run=view.steps_run + 1),
        replace(view, steps_run=view.steps_run - 1),
    ]


def test_a_row_that_says_otherwise_is_found() -> None:
    run = new_run([dict(step) for step in STEPS])
    run.contact = {"tags": []}
    failed = Failed(Failure(ErrorClass.TIMEOUT, "p", "c", "m"), Certainty.NOT_DONE)
    rows, at = [started()], NOW
    for event in (Claimed(Status.QUEUED, BlockedOn.WORKER), Succeeded(), failed):
        at += timedelta(seconds=1)
        rows += advance(run, event, at, 0.5).rows
    assert run.program is not None
    assert isinstance(run.program.steps[run.step], ActionStep)
    assert problem_of(run, rows, at) == ""
    view, steps = view_of(run, at), outline(run)
    listed = entries(view, rows, steps, 0)
    for wrong in wrongs(view):
        assert _fold_problem(wrong, steps[run.step][0], listed), wrong


def test_what_comes_after_the_end_is_counted_but_for_late_outcomes() -> None:
    end = replace(started(), seq=2, seq_end=2, event=LogEvent.CANCELLED)
    late = replace(end, seq=3, seq_end=3, event=LogEvent.OUTCOME_AFTER_END)
    more = replace(end, seq=4, seq_end=4, event=LogEvent.ACTION_STARTED)
    assert fold([started(), end, late]).entries_after_end == 0
    assert fold([started(), end, late, more]).entries_after_end == 1


def test_entries_written_after_the_row_was_read_are_left_out() -> None:
    """A page of the log tells of the same moment as the row it counts by."""
    run = new_run([dict(STEPS[0])])
    rows = [started(), *advance(run, Claimed(Status.QUEUED, BlockedOn.WORKER), NOW, 0.5).rows]
    early = view_of(run, NOW)
    rows += advance(run, Succeeded(), NOW + timedelta(seconds=1), 0.5).rows
    listed = entries(early, rows, outline(run), 0)
    assert [(entry.seq_end, entry.event) for entry in listed] == [
        (1, LogEvent.EXECUTION_STARTED),
        (2, LogEvent.ACTION_STARTED),
    ]
    late = view_of(run, NOW)
    assert [entry.seq_end for entry in entries(late, rows, outline(run), 0)] == [1, 2, 3, 4]
    assert [entry.seq_end for entry in entries(late, rows, outline(run), 2)] == [3, 4]
    # A page that ends short of an open start does not jump to it.
    assert [entry.seq_end for entry in entries(replace(early, open_seq=5, log_seq=5), rows[:1], [], 0)] == [1]
