"""Shows what arrived over HTTP and takes rules of misbehaviour; the local mailbox and receiver serve it."""

from contextlib import AsyncExitStack

from aiohttp import web

from services.local.arrivals import Arrivals, Rule
from services.runtime.config import HostPort

_SHUTDOWN_S = 1.0
"""How long requests that are answered slowly, as a rule asked, may hold up our end."""


def view(arrivals: Arrivals, name: str) -> web.Application:
    """GET and DELETE /`name`, GET /count, POST and DELETE /rules."""

    async def show(_request: web.Request) -> web.Response:
        return web.json_response(list(arrivals.kept))

    async def count(_request: web.Request) -> web.Response:
        return web.json_response({"count": arrivals.total})

    async def clear(_request: web.Request) -> web.Response:
        arrivals.clear()
        return web.json_response({})

    async def misbehave(request: web.Request) -> web.Response:
        try:
            asked = await request.json()
            rule = Rule(str(asked.pop("match", "")), int(asked.pop("times", 1)), asked)
        except (ValueError, TypeError, AttributeError) as error:
            raise web.HTTPBadRequest(text=f"not a rule: {error}\n") from error
        arrivals.ask(rule)
        return web.json_response({})

    async def behave(_request: web.Request) -> web.Response:
        arrivals.rules.clear()
        return web.json_response({})

    application = web.Application()
    application.add_routes(
        [
            web.get(f"/{name}", show),
            web.get("/count", count),
            web.delete(f"/{name}", clear),
            web.post("/rules", misbehave),
            web.delete("/rules", behave),
        ]
    )
    return application


async def serve_http(stack: AsyncExitStack, application: web.Application, listen: HostPort) -> None:
    """Serves an application until the stack closes."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, listen.host, listen.port).start()
