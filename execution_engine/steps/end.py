"""`end`: completes the execution wherever it stands; no config."""

from collections.abc import Mapping
from typing import Any

from execution_engine.definition.faults import Fault
from execution_engine.definition.program import EndStep
from execution_engine.steps.control import ControlStep, Resolve, unknown_keys


def _check(config: Mapping[str, Any], path: str) -> list[Fault]:
    return unknown_keys(config, (), path)


def _targets(config: Mapping[str, Any]) -> dict[str, str]:
    return {}


def _build(id: str, position: int, next: int, config: Mapping[str, Any], resolve: Resolve) -> EndStep:
    return EndStep(id, position)


END_STEP = ControlStep("end", _check, _targets, _build, goes_on=False)
