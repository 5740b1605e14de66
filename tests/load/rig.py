"""What every benchmark here needs: accounts with a workflow, contacts, starts, and what the system used.

bench.py (minutes) and scale.py (long) measure with it.
"""

import asyncio
import os
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from wayfarer.execution.v1 import workflow_service_pb2
from wayfarer.execution.v1.workflow_service_pb2_grpc import WorkflowServiceStub

from execution_engine import advance, ports
from execution_engine.ids import new_id
from execution_engine.model import Priority
from execution_engine.sending.channels import address_hash
from execution_engine.store.accounts import account_transaction
from execution_engine.store.enrollment import Enrolled, Start, enroll
from execution_engine.store.hints import DUE
from services.local import bootstrap
from services.local.stack import Stack
from services.runtime.grpc_client import open_channel
from services.runtime.keyring import Keyring

ACTIVE_LIMIT = 1_000
FIVE_TAGS = [{"id": f"tag_{n}", "type": "add_tag", "config": {"tag": f"bench-{n}"}} for n in range(5)]
_TICKS = os.sysconf("SC_CLK_TCK")
_CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class Population:
    """Who runs what: contacts by account, the workflow of each account, and each account's key."""

    contacts: list[tuple[int, UUID]]
    workflows: Mapping[int, UUID]
    keys: Mapping[int, str]


def compiled() -> bool:
    """Whether what is measured are the compiled modules (`make compiled`)."""
    return str(advance.__file__).endswith(".so")


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def workflow_of(steps: Sequence[Mapping[str, Any]]) -> str:
    """A document that lets contacts in as often as they come."""
    settings = {"dedup_window": "0s", "reentry": "always"}
    return orjson.dumps({"key": "bench", "settings": settings, "steps": list(steps)}).decode()


async def prepare(
    stack: Stack, document: str, *, accounts: int, contacts: int, limits: Mapping[int, int] | None = None
) -> Population:
    """Makes accounts with their workflow, and contacts in both databases. `limits` by place of the account."""
    owner = stack.prepared.dsns["wayfarer_owner"]
    workflows: dict[int, UUID] = {}
    keys: dict[int, str] = {}
    async with open_channel(stack.address) as channel:
        for number in range(accounts):
            key = bootstrap.new_api_key()
            limit = (limits or {}).get(number, ACTIVE_LIMIT)
            account_id = await bootstrap.add_account(owner, f"bench {number}", key, limit)
            answer = await WorkflowServiceStub(channel).ApplyWorkflow(
                workflow_service_pb2.ApplyWorkflowRequest(document=document, publish=True),
                metadata=(("authorization", f"Bearer {key}"),),
                timeout=30,
            )
            workflows[account_id], keys[account_id] = UUID(answer.workflow.id), key
    ids = list(workflows)
    keyring = Keyring.load(stack.prepared.keyring)
    engine = await asyncpg.connect(owner)
    now: datetime = await engine.fetchval("SELECT wf_now()")
    people = [(ids[n % accounts], new_id(now)) for n in range(contacts)]
    for chunk in (people[n : n + _CHUNK] for n in range(0, contacts, _CHUNK)):
        await _engine_contacts(engine, keyring, chunk)
    await engine.close()
    await _crm_records(stack, keyring, people)
    return Population(people, workflows, keys)


async def _engine_contacts(
    connection: asyncpg.Connection, keyring: Keyring, people: Sequence[tuple[int, UUID]]
) -> None:
    addresses = [f"{contact.hex}@example.com" for _, contact in people]
    await connection.execute(
        """INSERT INTO contact (account_id, contact_id, email_sealed, email_hash)
        SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bytea[], $4::bytea[])""",
        [account for account, _ in people],
        [contact for _, contact in people],
        [keyring.seal(ports.ADDRESS, p[0], a.encode()) for p, a in zip(people, addresses, strict=True)],
        [address_hash(keyring, p[0], a) for p, a in zip(people, addresses, strict=True)],
    )


async def _crm_records(stack: Stack, keyring: Keyring, people: list[tuple[int, UUID]]) -> None:
    crm = await asyncpg.connect(stack.prepared.dsns["wayfarer_crm"])
    data = orjson.dumps({"first_name": "Jane", "last_name": "Doe", "time_zone": "", "fields": {}})
    for chunk in (people[n : n + _CHUNK] for n in range(0, len(people), _CHUNK)):
        await crm.execute(
            """INSERT INTO contact_record (account_id, contact_id, revision, data_sealed)
            SELECT u.a, u.c, 1, u.d FROM unnest($1::bigint[], $2::uuid[], $3::bytea[]) AS u (a, c, d)""",
            [account for account, _ in chunk],
            [contact for _, contact in chunk],
            [keyring.seal("crm.contact", account, data) for account, _ in chunk],
        )
    await crm.close()


class Starter:
    """Enters executions straight through the engine's enrolment, as the API does for its callers."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring, people: Population) -> None:
        self._pool = pool
        self._keyring = keyring
        self._people = people

    async def start(self, contacts: Sequence[tuple[int, UUID]]) -> list[UUID]:
        """Starts one execution per contact, a transaction per account and 500 of them; then hints."""
        by_account: dict[int, list[Start]] = {}
        for account_id, contact_id in contacts:
            start = Start(self._people.workflows[account_id], contact_id, Priority.NORMAL, b"", "")
            by_account.setdefault(account_id, []).append(start)
        ids: list[UUID] = []
        for account_id, starts in by_account.items():
            for chunk in (starts[n : n + 500] for n in range(0, len(starts), 500)):
                async with account_transaction(self._pool, account_id) as connection:
                    answers = await enroll(connection, self._keyring, account_id, chunk)
                for answer in answers:
                    if not isinstance(answer, Enrolled):
                        raise RuntimeError(f"a start was refused: {answer}")
                    ids.append(answer.view.execution_id)
        await self._pool.execute("SELECT pg_notify($1, $2)", DUE, ",".join(map(str, by_account)))
        return ids


async def wait_done(observer: asyncpg.Connection, expected: int, deadline_s: float = 180.0) -> None:
    """Waits until so many executions are in the history."""
    until = time.monotonic() + deadline_s
    while await observer.fetchval("SELECT count(*) FROM execution_history") < expected:
        if time.monotonic() > until:
            raise TimeoutError(f"not all of {expected} executions ended within {deadline_s:g} s")
        await asyncio.sleep(0.05)


def cpu_seconds(stack: Stack, others: Mapping[str, int] | None = None) -> dict[str, float]:
    """CPU used so far by each process (`others` too, by pid); PostgreSQL's backends added up."""
    used: dict[str, float] = {}
    for name, pid in {**stack.supervisor.pids(), **(others or {}), "postgres": stack.postgres.pid}.items():
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


def resident_mib(stack: Stack, what: str = "VmHWM") -> dict[str, float]:
    """The largest (or, with VmRSS, the present) resident size of each Python process, in MiB."""
    sizes = {}
    for name, pid in stack.supervisor.pids().items():
        text = Path(f"/proc/{pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith(what))
        sizes[name] = round(int(line.split()[1]) / 1024, 1)
    return sizes


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
