"""The options that commands share, with their completions; help and completion of names load no gRPC."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from services.cli import values


def _one_of(names: tuple[str, ...], flag: str, metavar: str, help: str) -> Any:
    return typer.Option(
        flag,
        parser=values.one_of(names),
        autocompletion=values.completing(names),
        metavar=metavar,
        help=f"{help}: {', '.join(names)}.",
    )


def workflow_keys(incomplete: str) -> list[str]:
    """The keys of the account's workflows that begin like this; none if the API is away."""
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    from services.cli.connection import Refused, connect

    try:
        with connect() as api:
            answer = api.call(api.workflows.ListWorkflows, pb.ListWorkflowsRequest(page_size=1000), 2.0)
    except Refused:
        return []
    return [found.key for found in answer.workflows if found.key.startswith(incomplete)]


LAST_VERSION = 2**31 - 1

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")]
All = Annotated[bool, typer.Option("--all", help="Every one, page by page; as JSON, one object per line.")]
PageToken = Annotated[str, typer.Option(help="Go on where another page ended.", metavar="TOKEN")]
Why = Annotated[str, typer.Option("--reason", help="Why, for the log.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")]
RequestId = Annotated[str, typer.Option(help="A UUID: the same id does it once.", metavar="UUID")]

WorkflowArgument = Annotated[str, typer.Argument(help="Its key or id.", autocompletion=workflow_keys)]
Workflow = Annotated[
    str, typer.Option(help="Only this workflow, by key or id.", autocompletion=workflow_keys)
]
Contact = Annotated[str, typer.Option(help="Only this contact, by id or external id.")]
Version = Annotated[
    int, typer.Option(min=0, max=LAST_VERSION, help="Only this version; goes with --workflow.")
]
Step = Annotated[str, typer.Option(help="Only those at this step; goes with --workflow.")]
Reason = Annotated[str, typer.Option(help="Only this reason, e.g. max_retries_exhausted.")]
Status = Annotated[str | None, _one_of(values.EXECUTION_STATUSES, "--status", "STATUS", "Only this status")]
Statuses = Annotated[
    list[str] | None,
    _one_of(values.EXECUTION_STATUSES, "--status", "STATUS", "Only these statuses; repeat it"),
]
WorkflowStatus = Annotated[
    str | None, _one_of(values.WORKFLOW_STATUSES, "--status", "STATUS", "Only this status")
]
ErrorClass = Annotated[
    str | None, _one_of(values.ERROR_CLASSES, "--error-class", "CLASS", "Only this class of error")
]
Priority = Annotated[str | None, _one_of(values.PRIORITIES, "--priority", "PRIORITY", "Their priority")]
Removed = Annotated[
    str | None,
    _one_of(values.REMOVED_STEPS, "--removed", "RULE", "What becomes of those whose step is gone"),
]
Role = Annotated[str, _one_of(values.ROLES, "--role", "ROLE", "What it may do")]
Account = Annotated[int, typer.Option(min=0, metavar="NUMBER", help="Another account; needs a PLATFORM key.")]
RefusalKind = Annotated[str | None, _one_of(values.REFUSAL_KINDS, "--kind", "KIND", "Only this kind")]
Since = Annotated[
    datetime | None,
    typer.Option(parser=values.moment, metavar="TIME", help="Only those accepted since: a time, or 2h ago."),
]
Until = Annotated[
    datetime | None, typer.Option(parser=values.moment, metavar="TIME", help="Only those accepted before.")
]
Tick = Annotated[
    timedelta | None,
    typer.Option(parser=values.span, metavar="SPAN", help="How often, e.g. 500ms or 1m; 1 s unless said."),
]


@dataclass(frozen=True, slots=True)
class Paging:
    """What of a list to show: the `limit` after `token`, or everything."""

    limit: int
    every: bool
    token: str
