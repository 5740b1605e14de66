"""Keeps failures to be told of, and the notices that tell of them; dispatcher/notices.py sends them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.definition.program import END
from execution_engine.model import ErrorClass
from execution_engine.notices import Group, Target, Told
from execution_engine.run import Run

_ADD = """INSERT INTO failure_notice (account_id, execution_id, failed_seq, workflow_id, step_id, error_class,
    code, message, failed_at)
SELECT u.*, $9 FROM unnest($1::bigint[], $2::uuid[], $3::integer[], $4::uuid[], $5::text[], $6::smallint[],
    $7::text[], $8::text[]) AS u ON CONFLICT DO NOTHING"""
_GROUPS = """SELECT DISTINCT f.account_id, f.workflow_id, f.step_id, f.error_class, f.code,
    (SELECT max(n.made_at) FROM notice n WHERE n.account_id = f.account_id AND n.workflow_id = f.workflow_id
        AND n.step_id = f.step_id AND n.error_class = f.error_class AND n.code = f.code) AS last_notice_at
FROM failure_notice f JOIN account a USING (account_id)
WHERE f.notice_id IS NULL AND f.closed_at IS NULL AND a.shard = ANY ($1::smallint[]) LIMIT 500"""
_OF_GROUP = """account_id = $1 AND workflow_id = $2 AND step_id = $3 AND error_class = $4 AND code = $5
    AND notice_id IS NULL AND closed_at IS NULL"""
_CLOSE_GROUP = f"UPDATE failure_notice SET closed_at = wf_now() WHERE {_OF_GROUP}"
_MAKE = """INSERT INTO notice (account_id, notice_id, workflow_id, step_id, error_class, code, targets_sealed,
    made_at, next_at) VALUES ($1, $6, $2, $3, $4, $5, $7, $8, $8)"""
_GATHER = f"UPDATE failure_notice SET notice_id = $6 WHERE {_OF_GROUP}"
_DUE = """SELECT n.account_id, n.notice_id, n.workflow_id, n.targets_sealed, n.tries, n.step_id,
    n.error_class, n.code, w.name AS workflow
FROM notice n JOIN account a USING (account_id) JOIN workflow w USING (account_id, workflow_id)
WHERE n.next_at <= wf_now() AND a.shard = ANY ($1::smallint[]) ORDER BY n.next_at LIMIT 100"""
_TOLD = """SELECT count(*) AS number, min(failed_at) AS first_at, max(failed_at) AS last_at,
    (array_agg(execution_id ORDER BY failed_at, execution_id))[:1000] AS executions,
    (array_agg(message ORDER BY failed_at))[1] AS message
FROM failure_notice WHERE account_id = $1 AND notice_id = $2"""
_AFTER = (
    "UPDATE notice SET targets_sealed = $3, tries = $4, next_at = $5 WHERE account_id = $1 AND notice_id = $2"
)
_CLOSE = "UPDATE failure_notice SET closed_at = wf_now() WHERE account_id = $1 AND notice_id = $2"


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice to be sent. `targets`: each with "" while it is to be done, or what became of it."""

    account_id: int
    notice_id: UUID
    targets: list[tuple[Target, str]]
    tries: int
    told: Told


async def add(connection: asyncpg.Connection, failed: Sequence[Run], now: datetime) -> None:
    """Notes failures, in the commit that writes them."""
    if not failed:
        return
    errors: list[dict[str, Any]] = [orjson.loads(run.failure) if run.failure else {} for run in failed]
    await connection.execute(
        _ADD,
        [run.account_id for run in failed],
        [run.execution_id for run in failed],
        [run.log_seq for run in failed],
        [run.workflow_id for run in failed],
        [_step_id(run) for run in failed],
        [error.get("class", 0) for error in errors],
        [error.get("code", run.reason) for run, error in zip(failed, errors, strict=True)],
        [error.get("message", "") for error in errors],
        now,
    )


def _step_id(run: Run) -> str:
    assert run.program is not None
    return run.program.steps[run.step].id if run.step != END else ""


async def groups(connection: asyncpg.Connection, shards: Sequence[int]) -> list[Group]:
    """Kinds of failures nobody has been told of."""
    return [Group(**dict(row)) for row in await connection.fetch(_GROUPS, list(shards))]


async def unwanted(connection: asyncpg.Connection, group: Group) -> None:
    """The account does not want to be told of these."""
    await connection.execute(_CLOSE_GROUP, *_key(group))


async def make(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    group: Group,
    notice_id: UUID,
    targets: Sequence[Target],
    now: datetime,
) -> None:
    """Makes the notice that tells of all of these; nothing has been sent yet."""
    sealed = _sealed(vault, group.account_id, [(target, "") for target in targets])
    await connection.execute(_MAKE, *_key(group), notice_id, sealed, now)
    await connection.execute(_GATHER, *_key(group), notice_id)


def _sealed(vault: ports.Vault, account_id: int, targets: Sequence[tuple[Target, str]]) -> bytes:
    return vault.seal(
        ports.NOTICE, account_id, orjson.dumps([[t.kind, t.address, done] for t, done in targets])
    )


def _key(group: Group) -> tuple[Any, ...]:
    return (group.account_id, group.workflow_id, group.step_id, group.error_class, group.code)


async def due(connection: asyncpg.Connection, vault: ports.Vault, shards: Sequence[int]) -> list[Notice]:
    """Notices to be sent now."""
    found = []
    for row in await connection.fetch(_DUE, list(shards)):
        told = await connection.fetchrow(_TOLD, row["account_id"], row["notice_id"])
        found.append(_notice(row, told, vault))
    return found


def _notice(row: asyncpg.Record, told: asyncpg.Record, vault: ports.Vault) -> Notice:
    targets = orjson.loads(vault.open(ports.NOTICE, row["account_id"], row["targets_sealed"]))
    return Notice(
        row["account_id"],
        row["notice_id"],
        [(Target(kind, address), done) for kind, address, done in targets],
        row["tries"],
        Told(
            workflow=row["workflow"],
            step_id=row["step_id"],
            error_class=ErrorClass(row["error_class"]).name.lower(),
            code=row["code"],
            message=told["message"] or "",
            count=told["number"],
            first_at=told["first_at"],
            last_at=told["last_at"],
            executions=told["executions"] or [],
        ),
    )


async def after(
    connection: asyncpg.Connection, vault: ports.Vault, notice: Notice, next_at: datetime | None
) -> None:
    """What became of its targets, and when it is sent again; None: it is over."""
    sealed = _sealed(vault, notice.account_id, notice.targets)
    await connection.execute(_AFTER, notice.account_id, notice.notice_id, sealed, notice.tries, next_at)
    if next_at is None:
        await connection.execute(_CLOSE, notice.account_id, notice.notice_id)
