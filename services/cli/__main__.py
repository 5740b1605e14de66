"""Entry point `wayfarer`: one function per command; gRPC is imported only by commands that call.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.cli import contacts, events, steering, workflows
from services.cli.session import Json, Limit, api_session, contact_id, show_on_screen

app = typer.Typer(
    name="wayfarer",
    help="Durable execution of customer-journey workflows.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.add_typer(contacts.app, name="contacts")
app.add_typer(workflows.app, name="workflows")
app.add_typer(events.app, name="events")
steering.add_to(app)

_WATCH_S = 3600.0


@app.command()
def up(
    port_base: Annotated[int | None, typer.Option(help="First port; every other follows it.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Worker processes.")] = 1,
    state_dir: Annotated[Path | None, typer.Option(help="Where data lies; default $WAYFARER_HOME.")] = None,
    executor: Annotated[
        list[str] | None,
        typer.Option(
            envvar="WAYFARER_EXECUTORS",
            metavar="NAME=HOST:PORT",
            help="A family of actions that you run yourself; may be repeated.",
        ),
    ] = None,
) -> None:
    """Run the whole stack on this machine until Ctrl-C. Data survives a restart."""
    from services.cli.up import executors_of, run

    raise typer.Exit(run(port_base, workers, state_dir, executors_of(executor or [])))


@app.command()
def demo(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout, the rest on stderr.")
    ] = False,
    contacts: Annotated[int, typer.Option(min=1, max=1000, help="How many contacts travel.")] = 10,
    keep: Annotated[bool, typer.Option(help="Keep the demo's data and logs, and say where.")] = False,
) -> None:
    """Start a stack of its own, send contacts through a welcome sequence, and show what happened."""
    from services.cli.demo import run

    raise typer.Exit(run(contacts, as_json=as_json, keep=keep))


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="A workflow document, YAML or JSON; - for standard input.")],
    validate_only: Annotated[bool, typer.Option(help="Only check it.")] = False,
    publish: Annotated[bool, typer.Option(help="Publish it, or only keep it as the draft.")] = True,
) -> None:
    """Check a workflow document, keep it as the draft, and publish it."""
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        typer.echo(f"{file}: {error}", err=True)
        raise typer.Exit(2) from None
    with api_session() as api:
        request = pb.ApplyWorkflowRequest(
            document=text, validate_only=validate_only, publish=publish and not validate_only
        )
        workflow = api.call(api.workflows.ApplyWorkflow, request).workflow
    done = "is valid" if validate_only else f"version {workflow.published_version} is published"
    typer.echo(f"{workflow.key}: {workflow.total_steps} steps; {done if publish else 'kept as draft'}")


@app.command()
def start(
    workflow: Annotated[str, typer.Argument(help="Its key or id.")],
    contact: Annotated[str, typer.Argument(help="The contact's id, or your external id.")],
    trigger: Annotated[str, typer.Option(help="A JSON object the workflow may read as trigger.NAME.")] = "",
    request_id: Annotated[str, typer.Option(help="A UUID: the same id starts once.")] = "",
    as_json: Json = False,
) -> None:
    """Enter a contact into a workflow."""
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    try:
        data = json.loads(trigger) if trigger else {}
        if not isinstance(data, dict):
            raise ValueError("must be a JSON object")
    except ValueError as error:
        typer.echo(f"--trigger: {error}", err=True)
        raise typer.Exit(2) from None
    with api_session() as api:
        request = pb.StartExecutionRequest(
            workflow=workflow, contact_id=contact_id(api, contact), request_id=request_id
        )
        if data:
            request.trigger.update(data)
        answer = api.call(api.executions.StartExecution, request)
    if as_json:
        typer.echo(render.as_json(answer))
    else:
        typer.echo(answer.execution.id + (f"  ({answer.message})" if answer.message else ""))


@app.command("list")
def list_executions(
    status: Annotated[str, typer.Option(help="Only this status, e.g. FAILED.")] = "",
    workflow: Annotated[str, typer.Option(help="Only this workflow, by key or id.")] = "",
    contact: Annotated[str, typer.Option(help="Only this contact, by id or external id.")] = "",
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List executions, newest first."""
    from wayfarer.execution.v1 import execution_pb2
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    names = {name.removeprefix("EXECUTION_STATUS_") for name in list(execution_pb2.ExecutionStatus.keys())}
    if status and status.upper() not in names:
        typer.echo(f"--status: one of {', '.join(sorted(names - {'UNSPECIFIED'}))}", err=True)
        raise typer.Exit(2)
    with api_session() as api:
        request = pb.ListExecutionsRequest(workflow=workflow, page_size=limit)
        if status:
            request.status = execution_pb2.ExecutionStatus.Value(f"EXECUTION_STATUS_{status.upper()}")
        if contact:
            request.contact_id = contact_id(api, contact)
        answer = api.call(api.executions.ListExecutions, request)
    if as_json:
        typer.echo(render.as_json(answer))
    elif answer.executions:
        show_on_screen(render.executions(answer.executions))
    else:
        typer.echo("no executions; start one with `wayfarer start WORKFLOW CONTACT`")


