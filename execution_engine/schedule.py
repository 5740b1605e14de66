"""When a trigger on a schedule fires next, and for which contacts; pure, the scheduler asks."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from execution_engine.calendar.cron import Cron
from execution_engine.calendar.rules import time_of_day
from execution_engine.calendar.waits import moment_of, shifted
from execution_engine.calendar.zones import zone_of
from execution_engine.definition.triggers import TriggerKind
from execution_engine.steps.wait_until_date import offset_s

SCAN = timedelta(hours=1)
"""How often the contacts of a date trigger are looked through."""


def next_time(trigger: Mapping[str, Any], kind: TriggerKind, now: datetime) -> datetime | None:
    """The first time after `now`; None for never again."""
    zone, _ = zone_of(str(trigger.get("time_zone") or ""))
    match kind:
        case TriggerKind.CRON:
            return Cron.parse(trigger["cron"]).next_after(now, zone)
        case TriggerKind.ONCE:
            at = moment_of(trigger["at"], zone, None)
            return at if at > now else None
        case TriggerKind.DATE:
            return scanned_until(now) + SCAN
        case TriggerKind.EVENT:
            return None


def scanned_until(now: datetime) -> datetime:
    """Up to when contacts have been looked through for their dates: whole hours, each once."""
    return now.replace(minute=0, second=0, microsecond=0)


def date_fires(
    trigger: Mapping[str, Any], contact: Mapping[str, Any], after: datetime, until: datetime
) -> date | None:
    """The occurrence of a contact's date that falls within (after, until], as the entry key; None for none.

    With `yearly` the date's month and day count, each year; 29 February is 1 March where there is none.
    """
    value = _field(contact, str(trigger["date"]))
    if value in (None, ""):
        return None
    zone, _ = zone_of(str(contact.get("time_zone") or ""), str(trigger.get("time_zone") or ""))
    at = time_of_day(trigger.get("time", "00:00"))
    seconds = offset_s(trigger["offset"]) if "offset" in trigger else 0.0
    days = int(seconds / 86_400) if seconds % 86_400 == 0 else 0
    try:
        first = moment_of(value, zone, at).astimezone(zone).replace(tzinfo=None)
        years = range(after.year - 1, until.year + 2) if trigger.get("yearly") else (first.year,)
        for year in years:
            moment = moment_of(_in_year(first, year).isoformat(), zone, at)
            due = shifted(moment, 0.0 if days else seconds, days, zone)
            if after < due <= until:
                return moment.astimezone(zone).date()
    except (ValueError, OverflowError):
        return None
    return None


def _in_year(moment: datetime, year: int) -> datetime:
    try:
        return moment.replace(year=year)
    except ValueError:
        return moment.replace(year=year, month=3, day=1)


def _field(contact: Mapping[str, Any], path: str) -> Any:
    value: Any = contact
    for name in path.removeprefix("contact.").split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value
