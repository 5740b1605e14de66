"""Quiet hours and send windows on the clocks of a zone; gate.py asks.

Both are intervals between instants, each end being the first instant at which the zone's clocks reach it.
So an hour that comes twice is not quiet again, and an end that falls into a gap is the gap's end.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from hashlib import blake2b
from zoneinfo import ZoneInfo

from execution_engine.calendar.zones import instant, wall_clock
from execution_engine.sending.rules import Hours

_DAY = timedelta(days=1)
_SCALE = 2**64


def quiet_until(hours: Hours, now: datetime, zone: ZoneInfo) -> datetime | None:
    """When the quiet hours that are on at `now` end; None if none are."""
    ends = [end for start, end in _around(hours, now, zone) if start <= now < end]
    return max(ends, default=None)


def opens_at(hours: Hours, now: datetime, zone: ZoneInfo) -> datetime | None:
    """When the send window opens next; None if it is open at `now`."""
    coming: list[datetime] = []
    for start, end in _around(hours, now, zone, ahead=8):
        if start <= now < end:
            return None
        if start > now:
            coming.append(start)
    return min(coming)


def release(until: datetime, spread: timedelta, *names: str) -> datetime:
    """The moment of its own at which one of many that wait for `until` is let go; always the same."""
    told = blake2b("\0".join((*names, until.isoformat())).encode(), digest_size=8).digest()
    return until + spread * (int.from_bytes(told, "big") / _SCALE)


def _around(
    hours: Hours, now: datetime, zone: ZoneInfo, ahead: int = 0
) -> Iterator[tuple[datetime, datetime]]:
    """The intervals that begin from the day before on."""
    today = wall_clock(now, zone).date()
    for offset in range(-1, ahead + 1):
        day = today + offset * _DAY
        if day.weekday() in hours.days:
            yield _interval(hours, day, zone)


def _interval(hours: Hours, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    last = day if hours.ends > hours.begins else day + _DAY
    return (
        instant(datetime.combine(day, hours.begins), zone),
        instant(datetime.combine(last, hours.ends), zone),
    )
