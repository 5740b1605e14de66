"""What starts, completes and ends executions from outside: triggers, goal and exits of a document's settings.

validate.py checks them; publishing stores them where events and the scheduler find them (store/workflows.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from execution_engine.calendar.cron import Cron
from execution_engine.calendar.rules import time_of_day
from execution_engine.calendar.waits import moment_of
from execution_engine.definition import patterns
from execution_engine.definition.conditions import CONTACT_ROOTS
from execution_engine.definition.faults import Fault
from execution_engine.model import Priority
from execution_engine.steps.control import (
    Config,
    not_among,
    not_condition,
    not_text,
    required,
    unknown_keys,
)
from execution_engine.steps.wait_until_date import offset_s

_MOST = 20
_PRIORITIES = ("high", "normal", "low")


CONTACT_UPDATED = "contact_updated"
"""The event of a contact whose fields have changed."""


class TriggerKind(IntEnum):
    """What starts a workflow by itself; the numbers are stored."""

    EVENT = 1
    CRON = 2
    DATE = 3
    ONCE = 4


@dataclass(frozen=True, slots=True)
class Watch:
    """A goal or an exit of a version: on such an event the execution completes, or goes to a step.

    `go_to` is a step's id, empty to complete with `reason`. `ahead_only`: only for executions that have not
    come as far as that step.
    """

    config: Mapping[str, Any]
    types: frozenset[str]
    reason: str
    is_goal: bool
    go_to: str = ""
    ahead_only: bool = False


def kind_of(trigger: Mapping[str, Any]) -> TriggerKind | None:
    """Which kind of trigger it is, by its first key; None for none."""
    for key, kind in _KINDS.items():
        if key in trigger:
            return kind
    return None


_KINDS = {
    "event": TriggerKind.EVENT,
    "events": TriggerKind.EVENT,
    "cron": TriggerKind.CRON,
    "date": TriggerKind.DATE,
    "at": TriggerKind.ONCE,
}


def triggers_of(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The triggers of a valid document."""
    return list((data.get("settings") or {}).get("triggers") or [])


def watches_of(data: Mapping[str, Any]) -> list[Watch]:
    """The goal, the exits and the goal steps of a valid document."""
    settings = data.get("settings") or {}
    found = []
    if "goal" in settings:
        goal = settings["goal"]
        found.append(Watch(goal, _types(goal), "goal_achieved", True, goal.get("go_to", "")))
    for place, exit_ in enumerate(settings.get("exits") or []):
        found.append(Watch(exit_, _types(exit_), exit_.get("reason", f"exit_{place + 1}"), False))
    for step in data["steps"]:
        if step["type"] == "goal":
            config = step.get("config", {})
            found.append(Watch(config, _types(config), "goal_achieved", True, step["id"], ahead_only=True))
    return found


def _types(config: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(patterns.types_of(config))


def listened_types(data: Mapping[str, Any]) -> frozenset[str]:
    """Every event type that a valid document does something on."""
    found = set().union(*(watch.types for watch in watches_of(data)))
    for trigger in triggers_of(data):
        found |= _types(trigger)
    for step in data["steps"]:
        if step["type"] == "wait_for_event":
            found |= _types(step.get("config", {}))
        elif step["type"].startswith("wait_"):
            found.add(CONTACT_UPDATED)  # a wait on a date field or on the contact's zone is resolved anew
    return frozenset(found)


def check(settings: Mapping[str, Any]) -> list[Fault]:
    """Every fault of goal, exits and triggers."""
    faults: list[Fault] = []
    if "goal" in settings:
        faults += _watch_faults(settings["goal"], "settings.goal", ("go_to",))
    for name in ("exits", "triggers"):
        items = settings.get(name, [])
        if not isinstance(items, list) or len(items) > _MOST:
            faults.append(Fault(f"settings.{name}", "type", f"must be a list of at most {_MOST}"))
            continue
        for place, item in enumerate(items):
            path = f"settings.{name}[{place}]"
            faults += (
                _watch_faults(item, path, ("reason",)) if name == "exits" else _trigger_faults(item, path)
            )
    return faults


def _watch_faults(config: Any, path: str, more: tuple[str, ...]) -> list[Fault]:
    if not isinstance(config, dict):
        return [Fault(path, "type", "must be a mapping")]
    faults = unknown_keys(config, (*patterns.KEYS, *more), path) + not_text(config, more, path)
    return faults + patterns.check(config, path, templates=False)


def _trigger_faults(trigger: Any, path: str) -> list[Fault]:
    if not isinstance(trigger, dict):
        return [Fault(path, "type", "must be a mapping")]
    kind = kind_of(trigger)
    if kind is None:
        return [Fault(path, "missing", "must have one of event, cron, date and at")]
    faults = not_among(trigger, "priority", _PRIORITIES, path) + not_text(trigger, ("entry_key",), path)
    if kind is TriggerKind.EVENT:
        faults += unknown_keys(trigger, (*patterns.KEYS, "entry_key", "priority"), path)
        return faults + patterns.check(trigger, path, templates=False)
    if "contacts" in trigger:
        faults += not_condition(trigger["contacts"], f"{path}.contacts", CONTACT_ROOTS)
    if trigger.get("time_zone", "UTC") not in available_timezones():
        faults.append(Fault(f"{path}.time_zone", "time_zone", "must be an IANA time zone"))
    return faults + _SCHEDULE_FAULTS[kind](trigger, path)


def _cron_faults(trigger: Config, path: str) -> list[Fault]:
    faults = unknown_keys(trigger, ("cron", "time_zone", "contacts", "priority"), path)
    faults += required(trigger, ("contacts",), path)
    return faults + _refused(lambda: Cron.parse(trigger["cron"]), f"{path}.cron", "cron")


def _date_faults(trigger: Config, path: str) -> list[Fault]:
    known = ("date", "offset", "time", "time_zone", "yearly", "contacts", "priority")
    faults = unknown_keys(trigger, known, path) + not_text(trigger, ("date", "offset", "time"), path)
    if isinstance(trigger.get("date"), str) and not trigger["date"].startswith("contact."):
        faults.append(
            Fault(f"{path}.date", "field", "must name a field of the contact, like contact.fields.x")
        )
    if not isinstance(trigger.get("yearly", False), bool):
        faults.append(Fault(f"{path}.yearly", "type", "must be true or false"))
    if isinstance(trigger.get("offset"), str):
        faults += _refused(lambda: offset_s(trigger["offset"]), f"{path}.offset", "duration")
    if isinstance(trigger.get("time"), str):
        faults += _refused(lambda: time_of_day(trigger["time"]), f"{path}.time", "time")
    return faults


def _once_faults(trigger: Config, path: str) -> list[Fault]:
    faults = unknown_keys(trigger, ("at", "time_zone", "contacts", "priority"), path)
    faults += required(trigger, ("contacts",), path)
    return faults + _refused(lambda: moment_of(trigger["at"], ZoneInfo("UTC"), None), f"{path}.at", "date")


def _refused(read: Any, path: str, rule: str) -> list[Fault]:
    try:
        read()
    except (ValueError, TypeError, AttributeError) as error:
        return [Fault(path, rule, str(error))]
    return []


_SCHEDULE_FAULTS = {
    TriggerKind.CRON: _cron_faults,
    TriggerKind.DATE: _date_faults,
    TriggerKind.ONCE: _once_faults,
}


def priority_of(trigger: Mapping[str, Any], default: Priority) -> Priority:
    """The priority its executions get."""
    return Priority[str(trigger["priority"]).upper()] if "priority" in trigger else default
