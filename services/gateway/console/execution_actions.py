"""What is done with one execution: retried, cancelled, paused, resumed, after saying what that means."""

from typing import Any, Final

import orjson
from starlette.requests import Request
from wayfarer.execution.v1 import execution_service_pb2 as pb
from wayfarer.execution.v1.execution_pb2 import Execution, ExecutionStatus
from wayfarer.execution.v1.workflow_service_pb2 import GetWorkflowRequest

from services.gateway.console.api import Api, together
from services.gateway.console.forms import Done, Field, Form, Option, Question, ask
from services.gateway.console.rendering import Page, person
from services.gateway.console.words import STATUSES

_REASON: Final = Field(
    "reason", "Why", hint="For the log; others will read it.", placeholder="e.g. the partner is back"
)
FAILED: Final = ExecutionStatus.EXECUTION_STATUS_FAILED


async def _named(request: Request, api: Api) -> tuple[Execution, str]:
    """The execution, and what people call it."""
    asked = pb.GetExecutionRequest(id=request.path_params["execution"])
    execution = (await api.call(api.stubs.executions.GetExecution, asked)).execution
    people, workflows = await together(api.contacts([execution.contact_id]), api.workflows())
    who = person(people.get(execution.contact_id), execution.contact_id)
    workflow = workflows.get(execution.workflow_id)
    return execution, f"{who} in {workflow.name if workflow else execution.workflow_key}"


def _here(execution: Execution) -> str:
    return f"/console/executions/{execution.id}"


def _question(execution: Execution, called: str, **parts: Any) -> Question:
    return Question(
        back=_here(execution),
        crumbs=(("Executions", "/console/executions"), (called, _here(execution))),
        **parts,
    )


def _now(execution: Execution) -> str:
    return STATUSES.get(execution.status, ("?", ""))[0].lower()


async def retry(request: Request, api: Api, form: Form) -> Page | Done:
    """Queues a failed one again: from the step that failed, from an earlier one, or after it."""
    execution, called = await _named(request, api)
    asked = GetWorkflowRequest(workflow=execution.workflow_id, version=execution.workflow_version)
    document = orjson.loads((await api.call(api.stubs.workflows.GetWorkflow, asked)).workflow.document)
    ids = [step["id"] for step in document["steps"]]
    failed = execution.current_step_id
    earlier = ids[: ids.index(failed)] if failed in ids else []
    form.begin(how="again")
    how = form.one_of("how", ("again", "skip", "from") if earlier else ("again", "skip")) if form.sent else ""
    from_step = form.one_of("from_step", earlier, "Choose the step to begin at.") if how == "from" else ""
    if form.sound:
        call = pb.RetryExecutionRequest(
            id=execution.id,
            reason=form.get("reason"),
            request_id=form.get("request_id"),
            from_step=from_step,
            skip_failed=how == "skip",
        )
        answer = await form.attempt(
            api.call(api.stubs.executions.RetryExecution, call), ("reason", "from_step")
        )
        if answer is not None:
            where = {"again": f"at {failed}", "skip": f"after {failed}", "from": f"at {from_step}"}[how]
            return Done(_here(execution), f"Queued again: it goes on {where}.")
    options = [
        Option("again", f"Try {failed} again", "Its retries count from 0."),
        Option("skip", f"Skip {failed}", "It goes on with what follows, as if the step had been left out."),
    ]
    fields = [Field("how", "Where it goes on", "radio", options=options), _REASON]
    if earlier:
        options.append(
            Option(
                "from",
                "Begin at an earlier step",
                "That step and those after it are done anew: what they sent is sent again.",
            )
        )
        fields.insert(
            1,
            Field(
                "from_step",
                "Earlier step",
                "select",
                options=[Option("", "–"), *(Option(i, i) for i in earlier)],
            ),
        )
    question = _question(
        execution,
        called,
        title=f"Retry {called}",
        button="Retry",
        lines=[f"It failed at {failed}: {execution.failure.message or execution.reason.replace('_', ' ')}."],
        fields=fields,
    )
    return ask(form, question)


async def cancel(request: Request, api: Api, form: Form) -> Page | Done:
    """Ends one before its next step."""
    execution, called = await _named(request, api)
    if form.sound:
        call = pb.CancelExecutionRequest(
            id=execution.id, reason=form.get("reason"), request_id=form.get("request_id")
        )
        if await form.attempt(api.call(api.stubs.executions.CancelExecution, call), ("reason",)):
            return Done(_here(execution), "Cancelled: nothing more is done for it.")
    question = _question(
        execution,
        called,
        title=f"Cancel {called}",
        button="Cancel the execution",
        lines=[
            f"It is {_now(execution)} at {execution.current_step_id or 'its beginning'}.",
            "It ends for good, before its next step.",
            "What was sent or changed so far stays. What runs just now ends first.",
        ],
        fields=[_REASON],
        danger=True,
    )
    return ask(form, question)


async def pause(request: Request, api: Api, form: Form) -> Page | Done:
    """Stops one before its next step."""
    execution, called = await _named(request, api)
    if form.sound:
        call = pb.PauseExecutionRequest(
            id=execution.id, reason=form.get("reason"), request_id=form.get("request_id")
        )
        answer = await form.attempt(api.call(api.stubs.executions.PauseExecution, call), ("reason",))
        if answer is not None:
            later = answer.execution.pause_requested
            return Done(_here(execution), "It pauses after what runs just now." if later else "Paused.")
    question = _question(
        execution,
        called,
        title=f"Pause {called}",
        button="Pause",
        lines=[
            "It stops before its next step until somebody resumes it; what runs just now ends first.",
            "A wait goes on being counted: if it ends meanwhile, the next step comes with the resume.",
        ],
        fields=[_REASON],
    )
    return ask(form, question)


async def resume(request: Request, api: Api, form: Form) -> Page | Done:
    """Undoes a pause."""
    execution, called = await _named(request, api)
    if form.sound:
        call = pb.ResumeExecutionRequest(
            id=execution.id, reason=form.get("reason"), request_id=form.get("request_id")
        )
        answer = await form.attempt(api.call(api.stubs.executions.ResumeExecution, call), ("reason",))
        if answer is not None:
            return Done(_here(execution), f"Resumed: it is {_now(answer.execution)}.")
    question = _question(
        execution,
        called,
        title=f"Resume {called}",
        button="Resume",
        lines=["It goes on where it stopped. What fell due while it was paused is done now."],
        fields=[_REASON],
    )
    return ask(form, question)
