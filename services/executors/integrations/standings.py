"""Keeps what webhooks must know of their accounts for two seconds; webhook_call asks, once per call."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from services.executors.integrations.account_book import AccountBook, Standing

KEPT_S: Final = 2.0
_ACCOUNTS: Final = 1024


class _Kept(NamedTuple):
    until: float
    reading: asyncio.Task[Standing]


class Standings:
    """A bounded cache over the account book; calls that miss at one time share one read."""

    def __init__(self, book: AccountBook, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._book = book
        self._clock = clock
        self._kept: OrderedDict[int, _Kept] = OrderedDict()

    async def of(self, account_id: int) -> Standing:
        """Give an account's standing, at most two seconds old. Raises what the database raises."""
        kept = self._kept.get(account_id)
        if kept is None or kept.until <= self._clock():
            kept = self._read(account_id)
        # Shielded: the call that began the read may be cancelled while others wait for it.
        return await asyncio.shield(kept.reading)

    def forget(self, account_id: int) -> None:
        """Read it anew for the next call; whoever changed it calls this."""
        self._kept.pop(account_id, None)

    def _read(self, account_id: int) -> _Kept:
        kept = _Kept(self._clock() + KEPT_S, asyncio.create_task(self._book.standing(account_id)))
        self._kept[account_id] = kept
        self._kept.move_to_end(account_id)
        kept.reading.add_done_callback(lambda _: self._drop_if_failed(account_id, kept))
        if len(self._kept) > _ACCOUNTS:
            self._kept.popitem(last=False)
        return kept

    def _drop_if_failed(self, account_id: int, kept: _Kept) -> None:
        failed = kept.reading.cancelled() or kept.reading.exception() is not None
        if failed and self._kept.get(account_id) is kept:
            del self._kept[account_id]
