"""Natural batching for outbound.py and outcome_log.py: what comes while a batch is away goes in the next."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Generic, TypeVar, cast

import structlog

log = structlog.get_logger(__name__)
T = TypeVar("T")

_MOST: Final = 500
_PAUSE_PER_OTHER_S: Final = 0.0002
_OTHERS: Final = 8
_LONGEST_PAUSE_S: Final = 0.025


class Gathering(Generic[T]):
    """Hands items over, batch by batch. `hand_over` owns its items' fate and raises nothing."""

    def __init__(
        self,
        hand_over: Callable[[list[T]], Awaitable[None]],
        others: Callable[[], int] = lambda: 0,
        writers: int = 1,
    ) -> None:
        """`others` tells how many items are still to come: for many of them a batch waits a moment.

        `writers` is how many batches may be away at a time; with one, items keep their order.
        """
        self._hand_over = hand_over
        self._others = others
        self._limit = writers
        self._ready: list[T] = []
        self._writers: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Items not yet handed over."""
        return len(self._ready)

    def add(self, items: Iterable[T]) -> None:
        """Take items that are to be handed over."""
        self._ready += items
        if self._ready and len(self._writers) < self._limit:
            self._writers.add(asyncio.create_task(self._write()))

    async def close(self) -> None:
        """Wait until all of it is handed over."""
        while self._writers:
            await asyncio.wait(self._writers)

    async def _write(self) -> None:
        try:
            await self._write_all()
        finally:
            # Here, and not once it is done: what is added in between would wait for nobody.
            self._writers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _write_all(self) -> None:
        while self._ready:
            if pause := self._pause():
                await asyncio.sleep(pause)
            batch, self._ready = self._ready[:_MOST], self._ready[_MOST:]
            if not batch:
                return  # another writer took them meanwhile
            try:
                await self._hand_over(batch)
            except Exception:  # those that come after must not suffer
                log.exception("hand_over_failed", items=len(batch))

    def _pause(self) -> float:
        """Seconds; small beside the time that so many attempts take, and none where few are under way."""
        others = self._others()
        return min(others * _PAUSE_PER_OTHER_S, _LONGEST_PAUSE_S) if others >= _OTHERS else 0.0
