"""What a bulk operation does, by options: each function makes a task that `wayfarer bulk` previews or starts.

`joined` makes one command of two functions, so that the options of each are written once.
"""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from services.cli import options as opt
from services.cli import values
from services.cli.session import api_session, contact_id

if TYPE_CHECKING:
    from wayfarer.execution.v1 import bulk_service_pb2

T = TypeVar("T")
R = TypeVar("R")
Everything = Annotated[bool, typer.Option("--everything", help="Really every execution there is.")]


def joined(first: Callable[..., T], second: Callable[..., R]) -> Callable[..., R]:
    """`second` of what `first` makes, with the options of both; for people it says what `second` says."""
    of_first = inspect.signature(first).parameters
    of_second = dict(list(inspect.signature(second).parameters.items())[1:])

    def both(**given: Any) -> R:
        made = first(**{name: given[name] for name in of_first})
        return second(made, **{name: given[name] for name in of_second})

    options = [*of_first.values(), *of_second.values()]
    both.__doc__ = second.__doc__
    both.__annotations__ = {option.name: option.annotation for option in options}
    # inspect, and so the command line, honours it; the checker does not know it.
    setattr(both, "__signature__", inspect.Signature(options))  # noqa: B010
    return both


def _executions(
    ids: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="Only this execution; repeat it.")
    ] = None,
    ids_from: Annotated[
        Path | None, typer.Option(help="Only those of this file, an id per line; - for standard input.")
    ] = None,
    workflow: opt.Workflow = "",
    version: opt.Version = 0,
    step: opt.Step = "",
    failed_reason: Annotated[
        str, typer.Option(help="Only those that failed for it, e.g. max_retries_exhausted.")
    ] = "",
    error_class: opt.ErrorClass = None,
    since: opt.Since = None,
    until: opt.Until = None,
) -> "bulk_service_pb2.ExecutionFilter":
    from wayfarer.common.v1 import failure_pb2
    from wayfarer.execution.v1 import bulk_service_pb2 as pb

    chosen = pb.ExecutionFilter(workflow=workflow, version=version, step_id=step, reason=failed_reason)
    chosen.ids.extend([*(ids or ()), *_lines(ids_from)])
    if error_class:
        chosen.error_class = failure_pb2.ErrorClass.Value(f"ERROR_CLASS_{error_class}")
    if since:
        chosen.create_time_from.FromDatetime(since)
    if until:
        chosen.create_time_to.FromDatetime(until)
    return chosen


def _retry(
    chosen: "bulk_service_pb2.ExecutionFilter",
    everything: Everything = False,
    from_step: Annotated[str, typer.Option(help="An earlier step to go on from.")] = "",
    skip: Annotated[bool, typer.Option("--skip", help="Go on after the failed step.")] = False,
) -> "bulk_service_pb2.BulkTask":
    """Queue FAILED executions again."""
    from wayfarer.execution.v1 import bulk_service_pb2 as pb

    _refuse_unmeant(chosen, everything)
    return pb.BulkTask(retry=pb.RetryMany(filter=chosen, from_step=from_step, skip_failed=skip))


def _cancel(
    chosen: "bulk_service_pb2.ExecutionFilter", status: opt.Statuses = None, everything: Everything = False
) -> "bulk_service_pb2.BulkTask":
    """Cancel executions."""
    from wayfarer.execution.v1 import bulk_service_pb2 as pb
    from wayfarer.execution.v1 import execution_pb2

    chosen.statuses.extend(
        execution_pb2.ExecutionStatus.Value(f"EXECUTION_STATUS_{name}") for name in status or ()
    )
    _refuse_unmeant(chosen, everything)
    return pb.BulkTask(cancel=pb.CancelMany(filter=chosen))


retry = joined(_executions, _retry)
cancel = joined(_executions, _cancel)


def enroll(
    workflow: opt.WorkflowArgument,
    contact: Annotated[
        list[str] | None, typer.Option(help="A contact, by id or external id; repeat it.")
    ] = None,
    contacts_from: Annotated[
        Path | None, typer.Option(help="A file of contacts, one per line; - for standard input.")
    ] = None,
    where: Annotated[str, typer.Option(help="Those for whom it holds, e.g. \"'vip' in contact.tags\".")] = "",
    trigger: Annotated[str, typer.Option(help="A JSON object the workflow may read as trigger.NAME.")] = "",
    priority: opt.Priority = None,
) -> "bulk_service_pb2.BulkTask":
    """Enter contacts into a workflow."""
    from wayfarer.execution.v1 import bulk_service_pb2 as pb
    from wayfarer.execution.v1 import execution_pb2

    many = pb.EnrollMany(workflow=workflow, contact_filter=where)
    if priority:
        many.priority = execution_pb2.Priority.Value(f"PRIORITY_{priority}")
    if data := values.json_object(trigger, "--trigger"):
        many.trigger.update(data)
    if named := [*(contact or ()), *_lines(contacts_from)]:
        with api_session() as api:
            many.contact_ids.extend(contact_id(api, name) for name in named)
    return pb.BulkTask(enroll=many)


def migrate(
    workflow: opt.WorkflowArgument,
    from_version: Annotated[
        int, typer.Option("--from", min=0, max=opt.LAST_VERSION, help="From it; every other unless said.")
    ] = 0,
    to_version: Annotated[
        int, typer.Option("--to", min=0, max=opt.LAST_VERSION, help="To it; the latest unless said.")
    ] = 0,
    step_map: Annotated[
        list[str] | None, typer.Option("--map", metavar="OLD=NEW", help="A step's new id; repeat it.")
    ] = None,
    removed: opt.Removed = None,
) -> "bulk_service_pb2.BulkTask":
    """Move executions to another version of their workflow."""
    from wayfarer.execution.v1 import bulk_service_pb2 as pb

    many = pb.MigrateMany(
        workflow=workflow,
        from_version=from_version,
        to_version=to_version,
        step_map=values.pairs(step_map or (), "--map"),
    )
    if removed:
        many.removed = pb.RemovedStep.Value(f"REMOVED_STEP_{removed}")
    return pb.BulkTask(migrate=many)


def _refuse_unmeant(chosen: "bulk_service_pb2.ExecutionFilter", everything: bool) -> None:
    if not (chosen.ByteSize() or everything):
        raise typer.BadParameter("say which executions, or --everything", param_hint="filters")


def _lines(file: Path | None) -> list[str]:
    """The lines of a file that say something; wrong usage if it cannot be read, or says nothing."""
    if file is None:
        return []
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file}: {error}") from None
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise typer.BadParameter(f"{file} names none")
    return found
