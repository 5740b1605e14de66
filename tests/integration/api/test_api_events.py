"""Events in, receipts out: triggers and causation through the API, with a worker.

R-TRIG-1, R-TRIG-2, R-TRIG-3, R-TRIG-7, R-TRIG-9, A-1, A-2, A-3, A-4, A-47.
"""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from wayfarer.event.v1 import event_pb2
from wayfarer.event.v1 import event_service_pb2 as pb
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import workflow_service_pb2 as workflow_pb

from tests.integration.api.world import NOWHERE, Client, World, kinds, refused, until

pytestmark = pytest.mark.usefixtures("worker")
KIND = event_pb2.ConsequenceKind
NAME = event_pb2.ConsequenceKind.Name


def triggered(key: str = "welcome", **settings: Any) -> dict[str, Any]:
    """A workflow started by a form, that adds a tag."""
    given = {"triggers": [{"event": "form_submitted", "match": {"form": "signup"}}], **settings}
    return {"key": key, "settings": given, "steps": [{"id": "a", "type": "add_tag", "config": {"tag": "x"}}]}


async def test_an_event_starts_a_workflow_once(client: Client) -> None:
    """A-1: QUEUED with an id, its first step scheduled and the start logged in the same transaction."""
    workflow = await client.publish(triggered())
    contact = await client.contact()
    receipt = await client.publish_event(contact.id, "form_submitted", {"form": "signup"}, id="e1")
    assert kinds(receipt) == ["STARTED"]
    execution_id = receipt.consequences[0].execution_id
    assert receipt.consequences[0].workflow_id == workflow
    ended, log = await client.watched_to_end(execution_id)
    assert ended.priority == execution_pb2.PRIORITY_HIGH
    assert log[0].event == "execution_started"
    again = await client.publish_event(contact.id, "form_submitted", {"form": "signup"}, id="e1")
    assert again.duplicate
    assert again.consequences == receipt.consequences
    assert len((await client.listed()).executions) == 1
    other = await client.publish_event(contact.id, "form_submitted", {"form": "other"}, id="e2")
    assert kinds(other) == []


async def test_the_trigger_reads_what_the_event_said(client: Client) -> None:
    document = triggered()
    document["steps"][0]["config"]["tag"] = "{{ trigger.plan }}-{{ trigger.event.type }}"
    await client.publish(document)
    contact = await client.contact()
    receipt = await client.publish_event(contact.id, "form_submitted", {"form": "signup", "plan": "pro"})
    await client.watched_to_end(receipt.consequences[0].execution_id)
    assert list((await client.read_contact(contact.id)).tags) == ["pro-form_submitted"]


async def test_opted_out_contacts_are_blocked_and_it_is_recorded(client: Client) -> None:
    """A-2 by event and by API: no execution, `opt_out_blocked`."""
    await client.publish(triggered())
    contact = await client.contact(opted_out=True)
    receipt = await client.publish_event(contact.id, "form_submitted", {"form": "signup"})
    assert kinds(receipt) == ["BLOCKED"]
    assert receipt.consequences[0].reason == "CONTACT_OPTED_OUT"
    refusal = await refused(client.start("welcome", contact.id))
    assert refusal.message == "Contact has opted out"
    assert not (await client.listed()).executions
    listed = await client.call(client.events.ListRefusals, pb.ListRefusalsRequest(contact_id=contact.id))
    assert [r.kind for r in listed.refusals] == ["opt_out_blocked", "opt_out_blocked"]
    assert [bool(r.event_id) for r in listed.refusals] == [False, True]


async def test_the_dedup_window_holds_for_events_to_the_instant(world: World, client: Client) -> None:
    """A-3: at 4.9 s the first one is named; at 5.1 s it starts."""
    await client.publish(triggered(reentry="always"))
    contact = await client.contact()
    first = (await client.publish_event(contact.id, "form_submitted", {"form": "signup"})).consequences[0]
    await client.watched_to_end(first.execution_id)
    answer = await client.start("welcome", contact.id)
    assert answer.deduplicated
    assert answer.message == "duplicate trigger ignored"
    receipt = await client.publish_event(contact.id, "form_submitted", {"form": "signup"})
    assert kinds(receipt) == ["DEDUPLICATED"]
    assert receipt.consequences[0].execution_id == first.execution_id
    await world.let_pass(timedelta(seconds=5.1))
    assert kinds(await client.publish_event(contact.id, "form_submitted", {"form": "signup"})) == ["STARTED"]
    listed = await client.call(
        client.events.ListRefusals, pb.ListRefusalsRequest(kind="deduplication_blocked")
    )
    assert {r.execution_id for r in listed.refusals} == {first.execution_id}
    assert len(listed.refusals) == 2


