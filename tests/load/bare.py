"""`python -m tests.load.bare HOST:PORT`: a family whose one action does nothing, in a process of its own.

It speaks the whole executor protocol and keeps nothing: what is measured with it is the engine alone.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1.action_executor_pb2_grpc import (
    ActionExecutorServicer,
    ActionExecutorStub,
    add_ActionExecutorServicer_to_server,
)

from services.runtime.config import HostPort
from services.runtime.grpc_client import open_channel

FAMILY, ACTION = "bench", "noop"
_DONE = action_pb2.ActionResult(
    outcome=action_pb2.OUTCOME_SUCCEEDED, certainty=action_pb2.CERTAINTY_DONE, output=b"{}"
)
_SCHEMA = '{"type": "object", "properties": {"note": {"type": "string"}}, "additionalProperties": false}'


class Bare(ActionExecutorServicer):
    """Answers at once."""

    async def Describe(self, request: wire.DescribeRequest, context: Any) -> wire.DescribeResponse:
        kind = action_pb2.ActionType(
            name=ACTION,
            family=FAMILY,
            version=1,
            delivery_class=action_pb2.DELIVERY_CLASS_TX,
            config_schema=_SCHEMA,
            sample_config='{"note": "nothing"}',
            default_timeout=Duration(seconds=10),
            default_max_retries=3,
            max_batch=1000,
        )
        return wire.DescribeResponse(family=FAMILY, action_types=[kind])

    async def Validate(self, request: wire.ValidateRequest, context: Any) -> wire.ValidateResponse:
        return wire.ValidateResponse()

    async def Execute(self, request: wire.ExecuteRequest, context: Any) -> wire.ExecuteResponse:
        return wire.ExecuteResponse(result=_DONE)

    async def ExecuteBatch(
        self, request: wire.ExecuteBatchRequest, context: Any
    ) -> AsyncIterator[wire.ExecuteBatchResponse]:
        yield wire.ExecuteBatchResponse(
            results=[wire.IndexedResult(index=place, result=_DONE) for place in range(len(request.actions))]
        )

    async def Preview(self, request: wire.PreviewRequest, context: Any) -> wire.PreviewResponse:
        return wire.PreviewResponse()

    async def Cancel(self, request: wire.CancelRequest, context: Any) -> wire.CancelResponse:
        return wire.CancelResponse()

    async def Reconcile(self, request: wire.ReconcileRequest, context: Any) -> wire.ReconcileResponse:
        finding = wire.ReconcileFinding(finding=wire.FINDING_DONE, result=_DONE)
        return wire.ReconcileResponse(findings=[finding] * len(request.items))


async def serve(address: str) -> None:
    """Serves until told to stop."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 << 20)])
    add_ActionExecutorServicer_to_server(Bare(), server)
    server.add_insecure_port(address)
    await server.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await server.stop(1.0)


@asynccontextmanager
async def running(count: int, port: int) -> AsyncIterator[dict[str, int]]:
    """So many processes of the family on one port (the kernel spreads connections); pids by name."""
    words = (sys.executable, "-m", "tests.load.bare", f"127.0.0.1:{port}")
    processes = [await asyncio.create_subprocess_exec(*words) for _ in range(count)]
    try:
        async with open_channel(HostPort("127.0.0.1", port)) as channel:
            await ActionExecutorStub(channel).Describe(
                wire.DescribeRequest(), timeout=30, wait_for_ready=True
            )
        yield {f"bare-{number}": process.pid for number, process in enumerate(processes)}
    finally:
        for process in processes:
            process.terminate()
            await process.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
