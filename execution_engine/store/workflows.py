"""Workflows and their versions; the API's WorkflowService uses it. Documents are sealed at rest."""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.definition.compile import settings_of
from execution_engine.errors import DraftChanged, IllegalTransition, NotFound, WorkflowArchived
from execution_engine.ids import new_id
from execution_engine.model import WorkflowStatus
from execution_engine.store import triggers

_COLUMNS = """workflow_id, key, name, status, published_version, draft_steps, created_at, updated_at"""
_BY_KEY = f"SELECT {_COLUMNS}, draft_sealed FROM workflow WHERE account_id = $1 AND key = $2"
_BY_ID = f"SELECT {_COLUMNS}, draft_sealed FROM workflow WHERE account_id = $1 AND workflow_id = $2"
_LOCK = " FOR NO KEY UPDATE"
_NAMED = """SELECT workflow_id, key FROM workflow
WHERE account_id = $1 AND (workflow_id = ANY ($2::uuid[]) OR key = ANY ($3::text[]))"""
_PAGE = f"""SELECT {_COLUMNS}, NULL::bytea AS draft_sealed FROM workflow
WHERE account_id = $1 AND ($2::smallint IS NULL OR status = $2) AND ($3::uuid IS NULL OR workflow_id < $3)
ORDER BY workflow_id DESC LIMIT $4"""
_INSERT = """INSERT INTO workflow (account_id, workflow_id, key, name, status, draft_sealed, draft_steps)
VALUES ($1, $2, $3, $4, 1, $5, $6) ON CONFLICT (account_id, key) DO NOTHING RETURNING workflow_id"""
_DRAFT = """UPDATE workflow SET name = $3, draft_sealed = $4, draft_steps = $5, updated_at = wf_now()
WHERE account_id = $1 AND workflow_id = $2"""
_VERSION = """INSERT INTO workflow_version (account_id, workflow_id, version, document_sealed)
VALUES ($1, $2, $3, $4)"""
_PUBLISH = """UPDATE workflow SET status = CASE WHEN status = 3 THEN 3 ELSE 2 END, published_version = $3,
dedup_window_ms = $4, reentry = $5, updated_at = wf_now() WHERE account_id = $1 AND workflow_id = $2"""
_STATUS = "UPDATE workflow SET status = $3, updated_at = wf_now() WHERE account_id = $1 AND workflow_id = $2"
_DOCUMENT = """SELECT document_sealed FROM workflow_version
WHERE account_id = $1 AND workflow_id = $2 AND version = $3"""
_STANDING = """SELECT v.version, v.document_sealed FROM workflow_version v
WHERE v.account_id = $1 AND v.workflow_id = $2 AND ($3 = 0 OR v.version = $3) AND v.version IN (
    SELECT e.version FROM execution e WHERE e.account_id = $1 AND e.workflow_id = $2
    UNION SELECT w.published_version FROM workflow w WHERE w.account_id = $1 AND w.workflow_id = $2)"""
_KEYS = "SELECT workflow_id, key FROM workflow WHERE account_id = $1 AND workflow_id = ANY ($2::uuid[])"
_UNPARK = """WITH parked AS MATERIALIZED (
    SELECT ctid AS place FROM execution WHERE account_id = $1 AND workflow_id = $2 AND parked
    ORDER BY execution_id LIMIT 1000 FOR UPDATE SKIP LOCKED
)
UPDATE execution e SET parked = false, wake_at = wf_now(), rev = e.rev + 1
FROM parked p WHERE e.ctid = p.place"""

_MOST_VERSION = 2**31 - 1

_MOVES = {
    WorkflowStatus.PAUSED: frozenset({WorkflowStatus.ACTIVE}),
    WorkflowStatus.ACTIVE: frozenset({WorkflowStatus.PAUSED}),
    WorkflowStatus.ARCHIVED: frozenset({WorkflowStatus.DRAFT, WorkflowStatus.ACTIVE, WorkflowStatus.PAUSED}),
}
"""Which statuses each may be reached from by a caller's word; publishing is another way to ACTIVE."""


