"""Business hours, holidays and times of day, read from settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any

_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class BusinessHours:
    """Open from `opens` to `closes` on `days` (0 is Monday)."""

    days: frozenset[int] = frozenset(range(5))
    opens: time = time(9)
    closes: time = time(17)


@dataclass(frozen=True, slots=True)
class Holidays:
    """Days on which nothing is open."""

    dates: frozenset[date] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()

    def has(self, day: date) -> bool:
        """Whether `day` is one."""
        return day in self.dates or (day.month, day.day) in self.yearly


def business_hours_of(data: Mapping[str, Any] | None) -> BusinessHours:
    """Raises ValueError."""
    if not data:
        return BusinessHours()
    hours = BusinessHours(
        weekdays_of(data.get("days", _NAMES[:5])),
        time_of_day(data.get("from", "09:00")),
        time_of_day(data.get("to", "17:00")),
    )
    if hours.opens >= hours.closes:
        raise ValueError("'from' must be before 'to'")
    return hours


def holidays_of(items: Sequence[str]) -> Holidays:
    """Raises ValueError."""
    dates, yearly = set(), set()
    for item in items:
        if len(item) == 5:
            day = date.fromisoformat(f"2000-{item}")
            yearly.add((day.month, day.day))
        else:
            dates.add(date.fromisoformat(item))
    return Holidays(frozenset(dates), frozenset(yearly))


def time_of_day(text: str) -> time:
    """Raises ValueError."""
    return time.fromisoformat(text)


def weekdays_of(names: Sequence[str]) -> frozenset[int]:
    """Raises ValueError."""
    return frozenset(_NAMES.index(name[:3].lower()) for name in names)
