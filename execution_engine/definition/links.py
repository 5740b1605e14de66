"""Where the steps of a stored document lead, without compiling it; retries and migrations ask."""

from collections.abc import Mapping
from typing import Any

from execution_engine.definition.program import END
from execution_engine.steps.registry import CONTROL_STEPS

_NOT_FOLLOWED = frozenset({"if", "switch", "split", "end"})


def place_of(data: Mapping[str, Any], step_id: str) -> int | None:
    """Position of a step, or None."""
    return next((place for place, step in enumerate(data["steps"]) if step["id"] == step_id), None)


def landing(data: Mapping[str, Any], place: int) -> int:
    """Where a jump to `place` really lands: past actions that are disabled."""
    steps = data["steps"]
    while place != END and steps[place].get("disabled") and steps[place]["type"] not in CONTROL_STEPS:
        place = _next(data, place)
    return place


def following(data: Mapping[str, Any], place: int) -> int | None:
    """Where a step goes on when it is skipped; None for one that only branches."""
    if data["steps"][place]["type"] in _NOT_FOLLOWED:
        return None
    return landing(data, _next(data, place))


def _next(data: Mapping[str, Any], place: int) -> int:
    named = data["steps"][place].get("next")
    if named is None:
        return place + 1 if place + 1 < len(data["steps"]) else END
    found = place_of(data, named)
    return END if found is None else found
