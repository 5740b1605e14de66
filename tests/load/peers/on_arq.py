"""Five ARQ jobs in a row over Redis, each with its outcome in PostgreSQL; the runner starts it.

As its users make a workflow last: a job per step, which commits its rows and then queues the next under an id
of its own, so that a repeated job adds nothing. A job per execution would be plain's loop, begun by Redis.
Its fast configuration: a worker per core under uvloop, max_jobs 100, poll_delay 10 ms (its defaults, 10 and
0.5 s, gave a third of it), no results kept (arq-docs.helpmanuals.io). A job leaves the queue only after it
ran, so none is lost.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, Final

import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker
from sqlalchemy.ext.asyncio import create_async_engine

from tests.load.peers import rows
from tests.load.peers.measuring import CORES, STEPS, WARM_UP, Record, side_by_side, tell, told

_MAX_JOBS: Final = 100
_CONNECTIONS: Final = 20
_WARM_UP, _LOAD = "warm-up", "load"


async def step(context: dict[str, Any], execution: str, number: int) -> None:
    """Commits the step's rows, then queues the next."""
    begun = time.monotonic()
    turn, write = rows.parameters(uuid.UUID(execution), number)
    async with context["engine"].begin() as connection:
        if (await connection.execute(rows.TURN, turn)).rowcount:
            await connection.execute(rows.WRITE, write)
    context["record"].durable(begun)
    if number + 1 < STEPS:
        following = f"{execution}:{number + 1}"
        await context["redis"].enqueue_job("step", execution, number + 1, _job_id=following)


def main() -> None:
    """Runs the load and tells the figures."""
    orders = told()
    url = rows.address(orders.postgres, "asyncpg")
    ids = rows.fill(url, WARM_UP + orders.executions)
    record = Record(orders.record)
    asyncio.run(_queue(ids[:WARM_UP], _WARM_UP))
    asyncio.run(_queue(ids[WARM_UP:], _LOAD))
    side_by_side(_work, (), (), orders.record)
    rows.check(url, len(ids))
    setting = (
        f"ARQ {version('arq')}, {CORES} workers, max_jobs {_MAX_JOBS}, poll_delay 10 ms; Redis AOF everysec"
    )
    tell(record.figures(orders.executions, setting))


async def _queue(ids: Sequence[uuid.UUID], queue: str) -> None:
    redis = await create_pool(RedisSettings.from_dsn(told().redis))
    for execution in ids:
        await redis.enqueue_job("step", str(execution), 0, _job_id=f"{execution}:0", _queue_name=queue)
    await redis.aclose()


def _work(warm_up: Sequence[Any], load: Sequence[Any], ready: Callable[[], object]) -> None:
    logging.disable(logging.WARNING)
    uvloop.run(_process(ready))


async def _process(ready: Callable[[], object]) -> None:
    orders = told()
    url = rows.address(orders.postgres, "asyncpg")
    engine = create_async_engine(url, pool_size=_CONNECTIONS, max_overflow=0)
    context = {"engine": engine, "record": Record(orders.record)}
    await _until_empty(_WARM_UP, context)
    await asyncio.to_thread(ready)
    await _until_empty(_LOAD, context)
    await engine.dispose()


async def _until_empty(queue: str, context: dict[str, Any]) -> None:
    """A worker of this queue, which leaves once no job is in it, nor under way at the other's."""
    worker = Worker(
        functions=[step],
        queue_name=queue,
        redis_settings=RedisSettings.from_dsn(told().redis),
        burst=True,
        handle_signals=False,
        max_jobs=_MAX_JOBS,
        poll_delay=0.01,
        keep_result=0,
        ctx=dict(context),
    )
    await worker.async_run()
    await worker.close()


if __name__ == "__main__":
    main()
