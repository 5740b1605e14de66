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
from execution_engine.signals import SignalKind, signal
from execution_engine.steps.split import draw
from tests.unit.engine.world import CATALOGUE, NOW, new_run

FIRST = Claimed(Status.QUEUED, BlockedOn.WORKER)


def tag(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "add_tag", "config": {"tag": name}} | more


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


@pytest.mark.parametrize(
    ("kind", "config", "path"),
    [
        ("wait_time", {"amount": "x", "unit": "hours"}, "config.amount: range"),
        ("wait_time", {"amount": 1, "unit": "moons"}, "config.unit: choice"),
        ("wait_time", {"amount": 9_000, "unit": "weeks"}, "config.amount: range"),
        ("wait_time", {"amount": 401, "unit": "business_days"}, "config.amount: range"),
        ("wait_time", {"amount": 1, "unit": "hours", "time_zone": "Mars"}, "config.time_zone: time_zone"),
        ("wait_until_time", {"time": "9"}, "config.time: time"),
        ("wait_until_time", {"time": "09:00", "days": "mon"}, "config.days: type"),
        ("wait_until_time", {"time": "09:00", "days": ["noday"]}, "config.days: choice"),
        ("wait_until_time", {"time": "09:00", "skip_holidays": "yes"}, "config.skip_holidays: type"),
        ("wait_until_date", {"date": "{{ contact."}, "config.date: template"),
        ("wait_until_date", {"date": "soon"}, "config.date: date"),
        ("wait_until_date", {"date": "2026-01-01", "offset": "400d"}, "config.offset: range"),
        ("wait_until_date", {"date": "2026-01-01", "offset": "x"}, "config.offset: duration"),
        ("wait_until_date", {"date": "2026-01-01", "time": "x"}, "config.time: time"),
        ("wait_until_date", {"date": "2026-01-01", "if_past": "cry"}, "config.if_past: choice"),
        ("wait_for_event", {"event": "a", "timeout": "400d"}, "config.timeout: range"),
        ("wait_for_event", {"event": "a", "timeout": "x"}, "config.timeout: duration"),
        (
            "wait_for_event",
            {"event": "a", "timeout": "1d", "look_back": "ages"},
            "config.look_back: duration",
        ),
        ("split", {}, "config.branches: missing"),
        ("split", {"branches": 5}, "config.branches: type"),
        ("split", {"branches": [5, 5]}, "config.branches[0]: type"),
        ("split", {"branches": [{"percent": -1, "then": "end"}] * 2}, "config.branches[1].percent: range"),
        ("split", {"branches": [{"percent": 10, "then": "end"}] * 2}, "config.branches: sum"),
        ("switch", {"cases": 5, "else": "end"}, "config.cases: type"),
        ("switch", {"cases": [5], "else": "end"}, "config.cases[0]: type"),
        (
            "switch",
            {"cases": [{"condition": 5, "then": "end"}], "else": 5},
            "config.cases[0].condition: type",
        ),
        ("go_to", {"step": "end", "limit": 5_000}, "config.limit: range"),
        ("goal", {"event": "x", "otherwise": "wait"}, "config.otherwise: choice"),
        ("if", {"condition": "true", "then": "end", "else": 5, "or": 1}, "config.or: unknown_key"),
    ],
)
def test_bad_configs_name_field_and_rule(kind: str, config: dict[str, Any], path: str) -> None:
    assert f"steps[0].{path}" in faults({"id": "x", "type": kind, "config": config})


def listening(**more: Any) -> dict[str, Any]:
    config = {"event": "opened", "timeout": "1d", "on_event": "yes", "on_timeout": "no", **more}
    return {"id": "w", "type": "wait_for_event", "config": config}


