"""Natural batching: nothing is lost, order is kept, a flight that raises gives its items back (G16)."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.flights import Flights, Sink


async def test_what_arrives_together_flies_together() -> None:
    batches: list[list[int]] = []

    async def fly(batch: list[int]) -> None:
        batches.append(batch)

    sink: Sink[int] = Sink(fly, cap=3, flights=1)
    sink.put_all(range(7))
    await sink.drain()
    assert batches == [[0, 1, 2], [3, 4, 5], [6]]


async def test_no_more_flights_than_allowed() -> None:
    flying = most = 0
    gate = asyncio.Event()

    async def fly(batch: list[int]) -> None:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        await gate.wait()
        flying -= 1

    sink: Sink[int] = Sink(fly, cap=1, flights=2)
    sink.put_all(range(10))
    await asyncio.sleep(0)
    gate.set()
    await sink.drain()
    assert most <= 2


async def test_a_flight_that_raises_gives_its_items_back() -> None:
    reported: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: reported.append(context))
    dropped: list[int] = []

    async def fly(batch: list[int]) -> None:
        raise ValueError("broken")

    sink: Sink[int] = Sink(fly, cap=2, flights=1, dropped=dropped.extend)
    sink.put_all([1, 2, 3])
    await sink.drain()
    loop.set_exception_handler(None)
    assert dropped == [1, 2, 3]
    assert len(reported) == 2


async def test_each_caller_gets_its_own_answer_or_error() -> None:
    async def fly(batch: list[int]) -> list[int | Exception]:
        return [ValueError(str(n)) if n % 2 else n * 10 for n in batch]

    async with Flights(fly) as flights:
        answers = await asyncio.gather(*(flights.submit(n) for n in range(6)), return_exceptions=True)
    assert answers[::2] == [0, 20, 40]
    assert all(isinstance(answer, ValueError) for answer in answers[1::2])


async def test_a_flight_that_fails_fails_all_its_callers() -> None:
    async def fly(batch: list[int]) -> list[int | Exception]:
        raise OSError("down")

    async with Flights(fly) as flights:
        with pytest.raises(OSError, match="down"):
            await flights.submit(1)


@given(st.lists(st.lists(st.integers(), max_size=5), max_size=20), st.integers(1, 7), st.integers(1, 3))
def test_everything_flies_once_and_in_order(portions: list[list[int]], cap: int, flights: int) -> None:
    flown: list[int] = []

    async def fly(batch: list[int]) -> None:
        assert len(batch) <= cap
        flown.extend(batch)
        await asyncio.sleep(0)

    async def run() -> None:
        sink: Sink[int] = Sink(fly, cap=cap, flights=flights)
        for portion in portions:
            sink.put_all(portion)
            await asyncio.sleep(0)
        await sink.drain()

    with asyncio.Runner() as runner:
        runner.run(run())
    assert flown == [item for portion in portions for item in portion]
