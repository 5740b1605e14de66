"""How the places for attempts under way are shared among accounts. R-LIMIT-3."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from services.executors.places import Places


class Crowd:
    """Attempts that hold a place until they are let go."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.holding: Counter[int] = Counter()
        self.order: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.go: asyncio.Queue[None] = asyncio.Queue()

    async def hold(self, account_id: int) -> None:
        async with self.places.taken(account_id):
            self.holding[account_id] += 1
            self.order.append(account_id)
            try:
                await self.go.get()
            finally:
                self.holding[account_id] -= 1

    async def come(self, account_ids: Sequence[int]) -> None:
        self.tasks += [asyncio.create_task(self.hold(one)) for one in account_ids]
        await settled()

    async def leave(self, number: int) -> None:
        for _ in range(number):
            self.go.put_nowait(None)
        await settled()


async def settled() -> None:
    for _ in range(5):  # a place is passed on within two turns of the loop
        await asyncio.sleep(0)


@pytest.fixture
def crowd() -> Crowd:
    return Crowd(Places(64))


async def test_one_account_has_three_quarters_and_the_next_finds_free_ones(crowd: Crowd) -> None:
    """R-LIMIT-3: whoever comes finds a place, however many wait."""
    await crowd.come([1] * 100)
    assert crowd.holding[1] == 48
    await crowd.come([2] * 100)
    assert crowd.holding == {1: 48, 2: 12}
    await crowd.come([3])
    assert crowd.holding[3] == 1


async def test_accounts_come_to_hold_the_same(crowd: Crowd) -> None:
    await crowd.come([1] * 500)
    await crowd.come([2] * 500)
    await crowd.leave(200)
    assert abs(crowd.holding[1] - crowd.holding[2]) <= 2
    assert 50 <= crowd.holding.total() < 64


async def test_everybody_ends(crowd: Crowd) -> None:
    await crowd.come([one % 90 for one in range(1000)])
    assert crowd.holding.total() == 64
    await crowd.leave(1000)
    await asyncio.gather(*crowd.tasks)
    await crowd.come([7] * 48)
    assert crowd.holding[7] == 48, "nothing was lost on the way"


async def test_who_waits_longer_comes_first(crowd: Crowd) -> None:
    """R-LIMIT-3: one each, in turn, though the first has far more that wait."""
    await crowd.come(range(100, 164))
    await crowd.come([1] * 10)
    await crowd.come([2, 3])
    del crowd.order[:]
    await crowd.leave(4)
    assert crowd.order == [1, 2, 3, 1]


async def test_those_that_give_up_hold_nothing(crowd: Crowd) -> None:
    """G7: a budget may end while it waits, and in the moment it is given a place."""
    await crowd.come([1] * 60)
    for waiting in crowd.tasks[48:54]:
        waiting.cancel()
    await settled()
    crowd.go.put_nowait(None)
    await asyncio.sleep(0)
    crowd.tasks[54].cancel()
    await settled()
    assert crowd.holding[1] == 48
    await crowd.leave(52)
    await asyncio.gather(*crowd.tasks, return_exceptions=True)
    await crowd.come([1] * 48)
    assert crowd.holding[1] == 48
