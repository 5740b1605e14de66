"""Natural batching: the one class every sink uses (claims' contacts, executors, commits, the API's starts).

A sink takes everything that is ready, up to a cap, a few flights at a time. Where much is under way a
flight waits for company, a twentieth of the time that its items take anyway: that saves most of what a
flight costs. Where little is under way that is no time at all, and nothing waits.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_SHARE = 0.05
"""Of the time that items are under way, what a flight may wait for company."""
_LONGEST_S = 0.025
_COMPANY = 20
"""Items that must be expected within the wait: for fewer it is not worth it."""
_WINDOW_S = 0.05
"""Over what time the rate is judged."""
_SLOW_S = 0.02
"""After that a flight is not waited for: what holds it up must hold up nothing else."""


class Sink(Generic[T]):
    """Gathers items and hands them to `fly` in batches. `fly` owns its items' fate; if it raises all the
    same, the error is reported and `dropped` gets the batch, so that nothing is held for ever."""

    def __init__(
        self,
        fly: Callable[[list[T]], Awaitable[None]],
        *,
        cap: int = 500,
        flights: int = 2,
        beside: int = 1,
        under_way: Callable[[], int] | None = None,
        name: str = "sink",
        dropped: Callable[[list[T]], None] | None = None,
    ) -> None:
        """A flight goes beside others only with `beside` items, or if the newest of them takes long.

        `under_way` tells how many items are in the whole of which this is one stage; None never waits.
        """
        self._fly = fly
        self._dropped = dropped
        self._cap = cap
        self._limit = flights
        self._beside = beside
        self._under_way = under_way
        self._name = name
        self._ready: deque[T] = deque()
        self._flying: dict[asyncio.Future[None], list[T]] = {}
        self._waiting: asyncio.TimerHandle | None = None
        self._lingers = False
        self._took_off_at = 0.0
        self._window_start = 0.0
        self._window_count = 0
        self._rate = 0.0

    def __len__(self) -> int:
        """Items not yet in a flight."""
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """True if nothing is queued or in flight."""
        return not self._ready and not self._flying

    def put(self, item: T) -> None:
        """Adds one item; it flies as soon as a flight is free."""
        self._ready.append(item)
        self._arrived(1)

    def put_all(self, items: Iterable[T]) -> None:
        """Adds many items at once."""
        before = len(self._ready)
        self._ready.extend(items)
        if len(self._ready) > before:
            self._arrived(len(self._ready) - before)

    def _arrived(self, count: int) -> None:
        self._window_count += count
        if not self._may_fly():
            return
        full = len(self._ready) >= self._cap
        if self._waiting is not None:
            if not (full and self._lingers):
                return
            self._waiting.cancel()
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._window_start > _WINDOW_S:
            self._rate = self._window_count / (now - self._window_start)
            self._window_start, self._window_count = now, 0
        # Without a pause, what arrives in this turn of the loop is gathered.
        pause = 0.0 if full else self._pause()
        self._lingers = pause > 0
        self._waiting = loop.call_later(pause, self._take_off)

    def _may_fly(self) -> bool:
        flying = len(self._flying)
        if not flying or flying >= self._limit:
            return not flying
        if len(self._ready) >= self._beside:
            return True
        return asyncio.get_running_loop().time() - self._took_off_at >= _SLOW_S

    def _look_again(self) -> None:
        if self._ready and self._waiting is None:
            self._arrived(0)

    def _pause(self) -> float:
        """Seconds a flight waits for company; items are under way for their number by their rate."""
        if self._under_way is None or not self._rate:
            return 0.0
        pause = min(_SHARE * self._under_way() / self._rate, _LONGEST_S)
        return pause if pause * self._rate >= _COMPANY else 0.0

    def _take_off(self) -> None:
        self._waiting = None
        loop = asyncio.get_running_loop()
        while self._ready and self._may_fly():
            batch = self._next()
            flight = asyncio.ensure_future(self._fly(batch))
            self._flying[flight] = batch
            flight.add_done_callback(self._landed)
            self._took_off_at = loop.time()
            if self._beside > 1:
                loop.call_later(1.1 * _SLOW_S, self._look_again)  # timers may come a little early

    def _next(self) -> list[T]:
        """The longest waiting, as many as may fly together."""
        if len(self._ready) <= self._cap:
            batch = list(self._ready)
            self._ready.clear()
            return batch
        return [self._ready.popleft() for _ in range(self._cap)]

    def _landed(self, flight: "asyncio.Future[None]") -> None:
        batch = self._flying.pop(flight, [])
        if not flight.cancelled() and (error := flight.exception()) is not None:
            if self._dropped is not None:
                self._dropped(batch)
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"a flight of {self._name} raised", "exception": error}
            )
        self._look_again()

    async def drain(self) -> None:
        """Waits until nothing is queued or in flight; nothing lingers meanwhile."""
        self._under_way = None
        if self._lingers and self._waiting is not None:
            self._waiting.cancel()
            self._take_off()
        while not self.idle:
            if self._flying:
                await asyncio.wait(set(self._flying), return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Cancels what flies and forgets what is queued."""
        self._ready.clear()
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        for flight in list(self._flying):
            flight.cancel()
        if self._flying:
            await asyncio.wait(set(self._flying))


class Flights(Generic[T, R]):
    """A sink whose callers wait for their own answer: `await flights.submit(item)`.

    `fly` answers in order, one result or exception per item; if it raises, every item of the
    batch fails with that exception. A caller that is cancelled does not stop the flight.
    """

    def __init__(
        self,
        fly: Callable[[list[T]], Awaitable[Sequence[R | Exception]]],
        *,
        cap: int = 500,
        flights: int = 2,
        name: str = "flights",
    ) -> None:
        self._answer = fly
        self._sink: Sink[tuple[T, asyncio.Future[R]]] = Sink(self._fly, cap=cap, flights=flights, name=name)

    async def submit(self, item: T) -> R:
        """The answer for `item`; raises what its flight gave for it."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._sink.put((item, future))
        return await future

    async def _fly(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            answers: Sequence[R | Exception] = await self._answer([item for item, _ in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(answers)} answers for {len(batch)} items")
        except Exception as error:
            answers = [error] * len(batch)
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sink.close()
