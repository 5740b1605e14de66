"""The HTTP API in front of a gRPC server that a test scripts; both are real and listen on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import uvicorn
from google.rpc.status_pb2 import Status
from starlette.applications import Starlette
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import execution_service_pb2 as pb
from wayfarer.execution.v1.execution_service_pb2_grpc import (
    ExecutionServiceServicer,
    add_ExecutionServiceServicer_to_server,
)

from services.gateway.rest.api import Api
from services.runtime.errors import abort
from services.runtime.grpc_client import open_channel
from services.runtime.grpc_server import serve
from services.runtime.interceptors import Context

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
HEARTBEAT_S = 0.02


@dataclass(slots=True)
class Script(ExecutionServiceServicer):
    """What the API answers next."""

    refusal: Status | None = None
    raises: Exception | None = None
    """As a fault that no interceptor of ours has made a status of."""
    metadata: dict[str, str] = field(default_factory=dict)
    """What the last call came with."""
    changes: "asyncio.Queue[pb.WatchExecutionResponse | Status | None]" = field(default_factory=asyncio.Queue)
    """What a watcher is told: a change, a refusal, or None for the end."""
    asked: int = 0
    """How often an execution was asked for."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a watcher has gone."""

    async def GetExecution(
        self, request: pb.GetExecutionRequest, context: Context
    ) -> pb.GetExecutionResponse:
        self.asked += 1
        self.metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        if self.raises is not None:
            raise self.raises
        if self.refusal is not None:
            await abort(context, self.refusal)
        return pb.GetExecutionResponse(execution=execution_pb2.Execution(id=request.id))

    async def WatchExecution(
        self, request: pb.WatchExecutionRequest, context: Context
    ) -> AsyncIterator[pb.WatchExecutionResponse]:
        try:
            while True:
                match await self.changes.get():
                    case None:
                        return
                    case Status() as refusal:
                        await abort(context, refusal)
                    case change:
                        yield change
        finally:
            self.left.set()


@dataclass(frozen=True, slots=True)
class World:
    """A caller, what answers it, and what ends the gateway's streams."""

    url: str
    session: aiohttp.ClientSession
    script: Script
    stop: asyncio.Event


@asynccontextmanager
async def open_world() -> AsyncIterator[World]:
    """Everything, up."""
    script = Script()  # type: ignore[abstract]  # the rest answers UNIMPLEMENTED
    add = [lambda server: add_ExecutionServiceServicer_to_server(script, server)]
    async with (
        serve("127.0.0.1:0", add, ["wayfarer.execution.v1.ExecutionService"]) as serving,
        gateway(str(serving.address)) as (url, stop),
        aiohttp.ClientSession(headers={"authorization": "Bearer wf_test"}) as session,
    ):
        yield World(url, session, script, stop)


@asynccontextmanager
async def gateway(target: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """The HTTP API in front of `target`: its URL, and what ends its streams."""
    stop = asyncio.Event()
    async with open_channel(target) as channel:
        application = Starlette(routes=Api(channel, stop, heartbeat_s=HEARTBEAT_S).routes())
        config = uvicorn.Config(application, log_config=None, lifespan="off", timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        # Connections queue here from now on, whenever the server comes to take them.
        with socket.create_server(("127.0.0.1", 0)) as listening:
            serving = asyncio.create_task(server._serve([listening]))
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}/api/v1", stop
            finally:
                server.should_exit = True
                await serving
