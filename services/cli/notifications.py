"""`wayfarer notifications`: who is told of failed executions, by e-mail, webhook and Slack."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import options as opt
from services.cli import values
from services.cli.session import api_session, show_on_screen

if TYPE_CHECKING:
    from wayfarer.admin.v1 import account_pb2

    from services.cli.connection import Api

app = typer.Typer(help="Who is told of failures: show, add, remove, set.", no_args_is_help=True)


def _targets(incomplete: str) -> list[str]:
    """The targets that begin like this; none if the API is away."""
    from services.cli.connection import Refused, connect

    try:
        with connect() as api:
            told = _read(api, 0)
    except Refused:
        return []
    found = [target for kind in values.TARGETS for target in getattr(told, kind)]
    return [target for target in found if target.startswith(incomplete)]


Kind = Annotated[
    str,
    typer.Argument(
        parser=values.one_of(values.TARGETS),
        autocompletion=values.completing(values.TARGETS),
        metavar="KIND",
        help=f"How: {', '.join(values.TARGETS)}.",
    ),
]


@app.command()
def show(account: opt.Account = 0, as_json: opt.Json = False) -> None:
    """Show who is told."""
    with api_session() as api:
        told = _read(api, account)
    _show(told, as_json)


@app.command(
    epilog="wayfarer notifications add email ops@example.com\n\n"
    "wayfarer notifications add slack https://hooks.slack.com/services/…"
)
def add(
    kind: Kind,
    target: Annotated[str, typer.Argument(help="The address, or the URL.")],
    account: opt.Account = 0,
    as_json: opt.Json = False,
) -> None:
    """Tell somebody else, too; whoever is told already is told once."""
    with api_session() as api:
        told = _read(api, account)
        if target not in getattr(told, kind):
            getattr(told, kind).append(target)
            told = _written(api, account, told)
    _show(told, as_json)


@app.command()
def remove(
    kind: Kind,
    target: Annotated[str, typer.Argument(help="The address, or the URL.", autocompletion=_targets)],
    account: opt.Account = 0,
    as_json: opt.Json = False,
) -> None:
    """Tell somebody no more."""
    with api_session() as api:
        told = _read(api, account)
        if target not in getattr(told, kind):
            typer.echo(f"nobody is told by {kind} at {target}", err=True)
            raise typer.Exit(1)
        getattr(told, kind).remove(target)
        told = _written(api, account, told)
    _show(told, as_json)


@app.command("set", epilog="wayfarer notifications set --digest 5m")
def set_how(
    on: Annotated[bool | None, typer.Option("--on/--off", help="Whether anybody is told.")] = None,
    digest: Annotated[
        timedelta | None,
        typer.Option(
            parser=values.span,
            metavar="SPAN",
            help="Like failures within it are told of together: 10s to 1h.",
        ),
    ] = None,
    account: opt.Account = 0,
    as_json: opt.Json = False,
) -> None:
    """Set whether, and how often, they are told."""
    if on is None and digest is None:
        raise typer.BadParameter("say what to set: --on, --off, --digest", param_hint="options")
    with api_session() as api:
        told = _read(api, account)
        if on is not None:
            told.off = not on
        if digest is not None:
            told.digest.FromTimedelta(digest)
        told = _written(api, account, told)
    _show(told, as_json)


def _read(api: "Api", account: int) -> "account_pb2.Notifications":
    from wayfarer.admin.v1 import admin_service_pb2 as pb

    found = api.call(api.admin.GetAccount, pb.GetAccountRequest(account_id=account)).account
    told: account_pb2.Notifications = found.settings.notifications
    return told


def _written(api: "Api", account: int, told: "account_pb2.Notifications") -> "account_pb2.Notifications":
    from wayfarer.admin.v1 import admin_service_pb2 as pb

    request = pb.UpdateAccountRequest(account_id=account)
    request.account.settings.notifications.CopyFrom(told)
    request.update_mask.paths.append("settings.notifications")
    kept: account_pb2.Notifications = api.call(
        api.admin.UpdateAccount, request
    ).account.settings.notifications
    return kept


def _show(told: "account_pb2.Notifications", as_json: bool) -> None:
    from services.cli import render

    if as_json:
        typer.echo(render.as_json(told))
        return
    digest = told.digest.ToTimedelta() if told.HasField("digest") else timedelta(minutes=1)
    targets = [(kind, target) for kind in values.TARGETS for target in getattr(told, kind)]
    if told.off or not targets:
        typer.echo("nobody is told" + (": it is off" if told.off else ""))
    else:
        typer.echo(f"like failures within {render.length(digest)} are told of together")
    if targets:
        table = render.table("by", "at")
        for kind, target in targets:
            table.add_row(kind, render.literal(target))
        show_on_screen(table)
