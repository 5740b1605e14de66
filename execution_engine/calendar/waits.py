"""When a wait is over, from its rule and `now`; the timing steps call it, nothing here waits.

Looks at most ten years or 400 business days ahead: a calendar of nothing but holidays is an error
(ValueError), not a loop.
"""

import math
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from execution_engine.calendar.rules import BusinessHours, Holidays
from execution_engine.calendar.zones import instant, utc, wall_clock

MOST_DAYS = 3_653  # ten years
MOST_BUSINESS_DAYS = 400
_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400, "weeks": 604_800}
UNITS = (*_SECONDS, "calendar_days", "business_hours", "business_days")

_MILLISECONDS_FROM = 1e11  # the year 5138 in seconds, 1973 in milliseconds
_LONGEST_TEXT = 40
# A date, and a time that is not 24:00, which newer Pythons take and would lose its day here.
_ISO = re.compile(r"([0-9W-]{7,10})(?:[Tt ]((?!24)[0-9].{1,28}))?")
# More than the eight digits of a basic ISO date: a number that a merge field rendered as text.
_NUMBER = re.compile(r"-?[0-9]{9,15}(\.[0-9]{1,9})?")


def after(
    now: datetime, amount: int, unit: str, zone: ZoneInfo, hours: BusinessHours, holidays: Holidays
) -> datetime:
    """The instant `amount` of `unit` after `now`; 0 of anything is `now` itself.

    seconds … weeks   elapsed time, a day being 24 h
    calendar_days     the same wall clock in `zone`, that many days on
    business_hours    as soon as that much open time has passed, closing time included
    business_days     the same wall clock that many open days on, counted from the first that is open

    Errors: ValueError when the unit is unknown, the amount negative, or the end too far ahead.
    """
    now = utc(now)
    if unit not in UNITS:
        raise ValueError(f"{unit!r} is not a unit of time (there are {', '.join(UNITS)})")
    if amount < 0:
        raise ValueError("an amount of time is not negative")
    if amount == 0:
        return now
    if unit == "business_hours":
        return _after_business_hours(now, amount, zone, hours, holidays)
    if unit == "business_days":
        return _after_business_days(now, amount, zone, hours, holidays)
    if amount * _SECONDS.get(unit, 86_400) > MOST_DAYS * 86_400:
        raise ValueError("a wait is at most ten years")
    if unit == "calendar_days":
        return instant(wall_clock(now, zone) + timedelta(days=amount), zone)
    return utc(now + timedelta(seconds=amount * _SECONDS[unit]))


def _after_business_days(
    now: datetime, amount: int, zone: ZoneInfo, hours: BusinessHours, holidays: Holidays
) -> datetime:
    if amount > MOST_BUSINESS_DAYS:
        raise ValueError(f"a wait is at most {MOST_BUSINESS_DAYS} business days")
    local = wall_clock(now, zone)
    day = next(islice(_days(local.date(), hours.days, holidays), amount, None), None)
    if day is None:
        raise ValueError(f"there are no {amount} business days within ten years")
    return instant(datetime.combine(day, local.time()), zone)


def _after_business_hours(
    now: datetime, amount: int, zone: ZoneInfo, hours: BusinessHours, holidays: Holidays
) -> datetime:
    if amount > MOST_BUSINESS_DAYS * 24:
        raise ValueError(f"a wait is at most {MOST_BUSINESS_DAYS} business days")
    left = timedelta(hours=amount)
    open_days = _days(wall_clock(now, zone).date(), hours.days, holidays)
    for day in islice(open_days, MOST_BUSINESS_DAYS):
        opens = max(now, instant(datetime.combine(day, hours.opens), zone))
        open_for = instant(datetime.combine(day, hours.closes), zone) - opens  # real time, whatever clocks do
        if open_for >= left:
            return opens + left
        left -= max(open_for, timedelta())
    raise ValueError(
        f"there are no {amount} business hours in {MOST_BUSINESS_DAYS} business days or ten years"
    )


def next_time(
    now: datetime, at: time, days: frozenset[int], zone: ZoneInfo, holidays: Holidays | None
) -> datetime:
    """The first instant after `now`, never `now`, at wall clock `at` on one of `days` that is no holiday.

    `days` has 0 for Monday; `holidays` None means they do not matter. The day asked for is what is
    checked, also where a gap around midnight moves the instant to the next one.
    Errors: ValueError when there is no such day within ten years.
    """
    now = utc(now)
    for day in _days(wall_clock(now, zone).date(), days, holidays or Holidays()):
        moment = instant(datetime.combine(day, at), zone)
        if moment > now:
            return moment
    raise ValueError("no such day within ten years")


def _days(first: date, weekdays: frozenset[int], holidays: Holidays) -> Iterator[date]:
    """The days from `first` on, for ten years, that are one of `weekdays` and no holiday."""
    for ahead in range(MOST_DAYS + 1):
        day = first + timedelta(days=ahead)
        if day.weekday() in weekdays and not holidays.has(day):
            yield day


def moment_of(value: object, zone: ZoneInfo, at: time | None) -> datetime:
    """The instant a field's value names: an ISO 8601 date or date-time, or unix time, also as text.

    Without an offset it is wall clock in `zone`; a date alone means midnight. A number is seconds, from
    1e11 on milliseconds. With `at`, the wall clock in `zone` on that day is `at`.
    Errors: ValueError saying what is wrong.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, str):
        found = _parsed(value.strip())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = _unix(value)
    else:
        raise ValueError(f"a date is text or a number, not {type(value).__name__}")
    if at is not None:
        local = found if found.tzinfo is None else wall_clock(found, zone)
        return instant(datetime.combine(local.date(), at), zone)
    return instant(found, zone) if found.tzinfo is None else utc(found)


def _parsed(text: str) -> datetime:
    found = _ISO.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:_LONGEST_TEXT]!r} is not an ISO 8601 date or date-time")
    day, clock = found.groups()
    try:
        return datetime.combine(
            date.fromisoformat(day), time.fromisoformat(clock.upper()) if clock else time()
        )
    except ValueError as error:
        raise ValueError(f"{text!r} is not an ISO 8601 date or date-time: {error}") from None


def _unix(number: float) -> datetime:
    """The instant that many seconds, or milliseconds, after 1970."""
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"{number} is not a time")
    try:
        seconds = number / 1_000 if abs(number) > _MILLISECONDS_FROM else number
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError("a number this large is not a time") from None


def shifted(moment: datetime, seconds: float | None, days: int, zone: ZoneInfo) -> datetime:
    """`moment` moved by whole days of the wall clock in `zone`, then by elapsed seconds; either way.

    Errors: ValueError when that leaves the years 2 to 9980.
    """
    try:
        if days:
            moment = instant(wall_clock(moment, zone) + timedelta(days=days), zone)
        return utc(utc(moment) + timedelta(seconds=seconds or 0.0))
    except OverflowError:
        raise ValueError("the offset is too large") from None
