"""A-45: with another account's ids every rpc answers as if they were nobody's, and changes nothing.

G18.
"""

import re
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from wayfarer.crm.v1 import contact_pb2
from wayfarer.crm.v1 import contact_service_pb2 as contact_pb
from wayfarer.event.v1 import event_service_pb2 as event_pb
from wayfarer.execution.v1 import bulk_service_pb2 as bulk_pb
from wayfarer.execution.v1 import editing_service_pb2 as editing_pb
from wayfarer.execution.v1 import execution_service_pb2 as pb
from wayfarer.execution.v1 import wait_service_pb2 as wait_pb
from wayfarer.execution.v1 import workflow_service_pb2 as workflow_pb

from tests.integration.api.world import NOWHERE, Client, World, refused, struct, waiting


def calls(client: Client, workflow: str, contact: str, execution: str, own: str) -> list[tuple[Any, Any]]:
    """Every rpc that takes an id, with these; `own` is a contact of the caller's own."""
    executions, workflows, contacts = client.executions, client.workflows, client.contacts
    mask = FieldMask(paths=["first_name"])
    changed = contact_pb2.Contact(id=contact, first_name="Mallory")
    return [
        (executions.StartExecution, pb.StartExecutionRequest(workflow=workflow, contact_id=own)),
        (executions.GetExecution, pb.GetExecutionRequest(id=execution)),
        (executions.ListExecutionLogs, pb.ListExecutionLogsRequest(execution_id=execution)),
        (executions.CancelExecution, pb.CancelExecutionRequest(id=execution)),
        (executions.ListExecutions, pb.ListExecutionsRequest(workflow=workflow)),
        (workflows.GetWorkflow, workflow_pb.GetWorkflowRequest(workflow=workflow)),
        (workflows.GetWorkflow, workflow_pb.GetWorkflowRequest(workflow=workflow, version=1)),
        (workflows.PublishWorkflow, workflow_pb.PublishWorkflowRequest(workflow=workflow)),
        (workflows.PauseWorkflow, workflow_pb.PauseWorkflowRequest(workflow=workflow)),
        (workflows.ResumeWorkflow, workflow_pb.ResumeWorkflowRequest(workflow=workflow)),
        (workflows.ArchiveWorkflow, workflow_pb.ArchiveWorkflowRequest(workflow=workflow)),
        (executions.PauseExecution, pb.PauseExecutionRequest(id=execution)),
        (executions.ResumeExecution, pb.ResumeExecutionRequest(id=execution)),
        (executions.RetryExecution, pb.RetryExecutionRequest(id=execution)),
        (executions.ExplainExecution, pb.ExplainExecutionRequest(id=execution)),
        (workflows.GetWorkflowCounts, workflow_pb.GetWorkflowCountsRequest(workflow=workflow)),
        *more_calls(client, workflow, contact, execution, own),
        (contacts.GetContact, contact_pb.GetContactRequest(id=contact)),
        (contacts.UpdateContact, contact_pb.UpdateContactRequest(contact=changed, update_mask=mask)),
        (contacts.DeleteContact, contact_pb.DeleteContactRequest(id=contact)),
    ]


def more_calls(
    client: Client, workflow: str, contact: str, execution: str, own: str
) -> list[tuple[Any, Any]]:
    """Waits, edits, operations on many, events."""
    until = Timestamp(seconds=4_000_000_000)
    end = struct({"type": "end"})
    named = bulk_pb.BulkTask(enroll=bulk_pb.EnrollMany(workflow=workflow, contact_ids=[own]))
    moved = bulk_pb.BulkTask(migrate=bulk_pb.MigrateMany(workflow=workflow))
    filtered = bulk_pb.BulkTask(cancel=bulk_pb.CancelMany(filter=bulk_pb.ExecutionFilter(workflow=workflow)))
    mask = FieldMask(paths=["config"])
    return [
        (client.waits.CreateWait, wait_pb.CreateWaitRequest(execution_id=execution, until=until)),
        (client.waits.GetWait, wait_pb.GetWaitRequest(id=f"{execution}.2")),
        (client.waits.CancelWait, wait_pb.CancelWaitRequest(id=f"{execution}.2")),
        (client.waits.ResumeWait, wait_pb.ResumeWaitRequest(id=f"{execution}.2")),
        (client.editing.AddStep, editing_pb.AddStepRequest(workflow=workflow, step=end)),
        (
            client.editing.UpdateStep,
            editing_pb.UpdateStepRequest(workflow=workflow, step_id="a", update_mask=mask),
        ),
        (client.editing.RemoveStep, editing_pb.RemoveStepRequest(workflow=workflow, step_id="before")),
        (client.editing.ReorderSteps, editing_pb.ReorderStepsRequest(workflow=workflow, step_ids=["a"])),
        (client.editing.GetStep, editing_pb.GetStepRequest(workflow=workflow, step_id="before")),
        (client.editing.ListSteps, editing_pb.ListStepsRequest(workflow=workflow)),
        *(
            (method, kind(task=task))
            for task in (named, moved, filtered)
            for method, kind in (
                (client.bulk.StartBulkOperation, bulk_pb.StartBulkOperationRequest),
                (client.bulk.PreviewBulkOperation, bulk_pb.PreviewBulkOperationRequest),
            )
        ),
        (client.events.ListRefusals, event_pb.ListRefusalsRequest(workflow=workflow)),
        (client.events.GetEvent, event_pb.GetEventRequest(id=execution)),
    ]


