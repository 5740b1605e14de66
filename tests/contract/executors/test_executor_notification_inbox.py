"""send_notification in the application: what users see, once per effect whatever is cut off, sealed.

R-ACT: send_notification. G5, G16.
"""

import asyncio
import json
import uuid

import grpc
import pytest
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.notification.v1 import notification_service_pb2 as shown

from tests.contract.executors.notification_world import (
    ACCOUNTS,
    Notices,
    a_title,
    notification,
    output_of,
)
from tests.contract.executors.test_executor_sms import kind_of


async def test_users_see_it_and_mark_it_read(notices: Notices) -> None:
    account = next(ACCOUNTS)
    for number in range(3):
        action = notification(account, "in_app", f"No. {number}", recipients=["u1", "u2"], severity="warning")
        sent = output_of(await notices.client.execute(action))
        assert sent == {"channel": "in_app", "sent": True, "recipients": 2}
    first, token = await notices.listed(account, "u1", page_size=2)
    rest, end = await notices.listed(account, "u1", page_size=2, page_token=token)
    assert [one.title for one in (*first, *rest)] == ["No. 2", "No. 1", "No. 0"]
    assert (end, first[0].body, first[0].severity) == ("", "Call back today.", shown.SEVERITY_WARNING)
    assert not first[0].HasField("read_time")
    ids = [one.notification_id for one in first]
    assert await notices.marked(account, "u2", *ids) == 0
    assert await notices.marked(account + 100_000, "u1", *ids) == 0
    assert [await notices.marked(account, "u1", *ids) for _ in range(2)] == [2, 0]
    unread, _ = await notices.listed(account, "u1", unread_only=True)
    assert [one.title for one in unread] == ["No. 0"]
    assert len((await notices.listed(account, "u2", unread_only=True))[0]) == 3
    assert (await notices.listed(account, "u1"))[0][0].HasField("read_time")


async def test_a_token_of_another_list_is_refused(notices: Notices) -> None:
    account = next(ACCOUNTS)
    for _ in range(2):
        await notices.client.execute(notification(account, "in_app", a_title(), recipients=["u1"]))
    _, token = await notices.listed(account, "u1", page_size=1)
    for asked in ({"page_token": token, "unread_only": True}, {"page_token": "nonsense"}):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await notices.listed(account, "u1", **asked)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_nothing_of_it_is_readable_in_the_database(notices: Notices) -> None:
    account, title = next(ACCOUNTS), a_title()
    action = notification(account, "in_app", title, recipients=["u1"], dedup_window_seconds=60)
    output_of(await notices.client.execute(action))
    for table in ("notification", "notification_mark", "effect_ledger"):
        rows = await notices.client.database.fetch(f"SELECT * FROM {table} WHERE account_id = $1", account)
        assert rows
        stored = b"".join(bytes(value) for row in rows for value in row.values() if isinstance(value, bytes))
        assert title.encode() not in stored
        assert title not in repr(rows)


async def test_an_interrupted_write_is_one_row_and_is_found(notices: Notices) -> None:
    account, client = next(ACCOUNTS), notices.client
    action = notification(account, "in_app", a_title(), recipients=["u1", "u1", "u2"])
    output_of(await client.execute(action))
    key = uuid.UUID(bytes=action.effect_key.execution_id)
    # As a process leaves it that dies between the write and its record.
    await client.database.execute(
        "UPDATE effect_ledger SET state = 1, result = NULL, owner = gen_random_uuid(),"
        " deadline = now() - interval '1 second' WHERE execution_id = $1",
        key,
    )
    finding = await client.reconcile(action, fence=2)
    assert finding.finding == wire.FINDING_DONE, finding
    assert json.loads(finding.result.output)["recipients"] == 2
    await client.database.execute("UPDATE effect_ledger SET state = 3 WHERE execution_id = $1", key)
    action.fence, action.attempt = 3, 2
    output_of(await client.execute(action))
    assert [len((await notices.listed(account, user))[0]) for user in ("u1", "u2")] == [1, 1]


async def test_a_write_that_was_cut_off_is_looked_for(notices: Notices) -> None:
    account, client = next(ACCOUNTS), notices.client
    action = notification(account, "in_app", a_title(), recipients=["u1"])
    async with client.database.transaction():
        await client.database.execute("LOCK TABLE notification IN ACCESS EXCLUSIVE MODE")
        attempt = asyncio.create_task(client.execute(action))
        waiting = None
        while waiting is None:
            waiting = await client.database.fetchval(
                "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'notification'::regclass"
            )
        await client.database.execute("SELECT pg_terminate_backend($1)", waiting)
        assert kind_of(await attempt) == ("DATABASE", "INBOX_LOST", "INDETERMINATE")
    finding = await client.reconcile(action, fence=2)
    assert finding.finding == wire.FINDING_NOT_DONE, finding
    action.fence, action.attempt = 3, 2
    output_of(await client.execute(action))
    assert len((await notices.listed(account, "u1"))[0]) == 1
