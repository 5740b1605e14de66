"""`make bench-scale`: what `make bench` has no time for. Long runs, millions waiting, many processes, peaks.

    make bench-scale ARGS="--only bare,tags --runs 5 --seconds 60 --waiting 1000000"

Each part measures on a stack of its own and prints one JSON object; all of them go to build/scale.json.
Everything production has is on: fsync, fences, hash chain, encryption, metrics.
"""

import argparse
import asyncio
import json
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from services.cli.up import quiet
from services.local.stack import Stack, scratch_state_dir
from services.runtime.config import HostPort
from services.runtime.database import open_pool
from services.runtime.keyring import Keyring
from tests.load import bare, jobs
from tests.load.rig import (
    Population,
    Starter,
    cpu_seconds,
    histogram,
    prepare,
    quantile,
    resident_mib,
    say,
)
from tests.load.waiting import QUEUED, fill

ACCOUNTS = 50
_OUT = Path("build/scale.json")
_POSTGRES = {"shared_buffers": "2GB", "max_wal_size": "8GB"}


@dataclass(frozen=True)
class Size:
    """How long and how much; the defaults are the whole measurement."""

    runs: int = 5
    seconds: float = 60.0
    waiting: int = 1_000_000
    expected: int = 20_000
    """Actions per second to prepare executions for; too few end the run early, too many late."""


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
    job: jobs.Job,
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
                postgres_settings=_POSTGRES,
                executors={bare.FAMILY: HostPort("127.0.0.1", port)},
            ) as stack,
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
                yield Bed(stack, people, starter, owner, others)
            await owner.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def throughput(bed: Bed, job: jobs.Job, size: Size, workers: int = 1) -> dict[str, Any]:
    """One run at full load: executions queue up, then the workers come."""
    await bed.staff(0)
    executions = int(size.expected * size.seconds / job.actions)
    await bed.queue(executions)
    before = cpu_seconds(bed.stack, bed.others)
    await bed.staff(workers)
    series: list[tuple[float, float]] = []
    total = executions * job.actions
    begun = time.monotonic()
    while not series or series[-1][1] < total:
        await asyncio.sleep(0.5)
        series.append((time.monotonic() - begun, bed.actions()))
        if series[-1][0] > 4 * size.seconds + 60:
            raise TimeoutError(f"{series[-1][1]:.0f} of {total} actions within {series[-1][0]:.0f} s")
    after = cpu_seconds(bed.stack, bed.others)
    rate, elapsed = _steady(series)
    latency = bed.latency()
    cpu = {n: round(1e6 * (after[n] - before.get(n, 0.0)) / total, 2) for n in after}
    cpu = {name: used for name, used in cpu.items() if used >= 0.1}
    apart = {name: cpu.pop(name) for name in ("receiver", "mailbox", "sandboxes") if name in cpu}
    say(f"{job.name}: {rate:,.0f} actions/s over {elapsed:.0f} s, {sum(cpu.values()):.0f} µs each")
    return {
        "actions_per_s": round(rate),
        "seconds": round(elapsed, 1),
        "actions": total,
        "full_load_ms": {"p50": quantile({}, latency, 0.5), "p95": quantile({}, latency, 0.95)},
        "cpu_us_per_action": cpu,
        "cpu_us_per_action_total": round(sum(cpu.values()), 1),
        "cpu_us_of_receivers": apart,
        "resident_mib": resident_mib(bed.stack, "VmRSS"),
        "series": [(round(at, 1), round(count)) for at, count in series],
    }


def _steady(series: list[tuple[float, float]]) -> tuple[float, float]:
    """Actions per second from the first sample that has any to the last that gained."""
    moving = [sample for sample in series if sample[1] > 0]
    first = moving[0]
    last = next(sample for sample in moving if sample[1] >= moving[-1][1])
    elapsed = last[0] - first[0]
    return ((last[1] - first[1]) / elapsed if elapsed else 0.0), elapsed


async def full_load(name: str, size: Size) -> dict[str, Any]:
    """The medians of several runs, with everybody else waiting in the table."""
    job = jobs.JOBS[name]
    async with bed(job, size) as place:
        runs = [await throughput(place, job, size) for _ in range(size.runs)]
    rates = [run["actions_per_s"] for run in runs]
    return {
        "waiting": size.waiting,
        "actions_per_s": statistics.median(rates),
        "of_runs": rates,
        "cpu_us_per_action_total": statistics.median(run["cpu_us_per_action_total"] for run in runs),
        "runs": runs,
    }