def test_what_a_wait_listens_for_is_fixed_when_it_begins() -> None:
    """R-WAIT-2: types, attributes with their merge fields filled, and since when."""
    wait = listening(match={"id": "{{ steps.mail.message_id }}"}, filter="event.data.n > 1")
    mail = {"id": "mail", "type": "send_email", "config": {"subject": "Hi"}}
    read = tag("yes", config={"tag": "{{ steps.w.event }}-{{ steps.w.data.n }}"})
    run, _ = begin(mail, wait, read, tag("no"))
    sent = run.open_at
    later = NOW + timedelta(minutes=1)
    result = advance(run, Succeeded(b'{"message_id":"m-1"}'), later, 0.5)
    assert result.listens
    assert run.wait is not None
    assert (run.wait["match"], run.wait["types"]) == ({"id": "m-1"}, ["opened"])
    assert sent is not None
    assert run.wait["since"] == sent.isoformat(), "since the action before it began"
    run.signals = [signal(SignalKind.EVENT, event={"id": "e", "type": "opened", "data": {"n": 2}})]
    due(run, later)
    assert at(run) == "yes"
    assert b"opened-2" in run.config


@pytest.mark.parametrize(("look_back", "since"), [("start", None), ("30m", NOW - timedelta(minutes=30))])
def test_how_far_a_wait_looks_back(look_back: str, since: datetime | None) -> None:
    run, _ = begin(listening(look_back=look_back), tag("yes"), tag("no"))
    assert run.wait is not None
    created = datetime.fromtimestamp((run.execution_id.int >> 80) / 1000, UTC)
    assert datetime.fromisoformat(run.wait["since"]) == (since or created)


def test_a_wait_whose_merge_field_is_missing_fails_with_its_name() -> None:
    run, result = begin(listening(match={"id": "{{ contact.nobody }}"}), tag("yes"), tag("no"))
    assert (run.status, run.reason) == (Status.FAILED, "configuration")
    assert "contact.nobody" in result.rows[0].detail


@pytest.mark.parametrize(("kind", "step"), [(SignalKind.RESUME, "yes"), (SignalKind.LIFT, "no")])
def test_a_wait_ended_by_hand(kind: SignalKind, step: str) -> None:
    run, _ = begin(listening(), tag("yes"), tag("no"))
    run.signals = [signal(kind, actor="ada")]
    result = due(run, NOW)
    assert at(run) == step
    assert '"actor":"ada"' in result.rows[0].detail


def test_a_wait_on_the_contacts_zone_is_resolved_anew() -> None:
    run, _ = begin(
        {"id": "w", "type": "wait_until_time", "config": {"time": "18:00"}},
        contact={"tags": [], "time_zone": "Europe/Berlin"},
    )
    assert run.wake_at == datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
    run.contact = {"tags": [], "time_zone": "America/New_York"}
    run.signals = [signal(SignalKind.RECHECK)]
    result = due(run, NOW + timedelta(hours=1))
    assert run.wake_at == datetime(2026, 11, 20, 23, 0, tzinfo=UTC)
    assert [row.event for row in result.rows] == [LogEvent.WAIT_RESCHEDULED]


def test_an_ad_hoc_wait_holds_the_next_step_until_its_time() -> None:
    run, _ = begin(tag("a"), tag("b"))
    run.not_before = NOW + timedelta(hours=1)
    run.ask_detail = '{"actor":"ada"}'
    result = again(run, Succeeded())
    assert run.blocked_on is BlockedOn.AD_HOC_WAIT
    assert '"actor":"ada"' in result.rows[-1].detail
    due(run, NOW + timedelta(minutes=30))
    assert run.wake_at == NOW + timedelta(hours=1)
    due(run, NOW + timedelta(hours=1))
    assert at(run) == "b"
    assert not run.not_before


def test_a_condition_that_fails_in_a_switch_fails_the_run() -> None:
    cases = [{"condition": "contact.missing == 1", "then": "a"}]
    run, _ = begin({"id": "s", "type": "switch", "config": {"cases": cases, "else": "a"}}, tag("a"))
    assert (run.status, run.reason) == (Status.FAILED, "condition_failed")
