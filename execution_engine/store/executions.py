"""Reads executions from the hot and the history table together; the API's Get, List and Watch use it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import asyncpg as dialect

from execution_engine import ports
from execution_engine.errors import NotFound
from execution_engine.ids import first_id, past_id
from execution_engine.model import BlockedOn, ErrorClass, ExecutionView, Priority, Status
from execution_engine.signals import Ask
from execution_engine.store.tables import execution, execution_history

_INPUT = """SELECT input_sealed FROM execution WHERE account_id = $1 AND execution_id = $2
UNION ALL SELECT input_sealed FROM execution_history WHERE account_id = $1 AND execution_id = $2"""
MOST_COUNTED = 10_000
"""How many a total tells exactly."""
_MOST_READ = 20_000
"""Rows of each table that are looked at for a total, where no index serves the whole filter."""
_DIALECT = dialect.dialect()  # type: ignore[no-untyped-call]
_SHARED = (
    "account_id",
    "execution_id",
    "workflow_id",
    "contact_id",
    "version",
    "status",
    "priority",
    "step",
    "visit",
    "attempt",
    "failures",
    "steps_run",
    "log_seq",
    "log_hash",
    "reason",
    "failure",
    "created_at",
    "updated_at",
    "ended_at",
)


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list shows; None for any. `before` is the last id of the page before.

    `reason`, `error_class`, `version` and `places` (version and position of the step) look at the hot table
    only: no index serves them, and the history has no end.
    """

    workflow_id: UUID | None = None
    contact_id: UUID | None = None
    status: Status | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    before: UUID | None = None
    reason: str = ""
    error_class: ErrorClass | None = None
    places: Sequence[tuple[int, int]] | None = None
    version: int = 0

    @property
    def only_hot(self) -> bool:
        """Whether the history is left out."""
        narrowed = self.error_class is not None or self.places is not None
        return narrowed or bool(self.reason) or bool(self.version)


@dataclass(frozen=True, slots=True)
class Total:
    """How many a list has; `at_least`: it may have more."""

    number: int
    at_least: bool


async def get(connection: asyncpg.Connection, account_id: int, execution_id: UUID) -> ExecutionView:
    """One execution. Raises NotFound."""
    hot = _hot().where(execution.c.account_id == account_id, execution.c.execution_id == execution_id)
    past = _past().where(
        execution_history.c.account_id == account_id, execution_history.c.execution_id == execution_id
    )
    rows = await _fetch(connection, sa.union_all(hot, past))
    if not rows:
        raise NotFound("execution", str(execution_id))
    return _view(rows[0])


async def trace_id(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, execution_id: UUID
) -> str:
    """The trace it is part of, 32 hexadecimal digits; "" if it is not traced."""
    sealed = await connection.fetchval(_INPUT, account_id, execution_id)
    traceparent: str = (
        orjson.loads(vault.open(ports.INPUT, account_id, sealed)).get("trace", "") if sealed else ""
    )
    return traceparent.split("-")[1] if traceparent else ""


async def page(
    connection: asyncpg.Connection, account_id: int, chosen: Filter, size: int
) -> list[ExecutionView]:
    """Up to `size` executions, newest first. Ids are UUIDv7: their order is that of creation."""
    parts = []
    for table in _tables(chosen):
        select = _hot() if table is execution else _past()
        served, others = _where(table, account_id, chosen)
        part = select.where(*served, *others).order_by(table.c.execution_id.desc()).limit(size).subquery()
        parts.append(sa.select(part))
    both = sa.union_all(*parts).subquery()
    rows = await _fetch(connection, sa.select(both).order_by(both.c.execution_id.desc()).limit(size))
    return [_view(row) for row in rows]


async def at(connection: asyncpg.Connection, account_id: int, chosen: Filter, place: int) -> UUID | None:
    """The id of the execution at a place of the list, from 1; None if it is shorter. Reads ids alone."""
    parts = []
    for table in _tables(chosen):
        served, others = _where(table, account_id, chosen)
        ids = sa.select(table.c.execution_id).where(*served, *others)
        parts.append(sa.select(ids.order_by(table.c.execution_id.desc()).limit(place).subquery()))
    both = sa.union_all(*parts).subquery()
    rows = await _fetch(
        connection, sa.select(both).order_by(both.c.execution_id.desc()).offset(place - 1).limit(1)
    )
    return rows[0]["execution_id"] if rows else None


async def count(connection: asyncpg.Connection, account_id: int, chosen: Filter) -> Total:
    """How many there are, exactly up to 10,000; bounded in what it reads, whatever the filter."""
    parts = []
    for table in _tables(chosen):
        served, others = _where(table, account_id, chosen)
        most = _MOST_READ if others else MOST_COUNTED + 1
        near = sa.select(sa.and_(sa.true(), *others).label("fits")).where(*served)
        read = near.order_by(table.c.execution_id.desc()).limit(most).subquery()
        parts.append(
            sa.select(
                sa.func.count().filter(read.c.fits).label("fitting"),
                (sa.func.count() < most).label("whole"),
            ).select_from(read)
        )
    rows = await _fetch(connection, sa.union_all(*parts))
    found, whole = sum(row["fitting"] for row in rows), all(row["whole"] for row in rows)
    return Total(min(found, MOST_COUNTED), at_least=not whole or found > MOST_COUNTED)


