"""`if`: a branch by a condition; config {condition, then, else}."""

from execution_engine.definition.conditions import Condition
from execution_engine.definition.faults import Fault
from execution_engine.definition.program import IfStep
from execution_engine.steps.control import (
    Config,
    ControlStep,
    Resolve,
    condition_reads,
    not_condition,
    not_text,
    required,
    unknown_keys,
)

_KEYS = ("condition", "then", "else")


def _check(config: Config, path: str) -> list[Fault]:
    faults = unknown_keys(config, _KEYS, path) + required(config, _KEYS, path)
    faults += not_text(config, ("then", "else"), path)
    if "condition" in config:
        faults += not_condition(config["condition"], f"{path}.condition")
    return faults


def _targets(config: Config) -> dict[str, str]:
    return {key: config[key] for key in ("then", "else") if isinstance(config.get(key), str)}


def _build(id: str, position: int, next: int, config: Config, resolve: Resolve) -> IfStep:
    return IfStep(
        id, position, Condition.compile(config["condition"]), resolve(config["then"]), resolve(config["else"])
    )


def _reads(config: Config) -> frozenset[str]:
    return condition_reads([config.get("condition")])


IF = ControlStep("if", _check, _targets, _build, goes_on=lambda config: False, reads=_reads)
