"""Entry point `python -m services.local.mailbox`: SMTP in, JSON out; the local stack starts it.

HTTP: GET /messages, GET /count, DELETE /messages, and POST /rules {"match": RECIPIENT, "times": N,
"reply": "451 …"} or {"drop_after_data": true} to make it misbehave for the next messages.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from services.local.rules import Arrivals, Rule
from services.runtime.config import HostPort, host_port, number, path, setting, text
from services.runtime.process import launch

_MOST_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """What the mailbox needs to know."""

    listen: HostPort = setting("WAYFARER_LISTEN", host_port, help="Where SMTP is spoken.")
    http_listen: HostPort = setting("WAYFARER_HTTP_LISTEN", host_port, help="Where messages are shown.")
    store: Path | None = setting("WAYFARER_STORE", path, default=None, help="A file that outlives restarts.")
    log_level: str = setting("WAYFARER_LOG_LEVEL", text, default="INFO", help="Lowest level logged.")
    otlp_endpoint: str = setting("OTEL_EXPORTER_OTLP_ENDPOINT", text, default="", help="Empty for no traces.")
    trace_ratio: float = setting("OTEL_TRACES_SAMPLER_ARG", number(0, 1), default=0.0, help="Share traced.")


class Inbox:
    """aiosmtpd's handler: takes each message, or misbehaves as asked."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """The reply to a message; 250 means it is kept."""
        rule = self._arrivals.rule_for(" ".join(envelope.rcpt_tos))
        if rule and "reply" in rule:
            return str(rule["reply"])
        content = envelope.content
        assert isinstance(content, bytes)
        self._arrivals.add(_shown(envelope, content))
        if rule and rule.get("drop_after_data"):
            assert server.transport is not None
            server.transport.abort()  # type: ignore[attr-defined]
        return "250 kept"


def _shown(envelope: Envelope, content: bytes) -> dict[str, Any]:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    return {
        "received_at": datetime.now(UTC).isoformat(),
        "from": envelope.mail_from,
        "to": list(envelope.rcpt_tos),
        "subject": str(message["Subject"] or ""),
        "message_id": str(message["Message-ID"] or ""),
        "headers": {name: str(value) for name, value in message.items()},
        "text": plain.get_content() if plain is not None else "",
        "html": html.get_content() if html is not None else "",
    }


def view(arrivals: Arrivals, name: str) -> web.Application:
    """The HTTP side: GET and DELETE /`name`, GET /count, POST /rules."""

    async def show(_request: web.Request) -> web.Response:
        return web.json_response(list(arrivals.kept))

    async def count(_request: web.Request) -> web.Response:
        return web.json_response({"count": arrivals.total})

    async def clear(_request: web.Request) -> web.Response:
        arrivals.clear()
        return web.json_response({})

    async def misbehave(request: web.Request) -> web.Response:
        asked = await request.json()
        match, times = str(asked.pop("match", "")), int(asked.pop("times", 1))
        arrivals.rules.append(Rule(match, times, asked))
        return web.json_response({})

    application = web.Application()
    application.add_routes(
        [
            web.get(f"/{name}", show),
            web.get("/count", count),
            web.delete(f"/{name}", clear),
            web.post("/rules", misbehave),
        ]
    )
    return application


async def serve_http(stack: AsyncExitStack, application: web.Application, listen: HostPort) -> None:
    """Serves an application until the stack closes."""
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, listen.host, listen.port).start()


async def main(settings: Settings, stack: AsyncExitStack, stop: asyncio.Event) -> None:
    """Serves SMTP and HTTP until stopped."""
    arrivals = Arrivals(settings.store)
    arrivals.load()
    await serve_http(stack, view(arrivals, "messages"), settings.http_listen)
    inbox = Inbox(arrivals)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(
            inbox, hostname="mailbox.wayfarer.example", data_size_limit=_MOST_BYTES, enable_SMTPUTF8=True
        ),
        settings.listen.host,
        settings.listen.port,
    )
    stack.callback(server.close)
    await stop.wait()


if __name__ == "__main__":
    sys.exit(launch("mailbox", Settings, main))
