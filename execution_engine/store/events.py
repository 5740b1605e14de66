"""Takes events in: one transaction stores an event and does all it causes, and says so in its receipt.

Order of locks: contact gates, senders' ids, executions, enrolments. Under the gate no wait of the contact
can begin unseen, and no other event of the contact is between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports, receipts
from execution_engine.definition import patterns
from execution_engine.definition.triggers import priority_of
from execution_engine.errors import EventIdReused, InvalidValue, NotFound, WayfarerError
from execution_engine.ids import new_id
from execution_engine.model import Priority
from execution_engine.receipts import Consequence, ConsequenceKind
from execution_engine.sending import effects
from execution_engine.sending.channels import address_hash
from execution_engine.store import consents, meeting, refusals, triggers
from execution_engine.store.definitions import Definitions
from execution_engine.store.enrollment import Duplicate, Enrolled, Start, enroll
from execution_engine.store.locked import lock_of_contacts
from execution_engine.store.refusals import Refusal
from execution_engine.store.sql import statement
from execution_engine.store.triggers import EventTrigger
from execution_engine.store.workflows import Outlines

WINDOW = timedelta(days=30)
"""How long a sender's id counts; what happened before it is refused."""
_AHEAD = timedelta(minutes=10)
LOOP_LIMIT = 10
"""How often one workflow may be started by events that its own executions led to."""
_DEEPEST = 50
_GATES = statement("lock_gates")
_KEYS = """INSERT INTO event_key (account_id, source_id, event_id, payload_hash, received_at)
SELECT $1, u.source_id, u.event_id, u.payload_hash, $5
FROM unnest($2::text[], $3::uuid[], $4::bytea[]) AS u (source_id, event_id, payload_hash)
ORDER BY u.source_id ON CONFLICT DO NOTHING RETURNING source_id"""
_KNOWN = """SELECT k.source_id, k.event_id, k.payload_hash, e.receipt FROM event_key k
LEFT JOIN event e ON e.account_id = k.account_id AND e.event_id = k.event_id
WHERE k.account_id = $1 AND k.source_id = ANY ($2::text[])"""
_STORE = """INSERT INTO event (account_id, event_id, contact_id, type, source_id, occurred_at, received_at,
    data_sealed, cause_execution, receipt)
SELECT $1, u.event_id, u.contact_id, u.type, u.source_id, u.occurred_at, $2, u.data_sealed, u.cause, u.receipt
FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::timestamptz[], $8::bytea[], $9::uuid[],
    $10::text[]) AS u (event_id, contact_id, type, source_id, occurred_at, data_sealed, cause, receipt)"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event as it comes in. `data` is a JSON object; `workflows`: whose executions led to it, in order."""

    source_id: str
    contact_id: UUID
    type: str
    occurred_at: datetime | None
    data: dict[str, Any]
    payload_hash: bytes
    cause: UUID | None = None
    workflows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an event. `duplicate`: it had come before, and this is what became of it then."""

    event_id: UUID
    consequences: tuple[Consequence, ...]
    duplicate: bool = False


@dataclass(slots=True)
class _Taken:
    """An event being taken in."""

    place: int
    arrival: Arrival
    event_id: UUID
    event: dict[str, Any]
    consequences: list[Consequence] = field(default_factory=list)


Answer = Receipt | WayfarerError


async def ingest(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    definitions: Definitions,
    account_id: int,
    arrivals: Sequence[Arrival],
) -> list[Answer]:
    """One answer per event, in order; errors are values so that one event never fails another.

    Runs inside the caller's transaction, which must be bound to the account.
    """
    now: datetime = await connection.fetchval("SELECT wf_now()")
    contacts = list({arrival.contact_id for arrival in arrivals})
    contacts += await _sharing_addresses(connection, vault, account_id, arrivals)
    gates = {row[0]: row for row in await connection.fetch(_GATES, account_id, contacts)}
    answers: list[Answer | None] = [_refused(arrival, gates, now) for arrival in arrivals]
    taken = await _take(connection, account_id, arrivals, answers, now)
    by_type = await triggers.of_types(connection, vault, account_id, sorted({t.arrival.type for t in taken}))
    for round_ in _rounds(taken):
        for one in round_:
            one.consequences += await _on_messages(connection, vault, account_id, one)
        rows = await lock_of_contacts(
            connection, vault, outlines, account_id, [t.arrival.contact_id for t in round_]
        )
        for one in round_:
            for row in rows:
                if row.contact_id == one.arrival.contact_id:
                    one.consequences += await meeting.meet(connection, definitions, row, one.event)
        await _start(connection, vault, account_id, round_, by_type, now)
    await _store(connection, vault, account_id, taken, now)
    for one in taken:
        answers[one.place] = Receipt(one.event_id, tuple(one.consequences))
    _repeat(arrivals, answers)
    return [answer for answer in answers if answer is not None]


def _refused(arrival: Arrival, gates: dict[UUID, asyncpg.Record], now: datetime) -> WayfarerError | None:
    gate = gates.get(arrival.contact_id)
    if gate is None or gate["deleted"]:
        return NotFound("contact", str(arrival.contact_id))
    if arrival.occurred_at is not None and arrival.occurred_at < now - WINDOW:
        return InvalidValue("occurred_at", "too_old", f"must be within the last {WINDOW.days} days")
    if arrival.occurred_at is not None and arrival.occurred_at > now + _AHEAD:
        return InvalidValue("occurred_at", "future", "must not lie in the future")
    return None


async def _sharing_addresses(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, arrivals: Sequence[Arrival]
) -> list[UUID]:
    """Contacts whose messages these events may stop beside their own: all are locked in one order."""
    meant = [one for one in arrivals if one.type in effects.TYPES]
    if not meant:
        return []
    named = [hashed for one in meant if (hashed := _address_named(vault, account_id, one)) is not None]
    return await consents.concerned(connection, account_id, [one.contact_id for one in meant], named)


def _address_named(vault: ports.Vault, account_id: int, arrival: Arrival) -> bytes | None:
    address = arrival.data.get("address")
    return address_hash(vault, account_id, address) if isinstance(address, str) and address else None


async def _on_messages(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, one: _Taken
) -> list[Consequence]:
    """What the event means for the messages to come."""
    effect = effects.effect_of(one.arrival.type, one.arrival.data)
    if effect is None:
        return []
    hashed = _address_named(vault, account_id, one.arrival)
    source = f"event {one.event_id}"
    if not await consents.apply(connection, account_id, one.arrival.contact_id, effect, hashed, source):
        return []
    reason = effect.reason if isinstance(effect, effects.Suppress) else type(effect).__name__.upper()
    return [Consequence(ConsequenceKind.CONSENT_CHANGED, "", "", reason)]


async def _take(
    connection: asyncpg.Connection,
    account_id: int,
    arrivals: Sequence[Arrival],
    answers: list[Answer | None],
    now: datetime,
) -> list[_Taken]:
    """Takes the senders' ids; what was known already is answered as it was then."""
    firsts: dict[str, _Taken] = {}
    for place, arrival in enumerate(arrivals):
        if answers[place] is None and arrival.source_id not in firsts:
            event_id = new_id(now)
            at = arrival.occurred_at or now
            event = {"id": str(event_id), "type": arrival.type, "time": at.isoformat(), "data": arrival.data}
            firsts[arrival.source_id] = _Taken(place, arrival, event_id, event)
    ours = list(firsts.values())
    new = {
        row[0]
        for row in await connection.fetch(
            _KEYS,
            account_id,
            [t.arrival.source_id for t in ours],
            [t.event_id for t in ours],
            [t.arrival.payload_hash for t in ours],
            now,
        )
    }
    known = [t for t in ours if t.arrival.source_id not in new]
    if known:
        names = [t.arrival.source_id for t in known]
        before = {row["source_id"]: row for row in await connection.fetch(_KNOWN, account_id, names)}
        for one in known:
            answers[one.place] = _as_before(one.arrival, before[one.arrival.source_id])
    return [t for t in ours if t.arrival.source_id in new]


