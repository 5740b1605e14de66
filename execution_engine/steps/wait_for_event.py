"""`wait_for_event`: until one of some events, or the timeout; the first wins, once.

Config {event | events, match, filter, look_back, timeout, on_event, on_timeout}. `match` may hold merge
fields. An event that arrived before the wait began counts if it came after the look-back: a duration, or
`last_action` (default: since the action before it began) or `start` (since the execution began).
"""

from execution_engine.definition import durations, patterns
from execution_engine.definition.faults import Fault
from execution_engine.definition.program import WaitForEventStep
from execution_engine.steps.control import (
    Config,
    ControlStep,
    Resolve,
    not_duration,
    not_text,
    required,
    unknown_keys,
)

_KEYS = (*patterns.KEYS, "look_back", "timeout", "on_event", "on_timeout")
_LONGEST_S = 366 * 86_400.0
_LOOK_BACKS = ("last_action", "start")


def _check(config: Config, path: str) -> list[Fault]:
    faults = unknown_keys(config, _KEYS, path) + required(config, ("timeout",), path)
    faults += patterns.check(config, path, templates=True)
    faults += not_text(config, ("on_event", "on_timeout"), path)
    faults += not_duration(config, "timeout", _LONGEST_S, path)
    if config.get("look_back") not in _LOOK_BACKS:
        faults += not_duration(config, "look_back", 30 * 86_400.0, path)
    return faults


def _targets(config: Config) -> dict[str, str]:
    return {key: config[key] for key in ("on_event", "on_timeout") if isinstance(config.get(key), str)}


def _goes_on(config: Config) -> bool:
    return not ("on_event" in config and "on_timeout" in config)


def _build(id: str, position: int, next: int, config: Config, resolve: Resolve) -> WaitForEventStep:
    look_back = config.get("look_back", "last_action")
    return WaitForEventStep(
        id,
        position,
        next,
        patterns.build(config),
        look_back if look_back in _LOOK_BACKS else "",
        0.0 if look_back in _LOOK_BACKS else durations.seconds(look_back),
        durations.seconds(config["timeout"]),
        resolve(config["on_event"]) if "on_event" in config else next,
        resolve(config["on_timeout"]) if "on_timeout" in config else next,
    )


WAIT_FOR_EVENT = ControlStep(
    "wait_for_event", _check, _targets, _build, goes_on=_goes_on, reads=patterns.reads
)
