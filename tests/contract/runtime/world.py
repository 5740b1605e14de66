"""A real gRPC server with the generated ExecutionService and a client, made as our processes make them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc.status_pb2 import Status
from prometheus_client import CollectorRegistry
from wayfarer.execution.v1 import execution_service_pb2 as pb
from wayfarer.execution.v1.execution_pb2 import Execution
from wayfarer.execution.v1.execution_service_pb2_grpc import (
    ExecutionServiceServicer,
    ExecutionServiceStub,
    add_ExecutionServiceServicer_to_server,
)

from services.runtime.errors import status
from services.runtime.grpc_client import open_channel
from services.runtime.grpc_server import Serving, serve
from services.runtime.interceptors import ErrorInterceptor, TelemetryInterceptor, ValidationInterceptor
from services.runtime.metrics import RpcDurations
from services.runtime.telemetry import current_traceparent

SERVICE = "wayfarer.execution.v1.ExecutionService"
UUID = "01890a5d-ac96-774b-bcce-b302099a8057"


class WorkflowGoneError(Exception):
    """An error of a domain, as the engine has them."""


@dataclass
class Executions(ExecutionServiceServicer):
    """Does what the workflow's name says."""

    entered: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    ended: list[str] = field(default_factory=list)
    traceparents: list[str] = field(default_factory=list)

    async def StartExecution(
        self, request: pb.StartExecutionRequest, context: Any
    ) -> pb.StartExecutionResponse:
        self.traceparents.append(current_traceparent())
        match request.workflow:
            case "gone":
                raise WorkflowGoneError("welcome")
            case "broken":
                raise RuntimeError("the secret is hunter2")
            case "aborts":
                await context.abort(grpc.StatusCode.ABORTED, "by hand")
            case "hangs":
                await self._hang()
        return pb.StartExecutionResponse(execution=Execution(id=UUID))

    async def WatchExecution(
        self, request: pb.WatchExecutionRequest, context: Any
    ) -> AsyncIterator[pb.WatchExecutionResponse]:
        self.traceparents.append(current_traceparent())
        try:
            yield pb.WatchExecutionResponse(execution=Execution(id=request.id))
            if request.after_seq == 1:
                raise WorkflowGoneError("welcome")
            if request.after_seq == 2:
                await self._hang()
            yield pb.WatchExecutionResponse(execution=Execution(id=request.id))
        finally:
            self.ended.append("watch")

    async def GetExecution(self, request: pb.GetExecutionRequest, context: Any) -> pb.GetExecutionResponse:
        return pb.GetExecutionResponse(execution=Execution(id=request.id, reason="x" * 5_000_000))

    async def _hang(self) -> None:
        self.entered.set()
        try:
            await self.release.wait()
        finally:
            self.ended.append("hang")


@dataclass
class World:
    """What a test has in hand."""

    executions: Executions
    registry: CollectorRegistry
    serving: Serving
    channel: grpc.aio.Channel
    stub: ExecutionServiceStub

    def count(self, side: str, method: str, code: str) -> float:
        labels = {"method": f"/{SERVICE}/{method}", "code": code}
        return self.registry.get_sample_value(f"wayfarer_rpc_{side}_duration_seconds_count", labels) or 0.0


def translate(error: BaseException) -> Status | None:
    if isinstance(error, WorkflowGoneError):
        return status(grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND", f"no workflow {error}")
    return None


@asynccontextmanager
async def open_world(
    *, start_traces: bool = False, max_message_bytes: int = 4 * 2**20, max_concurrent: int = 100
) -> AsyncIterator[World]:
    """Serve and dial; the interceptors in the order processes use."""
    executions = Executions()  # type: ignore[abstract]  # the rpcs left out answer UNIMPLEMENTED
    registry = CollectorRegistry()
    async with (
        serve(
            "127.0.0.1:0",
            [lambda server: add_ExecutionServiceServicer_to_server(executions, server)],
            [SERVICE],
            interceptors=[
                TelemetryInterceptor(RpcDurations("server", registry), start_traces=start_traces),
                ErrorInterceptor(translate),
                ValidationInterceptor(),
            ],
            profile="local",
            max_concurrent=max_concurrent,
        ) as serving,
        open_channel(
            serving.address,
            max_message_bytes=max_message_bytes,
            durations=RpcDurations("client", registry),
        ) as channel,
    ):
        yield World(executions, registry, serving, channel, ExecutionServiceStub(channel))
