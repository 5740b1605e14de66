"""Which events a trigger, goal, exit or wait means; events are held against it when they come."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from execution_engine.definition.conditions import EVENT_ROOTS, Condition, ConditionFailed, ConditionInvalid
from execution_engine.definition.faults import Fault
from execution_engine.definition.templates import ConfigTemplate, TemplateInvalid

TYPE = re.compile(r"^[a-z][a-z0-9_]{0,63}$|^custom:[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
KEYS = ("event", "events", "match", "filter")
_MOST_TYPES, _MOST_MATCHES = 10, 10


@dataclass(frozen=True, slots=True)
class EventPattern:
    """`match`: attributes the event must have, by their path in its data; its values may be templates."""

    types: tuple[str, ...]
    match: ConfigTemplate
    filter: str = ""


def check(config: Mapping[str, Any], path: str, *, templates: bool) -> list[Fault]:
    """Every fault of a pattern's keys; others are the caller's. `templates`: whether match may have any."""
    faults: list[Fault] = []
    if ("event" in config) == ("events" in config):
        faults.append(Fault(f"{path}.event", "missing", "one of 'event' and 'events' is required"))
    given = types_of(config)
    if "events" in config and (not isinstance(config["events"], list) or not 1 <= len(given) <= _MOST_TYPES):
        faults.append(Fault(f"{path}.events", "type", f"must be a list of 1 to {_MOST_TYPES} event types"))
        given = []
    for place, name in enumerate(given):
        if not isinstance(name, str) or not TYPE.match(name):
            at = f"{path}.events[{place}]" if "events" in config else f"{path}.event"
            faults.append(Fault(at, "pattern", "must be like email_opened, or custom:NAME"))
    match = config.get("match", {})
    if not isinstance(match, dict) or len(match) > _MOST_MATCHES:
        faults.append(
            Fault(f"{path}.match", "type", f"must be a mapping of at most {_MOST_MATCHES} attributes")
        )
    else:
        faults += _check_match(match, f"{path}.match", templates)
    if "filter" in config:
        faults += _check_filter(config["filter"], f"{path}.filter")
    return faults


def _check_match(match: Mapping[str, Any], path: str, templates: bool) -> list[Fault]:
    faults = [
        Fault(f"{path}.{name}", "type", "must be text, a number, true or false")
        for name, value in match.items()
        if not isinstance(value, str | int | float | bool)
    ]
    try:
        if ConfigTemplate.compile(match).literal is None and not templates:
            faults.append(Fault(path, "template", "merge fields are not known here"))
    except TemplateInvalid as error:
        faults.append(Fault(path, "template", str(error)))
    return faults


def _check_filter(text: Any, path: str) -> list[Fault]:
    if not isinstance(text, str):
        return [Fault(path, "type", "must be text")]
    try:
        Condition.compile(text, EVENT_ROOTS)
    except ConditionInvalid as error:
        return [Fault(path, "expression", str(error))]
    return []


def types_of(config: Mapping[str, Any]) -> list[Any]:
    """The event types a pattern names."""
    if isinstance(config.get("events"), list):
        return list(config["events"])
    return [config["event"]] if "event" in config else []


def build(config: Mapping[str, Any]) -> EventPattern:
    """The pattern of a config without faults."""
    match = ConfigTemplate.compile(config.get("match", {}))
    return EventPattern(tuple(types_of(config)), match, config.get("filter", ""))


def reads(config: Mapping[str, Any]) -> frozenset[str]:
    """Ids of the steps whose outputs the pattern reads."""
    match = config.get("match", {})
    try:
        return ConfigTemplate.compile(match).steps if isinstance(match, dict) else frozenset()
    except TemplateInvalid:
        return frozenset()


def admits(match: Mapping[str, Any], filter: str, event: Mapping[str, Any], now: datetime) -> bool:
    """Whether an event of the right type is meant. `event` is {id, type, time, data}; match is rendered.

    A filter that cannot be evaluated on this event (a missing attribute) does not admit it.
    """
    for path, wanted in match.items():
        if not _same(_at(event["data"], path), wanted):
            return False
    if not filter:
        return True
    try:
        return Condition.compile(filter, EVENT_ROOTS).evaluate({"event": event, "now": now})
    except ConditionFailed:
        return False


def _at(data: Any, path: str) -> Any:
    if isinstance(data, Mapping) and path in data:
        return data[path]
    for name in path.split("."):
        if not isinstance(data, Mapping) or name not in data:
            return None
        data = data[name]
    return data


def _same(found: Any, wanted: Any) -> bool:
    """Equal as JSON, or as text where a merge field made the wanted value text."""
    if found is None:
        return False
    if isinstance(found, bool) or isinstance(wanted, bool):
        return str(found).lower() == str(wanted).lower()
    return bool(found == wanted) or str(found) == str(wanted)
