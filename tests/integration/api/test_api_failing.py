"""Failing, retrying, lanes and breakers, on webhook_call against a receiver that misbehaves.

A-8, A-9, A-10, A-11, A-12, A-19, A-24, A-42, A-46, R-ERR-1, R-ERR-2, R-ERR-3, R-ERR-4, R-ERR-6, R-LIMIT-4, R-STATE-7.
"""

from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import uuid4

import grpc
import pytest
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import execution_service_pb2 as pb

from tests.integration.api.world import Client, World, refused, until

pytestmark = pytest.mark.usefixtures("worker")


def calling(url: str, **step: Any) -> dict[str, Any]:
    """A workflow that tags, calls a URL, and tags again."""
    return {
        "key": f"calling-{uuid4()}",
        "settings": {"reentry": "always", "dedup_window": "0s"},
        "steps": [
            {"id": "before", "type": "add_tag", "config": {"tag": "before"}},
            {"id": "call", "type": "webhook_call", "config": {"url": url, "method": "POST"}, **step},
            {"id": "after", "type": "add_tag", "config": {"tag": "after"}},
        ],
    }


async def begun(client: Client, document: dict[str, Any]) -> str:
    workflow = await client.publish(document)
    return (await client.start(workflow, (await client.contact()).id)).execution.id


async def test_a_503_is_retried_after_60_120_240_seconds_and_then_it_fails(
    world: World, client: Client
) -> None:
    """A-8, A-9, A-10: each retry logged with its error and its time; nothing is scheduled after the last."""
    path = f"down-{uuid4()}"
    url = await world.misbehave(path, times=99, status=503)
    execution_id = await begun(client, calling(url))
    for number, base in ((1, 60), (2, 120), (3, 240)):
        waiting = await client.reaches(execution_id, "WAITING")
        while waiting.retry_count < number:
            waiting = await client.reaches(execution_id, "WAITING")
        assert waiting.blocked_on == execution_pb2.BLOCKED_ON_RETRY
        entries = (await client.logs(execution_id)).log_entries
        entry = [e for e in entries if e.event == "retry_scheduled"][-1]
        assert entry.detail["retry"] == number
        assert base * 0.9 <= entry.detail.fields["delay_s"].number_value <= base * 1.1
        assert entry.failure.code == "HTTP_503"
        await world.let_pass(timedelta(seconds=base * 1.1 + 1))
    ended, log = await client.watched_to_end(execution_id)
    assert (ended.status, ended.reason) == (execution_pb2.EXECUTION_STATUS_FAILED, "max_retries_exhausted")
    assert not ended.HasField("wake_time")
    names = [e.event for e in log]
    assert names.count("action_failed") == 4
    assert names[-2:] == ["max_retries_exhausted", "execution_failed"]
    assert len(await world.requests_at(path)) == 4
    assert "after" not in (await client.read_contact(ended.contact_id)).tags
    assert not any((await client.verify()).values())


async def test_a_retry_goes_on_at_the_failed_step(world: World, client: Client) -> None:
    """A-24: QUEUED with retry count 0; earlier steps are not run again."""
    path = f"fixed-{uuid4()}"
    url = await world.misbehave(path, times=1, status=503)
    execution_id = await begun(client, calling(url, retry={"max_retries": 0}))
    failed = await client.reaches(execution_id, "FAILED")
    answer = await client.call(client.executions.RetryExecution, pb.RetryExecutionRequest(id=execution_id))
    assert answer.execution.retry_count == 0
    assert answer.execution.current_step_id == "call"
    ended, log = await client.watched_to_end(execution_id)
    assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    names = [e.event for e in log]
    assert names.count("manual_retry") == 1
    assert [e.step_id for e in log if e.event == "action_completed"] == ["before", "call", "after"]
    assert failed.failure.code == "HTTP_503"
    (told,) = [e for e in log if e.event == "manual_retry"]
    assert told.detail["actor"] == "local-stack"
    assert not any((await client.verify()).values())
    refusal = await refused(
        client.call(client.executions.RetryExecution, pb.RetryExecutionRequest(id=execution_id))
    )
    assert refusal.reason == "ILLEGAL_TRANSITION"


