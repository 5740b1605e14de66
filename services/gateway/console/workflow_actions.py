"""What is done with a whole workflow: published, paused, resumed, archived; each form says its effect."""

from typing import Any

from starlette.requests import Request
from wayfarer.execution.v1 import workflow_service_pb2 as pb
from wayfarer.execution.v1.workflow_pb2 import Workflow

from services.gateway.console.api import Api, together
from services.gateway.console.forms import Done, Field, Form, Option, Question, ask
from services.gateway.console.rendering import Page, count
from services.gateway.console.workflow_pages import Counted


async def read(request: Request, api: Api, version: int = 0) -> Workflow:
    """The workflow that the address names, with the document of a version; 0 is the draft."""
    asked = pb.GetWorkflowRequest(workflow=request.path_params["workflow"], version=version)
    return (await api.call(api.stubs.workflows.GetWorkflow, asked)).workflow


def here(workflow: Workflow) -> str:
    """Its page."""
    return f"/console/workflows/{workflow.key}"


def crumbs(workflow: Workflow) -> tuple[tuple[str, str], ...]:
    """The way to it."""
    return (("Workflows", "/console/workflows"), (workflow.name, here(workflow)))


def _question(workflow: Workflow, **parts: Any) -> Question:
    return Question(back=here(workflow), crumbs=crumbs(workflow), **parts)


async def _under_way(request: Request, api: Api) -> tuple[Workflow, int]:
    """The workflow, and how many of its executions have not ended."""
    name = request.path_params["workflow"]
    workflow, counts = await together(
        read(request, api),
        api.call(api.stubs.workflows.GetWorkflowCounts, pb.GetWorkflowCountsRequest(workflow=name)),
    )
    return workflow, Counted.sum(one for one in counts.counts if not one.step_id).here


async def publish(request: Request, api: Api, form: Form) -> Page | Done:
    """Makes the draft the next version."""
    workflow, under_way = await _under_way(request, api)
    if form.sound:
        call = pb.PublishWorkflowRequest(workflow=workflow.id, request_id=form.get("request_id"))
        answer = await form.attempt(api.call(api.stubs.workflows.PublishWorkflow, call))
        if answer is not None:
            version = answer.workflow.published_version
            return Done(here(workflow), f"Version {version} is published.")
    lines = [f"The draft becomes version {workflow.published_version + 1}; from then on starts take it."]
    if under_way:
        lines.append(
            f"{count(under_way)} executions under way keep the version they began with; they can be migrated."
        )
    if workflow.status == 3:
        lines.append("The workflow is paused, and stays so until it is resumed.")
    return ask(form, _question(workflow, title=f"Publish {workflow.name}", button="Publish", lines=lines))


async def pause(request: Request, api: Api, form: Form) -> Page | Done:
    """Stops starts, and what runs before its next step."""
    workflow, under_way = await _under_way(request, api)
    if form.sound:
        call = pb.PauseWorkflowRequest(workflow=workflow.id, request_id=form.get("request_id"))
        if await form.attempt(api.call(api.stubs.workflows.PauseWorkflow, call)) is not None:
            return Done(here(workflow), "Paused: it takes no starts, and nothing of it goes on.")
    lines = [
        "It takes no starts until it is resumed; those that come meanwhile are refused.",
        f"{count(under_way)} executions under way stop before their next step, and go on when it resumes.",
    ]
    return ask(form, _question(workflow, title=f"Pause {workflow.name}", button="Pause", lines=lines))


async def resume(request: Request, api: Api, form: Form) -> Page | Done:
    """Undoes a pause."""
    workflow, under_way = await _under_way(request, api)
    if form.sound:
        call = pb.ResumeWorkflowRequest(workflow=workflow.id, request_id=form.get("request_id"))
        if await form.attempt(api.call(api.stubs.workflows.ResumeWorkflow, call)) is not None:
            return Done(here(workflow), "Resumed: it takes starts again, and what was frozen goes on.")
    lines = [f"It takes starts again, and {count(under_way)} executions go on where they stopped."]
    return ask(form, _question(workflow, title=f"Resume {workflow.name}", button="Resume", lines=lines))


async def archive(request: Request, api: Api, form: Form) -> Page | Done:
    """Ends it for good: what runs drains, or is cancelled."""
    workflow, under_way = await _under_way(request, api)
    form.begin(running="drain")
    if form.sent:
        form.one_of("running", ("drain", "cancel"))
    if form.sound:
        cancels = form.get("running") == "cancel"
        call = pb.ArchiveWorkflowRequest(
            workflow=workflow.id,
            request_id=form.get("request_id"),
            on_running=pb.ON_RUNNING_CANCEL if cancels else pb.ON_RUNNING_DRAIN,
        )
        answer = await form.attempt(api.call(api.stubs.workflows.ArchiveWorkflow, call))
        if answer is not None and answer.bulk_operation_id:
            return Done(
                f"/console/bulk/{answer.bulk_operation_id}", "Archived. What runs is being cancelled."
            )
        if answer is not None:
            return Done(here(workflow), "Archived: it takes no starts; what runs goes on to its end.")
    options = [
        Option("drain", "Drain", f"{count(under_way)} executions under way go on to their end."),
        Option("cancel", "Cancel", "Each ends before its next step, by a bulk operation."),
    ]
    question = _question(
        workflow,
        title=f"Archive {workflow.name}",
        button="Archive",
        lines=["It takes no starts any more and cannot be brought back. Its counts and executions stay."],
        fields=[Field("running", "What becomes of those under way", "radio", options=options)],
        danger=True,
    )
    return ask(form, question)
