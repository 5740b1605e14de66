"""`wait_until_time`: until a time of day on some weekdays; config {time, days, time_zone, skip_holidays}."""

from execution_engine.calendar.rules import time_of_day, weekdays_of
from execution_engine.definition.faults import Fault
from execution_engine.definition.program import WaitUntilTimeStep
from execution_engine.steps.control import Config, ControlStep, Resolve, not_text, required, unknown_keys
from execution_engine.steps.zone_choice import not_zone

_KEYS = ("time", "days", "time_zone", "skip_holidays")
_EVERY = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _check(config: Config, path: str) -> list[Fault]:
    faults = unknown_keys(config, _KEYS, path) + required(config, ("time",), path)
    faults += not_text(config, ("time",), path) + not_zone(config, path)
    if isinstance(config.get("time"), str):
        try:
            time_of_day(config["time"])
        except ValueError as error:
            faults.append(Fault(f"{path}.time", "time", str(error)))
    days = config.get("days", list(_EVERY))
    if not isinstance(days, list) or not days or not all(isinstance(day, str) for day in days):
        faults.append(Fault(f"{path}.days", "type", "must be a list of weekdays"))
    else:
        try:
            weekdays_of(days)
        except ValueError as error:
            faults.append(Fault(f"{path}.days", "choice", str(error)))
    if not isinstance(config.get("skip_holidays", False), bool):
        faults.append(Fault(f"{path}.skip_holidays", "type", "must be true or false"))
    return faults


def _targets(config: Config) -> dict[str, str]:
    return {}


def _build(id: str, position: int, next: int, config: Config, resolve: Resolve) -> WaitUntilTimeStep:
    return WaitUntilTimeStep(
        id,
        position,
        next,
        time_of_day(config["time"]),
        weekdays_of(config.get("days", list(_EVERY))),
        config.get("time_zone", "contact"),
        config.get("skip_holidays", False),
    )


WAIT_UNTIL_TIME = ControlStep("wait_until_time", _check, _targets, _build)
