"""Failure notifications through the real mailbox and receiver: R-ERR-5, A-10, A-12, A-13, A-17."""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.integration.api.world import Client, World, until

pytestmark = pytest.mark.usefixtures("worker")


async def wants(world: World, client: Client, **notifications: Any) -> None:
    await world.owner.execute(
        "UPDATE account SET settings = $2 WHERE account_id = $1",
        client.account_id,
        json.dumps({"notifications": notifications}),
    )


async def mails_to(world: World, address: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session:
        answer = await session.get(f"{world.stack.mailbox_url}/messages")
        found: list[dict[str, Any]] = await answer.json()
    return [mail for mail in found if address in json.dumps(mail["to"])]


async def failing(world: World, client: Client, number: int = 1) -> list[str]:
    """So many executions that fail at once (401)."""
    url = await world.misbehave(f"denied-{uuid4()}", times=number, status=401)
    steps = [{"id": "call", "type": "webhook_call", "config": {"url": url, "method": "POST"}}]
    workflow = await client.publish({"key": f"n-{uuid4()}", "name": "Welcome Sequence", "steps": steps})
    started = [
        (await client.start(workflow, (await client.contact()).id)).execution.id for _ in range(number)
    ]
    for execution_id in started:
        await client.reaches(execution_id, "FAILED")
    return started


async def test_the_admin_is_told_by_mail_webhook_and_slack(world: World, client: Client) -> None:
    """A-10, A-12: with execution id, workflow name and error; `notification_sent` in the log."""
    address = f"ops-{uuid4()}@example.org"
    hook, slack = f"hook-{uuid4()}", f"slack-{uuid4()}"
    base = f"{world.stack.receiver_url}/hooks"
    await wants(world, client, email=[address], webhook=[f"{base}/{hook}"], slack=[f"{base}/{slack}"])
    (execution_id,) = await failing(world, client)

    async def logged() -> bool:
        return "notification_sent" in await client.log_of(execution_id)

    await until(logged)
    (mail,) = await mails_to(world, address)
    for word in (execution_id, "Welcome Sequence", "HTTP_401"):
        assert word in json.dumps(mail)
    (posted,) = await world.requests_at(hook)
    assert posted["body"]["execution_ids"] == [execution_id]
    (slacked,) = await world.requests_at(slack)
    assert "Welcome Sequence" in slacked["body"]["text"]
    assert (await client.get(execution_id)).status == 6
    assert not any((await client.verify()).values())


async def test_switched_off_nobody_is_told(world: World, client: Client) -> None:
    """A-13: nothing else changes."""
    address = f"ops-{uuid4()}@example.org"
    await wants(world, client, on_failure=False, email=[address])
    (execution_id,) = await failing(world, client)
    query = "SELECT count(*) FROM failure_notice WHERE account_id = $1 AND closed_at IS NOT NULL"

    async def closed() -> bool:
        return bool(await world.owner.fetchval(query, client.account_id) == 1)

    await until(closed)
    assert not await mails_to(world, address)
    assert "notification_sent" not in await client.log_of(execution_id)


async def test_a_burst_is_one_notice_and_one_digest(world: World, client: Client) -> None:
    """R-ERR-5: like failures within the window are told of together; those of a deleted contact not at all."""
    address = f"ops-{uuid4()}@example.org"
    await wants(world, client, email=[address], digest_seconds=60)
    url = await world.misbehave(f"storm-{uuid4()}", times=40, status=401)
    steps = [{"id": "call", "type": "webhook_call", "config": {"url": url, "method": "POST"}}]
    workflow = await client.publish({"key": "storm", "steps": steps})
    first = (await client.start(workflow, (await client.contact()).id)).execution.id

    async def mails(number: int) -> bool:
        return len(await mails_to(world, address)) == number

    await client.reaches(first, "FAILED")
    await until(lambda: mails(1))
    # Nineteen more: a twentieth in a row would open the breaker.
    more = [(await client.start(workflow, (await client.contact()).id)).execution.id for _ in range(18)]
    for execution_id in more:
        await client.reaches(execution_id, "FAILED")
    assert await mails(1)
    await world.let_pass(timedelta(seconds=61))
    await until(lambda: mails(2))
    digest = max(await mails_to(world, address), key=lambda mail: len(json.dumps(mail)))
    assert "18 executions" in json.dumps(digest)
    assert not any((await client.verify()).values())


async def test_a_mail_server_that_is_busy_gets_the_notice_later(world: World, client: Client) -> None:
    """R-ERR-5: five times put off, after 15 s, 1, 4, 16 and 30 min; the sixth time it is one mail."""
    address = f"ops-{uuid4()}@example.org"
    await wants(world, client, email=[address])
    async with aiohttp.ClientSession() as session:
        rule = {"match": address, "times": 5, "reply": "451 4.3.2 later"}
        answer = await session.post(f"{world.stack.mailbox_url}/rules", json=rule)
        assert answer.status < 300, await answer.text()
    (execution_id,) = await failing(world, client)
    query = "SELECT max(tries) FROM notice WHERE account_id = $1"
    for number, pause_s in enumerate((15, 60, 240, 960, 1_800), start=1):

        async def tried(times: int = number) -> bool:
            return bool(await world.owner.fetchval(query, client.account_id) == times)

        await until(tried)
        assert not await mails_to(world, address)
        await world.let_pass(timedelta(seconds=pause_s + 1))

    async def logged() -> bool:
        return "notification_sent" in await client.log_of(execution_id)

    await until(logged)
    assert len(await mails_to(world, address)) == 1
