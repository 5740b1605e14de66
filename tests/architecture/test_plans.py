"""EXPLAIN guards: on large tables and with the worker's settings, hot statements use their index."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from execution_engine.bulk import Chosen
from execution_engine.model import LIVE, Status
from execution_engine.store import bulk, executions, joint, overview
from execution_engine.store.sql import statement
from services.local.stack import Stack
from services.worker.__main__ import PLANNER
from tests.support.stacks import fresh_stack

ROWS = 50_000
FILL = f"""
INSERT INTO account (account_id, name) SELECT n, 'plans' FROM generate_series(1001, 1020) n;
INSERT INTO workflow (account_id, workflow_id, key, name, status, draft_sealed, draft_steps)
    SELECT n, uuidv7(), 'plans', 'plans', 2, '', 1 FROM generate_series(1001, 1020) n;
INSERT INTO execution (account_id, execution_id, workflow_id, contact_id, version, shard, status, priority,
    lane, blocked_on, wake_at, log_seq, log_hash, created_at, updated_at)
    SELECT w.account_id, uuidv7(), w.workflow_id, uuidv7(), 1, 0, 4, 2,
        2, 2, now() + interval '1 day', 1, '', now(), now()
    FROM workflow w, generate_series(1, {ROWS // 20}) WHERE w.key = 'plans';
INSERT INTO activity SELECT n, date_trunc('minute', now()) - m * interval '1 minute', uuidv7(), 1, 1, 0, 5
    FROM generate_series(1001, 1020) n, generate_series(0, 500) m;
ANALYZE;
"""
HOT = {
    "claim_due": ("execution_due", "worker_live"),
    "advance_runs": ("execution_pkey",),
    "rest_runs": ("execution_pkey",),
    "finish_runs": ("execution_pkey",),
    "renew_leases": ("execution_pkey",),
    "put_back_runs": ("execution_by_status",),
    "discover_due": ("account_by_shard", "execution_due"),
    "orphaned_leases": ("execution_due",),
    "release_unheld": ("execution_due",),
    "load_contacts": ("contact_pkey",),
    "load_versions": ("workflow_version_pkey",),
    "settle_due": ("execution_to_settle",),
    "settle_runs": ("execution_pkey",),
}


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[Stack]:
    async with fresh_stack(workers=0) as running:
        yield running


@pytest.fixture(scope="module")
async def worker_role(stack: Stack) -> asyncpg.Connection:
    return await _filled(stack)


async def _filled(stack: Stack) -> asyncpg.Connection:
    owner = await asyncpg.connect(stack.prepared.dsns["wayfarer_owner"])
    await owner.execute(FILL)
    await owner.close()
    return await asyncpg.connect(stack.prepared.dsns["wayfarer_worker"], server_settings=PLANNER)


@pytest.mark.parametrize("name", HOT)
async def test_a_hot_statement_uses_its_index(worker_role: asyncpg.Connection, name: str) -> None:
    prepared = await worker_role.prepare(statement(name))
    await worker_role.execute(f"PREPARE guard_{name} AS {statement(name)}")
    nulls = ", ".join("NULL" for _ in prepared.get_parameters())
    plan = "\n".join(row[0] for row in await worker_role.fetch(f"EXPLAIN EXECUTE guard_{name}({nulls})"))
    for index in HOT[name]:
        assert re.search(rf"Index (Only )?Scan (Backward )?using {index} ", plan), plan
    assert "Seq Scan" not in plan, plan


async def test_executions_at_a_step_are_found_by_their_workflow(
    stack: Stack, worker_role: asyncpg.Connection
) -> None:
    """A-38: a filter by step reads the workflow's executions; an index on the step would cost advance its HOT update."""
    workflow_id = await worker_role.fetchval("SELECT workflow_id FROM workflow WHERE account_id = 1001")
    chosen = Chosen(workflow_id=workflow_id, statuses=LIVE, places=((1, 2), (3, 4)))
    connection = await asyncpg.connect(stack.prepared.dsns["wayfarer_api"])
    async with connection.transaction():
        await connection.execute("SELECT set_config('wayfarer.account_id', '1001', true)")
        rows = await connection.fetch(f"EXPLAIN {bulk.COUNT}", 1001, *bulk.arguments(chosen))
    await connection.close()
    plan = "\n".join(row[0] for row in rows)
    assert "execution_by_workflow" in plan, plan
    assert "Seq Scan on execution" not in plan, plan


@dataclass(slots=True)
class Explained:
    """A connection that tells how a query would be answered, and answers none."""

    connection: asyncpg.Connection
    plan: str = ""

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        self.plan = "\n".join(row[0] for row in await self.connection.fetch(f"EXPLAIN {query}", *arguments))
        return []


@pytest.mark.parametrize("by", ["account", "workflow", "status", "workflow and status"])
async def test_a_total_reads_by_index_and_stops(
    stack: Stack, worker_role: asyncpg.Connection, by: str
) -> None:
    """R-API-2: counting executions has a limit within each table, under the filter that no index serves."""
    workflow_id = await worker_role.fetchval("SELECT workflow_id FROM workflow WHERE account_id = 1001")
    chosen = executions.Filter(
        workflow_id=workflow_id if "workflow" in by else None,
        status=Status.FAILED if "status" in by else None,
    )
    connection = await asyncpg.connect(stack.prepared.dsns["wayfarer_api"])
    async with connection.transaction():
        await connection.execute("SELECT set_config('wayfarer.account_id', '1001', true)")
        explained = Explained(connection)
        await executions.count(explained, 1001, chosen)
    await connection.close()
    assert len(re.findall(r"^ +-> +Limit |^ +Limit ", explained.plan, re.M)) >= 2, explained.plan
    assert "Seq Scan on execution " not in explained.plan, explained.plan


READS = {
    overview.COUNTS: ("execution_(by_status|pkey)",),
    overview.DUE: ("execution_due",),
    overview.FAILURES: ("execution_by_status",),
    overview.ACTIVITY: ("activity_pkey",),
}


@pytest.mark.parametrize("query", READS, ids=("counts", "due", "failures", "activity"))
async def test_an_overview_reads_by_index(worker_role: asyncpg.Connection, query: str) -> None:
    """Without the worker's settings, as the API asks."""
    arguments = {
        overview.COUNTS: "1005, '{1,2,3,4,6}', 100000",
        overview.DUE: "1005, 10000",
        overview.FAILURES: "1005",
        overview.ACTIVITY: "1005, now() - interval '1 hour', interval '1 minute', NULL",
    }
    name = f"read_{list(READS).index(query)}"
    async with worker_role.transaction():
        for setting in PLANNER:
            await worker_role.execute(f"SET LOCAL {setting} TO DEFAULT")
        await worker_role.execute(f"PREPARE {name} AS {query}")
        plan = "\n".join(
            row[0] for row in await worker_role.fetch(f"EXPLAIN EXECUTE {name}({arguments[query]})")
        )
    for index in READS[query]:
        assert re.search(rf"(Index (Only )?Scan (Backward )?using|Bitmap Index Scan on) {index}", plan), plan
    assert "Seq Scan on execution" not in plan, plan


MANY = """
INSERT INTO contact (account_id, contact_id) SELECT 1001, uuidv7() FROM generate_series(1, 20000);
INSERT INTO workflow (account_id, workflow_id, key, name, status, draft_sealed, draft_steps, published_version)
    SELECT 1001, uuidv7(), 'many-' || n, 'many', 2, '', 1, 1 FROM generate_series(1, 2000) n;
ANALYZE contact, workflow;
"""
READ = """SELECT relname, seq_scan, seq_tup_read + idx_tup_fetch AS rows FROM pg_stat_xact_user_tables
WHERE relname IN ('account', 'contact', 'workflow', 'enrollment', 'execution', 'request')"""


async def test_joint_starts_read_what_they_name(stack: Stack, worker_role: asyncpg.Connection) -> None:
    """Plans inside a function are not shown: counted is what they read for ten starts, in an account of many."""
    owner = await asyncpg.connect(stack.prepared.dsns["wayfarer_owner"])
    await owner.execute(MANY)
    people = await owner.fetch("SELECT contact_id FROM contact WHERE account_id = 1001 LIMIT 10")
    await owner.close()
    owner = await asyncpg.connect(stack.prepared.dsns["wayfarer_owner"])  # whose counts begin now
    accounts, contacts, nobody = [1001] * 10, [row["contact_id"] for row in people], [None] * 10
    keys = [f"many-{n}" for n in range(1, 11)]
    async with owner.transaction():
        met = await owner.fetch(joint.MEET, accounts, nobody, keys, contacts, [""] * 10, nobody)
        assert [row["workflow_key"] for row in met] == keys
        ids = [row["workflow_id"] for row in met]
        await owner.fetch(joint.MEET, accounts, ids, keys, contacts, [""] * 10, contacts)
        made = (
            contacts,
            ids,
            contacts,
            [1] * 10,
            [2] * 10,
            [bytes(32)] * 10,
            nobody,
            [""] * 10,
            met[0]["now"],
        )
        assert await owner.fetchval(joint.ENTER, accounts, *made, 1, [], [], [], [], [])
        read = {row["relname"]: row for row in await owner.fetch(READ)}
    await owner.close()
    assert {name: row["seq_scan"] for name, row in read.items() if row["seq_scan"]} == {}
    assert {name: row["rows"] for name, row in read.items() if row["rows"] > 60} == {}
