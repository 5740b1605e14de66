"""`wayfarer events`: publish one, list them, see what became of each, and what was refused or set aside."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

import typer

from services.cli import options as opt
from services.cli import values
from services.cli.session import api_session, contact_id, pages, show_list

if TYPE_CHECKING:
    from wayfarer.event.v1 import event_pb2

    from services.cli.connection import Api

app = typer.Typer(
    help="Events of contacts: publish, list, receipt, refused, set-aside, replay.", no_args_is_help=True
)


@app.command(
    epilog="""wayfarer events publish jane form_submitted --data '{"form": "signup"}' --id form-4711"""
)
def publish(
    contact: Annotated[str, typer.Argument(help="The contact, by id or external id.")],
    type: Annotated[str, typer.Argument(help="What happened, e.g. form_submitted.")],
    data: Annotated[str, typer.Option(help="Its attributes, a JSON object.")] = "{}",
    id: Annotated[str, typer.Option(help="Your own id: the same counts once.")] = "",
    as_json: opt.Json = False,
) -> None:
    """Take in an event and show what it did."""
    from wayfarer.event.v1 import event_service_pb2 as pb

    from services.cli import render

    attributes = values.json_object(data, "--data")
    with api_session() as api:
        event = pb.NewEvent(id=id or str(uuid4()), contact_id=contact_id(api, contact), type=type)
        event.data.update(attributes)
        answer = api.call(api.events.PublishEvents, pb.PublishEventsRequest(events=[event]))
    receipt = answer.receipts[0]
    if as_json:
        typer.echo(render.as_json(answer))
    elif not receipt.error.reason:
        typer.echo(f"{receipt.event_id}{' (taken in before)' if receipt.duplicate else ''}")
        _print_consequences(receipt.consequences)
    if receipt.error.reason:
        field = f"{receipt.error.field}: " if receipt.error.field else ""
        typer.echo(f"{field}{receipt.error.message} [{receipt.error.reason}]", err=True)
        raise typer.Exit(1)


@app.command("list", epilog="wayfarer events list --contact jane --type form_submitted --all --json")
def list_events(
    contact: opt.Contact = "",
    type: Annotated[str, typer.Option(help="Only this type, e.g. form_submitted.")] = "",
    limit: opt.Limit = 50,
    every: opt.All = False,
    page_token: opt.PageToken = "",
    as_json: opt.Json = False,
) -> None:
    """List events, newest first, with what each did."""
    from wayfarer.event.v1 import event_service_pb2 as pb

    paging = opt.Paging(limit, every, page_token)
    with api_session() as api:
        request = pb.ListEventsRequest(type=type, contact_id=contact_id(api, contact) if contact else "")
        answers = pages(api, api.events.ListEvents, request, paging)
        show_list(answers, "events", event_table, paging, as_json, "no events")


@app.command()
def receipt(
    event: Annotated[str, typer.Argument(help="Our id of it, or the one you gave it.")],
    as_json: opt.Json = False,
) -> None:
    """Show one event, and what became of it."""
    from services.cli import render

    with api_session() as api:
        found = _found(api, event)
    if as_json:
        typer.echo(render.as_json(found))
        return
    typer.echo(
        f"{found.id}: {found.type} of {found.contact_id}, taken in {render.moment(found, 'receive_time')}"
    )
    _print_consequences(found.consequences)


@app.command(epilog="wayfarer events replay form-4711; wayfarer events replay --set-aside 17")
def replay(
    event: Annotated[str, typer.Argument(help="Our id of it, or the one you gave it.")] = "",
    set_aside: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=1, help="Instead: one that was set aside.")
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Try the starts again that an event was refused, or take in one that was set aside."""
    from wayfarer.event.v1 import event_service_pb2 as pb

    from services.cli import render

    if bool(event) == (set_aside is not None):
        raise typer.BadParameter("give one of EVENT and --set-aside NUMBER")
    with api_session() as api:
        if set_aside is not None:
            asked = pb.ReplaySetAsideEventRequest(inbox_id=set_aside, request_id=str(uuid4()))
            found = api.call(api.events.ReplaySetAsideEvent, asked).event
        else:
            again = pb.ReplayEventRequest(id=_found(api, event).id, request_id=str(uuid4()))
            found = api.call(api.events.ReplayEvent, again).event
    if as_json:
        typer.echo(render.as_json(found))
        return
    typer.echo(found.id)
    _print_consequences(found.consequences)


