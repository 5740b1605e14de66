"""`wayfarer bulk`: what is done to many executions or contacts at once, on the server, with its progress."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import bulk_tasks
from services.cli import options as opt
from services.cli.session import api_session, pages, show_list

if TYPE_CHECKING:
    from services.cli.connection import Api

app = typer.Typer(
    help="Many at once: preview, start, list, show, items, pause, resume, cancel.", no_args_is_help=True
)
_previews = typer.Typer(help="Count what would be concerned, and change nothing.", no_args_is_help=True)
_starts = typer.Typer(help="Begin one; it goes on whatever becomes of this terminal.", no_args_is_help=True)
app.add_typer(_previews, name="preview")
app.add_typer(_starts, name="start")

_LOOK_S = 0.5
_PREVIEW_S = 60.0
Operation = Annotated[str, typer.Argument(help="Its id.")]
_TASKS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "retry": (
        bulk_tasks.retry,
        ("--workflow welcome --error-class NETWORK --since 1d", "--ids-from failed.txt"),
    ),
    "cancel": (bulk_tasks.cancel, ("--workflow welcome --status WAITING --step settle_in",)),
    "enroll": (
        bulk_tasks.enroll,
        ("welcome --where \"'vip' in contact.tags\"", "welcome --contacts-from people.txt"),
    ),
    "migrate": (bulk_tasks.migrate, ("welcome --from 1 --map call=call_home --removed ADVANCE",)),
}


def preview(task: Any, as_json: opt.Json = False) -> None:
    """Counts what a task would concern."""
    from wayfarer.execution.v1 import bulk_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        request = pb.PreviewBulkOperationRequest(task=task)
        answer = api.call(api.bulk.PreviewBulkOperation, request, _PREVIEW_S)
    if as_json:
        typer.echo(render.as_json(answer))
        return
    _show_preview(task, answer)


def _show_preview(task: Any, answer: Any, *, err: bool = False) -> None:
    from services.cli import render

    if task.enroll.contact_filter:
        typer.echo("everybody for whom the condition holds; they are looked for once it is started", err=err)
        return
    counts = f": {_counts(answer.counts)}" if answer.counts else ""
    typer.echo(f"{answer.total} in all{counts}", err=err)
    if answer.moves:
        table = render.table("version", "from step", "to step", "executions")
        for move in answer.moves:
            to = move.to_step_id or "[yellow]is gone[/yellow]"
            table.add_row(str(move.version), move.step_id, to, str(move.executions))
        render.console(stderr=err).print(table)


def start(
    task: Any,
    reason: opt.Why = "",
    yes: opt.Yes = False,
    per_tick: Annotated[int, typer.Option(min=0, max=20_000, help="So many items at a time.")] = 0,
    tick: opt.Tick = None,
    request_id: opt.RequestId = "",
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
    as_json: opt.Json = False,
) -> None:
    """Begins a task, and follows it to its end."""
    from datetime import timedelta

    from wayfarer.execution.v1 import bulk_service_pb2 as pb

    request = pb.StartBulkOperationRequest(task=task, per_tick=per_tick, reason=reason, request_id=request_id)
    if per_tick or tick:
        request.tick.FromTimedelta(tick or timedelta(seconds=1))
    with api_session() as api:
        if not yes:
            _ask(api, task)
        operation = api.call(api.bulk.StartBulkOperation, request).operation
        if not detach:
            operation = _followed(api, operation, quiet=as_json)
    _show(operation, as_json)


def _ask(api: "Api", task: Any) -> None:
    """Shows how many it concerns, and goes on if somebody at the terminal says so. Raises Refused."""
    from wayfarer.execution.v1 import bulk_service_pb2 as pb

    if not sys.stdin.isatty():
        text = "nobody can be asked whether it is meant: there is no terminal; `preview` counts, --yes starts"
        raise typer.BadParameter(text, param_hint="--yes")
    request = pb.PreviewBulkOperationRequest(task=task)
    _show_preview(task, api.call(api.bulk.PreviewBulkOperation, request, _PREVIEW_S), err=True)
    if not typer.confirm("Start it?", err=True):
        typer.echo("nothing was begun", err=True)
        raise typer.Exit(1)


for _name, (_task, _examples) in _TASKS.items():
    for _verb, _app, _act in (("preview", _previews, preview), ("start", _starts, start)):
        _lines = "\n\n".join(f"wayfarer bulk {_verb} {_name} {words}" for words in _examples)
        _app.command(_name, help=_task.__doc__, epilog=_lines)(bulk_tasks.joined(_task, _act))


@app.command("list")
def list_operations(
    limit: opt.Limit = 20, every: opt.All = False, page_token: opt.PageToken = "", as_json: opt.Json = False
) -> None:
    """List operations, newest first."""
    from wayfarer.execution.v1 import bulk_service_pb2 as pb

    paging = opt.Paging(limit, every, page_token)
    with api_session() as api:
        answers = pages(api, api.bulk.ListBulkOperations, pb.ListBulkOperationsRequest(), paging)
        show_list(answers, "operations", _table, paging, as_json, "no bulk operations")


@app.command()
def show(
    operation: Operation,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    as_json: opt.Json = False,
) -> None:
    """Show one operation and its progress."""
    from wayfarer.execution.v1 import bulk_service_pb2 as pb

    with api_session() as api:
        found = api.call(api.bulk.GetBulkOperation, pb.GetBulkOperationRequest(id=operation)).operation
        if follow:
            found = _followed(api, found, quiet=as_json)
    _show(found, as_json)


@app.command()
def items(
    operation: Operation,
    outcome: Annotated[str, typer.Option(help="Only those that came to this, e.g. contact_not_found.")] = "",
    limit: opt.Limit = 50,
    every: opt.All = False,
    page_token: opt.PageToken = "",
    as_json: opt.Json = False,
) -> None:
    """List what each item came to."""
    from wayfarer.execution.v1 import bulk_service_pb2 as pb

    from services.cli import render

    def table(rows: Sequence[pb.BulkItem]) -> Any:
        made = render.table("#", "execution or contact", "came to", "execution", whole="execution or contact")
        for row in rows:
            made.add_row(str(row.item), row.subject_id, row.outcome, row.execution_id)
        return made

    paging = opt.Paging(limit, every, page_token)
    with api_session() as api:
        request = pb.ListBulkItemsRequest(id=operation, outcome=outcome)
        answers = pages(api, api.bulk.ListBulkItems, request, paging)
        show_list(answers, "items", table, paging, as_json, "no items")


@app.command()
def pause(operation: Operation, as_json: opt.Json = False) -> None:
    """Stop an operation between two ticks."""
    _move("Pause", operation, as_json)


@app.command()
def resume(operation: Operation, as_json: opt.Json = False) -> None:
    """Go on at its pace."""
    _move("Resume", operation, as_json)


@app.command()
def cancel(operation: Operation, as_json: opt.Json = False) -> None:
    """End an operation; what was done stays done."""
    _move("Cancel", operation, as_json)


def _move(rpc: str, operation: str, as_json: bool) -> None:
    from wayfarer.execution.v1 import bulk_service_pb2 as pb

    with api_session() as api:
        request = getattr(pb, f"{rpc}BulkOperationRequest")(id=operation)
        found = api.call(getattr(api.bulk, f"{rpc}BulkOperation"), request).operation
    _show(found, as_json)


def _followed(api: "Api", operation: Any, *, quiet: bool) -> Any:
    """The operation once it has ended, with its progress on the error stream meanwhile. Raises Refused."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from services.cli import render

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = render.console(stderr=True)
    found = operation
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        shown = bar.add_task("", total=None)
        try:
            for found in _looks(api, operation):
                kind, state = render.enum_name(found, "kind"), render.enum_name(found, "state")
                total = None if state == "GATHERING" else found.total
                bar.update(shown, description=f"{kind} {state}", total=total, completed=found.finished)
        except KeyboardInterrupt:
            typer.echo(f"it goes on: `wayfarer bulk show {operation.id} --follow`", err=True)
            raise typer.Exit(130) from None
    return found


