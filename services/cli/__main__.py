"""Entry point `wayfarer`: one function per command; gRPC is imported only by commands that call.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.cli import (
    accounts,
    api_keys,
    bulk,
    contacts,
    events,
    executions,
    notifications,
    overview,
    providers,
    steering,
    workflows,
)
from services.cli.options import Json
from services.cli.session import api_session, show_on_screen

app = typer.Typer(
    name="wayfarer",
    help="Durable execution of customer-journey workflows.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
executions.add_to(app)
steering.add_to(app)
overview.add_to(app)
app.add_typer(accounts.app, name="accounts")
app.add_typer(bulk.app, name="bulk")
app.add_typer(contacts.app, name="contacts")
app.add_typer(events.app, name="events")
app.add_typer(api_keys.app, name="keys")
app.add_typer(notifications.app, name="notifications")
app.add_typer(providers.app, name="providers")
app.add_typer(workflows.app, name="workflows")


@app.command()
def up(
    port_base: Annotated[int | None, typer.Option(help="First port; every other follows it.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Worker processes.")] = 1,
    state_dir: Annotated[Path | None, typer.Option(help="Where data lies; default $WAYFARER_HOME.")] = None,
    executor: Annotated[
        list[str] | None,
        typer.Option(
            envvar="WAYFARER_EXECUTORS",
            metavar="NAME=HOST:PORT",
            help="A family of actions that you run yourself; may be repeated.",
        ),
    ] = None,
) -> None:
    """Run the whole stack on this machine until Ctrl-C. Data survives a restart."""
    from services.cli.up import executors_of, run

    raise typer.Exit(run(port_base, workers, state_dir, executors_of(executor or [])))


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
    as_json: Json = False,
) -> None:
    """Check a workflow document, keep it as the draft, and publish it."""
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    from services.cli import render

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        typer.echo(f"{file}: {error}", err=True)
        raise typer.Exit(2) from None
    with api_session() as api:
        request = pb.ApplyWorkflowRequest(
            document=text, validate_only=validate_only, publish=publish and not validate_only
        )
        answer = api.call(api.workflows.ApplyWorkflow, request)
    if as_json:
        typer.echo(render.as_json(answer))
        return
    workflow = answer.workflow
    done = "is valid" if validate_only else f"version {workflow.published_version} is published"
    typer.echo(f"{workflow.key}: {workflow.total_steps} steps; {done if publish else 'kept as draft'}")


@app.command("action-types")
def action_types(as_json: Json = False) -> None:
    """List what actions the executors at hand can do."""
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        answer = api.call(api.workflows.ListActionTypes, pb.ListActionTypesRequest())
    if as_json:
        typer.echo(render.as_json(answer))
        return
    table = render.table("type", "family", "delivery", "what it does")
    for kind in answer.action_types:
        table.add_row(kind.name, kind.family, render.enum_name(kind, "delivery_class"), kind.summary)
    show_on_screen(table)


def main() -> None:
    """Runs the command line."""
    # gRPC's own log lines are not for people.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    app()


if __name__ == "__main__":
    main()
