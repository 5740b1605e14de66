"""`wayfarer up`: the whole stack until Ctrl-C, with what to paste to talk to it."""

import asyncio
import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
import typer
from rich.console import Console
from rich.table import Table

from services.local.ports import PortsTaken
from services.local.postgres import PostgresError
from services.local.stack import LOCAL_FILE, Stack, StackError, default_state_dir
from services.runtime.config import HostPort, targets


def quiet() -> None:
    """The stack's own events at warnings and worse, on stderr."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


def executors_of(given: Sequence[str]) -> dict[str, HostPort]:
    """Families that somebody else runs, from NAME=HOST:PORT. Raises BadParameter."""
    try:
        return targets(",".join(given))
    except ValueError:
        raise typer.BadParameter(
            "must be NAME=HOST:PORT, each name once, e.g. push=127.0.0.1:7790", param_hint="--executor"
        ) from None


def run(
    port_base: int | None, workers: int, state_dir: Path | None, executors: Mapping[str, HostPort]
) -> int:
    """Runs until a signal; the exit code."""
    home = state_dir or default_state_dir()
    try:
        stack = Stack(home, port_base=port_base, workers=workers, executors=executors)
        quiet()
        asyncio.run(_run(Console(), stack))
    except (StackError, PortsTaken, PostgresError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _run(console: Console, stack: Stack) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with console.status("starting PostgreSQL, the API, workers and executors …"):
        await stack.__aenter__()
    try:
        _show(console, stack)
        await stop.wait()
    finally:
        with console.status("stopping …"):
            await stack.__aexit__(None, None, None)
    console.print(f"stopped; the data is kept in {stack.state_dir}")


def _show(console: Console, stack: Stack) -> None:
    table = Table(show_header=False, box=None)
    table.add_row("console", stack.console_url)
    table.add_row("API (gRPC)", stack.address)
    table.add_row("mailbox", f"{stack.mailbox_url}/messages")
    table.add_row("webhook receiver", f"{stack.receiver_url}/requests (post to {stack.receiver_url}/hooks/…)")
    table.add_row("providers' sandboxes", f"{stack.sandboxes_url}/email/messages (SendGrid, Resend)")
    table.add_row("metrics", f"http://127.0.0.1:{stack.ports.worker_metrics(0)}/metrics (worker 0)")
    table.add_row("PostgreSQL", f"127.0.0.1:{stack.ports.postgres}")
    table.add_row("data and logs", str(stack.state_dir))
    table.add_row("API key", f"{stack.state_dir / LOCAL_FILE} has it, too (the CLI finds it)")
    console.print(table)
    local = stack.state_dir / LOCAL_FILE
    # Plain print: these lines are for copying, and must not be wrapped or coloured.
    print(
        f"""
In a browser: {stack.console_url}, and sign in with the API key
  {stack.api_key}

With the CLI, from another terminal:
  wayfarer apply examples/welcome.yaml
  wayfarer contacts create --external-id jane --email jane@example.com --first-name Jane --tag vip
  wayfarer start welcome jane --trigger '{{"webhook_url": "{stack.receiver_url}/hooks/billing"}}'
  wayfarer list

With grpcurl:
  KEY=$(python3 -c 'import json; print(json.load(open("{local}"))["api_key"])')
  grpcurl -plaintext {stack.address} list
  grpcurl -plaintext {stack.address} describe wayfarer.execution.v1.ExecutionService
  grpcurl -plaintext -H "authorization: Bearer $KEY" -d '{{"workflow": "welcome", "contact_id": "ID"}}' \\
    {stack.address} wayfarer.execution.v1.ExecutionService/StartExecution
  grpcurl -plaintext -H "authorization: Bearer $KEY" -d '{{"id": "ID"}}' \\
    {stack.address} wayfarer.execution.v1.ExecutionService/WatchExecution

Ctrl-C stops everything; the data stays.""",
        flush=True,
    )
