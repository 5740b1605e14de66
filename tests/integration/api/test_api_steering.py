"""Pausing, resuming, ad-hoc waits and waits ended by hand, and what Explain says.

A-7, A-18, A-32, A-33, A-37, A-40, A-44, A-46, R-STATE-2, R-STATE-6, R-WAIT-1, R-WAIT-3, R-LIMIT-1, R-LIMIT-2.
"""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import execution_service_pb2 as pb
from wayfarer.execution.v1 import wait_service_pb2 as wait_pb
from wayfarer.execution.v1 import workflow_service_pb2 as workflow_pb

from tests.integration.api.world import Client, World, kinds, refused, struct, until, waiting

pytestmark = pytest.mark.usefixtures("worker")
B = execution_pb2


async def pause(client: Client, execution_id: str, **more: Any) -> B.Execution:
    request = pb.PauseExecutionRequest(id=execution_id, reason="a look at it", **more)
    answer: pb.PauseExecutionResponse = await client.call(client.executions.PauseExecution, request)
    return answer.execution


async def resume(client: Client, execution_id: str) -> B.Execution:
    request = pb.ResumeExecutionRequest(id=execution_id)
    answer: pb.ResumeExecutionResponse = await client.call(client.executions.ResumeExecution, request)
    return answer.execution


async def explained(client: Client, execution_id: str) -> list[pb.Blocker]:
    answer = await client.call(
        client.executions.ExplainExecution, pb.ExplainExecutionRequest(id=execution_id)
    )
    return list(answer.blockers)


async def in_wait(client: Client, document: dict[str, Any] | None = None) -> str:
    workflow = await client.publish(document or waiting())
    execution_id = (await client.start(workflow, (await client.contact()).id)).execution.id
    await client.reaches(execution_id, "WAITING")
    return execution_id


async def test_a_timer_that_falls_due_while_paused_fires_on_resume(world: World, client: Client) -> None:
    """A-44: nothing runs while paused; the log says why and who."""
    execution_id = await in_wait(client)
    paused = await pause(client, execution_id)
    assert (paused.status, paused.blocked_on) == (B.EXECUTION_STATUS_PAUSED, B.BLOCKED_ON_OPERATOR)
    (operator, timer) = await explained(client, execution_id)
    assert operator.kind == B.BLOCKED_ON_OPERATOR
    assert timer.kind == B.BLOCKED_ON_TIMER
    await world.let_pass(timedelta(hours=2))
    assert list((await client.read_contact(paused.contact_id)).tags) == ["before"]
    assert (await client.get(execution_id)).status == B.EXECUTION_STATUS_PAUSED
    assert (await resume(client, execution_id)).status == B.EXECUTION_STATUS_WAITING
    ended, log = await client.watched_to_end(execution_id)
    assert ended.status == B.EXECUTION_STATUS_COMPLETED
    told = {e.event: e.detail for e in log if e.event in ("paused", "resumed")}
    assert told["paused"]["actor"] == told["resumed"]["actor"] == "local-stack"
    assert told["paused"]["words"] == "a look at it"
    assert not any((await client.verify()).values())


async def test_an_event_that_arrives_while_paused_is_kept(client: Client) -> None:
    """R-STATE-6, and R-STATE-2 for goals."""
    document = {
        "key": "kept",
        "settings": {"goal": {"event": "bought"}},
        "steps": [
            {"id": "w", "type": "wait_for_event", "config": {"event": "opened", "timeout": "1d"}},
            {"id": "a", "type": "add_tag", "config": {"tag": "a"}},
        ],
    }
    first, second = await in_wait(client, document), await in_wait(client, document)
    for execution_id, event, reason in ((first, "opened", "completed"), (second, "bought", "goal_achieved")):
        contact_id = (await pause(client, execution_id)).contact_id
        assert kinds(await client.publish_event(contact_id, event)) == ["KEPT"]
        assert (await client.get(execution_id)).status == B.EXECUTION_STATUS_PAUSED
        await resume(client, execution_id)
        ended, _ = await client.watched_to_end(execution_id)
        assert ended.reason == reason
    assert not any((await client.verify()).values())


