"""Enters contacts of many accounts in one transaction; services/execution_api/joint_starts.py calls it.

Whatever is not a plain yes (a refusal, a duplicate, an answer given before, a gate that somebody else holds)
is left to the account's own transaction (enrollment.py), which alone records refusals. The transaction is
bound to no account: the two functions it calls take each row's account (migrations/0016_joint_starts.sql).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import asyncpg

from execution_engine import ports
from execution_engine.model import ExecutionView, LogEvent
from execution_engine.store.enrollment import Candidate, Start, prepared, refusal, view_of
from execution_engine.store.requests import RequestKey
from execution_engine.store.workflows import as_id

MEET = "SELECT * FROM wf_meet_starts($1, $2, $3, $4, $5, $6)"
ENTER = "SELECT wf_enter_starts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"


@dataclass(frozen=True, slots=True)
class Named:
    """A start whose workflow is named by id or key, of an account, with its request's key."""

    account_id: int
    workflow: str
    start: Start
    key: RequestKey | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A start that nothing stands against: entered by `enter`, with `answer` kept for its request."""

    named: Named
    candidate: Candidate
    workflow_key: str
    at: datetime

    @property
    def view(self) -> ExecutionView:
        """The execution as it is read back once it is entered."""
        return view_of(self.named.account_id, self.candidate, self.at)


async def meet(connection: asyncpg.Connection, vault: ports.Vault, asked: Sequence[Named]) -> list[Entry]:
    """Those that may be entered, each with its place among `asked`; their contacts' gates are held then."""
    rows = await connection.fetch(
        MEET,
        [one.account_id for one in asked],
        [as_id(one.workflow) for one in asked],
        [one.workflow for one in asked],
        [one.start.contact_id for one in asked],
        [one.start.entry_key for one in asked],
        [one.key.request_id if one.key is not None else None for one in asked],
    )
    entries: list[Entry] = []
    taken: set[tuple[int, UUID, UUID, str] | tuple[int, UUID]] = set()
    for row in sorted(rows, key=_place):
        place = _place(row)
        named = asked[place]
        start = replace(named.start, workflow_id=row["workflow_id"])
        marks: list[tuple[int, UUID, UUID, str] | tuple[int, UUID]] = [
            (named.account_id, start.workflow_id, start.contact_id, start.entry_key)
        ]
        if named.key is not None:
            marks.append((named.account_id, named.key.request_id))
        before = row if row["execution_id"] is not None else None
        if not row["held"] or row["asked_before"] or not taken.isdisjoint(marks):
            continue
        if refusal(start, row, row, before, None) is not None:
            continue
        taken.update(marks)
        candidate = prepared(vault, named.account_id, place, start, row["published_version"], row["now"])
        entries.append(Entry(named, candidate, row["workflow_key"], row["now"]))
    return entries


def _place(row: asyncpg.Record) -> int:
    return int(row["place"]) - 1


async def enter(
    connection: asyncpg.Connection, vault: ports.Vault, entries: Sequence[tuple[Entry, bytes]]
) -> None:
    """Enters them all, each with the answer that its request id is to give from now on.

    Raises RuntimeError or an error of the database if not all could be: then roll back.
    """
    if not entries:
        return
    candidates = [entry.candidate for entry, _ in entries]
    keyed = [
        (entry.named.account_id, entry.named.key, answer) for entry, answer in entries if entry.named.key
    ]
    all_of_them = await connection.fetchval(
        ENTER,
        [entry.named.account_id for entry, _ in entries],
        [c.execution_id for c in candidates],
        [c.start.workflow_id for c in candidates],
        [c.start.contact_id for c in candidates],
        [c.version for c in candidates],
        [c.start.priority for c in candidates],
        [c.hash for c in candidates],
        [c.sealed for c in candidates],
        [c.start.entry_key for c in candidates],
        entries[0][0].at,
        LogEvent.EXECUTION_STARTED,
        [account_id for account_id, _, _ in keyed],
        [key.request_id for _, key, _ in keyed],
        [key.method for _, key, _ in keyed],
        [key.payload_hash for _, key, _ in keyed],
        [vault.seal(ports.REQUEST, account_id, answer) for account_id, _, answer in keyed],
    )
    if not all_of_them:
        raise RuntimeError("a request or an enrolment was taken by another transaction")
