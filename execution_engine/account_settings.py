"""The settings of an account, checked as a whole, all faults at once; AdminService writes them."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from execution_engine.calendar.rules import business_hours_of, holidays_of
from execution_engine.definition.faults import Fault
from execution_engine.sending import rules

PARTS = ("time_zone", "business_hours", "holidays", "rates", "notifications", "retention", "sending")
_LANE = re.compile(r"^[a-z][a-z0-9_]{0,30}(:[A-Za-z0-9.\-\[\]_:]{1,255})?$")
_EMAIL = re.compile(r"^[^@\s]{1,64}@[^@\s]{1,255}$")
_MOST_RATES, _MOST_TARGETS = 200, 20


def check(settings: Mapping[str, Any]) -> list[Fault]:
    """Every fault of settings as they are stored; paths begin with `settings.`."""
    faults: list[Fault] = []
    zone = settings.get("time_zone")
    if zone and zone not in available_timezones():
        faults.append(Fault("settings.time_zone", "time_zone", f"{zone!r} is not an IANA time zone"))
    try:
        business_hours_of(settings.get("business_hours"))
    except ValueError as error:
        faults.append(Fault("settings.business_hours", "business_hours", str(error)))
    try:
        holidays_of(settings.get("holidays") or [])
    except ValueError as error:
        faults.append(Fault("settings.holidays", "holidays", str(error)))
    faults += _rates(settings.get("rates") or {})
    faults += _notifications(settings.get("notifications") or {})
    faults += rules.faults(settings.get("sending") or {}, "settings.sending")
    retention = settings.get("retention") or {}
    for name, least in (("history_days", 1), ("event_days", 30)):
        days = retention.get(name, least)
        if not least <= days <= 3_650:
            faults.append(Fault(f"settings.retention.{name}", "range", f"must be from {least} to 3,650 days"))
    return faults


def _rates(rates: Mapping[str, Mapping[str, Any]]) -> list[Fault]:
    faults = []
    if len(rates) > _MOST_RATES:
        faults.append(Fault("settings.rates", "too_many", f"must be at most {_MOST_RATES}"))
    for lane, rate in rates.items():
        path = f"settings.rates[{lane}]"
        if not _LANE.match(lane):
            faults.append(Fault(path, "pattern", "must be a lane like email or webhook:host:port"))
        if not 0 <= rate.get("per_second", 0) <= 100_000:
            faults.append(Fault(f"{path}.per_second", "range", "must be from 0 to 100,000"))
        if not 0 <= rate.get("per_day", 0) <= 10**12:
            faults.append(Fault(f"{path}.per_day", "range", "must be from 0"))
    return faults


def _notifications(wanted: Mapping[str, Any]) -> list[Fault]:
    faults = []
    for kind in ("email", "webhook", "slack"):
        targets = wanted.get(kind, [])
        path = f"settings.notifications.{kind}"
        if len(targets) > _MOST_TARGETS:
            faults.append(Fault(path, "too_many", f"must be at most {_MOST_TARGETS}"))
        for place, target in enumerate(targets):
            good = _EMAIL.match(target) if kind == "email" else _is_url(target)
            if not good:
                words = "an e-mail address" if kind == "email" else "an http or https URL"
                faults.append(Fault(f"{path}[{place}]", kind, f"must be {words}"))
    if not 10 <= wanted.get("digest_seconds", 60) <= 3_600:
        faults.append(Fault("settings.notifications.digest", "range", "must be from 10 s to 1 h"))
    return faults


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.hostname) and len(text) <= 2_000
