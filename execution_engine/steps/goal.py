"""`goal`: an event that pulls a contact here from any earlier step.

Config {event | events, match, filter, otherwise}. Who gets here without it
continues (default) or ends, as `otherwise` says.
"""

from execution_engine.definition import patterns
from execution_engine.definition.faults import Fault
from execution_engine.definition.program import GoalStep
from execution_engine.steps.control import Config, ControlStep, Resolve, not_among, unknown_keys


def _check(config: Config, path: str) -> list[Fault]:
    faults = unknown_keys(config, (*patterns.KEYS, "otherwise"), path)
    faults += patterns.check(config, path, templates=False)
    return faults + not_among(config, "otherwise", ("continue", "end"), path)


def _targets(config: Config) -> dict[str, str]:
    return {}


def _build(id: str, position: int, next: int, config: Config, resolve: Resolve) -> GoalStep:
    return GoalStep(id, position, next, config.get("otherwise", "continue") == "end")


GOAL = ControlStep("goal", _check, _targets, _build)
