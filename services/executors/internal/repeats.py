"""Holds back notifications like one that was sent a short while ago; send_notification asks before it sends.

A mark is taken before sending, so that of two at once one goes; it is given back if nothing was sent. One
whose process died stays: the notification may have gone out.
"""

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import asyncpg
import orjson

from services.executors.action import EffectKey
from services.executors.internal.notification import Notification
from services.executors.internal.statements import own
from services.runtime.keyring import Keyring

LONGEST_S: Final = 86_400
"""The longest window."""

_PURPOSE: Final = "notification.likeness"
_FORGOTTEN_AT_ONCE: Final = 1000


class Repeats:
    """What was sent lately, by account, channel, title and recipients."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._mark = own("mark")
        self._unmark = own("unmark")
        self._forget = own("forget_marks")

    async def mark(self, key: EffectKey, likeness: bytes, window_s: int) -> bool:
        """Mark as sent by this effect; False if another sent one like it within the window."""
        row = await self._pool.fetchval(
            self._mark, key.account_id, likeness, key.execution_id, key.step_id, key.visit, window_s
        )
        return row is not None

    async def unmark(self, key: EffectKey, likeness: bytes) -> None:
        """Take the mark of this effect back."""
        await self._pool.execute(
            self._unmark, key.account_id, likeness, key.execution_id, key.step_id, key.visit
        )

    async def forget(self) -> bool:
        """Drop marks no window reaches; True if there may be more."""
        return len(await self._pool.fetch(self._forget, LONGEST_S)) == _FORGOTTEN_AT_ONCE

    def likeness(self, channel: str, notification: Notification) -> bytes:
        """Give what is the same for notifications that are alike."""
        who: Sequence[str] = sorted(set(notification.recipients))
        alike = orjson.dumps([channel, notification.title, who])
        return hmac.digest(self._keyring.mac_key(_PURPOSE, notification.key.account_id), alike, sha256)
