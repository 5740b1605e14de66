"""`wayfarer overview | top`: how the account does, once or live."""

import json
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import options as opt
from services.cli import values
from services.cli.session import api_session, show_on_screen

if TYPE_CHECKING:
    from services.cli.connection import Api
    from services.cli.dashboard import Seen

_REDRAW_S = 1.0
"""A screen that has been given another size is filled anew so soon."""
_MINUTES = 60
_TIMEOUT_S = 5.0
"""What is awaited holds up the keys."""


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the program's own."""
    app.command()(overview)
    app.command(epilog="wayfarer top --interval 500ms\n\nwayfarer top --once --json | jq .overview.due")(top)


def overview(as_json: opt.Json = False) -> None:
    """Count what runs, waits and failed, and show rates, lanes, breakers and failures: all of it, once."""
    with api_session() as api:
        seen = _look(api)
    _print(seen, as_json, whole=True)


def top(
    once: Annotated[bool, typer.Option("--once", help="Show one screen and end.")] = False,
    interval: Annotated[
        timedelta | None,
        typer.Option(
            parser=values.span, metavar="SPAN", help="How often to ask, e.g. 500ms; 2 s unless said."
        ),
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Show the account live until q; once where there is no terminal."""
    from services.cli import render

    with api_session() as api:
        seen = _look(api)
        if not (once or as_json) and render.console().is_terminal:
            _live(api, seen, max((interval or timedelta(seconds=2)).total_seconds(), 0.1))
            return
    _print(seen, as_json, whole=False)


def _look(api: "Api") -> "Seen":
    """The account now. Raises Refused."""
    from datetime import UTC, datetime

    from wayfarer.execution.v1 import overview_service_pb2 as pb

    from services.cli.dashboard import Seen

    activity = api.call(api.overview.GetActivity, pb.GetActivityRequest(minutes=_MINUTES), _TIMEOUT_S)
    now = api.call(api.overview.GetOverview, pb.GetOverviewRequest(), _TIMEOUT_S)
    return Seen(now, activity, datetime.now(UTC))


def _print(seen: "Seen", as_json: bool, *, whole: bool) -> None:
    from rich.text import Text

    from services.cli import dashboard, render

    if as_json:
        data = {"overview": render.plain(seen.now), "activity": render.plain(seen.activity)}
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
        return
    console = render.console()
    rows = None if whole or not console.is_terminal else console.height - 1
    heading = Text(f"wayfarer at {seen.at.astimezone():%X}")
    show_on_screen(Text("\n").join(dashboard.lines(seen, heading, console.width, rows)))


def _live(api: "Api", seen: "Seen", interval_s: float) -> None:
    """Redraws until q is pressed; an API that is away is said so, and asked again."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from services.cli import dashboard
    from services.cli.connection import Refused
    from services.cli.keys import key_presses

    console, trouble, due = Console(), "", time.monotonic() + interval_s
    screen = Live(console=console, screen=True, auto_refresh=False)
    with suppress(KeyboardInterrupt), key_presses() as typed, screen as live:
        while True:
            heading = Text(f"wayfarer at {seen.at.astimezone():%X}  ")
            heading.append(trouble or "q quits", "red" if trouble else "dim")
            shown = dashboard.lines(seen, heading, console.width, console.height)
            live.update(Text("\n").join(shown), refresh=True)
            if typed(min(max(due - time.monotonic(), 0.0), _REDRAW_S)) in ("q", "Q"):
                return
            if time.monotonic() < due:
                continue
            try:
                seen, trouble = _look(api), ""
            except Refused as refused:
                trouble = refused.lines[0]
            due = time.monotonic() + interval_s