async def test_events_of_a_workflow_that_is_not_active_are_blocked(client: Client) -> None:
    """A-4."""
    workflow = await client.publish(triggered())
    contact = await client.contact()

    await client.call(client.workflows.PauseWorkflow, workflow_pb.PauseWorkflowRequest(workflow=workflow))
    receipt = await client.publish_event(contact.id, "form_submitted", {"form": "signup"})
    assert [(NAME(c.kind), c.reason) for c in receipt.consequences] == [
        ("CONSEQUENCE_KIND_BLOCKED", "WORKFLOW_NOT_ACTIVE")
    ]
    refusal = await refused(client.start(workflow, contact.id))
    assert refusal.message == "Workflow is not active"


async def test_a_batch_answers_each_event(client: Client) -> None:
    await client.publish(triggered())
    contact = await client.contact(external_id="crm-1")
    old = Timestamp()
    old.FromSeconds(1_000_000_000)
    events = [
        pb.NewEvent(id="a", contact_external_id="crm-1", type="form_submitted"),
        pb.NewEvent(id="b", contact_external_id="nobody", type="form_submitted"),
        pb.NewEvent(id="c", contact_id=contact.id, type="page_visited", occur_time=old),
        pb.NewEvent(id="d", type="page_visited"),
        pb.NewEvent(id="a", contact_external_id="crm-1", type="form_submitted"),
        pb.NewEvent(id="a", contact_external_id="crm-1", type="page_visited"),
    ]
    answer = await client.call(client.events.PublishEvents, pb.PublishEventsRequest(events=events))
    told = [(r.source_id, r.duplicate, r.error.reason, r.error.field) for r in answer.receipts]
    assert told == [
        ("a", False, "", ""),
        ("b", False, "CONTACT_NOT_FOUND", ""),
        ("c", False, "VALUE_INVALID", "occurred_at"),
        ("d", False, "VALUE_INVALID", "contact_id"),
        ("a", True, "", ""),
        ("a", False, "EVENT_ID_REUSED", ""),
    ]
    got = await client.call(client.events.GetEvent, pb.GetEventRequest(source_id="a"))
    assert got.event.id == answer.receipts[0].event_id
    listed = await client.call(client.events.ListEvents, pb.ListEventsRequest(contact_id=contact.id))
    assert [e.source_id for e in listed.events] == ["a"]


@pytest.mark.parametrize("stage", ["queued", "waiting", "driven"])
async def test_an_event_is_taken_once_by_64_senders(client: Client, stage: str) -> None:
    """G12: one execution per event id, whoever sends it how often."""
    await client.publish(triggered(f"w-{stage}"))
    contact = await client.contact()
    event = pb.NewEvent(id="same", contact_id=contact.id, type="form_submitted")
    event.data.update({"form": "signup"})
    request = pb.PublishEventsRequest(events=[event])
    answers = await asyncio.gather(*(client.call(client.events.PublishEvents, request) for _ in range(64)))
    assert {a.receipts[0].consequences[0].execution_id for a in answers} == {
        answers[0].receipts[0].consequences[0].execution_id
    }
    assert sum(not a.receipts[0].duplicate for a in answers) == 1


async def test_what_an_action_changes_is_an_event_with_its_cause(client: Client) -> None:
    """R-TRIG-9: a tag that an execution adds triggers another workflow, once."""
    await client.publish(
        {
            "key": "second",
            "settings": {"triggers": [{"event": "tag_added", "match": {"value": "vip"}}]},
            "steps": [{"id": "b", "type": "add_tag", "config": {"tag": "second"}}],
        }
    )
    await client.publish(
        {"key": "first", "steps": [{"id": "a", "type": "add_tag", "config": {"tag": "vip"}}]}
    )
    contact = await client.contact()
    first = (await client.start("first", contact.id)).execution.id

    async def both() -> bool:
        return "second" in (await client.read_contact(contact.id)).tags

    await until(both)
    listed = await client.call(client.events.ListEvents, pb.ListEventsRequest(contact_id=contact.id))
    caused = [event for event in listed.events if event.data["value"] == "vip"]
    assert [event.cause_execution_id for event in caused] == [first]


