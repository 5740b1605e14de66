"""The lines that `wayfarer overview` and `wayfarer top` show: what the API answered in, styled text out.

Pure: the size of the screen and the time come in with the answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal

from rich.text import Text
from wayfarer.execution.v1.overview_service_pb2 import (
    FailureGroup,
    GetActivityResponse,
    GetOverviewResponse,
    LaneState,
)

from services.cli import render

LATE_S: Final = 10.0
"""From this lateness on it is shown as trouble."""
_RATES: Final = (("steps", "cyan"), ("started", "blue"), ("completed", "green"), ("failed", "red"))
_BARS: Final = "▁▂▃▄▅▆▇█"
_NAME_WIDTH: Final = 11
_FIGURES_WIDTH: Final = 26
_TITLES: Final = 3
"""Rows that two titles take, and what parts them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The account at a moment."""

    now: GetOverviewResponse
    activity: GetActivityResponse
    at: datetime


def lines(seen: Seen, heading: Text, columns: int, rows: int | None = None) -> list[Text]:
    """All that is shown, line by line; trouble comes first, and what so many rows cannot hold is counted."""
    found = [heading, Text(), *_statuses(seen.now), Text(), *_rates(seen.activity, columns), Text()]
    lanes = [_lane(lane, seen.at) for lane in sorted(seen.now.lanes, key=partial(_urgency, at=seen.at))]
    failures = [_failure(group) for group in sorted(seen.now.failures, key=_newest)]
    for_lanes, for_failures = len(lanes), len(failures)
    if rows is not None:
        room = max(rows - len(found) - _TITLES, 2)
        for_lanes = min(max(for_lanes, 1), max(room // 2, room - max(for_failures, 1)))
        for_failures = room - for_lanes
    found += _section("Lanes and breakers", lanes, for_lanes, "none has asked for less, none fails")
    found += [Text(), *_section("Newest failures", failures, for_failures, "nothing has failed")]
    for line in found:
        line.no_wrap = True
        line.truncate(columns, overflow="ellipsis")
    return found[:rows]


def sparkline(counts: Sequence[int]) -> str:
    """A character per count, as high as it is beside the highest; only 0 lies on the ground."""
    top = max(counts, default=0)
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // top)] if count > 0 else _BARS[0] for count in counts)


def _statuses(now: GetOverviewResponse) -> list[Text]:
    line = Text()
    for count in now.statuses:
        name = render.enum_name(count, "status")
        limit = f"/{now.active_limit:,}" if name == "ACTIVE" and now.active_limit else ""
        line.append(f"{name} ", style="dim").append(
            f"{count.executions:,}", style=_tone(name, count.executions)
        )
        line.append(f"{limit}   ", style="dim")
    late = now.lateness.ToTimedelta()
    due = Text().append("due ", style="dim").append(f"{now.due:,}")
    due.append("   late ", style="dim")
    due.append(render.length(late), style="bold red" if late.total_seconds() >= LATE_S else "")
    return [line, due]


def _tone(name: str, executions: int) -> str:
    return f"bold {render.color(name)}" if executions else "dim"


def _rates(activity: GetActivityResponse, columns: int) -> list[Text]:
    """A line per rate: minute by minute, the sum, and what the last whole minute had."""
    points = activity.points[-max(columns - _NAME_WIDTH - _FIGURES_WIDTH, 1) :]
    found = [Text(f"Last {len(points)} minutes", style="bold")]
    for name, style in _RATES:
        counts = [getattr(point, name) for point in points]
        line = Text().append(f"{name:{_NAME_WIDTH}}", style="dim")
        line.append(sparkline(counts), style=style)
        last = counts[-2] if len(counts) > 1 else 0
        found.append(line.append(f" {sum(counts):,}").append(f" · {last:,}/min", style="dim"))
    return found


def _lane(lane: LaneState, at: datetime) -> Text:
    line = Text(lane.lane)
    if _ahead(lane, "open_until", at):
        line.append(f"  breaker open until {render.to_second(lane, 'open_until')}", style="bold red")
    elif _ahead(lane, "paused_until", at):
        line.append(f"  slowed down until {render.to_second(lane, 'paused_until')}", style="yellow")
    else:
        line.append("  open to all", style="green")
    if lane.failures:
        line.append(f" · {lane.failures:,} failures in a row", style="yellow")
    return line.append(f" · {lane.used_today:,} today{' · executor' if lane.shared else ''}", style="dim")


def _ahead(lane: LaneState, field: Literal["open_until", "paused_until"], at: datetime) -> bool:
    until: datetime = getattr(lane, field).ToDatetime(UTC)
    return lane.HasField(field) and until > at


def _urgency(lane: LaneState, at: datetime) -> tuple[bool, bool, int, str]:
    is_open, is_slow = _ahead(lane, "open_until", at), _ahead(lane, "paused_until", at)
    return (not is_open, not is_slow, -lane.failures, lane.lane)


def _failure(group: FailureGroup) -> Text:
    when = render.to_second(group, "last_time")
    line = Text().append(f"{when}  ", style="dim").append(f"{group.executions:,}× ", style="bold red")
    line.append(f"{group.workflow_key} at {group.step_id}", style="bold")
    return line.append(f"  {render.failure(group.failure)}")


def _newest(group: FailureGroup) -> int:
    return -group.last_time.ToNanoseconds()


def _section(title: str, rows: Sequence[Text], room: int, none: str) -> list[Text]:
    made = [Text(title, style="bold")]
    if not rows:
        return [*made, Text(none, style="dim")]
    fits = len(rows) if len(rows) <= room else max(room - 1, 0)
    more = [Text(f"… and {len(rows) - fits:,} more", style="dim")] if fits < len(rows) else []
    return [*made, *rows[:fits], *more]
