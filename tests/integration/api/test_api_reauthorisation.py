"""A provider that refuses an account's credentials: marked, told, waited for, mended; all processes real.

A-12, R-ERR-1, R-ERR-5: the first execution FAILS at once, what follows waits without spending an attempt.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from wayfarer.admin.v1 import admin_service_pb2 as admin_pb
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import execution_service_pb2 as pb

from tests.integration.api.provider_ways import SLACK, TWILIO, WAYS, Way
from tests.integration.api.test_api_scenarios import begun, journey, tell_admin
from tests.integration.api.world import Client, World, until

pytestmark = pytest.mark.usefixtures("worker")

NAMES = [way.name for way in WAYS]


async def standing(client: Client, channel: str) -> admin_pb.Provider:
    """What AdminService shows of the choice for a channel."""
    listed: admin_pb.ListProvidersResponse = await client.call(
        client.admin.ListProviders, admin_pb.ListProvidersRequest()
    )
    return next(one for one in listed.providers if one.channel == channel)


async def explained(client: Client, execution_id: str) -> list[pb.Blocker]:
    request = pb.ExplainExecutionRequest(id=execution_id)
    answer: pb.ExplainExecutionResponse = await client.call(client.executions.ExplainExecution, request)
    return list(answer.blockers)


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
async def test_a_refused_account_is_marked_told_waited_for_and_mended(
    world: World, client: Client, way: Way
) -> None:
    """A-12: FAILED at once and the admin told; the next waits; new credentials let it go on."""
    await way.choose(world, client, **way.wrong)
    assert (await standing(client, way.channel)).state == admin_pb.PROVIDER_STATE_READY
    ops = await tell_admin(world, client)
    workflow = await client.publish(journey(way))
    failed_id, failed_place = await begun(client, way, workflow)
    failed, log = await client.watched_to_end(failed_id)
    assert (failed.status, failed.reason) == (execution_pb2.EXECUTION_STATUS_FAILED, "authentication")
    assert "retry_scheduled" not in [e.event for e in log]
    assert failed.failure.code == way.unauthorized

    marked = await standing(client, way.channel)
    assert marked.state == admin_pb.PROVIDER_STATE_NEEDS_REAUTHORISATION
    assert marked.refusal.code == way.unauthorized
    assert marked.refusal.message
    assert datetime.now(UTC) - marked.refusal.since.ToDatetime(UTC) < timedelta(minutes=1)

    waiting_id, waiting_place = await begun(client, way, workflow)
    waiting = await client.reaches(waiting_id, "WAITING")
    assert (waiting.blocked_on, waiting.retry_count) == (execution_pb2.BLOCKED_ON_REAUTHORISATION, 0)
    (held,) = await explained(client, waiting_id)
    assert dict(held.detail) == {"provider": way.provider, "channel": way.channel}
    assert (held.since, "SetProvider" in held.remedy) == (marked.refusal.since, True)
    assert way.unauthorized in held.description
    why = {one.kind: one for one in await explained(client, failed_id)}
    assert set(why) == {execution_pb2.BLOCKED_ON_OPERATOR, execution_pb2.BLOCKED_ON_REAUTHORISATION}

    async def told() -> list[dict[str, Any]]:
        return await world.mails_to(ops)

    (mail,) = await until(told)
    for word in (failed_id, f"{way.provider} needs new credentials for {way.channel}"):
        assert word in json.dumps(mail)

    await way.choose(world, client)
    assert (await standing(client, way.channel)).state == admin_pb.PROVIDER_STATE_READY
    await world.let_pass(timedelta(seconds=4))
    ended, _ = await client.watched_to_end(waiting_id)
    assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    assert [one.kind for one in await explained(client, failed_id)] == [execution_pb2.BLOCKED_ON_OPERATOR]
    await client.call(client.executions.RetryExecution, pb.RetryExecutionRequest(id=failed_id))
    ended, _ = await client.watched_to_end(failed_id)
    assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    assert (await way.taken(world, failed_place), await way.taken(world, waiting_place)) == (1, 1)
    assert len(await told()) == 1
    assert not any((await client.verify()).values())


async def test_what_waits_asks_again_by_itself(world: World, client: Client) -> None:
    """New credentials that are as wrong fail one more; what waits is neither lost nor failed, paused or not."""
    await TWILIO.choose(world, client, **TWILIO.wrong)
    workflow = await client.publish(journey(TWILIO))
    first, _ = await begun(client, TWILIO, workflow)
    await client.reaches(first, "FAILED")
    paused_id, paused_place = await begun(client, TWILIO, workflow)
    waiting_id, _ = await begun(client, TWILIO, workflow)
    for execution_id in (paused_id, waiting_id):
        await client.reaches(execution_id, "WAITING")
    await client.call(client.executions.PauseExecution, pb.PauseExecutionRequest(id=paused_id))
    assert {one.kind for one in await explained(client, paused_id)} == {
        execution_pb2.BLOCKED_ON_OPERATOR,
        execution_pb2.BLOCKED_ON_REAUTHORISATION,
    }
    await world.let_pass(timedelta(minutes=16))

    async def asked_again() -> bool:
        return (await client.log_of(waiting_id)).count("action_deferred") == 2

    await until(asked_again)
    await TWILIO.choose(world, client, auth_token="as-wrong")
    await world.let_pass(timedelta(seconds=4))
    await client.reaches(waiting_id, "FAILED")
    await TWILIO.choose(world, client)
    await client.call(client.executions.ResumeExecution, pb.ResumeExecutionRequest(id=paused_id))
    await world.let_pass(timedelta(seconds=4))
    ended, _ = await client.watched_to_end(paused_id)
    assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    assert await TWILIO.taken(world, paused_place) == 1
    assert not any((await client.verify()).values())


@pytest.mark.parametrize("on_error", ["skip", {"go_to": "after"}], ids=["skip", "go_to"])
async def test_a_step_that_says_what_else_to_do_does_not_wait(
    world: World, client: Client, on_error: Any
) -> None:
    """R-ERR-1: `on_error` of a step goes before the wait."""
    await TWILIO.choose(world, client, **TWILIO.wrong)
    workflow = await client.publish(journey(TWILIO, on_error=on_error))
    for _ in range(2):
        execution_id, place = await begun(client, TWILIO, workflow)
        ended, log = await client.watched_to_end(execution_id)
        assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
        assert "skipped_non_retryable_error" in [e.event for e in log]
        assert await TWILIO.taken(world, place) == 0
    assert (await standing(client, "sms")).state == admin_pb.PROVIDER_STATE_NEEDS_REAUTHORISATION


async def test_a_notification_neither_ends_the_journey_nor_holds_it(world: World, client: Client) -> None:
    """R-ERR-1: Slack refuses the bot; the account is marked, and no journey waits for it."""
    await SLACK.choose(world, client, **SLACK.wrong)
    document = journey(SLACK)
    tag = {"id": "tag", "type": "add_tag", "config": {"tag": "{{ steps.act.problem }}"}}
    document["steps"].append(tag)
    workflow = await client.publish(document)
    for problem in (SLACK.unauthorized, "NEEDS_REAUTHORISATION"):
        contact, _ = await SLACK.somebody(client)
        started = await client.start(workflow, contact.id)
        ended, _ = await client.watched_to_end(started.execution.id)
        assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
        assert problem in (await client.read_contact(contact.id)).tags
    marked = await standing(client, "slack")
    assert (marked.state, marked.refusal.code) == (
        admin_pb.PROVIDER_STATE_NEEDS_REAUTHORISATION,
        SLACK.unauthorized,
    )
