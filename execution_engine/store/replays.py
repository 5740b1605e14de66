"""Events once more, because somebody asks: the API's EventService calls it.

One that was set aside is taken in; one whose starts were refused has them tried again. An event keeps its id
and counts once; its receipt says who asked. The loop bound counts from here: a person asked, not a loop.
"""

from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports, receipts
from execution_engine.definition import patterns
from execution_engine.errors import EventUnreadable, NotFound, NothingToReplay, WayfarerError
from execution_engine.receipts import Consequence, ConsequenceKind
from execution_engine.store import inbox, triggers
from execution_engine.store.definitions import Definitions
from execution_engine.store.enrollment import enroll
from execution_engine.store.events import Arrival, consequence_of, ingest, start_of
from execution_engine.store.sql import statement
from execution_engine.store.workflows import Outlines

_GATES = statement("lock_gates")
_TAKE = """DELETE FROM event_inbox WHERE account_id = $1 AND inbox_id = $2 AND failed_at IS NOT NULL
RETURNING inbox_id, contact_id, type, source_id, occurred_at, data_sealed, cause_sealed"""
_WHOSE = "SELECT contact_id FROM event WHERE account_id = $1 AND event_id = $2"
_LOCK = """SELECT contact_id, type, source_id, occurred_at, data_sealed, receipt, wf_now() AS now FROM event
WHERE account_id = $1 AND event_id = $2 FOR UPDATE"""
_RECEIPT = "UPDATE event SET receipt = $3 WHERE account_id = $1 AND event_id = $2"
_STARTS = (ConsequenceKind.STARTED, ConsequenceKind.DEDUPLICATED, ConsequenceKind.BLOCKED)


async def take_in(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    definitions: Definitions,
    account_id: int,
    inbox_id: int,
    actor: str,
) -> UUID:
    """Takes in an event that was set aside; our id of it. Raises WayfarerError: then it stays set aside.

    Inside the caller's transaction, as the one below.
    """
    row = await connection.fetchrow(_TAKE, account_id, inbox_id)
    if row is None:
        raise NotFound("set_aside_event", str(inbox_id))
    try:
        arrival = inbox.arrival_of(row, vault, account_id)
    except Exception as error:
        raise EventUnreadable(str(inbox_id)) from error
    (answer,) = await ingest(connection, vault, outlines, definitions, account_id, [arrival])
    if isinstance(answer, WayfarerError):
        raise answer
    if not answer.duplicate:
        await _keep(connection, account_id, answer.event_id, list(answer.consequences), actor)
    return answer.event_id


async def try_starts(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, event_id: UUID, actor: str
) -> None:
    """Tries the event's refused starts again; its receipt then says what came of them.

    Raises NotFound, EventUnreadable, and NothingToReplay if none was refused or no trigger is there for them.
    """
    contact_id = await connection.fetchval(_WHOSE, account_id, event_id)
    if contact_id is None:
        raise NotFound("event", str(event_id))
    await connection.fetch(_GATES, account_id, [contact_id])
    row = await connection.fetchrow(_LOCK, account_id, event_id)
    consequences = receipts.load(row["receipt"])
    event, arrival = _as_it_came(row, vault, account_id, event_id)
    found = await triggers.of_types(connection, vault, account_id, [arrival.type])
    places, starts = [], []
    blocked = {one.workflow_id for one in consequences if one.kind is ConsequenceKind.BLOCKED}
    for workflow_id in sorted(blocked):
        answering = [
            trigger
            for trigger in found.get(arrival.type, ())
            if str(trigger.workflow_id) == workflow_id
            and patterns.admits(
                trigger.definition.get("match", {}), trigger.definition.get("filter", ""), event, row["now"]
            )
        ]
        # A workflow's triggers that an event met stand in its receipt in their order.
        for place, trigger in zip(_starts_of(consequences, workflow_id), answering, strict=False):
            if consequences[place].kind is ConsequenceKind.BLOCKED:
                places.append(place)
                starts.append(start_of(arrival, event, trigger))
    if not starts:
        raise NothingToReplay(str(event_id))
    answers = await enroll(connection, vault, account_id, starts)
    for place, start, answer in zip(places, starts, answers, strict=True):
        consequences[place] = consequence_of(start, answer)
    await _keep(connection, account_id, event_id, consequences, actor)


async def _keep(
    connection: asyncpg.Connection,
    account_id: int,
    event_id: UUID,
    consequences: list[Consequence],
    actor: str,
) -> None:
    """Writes the receipt, with who asked."""
    told = [*consequences, Consequence(ConsequenceKind.REPLAYED, "", "", actor)]
    await connection.execute(_RECEIPT, account_id, event_id, receipts.dump(told))


def _starts_of(consequences: list[Consequence], workflow_id: str) -> list[int]:
    return [
        place
        for place, one in enumerate(consequences)
        if one.workflow_id == workflow_id and one.kind in _STARTS
    ]


def _as_it_came(
    row: asyncpg.Record, vault: ports.Vault, account_id: int, event_id: UUID
) -> tuple[dict[str, object], Arrival]:
    """The event as triggers see it, and as it arrived."""
    sealed, at = row["data_sealed"], row["occurred_at"]
    try:
        data = orjson.loads(vault.open(ports.EVENT, account_id, sealed)) if sealed else {}
    except Exception as error:
        raise EventUnreadable(str(event_id)) from error
    event = {"id": str(event_id), "type": row["type"], "time": at.isoformat(), "data": data}
    return event, Arrival(row["source_id"], row["contact_id"], row["type"], at, data, b"")
