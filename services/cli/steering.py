"""`wayfarer pause | resume | retry | explain`: what operators do to one execution."""

from typing import Annotated, Any

import typer

from services.cli.session import Json, api_session, show_on_screen

Why = Annotated[str, typer.Option("--reason", help="Why, for the log.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the program's own."""
    for command in (pause, resume, retry, explain):
        app.command()(command)


def _steer(rpc: str, **fields: Any) -> None:
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        request = getattr(pb, f"{rpc}ExecutionRequest")(**fields)
        found = api.call(getattr(api.executions, f"{rpc}Execution"), request).execution
    pending = " (pauses once what it does now has ended)" if found.pause_requested else ""
    typer.echo(f"{found.id}: {render.status(found)}{pending}")


def pause(execution: str, reason: Why = "") -> None:
    """Stop an execution before its next step."""
    _steer("Pause", id=execution, reason=reason)


def resume(execution: str, reason: Why = "") -> None:
    """Undo a pause."""
    _steer("Resume", id=execution, reason=reason)


def retry(
    execution: str,
    reason: Why = "",
    from_step: Annotated[str, typer.Option(help="An earlier step to go on from.")] = "",
    skip: Annotated[bool, typer.Option("--skip", help="Go on after the failed step.")] = False,
) -> None:
    """Queue a failed execution again, at the failed step."""
    _steer("Retry", id=execution, reason=reason, from_step=from_step, skip_failed=skip)


def explain(execution: str, as_json: Json = False) -> None:
    """Say why an execution does not move, until when, and what would move it."""
    from wayfarer.execution.v1 import execution_pb2
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        request = pb.ExplainExecutionRequest(id=execution)
        answer = api.call(api.executions.ExplainExecution, request)
    if as_json:
        typer.echo(render.as_json(answer))
        return
    if not answer.blockers:
        typer.echo(f"{execution}: {render.status(answer.execution)}, nothing blocks it")
        return
    table = render.table("blocked on", "because", "since", "until", "place", "what would move it")
    for blocker in answer.blockers:
        kind = execution_pb2.BlockedOn.Name(blocker.kind).removeprefix("BLOCKED_ON_")
        table.add_row(
            kind,
            blocker.description,
            render.moment(blocker, "since"),
            render.moment(blocker, "until"),
            str(blocker.position or ""),
            blocker.remedy,
        )
    show_on_screen(table)
