"""`wayfarer demo`: a stack of its own, ten contacts through a real workflow, and what really happened."""

import asyncio
import json
import signal
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from wayfarer.crm.v1 import contact_pb2, contact_service_pb2
from wayfarer.execution.v1 import execution_pb2, execution_service_pb2, workflow_service_pb2

from services.cli import render
from services.cli.connection import Api, Refused, connect
from services.cli.up import quiet
from services.local.ports import PortsTaken
from services.local.postgres import PostgresError
from services.local.stack import Stack, StackError, scratch_state_dir

_WORKFLOW = Path(__file__).resolve().parents[2] / "examples" / "welcome.yaml"
_PATIENCE_S = 60.0
_PEOPLE = (
    ("Ada", "Lovelace"),
    ("Alan", "Turing"),
    ("Grace", "Hopper"),
    ("Edsger", "Dijkstra"),
    ("Barbara", "Liskov"),
    ("Leslie", "Lamport"),
    ("Margaret", "Hamilton"),
    ("Jim", "Gray"),
    ("Radia", "Perlman"),
    ("Tony", "Hoare"),
)
_ENDED = ("COMPLETED", "FAILED", "CANCELLED")


class DemoFailed(Exception):
    """The demo did not come to its end; the message says where it stood."""


@dataclass(slots=True)
class Outcome:
    """What was seen when all had ended."""

    executions: list[execution_pb2.Execution] = field(default_factory=list)
    logs: dict[str, list[execution_pb2.LogEntry]] = field(default_factory=dict)
    emails: list[dict[str, Any]] = field(default_factory=list)
    webhooks: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def run(contacts: int, *, as_json: bool, keep: bool) -> int:
    """Runs the demo; 0 if every execution completed and everything arrived, else 1."""
    quiet()
    console = render.console(stderr=as_json)
    try:
        outcome = asyncio.run(_run(console, contacts, keep))
    except Refused as refused:
        for line in refused.lines:
            console.print(line, markup=False)
        return 1
    except (DemoFailed, StackError, PortsTaken, PostgresError) as error:
        console.print(str(error), style="red", markup=False)
        console.print("`wayfarer demo --keep` keeps the data and the logs of each process", style="dim")
        return 1
    except asyncio.CancelledError:
        console.print("stopped by SIGTERM")
        return 128 + signal.SIGTERM
    if as_json:
        print(json.dumps(as_data(outcome)))
    else:
        _report(console, outcome)
    for problem in outcome.problems:
        console.print(problem, style="red", markup=False)
    return 1 if outcome.problems else 0


async def _run(console: Console, contacts: int, keep: bool) -> Outcome:
    until = time.monotonic() + _PATIENCE_S
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with scratch_state_dir(keep=keep) as state_dir:
        with console.status("starting PostgreSQL, the API, a worker and the executors …"):
            stack = Stack(state_dir)
            await stack.__aenter__()
        try:
            console.print(f"the stack is up: API on {stack.address}, data in {state_dir}")
            console.print(
                f"while it runs: {stack.console_url}, with the API key {stack.api_key}", markup=False
            )
            return await asyncio.to_thread(_play, console, stack, contacts, until)
        finally:
            await stack.__aexit__(None, None, None)


def _play(console: Console, stack: Stack, contacts: int, until: float) -> Outcome:
    with connect(stack.address, stack.api_key) as api:
        document = _WORKFLOW.read_text(encoding="utf-8")
        request = workflow_service_pb2.ApplyWorkflowRequest(document=document, publish=True)
        workflow = api.call(api.workflows.ApplyWorkflow, request).workflow
        console.print(
            f"applied {workflow.key!r}, version {workflow.published_version}, {workflow.total_steps} steps"
        )
        ids = [_create(api, number) for number in range(contacts)]
        began = time.monotonic()
        started = [_start(api, contact, f"{stack.receiver_url}/hooks/billing") for contact in ids]
        console.print(f"{contacts} contacts created, {len(started)} executions started")
        _follow(console, api, len(started), until)
        outcome = Outcome(seconds=time.monotonic() - began)
        listed = execution_service_pb2.ListExecutionsRequest(page_size=1000)
        outcome.executions = list(api.call(api.executions.ListExecutions, listed).executions)[::-1]
        for execution in outcome.executions:
            asked = execution_service_pb2.ListExecutionLogsRequest(execution_id=execution.id, page_size=1000)
            outcome.logs[execution.id] = list(api.call(api.executions.ListExecutionLogs, asked).log_entries)
    outcome.emails = _arrived(f"{stack.mailbox_url}/messages")
    outcome.webhooks = _arrived(f"{stack.receiver_url}/requests")
    outcome.problems = _problems(outcome, contacts)
    return outcome


def _create(api: Api, number: int) -> str:
    first, last = _PEOPLE[number % len(_PEOPLE)]
    contact = contact_pb2.Contact(
        external_id=f"demo-{number + 1}",
        email=f"{first.lower()}.{number + 1}@example.com",
        first_name=first,
        last_name=last,
        tags=["vip"] if number % 3 == 0 else [],
    )
    request = contact_service_pb2.CreateContactRequest(contact=contact)
    return str(api.call(api.contacts.CreateContact, request).contact.id)


