"""A place webhooks go to, answering as a test says, and names that lead where a test says."""

import asyncio
import errno
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ThreadedResolver, web
from aiohttp.abc import ResolveResult
from multidict import CIMultiDict
from wayfarer.action.v1 import action_pb2
from wayfarer.integrations.v1.integrations_admin_service_pb2_grpc import IntegrationsAdminServiceStub

from services.executors.address_guard import AddressInfo, guarded_socket
from tests.contract.executors.world import Client, make_action

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_accounts = itertools.count(1_000)


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that arrived."""

    method: str
    path: str
    query: str
    headers: CIMultiDict[str]
    body: bytes


@dataclass(slots=True)
class Site:
    """An HTTP server's memory, and how it answers each path."""

    port: int = 0
    raw_port: int = 0
    seen: list[Seen] = field(default_factory=list)
    handlers: dict[str, Handler] = field(default_factory=dict)
    raw: Raw | None = None
    """What speaks on raw_port, without HTTP's help."""

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def answers(self, path: str, status: int = 200, body: bytes = b"", **headers: str) -> str:
        """Answer a path like this; gives its URL. Header names are written with _ for -."""

        async def answer(request: web.Request) -> web.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(status=status, body=body, headers=named)

        self.handlers[path] = answer
        return self.url(path)

    def at(self, path: str) -> list[Seen]:
        return [one for one in self.seen if one.path == path]


@asynccontextmanager
async def open_site() -> AsyncIterator[Site]:
    """Serve a site on loopback."""
    site = Site()

    async def take(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = CIMultiDict(request.headers)
        site.seen.append(Seen(request.method, request.path, request.query_string, headers, body))
        handler = site.handlers.get(request.path)
        return await handler(request) if handler else web.json_response({"taken": True})

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert site.raw is not None
        try:
            await site.raw(reader, writer)
        finally:
            writer.close()

    application = web.Application(client_max_size=4 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    raw = await asyncio.start_server(speak, "127.0.0.1", 0)
    site.port, site.raw_port = runner.addresses[0][1], raw.sockets[0].getsockname()[1]
    yield site
    raw.close()
    await runner.cleanup()


class Names(ThreadedResolver):
    """Names of a test's own, which may answer differently each time; all others are the machine's."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host not in self.answers:
            return await super().resolve(host, port, family)
        self.asked.append(host)
        turns = self.answers[host]
        addresses = turns.pop(0) if len(turns) > 1 else turns[0]
        return [_answer(host, port, address) for address in addresses]


def _answer(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)


def no_way_out(address_info: AddressInfo) -> socket.socket:
    """The real guard, on a machine whose network ends at loopback: public addresses are unreachable."""
    guarded_socket(address_info).close()
    raise OSError(errno.ENETUNREACH, "no way out")


@dataclass(slots=True)
class Hooks:
    """The integrations family as a test of webhooks sees it."""

    client: Client
    admin: IntegrationsAdminServiceStub
    site: Site
    elsewhere: Site
    """Another origin that may be called."""
    forbidden: Site
    """Listens on loopback and may not be called."""
    names: Names
    closed_port: int

    async def call(
        self, config: dict[str, Any], *, account: int | None = None, **changes: Any
    ) -> action_pb2.ActionResult:
        """Make a call, of a new account unless one is given."""
        action = make_action("webhook_call", config, **changes)
        action.account_id = account or new_account()
        return await self.client.execute(action)


def new_account() -> int:
    return next(_accounts)
