"""The acceptance scenarios of actions through each provider's sandbox: real accounts, real HTTP, every process real.

A-5, A-8, A-9, A-10, A-11, A-19, A-21, A-42, A-48, R-ERR-1, R-ERR-2, R-ERR-3, R-ERR-4, R-ERR-6.
"""

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import execution_service_pb2 as pb

from tests.integration.api.provider_ways import (
    MESSAGES,
    RESEND,
    SENDGRID,
    SLACK,
    TWILIO,
    WAYS,
    Way,
)
from tests.integration.api.world import Client, World, until

pytestmark = pytest.mark.usefixtures("worker")

NAMES = [way.name for way in WAYS]
_TABLES = """SELECT oid::regclass::text FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"""


@pytest.fixture
async def well_again(world: World) -> AsyncIterator[None]:
    """Whatever a test made the sandboxes do, they do no longer."""
    yield
    for way in (*WAYS, SLACK):
        await way.behave(world)


def journey(way: Way, **step: Any) -> dict[str, Any]:
    """A workflow that tags, acts through a provider, and tags again."""
    return {
        "key": f"scenario-{uuid4()}",
        "name": "Welcome Sequence",
        "settings": {"reentry": "always", "dedup_window": "0s"},
        "steps": [
            {"id": "before", "type": "add_tag", "config": {"tag": "before"}},
            {"id": "act", **way.step, **step},
            {"id": "after", "type": "add_tag", "config": {"tag": "after"}},
        ],
    }


async def tell_admin(world: World, client: Client) -> str:
    """Let the account's admin be told of failures; where."""
    address = f"ops-{uuid4()}@example.org"
    await settle(world, client, notifications={"email": [address]})
    return address


async def settle(world: World, client: Client, **settings: Any) -> None:
    """Give the account these settings."""
    await world.owner.execute(
        "UPDATE account SET settings = $2 WHERE account_id = $1", client.account_id, json.dumps(settings)
    )


async def begun(client: Client, way: Way, workflow: str) -> tuple[str, str]:
    """An execution for somebody new, and where that one is reached."""
    contact, place = await way.somebody(client)
    return (await client.start(workflow, contact.id)).execution.id, place


async def retried(client: Client, execution_id: str, number: int) -> execution_pb2.Execution:
    """The execution once it waits for this retry."""

    async def waits() -> execution_pb2.Execution | None:
        found = await client.get(execution_id)
        waiting = found.status == execution_pb2.EXECUTION_STATUS_WAITING
        return found if waiting and found.retry_count == number else None

    return await until(waits)


@pytest.mark.parametrize("way", [SENDGRID, RESEND], ids=["sendgrid", "resend"])
async def test_an_email_a_tag_and_a_text_arrive_in_order(world: World, client: Client, way: Way) -> None:
    """A-5: by the e-mail provider the account chose, and by Twilio."""
    await way.choose(world, client)
    await TWILIO.choose(world, client)
    document = journey(way)
    document["steps"][2] = {"id": "text", **TWILIO.step}
    address, number = way.reaches(), TWILIO.reaches()
    contact = await client.contact(email=address, phone=number)
    started = await client.start(await client.publish(document), contact.id)
    ended, log = await client.watched_to_end(started.execution.id)
    assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED, ended
    assert [e.step_id for e in log if e.event == "action_completed"] == ["before", "act", "text"]
    assert (await way.taken(world, address), await TWILIO.taken(world, number)) == (1, 1)
    assert "before" in (await client.read_contact(contact.id)).tags


@pytest.mark.usefixtures("well_again")
@pytest.mark.parametrize("way", [*WAYS, SLACK], ids=[*NAMES, "slack"])
async def test_a_503_is_retried_after_a_minute(world: World, client: Client, way: Way) -> None:
    """A-8: the attempt FAILED, retry count 1, due in 60 s; then it arrives once."""
    await way.choose(world, client)
    workflow = await client.publish(journey(way))
    contact, place = await way.somebody(client)
    await way.misbehave(world, way.unavailable, place)
    execution_id = (await client.start(workflow, contact.id)).execution.id
    waiting = await retried(client, execution_id, 1)
    assert waiting.blocked_on == execution_pb2.BLOCKED_ON_RETRY
    entries = (await client.logs(execution_id)).log_entries
    (failed,) = [e for e in entries if e.event == "action_failed"]
    (planned,) = [e for e in entries if e.event == "retry_scheduled"]
    assert (failed.outcome, failed.failure.provider) == ("FAILED", way.provider)
    assert failed.failure.code == planned.failure.code == way.unavailable.code
    assert 54 <= planned.detail.fields["delay_s"].number_value <= 66
    assert await way.taken(world, place) == 0
    await world.let_pass(timedelta(seconds=67))
    ended, _ = await client.watched_to_end(execution_id)
    assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    assert await way.taken(world, place) == 1
    assert "after" in (await client.read_contact(contact.id)).tags


