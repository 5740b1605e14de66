"""`wayfarer contacts`: the contacts of the account, and what each has gone through."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import options as opt
from services.cli.events import event_table, refusal_table, workflow_keys
from services.cli.session import api_session, contact_id, pages, show_list, show_on_screen

if TYPE_CHECKING:
    from wayfarer.crm.v1 import contact_pb2

    from services.cli.connection import Api

app = typer.Typer(help="Contacts: create, get, show, list.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Its id or external id.")]


@app.command()
def create(
    external_id: Annotated[str, typer.Option(help="Your own id of the person.")] = "",
    email: Annotated[str, typer.Option()] = "",
    phone: Annotated[str, typer.Option(help="In E.164 form, e.g. +491701234567.")] = "",
    first_name: Annotated[str, typer.Option()] = "",
    last_name: Annotated[str, typer.Option()] = "",
    tag: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    as_json: opt.Json = False,
) -> None:
    """Create a contact, or update the one of the same external id."""
    from wayfarer.crm.v1 import contact_pb2
    from wayfarer.crm.v1 import contact_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        contact = contact_pb2.Contact(
            external_id=external_id,
            email=email,
            phone=phone,
            first_name=first_name,
            last_name=last_name,
            tags=tag or [],
        )
        request = pb.CreateContactRequest(contact=contact, upsert=bool(external_id))
        answer = api.call(api.contacts.CreateContact, request)
    if as_json:
        typer.echo(render.as_json(answer))
        return
    typer.echo(f"{answer.contact.id}  ({'created' if answer.created else 'updated'})")


@app.command()
def get(contact: Name) -> None:
    """Print a contact's own data as JSON."""
    from wayfarer.crm.v1 import contact_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        request = pb.GetContactRequest(id=contact_id(api, contact))
        found = api.call(api.contacts.GetContact, request).contact
    typer.echo(render.as_json(found))


@app.command("list", epilog="wayfarer contacts list --address jane@example.com")
def list_contacts(
    address: Annotated[str, typer.Option(help="Only those of this e-mail address or phone number.")] = "",
    limit: opt.Limit = 20,
    every: opt.All = False,
    page_token: opt.PageToken = "",
    as_json: opt.Json = False,
) -> None:
    """List contacts, newest first."""
    from wayfarer.crm.v1 import contact_service_pb2 as pb

    from services.cli import render

    def table(rows: Sequence["contact_pb2.Contact"]) -> Any:
        made = render.table("contact", "external id", "name", "e-mail", "tags", whole="contact")
        for row in rows:
            told = (row.external_id, _full_name(row), row.email, ", ".join(row.tags))
            made.add_row(row.id, *(render.literal(cell) for cell in told))
        return made

    paging = opt.Paging(limit, every, page_token)
    with api_session() as api:
        request = pb.ListContactsRequest(address=address)
        answers = pages(api, api.contacts.ListContacts, request, paging)
        show_list(answers, "contacts", table, paging, as_json, "no contacts")


@app.command()
def show(
    contact: Name,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many of each at most.")] = 20,
    as_json: opt.Json = False,
) -> None:
    """Show one contact: what runs and what comes, what was, what may be sent, what was refused."""
    with api_session() as api:
        answers = _gathered(api, contact_id(api, contact), limit)
        keys = {} if as_json else workflow_keys(api)
    if as_json:
        from services.cli import render

        data: dict[str, Any] = {}
        for answer in answers:
            data.update(render.plain(answer))
        # Of six lists, each has its own end.
        data.pop("next_page_token")
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
        return
    for part in _told(keys, *answers):
        show_on_screen(part)