def _as_before(arrival: Arrival, row: asyncpg.Record) -> Answer:
    if row["payload_hash"] != arrival.payload_hash:
        return EventIdReused(arrival.source_id)
    consequences = receipts.load(row["receipt"]) if row["receipt"] else []
    return Receipt(row["event_id"], tuple(consequences), duplicate=True)


def _repeat(arrivals: Sequence[Arrival], answers: list[Answer | None]) -> None:
    """Answers what came twice within the batch."""
    first: dict[str, int] = {}
    for place, arrival in enumerate(arrivals):
        if answers[place] is not None:
            first.setdefault(arrival.source_id, place)
            continue
        twin = first[arrival.source_id]
        answer = answers[twin]
        if arrivals[twin].payload_hash != arrival.payload_hash:
            answers[place] = EventIdReused(arrival.source_id)
        elif isinstance(answer, Receipt):
            answers[place] = Receipt(answer.event_id, answer.consequences, duplicate=True)
        else:
            answers[place] = answer


def _rounds(taken: list[_Taken]) -> list[list[_Taken]]:
    """So that each round has one event per contact, in the order they came."""
    rounds: list[list[_Taken]] = []
    seen: dict[UUID, int] = {}
    for one in taken:
        number = seen.get(one.arrival.contact_id, 0)
        seen[one.arrival.contact_id] = number + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(one)
    return rounds


