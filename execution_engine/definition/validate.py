"""Every fault of a document at once, with its path; compile.py builds only what passes here.

Configs of actions are checked by their executors (`action_configs` lists them for the API): here
it is the document's own shape, the steps' links, and every expression and merge field.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any
from zoneinfo import available_timezones

from execution_engine.calendar.rules import business_hours_of, holidays_of
from execution_engine.definition import durations, triggers
from execution_engine.definition.document import Document
from execution_engine.definition.faults import Fault
from execution_engine.definition.program import Catalogue
from execution_engine.definition.templates import ConfigTemplate, TemplateInvalid
from execution_engine.sending import rules
from execution_engine.steps.registry import CONTROL_STEPS

MAX_STEPS = 50
KEY = re.compile(r"^[a-z0-9][a-z0-9_.-]{0,99}$")
STEP_ID = re.compile(r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
_TOP = ("key", "name", "description", "settings", "steps")
_SETTINGS = (
    "time_zone",
    "dedup_window",
    "reentry",
    "retry",
    "business_hours",
    "holidays",
    "goal",
    "exits",
    "triggers",
    "quiet_hours",
    "send_window",
)
_RETRY = ("max_retries", "base", "cap", "jitter")
_STEP = (
    "id",
    "type",
    "template",
    "config",
    "next",
    "on_error",
    "on_unknown",
    "retry",
    "timeout",
    "disabled",
)
_CONTROL_KEYS = ("id", "type", "config", "next")
_LONGEST_TIMEOUT_S = 3_600.0


def validate(document: Document, catalogue: Catalogue) -> list[Fault]:
    """All faults in order of the document, each with its line and column where it has one."""
    checker = _Checker(document.data, catalogue)
    checker.check()
    return [_placed(fault, document.positions) for fault in checker.faults]


def validate_step(step: Mapping[str, Any], catalogue: Catalogue) -> list[Fault]:
    """Faults of one step by itself, their paths within it; where it leads is the document's affair."""
    checker = _Checker({}, catalogue)
    checker.step({"id": "step", **step}, "step", links=False)
    return [replace(fault, path=fault.path.removeprefix("step.")) for fault in checker.faults]


def action_configs(document: Document, catalogue: Catalogue) -> list[tuple[str, str, dict[str, Any]]]:
    """(path of config, action type, config) of each action of a known type, for its executor to check."""
    steps = document.data.get("steps") if isinstance(document.data, dict) else None
    found = []
    for place, step in enumerate(steps if isinstance(steps, list) else []):
        if isinstance(step, dict) and step.get("type") in catalogue.types:
            config = step.get("config", {})
            if isinstance(config, dict):
                found.append((f"steps[{place}].config", str(step["type"]), config))
    return found


def placed(faults: list[Fault], document: Document) -> list[Fault]:
    """The same faults with the line and column of their path, for those found elsewhere."""
    return [_placed(fault, document.positions) for fault in faults]


def _placed(fault: Fault, positions: Mapping[str, tuple[int, int]]) -> Fault:
    path = fault.path
    while path and path not in positions:
        cut = max(path.rfind("."), path.rfind("["))
        path = path[:cut] if cut > 0 else ""
    line, column = positions.get(path, (1, 1))
    return replace(fault, line=line, column=column)


