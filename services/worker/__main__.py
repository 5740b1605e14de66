"""Entry point `python -m services.worker`: claims due executions and drives them; one process per core or so.

All wiring and no logic: what a worker does is in dispatcher/, what is decided in execution_engine/.
"""

import asyncio
import random
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import structlog
from prometheus_client import CollectorRegistry

from dispatcher.contacts import Contacts
from dispatcher.heartbeat import Heartbeat
from dispatcher.measure import WorkerMetrics
from dispatcher.notices import Notifier
from dispatcher.routing import Routing
from dispatcher.settings import WorkerSettings
from dispatcher.settle import Settler
from dispatcher.shards import Shards
from dispatcher.worker import Worker
from execution_engine.store import counts, leases, retention
from execution_engine.store.hints import CHANGED, DUE, HintListener, HintSender
from execution_engine.store.retention import Keep
from execution_engine.store.sql import statement
from services.runtime import metrics
from services.runtime.config import (
    HostPort,
    host_port,
    integer,
    number,
    path,
    setting,
    targets,
    text,
)
from services.runtime.database import open_pool
from services.runtime.grpc_client import open_channel
from services.runtime.keyring import Keyring
from services.runtime.lifecycle import FatalError, periodic, supervise
from services.runtime.metrics import RpcDurations
from services.runtime.process import launch

