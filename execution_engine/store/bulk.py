"""Keeps operations on many: made with their items, worked off tick by tick, paused, read; the API uses it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.bulk import BulkKind, BulkState, Chosen, Pace, Params, Removed
from execution_engine.errors import IllegalTransition, NotFound
from execution_engine.ids import first_id, new_id, past_id
from execution_engine.model import ErrorClass, Priority, Status
from execution_engine.store import bulk_lists

_COLUMNS = """operation_id, kind, state, params_sealed, actor, per_tick, tick, next_at, cursor, total,
    listed, outcomes, created_at, updated_at, ended_at"""
_INSERT = """INSERT INTO bulk_operation (account_id, operation_id, kind, state, params_sealed, actor,
    per_tick, tick, next_at, total, listed, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $9, $9)"""
_CHOSEN = """FROM execution e WHERE e.account_id = $1
    AND (cardinality($2::uuid[]) = 0 OR e.execution_id = ANY ($2::uuid[]))
    AND ($3::uuid IS NULL OR e.workflow_id = $3) AND ($4 = 0 OR e.version = $4)
    AND (cardinality($5::smallint[]) = 0 OR e.status = ANY ($5::smallint[]))
    AND ($6::integer IS NULL OR (e.failure::jsonb ->> 'class')::integer = $6)
    AND ($7 = '' OR e.reason = $7)
    AND ($8::uuid IS NULL OR e.execution_id >= $8) AND ($9::uuid IS NULL OR e.execution_id < $9)
    AND ($10::integer[] IS NULL
        OR (e.version, e.step) IN (SELECT * FROM unnest($10, $11::smallint[])))"""
COUNT = f"SELECT e.version, e.step, e.status, count(*) AS number {_CHOSEN} GROUP BY 1, 2, 3"
"""How many are chosen, by version, step and status."""
_TAKE = f"""INSERT INTO bulk_item (account_id, operation_id, item, subject)
SELECT $1, $12,
    row_number() OVER (ORDER BY e.execution_id), e.execution_id {_CHOSEN} LIMIT {{most}}"""
_ADD = """INSERT INTO bulk_item (account_id, operation_id, item, subject)
SELECT $1, $2, $3 + u.place, u.subject FROM unnest($4::uuid[]) WITH ORDINALITY AS u (subject, place)"""
_TOTAL = """UPDATE bulk_operation SET total = $3 WHERE account_id = $1 AND operation_id = $2"""
_ONE = f"SELECT {_COLUMNS} FROM bulk_operation WHERE account_id = $1 AND operation_id = $2"
_PAGE = f"""SELECT {_COLUMNS} FROM bulk_operation WHERE account_id = $1
    AND ($2::uuid IS NULL OR operation_id < $2) ORDER BY operation_id DESC LIMIT $3"""
_OUTCOMES = """SELECT outcome, count(*) AS number FROM bulk_item WHERE account_id = $1 AND operation_id = $2
GROUP BY outcome"""
_ITEMS = """SELECT item, subject, outcome, execution_id FROM bulk_item
WHERE account_id = $1 AND operation_id = $2 AND item > $3 AND ($4 = '' OR outcome = $4)
ORDER BY item LIMIT $5"""
_TO_DO = """SELECT item, subject FROM bulk_item
WHERE account_id = $1 AND operation_id = $2 AND item > $3 AND outcome = '' ORDER BY item LIMIT $4"""
_DONE = """UPDATE bulk_item b SET outcome = u.outcome, execution_id = u.execution_id
FROM unnest($3::integer[], $4::text[], $5::uuid[]) AS u (item, outcome, execution_id)
WHERE b.account_id = $1 AND b.operation_id = $2 AND b.item = u.item"""
_STATE = """UPDATE bulk_operation SET state = $3, next_at = $4, updated_at = wf_now(),
    ended_at = CASE WHEN $3::smallint IN (3, 4) THEN wf_now() END
WHERE account_id = $1 AND operation_id = $2"""
_CURSOR = """UPDATE bulk_operation SET cursor = $3, total = $4 WHERE account_id = $1 AND operation_id = $2"""
_PROGRESS = """UPDATE bulk_operation SET outcomes = $3 WHERE account_id = $1 AND operation_id = $2"""
_DUE = "SELECT account_id, operation_id FROM wf_bulk_due_except($1, $2)"
IF_DUE = " AND next_at <= wf_now() FOR UPDATE SKIP LOCKED"
"""Locks an operation whose tick has come and that nobody works on: it may have been found due a while ago."""
MOST_ITEMS = 1_000_000
_LIVE = (BulkState.RUNNING, BulkState.PAUSED, BulkState.GATHERING)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation as it is kept."""

    operation_id: UUID
    kind: BulkKind
    state: BulkState
    params: Params
    actor: str
    pace: Pace
    next_at: datetime | None
    cursor: UUID | None
    total: int
    listed: bool
    """Its items are in lists; one of the version before enrols from rows."""
    outcomes: Mapping[str, int]
    """Of one that is listed: how many came to what."""
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None

    @property
    def finished(self) -> int:
        """Of one that is listed: items that came to something; they are the first."""
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True)
class Item:
    """One item; `outcome` is empty while it is to be done."""

    item: int
    subject: UUID
    outcome: str = ""
    execution_id: UUID | None = None