async def test_a_retry_can_skip_the_failed_step_or_go_back(world: World, client: Client) -> None:
    path = f"gone-{uuid4()}"
    url = await world.misbehave(path, times=99, status=503)
    document = calling(url, retry={"max_retries": 0})
    first, second = await begun(client, document), await begun(client, document)
    for execution_id in (first, second):
        await client.reaches(execution_id, "FAILED")
    request = pb.RetryExecutionRequest(id=first, skip_failed=True)
    await client.call(client.executions.RetryExecution, request)
    ended, log = await client.watched_to_end(first)
    assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    assert [e.step_id for e in log if e.event == "action_completed"] == ["before", "after"]
    for wrong, rule in (("after", "earlier"), ("nowhere", "unknown_step")):
        request = pb.RetryExecutionRequest(id=second, from_step=wrong)
        refusal = await refused(client.call(client.executions.RetryExecution, request))
        assert refusal.rules == {"from_step": rule}
    request = pb.RetryExecutionRequest(id=second, from_step="before")
    await client.call(client.executions.RetryExecution, request)
    await client.reaches(second, "FAILED")
    entries = (await client.logs(second)).log_entries
    assert [(e.step_id, e.visit) for e in entries if e.event == "action_completed"] == [
        ("before", 1),
        ("before", 2),
    ]
    assert not any((await client.verify()).values())


async def test_a_400_is_skipped_and_a_401_fails_at_once(world: World, client: Client) -> None:
    """A-11, A-12."""
    bad = await world.misbehave(f"bad-{uuid4()}", times=9, status=400)
    ended, log = await client.watched_to_end(await begun(client, calling(bad)))
    assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    names = [e.event for e in log]
    assert "skipped_non_retryable_error" in names
    assert "retry_scheduled" not in names
    denied = await world.misbehave(f"denied-{uuid4()}", times=9, status=401)
    ended, log = await client.watched_to_end(await begun(client, calling(denied)))
    assert ended.status == execution_pb2.EXECUTION_STATUS_FAILED
    assert ended.reason == "authentication"
    assert "retry_scheduled" not in [e.event for e in log]


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_429_holds_up_the_accounts_other_actions_too(world: World, client: Client, form: str) -> None:
    """A-19: retried when the server says; the others wait and spend no attempt; Explain says why (A-46)."""
    path = f"busy-{form}-{uuid4()}"
    now: datetime = await world.owner.fetchval("SELECT wf_now()")
    # A date counts by the caller's own clock, which is not the injected one.
    real: datetime = await world.owner.fetchval("SELECT now()")
    after = (
        "30"
        if form == "seconds"
        else format_datetime(real.replace(microsecond=0) + timedelta(seconds=31), True)
    )
    url = await world.misbehave(path, times=1, status=429, headers={"Retry-After": after})
    document = calling(url)
    first = await begun(client, document)
    waiting = await client.reaches(first, "WAITING")
    assert waiting.blocked_on == execution_pb2.BLOCKED_ON_RETRY
    due = waiting.wake_time.ToDatetime(tzinfo=now.tzinfo)
    assert timedelta(seconds=25) <= due - now <= timedelta(seconds=36)
    assert "rate_limit_hit" in await client.log_of(first)
    others = [await begun(client, document) for _ in range(3)]
    for execution_id in others:
        held = await client.reaches(execution_id, "WAITING")
        assert held.blocked_on == execution_pb2.BLOCKED_ON_LANE
        assert (held.attempt, held.retry_count) == (0, 0)
        told = await client.call(
            client.executions.ExplainExecution, pb.ExplainExecutionRequest(id=execution_id)
        )
        (blocker,) = told.blockers
        assert blocker.detail["lane"].startswith("webhook:127.0.0.1:")
        assert blocker.until.ToDatetime(tzinfo=now.tzinfo) >= due - timedelta(seconds=2)
    assert len(await world.requests_at(path)) == 1
    await world.let_pass(timedelta(seconds=40))
    for execution_id in (first, *others):
        ended, _ = await client.watched_to_end(execution_id)
        assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    assert len(await world.requests_at(path)) == 5


