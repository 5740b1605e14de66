"""OverviewService, and the filters of lists that the console needs, through the API with a worker."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from wayfarer.common.v1 import failure_pb2
from wayfarer.crm.v1 import contact_service_pb2 as contact_pb
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import execution_service_pb2 as pb
from wayfarer.execution.v1 import overview_service_pb2 as overview_pb
from wayfarer.execution.v1.overview_service_pb2_grpc import OverviewServiceStub

from services.runtime.grpc_client import open_channel
from tests.integration.api.world import NOWHERE, Client, World, refused, struct, until

pytestmark = pytest.mark.usefixtures("worker")
STATUS = execution_pb2.ExecutionStatus
FAILING: dict[str, Any] = {
    "key": "failing",
    "steps": [
        {"id": "tag", "type": "add_tag", "config": {"tag": "x"}},
        {"id": "call", "type": "webhook_call", "config": {"url": "{{ trigger.url }}"}},
    ],
}
WAITING: dict[str, Any] = {
    "key": "waiting",
    "steps": [
        {"id": "pause", "type": "wait_time", "config": {"amount": 2, "unit": "days"}},
        {"id": "tag", "type": "add_tag", "config": {"tag": "x"}},
    ],
}


@pytest.fixture
async def overview(world: World) -> AsyncIterator[OverviewServiceStub]:
    async with open_channel(world.stack.address) as channel:
        yield OverviewServiceStub(channel)


async def listed(client: Client, **filters: Any) -> list[str]:
    answer = await client.call(client.executions.ListExecutions, pb.ListExecutionsRequest(**filters))
    return [execution.id for execution in answer.executions]


async def failed_and_waiting(world: World, client: Client) -> tuple[str, str]:
    """One execution that failed for want of a credential, one that waits."""
    url = await world.misbehave(f"refused-{client.account_id}", times=9, status=401)
    await client.publish(FAILING)
    await client.publish(WAITING)
    contact = await client.contact(first_name="Nobody")
    failed = (await client.start("failing", contact.id, trigger=struct({"url": url}))).execution.id
    waiting = (await client.start("waiting", contact.id)).execution.id
    await client.watched_to_end(failed)
    await client.reaches(waiting, "WAITING")
    return failed, waiting


async def test_the_overview_counts_and_groups_failures(
    world: World, client: Client, overview: OverviewServiceStub
) -> None:
    await failed_and_waiting(world, client)
    answer = await client.call(overview.GetOverview, overview_pb.GetOverviewRequest())
    counts = {STATUS.Name(count.status): count.executions for count in answer.statuses}
    assert counts["EXECUTION_STATUS_FAILED"] == 1
    assert counts["EXECUTION_STATUS_WAITING"] == 1
    assert counts["EXECUTION_STATUS_ACTIVE"] == 0
    group = answer.failures[0]
    assert (group.workflow_key, group.step_id, group.executions) == ("failing", "call", 1)
    assert group.failure.error_class == failure_pb2.ERROR_CLASS_AUTHENTICATION
    assert answer.active_limit > 0
    assert answer.lateness.ToTimedelta().total_seconds() < 30


async def test_activity_adds_up_what_was_done(
    world: World, client: Client, overview: OverviewServiceStub
) -> None:
    await failed_and_waiting(world, client)

    async def counted() -> list[overview_pb.ActivityPoint] | None:
        answer = await client.call(overview.GetActivity, overview_pb.GetActivityRequest(minutes=30))
        points = list(answer.points)
        return points if sum(point.started for point in points) >= 2 else None

    points = await until(counted)
    assert len(points) == 30
    assert sum(point.started for point in points) == 2
    assert sum(point.failed for point in points) == 1
    assert sum(point.steps for point in points) >= 1
    seconds = [point.time.seconds for point in points]
    assert [after - before for before, after in itertools.pairwise(seconds)] == [60] * 29
    one = overview_pb.GetActivityRequest(workflow="waiting", minutes=30, minutes_per_point=10)
    answer = await client.call(overview.GetActivity, one)
    assert [len(answer.points), sum(point.failed for point in answer.points)] == [3, 0]


async def test_activity_refuses_too_many_points(client: Client, overview: OverviewServiceStub) -> None:
    refusal = await refused(client.call(overview.GetActivity, overview_pb.GetActivityRequest(minutes=11_520)))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refusal.rules) == ["minutes_per_point"]


async def test_another_account_sees_nothing_of_it(
    world: World, client: Client, other: Client, overview: OverviewServiceStub
) -> None:
    await failed_and_waiting(world, client)
    answer = await other.call(overview.GetOverview, overview_pb.GetOverviewRequest())
    assert sum(count.executions for count in answer.statuses) == 0
    assert not answer.failures


async def test_executions_are_filtered_by_reason_class_step_and_version(world: World, client: Client) -> None:
    failed, waiting = await failed_and_waiting(world, client)
    assert await listed(client, error_class=failure_pb2.ERROR_CLASS_AUTHENTICATION) == [failed]
    assert await listed(client, error_class=failure_pb2.ERROR_CLASS_TIMEOUT) == []
    assert await listed(client, workflow="waiting", step_id="pause") == [waiting]
    assert await listed(client, workflow="waiting", step_id="tag") == []
    reason = (await client.call(client.executions.GetExecution, pb.GetExecutionRequest(id=failed))).execution
    assert await listed(client, reason=reason.reason) == [failed]
    assert await listed(client, workflow="waiting", version=1) == [waiting]
    assert await listed(client, workflow="waiting", version=2) == []
    assert await listed(client, workflow="waiting", step_id="pause", version=1) == [waiting]
    assert await listed(client, workflow="waiting", step_id="pause", version=2) == []
    for alone in ({"step_id": "pause"}, {"version": 1}):
        refusal = await refused(listed(client, **alone))
        assert refusal.rules == dict.fromkeys(alone, "required")
    assert list((await refused(listed(client, workflow="waiting", version=2**32 - 1))).rules) == ["version"]


async def test_contacts_are_found_by_address(client: Client) -> None:
    jane = await client.contact(email="Jane@example.com", phone="+14155550123")
    await client.contact(email="joe@example.com")

    async def found(address: str) -> list[str]:
        request = contact_pb.ListContactsRequest(address=address)
        answer = await client.call(client.contacts.ListContacts, request)
        return [contact.id for contact in answer.contacts]

    assert await found("jane@EXAMPLE.com") == [jane.id]
    assert await found("+1 415 555-0123") == [jane.id]
    assert await found("nobody@example.com") == []
    assert NOWHERE not in await found("joe@example.com")