async def create(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    params: Params,
    actor: str,
    pace: Pace,
) -> UUID:
    """Makes an operation with its items; one over contacts of a filter gathers them first."""
    now: datetime = await connection.fetchval("SELECT wf_now()")
    operation_id = new_id(now)
    listed = params.kind is BulkKind.ENROLL
    gathers = listed and not params.contacts
    state = BulkState.GATHERING if gathers else BulkState.RUNNING
    # The items say which; what else was asked is kept.
    kept = replace(params, contacts=(), chosen=replace(params.chosen, ids=()))
    sealed = vault.seal(ports.BULK, account_id, orjson.dumps(asdict(kept), default=str))
    await connection.execute(
        _INSERT,
        account_id,
        operation_id,
        params.kind,
        state,
        sealed,
        actor,
        pace.per_tick,
        pace.tick,
        now,
        listed,
    )
    if listed:
        await bulk_lists.add(connection, account_id, operation_id, 0, params.contacts)
        await connection.execute(_TOTAL, account_id, operation_id, len(params.contacts))
    else:
        text = _TAKE.replace("{most}", str(MOST_ITEMS))
        await connection.execute(text, account_id, *arguments(params.chosen), operation_id)
        total = await connection.fetchval(
            "SELECT count(*) FROM bulk_item WHERE account_id = $1 AND operation_id = $2",
            account_id,
            operation_id,
        )
        await connection.execute(_TOTAL, account_id, operation_id, total)
    return operation_id


def arguments(chosen: Chosen) -> tuple[Any, ...]:
    """The parameters of COUNT after the account."""
    return (
        list(chosen.ids),
        chosen.workflow_id,
        chosen.version,
        list(chosen.statuses),
        chosen.error_class,
        chosen.reason,
        first_id(chosen.created_from) if chosen.created_from is not None else None,
        past_id(chosen.created_to) if chosen.created_to is not None else None,
        [version for version, _ in chosen.places] if chosen.places is not None else None,
        [step for _, step in chosen.places or ()],
    )


async def count(
    connection: asyncpg.Connection, account_id: int, chosen: Chosen
) -> list[tuple[int, int, Status, int]]:
    """How many executions are chosen, by version, position of their step, and status."""
    rows = await connection.fetch(COUNT, account_id, *arguments(chosen))
    return [(row["version"], row["step"], Status(row["status"]), row["number"]) for row in rows]


async def add_items(
    connection: asyncpg.Connection, account_id: int, operation: Operation, contacts: Sequence[UUID]
) -> None:
    """Adds contacts after those that are there already; `set_cursor` counts them."""
    if operation.listed:
        await bulk_lists.add(connection, account_id, operation.operation_id, operation.total, contacts)
    else:
        await connection.execute(_ADD, account_id, operation.operation_id, operation.total, contacts)


async def get(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    operation_id: UUID,
    *,
    lock: str = "",
) -> Operation:
    """One operation; `lock` is SQL to follow. Raises NotFound, also for one that is skipped as locked."""
    row = await connection.fetchrow(_ONE + lock, account_id, operation_id)
    if row is None:
        raise NotFound("bulk_operation", str(operation_id))
    return _operation(row, vault, account_id)


async def page(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, before: UUID | None, size: int
) -> list[Operation]:
    """Up to `size` operations, newest first."""
    rows = await connection.fetch(_PAGE, account_id, before, size)
    return [_operation(row, vault, account_id) for row in rows]


async def outcomes(
    connection: asyncpg.Connection, account_id: int, operation: Operation
) -> tuple[dict[str, int], int]:
    """How many items came to what, and how many are to be done."""
    if operation.listed:
        return dict(operation.outcomes), operation.total - operation.finished
    rows = await connection.fetch(_OUTCOMES, account_id, operation.operation_id)
    counts: dict[str, int] = {row["outcome"]: row["number"] for row in rows}
    left = counts.pop("", 0)
    return counts, left


