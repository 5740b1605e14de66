"""Messages as JSON, and the lines of `wayfarer top`: what fits, what is cut, what comes first."""

from datetime import UTC, datetime, timedelta

import pytest
from rich.text import Text
from wayfarer.common.v1 import failure_pb2
from wayfarer.event.v1 import event_pb2
from wayfarer.execution.v1 import bulk_service_pb2, execution_pb2
from wayfarer.execution.v1 import overview_service_pb2 as pb

from services.cli import render
from services.cli.dashboard import Seen, lines, sparkline

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_json_shortens_enums_and_nothing_else() -> None:
    event = event_pb2.Event(id="e", type="t")
    event.data.update({"said": "CONSEQUENCE_KIND_STARTED", "n": 3})
    event.consequences.add(kind=event_pb2.CONSEQUENCE_KIND_STARTED)
    shown = render.plain(event)
    assert shown["data"] == {"said": "CONSEQUENCE_KIND_STARTED", "n": 3}
    assert shown["consequences"][0]["kind"] == "STARTED"


def test_json_has_whole_numbers_and_maps_as_they_are() -> None:
    assert render.plain(pb.LaneState(lane="email", used_today=2**40))["used_today"] == 2**40
    operation = bulk_service_pb2.BulkOperation(
        outcomes={"BULK_KIND_RETRY": 2}, kind=bulk_service_pb2.BULK_KIND_RETRY
    )
    shown = render.plain(operation)
    assert (shown["outcomes"], shown["kind"], shown["state"]) == (
        {"BULK_KIND_RETRY": 2},
        "RETRY",
        "UNSPECIFIED",
    )


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (75, "1 min 15 s"), (3_600, "1 h"), (90_061, "1 d 1 h")],
)
def test_lengths_are_told_in_two_units(seconds: float, told: str) -> None:
    assert render.length(timedelta(seconds=seconds)) == told


def test_a_providers_words_stay_in_one_line_and_command_no_terminal() -> None:
    error = failure_pb2.Failure(error_class=failure_pb2.ERROR_CLASS_NETWORK, code="C", message="a\nb\x1b[2Jc")
    assert render.failure(error) == "network ·  C: a b [2Jc"


def test_a_sparkline_tells_little_from_nothing() -> None:
    assert sparkline([0, 1, 50, 100]) == "▁▂▅█"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""


def _seen(lanes: int, failures: int) -> Seen:
    """An account with so many lanes, of which the last has its breaker open, and so many kinds of failures."""
    now = pb.GetOverviewResponse(active_limit=1_000)
    for status in (1, 2, 3, 4, 6):
        now.statuses.add(status=execution_pb2.ExecutionStatus.ValueType(status), executions=100_000)
    now.lateness.FromTimedelta(timedelta(seconds=75))
    for number in range(lanes):
        now.lanes.add(lane=f"webhook:{number:02}.example.org:443", failures=number)
    if lanes:
        now.lanes[-1].open_until.FromDatetime(NOW + timedelta(minutes=1))
    for number in range(failures):
        group = now.failures.add(workflow_key="welcome", step_id=f"step{number:02}", executions=number + 1)
        group.failure.CopyFrom(failure_pb2.Failure(code="NET", message="no answer from [bold]host " * 9))
        group.last_time.FromDatetime(NOW - timedelta(minutes=failures - number))
    activity = pb.GetActivityResponse()
    for number in range(60):
        activity.points.add(steps=number * 1_000_000, started=number, completed=number, failed=0)
    return Seen(now, activity, NOW)


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (80, 20), (40, 16), (200, 60), (20, 3)])
@pytest.mark.parametrize(("lanes", "failures"), [(0, 0), (1, 40), (40, 1), (40, 40)])
def test_the_screen_is_never_overrun(columns: int, rows: int, lanes: int, failures: int) -> None:
    shown = lines(_seen(lanes, failures), Text("wayfarer"), columns, rows)
    assert len(shown) <= rows
    assert max(line.cell_len for line in shown) <= columns


@pytest.mark.parametrize(("lanes", "failures"), [(1, 40), (40, 1), (40, 40), (2, 2)])
def test_trouble_comes_first_and_what_has_no_room_is_counted(lanes: int, failures: int) -> None:
    shown = [line.plain for line in lines(_seen(lanes, failures), Text("wayfarer"), 80, 24)]
    first_lane = shown[shown.index("Lanes and breakers") + 1]
    assert first_lane.startswith(f"webhook:{lanes - 1:02}.example.org:443  breaker open until")
    newest = shown[shown.index("Newest failures") + 1]
    assert f"{failures}× welcome at step{failures - 1:02}" in newest
    assert newest.endswith("…")
    told = sum("webhook:" in line for line in shown)
    told_failures = sum(" welcome at " in line for line in shown)
    for told_of, there in ((told, lanes), (told_failures, failures)):
        assert told_of == there or any(line == f"… and {there - told_of} more" for line in shown)
    if lanes == failures == 40:
        assert len(shown) == 24
        assert min(told, told_failures) >= 3


def test_without_a_height_everything_is_shown() -> None:
    shown = [line.plain for line in lines(_seen(40, 40), Text("wayfarer"), 80)]
    assert sum("webhook:" in line for line in shown) == 40
    assert sum(" welcome at " in line for line in shown) == 40
    assert "due 0   late 1 min 15 s" in shown
