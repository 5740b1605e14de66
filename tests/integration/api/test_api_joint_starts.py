"""Starts of many accounts in one transaction: each caller has its own answer, nobody waits for another account, and a
connection that is lost doubles nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import grpc
import pytest
from wayfarer.execution.v1 import workflow_service_pb2 as workflow_pb

from tests.integration.api.world import NOWHERE, Client, World, refused, struct, until, waiting

OWN = [
    "execution_id",
    "contact_id",
    "log_hash",
    "hash",
    "created_at",
    "updated_at",
    "wake_at",
    "at",
    "started_at",
]
"""Columns that no two executions have alike."""
AWAITED = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND state = 'active' AND usename ="


@pytest.fixture
async def superuser(world: World) -> AsyncIterator[asyncpg.Pool]:
    """Who may end the API's connections, and tell the server what to wait for."""
    async with asyncpg.create_pool(world.stack.postgres.dsn("wayfarer"), min_size=2, max_size=4) as pool:
        yield pool


async def shown_once(client: Client, key: str = "plan", **settings: str) -> str:
    """An active workflow whose version the API has shown before: its starts may be joint. Its id."""
    workflow = await client.publish(waiting(key, **{"dedup_window": "1h", **settings}))
    await client.start(key, (await client.contact()).id)
    return workflow


async def ready(client: Client, **settings: str) -> list[str]:
    """Twelve contacts who may enter `plan`, jointly with others."""
    await shown_once(client, **settings)
    return [(await client.contact()).id for _ in range(12)]


async def made(world: World, clients: Sequence[Client]) -> list[set[int]]:
    """The accounts of each transaction that made executions."""
    rows = await world.owner.fetch(
        """SELECT array_agg(DISTINCT account_id) AS accounts FROM execution
        WHERE account_id = ANY ($1::bigint[]) GROUP BY xmin::text""",
        [client.account_id for client in clients],
    )
    return [set(row["accounts"]) for row in rows]


async def refusals_kept(world: World, client: Client) -> dict[str, int]:
    """How many refused starts the account has on record, by kind."""
    rows = await world.owner.fetch(
        "SELECT kind, count(*) FROM start_refusal WHERE account_id = $1 GROUP BY kind", client.account_id
    )
    return {row["kind"]: row["count"] for row in rows}


async def a_pid(superuser: asyncpg.Pool, question: str) -> int:
    """The first process that a question to the database finds."""

    async def look() -> int | None:
        found: int | None = await superuser.fetchval(question)
        return found

    return await until(look)


def both(clients: Sequence[Client], contacts: Sequence[Sequence[str]]) -> list[Callable[[], Awaitable[Any]]]:
    """A start per contact, each with a request id of its own; they may be called again."""
    calls: list[Callable[[], Awaitable[Any]]] = []
    for client, ids in zip(clients, contacts, strict=True):
        calls += [partial(client.start, "plan", contact, request_id=str(uuid4())) for contact in ids]
    return calls


async def one_each(world: World, clients: Sequence[Client], contacts: Sequence[Sequence[str]]) -> None:
    """Every contact has exactly one execution, one log entry, one kept answer."""
    for client, ids in zip(clients, contacts, strict=True):
        rows = await world.owner.fetch(
            """SELECT contact_id, count(*), sum((SELECT count(*) FROM execution_log l
                WHERE l.account_id = e.account_id AND l.execution_id = e.execution_id)) AS entries
            FROM execution e WHERE account_id = $1 AND contact_id = ANY ($2::uuid[]) GROUP BY contact_id""",
            client.account_id,
            ids,
        )
        assert {str(row["contact_id"]): (row["count"], row["entries"]) for row in rows} == dict.fromkeys(
            ids, (1, 1)
        )
        assert (await world.rows(client))["request"] == len(ids)


@asynccontextmanager
async def commits_waiting(superuser: asyncpg.Pool) -> AsyncIterator[None]:
    """Commits are durable here and wait for a standby that is not there, before they are answered."""
    over = asyncio.Event()

    async def write() -> None:
        while not over.is_set():
            await superuser.execute("SELECT pg_logical_emit_message(true, 'probe', '')")

    await superuser.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    try:
        await superuser.execute("SELECT pg_reload_conf()")
        writing = asyncio.ensure_future(write())
        await a_pid(superuser, f"{AWAITED} 'postgres'")
        yield
    finally:
        over.set()
        await superuser.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await superuser.execute("SELECT pg_reload_conf()")
    await writing


