"""`wait_until_date`: until a date, absolute or from a field, with an offset.

Config {date, offset, time, time_zone, if_past, on_missing}: `date` may hold merge fields; `offset` is a
duration with a sign, whole days moving the wall clock; `time` replaces the date's own time of day.
"""

import re
from datetime import time
from zoneinfo import ZoneInfo

from execution_engine.calendar.rules import time_of_day
from execution_engine.calendar.waits import moment_of
from execution_engine.definition import durations
from execution_engine.definition.faults import Fault
from execution_engine.definition.program import IfPast, OnMissing, WaitUntilDateStep
from execution_engine.definition.templates import ConfigTemplate, TemplateInvalid
from execution_engine.steps.control import (
    Config,
    ControlStep,
    Resolve,
    not_among,
    not_text,
    required,
    unknown_keys,
)
from execution_engine.steps.zone_choice import not_zone

_KEYS = ("date", "offset", "time", "time_zone", "if_past", "on_missing")
_OFFSET = re.compile(r"^([+-]?)(.+)$")
_LONGEST_OFFSET_S = 366 * 86_400


def _check(config: Config, path: str) -> list[Fault]:
    faults = unknown_keys(config, _KEYS, path) + required(config, ("date",), path)
    faults += not_text(config, ("date", "offset", "time"), path) + not_zone(config, path)
    faults += not_among(config, "if_past", tuple(kind.value for kind in IfPast), path)
    faults += not_among(config, "on_missing", tuple(kind.value for kind in OnMissing), path)
    if isinstance(config.get("date"), str):
        faults += _check_date(config["date"], path)
    if isinstance(config.get("offset"), str):
        try:
            if abs(offset_s(config["offset"])) > _LONGEST_OFFSET_S:
                faults.append(Fault(f"{path}.offset", "range", "must be at most 366 days"))
        except ValueError as error:
            faults.append(Fault(f"{path}.offset", "duration", str(error)))
    if isinstance(config.get("time"), str):
        try:
            time_of_day(config["time"])
        except ValueError as error:
            faults.append(Fault(f"{path}.time", "time", str(error)))
    return faults


def _check_date(text: str, path: str) -> list[Fault]:
    try:
        if ConfigTemplate.compile({"date": text}).literal is not None:
            moment_of(text, ZoneInfo("UTC"), None)
    except TemplateInvalid as error:
        return [Fault(f"{path}.date", "template", str(error))]
    except ValueError as error:
        return [Fault(f"{path}.date", "date", str(error))]
    return []


def offset_s(text: str) -> float:
    """Seconds of an offset like -3d. Raises ValueError with the rule."""
    sign, rest = _OFFSET.match(text).groups() if text else ("", "")  # type: ignore[union-attr]
    return durations.seconds(rest) * (-1 if sign == "-" else 1)


def _targets(config: Config) -> dict[str, str]:
    return {}


def _build(id: str, position: int, next: int, config: Config, resolve: Resolve) -> WaitUntilDateStep:
    seconds = offset_s(config["offset"]) if "offset" in config else 0.0
    days = int(seconds / 86_400) if seconds % 86_400 == 0 else 0
    at: time | None = time_of_day(config["time"]) if "time" in config else None
    return WaitUntilDateStep(
        id,
        position,
        next,
        ConfigTemplate.compile({"date": config["date"]}),
        0.0 if days else seconds,
        days,
        at,
        config.get("time_zone", "contact"),
        IfPast(config.get("if_past", "continue")),
        OnMissing(config.get("on_missing", "continue")),
    )


def _reads(config: Config) -> frozenset[str]:
    try:
        return ConfigTemplate.compile({"date": config.get("date", "")}).steps
    except TemplateInvalid:
        return frozenset()


WAIT_UNTIL_DATE = ControlStep("wait_until_date", _check, _targets, _build, reads=_reads)