async def offered(bed: Bed, job: jobs.Job, actions_per_s: float, seconds: float) -> dict[str, float]:
    """Offers a rate evenly; p50 and p95 of what the engine adds to an action, and of start to first claim."""
    before, late = bed.latency(), bed.latency("wayfarer_wake_lateness_seconds")
    begun, sent = time.monotonic(), 0
    contacts = sorted(bed.people.contacts)
    while time.monotonic() - begun < seconds:
        due = int((time.monotonic() - begun) * actions_per_s / job.actions)
        if due > sent:
            await bed.starter.start([contacts[n % len(contacts)] for n in range(sent, due)])
            sent = due
        await asyncio.sleep(0.005)
    target = max(before.values(), default=0.0) + sent * job.actions
    until = time.monotonic() + 60
    while bed.actions() < target and time.monotonic() < until:
        await asyncio.sleep(0.1)
    after, later = bed.latency(), bed.latency("wayfarer_wake_lateness_seconds")
    return {
        "offered_actions_per_s": round(sent * job.actions / seconds),
        "p50": quantile(before, after, 0.5),
        "p95": quantile(before, after, 0.95),
        "start_to_claim_p95": quantile(late, later, 0.95),
    }


async def latency(size: Size) -> dict[str, Any]:
    """Overhead per action at a third, half and 80 % of the measured maximum, and of one execution alone."""
    job = jobs.JOBS["bare"]
    async with bed(job, size) as place:
        top = (await throughput(place, job, size))["actions_per_s"]
        found: dict[str, Any] = {"maximum_actions_per_s": top}
        for name, share in (("third", 1 / 3), ("half", 0.5), ("four_fifths", 0.8)):
            found[name] = await offered(place, job, share * top, min(size.seconds, 20.0))
            say(f"latency at {name}: {found[name]}")
        found["alone"] = await _alone(place)
        say(f"latency alone: {found['alone']}")
    return found


async def _alone(bed: Bed, executions: int = 200) -> dict[str, float]:
    before = bed.latency()
    for number in range(executions):
        (execution_id,) = await bed.starter.start([bed.people.contacts[number]])
        until = time.monotonic() + 30
        while not await bed.owner.fetchval(
            "SELECT EXISTS (SELECT 1 FROM execution_history WHERE execution_id = $1)", execution_id
        ):
            if time.monotonic() > until:
                raise TimeoutError("an execution alone did not end")
            await asyncio.sleep(0.002)
    after = bed.latency()
    return {"p50": quantile(before, after, 0.5), "p95": quantile(before, after, 0.95)}


