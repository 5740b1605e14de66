"""Entry point `python -m services.local.sandboxes`: every provider's sandbox on one port; stack.py starts it.

Each has a folder of its own, which is what a provider's base_url is set to: /email, /twilio, /meta,
/thinkific, /slack, /leadconnector.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from services.local.arrivals import Arrivals
from services.local.arrivals_http import serve_http
from services.local.sandboxes.email import EmailSandbox
from services.local.sandboxes.leadconnector import leadconnector_app
from services.local.sandboxes.meta import meta_app
from services.local.sandboxes.slack import slack_app
from services.local.sandboxes.thinkific import thinkific_app
from services.local.sandboxes.twilio import twilio_app
from services.runtime.config import HostPort, host_port, integer, number, path, setting, text
from services.runtime.process import launch


@dataclass(frozen=True, slots=True)
class Settings:
    """What the sandboxes need to know."""

    listen: HostPort = setting("WAYFARER_LISTEN", host_port, help="Where the providers are spoken.")
    store: Path | None = setting("WAYFARER_STORE", path, default=None, help="A file that outlives restarts.")
    callbacks_to: str = setting("WAYFARER_CALLBACKS_TO", text, default="", help="Our public URL.")
    callbacks_account: int = setting(
        "WAYFARER_CALLBACKS_ACCOUNT", integer(1, 2**63 - 1), default=1, help="Whose what comes in is."
    )
    log_level: str = setting("WAYFARER_LOG_LEVEL", text, default="INFO", help="Lowest level logged.")
    otlp_endpoint: str = setting("OTEL_EXPORTER_OTLP_ENDPOINT", text, default="", help="Empty for no traces.")
    trace_ratio: float = setting("OTEL_TRACES_SAMPLER_ARG", number(0, 1), default=0.0, help="Share traced.")


async def main(settings: Settings, stack: AsyncExitStack, stop: asyncio.Event) -> None:
    """Serves until stopped."""
    arrivals = Arrivals(settings.store)
    arrivals.load()
    application = web.Application()
    application.add_subapp("/email", EmailSandbox(arrivals).application())
    to = f"{settings.callbacks_to}/callbacks"
    own = f"accounts/{settings.callbacks_account}"
    application.add_subapp("/twilio", twilio_app(inbound_url=f"{to}/twilio/sms/{own}"))
    application.add_subapp("/meta", meta_app(webhook_url=f"{to}/meta/messenger/{own}"))
    application.add_subapp("/thinkific", thinkific_app())
    application.add_subapp("/slack", slack_app())
    application.add_subapp("/leadconnector", leadconnector_app())
    await serve_http(stack, application, settings.listen)
    await stop.wait()


if __name__ == "__main__":
    sys.exit(launch("sandboxes", Settings, main))
