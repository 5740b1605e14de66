"""Who holds an execution, and until when, on real PostgreSQL: claims, retired workers, hung ones.

G2, G3, R-STEP-3.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from execution_engine.model import Status
from execution_engine.store import leases
from tests.integration.store.store_world import FIRST_CLAIM, Store, moved


async def test_a_claim_leases_and_nobody_else_gets_it(store: Store) -> None:
    account_id, execution_id = await store.start()
    first, second = await store.register(), await store.register()
    (run,) = await store.claim(first, account_id)
    assert run.fence == 1
    assert await store.claim(second, account_id) == []
    row = await store.row(execution_id)
    assert (row["status"], row["lane"], row["worker_id"]) == (Status.ACTIVE, 0, first)


async def test_a_driver_whose_lease_was_taken_over_writes_nothing(store: Store) -> None:
    account_id, execution_id = await store.start()
    (stale,) = await store.claim(await store.register(), account_id)
    await store.owner.execute("UPDATE execution SET wake_at = wf_now() WHERE execution_id = $1", execution_id)
    (fresh,) = await store.claim(await store.register(), account_id, lane=0)
    assert (fresh.fence, fresh.crashes) == (2, 1)
    now = await store.now()
    assert not await store.write(stale, moved(stale, FIRST_CLAIM, now), now)
    assert await store.write(fresh, moved(fresh, FIRST_CLAIM, now), now)
    assert (
        await store.owner.fetchval("SELECT count(*) FROM execution_log WHERE execution_id = $1", execution_id)
        == 1
    ), "the stale driver's log rows are not there either"


async def test_a_retired_worker_claims_nothing(store: Store) -> None:
    account_id, _ = await store.start()
    retired, other = await store.register(), await store.register()
    assert retired in await leases.retire(store.worker, other, timedelta(hours=1), [retired])
    assert await store.claim(retired, account_id) == []
    assert len(await store.claim(other, account_id)) == 1


async def test_a_worker_that_hangs_in_a_commit_holds_nothing_once_it_is_retired(store: Store) -> None:
    """G2, G3: stopped while it sends rows by COPY, no timeout of the server's would end it: whoever retires it does."""
    account_id, execution_id = await store.start()
    incarnation = uuid4()
    hung = await asyncpg.connect(
        store.stack.prepared.dsns["wayfarer_worker"],
        server_settings={"application_name": leases.session_name(incarnation)},
    )
    worker_id = await leases.register(hung, incarnation, "test", 1)
    await store.claim(worker_id, account_id)
    sending, never = asyncio.Event(), asyncio.Event()

    async def rows() -> AsyncIterator[bytes]:
        sending.set()
        await never.wait()
        yield b""

    async def commit() -> None:
        async with hung.transaction():
            lock = "SELECT FROM execution WHERE execution_id = $1 FOR UPDATE"
            await hung.execute(lock, execution_id)
            await hung.copy_to_table("execution_log", source=rows())

    committing = asyncio.create_task(commit())
    await sending.wait()
    other = await store.register()
    everywhere = list(range(64))
    assert await leases.retire(store.worker, other, timedelta(hours=1), [worker_id]) == [worker_id]
    assert await leases.end_orphaned_leases(store.worker, everywhere) == 0, "it is locked"
    assert await leases.end_sessions(store.worker, [worker_id]) == 1
    assert await leases.end_orphaned_leases(store.worker, everywhere) >= 1
    (taken,) = await store.claim(other, account_id, lane=0)
    assert taken.execution_id == execution_id
    never.set()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await committing
    assert await leases.end_sessions(store.worker, [other]) == 0, "only of those that are retired"