async def test_a_pause_asked_while_an_action_is_out_holds_before_the_next_step(
    world: World, client: Client
) -> None:
    """R-STATE-6: the outcome in hand is kept, the request is not lost to it, and the next step does not begin."""
    path = f"slow-{uuid4()}"
    url = await world.misbehave(path, times=1, delay_ms=700)
    steps = [
        {"id": "call", "type": "webhook_call", "config": {"url": url}},
        {"id": "after", "type": "add_tag", "config": {"tag": "after"}},
    ]
    workflow = await client.publish({"key": "slow", "steps": steps})
    execution_id = (await client.start(workflow, (await client.contact()).id)).execution.id

    async def is_out() -> bool:
        return bool(await world.requests_at(path))

    await until(is_out)
    asked = await pause(client, execution_id)
    assert asked.pause_requested
    paused = await client.reaches(execution_id, "PAUSED")
    names = await client.log_of(execution_id)
    assert names[-2:] == ["action_completed", "paused"]
    assert list((await client.read_contact(paused.contact_id)).tags) == []
    await resume(client, execution_id)
    ended, log = await client.watched_to_end(execution_id)
    assert ended.status == B.EXECUTION_STATUS_COMPLETED
    assert [e.step_id for e in log if e.event == "action_completed"] == ["call", "after"]
    assert len(await world.requests_at(path)) == 1


async def pauses(client: Client, execution_id: str) -> bool:
    """Whether a pause asked for took effect: asked during the last step, there was none to stop before."""
    async for change in client.watch(execution_id):
        if change.execution.status == B.EXECUTION_STATUS_PAUSED:
            return True
    assert (await client.log_of(execution_id)).count("action_completed") == 12
    return False


async def test_a_pause_races_with_steps_and_none_begins_after_it(client: Client) -> None:
    """R-STATE-6, G10: once PAUSED is told, the log does not grow; resumed, all is done once."""
    steps = [{"id": f"s{n}", "type": "add_tag", "config": {"tag": f"t{n}"}} for n in range(12)]
    await client.publish({"key": "many", "steps": steps})

    async def race() -> None:
        execution_id = (await client.start("many", (await client.contact()).id)).execution.id
        try:
            paused = await pause(client, execution_id)
        except Exception:
            ended, _ = await client.watched_to_end(execution_id)
            assert ended.status == B.EXECUTION_STATUS_COMPLETED
            return
        if paused.status == B.EXECUTION_STATUS_ACTIVE:
            assert paused.pause_requested
            if not await pauses(client, execution_id):
                return
        before = await client.log_of(execution_id)
        assert before[-1] == "paused"
        again = await client.log_of(execution_id)
        assert again == before
        await resume(client, execution_id)
        ended, log = await client.watched_to_end(execution_id)
        done = [e.step_id for e in log if e.event == "action_completed"]
        assert done == [f"s{n}" for n in range(12)]

    await asyncio.gather(*(race() for _ in range(25)))
    assert not any((await client.verify()).values())


async def test_pausing_what_has_ended_or_is_paused_is_refused(client: Client) -> None:
    execution_id = await in_wait(client)
    request_id = str(uuid4())
    assert await pause(client, execution_id, request_id=request_id) == await pause(
        client, execution_id, request_id=request_id
    )
    assert (await refused(pause(client, execution_id))).reason == "ILLEGAL_TRANSITION"
    await client.cancel(execution_id)
    refusal = await refused(resume(client, execution_id))
    assert refusal.metadata == {"from_status": "CANCELLED", "to_status": "QUEUED"}


