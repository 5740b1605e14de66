"""Single steps of a draft: added, changed and removed by forms made of their action's JSON Schema."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.requests import Request
from wayfarer.action.v1.action_pb2 import ActionType
from wayfarer.execution.v1 import editing_service_pb2 as pb
from wayfarer.execution.v1.workflow_pb2 import Workflow
from wayfarer.execution.v1.workflow_service_pb2 import ListActionTypesRequest

from services.gateway.console import step_forms, workflow_actions
from services.gateway.console.api import Api, together
from services.gateway.console.forms import Done, Field, Form, Option, Question, ask
from services.gateway.console.rendering import Page, link, plain
from services.gateway.console.words import words

_ABOUT: Final = "The step"


async def _catalogue(api: Api) -> dict[str, ActionType]:
    answer = await api.call(api.stubs.workflows.ListActionTypes, ListActionTypesRequest())
    return {one.name: one for one in answer.action_types}


def _schema(kind: str, types: Mapping[str, ActionType]) -> step_forms.Schema:
    if kind in step_forms.CONTROLS:
        return step_forms.CONTROLS[kind][1]
    schema: step_forms.Schema = orjson.loads(types[kind].config_schema) if kind in types else {}
    return schema


async def _draft(request: Request, api: Api) -> pb.Draft:
    asked = pb.ListStepsRequest(workflow=request.path_params["workflow"])
    return (await api.call(api.stubs.editing.ListSteps, asked)).draft


def _steps_page(workflow: Workflow) -> str:
    return link(workflow_actions.here(workflow), view="steps", version="0")


def _struct(step: Mapping[str, Any]) -> Struct:
    made = Struct()
    ParseDict(dict(step), made)
    return made


def _moment(text: str, otherwise: Timestamp) -> Timestamp:
    made = Timestamp()
    try:
        made.FromJsonString(text)
    except ValueError:
        return otherwise
    return made


def _leads(draft: pb.Draft, without: str = "") -> list[Option]:
    ids = [step.id for step in draft.steps if step.id != without]
    return [Option("", "the step after it"), *(Option(one, one) for one in ids), Option("end", "the end")]


def _known(fields: list[Field]) -> list[str]:
    """The form's fields, the longest name first: a fault belongs to the nearest."""
    return sorted((one.name for one in fields), key=len, reverse=True)


async def add(request: Request, api: Api, form: Form) -> Page | Done:
    """A step of a type, which is chosen first."""
    draft, types = await together(_draft(request, api), _catalogue(api))
    workflow = draft.workflow
    kind = request.query_params.get("type", "")
    if kind not in types and kind not in step_forms.CONTROLS:
        return _kinds(workflow, types)
    schema = _schema(kind, types)
    sample = orjson.loads(types[kind].sample_config or b"{}") if kind in types else {}
    form.begin(
        position=str(len(draft.steps) + 1),
        read_at=workflow.update_time.ToJsonString(),
        **(step_forms.texts_of({}, {}) if not schema else {}),
    )
    places = [Option("1", "first")] + [
        Option(str(step.position + 1), f"after {step.id}") for step in draft.steps
    ]
    fields = [
        Field(
            "id",
            "Id",
            hint="How other steps and the log name it; made of its type if left out.",
            group=_ABOUT,
        ),
        Field("position", "Place", "select", options=places, group=_ABOUT),
        Field("next", "Goes on to", "select", options=_leads(draft), group=_ABOUT),
        *step_forms.fields_of(schema, sample),
    ]
    config = step_forms.config_of(schema, form) if form.sent else {}
    position = form.whole("position", 1, 51) if form.sent else 0
    if form.sound:
        step = {"type": kind, "config": config}
        step |= {name: form.get(name) for name in ("id", "next") if form.get(name)}
        call = pb.AddStepRequest(
            workflow=workflow.id,
            step=_struct(step),
            position=position,
            expected_update_time=_moment(form.get("read_at"), workflow.update_time),
            request_id=form.get("request_id"),
        )
        answer = await form.attempt(api.call(api.stubs.editing.AddStep, call), _known(fields))
        if answer is not None:
            return Done(_steps_page(workflow), _told(f"Added {answer.step_id}.", answer.draft))
    about = step_forms.CONTROLS[kind][0] if kind in step_forms.CONTROLS else types[kind].summary
    return ask(form, _question(workflow, form, f"Add a step: {words(kind)}", "Add the step", [about], fields))