@app.command()
def refused(
    contact: opt.Contact = "",
    workflow: opt.Workflow = "",
    kind: opt.RefusalKind = None,
    limit: opt.Limit = 50,
    every: opt.All = False,
    page_token: opt.PageToken = "",
    as_json: opt.Json = False,
) -> None:
    """List starts that made no execution, newest first, and why."""
    from wayfarer.event.v1 import event_service_pb2 as pb

    paging = opt.Paging(limit, every, page_token)
    with api_session() as api:
        whose = contact_id(api, contact) if contact else ""
        request = pb.ListRefusalsRequest(contact_id=whose, workflow=workflow, kind=kind or "")
        answers = pages(api, api.events.ListRefusals, request, paging)
        keys = {} if as_json else workflow_keys(api)

        def table(rows: Sequence["event_pb2.Refusal"]) -> Any:
            return refusal_table(rows, keys)

        show_list(answers, "refusals", table, paging, as_json, "no start was refused")


@app.command("set-aside")
def set_aside(
    contact: opt.Contact = "",
    limit: opt.Limit = 50,
    every: opt.All = False,
    page_token: opt.PageToken = "",
    as_json: opt.Json = False,
) -> None:
    """List events that could not be taken in; what they would have caused has not happened."""
    from wayfarer.event.v1 import event_service_pb2 as pb

    from services.cli import render

    def table(rows: Sequence["event_pb2.SetAsideEvent"]) -> Any:
        titles = ("number", "set aside", "type", "contact", "happened", "sender's id")
        made = render.table(*titles, whole="contact")
        for row in rows:
            made.add_row(
                str(row.inbox_id),
                render.to_second(row, "set_aside_time"),
                row.type,
                row.contact_id,
                render.to_second(row, "occur_time"),
                render.literal(row.source_id),
            )
        return made

    paging = opt.Paging(limit, every, page_token)
    with api_session() as api:
        whose = contact_id(api, contact) if contact else ""
        request = pb.ListSetAsideEventsRequest(contact_id=whose)
        answers = pages(api, api.events.ListSetAsideEvents, request, paging)
        show_list(answers, "events", table, paging, as_json, "no event is set aside")


def event_table(rows: Sequence["event_pb2.Event"], title: str = "") -> Any:
    """A table of events."""
    from services.cli import render

    made = render.table("received", "event", "type", "what it did", "contact", title=title, whole="event")
    for row in rows:
        did = ", ".join(render.enum_name(one, "kind") for one in row.consequences)
        made.add_row(render.to_second(row, "receive_time"), row.id, row.type, did, row.contact_id)
    return made


def workflow_keys(api: "Api") -> dict[str, str]:
    """The keys of the account's newest workflows, by id. Raises Refused."""
    from wayfarer.execution.v1 import workflow_service_pb2 as pb

    answer = api.call(api.workflows.ListWorkflows, pb.ListWorkflowsRequest(page_size=1000))
    return {found.id: found.key for found in answer.workflows}


def refusal_table(rows: Sequence["event_pb2.Refusal"], keys: Mapping[str, str], title: str = "") -> Any:
    """A table of refused starts; `keys` are those of workflows, by id."""
    from services.cli import render

    made = render.table("time", "refused", "workflow", "contact", "execution", title=title, whole="contact")
    for row in rows:
        made.add_row(
            render.to_second(row, "time"),
            row.kind,
            keys.get(row.workflow_id, row.workflow_id),
            row.contact_id,
            row.execution_id,
        )
    return made


def _print_consequences(consequences: Sequence["event_pb2.Consequence"]) -> None:
    from services.cli import render

    for one in consequences:
        kind = render.enum_name(one, "kind")
        typer.echo(f"  {kind} {one.execution_id or one.workflow_id} {one.reason}".rstrip())
    if not consequences:
        typer.echo("  nothing waited for it")


def _found(api: "Api", name: str) -> "event_pb2.Event":
    """The event of this id: ours, else the sender's, which may look like ours. Raises Refused."""
    from wayfarer.event.v1 import event_service_pb2 as pb

    from services.cli.connection import Refused

    try:
        answer = api.call(api.events.GetEvent, pb.GetEventRequest(id=str(UUID(name))))
    except (ValueError, Refused) as error:
        if isinstance(error, Refused) and error.reason != "EVENT_NOT_FOUND":
            raise
        answer = api.call(api.events.GetEvent, pb.GetEventRequest(source_id=name))
    found: event_pb2.Event = answer.event
    return found
