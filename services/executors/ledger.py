"""The effect ledger: what this family knows of every effect it was asked for; the execution paths call it.

Thin over queries/*.sql; what a row means for a delivery is decided in decisions.py. Time is the database's.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

import asyncpg

from services.executors.action import Call, EffectKey
from services.executors.decisions import Decision, LedgerRow, Run, decide
from services.executors.queries import statement
from services.executors.results import LedgerState

_NOTHING: Final = timedelta(0)


class Attempt(NamedTuple):
    """One attempt to announce: which, and how much of its budget is left, in ms (0: none)."""

    key: EffectKey
    fence: int
    attempt: int
    budget_ms: int


class Written(NamedTuple):
    """One attempt's end, as the ledger stores it."""

    key: EffectKey
    fence: int
    attempt: int
    state: LedgerState
    stored: bytes


class Ledger:
    """One family's ledger, seen by one process of it, which `owner` names among its replicas."""

    def __init__(self, pool: asyncpg.Pool, owner: uuid.UUID) -> None:
        self._pool = pool
        self._owner = owner
        self._record_applied = statement("record_applied")
        self._begin_sending = statement("begin_sending")
        self._read_effects = statement("read_effects")
        self._lock_effects = statement("lock_effects")
        self._resume_sending = statement("resume_sending")
        self._record_outcomes = statement("record_outcomes")
        self._tombstone = statement("tombstone")
        self._record_found = statement("record_found")

    async def record_applied(
        self,
        connection: asyncpg.Connection,
        calls: Sequence[Call[Any]],
        states: Sequence[LedgerState],
        stored: Sequence[bytes],
    ) -> bool:
        """Record a TX batch's results in the caller's transaction; `calls` in key order, each key once.

        False if a key was known and may not be written: the caller rolls back and reads what is known.
        """
        keys = [call.key for call in calls]
        status = await connection.execute(
            self._record_applied,
            [key.account_id for key in keys],
            [key.execution_id for key in keys],
            [key.step_id for key in keys],
            [key.visit for key in keys],
            [call.fence for call in calls],
            [call.attempt for call in calls],
            states,
            stored,
        )
        return int(status.rpartition(" ")[2]) == len(calls)

    async def begin(self, attempts: Sequence[Attempt]) -> dict[EffectKey, Decision]:
        """Announce attempts (each key once) and say which of them may be made; durable when this returns."""
        ordered = sorted(attempts)
        fresh = [one for one in ordered if one.budget_ms > 0]
        decisions: dict[EffectKey, Decision] = {}
        if fresh:
            rows = await self._pool.fetch(self._begin_sending, *_attempt_columns(fresh), self._owner)
            decisions = {_key(row): Run() for row in rows}
        known = [one for one in ordered if one.key not in decisions]
        if known:
            decisions.update(await self._resume(known))
        return decisions

    async def record_outcomes(self, outcomes: Sequence[Written]) -> int:
        """Write back how announced attempts ended; give how many were still the recorded ones."""
        ordered = sorted(outcomes)
        status = await self._pool.execute(
            self._record_outcomes,
            *_key_columns([one.key for one in ordered]),
            [one.fence for one in ordered],
            [one.attempt for one in ordered],
            [one.state for one in ordered],
            [one.stored for one in ordered],
            self._owner,
        )
        return int(status.rpartition(" ")[2])

    async def read(self, keys: Sequence[EffectKey]) -> dict[EffectKey, LedgerRow]:
        """Give what is known of these effects; unknown ones are left out."""
        rows = await self._pool.fetch(self._read_effects, *_key_columns(keys))
        return {row.key: row for row in map(_row, rows)}

    async def close_out(self, fences: Mapping[EffectKey, int]) -> set[EffectKey]:
        """Close undone effects to lower fences than asked; give those that are now closed."""
        ordered = sorted(fences)
        rows = await self._pool.fetch(
            self._tombstone, *_key_columns(ordered), [fences[key] for key in ordered]
        )
        return {_key(row) for row in rows}

    async def record_found(self, found: Iterable[tuple[LedgerRow, Written]]) -> set[EffectKey]:
        """Write what providers told of effects whose rows are still as they were read; give those written."""
        ordered = sorted(found, key=lambda one: one[0].key)
        rows = await self._pool.fetch(
            self._record_found,
            *_key_columns([row.key for row, _ in ordered]),
            [row.fence for row, _ in ordered],
            [row.attempt for row, _ in ordered],
            [row.state for row, _ in ordered],
            [new.fence for _, new in ordered],
            [new.attempt for _, new in ordered],
            [new.state for _, new in ordered],
            [new.stored or None for _, new in ordered],
        )
        return {_key(row) for row in rows}

    async def _resume(self, attempts: Sequence[Attempt]) -> dict[EffectKey, Decision]:
        async with self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetch(self._lock_effects, *_key_columns([one.key for one in attempts]))
            rows = {row.key: row for row in map(_row, found)}
            decisions = {
                one.key: decide(rows.get(one.key), one.fence, one.attempt, expired=one.budget_ms <= 0)
                for one in attempts
            }
            again = [one for one in attempts if isinstance(decisions[one.key], Run)]
            if again:
                await connection.execute(self._resume_sending, *_attempt_columns(again), self._owner)
        return decisions


def _key_columns(keys: Sequence[EffectKey]) -> tuple[list[Any], ...]:
    return (
        [key.account_id for key in keys],
        [key.execution_id for key in keys],
        [key.step_id for key in keys],
        [key.visit for key in keys],
    )


def _attempt_columns(attempts: Sequence[Attempt]) -> tuple[list[Any], ...]:
    return (
        *_key_columns([one.key for one in attempts]),
        [one.fence for one in attempts],
        [one.attempt for one in attempts],
        [one.budget_ms for one in attempts],
    )


def _key(row: asyncpg.Record) -> EffectKey:
    return EffectKey(row["account_id"], row["execution_id"], row["step_id"], row["visit"])


def _row(row: asyncpg.Record) -> LedgerRow:
    left = row["remaining_ms"]
    return LedgerRow(
        _key(row),
        row["fence"],
        row["attempt"],
        LedgerState(row["state"]),
        row["result"] or b"",
        timedelta(milliseconds=left) if left else _NOTHING,
    )
