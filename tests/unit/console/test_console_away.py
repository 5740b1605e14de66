"""The console while the API cannot be reached: it says so, and nobody is signed out."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from services.gateway.console.api import Api
from services.gateway.console.console import Console
from services.gateway.console.rendering import Page
from services.gateway.console.sessions import COOKIE, Session
from services.runtime.grpc_client import open_channel
from services.runtime.keyring import Keyring


@dataclass(slots=True)
class Answer:
    """What the application answered."""

    status: int
    headers: dict[str, str]
    body: str


async def ask(
    console: Console, method: str, path: str, *, form: dict[str, str] | None = None, cookie: str = ""
) -> Answer:
    """One request, straight to the application."""
    body = urlencode(form or {}).encode()
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"console.example"), (b"cookie", cookie.encode())],
    }
    await Starlette(routes=console.routes())(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(m.get("body", b"") for m in sent[1:]).decode())


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    with socket.socket() as probe:  # bound and never listening: connections are refused
        probe.bind(("127.0.0.1", 0))
        async with open_channel(f"127.0.0.1:{probe.getsockname()[1]}") as channel:
            keyring = Keyring.generate(tmp_path / "keyring.json")
            yield Console.of(
                channel, keyring, asyncio.Event(), public_url="https://wayfarer.example", sandboxes=None
            )


def cookie_of(console: Console) -> str:
    response = Response()
    console.sessions.keep(response, Session.begin("wf_key", "Northwind"))
    return response.headers["set-cookie"].split(";")[0]


async def test_a_page_says_that_the_platform_is_away(console: Console) -> None:
    cookie = cookie_of(console)
    assert cookie.startswith(COOKIE)
    answer = await ask(console, "GET", "/console/executions", cookie=cookie)
    assert answer.status == 503
    assert "does not answer just now" in answer.body
    assert "connect" not in answer.body
    assert "set-cookie" not in answer.headers
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_sign_in_is_put_off(console: Console) -> None:
    answer = await ask(console, "POST", "/console/sign-in", form={"key": "wf_key"})
    assert answer.status == 503
    assert "Try again in a moment" in answer.body
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("key", ["", "  ", "k" * 501, "kéy"])
async def test_what_cannot_be_a_key_is_not_asked_about(console: Console, key: str) -> None:
    answer = await ask(console, "POST", "/console/sign-in", form={"key": key})
    assert answer.status == 400
    assert "Give an API key" in answer.body


async def test_who_is_not_signed_in_is_asked_to(console: Console) -> None:
    answer = await ask(console, "GET", "/console/contacts")
    assert answer.status == 303
    assert answer.headers["location"] == "/console/sign-in?next=/console/contacts"


async def test_without_the_local_profile_there_is_no_mailbox(console: Console) -> None:
    answer = await ask(console, "GET", "/console/mailbox", cookie=cookie_of(console))
    assert answer.status == 404
    assert "/console/mailbox" not in answer.body.split("<main")[0]


async def test_only_what_is_meant_to_be_served_is_served(console: Console) -> None:
    style = await ask(console, "GET", "/console/static/console.css")
    assert style.status == 200
    assert "immutable" in style.headers["cache-control"]
    assert (await ask(console, "GET", "/console/static/console.py")).status == 404
    assert (await ask(console, "GET", "/console/static/..%2Fconsole.py")).status == 404


async def test_a_page_at_fault_says_so(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """No bare error of the server, and no word of what went wrong inside."""

    async def fails(request: Request, api: Api) -> Page:
        raise ZeroDivisionError("the inside")

    monkeypatch.setattr("services.gateway.console.console._PAGES", (("/events", "events", fails),))
    answer = await ask(console, "GET", "/console/events", cookie=cookie_of(console))
    assert answer.status == 500
    assert "This page failed" in answer.body
    assert "inside" not in answer.body
