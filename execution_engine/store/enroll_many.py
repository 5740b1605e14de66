"""Enters many contacts into one workflow by a few statements, whatever their number; bulk operations call it.

What enrollment.py does for the starts of many callers, with nothing done by contact unless it is refused.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from execution_engine import chain, ports
from execution_engine.ids import new_ids
from execution_engine.model import LogEvent, Priority
from execution_engine.store import refusals
from execution_engine.store.refusals import Refusal
from execution_engine.store.sql import statement

_LOCK_GATES = statement("lock_gates_of_many")
_ENROLL = statement("enroll_many")
_KINDS: Final = {
    "opted_out": refusals.OPT_OUT,
    "workflow_not_active": refusals.NOT_ACTIVE,
    "already_in": refusals.REENTRY,
    "duplicate": refusals.DEDUPLICATION,
}
"""What is kept of a start that makes no execution; a mistaken id leaves nothing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The workflow that contacts enter, with which priority, and why: JSON of an object, b"" for none."""

    workflow_id: UUID
    priority: Priority
    trigger: bytes


@dataclass(frozen=True, slots=True)
class Entered:
    """What each contact came to, in order, and the execution concerned; `now` is their moment."""

    outcomes: list[str]
    execution_ids: list[UUID | None]
    now: datetime

    def counts(self) -> Counter[str]:
        """How many came to what."""
        return Counter(self.outcomes)


async def enroll_many(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    entry: Entry,
    contacts: Sequence[UUID],
    repeated: Sequence[int] = (),
) -> Entered:
    """Outcomes are "started", "duplicate", "already_in", "opted_out" and errors' reasons in lower case.

    `repeated`: indexes of contacts that were given before; those within `contacts` are found. Runs inside the
    caller's transaction, which must be bound to the account.
    """
    repeats = set(repeated) | set(repeats_of(contacts))
    gates = await connection.fetchrow(_LOCK_GATES, account_id, contacts)
    now: datetime = gates["now"]
    key = vault.mac_key(ports.CHAIN, account_id)
    hash_ = chain.link(
        key, chain.GENESIS, 1, LogEvent.EXECUTION_STARTED, "", "", 0, 0, chain.microseconds(now)
    )
    sealed = None
    if entry.trigger:
        sealed = vault.seal(ports.INPUT, account_id, b'{"trigger":' + entry.trigger + b"}")
    row = await connection.fetchrow(
        _ENROLL,
        account_id,
        entry.workflow_id,
        contacts,
        gates["missing"],
        gates["opted_out"],
        [index + 1 for index in repeats],
        new_ids(now, len(contacts)),
        now,
        entry.priority,
        hash_,
        sealed,
        LogEvent.EXECUTION_STARTED,
    )
    if row["outcomes"] is None:
        return Entered(["workflow_not_found"] * len(contacts), [None] * len(contacts), now)
    entered = Entered(row["outcomes"], row["execution_ids"], now)
    await _keep_refused(connection, account_id, entry, contacts, repeats, entered)
    return entered


def repeats_of(contacts: Sequence[UUID]) -> list[int]:
    """Indexes of those that an earlier one equals."""
    if len(set(contacts)) == len(contacts):
        return []
    seen: set[UUID] = set()
    found = []
    for index, contact in enumerate(contacts):
        if contact in seen:
            found.append(index)
        seen.add(contact)
    return found


async def _keep_refused(
    connection: asyncpg.Connection,
    account_id: int,
    entry: Entry,
    contacts: Sequence[UUID],
    repeats: set[int],
    entered: Entered,
) -> None:
    """A repeated contact's execution may be one that this call made."""
    outcomes, execution_ids = entered.outcomes, entered.execution_ids
    refused = [index for index, outcome in enumerate(outcomes) if outcome != "started"]
    if repeats:
        made = {
            contact: execution_id
            for contact, execution_id, outcome in zip(contacts, execution_ids, outcomes, strict=True)
            if outcome == "started"
        }
        for index in repeats:
            if outcomes[index] == "duplicate":
                execution_ids[index] = made.get(contacts[index], execution_ids[index])
    kept = [
        Refusal(_KINDS[outcomes[index]], entry.workflow_id, contacts[index], execution_ids[index])
        for index in refused
        if outcomes[index] in _KINDS
    ]
    await refusals.add(connection, account_id, kept, entered.now)