async def flat(size: Size) -> dict[str, Any]:
    """The same load on an empty database, and with three times the waiting and 100,000 that queue."""
    job, found = jobs.JOBS["bare"], {}
    for name, waiting, queued in (("empty", 0, 0), ("full", 3 * size.waiting, size.waiting // 10)):
        async with bed(job, size, fill_up=False) as place:
            await fill(place.owner, dict(place.people.workflows), waiting)
            if queued:
                # Of a paused kind: due, and never claimed, as behind an account's limit.
                await fill(
                    place.owner,
                    dict(place.people.workflows),
                    queued,
                    status=QUEUED,
                    first=timedelta(hours=1),
                    spread=timedelta(hours=1),
                )
            runs = [await throughput(place, job, size) for _ in range(min(size.runs, 3))]
        found[name] = statistics.median(run["actions_per_s"] for run in runs)
    found["share_kept"] = round(found["full"] / found["empty"], 3)
    return found


async def snapshot(size: Size) -> dict[str, Any]:
    """Full load before, under, and after an analyst's query that keeps an old snapshot open."""
    job = jobs.JOBS["bare"]
    async with bed(job, size) as place:
        before = await throughput(place, job, size)
        analyst = await asyncpg.connect(place.stack.prepared.dsns["wayfarer_owner"])
        held = analyst.transaction(isolation="repeatable_read")
        await held.start()
        await analyst.fetchval("SELECT count(*) FROM account")
        begun = time.monotonic()
        under = await throughput(place, job, size)
        open_s = time.monotonic() - begun
        await held.rollback()
        await analyst.close()
        after = await throughput(place, job, size)
    rates = {n: r["actions_per_s"] for n, r in (("before", before), ("under", under), ("after", after))}
    return {"held_open_s": round(open_s), **rates, "cost": round(1 - rates["under"] / rates["before"], 3)}


async def timers(size: Size) -> dict[str, Any]:
    """`size.waiting` timers, due within ten minutes (or the seconds given): how late, whether early, whether lost."""
    job = jobs.JOBS["timer"]
    window = min(600.0, 10 * size.seconds)
    async with bed(job, size, fill_up=False, contacts=50) as place:
        await place.staff(1)
        lead = timedelta(seconds=20 + size.waiting / 50_000)
        flows = dict(place.people.workflows)
        await fill(place.owner, flows, size.waiting, first=lead, spread=timedelta(seconds=window))
        late = place.latency("wayfarer_wake_lateness_seconds")
        until = time.monotonic() + window + 120 + lead.total_seconds()
        ended = 0
        while ended < size.waiting and time.monotonic() < until:
            await asyncio.sleep(2.0)
            ended = await place.owner.fetchval("SELECT count(*) FROM execution_history")
        after = place.latency("wayfarer_wake_lateness_seconds")
        early = await place.owner.fetchval(
            "SELECT count(*) FROM execution_history WHERE ended_at < created_at + $1::interval", lead
        )
    return {
        "timers": size.waiting,
        "within_s": window,
        "lost": size.waiting - ended,
        "early": early,
        "late_ms": {"p50": quantile(late, after, 0.5), "p99": quantile(late, after, 0.99)},
    }


async def long(size: Size) -> dict[str, Any]:
    """Twenty times the seconds without a pause: the first twentieth beside the last; memory and table sizes."""
    job = jobs.JOBS["bare"]
    stretched = Size(size.runs, 20 * size.seconds, size.waiting, size.expected)
    async with bed(job, size) as place:
        run = await throughput(place, job, stretched)
        bloat = {
            row["relname"]: {"mib": row["mib"], "dead_share": row["dead"], "autovacuums": row["vacuums"]}
            for row in await place.owner.fetch(
                """SELECT relname, (pg_total_relation_size(relid) / 1048576)::integer AS mib,
                    round(n_dead_tup::numeric / greatest(n_live_tup, 1), 3)::float AS dead,
                    autovacuum_count AS vacuums FROM pg_stat_user_tables WHERE relname = 'execution'"""
            )
        }
    series = run["series"]
    first = _rate_within(series, 0.0, size.seconds)
    last = _rate_within(series, series[-1][0] - 1.5 * size.seconds, series[-1][0] - 0.5 * size.seconds)
    return {"first_minute": first, "last_minute": last, "kept": round(last / first, 3), "table": bloat, **run}


def _rate_within(series: list[tuple[float, float]], start: float, end: float) -> int:
    within = [sample for sample in series if start <= sample[0] <= end and sample[1] > 0]
    return round((within[-1][1] - within[0][1]) / (within[-1][0] - within[0][0]))


async def processes(size: Size) -> dict[str, Any]:
    """One, two and four workers, each with as many executor processes."""
    job, found = jobs.JOBS["bare"], {}
    for count in (1, 2, 4):
        async with bed(job, size, executors=count) as place:
            run = await throughput(place, job, size, workers=count)
        found[str(count)] = {k: run[k] for k in ("actions_per_s", "cpu_us_per_action", "full_load_ms")}
    return found


async def narrow(size: Size) -> dict[str, Any]:
    """One account of fifty may run 100 at once: no collapse, neither of it nor of the others."""
    job = jobs.JOBS["bare"]
    async with bed(job, size, limits={0: 100}) as place:
        return await throughput(place, job, size)


def _of_job(name: str) -> Callable[[Size], Coroutine[Any, Any, dict[str, Any]]]:
    return lambda size: full_load(name, size)


async def starts(size: Size) -> dict[str, Any]:
    """How quickly executions are started, one by one and in bulk, and what reads take under load."""
    return await jobs.starts(bed, size)


PARTS: Mapping[str, Callable[[Size], Coroutine[Any, Any, dict[str, Any]]]] = {
    "bare": _of_job("bare"),
    "tags": _of_job("tags"),
    "mixed": _of_job("mixed"),
    "latency": latency,
    "narrow": narrow,
    "starts": starts,
    "processes": processes,
    "flat": flat,
    "snapshot": snapshot,
    "timers": timers,
    "long": long,
}


def measure(names: list[str], size: Size) -> dict[str, Any]:
    """The parts asked for, in order; each is kept as soon as it is there."""
    _OUT.parent.mkdir(exist_ok=True)
    found: dict[str, Any] = json.loads(_OUT.read_text()) if _OUT.exists() else {}
    for name in names:
        found[name] = asyncio.run(PARTS[name](size))
        _OUT.write_text(json.dumps(found, indent=1))
    return {name: found[name] for name in names}


def main() -> int:
    """Reads the arguments, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts: {', '.join(PARTS)}")
    parser.add_argument("--runs", type=int, default=Size.runs, help="runs of which the median is taken")
    parser.add_argument("--seconds", type=float, default=Size.seconds, help="length of a run")
    parser.add_argument("--waiting", type=int, default=Size.waiting, help="executions that wait meanwhile")
    parser.add_argument("--expected", type=int, default=Size.expected, help="actions/s to prepare for")
    given = parser.parse_args()
    names = given.only.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}")
    quiet()
    figures = measure(names, Size(given.runs, given.seconds, given.waiting, given.expected))
    for part in figures.values():
        for run in (part, *part.get("runs", ())):
            run.pop("series", None)
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
