"""What starts a workflow by itself, stored where events and the scheduler find it; publishing replaces it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports, schedule
from execution_engine.definition import patterns
from execution_engine.definition.triggers import TriggerKind, kind_of, listened_types, triggers_of

_CLEAR = "DELETE FROM workflow_trigger WHERE account_id = $1 AND workflow_id = $2"
_ADD = """INSERT INTO workflow_trigger
    (account_id, workflow_id, place, kind, type, definition_sealed, next_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)"""
_LISTEN = """INSERT INTO listening (account_id, type, workflow_id)
SELECT $1, unnest($3::text[]), $2 ON CONFLICT DO NOTHING"""
_DUE = "SELECT account_id, workflow_id, place FROM wf_triggers_due($1)"
_ONE = """SELECT t.kind, t.definition_sealed, t.next_at, w.status = 2 AS active
FROM workflow_trigger t JOIN workflow w USING (account_id, workflow_id)
WHERE t.account_id = $1 AND t.workflow_id = $2 AND t.place = $3 AND t.next_at <= wf_now()
FOR UPDATE OF t SKIP LOCKED"""
_NEXT = """UPDATE workflow_trigger SET next_at = $4
WHERE account_id = $1 AND workflow_id = $2 AND place = $3"""
_OF_TYPES = """SELECT workflow_id, type, definition_sealed FROM workflow_trigger
WHERE account_id = $1 AND type = ANY ($2::text[]) ORDER BY workflow_id, place"""


@dataclass(frozen=True, slots=True)
class DueTrigger:
    """A trigger on a schedule whose time has come. `active`: whether its workflow takes starts."""

    kind: TriggerKind
    definition: Mapping[str, Any]
    next_at: datetime
    active: bool


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """One way for an event of `type` to start a workflow."""

    workflow_id: UUID
    type: str
    definition: Mapping[str, Any]


async def replace(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    workflow_id: UUID,
    data: Mapping[str, Any],
    now: datetime,
) -> None:
    """Makes the triggers of a valid document those of the workflow. One row per event type of each."""
    await connection.execute(_CLEAR, account_id, workflow_id)
    place = 0
    for trigger in triggers_of(data):
        kind = kind_of(trigger)
        assert kind is not None, "a valid trigger has a kind"
        sealed = vault.seal(ports.TRIGGER, account_id, orjson.dumps(trigger))
        types = patterns.types_of(trigger) if kind is TriggerKind.EVENT else [None]
        next_at = None if kind is TriggerKind.EVENT else schedule.next_time(trigger, kind, now)
        for name in types:
            await connection.execute(_ADD, account_id, workflow_id, place, kind, name, sealed, next_at)
            place += 1
    await connection.execute(_LISTEN, account_id, workflow_id, sorted(listened_types(data)))


async def of_types(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, types: Sequence[str]
) -> dict[str, list[EventTrigger]]:
    """The triggers on events of these types, by type."""
    found: dict[str, list[EventTrigger]] = {}
    for row in await connection.fetch(_OF_TYPES, account_id, list(types)):
        definition = orjson.loads(vault.open(ports.TRIGGER, account_id, row["definition_sealed"]))
        found.setdefault(row["type"], []).append(EventTrigger(row["workflow_id"], row["type"], definition))
    return found


async def due(pool: asyncpg.Pool, most: int) -> list[tuple[int, UUID, int]]:
    """Triggers of any account whose time has come."""
    return [(row[0], row[1], row[2]) for row in await pool.fetch(_DUE, most)]


async def lock(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, workflow_id: UUID, place: int
) -> DueTrigger | None:
    """One trigger that is due, under lock; None if it is no more, or another process has it."""
    row = await connection.fetchrow(_ONE, account_id, workflow_id, place)
    if row is None:
        return None
    definition = orjson.loads(vault.open(ports.TRIGGER, account_id, row["definition_sealed"]))
    return DueTrigger(TriggerKind(row["kind"]), definition, row["next_at"], row["active"])


async def set_next(
    connection: asyncpg.Connection, account_id: int, workflow_id: UUID, place: int, at: datetime | None
) -> None:
    """When it fires next; None for never."""
    await connection.execute(_NEXT, account_id, workflow_id, place, at)
