"""Business hours, holidays, weekdays and times of day, as settings give them; the waits count with them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_GROUPS = {"weekdays": range(5), "weekends": range(5, 7)}
_TIME = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?$")
_YEARLY = re.compile(r"^\d{2}-\d{2}$")
_MOST_HOLIDAYS = 400


@dataclass(frozen=True, slots=True)
class BusinessHours:
    """Open from `opens` to `closes` (wall clock) on `days`, 0 being Monday."""

    days: frozenset[int] = frozenset(range(5))
    opens: time = time(9)
    closes: time = time(17)


@dataclass(frozen=True, slots=True)
class Holidays:
    """Days on which nothing is open: single ones, and those of every year as (month, day)."""

    dates: frozenset[date] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()

    def has(self, day: date) -> bool:
        """Whether `day` is one of them."""
        return day in self.dates or (day.month, day.day) in self.yearly


def business_hours_of(data: Mapping[str, Any] | None) -> BusinessHours:
    """From {days, from, to}, each with its default. Raises ValueError naming what is wrong."""
    if not data:
        return BusinessHours()
    if not isinstance(data, Mapping):
        raise ValueError("must be a mapping with days, from and to")
    unknown = sorted(set(data) - {"days", "from", "to"})
    if unknown:
        raise ValueError(f"there is no {unknown[0]!r} here (there are days, from, to)")
    default = BusinessHours()
    hours = BusinessHours(
        weekdays_of(data["days"]) if "days" in data else default.days,
        time_of_day(data["from"]) if "from" in data else default.opens,
        time_of_day(data["to"]) if "to" in data else default.closes,
    )
    if hours.opens >= hours.closes:
        raise ValueError("'from' must be before 'to'")
    return hours


def holidays_of(items: Sequence[str]) -> Holidays:
    """From dates like 2026-12-25, or 12-25 for every year. Raises ValueError naming the one that is none."""
    if not isinstance(items, list | tuple) or len(items) > _MOST_HOLIDAYS:
        raise ValueError(f"must be a list of at most {_MOST_HOLIDAYS} dates")
    dates: set[date] = set()
    yearly: set[tuple[int, int]] = set()
    for item in items:
        try:
            if isinstance(item, str) and _YEARLY.match(item):
                day = date.fromisoformat(f"2000-{item}")  # a leap year: 02-29 is a day
                yearly.add((day.month, day.day))
            else:
                dates.add(date.fromisoformat(item))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{item!r} is no date like 2026-12-25 or 12-25") from error
    return Holidays(frozenset(dates), frozenset(yearly))


def time_of_day(text: str) -> time:
    """From HH:MM or HH:MM:SS. Raises ValueError."""
    match = _TIME.match(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is no time of day like 09:00")
    return time(int(match.group(1)), int(match.group(2)), int(match.group(3) or 0))


def weekdays_of(names: Sequence[str]) -> frozenset[int]:
    """From mon … sun, monday … sunday, weekdays, weekends; 0 is Monday. Raises ValueError."""
    if not isinstance(names, list | tuple) or not names:
        raise ValueError("must be a list of weekdays")
    days: set[int] = set()
    for name in names:
        text = name.lower() if isinstance(name, str) else ""
        if text in _GROUPS:
            days.update(_GROUPS[text])
            continue
        found = [place for place, day in enumerate(_DAYS) if text in (day, day[:3])]
        if not found:
            raise ValueError(f"{name!r} is no weekday like mon")
        days.update(found)
    return frozenset(days)
