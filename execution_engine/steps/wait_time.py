"""`wait_time`: a wait of some length; config {amount, unit, time_zone}.

Seconds to weeks are elapsed time. calendar_days keep the wall clock; business hours and days count
what the workflow's (or the account's) business hours and holidays leave.
"""

from execution_engine.definition.faults import Fault
from execution_engine.definition.program import WaitTimeStep
from execution_engine.steps.control import Config, ControlStep, Resolve, required, unknown_keys
from execution_engine.steps.zone_choice import not_zone

ELAPSED = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400, "weeks": 604_800}
_MOST = {"calendar_days": 1_830, "business_hours": 4_000, "business_days": 400}
_LONGEST_S = 5 * 366 * 86_400


def _check(config: Config, path: str) -> list[Fault]:
    faults = unknown_keys(config, ("amount", "unit", "time_zone"), path)
    faults += required(config, ("amount", "unit"), path) + not_zone(config, path)
    amount, unit = config.get("amount", 1), config.get("unit", "seconds")
    whole = isinstance(amount, int) and not isinstance(amount, bool) and amount >= 1
    if not whole:
        faults.append(Fault(f"{path}.amount", "range", "must be a whole number from 1"))
    if not isinstance(unit, str) or unit not in (*ELAPSED, *_MOST):
        choices = ", ".join((*ELAPSED, *_MOST))
        faults.append(Fault(f"{path}.unit", "choice", f"must be one of {choices}"))
    elif whole and unit in ELAPSED and amount * ELAPSED[unit] > _LONGEST_S:
        faults.append(Fault(f"{path}.amount", "range", "waits longer than five years"))
    elif whole and unit in _MOST and amount > _MOST[unit]:
        faults.append(Fault(f"{path}.amount", "range", f"must be at most {_MOST[unit]} {unit}"))
    return faults


def _targets(config: Config) -> dict[str, str]:
    return {}


def _build(id: str, position: int, next: int, config: Config, resolve: Resolve) -> WaitTimeStep:
    return WaitTimeStep(
        id, position, next, config["amount"], config["unit"], config.get("time_zone", "contact")
    )


WAIT_TIME = ControlStep("wait_time", _check, _targets, _build)