async def settled(calls: Sequence[Awaitable[Any]]) -> list[Any]:
    """What each of many simultaneous calls came to: its answer or its refusal."""

    async def one(call: Awaitable[Any]) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            return error

    return list(await asyncio.gather(*(one(call) for call in calls)))


async def test_one_group_and_each_caller_its_own_answer(world: World, client: Client, other: Client) -> None:
    """R-TRIG-1, R-TRIG-2, R-TRIG-3, R-TRIG-4, R-TRIG-5, R-TRIG-6, G18: 64 callers at once, all kinds among them."""
    foreign_workflow = await shown_once(other)
    await shown_once(client)
    await client.publish(waiting("paused"))
    await client.call(client.workflows.PauseWorkflow, workflow_pb.PauseWorkflowRequest(workflow="paused"))
    await shown_once(client, "once", dedup_window="0s", reentry="never")
    opted_out, before = await client.contact(opted_out=True), await client.contact()
    earlier = (await client.start("once", before.id)).execution.id
    mine = [await client.contact() for _ in range(20)]
    theirs = [await other.contact() for _ in range(20)]
    twin, keyed, clash = await client.contact(), await client.contact(), await client.contact()
    request_id, clashing = str(uuid4()), str(uuid4())
    good = [client.start("plan", c.id) for c in mine] + [other.start("plan", c.id) for c in theirs]
    twins = [client.start("plan", twin.id) for _ in range(6)]
    same = [client.start("plan", keyed.id, request_id=request_id) for _ in range(4)]
    bad = [
        (refused(client.start("plan", NOWHERE)), "CONTACT_NOT_FOUND"),
        (refused(client.start("plan", theirs[0].id)), "CONTACT_NOT_FOUND"),
        (refused(client.start(foreign_workflow, mine[0].id)), "WORKFLOW_NOT_FOUND"),
        (refused(client.start("nothing", mine[0].id)), "WORKFLOW_NOT_FOUND"),
        (refused(client.start("plan", opted_out.id)), "CONTACT_OPTED_OUT"),
        (refused(client.start("paused", mine[0].id)), "WORKFLOW_NOT_ACTIVE"),
        (refused(client.start("once", before.id)), "REENTRY_REFUSED"),
    ]
    clashes = [
        client.start("plan", clash.id, request_id=clashing, trigger=struct({"n": n})) for n in range(2)
    ]
    started, repeated, answered, refusals, clashed = await asyncio.gather(
        asyncio.gather(*good),
        asyncio.gather(*twins),
        asyncio.gather(*same),
        asyncio.gather(*(call for call, _ in bad)),
        settled(clashes),
    )
    assert [answer.execution.contact_id for answer in started] == [c.id for c in (*mine, *theirs)]
    assert len({answer.execution.id for answer in started}) == 40
    assert not any(answer.deduplicated for answer in started)
    assert len({answer.execution.id for answer in repeated}) == 1
    assert sum(not answer.deduplicated for answer in repeated) == 1
    assert all(answer == answered[0] for answer in answered)
    assert [refusal.reason for refusal in refusals] == [reason for _, reason in bad]
    assert refusals[-1].metadata["execution_id"] == earlier
    assert sorted(type(one).__name__ for one in clashed) == ["AioRpcError", "StartExecutionResponse"]
    assert await client.start("plan", keyed.id, request_id=request_id) == answered[0]

    rows, foreign = await world.rows(client), await world.rows(other)
    # Two that showed versions, the earlier one, 20, the twins', the keyed one's, one of those that clashed.
    assert (rows["execution"], rows["execution_log"], rows["request"]) == (26, 26, 2)
    assert (foreign["execution"], foreign["execution_log"], foreign["request"]) == (21, 21, 0)
    assert await refusals_kept(world, client) == {
        "opt_out_blocked": 1,
        "workflow_not_active": 1,
        "reentry_blocked": 1,
        "deduplication_blocked": 5,
    }
    assert {client.account_id, other.account_id} in await made(world, [client, other])
    for who in (client, other):
        assert not any((await who.verify()).values())


