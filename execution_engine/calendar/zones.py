"""Wall clocks of time zones, and the instants they mean."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones


def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """UTC of a wall-clock time."""
    at = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == local:
        return at
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    low, high = before - timedelta(hours=26), at
    low = min(before, at) - timedelta(hours=3)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).replace(tzinfo=None) >= local:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)


def zone_of(*names: str) -> tuple[ZoneInfo, str]:
    """The first name that is a zone."""
    for name in names:
        if name and name in available_timezones():
            return ZoneInfo(name), name
    return ZoneInfo("UTC"), "UTC"
