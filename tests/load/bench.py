"""`make bench`: durable actions per second of the whole path, latency at three loads, CPU, memory, baseline.

The whole path: 50 accounts, executions of five `add_tag` actions with real effects and ledger rows in the
crm database, log entries with their hash chain, config encrypted, one worker, one crm executor process of
its own, PostgreSQL with fsync on. Rates come from the database's own times, CPU from /proc, latency from
the worker's histogram (dispatch of an action to its durable outcome).
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from services.cli.up import quiet
from services.local.stack import Stack, scratch_state_dir
from services.runtime.config import HostPort
from services.runtime.database import open_pool
from services.runtime.keyring import Keyring
from tests.load import baseline
from tests.load.rig import (
    FIVE_TAGS,
    Population,
    Starter,
    compiled,
    cpu_seconds,
    histogram,
    prepare,
    quantile,
    resident_mib,
    say,
    wait_done,
    workflow_of,
)

ACCOUNTS = 50
STEPS = len(FIVE_TAGS)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Executions at full load, seconds at half load, executions one at a time, and of the baseline."""

    executions: int
    half_load_s: float
    alone: int
    baseline: int


FULL = Sizes(10_000, 12.0, 200, 600)
SMOKE = Sizes(1_500, 3.0, 40, 120)


async def measure(stack: Stack, sizes: Sizes) -> dict[str, Any]:
    """Runs the three loads and the baseline on a running stack without workers; the figures."""
    keyring = Keyring.load(stack.prepared.keyring)
    people = await prepare(stack, workflow_of(FIVE_TAGS), accounts=ACCOUNTS, contacts=sizes.executions)
    observer = await asyncpg.connect(stack.prepared.dsns["wayfarer_owner"])
    async with open_pool(stack.prepared.dsns["wayfarer_api"], name="bench", max_size=4) as pool:
        starter = Starter(pool, keyring, people)
        say(f"starting {sizes.executions} executions of {STEPS} actions in {ACCOUNTS} accounts …")
        await starter.start(people.contacts)
        before_cpu, wall = cpu_seconds(stack), time.monotonic()
        await stack.start_worker()
        await wait_done(observer, sizes.executions)
        wall = time.monotonic() - wall
        after_cpu = cpu_seconds(stack)
        actions = sizes.executions * STEPS
        rate = actions / await _span(observer)
        port = stack.ports.worker_metrics(0)
        full = histogram(port)
        say(f"full load: {rate:,.0f} actions/s")
        half = await _half_load(starter, people, observer, port, rate / 2, sizes)
        alone = await _alone(starter, people, observer, port, sizes)
        effects = await _check_effects(stack, observer)
    await observer.close()
    say("baseline …")
    crm = HostPort("127.0.0.1", stack.ports.executor("crm"))
    base = await baseline.run(stack.postgres.dsn("postgres"), crm, people.contacts[: sizes.baseline], STEPS)
    cpu = {n: round(1e6 * (after_cpu[n] - before_cpu.get(n, 0.0)) / actions, 2) for n in after_cpu}
    return {
        "actions_per_s": round(rate),
        "baseline_actions_per_s": round(base),
        "ratio_to_baseline": round(rate / base, 2),
        "actions": actions,
        "executions": sizes.executions,
        "wall_s_with_worker_start": round(wall, 2),
        "full_load_ms": {"p50": quantile({}, full, 0.5), "p95": quantile({}, full, 0.95)},
        "half_load_ms": half,
        "alone_ms": alone,
        "cpu_us_per_action": cpu,
        "cpu_us_per_action_total": round(sum(cpu.values()), 2),
        "peak_mib": resident_mib(stack),
        "effects_checked": effects,
        "compiled": compiled(),
    }


async def _span(observer: asyncpg.Connection) -> float:
    """Seconds from the first action's start to the last execution's end, by the database's clock."""
    return float(
        await observer.fetchval(
            """SELECT extract(epoch FROM (SELECT max(ended_at) FROM execution_history)
            - (SELECT min(started_at) FROM execution_log))"""
        )
    )