def _gathered(api: "Api", contact: str, limit: int) -> list[Any]:
    """The contact, and its executions, waits, consents, messages, events, refusals. Raises Refused."""
    from wayfarer.crm.v1 import consent_service_pb2 as consent
    from wayfarer.crm.v1 import contact_service_pb2 as crm
    from wayfarer.event.v1 import event_service_pb2 as event
    from wayfarer.execution.v1 import execution_service_pb2 as execution
    from wayfarer.execution.v1 import wait_service_pb2 as wait

    page: Any = {"contact_id": contact, "page_size": limit}
    return [
        api.call(api.contacts.GetContact, crm.GetContactRequest(id=contact)),
        api.call(api.executions.ListExecutions, execution.ListExecutionsRequest(**page)),
        api.call(api.waits.ListWaits, wait.ListWaitsRequest(**page)),
        api.call(api.consents.GetConsents, consent.GetConsentsRequest(contact_id=contact)),
        api.call(api.consents.ListMessages, consent.ListMessagesRequest(**page)),
        api.call(api.events.ListRefusals, event.ListRefusalsRequest(**page)),
        api.call(api.events.ListEvents, event.ListEventsRequest(**page)),
    ]


def _told(
    keys: Mapping[str, str],
    contact: Any,
    executions: Any,
    waits: Any,
    consents: Any,
    messages: Any,
    refusals: Any,
    events: Any,
) -> Iterator[Any]:
    """What there is to say, table by table; what is empty is left out, but for what runs."""
    from services.cli import render

    yield _person(contact.contact)
    present = [row for row in executions.executions if not row.HasField("end_time")]
    past = [row for row in executions.executions if row.HasField("end_time")]
    yield render.executions(present, "Present") if present else "nothing runs"
    if waits.waits:
        table = render.table("resumes", "at step", "rule", "or by event", title="Waits")
        for wait in waits.waits:
            when = render.to_second(wait, "resume_time") + (" (paused)" if wait.paused else "")
            events_named = ", ".join(wait.event_types)
            table.add_row(when, wait.step_id, render.literal(wait.rule), events_named)
        yield table
    if past:
        yield render.executions(past, "Past")
    if consents.consents or consents.suppressions:
        yield _consents(consents)
    if messages.messages:
        table = render.table(
            "begun", "channel", "category", "execution", "step", title="Messages", whole="execution"
        )
        for sent in messages.messages:
            kinds = (render.enum_name(sent, "channel"), render.enum_name(sent, "category"))
            table.add_row(render.to_second(sent, "time"), *kinds, sent.execution_id, sent.step_id)
        yield table
    if refusals.refusals:
        yield refusal_table(refusals.refusals, keys, "Refused starts")
    if events.events:
        yield event_table(events.events, "Events")


def _person(contact: "contact_pb2.Contact") -> Any:
    from services.cli import render

    return render.facts(
        {
            "contact": contact.id,
            "external id": contact.external_id,
            "name": _full_name(contact),
            "e-mail": contact.email,
            "phone": contact.phone,
            "tags": ", ".join(contact.tags),
            "time zone": contact.time_zone,
            "opted out": "of everything" if contact.opted_out else "",
            "known since": render.moment(contact, "create_time"),
        }
    )


def _consents(answer: Any) -> Any:
    from services.cli import render

    made = render.table("channel", "category", "says", "because", "since", "until", title="Consent")
    for consent in answer.consents:
        says = "[green]yes[/green]" if consent.granted else "[red]no[/red]"
        kinds = (render.enum_name(consent, "channel"), render.enum_name(consent, "category"))
        made.add_row(*kinds, says, render.literal(consent.source), render.moment(consent, "time"), "")
    for one in answer.suppressions:
        kinds = (render.enum_name(one, "channel"), render.enum_name(one, "category") or "every one")
        since, until = render.moment(one, "time"), render.moment(one, "until")
        made.add_row(
            *kinds, "[red]suppressed[/red]", render.literal(f"{one.reason} {one.source}"), since, until
        )
    return made


def _full_name(contact: "contact_pb2.Contact") -> str:
    return f"{contact.first_name} {contact.last_name}".strip()
