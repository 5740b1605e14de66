"""A workflow's document as text: checked as one types, saved as the draft unless another was quicker."""

import re
from dataclasses import dataclass
from typing import Final

import orjson
import yaml
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.requests import Request
from wayfarer.execution.v1 import workflow_service_pb2 as pb
from wayfarer.execution.v1.workflow_pb2 import Workflow

from services.gateway.console import workflow_actions
from services.gateway.console.api import Api, Trouble
from services.gateway.console.forms import Done, Form
from services.gateway.console.rendering import Page

_PLACE: Final = re.compile(r" ?\(?line (\d+), column (\d+)\)?")
_FIRST: Final = """\
key: my_workflow
name: My workflow
description: What it is for.
steps:
  - id: hello
    type: send_email
    config:
      category: transactional
      subject: "Hello, {{ contact.first_name }}"
      text: Good to have you.
"""


@dataclass(frozen=True, slots=True)
class DocumentFault:
    """One fault of a document, where it is. `line` 0: not known."""

    path: str
    text: str
    line: int
    column: int


def faults_of(trouble: Trouble | None) -> list[DocumentFault]:
    """What the API found wrong with a document."""
    found = []
    for path, text in trouble.fields if trouble else ():
        place = _PLACE.search(text)
        line, column = (int(place[1]), int(place[2])) if place else (0, 0)
        found.append(DocumentFault(path, _PLACE.sub("", text), line, column))
    return found


def as_yaml(document: str) -> str:
    """A stored document as people write it."""
    return yaml.safe_dump(orjson.loads(document), sort_keys=False, allow_unicode=True, width=100)


async def edit(request: Request, api: Api, form: Form) -> Page | Done:
    """The draft of one workflow."""
    workflow = await workflow_actions.read(request, api)
    form.begin(document=as_yaml(workflow.document), read_at=workflow.update_time.ToJsonString())
    await _check_key(api, form, workflow)
    if form.checks:
        return _faults(form)
    if form.sound:
        read_at = Timestamp()
        try:
            read_at.FromJsonString(form.get("read_at"))
        except ValueError:
            read_at.CopyFrom(workflow.update_time)
        if form.get("over"):
            read_at.CopyFrom(workflow.update_time)
        saved = await _save(api, form, read_at)
        if saved is not None:
            return saved
    changed = form.trouble is not None and form.trouble.reason == "DRAFT_CHANGED"
    return _page(form, workflow=workflow, changed=changed)


async def new(request: Request, api: Api, form: Form) -> Page | Done:
    """A workflow that is not there yet."""
    form.begin(document=_FIRST)
    if form.sent:
        checked = await _checked(api, form)
        if checked is not None and checked.key in {one.key for one in (await api.workflows()).values()}:
            form.refuse(
                "document", f"There is a workflow with the key {checked.key} already: choose another."
            )
    if form.checks:
        return _faults(form)
    if form.sound:
        saved = await _save(api, form, None)
        if saved is not None:
            return saved
    return _page(form, workflow=None, changed=False)


def _page(form: Form, *, workflow: Workflow | None, changed: bool) -> Page:
    status = 422 if form.sent and (form.faults or form.trouble) else 200
    return Page(
        "document.html",
        {"form": form, "workflow": workflow, "changed": changed, "found": faults_of(form.trouble)},
        status=status,
    )


def _faults(form: Form) -> Page:
    return Page("document_faults.html", {"form": form, "found": faults_of(form.trouble)})


async def _checked(api: Api, form: Form) -> Workflow | None:
    """The document as a workflow; None, and its faults in the form, if it has any."""
    call = pb.ApplyWorkflowRequest(document=form.raw("document"), validate_only=True)
    answer = await form.attempt(api.call(api.stubs.workflows.ApplyWorkflow, call))
    return answer.workflow if answer is not None else None


async def _check_key(api: Api, form: Form, workflow: Workflow) -> None:
    if not form.sent:
        return
    checked = await _checked(api, form)
    if checked is not None and checked.key != workflow.key:
        form.refuse("document", f"The key stays {workflow.key}: another key would make another workflow.")


async def _save(api: Api, form: Form, read_at: Timestamp | None) -> Done | None:
    publishes = bool(form.get("publish"))
    call = pb.ApplyWorkflowRequest(
        document=form.raw("document"),
        publish=publishes,
        request_id=form.get("request_id"),
        expected_update_time=read_at,
    )
    answer = await form.attempt(api.call(api.stubs.workflows.ApplyWorkflow, call))
    if answer is None:
        return None
    workflow = answer.workflow
    there = workflow_actions.here(workflow)
    if publishes:
        return Done(there, f"Version {workflow.published_version} is published.")
    return Done(f"{there}?version=0", "The draft is saved; nothing runs by it until it is published.")
