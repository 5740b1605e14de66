"""`wayfarer start | executions | show | watch | log | verify`: contacts enter, and are seen on their way."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import options as opt
from services.cli import values
from services.cli.session import api_session, contact_id, pages, print_line, show_list, show_on_screen

if TYPE_CHECKING:
    from services.cli.connection import Api

_STREAM_S = 3600.0
_EXAMPLES = """
wayfarer executions --status FAILED --error-class NETWORK --since 2h

wayfarer executions --workflow welcome --version 2 --step call_home --all

wayfarer executions --contact jane --json
"""


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the program's own."""
    app.command()(start)
    app.command("executions", epilog=_EXAMPLES)(list_executions)
    app.command("list", help="The same as `executions`.", epilog=_EXAMPLES)(list_executions)
    app.command()(show)
    app.command()(watch)
    app.command()(log)
    app.command("logs", help="The same as `log`.")(log)
    app.command()(verify)


def start(
    workflow: opt.WorkflowArgument,
    contact: Annotated[str, typer.Argument(help="The contact's id, or your external id.")],
    trigger: Annotated[str, typer.Option(help="A JSON object the workflow may read as trigger.NAME.")] = "",
    priority: opt.Priority = None,
    entry_key: Annotated[str, typer.Option(help="Sets entries of one contact apart, e.g. a cart.")] = "",
    request_id: opt.RequestId = "",
    as_json: opt.Json = False,
) -> None:
    """Enter a contact into a workflow."""
    from wayfarer.execution.v1 import execution_pb2
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    data = values.json_object(trigger, "--trigger")
    with api_session() as api:
        request = pb.StartExecutionRequest(
            workflow=workflow,
            contact_id=contact_id(api, contact),
            entry_key=entry_key,
            request_id=request_id,
        )
        if priority:
            request.priority = execution_pb2.Priority.Value(f"PRIORITY_{priority}")
        if data:
            request.trigger.update(data)
        answer = api.call(api.executions.StartExecution, request)
    if as_json:
        typer.echo(render.as_json(answer))
    else:
        typer.echo(answer.execution.id + (f"  ({answer.message})" if answer.message else ""))


def list_executions(
    status: opt.Status = None,
    workflow: opt.Workflow = "",
    version: opt.Version = 0,
    step: opt.Step = "",
    contact: opt.Contact = "",
    reason: opt.Reason = "",
    error_class: opt.ErrorClass = None,
    since: opt.Since = None,
    until: opt.Until = None,
    limit: opt.Limit = 20,
    every: opt.All = False,
    page_token: opt.PageToken = "",
    as_json: opt.Json = False,
) -> None:
    """List executions, newest first; reason, class, step and version look at what is live or FAILED."""
    from wayfarer.common.v1 import failure_pb2
    from wayfarer.execution.v1 import execution_pb2
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    request = pb.ListExecutionsRequest(workflow=workflow, version=version, step_id=step, reason=reason)
    if status:
        request.status = execution_pb2.ExecutionStatus.Value(f"EXECUTION_STATUS_{status}")
    if error_class:
        request.error_class = failure_pb2.ErrorClass.Value(f"ERROR_CLASS_{error_class}")
    if since:
        request.create_time_from.FromDatetime(since)
    if until:
        request.create_time_to.FromDatetime(until)
    paging = opt.Paging(limit, every, page_token)
    filtered = bool(request.ByteSize() or contact)
    with api_session() as api:
        if contact:
            request.contact_id = contact_id(api, contact)
        show_list(
            pages(api, api.executions.ListExecutions, request, paging),
            "executions",
            render.executions,
            paging,
            as_json,
            "no execution is so"
            if filtered
            else "no executions; start one: `wayfarer start WORKFLOW CONTACT`",
        )


def show(execution: str, as_json: opt.Json = False) -> None:
    """Show one execution."""
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        found = api.call(api.executions.GetExecution, pb.GetExecutionRequest(id=execution)).execution
    if as_json:
        typer.echo(render.as_json(found))
    else:
        show_on_screen(render.one_execution(found))


def watch(execution: str, as_json: opt.Json = False) -> None:
    """Follow one execution live until it ends; as JSON, one object per change."""
    from services.cli import render

    with api_session() as api:
        shown = ""
        for change in _changes(api, execution):
            if as_json:
                print_line(change)
                continue
            for entry in change.log_entries:
                typer.echo(render.log_line(entry))
            state = f"{render.status(change.execution)} {render.blocked_on(change.execution)}".strip()
            if state != shown:
                typer.echo(f"              → {state}")
                shown = state


def _changes(api: "Api", execution: str) -> Iterator[Any]:
    """Each change of an execution until it has ended, however long that takes. Raises Refused."""
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli.connection import Refused

    seen, answered = 0, True
    while answered:
        answered = False
        request = pb.WatchExecutionRequest(id=execution, after_seq=seen)
        try:
            for change in api.stream(api.executions.WatchExecution, request, _STREAM_S):
                answered = True
                seen = max([seen, *(entry.seq for entry in change.log_entries)])
                yield change
            return
        except Refused as refused:
            if not (refused.passing and answered):
                raise


def log(
    execution: str,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the execution ends.")] = False,
    limit: opt.Limit = 1000,
    every: opt.All = False,
    as_json: opt.Json = False,
) -> None:
    """Show an execution's log; followed as JSON, one object per entry."""
    from wayfarer.execution.v1 import execution_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        if follow:
            for change in _changes(api, execution):
                for entry in change.log_entries:
                    if as_json:
                        print_line(entry)
                    else:
                        typer.echo(render.log_line(entry))
            return
        paging = opt.Paging(limit, every, "")
        request = pb.ListExecutionLogsRequest(execution_id=execution)
        answers = pages(api, api.executions.ListExecutionLogs, request, paging)
        show_list(answers, "log_entries", render.log, paging, as_json, "no entries")


def verify(
    executions: Annotated[int, typer.Option(min=1, max=100_000, help="Logs to read, newest first.")] = 1000,
    as_json: opt.Json = False,
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