async def test_only_tags_that_were_new_are_events(client: Client) -> None:
    """R-TRIG-9: of several tags, the event tells what was done, not what was asked."""
    await client.publish(
        {
            "key": "told",
            "settings": {"triggers": [{"event": "tag_added"}], "reentry": "always", "dedup_window": "0s"},
            "steps": [{"id": "n", "type": "add_note", "config": {"body": "{{ trigger.value }}"}}],
        }
    )
    await client.publish(
        {
            "key": "several",
            "steps": [{"id": "a", "type": "add_tag", "config": {"tags": ["old", "new", "vip"]}}],
        }
    )
    contact = await client.contact(tags=["old"])
    told = {"old"}  # by the caller, when the contact was made
    await client.start("several", contact.id)

    async def events() -> list[str]:
        listed = await client.call(client.events.ListEvents, pb.ListEventsRequest(contact_id=contact.id))
        return [str(event.data["value"]) for event in listed.events if event.type == "tag_added"]

    async def all_told() -> bool:
        return {"new", "vip"} <= set(await events())

    await until(all_told)
    assert sorted(await events()) == sorted([*told, "new", "vip"])


async def test_a_loop_is_refused_at_its_bound(world: World, client: Client) -> None:
    """A-47: an execution tags its contact, the tag triggers the same workflow."""
    await client.publish(
        {
            "key": "loop",
            "settings": {"triggers": [{"event": "tag_added"}], "reentry": "always", "dedup_window": "0s"},
            "steps": [
                {"id": "off", "type": "remove_tag", "config": {"tag": "again"}},
                {"id": "on", "type": "add_tag", "config": {"tag": "again"}},
            ],
        }
    )
    contact = await client.contact()
    await client.start("loop", contact.id)

    async def stopped() -> bool:
        listed = await client.call(client.events.ListRefusals, pb.ListRefusalsRequest(kind="loop_blocked"))
        return len(listed.refusals) == 1

    await until(stopped)
    # The one that began it, and those that its tags started: up to the bound.
    assert len((await client.listed(page_size=100)).executions) == 11


async def test_a_change_by_the_caller_is_an_event(client: Client) -> None:
    await client.publish(
        {
            "key": "tagged",
            "settings": {"triggers": [{"event": "tag_added", "match": {"value": "new"}}]},
            "steps": [{"id": "b", "type": "add_tag", "config": {"tag": "seen"}}],
        }
    )
    contact = await client.contact(tags=["old"])
    await client.update_contact(contact.id, "tags", tags=["old", "new"])

    async def seen() -> bool:
        return "seen" in (await client.read_contact(contact.id)).tags

    await until(seen)
    assert len((await client.listed()).executions) == 1


async def test_an_event_that_cannot_be_taken_in_does_not_hold_up_the_others(
    world: World, client: Client, other: Client
) -> None:
    """A sweeper never stops at one bad row: it is set aside, kept, and listed to its account."""
    await client.publish(triggered())
    contact = await client.contact()
    await world.owner.execute(
        "INSERT INTO event_inbox (account_id, contact_id, type, source_id, occurred_at, data_sealed)"
        " VALUES ($1, $2::uuid, 'form_submitted', 'bad', wf_now(), 'not sealed by us'),"
        " ($1, $2::uuid, 'page_visited', 'worse', wf_now(), 'nor this'),"
        " ($1, $2::uuid, 'form_submitted', 'good', wf_now(), NULL)",
        client.account_id,
        contact.id,
    )

    async def taken() -> bool:
        listed = await client.call(client.events.ListEvents, pb.ListEventsRequest(contact_id=contact.id))
        return [event.source_id for event in listed.events] == ["good"]

    await until(taken)
    first = await set_aside(client, page_size=1)
    rest = await set_aside(client, page_size=1, page_token=first.next_page_token)
    assert rest.next_page_token == ""
    assert [(one.source_id, one.type, one.contact_id) for one in (*first.events, *rest.events)] == [
        ("worse", "page_visited", contact.id),
        ("bad", "form_submitted", contact.id),
    ]
    assert first.events[0].set_aside_time.ToDatetime() >= first.events[0].occur_time.ToDatetime()
    assert len((await set_aside(client, contact_id=contact.id)).events) == 2
    assert not (await set_aside(client, contact_id=NOWHERE)).events
    assert not (await set_aside(other)).events
    refusal = await refused(set_aside(client, page_token=first.next_page_token, contact_id=contact.id))
    assert refusal.reason == "PAGE_TOKEN_INVALID"


async def set_aside(client: Client, **asked: Any) -> pb.ListSetAsideEventsResponse:
    answer: pb.ListSetAsideEventsResponse = await client.call(
        client.events.ListSetAsideEvents, pb.ListSetAsideEventsRequest(**asked)
    )
    return answer
