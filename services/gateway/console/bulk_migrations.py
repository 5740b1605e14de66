"""Moving executions to another version of their workflow: how many go from where to where is shown first."""

from typing import Final

from starlette.requests import Request
from wayfarer.execution.v1 import bulk_service_pb2 as pb
from wayfarer.execution.v1.workflow_pb2 import Workflow

from services.gateway.console import workflow_actions
from services.gateway.console.api import Api
from services.gateway.console.bulk_actions import PACE, REASON, start
from services.gateway.console.forms import Done, Field, Form, Option, Question, ask
from services.gateway.console.rendering import Page, count

_REMOVED: Final = {
    "keep": pb.REMOVED_STEP_UNSPECIFIED,
    "advance": pb.REMOVED_STEP_ADVANCE,
    "exit": pb.REMOVED_STEP_EXIT,
}


def _migration(form: Form, workflow: str, latest: int) -> pb.BulkTask:
    renamed = {}
    for line in filter(None, (line.strip() for line in form.raw("renamed").split("\n"))):
        old, equals, new = (part.strip() for part in line.partition("="))
        if not (old and equals and new):
            form.refuse("renamed", f"{line!r} is not of the form old = new.")
        renamed[old] = new
    from_version, to_version = form.whole("from_version", 0, latest), form.whole("to_version", 1, latest)
    if from_version == to_version:
        form.refuse("to_version", "Another version than the one they come from.")
    removed = _REMOVED[form.one_of("removed", tuple(_REMOVED)) or "keep"] if not form.faults else 0
    return pb.BulkTask(migrate=pb.MigrateMany(
        workflow=workflow, from_version=from_version, to_version=to_version, step_map=renamed,
        removed=removed,  # type: ignore[arg-type]
    ))  # fmt: skip


async def migrate(request: Request, api: Api, form: Form) -> Page | Done:
    """The form; then how many would go from which step to which; then the operation."""
    workflow = await workflow_actions.read(request, api)
    latest = workflow.published_version
    form.begin(to_version=str(latest), from_version="0", removed="advance")
    task = _migration(form, workflow.id, latest) if form.sent else pb.BulkTask()
    preview = None
    if form.sound and form.get("go"):
        started = await start(api, form, task)
        if started is not None:
            return started
    if form.sound:
        names = {"step_map": "renamed", "to_version": "to_version", "from_version": "from_version"}
        call = pb.PreviewBulkOperationRequest(task=task)
        preview = await form.attempt(api.call(api.stubs.bulk.PreviewBulkOperation, call), names)
    question = _whither(workflow) if preview is None else _confirmed(workflow, form, preview)
    return ask(form, question)


def _fields(workflow: Workflow) -> list[Field]:
    latest = workflow.published_version
    versions = [Option(str(n), f"{n} (latest)" if n == latest else str(n)) for n in range(latest, 0, -1)]
    removed = [
        Option("advance", "Go to the next step that is still there"),
        Option("exit", "Complete", "With the reason step_removed."),
        Option("keep", "Stay on their version"),
    ]
    return [
        Field("from_version", "From version", "select", options=[Option("0", "every other"), *versions]),
        Field("to_version", "To version", "select", options=versions),
        Field("removed", "Those whose step is gone", "radio", options=removed),
        Field("renamed", "Steps whose id has changed", "area", "One per line: old = new.", rows=3),
        PACE,
        REASON,
    ]


def _whither(workflow: Workflow) -> Question:
    return Question(
        title=f"Migrate executions of {workflow.name}",
        button="Preview",
        fields=_fields(workflow),
        lines=["Executions under way keep the version they began with, unless they are moved: by step id."],
        back=workflow_actions.here(workflow),
        crumbs=workflow_actions.crumbs(workflow),
    )


def _confirmed(workflow: Workflow, form: Form, preview: pb.PreviewBulkOperationResponse) -> Question:
    total = sum(move.executions for move in preview.moves)
    gone = {"advance": "the next step that is left", "exit": "the end", "keep": "where they are"}
    to = form.get("to_version")
    return Question(
        title=f"Move {count(total)} executions to version {to}" if total else "Nothing to move",
        button=f"Move {count(total)} executions" if total else "",
        lines=["Each keeps its step, its waits and what it has done."]
        if total
        else ["No execution under way is on another version."],
        facts=[
            (
                f"v{move.version}, {move.step_id}",
                f"{count(move.executions)} → {move.to_step_id or gone[form.get('removed')]}",
            )
            for move in preview.moves
        ],
        hidden={**{field.name: form.raw(field.name) for field in _fields(workflow)}, "go": "1"},
        back=workflow_actions.here(workflow),
        crumbs=workflow_actions.crumbs(workflow),
    )
