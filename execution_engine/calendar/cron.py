"""The instants of a five-field cron schedule, as vixie cron means it; triggers on a schedule call it.

minute hour day-of-month month day-of-week; lists, ranges, steps, names. When both day fields are
restricted either one suffices; a field that starts with * is not restricted.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from execution_engine.calendar.zones import instant, utc, wall_clock

MOST_DAYS = 2_922  # eight years: from one 29 February to the next across a century without its own
_LONGEST_TEXT = 1_000
_PART = re.compile(r"(?P<all>\*)|(?P<first>[a-z0-9]+)(?:-(?P<last>[a-z0-9]+))?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()  # of low, low + 1, …

    def values(self, text: str) -> frozenset[int]:
        """The values `text` allows. Errors: ValueError naming the field and what is wrong."""
        return frozenset(value for part in text.split(",") for value in self._part(part))

    def _part(self, text: str) -> range:
        span, slash, step = text.partition("/")
        found = _PART.fullmatch(span)
        if found is None:
            raise self._error(text, "is no value, range or *")
        if found["all"]:
            return range(self.low, self.high + 1, self._step(text, step) if slash else 1)
        first = self._value(found["first"])
        if found["last"] is None:
            if slash:
                raise self._error(text, f"steps from a single value; write {first}-{self.high}/{step}")
            return range(first, first + 1)
        last = self._value(found["last"])
        if self is _DAY_OF_WEEK and last == 0 < first:
            last = 7  # fri-sun
        if last < first:
            raise self._error(text, "is a range that ends before it starts")
        return range(first, last + 1, self._step(text, step) if slash else 1)

    def _value(self, text: str) -> int:
        if text in self.names:
            return self.low + self.names.index(text)
        if not text.isdigit():
            raise self._error(text, f"is none of {', '.join(self.names)}" if self.names else "is no number")
        if len(text) > 2 or not self.low <= int(text) <= self.high:
            raise self._error(text, f"is not from {self.low} to {self.high}")
        return int(text)

    def _step(self, text: str, step: str) -> int:
        most = self.high - self.low + 1
        if not re.fullmatch(r"[0-9]{1,2}", step) or not 1 <= int(step) <= most:
            raise self._error(text, f"needs a step from 1 to {most}")
        return int(step)

    def _error(self, text: str, rule: str) -> ValueError:
        return ValueError(f"{self.name}: {text[:40]!r} {rule}")


_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY_OF_MONTH = _Field("day-of-month", 1, 31)
_MONTH = _Field("month", 1, 12, _MONTHS)
_DAY_OF_WEEK = _Field("day-of-week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))


@dataclass(frozen=True, slots=True)
class Cron:
    """A schedule: the times of its days, and which days those are. Build it with `parse`."""

    times: tuple[time, ...]  # ascending
    days_of_month: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Monday, as everywhere here but in cron's text
    either_day: bool

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """From "minute hour day-of-month month day-of-week". Errors: ValueError naming field and rule."""
        fields = text[: _LONGEST_TEXT + 1].lower().split()
        if len(fields) != 5 or len(text) > _LONGEST_TEXT:
            raise ValueError("cron: needs five fields: minute hour day-of-month month day-of-week")
        minutes, hours = _MINUTE.values(fields[0]), _HOUR.values(fields[1])
        return cls(
            times=tuple(time(hour, minute) for hour in sorted(hours) for minute in sorted(minutes)),
            days_of_month=_DAY_OF_MONTH.values(fields[2]),
            months=_MONTH.values(fields[3]),
            weekdays=frozenset((day - 1) % 7 for day in _DAY_OF_WEEK.values(fields[4])),
            either_day=not fields[2].startswith("*") and not fields[4].startswith("*"),
        )

    def next_after(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """The first instant after `now`, in UTC; None when eight years have none.

        Times in a gap are one instant, its end; of a repeated hour only the first counts, so a schedule
        of every few minutes rests for the second.
        """
        now = utc(now)
        local = wall_clock(now, zone)
        for ahead in range(MOST_DAYS + 1):
            day = local.date() + timedelta(days=ahead)
            if not self._runs_on(day):
                continue
            # What clocks have shown before is over; see zones.py.
            for at in self.times[bisect_right(self.times, local.time()) if ahead == 0 else 0 :]:
                moment = instant(datetime.combine(day, at), zone)
                if moment > now:
                    return moment
        return None

    def _runs_on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_month, by_week = day.day in self.days_of_month, day.weekday() in self.weekdays
        return by_month or by_week if self.either_day else by_month and by_week
