"""`end`: completes the execution wherever it stands; no config."""

from execution_engine.definition.faults import Fault
from execution_engine.definition.program import EndStep
from execution_engine.steps.control import Config, ControlStep, Resolve, unknown_keys


def _check(config: Config, path: str) -> list[Fault]:
    return unknown_keys(config, (), path)


def _targets(config: Config) -> dict[str, str]:
    return {}


def _build(id: str, position: int, next: int, config: Config, resolve: Resolve) -> EndStep:
    return EndStep(id, position)


END_STEP = ControlStep("end", _check, _targets, _build, goes_on=lambda config: False)
