"""What the commands share: the API with refusals printed for people, options, contacts by either id."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from services.cli.connection import Api

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")]


@contextmanager
def api_session() -> Iterator["Api"]:
    """The API, with refusals printed as lines and exit code 1."""
    from services.cli.connection import Refused, connect

    try:
        with connect() as api:
            yield api
    except Refused as refused:
        for line in refused.lines:
            typer.echo(line, err=True)
        raise typer.Exit(1) from None


def show_on_screen(what: Any) -> None:
    """Prints a table or text."""
    from services.cli import render

    render.console().print(what)


def contact_id(api: "Api", name: str) -> str:
    """The id of a contact named by id or external id."""
    from uuid import UUID

    from wayfarer.crm.v1 import contact_service_pb2 as pb

    try:
        return str(UUID(name))
    except ValueError:
        request = pb.GetContactRequest(external_id=name)
        return str(api.call(api.contacts.GetContact, request).contact.id)
