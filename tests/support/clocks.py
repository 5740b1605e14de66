"""When the clocks of a zone change, found by asking zoneinfo day by day; the calendar's tests use it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

ZONES = sorted(available_timezones() - {"localtime", "Factory"})
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Change:
    """At `at` (UTC) the offset of the zone goes from `before` to `after`."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def walls(self) -> tuple[datetime, datetime]:
        """The last wall clock before the change and the first after it, naive."""
        at = self.at.replace(tzinfo=None)
        return at + self.before, at + self.after


@cache
def changes(key: str, year: int) -> tuple[Change, ...]:
    """The changes of one zone in one year, in order."""
    return tuple(
        _changes(ZoneInfo(key), datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC))
    )


def offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    """What `zone` adds to UTC at `moment`."""
    found = moment.astimezone(zone).utcoffset()
    assert found is not None
    return found


def wall(moment: datetime, zone: ZoneInfo) -> datetime:
    """What the clocks of `zone` show at `moment`, naive."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _changes(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[Change]:
    while start < end:
        before, after = offset(start, zone), offset(start + _DAY, zone)
        if before != after:
            low, high = start, start + _DAY
            while high - low > _SECOND:
                middle = low + (high - low) // 2
                middle = middle.replace(microsecond=0)
                low, high = (middle, high) if offset(middle, zone) == before else (low, middle)
            yield Change(high, before, offset(high, zone))
        start += _DAY
