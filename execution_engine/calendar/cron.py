"""Cron expressions of five fields, in a zone; triggers on a schedule fire by them.

minute, hour, day of month, month, day of week: lists, ranges, steps, names. As in Vixie's cron, a day
counts if either of the two day fields has it when both are restricted.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from execution_engine.calendar.zones import instant

_NAMES = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "day of week": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
)
_FURTHEST_DAYS = 8 * 366
"""29 February comes at least once in eight years."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression. `weekdays` count from Monday, 0."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    @staticmethod
    def parse(text: str) -> "Cron":
        """Raises ValueError naming the field and the rule."""
        parts = text.split() if isinstance(text, str) else []
        if len(parts) != len(_FIELDS):
            raise ValueError("must have five fields: minute, hour, day of month, month, day of week")
        sets = [
            _values(part, name, low, high) for part, (name, low, high) in zip(parts, _FIELDS, strict=True)
        ]
        weekdays = frozenset((day - 1) % 7 for day in sets[4])  # cron's 0 and 7 are Sunday
        return Cron(
            tuple(sorted(sets[0])),
            tuple(sorted(sets[1])),
            sets[2],
            sets[3],
            weekdays,
            parts[2].startswith("*"),
            parts[4].startswith("*"),
        )

    def has_day(self, day: date) -> bool:
        """Whether it may fire on this day."""
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.weekday() in self.weekdays
        if self.any_day or self.any_weekday:
            return of_month and of_week
        return of_month or of_week

    def next_after(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """The first time (UTC) after `now`; None if there is none within eight years.

        A time in the gap of a clock change fires once, right after it; one that comes twice, the first time.
        """
        day = now.astimezone(zone).date()
        for _ in range(_FURTHEST_DAYS):
            if self.has_day(day):
                times = (time(hour, minute) for hour in self.hours for minute in self.minutes)
                found = min(
                    (at for clock in times if (at := instant(datetime.combine(day, clock), zone)) > now),
                    default=None,
                )
                if found is not None:
                    return found
            day += timedelta(days=1)
        return None


def _values(part: str, name: str, low: int, high: int) -> frozenset[int]:
    values: set[int] = set()
    for item in part.split(","):
        span, _, step = item.partition("/")
        if step and (not step.isdigit() or int(step) < 1):
            raise ValueError(f"{name}: {item!r} has no step from 1")
        if span == "*":
            first, last = low, high if name != "day of week" else 6
        else:
            start, dash, end = span.partition("-")
            first = _number(start, name, low, high)
            last = _number(end, name, low, high) if dash else (high if step else first)
        if first > last:
            raise ValueError(f"{name}: {item!r} runs backwards")
        values.update(range(first, last + 1, int(step or 1)))
    return frozenset(values)


def _number(text: str, name: str, low: int, high: int) -> int:
    names = _NAMES.get(name, ())
    if text.lower() in names:
        return names.index(text.lower()) + (1 if name == "month" else 0)
    if not text.isdigit() or not low <= int(text) <= high:
        raise ValueError(f"{name}: {text!r} is not within {low} to {high}")
    return int(text)