async def _half_load(
    starter: Starter,
    people: Population,
    observer: asyncpg.Connection,
    port: int,
    actions_per_s: float,
    sizes: Sizes,
) -> dict[str, float]:
    """Offers half of the measured rate, evenly, and gives the latencies."""
    ended = await observer.fetchval("SELECT count(*) FROM execution_history")
    before, started = histogram(port), time.monotonic()
    begun, sent = started, 0
    # Account by account, so that offering the load costs few transactions: it is not what is measured.
    contacts = sorted(people.contacts)
    while time.monotonic() - begun < sizes.half_load_s:
        due = int((time.monotonic() - begun) * actions_per_s / STEPS)
        if due > sent:
            batch = [contacts[n % len(contacts)] for n in range(sent, due)]
            await starter.start(batch)
            sent = due
        await asyncio.sleep(0.01)
    await wait_done(observer, ended + sent)
    after = histogram(port)
    offered = sent * STEPS / (time.monotonic() - begun)
    say(f"half load: {offered:,.0f} actions/s offered")
    return {
        "offered_actions_per_s": round(offered),
        "p50": quantile(before, after, 0.5),
        "p95": quantile(before, after, 0.95),
    }


async def _alone(
    starter: Starter, people: Population, observer: asyncpg.Connection, port: int, sizes: Sizes
) -> dict[str, float]:
    """One execution at a time."""
    ended = await observer.fetchval("SELECT count(*) FROM execution_history")
    before = histogram(port)
    for number in range(sizes.alone):
        (execution_id,) = await starter.start([people.contacts[number]])
        until = time.monotonic() + 30
        while not await observer.fetchval(
            "SELECT EXISTS (SELECT 1 FROM execution_history WHERE execution_id = $1)", execution_id
        ):
            if time.monotonic() > until:
                raise TimeoutError("an execution alone did not end")
            await asyncio.sleep(0.005)
    after = histogram(port)
    await wait_done(observer, ended + sizes.alone)
    return {"p50": quantile(before, after, 0.5), "p95": quantile(before, after, 0.95)}


async def _check_effects(stack: Stack, observer: asyncpg.Connection) -> int:
    """Every action has exactly one effect on record: ledger rows against the log. Raises if not."""
    crm = await asyncpg.connect(stack.prepared.dsns["wayfarer_crm_owner"])
    effects = await crm.fetchval("SELECT count(*) FROM effect_ledger")
    await crm.close()
    ended = await observer.fetchval("SELECT count(*) FROM execution_history WHERE status = 5")
    if effects != ended * STEPS:
        raise RuntimeError(f"{effects} effects on record for {ended} executions of {STEPS} actions")
    return int(effects)


def show(figures: Mapping[str, Any]) -> None:
    """The figures for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Wayfarer, whole path", show_header=False)
    for name, value in figures.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else f"{value:,}"
        table.add_row(name.replace("_", " "), shown)
    Console().print(table)


async def run(sizes: Sizes) -> dict[str, Any]:
    """Measures on a stack of its own."""
    with scratch_state_dir() as state_dir:
        async with Stack(state_dir, workers=0, postgres_settings={"shared_buffers": "1GB"}) as stack:
            return await measure(stack, sizes)


def main() -> int:
    """Reads the arguments, measures, prints; fails if the ratio to the baseline is below the floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--smoke", action="store_true", help="small sizes: half a minute, for CI")
    parser.add_argument("--floor", type=float, default=6.0, help="least ratio to the baseline (default 6)")
    arguments = parser.parse_args()
    quiet()
    figures = asyncio.run(run(SMOKE if arguments.smoke else FULL))
    if arguments.json:
        print(json.dumps(figures))
    else:
        show(figures)
    if figures["ratio_to_baseline"] < arguments.floor:
        say(f"only {figures['ratio_to_baseline']} times the baseline; the floor is {arguments.floor}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
