"""`wayfarer providers`: through whom an account sends, by channel; credentials go in and never come out."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.cli import options as opt
from services.cli import values
from services.cli.session import api_session, show_on_screen

app = typer.Typer(help="Providers by channel: list, set, remove.", no_args_is_help=True)

Channel = Annotated[
    str,
    typer.Argument(
        help=f"The channel: {', '.join(values.CHANNELS)}.",
        autocompletion=values.completing(values.CHANNELS),
    ),
]


@app.command("list")
def list_providers(account: opt.Account = 0, as_json: opt.Json = False) -> None:
    """List the choices, which credentials are set, and which choices the provider refuses."""
    from wayfarer.admin.v1 import admin_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        answer = api.call(api.admin.ListProviders, pb.ListProvidersRequest(account_id=account))
    if as_json:
        typer.echo(render.as_json(answer))
        return
    if not answer.providers:
        typer.echo("no choices: the platform's own providers are used")
        return
    table = render.table("channel", "provider", "state", "since", "credentials", "settings")
    for one in answer.providers:
        refused = one.HasField("refusal")
        state = "[red]refused[/red]" if refused else "[green]ready[/green]"
        since = render.to_second(one.refusal, "since") if refused else render.to_second(one, "update_time")
        settings = json.dumps(render.given(one)["settings"], ensure_ascii=False) if one.settings else ""
        table.add_row(
            one.channel, one.provider, state, since, ", ".join(one.credential_names), render.literal(settings)
        )
    show_on_screen(table)
    for one in answer.providers:
        if one.HasField("refusal"):
            told = f"{one.channel}: {one.provider} needs new credentials: {one.refusal.message}"
            typer.echo(f"{told} ({one.refusal.code})", err=True)


@app.command(
    "set",
    epilog='wayfarer providers set email sendgrid --settings \'{"from_email": "hello@example.com"}\''
    " --credentials-from key.json",
)
def set_provider(
    channel: Channel,
    provider: Annotated[str, typer.Argument(help="Its name, e.g. sendgrid, twilio.")],
    settings: Annotated[str, typer.Option(metavar="JSON", help="What may be shown, as a JSON object.")] = "",
    credentials_from: Annotated[
        Path | None,
        typer.Option(
            help="A file of a JSON object of texts, - for standard input; those of the same provider are"
            " kept unless said."
        ),
    ] = None,
    account: opt.Account = 0,
) -> None:
    """Choose a provider, or change the choice; executions that wait for new credentials go on."""
    from wayfarer.admin.v1 import admin_service_pb2 as pb

    request = pb.SetProviderRequest(account_id=account, channel=channel, provider=provider)
    request.settings.update(values.json_object(settings, "--settings"))
    credentials = values.json_object(_text(credentials_from), "--credentials-from")
    if not all(isinstance(value, str) for value in credentials.values()):
        raise typer.BadParameter("every credential must be a text", param_hint="--credentials-from")
    request.credentials.update(credentials)
    with api_session() as api:
        api.call(api.admin.SetProvider, request)
    typer.echo(f"{channel}: {provider}")


@app.command()
def remove(channel: Channel, account: opt.Account = 0) -> None:
    """Forget a choice and its credentials."""
    from wayfarer.admin.v1 import admin_service_pb2 as pb

    with api_session() as api:
        api.call(api.admin.RemoveProvider, pb.RemoveProviderRequest(account_id=account, channel=channel))
    typer.echo(f"{channel}: nothing chosen")


def _text(file: Path | None) -> str:
    """What a file says; wrong usage if it cannot be read."""
    if file is None:
        return ""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file}: {error}", param_hint="--credentials-from") from None
