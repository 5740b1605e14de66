"""Turns messages into tables and lines for people; the commands and the demo call it."""

import json
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from wayfarer.common.v1 import failure_pb2
from wayfarer.execution.v1 import execution_pb2 as pb
from wayfarer.execution.v1 import execution_service_pb2, workflow_pb2

_COLORS = {
    "COMPLETED": "green",
    "ACTIVE": "cyan",
    "QUEUED": "blue",
    "WAITING": "yellow",
    "PAUSED": "magenta",
    "FAILED": "red",
    "CANCELLED": "dim",
}
_MASKED = "[redacted]"
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LONG = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
_FILE_COLUMNS = 160
_ID_WIDTH = 36


def status(execution: pb.Execution) -> str:
    """The short name of a status, e.g. ACTIVE."""
    return pb.ExecutionStatus.Name(execution.status).removeprefix("EXECUTION_STATUS_")


def blocked_on(execution: pb.Execution) -> str:
    """Why it does not move, e.g. TIMER; empty if it does."""
    return pb.BlockedOn.Name(execution.blocked_on).removeprefix("BLOCKED_ON_") if execution.blocked_on else ""


def workflow_status(workflow: workflow_pb2.Workflow) -> str:
    """The short name of a workflow's status."""
    return workflow_pb2.WorkflowStatus.Name(workflow.status).removeprefix("WORKFLOW_STATUS_")


def literal(text: str) -> str:
    """Text that is shown as it is, even if it looks like markup."""
    return escape(text)


def color(name: str) -> str:
    """The color of a status."""
    return _COLORS.get(name, "white")


def colored(name: str) -> str:
    """A status in its color."""
    return f"[{color(name)}]{name}[/{color(name)}]"


def moment(message: Message, field: str) -> str:
    """A time of a message, in the reader's zone, with the date unless today; empty if there is none."""
    if not message.HasField(field):
        return ""
    now = datetime.now().astimezone()
    at: datetime = getattr(message, field).ToDatetime(tzinfo=now.tzinfo)
    return f"{at:%H:%M:%S.%f}"[:-3] if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}"


def to_second(message: Message, field: str) -> str:
    """As `moment`, without the fraction."""
    return moment(message, field).partition(".")[0]


def length(of: timedelta) -> str:
    """A span in its two largest units, e.g. "2 h 5 min"; a tenth of a second is the least."""
    seconds = of.total_seconds()
    if seconds < 10:
        return f"{seconds:.1f} s"
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, whole_seconds = divmod(rest, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (whole_seconds, "s"))
    first = next(n for n, (value, _) in enumerate(parts) if value)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2] if value)


def failure(error: failure_pb2.Failure) -> str:
    """An error in one line."""
    kind = failure_pb2.ErrorClass.Name(error.error_class).removeprefix("ERROR_CLASS_").lower()
    told = f"{kind} · {error.provider} {error.code}: {error.message}"
    # A provider's words are not ours: no line breaks, nothing that a terminal would obey.
    return "".join(letter if letter.isprintable() else " " for letter in told)


def as_json(message: Message) -> str:
    """A message as JSON, with the field names of the protos."""
    return json.dumps(plain(message), indent=2, ensure_ascii=False)


def plain(message: Message) -> dict[str, Any]:
    """A message as plain data: every field, short names for enums, whole numbers as such."""
    data = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    named: dict[str, Any] = _named(cast(Descriptor, message.DESCRIPTOR), whole(data))
    return named


def given(message: Message) -> dict[str, Any]:
    """As `plain`, but without the fields that are not set."""
    return cast(dict[str, Any], whole(json_format.MessageToDict(message, preserving_proto_field_name=True)))


def _named(kind: Descriptor, data: Any) -> Any:
    if kind.full_name.startswith("google.protobuf.") or not isinstance(data, dict):
        return data
    return {name: _value(kind.fields_by_name[name], value) for name, value in data.items()}


def _value(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, list):
        return [_value(field, one) for one in value]
    if field.message_type is not None:
        if field.message_type.GetOptions().map_entry:
            of = field.message_type.fields_by_name["value"]
            return {key: _value(of, one) for key, one in value.items()}
        return _named(field.message_type, value)
    if field.enum_type is not None:
        return _short(field.enum_type, value)
    return int(value) if field.cpp_type in _LONG else value


def _short(kind: EnumDescriptor, name: str) -> str:
    return name.removeprefix(_CAPITAL.sub("_", kind.name).upper() + "_") if isinstance(name, str) else name


def enum_name(message: Message, field: str) -> str:
    """The short name of a message's enum, e.g. RETRY; empty if it is not set."""
    kind = cast(EnumDescriptor, message.DESCRIPTOR.fields_by_name[field].enum_type)
    number = getattr(message, field)
    known = kind.values_by_number.get(number)
    return (_short(kind, known.name) if known else str(number)) if number else ""


def console(*, stderr: bool = False) -> Console:
    """Where tables go; what is no terminal gets lines wide enough that nothing is folded away."""
    made = Console(stderr=stderr)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _FILE_COLUMNS
    return made