async def test_pending_waits_are_listed_read_and_ended_by_hand(client: Client) -> None:
    """A-37 for the waits of steps; the log names the actor."""
    first, second = await in_wait(client), await in_wait(client)
    listed = (await client.call(client.waits.ListWaits, wait_pb.ListWaitsRequest())).waits
    assert [w.execution_id for w in listed] == [second, first]
    wait = (await client.call(client.waits.GetWait, wait_pb.GetWaitRequest(id=listed[1].id))).wait
    assert (wait.step_id, wait.ad_hoc, wait.rule) == ("pause", False, "wait_time 1 hours")
    await client.call(client.waits.ResumeWait, wait_pb.ResumeWaitRequest(id=wait.id))
    _, log = await client.watched_to_end(first)
    assert [e.detail["actor"] for e in log if e.event == "wait_resumed"] == ["local-stack"]
    await client.call(client.waits.CancelWait, wait_pb.CancelWaitRequest(id=listed[0].id))
    ended, log = await client.watched_to_end(second)
    assert [e.detail["actor"] for e in log if e.event == "wait_cancelled"] == ["local-stack"]
    assert "after" in (await client.read_contact(ended.contact_id)).tags
    for method, request in (
        (client.waits.GetWait, wait_pb.GetWaitRequest(id=wait.id)),
        (client.waits.ResumeWait, wait_pb.ResumeWaitRequest(id=wait.id)),
        (client.waits.CancelWait, wait_pb.CancelWaitRequest(id="nonsense")),
    ):
        assert (await refused(client.call(method, request))).reason == "WAIT_NOT_FOUND"
    assert not any((await client.verify()).values())


async def moment(world: World, hours: float) -> Timestamp:
    at = Timestamp()
    at.FromDatetime(await world.owner.fetchval("SELECT wf_now()") + timedelta(hours=hours))
    return at


async def test_an_ad_hoc_wait_holds_up_the_next_step(world: World, client: Client) -> None:
    """A-37: created, read, cancelled; created, resumed by hand; never two at once."""
    execution_id = await in_wait(client)
    request = wait_pb.CreateWaitRequest(execution_id=execution_id, until=await moment(world, 5))
    wait = (await client.call(client.waits.CreateWait, request)).wait
    assert wait.ad_hoc
    listed = (await client.call(client.waits.ListWaits, wait_pb.ListWaitsRequest())).waits
    assert [w.ad_hoc for w in listed] == [False, True]
    assert (await refused(client.call(client.waits.CreateWait, request))).reason == "WAIT_EXISTS"
    await client.call(client.waits.CancelWait, wait_pb.CancelWaitRequest(id=wait.id))
    again = (await client.call(client.waits.CreateWait, request)).wait
    assert again.id != wait.id
    await world.let_pass(timedelta(hours=1, minutes=1))

    async def held() -> bool:
        execution = await client.get(execution_id)
        return bool(execution.blocked_on == B.BLOCKED_ON_AD_HOC_WAIT)

    await until(held)
    assert "after" not in (await client.read_contact((await client.get(execution_id)).contact_id)).tags
    await client.call(client.waits.ResumeWait, wait_pb.ResumeWaitRequest(id=again.id))
    _, log = await client.watched_to_end(execution_id)
    ad_hoc = [
        e.event for e in log if e.HasField("detail") and e.detail.fields["rule"].string_value == "ad hoc"
    ]
    assert ad_hoc == ["wait_started", "wait_cancelled", "wait_started", "wait_resumed"]
    assert not any((await client.verify()).values())
    for bad in (-1.0, 400 * 24.0):
        request = wait_pb.CreateWaitRequest(execution_id=execution_id, until=await moment(world, bad))
        assert (await refused(client.call(client.waits.CreateWait, request))).reason == "ILLEGAL_TRANSITION"


@pytest.mark.parametrize(
    ("if_past", "tags", "reason"),
    [
        ("continue", ["next", "then"], "completed"),
        ("skip_to_next_wait", ["then"], "completed"),
        ("exit", [], "date_past"),
    ],
)
async def test_a_date_in_the_past(client: Client, if_past: str, tags: list[str], reason: str) -> None:
    """A-32."""
    steps: list[dict[str, Any]] = [
        {"id": "w", "type": "wait_until_date", "config": {"date": "2020-01-01", "if_past": if_past}},
        {"id": "n", "type": "add_tag", "config": {"tag": "next"}},
        {"id": "x", "type": "wait_until_date", "config": {"date": "2020-01-02"}},
        {"id": "t", "type": "add_tag", "config": {"tag": "then"}},
    ]
    await client.publish({"key": "past", "steps": steps})
    contact = await client.contact()
    ended, _ = await client.watched_to_end((await client.start("past", contact.id)).execution.id)
    assert (ended.status, ended.reason) == (B.EXECUTION_STATUS_COMPLETED, reason)
    assert list((await client.read_contact(contact.id)).tags) == tags


