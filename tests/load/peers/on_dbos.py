"""Five steps of a DBOS Transact workflow; the runner starts it in its own environment.

Its fast configuration: synchronous workflows called directly in threads (docs.dbos.dev/python/programming-guide),
a process per core, two threads each; on two cores that was quicker than one process with four threads, than
asynchronous workflows (a third to two thirds of it) and than its queues (a fifth). Nothing traced, no admin
server, no conductor, warnings only. The clock includes a row per workflow, which a direct call makes.
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Final

import sqlalchemy as sa
from dbos import DBOS

from tests.load.peers.measuring import CORES, STEPS, WARM_UP, Record, side_by_side, tell, told

_THREADS: Final = 2
_RECORD: Final = Record(told().record)


@DBOS.step()
def step(number: int) -> int:
    """Does nothing; DBOS records that it is done."""
    return number


@DBOS.workflow()
def five_steps(execution: int) -> None:
    """Each step's outcome is in operation_outputs when its call returns."""
    for number in range(STEPS):
        begun = time.monotonic()
        step(number)
        _RECORD.durable(begun)


def main() -> None:
    """Runs the load and tells the figures."""
    orders = told()
    load = range(WARM_UP + orders.executions)
    side_by_side(_work, load[:WARM_UP], load[WARM_UP:], orders.record)
    engine = sa.create_engine(orders.postgres.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        kept = connection.scalar(sa.text("SELECT count(*) FROM dbos.operation_outputs"))
    engine.dispose()
    if kept != len(load) * STEPS:
        raise RuntimeError(f"{len(load)} workflows left {kept} outcomes of steps")
    setting = f"DBOS {version('dbos')}, synchronous; {CORES} processes of {_THREADS} threads"
    tell(_RECORD.figures(orders.executions, setting))


def _work(warm_up: Sequence[int], load: Sequence[int], ready: Callable[[], object]) -> None:
    DBOS(
        config={
            "name": "peer",
            "system_database_url": told().postgres,
            "application_version": "1",
            "executor_id": f"process-{os.getpid()}",
            "log_level": "WARNING",
        }
    )
    DBOS.launch()
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(five_steps, warm_up))
        ready()
        list(threads.map(five_steps, load))
    DBOS.destroy()


if __name__ == "__main__":
    main()
