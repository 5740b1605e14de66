"""Enters contacts into workflows; the execution API calls it with natural batches, joint.py decides by it.

Order of locks: contact gates, dedup rows, executions. Under the gate's lock the read of earlier
enrolments cannot be overtaken, so one transaction decides for every contact in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson

from execution_engine import chain, ports
from execution_engine.errors import (
    ContactOptedOut,
    NotFound,
    ReentryRefused,
    WayfarerError,
    WorkflowNotActive,
)
from execution_engine.ids import new_id
from execution_engine.model import (
    BlockedOn,
    ExecutionView,
    LogEvent,
    Priority,
    Reentry,
    Status,
    WorkflowStatus,
)
from execution_engine.store import refusals
from execution_engine.store.refusals import Refusal
from execution_engine.store.sql import statement

_LOCK_GATES = statement("lock_gates")
_ENROLLED_BEFORE = statement("enrolled_before")
_ENROLL = statement("enroll")
_WORKFLOWS = """SELECT wf_now() AS now, workflow_id, status, published_version, reentry FROM workflow
WHERE account_id = $1 AND workflow_id = ANY ($2::uuid[])"""


@dataclass(frozen=True, slots=True)
class Start:
    """One contact to enter into one workflow. `trigger` is a JSON object, b"" for none.

    `cause`: the workflows whose executions led to the event that starts it, earliest first.
    """

    workflow_id: UUID
    contact_id: UUID
    priority: Priority
    trigger: bytes
    traceparent: str
    entry_key: str = ""
    event_id: UUID | None = None
    cause: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The start made an execution."""

    view: ExecutionView


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The same start happened within the dedup window; it made this execution."""

    execution_id: UUID


@dataclass(slots=True)
class Candidate:
    """An execution about to be entered, for the start at `place` of its batch."""

    place: int
    start: Start
    execution_id: UUID
    version: int
    sealed: bytes | None
    hash: bytes


Answer = Enrolled | Duplicate | WayfarerError


async def enroll(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, starts: Sequence[Start]
) -> list[Answer]:
    """One answer per start, in order; errors are values so that one start never fails another.

    Runs inside the caller's transaction, which must be bound to the account.
    """
    workflows = {
        row["workflow_id"]: row
        for row in await connection.fetch(_WORKFLOWS, account_id, list({s.workflow_id for s in starts}))
    }
    if not workflows:
        return [NotFound("workflow", str(start.workflow_id)) for start in starts]
    now: datetime = next(iter(workflows.values()))["now"]
    gates = {
        row["contact_id"]: row
        for row in await connection.fetch(_LOCK_GATES, account_id, list({s.contact_id for s in starts}))
    }
    before = await _enrolled_before(connection, account_id, starts)
    answers: list[Answer | None] = []
    candidates: list[Candidate] = []
    first: dict[tuple[UUID, UUID, str], UUID] = {}
    for place, start in enumerate(starts):
        workflow, gate = workflows.get(start.workflow_id), gates.get(start.contact_id)
        twin = first.get((start.workflow_id, start.contact_id, start.entry_key))
        refused = refusal(start, workflow, gate, before.get(place), twin)
        answers.append(refused)
        if workflow is not None and refused is None:
            candidate = prepared(vault, account_id, place, start, workflow["published_version"], now)
            first[(start.workflow_id, start.contact_id, start.entry_key)] = candidate.execution_id
            candidates.append(candidate)
    if candidates:
        await _insert(connection, account_id, candidates, now)
    told = [_kept(start, answer) for start, answer in zip(starts, answers, strict=True)]
    await refusals.add(connection, account_id, [kept for kept in told if kept is not None], now)
    for candidate in candidates:
        answers[candidate.place] = Enrolled(view_of(account_id, candidate, now))
    return [answer for answer in answers if answer is not None]


def _kept(start: Start, answer: Answer | None) -> Refusal | None:
    """What is kept of a start that makes no execution; a mistaken name leaves nothing."""
    execution_id: UUID | None = None
    match answer:
        case ContactOptedOut():
            kind = refusals.OPT_OUT
        case WorkflowNotActive():
            kind = refusals.NOT_ACTIVE
        case ReentryRefused():
            kind, execution_id = refusals.REENTRY, UUID(answer.metadata["execution_id"])
        case Duplicate():
            kind, execution_id = refusals.DEDUPLICATION, answer.execution_id
        case _:
            return None
    return Refusal(kind, start.workflow_id, start.contact_id, execution_id, start.event_id)


async def _enrolled_before(
    connection: asyncpg.Connection, account_id: int, starts: Sequence[Start]
) -> dict[int, asyncpg.Record]:
    rows = await connection.fetch(
        _ENROLLED_BEFORE,
        account_id,
        [s.workflow_id for s in starts],
        [s.contact_id for s in starts],
        [s.entry_key for s in starts],
        list(range(len(starts))),
    )
    return {row["place"]: row for row in rows}


def refusal(
    start: Start,
    workflow: asyncpg.Record | None,
    gate: asyncpg.Record | None,
    before: asyncpg.Record | None,
    twin: UUID | None,
) -> Answer | None:
    """Why the start makes no execution, or None. Rules in the order of the requirements.

    `before` is the enrolment it met, `twin` the execution that the same start makes in this batch.
    """
    if workflow is None:
        return NotFound("workflow", str(start.workflow_id))
    if workflow["status"] != WorkflowStatus.ACTIVE:
        return WorkflowNotActive(str(start.workflow_id))
    if gate is None or gate["deleted"]:
        return NotFound("contact", str(start.contact_id))
    if gate["opted_out"]:
        return ContactOptedOut(str(start.contact_id))
    if twin is not None:
        return Duplicate(twin)
    if before is not None:
        if before["within_window"]:
            return Duplicate(before["execution_id"])
        if workflow["reentry"] == Reentry.NEVER:
            return ReentryRefused(str(before["execution_id"]))
        if workflow["reentry"] == Reentry.AFTER_EXIT and before["running"] is not None:
            return ReentryRefused(str(before["running"]))
    return None


def prepared(
    vault: ports.Vault, account_id: int, place: int, start: Start, version: int, now: datetime
) -> Candidate:
    """The execution that a start makes: its id, its first log entry's hash, its trigger sealed."""
    key = vault.mac_key(ports.CHAIN, account_id)
    hash_ = chain.link(
        key, chain.GENESIS, 1, LogEvent.EXECUTION_STARTED, "", "", 0, 0, chain.microseconds(now)
    )
    sealed = None
    if start.trigger or start.traceparent or start.cause:
        sealed = vault.seal(ports.INPUT, account_id, _input(start))
    return Candidate(place, start, new_id(now), version, sealed, hash_)


