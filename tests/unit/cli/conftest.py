"""The command line's server, fresh for each test."""

from collections.abc import AsyncIterator

import grpc
import pytest
from wayfarer.crm.v1.contact_service_pb2_grpc import add_ContactServiceServicer_to_server
from wayfarer.execution.v1.execution_service_pb2_grpc import add_ExecutionServiceServicer_to_server
from wayfarer.execution.v1.workflow_service_pb2_grpc import add_WorkflowServiceServicer_to_server

from tests.unit.cli.world import Contacts, Executions, Workflows, World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    server = grpc.aio.server()
    # The rpcs that a double leaves out answer UNIMPLEMENTED, which is what a test asks for.
    executions, workflows = Executions(), Workflows()  # type: ignore[abstract]
    add_ExecutionServiceServicer_to_server(executions, server)
    add_WorkflowServiceServicer_to_server(workflows, server)
    add_ContactServiceServicer_to_server(Contacts(), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield World(executions, workflows, f"127.0.0.1:{port}")
    await server.stop(None)
