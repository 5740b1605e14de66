"""Five Celery tasks in a row over Redis, each with its outcome in PostgreSQL; the runner starts it.

As its users make a workflow last: a task per step, which commits its rows and then sends the next; late
acknowledgement, or a worker that dies would take the workflow with it. Its fast configuration, after
docs.celeryq.dev/en/stable/userguide/optimizing.html: prefork with two processes per core (a fifth quicker than
one: they wait for commits), no results, a prefetch of 64 for short tasks; rate limits, events, gossip, mingle
and heartbeat off. The first tasks are queued while the worker, warm, does not consume.
"""

import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import sqlalchemy as sa
from celery import Celery

from tests.load.peers import rows
from tests.load.peers.measuring import CORES, STEPS, WARM_UP, Record, tell, told

_PROCESSES: Final = 2 * CORES
_QUEUE: Final = "steps"
_QUIET: Final = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR")

app: Final = Celery("peer", broker=told().redis)
app.conf.update(
    task_default_queue=_QUEUE,
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=64,
    worker_disable_rate_limits=True,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)


@cache
def _own() -> tuple[sa.Engine, Record]:
    """This process's connection and record: made at the first task, never shared over a fork."""
    orders = told()
    return sa.create_engine(rows.address(orders.postgres, "psycopg"), pool_size=1), Record(orders.record)


@app.task(name="step")
def step(execution: str, number: int) -> None:
    """Commits the step's rows, then sends the next."""
    engine, record = _own()
    begun = time.monotonic()
    turn, write = rows.parameters(uuid.UUID(execution), number)
    with engine.begin() as connection:
        if connection.execute(rows.TURN, turn).rowcount:
            connection.execute(rows.WRITE, write)
    record.durable(begun)
    if number + 1 < STEPS:
        step.delay(execution, number + 1)


def main() -> None:
    """Runs the load and tells the figures."""
    orders = told()
    url = rows.address(orders.postgres, "psycopg")
    ids = rows.fill(url, WARM_UP + orders.executions)
    record = Record(orders.record)
    words = (sys.executable, "-m", "celery", "-A", "tests.load.peers.on_celery", "worker")
    worker = subprocess.Popen([*words, "-c", str(_PROCESSES), *_QUIET], stdout=sys.stderr)
    try:
        _queue(ids[:WARM_UP])
        record.wait(WARM_UP * STEPS)
        _asked(app.control.cancel_consumer(_QUEUE, reply=True, timeout=10))
        record.forget()
        _queue(ids[WARM_UP:])
        _asked(app.control.add_consumer(_QUEUE, reply=True, timeout=10, limit=1))
        record.wait(orders.executions * STEPS)
    finally:
        worker.terminate()
        worker.wait()
    rows.check(url, len(ids))
    setting = (
        f"Celery {version('celery')}, prefork -c {_PROCESSES}, acks late, prefetch 64; Redis AOF everysec"
    )
    tell(record.figures(orders.executions, setting))


def _queue(ids: Sequence[uuid.UUID]) -> None:
    for execution in ids:
        app.send_task("step", (str(execution), 0))


def _asked(replies: list[Any]) -> None:
    if not replies:
        raise RuntimeError("the worker did not answer")


if __name__ == "__main__":
    main()
