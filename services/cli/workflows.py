"""`wayfarer workflows`: the workflows of the account."""

import json
from typing import Annotated

import typer

from services.cli.session import Json, Limit, api_session, show_on_screen

app = typer.Typer(help="Workflows: list, show, pause, resume, archive.", no_args_is_help=True)


@app.command("list")
def list_workflows(limit: Limit = 50, as_json: Json = False) -> None:
    """List workflows, newest first."""
    from rich.markup import escape
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        answer = api.call(api.workflows.ListWorkflows, pb.ListWorkflowsRequest(page_size=limit))
    if as_json:
        typer.echo(render.as_json(answer))
        return
    table = render.table("key", "name", "status", "version", "steps")
    for found in answer.workflows:
        table.add_row(
            found.key,
            escape(found.name),
            render.workflow_status(found),
            str(found.published_version),
            str(found.total_steps),
        )
    show_on_screen(table)


@app.command("show")
def show_workflow(workflow: str, version: Annotated[int, typer.Option(help="0 for the draft.")] = 0) -> None:
    """Print a workflow's document as JSON."""
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    with api_session() as api:
        request = pb.GetWorkflowRequest(workflow=workflow, version=version)
        found = api.call(api.workflows.GetWorkflow, request).workflow
    typer.echo(json.dumps(json.loads(found.document), indent=2, ensure_ascii=False))


def _move(workflow: str, rpc: str) -> None:
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        request = getattr(pb, f"{rpc}WorkflowRequest")(workflow=workflow)
        answer = api.call(getattr(api.workflows, f"{rpc}Workflow"), request)
    typer.echo(f"{answer.workflow.key}: {render.workflow_status(answer.workflow)}")


@app.command()
def pause(workflow: str) -> None:
    """Stop starts, and running executions before their next step."""
    _move(workflow, "Pause")


@app.command()
def resume(workflow: str) -> None:
    """Undo a pause."""
    _move(workflow, "Resume")


@app.command()
def archive(workflow: str) -> None:
    """End a workflow for good; running executions go on to their end."""
    _move(workflow, "Archive")
