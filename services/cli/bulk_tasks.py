"""What a bulk operation does, by options: each function makes a task that `wayfarer bulk` previews or starts.

`joined` makes one command of a task and of what is done with it: the options of each are written once.
"""

import inspect
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import options as opt
from services.cli import values
from services.cli.session import api_session, contact_id

if TYPE_CHECKING:
    from wayfarer.execution.v1 import bulk_service_pb2

Ids = Annotated[list[str] | None, typer.Option("--id", help="Only this execution; repeat it.")]
IdsFrom = Annotated[
    Path | None, typer.Option(help="Only those whose ids this file has, one per line; - for standard input.")
]
FailedReason = Annotated[str, typer.Option(help="Only this reason, e.g. max_retries_exhausted.")]
Everything = Annotated[bool, typer.Option("--everything", help="Really every execution there is.")]


def joined(task: Callable[..., Any], act: Callable[..., None]) -> Callable[..., None]:
    """A command that makes the task by its options, and acts on it by the options of `act`."""
    of_task = inspect.signature(task).parameters
    of_act = dict(list(inspect.signature(act).parameters.items())[1:])

    def command(**given: Any) -> None:
        made = task(**{name: given[name] for name in of_task})
        act(made, **{name: given[name] for name in of_act})

    both = [*of_task.values(), *of_act.values()]
    command.__doc__, command.__name__ = task.__doc__, task.__name__
    command.__annotations__ = {one.name: one.annotation for one in both}
    # A plain attribute of functions that inspect honours and the checker does not know.
    setattr(command, "__signature__", inspect.Signature(both))  # noqa: B010
    return command


def retry(
    ids: Ids = None,
    ids_from: IdsFrom = None,
    workflow: opt.Workflow = "",
    version: opt.Version = 0,
    step: opt.Step = "",
    failed_reason: FailedReason = "",
    error_class: opt.ErrorClass = None,
    since: opt.Since = None,
    until: opt.Until = None,
    everything: Everything = False,
    from_step: Annotated[str, typer.Option(help="An earlier step to go on from.")] = "",
    skip: Annotated[bool, typer.Option("--skip", help="Go on after the failed step.")] = False,
) -> "bulk_service_pb2.BulkTask":
    """Queue FAILED executions again."""
    from wayfarer.execution.v1 import bulk_service_pb2 as pb

    chosen = _filter(
        ids=[*(ids or ()), *_lines(ids_from)],
        workflow=workflow,
        version=version,
        step=step,
        failed_reason=failed_reason,
        error_class=error_class,
        since=since,
        until=until,
    )
    _refuse_unmeant(chosen, everything)
    return pb.BulkTask(retry=pb.RetryMany(filter=chosen, from_step=from_step, skip_failed=skip))


def cancel(
    ids: Ids = None,
    ids_from: IdsFrom = None,
    status: opt.Statuses = None,
    workflow: opt.Workflow = "",
    version: opt.Version = 0,
    step: opt.Step = "",
    failed_reason: FailedReason = "",
    error_class: opt.ErrorClass = None,
    since: opt.Since = None,
    until: opt.Until = None,
    everything: Everything = False,
) -> "bulk_service_pb2.BulkTask":
    """Cancel executions."""
    from wayfarer.execution.v1 import bulk_service_pb2 as pb

    chosen = _filter(
        ids=[*(ids or ()), *_lines(ids_from)],
        statuses=status,
        workflow=workflow,
        version=version,
        step=step,
        failed_reason=failed_reason,
        error_class=error_class,
        since=since,
        until=until,
    )
    _refuse_unmeant(chosen, everything)
    return pb.BulkTask(cancel=pb.CancelMany(filter=chosen))


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


def _filter(
    *,
    ids: list[str],
    workflow: str,
    version: int,
    step: str,
    failed_reason: str,
    error_class: str | None,
    since: datetime | None,
    until: datetime | None,
    statuses: Iterable[str] | None = None,
) -> "bulk_service_pb2.ExecutionFilter":
    from wayfarer.common.v1 import failure_pb2
    from wayfarer.execution.v1 import bulk_service_pb2 as pb
    from wayfarer.execution.v1 import execution_pb2

    chosen = pb.ExecutionFilter(
        ids=ids, workflow=workflow, version=version, step_id=step, reason=failed_reason
    )
    chosen.statuses.extend(
        execution_pb2.ExecutionStatus.Value(f"EXECUTION_STATUS_{name}") for name in statuses or ()
    )
    if error_class:
        chosen.error_class = failure_pb2.ErrorClass.Value(f"ERROR_CLASS_{error_class}")
    if since:
        chosen.create_time_from.FromDatetime(since)
    if until:
        chosen.create_time_to.FromDatetime(until)
    return chosen


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