async def test_foreign_ids_answer_like_ids_of_nobody(world: World, client: Client, other: Client) -> None:
    workflow = await client.publish(waiting("secret-plan"))
    contact = await client.contact(external_id="crm-1", email="ada@example.test", first_name="Ada")
    execution = (await client.start(workflow, contact.id)).execution
    own = await other.contact()
    before = await world.rows(client), await world.row(execution.id)

    foreign = calls(other, workflow, contact.id, execution.id, own.id)
    nobodys = calls(other, NOWHERE, NOWHERE, NOWHERE, own.id)
    for (method, request), (_, empty) in zip(foreign, nobodys, strict=True):
        refusal, twin = await refused(other.call(method, request)), await refused(other.call(method, empty))
        assert refusal.code is grpc.StatusCode.NOT_FOUND, request
        # Told apart by nothing but the id that was asked for.
        assert (refusal.reason, refusal.metadata.keys()) == (twin.reason, twin.metadata.keys())
        assert refusal.message.replace(request_id(request, refusal.message), "X") == twin.message.replace(
            NOWHERE, "X"
        )
    refusal = await refused(
        other.call(
            other.executions.StartExecution, pb.StartExecutionRequest(workflow=NOWHERE, contact_id=contact.id)
        )
    )
    assert refusal.reason == "WORKFLOW_NOT_FOUND"

    assert (await world.rows(client), await world.row(execution.id)) == before
    assert (await world.rows(other))["execution"] == 0


def request_id(request: Any, message: str) -> str:
    """The id in the message, which is one of the request's own values."""
    found: list[str] = re.findall(r"[0-9a-f-]{36}", message)
    return next(text for text in found if text in str(request))


async def test_a_foreign_contact_cannot_be_started(world: World, client: Client, other: Client) -> None:
    contact = await client.contact()
    workflow = await other.publish(waiting())
    refusal = await refused(other.start(workflow, contact.id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "CONTACT_NOT_FOUND")
    assert (await world.rows(other))["execution"] == 0


async def test_a_watch_of_a_foreign_execution_ends_at_once(client: Client, other: Client) -> None:
    workflow = await client.publish(waiting())
    execution = (await client.start(workflow, (await client.contact()).id)).execution

    async def watch() -> object:
        return [change async for change in other.watch(execution.id)]

    refusal = await refused(watch())
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "EXECUTION_NOT_FOUND")


async def test_lists_and_names_stay_within_the_account(client: Client, other: Client) -> None:
    workflow = await client.publish(waiting("welcome"))
    contact = await client.contact(external_id="crm-1")
    await client.start(workflow, contact.id)

    assert not (await other.listed()).executions
    assert not (await other.listed(contact_id=contact.id)).executions
    batch = contact_pb.BatchGetContactsRequest(ids=[contact.id])
    assert not (await other.call(other.contacts.BatchGetContacts, batch)).contacts
    assert not (await other.call(other.contacts.ListContacts, contact_pb.ListContactsRequest())).contacts
    listed = await other.call(other.workflows.ListWorkflows, workflow_pb.ListWorkflowsRequest())
    assert not listed.workflows
    by_external = contact_pb.GetContactRequest(external_id="crm-1")
    assert (
        await refused(other.call(other.contacts.GetContact, by_external))
    ).code is grpc.StatusCode.NOT_FOUND
    # The same names are free in the other account.
    assert await other.publish(waiting("welcome")) != workflow
    assert (await other.contact(external_id="crm-1")).id != contact.id
    checks = await other.verify()
    assert all(count == 0 for count in checks.values())


@pytest.mark.parametrize("size", [1, 3])
async def test_a_page_token_is_no_key(client: Client, other: Client, size: int) -> None:
    for _ in range(size + 1):
        await client.contact()
    request = contact_pb.ListContactsRequest(page_size=size)
    page = await client.call(client.contacts.ListContacts, request)
    request.page_token = page.next_page_token
    assert not (await other.call(other.contacts.ListContacts, request)).contacts