async def items(
    connection: asyncpg.Connection,
    account_id: int,
    operation: Operation,
    after: int,
    outcome: str,
    most: int,
) -> list[Item]:
    """Items after number `after`, in order, with this outcome (empty: any)."""
    if operation.listed:
        rows = await bulk_lists.items(
            connection, account_id, operation.operation_id, operation.finished, after, outcome, most
        )
    else:
        rows = await connection.fetch(_ITEMS, account_id, operation.operation_id, after, outcome, most)
    return [Item(row["item"], row["subject"], row["outcome"], row["execution_id"]) for row in rows]


async def to_do(
    connection: asyncpg.Connection, account_id: int, operation_id: UUID, after: int, most: int
) -> list[Item]:
    """Items that are still to be done, after number `after`."""
    rows = await connection.fetch(_TO_DO, account_id, operation_id, after, most)
    return [Item(row["item"], row["subject"]) for row in rows]


async def done(
    connection: asyncpg.Connection,
    account_id: int,
    operation_id: UUID,
    outcomes: Mapping[int, tuple[str, UUID | None]],
) -> None:
    """Writes what items came to."""
    await connection.execute(
        _DONE,
        account_id,
        operation_id,
        list(outcomes),
        [outcome for outcome, _ in outcomes.values()],
        [execution_id for _, execution_id in outcomes.values()],
    )


async def set_outcomes(
    connection: asyncpg.Connection, account_id: int, operation_id: UUID, outcomes: Mapping[str, int]
) -> None:
    """Of one that is listed: how many items have come to what by now."""
    await connection.execute(_PROGRESS, account_id, operation_id, orjson.dumps(outcomes).decode())


async def set_state(
    connection: asyncpg.Connection,
    account_id: int,
    operation_id: UUID,
    state: BulkState,
    next_at: datetime | None,
) -> None:
    """Where it stands, and when its next tick is."""
    await connection.execute(_STATE, account_id, operation_id, state, next_at)


async def set_cursor(
    connection: asyncpg.Connection, account_id: int, operation_id: UUID, cursor: UUID | None, total: int
) -> None:
    """How far the contacts have been looked through, and how many items that gave."""
    await connection.execute(_CURSOR, account_id, operation_id, cursor, total)


async def steer(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, operation_id: UUID, to: BulkState
) -> None:
    """Pauses, resumes or cancels at a caller's word. Raises NotFound, IllegalTransition."""
    operation = await get(connection, vault, account_id, operation_id, lock=" FOR UPDATE")
    allowed = {
        BulkState.PAUSED: (BulkState.RUNNING,),
        BulkState.RUNNING: (BulkState.PAUSED,),
        BulkState.CANCELLED: _LIVE,
    }
    if operation.state not in allowed[to]:
        raise IllegalTransition(operation.state.name, to.name)
    now: datetime = await connection.fetchval("SELECT wf_now()")
    await set_state(connection, account_id, operation_id, to, now if to is BulkState.RUNNING else None)


async def due(pool: asyncpg.Pool, busy: Collection[int], most: int) -> list[tuple[int, UUID]]:
    """Operations whose next tick has come, of accounts that are not busy."""
    return [(row[0], row[1]) for row in await pool.fetch(_DUE, list(busy), most)]


def _operation(row: asyncpg.Record, vault: ports.Vault, account_id: int) -> Operation:
    return Operation(
        operation_id=row["operation_id"],
        kind=BulkKind(row["kind"]),
        state=BulkState(row["state"]),
        params=_params(orjson.loads(vault.open(ports.BULK, account_id, row["params_sealed"]))),
        actor=row["actor"],
        pace=Pace(row["per_tick"], row["tick"]),
        next_at=row["next_at"],
        cursor=row["cursor"],
        total=row["total"],
        listed=row["listed"],
        outcomes=orjson.loads(row["outcomes"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        ended_at=row["ended_at"],
    )


def _params(data: dict[str, Any]) -> Params:
    chosen = data["chosen"]
    return Params(
        kind=BulkKind(data["kind"]),
        words=data["words"],
        chosen=Chosen(
            workflow_id=_uuid(chosen["workflow_id"]),
            version=chosen["version"],
            statuses=tuple(Status(status) for status in chosen["statuses"]),
            error_class=ErrorClass(chosen["error_class"]) if chosen["error_class"] else None,
            reason=chosen["reason"],
        ),
        from_step=data["from_step"],
        skip_failed=data["skip_failed"],
        workflow_id=_uuid(data["workflow_id"]),
        contact_filter=data["contact_filter"],
        date_trigger=data["date_trigger"],
        after=_moment(data["after"]),
        until=_moment(data["until"]),
        trigger=data["trigger"],
        priority=Priority(data["priority"]),
        to_version=data["to_version"],
        step_map=tuple((a, b) for a, b in data["step_map"]),
        removed=Removed(data["removed"]),
    )


def _uuid(text: str | None) -> UUID | None:
    return UUID(text) if text else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
