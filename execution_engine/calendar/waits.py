"""When waits are over, by wall clock and calendar; execution_engine/waits.py asks for a step's."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from execution_engine.calendar.rules import BusinessHours, Holidays
from execution_engine.calendar.zones import instant

_ELAPSED_S = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400, "weeks": 604_800}
_FURTHEST_DAYS = 3_660
"""Ten years: what is not found by then is not looked for any longer."""
_MILLISECONDS = 1e11
"""Unix times above this are in milliseconds: as seconds they would lie after the year 5000."""
_DAY = timedelta(days=1)


def after(
    now: datetime, amount: int, unit: str, zone: ZoneInfo, hours: BusinessHours, holidays: Holidays
) -> datetime:
    """`amount` units on from `now`. Raises ValueError if that is more than ten years on.

    seconds to weeks are elapsed time; calendar_days keep the wall clock; business_hours count open time;
    business_days are so many open days on, at the same wall-clock time.
    """
    if unit in _ELAPSED_S:
        return now + timedelta(seconds=amount * _ELAPSED_S[unit])
    local = now.astimezone(zone).replace(tzinfo=None)
    match unit:
        case "calendar_days":
            return instant(local + amount * _DAY, zone)
        case "business_days":
            return instant(_business_day(local, amount, hours, holidays), zone)
        case "business_hours":
            return _business_hours(now, timedelta(hours=amount), zone, hours, holidays)
        case _:
            raise ValueError(f"{unit!r} is no unit")


def _is_open(day: date, hours: BusinessHours, holidays: Holidays) -> bool:
    return day.weekday() in hours.days and not holidays.has(day)


def _business_day(local: datetime, amount: int, hours: BusinessHours, holidays: Holidays) -> datetime:
    day, left = local, amount
    for _ in range(_FURTHEST_DAYS):
        if left == 0:
            return day
        day += _DAY
        left -= _is_open(day.date(), hours, holidays)
    raise ValueError(f"{amount} business days are more than ten years on")


def _business_hours(
    now: datetime, left: timedelta, zone: ZoneInfo, hours: BusinessHours, holidays: Holidays
) -> datetime:
    day = now.astimezone(zone).date()
    for _ in range(_FURTHEST_DAYS):
        if _is_open(day, hours, holidays):
            opens = max(instant(datetime.combine(day, hours.opens), zone), now)
            closes = instant(datetime.combine(day, hours.closes), zone)
            open_for = closes - opens
            if open_for >= left:
                return opens + left
            if open_for > timedelta():
                left -= open_for
        day += _DAY
    raise ValueError("so many business hours are more than ten years on")


def next_time(
    now: datetime, at: time, days: frozenset[int], zone: ZoneInfo, holidays: Holidays | None
) -> datetime:
    """The first instant after `now` when it is `at` on one of the days (0 is Monday) that is no holiday.

    None: holidays do not matter. Raises ValueError if there is none within ten years.
    """
    day = now.astimezone(zone).date()
    for _ in range(_FURTHEST_DAYS):
        if day.weekday() in days and not (holidays is not None and holidays.has(day)):
            found = instant(datetime.combine(day, at), zone)
            if found > now:
                return found
        day += _DAY
    raise ValueError("no such day comes within ten years")


def moment_of(value: object, zone: ZoneInfo, at: time | None) -> datetime:
    """The instant of a date or a time, as text (ISO 8601) or Unix time; without an offset it is `zone`'s.

    `at` replaces its own time of day, in `zone`. Raises ValueError saying what is wrong.
    """
    moment = _unix(value)
    if moment is None:
        if not isinstance(value, str) or not value.strip():
            raise ValueError("must be a date like 2026-12-24, or a time like 2026-12-24T09:00")
        try:
            read = datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise ValueError(f"{value[:60]!r} is no date like 2026-12-24 or 2026-12-24T09:00") from error
        moment = read.astimezone(UTC) if read.tzinfo is not None else instant(read, zone)
    if at is None:
        return moment
    return instant(datetime.combine(moment.astimezone(zone).date(), at), zone)


def _unix(value: object) -> datetime | None:
    text = value.strip() if isinstance(value, str) else ""
    if text.lstrip("-").isdigit() and len(text) > 8:  # 20261224 is a date
        value = int(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    seconds = value / 1000 if abs(value) > _MILLISECONDS else value
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{value} is no Unix time") from error


def shifted(moment: datetime, seconds: float, days: int, zone: ZoneInfo) -> datetime:
    """`moment` moved by whole days of the wall clock in `zone`, and by elapsed seconds."""
    if days:
        local = moment.astimezone(zone).replace(tzinfo=None)
        moment = instant(local + timedelta(days=days), zone)
    return moment + timedelta(seconds=seconds)
