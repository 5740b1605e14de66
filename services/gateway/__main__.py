"""Entry point `python -m services.gateway`: the HTTP API, providers' callbacks and recipients' clicks."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import uvicorn
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from dispatcher.intake import Intake
from execution_engine.store.hints import DUE, HintSender
from execution_engine.store.workflows import Outlines
from services.gateway.callbacks import Callbacks
from services.gateway.console.console import Console
from services.gateway.console.sandbox_pages import Sandboxes
from services.gateway.rest import documentation
from services.gateway.rest.api import Api
from services.runtime import metrics
from services.runtime.config import HostPort, host_port, integer, number, path, setting, text
from services.runtime.database import open_pool
from services.runtime.grpc_client import open_channel
from services.runtime.keyring import Keyring
from services.runtime.metrics import RpcDurations
from services.runtime.process import launch


def address_of_traces(raw: str) -> str:
    """Take an address of the web with `{trace_id}` in it."""
    if not raw.startswith(("http://", "https://")) or "{trace_id}" not in raw:
        raise ValueError("must be an http or https address with {trace_id} in it")
    return raw


@dataclass(frozen=True, slots=True)
class Settings:
    """What the gateway needs to know."""

    listen: HostPort = setting("WAYFARER_LISTEN", host_port, help="Where HTTP is served.")
    database_url: str = setting("WAYFARER_DATABASE_URL", text, secret=True, help="DSN of role wayfarer_api.")
    keyring: Path = setting("WAYFARER_KEYRING", path, help="The keyring file.")
    communication: HostPort = setting(
        "WAYFARER_COMMUNICATION_TARGET", host_port, help="The family that sends messages."
    )
    api: HostPort = setting("WAYFARER_API_TARGET", host_port, help="The public gRPC services.")
    public_url: str = setting("WAYFARER_PUBLIC_URL", text, help="Where the world reaches this process.")
    mailbox_url: str = setting(
        "WAYFARER_MAILBOX_URL",
        text,
        default="",
        help="The local mailbox, for the console to show; else empty.",
    )
    sandboxes_url: str = setting(
        "WAYFARER_SANDBOXES_URL", text, default="", help="The providers' sandboxes, likewise."
    )
    trace_url: str = setting(
        "WAYFARER_CONSOLE_TRACE_URL",
        address_of_traces,
        default="",
        help="Where a trace is shown, with {trace_id}; without it the console has no links to traces.",
    )
    metrics_port: int = setting("WAYFARER_METRICS_PORT", integer(0, 65535), default=0, help="0 for none.")
    log_level: str = setting("WAYFARER_LOG_LEVEL", text, default="INFO", help="Lowest level logged.")
    otlp_endpoint: str = setting("OTEL_EXPORTER_OTLP_ENDPOINT", text, default="", help="Empty for no traces.")
    trace_ratio: float = setting("OTEL_TRACES_SAMPLER_ARG", number(0, 1), default=0.01, help="Share traced.")


async def main(settings: Settings, stack: AsyncExitStack, stop: asyncio.Event) -> None:
    """Opens every part on the stack, in order of need, and serves until told to stop."""
    registry = CollectorRegistry()
    vault = Keyring.load(settings.keyring)
    await stack.enter_async_context(metrics.serve(settings.metrics_port, registry=registry))
    pool = await stack.enter_async_context(
        open_pool(settings.database_url, name="wayfarer gateway", min_size=1, max_size=8)
    )
    durations = RpcDurations("client", registry)
    family = await stack.enter_async_context(open_channel(settings.communication, durations=durations))
    api = await stack.enter_async_context(open_channel(settings.api, durations=durations))
    due = await stack.enter_async_context(HintSender(pool, DUE))
    callbacks = Callbacks(pool, vault, Intake(pool, vault, Outlines(vault), due), family, settings.public_url)
    sandboxes = await _sandboxes(settings, stack)
    console = Console.of(
        api,
        vault,
        stop,
        public_url=settings.public_url,
        sandboxes=sandboxes,
        trace_url=settings.trace_url,
    )
    rest = (*Api(api, stop).routes(), *documentation.routes())
    routes = [Route("/healthz", _healthy), *callbacks.routes(), *rest, *console.routes()]
    application = Starlette(routes=routes)
    await stack.enter_async_context(_served(application, settings.listen))
    await stop.wait()


async def _sandboxes(settings: Settings, stack: AsyncExitStack) -> Sandboxes | None:
    """The local profile's mailbox and phone, if there are any."""
    if not (settings.mailbox_url and settings.sandboxes_url):
        return None
    client = await stack.enter_async_context(aiohttp.ClientSession())
    return Sandboxes(settings.mailbox_url, settings.sandboxes_url, client)


async def _healthy(request: Request) -> Response:
    return PlainTextResponse("ok\n")


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _served(application: Starlette, listen: HostPort) -> AsyncIterator[None]:
    """Serves it; leaving lets requests under way end."""
    config = uvicorn.Config(
        application,
        host=listen.host,
        port=listen.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        lifespan="off",
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(), name="http")
    try:
        yield
    finally:
        server.should_exit = True
        await serving


if __name__ == "__main__":
    sys.exit(launch("gateway", Settings, main))
