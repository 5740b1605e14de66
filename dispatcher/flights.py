"""Natural batching: the one class every sink uses (claims' contacts, executors, commits, the API's starts).

A sink takes everything that is ready, up to a cap, a few flights at a time. Nothing lingers while
the rate is low; once it is high a flight waits up to `linger` seconds for company, which costs
little latency and saves most of the per-flight CPU (research: 10,000/s cost 0.45 core instead of 1.45).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_BUSY_RATE = 2_000.0
"""Items per second above which a flight may linger."""
_WINDOW = 0.05
"""Seconds over which the rate is judged."""


class Sink(Generic[T]):
    """Gathers items and hands them to `fly` in batches. `fly` owns its items' fate; if it raises all the
    same, the error is reported and `dropped` gets the batch, so that nothing is held for ever."""

    def __init__(
        self,
        fly: Callable[[list[T]], Awaitable[None]],
        *,
        cap: int = 500,
        flights: int = 2,
        linger: float = 0.0,
        name: str = "sink",
        dropped: Callable[[list[T]], None] | None = None,
    ) -> None:
        self._fly = fly
        self._dropped = dropped
        self._cap = cap
        self._limit = flights
        self._linger = linger
        self._name = name
        self._ready: deque[T] = deque()
        self._flying: dict[asyncio.Future[None], list[T]] = {}
        self._waiting: asyncio.TimerHandle | None = None
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
        if self._waiting is not None or len(self._flying) >= self._limit:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._window_start > _WINDOW:
            self._rate = self._window_count / (now - self._window_start)
            self._window_start, self._window_count = now, 0
        # What arrives in this turn of the loop is gathered; a busy sink waits a little longer.
        if self._linger and self._rate > _BUSY_RATE and len(self._ready) < self._cap:
            self._waiting = loop.call_later(self._linger, self._take_off)
        else:
            self._waiting = loop.call_later(0, self._take_off)

    def _take_off(self) -> None:
        self._waiting = None
        while self._ready and len(self._flying) < self._limit:
            batch = self._next()
            flight = asyncio.ensure_future(self._fly(batch))
            self._flying[flight] = batch
            flight.add_done_callback(self._landed)

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
        if self._ready and self._waiting is None:
            self._arrived(0)

    async def drain(self) -> None:
        """Waits until nothing is queued or in flight."""
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
        linger: float = 0.0,
        name: str = "flights",
    ) -> None:
        self._answer = fly
        self._sink: Sink[tuple[T, asyncio.Future[R]]] = Sink(
            self._fly, cap=cap, flights=flights, linger=linger, name=name
        )

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