def _start(api: Api, contact: str, webhook_url: str) -> str:
    request = execution_service_pb2.StartExecutionRequest(workflow="welcome", contact_id=contact)
    request.trigger.update({"webhook_url": webhook_url})
    return str(api.call(api.executions.StartExecution, request).execution.id)


def _follow(console: Console, api: Api, expected: int, until: float) -> None:
    """Shows the executions until all have ended. Raises DemoFailed at `until`, on the monotonic clock."""
    pause = threading.Event()
    listed = execution_service_pb2.ListExecutionsRequest(page_size=1000)
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        while True:
            rows = list(api.call(api.executions.ListExecutions, listed).executions)[::-1]
            ended = sum(render.status(row) in _ENDED for row in rows)
            live.update(Group(render.executions(rows[:25]), f"{ended} of {expected} have ended"))
            if ended == expected:
                return
            if time.monotonic() > until:
                stuck = [
                    f"{row.id} {render.status(row)} {render.blocked_on(row)} at {row.current_step_id}"
                    for row in rows
                    if render.status(row) not in _ENDED
                ]
                raise DemoFailed(f"not all ended within {_PATIENCE_S:g} s:\n" + "\n".join(stuck))
            pause.wait(0.15)


def _arrived(url: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(url, timeout=10) as response:
        found: list[dict[str, Any]] = json.load(response)
    return found


def _problems(outcome: Outcome, contacts: int) -> list[str]:
    problems = [
        f"{e.id} ended {render.status(e)}: {e.reason} {render.failure(e.failure)}"
        for e in outcome.executions
        if render.status(e) != "COMPLETED"
    ]
    for what, found in (
        ("executions", outcome.executions),
        ("e-mails", outcome.emails),
        ("webhooks", outcome.webhooks),
    ):
        if len(found) != contacts:
            problems.append(f"{contacts} {what} were expected, {len(found)} are there")
    if (reached := len({address for message in outcome.emails for address in message["to"]})) != contacts:
        problems.append(f"e-mails reached {reached} of {contacts} contacts")
    problems += [
        f"{e.id} has {e.log_entries} log entries, {len(outcome.logs[e.id])} were read"
        for e in outcome.executions
        if e.log_entries != len(outcome.logs[e.id])
    ]
    return problems


def _latencies(outcome: Outcome) -> tuple[list[float], list[float]]:
    """Milliseconds of each action, from start to durable end; and of each start to its first step."""
    actions: list[float] = []
    firsts: list[float] = []
    for entries in outcome.logs.values():
        actions += [e.duration.ToMicroseconds() / 1000 for e in entries if e.event == "action_completed"]
        first = next((e for e in entries if e.event == "action_started"), None)
        if first is not None:
            firsts.append((first.time.ToMicroseconds() - entries[0].time.ToMicroseconds()) / 1000)
    return actions, firsts


def _quantiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return (values[0], values[0]) if values else (0.0, 0.0)
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return round(cuts[9], 2), round(cuts[18], 2)


def as_data(outcome: Outcome) -> dict[str, Any]:
    """The outcome as the one JSON object of --json."""
    actions, firsts = _latencies(outcome)
    p50, p95 = _quantiles(actions)
    first50, first95 = _quantiles(firsts)
    return {
        "executions": [
            {"id": e.id, "status": render.status(e), "steps_run": e.steps_run} for e in outcome.executions
        ],
        "emails_received": len(outcome.emails),
        "webhooks_received": len(outcome.webhooks),
        "log_entries": sum(len(entries) for entries in outcome.logs.values()),
        "seconds": round(outcome.seconds, 3),
        "actions_per_s": round(len(actions) / outcome.seconds, 1) if outcome.seconds else 0.0,
        "action_ms": {"p50": p50, "p95": p95},
        "start_to_first_step_ms": {"p50": first50, "p95": first95},
    }


def _report(console: Console, outcome: Outcome) -> None:
    console.print(render.executions(outcome.executions, "Executions"))
    first = outcome.executions[0]
    console.print(render.log(outcome.logs[first.id], f"The log of {first.id}"))
    console.print(_table("E-mails in the mailbox", ("to", "subject"), outcome.emails, _mail))
    console.print(_table("Requests at the webhook receiver", ("path", "id", "body"), outcome.webhooks, _hook))
    data = as_data(outcome)
    console.print(
        f"{len(outcome.executions)} executions, {data['log_entries']} log entries in {data['seconds']} s,"
        f" 2 s of it the wait step: {data['actions_per_s']} actions/s"
    )
    for name, key in (
        ("an action took", "action_ms"),
        ("start to first step took", "start_to_first_step_ms"),
    ):
        console.print(f"{name} {data[key]['p50']} ms (p95 {data[key]['p95']} ms)")


def _table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[dict[str, Any]],
    cells: Callable[[dict[str, Any]], Sequence[str]],
) -> Table:
    table = render.table(*columns, title=title)
    for row in rows:
        table.add_row(*(escape(cell) for cell in cells(row)))
    return table


def _mail(message: dict[str, Any]) -> Sequence[str]:
    return ", ".join(message["to"]), message["subject"]


def _hook(request: dict[str, Any]) -> Sequence[str]:
    headers = {name.lower(): value for name, value in request["headers"].items()}
    body = request["body"] if isinstance(request["body"], dict) else {}
    return request["path"], headers.get("webhook-id", ""), f"{body.get('name', '')}: {body.get('level', '')}"
