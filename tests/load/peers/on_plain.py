"""One step per transaction in SQLAlchemy, the least that keeps every step; the runner starts it.

Its fast configuration (docs.sqlalchemy.org/en/21/faq/performance.html): Core rather than the ORM, statements
built once, the asyncio engine over asyncpg with its cache of prepared statements, uvloop, a process per core,
20 executions in flight in each, every one on a pooled connection.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.load.peers import rows
from tests.load.peers.measuring import CORES, STEPS, WARM_UP, Record, side_by_side, tell, told

_IN_FLIGHT: Final = 20


def main() -> None:
    """Runs the load and tells the figures."""
    orders = told()
    url = rows.address(orders.postgres, "asyncpg")
    ids = rows.fill(url, WARM_UP + orders.executions)
    record = Record(orders.record)
    side_by_side(_work, ids[:WARM_UP], ids[WARM_UP:], orders.record)
    rows.check(url, len(ids))
    setting = (
        f"SQLAlchemy {sa.__version__} Core, asyncpg, uvloop; {CORES} processes, {_IN_FLIGHT} in flight each"
    )
    tell(record.figures(orders.executions, setting))


def _work(warm_up: Sequence[uuid.UUID], load: Sequence[uuid.UUID], ready: Callable[[], object]) -> None:
    uvloop.run(_process(warm_up, load, ready))


async def _process(
    warm_up: Sequence[uuid.UUID], load: Sequence[uuid.UUID], ready: Callable[[], object]
) -> None:
    orders = told()
    record = Record(orders.record)
    url = rows.address(orders.postgres, "asyncpg")
    engine = create_async_engine(url, pool_size=_IN_FLIGHT, max_overflow=0)
    await _all(engine, record, warm_up)
    await asyncio.to_thread(ready)
    await _all(engine, record, load)
    await engine.dispose()


async def _all(engine: AsyncEngine, record: Record, executions: Sequence[uuid.UUID]) -> None:
    waiting = list(executions)

    async def drive() -> None:
        while waiting:
            execution = waiting.pop()
            for number in range(STEPS):
                begun = time.monotonic()
                await _step(engine, execution, number)
                record.durable(begun)

    await asyncio.gather(*(drive() for _ in range(_IN_FLIGHT)))


async def _step(engine: AsyncEngine, execution: uuid.UUID, number: int) -> None:
    turn, write = rows.parameters(execution, number)
    async with engine.begin() as connection:
        if (await connection.execute(rows.TURN, turn)).rowcount:
            await connection.execute(rows.WRITE, write)


if __name__ == "__main__":
    main()