@pytest.mark.usefixtures("well_again")
@pytest.mark.parametrize("way", WAYS, ids=NAMES)
async def test_after_three_retries_it_fails_and_the_admin_is_told(
    world: World, client: Client, way: Way
) -> None:
    """A-9, A-10: 60, 120, 240 s; then FAILED, nothing is scheduled, and a mail names execution and error."""
    await way.choose(world, client)
    ops = await tell_admin(world, client)
    workflow = await client.publish(journey(way))
    contact, place = await way.somebody(client)
    await way.misbehave(world, way.unavailable, place, times=99)
    execution_id = (await client.start(workflow, contact.id)).execution.id
    for number, base in ((1, 60), (2, 120), (3, 240)):
        await retried(client, execution_id, number)
        entries = (await client.logs(execution_id)).log_entries
        planned = [e for e in entries if e.event == "retry_scheduled"][-1]
        assert base * 0.9 <= planned.detail.fields["delay_s"].number_value <= base * 1.1
        await world.let_pass(timedelta(seconds=base * 1.1 + 1))
    ended, log = await client.watched_to_end(execution_id)
    assert (ended.status, ended.reason) == (execution_pb2.EXECUTION_STATUS_FAILED, "max_retries_exhausted")
    assert not ended.HasField("wake_time")
    assert [e.event for e in log].count("action_failed") == 4
    assert await way.taken(world, place) == 0

    async def told() -> list[dict[str, Any]]:
        return await world.mails_to(ops)

    (mail,) = await until(told)
    for word in (execution_id, "Welcome Sequence", way.unavailable.code):
        assert word in json.dumps(mail)
    assert not any((await client.verify()).values())


@pytest.mark.usefixtures("well_again")
@pytest.mark.parametrize("way", WAYS, ids=NAMES)
async def test_what_is_refused_as_invalid_is_skipped(world: World, client: Client, way: Way) -> None:
    """A-11: one attempt FAILED, no retry, `skipped_non_retryable_error`, and the next step runs."""
    await way.choose(world, client)
    workflow = await client.publish(journey(way))
    contact, place = await way.somebody(client)
    await way.misbehave(world, way.malformed, place, times=9)
    execution_id = (await client.start(workflow, contact.id)).execution.id
    ended, log = await client.watched_to_end(execution_id)
    assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    names = [e.event for e in log]
    assert (names.count("action_failed"), names.count("skipped_non_retryable_error")) == (1, 1)
    assert "retry_scheduled" not in names
    assert [e.failure.code for e in log if e.event == "action_failed"] == [way.malformed.code]
    assert "after" in (await client.read_contact(contact.id)).tags


@pytest.mark.usefixtures("well_again")
@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("way", WAYS, ids=NAMES)
async def test_a_429_holds_up_what_else_goes_to_that_provider(
    world: World, client: Client, way: Way, form: str
) -> None:
    """A-19: retried when the provider says; the account's others wait and spend no attempt."""
    await way.choose(world, client)
    workflow = await client.publish(journey(way))
    now: datetime = await world.owner.fetchval("SELECT wf_now()")
    # A date counts by the caller's own clock, which is not the injected one.
    real: datetime = await world.owner.fetchval("SELECT now()")
    later = real.replace(microsecond=0) + timedelta(seconds=31)
    first_contact, first_place = await way.somebody(client)
    after = "30" if form == "seconds" else format_datetime(later, True)
    await way.misbehave(world, way.pausing(after), first_place)
    first = (await client.start(workflow, first_contact.id)).execution.id
    waiting = await retried(client, first, 1)
    due = waiting.wake_time.ToDatetime(tzinfo=now.tzinfo)
    assert timedelta(seconds=25) <= due - now <= timedelta(seconds=40)
    assert "rate_limit_hit" in await client.log_of(first)
    others = [await begun(client, way, workflow) for _ in range(2)]
    for execution_id, place in others:
        held = await client.reaches(execution_id, "WAITING")
        assert held.blocked_on == execution_pb2.BLOCKED_ON_LANE
        assert (held.attempt, held.retry_count) == (0, 0)
        request = pb.ExplainExecutionRequest(id=execution_id)
        (blocker,) = (await client.call(client.executions.ExplainExecution, request)).blockers
        assert blocker.detail["lane"] == way.lane
        assert await way.taken(world, place) == 0
    await world.let_pass(timedelta(seconds=45))
    for execution_id, place in ((first, first_place), *others):
        ended, _ = await client.watched_to_end(execution_id)
        assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
        assert await way.taken(world, place) == 1


