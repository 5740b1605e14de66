"""`wayfarer keys`: the API keys of an account, whose secrets are told once."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import options as opt
from services.cli import values
from services.cli.session import api_session, show_on_screen

if TYPE_CHECKING:
    from wayfarer.admin.v1 import account_pb2

app = typer.Typer(help="API keys: list, create, rotate, revoke.", no_args_is_help=True)


def _key_ids(incomplete: str) -> list[str]:
    """The ids of the keys that work and begin like this; none if the API is away."""
    from wayfarer.admin.v1 import admin_service_pb2 as pb

    from services.cli.connection import Refused, connect

    try:
        with connect() as api:
            answer = api.call(api.admin.ListApiKeys, pb.ListApiKeysRequest(), 2.0)
    except Refused:
        return []
    return [key.id for key in answer.keys if key.id.startswith(incomplete) and _state(key) != "revoked"]


Key = Annotated[str, typer.Argument(help="Its id.", autocompletion=_key_ids)]


@app.command("list")
def list_keys(account: opt.Account = 0, as_json: opt.Json = False) -> None:
    """List the keys, newest first, without their secrets."""
    from wayfarer.admin.v1 import admin_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        answer = api.call(api.admin.ListApiKeys, pb.ListApiKeysRequest(account_id=account))
    if as_json:
        typer.echo(render.as_json(answer))
        return
    table = render.table("key", "role", "state", "made", "ends", "who", whole="key")
    for key in answer.keys:
        ends = render.to_second(key, "revoke_time") or render.to_second(key, "expire_time")
        made = render.to_second(key, "create_time")
        role, who = render.enum_name(key, "role"), render.literal(key.actor)
        table.add_row(key.id, role, _state(key), made, ends, who)
    show_on_screen(table)


@app.command(epilog="KEY=$(wayfarer keys create shop-import --role member)")
def create(
    actor: Annotated[str, typer.Argument(help="Who the log names for what is done with it.")],
    role: opt.Role = "MEMBER",
    account: opt.Account = 0,
    as_json: opt.Json = False,
) -> None:
    """Make a key; its secret is told this once."""
    from wayfarer.admin.v1 import account_pb2
    from wayfarer.admin.v1 import admin_service_pb2 as pb

    request = pb.CreateApiKeyRequest(account_id=account, actor=actor)
    request.role = account_pb2.Role.Value(f"ROLE_{role}")
    with api_session() as api:
        answer = api.call(api.admin.CreateApiKey, request)
    _tell_secret(answer, as_json)


@app.command(epilog="wayfarer keys rotate 0198… --overlap 1h")
def rotate(
    key: Key,
    overlap: Annotated[
        timedelta | None,
        typer.Option(
            parser=values.span,
            metavar="SPAN",
            help="How long the old secret works on, at most 7d; not at all unless said.",
        ),
    ] = None,
    account: opt.Account = 0,
    as_json: opt.Json = False,
) -> None:
    """Make a new secret for the same actor and role; it is told this once."""
    from wayfarer.admin.v1 import admin_service_pb2 as pb

    request = pb.RotateApiKeyRequest(account_id=account, key_id=key)
    if overlap is not None:
        request.overlap.FromTimedelta(overlap)
    with api_session() as api:
        answer = api.call(api.admin.RotateApiKey, request)
    _tell_secret(answer, as_json)


@app.command()
def revoke(key: Key, account: opt.Account = 0, as_json: opt.Json = False) -> None:
    """End a key, everywhere within five seconds."""
    from wayfarer.admin.v1 import admin_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        request = pb.RevokeApiKeyRequest(account_id=account, key_id=key)
        found = api.call(api.admin.RevokeApiKey, request).key
    typer.echo(render.as_json(found) if as_json else f"{found.id}: {_state(found)}")


def _tell_secret(answer: Any, as_json: bool) -> None:
    """The secret alone on standard output, so that a script can take it."""
    from services.cli import render

    if as_json:
        typer.echo(render.as_json(answer))
        return
    role = render.enum_name(answer.key, "role")
    typer.echo(f"key {answer.key.id}, {role} {answer.key.actor}; its secret, told this once:", err=True)
    typer.echo(answer.secret)


def _state(key: "account_pb2.ApiKey") -> str:
    if key.HasField("revoke_time"):
        return "revoked"
    ended = key.HasField("expire_time") and key.expire_time.ToDatetime(UTC) <= datetime.now(UTC)
    return "expired" if ended else "works"
