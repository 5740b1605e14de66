"""R-OPS-1: one trace from the call that started an execution through worker and executor, to a collector."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from wayfarer.crm.v1 import contact_service_pb2
from wayfarer.crm.v1.contact_pb2 import Contact
from wayfarer.crm.v1.contact_service_pb2_grpc import ContactServiceStub
from wayfarer.execution.v1 import execution_service_pb2, workflow_service_pb2
from wayfarer.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from wayfarer.execution.v1.workflow_service_pb2_grpc import WorkflowServiceStub

from services.local.stack import Stack
from services.runtime.grpc_client import open_channel
from tests.support.stacks import fresh_stack

CANARY = "jane.canary@example.test"
DOCUMENT = """
key: traced
steps:
  - {id: tag, type: add_tag, config: {tag: traced}}
  - {id: hook, type: webhook_call, config: {url: "{{ trigger.url }}", headers: {X-Api-Key: canary-key}, body: {who: "{{ contact.email }}"}}}
  - {id: mail, type: send_email, config: {subject: "Dear {{ contact.email }}", text: Hello, category: transactional}}
"""


@dataclass(slots=True)
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans over OTLP/gRPC, as a collector does."""

    port: int = 0
    spans: dict[bytes, set[tuple[str, str]]] = field(default_factory=dict)
    raw: bytes = b""
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def Export(
        self, request: pb.ExportTraceServiceRequest, context: object
    ) -> pb.ExportTraceServiceResponse:
        """Keeps (service, span name) by trace, and all of it as it came."""
        self.raw += request.SerializeToString()
        for resource in request.resource_spans:
            service = next(
                a.value.string_value for a in resource.resource.attributes if a.key == "service.name"
            )
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.setdefault(span.trace_id, set()).add((service, span.name))
        self.came.set()
        return pb.ExportTraceServiceResponse()


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector, server = Collector(), grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(None)


async def _page(stack: Stack, path: str) -> str:
    """A page of the console, for somebody who has signed in."""
    async with aiohttp.ClientSession(stack.gateway_url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        await session.post("/console/sign-in", data={"key": stack.api_key})
        return await (await session.get(path)).text()


async def test_one_trace_from_the_start_to_the_executor() -> None:
    """R-OPS-1, A-21: one trace over all processes, and nothing in it of the contact or of the key."""
    async with collecting() as collector:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
            "OTEL_TRACES_SAMPLER_ARG": "1.0",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "WAYFARER_CONSOLE_TRACE_URL": "https://traces.example/of/{trace_id}?by=wayfarer&all",
        }
        async with fresh_stack(environment=environment) as stack, open_channel(stack.address) as channel:
            metadata = (("authorization", f"Bearer {stack.api_key}"),)
            apply = workflow_service_pb2.ApplyWorkflowRequest(document=DOCUMENT, publish=True)
            await WorkflowServiceStub(channel).ApplyWorkflow(apply, metadata=metadata, timeout=10)
            create = contact_service_pb2.CreateContactRequest(
                contact=Contact(first_name="Jane", email=CANARY)
            )
            made = await ContactServiceStub(channel).CreateContact(create, metadata=metadata, timeout=10)
            start = execution_service_pb2.StartExecutionRequest(workflow="traced", contact_id=made.contact.id)
            start.trigger.update({"url": f"{stack.receiver_url}/hooks/traced"})
            executions = ExecutionServiceStub(channel)
            started = await executions.StartExecution(start, metadata=metadata, timeout=10)
            watch = execution_service_pb2.WatchExecutionRequest(id=started.execution.id)
            async for _ in executions.WatchExecution(watch, metadata=metadata, timeout=20):
                pass
            wanted = {
                ("wayfarer-execution_api", "wayfarer.execution.v1.ExecutionService/StartExecution"),
                ("wayfarer-worker", "attempt add_tag"),
                ("wayfarer-worker", "attempt webhook_call"),
                ("wayfarer-integrations", "action webhook_call"),
                ("wayfarer-communication", "action send_email"),
            }
            async with asyncio.timeout(20):
                while not any(wanted <= spans for spans in collector.spans.values()):
                    collector.came.clear()
                    await collector.came.wait()
            (trace,) = (one for one, spans in collector.spans.items() if wanted <= spans)
            read = execution_service_pb2.GetExecutionRequest(id=started.execution.id)
            got = await executions.GetExecution(read, metadata=metadata, timeout=10)
            assert got.execution.trace_id == trace.hex()
            page = await _page(stack, f"/console/executions/{started.execution.id}")
            assert f'href="https://traces.example/of/{trace.hex()}?by=wayfarer&amp;all"' in page
            for canary in (CANARY, "canary-key"):
                assert canary.encode() not in collector.raw