def _looks(api: "Api", operation: Any) -> Iterator[Any]:
    from wayfarer.execution.v1 import bulk_service_pb2 as pb

    yield operation
    while not operation.HasField("end_time"):
        time.sleep(_LOOK_S)
        operation = api.call(api.bulk.GetBulkOperation, pb.GetBulkOperationRequest(id=operation.id)).operation
        yield operation


def _show(operation: Any, as_json: bool) -> None:
    from services.cli import render

    if as_json:
        typer.echo(render.as_json(operation))
        return
    kind, state = render.enum_name(operation, "kind"), render.enum_name(operation, "state")
    typer.echo(f"{operation.id}: {kind} {state}, {operation.finished} of {operation.total}")
    if operation.outcomes:
        typer.echo(f"  {_counts(operation.outcomes)}")


def _counts(counts: Any) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in sorted(counts, key=lambda name: -counts[name]))


def _table(rows: Sequence[Any]) -> Any:
    from services.cli import render

    made = render.table("operation", "kind", "state", "finished", "started", "outcomes", whole="operation")
    for row in rows:
        made.add_row(
            row.id,
            render.enum_name(row, "kind"),
            render.enum_name(row, "state"),
            f"{row.finished} of {row.total}",
            render.to_second(row, "create_time"),
            _counts(row.outcomes),
        )
    return made