async def test_a_wait_on_a_date_field_moves_with_it(world: World, client: Client) -> None:
    """R-WAIT-3: resolved anew when the field or the contact's zone changes; never early."""
    steps: list[dict[str, Any]] = [
        {
            "id": "w",
            "type": "wait_until_date",
            "config": {"date": "{{ contact.fields.visit }}", "offset": "-1d", "time": "09:00"},
        },
        {"id": "a", "type": "add_tag", "config": {"tag": "a"}},
    ]
    await client.publish({"key": "visit", "steps": steps})
    contact = await client.contact(fields=struct({"visit": "2031-05-10"}), time_zone="Europe/Berlin")
    execution_id = (await client.start("visit", contact.id)).execution.id
    first = await client.reaches(execution_id, "WAITING")
    assert first.wake_time.ToJsonString() == "2031-05-09T07:00:00Z"
    await client.update_contact(contact.id, "fields.visit", fields=struct({"visit": "2031-06-10"}))

    async def at(text: str) -> bool:
        execution = await client.get(execution_id)
        return bool(execution.wake_time.ToJsonString() == text)

    await until(lambda: at("2031-06-09T07:00:00Z"))
    await client.update_contact(contact.id, "time_zone", time_zone="America/New_York")
    await until(lambda: at("2031-06-09T13:00:00Z"))
    assert "wait_rescheduled" in await client.log_of(execution_id)
    await client.update_contact(contact.id, "fields.visit", fields=struct({"visit": "2020-06-10"}))
    await client.watched_to_end(execution_id)
    assert not any((await client.verify()).values())


async def test_above_the_limit_executions_stay_queued_and_say_so(world: World) -> None:
    """A-18 and A-46: QUEUED with the limit as blocker and a position; starts as one leaves ACTIVE; never above."""
    client = await world.client(active_limit=2)
    path = f"slow-{uuid4()}"
    url = await world.misbehave(path, times=2, status=200, delay_ms=1500)
    call = {"id": "c", "type": "webhook_call", "config": {"url": url, "method": "POST"}}
    await client.publish({"key": "slow", "steps": [call]})
    started = [(await client.start("slow", (await client.contact()).id)).execution.id for _ in range(4)]

    async def full() -> bool:
        views = [await client.get(e) for e in started]
        active = [v for v in views if v.status == B.EXECUTION_STATUS_ACTIVE]
        assert len(active) <= 2
        return len(active) == 2

    await until(full)
    third = await client.get(started[2])
    assert (third.status, third.blocked_on) == (B.EXECUTION_STATUS_QUEUED, B.BLOCKED_ON_ACCOUNT_LIMIT)
    (third_blocker,) = await explained(client, started[2])
    (fourth_blocker,) = await explained(client, started[3])
    assert third_blocker.detail == {"active": "2", "limit": "2"}
    assert (third_blocker.position, fourth_blocker.position) == (1, 2)
    for execution_id in started:
        ended, _ = await client.watched_to_end(execution_id)
        assert ended.status == B.EXECUTION_STATUS_COMPLETED
    assert not any((await client.verify()).values())


