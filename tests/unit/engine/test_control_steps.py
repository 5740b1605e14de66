"""Each control step by itself: R-STEP-2, R-STEP-4, R-WAIT-1, A-31, A-32, A-33, A-34."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from execution_engine.advance import advance
from execution_engine.definition.document import Document
from execution_engine.definition.program import END
from execution_engine.definition.validate import validate
from execution_engine.model import BlockedOn, LogEvent, Status
from execution_engine.moves import Advance
from execution_engine.outcome import Claimed, Event, Succeeded
from execution_engine.run import Run
from execution_engine.steps.split import draw
from tests.unit.engine.world import CATALOGUE, NOW, new_run

FIRST = Claimed(Status.QUEUED, BlockedOn.WORKER)


def tag(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "add_tag", "config": {"tag": name}, **more}


def begin(
    *steps: dict[str, Any], contact: dict[str, Any] | None = None, **settings: Any
) -> tuple[Run, Advance]:
    run = new_run(list(steps), **settings)
    run.contact = contact or {"tags": []}
    return run, advance(run, FIRST, NOW, 0.5)


def at(run: Run) -> str:
    assert run.program is not None
    return run.program.steps[run.step].id


def again(run: Run, event: Event, now: datetime = NOW) -> Advance:
    return advance(run, event, now, 0.5)


def due(run: Run, now: datetime) -> Advance:
    run.status = Status.ACTIVE
    return again(run, Claimed(Status.WAITING, run.blocked_on), now)


@pytest.mark.parametrize(("tags", "expected"), [(["vip"], "a"), (["new"], "b"), ([], "c")])
def test_switch_takes_the_first_case_that_holds(tags: list[str], expected: str) -> None:
    cases = [
        {"condition": "'vip' in contact.tags", "then": "a"},
        {"condition": "size(contact.tags) > 0", "then": "b"},
    ]
    switch = {"id": "s", "type": "switch", "config": {"cases": cases, "else": "c"}}
    run, result = begin(switch, tag("a"), tag("b"), tag("c"), contact={"tags": tags})
    assert at(run) == expected
    assert result.rows[0].event is LogEvent.CONDITION_EVALUATED


def test_split_is_sticky_and_as_large_as_asked() -> None:
    branches = [{"percent": 12.5, "then": "a"}, {"percent": 87.5, "then": "b"}]
    split = {"id": "s", "type": "split", "config": {"branches": branches}}
    taken: Counter[str] = Counter()
    for number in range(4_000):
        run = new_run([split, tag("a"), tag("b")])
        run.contact_id = UUID(int=number * 7919)
        advance(run, FIRST, NOW, 0.5)
        twin = new_run([split, tag("a"), tag("b")])
        twin.contact_id, twin.execution_id, twin.version = run.contact_id, UUID(int=number), 9
        advance(twin, FIRST, NOW + timedelta(days=number), 0.1)
        assert at(twin) == at(run)
        taken[at(run)] += 1
    assert 400 < taken["a"] < 600
    assert draw(UUID(int=1), "s", UUID(int=2)) != draw(UUID(int=1), "t", UUID(int=2))


def test_go_to_jumps_back_so_often_and_each_visit_has_its_own_key() -> None:
    run, _ = begin(tag("a"), {"id": "g", "type": "go_to", "config": {"step": "a", "limit": 2}}, tag("b"))
    visits = []
    while at(run) == "a":
        visits.append(run.visit)
        again(run, Succeeded())
    assert visits == [1, 2, 3]
    assert (at(run), run.visit) == ("b", 1)


def test_a_disabled_action_is_passed_over() -> None:
    run, _ = begin(tag("a", disabled=True), tag("b"))
    assert at(run) in ("a", "b")
    run, _ = begin(tag("x"), tag("a", disabled=True), tag("b"))
    again(run, Succeeded())
    assert at(run) == "b"


def test_a_goal_step_lets_pass_or_ends() -> None:
    run, _ = begin({"id": "g", "type": "goal", "config": {"event": "booked"}}, tag("a"))
    assert at(run) == "a"
    run, _ = begin({"id": "g", "type": "goal", "config": {"event": "booked", "otherwise": "end"}}, tag("a"))
    assert run.status is Status.COMPLETED


def test_wait_until_nine_on_weekdays_in_the_contacts_zone() -> None:
    """A-33: Friday 10:00 in Berlin, Monday a holiday to skip: Tuesday 09:00."""
    config = {"time": "09:00", "days": ["weekdays"], "skip_holidays": True}
    run = new_run([{"id": "w", "type": "wait_until_time", "config": config}])
    run.contact = {"tags": [], "time_zone": "Europe/Berlin"}
    run.settings = {"holidays": ["2026-11-23"], "time_zone": "America/New_York"}
    friday = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
    result = advance(run, FIRST, friday, 0.5)
    assert run.wake_at == datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
    assert "Europe/Berlin (contact)" in result.rows[0].detail
    due(run, run.wake_at)
    assert run.status is Status.COMPLETED


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
        (datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ],
)
def test_wait_until_half_past_two_when_clocks_change(now: datetime, expected: datetime) -> None:
    """A-34."""
    run = new_run(
        [{"id": "w", "type": "wait_until_time", "config": {"time": "02:30", "time_zone": "Europe/Berlin"}}]
    )
    run.contact = {"tags": []}
    advance(run, FIRST, now, 0.5)
    assert run.wake_at == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"amount": 90, "unit": "minutes"}, timedelta(minutes=90)),
        ({"amount": 2, "unit": "weeks"}, timedelta(weeks=2)),
        ({"amount": 3, "unit": "business_hours"}, timedelta(hours=3)),
        ({"amount": 1, "unit": "business_days"}, timedelta(days=3)),
        ({"amount": 1, "unit": "calendar_days"}, timedelta(days=1)),
    ],
)
def test_wait_time_units(config: dict[str, Any], expected: timedelta) -> None:
    """From Friday noon, UTC."""
    run, _ = begin({"id": "w", "type": "wait_time", "config": config})
    assert run.wake_at == NOW + expected
    assert run.blocked_on is BlockedOn.TIMER
    due(run, NOW + expected - timedelta(microseconds=1))
    assert run.wait_seq, "never early"
    due(run, NOW + expected)
    assert run.step == END


def test_the_workflows_own_business_hours_come_first() -> None:
    settings: dict[str, Any] = {
        "business_hours": {"days": ["sat"], "from": "10:00", "to": "11:00"},
        "time_zone": "UTC",
    }
    wait = {"id": "w", "type": "wait_time", "config": {"amount": 2, "unit": "business_hours"}}
    run, _ = begin(wait, **settings)
    assert run.wake_at == datetime(2026, 11, 28, 11, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("if_past", "then"), [("continue", "next"), ("skip_to_next_wait", "later"), ("exit", "")]
)
def test_a_date_that_has_passed(if_past: str, then: str) -> None:
    """A-32."""
    steps = [
        {"id": "w", "type": "wait_until_date", "config": {"date": "2026-01-01", "if_past": if_past}},
        tag("next"),
        {"id": "later", "type": "wait_time", "config": {"amount": 1, "unit": "days"}},
    ]
    run, _ = begin(*steps)
    if then:
        assert at(run) == then
    else:
        assert (run.status, run.reason) == (Status.COMPLETED, "date_past")


@pytest.mark.parametrize(
    ("on_missing", "status", "reason"),
    [
        ("continue", Status.ACTIVE, ""),
        ("exit", Status.COMPLETED, "no_date"),
        ("fail", Status.FAILED, "no_date"),
    ],
)
def test_a_date_that_is_not_there(on_missing: str, status: Status, reason: str) -> None:
    config = {"date": "{{ contact.fields.visit | default: '' }}", "on_missing": on_missing}
    run, _ = begin(
        {"id": "w", "type": "wait_until_date", "config": config}, tag("a"), contact={"tags": [], "fields": {}}
    )
    assert (run.status, run.reason) == (status, reason)


def test_an_offset_counts_wall_clock_days_where_the_contact_is() -> None:
    config = {"date": "{{ contact.fields.visit }}", "offset": "-2d", "time": "08:30"}
    contact = {"tags": [], "fields": {"visit": "2027-03-29"}, "time_zone": "Europe/Berlin"}
    run, _ = begin({"id": "w", "type": "wait_until_date", "config": config}, contact=contact)
    assert run.wake_at == datetime(2027, 3, 27, 7, 30, tzinfo=UTC)


def faults(*steps: dict[str, Any], **settings: Any) -> dict[str, str]:
    """Message by path: rule."""
    document = Document({"key": "k", "steps": list(steps), "settings": settings}, {})
    return {f"{fault.path}: {fault.rule}": fault.message for fault in validate(document, CATALOGUE)}


def test_a_circle_without_a_limit_is_refused_and_named() -> None:
    """A-31."""
    back = {"id": "g", "type": "go_to", "config": {"step": "a"}}
    found = faults(tag("a"), tag("b"), back)
    assert "a → b → g → a" in found["steps[2]: cycle"]
    assert not faults(tag("a"), tag("b"), {**back, "config": {"step": "a", "limit": 3}})


def test_what_only_a_goal_leads_to_is_reachable() -> None:
    assert "steps[1]: unreachable" in faults(tag("a", next="end"), tag("b"))
    assert not faults(tag("a", next="end"), {"id": "g", "type": "goal", "config": {"event": "x"}}, tag("b"))
    assert not faults(tag("a", next="end"), tag("b"), goal={"event": "x", "go_to": "b"})


def test_bad_settings_are_told_all_at_once() -> None:
    found = faults(
        tag("a"),
        goal={"event": "Bad", "go_to": "nowhere"},
        exits=[{"events": []}],
        triggers="soon",
        business_hours={"from": "20:00"},
        holidays=["soon"],
        time_zone="Mars",
    )
    paths = {key.partition(":")[0] for key in found}
    assert paths == {
        "settings.goal.event",
        "settings.goal.go_to",
        "settings.exits[0].events",
        "settings.triggers",
        "settings.business_hours",
        "settings.holidays",
        "settings.time_zone",
    }


def test_a_loop_of_control_steps_gives_way() -> None:
    """A thousand jumps do not hold up everybody else."""
    steps = [
        {"id": "i", "type": "if", "config": {"condition": "true", "then": "g", "else": "a"}},
        {"id": "g", "type": "go_to", "config": {"step": "i", "limit": 1000}},
        tag("a"),
    ]
    run, _ = begin(*steps)
    moves = 1
    while run.status is Status.WAITING:
        assert run.blocked_on is BlockedOn.WORKER
        due(run, NOW)
        moves += 1
    assert at(run) == "a"
    assert 5 < moves < 50