def table(*columns: str, title: str = "", whole: str = "") -> Table:
    """An empty table as all of them look.

    The ids in the column `whole` can be copied from any screen: the last column gives way first.
    """
    made = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in columns:
        firm = bool(whole) and name != columns[-1]
        made.add_column(name, no_wrap=firm, min_width=_ID_WIDTH if name == whole else None)
    return made


def executions(rows: Sequence[pb.Execution], title: str = "Executions") -> Table:
    """A table of executions that fits 80 columns where it can: what all rows share goes into the title."""
    versions = {f"{row.workflow_key} v{row.workflow_version}" for row in rows}
    mixed = len(versions) > 1
    blocked = any(row.blocked_on for row in rows)
    made = table(title=title if mixed else f"{title} of {''.join(versions)}")
    made.add_column("execution", no_wrap=True, min_width=_ID_WIDTH)
    if mixed:
        made.add_column("workflow", no_wrap=True)
    made.add_column("status", no_wrap=True, min_width=9)
    made.add_column("step", no_wrap=True)
    made.add_column("%", no_wrap=True, justify="right", min_width=3)
    if blocked:
        made.add_column("waits for", no_wrap=True)
    made.add_column("started", no_wrap=True)
    for row in rows:
        cells = (
            row.id,
            *([f"{row.workflow_key} v{row.workflow_version}"] if mixed else []),
            colored(status(row)),
            escape(row.current_step_id or row.reason),
            str(row.progress_percent),
            *([blocked_on(row)] if blocked else []),
            to_second(row, "create_time"),
        )
        made.add_row(*cells)
    return made


def log(entries: Iterable[pb.LogEntry], title: str = "") -> Table:
    """A table of log entries."""
    made = table(title=title)
    for name in ("#", "time", "event", "step", "try", "took", "particulars"):
        right = name in ("#", "try", "took")
        made.add_column(name, justify="right" if right else "left", no_wrap=name != "particulars")
    for entry in entries:
        told = [particulars(entry)] if entry.HasField("detail") else []
        told += [failure(entry.failure)] if entry.HasField("failure") else []
        made.add_row(
            str(entry.seq),
            moment(entry, "time"),
            entry.event,
            entry.step_id,
            str(entry.attempt or ""),
            f"{entry.duration.ToMilliseconds()} ms" if entry.HasField("duration") else "",
            escape(" ".join(told)),
        )
    return made


def log_line(entry: pb.LogEntry) -> str:
    """A log entry in one line, as it comes in."""
    step = f" {entry.step_id}" if entry.step_id else ""
    why = f"  {failure(entry.failure)}" if entry.HasField("failure") else ""
    return f"{moment(entry, 'time')}  {entry.event}{step}{why}"


def particulars(entry: pb.LogEntry) -> str:
    """An entry's detail as name=value; what is masked says nothing and is left out (it is in the JSON)."""
    pairs = _flat("", whole(json_format.MessageToDict(entry.detail)))
    return " ".join(f"{name}={value}" for name, value in pairs if value != _MASKED)


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else key, inner)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def whole(value: Any) -> Any:
    """JSON data with 200 for 200.0: Struct knows only floats."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    return [whole(item) for item in value] if isinstance(value, list) else value


def checks(answer: execution_service_pb2.VerifyExecutionsResponse) -> Table:
    """A table of invariants, with what breaks them."""
    made = table(
        "", "invariant", "violations", title=f"{answer.executions_checked} executions read log by log"
    )
    for check in answer.checks:
        found = "[green]none[/green]" if not check.violations else f"[red]{check.violations}[/red]"
        made.add_row(check.id, escape(check.description), "\n".join([found, *map(escape, check.examples)]))
    return made


def one_execution(execution: pb.Execution) -> Table:
    """All there is to say of one execution."""
    rows = {
        "execution": execution.id,
        "workflow": f"{execution.workflow_key} v{execution.workflow_version} ({execution.workflow_id})",
        "contact": execution.contact_id,
        "status": colored(status(execution)) + (f" · {escape(execution.reason)}" if execution.reason else ""),
        "step": f"{execution.current_step_id} ({execution.current_step_index} of {execution.total_steps},"
        f" {execution.progress_percent} %)"
        if execution.current_step_id
        else "",
        "attempt": f"{execution.attempt} ({execution.retry_count} retries)" if execution.attempt else "",
        "waits for": blocked_on(execution),
        "moves at": moment(execution, "wake_time"),
        "error": failure(execution.failure) if execution.HasField("failure") else "",
        "steps run": str(execution.steps_run),
        "log entries": str(execution.log_entries),
        "started": moment(execution, "create_time"),
        "ended": moment(execution, "end_time"),
    }
    return facts(rows, marked=("status",))


def facts(told: Mapping[str, str], marked: Container[str] = ()) -> Table:
    """Names with their values, without those that are empty; values are text but for the `marked`."""
    made = Table(show_header=False, box=None)
    for name, value in told.items():
        if value:
            made.add_row(f"[dim]{name}[/dim]", value if name in marked else escape(value))
    return made
