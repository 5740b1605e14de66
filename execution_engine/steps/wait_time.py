"""`wait_time`: a wait of a fixed time; config {amount, unit}."""

from collections.abc import Mapping
from typing import Any

from execution_engine.definition.faults import Fault
from execution_engine.definition.program import WaitTimeStep
from execution_engine.steps.control import ControlStep, Resolve, unknown_keys

_UNITS = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400, "weeks": 604_800}
_LONGEST_S = 5 * 366 * 86_400


def _check(config: Mapping[str, Any], path: str) -> list[Fault]:
    faults = unknown_keys(config, ("amount", "unit"), path)
    amount, unit = config.get("amount"), config.get("unit")
    if "amount" not in config:
        faults.append(Fault(f"{path}.amount", "missing", "'amount' is required"))
    elif not isinstance(amount, int) or isinstance(amount, bool) or amount < 1:
        faults.append(Fault(f"{path}.amount", "range", "must be a whole number from 1"))
    if "unit" not in config:
        faults.append(Fault(f"{path}.unit", "missing", "'unit' is required"))
    elif not isinstance(unit, str) or unit not in _UNITS:
        faults.append(Fault(f"{path}.unit", "choice", f"must be one of {', '.join(_UNITS)}"))
    if not faults and amount * _UNITS[str(unit)] > _LONGEST_S:  # type: ignore[operator]
        faults.append(Fault(f"{path}.amount", "range", "waits longer than five years"))
    return faults


def _targets(config: Mapping[str, Any]) -> dict[str, str]:
    return {}


def _build(id: str, position: int, next: int, config: Mapping[str, Any], resolve: Resolve) -> WaitTimeStep:
    return WaitTimeStep(id, position, next, float(config["amount"] * _UNITS[config["unit"]]))


WAIT_TIME = ControlStep("wait_time", _check, _targets, _build, goes_on=True)
