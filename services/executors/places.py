"""The places of one process for attempts under way, shared among accounts; outbound.py asks for them.

An account may hold three times as many as are free: one that is alone gets three quarters, two get three
sevenths each, and whoever comes next finds a free one, however slow the others' providers are.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_TIMES_THE_FREE: Final = 3


class Places:
    """A number of places, each account's share of which falls as they fill."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._held: Counter[int] = Counter()
        self._waiting: OrderedDict[int, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def taken(self, account_id: int) -> AsyncIterator[None]:
        """Hold a place; an account's own come in turn, and accounts take turns."""
        await self._take(account_id)
        try:
            yield
        finally:
            self._give_back(account_id)

    async def _take(self, account_id: int) -> None:
        if account_id not in self._waiting and self._may_have_one(account_id):
            self._hold(account_id)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account_id, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given a place in that very moment
                self._give_back(account_id)
            raise

    def _may_have_one(self, account_id: int) -> bool:
        return self._held[account_id] < _TIMES_THE_FREE * self._free

    def _hold(self, account_id: int) -> None:
        self._held[account_id] += 1
        self._free -= 1

    def _give_back(self, account_id: int) -> None:
        self._free += 1
        self._held[account_id] -= 1
        if not self._held[account_id]:
            del self._held[account_id]
        self._pass_on()

    def _pass_on(self) -> None:
        """Give what is free to those who wait and may have it; who got one goes to the end of the row."""
        for account_id in list(self._waiting):
            if not self._free:
                return
            turns = self._waiting[account_id]
            while turns and turns[0].done():
                turns.popleft()
            if turns and self._may_have_one(account_id):
                turns.popleft().set_result(None)
                self._hold(account_id)
                self._waiting.move_to_end(account_id)
            if not turns:
                del self._waiting[account_id]