@dataclass(frozen=True, slots=True)
class WorkflowView:
    """A workflow as callers see it; `draft` is its canonical JSON, b"" in lists."""

    workflow_id: UUID
    key: str
    name: str
    status: WorkflowStatus
    published_version: int
    draft_steps: int
    created_at: datetime
    updated_at: datetime
    draft: bytes


async def find(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, name: str, *, lock: bool = False
) -> WorkflowView:
    """A workflow by id or key; with `lock`, nobody else changes it before the end. Raises NotFound."""
    suffix = _LOCK if lock else ""
    row = None
    if (workflow_id := as_id(name)) is not None:
        row = await connection.fetchrow(_BY_ID + suffix, account_id, workflow_id)
    if row is None:
        row = await connection.fetchrow(_BY_KEY + suffix, account_id, name)
    if row is None:
        raise NotFound("workflow", name)
    return _view(row, vault, account_id)


async def named(
    connection: asyncpg.Connection, account_id: int, names: Collection[str]
) -> dict[str, tuple[UUID, str]]:
    """Id and key of the workflows of these names, each an id or a key; others are left out."""
    ids = {name: as_id(name) for name in names}
    rows = await connection.fetch(_NAMED, account_id, [i for i in ids.values() if i is not None], list(names))
    by_id = {row["workflow_id"]: (row["workflow_id"], row["key"]) for row in rows}
    by_key = {row["key"]: (row["workflow_id"], row["key"]) for row in rows}
    found = {name: by_id.get(ids[name]) or by_key.get(name) for name in names}
    return {name: one for name, one in found.items() if one is not None}


def as_id(name: str) -> UUID | None:
    """The id that a workflow's name may be; None if it can only be a key."""
    try:
        return UUID(name)
    except ValueError:
        return None


async def page(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    status: WorkflowStatus | None,
    before: UUID | None,
    size: int,
) -> list[WorkflowView]:
    """Up to `size` workflows, newest first, after id `before`."""
    rows = await connection.fetch(_PAGE, account_id, int(status) if status else None, before, size)
    return [_view(row, vault, account_id) for row in rows]


async def put_draft(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    document: bytes,
    expected: datetime | None = None,
) -> tuple[WorkflowView, bool]:
    """Makes `document` (canonical, valid) the draft of the workflow its key names; whether that is new.

    `expected` is when the workflow last changed, as the caller read it.

    Raises WorkflowArchived, DraftChanged.
    """
    data = orjson.loads(document)
    key, name, steps = data["key"], data.get("name") or data["key"], len(data["steps"])
    sealed = vault.seal(ports.DOCUMENT, account_id, document)
    now = await connection.fetchval("SELECT wf_now()")
    made = await connection.fetchval(_INSERT, account_id, new_id(now), key, name, sealed, steps)
    if made is None:
        known = await find(connection, vault, account_id, key, lock=True)
        if known.status is WorkflowStatus.ARCHIVED:
            raise WorkflowArchived(key)
        if expected is not None and expected != known.updated_at:
            raise DraftChanged(key)
        await connection.execute(_DRAFT, account_id, known.workflow_id, name, sealed, steps)
    elif expected is not None:
        raise DraftChanged(key)
    return await find(connection, vault, account_id, key), made is not None


async def replace_draft(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    workflow: WorkflowView,
    document: dict[str, Any],
) -> WorkflowView:
    """Makes an edited document the draft. The workflow must be locked; its key stays."""
    sealed = vault.seal(ports.DOCUMENT, account_id, orjson.dumps(document))
    steps = len(document["steps"])
    await connection.execute(_DRAFT, account_id, workflow.workflow_id, workflow.name, sealed, steps)
    return await find(connection, vault, account_id, workflow.key)


async def places_of(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    workflow_id: UUID,
    step_id: str,
    version: int,
) -> list[tuple[int, int]]:
    """Where a step stands: versions and positions. `version` 0: each that has executions, and the last."""
    found: list[tuple[int, int]] = []
    if version > _MOST_VERSION:
        return found
    for row in await connection.fetch(_STANDING, account_id, workflow_id, version):
        document = orjson.loads(vault.open(ports.DOCUMENT, account_id, row["document_sealed"]))
        ids = [step["id"] for step in document["steps"]]
        if step_id in ids:
            found.append((row["version"], ids.index(step_id)))
    return sorted(found)


