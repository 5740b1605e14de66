"""`go_to`: jumps to another step, at most `limit` times, then goes on; config {step, limit}.

A jump back needs a limit: without one the steps could go in a circle for ever.
"""

from execution_engine.definition.faults import Fault
from execution_engine.definition.program import GoToStep
from execution_engine.steps.control import (
    Config,
    ControlStep,
    Resolve,
    not_text,
    not_whole,
    required,
    unknown_keys,
)

_MOST_JUMPS = 1_000


def _check(config: Config, path: str) -> list[Fault]:
    faults = unknown_keys(config, ("step", "limit"), path) + required(config, ("step",), path)
    faults += not_text(config, ("step",), path)
    return faults + (not_whole(config, "limit", 1, _MOST_JUMPS, path) if "limit" in config else [])


def _targets(config: Config) -> dict[str, str]:
    return {"step": config["step"]} if isinstance(config.get("step"), str) else {}


def _limited(config: Config) -> bool:
    return "limit" in config


def _build(id: str, position: int, next: int, config: Config, resolve: Resolve) -> GoToStep:
    return GoToStep(id, position, next, resolve(config["step"]), config["step"], config.get("limit", 0))


GO_TO = ControlStep("go_to", _check, _targets, _build, goes_on=_limited, bounded=_limited)
