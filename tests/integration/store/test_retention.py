"""What is kept how long, on real PostgreSQL with the injected clock: R-LOG-3, R-TRIG-5, G20 in part."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from execution_engine.ids import new_id
from execution_engine.store import retention
from execution_engine.store.retention import Keep
from services.local.stack import Stack
from tests.support.stacks import fresh_stack

KEEP = Keep(history_days=400, failed_days=90, event_days=30, other_days=90)


@dataclass(slots=True)
class Kept:
    """A database without workers."""

    stack: Stack
    owner: asyncpg.Connection
    worker: asyncpg.Connection

    async def account(self, settings: str = "{}") -> int:
        return int(
            await self.owner.fetchval(
                "INSERT INTO account (name, settings) VALUES ('kept', $1) RETURNING account_id", settings
            )
        )

    async def month(self, at: datetime) -> None:
        await self.owner.execute("SELECT wf_make_partitions($1, 1)", at)

    async def past(
        self, account_id: int, at: datetime, table: str = "execution_history", status: int = 5
    ) -> UUID:
        """An ended execution of `at` with one log entry, in the history or (FAILED) hot."""
        execution_id = new_id(at)
        columns: dict[str, Any] = {
            "account_id": account_id,
            "execution_id": execution_id,
            "workflow_id": uuid4(),
            "contact_id": uuid4(),
            "version": 1,
            "status": status,
            "priority": 2,
            "step": 0,
            "visit": 1,
            "attempt": 1,
            "failures": 0,
            "steps_run": 1,
            "log_seq": 1,
            "log_hash": b"",
            "reason": "",
            "created_at": at,
            "updated_at": at,
            "ended_at": at if status in (5, 6, 7) else None,
        }
        if table == "execution":
            columns |= {"shard": 0, "lane": 2}
            if status == 4:
                columns |= {"wake_at": at + timedelta(days=4000), "blocked_on": 2}
        marks = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
        await self.owner.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", *columns.values()
        )
        await self.owner.execute(
            "INSERT INTO execution_log (account_id, execution_id, seq, seq_end, event, step_id, step_type, visit,"
            " attempt, at, outcome, detail, hash) VALUES ($1, $2, 1, 1, 1, '', '', 0, 0, $3, 0, '', '')",
            account_id,
            execution_id,
            at,
        )
        return execution_id

    async def left(self, account_id: int, table: str) -> set[UUID]:
        rows = await self.owner.fetch(f"SELECT execution_id FROM {table} WHERE account_id = $1", account_id)
        return {row[0] for row in rows}

    async def forget(self) -> int:
        async with self.worker.transaction():
            return await retention.forget(self.worker, KEEP)

    async def drop(self) -> list[str]:
        async with self.worker.transaction():
            return await retention.drop_months(self.worker, KEEP)


@pytest.fixture(scope="module")
async def kept() -> AsyncIterator[Kept]:
    async with fresh_stack(workers=0) as stack:
        dsns = stack.prepared.dsns
        owner = await asyncpg.connect(dsns["wayfarer_owner"])
        worker = await asyncpg.connect(dsns["wayfarer_worker"])
        yield Kept(stack, owner, worker)
        await owner.close()
        await worker.close()


async def test_months_go_once_nothing_of_them_lives(kept: Kept) -> None:
    """A month with a live execution stays, whatever its age; the months around it go."""
    account_id = await kept.account()
    now = datetime.now(UTC)
    old, older = now - timedelta(days=500), now - timedelta(days=700)
    for at in (old, older):
        await kept.month(at)
    gone = await kept.past(account_id, old)
    held = await kept.past(account_id, older)
    alive = await kept.past(account_id, older, "execution", 4)
    dropped = await kept.drop()
    assert f"execution_history_{old:%Y_%m}" in dropped
    assert f"execution_log_{old:%Y_%m}" in dropped
    assert f"execution_log_{older:%Y_%m}" not in dropped
    assert f"event_{older:%Y_%m}" in dropped
    assert await kept.left(account_id, "execution_history") == {held}
    assert await kept.left(account_id, "execution_log") == {held, alive}
    assert gone not in await kept.left(account_id, "execution_log")
    assert not any(f"{now:%Y_%m}" in name for name in dropped)
    await kept.owner.execute("DELETE FROM execution WHERE execution_id = $1", alive)
    assert f"execution_log_{older:%Y_%m}" in await kept.drop()


async def test_an_account_that_keeps_less_loses_its_own_only(kept: Kept) -> None:
    short = await kept.account('{"retention": {"history_days": 10}}')
    other = await kept.account()
    at = datetime.now(UTC) - timedelta(days=20)
    await kept.month(at)
    old = [await kept.past(short, at) for _ in range(3)]
    fresh = await kept.past(short, datetime.now(UTC))
    theirs = await kept.past(other, at)
    live = await kept.past(short, at, "execution", 4)
    assert await kept.forget() >= 3
    assert await kept.left(short, "execution_history") == {fresh}
    assert await kept.left(short, "execution_log") == {fresh, live}
    assert await kept.left(other, "execution_history") == {theirs}
    assert not set(old) & await kept.left(short, "execution_log")


async def test_failed_executions_age_out_into_the_history(kept: Kept) -> None:
    account_id = await kept.account()
    at = datetime.now(UTC) - timedelta(days=100)
    await kept.month(at)
    aged = await kept.past(account_id, at, "execution", 6)
    recent = await kept.past(account_id, datetime.now(UTC) - timedelta(days=2), "execution", 6)
    await kept.forget()
    assert await kept.left(account_id, "execution") == {recent}
    assert await kept.left(account_id, "execution_history") == {aged}


async def test_batches_are_bounded(kept: Kept) -> None:
    account_id = await kept.account()
    await kept.owner.execute(
        "INSERT INTO event_key (account_id, source_id, event_id, payload_hash, received_at)"
        " SELECT $1, n::text, uuidv7(), '', wf_now() - interval '31 days' FROM generate_series(1, 2500) AS n",
        account_id,
    )
    count = "SELECT count(*) FROM event_key WHERE account_id = $1"
    assert [await kept.forget() for _ in range(3)] == [1000, 1000, 500]
    assert await kept.owner.fetchval(count, account_id) == 0


async def test_one_worker_at_a_time_lets_go(kept: Kept) -> None:
    other = await asyncpg.connect(kept.stack.prepared.dsns["wayfarer_worker"])
    async with kept.worker.transaction():
        await retention.forget(kept.worker, KEEP)
        async with other.transaction():
            assert await retention.drop_months(other, KEEP) == []
    await other.close()


async def test_answers_by_request_id_are_kept_for_a_day(kept: Kept) -> None:
    account_id = await kept.account()
    for hours in (23, 25):
        await kept.owner.execute(
            "INSERT INTO request (account_id, request_id, method, payload_hash, answer_sealed, created_at)"
            " VALUES ($1, gen_random_uuid(), 'x', '', '', wf_now() - make_interval(hours => $2))",
            account_id,
            hours,
        )
    api = await asyncpg.connect(kept.stack.prepared.dsns["wayfarer_api"])
    assert await api.fetchval("SELECT wf_forget_requests(1000)") == 1
    await api.close()
    assert await kept.owner.fetchval("SELECT count(*) FROM request WHERE account_id = $1", account_id) == 1


async def test_ledger_months_go_unless_something_is_under_way(kept: Kept) -> None:
    owner = await asyncpg.connect(kept.stack.prepared.dsns["wayfarer_crm_owner"])
    try:
        for month in ("2020-01-01", "2020-02-01"):
            await owner.execute(
                f"CREATE TABLE effect_ledger_{month[:4]}{month[5:7]} (LIKE effect_ledger INCLUDING ALL)"
            )
        await owner.execute(
            "INSERT INTO effect_ledger_202002 (account_id, execution_id, step_id, visit, fence, attempt, state, owner,"
            " deadline) VALUES (1, gen_random_uuid(), 's', 1, 1, 1, 1, gen_random_uuid(), now())"
        )
        await owner.execute("ALTER TABLE effect_ledger DETACH PARTITION effect_ledger_before")
        for name, low, high in (
            ("202001", "2020-01-01", "2020-02-01"),
            ("202002", "2020-02-01", "2020-03-01"),
        ):
            await owner.execute("DELETE FROM effect_ledger_202002 WHERE state <> 1")
            await owner.execute(
                f"UPDATE effect_ledger_{name} SET execution_id = effect_ledger_bound('{low}Z')"
            )
            await owner.execute(
                f"ALTER TABLE effect_ledger ATTACH PARTITION effect_ledger_{name} FOR VALUES FROM"
                f" (effect_ledger_bound('{low}Z')) TO (effect_ledger_bound('{high}Z'))"
            )
        family = await asyncpg.connect(kept.stack.prepared.dsns["wayfarer_crm"])
        retired = [row[0] for row in await family.fetch("SELECT effect_ledger_retire(13)")]
        assert retired == ["effect_ledger_202001"]
        with pytest.raises(asyncpg.RaiseError, match="bounds"):
            await family.fetch("SELECT effect_ledger_retire(0)")
        await family.close()
    finally:
        await owner.close()
