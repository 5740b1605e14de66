"""Entry point `python -m services.local.receiver`: takes any request under /hooks/; stack.py starts it.

GET /requests shows them, GET /count counts them, DELETE /requests forgets them, and POST /rules
{"match": PATH, "times": N, "status": 503, "headers": {}, "body": "", "delay_ms": 0, "drop": false} makes it
misbehave, DELETE /rules behave. What it misbehaves at is kept as well.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from services.local.arrivals import Arrivals
from services.local.arrivals_http import serve_http, view
from services.runtime.config import HostPort, host_port, number, path, setting, text
from services.runtime.process import launch


@dataclass(frozen=True, slots=True)
class Settings:
    """What the receiver needs to know."""

    listen: HostPort = setting("WAYFARER_LISTEN", host_port, help="Where requests are taken and shown.")
    store: Path | None = setting("WAYFARER_STORE", path, default=None, help="A file that outlives restarts.")
    log_level: str = setting("WAYFARER_LOG_LEVEL", text, default="INFO", help="Lowest level logged.")
    otlp_endpoint: str = setting("OTEL_EXPORTER_OTLP_ENDPOINT", text, default="", help="Empty for no traces.")
    trace_ratio: float = setting("OTEL_TRACES_SAMPLER_ARG", number(0, 1), default=0.0, help="Share traced.")


def _shown(request: web.Request, body: bytes) -> dict[str, Any]:
    content: Any = body.decode("utf-8", "replace")
    with suppress(ValueError):
        content = json.loads(body)
    return {
        "received_at": datetime.now(UTC).isoformat(),
        "method": request.method,
        "path": request.path,
        "headers": dict(request.headers),
        "body": content,
        "raw": body.decode("utf-8", "replace"),
    }


def receiver(arrivals: Arrivals) -> web.Application:
    """The application: everything under /hooks/ is kept and answered."""

    async def take(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        arrivals.add(_shown(request, body))
        rule = arrivals.rule_for(request.path)
        if rule is None:
            return web.json_response({"ok": True})
        await asyncio.sleep(rule.get("delay_ms", 0) / 1000)
        # No transport: the caller has gone meanwhile.
        if rule.get("drop") and request.transport is not None:
            request.transport.abort()
        return web.Response(
            status=rule.get("status", 200), headers=rule.get("headers"), text=rule.get("body", "")
        )

    application = view(arrivals, "requests")
    application.router.add_route("*", "/hooks/{rest:.*}", take)
    return application


async def main(settings: Settings, stack: AsyncExitStack, stop: asyncio.Event) -> None:
    """Serves until stopped."""
    arrivals = Arrivals(settings.store)
    arrivals.load()
    await serve_http(stack, receiver(arrivals), settings.listen)
    await stop.wait()


if __name__ == "__main__":
    sys.exit(launch("receiver", Settings, main))
