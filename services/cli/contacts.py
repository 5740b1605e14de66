"""`wayfarer contacts`: the contacts of the account."""

from typing import Annotated

import typer

from services.cli.session import Json, Limit, api_session, contact_id, show_on_screen

app = typer.Typer(help="Contacts: create, get, list.", no_args_is_help=True)


@app.command()
def create(
    external_id: Annotated[str, typer.Option(help="Your own id of the person.")] = "",
    email: Annotated[str, typer.Option()] = "",
    phone: Annotated[str, typer.Option(help="In E.164 form, e.g. +491701234567.")] = "",
    first_name: Annotated[str, typer.Option()] = "",
    last_name: Annotated[str, typer.Option()] = "",
    tag: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
) -> None:
    """Create a contact, or update the one of the same external id."""
    from wayfarer.crm.v1 import contact_pb2
    from wayfarer.crm.v1 import contact_service_pb2 as pb

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
    typer.echo(f"{answer.contact.id}  ({'created' if answer.created else 'updated'})")


@app.command()
def get(contact: str) -> None:
    """Print a contact, by id or external id, as JSON."""
    from wayfarer.crm.v1 import contact_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        request = pb.GetContactRequest(id=contact_id(api, contact))
        found = api.call(api.contacts.GetContact, request).contact
    typer.echo(render.as_json(found))


@app.command("list")
def list_contacts(limit: Limit = 20, as_json: Json = False) -> None:
    """List contacts, newest first."""
    from rich.markup import escape
    from wayfarer.crm.v1 import contact_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        answer = api.call(api.contacts.ListContacts, pb.ListContactsRequest(page_size=limit))
    if as_json:
        typer.echo(render.as_json(answer))
        return
    table = render.table("contact", "external id", "name", "e-mail", "tags")
    for found in answer.contacts:
        name = f"{found.first_name} {found.last_name}".strip()
        told = (found.external_id, name, found.email, ", ".join(found.tags))
        table.add_row(found.id, *(escape(cell) for cell in told))
    show_on_screen(table)
