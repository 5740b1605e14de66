"""A stack under load for long benchmarks: its population, its workers, one run at full load."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from services.local.stack import Stack, scratch_state_dir
from services.runtime.config import HostPort
from services.runtime.database import open_pool
from services.runtime.keyring import Keyring
from tests.load import bare
from tests.load.counting import instead, received
from tests.load.jobs import Job
from tests.load.rig import (
    Population,
    Starter,
    compiled,
    cpu_seconds,
    histogram,
    prepare,
    quantile,
    resident_mib,
    say,
)
from tests.load.waiting import fill

ACCOUNTS = 50
_WRITTEN = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
_STILL = 20
"""Samples without a gain before it is asked whether all is over."""
POSTGRES = {"shared_buffers": "2GB", "max_wal_size": "8GB"}


@dataclass(frozen=True)
class Size:
    """How long and how much; the defaults are the whole measurement."""

    runs: int = 5
    seconds: float = 60.0
    waiting: int = 1_000_000
    expected: int = 0
    """Actions per second to prepare executions for, or 0 for the job's own; too few end the run early."""


@dataclass(slots=True)
class Bed:
    """A stack under load: its accounts, its workers, and how to start executions."""

    stack: Stack
    people: Population
    starter: Starter
    owner: asyncpg.Connection
    others: Mapping[str, int]
    workers: list[str] = field(default_factory=list)

    async def staff(self, count: int) -> None:
        """So many workers, from now on."""
        while self.workers:
            name = self.workers.pop()
            await self.stack.supervisor.stop(name)
            del self.stack.supervisor.children[name]
        for _ in range(count):
            self.workers.append(await self.stack.start_worker())
        await self.stack.wait_ready()

    def port(self, name: str) -> int:
        return self.stack.ports.worker_metrics(int(name.removeprefix("worker-")))

    def latency(self, name: str = "wayfarer_action_seconds") -> dict[float, float]:
        """The workers' histograms added up."""
        total: dict[float, float] = {}
        for worker in self.workers:
            for bound, count in histogram(self.port(worker), name).items():
                total[bound] = total.get(bound, 0.0) + count
        return total

    def actions(self) -> float:
        """Actions ended durably since these workers began."""
        return max(self.latency().values(), default=0.0)

    async def queue(self, executions: int) -> None:
        """So many executions more, from the contacts in turn, account by account."""
        contacts = sorted(self.people.contacts)
        for done in range(0, executions, len(contacts)):
            await self.starter.start(contacts[: executions - done])


@asynccontextmanager
async def bed(
    job: Job,
    size: Size,
    *,
    executors: int = 1,
    limits: Mapping[int, int] | None = None,
    contacts: int = 50_000,
    fill_up: bool = True,
) -> AsyncIterator[Bed]:
    """A stack with the job's workflow in 50 accounts and `size.waiting` executions that wait for next month."""
    port = _free_port()
    with scratch_state_dir() as folder:
        async with (
            bare.running(executors, port) as others,
            Stack(
                folder,
                workers=0,
                postgres_settings=POSTGRES,
                executors={bare.FAMILY: HostPort("127.0.0.1", port)},
            ) as stack,
            instead(stack) as counting,
        ):
            say(f"{job.name}: preparing …")
            document = job.document(stack)
            people = await prepare(stack, document, accounts=ACCOUNTS, contacts=contacts, limits=limits)
            owner = await asyncpg.connect(stack.prepared.dsns["wayfarer_owner"])
            if fill_up and size.waiting:
                await fill(owner, dict(people.workflows), size.waiting)
            dsn = stack.prepared.dsns["wayfarer_api"]
            async with open_pool(dsn, name="bench", max_size=4) as pool:
                starter = Starter(pool, Keyring.load(stack.prepared.keyring), people)
                yield Bed(stack, people, starter, owner, {**others, **counting})
            await owner.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def throughput(bed: Bed, job: Job, size: Size, workers: int = 1) -> dict[str, Any]:
    """One run at full load: executions queue up, then the workers come."""
    await bed.staff(0)
    executions = int((size.expected or job.expected) * size.seconds / job.actions)
    await bed.queue(executions)
    arrived = received(bed.stack)
    before, written = cpu_seconds(bed.stack, bed.others), await bed.owner.fetchval(_WRITTEN)
    await bed.staff(workers)
    series: list[tuple[float, float]] = []
    total = executions * job.actions
    begun = time.monotonic()
    while not series or (series[-1][1] < total and not await _all_over(bed, series)):
        await asyncio.sleep(0.5)
        series.append((time.monotonic() - begun, bed.actions()))
        if series[-1][0] > 4 * size.seconds + 60:
            raise TimeoutError(f"{series[-1][1]:.0f} of {total} actions within {series[-1][0]:.0f} s")
    after, written = (
        cpu_seconds(bed.stack, bed.others),
        await bed.owner.fetchval(_WRITTEN) - written,
    )
    before_run, arrived = arrived, received(bed.stack)
    arrived = {name: count - before_run[name] for name, count in arrived.items()}
    if arrived != {"webhooks": executions * job.webhooks, "mails": executions * job.mails}:
        raise AssertionError(f"of {executions} executions there came {arrived}")
    rate, elapsed = _steady(series)
    latency = bed.latency()
    cpu = {n: round(1e6 * (after[n] - before.get(n, 0.0)) / total, 2) for n in after}
    cpu = {name: used for name, used in cpu.items() if used >= 0.1}
    apart = {name: cpu.pop(name) for name in ("counting", "sandboxes") if name in cpu}
    say(f"{job.name}: {rate:,.0f} actions/s over {elapsed:.0f} s, {sum(cpu.values()):.0f} µs each")
    return {
        "actions_per_s": round(rate),
        "seconds": round(elapsed, 1),
        "actions": total,
        "not_counted": round(total - series[-1][1]),
        "full_load_ms": {"p50": quantile({}, latency, 0.5), "p95": quantile({}, latency, 0.95)},
        "cpu_us_per_action": cpu,
        "cpu_us_per_action_total": round(sum(cpu.values()), 1),
        "cpu_us_of_receivers": apart,
        "received": arrived,
        "wal_bytes_per_action": round(written / total),
        "compiled": compiled(),
        "resident_mib": resident_mib(bed.stack, "VmRSS"),
        "series": [(round(at, 1), round(count)) for at, count in series],
    }


async def _all_over(bed: Bed, series: list[tuple[float, float]]) -> bool:
    """Whether nothing is left though not all was counted: what a worker lost and found again is not."""
    if len(series) < _STILL or series[-_STILL][1] < series[-1][1]:
        return False
    return not await bed.owner.fetchval(
        "SELECT EXISTS (SELECT FROM execution WHERE wake_at < wf_now() + interval '1 day')"
    )


def _steady(series: list[tuple[float, float]]) -> tuple[float, float]:
    """Actions per second from the first sample that has any to the last that gained."""
    moving = [sample for sample in series if sample[1] > 0]
    first = moving[0]
    last = next(sample for sample in moving if sample[1] >= moving[-1][1])
    elapsed = last[0] - first[0]
    return ((last[1] - first[1]) / elapsed if elapsed else 0.0), elapsed