async def test_priorities_order_the_queue_and_age(world: World) -> None:
    """A-40: HIGH first; LOW that has waited past the ageing bound goes before a HIGH that has just come."""
    client = await world.client(active_limit=1)
    path = f"one-{uuid4()}"
    url = await world.misbehave(path, times=1, status=200, delay_ms=1200)
    steps = [{"id": "c", "type": "webhook_call", "config": {"url": url, "method": "POST"}}]
    await client.publish({"key": "one", "steps": steps})
    holder = (await client.start("one", (await client.contact()).id)).execution.id
    await client.reaches(holder, "ACTIVE")
    old = (await client.start("one", (await client.contact()).id, priority=B.PRIORITY_LOW)).execution.id
    await world.owner.execute(
        "UPDATE execution SET wake_at = wake_at - interval '10 minutes' WHERE execution_id = $1::uuid", old
    )
    order = []
    for priority in (B.PRIORITY_LOW, B.PRIORITY_NORMAL, B.PRIORITY_HIGH, B.PRIORITY_HIGH):
        order.append((await client.start("one", (await client.contact()).id, priority=priority)).execution.id)
    ends = {}
    for execution_id in (holder, old, *order):
        ended, _ = await client.watched_to_end(execution_id)
        ends[execution_id] = ended.end_time.ToNanoseconds()
    low, normal, high, second = order
    assert sorted(ends, key=lambda e: ends[e]) == [holder, old, high, second, normal, low]


async def test_a_paused_workflow_and_a_missing_worker_are_explained(client: Client) -> None:
    """A-46."""
    workflow = await client.publish(waiting())
    execution_id = (await client.start(workflow, (await client.contact()).id)).execution.id
    await client.reaches(execution_id, "WAITING")
    await client.call(client.workflows.PauseWorkflow, workflow_pb.PauseWorkflowRequest(workflow=workflow))
    told = await explained(client, execution_id)
    assert [b.kind for b in told] == [B.BLOCKED_ON_WORKFLOW_PAUSED, B.BLOCKED_ON_TIMER]
    assert all(b.description and b.remedy for b in told)


async def test_logs_are_paged_both_ways(client: Client) -> None:
    """A-23 but for its HTTP: by number from either end."""
    steps = [{"id": f"s{n}", "type": "add_tag", "config": {"tag": f"t{n}"}} for n in range(24)]
    await client.publish({"key": "long", "steps": steps})
    execution_id = (await client.start("long", (await client.contact()).id)).execution.id
    await client.watched_to_end(execution_id)
    page = await client.logs(execution_id, page_size=10, page=1)
    assert (page.total_size, [e.seq for e in page.log_entries]) == (50, list(range(1, 11)))
    last = await client.logs(execution_id, page_size=10, page=5)
    assert [e.seq for e in last.log_entries] == list(range(41, 51))
    assert not last.next_page_token
    assert not (await client.logs(execution_id, page_size=10, page=6)).log_entries
    seen: list[int] = []
    token = ""
    while True:
        answer = await client.logs(execution_id, page_size=7, newest_first=True, page_token=token)
        seen += [e.seq for e in answer.log_entries]
        token = answer.next_page_token
        if not token:
            break
    assert seen == list(range(50, 0, -1))
    assert (await refused(client.logs(execution_id, page_size=10_000))).rules == {
        "page_size": "int32.gte_lte"
    }


async def test_counters_follow_the_executions(world: World, client: Client) -> None:
    """Counters per version and step, exact to the last commit."""
    workflow = await client.publish(waiting())
    executions = [(await client.start(workflow, (await client.contact()).id)).execution.id for _ in range(3)]
    for execution_id in executions:
        await client.reaches(execution_id, "WAITING")

    async def counts() -> dict[str, tuple[int, int, int, int]]:
        request = workflow_pb.GetWorkflowCountsRequest(workflow="waiting", version=1)
        answer = await client.call(client.workflows.GetWorkflowCounts, request)
        return {c.step_id: (c.entered, c.done, c.failed, c.waiting) for c in answer.counts}

    assert await counts() == {"": (3, 0, 0, 0), "before": (3, 3, 0, 0), "pause": (3, 0, 0, 3)}
    await client.cancel(executions[0])
    await world.let_pass(timedelta(hours=2))
    for execution_id in executions[1:]:
        await client.watched_to_end(execution_id)
    ended = {"": (3, 2, 0, 0), "before": (3, 3, 0, 0), "pause": (3, 2, 0, 0), "after": (2, 2, 0, 0)}
    assert await counts() == ended

    async def folded() -> bool:
        query = "SELECT count(*) FROM step_delta WHERE account_id = $1"
        return not await world.owner.fetchval(query, client.account_id)

    await until(folded)
    assert await counts() == ended
