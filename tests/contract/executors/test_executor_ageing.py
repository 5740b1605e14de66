"""What families forget by age: notifications in the application, and access to courses that has long ended."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType

import asyncpg
import pytest

from services.executors.family import PLANNER
from services.executors.internal import queries as internal_queries
from services.executors.internal.__main__ import FAMILY as INTERNAL
from services.executors.internal.__main__ import Settings as InternalSettings
from services.executors.mail.addresses import Sender
from services.executors.membership import queries as membership_queries
from services.executors.membership.__main__ import FAMILY as MEMBERSHIP
from services.executors.membership.__main__ import Settings as MembershipSettings
from services.executors.queries import statement
from services.runtime.config import HostPort
from tests.contract.executors.membership_world import MembershipWorld, output
from tests.contract.executors.notification_world import ACCOUNTS, Notices, a_title, notification, output_of
from tests.contract.executors.world import Client, Mailbox, open_client, uuid7

LOOPBACK = HostPort("127.0.0.1", 0)
PATIENCE_S = 20.0
COPIES = 2_050
"""More than two batches."""


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Look until it holds; each look is a round trip to the database."""
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():
            await asyncio.sleep(0)


async def test_old_notifications_are_forgotten_young_ones_stay(
    notices: Notices, keyring: Path, mailbox: Mailbox
) -> None:
    """R-ACT: of send_notification in the application nothing is kept beyond its time, however much there is."""
    account, database = next(ACCOUNTS), notices.client.database
    for user in ("read", "unread", "young"):
        output_of(await notices.client.execute(notification(account, "in_app", a_title(), recipients=[user])))
    ((seen,), _) = await notices.listed(account, "read")
    await notices.marked(account, "read", seen.notification_id)
    await database.execute(
        """UPDATE notification SET created_at = now() - interval '1 day' * CASE user_id WHEN 'young' THEN 59
        ELSE 61 END WHERE account_id = $1""",
        account,
    )
    await database.execute(
        """INSERT INTO notification (account_id, user_id, execution_id, step_id, visit, title_sealed, body_sealed,
        severity, created_at) SELECT $1, 'many', uuidv7(), 's', 1, '', '', 'info', now() - interval '99 days'
        FROM generate_series(1, $2)""",
        account,
        COPIES,
    )
    settings = InternalSettings(
        database_url=notices.client.environment["url"],
        keyring=keyring,
        listen=LOOPBACK,
        profile="local",
        smtp_host=mailbox.host,
        smtp_port=mailbox.port,
        mail_from=Sender("Wayfarer", "no-reply@example.test"),
        notification_days=60,
    )

    async def only_the_young() -> bool:
        rows = await database.fetch("SELECT user_id FROM notification WHERE account_id = $1", account)
        return [row[0] for row in rows] == ["young"]

    async with open_client(INTERNAL, settings):
        await until(only_the_young)


async def test_access_that_ended_long_ago_is_forgotten_with_its_progress(
    membership: MembershipWorld, keyring: Path
) -> None:
    """R-ACT: of course access nothing is kept beyond its time; what does not end, or ended lately, stays."""
    lasting, revoked, expired, lately = (uuid7() for _ in range(4))
    for contact_id in (lasting, revoked, lately):
        output(await membership.grant(contact_id=contact_id))
    output(await membership.grant(contact_id=expired, duration_days=1))
    for contact_id in (revoked, lately):
        output(await membership.revoke(contact_id=contact_id))
    move = """UPDATE course_access SET granted_at = granted_at - $2 * interval '1 day',
        revoked_at = revoked_at - $2 * interval '1 day', expires_at = expires_at - $2 * interval '1 day'
        WHERE contact_id = $1"""
    for contact_id, days in ((lasting, 5000), (revoked, 501), (expired, 502), (lately, 499)):
        await membership.client.database.execute(move, contact_id, days)
    settings = MembershipSettings(
        database_url=membership.client.environment["url"],
        keyring=keyring,
        listen=LOOPBACK,
        profile="local",
        course_access_days=500,
    )

    async def is_forgotten() -> bool:
        return not [one for one in (revoked, expired) if await membership.access(one)]

    async with open_client(MEMBERSHIP, settings):
        await until(is_forgotten)
    assert [len(await membership.access(one)) for one in (lasting, lately)] == [1, 1]


@pytest.mark.parametrize(
    ("family", "package", "name", "index"),
    [
        ("internal", internal_queries, "forget_notifications", "notification_age"),
        ("membership", membership_queries, "forget_access", "course_access_ended"),
    ],
)
async def test_what_is_old_is_found_by_its_age(
    internal: Client, membership: MembershipWorld, family: str, package: ModuleType, name: str, index: str
) -> None:
    client = internal if family == "internal" else membership.client
    connection = await asyncpg.connect(client.environment["url"], server_settings=PLANNER)
    await connection.execute(f"PREPARE p AS {statement(name, package.__name__)}")
    plan = "\n".join(row[0] for row in await connection.fetch("EXPLAIN EXECUTE p(60)"))
    await connection.close()
    assert index in plan, plan
    assert "Seq Scan" not in plan, plan
