"""A-45: with another account's ids every rpc answers as if they were nobody's, and changes nothing.

G18.
"""

from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from wayfarer.crm.v1 import contact_pb2
from wayfarer.crm.v1 import contact_service_pb2 as contact_pb
from wayfarer.execution.v1 import execution_service_pb2 as pb
from wayfarer.execution.v1 import workflow_service_pb2 as workflow_pb

from tests.integration.api.world import NOWHERE, Client, World, refused, waiting


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
        (contacts.GetContact, contact_pb.GetContactRequest(id=contact)),
        (contacts.UpdateContact, contact_pb.UpdateContactRequest(contact=changed, update_mask=mask)),
        (contacts.DeleteContact, contact_pb.DeleteContactRequest(id=contact)),
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
    values = [str(value) for _, value in request.ListFields()] + [getattr(request, "id", "")]
    if isinstance(request, contact_pb.UpdateContactRequest):
        values = [request.contact.id]
    return next(str(value) for value in values if value and value in message)


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
