"""Events once more: what was refused is tried again, what was set aside is taken in; with a worker.

R-TRIG-6, G12.
"""

import asyncio
import json
from uuid import uuid4

import pytest
from wayfarer.event.v1 import event_pb2
from wayfarer.event.v1 import event_service_pb2 as pb
from wayfarer.execution.v1 import workflow_service_pb2 as workflow_pb

from tests.integration.api.over_http import Http
from tests.integration.api.test_api_events import set_aside, triggered
from tests.integration.api.world import NOWHERE, Client, World, kinds, refused, until

pytestmark = pytest.mark.usefixtures("worker")
SIGNUP = {"form": "signup"}
BY_US = ("REPLAYED", "local-stack")


def told(event: event_pb2.Event) -> list[tuple[str, str]]:
    """What became of it, in short: the kind of each consequence, and why."""
    name = event_pb2.ConsequenceKind.Name
    return [(name(one.kind).removeprefix("CONSEQUENCE_KIND_"), one.reason) for one in event.consequences]


async def replayed(client: Client, event_id: str, request_id: str = "") -> event_pb2.Event:
    asked = pb.ReplayEventRequest(id=event_id, request_id=request_id)
    answer: pb.ReplayEventResponse = await client.call(client.events.ReplayEvent, asked)
    return answer.event


async def taken_in(client: Client, inbox_id: int, request_id: str = "") -> event_pb2.Event:
    asked = pb.ReplaySetAsideEventRequest(inbox_id=inbox_id, request_id=request_id)
    answer: pb.ReplaySetAsideEventResponse = await client.call(client.events.ReplaySetAsideEvent, asked)
    return answer.event


async def put_aside(world: World, client: Client, contact_id: str) -> int:
    """The number of an event that cannot be read, and so was set aside."""
    await world.owner.execute(
        "INSERT INTO event_inbox (account_id, contact_id, type, source_id, occurred_at, data_sealed)"
        " VALUES ($1, $2::uuid, 'form_submitted', 'of-an-action', wf_now(), 'not sealed by us')",
        client.account_id,
        contact_id,
    )

    async def aside() -> bool:
        return bool((await set_aside(client)).events)

    await until(aside)
    return (await set_aside(client)).events[0].inbox_id


async def test_a_refused_start_is_tried_again_and_counts_once(client: Client) -> None:
    """R-TRIG-6, G12: under its own id, with the data it came with; who asked stands in the event."""
    document = triggered()
    document["steps"][0]["config"]["tag"] = "{{ trigger.plan }}"
    workflow = await client.publish(document)
    contact = await client.contact()
    await client.call(client.workflows.PauseWorkflow, workflow_pb.PauseWorkflowRequest(workflow=workflow))
    receipt = await client.publish_event(contact.id, "form_submitted", {**SIGNUP, "plan": "pro"}, id="e1")
    assert kinds(receipt) == ["BLOCKED"]

    again = await replayed(client, receipt.event_id)
    assert told(again) == [("BLOCKED", "WORKFLOW_NOT_ACTIVE"), BY_US], "the rules of now decide"
    await client.call(client.workflows.ResumeWorkflow, workflow_pb.ResumeWorkflowRequest(workflow=workflow))
    request_id = str(uuid4())
    begun = await replayed(client, receipt.event_id, request_id)
    assert (begun.id, begun.source_id) == (receipt.event_id, "e1")
    assert told(begun) == [("STARTED", ""), BY_US, BY_US]
    await client.watched_to_end(begun.consequences[0].execution_id)
    assert list((await client.read_contact(contact.id)).tags) == ["pro"]

    assert await replayed(client, receipt.event_id, request_id) == begun
    assert (await refused(replayed(client, receipt.event_id))).reason == "NOTHING_TO_REPLAY"
    duplicate = await client.publish_event(contact.id, "form_submitted", {**SIGNUP, "plan": "pro"}, id="e1")
    assert (duplicate.duplicate, kinds(duplicate)) == (True, ["STARTED", "REPLAYED", "REPLAYED"])
    assert len((await client.listed()).executions) == 1


async def test_many_replays_at_once_start_one(client: Client) -> None:
    """G12."""
    workflow = await client.publish(triggered(reentry="always", dedup_window="0s"))
    contact = await client.contact()
    await client.call(client.workflows.PauseWorkflow, workflow_pb.PauseWorkflowRequest(workflow=workflow))
    receipt = await client.publish_event(contact.id, "form_submitted", SIGNUP)
    await client.call(client.workflows.ResumeWorkflow, workflow_pb.ResumeWorkflowRequest(workflow=workflow))
    answers = await asyncio.gather(
        *(replayed(client, receipt.event_id) for _ in range(16)), return_exceptions=True
    )
    assert len([one for one in answers if isinstance(one, event_pb2.Event)]) == 1
    assert len((await client.listed()).executions) == 1


