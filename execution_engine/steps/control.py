"""What a control step's file provides; the registry and validate/compile use it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from execution_engine.definition.faults import Fault
from execution_engine.definition.program import Step

Resolve = Callable[[str], int]
"""Position of a step id, or END."""


@dataclass(frozen=True, slots=True)
class ControlStep:
    """One type of control step.

    `check(config, path)` gives every fault; `targets(config)` the step ids its config names with their
    keys; `build(id, position, next, config, resolve)` the compiled step. `goes_on`: whether it
    continues at `next`.
    """

    type: str
    check: Callable[[Mapping[str, Any], str], list[Fault]]
    targets: Callable[[Mapping[str, Any]], dict[str, str]]
    build: Callable[[str, int, int, Mapping[str, Any], Resolve], Step]
    goes_on: bool


def unknown_keys(config: Mapping[str, Any], known: tuple[str, ...], path: str) -> list[Fault]:
    """A fault for each key that the step does not have."""
    return [
        Fault(
            f"{path}.{key}",
            "unknown_key",
            f"there is no {key!r} here (there are {', '.join(known) or 'none'})",
        )
        for key in config
        if key not in known
    ]