async def test_a_breaker_opens_and_one_probe_closes_it(world: World, client: Client) -> None:
    """A-42: 20 failures in a row; later actions wait without attempts; one probe; success closes it."""
    path = f"broken-{uuid4()}"
    url = await world.misbehave(path, times=20, status=500)
    document = calling(url, retry={"max_retries": 0})
    for execution_id in [await begun(client, document) for _ in range(20)]:
        await client.reaches(execution_id, "FAILED")
    later = [await begun(client, document) for _ in range(3)]
    for execution_id in later:
        held = await client.reaches(execution_id, "WAITING")
        assert held.blocked_on == execution_pb2.BLOCKED_ON_BREAKER
        assert held.attempt == 0
    assert len(await world.requests_at(path)) == 20
    await world.let_pass(timedelta(seconds=35))
    for execution_id in later:
        ended, _ = await client.watched_to_end(execution_id)
        assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    assert len(await world.requests_at(path)) == 23


async def test_the_accounts_own_rate_spreads_its_actions(world: World, client: Client) -> None:
    """R-LIMIT-4: one in a hundred seconds, three a day: the others go tomorrow."""
    await world.owner.execute(
        """UPDATE account SET settings = '{"rates": {"webhook": {"per_second": 0.01, "per_day": 3}}}'
        WHERE account_id = $1""",
        client.account_id,
    )
    path = f"slow-{uuid4()}"
    url = f"{world.stack.receiver_url}/hooks/{path}"
    document = calling(url)
    executions = [await begun(client, document) for _ in range(5)]
    settled = [await client.reaches(e, "WAITING", "COMPLETED") for e in executions]
    held = [e for e in settled if e.status == execution_pb2.EXECUTION_STATUS_WAITING]
    assert len(held) == 4, "whichever was claimed first went, the others wait"
    assert {e.blocked_on for e in held} == {execution_pb2.BLOCKED_ON_RATE_LIMIT}
    assert all(e.attempt == 0 for e in held)

    async def gone() -> bool:
        return len(await world.requests_at(path)) == 3

    await world.let_pass(timedelta(seconds=210))
    await until(gone)
    await world.let_pass(timedelta(seconds=300))
    left = [
        e
        for e in [await client.get(e) for e in executions]
        if e.status == execution_pb2.EXECUTION_STATUS_WAITING
    ]
    assert (len(left), len(await world.requests_at(path))) == (2, 3)
    midnight = left[0].wake_time.ToDatetime()
    assert (midnight.hour, midnight.minute) == (0, 0)


async def test_an_executor_that_is_away_is_explained_and_waited_for(world: World, client: Client) -> None:
    """A-46, R-ERR-6: no attempt is spent on a family that is down; when it is back, all goes on."""
    url = f"{world.stack.receiver_url}/hooks/away-{uuid4()}"
    document = calling(url)
    workflow = await client.publish(document)
    supervisor = world.stack.supervisor
    family = supervisor.children["integrations"]
    await supervisor.stop("integrations")
    try:
        contacts = [await client.contact() for _ in range(8)]
        executions = [(await client.start(workflow, contact.id)).execution.id for contact in contacts]
        for execution_id in executions:
            held = await client.reaches(execution_id, "WAITING")
            assert held.blocked_on == execution_pb2.BLOCKED_ON_EXECUTOR
        told = await client.call(
            client.executions.ExplainExecution, pb.ExplainExecutionRequest(id=executions[-1])
        )
        assert told.blockers[0].kind in (execution_pb2.BLOCKED_ON_EXECUTOR, execution_pb2.BLOCKED_ON_WORKER)
    finally:
        del supervisor.children["integrations"]
        await supervisor.start("integrations", family.module, family.environment)

    async def known_again() -> bool:
        """The API dials it again within a moment; until then it cannot check configs."""
        try:
            await client.apply(calling(url), validate_only=True)
        except grpc.aio.AioRpcError:
            return False
        return True

    await until(known_again)
    for execution_id in executions:
        ended, _ = await client.watched_to_end(execution_id)
        assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    assert not any((await client.verify()).values())
