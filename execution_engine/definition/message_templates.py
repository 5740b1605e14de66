"""Puts message templates into the steps that name them; whoever validates or publishes a document asks first.

A step's `template: welcome` takes the template's newest version, `template: welcome@3` that one. What its own
config says goes before the template. In the published version the step names the version it was made with,
and its config is whole: nothing is looked up when it runs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from execution_engine.definition.document import Document
from execution_engine.definition.faults import Fault

_NAME = re.compile(r"([a-z0-9][a-z0-9_-]{0,63})(?:@([1-9][0-9]{0,8}))?")
Name = tuple[str, int]
"""Key and version; 0: the newest."""


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """One version of a template."""

    key: str
    version: int
    action_type: str
    content: Mapping[str, Any]


def named(document: Document) -> list[Name]:
    """The templates that a document's steps name."""
    return [name for step in _steps(document) if (name := _name(step.get("template"))) is not None]


def expanded(document: Document, known: Mapping[Name, MessageTemplate]) -> tuple[Document, list[Fault]]:
    """The document with its templates put in, and what is wrong with how they are named."""
    steps = _steps(document)
    if not any("template" in step for step in steps):
        return document, []
    faults: list[Fault] = []
    whole: list[Any] = []
    for place, step in enumerate(document.data["steps"]):
        if not isinstance(step, dict) or "template" not in step:
            whole.append(step)
            continue
        made, fault = expanded_step(step, known)
        if fault is not None:
            faults.append(Fault(f"steps[{place}].template", fault.rule, fault.message))
        whole.append(made)
    return Document({**document.data, "steps": whole}, document.positions), faults


def expanded_step(
    step: Mapping[str, Any], known: Mapping[Name, MessageTemplate]
) -> tuple[dict[str, Any], Fault | None]:
    """One step with its template put in; if that cannot be, the step without it, and why."""
    bare = {key: value for key, value in step.items() if key != "template"}
    name = _name(step["template"])
    if name is None:
        return bare, Fault("template", "pattern", "must be a template's key, or KEY@VERSION")
    found = known.get(name)
    if found is None:
        return bare, Fault("template", "unknown_template", f"there is no template {step['template']!r}")
    if found.action_type != step.get("type"):
        text = f"the template is for {found.action_type}, not for {step.get('type')}"
        return bare, Fault("template", "other_type", text)
    config = step.get("config")
    own = config if isinstance(config, dict) else {}
    return {**bare, "template": f"{found.key}@{found.version}", "config": {**found.content, **own}}, None


def _steps(document: Document) -> Sequence[Mapping[str, Any]]:
    data = document.data
    steps = data.get("steps") if isinstance(data, dict) else None
    return [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []


def _name(given: object) -> Name | None:
    found = _NAME.fullmatch(given) if isinstance(given, str) else None
    return (found[1], int(found[2] or 0)) if found is not None else None
