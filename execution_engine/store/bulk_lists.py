"""Keeps an enrolment's contacts, and what each came to, as arrays; bulk.py and the API's runner use it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from execution_engine.store.enroll_many import repeats_of

MOST_AT_ONCE: Final = 1_000
"""Contacts of one list, and so of one transaction."""
_ADD = """INSERT INTO bulk_list (account_id, operation_id, first, subjects, repeats)
SELECT $1, $2, $3 + at, ($4::uuid[])[at : at + $6 - 1],
    ARRAY (SELECT $3 + place FROM unnest($5::integer[]) AS r (place) WHERE place >= at AND place < at + $6)
FROM generate_series(1, cardinality($4::uuid[]), $6) AS s (at)"""
_NEXT = """SELECT first, subjects[$3 - first + 1 : $3 - first + $4] AS subjects, repeats FROM bulk_list
WHERE account_id = $1 AND operation_id = $2 AND first <= $3 ORDER BY first DESC LIMIT 1"""
_ANSWER = """INSERT INTO bulk_answer (account_id, operation_id, first, outcomes, execution_ids)
VALUES ($1, $2, $3, $4, $5)"""
_ANSWERED = """WITH found AS MATERIALIZED (
    SELECT b.first + a.place::integer - 1 AS item, a.outcome, a.execution_id
    FROM bulk_answer b
    CROSS JOIN unnest(b.outcomes, b.execution_ids) WITH ORDINALITY AS a (outcome, execution_id, place)
    WHERE b.account_id = $1 AND b.operation_id = $2 AND b.first > $3::integer - $6::integer
        AND b.first + a.place - 1 > $3 AND ($4 = '' OR a.outcome = $4)
    ORDER BY b.first, a.place LIMIT $5)
SELECT item, outcome, execution_id, (
    SELECT l.subjects[f.item - l.first + 1] FROM bulk_list l
    WHERE l.account_id = $1 AND l.operation_id = $2 AND l.first <= f.item ORDER BY l.first DESC LIMIT 1
    ) AS subject
FROM found f ORDER BY item"""
_WAITING = """SELECT l.first + s.place::integer - 1 AS item, s.subject, '' AS outcome, NULL AS execution_id
FROM bulk_list l CROSS JOIN unnest(l.subjects) WITH ORDINALITY AS s (subject, place)
WHERE l.account_id = $1 AND l.operation_id = $2 AND l.first > $3::integer - $5::integer
    AND l.first + s.place - 1 > $3
ORDER BY l.first, s.place LIMIT $4"""


@dataclass(frozen=True, slots=True)
class Listed:
    """Contacts of items `first`, `first` + 1 …; `repeated`: the indexes of those that an earlier item has."""

    first: int
    contacts: list[UUID]
    repeated: list[int]


async def add(
    connection: asyncpg.Connection, account_id: int, operation_id: UUID, there: int, contacts: Sequence[UUID]
) -> None:
    """Adds items after the `there` that are there already, none of which has one of these contacts."""
    places = [index + 1 for index in repeats_of(contacts)]
    await connection.execute(_ADD, account_id, operation_id, there, contacts, places, MOST_AT_ONCE)


async def following(
    connection: asyncpg.Connection, account_id: int, operation_id: UUID, finished: int, most: int
) -> Listed:
    """The contacts after item `finished`, at most so many, maybe fewer; there must be one."""
    first = finished + 1
    row = await connection.fetchrow(_NEXT, account_id, operation_id, first, most)
    contacts: list[UUID] = row["subjects"]
    repeated = [item - first for item in row["repeats"] if first <= item < first + len(contacts)]
    return Listed(first, contacts, repeated)


async def answer(
    connection: asyncpg.Connection,
    account_id: int,
    operation_id: UUID,
    first: int,
    outcomes: Sequence[str],
    execution_ids: Sequence[UUID | None],
) -> None:
    """Writes what items from `first` on came to."""
    await connection.execute(_ANSWER, account_id, operation_id, first, outcomes, execution_ids)


async def items(
    connection: asyncpg.Connection,
    account_id: int,
    operation_id: UUID,
    finished: int,
    after: int,
    outcome: str,
    most: int,
) -> list[asyncpg.Record]:
    """Items after number `after` as rows of bulk_item, in order, with this outcome (empty: any).

    `finished`: so many have an answer, or more by now.
    """
    rows: list[asyncpg.Record] = await connection.fetch(
        _ANSWERED, account_id, operation_id, after, outcome, most, MOST_AT_ONCE
    )
    if not outcome and len(rows) < most:
        last = max(after, finished, rows[-1]["item"] if rows else 0)
        rows += await connection.fetch(
            _WAITING, account_id, operation_id, last, most - len(rows), MOST_AT_ONCE
        )
    return rows
