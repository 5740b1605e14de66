"""What leads where in a workflow's document, as a graph to draw; flow_layout.py gives it places. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

START: Final = "\x00start"
END: Final = "\x00end"
_BRANCHING: Final = frozenset({"if", "switch", "split", "end"})
_WAITS: Final = frozenset({"wait_time", "wait_until_date", "wait_until_time", "wait_for_event"})
_CONTROL: Final = frozenset({"if", "switch", "split", "go_to", "goal"})


@dataclass(frozen=True, slots=True)
class Step:
    """One box. `kind`: "action", "wait", "branch", "start" or "end"; `hint`: its config in short."""

    id: str
    type: str
    kind: str
    hint: str = ""
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """One arrow. `error`: it is taken when the step fails."""

    source: str
    target: str
    label: str = ""
    error: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """A workflow's steps in the order of its document, between a start and an end."""

    steps: tuple[Step, ...]
    links: tuple[Link, ...]


def graph_of(document: Mapping[str, Any]) -> Graph:
    """The graph of a document, as canonical JSON has it. A link that leads nowhere leads to the end."""
    listed = document.get("steps") or []
    known = {step["id"] for step in listed}
    steps = [Step(START, "", "start", _triggers(document))]
    links = [Link(START, listed[0]["id"] if listed else END)]
    for place, step in enumerate(listed):
        config = step.get("config") or {}
        steps.append(
            Step(
                step["id"],
                step["type"],
                _kind(step["type"]),
                _hint(step["type"], config),
                bool(step.get("disabled")),
            )
        )
        following = listed[place + 1]["id"] if place + 1 < len(listed) else END
        for link in _links(step, config, following):
            target = link.target if link.target in known else END
            links.append(Link(link.source, target, link.label, link.error))
    if any(link.target == END for link in links):
        steps.append(Step(END, "", "end"))
    return Graph(tuple(steps), tuple(dict.fromkeys(links)))


def _kind(type_: str) -> str:
    if type_ in _WAITS:
        return "wait"
    if type_ == "end":
        return "end"
    return "branch" if type_ in _CONTROL else "action"


def _links(step: Mapping[str, Any], config: Mapping[str, Any], following: str) -> Iterator[Link]:
    source, type_ = step["id"], step["type"]
    onward = step.get("next") or following
    if type_ == "if":
        yield Link(source, config.get("then", END), "yes")
        yield Link(source, config.get("else", END), "no")
    elif type_ == "switch":
        for case in config.get("cases", ()):
            yield Link(source, case.get("then", END), _cut(str(case.get("condition", "")), 28))
        yield Link(source, config.get("else", END), "else")
    elif type_ == "split":
        for branch in config.get("branches", ()):
            yield Link(source, branch.get("then", END), f"{branch.get('percent')} %")
    elif type_ == "wait_for_event":
        yield Link(source, config.get("on_event", onward), "event")
        yield Link(source, config.get("on_timeout", onward), "timeout")
    elif type_ == "go_to":
        yield Link(
            source, config.get("step", END), f"at most {config['limit']}×" if "limit" in config else ""
        )
        if "limit" in config:
            yield Link(source, onward, "then")
    elif type_ not in _BRANCHING:
        yield Link(source, onward)
    fallback = step.get("on_error")
    if isinstance(fallback, dict) and "go_to" in fallback:
        yield Link(source, fallback["go_to"], "on error", error=True)


def _triggers(document: Mapping[str, Any]) -> str:
    triggers = (document.get("settings") or {}).get("triggers") or []
    names = [str(t.get("event") or next(iter(t.values()), "")) for t in triggers if isinstance(t, dict)]
    return _cut(", ".join(names), 28)


_MERGED: Final = re.compile(r"\{\{\s*(?:[a-z]+\.)*(\w+)[^}]*\}\}")
"""A merge field; shown by its last name."""
_HINTS: Final = {
    "if": ("condition",),
    "wait_until_date": ("date",),
    "wait_until_time": ("time",),
    "wait_for_event": ("event", "events"),
    "goal": ("event", "events"),
    "send_email": ("subject", "template"),
    "send_sms": ("body", "template"),
    "add_tag": ("tag",),
    "remove_tag": ("tag",),
    "webhook_call": ("url",),
    "create_task": ("title",),
}


def _hint(type_: str, config: Mapping[str, Any]) -> str:
    if type_ == "wait_time":
        unit = str(config.get("unit", "")).replace("_", " ")
        return f"{config.get('amount')} {unit.removesuffix('s') if config.get('amount') == 1 else unit}"
    for name in _HINTS.get(type_, ()):
        if config.get(name):
            value = config[name]
            return _cut(", ".join(value) if isinstance(value, list) else _MERGED.sub(r"‹\1›", str(value)), 30)
    return ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
