"""Outcomes and announcements go in order, each once, and together where many are under way (G4, G16)."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executors.gathering import Gathering
from tests.unit.stillness import StillLoop


@given(st.lists(st.lists(st.integers(), max_size=4), max_size=20), st.integers(1, 3))
def test_everything_is_handed_over_once_and_by_one_writer_in_order(
    portions: list[list[int]], writers: int
) -> None:
    taken: list[int] = []

    async def hand_over(batch: list[int]) -> None:
        assert batch
        await asyncio.sleep(0)
        taken.extend(batch)

    async def run() -> None:
        gathering = Gathering(hand_over, writers=writers)
        for portion in portions:
            gathering.add(portion)
            await asyncio.sleep(0)
        await gathering.close()

    with asyncio.Runner() as runner:
        runner.run(run())
    given_in = [item for portion in portions for item in portion]
    assert taken == given_in if writers == 1 else sorted(taken) == sorted(given_in)


async def test_what_comes_meanwhile_goes_together_and_a_batch_that_fails_fails_alone() -> None:
    batches: list[list[int]] = []
    away, back = asyncio.Event(), asyncio.Event()

    async def hand_over(batch: list[int]) -> None:
        batches.append(batch)
        away.set()
        await back.wait()
        if batch == [1]:
            raise ValueError("broken")

    gathering = Gathering(hand_over)
    gathering.add([1])
    await away.wait()
    gathering.add([2])
    gathering.add([3, 4])
    assert len(gathering) == 3
    back.set()
    await gathering.close()
    assert batches == [[1], [2, 3, 4]]
    gathering.add([5])
    await gathering.close()
    assert batches[2:] == [[5]]


@pytest.mark.parametrize(
    ("others", "waited_ms"), [(0, 0), (7, 0), (8, 1.6), (100, 20), (125, 25), (10_000, 25)]
)
def test_a_batch_waits_as_long_as_suits_the_number_under_way(others: int, waited_ms: float) -> None:
    left: list[float] = []

    async def run() -> None:
        async def hand_over(batch: list[int]) -> None:
            left.append(clock())

        clock: Callable[[], float] = asyncio.get_running_loop().time
        begun = clock()
        gathering = Gathering(hand_over, lambda: others)
        gathering.add([1])
        await gathering.close()
        assert left[0] - begun == pytest.approx(waited_ms / 1000, abs=1e-6)

    with asyncio.Runner(loop_factory=StillLoop) as runner:
        runner.run(run())
