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
_OF_TYPES = """SELECT workflow_id, type, definition_sealed FROM workflow_trigger
WHERE account_id = $1 AND type = ANY ($2::text[]) ORDER BY workflow_id, place"""


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
