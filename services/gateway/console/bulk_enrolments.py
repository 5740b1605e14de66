"""Enrolling many contacts into a workflow, by name or by a condition; counted before they are started."""

import asyncio
from typing import Final
from uuid import UUID

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from starlette.requests import Request
from wayfarer.execution.v1 import bulk_service_pb2 as pb
from wayfarer.execution.v1.workflow_pb2 import Workflow

from services.gateway.console import workflow_actions
from services.gateway.console.api import Api
from services.gateway.console.bulk_actions import PACE, REASON, start
from services.gateway.console.execution_pages import contact_named
from services.gateway.console.forms import Done, Field, Form, Option, Question, ask
from services.gateway.console.rendering import Page, count
from services.gateway.console.words import words

_MOST_LOOKED_UP: Final = 500
_AT_ONCE: Final = 20


_FIELDS: Final = (
    Field(
        "who",
        "Whom",
        "radio",
        options=(Option("list", "These contacts"), Option("filter", "All for whom a condition holds")),
    ),
    Field("contacts", "Contacts", "area", "One per line: e-mail, phone number, your id or ours.", rows=6),
    Field("filter", "Condition", "code", "CEL over contact, e.g. 'vip' in contact.tags", rows=2),
    Field("trigger", "Trigger", "code", "What it may read as trigger: a JSON object, or nothing.", rows=3),
    PACE,
    REASON,
)


async def enrol(request: Request, api: Api, form: Form) -> Page | Done:
    """The form; then what would become of each; then the operation."""
    workflow = await workflow_actions.read(request, api)
    form.begin(who="list")
    task = await _enrolment(api, form, workflow.id) if form.sent else pb.BulkTask()
    preview = None
    if form.sound and form.get("go"):
        started = await start(api, form, task, ("contacts", "filter"))
        if started is not None:
            return started
    if form.sound:
        names = {"contact_ids": "contacts", "contact_filter": "filter", "trigger": "trigger"}
        call = pb.PreviewBulkOperationRequest(task=task)
        preview = await form.attempt(api.call(api.stubs.bulk.PreviewBulkOperation, call), names)
    question = _whom(workflow) if preview is None else _confirmed(workflow, form, preview)
    return ask(form, question)


def _whom(workflow: Workflow) -> Question:
    return Question(
        title=f"Enrol contacts into {workflow.name}",
        button="Preview",
        fields=_FIELDS,
        lines=["Each contact is started as an event or a call would start it: consent and re-entry count."],
        back=workflow_actions.here(workflow),
        crumbs=workflow_actions.crumbs(workflow),
    )


def _confirmed(workflow: Workflow, form: Form, preview: pb.PreviewBulkOperationResponse) -> Question:
    by_condition = form.get("who") == "filter"
    line = (
        "Whoever meets the condition is looked for now and enrolled as found; it can be paused meanwhile."
        if by_condition
        else f"Of {count(preview.total)} contacts, this would become:"
    )
    return Question(
        title=f"Enrol into {workflow.name}",
        button="Enrol them" if by_condition else f"Enrol {count(preview.counts.get('started', 0))} contacts",
        lines=[line],
        facts=[(words(name), count(number)) for name, number in sorted(preview.counts.items())],
        hidden={**{field.name: form.raw(field.name) for field in _FIELDS}, "go": "1"},
        back=workflow_actions.here(workflow),
        crumbs=workflow_actions.crumbs(workflow),
    )


async def _enrolment(api: Api, form: Form, workflow: str) -> pb.BulkTask:
    task = pb.EnrollMany(workflow=workflow)
    trigger = form.json_object("trigger")
    if trigger:
        made = Struct()
        ParseDict(trigger, made)
        task.trigger.CopyFrom(made)
    if form.one_of("who", ("list", "filter")) == "filter":
        task.contact_filter = form.need("filter", "Give a condition.")
    else:
        task.contact_ids.extend(await _contacts(api, form))
    return pb.BulkTask(enroll=task)


async def _contacts(api: Api, form: Form) -> list[str]:
    """The ids of the contacts that were named; those that nobody is are told."""
    lines = [line.strip() for line in form.raw("contacts").split("\n") if line.strip()]
    named = [line for line in lines if not _is_id(line)]
    if not lines:
        form.refuse("contacts", "Name at least one contact.")
    if len(named) > _MOST_LOOKED_UP:
        form.refuse("contacts", f"At most {_MOST_LOOKED_UP} by address or your id; any number by our ids.")
        return []
    found: dict[str, str | None] = {}
    for place in range(0, len(named), _AT_ONCE):
        some = named[place : place + _AT_ONCE]
        ids = await asyncio.gather(*(contact_named(api, line) for line in some))
        found |= dict(zip(some, ids, strict=True))
    missing = [line for line, identity in found.items() if identity is None]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        form.refuse("contacts", f"Nobody is called {', '.join(missing[:5])}{more}.")
    return list(dict.fromkeys(found.get(line) or line for line in lines))


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
