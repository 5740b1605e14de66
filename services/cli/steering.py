"""`wayfarer cancel | pause | resume | retry | skip | explain`: what operators do to one execution."""

from typing import Annotated, Any

import typer

from services.cli import options as opt
from services.cli.session import api_session, show_on_screen


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the program's own."""
    for command in (cancel, pause, resume, retry, skip, explain):
        app.command()(command)


def _steer(rpc: str, as_json: bool, **fields: Any) -> None:
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        request = getattr(pb, f"{rpc}ExecutionRequest")(**fields)
        found = api.call(getattr(api.executions, f"{rpc}Execution"), request).execution
    if as_json:
        typer.echo(render.as_json(found))
        return
    pending = " (pauses once what it does now has ended)" if found.pause_requested else ""
    typer.echo(f"{found.id}: {render.status(found)}{pending}")


def cancel(execution: str, reason: opt.Why = "", as_json: opt.Json = False) -> None:
    """End an execution before its next step."""
    _steer("Cancel", as_json, id=execution, reason=reason)


def pause(execution: str, reason: opt.Why = "", as_json: opt.Json = False) -> None:
    """Stop an execution before its next step."""
    _steer("Pause", as_json, id=execution, reason=reason)


def resume(execution: str, reason: opt.Why = "", as_json: opt.Json = False) -> None:
    """Undo a pause."""
    _steer("Resume", as_json, id=execution, reason=reason)


def retry(
    execution: str,
    reason: opt.Why = "",
    from_step: Annotated[str, typer.Option(help="An earlier step to go on from.")] = "",
    skip: Annotated[bool, typer.Option("--skip", help="Go on after the failed step.")] = False,
    as_json: opt.Json = False,
) -> None:
    """Queue a failed execution again, at the failed step."""
    _steer("Retry", as_json, id=execution, reason=reason, from_step=from_step, skip_failed=skip)


def skip(execution: str, reason: opt.Why = "", as_json: opt.Json = False) -> None:
    """Queue a failed execution again, after the failed step."""
    _steer("Retry", as_json, id=execution, reason=reason, skip_failed=True)


def explain(execution: str, as_json: opt.Json = False) -> None:
    """Say why an execution does not move, until when, and what would move it."""
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
        table.add_row(
            render.enum_name(blocker, "kind"),
            render.literal(blocker.description),
            render.moment(blocker, "since"),
            render.moment(blocker, "until"),
            str(blocker.position or ""),
            render.literal(blocker.remedy),
        )
    show_on_screen(table)
