"""Turns messages into tables and lines for people; the commands and the demo call it."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from rich.markup import escape
from rich.table import Table
from wayfarer.common.v1 import failure_pb2
from wayfarer.execution.v1 import execution_pb2 as pb
from wayfarer.execution.v1 import workflow_pb2

_COLORS = {
    "COMPLETED": "green",
    "ACTIVE": "cyan",
    "QUEUED": "blue",
    "WAITING": "yellow",
    "PAUSED": "magenta",
    "FAILED": "red",
    "CANCELLED": "dim",
}


def status(execution: pb.Execution) -> str:
    """The short name of a status, e.g. ACTIVE."""
    return pb.ExecutionStatus.Name(execution.status).removeprefix("EXECUTION_STATUS_")


def blocked_on(execution: pb.Execution) -> str:
    """Why it does not move, e.g. TIMER; empty if it does."""
    return pb.BlockedOn.Name(execution.blocked_on).removeprefix("BLOCKED_ON_") if execution.blocked_on else ""


def workflow_status(workflow: workflow_pb2.Workflow) -> str:
    """The short name of a workflow's status."""
    return workflow_pb2.WorkflowStatus.Name(workflow.status).removeprefix("WORKFLOW_STATUS_")


def colored(name: str) -> str:
    """A status in its color."""
    color = _COLORS.get(name, "white")
    return f"[{color}]{name}[/{color}]"


def moment(message: Message, field: str) -> str:
    """A time of a message, in the reader's zone; empty if there is none."""
    if not message.HasField(field):
        return ""
    at: datetime = getattr(message, field).ToDatetime(tzinfo=datetime.now().astimezone().tzinfo)
    return at.strftime("%H:%M:%S.%f")[:-3]


def failure(error: failure_pb2.Failure) -> str:
    """An error in one line."""
    kind = failure_pb2.ErrorClass.Name(error.error_class).removeprefix("ERROR_CLASS_").lower()
    return f"{kind} · {error.provider} {error.code}: {error.message}"


def as_json(message: Message) -> str:
    """A message as JSON, with the field names of the protos."""
    return json.dumps(plain(message), indent=2, ensure_ascii=False)


def plain(message: Message) -> dict[str, Any]:
    """A message as plain data, with short names for statuses."""
    data: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return {key: _short(value) for key, value in data.items()}


def _short(value: Any) -> Any:
    if isinstance(value, str):
        for prefix in ("EXECUTION_STATUS_", "WORKFLOW_STATUS_", "BLOCKED_ON_", "PRIORITY_", "ERROR_CLASS_"):
            if value.startswith(prefix):
                return value.removeprefix(prefix)
        return value
    if isinstance(value, list):
        return [_short(item) for item in value]
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    return value


def executions(rows: Iterable[pb.Execution], title: str = "") -> Table:
    """A table of executions."""
    table = Table(title=title or None, title_justify="left")
    for name in ("execution", "workflow", "status", "step", "progress", "waits for", "started"):
        table.add_column(name, no_wrap=name == "execution")
    for row in rows:
        name = status(row)
        step = row.current_step_id or row.reason
        table.add_row(
            row.id,
            f"{row.workflow_key} v{row.workflow_version}",
            colored(name),
            step,
            f"{row.progress_percent} %",
            blocked_on(row),
            moment(row, "create_time"),
        )
    return table


def log(entries: Iterable[pb.LogEntry], title: str = "") -> Table:
    """A table of log entries."""
    table = Table(title=title or None, title_justify="left")
    for name in ("#", "time", "event", "step", "try", "took", "particulars"):
        right, whole = name in ("#", "try", "took"), name != "particulars"
        table.add_column(name, justify="right" if right else "left", no_wrap=whole, overflow="ellipsis")
    for entry in entries:
        took = f"{entry.duration.ToMilliseconds()} ms" if entry.HasField("duration") else ""
        particulars = [
            json.dumps(_whole(json_format.MessageToDict(entry.detail)), ensure_ascii=False)
            if entry.HasField("detail")
            else ""
        ]
        if entry.HasField("failure"):
            particulars.append(failure(entry.failure))
        table.add_row(
            str(entry.seq),
            moment(entry, "time"),
            entry.event,
            entry.step_id,
            str(entry.attempt or ""),
            took,
            escape(" ".join(p for p in particulars if p)),
        )
    return table


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def one_execution(execution: pb.Execution) -> Table:
    """All there is to say of one execution."""
    table = Table(show_header=False, box=None)
    rows = {
        "execution": execution.id,
        "workflow": f"{execution.workflow_key} v{execution.workflow_version} ({execution.workflow_id})",
        "contact": execution.contact_id,
        "status": colored(status(execution)) + (f" · {execution.reason}" if execution.reason else ""),
        "step": f"{execution.current_step_id} ({execution.current_step_index} of {execution.total_steps},"
        f" {execution.progress_percent} %)",
        "attempt": f"{execution.attempt} ({execution.retry_count} retries)" if execution.attempt else "",
        "waits for": blocked_on(execution),
        "moves at": moment(execution, "wake_time"),
        "error": failure(execution.failure) if execution.HasField("failure") else "",
        "steps run": str(execution.steps_run),
        "log entries": str(execution.log_entries),
        "started": moment(execution, "create_time"),
        "ended": moment(execution, "end_time"),
    }
    for name, value in rows.items():
        if value:
            table.add_row(f"[dim]{name}[/dim]", value)
    return table
