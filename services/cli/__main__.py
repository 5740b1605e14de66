"""Entry point `wayfarer`: one function per command; gRPC is imported only by commands that call.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from services.cli.connection import Api

app = typer.Typer(
    name="wayfarer",
    help="Durable execution of customer-journey workflows.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
contacts_app = typer.Typer(help="Contacts: create, get, list.", no_args_is_help=True)
workflows_app = typer.Typer(help="Workflows: list, show, pause, resume, archive.", no_args_is_help=True)
app.add_typer(contacts_app, name="contacts")
app.add_typer(workflows_app, name="workflows")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")]
_WATCH_S = 3600.0


@contextmanager
def _api() -> Iterator["Api"]:
    """The API, with refusals printed as lines and exit code 1."""
    from services.cli.connection import Refused, connect

    try:
        with connect() as api:
            yield api
    except Refused as refused:
        for line in refused.lines:
            typer.echo(line, err=True)
        raise typer.Exit(1) from None


def _print(what: Any) -> None:
    from rich.console import Console

    Console().print(what)


@app.command()
def up(
    port_base: Annotated[int | None, typer.Option(help="First port; every other follows it.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Worker processes.")] = 1,
    state_dir: Annotated[Path | None, typer.Option(help="Where data lies; default $WAYFARER_HOME.")] = None,
) -> None:
    """Run the whole stack on this machine until Ctrl-C. Data survives a restart."""
    from services.cli.up import run

    raise typer.Exit(run(port_base, workers, state_dir))


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
    with _api() as api:
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
    with _api() as api:
        request = pb.StartExecutionRequest(
            workflow=workflow, contact_id=_contact_id(api, contact), request_id=request_id
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
    with _api() as api:
        request = pb.ListExecutionsRequest(workflow=workflow, page_size=limit)
        if status:
            request.status = execution_pb2.ExecutionStatus.Value(f"EXECUTION_STATUS_{status.upper()}")
        if contact:
            request.contact_id = _contact_id(api, contact)
        answer = api.call(api.executions.ListExecutions, request)
    if as_json:
        typer.echo(render.as_json(answer))
    elif answer.executions:
        _print(render.executions(answer.executions))
    else:
        typer.echo("no executions; start one with `wayfarer start WORKFLOW CONTACT`")


@app.command()
def show(execution: str, as_json: Json = False) -> None:
    """Show one execution."""
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    with _api() as api:
        found = api.call(api.executions.GetExecution, pb.GetExecutionRequest(id=execution)).execution
    if as_json:
        typer.echo(render.as_json(found))
    else:
        _print(render.one_execution(found))


@app.command()
def watch(execution: str) -> None:
    """Follow one execution live until it ends."""
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    with _api() as api:
        request = pb.WatchExecutionRequest(id=execution)
        shown = ""
        for change in api.stream(api.executions.WatchExecution, request, _WATCH_S):
            for entry in change.log_entries:
                step = f" {entry.step_id}" if entry.step_id else ""
                typer.echo(f"{render.moment(entry, 'time')}  {entry.event}{step}")
            state = f"{render.status(change.execution)} {render.blocked_on(change.execution)}".strip()
            if state != shown:
                typer.echo(f"              → {state}")
                shown = state


@app.command()
def logs(execution: str, limit: Limit = 1000, as_json: Json = False) -> None:
    """Show an execution's log."""
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    with _api() as api:
        request = pb.ListExecutionLogsRequest(execution_id=execution, page_size=limit)
        answer = api.call(api.executions.ListExecutionLogs, request)
    if as_json:
        typer.echo(render.as_json(answer))
    else:
        _print(render.log(answer.log_entries))


@app.command()
def cancel(execution: str, reason: Annotated[str, typer.Option(help="Why, for the log.")] = "") -> None:
    """End an execution before its next step."""
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    with _api() as api:
        request = pb.CancelExecutionRequest(id=execution, reason=reason)
        answer = api.call(api.executions.CancelExecution, request)
    typer.echo(f"{answer.execution.id}: {render.status(answer.execution)}")


@app.command()
def verify(
    executions: Annotated[int, typer.Option(min=1, max=100_000, help="Logs to read, newest first.")] = 1000,
) -> None:
    """Check the invariants: log chains, rows against logs, reasons to wake, limits."""
    from rich.table import Table
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    with _api() as api:
        request = pb.VerifyExecutionsRequest(max_executions=executions)
        answer = api.call(api.executions.VerifyExecutions, request, 300.0)
    table = Table(title=f"{answer.executions_checked} executions read log by log", title_justify="left")
    for name in ("", "invariant", "violations"):
        table.add_column(name)
    for check in answer.checks:
        found = "[green]none[/green]" if not check.violations else f"[red]{check.violations}[/red]"
        table.add_row(check.id, check.description, "\n".join([found, *check.examples]))
    _print(table)
    if any(check.violations for check in answer.checks):
        raise typer.Exit(1)