def _kinds(workflow: Workflow, types: Mapping[str, ActionType]) -> Page:
    families: dict[str, list[tuple[str, str]]] = {}
    for one in types.values():
        families.setdefault(words(one.family), []).append((one.name, one.summary))
    families["Flow and waits"] = [(name, about) for name, (about, _) in step_forms.CONTROLS.items()]
    return Page("step_types.html", {"workflow": workflow, "families": families})


async def change(request: Request, api: Api, form: Form) -> Page | Done:
    """One step of the draft."""
    draft, types = await together(_draft(request, api), _catalogue(api))
    workflow, step = draft.workflow, await _step(request, api)
    definition = plain(step.definition)
    schema, config = _schema(step.type, types), definition.get("config", {})
    if "template" in definition and schema:
        schema = {**schema, "required": []}  # the template may have it
    form.begin(
        next=str(definition.get("next", "")),
        disabled="on" if step.disabled else "",
        read_at=workflow.update_time.ToJsonString(),
        **step_forms.texts_of(schema, config),
    )
    fields = [
        Field("next", "Goes on to", "select", options=_leads(draft, step.id), group=_ABOUT),
        Field("disabled", "Passed over", "check", "Executions go on as if it were not there.", group=_ABOUT),
        *step_forms.fields_of(schema, config),
    ]
    filled = step_forms.config_of(schema, form) if form.sent else {}
    if form.sound:
        changed: dict[str, Any] = {"config": filled}
        if form.get("next"):
            changed["next"] = form.get("next")
        if form.get("disabled"):
            changed["disabled"] = True
        call = pb.UpdateStepRequest(
            workflow=workflow.id,
            step_id=step.id,
            step=_struct(changed),
            update_mask=FieldMask(paths=["config", "next", "disabled"]),
            expected_update_time=_moment(form.get("read_at"), workflow.update_time),
            request_id=form.get("request_id"),
        )
        answer = await form.attempt(api.call(api.stubs.editing.UpdateStep, call), _known(fields))
        if answer is not None:
            return Done(_steps_page(workflow), _told(f"Changed {step.id}.", answer.draft))
    about = step_forms.CONTROLS[step.type][0] if step.type in step_forms.CONTROLS else ""
    lines = [types[step.type].summary if step.type in types else about]
    question = _question(workflow, form, f"{step.id}: {words(step.type)}", "Save the step", lines, fields)
    return ask(
        form,
        question,
        elsewhere=[("Remove this step …", f"{workflow_actions.here(workflow)}/steps/{step.id}/remove")],
    )


async def remove(request: Request, api: Api, form: Form) -> Page | Done:
    """Takes a step out of the draft."""
    draft, step = await together(_draft(request, api), _step(request, api))
    workflow = draft.workflow
    form.begin(read_at=workflow.update_time.ToJsonString())
    if form.sound:
        call = pb.RemoveStepRequest(
            workflow=workflow.id,
            step_id=step.id,
            expected_update_time=_moment(form.get("read_at"), workflow.update_time),
            request_id=form.get("request_id"),
        )
        answer = await form.attempt(api.call(api.stubs.editing.RemoveStep, call))
        if answer is not None:
            return Done(_steps_page(workflow), _told(f"Removed {step.id}.", answer.draft))
    lines = ["Links to it then lead to what followed it. Versions that are published keep it."]
    question = _question(workflow, form, f"Remove {step.id}", "Remove the step", lines, [], danger=True)
    return ask(form, question)


async def _step(request: Request, api: Api) -> pb.DraftStep:
    asked = pb.GetStepRequest(workflow=request.path_params["workflow"], step_id=request.path_params["step"])
    return (await api.call(api.stubs.editing.GetStep, asked)).step


def _question(
    workflow: Workflow,
    form: Form,
    title: str,
    button: str,
    lines: list[str],
    fields: list[Field],
    *,
    danger: bool = False,
) -> Question:
    back = _steps_page(workflow)
    return Question(
        title=title,
        button=button,
        back=back,
        lines=[line for line in lines if line],
        fields=fields,
        hidden={"read_at": form.get("read_at")},
        danger=danger,
        crumbs=(*workflow_actions.crumbs(workflow), ("Steps of the draft", back)),
    )


def _told(done: str, draft: pb.Draft) -> str:
    """What was done, and what publishing would still refuse."""
    mended = "".join(f" {where} now leads to {to}." for where, to in draft.relinked.items())
    if not draft.faults:
        return f"{done}{mended} The draft has no fault."
    first = draft.faults[0]
    number = len(draft.faults)
    faults = "a fault" if number == 1 else f"{number} faults; the first"
    return f"{done}{mended} The draft has {faults}: {first.path}: {first.message}"
