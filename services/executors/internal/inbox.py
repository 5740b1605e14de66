"""What users are shown in the application, in PostgreSQL, titles and bodies sealed; send_notification writes,
NotificationService reads.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from services.executors.action import Certainty, EffectKey, ErrorClass, Failed
from services.executors.gate import SendGate
from services.executors.internal.notification import Notification, Receipt
from services.executors.internal.statements import own
from services.executors.providers.provider import ProviderError
from services.runtime.database import DatabaseUnavailableError
from services.runtime.keyring import Keyring

IN_APP: Final = "in_app"

_LOST: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, DatabaseUnavailableError, OSError)
_CUT_OFF: Final = ("08", "57")
"""Classes of SQLSTATE that say the connection ended, or was ended."""
_TITLE: Final = "notification.title"
_BODY: Final = "notification.body"
_FORGOTTEN_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Shown:
    """A notification as its user sees it."""

    notification_id: uuid.UUID
    title: str
    body: str
    severity: str
    created_at: datetime
    read_at: datetime | None


class Inbox:
    """Writes and reads the notifications of an account's users."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._insert = own("insert_notifications")
        self._count = own("count_written")
        self._page = own("page_notifications")
        self._unread = own("page_unread")
        self._read = own("mark_read")
        self._forget = own("forget_notifications")

    async def send(self, notification: Notification, gate: SendGate) -> Receipt:
        """Write one notification for each of its users. Raises ProviderError, AttemptStoppedError."""
        key, users = notification.key, sorted(set(notification.recipients))
        sealed = [
            self._keyring.seal(purpose, key.account_id, text.encode())
            for purpose, text in ((_TITLE, notification.title), (_BODY, notification.body))
        ]
        where = (key.execution_id, key.step_id, key.visit)
        try:
            async with self._pool.acquire() as connection:
                gate.begin()
                await connection.execute(
                    self._insert, key.account_id, users, *where, *sealed, notification.severity
                )
        except _LOST as error:
            raise ProviderError(_failed(error, begun=gate.begun)) from error
        return Receipt({"channel": IN_APP}, len(users))

    async def written(self, key: EffectKey) -> int:
        """Give how many users an effect's notification was written for."""
        count: int = await self._pool.fetchval(
            self._count, key.account_id, key.execution_id, key.step_id, key.visit
        )
        return count

    async def page(
        self, account_id: int, user_id: str, before: uuid.UUID | None, size: int, *, unread_only: bool
    ) -> list[Shown]:
        """Give a user's notifications, newest first, those before `before`."""
        statement = self._unread if unread_only else self._page
        rows = await self._pool.fetch(statement, account_id, user_id, before, size)
        return [self._shown(account_id, row) for row in rows]

    async def mark_read(self, account_id: int, user_id: str, ids: Sequence[uuid.UUID]) -> int:
        """Mark notifications of the user as read now; give how many were not."""
        return len(await self._pool.fetch(self._read, account_id, user_id, ids))

    async def forget(self, days: int) -> bool:
        """Drop notifications older than this; True if there may be more."""
        return len(await self._pool.fetch(self._forget, days)) == _FORGOTTEN_AT_ONCE

    def _shown(self, account_id: int, row: asyncpg.Record) -> Shown:
        return Shown(
            row["notification_id"],
            self._keyring.open(_TITLE, account_id, row["title_sealed"]).decode(),
            self._keyring.open(_BODY, account_id, row["body_sealed"]).decode(),
            row["severity"],
            row["created_at"],
            row["read_at"],
        )


def _failed(error: Exception, *, begun: bool) -> Failed:
    """Give the failure of a write; one the server refused is not done, one whose answer is lost may be."""
    state = getattr(error, "sqlstate", None) or ""
    text = "the family's database did not take the notification"
    if begun and (not state or state[:2] in _CUT_OFF):
        refs = (("channel", IN_APP),)
        return Failed(ErrorClass.DATABASE, "INBOX_LOST", text, Certainty.INDETERMINATE, refs=refs)
    return Failed(ErrorClass.DATABASE, state or "INBOX_UNAVAILABLE", text, Certainty.NOT_DONE)