@pytest.mark.usefixtures("well_again")
@pytest.mark.parametrize("way", MESSAGES, ids=[way.name for way in MESSAGES])
async def test_a_breaker_opens_and_one_probe_closes_it(world: World, client: Client, way: Way) -> None:
    """A-42: after 20 failures in a row later messages wait without attempts; a probe that succeeds lets them go."""
    await way.choose(world, client)
    workflow = await client.publish(journey(way, retry={"max_retries": 0}))
    await way.misbehave(world, way.unavailable, times=20)
    for execution_id, _ in [await begun(client, way, workflow) for _ in range(20)]:
        await client.reaches(execution_id, "FAILED")
    later = [await begun(client, way, workflow) for _ in range(3)]
    for execution_id, _ in later:
        held = await client.reaches(execution_id, "WAITING")
        assert (held.blocked_on, held.attempt) == (execution_pb2.BLOCKED_ON_BREAKER, 0)
    await world.let_pass(timedelta(seconds=35))
    for execution_id, place in later:
        ended, _ = await client.watched_to_end(execution_id)
        assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
        assert await way.taken(world, place) == 1


@pytest.mark.parametrize("way", MESSAGES, ids=[way.name for way in MESSAGES])
async def test_quiet_hours_put_a_message_off(world: World, client: Client, way: Way) -> None:
    """A-48: to 08:00 on the contact's clock plus its jitter; no attempt is spent, and it arrives once."""
    await way.choose(world, client)
    await settle(world, client, sending={"quiet_hours": {"from": "21:00", "to": "08:00"}})
    document = journey(way)
    document["steps"][1]["config"] = {**way.step["config"], "category": "marketing"}
    workflow = await client.publish(document)
    now: datetime = await world.owner.fetchval("SELECT wf_now()")
    ahead = (22 - now.hour + 12) % 24 - 12
    contact, place = await way.somebody(client, time_zone=f"Etc/GMT{-ahead:+d}")
    execution_id = (await client.start(workflow, contact.id)).execution.id
    waiting = await client.reaches(execution_id, "WAITING")
    assert waiting.blocked_on == execution_pb2.BLOCKED_ON_QUIET_HOURS
    local = now + timedelta(hours=ahead)
    day = timedelta(days=1) if local.hour >= 8 else timedelta(0)
    morning = local.replace(hour=8, minute=0, second=0, microsecond=0) + day - timedelta(hours=ahead)
    due = waiting.wake_time.ToDatetime(tzinfo=now.tzinfo)
    assert morning <= due <= morning + timedelta(minutes=10)
    entries = (await client.logs(execution_id)).log_entries
    (evidence,) = [dict(e.detail) for e in entries if e.event == "send_deferred"]
    assert (evidence["rule"], evidence["time_zone"]) == ("QUIET_HOURS", contact.time_zone)
    assert await way.taken(world, place) == 0
    await world.let_pass(due - now + timedelta(seconds=1))
    ended, log = await client.watched_to_end(execution_id)
    assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    assert [e.attempt for e in log if e.event == "action_completed" and e.step_id == "act"] == [1]
    assert await way.taken(world, place) == 1


async def everything_stored(world: World) -> str:
    """Every row of every table of every database, as text."""
    found = []
    for role, dsn in world.stack.prepared.dsns.items():
        if not role.endswith("_owner"):
            continue
        connection = await asyncpg.connect(dsn)
        try:
            for (table,) in await connection.fetch(_TABLES):
                found.append(
                    await connection.fetchval(f"SELECT string_agg(t::text, '') FROM {table} t") or ""
                )
        finally:
            await connection.close()
    return "".join(found)


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
async def test_nothing_personal_and_no_credential_is_left_in_clear(
    world: World, client: Client, way: Way
) -> None:
    """A-21: not in the log, not in a process's own log, and in no table of any database."""
    await way.choose(world, client)
    contact, place = await way.somebody(client)
    secret = f"key-{uuid4()}"
    hook = {"url": f"{world.stack.receiver_url}/hooks/scenario", "headers": {"X-Api-Key": secret}}
    document = journey(way)
    document["steps"].append({"id": "hook", "type": "webhook_call", "config": hook})
    workflow = await client.publish(document)
    ended, log = await client.watched_to_end((await client.start(workflow, contact.id)).execution.id)
    assert ended.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    assert await way.taken(world, place) == 1
    shown = {
        "the log": str(log),
        "the processes": "".join(
            file.read_text(errors="replace")
            for file in (world.stack.state_dir / "logs").iterdir()
            if not file.name.startswith(("mailbox", "receiver", "sandboxes", "postgres"))
        ),
        "the databases": await everything_stored(world),
    }
    canaries = [place, secret, *way.credentials.values()]
    for where, text in shown.items():
        assert text, where
        for canary in canaries:
            assert canary not in text, where
            assert canary.encode().hex() not in text, where