log = structlog.get_logger(__name__)
_DRAIN_S = 8.0
_SHARE_OUT_S = 1.0
_PAUSED_S = 0.5
_PARTITIONS_S = 3600.0
_STRAYS_S = 5.0
_LANES_S = 0.5
_FORGET_S = 60.0
_COUNTS_S = 5.0
_UNPARK_STRAYS = statement("unpark_strays")
PLANNER = {
    # The hot statements join a few hundred keys with large tables. Plans are cached while tables are
    # small and must still be right when they are not: indexes and nested loops always.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a worker process needs to know."""

    database_url: str = setting(
        "WAYFARER_DATABASE_URL", text, secret=True, help="DSN of role wayfarer_worker."
    )
    keyring: Path = setting("WAYFARER_KEYRING", path, help="The keyring file.")
    executors: dict[str, HostPort] = setting(
        "WAYFARER_EXECUTORS", targets, help="Families and where they listen, name=host:port, by comma."
    )
    crm: HostPort = setting("WAYFARER_CRM_TARGET", host_port, help="Where ContactRecordService listens.")
    metrics_port: int = setting("WAYFARER_METRICS_PORT", integer(0, 65535), default=0, help="0 for none.")
    log_level: str = setting("WAYFARER_LOG_LEVEL", text, default="INFO", help="Lowest level logged.")
    otlp_endpoint: str = setting("OTEL_EXPORTER_OTLP_ENDPOINT", text, default="", help="Empty for no traces.")
    trace_ratio: float = setting("OTEL_TRACES_SAMPLER_ARG", number(0, 1), default=0.01, help="Share traced.")
    max_runs: int = setting("WAYFARER_MAX_RUNS", integer(1, 100_000), default=4_000, help="Driven at once.")
    history_days: int = setting(
        "WAYFARER_HISTORY_DAYS", integer(1, 36_500), default=400, help="Ended executions and logs are kept."
    )
    failed_days: int = setting(
        "WAYFARER_FAILED_DAYS", integer(1, 36_500), default=90, help="FAILED ones can be retried."
    )
    event_days: int = setting(
        "WAYFARER_EVENT_DAYS", integer(30, 36_500), default=30, help="Events and receipts are kept."
    )
    lease_s: float = setting(
        "WAYFARER_LEASE_SECONDS", number(1, 3600), default=20.0, help="Lease of a claim."
    )


async def main(settings: Settings, stack: AsyncExitStack, stop: asyncio.Event) -> None:
    """Opens every part on the stack, in order of need, and waits for the signal to stop."""
    registry = CollectorRegistry()
    worker_settings = WorkerSettings(max_runs=settings.max_runs, lease_s=settings.lease_s)
    vault = Keyring.load(settings.keyring)
    await stack.enter_async_context(metrics.serve(settings.metrics_port, registry=registry))
    incarnation = uuid4()
    name = leases.session_name(incarnation)
    pool = await stack.enter_async_context(
        open_pool(settings.database_url, name=name, min_size=4, max_size=10, server_settings=PLANNER)
    )
    durations = RpcDurations("client", registry)
    channels = {
        family: await stack.enter_async_context(open_channel(target, durations=durations))
        for family, target in settings.executors.items()
    }
    crm = await stack.enter_async_context(open_channel(settings.crm, durations=durations))
    routing = await stack.enter_async_context(Routing(channels))
    changed = await stack.enter_async_context(HintSender(pool, CHANGED))
    shards = Shards(pool, worker_settings, incarnation)
    worker = Worker(
        pool,
        vault,
        worker_settings,
        routing,
        Contacts(pool, vault, crm),
        shards,
        changed,
        WorkerMetrics(registry),
        random.Random(),
    )
    await _make_partitions(pool)
    await routing.wait_complete(30.0)
    await shards.join()
    await worker.gate.take_over(sorted(shards.owned))
    stack.push_async_callback(shards.leave)
    heartbeat = await stack.enter_async_context(
        Heartbeat(settings.database_url, shards.worker_id, worker_settings, worker.held)
    )
    worker.watch(heartbeat)
    await stack.enter_async_context(HintListener(settings.database_url, DUE, worker.claimer.hint))
    stack.push_async_callback(worker.drain, _DRAIN_S)
    _keep_house(stack, stop, pool, worker, shards, heartbeat)
    keep = Keep(settings.history_days, settings.failed_days, settings.event_days)
    supervise(stack, periodic(_FORGET_S, lambda: _forget(pool, keep), stop, name="forget"), "forget")
    supervise(stack, periodic(_PARTITIONS_S, lambda: _drop_months(pool, keep), stop, name="months"), "months")
    settler = Settler(pool, vault, routing, shards)
    supervise(stack, periodic(1.0, settler.sweep, stop, name="settle"), "settle")
    notifier = Notifier(pool, vault, routing, shards)
    supervise(stack, periodic(1.0, notifier.sweep, stop, name="notices"), "notices")
    supervise(stack, worker.claimer.run(stop), "claim")
    log.info("worker_ready", worker_id=shards.worker_id, shards=len(shards.owned))
    await stop.wait()


def _keep_house(
    stack: AsyncExitStack,
    stop: asyncio.Event,
    pool: asyncpg.Pool,
    worker: Worker,
    shards: Shards,
    heartbeat: Heartbeat,
) -> None:
    """The repeated questions: who is alive, what is paused, is next month there."""

    async def share_out() -> None:
        if heartbeat.retired:
            # Another worker took this one for dead: the supervisor starts a new incarnation.
            raise FatalError("retired by another worker")
        if gained := await shards.share_out():
            await worker.gate.take_over(sorted(gained))
            worker.claimer.slots.forget()
            worker.claimer.hint(None)

    supervise(stack, periodic(_SHARE_OUT_S, share_out, stop, name="share_out"), "share_out")
    supervise(stack, periodic(_LANES_S, worker.gate.keep, stop, name="lanes"), "lanes")
    supervise(stack, periodic(_COUNTS_S, lambda: _fold_counts(pool), stop, name="counts"), "counts")
    supervise(stack, periodic(_PAUSED_S, worker.refresh_paused, stop, name="paused"), "paused")
    supervise(stack, periodic(_STRAYS_S, lambda: _unpark_strays(pool), stop, name="unpark"), "unpark")
    supervise(
        stack, periodic(_PARTITIONS_S, lambda: _make_partitions(pool), stop, name="partitions"), "partitions"
    )


async def _fold_counts(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        while await counts.fold(connection):
            pass


async def _forget(pool: asyncpg.Pool, keep: Keep) -> bool:
    """True if there may be more: the next batch follows at once."""
    async with pool.acquire() as connection, connection.transaction():
        return await retention.forget(connection, keep) >= retention.BATCH


async def _drop_months(pool: asyncpg.Pool, keep: Keep) -> None:
    async with pool.acquire() as connection, connection.transaction():
        dropped = await retention.drop_months(connection, keep)
    if dropped:
        log.info("months_dropped", partitions=dropped)


async def _unpark_strays(pool: asyncpg.Pool) -> None:
    await pool.execute(_UNPARK_STRAYS)


async def _make_partitions(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        made = await leases.make_partitions(connection)
    if made:
        log.info("partitions_made", count=made)


if __name__ == "__main__":
    sys.exit(launch("worker", Settings, main))
