"""Wall-clock time and instants, and whose zone counts; asked by waits.py, cron.py and the steps that wait.

A wall-clock time means the first instant at which clocks of the zone have reached it (R-WAIT-1): the
one instant on most days, the first of two when clocks go back, and the end of the gap when clocks
jump over it. So a later wall-clock time never means an earlier instant.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_FIRST_YEAR, _LAST_YEAR = 2, 9_980  # room for every offset, and to look ten years ahead
_SECOND = timedelta(seconds=1)
# The system's database has these, IANA has not: the machine's own zone, other countings, a placeholder.
_NOT_ZONES = ("localtime", "posixrules", "Factory", "posix/", "right/")


def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The first instant, in UTC, at which the clocks of `zone` have reached the naive `local`.

    Errors: ValueError when `local` is aware or outside the years 2 to 9980.
    """
    if local.tzinfo is not None:
        raise ValueError("a wall-clock time has no offset")
    _check_year(local)
    before = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if wall_clock(before, zone) == local:
        return before
    # In a gap fold=0 counts with the offset of before it, fold=1 with that of after: the jump is between.
    return _jump(local.replace(tzinfo=zone, fold=1).astimezone(UTC), before, local, zone)


def _jump(early: datetime, late: datetime, local: datetime, zone: ZoneInfo) -> datetime:
    """The instant of the jump over `local`, found by halving; jumps happen on whole seconds."""
    start = early.replace(microsecond=0)
    low, high = 0, (late - start) // _SECOND + 1
    while high - low > 1:
        middle = (low + high) // 2
        if wall_clock(start + middle * _SECOND, zone) < local:
            low = middle
        else:
            high = middle
    return start + high * _SECOND


def wall_clock(moment: datetime, zone: ZoneInfo) -> datetime:
    """What the clocks of `zone` show at `moment`, naive. Errors: as for `utc`."""
    return utc(moment).astimezone(zone).replace(tzinfo=None, fold=0)


def utc(moment: datetime) -> datetime:
    """The same instant in UTC. Errors: ValueError when it is naive or outside the years 2 to 9980."""
    if moment.tzinfo is None:
        raise ValueError("an instant needs an offset")
    _check_year(moment)
    return moment.astimezone(UTC)


def _check_year(moment: datetime) -> None:
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"the year {moment.year} is out of range")


def zone_of(*names: str) -> tuple[ZoneInfo, str]:
    """The first of `names` that is an IANA time zone, and that name; UTC when none is.

    Give them in order of right: the step's, the contact's, the account's. Empty and unknown names are
    passed over, because a contact's zone is whatever somebody once imported.
    """
    for name in names:
        zone = _zone(name)
        if zone is not None:
            return zone, name
    return ZoneInfo("UTC"), "UTC"


def _zone(name: str) -> ZoneInfo | None:
    if not name or name.startswith(_NOT_ZONES):
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; not a path of the database; one of its folders
        return None
