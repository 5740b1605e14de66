"""What settings and steps say about days and hours, read into values; waits.py counts with them.

Every reader raises ValueError with a sentence that says what is wrong; the caller knows the field.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any, TypeVar

_Read = TypeVar("_Read")

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FULL = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAYS: Mapping[str, frozenset[int]] = {
    **{name: frozenset({place}) for names in (WEEKDAYS, _FULL) for place, name in enumerate(names)},
    "weekdays": frozenset(range(5)),
    "weekends": frozenset({5, 6}),
}
_TIME = re.compile(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?")
_HOLIDAY = re.compile(r"(?:([0-9]{4})-)?([0-9]{2})-([0-9]{2})")
_LEAP_YEAR = 2000  # so that 02-29 may be a holiday of every year that has it


@dataclass(frozen=True, slots=True)
class BusinessHours:
    """Open from `opens` until `closes`, wall clock, on `days` (0 is Monday). Errors: ValueError."""

    days: frozenset[int] = _DAYS["weekdays"]
    opens: time = time(9)
    closes: time = time(17)

    def __post_init__(self) -> None:
        if not self.days or not self.days <= set(range(7)):
            raise ValueError("business hours need days, each from 0 (Monday) to 6")
        if self.opens >= self.closes:
            raise ValueError(
                f"business hours open ({self.opens}) before they close ({self.closes}), on one day"
            )


@dataclass(frozen=True, slots=True)
class Holidays:
    """Days that are no business days: dates, and (month, day) of every year."""

    dates: frozenset[date] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()

    def has(self, day: date) -> bool:
        """Whether `day` is a holiday."""
        return (day.month, day.day) in self.yearly or day in self.dates


def business_hours_of(data: Mapping[str, Any] | None) -> BusinessHours:
    """From {"days": ["mon", …], "from": "09:00", "to": "17:00"}; what is left out is Mon-Fri, 9 to 17.

    Errors: ValueError naming the key and what is wrong with it.
    """
    if data is None:
        return BusinessHours()
    if not isinstance(data, Mapping):
        raise ValueError("business hours are a mapping of days, from and to")
    for key in data:
        if key not in ("days", "from", "to"):
            raise ValueError(f"business hours have no {key!r} (there are days, from, to)")
    usual = BusinessHours()
    return BusinessHours(
        days=_named("days", weekdays_of, data["days"]) if "days" in data else usual.days,
        opens=_named("from", time_of_day, data["from"]) if "from" in data else usual.opens,
        closes=_named("to", time_of_day, data["to"]) if "to" in data else usual.closes,
    )


def holidays_of(items: Sequence[str]) -> Holidays:
    """From "2026-12-25" (that day) and "12-25" (every year). Errors: ValueError naming the item."""
    if isinstance(items, str) or not isinstance(items, Sequence):
        raise ValueError("holidays are a list")
    dates, yearly = set(), set()
    for item in items:
        found = _HOLIDAY.fullmatch(item) if isinstance(item, str) else None
        if found is None:
            raise ValueError(f"{item!r} is not a holiday: write 2026-12-25, or 12-25 for every year")
        year, month, day = found.groups()
        try:
            holiday = date(int(year or _LEAP_YEAR), int(month), int(day))
        except ValueError as error:
            raise ValueError(f"{item!r} is not a day of the calendar: {error}") from None
        if year:
            dates.add(holiday)
        else:
            yearly.add((holiday.month, holiday.day))
    return Holidays(frozenset(dates), frozenset(yearly))


def time_of_day(text: str) -> time:
    """From "HH:MM" or "HH:MM:SS", 00:00 to 23:59:59. Errors: ValueError."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r} is not a time of day: write HH:MM or HH:MM:SS")
    hour, minute, second = (int(part or 0) for part in found.groups())
    try:
        return time(hour, minute, second)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time of day: {error}") from None


def weekdays_of(names: Sequence[str]) -> frozenset[int]:
    """From "mon" or "monday", "weekdays", "weekends", in any case; 0 is Monday. Errors: ValueError."""
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise ValueError("days are a list of at least one, such as [mon, tue]")
    days: set[int] = set()
    for name in names:
        found = _DAYS.get(name.lower()) if isinstance(name, str) else None
        if found is None:
            raise ValueError(f"{name!r} is not a day (there are {', '.join(WEEKDAYS)}, weekdays, weekends)")
        days |= found
    return frozenset(days)


def _named(key: str, read: Callable[[Any], _Read], value: Any) -> _Read:
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
