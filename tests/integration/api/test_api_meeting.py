"""Events meet waits, goals and exits of running executions, through the API, with a worker.

R-WAIT-2, R-GOAL-1, A-26, A-35, A-36, G9, G10.
"""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from wayfarer.event.v1 import event_service_pb2 as pb
from wayfarer.execution.v1 import execution_pb2

from tests.integration.api.world import Client, World, kinds, struct

pytestmark = pytest.mark.usefixtures("worker")


def listening(timeout: str = "2d", **wait: Any) -> dict[str, Any]:
    """A workflow that waits for an event and tags the contact by how that ended."""
    config = {
        "event": "email_opened",
        "timeout": timeout,
        "on_event": "opened",
        "on_timeout": "silent",
        **wait,
    }
    return {
        "key": "listening",
        "steps": [
            {"id": "first", "type": "add_tag", "config": {"tag": "first"}},
            {"id": "wait", "type": "wait_for_event", "config": config},
            {"id": "opened", "type": "add_tag", "config": {"tag": "opened"}, "next": "end"},
            {"id": "silent", "type": "add_tag", "config": {"tag": "silent"}},
        ],
    }


async def test_the_event_wins(world: World, client: Client) -> None:
    """A-35: opened after an hour; the branch of the event, once."""
    await client.publish(listening())
    contact = await client.contact()
    execution_id = (await client.start("listening", contact.id)).execution.id
    waiting = await client.reaches(execution_id, "WAITING")
    assert waiting.blocked_on == execution_pb2.BLOCKED_ON_EVENT
    await world.let_pass(timedelta(hours=1))
    receipt = await client.publish_event(contact.id, "email_opened", {"message_id": "m"})
    assert kinds(receipt) == ["RESUMED"]
    again = await client.publish_event(contact.id, "email_opened")
    assert kinds(again) in ([], ["NOT_WAITED_FOR"])
    ended, log = await client.watched_to_end(execution_id)
    assert [entry.event for entry in log].count("wait_resumed") == 1
    assert "opened" in (await client.read_contact(contact.id)).tags
    assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    assert not any((await client.verify()).values())


async def test_the_timeout_wins(world: World, client: Client) -> None:
    """A-35: not opened within two days; not before, once."""
    await client.publish(listening())
    contact = await client.contact()
    execution_id = (await client.start("listening", contact.id)).execution.id
    await client.reaches(execution_id, "WAITING")
    await world.let_pass(timedelta(days=1, hours=23, minutes=59))
    assert (await client.get(execution_id)).status == execution_pb2.EXECUTION_STATUS_WAITING
    await world.let_pass(timedelta(minutes=2))
    _, log = await client.watched_to_end(execution_id)
    assert "wait_timed_out" in [entry.event for entry in log]
    assert list((await client.read_contact(contact.id)).tags) == ["first", "silent"]
    assert kinds(await client.publish_event(contact.id, "email_opened")) == []


async def test_an_event_just_before_the_wait_counts(client: Client) -> None:
    """A-35: opened just before the wait registers, after the action that sent it."""
    await client.publish(listening(look_back="1h"))
    contact = await client.contact()
    assert kinds(await client.publish_event(contact.id, "email_opened")) == []
    execution_id = (await client.start("listening", contact.id)).execution.id
    await client.watched_to_end(execution_id)
    assert "opened" in (await client.read_contact(contact.id)).tags


async def test_event_and_timeout_at_one_instant_give_one_branch(world: World, client: Client) -> None:
    """A-35 and G9: exactly one of the two, and the receipt tells which."""
    await client.publish(listening(timeout="60s"))
    contacts = [await client.contact() for _ in range(30)]
    started = [(await client.start("listening", c.id)).execution.id for c in contacts]
    for execution_id in started:
        await client.reaches(execution_id, "WAITING")
    await world.owner.execute(
        "UPDATE clock_offset SET shift = shift + (SELECT min(wake_at) - wf_now() FROM execution"
        " WHERE account_id = $1) - interval '150 ms'",
        client.account_id,
    )
    receipts = await asyncio.gather(*(client.publish_event(c.id, "email_opened") for c in contacts))
    for contact, execution_id, receipt in zip(contacts, started, receipts, strict=True):
        _, log = await client.watched_to_end(execution_id)
        names = [entry.event for entry in log]
        resumed = names.count("wait_resumed")
        assert resumed + names.count("wait_timed_out") == 1
        assert (kinds(receipt) == ["RESUMED"]) == bool(resumed)
        tags = set((await client.read_contact(contact.id)).tags)
        assert tags == {"first", "opened" if resumed else "silent"}
    assert not any((await client.verify()).values())


async def test_matching_by_attribute_and_filter(client: Client) -> None:
    """R-WAIT-2: only the message meant, by a merge field; only what the filter admits."""
    document = listening(match={"message_id": "{{ trigger.message }}"}, filter="event.data.seconds > 3.0")
    await client.publish(document)
    contact = await client.contact()

    answer = await client.start("listening", contact.id, trigger=struct({"message": "m-1"}))
    await client.reaches(answer.execution.id, "WAITING")
    for data in (
        {"message_id": "m-2", "seconds": 9},
        {"message_id": "m-1", "seconds": 1},
        {"message_id": "m-1"},
    ):
        assert kinds(await client.publish_event(contact.id, "email_opened", data)) == []
    good = await client.publish_event(contact.id, "email_opened", {"message_id": "m-1", "seconds": 9})
    assert kinds(good) == ["RESUMED"]
    await client.watched_to_end(answer.execution.id)