def _tables(chosen: Filter) -> tuple[sa.Table, ...]:
    return (execution,) if chosen.only_hot else (execution, execution_history)


def _where(
    table: sa.Table, account_id: int, chosen: Filter
) -> tuple[list[sa.ColumnElement[bool]], list[sa.ColumnElement[bool]]]:
    """What a filter means: the conditions that an index serves in the order of ids, and the others."""
    served: list[sa.ColumnElement[bool]] = [table.c.account_id == account_id]
    others: list[sa.ColumnElement[bool]] = []
    if chosen.workflow_id is not None:
        served.append(table.c.workflow_id == chosen.workflow_id)
    if chosen.contact_id is not None:
        served.append(table.c.contact_id == chosen.contact_id)
    if chosen.status is not None:
        alone = chosen.workflow_id is None and chosen.contact_id is None
        indexed = table is execution or chosen.status is not Status.COMPLETED
        (served if alone and indexed else others).append(table.c.status == int(chosen.status))
    # The ids hold the milliseconds of creation: bounds on them let the indexes skip the rest.
    if chosen.created_from is not None:
        served.append(table.c.execution_id >= first_id(chosen.created_from))
        others.append(table.c.created_at >= chosen.created_from)
    if chosen.created_to is not None:
        served.append(table.c.execution_id < past_id(chosen.created_to))
        others.append(table.c.created_at < chosen.created_to)
    if chosen.before is not None:
        served.append(table.c.execution_id < chosen.before)
    return served, others + _narrowed(chosen)


def _narrowed(chosen: Filter) -> list[sa.ColumnElement[bool]]:
    where: list[sa.ColumnElement[bool]] = []
    if chosen.reason:
        where.append(execution.c.reason == chosen.reason)
    if chosen.error_class is not None:
        number = sa.cast(sa.cast(execution.c.failure, JSONB).op("->>")("class"), sa.Integer)
        where.append(number == int(chosen.error_class))
    if chosen.version:
        where.append(execution.c.version == chosen.version)
    if chosen.places is not None:
        here = [
            sa.and_(execution.c.version == version, execution.c.step == step)
            for version, step in chosen.places
        ]
        where.append(sa.or_(sa.false(), *here))
    return where


def _hot() -> sa.Select[tuple[object, ...]]:
    columns = [execution.c[name] for name in _SHARED]
    return sa.select(
        *columns,
        execution.c.blocked_on,
        execution.c.parked,
        execution.c.wake_at,
        execution.c.attempt_open,
        execution.c.open_seq,
        execution.c.open_at,
        execution.c.ask,
        execution.c.blocked_by,
        execution.c.held_on,
        execution.c.resume_at,
        execution.c.not_before,
    )


def _past() -> sa.Select[tuple[object, ...]]:
    columns = [execution_history.c[name] for name in _SHARED]
    return sa.select(
        *columns,
        sa.literal_column("0::smallint").label("blocked_on"),
        sa.literal_column("false").label("parked"),
        sa.literal_column("NULL::timestamptz").label("wake_at"),
        sa.literal_column("false").label("attempt_open"),
        sa.literal_column("0").label("open_seq"),
        sa.literal_column("NULL::timestamptz").label("open_at"),
        sa.literal_column("0::smallint").label("ask"),
        sa.literal_column("''").label("blocked_by"),
        sa.literal_column("0::smallint").label("held_on"),
        sa.literal_column("NULL::timestamptz").label("resume_at"),
        sa.literal_column("NULL::timestamptz").label("not_before"),
    )


async def _fetch(connection: asyncpg.Connection, statement: sa.Executable) -> list[asyncpg.Record]:
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})  # type: ignore[attr-defined]
    arguments = [compiled.params[name] for name in compiled.positiontup or ()]
    rows: list[asyncpg.Record] = await connection.fetch(str(compiled), *arguments)
    return rows


def _view(row: asyncpg.Record) -> ExecutionView:
    status = Status(row["status"])
    moving = status in (Status.ACTIVE, Status.COMPLETED, Status.FAILED, Status.CANCELLED)
    blocked_on = BlockedOn.NOTHING if moving else BlockedOn(row["blocked_on"])
    if row["parked"]:
        blocked_on = BlockedOn.WORKFLOW_PAUSED
    return ExecutionView(
        **{name: row[name] for name in _SHARED if name not in ("status", "priority")},
        status=status,
        priority=Priority(row["priority"]),
        blocked_on=blocked_on,
        wake_at=None if status is Status.ACTIVE else row["wake_at"],
        attempt_open=row["attempt_open"],
        open_seq=row["open_seq"],
        open_at=row["open_at"],
        pause_asked=bool(row["ask"] & Ask.PAUSE) and status is Status.ACTIVE,
        blocked_by=row["blocked_by"],
        held_on=BlockedOn(row["held_on"]),
        resume_at=row["resume_at"],
        not_before=row["not_before"],
    )
