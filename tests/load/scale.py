"""`make bench-scale`: what `make bench` has no time for. Long runs, millions waiting, many processes, peaks.

    make bench-scale ARGS="--only bare,tags --runs 5 --seconds 60 --waiting 1000000"

Each part measures on a stack of its own and prints one JSON object; all of them go to build/scale.json.
Everything production has is on: fsync, fences, hash chain, encryption, metrics.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg

from services.cli.up import quiet
from tests.load import jobs
from tests.load.bed import Bed, Size, bed, throughput
from tests.load.rig import quantile, resident_mib, say
from tests.load.starting import starts
from tests.load.waiting import QUEUED, fill

_OUT = Path("build/scale.json")
_TABLE = """SELECT (pg_table_size(relid) / 1048576)::integer AS heap_mib,
    (pg_indexes_size(relid) / 1048576)::integer AS indexes_mib, n_live_tup AS live, n_dead_tup AS dead,
    autovacuum_count AS autovacuums FROM pg_stat_user_tables WHERE relname = 'execution'"""


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
    """Full load before, under, and after an analyst's query that keeps an old snapshot open, five times as long."""
    job = jobs.JOBS["bare"]
    longer = replace(size, seconds=5 * size.seconds)
    async with bed(job, size) as place:
        before = await throughput(place, job, size)
        analyst = await asyncpg.connect(place.stack.prepared.dsns["wayfarer_owner"])
        held = analyst.transaction(isolation="repeatable_read")
        await held.start()
        await analyst.fetchval("SELECT count(*) FROM account")
        begun = time.monotonic()
        under = await throughput(place, job, longer)
        open_s = time.monotonic() - begun
        await held.rollback()
        await analyst.close()
        after = await throughput(place, job, size)
    usual, series = before["actions_per_s"], under["series"]
    first, last = _first_and_last(series, size.seconds)
    return {
        "held_open_s": round(open_s),
        "before": usual,
        "first_fifth": first,
        "last_fifth": last,
        "after": after["actions_per_s"],
        "cost_at_first": round(1 - first / usual, 3),
        "cost_at_last": round(1 - last / usual, 3),
    }


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
    """Twenty times the seconds on end: the first twentieth beside the last, and how tables and memory grow."""
    job = jobs.JOBS["bare"]
    stretched = Size(size.runs, 20 * size.seconds, size.waiting, size.expected)
    async with bed(job, size) as place:
        health: list[dict[str, Any]] = []
        watching = asyncio.create_task(_watched(place, health, size.seconds / 6))
        try:
            run = await throughput(place, job, stretched)
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching  # one that broke off leaves half a picture, and says so
    first, last = _first_and_last(run["series"], size.seconds)
    return {
        "first_minute": first,
        "last_minute": last,
        "kept": round(last / first, 3),
        "health": health,
        **run,
    }


async def _watched(bed: Bed, health: list[dict[str, Any]], every_s: float) -> None:
    """Adds a sample every so many seconds: the hot table, what autovacuum did to it, and processes' memory."""
    connection = await asyncpg.connect(bed.stack.prepared.dsns["wayfarer_owner"])
    begun = time.monotonic()
    try:
        while True:
            row = await connection.fetchrow(_TABLE)
            memory = resident_mib(bed.stack, "VmRSS")
            health.append({"at": round(time.monotonic() - begun, 1), **row, "resident_mib": memory})
            await asyncio.sleep(every_s)
    finally:
        await connection.close()


def _first_and_last(series: list[tuple[float, float]], seconds: float) -> tuple[int, int]:
    """Actions per second at the beginning and at the end of a run, over so many seconds each."""
    moving = [now for before, now in pairwise(series) if now[1] > before[1]]
    begun, ended = moving[0][0], moving[-1][0]
    first = [sample for sample in moving if sample[0] <= begun + seconds]
    last = [sample for sample in moving if sample[0] >= ended - seconds]
    rates = [(part[-1][1] - part[0][1]) / (part[-1][0] - part[0][0]) for part in (first, last)]
    return round(rates[0]), round(rates[1])


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
    parser.add_argument(
        "--expected", type=int, default=Size.expected, help="actions/s to prepare for (else the job's)"
    )
    given = parser.parse_args()
    names = given.only.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}")
    quiet()
    figures = measure(names, Size(given.runs, given.seconds, given.waiting, given.expected))
    for part in figures.values():
        for run in (part, *part.get("runs", ())):
            run.pop("series", None)
            run.pop("health", None)
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
