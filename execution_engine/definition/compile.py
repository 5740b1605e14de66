"""From a valid document to the program that runs, and to the canonical JSON that is stored of it."""

from collections.abc import Mapping
from typing import Any

import orjson

from execution_engine.calendar.rules import business_hours_of, holidays_of
from execution_engine.definition import durations
from execution_engine.definition.document import Document
from execution_engine.definition.program import (
    END,
    ActionStep,
    ActionTypeInfo,
    Catalogue,
    IfStep,
    OnError,
    OnUnknown,
    Program,
    Settings,
    Step,
    SwitchStep,
    WaitForEventStep,
    WaitUntilDateStep,
)
from execution_engine.definition.reading import forecast, reads_contact
from execution_engine.definition.templates import ConfigTemplate
from execution_engine.definition.validate import validate
from execution_engine.errors import WorkflowInvalid
from execution_engine.model import Reentry
from execution_engine.sending.channels import CHANNELS
from execution_engine.sending.rules import of_workflow
from execution_engine.steps.registry import CONTROL_STEPS


def canonical_json(document: Document) -> bytes:
    """What is stored of a document: JSON in its own order, without comments and positions."""
    return orjson.dumps(document.data)


def load_document(stored: bytes) -> Document:
    """A stored document again."""
    return Document(orjson.loads(stored), {})


def compile_program(document: Document, catalogue: Catalogue) -> Program:
    """The program of a document. Raises WorkflowInvalid with every fault."""
    faults = validate(document, catalogue)
    if faults:
        raise WorkflowInvalid(faults)
    return _Compiler(document.data, catalogue).program()


def settings_of(data: Mapping[str, Any]) -> Settings:
    """The settings of a valid document, with the defaults of what it leaves out."""
    given = data.get("settings") or {}
    retry = given.get("retry") or {}
    default = Settings()
    return Settings(
        time_zone=given.get("time_zone", ""),
        dedup_window_ms=round(durations.seconds(given.get("dedup_window", "5s")) * 1000),
        reentry=Reentry[given.get("reentry", "after_exit").upper()],
        max_retries=retry.get("max_retries"),
        retry_base_s=durations.seconds(retry.get("base", default.retry_base_s)),
        retry_cap_s=durations.seconds(retry.get("cap", default.retry_cap_s)),
        retry_jitter=float(retry.get("jitter", default.retry_jitter)),
        business_hours=business_hours_of(given["business_hours"]) if "business_hours" in given else None,
        holidays=holidays_of(given["holidays"]) if "holidays" in given else None,
        sending=of_workflow(given),
    )


class _Compiler:
    def __init__(self, data: Mapping[str, Any], catalogue: Catalogue) -> None:
        self.data = data
        self.catalogue = catalogue
        self.settings = settings_of(data)
        self.index = {step["id"]: place for place, step in enumerate(data["steps"])}

    def program(self) -> Program:
        steps = tuple(self.step(place, step) for place, step in enumerate(self.data["steps"]))
        reads_from, reads_after = forecast(steps)
        return Program(
            steps=steps,
            settings=self.settings,
            index=self.index,
            outputs_read=frozenset(name for step in steps for name in _reads(step)),
            reads_contact=tuple(reads_contact(step) for step in steps),
            reads_from=reads_from,
            reads_after=reads_after,
            entries={name: self.resolve(name) for name in self.index},
            loops=any(step["type"] == "go_to" and "limit" in step["config"] for step in self.data["steps"])
            or bool(_goal_jumps(self.data)),
        )

    def resolve(self, target: str) -> int:
        """Where a jump really lands: past actions that are disabled."""
        if target == "end":
            return END
        step = self.data["steps"][self.index[target]]
        return (
            self.resolve(self.following(self.index[target])) if step.get("disabled") else self.index[target]
        )

    def following(self, place: int) -> str:
        steps = self.data["steps"]
        default = steps[place + 1]["id"] if place + 1 < len(steps) else "end"
        return str(steps[place].get("next", default))

    def step(self, place: int, step: Mapping[str, Any]) -> Step:
        config = step.get("config", {})
        follows = self.resolve(self.following(place))
        control = CONTROL_STEPS.get(step["type"])
        if control is not None:
            return control.build(step["id"], place, follows, config, self.resolve)
        return self.action(place, step, follows, self.catalogue.types[step["type"]])

    def action(self, place: int, step: Mapping[str, Any], follows: int, info: ActionTypeInfo) -> ActionStep:
        retry = step.get("retry") or {}
        settings = self.settings
        config = ConfigTemplate.compile(step.get("config", {}))
        default_retries = info.max_retries if settings.max_retries is None else settings.max_retries
        timeout_s = durations.seconds(step["timeout"]) if "timeout" in step else info.timeout_ms / 1000
        return ActionStep(
            id=step["id"],
            type=step["type"],
            position=place,
            next=follows,
            family=info.family,
            delivery_class=info.delivery_class,
            config=config,
            contact_fields=info.contact_fields,
            sensitive_fields=info.sensitive_fields,
            on_error=self.on_error(step.get("on_error")),
            on_unknown=OnUnknown(step.get("on_unknown", "continue")),
            max_retries=retry.get("max_retries", default_retries),
            retry_base_s=durations.seconds(retry.get("base", settings.retry_base_s)),
            retry_cap_s=durations.seconds(retry.get("cap", settings.retry_cap_s)),
            retry_jitter=float(retry.get("jitter", settings.retry_jitter)),
            timeout_ms=max(int(timeout_s * 1000), 1),
            needs_contact=bool(info.contact_fields or info.channel) or "contact" in config.roots,
            max_batch=info.max_batch,
            emits=info.emits,
            lanes=info.lanes,
            channel=CHANNELS.get(info.channel),
        )

    def on_error(self, given: Any) -> OnError:
        if isinstance(given, dict):
            return OnError("go_to", self.resolve(given["go_to"]))
        return OnError() if given is None else OnError(given)


def _goal_jumps(data: Mapping[str, Any]) -> bool:
    """Whether a goal can send a contact back to a step it has visited."""
    return "go_to" in ((data.get("settings") or {}).get("goal") or {})


def _reads(step: Step) -> frozenset[str]:
    match step:
        case ActionStep():
            return step.config.steps
        case IfStep():
            return step.condition.steps
        case SwitchStep():
            return frozenset(name for case in step.cases for name in case.condition.steps)
        case WaitUntilDateStep():
            return step.date.steps
        case WaitForEventStep():
            return step.pattern.match.steps
        case _:
            return frozenset()
