"""`if`: a branch by a condition; config {condition, then, else}."""

from collections.abc import Mapping
from typing import Any

from execution_engine.definition.conditions import Condition, ConditionInvalid
from execution_engine.definition.faults import Fault
from execution_engine.definition.program import IfStep
from execution_engine.steps.control import ControlStep, Resolve, unknown_keys


def _check(config: Mapping[str, Any], path: str) -> list[Fault]:
    faults = unknown_keys(config, ("condition", "then", "else"), path)
    for key in ("condition", "then", "else"):
        if key not in config:
            faults.append(Fault(f"{path}.{key}", "missing", f"{key!r} is required"))
        elif not isinstance(config[key], str):
            faults.append(Fault(f"{path}.{key}", "type", "must be text"))
    if isinstance(config.get("condition"), str):
        try:
            Condition.compile(config["condition"])
        except ConditionInvalid as error:
            faults.append(Fault(f"{path}.condition", "expression", str(error)))
    return faults


def _targets(config: Mapping[str, Any]) -> dict[str, str]:
    return {key: config[key] for key in ("then", "else") if isinstance(config.get(key), str)}


def _build(id: str, position: int, next: int, config: Mapping[str, Any], resolve: Resolve) -> IfStep:
    return IfStep(
        id, position, Condition.compile(config["condition"]), resolve(config["then"]), resolve(config["else"])
    )


IF = ControlStep("if", _check, _targets, _build, goes_on=False)