async def test_a_joint_start_leaves_what_one_by_its_account_leaves(world: World, client: Client) -> None:
    """R-TRIG-1: the same rows, the log's first entry and the dedup row too, by either way."""
    trigger = struct({"cart": 7})
    await client.publish(waiting("plan", dedup_window="1h"))
    contacts = [await client.contact() for _ in range(2)]
    # Nobody has been shown this version yet: the first start goes by its account, the second may be joint.
    alone = await client.start("plan", contacts[0].id, trigger=trigger, entry_key="k")
    joint = await client.start("plan", contacts[1].id, trigger=trigger, entry_key="k")
    for table in ("execution", "execution_log", "enrollment"):
        rows = [
            await world.owner.fetchrow(
                f"SELECT to_jsonb(t) - $2::text[] - 'input_sealed' AS content FROM {table} t "
                "WHERE account_id = $1 AND execution_id = $3",
                client.account_id,
                OWN,
                UUID(answer.execution.id),
            )
            for answer in (alone, joint)
        ]
        assert rows[0] is not None
        assert rows[0] == rows[1]
    for answer in (alone, joint):
        row = await world.row(answer.execution.id)
        assert row is not None
        assert row["input_sealed"]
        assert await client.get(answer.execution.id) == answer.execution


async def test_nobody_waits_for_another_accounts_contact(
    world: World, client: Client, other: Client, superuser: asyncpg.Pool
) -> None:
    """G18: while something holds a contact's gate, its own start waits; those of other accounts go on."""
    await shown_once(client)
    await shown_once(other)
    held, free = await client.contact(), await other.contact()
    async with world.owner.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM contact WHERE contact_id = $1 FOR NO KEY UPDATE", UUID(held.id))
        waits = asyncio.ensure_future(client.start("plan", held.id))
        pid = await a_pid(superuser, "SELECT pid FROM pg_locks WHERE NOT granted")
        waiting_for = await superuser.fetchval("SELECT query FROM pg_stat_activity WHERE pid = $1", pid)
        assert "wf_meet_starts" not in waiting_for, "the group waits, and all accounts with it"
        assert not (await other.start("plan", free.id)).deduplicated
        assert not waits.done()
    assert (await waits).execution.contact_id == held.id


async def test_a_connection_lost_on_the_way_is_made_good(
    world: World, client: Client, other: Client, superuser: asyncpg.Pool
) -> None:
    """G12: ended before COMMIT was sent, a group has changed nothing; each start goes on by its account."""
    contacts = [await ready(who) for who in (client, other)]
    calls = both((client, other), contacts)
    async with world.owner.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE workflow IN ACCESS EXCLUSIVE MODE")
        answers = asyncio.ensure_future(settled([call() for call in calls]))
        pid = await a_pid(
            superuser,
            "SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND query ~ 'wf_meet'",
        )
        assert await superuser.fetchval("SELECT pg_terminate_backend($1)", pid)
    told = await answers
    assert not [one for one in told if isinstance(one, Exception)]
    assert [answer.execution.contact_id for answer in told] == [*contacts[0], *contacts[1]]
    await one_each(world, (client, other), contacts)


async def test_a_lost_answer_to_commit_is_told_and_doubles_nothing(
    world: World, client: Client, other: Client, superuser: asyncpg.Pool
) -> None:
    """G12, R-TRIG-5: what may be durable is UNAVAILABLE for all of its group; asked again it gives what was made."""
    contacts = [await ready(who, dedup_window="0s", reentry="always") for who in (client, other)]
    calls = both((client, other), contacts)
    async with commits_waiting(superuser):
        answers = asyncio.ensure_future(settled([call() for call in calls]))
        # The first callers' group, and the one that gathered meanwhile.
        for _ in range(2):
            pid = await a_pid(superuser, f"{AWAITED} 'wayfarer_api'")
            assert await superuser.fetchval("SELECT pg_terminate_backend($1, 10000)", pid)
    told = await answers
    lost = [place for place, one in enumerate(told) if isinstance(one, grpc.aio.AioRpcError)]
    assert len(lost) >= 2
    assert {told[place].code() for place in lost} == {grpc.StatusCode.UNAVAILABLE}
    again = await settled([call() for call in calls])
    assert [answer.execution.contact_id for answer in again] == [*contacts[0], *contacts[1]]
    assert all(again[place] == told[place] for place in range(len(calls)) if place not in lost)
    await one_each(world, (client, other), contacts)