@app.command()
def show(execution: str, as_json: Json = False) -> None:
    """Show one execution."""
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        found = api.call(api.executions.GetExecution, pb.GetExecutionRequest(id=execution)).execution
    if as_json:
        typer.echo(render.as_json(found))
    else:
        show_on_screen(render.one_execution(found))


@app.command()
def watch(execution: str, as_json: Json = False) -> None:
    """Follow one execution live until it ends."""
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        request = pb.WatchExecutionRequest(id=execution)
        shown = ""
        for change in api.stream(api.executions.WatchExecution, request, _WATCH_S):
            if as_json:  # one object per line and change
                typer.echo(json.dumps(render.plain(change), ensure_ascii=False))
                continue
            for entry in change.log_entries:
                step = f" {entry.step_id}" if entry.step_id else ""
                why = f"  {render.failure(entry.failure)}" if entry.HasField("failure") else ""
                typer.echo(f"{render.moment(entry, 'time')}  {entry.event}{step}{why}")
            state = f"{render.status(change.execution)} {render.blocked_on(change.execution)}".strip()
            if state != shown:
                typer.echo(f"              → {state}")
                shown = state


@app.command()
def logs(execution: str, limit: Limit = 1000, as_json: Json = False) -> None:
    """Show an execution's log."""
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        request = pb.ListExecutionLogsRequest(execution_id=execution, page_size=limit)
        answer = api.call(api.executions.ListExecutionLogs, request)
    if as_json:
        typer.echo(render.as_json(answer))
    else:
        show_on_screen(render.log(answer.log_entries))


@app.command()
def cancel(execution: str, reason: Annotated[str, typer.Option(help="Why, for the log.")] = "") -> None:
    """End an execution before its next step."""
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        request = pb.CancelExecutionRequest(id=execution, reason=reason)
        answer = api.call(api.executions.CancelExecution, request)
    typer.echo(f"{answer.execution.id}: {render.status(answer.execution)}")


@app.command()
def verify(
    executions: Annotated[int, typer.Option(min=1, max=100_000, help="Logs to read, newest first.")] = 1000,
    as_json: Json = False,
) -> None:
    """Check the invariants: log chains, rows against logs, reasons to wake, limits."""
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        request = pb.VerifyExecutionsRequest(max_executions=executions)
        answer = api.call(api.executions.VerifyExecutions, request, 300.0)
    if as_json:
        typer.echo(render.as_json(answer))
    else:
        show_on_screen(render.checks(answer))
    if any(check.violations for check in answer.checks):
        raise typer.Exit(1)


@app.command("action-types")
def action_types(as_json: Json = False) -> None:
    """List what actions the executors at hand can do."""
    from wayfarer.action.v1 import action_pb2
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        answer = api.call(api.workflows.ListActionTypes, pb.ListActionTypesRequest())
    if as_json:
        typer.echo(render.as_json(answer))
        return
    table = render.table("type", "family", "delivery", "what it does")
    for kind in answer.action_types:
        delivery = action_pb2.DeliveryClass.Name(kind.delivery_class).removeprefix("DELIVERY_CLASS_")
        table.add_row(kind.name, kind.family, delivery, kind.summary)
    show_on_screen(table)


def main() -> None:
    """Runs the command line."""
    # gRPC's own log lines are not for people.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    app()


if __name__ == "__main__":
    main()
