"""When waits are over, by the calendar; waits.py of the engine asks."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from execution_engine.calendar.rules import BusinessHours, Holidays
from execution_engine.calendar.zones import instant

_ELAPSED = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400, "weeks": 604_800}


def after(
    now: datetime, amount: int, unit: str, zone: ZoneInfo, hours: BusinessHours, holidays: Holidays
) -> datetime:
    """See calendar."""
    if unit in _ELAPSED:
        return now + timedelta(seconds=amount * _ELAPSED[unit])
    local = now.astimezone(zone).replace(tzinfo=None)
    if unit == "calendar_days":
        return instant(local + timedelta(days=amount), zone)
    day, left = local, amount
    while left:
        day += timedelta(days=1)
        if day.weekday() in hours.days and not holidays.has(day.date()):
            left -= 1
    return instant(day, zone)


def next_time(
    now: datetime, at: time, days: frozenset[int], zone: ZoneInfo, holidays: Holidays | None
) -> datetime:
    """See calendar."""
    day = now.astimezone(zone).date()
    for _ in range(3660):
        if day.weekday() in days and not (holidays and holidays.has(day)):
            found = instant(datetime.combine(day, at), zone)
            if found > now:
                return found
        day += timedelta(days=1)
    raise ValueError("no such day within ten years")


def moment_of(value: object, zone: ZoneInfo, at: time | None) -> datetime:
    """See calendar."""
    local = datetime.fromisoformat(str(value))
    if at is not None:
        local = local.replace(hour=at.hour, minute=at.minute, second=at.second, microsecond=0)
    return local.astimezone(UTC) if local.tzinfo else instant(local, zone)


def shifted(moment: datetime, seconds: float, days: int, zone: ZoneInfo) -> datetime:
    """See calendar."""
    local = moment.astimezone(zone).replace(tzinfo=None) + timedelta(days=days)
    return instant(local, zone) + timedelta(seconds=seconds)