async def _start(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    round_: list[_Taken],
    by_type: dict[str, list[EventTrigger]],
    now: datetime,
) -> None:
    """Starts the workflows that these events trigger."""
    starts: list[tuple[_Taken, Start]] = []
    refused: list[Refusal] = []
    for one in round_:
        for trigger in by_type.get(one.arrival.type, ()):
            config = trigger.definition
            if not patterns.admits(config.get("match", {}), config.get("filter", ""), one.event, now):
                continue
            workflow_id = trigger.workflow_id
            if _loops(one.arrival, workflow_id):
                one.consequences.append(
                    Consequence(ConsequenceKind.BLOCKED, str(workflow_id), "", "LOOP_REFUSED")
                )
                contact_id = one.arrival.contact_id
                refused.append(Refusal(refusals.LOOP, workflow_id, contact_id, None, one.event_id))
                continue
            starts.append((one, start_of(one.arrival, one.event, trigger)))
    await refusals.add(connection, account_id, refused, now)
    if not starts:
        return
    answers = await enroll(connection, vault, account_id, [start for _, start in starts])
    for (one, start), answer in zip(starts, answers, strict=True):
        one.consequences.append(consequence_of(start, answer))


def _loops(arrival: Arrival, workflow_id: UUID) -> bool:
    own = arrival.workflows.count(str(workflow_id))
    return own > LOOP_LIMIT or len(arrival.workflows) > _DEEPEST


def start_of(arrival: Arrival, event: Mapping[str, Any], trigger: EventTrigger) -> Start:
    """The start that `trigger` makes of an event, which has its id, type and time."""
    config = trigger.definition
    told = {name: event[name] for name in ("id", "type", "time")}
    entry_key = str(arrival.data.get(config["entry_key"], "")) if "entry_key" in config else ""
    return Start(
        workflow_id=trigger.workflow_id,
        contact_id=arrival.contact_id,
        priority=priority_of(config, Priority.HIGH),
        trigger=orjson.dumps({**arrival.data, "event": told}),
        traceparent="",
        entry_key=entry_key[:200],
        event_id=UUID(event["id"]),
        cause=arrival.workflows,
    )


def consequence_of(start: Start, answer: Enrolled | Duplicate | WayfarerError) -> Consequence:
    """What a start came to, for the receipt."""
    workflow_id = str(start.workflow_id)
    match answer:
        case Enrolled():
            return Consequence(ConsequenceKind.STARTED, workflow_id, str(answer.view.execution_id))
        case Duplicate():
            return Consequence(ConsequenceKind.DEDUPLICATED, workflow_id, str(answer.execution_id))
        case _:
            existing = answer.metadata.get("execution_id", "")
            return Consequence(ConsequenceKind.BLOCKED, workflow_id, existing, answer.reason)


async def _store(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, taken: list[_Taken], now: datetime
) -> None:
    if not taken:
        return
    await connection.execute(
        _STORE,
        account_id,
        now,
        [t.event_id for t in taken],
        [t.arrival.contact_id for t in taken],
        [t.arrival.type for t in taken],
        [t.arrival.source_id for t in taken],
        [t.arrival.occurred_at or now for t in taken],
        [
            vault.seal(ports.EVENT, account_id, orjson.dumps(t.arrival.data)) if t.arrival.data else None
            for t in taken
        ],
        [t.arrival.cause for t in taken],
        [receipts.dump(t.consequences) for t in taken],
    )
