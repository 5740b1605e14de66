"""What a control step's file provides; the registry and validate/compile use it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from execution_engine.definition import durations
from execution_engine.definition.conditions import ROOTS, Condition, ConditionInvalid
from execution_engine.definition.faults import Fault
from execution_engine.definition.program import Step

Config = Mapping[str, Any]
Resolve = Callable[[str], int]
"""Position of a step id, or END."""


def _always(config: Config) -> bool:
    return True


def _nothing(config: Config) -> frozenset[str]:
    return frozenset()


def _never(config: Config) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class ControlStep:
    """One type of control step.

    `check(config, path)` gives every fault; `targets(config)` the step ids its config names, by their
    path in it; `build(id, position, next, config, resolve)` the compiled step. `goes_on(config)`:
    whether it may continue at `next`; `bounded(config)`: whether its targets are taken only so many
    times; `reads(config)`: ids of the steps whose outputs it reads.
    """

    type: str
    check: Callable[[Config, str], list[Fault]]
    targets: Callable[[Config], dict[str, str]]
    build: Callable[[str, int, int, Config, Resolve], Step]
    goes_on: Callable[[Config], bool] = _always
    bounded: Callable[[Config], bool] = _never
    reads: Callable[[Config], frozenset[str]] = _nothing


def unknown_keys(config: Config, known: tuple[str, ...], path: str) -> list[Fault]:
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


def required(config: Config, keys: tuple[str, ...], path: str) -> list[Fault]:
    """A fault for each of the keys that is missing."""
    return [Fault(f"{path}.{key}", "missing", f"{key!r} is required") for key in keys if key not in config]


def not_text(config: Config, keys: tuple[str, ...], path: str) -> list[Fault]:
    """A fault for each of the keys that is there and is not text."""
    return [
        Fault(f"{path}.{key}", "type", "must be text")
        for key in keys
        if key in config and not isinstance(config[key], str)
    ]


def not_among(config: Config, key: str, choices: tuple[str, ...], path: str) -> list[Fault]:
    """A fault if the key is there with another value than the choices."""
    if key not in config or config[key] in choices:
        return []
    return [Fault(f"{path}.{key}", "choice", f"must be one of {', '.join(choices)}")]


def not_whole(config: Config, key: str, least: int, most: int, path: str) -> list[Fault]:
    """A fault if the key is there and is not a whole number in the range."""
    value = config.get(key, least)
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return []
    return [Fault(f"{path}.{key}", "range", f"must be a whole number from {least} to {most}")]


def not_duration(config: Config, key: str, longest_s: float, path: str) -> list[Fault]:
    """A fault if the key is there and is no duration, or a longer one."""
    if key not in config:
        return []
    try:
        if durations.seconds(config[key]) <= longest_s:
            return []
    except ValueError as error:
        return [Fault(f"{path}.{key}", "duration", str(error))]
    return [Fault(f"{path}.{key}", "range", f"must be at most {longest_s / 86_400:g} days")]


def not_condition(value: Any, path: str, roots: tuple[str, ...] = ROOTS) -> list[Fault]:
    """A fault if the value is no condition."""
    if not isinstance(value, str):
        return [Fault(path, "type", "must be text")]
    try:
        Condition.compile(value, roots)
    except ConditionInvalid as error:
        return [Fault(path, "expression", str(error))]
    return []


def condition_reads(texts: list[Any]) -> frozenset[str]:
    """Ids of the steps whose outputs the conditions read; none for one that does not compile."""
    found: set[str] = set()
    for text in texts:
        try:
            found |= Condition.compile(text).steps if isinstance(text, str) else frozenset()
        except ConditionInvalid:
            continue
    return frozenset(found)
