"""G2, G3, R-STATE-3: workers that leave in good order, and one that is taken for dead and wakes up again."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from services.local.stack import Stack
from services.runtime.database import open_pool
from services.runtime.keyring import Keyring
from tests.load.rig import FIVE_TAGS, Starter, prepare, workflow_of
from tests.support.signals import Changes
from tests.support.stacks import fresh_stack

EXECUTIONS = 3_000


@dataclass(slots=True)
class Running:
    """A stack with executions under way."""

    stack: Stack
    owner: asyncpg.Connection
    changes: Changes

    async def count(self, text: str) -> int:
        return int(await self.owner.fetchval(text))

    async def ended(self, least: int, timeout_s: float) -> None:
        """Waits until so many have completed."""

        async def enough() -> bool:
            return await self.count("SELECT count(*) FROM execution_history WHERE status = 5") >= least

        await self.changes.until(enough, timeout_s, f"{least} executions completed")

    async def effects(self) -> int:
        """Effects on record in the crm database; its key makes each one single."""
        crm = await asyncpg.connect(self.stack.prepared.dsns["wayfarer_crm_owner"])
        try:
            return int(await crm.fetchval("SELECT count(*) FROM effect_ledger WHERE state = 2"))
        finally:
            await crm.close()


@asynccontextmanager
async def running(workers: int) -> AsyncIterator[Running]:
    async with fresh_stack(workers=workers) as stack:
        people = await prepare(stack, workflow_of(FIVE_TAGS), accounts=50, contacts=EXECUTIONS)
        owner_dsn = stack.prepared.dsns["wayfarer_owner"]
        owner = await asyncpg.connect(owner_dsn)
        async with (
            open_pool(stack.prepared.dsns["wayfarer_api"], name="test", max_size=2) as pool,
            Changes(owner_dsn) as changes,
        ):
            starter = Starter(pool, Keyring.load(stack.prepared.keyring), people)
            await starter.start(people.contacts)
            yield Running(stack, owner, changes)
        await owner.close()


async def test_a_worker_told_to_stop_hands_over_without_a_crash_counted() -> None:
    async with running(workers=1) as world:
        await world.ended(200, 60)
        await world.stack.supervisor.stop("worker-0")
        left = await world.count("SELECT count(*) FROM execution WHERE status = 2")
        assert left == 0, "a drained worker holds nothing"
        assert await world.count("SELECT count(*) FROM execution") > 0, "it was stopped in the middle"
        await world.stack.start_worker()
        await world.ended(EXECUTIONS, 60)
        recovered = await world.count("SELECT count(*) FROM execution_log WHERE event = 15")
        assert recovered == 0, "nothing had to be recovered"
        assert await world.effects() == EXECUTIONS * len(FIVE_TAGS)


async def test_a_zombie_worker_changes_nothing_when_it_wakes() -> None:
    async with running(workers=2) as world:
        await world.ended(100, 60)
        zombie = world.stack.supervisor.pids()["worker-0"]
        child = world.stack.supervisor.children["worker-0"]
        os.kill(zombie, signal.SIGSTOP)
        # The other takes it for dead, takes over its shards and ends its leases.
        await world.ended(EXECUTIONS, 60)
        assert await world.count("SELECT count(*) FROM worker WHERE retired_at IS NOT NULL") == 1
        child.started.clear()
        os.kill(zombie, signal.SIGCONT)
        # It finds itself retired and starts anew.
        await child.started.wait()
        assert await world.count("SELECT count(*) FROM execution_history") == EXECUTIONS
        assert await world.count("SELECT count(*) FROM execution") == 0
        assert await world.effects() == EXECUTIONS * len(FIVE_TAGS)
        rows_per_execution = await world.count(
            "SELECT max(n) FROM (SELECT count(*) FILTER (WHERE event = 3) AS n FROM execution_log"
            " GROUP BY execution_id)"
        )
        assert rows_per_execution == len(FIVE_TAGS), "no step ended twice"
