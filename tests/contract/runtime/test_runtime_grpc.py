"""Both ends of gRPC: errors, validation, deadlines, limits, health, shutdown, as a caller sees them."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from grpc_status import rpc_status
from wayfarer.execution.v1 import execution_service_pb2 as pb
from wayfarer.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub

from services.runtime.config import HostPort
from services.runtime.grpc_client import DeadlineRequiredError, open_channel
from services.runtime.grpc_server import ListenError, serve
from tests.contract.runtime.world import SERVICE, UUID, World, open_world

M = TypeVar("M", bound=Message)


def start(workflow: str = "welcome", contact_id: str = UUID) -> pb.StartExecutionRequest:
    return pb.StartExecutionRequest(workflow=workflow, contact_id=contact_id)


async def refused(call: Awaitable[Message]) -> tuple[grpc.StatusCode, Status]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    rich = rpc_status.from_call(caught.value)
    assert rich is not None, caught.value
    return caught.value.code(), rich


def detail(rich: Status, kind: type[M]) -> M:
    found = kind()
    assert any(packed.Unpack(found) for packed in rich.details), rich
    return found


async def test_a_call_answers(world: World) -> None:
    answer = await world.stub.StartExecution(start(), timeout=10)
    assert answer.execution.id == UUID
    assert world.count("server", "StartExecution", "OK") == 1
    assert world.count("client", "StartExecution", "OK") == 1


async def test_a_domain_error_becomes_its_status(world: World) -> None:
    code, rich = await refused(world.stub.StartExecution(start("gone"), timeout=10))
    assert (code, rich.message) == (grpc.StatusCode.NOT_FOUND, "no workflow welcome")
    assert detail(rich, ErrorInfo) == ErrorInfo(reason="WORKFLOW_NOT_FOUND", domain="wayfarer")
    assert world.count("server", "StartExecution", "NOT_FOUND") == 1
    assert world.count("client", "StartExecution", "NOT_FOUND") == 1


async def test_an_unknown_error_tells_an_incident_and_nothing_else(world: World) -> None:
    code, rich = await refused(world.stub.StartExecution(start("broken"), timeout=10))
    info = detail(rich, ErrorInfo)
    assert (code, info.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert rich.message == f"internal error, incident {info.metadata['incident_id']}"
    assert b"hunter2" not in rich.SerializeToString()


async def test_an_abort_by_hand_passes_as_it_is(world: World) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.stub.StartExecution(start("aborts"), timeout=10)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.ABORTED, "by hand")


async def test_an_invalid_request_names_every_field(world: World) -> None:
    request = start("no spaces", "not-a-uuid")
    request.trigger.update({"note": "n\0l"})
    code, rich = await refused(world.stub.StartExecution(request, timeout=10))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert detail(rich, ErrorInfo).reason == "REQUEST_INVALID"
    found = {(v.field, v.reason) for v in detail(rich, BadRequest).field_violations}
    assert found == {
        ("workflow", "string.pattern"),
        ("contact_id", "string.uuid"),
        ("trigger.note", "string.no_nul"),
    }
    assert rich.message.endswith("(and 2 more)")


async def test_a_struct_too_deep_is_named(world: World) -> None:
    request, inner = start(), Struct()
    for _ in range(20):
        outer = Struct()
        outer["a"] = inner
        inner = outer
    request.trigger.CopyFrom(inner)
    _, rich = await refused(world.stub.StartExecution(request, timeout=10))
    assert detail(rich, BadRequest).field_violations[0].reason == "struct.too_deep"


async def test_a_full_set_of_violations_reaches_the_caller(world: World) -> None:
    request = start()
    for number in range(500):
        request.trigger[f"key-{number}"] = "\0"
    _, rich = await refused(world.stub.StartExecution(request, timeout=10))
    shown = len(detail(rich, BadRequest).field_violations)
    assert shown + int(detail(rich, ErrorInfo).metadata["violations_omitted"]) == 500


async def test_a_client_with_default_limits_gets_the_full_set_too(world: World) -> None:
    request = start()
    for number in range(500):
        request.trigger[f"ключ-{number}"] = "\0"
    async with grpc.aio.insecure_channel(str(world.serving.address)) as plain:
        _, rich = await refused(ExecutionServiceStub(plain).StartExecution(request, timeout=10))
    assert detail(rich, BadRequest).field_violations


async def test_a_stream_flows_and_its_errors_are_rich(world: World) -> None:
    responses = [r async for r in world.stub.WatchExecution(pb.WatchExecutionRequest(id=UUID), timeout=10)]
    assert len(responses) == 2
    call = world.stub.WatchExecution(pb.WatchExecutionRequest(id=UUID, after_seq=1), timeout=10)
    assert await call.read() == responses[0]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert detail(rpc_status.from_call(caught.value), ErrorInfo).reason == "WORKFLOW_NOT_FOUND"
    assert world.count("server", "WatchExecution", "OK") == 1
    assert world.count("server", "WatchExecution", "NOT_FOUND") == 1


async def test_an_invalid_request_for_a_stream_is_refused(world: World) -> None:
    call = world.stub.WatchExecution(pb.WatchExecutionRequest(id="x"), timeout=10)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert detail(rpc_status.from_call(caught.value), BadRequest).field_violations[0].field == "id"


async def test_a_stream_the_caller_leaves_is_closed_at_once(world: World) -> None:
    call = world.stub.WatchExecution(pb.WatchExecutionRequest(id=UUID, after_seq=2), timeout=30)
    await call.read()
    await world.executions.entered.wait()
    call.cancel()
    async with asyncio.timeout(10):
        while "watch" not in world.executions.ended:
            await asyncio.sleep(0)
    assert world.executions.ended == ["hang", "watch"]


async def test_a_call_without_a_deadline_is_refused_here(world: World) -> None:
    with pytest.raises(DeadlineRequiredError, match="/StartExecution was called without timeout="):
        await world.stub.StartExecution(start())
    with pytest.raises(DeadlineRequiredError, match="/WatchExecution"):
        await world.stub.WatchExecution(pb.WatchExecutionRequest(id=UUID)).read()
    assert world.executions.traceparents == []


async def test_a_deadline_ends_the_servicer_too(world: World) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.stub.StartExecution(start("hangs"), timeout=0.2)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(10):
        while not world.count("server", "StartExecution", "CANCELLED"):
            await asyncio.sleep(0)
    assert world.executions.ended == ["hang"]


async def test_messages_are_bounded_as_each_end_says(world: World) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.stub.GetExecution(pb.GetExecutionRequest(id=UUID), timeout=10)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_more_calls_than_allowed_are_refused() -> None:
    async with open_world(max_concurrent=1) as world:
        first = asyncio.ensure_future(_answer(world, "hangs"))
        await world.executions.entered.wait()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stub.StartExecution(start(), timeout=10)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        world.executions.release.set()
        assert await first == UUID


async def _answer(world: World, workflow: str) -> str:
    response = await world.stub.StartExecution(start(workflow), timeout=30)
    return response.execution.id


async def test_health_speaks_per_service_and_for_all(world: World) -> None:
    stub = health_pb2_grpc.HealthStub(world.channel)
    for service in ("", SERVICE):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_on_the_way_out_health_turns_first_and_calls_under_way_end() -> None:
    async with open_world() as world:
        watch = health_pb2_grpc.HealthStub(world.channel).Watch(
            health_pb2.HealthCheckRequest(service=SERVICE), timeout=30
        )
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        call = asyncio.ensure_future(_answer(world, "hangs"))
        await world.executions.entered.wait()
        await world.serving.health.enter_graceful_shutdown()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        stopping = asyncio.ensure_future(world.serving.server.stop(30))
        world.executions.release.set()
        assert await call == UUID
        await stopping


async def test_reflection_lists_services_in_the_local_profile_only(world: World) -> None:
    async def listed(channel: grpc.aio.Channel) -> set[str]:
        call = ServerReflectionStub(channel).ServerReflectionInfo(
            iter([ServerReflectionRequest(list_services="*")]), timeout=10
        )
        answer = await call.read()
        return {service.name for service in answer.list_services_response.service}

    assert SERVICE in await listed(world.channel)
    async with (
        serve("127.0.0.1:0", [], [], profile="production") as serving,
        open_channel(serving.address) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await listed(channel)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_taken_port_is_named(world: World) -> None:
    with pytest.raises(ListenError, match=f"cannot listen at {world.serving.address}"):
        async with serve(world.serving.address, [], []):
            raise AssertionError("served twice")


async def test_plaintext_beyond_loopback_is_for_the_local_profile() -> None:
    with pytest.raises(ListenError, match="plaintext"):
        async with serve(HostPort("0.0.0.0", 0), [], [], profile="production"):
            raise AssertionError("served in plaintext")
