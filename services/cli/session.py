"""What the commands share: the API, refusals printed for people, lists by pages, contacts by either id."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from services.cli.options import Paging

if TYPE_CHECKING:
    from services.cli.connection import Api

_LARGEST_PAGE = 1000


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


def print_line(message: Any) -> None:
    """Prints a message as JSON on a line of its own."""
    from services.cli import render

    typer.echo(json.dumps(render.plain(message), ensure_ascii=False))


def pages(api: "Api", method: Any, request: Any, paging: Paging) -> Iterator[Any]:
    """The answers of a list's rpc: one, or one after the other to the end. Raises Refused."""
    request.page_size = _LARGEST_PAGE if paging.every else paging.limit
    request.page_token = paging.token
    while True:
        answer = api.call(method, request)
        yield answer
        if not (paging.every and answer.next_page_token):
            return
        request.page_token = answer.next_page_token


def show_list(
    answers: Iterator[Any],
    rows: str,
    table: Callable[[Sequence[Any]], Any],
    paging: Paging,
    as_json: bool,
    none: str,
) -> None:
    """Prints the pages of a list, whose rows the field `rows` holds; `none` where there are none."""
    from services.cli import render

    empty = True
    for answer in answers:
        found = getattr(answer, rows)
        if as_json and paging.every:
            for row in found:
                print_line(row)
        elif as_json:
            typer.echo(render.as_json(answer))
        elif found:
            show_on_screen(table(found))
        empty = empty and not found
        if answer.next_page_token and not paging.every and not as_json:
            typer.echo(f"there are more: --all, or --page-token {answer.next_page_token}", err=True)
    if empty and not as_json:
        typer.echo(none)


def contact_id(api: "Api", name: str) -> str:
    """The id of a contact named by id or external id."""
    from uuid import UUID

    from wayfarer.crm.v1 import contact_service_pb2 as pb

    try:
        return str(UUID(name))
    except ValueError:
        request = pb.GetContactRequest(external_id=name)
        return str(api.call(api.contacts.GetContact, request).contact.id)