def _input(start: Start) -> bytes:
    trace = b',"trace":"' + start.traceparent.encode() + b'"' if start.traceparent else b""
    cause = b',"cause":' + orjson.dumps(start.cause) if start.cause else b""
    return b'{"trigger":' + (start.trigger or b"{}") + trace + cause + b"}"


async def _insert(
    connection: asyncpg.Connection, account_id: int, candidates: list[Candidate], now: datetime
) -> None:
    taken = await connection.fetchval(
        _ENROLL,
        account_id,
        [c.execution_id for c in candidates],
        [c.start.workflow_id for c in candidates],
        [c.start.contact_id for c in candidates],
        [c.version for c in candidates],
        [c.start.priority for c in candidates],
        [c.hash for c in candidates],
        now,
        [c.sealed for c in candidates],
        [c.start.entry_key for c in candidates],
        LogEvent.EXECUTION_STARTED,
    )
    if taken != len(candidates):
        # The gate's lock rules this out; if it ever happens, no execution may be made.
        raise RuntimeError("an enrolment was taken by another transaction under the gate's lock")


def view_of(account_id: int, candidate: Candidate, now: datetime) -> ExecutionView:
    """A fresh execution as it is read back."""
    return ExecutionView(
        account_id=account_id,
        execution_id=candidate.execution_id,
        workflow_id=candidate.start.workflow_id,
        contact_id=candidate.start.contact_id,
        version=candidate.version,
        status=Status.QUEUED,
        priority=candidate.start.priority,
        blocked_on=BlockedOn.WORKER,
        wake_at=now,
        step=0,
        visit=1,
        attempt=0,
        failures=0,
        steps_run=0,
        attempt_open=False,
        open_seq=0,
        open_at=None,
        log_seq=1,
        log_hash=candidate.hash,
        reason="",
        failure=None,
        created_at=now,
        updated_at=now,
        ended_at=None,
    )
