"""Changes a workflow document step by step: add, update, remove, reorder; pure. The API keeps the result.

Links stay right: what named a removed step names the one that followed it, and the caller is told.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from execution_engine.definition.faults import Fault
from execution_engine.definition.validate import MAX_STEPS, STEP_ID
from execution_engine.errors import InvalidValue, NotFound, StepLimit, WorkflowInvalid
from execution_engine.steps.registry import CONTROL_STEPS

Document = dict[str, Any]
_PLACE = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
FIELDS = ("type", "config", "next", "on_error", "on_unknown", "retry", "timeout", "disabled")


@dataclass(frozen=True, slots=True)
class Edited:
    """The document after an edit, which step it was about, and links that were mended: path → new target."""

    document: Document
    step_id: str
    relinked: Mapping[str, str] = field(default_factory=dict)


def add(document: Document, step: Mapping[str, Any], position: int) -> Edited:
    """Adds a step at a 1-based position, 0 for the end; it gets an id if it has none.

    Raises StepLimit, InvalidValue.
    """
    changed = copy.deepcopy(document)
    steps = changed["steps"]
    if len(steps) >= MAX_STEPS:
        raise StepLimit(MAX_STEPS)
    if not 0 <= position <= len(steps) + 1:
        raise InvalidValue("position", "range", f"must be from 1 to {len(steps) + 1}, or 0 for the end")
    ids = {one["id"] for one in steps}
    name = step.get("id") or _new_id(str(step.get("type", "step")), ids)
    if not isinstance(name, str) or not STEP_ID.match(name) or name == "end":
        raise InvalidValue("step.id", "pattern", "must be a letter, then letters, digits, _ -; not 'end'")
    if name in ids:
        raise InvalidValue("step.id", "duplicate", f"there is a step {name!r} already")
    _known(step)
    place = position - 1 if position else len(steps)
    steps.insert(place, {"id": name, **{key: value for key, value in step.items() if key != "id"}})
    return Edited(changed, name)


def update(document: Document, step_id: str, changes: Mapping[str, Any], paths: Sequence[str]) -> Edited:
    """Sets the named fields of a step, "*" for all; one named and not given is removed.

    Raises NotFound, InvalidValue.
    """
    changed = copy.deepcopy(document)
    step = changed["steps"][place_of(changed, step_id)]
    for path in FIELDS if list(paths) == ["*"] else paths:
        if path not in FIELDS:
            raise InvalidValue(
                "update_mask", "path", f"{path!r} cannot be updated (there are {', '.join(FIELDS)})"
            )
        if path in changes:
            step[path] = changes[path]
        elif path == "type":
            raise InvalidValue("step.type", "missing", "is required")
        else:
            step.pop(path, None)
    return Edited(changed, step_id)


def remove(document: Document, step_id: str) -> Edited:
    """Takes a step out; links to it lead to what followed it. Raises NotFound, InvalidValue."""
    changed = copy.deepcopy(document)
    steps = changed["steps"]
    place = place_of(changed, step_id)
    if len(steps) == 1:
        raise InvalidValue("step_id", "last", "a workflow has at least one step")
    follows = steps[place].get("next") or (steps[place + 1]["id"] if place + 1 < len(steps) else "end")
    if follows == step_id:
        follows = "end"
    del steps[place]
    relinked: dict[str, str] = {}
    for at, step in enumerate(steps):
        for path in _links_to(step, step_id):
            _set(step, path, follows)
            relinked[f"steps[{at}].{path}"] = follows
    goal = (changed.get("settings") or {}).get("goal") or {}
    if goal.get("go_to") == step_id:
        goal["go_to"] = follows
        relinked["settings.goal.go_to"] = follows
    return Edited(changed, step_id, relinked)


def reorder(document: Document, order: Sequence[str]) -> Edited:
    """Puts the steps in the order of the ids, each once. Raises InvalidValue."""
    changed = copy.deepcopy(document)
    by_id = {step["id"]: step for step in changed["steps"]}
    if sorted(order) != sorted(by_id):
        raise InvalidValue("step_ids", "permutation", "must name each step of the workflow once")
    changed["steps"] = [by_id[name] for name in order]
    return Edited(changed, "")


def place_of(document: Mapping[str, Any], step_id: str) -> int:
    """0-based position of a step. Raises NotFound."""
    for place, step in enumerate(document["steps"]):
        if step["id"] == step_id:
            return place
    raise NotFound("step", step_id)


def _known(step: Mapping[str, Any]) -> None:
    unknown = sorted(set(step) - {"id", *FIELDS})
    if unknown:
        raise WorkflowInvalid(
            [Fault(f"step.{name}", "unknown_key", f"there is no {name!r} here") for name in unknown]
        )


def _new_id(kind: str, taken: set[str]) -> str:
    base = kind if STEP_ID.match(kind) and kind != "end" else "step"
    return next(
        name for n in range(1, MAX_STEPS + 2) if (name := base if n == 1 else f"{base}_{n}") not in taken
    )


def _links_to(step: Mapping[str, Any], target: str) -> list[str]:
    """Paths within the step that name `target`."""
    found = ["next"] if step.get("next") == target else []
    on_error = step.get("on_error")
    if isinstance(on_error, dict) and on_error.get("go_to") == target:
        found.append("on_error.go_to")
    control = CONTROL_STEPS.get(step["type"])
    if control is not None:
        named = control.targets(step.get("config", {}))
        found += [f"config.{path}" for path, name in named.items() if name == target]
    return found


def _set(step: dict[str, Any], path: str, value: str) -> None:
    """Sets what a path like config.cases[0].then names."""
    parts: list[str | int] = [name or int(number) for name, number in _PLACE.findall(path)]
    inner: Any = step
    for part in parts[:-1]:
        inner = inner[part]
    inner[parts[-1]] = value
