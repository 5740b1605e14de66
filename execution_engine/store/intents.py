"""Writes down messages about to be sent, in the commit that opens their attempts, for commits.py.

What was decided on facts that are not the contact's newest is not written: it is decided anew. All of it
under the contacts' locks.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from execution_engine.moves import Advance
from execution_engine.run import Run
from execution_engine.sending.channels import Message
from execution_engine.store.sql import statement

_ADD = statement("add_intents")
_COUNTED = """UPDATE contact c SET sending_rev = c.sending_rev + 1
FROM unnest($1::bigint[], $2::uuid[]) AS u (account_id, contact_id)
WHERE c.account_id = u.account_id AND c.contact_id = u.contact_id"""
_TAKE_BACK = """DELETE FROM message_intent m
USING unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::smallint[])
    AS u (account_id, contact_id, execution_id, step_id, visit)
WHERE m.account_id = u.account_id AND m.contact_id = u.contact_id AND m.execution_id = u.execution_id
    AND m.step_id = u.step_id AND m.visit = u.visit"""

Gates = Mapping[tuple[int, UUID], asyncpg.Record]
"""Locked contacts, by account and id."""


def stale(gates: Gates, run: Run) -> bool:
    """Whether the facts this run's message was judged by are no longer the contact's newest."""
    gate = gates.get((run.account_id, run.contact_id))
    return gate is None or run.facts is None or gate["sending_rev"] != run.facts.rev


def mark_stale(gates: Gates, sending: Sequence[tuple[Run, Advance]]) -> None:
    """Says `refresh` of messages judged by old facts; where sends count, each makes the next one's old."""
    counted: set[tuple[int, UUID]] = set()
    for run, result in sending:
        key = run.account_id, run.contact_id
        if stale(gates, run) or key in counted:
            result.refresh = True
        elif run.counts_sends:
            counted.add(key)


async def add(connection: asyncpg.Connection, sending: Sequence[tuple[Run, str, Message]]) -> None:
    """Writes the messages of runs that were just moved. (Run, step id, message) of each."""
    if not sending:
        return
    await connection.execute(
        _ADD,
        [run.account_id for run, _, _ in sending],
        [run.contact_id for run, _, _ in sending],
        [message.channel for _, _, message in sending],
        [message.category for _, _, message in sending],
        [run.execution_id for run, _, _ in sending],
        [step_id for _, step_id, _ in sending],
        [run.visit for run, _, _ in sending],
    )
    capped = sorted({(r.account_id, r.contact_id) for r, _, _ in sending if r.counts_sends})
    if capped:
        # Where sends are counted, one more makes what others of the same contact have read old.
        await connection.execute(_COUNTED, [key[0] for key in capped], [key[1] for key in capped])


async def take_back(connection: asyncpg.Connection, unsent: Sequence[tuple[Run, str, int]]) -> None:
    """Forgets messages that were not sent after all. (Run, step id, visit) of each."""
    if unsent:
        await connection.execute(
            _TAKE_BACK,
            [run.account_id for run, _, _ in unsent],
            [run.contact_id for run, _, _ in unsent],
            [run.execution_id for run, _, _ in unsent],
            [step_id for _, step_id, _ in unsent],
            [visit for _, _, visit in unsent],
        )
