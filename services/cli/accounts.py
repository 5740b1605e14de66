"""`wayfarer accounts`: an account's name, limit and settings; with a PLATFORM key, every account."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import options as opt
from services.cli import values
from services.cli.session import api_session, pages, show_list, show_on_screen

if TYPE_CHECKING:
    from wayfarer.admin.v1 import account_pb2

app = typer.Typer(help="Accounts: show, update, set, unset, list, create.", no_args_is_help=True)

Part = Annotated[
    str,
    typer.Argument(
        parser=values.one_of(values.SETTINGS_PARTS),
        autocompletion=values.completing(values.SETTINGS_PARTS),
        metavar="PART",
        help=f"Which part of the settings: {', '.join(values.SETTINGS_PARTS)}.",
    ),
]


@app.command()
def show(account: opt.Account = 0, as_json: opt.Json = False) -> None:
    """Show an account and its settings."""
    from wayfarer.admin.v1 import admin_service_pb2 as pb

    with api_session() as api:
        found = api.call(api.admin.GetAccount, pb.GetAccountRequest(account_id=account)).account
    _show(found, as_json)


@app.command(epilog="wayfarer accounts update --active-limit 500")
def update(
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    active_limit: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="How many executions may be ACTIVE at once.")
    ] = None,
    account: opt.Account = 0,
    as_json: opt.Json = False,
) -> None:
    """Change an account's name or limit."""
    from wayfarer.admin.v1 import account_pb2

    given = {"name": name, "active_limit": active_limit}
    paths = [field for field, value in given.items() if value is not None]
    if not paths:
        raise typer.BadParameter("say what to change: --name, --active-limit", param_hint="options")
    change = account_pb2.Account(name=name or "", active_limit=active_limit or 0)
    _show(_updated(account, change, paths), as_json)


@app.command(
    "set",
    epilog="wayfarer accounts set time_zone Europe/Berlin\n\n"
    'wayfarer accounts set rates \'{"email": {"per_second": 5, "per_day": 20000}}\'\n\n'
    "wayfarer accounts set retention '{\"history_days\": 90}'",
)
def set_part(
    part: Part,
    value: Annotated[str, typer.Argument(help="Its JSON, - for standard input; a time zone as it is.")],
    account: opt.Account = 0,
    as_json: opt.Json = False,
) -> None:
    """Set one part of the settings, in place of what it was."""
    from google.protobuf import json_format
    from wayfarer.admin.v1 import account_pb2

    text = sys.stdin.read() if value == "-" else value
    change = account_pb2.Account()
    try:
        data = text.strip() if part == "time_zone" else json.loads(text)
        json_format.ParseDict({part: data}, change.settings)
    except (ValueError, json_format.ParseError) as error:
        raise typer.BadParameter(f"is no {part}: {error}", param_hint="VALUE") from None
    _show(_updated(account, change, [f"settings.{part}"]), as_json)


@app.command()
def unset(part: Part, account: opt.Account = 0, as_json: opt.Json = False) -> None:
    """Take one part of the settings away: the platform's own holds again."""
    from wayfarer.admin.v1 import account_pb2

    _show(_updated(account, account_pb2.Account(), [f"settings.{part}"]), as_json)


@app.command("list")
def list_accounts(
    limit: opt.Limit = 50, every: opt.All = False, page_token: opt.PageToken = "", as_json: opt.Json = False
) -> None:
    """List all accounts, newest first; needs a PLATFORM key."""
    from wayfarer.admin.v1 import admin_service_pb2 as pb

    from services.cli import render

    def table(rows: Sequence["account_pb2.Account"]) -> Any:
        made = render.table("account", "name", "active limit", "made")
        for row in rows:
            made.add_row(
                str(row.id),
                render.literal(row.name),
                str(row.active_limit),
                render.to_second(row, "create_time"),
            )
        return made

    paging = opt.Paging(limit, every, page_token)
    with api_session() as api:
        answers = pages(api, api.admin.ListAccounts, pb.ListAccountsRequest(), paging)
        show_list(answers, "accounts", table, paging, as_json, "no accounts")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    actor: Annotated[str, typer.Option(help="Who the log names for what is done with its first key.")],
    as_json: opt.Json = False,
) -> None:
    """Make an account with its first ADMIN key; needs a PLATFORM key. The secret is told this once."""
    from wayfarer.admin.v1 import admin_service_pb2 as pb

    from services.cli import render

    with api_session() as api:
        answer = api.call(api.admin.CreateAccount, pb.CreateAccountRequest(name=name, actor=actor))
    if as_json:
        typer.echo(render.as_json(answer))
        return
    typer.echo(f"account {answer.account.id}, key {answer.key.id}; its secret, told this once:", err=True)
    typer.echo(answer.secret)


def _updated(account: int, change: "account_pb2.Account", paths: list[str]) -> "account_pb2.Account":
    from wayfarer.admin.v1 import admin_service_pb2 as pb

    request = pb.UpdateAccountRequest(account_id=account, account=change)
    request.update_mask.paths.extend(paths)
    with api_session() as api:
        found: account_pb2.Account = api.call(api.admin.UpdateAccount, request).account
    return found


def _show(account: "account_pb2.Account", as_json: bool) -> None:
    from services.cli import render

    if as_json:
        typer.echo(render.as_json(account))
        return
    settings = render.given(account.settings)
    told = {name: settings.get(name, "") for name in values.SETTINGS_PARTS}
    shown = {
        "account": str(account.id),
        "name": account.name,
        "active limit": str(account.active_limit),
        **{
            name.replace("_", " "): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for name, value in told.items()
        },
        "made": render.moment(account, "create_time"),
        "changed": render.moment(account, "update_time"),
    }
    show_on_screen(render.facts(shown))
