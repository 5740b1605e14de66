"""Works bulk operations off, tick by tick, whichever API process comes first."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import orjson
import structlog

from execution_engine import ports, schedule
from execution_engine.bulk import BulkKind, BulkState
from execution_engine.definition.conditions import CONTACT_ROOTS, Condition, ConditionFailed
from execution_engine.errors import NotFound, WayfarerError
from execution_engine.store import bulk, bulk_lists, cancel, contacts, migrating, steering
from execution_engine.store.accounts import account_transaction
from execution_engine.store.bulk import Item, Operation
from execution_engine.store.enroll_many import Entry, enroll_many
from execution_engine.store.hints import HintSender
from execution_engine.store.workflows import Outlines
from services.execution_api import convert
from services.execution_api.crm_records import CrmRecords

log = structlog.get_logger(__name__)
_CHUNK = 200
_PAGE = 500
_SIDE_BY_SIDE = 4
"""Accounts worked on at a time, so that processor and disk both have something to do."""
_MOST_DUE = 50
Outcomes = dict[int, tuple[str, UUID | None]]


@dataclass(frozen=True, slots=True)
class _Chunk:
    """What one transaction did: so many items up to number `last`; `over`: none is left for this tick."""

    number: int
    last: int
    over: bool


class BulkRunner:
    """One per API process; an operation is worked on under its row's lock, an account's one after another.

    Two of one account would lock the same contacts and executions in orders of their own.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        vault: ports.Vault,
        outlines: Outlines,
        records: CrmRecords,
        due: HintSender,
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._outlines = outlines
        self._records = records
        self._due = due
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self.wake = asyncio.Event()

    async def sweep(self) -> bool:
        """Begins a tick of what is due, as far as there is room; `wake` says when to ask again."""
        room = _SIDE_BY_SIDE - len(self._under_way)
        if room == 0:
            return False
        operations: dict[int, list[UUID]] = {}
        for account_id, operation_id in await bulk.due(self._pool, self._under_way, _MOST_DUE):
            operations.setdefault(account_id, []).append(operation_id)
        for account_id in list(operations)[:room]:
            work = self._tick_each(account_id, operations[account_id])
            self._under_way[account_id] = asyncio.create_task(work, name=f"bulk:{account_id}")
        return False

    async def close(self) -> None:
        """Gives up what is under way: what is not committed, the next process does."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tick_each(self, account_id: int, operation_ids: list[UUID]) -> None:
        moved = False
        try:
            for operation_id in operation_ids:
                try:
                    moved |= await self._tick(account_id, operation_id)
                except NotFound:
                    continue  # another process works on it, or has, or a caller paused it
                except Exception:
                    # One bad operation must not stop the others; it is tried again.
                    log.exception("bulk_tick_failed", operation_id=str(operation_id))
        finally:
            del self._under_way[account_id]
            if moved:  # else it would be asked for again and again until somebody lets go of it
                self.wake.set()

    async def _tick(self, account_id: int, operation_id: UUID) -> bool:
        """Whether it is further than before."""
        left, at = 1, 0
        while left > 0:
            async with account_transaction(self._pool, account_id) as connection:
                operation = await bulk.get(
                    connection, self._vault, account_id, operation_id, lock=bulk.IF_DUE
                )
                if operation.state is BulkState.GATHERING:
                    break
                if at == 0:
                    left = operation.pace.per_tick
                chunk = await self._chunk(connection, account_id, operation, at, left)
                left, at = left - chunk.number, chunk.last
                if left <= 0 or chunk.over:
                    await self._schedule(connection, account_id, operation, chunk)
                    left = 0
            self._due.tell(account_id)
        if operation.state is BulkState.GATHERING:
            return await self._gather(account_id, operation)
        return True

    async def _chunk(
        self, connection: asyncpg.Connection, account_id: int, operation: Operation, at: int, most: int
    ) -> _Chunk:
        """Items after number `at`, at most so many."""
        if operation.listed:
            return await self._enroll_listed(connection, account_id, operation, most)
        items = await bulk.to_do(connection, account_id, operation.operation_id, at, min(most, _CHUNK))
        done = await self._do(connection, account_id, operation, items)
        await bulk.done(connection, account_id, operation.operation_id, done)
        return _Chunk(len(items), items[-1].item if items else at, len(items) < _CHUNK)

    async def _schedule(
        self, connection: asyncpg.Connection, account_id: int, operation: Operation, chunk: _Chunk
    ) -> None:
        """The next tick; or the end, once every item has come to something."""
        if operation.listed:
            ended = chunk.last == operation.total
        else:
            ended = not await bulk.to_do(connection, account_id, operation.operation_id, 0, 1)
        if ended:
            await bulk.set_state(connection, account_id, operation.operation_id, BulkState.DONE, None)
            return
        now: datetime = await connection.fetchval("SELECT wf_now()")
        assert operation.next_at is not None
        following = operation.next_at + operation.pace.tick
        if following < now - operation.pace.tick:
            following = now  # it was held up: go on at its pace, without catching up
        await bulk.set_state(connection, account_id, operation.operation_id, BulkState.RUNNING, following)

    async def _do(
        self, connection: asyncpg.Connection, account_id: int, operation: Operation, items: list[Item]
    ) -> Outcomes:
        if not items:
            return {}
        match operation.kind:
            case BulkKind.ENROLL:
                return await self._enroll(connection, account_id, operation, items)
            case BulkKind.MIGRATE:
                return await self._migrate(connection, account_id, operation, items)
            case _:
                return await self._steer(connection, account_id, operation, items)

    async def _steer(
        self, connection: asyncpg.Connection, account_id: int, operation: Operation, items: list[Item]
    ) -> Outcomes:
        done: Outcomes = {}
        params = operation.params
        for item in sorted(items, key=lambda one: one.subject):  # executions are locked in order of id
            try:
                if operation.kind is BulkKind.RETRY:
                    await steering.retry(
                        connection,
                        self._vault,
                        self._outlines,
                        account_id,
                        item.subject,
                        operation.actor,
                        params.words,
                        params.from_step,
                        params.skip_failed,
                    )
                    done[item.item] = ("retried", item.subject)
                else:
                    await cancel.cancel(
                        connection,
                        self._vault,
                        self._outlines,
                        account_id,
                        item.subject,
                        operation.actor,
                        params.words,
                    )
                    done[item.item] = ("cancelled", item.subject)
            except WayfarerError as error:
                done[item.item] = (error.reason.lower(), item.subject)
        return done

    async def _enroll(
        self, connection: asyncpg.Connection, account_id: int, operation: Operation, items: list[Item]
    ) -> Outcomes:
        """Of an operation that the version before began: its contacts are rows."""
        contacts = [item.subject for item in items]
        entered = await enroll_many(connection, self._vault, account_id, _entry(operation), contacts)
        answers = zip(entered.outcomes, entered.execution_ids, strict=True)
        return {item.item: answer for item, answer in zip(items, answers, strict=True)}

    async def _enroll_listed(
        self, connection: asyncpg.Connection, account_id: int, operation: Operation, most: int
    ) -> _Chunk:
        operation_id, finished = operation.operation_id, operation.finished
        if finished == operation.total:
            return _Chunk(0, finished, True)
        listed = await bulk_lists.following(connection, account_id, operation_id, finished, most)
        entered = await enroll_many(
            connection, self._vault, account_id, _entry(operation), listed.contacts, listed.repeated
        )
        await bulk_lists.answer(
            connection, account_id, operation_id, listed.first, entered.outcomes, entered.execution_ids
        )
        counts = entered.counts() + Counter(operation.outcomes)
        await bulk.set_outcomes(connection, account_id, operation_id, counts)
        number = len(listed.contacts)
        return _Chunk(number, finished + number, finished + number == operation.total)

    async def _migrate(
        self, connection: asyncpg.Connection, account_id: int, operation: Operation, items: list[Item]
    ) -> Outcomes:
        params = operation.params
        assert params.workflow_id is not None
        workflow_id = params.workflow_id
        done: Outcomes = {}
        plans: dict[int, migrating.Plan] = {}
        for version in range(
            1, params.to_version if params.chosen.version == 0 else params.chosen.version + 1
        ):
            if version != params.to_version and params.chosen.version in (0, version):
                plans[version] = await migrating.plan_of(
                    connection,
                    self._vault,
                    account_id,
                    workflow_id,
                    version,
                    params.to_version,
                    dict(params.step_map),
                )
        for item in sorted(items, key=lambda one: one.subject):
            try:
                outcome = await migrating.migrate(
                    connection,
                    self._vault,
                    self._outlines,
                    account_id,
                    item.subject,
                    plans,
                    params.removed,
                    operation.actor,
                )
            except WayfarerError as error:
                outcome = error.reason.lower()
            if outcome is not None:
                done[item.item] = (outcome, item.subject)
        return done

    # Looking for the contacts that a filter means

    async def _gather(self, account_id: int, operation: Operation) -> bool:
        """One page of contacts, newest first; those that fit become items. The crm is asked in between.

        False if another process was quicker, or a caller ended it.
        """
        async with account_transaction(self._pool, account_id) as connection:
            rows = await contacts.page(connection, self._vault, account_id, operation.cursor, _PAGE)
            now: datetime = await connection.fetchval("SELECT wf_now()")
        records = await self._records.read(account_id, [row.contact_id for row in rows])
        chosen = [
            row.contact_id
            for row in rows
            if _fits(operation, convert.contact_scope(row, records.get(row.contact_id)), now)
        ]
        async with account_transaction(self._pool, account_id) as connection:
            there = await bulk.get(
                connection, self._vault, account_id, operation.operation_id, lock=" FOR UPDATE SKIP LOCKED"
            )
            if there.state is not BulkState.GATHERING or there.cursor != operation.cursor:
                return False
            if chosen:
                await bulk.add_items(connection, account_id, there, chosen)
            cursor = rows[-1].contact_id if rows else there.cursor
            total = there.total + len(chosen)
            await bulk.set_cursor(connection, account_id, there.operation_id, cursor, total)
            state = BulkState.RUNNING if len(rows) < _PAGE else BulkState.GATHERING
            await bulk.set_state(connection, account_id, there.operation_id, state, now)
        return True


def _fits(operation: Operation, contact: Mapping[str, object], now: datetime) -> bool:
    params = operation.params
    if params.date_trigger:
        assert params.after is not None
        assert params.until is not None
        trigger = orjson.loads(params.date_trigger)
        if schedule.date_fires(trigger, contact, params.after, params.until) is None:
            return False
    if not params.contact_filter:
        return True
    try:
        return Condition.compile(params.contact_filter, CONTACT_ROOTS).evaluate(
            {"contact": contact, "now": now}
        )
    except ConditionFailed:
        return False


def _entry(operation: Operation) -> Entry:
    params = operation.params
    assert params.workflow_id is not None
    return Entry(params.workflow_id, params.priority, params.trigger.encode())


TICK_S = timedelta(milliseconds=100).total_seconds()
"""How often due operations are looked for."""
