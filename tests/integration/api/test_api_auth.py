"""Who may call: a key opens its own account and nothing else does; health and reflection need none.

R-API-1, G18.
"""

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from wayfarer.crm.v1 import contact_service_pb2
from wayfarer.execution.v1 import execution_service_pb2, workflow_service_pb2
from wayfarer.execution.v1 import execution_service_pb2 as pb

from tests.integration.api.world import TIMEOUT_S, Client, World, key_hash, refused

SERVICES: list[ServiceDescriptor] = [
    execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"],
    workflow_service_pb2.DESCRIPTOR.services_by_name["WorkflowService"],
    contact_service_pb2.DESCRIPTOR.services_by_name["ContactService"],
]
METHODS = [(service, method) for service in SERVICES for method in service.methods]


async def _bare(world: World, service: ServiceDescriptor, method: MethodDescriptor, metadata: Any) -> Any:
    """One call with an empty request."""
    request = GetMessageClass(method.input_type)()
    answer = GetMessageClass(method.output_type)
    path = f"/{service.full_name}/{method.name}"
    if method.server_streaming:
        stream = world.channel.unary_stream(path, type(request).SerializeToString, answer.FromString)
        async for message in stream(request, timeout=TIMEOUT_S, metadata=metadata):
            return message
        return None
    unary = world.channel.unary_unary(path, type(request).SerializeToString, answer.FromString)
    return await unary(request, timeout=TIMEOUT_S, metadata=metadata)


@pytest.mark.parametrize("place", range(len(METHODS)), ids=[m.full_name for _, m in METHODS])
async def test_every_rpc_wants_a_key_before_it_looks_at_the_request(world: World, place: int) -> None:
    service, method = METHODS[place]
    for metadata in ((), (("authorization", "Bearer wf_nobodys"),), (("authorization", "Basic abc"),)):
        refusal = await refused(_bare(world, service, method, metadata))
        assert refusal.code is grpc.StatusCode.UNAUTHENTICATED
        assert refusal.reason == "UNAUTHENTICATED"
        assert "nobodys" not in refusal.message


async def test_revoked_keys_are_refused(world: World, client: Client) -> None:
    await world.owner.execute(
        "UPDATE api_key SET revoked_at = now() WHERE key_hash = $1", key_hash(client.key)
    )
    refusal = await refused(client.listed())
    assert refusal.code is grpc.StatusCode.UNAUTHENTICATED


async def test_the_scheme_is_read_in_any_case(world: World, client: Client) -> None:
    answer = await client.executions.ListExecutions(
        pb.ListExecutionsRequest(), timeout=TIMEOUT_S, metadata=(("authorization", f"bearer {client.key}"),)
    )
    assert not answer.executions


async def test_health_and_reflection_need_no_key(world: World) -> None:
    health = health_pb2_grpc.HealthStub(world.channel)
    for name in ("", *(service.full_name for service in SERVICES)):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=TIMEOUT_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    async with grpc.aio.insecure_channel(world.stack.address) as channel:
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        async for message in reflection.ServerReflectionInfo(iter([request]), timeout=TIMEOUT_S):
            served = {service.name for service in message.list_services_response.service}
            assert {service.full_name for service in SERVICES} <= served