async def test_only_the_refused_starts_of_an_event_are_tried_again(client: Client) -> None:
    """What an event did already is not done again."""
    paused = await client.publish(triggered("one"))
    await client.publish(triggered("two", reentry="always", dedup_window="0s"))
    contact = await client.contact()
    await client.call(client.workflows.PauseWorkflow, workflow_pb.PauseWorkflowRequest(workflow=paused))
    receipt = await client.publish_event(contact.id, "form_submitted", SIGNUP)
    assert sorted(kinds(receipt)) == ["BLOCKED", "STARTED"]
    await client.call(client.workflows.ResumeWorkflow, workflow_pb.ResumeWorkflowRequest(workflow=paused))
    again = await replayed(client, receipt.event_id)
    assert told(again) == [("STARTED", ""), ("STARTED", ""), BY_US]
    started = {one.execution_id for one in receipt.consequences if one.execution_id}
    assert started < {one.execution_id for one in again.consequences}
    assert len((await client.listed()).executions) == 2


async def test_a_trigger_that_is_gone_starts_nothing(client: Client) -> None:
    await client.publish(triggered())
    contact = await client.contact(opted_out=True)
    receipt = await client.publish_event(contact.id, "form_submitted", SIGNUP)
    await client.publish(triggered(triggers=[]))
    assert (await refused(replayed(client, receipt.event_id))).reason == "NOTHING_TO_REPLAY"


async def test_an_event_set_aside_is_taken_in_under_its_own_id(world: World, client: Client) -> None:
    """G12: refused while it cannot be read, and then nothing changes; taken in once, it is set aside no more."""
    await client.publish(triggered())
    contact = await client.contact()
    number = await put_aside(world, client, contact.id)
    before = await world.rows(client)
    assert (await refused(taken_in(client, number))).reason == "EVENT_UNREADABLE"
    assert await world.rows(client) == before

    await world.owner.execute(
        "UPDATE event_inbox SET data_sealed = NULL WHERE account_id = $1", client.account_id
    )
    request_id = str(uuid4())
    taken = await taken_in(client, number, request_id)
    assert (taken.source_id, taken.contact_id) == ("of-an-action", contact.id)
    assert told(taken) == [BY_US]
    assert not (await set_aside(client)).events
    assert await taken_in(client, number, request_id) == taken
    assert (await refused(taken_in(client, number))).reason == "SET_ASIDE_EVENT_NOT_FOUND"
    listed = await client.call(client.events.ListEvents, pb.ListEventsRequest(contact_id=contact.id))
    assert [event.id for event in listed.events] == [taken.id]


async def test_one_whose_contact_is_gone_stays_set_aside(world: World, client: Client, other: Client) -> None:
    contact = await client.contact()
    number = await put_aside(world, client, contact.id)
    assert (await refused(taken_in(other, number))).reason == "SET_ASIDE_EVENT_NOT_FOUND"
    await world.owner.execute(
        "UPDATE event_inbox SET data_sealed = NULL, contact_id = $2 WHERE account_id = $1",
        client.account_id,
        NOWHERE,
    )
    assert (await refused(taken_in(client, number))).reason == "CONTACT_NOT_FOUND"
    assert [one.inbox_id for one in (await set_aside(client)).events] == [number]
    assert (await refused(replayed(client, NOWHERE))).reason == "EVENT_NOT_FOUND"


async def test_replays_over_http(world: World, client: Client, http: Http) -> None:
    """R-API-2: a replay with a key of its own is done once; bad names are 404 and 422."""
    await client.publish(triggered())
    contact = await client.contact(opted_out=True)
    receipt = await client.publish_event(contact.id, "form_submitted", SIGNUP)
    again = await http("POST", f"/events/{receipt.event_id}/replay")
    assert (again.status, again.body["id"]) == (200, receipt.event_id)
    assert [one["kind"] for one in again.body["consequences"]] == ["BLOCKED", "REPLAYED"]
    number = await put_aside(world, client, contact.id)
    key = {"Idempotency-Key": str(uuid4())}
    unread = await http("POST", f"/set-aside-events/{number}/replay", headers=key)
    assert (unread.status, unread.body["reason"]) == (400, "EVENT_UNREADABLE")
    await world.owner.execute(
        "UPDATE event_inbox SET data_sealed = NULL WHERE account_id = $1", client.account_id
    )
    taken = [await http("POST", f"/set-aside-events/{number}/replay", headers=key) for _ in range(2)]
    assert [one.status for one in taken] == [200, 200]
    assert json.dumps(taken[0].body) == json.dumps(taken[1].body)
    assert (await http("POST", "/set-aside-events/0/replay")).status == 422
    assert (await http("POST", f"/events/{NOWHERE}/replay")).status == 404