async def test_the_first_of_several_events_wins(client: Client) -> None:
    """A-36."""
    document = listening()
    config = document["steps"][1]["config"]
    del config["event"]
    config["events"] = ["sms_reply", "page_visited"]
    await client.publish(document)
    contact = await client.contact()
    execution_id = (await client.start("listening", contact.id)).execution.id
    await client.reaches(execution_id, "WAITING")
    events = [
        pb.NewEvent(id=str(uuid4()), contact_id=contact.id, type=name)
        for name in ("sms_reply", "page_visited")
    ]
    answer = await client.call(client.events.PublishEvents, pb.PublishEventsRequest(events=events))
    assert [kinds(r) for r in answer.receipts] == [["RESUMED"], ["NOT_WAITED_FOR"]]
    _, log = await client.watched_to_end(execution_id)
    (resumed,) = [entry for entry in log if entry.event == "wait_resumed"]
    assert resumed.detail["event"] == "sms_reply"


def with_goal(**goal: Any) -> dict[str, Any]:
    """A workflow with a goal, whose second step waits."""
    settings = {"goal": {"event": "appointment_booked", **goal}, "reentry": "always", "dedup_window": "0s"}
    return {
        "key": "goal",
        "settings": settings,
        "steps": [
            {"id": "a", "type": "add_tag", "config": {"tag": "a"}},
            {"id": "w", "type": "wait_time", "config": {"amount": 3, "unit": "days"}},
            {"id": "b", "type": "add_tag", "config": {"tag": "b"}},
            {"id": "c", "type": "add_tag", "config": {"tag": "c"}},
        ],
    }


async def test_a_goal_completes_from_a_wait(client: Client) -> None:
    """A-26: remaining steps are not run."""
    await client.publish(with_goal())
    contact = await client.contact()
    execution_id = (await client.start("goal", contact.id)).execution.id
    await client.reaches(execution_id, "WAITING")
    receipt = await client.publish_event(contact.id, "appointment_booked")
    assert kinds(receipt) == ["GOAL_ACHIEVED"]
    ended, log = await client.watched_to_end(execution_id)
    assert (ended.status, ended.reason) == (execution_pb2.EXECUTION_STATUS_COMPLETED, "goal_achieved")
    assert [entry.event for entry in log][-2:] == ["goal_achieved", "execution_completed"]
    assert list((await client.read_contact(contact.id)).tags) == ["a"]
    assert not any((await client.verify()).values())


async def test_a_goal_can_lead_to_a_step(client: Client) -> None:
    await client.publish(with_goal(go_to="c"))
    contact = await client.contact()
    execution_id = (await client.start("goal", contact.id)).execution.id
    await client.reaches(execution_id, "WAITING")
    await client.publish_event(contact.id, "appointment_booked")
    ended, _ = await client.watched_to_end(execution_id)
    assert ended.reason == "completed"
    assert list((await client.read_contact(contact.id)).tags) == ["a", "c"]
    assert not any((await client.verify()).values())


async def test_an_exit_ends_with_its_reason(client: Client) -> None:
    document = with_goal()
    document["settings"]["exits"] = [{"event": "unsubscribed", "reason": "unsubscribed"}]
    await client.publish(document)
    contact = await client.contact()
    execution_id = (await client.start("goal", contact.id)).execution.id
    await client.reaches(execution_id, "WAITING")
    assert kinds(await client.publish_event(contact.id, "unsubscribed")) == ["EXIT_REACHED"]
    ended, log = await client.watched_to_end(execution_id)
    assert ended.reason == "unsubscribed"
    assert "exit_reached" in [entry.event for entry in log]


async def test_a_goal_step_pulls_contacts_forward(client: Client) -> None:
    steps: list[dict[str, Any]] = [
        {"id": "w", "type": "wait_time", "config": {"amount": 3, "unit": "days"}},
        {"id": "skipped", "type": "add_tag", "config": {"tag": "skipped"}},
        {"id": "booked", "type": "goal", "config": {"event": "appointment_booked"}},
        {"id": "after", "type": "add_tag", "config": {"tag": "after"}},
    ]
    await client.publish({"key": "pull", "steps": steps})
    contact = await client.contact()
    execution_id = (await client.start("pull", contact.id)).execution.id
    await client.reaches(execution_id, "WAITING")
    await client.publish_event(contact.id, "appointment_booked")
    await client.watched_to_end(execution_id)
    assert list((await client.read_contact(contact.id)).tags) == ["after"]
    assert not any((await client.verify()).values())


async def test_goals_race_with_everything_and_end_once(client: Client) -> None:
    """A-26, G10: QUEUED, ACTIVE or between, one end, and what was under way is told."""
    document = with_goal()
    document["steps"] = [{"id": f"s{n}", "type": "add_tag", "config": {"tag": f"t{n}"}} for n in range(6)]
    await client.publish(document)
    contacts = [await client.contact() for _ in range(25)]

    async def race(contact_id: str) -> None:
        execution_id = (await client.start("goal", contact_id)).execution.id
        receipt = await client.publish_event(contact_id, "appointment_booked")
        ended, _ = await client.watched_to_end(execution_id)
        assert ended.reason == ("goal_achieved" if kinds(receipt) == ["GOAL_ACHIEVED"] else "completed")

    await asyncio.gather(*(race(contact.id) for contact in contacts))
    assert not any((await client.verify()).values())
