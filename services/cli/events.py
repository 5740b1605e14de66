"""`wayfarer events`: publish one, list them, and see what became of each."""

import json
from typing import Annotated
from uuid import uuid4

import typer

from services.cli.session import Json, Limit, api_session, contact_id, show_on_screen

app = typer.Typer(help="Events of contacts and their receipts.", no_args_is_help=True)


@app.command()
def publish(
    contact: Annotated[str, typer.Argument(help="The contact, by id or external id.")],
    type: Annotated[str, typer.Argument(help="What happened, e.g. form_submitted.")],
    data: Annotated[str, typer.Option(help="Its attributes, a JSON object.")] = "{}",
    id: Annotated[str, typer.Option(help="Your own id: the same counts once.")] = "",
    as_json: Json = False,
) -> None:
    """Take in an event and show what it did."""
    from wayfarer.event.v1 import event_pb2
    from wayfarer.event.v1 import event_service_pb2 as pb

    from services.cli import render

    try:
        attributes = json.loads(data)
    except ValueError as error:
        raise typer.BadParameter(f"is no JSON: {error}", param_hint="--data") from None
    with api_session() as api:
        event = pb.NewEvent(id=id or str(uuid4()), contact_id=contact_id(api, contact), type=type)
        event.data.update(attributes)
        answer = api.call(api.events.PublishEvents, pb.PublishEventsRequest(events=[event]))
    if as_json:
        typer.echo(render.as_json(answer))
        return
    receipt = answer.receipts[0]
    if receipt.error.reason:
        typer.echo(f"{receipt.error.message} [{receipt.error.reason}]", err=True)
        raise typer.Exit(1)
    typer.echo(f"{receipt.event_id}{' (taken in before)' if receipt.duplicate else ''}")
    for one in receipt.consequences:
        kind = event_pb2.ConsequenceKind.Name(one.kind).removeprefix("CONSEQUENCE_KIND_")
        typer.echo(f"  {kind} {one.execution_id or one.workflow_id} {one.reason}".rstrip())
    if not receipt.consequences:
        typer.echo("  nothing waited for it")


@app.command("list")
def list_events(limit: Limit = 50, as_json: Json = False) -> None:
    """List events, newest first, with what each did."""
    from wayfarer.event.v1 import event_pb2
    from wayfarer.event.v1 import event_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        answer = api.call(api.events.ListEvents, pb.ListEventsRequest(page_size=limit))
    if as_json:
        typer.echo(render.as_json(answer))
        return
    table = render.table("received", "type", "contact", "what it did")
    for event in answer.events:
        names = (event_pb2.ConsequenceKind.Name(one.kind) for one in event.consequences)
        did = ", ".join(name.removeprefix("CONSEQUENCE_KIND_") for name in names)
        table.add_row(render.moment(event, "receive_time"), event.type, event.contact_id, did)
    show_on_screen(table)
