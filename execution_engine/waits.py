"""When a wait step is over: pure, from the step, the run's data and the moment it began; advance asks it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from execution_engine.calendar import waits as calendar
from execution_engine.calendar.rules import BusinessHours, Holidays, business_hours_of, holidays_of
from execution_engine.calendar.zones import zone_of
from execution_engine.definition.program import (
    Settings,
    WaitForEventStep,
    WaitStep,
    WaitTimeStep,
    WaitUntilDateStep,
    WaitUntilTimeStep,
)
from execution_engine.definition.templates import TemplateError

_ELAPSED = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400, "weeks": 604_800}


@dataclass(frozen=True, slots=True)
class Place:
    """What a wait may depend on: the contact's zone, the account's settings, the workflow's."""

    contact: Mapping[str, Any]
    account: Mapping[str, Any]
    workflow: Settings

    def zone(self, choice: str) -> tuple[ZoneInfo, str]:
        """The zone of a choice, and which it is, for the log."""
        own = self.workflow.time_zone
        of_account = str(self.account.get("time_zone") or "")
        match choice:
            case "contact":
                zone, name = zone_of(str(self.contact.get("time_zone") or ""), own, of_account)
            case "workflow":
                zone, name = zone_of(own, of_account)
            case "account":
                zone, name = zone_of(of_account)
            case _:
                zone, name = zone_of(choice)
        return zone, name

    def hours(self) -> BusinessHours:
        """The business hours that count."""
        return self.workflow.business_hours or business_hours_of(self.account.get("business_hours"))

    def holidays(self) -> Holidays:
        """The holidays that count."""
        return self.workflow.holidays or holidays_of(self.account.get("holidays") or [])


@dataclass(frozen=True, slots=True)
class Due:
    """When the wait is over, the rule that gave it, and whether a change of the contact may move it."""

    at: datetime
    rule: str
    on_contact: bool = False


@dataclass(frozen=True, slots=True)
class NoDate:
    """The date of a wait_until_date is not there, or is none."""

    problem: str


def due(step: WaitStep, scope: Mapping[str, Any], place: Place, began: datetime) -> Due | NoDate:
    """When `step`, begun at `began`, is over. Raises ValueError where no such moment can be found."""
    match step:
        case WaitTimeStep():
            return _after(step, place, began)
        case WaitForEventStep():
            at = began + timedelta(seconds=step.timeout_s)
            return Due(at, f"{' or '.join(step.pattern.types)} within {step.timeout_s:g} s")
        case WaitUntilTimeStep():
            zone, name = place.zone(step.zone)
            holidays = place.holidays() if step.skip_holidays else None
            at = calendar.next_time(began, step.at, step.days, zone, holidays)
            return Due(at, f"{step.at:%H:%M} {name} ({step.zone})", step.zone == "contact")
        case WaitUntilDateStep():
            return _until(step, scope, place)


def _after(step: WaitTimeStep, place: Place, began: datetime) -> Due:
    if step.unit in _ELAPSED:
        at = began + timedelta(seconds=step.amount * _ELAPSED[step.unit])
        return Due(at, f"wait_time {step.amount} {step.unit}")
    zone, name = place.zone(step.zone)
    at = calendar.after(began, step.amount, step.unit, zone, place.hours(), place.holidays())
    return Due(at, f"wait_time {step.amount} {step.unit} {name} ({step.zone})", step.zone == "contact")


def _until(step: WaitUntilDateStep, scope: Mapping[str, Any], place: Place) -> Due | NoDate:
    zone, name = place.zone(step.zone)
    try:
        text = orjson.loads(step.date.render(scope))["date"]
        moment = calendar.moment_of(text, zone, step.at)
        at = calendar.shifted(moment, step.offset_s, step.offset_days, zone)
    except (TemplateError, ValueError, OverflowError) as error:
        return NoDate(str(error)[:300])
    on_contact = step.zone == "contact" or "contact" in step.date.roots
    return Due(at, f"{step.date.source['date']} {name} ({step.zone})"[:300], on_contact)
