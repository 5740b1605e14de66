"""Works bulk operations off, tick by tick, whichever API process comes first."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import orjson
import structlog

from execution_engine import ports, schedule
from execution_engine.bulk import BulkKind, BulkState
from execution_engine.definition.conditions import CONTACT_ROOTS, Condition, ConditionFailed
from execution_engine.errors import ContactOptedOut, NotFound, ReentryRefused, WayfarerError
from execution_engine.store import bulk, cancel, contacts, migrating, steering
from execution_engine.store.accounts import account_transaction
from execution_engine.store.bulk import Item, Operation
from execution_engine.store.enrollment import Duplicate, Enrolled, Start, enroll
from execution_engine.store.hints import HintSender
from execution_engine.store.workflows import Outlines
from services.execution_api import convert
from services.execution_api.crm_records import CrmRecords

log = structlog.get_logger(__name__)
_CHUNK = 200
_PAGE = 500
Outcomes = dict[int, tuple[str, UUID | None]]


class BulkRunner:
    """One per API process; an operation is worked on under its row's lock."""

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

    async def sweep(self) -> bool:
        """One tick of each operation that is due; True if there may be more."""
        found = await bulk.due(self._pool, 50)
        for account_id, operation_id in found:
            try:
                await self._tick(account_id, operation_id)
            except NotFound:
                continue  # another process works on it
            except Exception:
                # One bad operation must not stop the others; it is tried again.
                log.exception("bulk_tick_failed", operation_id=str(operation_id))
        return False

    async def _tick(self, account_id: int, operation_id: UUID) -> None:
        left, at = 1, 0
        while left > 0:
            async with account_transaction(self._pool, account_id) as connection:
                operation = await bulk.get(
                    connection, self._vault, account_id, operation_id, lock=" FOR UPDATE SKIP LOCKED"
                )
                if operation.next_at is None:
                    return
                if operation.state is BulkState.GATHERING:
                    break
                if at == 0:
                    left = operation.pace.per_tick
                items = await bulk.to_do(connection, account_id, operation_id, at, min(left, _CHUNK))
                done = await self._do(connection, account_id, operation, items)
                await bulk.done(connection, account_id, operation_id, done)
                left -= len(items)
                at = items[-1].item if items else at
                if left <= 0 or len(items) < _CHUNK:
                    await self._schedule(connection, account_id, operation)
                    left = 0
        if operation.state is BulkState.GATHERING:
            await self._gather(account_id, operation)
            return
        self._due.tell(account_id)

    async def _schedule(self, connection: asyncpg.Connection, account_id: int, operation: Operation) -> None:
        """The next tick; or the end, once every item has come to something."""
        rest = await bulk.to_do(connection, account_id, operation.operation_id, 0, 1)
        now: datetime = await connection.fetchval("SELECT wf_now()")
        if not rest:
            await bulk.set_state(connection, account_id, operation.operation_id, BulkState.DONE, None)
            return
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
        params = operation.params
        assert params.workflow_id is not None
        starts = [
            Start(params.workflow_id, item.subject, params.priority, params.trigger.encode(), "")
            for item in items
        ]
        answers = await enroll(connection, self._vault, account_id, starts)
        return {item.item: enrolled_as(answer) for item, answer in zip(items, answers, strict=True)}

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

    async def _gather(self, account_id: int, operation: Operation) -> None:
        """One page of contacts, newest first; those that fit become items. The crm is asked in between."""
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
                return  # another process was quicker, or a caller ended it
            if chosen:
                await bulk.add_items(connection, account_id, there.operation_id, there.total, chosen)
            cursor = rows[-1].contact_id if rows else there.cursor
            total = there.total + len(chosen)
            await bulk.set_cursor(connection, account_id, there.operation_id, cursor, total)
            state = BulkState.RUNNING if len(rows) < _PAGE else BulkState.GATHERING
            await bulk.set_state(connection, account_id, there.operation_id, state, now)


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


def enrolled_as(answer: Enrolled | Duplicate | WayfarerError) -> tuple[str, UUID | None]:
    """What an enrolment came to, in one word, and the execution concerned."""
    match answer:
        case Enrolled():
            return "started", answer.view.execution_id
        case Duplicate():
            return "duplicate", answer.execution_id
        case ContactOptedOut():
            return "opted_out", None
        case ReentryRefused():
            return "already_in", UUID(answer.metadata["execution_id"])
        case _:
            return answer.reason.lower(), None


TICK_S = timedelta(milliseconds=100).total_seconds()
"""How often due operations are looked for."""
