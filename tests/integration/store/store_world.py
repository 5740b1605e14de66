"""A database without workers and what drives it by hand; the tests of leases and commits share it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg

from execution_engine.advance import advance
from execution_engine.ids import new_id
from execution_engine.model import BlockedOn, Priority, Status
from execution_engine.outcome import Claimed, Event
from execution_engine.run import Run
from execution_engine.store import commits, few, leases
from execution_engine.store.accounts import account_transaction
from execution_engine.store.commits import Move
from execution_engine.store.enrollment import Enrolled, Start, enroll
from execution_engine.store.leases import Ask
from services.local.stack import Stack
from services.runtime.keyring import Keyring
from tests.unit.engine.world import new_run

LEASE = timedelta(seconds=30)
FIRST_CLAIM = Claimed(Status.QUEUED, BlockedOn.WORKER)
EVER = datetime(2000, 1, 1, tzinfo=UTC)
STEPS = [
    {"id": "one", "type": "add_tag", "config": {"tag": "a"}},
    {"id": "two", "type": "add_tag", "config": {"tag": "b"}},
]


@dataclass(slots=True)
class Store:
    """A database without workers, and one connection of each role."""

    stack: Stack
    owner: asyncpg.Connection
    worker: asyncpg.Connection
    api: asyncpg.Pool
    vault: Keyring
    few: bool

    async def account(self) -> tuple[int, UUID]:
        """A fresh account with an active workflow; their ids."""
        account_id = await self.owner.fetchval(
            "INSERT INTO account (name) VALUES ('store') RETURNING account_id"
        )
        workflow_id = new_id(datetime.now(UTC))
        await self.owner.execute(
            "INSERT INTO workflow (account_id, workflow_id, key, name, status, draft_sealed, draft_steps,"
            " published_version) VALUES ($1, $2, 'store', 'store', 2, '', 2, 1)",
            account_id,
            workflow_id,
        )
        return account_id, workflow_id

    async def start(self) -> tuple[int, UUID]:
        """One execution of a fresh account: account and execution id."""
        account_id, workflow_id = await self.account()
        contact_id = new_id(datetime.now(UTC))
        await self.owner.execute(
            "INSERT INTO contact (account_id, contact_id) VALUES ($1, $2)", account_id, contact_id
        )
        start = Start(workflow_id, contact_id, Priority.NORMAL, b"", "")
        async with account_transaction(self.api, account_id) as connection:
            (answer,) = await enroll(connection, self.vault, account_id, [start])
        assert isinstance(answer, Enrolled)
        return account_id, answer.view.execution_id

    async def register(self) -> int:
        """A worker."""
        return await leases.register(self.worker, uuid4(), "test", 1)

    async def claim(self, worker_id: int, account_id: int, lane: int = 2) -> list[Run]:
        """What the worker gets of one lane, with its program."""
        claims = await leases.claim(
            self.worker, self.vault, worker_id, [Ask(account_id, lane, 10)], EVER, LEASE
        )
        for claim in claims:
            claim.run.program = new_run(STEPS).program
        return [claim.run for claim in claims]

    async def write(self, run: Run, move: Move, now: datetime) -> bool:
        """Commits one move, the one way or the other; whether it was written."""
        if self.few and few.suits([move], set()):
            return run.execution_id in (await few.write(self.worker, self.vault, now, [move]))[0]
        async with self.worker.transaction():
            return run.execution_id in await commits.commit(self.worker, self.vault, now, [move], set())

    async def now(self) -> datetime:
        moment: datetime = await self.owner.fetchval("SELECT wf_now()")
        return moment

    async def row(self, execution_id: UUID) -> asyncpg.Record:
        return await self.owner.fetchrow("SELECT * FROM execution WHERE execution_id = $1", execution_id)


def moved(run: Run, event: Event, now: datetime) -> Move:
    """The move that `event` makes."""
    result = advance(run, event, now, 0.5)
    return Move(run, result, result.rows)
