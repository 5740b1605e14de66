"""A test run of a workflow for one contact: what would be sent and when, with nothing sent."""

from typing import Final

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from starlette.requests import Request
from wayfarer.execution.v1 import workflow_service_pb2 as pb

from services.gateway.console import workflow_actions
from services.gateway.console.api import Api
from services.gateway.console.execution_pages import contact_named
from services.gateway.console.forms import Field, Form, Option
from services.gateway.console.rendering import Page, person

_WAITS: Final = (
    Option("skip", "Skip them", "As if their time had come; those for an event as if it never came."),
    Option("events", "Skip them, and let events come", "Those for an event end by the event."),
    Option("stop", "Stop at the first"),
)


async def run(request: Request, api: Api, form: Form) -> Page:
    """The form, and how it would go."""
    workflow = await workflow_actions.read(request, api)
    form.begin(
        contact=request.query_params.get("contact", ""),
        version=str(workflow.published_version),
        waits="skip",
    )
    versions = [Option("0", "the draft")] + [
        Option(str(n), f"version {n}") for n in range(workflow.published_version, 0, -1)
    ]
    fields = [
        Field("contact", "Contact", hint="E-mail address, phone number, your id or ours.", required=True),
        Field("version", "Of", "select", options=versions),
        Field("waits", "Waits", "radio", options=_WAITS),
        Field("trigger", "What it may read as trigger", "code", "A JSON object; may be left out.", rows=4),
    ]
    answer, who = None, ""
    if form.sent:
        call = await _asked(api, form, workflow.id, workflow.published_version)
        if form.sound:
            names = {"contact_id": "contact", "trigger": "trigger"}
            answer = await form.attempt(api.call(api.stubs.workflows.PreviewWorkflow, call), names)
            people = await api.contacts([call.contact_id])
            who = person(people.get(call.contact_id), call.contact_id)
    return Page(
        "trial.html",
        {"form": form, "fields": fields, "workflow": workflow, "answer": answer, "who": who},
        status=422 if form.sent and answer is None else 200,
    )


async def _asked(api: Api, form: Form, workflow: str, latest: int) -> pb.PreviewWorkflowRequest:
    name = form.need("contact", "Say for whom.")
    waits = form.one_of("waits", [option.value for option in _WAITS])
    trigger = Struct()
    ParseDict(form.json_object("trigger"), trigger)
    identity = name if len(name) == 36 or not name else await contact_named(api, name)
    if identity is None:
        form.refuse("contact", f"Nobody is called {name}.")
    return pb.PreviewWorkflowRequest(
        workflow=workflow,
        version=form.whole("version", 0, latest),
        contact_id=identity or "",
        trigger=trigger,
        skip_waits=waits != "stop",
        events_come=waits == "events",
    )
