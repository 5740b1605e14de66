"""`wayfarer workflows`: the workflows of the account, their versions, and moving executions between them."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import bulk, bulk_tasks
from services.cli import options as opt
from services.cli.session import api_session, pages, show_list, show_on_screen

if TYPE_CHECKING:
    from wayfarer.execution.v1 import workflow_pb2

app = typer.Typer(
    help="Workflows: list, show, publish, pause, resume, archive, versions, counts, migrate.",
    no_args_is_help=True,
)


@app.command("list")
def list_workflows(
    status: opt.WorkflowStatus = None,
    limit: opt.Limit = 50,
    every: opt.All = False,
    page_token: opt.PageToken = "",
    as_json: opt.Json = False,
) -> None:
    """List workflows, newest first."""
    from wayfarer.execution.v1 import workflow_pb2
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    request = pb.ListWorkflowsRequest()
    if status:
        request.status = workflow_pb2.WorkflowStatus.Value(f"WORKFLOW_STATUS_{status}")
    paging = opt.Paging(limit, every, page_token)
    with api_session() as api:
        answers = pages(api, api.workflows.ListWorkflows, request, paging)
        show_list(answers, "workflows", _table, paging, as_json, "no workflows; make one: `wayfarer apply`")


def _table(rows: Sequence["workflow_pb2.Workflow"]) -> Any:
    from services.cli import render

    made = render.table("key", "name", "status", "version", "steps")
    for row in rows:
        name, state = render.literal(row.name), render.workflow_status(row)
        made.add_row(row.key, name, state, str(row.published_version), str(row.total_steps))
    return made


@app.command("show")
def show_workflow(
    workflow: opt.WorkflowArgument,
    version: Annotated[int, typer.Option(min=0, max=opt.LAST_VERSION, help="0 for the draft.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print all there is, the document in it.")] = False,
) -> None:
    """Print a workflow's document as JSON."""
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        request = pb.GetWorkflowRequest(workflow=workflow, version=version)
        found = api.call(api.workflows.GetWorkflow, request).workflow
    if as_json:
        typer.echo(render.as_json(found))
    else:
        typer.echo(json.dumps(json.loads(found.document), indent=2, ensure_ascii=False))


@app.command()
def publish(workflow: opt.WorkflowArgument, as_json: opt.Json = False) -> None:
    """Make the draft the next version, and take starts with it; a paused workflow stays paused."""
    found = _move(workflow, "Publish")
    _tell(found, as_json, f", version {found.published_version}")


@app.command()
def pause(workflow: opt.WorkflowArgument, as_json: opt.Json = False) -> None:
    """Stop starts, and running executions before their next step."""
    _tell(_move(workflow, "Pause"), as_json)


@app.command()
def resume(workflow: opt.WorkflowArgument, as_json: opt.Json = False) -> None:
    """Undo a pause."""
    _tell(_move(workflow, "Resume"), as_json)


@app.command()
def archive(workflow: opt.WorkflowArgument, as_json: opt.Json = False) -> None:
    """End a workflow for good; running executions go on to their end."""
    _tell(_move(workflow, "Archive"), as_json)


def _move(workflow: str, rpc: str) -> Any:
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    with api_session() as api:
        request = getattr(pb, f"{rpc}WorkflowRequest")(workflow=workflow)
        return api.call(getattr(api.workflows, f"{rpc}Workflow"), request).workflow


def _tell(workflow: Any, as_json: bool, more: str = "") -> None:
    from services.cli import render

    line = f"{workflow.key}: {render.workflow_status(workflow)}{more}"
    typer.echo(render.as_json(workflow) if as_json else line)


@app.command()
def versions(workflow: opt.WorkflowArgument, as_json: opt.Json = False) -> None:
    """List the published versions, newest first, with how many executions each began and ended."""
    _count(workflow, 0, as_json, whole=True)


@app.command()
def counts(
    workflow: opt.WorkflowArgument,
    version: Annotated[int, typer.Option(min=0, max=opt.LAST_VERSION, help="0 for all.")] = 0,
    as_json: opt.Json = False,
) -> None:
    """Count what executions did, step by step."""
    _count(workflow, version, as_json, whole=False)


def _count(workflow: str, version: int, as_json: bool, *, whole: bool) -> None:
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        latest = api.call(api.workflows.GetWorkflow, pb.GetWorkflowRequest(workflow=workflow)).workflow
        request = pb.GetWorkflowCountsRequest(workflow=workflow, version=version)
        answer = api.call(api.workflows.GetWorkflowCounts, request)
    if whole:
        found = {row.version: row for row in answer.counts if not row.step_id}
        numbers = range(latest.published_version, 0, -1)
        answer = pb.GetWorkflowCountsResponse(
            counts=[found.get(number, pb.StepCount(version=number)) for number in numbers]
        )
    if as_json:
        typer.echo(render.as_json(answer))
        return
    table = render.table("version", *([] if whole else ["step"]), "begun", "done", "failed", "waiting")
    for row in answer.counts:
        step = [] if whole else [row.step_id or "(as a whole)"]
        figures = (row.entered, row.done, row.failed, row.waiting)
        table.add_row(str(row.version), *step, *map(str, figures))
    show_on_screen(table)


def _preview_or_start(
    task: Any,
    preview: Annotated[bool, typer.Option("--preview", help="Only count who would go where.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
    reason: opt.Why = "",
    yes: opt.Yes = False,
    as_json: opt.Json = False,
) -> None:
    if preview:
        bulk.preview(task, as_json)
    else:
        bulk.start(task, reason, yes, detach=detach, as_json=as_json)


app.command(
    "migrate",
    help=bulk_tasks.migrate.__doc__,
    epilog="wayfarer workflows migrate welcome --from 1 --preview\n\n"
    "wayfarer workflows migrate welcome --from 1 --map call=call_home --removed EXIT",
)(bulk_tasks.joined(bulk_tasks.migrate, _preview_or_start))
