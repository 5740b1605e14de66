"""Wall clocks of time zones and the instants they mean; the waits and cron ask.

A time in the gap of a clock change moves to the first instant after it; a time that comes twice means
the first.
"""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

_SECOND = timedelta(seconds=1)


def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The instant (UTC) of a naive wall-clock time in `zone`."""
    first = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == local:
        return first
    # In a gap the two folds mean an instant before and one after the change: it lies between them.
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _change(min(before, first), max(before, first), zone)


def _change(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The first instant, to the second, with the offset that holds at `high`."""
    low, high = low.replace(microsecond=0), high.replace(microsecond=0)
    after = high.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
        if middle.astimezone(zone).utcoffset() == after:
            high = middle
        else:
            low = middle
    return high


def zone_of(*names: str) -> tuple[ZoneInfo, str]:
    """The first of the names that is an IANA zone, and that name; UTC if none is."""
    for name in names:
        if name and name in _names():
            return ZoneInfo(name), name
    return ZoneInfo("UTC"), "UTC"


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones())
