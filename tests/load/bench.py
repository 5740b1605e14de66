"""`make bench`: durable actions per second of the whole path, latency at three loads, CPU, memory, baseline.

The whole path: 50 accounts, executions of five `add_tag` actions with real effects and ledger rows in the
crm database, log entries with their hash chain, config encrypted, one worker, one crm executor process of
its own, PostgreSQL with fsync on. Rates come from the database's own times, CPU from /proc, latency from
the worker's histogram (dispatch of an action to its durable outcome).
"""

import argparse
import asyncio
import json
import os
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from wayfarer.execution.v1 import workflow_service_pb2
from wayfarer.execution.v1.workflow_service_pb2_grpc import WorkflowServiceStub

from execution_engine.ids import new_id
from execution_engine.model import Priority
from execution_engine.store.accounts import account_transaction
from execution_engine.store.enrollment import Enrolled, Start, enroll
from execution_engine.store.hints import DUE
from services.cli.up import quiet
from services.local import bootstrap
from services.local.stack import Stack, scratch_state_dir
from services.runtime.config import HostPort
from services.runtime.database import open_pool
from services.runtime.grpc_client import open_channel
from services.runtime.keyring import Keyring
from tests.load import baseline

ACCOUNTS = 50
ACTIVE_LIMIT = 1_000
STEPS = 5
_TICKS = os.sysconf("SC_CLK_TCK")
_DEADLINE_S = 180.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Executions at full load, seconds at half load, executions one at a time, and of the baseline."""

    executions: int
    half_load_s: float
    alone: int
    baseline: int


FULL = Sizes(10_000, 12.0, 200, 600)
SMOKE = Sizes(1_500, 3.0, 40, 120)


@dataclass(frozen=True, slots=True)
class Population:
    """Who runs what: contacts by account, and the workflow of each account."""

    contacts: list[tuple[int, UUID]]
    workflows: Mapping[int, UUID]


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


async def prepare(stack: Stack, count: int) -> Population:
    """Makes 50 accounts with their workflow, and `count` contacts in both databases."""
    owner = stack.prepared.dsns["wayfarer_owner"]
    workflows: dict[int, UUID] = {}
    steps = "\n".join(f"  - {{id: tag_{n}, type: add_tag, config: {{tag: bench-{n}}}}}" for n in range(STEPS))
    document = f"key: bench\nsettings: {{dedup_window: 0s, reentry: always}}\nsteps:\n{steps}\n"
    async with open_channel(stack.address) as channel:
        for number in range(ACCOUNTS):
            key = bootstrap.new_api_key()
            account_id = await bootstrap.add_account(owner, f"bench {number}", key, ACTIVE_LIMIT)
            answer = await WorkflowServiceStub(channel).ApplyWorkflow(
                workflow_service_pb2.ApplyWorkflowRequest(document=document, publish=True),
                metadata=(("authorization", f"Bearer {key}"),),
                timeout=10,
            )
            workflows[account_id] = UUID(answer.workflow.id)
    accounts = list(workflows)
    engine = await asyncpg.connect(owner)
    now: datetime = await engine.fetchval("SELECT wf_now()")
    contacts = [(accounts[n % ACCOUNTS], new_id(now)) for n in range(count)]
    await engine.execute(
        "INSERT INTO contact (account_id, contact_id) SELECT * FROM unnest($1::bigint[], $2::uuid[])",
        [a for a, _ in contacts],
        [c for _, c in contacts],
    )
    await engine.close()
    await _crm_records(stack, contacts)
    return Population(contacts, workflows)


async def _crm_records(stack: Stack, contacts: list[tuple[int, UUID]]) -> None:
    keyring = Keyring.load(stack.prepared.keyring)
    crm = await asyncpg.connect(stack.prepared.dsns["wayfarer_crm"])
    data = orjson.dumps({"first_name": "Jane", "last_name": "Doe", "time_zone": "", "fields": {}})
    await crm.execute(
        """INSERT INTO contact_record (account_id, contact_id, revision, data_sealed)
        SELECT u.a, u.c, 1, u.d FROM unnest($1::bigint[], $2::uuid[], $3::bytea[]) AS u (a, c, d)""",
        [a for a, _ in contacts],
        [c for _, c in contacts],
        [keyring.seal("crm.contact", a, data) for a, _ in contacts],
    )
    await crm.close()


class Starter:
    """Enters executions straight through the engine's enrolment, as the API does for its callers."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring, people: Population) -> None:
        self._pool = pool
        self._keyring = keyring
        self._people = people

    async def start(self, contacts: list[tuple[int, UUID]]) -> list[UUID]:
        """Starts one execution per contact, a transaction per account; then hints."""
        by_account: dict[int, list[Start]] = {}
        for account_id, contact_id in contacts:
            start = Start(self._people.workflows[account_id], contact_id, Priority.NORMAL, b"", "")
            by_account.setdefault(account_id, []).append(start)
        ids: list[UUID] = []
        for account_id, starts in by_account.items():
            async with account_transaction(self._pool, account_id) as connection:
                answers = await enroll(connection, self._keyring, account_id, starts)
            for answer in answers:
                if not isinstance(answer, Enrolled):
                    raise RuntimeError(f"a start was refused: {answer}")
                ids.append(answer.view.execution_id)
        await self._pool.execute("SELECT pg_notify($1, $2)", DUE, ",".join(map(str, by_account)))
        return ids


