"""Natural batching: nothing is lost, order is kept, a flight that raises gives its items back (G16)."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.flights import Flights, Sink
from tests.unit.stillness import StillLoop, passing


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


@given(
    st.lists(st.lists(st.integers(), max_size=5), max_size=20),
    st.integers(1, 7),
    st.integers(1, 3),
    st.integers(1, 7),
)
def test_everything_flies_once_and_in_order(
    portions: list[list[int]], cap: int, flights: int, beside: int
) -> None:
    flown: list[int] = []

    async def fly(batch: list[int]) -> None:
        assert len(batch) <= cap
        flown.extend(batch)
        await asyncio.sleep(0)

    async def run() -> None:
        sink: Sink[int] = Sink(fly, cap=cap, flights=flights, beside=beside)
        for portion in portions:
            sink.put_all(portion)
            await asyncio.sleep(0)
        await sink.drain()

    with asyncio.Runner() as runner:
        runner.run(run())
    assert flown == [item for portion in portions for item in portion]


def lingering(under_way: int, *, every_s: float, cap: int = 500) -> list[tuple[float, int]]:
    """When flights left and how many items each had, where a second's items come one by one."""
    left: list[tuple[float, int]] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()

        async def fly(batch: list[int]) -> None:
            left.append((loop.time(), len(batch)))

        sink: Sink[int] = Sink(fly, cap=cap, under_way=lambda: under_way)
        for number in range(round(1 / every_s)):
            sink.put(number)
            await passing(every_s)
        while not sink.idle:
            await passing(every_s)

    with asyncio.Runner(loop_factory=StillLoop) as runner:
        runner.run(run())
    return left


def test_where_much_is_under_way_a_flight_waits_for_company() -> None:
    """1,000 under way at 1,000/s take a second each: a twentieth is 50 ms, and 25 the most that is waited."""
    sizes = [size for _, size in lingering(1_000, every_s=0.001)]
    assert sum(sizes) == 1_000
    assert max(sizes) <= 27
    assert sum(size >= 20 for size in sizes) > 30
    assert len(sizes) < 120  # those of the time before a rate was known among them


@pytest.mark.parametrize(("under_way", "every_s"), [(1, 0.001), (100, 0.001), (4_000, 0.01)])
def test_where_little_is_under_way_or_comes_nothing_waits(under_way: int, every_s: float) -> None:
    assert {size for _, size in lingering(under_way, every_s=every_s)} == {1}


def test_what_is_full_does_not_wait() -> None:
    sizes = [size for _, size in lingering(100_000, every_s=0.001, cap=5)]
    assert (sum(sizes), max(sizes)) == (1_000, 5)
    assert len(sizes) < 260


async def turns() -> None:
    """Lets what is ready be done."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_flight_goes_beside_another_with_enough_items_only() -> None:
    batches: list[list[int]] = []
    land = asyncio.Event()

    async def fly(batch: list[int]) -> None:
        batches.append(batch)
        await land.wait()

    sink: Sink[int] = Sink(fly, flights=2, beside=3)
    sink.put(0)
    await turns()
    sink.put_all([1, 2])
    await turns()
    assert batches == [[0]]
    sink.put(3)
    await turns()
    assert batches == [[0], [1, 2, 3]]
    sink.put(4)
    land.set()
    await sink.drain()
    assert batches == [[0], [1, 2, 3], [4]]


def test_a_flight_that_takes_long_holds_up_nothing_for_long() -> None:
    """One waits for a lock for five seconds: what came after it flies 22 ms later, however little it is."""
    left: list[tuple[float, list[int]]] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()

        async def fly(batch: list[int]) -> None:
            left.append((round(loop.time(), 3), batch))
            if 0 in batch:
                await passing(5)

        sink: Sink[int] = Sink(fly, flights=2, beside=64)
        sink.put(0)
        await turns()
        sink.put(1)
        await passing(1)
        sink.put(2)
        await sink.drain()

    with asyncio.Runner(loop_factory=StillLoop) as runner:
        runner.run(run())
    assert left == [(0, [0]), (0.022, [1]), (1, [2])]


def test_draining_waits_for_no_company() -> None:
    sizes: list[int] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()

        async def fly(batch: list[int]) -> None:
            sizes.append(len(batch))

        sink: Sink[int] = Sink(fly, under_way=lambda: 100_000)
        for number in range(200):
            sink.put(number)
            await passing(0.0005)
        begun = loop.time()
        await sink.drain()
        assert loop.time() == begun

    with asyncio.Runner(loop_factory=StillLoop) as runner:
        runner.run(run())
    assert sum(sizes) == 200