async def publish(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    workflow: WorkflowView,
    document: bytes,
) -> WorkflowView:
    """Makes the draft, with its templates put in, the next version; what is paused stays so. It must be
    locked. Raises WorkflowArchived.
    """
    if workflow.status is WorkflowStatus.ARCHIVED:
        raise WorkflowArchived(workflow.key)
    version = workflow.published_version + 1
    await connection.execute(
        _VERSION,
        account_id,
        workflow.workflow_id,
        version,
        vault.seal(ports.DOCUMENT, account_id, document),
    )
    data = orjson.loads(document)
    settings = settings_of(data)
    await connection.execute(
        _PUBLISH, account_id, workflow.workflow_id, version, settings.dedup_window_ms, int(settings.reentry)
    )
    now = await connection.fetchval("SELECT wf_now()")
    await triggers.replace(connection, vault, account_id, workflow.workflow_id, data, now)
    return await find(connection, vault, account_id, workflow.key)


async def set_status(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, name: str, status: WorkflowStatus
) -> WorkflowView:
    """Pauses, resumes or archives. Raises NotFound, IllegalTransition."""
    workflow = await find(connection, vault, account_id, name, lock=True)
    if workflow.status not in _MOVES[status]:
        raise IllegalTransition(workflow.status.name, status.name)
    await connection.execute(_STATUS, account_id, workflow.workflow_id, int(status))
    return await find(connection, vault, account_id, workflow.key)


async def unpark(connection: asyncpg.Connection, account_id: int, workflow_id: UUID) -> int:
    """Makes up to 1,000 parked executions due again; how many."""
    return int((await connection.execute(_UNPARK, account_id, workflow_id)).rpartition(" ")[2])


async def version_document(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, workflow_id: UUID, version: int
) -> bytes:
    """The canonical document of a version. Raises NotFound."""
    sealed = None
    if version <= _MOST_VERSION:
        sealed = await connection.fetchval(_DOCUMENT, account_id, workflow_id, version)
    if sealed is None:
        raise NotFound("workflow", f"{workflow_id} version {version}")
    return vault.open(ports.DOCUMENT, account_id, sealed)


async def keys(connection: asyncpg.Connection, account_id: int, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The key of each workflow."""
    return {row[0]: row[1] for row in await connection.fetch(_KEYS, account_id, list(ids))}


class Outlines:
    """(id, type) of each step of a version, for showing executions; versions never change, so cached."""

    def __init__(self, vault: ports.Vault, most: int = 5_000) -> None:
        self._vault = vault
        self._most = most
        self._cache: OrderedDict[tuple[int, UUID, int], tuple[tuple[str, str], ...]] = OrderedDict()

    def known(self, account_id: int, workflow_id: UUID, version: int) -> tuple[tuple[str, str], ...] | None:
        """The outline, if it was read before."""
        return self._cache.get((account_id, workflow_id, version))

    async def of(
        self, connection: asyncpg.Connection, account_id: int, workflow_id: UUID, version: int
    ) -> tuple[tuple[str, str], ...]:
        """The outline of one version. Raises NotFound."""
        key = (account_id, workflow_id, version)
        if key not in self._cache:
            document = await version_document(connection, self._vault, account_id, workflow_id, version)
            self._cache[key] = tuple((step["id"], step["type"]) for step in orjson.loads(document)["steps"])
            while len(self._cache) > self._most:
                self._cache.popitem(last=False)
        return self._cache[key]


def _view(row: asyncpg.Record, vault: ports.Vault, account_id: int) -> WorkflowView:
    sealed = row["draft_sealed"]
    return WorkflowView(
        workflow_id=row["workflow_id"],
        key=row["key"],
        name=row["name"],
        status=WorkflowStatus(row["status"]),
        published_version=row["published_version"],
        draft_steps=row["draft_steps"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        draft=vault.open(ports.DOCUMENT, account_id, sealed) if sealed else b"",
    )
