"""Entry point `python -m services.local.mailbox`: SMTP in, JSON out; the local stack starts it.

HTTP: GET /messages, GET /count, DELETE /messages, and POST /rules {"match": RECIPIENT, "times": N,
"reply": "451 …"} or {"drop_after_data": true} to make it misbehave for the next messages; a reply refuses the
message, a drop keeps it. DELETE /rules ends all misbehaviour.
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

from aiosmtpd.smtp import SMTP, Envelope, Session

from services.local.arrivals import Arrivals
from services.local.arrivals_http import serve_http, view
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
    headers = _headers(message)
    return {
        "received_at": datetime.now(UTC).isoformat(),
        "from": envelope.mail_from,
        "to": list(envelope.rcpt_tos),
        "subject": headers.get("subject", ""),
        "message_id": headers.get("message-id", ""),
        "headers": {name: headers[name.lower()] for name in message},
        "text": _body(message, "plain"),
        "html": _body(message, "html"),
    }


def _headers(message: EmailMessage) -> dict[str, str]:
    """By name in lower case; one that breaks the rules of its kind, as it was sent."""
    shown = {}
    for name, raw in message.raw_items():
        try:
            shown[name.lower()] = str(message.policy.header_fetch_parse(name, raw))
        except Exception:  # the parsers of some kinds fail in ways of their own
            shown[name.lower()] = str(raw)
    return shown


def _body(message: EmailMessage, kind: str) -> str:
    """The text of one kind; in a charset nobody knows, as far as it is ASCII."""
    part = message.get_body((kind,))
    if part is None:
        return ""
    try:
        return str(part.get_content())
    except (LookupError, ValueError):
        payload = part.get_payload(decode=True)
        return payload.decode("ascii", "replace") if isinstance(payload, bytes) else ""


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