async def wait_done(observer: asyncpg.Connection, expected: int) -> None:
    """Waits until so many executions are in the history."""
    until = time.monotonic() + _DEADLINE_S
    while await observer.fetchval("SELECT count(*) FROM execution_history") < expected:
        if time.monotonic() > until:
            raise TimeoutError(f"not all of {expected} executions ended within {_DEADLINE_S:g} s")
        await asyncio.sleep(0.05)


def cpu_seconds(stack: Stack) -> dict[str, float]:
    """CPU used so far by each process; PostgreSQL's backends added up under one name."""
    used: dict[str, float] = {}
    for name, pid in {**stack.supervisor.pids(), "postgres": stack.postgres.pid}.items():
        used[name] = _ticks(pid)
    children = Path(f"/proc/{stack.postgres.pid}/task/{stack.postgres.pid}/children").read_text().split()
    # Backends that have ended are in the postmaster's own account of its children.
    fields = _stat(stack.postgres.pid)
    used["postgres"] += (
        sum(_ticks(int(child)) for child in children) + (int(fields[13]) + int(fields[14])) / _TICKS
    )
    return used


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _ticks(pid: int) -> float:
    try:
        fields = _stat(pid)
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_mib(stack: Stack) -> dict[str, float]:
    """The largest resident size of each Python process so far, in MiB."""
    peaks = {}
    for name, pid in stack.supervisor.pids().items():
        text = Path(f"/proc/{pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith("VmHWM"))
        peaks[name] = round(int(line.split()[1]) / 1024, 1)
    return peaks


def histogram(port: int, name: str = "wayfarer_action_seconds") -> dict[float, float]:
    """The cumulative buckets of a histogram as a worker exposes it: upper bound to count."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        lines = response.read().decode().splitlines()
    buckets = {}
    for line in lines:
        if line.startswith(f"{name}_bucket"):
            bound, _, count = line.partition('le="')[2].partition('"} ')
            buckets[float(bound)] = float(count)
    return buckets


def quantile(before: Mapping[float, float], after: Mapping[float, float], share: float) -> float:
    """Milliseconds below which `share` of the observations between two scrapes lie, within its bucket."""
    counts = [(bound, after[bound] - before.get(bound, 0.0)) for bound in sorted(after)]
    total = counts[-1][1]
    lower_bound, lower = 0.0, 0.0
    for bound, count in counts:
        if count >= share * total and count > lower:
            width = 0.0 if bound == float("inf") else bound - lower_bound
            return round(1000 * (lower_bound + width * (share * total - lower) / (count - lower)), 2)
        lower_bound, lower = bound, count
    return 0.0


async def measure(stack: Stack, sizes: Sizes) -> dict[str, Any]:
    """Runs the three loads and the baseline on a running stack without workers; the figures."""
    keyring = Keyring.load(stack.prepared.keyring)
    people = await prepare(stack, sizes.executions)
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
        "peak_mib": peak_mib(stack),
        "effects_checked": effects,
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