class _Checker:
    def __init__(self, data: Any, catalogue: Catalogue) -> None:
        self.data = data
        self.catalogue = catalogue
        self.faults: list[Fault] = []
        self.ids: dict[str, int] = {}

    def fault(self, path: str, rule: str, message: str) -> None:
        self.faults.append(Fault(path, rule, message))

    def check(self) -> None:
        if not isinstance(self.data, dict):
            self.fault("", "type", "must be a mapping with key and steps")
            return
        self.keys(self.data, _TOP, "")
        key = self.data.get("key")
        if not isinstance(key, str) or not KEY.match(key):
            rule = "missing" if key is None else "pattern"
            self.fault("key", rule, "is required: small letters, digits, _ . -, at most 100")
        for name, most in (("name", 200), ("description", 2_000)):
            self.text(self.data, name, "", most)
        if "settings" in self.data:
            self.settings(self.data["settings"])
        self.steps(self.data.get("steps"))

    def keys(self, given: Mapping[str, Any], known: tuple[str, ...], path: str) -> None:
        for key in given:
            if key not in known:
                near = get_close_matches(key, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f" (there are {', '.join(known)})"
                self.fault(f"{path}.{key}" if path else key, "unknown_key", f"there is no {key!r} here{hint}")

    def text(self, given: Mapping[str, Any], key: str, path: str, most: int) -> None:
        value = given.get(key)
        if value is not None and (not isinstance(value, str) or len(value) > most):
            self.fault(f"{path}.{key}" if path else key, "type", f"must be text of at most {most} characters")

    def duration(self, value: Any, path: str, longest_s: float) -> None:
        try:
            if durations.seconds(value) > longest_s:
                self.fault(path, "range", f"must be at most {longest_s:g} s")
        except ValueError as error:
            self.fault(path, "duration", str(error))

    def settings(self, settings: Any) -> None:
        if not isinstance(settings, dict):
            self.fault("settings", "type", "must be a mapping")
            return
        self.keys(settings, _SETTINGS, "settings")
        zone = settings.get("time_zone")
        if zone is not None and zone not in available_timezones():
            self.fault("settings.time_zone", "time_zone", f"{zone!r} is not an IANA time zone")
        if "dedup_window" in settings:
            self.duration(settings["dedup_window"], "settings.dedup_window", 86_400.0)
        if settings.get("reentry", "after_exit") not in ("never", "after_exit", "always"):
            self.fault("settings.reentry", "choice", "must be one of never, after_exit, always")
        if "retry" in settings:
            self.retry(settings["retry"], "settings.retry")
        for name, read in (("business_hours", business_hours_of), ("holidays", holidays_of)):
            if name in settings:
                try:
                    read(settings[name])
                except (ValueError, TypeError, AttributeError) as error:
                    self.fault(f"settings.{name}", name, str(error))
        self.faults += rules.faults(rules.of_workflow(settings), "settings") + triggers.check(settings)

    def retry(self, retry: Any, path: str) -> None:
        if not isinstance(retry, dict):
            self.fault(path, "type", "must be a mapping")
            return
        self.keys(retry, _RETRY, path)
        most = retry.get("max_retries", 0)
        if not isinstance(most, int) or isinstance(most, bool) or not 0 <= most <= 100:
            self.fault(f"{path}.max_retries", "range", "must be a whole number from 0 to 100")
        for name in ("base", "cap"):
            if name in retry:
                self.duration(retry[name], f"{path}.{name}", 7 * 86_400.0)
        jitter = retry.get("jitter", 0)
        if not isinstance(jitter, int | float) or isinstance(jitter, bool) or not 0 <= jitter <= 1:
            self.fault(f"{path}.jitter", "range", "must be a number from 0 to 1")

    def steps(self, steps: Any) -> None:
        if not isinstance(steps, list) or not steps:
            self.fault("steps", "missing" if steps is None else "type", "must be a list of at least one step")
            return
        if len(steps) > MAX_STEPS:
            self.fault("steps", "too_many", f"has {len(steps)} steps; at most {MAX_STEPS} are allowed")
            return
        for place, step in enumerate(steps):
            self.identity(step, f"steps[{place}]", place)
        for place, step in enumerate(steps):
            if isinstance(step, dict):
                self.step(step, f"steps[{place}]")
        settings = self.data.get("settings")
        goal = settings.get("goal") if isinstance(settings, dict) else None
        if isinstance(goal, dict) and "go_to" in goal:
            self.target(goal["go_to"], "settings.goal.go_to")
        if not self.faults:
            self.flow(steps)

    def identity(self, step: Any, path: str, place: int) -> None:
        if not isinstance(step, dict):
            self.fault(path, "type", "must be a mapping")
            return
        step_id = step.get("id")
        if not isinstance(step_id, str) or not STEP_ID.match(step_id) or step_id == "end":
            rule = "missing" if step_id is None else "pattern"
            self.fault(f"{path}.id", rule, "is required: a letter, then letters, digits, _ -; not 'end'")
        elif step_id in self.ids:
            self.fault(f"{path}.id", "duplicate", f"{step_id!r} is also the id of steps[{self.ids[step_id]}]")
        else:
            self.ids[step_id] = place

    def step(self, step: Mapping[str, Any], path: str, *, links: bool = True) -> None:
        kind = step.get("type")
        config = step.get("config", {})
        if not isinstance(config, dict):
            self.fault(f"{path}.config", "type", "must be a mapping")
            config = {}
        if not isinstance(kind, str):
            self.fault(f"{path}.type", "missing" if kind is None else "type", "is required")
        elif kind in CONTROL_STEPS:
            self.keys(step, _CONTROL_KEYS, path)
            control = CONTROL_STEPS[kind]
            self.faults += control.check(config, f"{path}.config")
            for key, target in control.targets(config).items() if links else ():
                self.target(target, f"{path}.config.{key}")
        else:
            self.keys(step, _STEP, path)
            self.action(kind, step, config, path, links=links)
        if "next" in step and links:
            self.target(step["next"], f"{path}.next")

    def action(
        self, kind: str, step: Mapping[str, Any], config: Mapping[str, Any], path: str, *, links: bool
    ) -> None:
        if kind not in self.catalogue.types:
            near = get_close_matches(kind, [*self.catalogue.types, *CONTROL_STEPS], 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            self.fault(f"{path}.type", "unknown_type", f"no executor serves {kind!r}{hint}")
        try:
            ConfigTemplate.compile(config)
        except TemplateInvalid as error:
            self.fault(f"{path}.config", "template", str(error))
        on_error = step.get("on_error", "retry")
        if isinstance(on_error, dict) and set(on_error) == {"go_to"}:
            if links:
                self.target(on_error["go_to"], f"{path}.on_error.go_to")
        elif on_error not in ("retry", "skip", "fail"):
            self.fault(f"{path}.on_error", "choice", "must be retry, skip, fail or {go_to: STEP}")
        if step.get("on_unknown", "continue") not in ("continue", "fail", "hold"):
            self.fault(f"{path}.on_unknown", "choice", "must be continue, fail or hold")
        if "retry" in step:
            self.retry(step["retry"], f"{path}.retry")
        if "timeout" in step:
            self.duration(step["timeout"], f"{path}.timeout", _LONGEST_TIMEOUT_S)
        if not isinstance(step.get("disabled", False), bool):
            self.fault(f"{path}.disabled", "type", "must be true or false")

    def target(self, target: Any, path: str) -> None:
        if target != "end" and target not in self.ids:
            near = get_close_matches(str(target), list(self.ids), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            self.fault(path, "unknown_step", f"there is no step {target!r}{hint}")

    # Links between steps; only looked at when each step is sound by itself

    def flow(self, steps: list[dict[str, Any]]) -> None:
        onward = [self.onward(steps, place, bounded=False) for place in range(len(steps))]
        path = next((found for place in range(len(steps)) if (found := _walk(onward, [place])[1])), [])
        if path:
            named = " → ".join(steps[place]["id"] for place in path)
            self.fault(f"steps[{path[-2]}]", "cycle", f"the steps go in a circle without a limit: {named}")
            return
        ways = [self.onward(steps, place, bounded=True) for place in range(len(steps))]
        reached = _reached(ways, self.entrances(steps))
        for place, step in enumerate(steps):
            if place not in reached:
                self.fault(f"steps[{place}]", "unreachable", f"no way leads to {step['id']!r}")
        self.references(steps, ways)

    def entrances(self, steps: list[dict[str, Any]]) -> list[int]:
        """Where a run may come in: the first step, and where goals pull it to."""
        goal = (self.data.get("settings") or {}).get("goal") or {}
        pulled = [self.ids[goal["go_to"]]] if goal.get("go_to", "end") != "end" else []
        return [0, *pulled, *(place for place, step in enumerate(steps) if step["type"] == "goal")]

    def onward(self, steps: list[dict[str, Any]], place: int, *, bounded: bool) -> list[int]:
        """Positions that may follow; the end is left out, and jumps with a limit unless `bounded`."""
        step = steps[place]
        config = step.get("config", {})
        control = CONTROL_STEPS.get(step["type"])
        taken = control is not None and (bounded or not control.bounded(config))
        names = list(control.targets(config).values()) if control is not None and taken else []
        if control is None or control.goes_on(config):
            following = steps[place + 1]["id"] if place + 1 < len(steps) else "end"
            names.append(step.get("next", following))
        on_error = step.get("on_error")
        if isinstance(on_error, dict):
            names.append(on_error["go_to"])
        return [self.ids[name] for name in names if name != "end"]

    def references(self, steps: list[dict[str, Any]], onward: list[list[int]]) -> None:
        """What reads a step's output must be able to come after it."""
        after = [_reached(onward, onward[place]) for place in range(len(steps))]
        for place, step in enumerate(steps):
            for name in sorted(_steps_read(step)):
                if name not in self.ids:
                    self.fault(
                        f"steps[{place}].config", "unknown_step", f"reads steps.{name}, which is not there"
                    )
                elif place not in after[self.ids[name]]:
                    self.fault(
                        f"steps[{place}].config",
                        "not_before",
                        f"reads steps.{name}, which cannot have run before",
                    )


def _steps_read(step: Mapping[str, Any]) -> frozenset[str]:
    config = step.get("config", {})
    control = CONTROL_STEPS.get(step["type"])
    return control.reads(config) if control is not None else ConfigTemplate.compile(config).steps


def _walk(onward: list[list[int]], trail: list[int]) -> tuple[set[int], list[int]]:
    """Positions reached from the end of `trail`, and a circle among them if there is one."""
    reached: set[int] = set(trail)

    def visit(place: int) -> list[int]:
        for target in onward[place]:
            if target in trail:
                return [*trail[trail.index(target) :], target]
            if target in reached:
                continue
            reached.add(target)
            trail.append(target)
            if circle := visit(target):
                return circle
            trail.pop()
        return []

    return reached, visit(trail[-1])


def _reached(onward: list[list[int]], starts: list[int]) -> set[int]:
    """Positions reached from the starts, they themselves included."""
    reached, ahead = set(starts), list(starts)
    while ahead:
        for target in onward[ahead.pop()]:
            if target not in reached:
                reached.add(target)
                ahead.append(target)
    return reached