@app.command("action-types")
def action_types(as_json: Json = False) -> None:
    """List what actions the executors at hand can do."""
    from rich.table import Table
    from wayfarer.action.v1 import action_pb2
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    from services.cli import render

    with _api() as api:
        answer = api.call(api.workflows.ListActionTypes, pb.ListActionTypesRequest())
    if as_json:
        typer.echo(render.as_json(answer))
        return
    table = Table("type", "family", "delivery", "what it does")
    for kind in answer.action_types:
        delivery = action_pb2.DeliveryClass.Name(kind.delivery_class).removeprefix("DELIVERY_CLASS_")
        table.add_row(kind.name, kind.family, delivery, kind.summary)
    _print(table)


@workflows_app.command("list")
def list_workflows(limit: Limit = 50, as_json: Json = False) -> None:
    """List workflows, newest first."""
    from rich.table import Table
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    from services.cli import render

    with _api() as api:
        answer = api.call(api.workflows.ListWorkflows, pb.ListWorkflowsRequest(page_size=limit))
    if as_json:
        typer.echo(render.as_json(answer))
        return
    table = Table("key", "name", "status", "version", "steps")
    for found in answer.workflows:
        table.add_row(
            found.key,
            found.name,
            render.workflow_status(found),
            str(found.published_version),
            str(found.total_steps),
        )
    _print(table)


@workflows_app.command("show")
def show_workflow(workflow: str, version: Annotated[int, typer.Option(help="0 for the draft.")] = 0) -> None:
    """Print a workflow's document as JSON."""
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    with _api() as api:
        request = pb.GetWorkflowRequest(workflow=workflow, version=version)
        found = api.call(api.workflows.GetWorkflow, request).workflow
    typer.echo(json.dumps(json.loads(found.document), indent=2, ensure_ascii=False))


def _move(workflow: str, rpc: str) -> None:
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    from services.cli import render

    with _api() as api:
        request = getattr(pb, f"{rpc}WorkflowRequest")(workflow=workflow)
        answer = api.call(getattr(api.workflows, f"{rpc}Workflow"), request)
    typer.echo(f"{answer.workflow.key}: {render.workflow_status(answer.workflow)}")


@workflows_app.command()
def pause(workflow: str) -> None:
    """Stop starts, and running executions before their next step."""
    _move(workflow, "Pause")


@workflows_app.command()
def resume(workflow: str) -> None:
    """Undo a pause."""
    _move(workflow, "Resume")


@workflows_app.command()
def archive(workflow: str) -> None:
    """End a workflow for good; running executions go on to their end."""
    _move(workflow, "Archive")


@contacts_app.command()
def create(
    external_id: Annotated[str, typer.Option(help="Your own id of the person.")] = "",
    email: Annotated[str, typer.Option()] = "",
    phone: Annotated[str, typer.Option(help="In E.164 form, e.g. +491701234567.")] = "",
    first_name: Annotated[str, typer.Option()] = "",
    last_name: Annotated[str, typer.Option()] = "",
    tag: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
) -> None:
    """Create a contact, or update the one of the same external id."""
    from wayfarer.crm.v1 import contact_pb2
    from wayfarer.crm.v1 import contact_service_pb2 as pb

    with _api() as api:
        contact = contact_pb2.Contact(
            external_id=external_id,
            email=email,
            phone=phone,
            first_name=first_name,
            last_name=last_name,
            tags=tag or [],
        )
        request = pb.CreateContactRequest(contact=contact, upsert=bool(external_id))
        answer = api.call(api.contacts.CreateContact, request)
    typer.echo(f"{answer.contact.id}  ({'created' if answer.created else 'updated'})")


@contacts_app.command()
def get(contact: str) -> None:
    """Print a contact, by id or external id, as JSON."""
    from wayfarer.crm.v1 import contact_service_pb2 as pb

    from services.cli import render

    with _api() as api:
        request = pb.GetContactRequest(id=_contact_id(api, contact))
        found = api.call(api.contacts.GetContact, request).contact
    typer.echo(render.as_json(found))


@contacts_app.command("list")
def list_contacts(limit: Limit = 20, as_json: Json = False) -> None:
    """List contacts, newest first."""
    from rich.table import Table
    from wayfarer.crm.v1 import contact_service_pb2 as pb

    from services.cli import render

    with _api() as api:
        answer = api.call(api.contacts.ListContacts, pb.ListContactsRequest(page_size=limit))
    if as_json:
        typer.echo(render.as_json(answer))
        return
    table = Table("contact", "external id", "name", "e-mail", "tags")
    for found in answer.contacts:
        name = f"{found.first_name} {found.last_name}".strip()
        table.add_row(found.id, found.external_id, name, found.email, ", ".join(found.tags))
    _print(table)


def _contact_id(api: "Api", name: str) -> str:
    """The id of a contact named by id or external id."""
    from uuid import UUID

    from wayfarer.crm.v1 import contact_service_pb2 as pb

    try:
        return str(UUID(name))
    except ValueError:
        request = pb.GetContactRequest(external_id=name)
        return str(api.call(api.contacts.GetContact, request).contact.id)


def main() -> None:
    """Runs the command line."""
    # gRPC's own log lines are not for people.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    app()


if __name__ == "__main__":
    main()
