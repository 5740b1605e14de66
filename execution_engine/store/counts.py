"""Counters per workflow version and step: deltas in the commit of what they count, folded into sums later.

Appending never waits for another writer; a counter row would make all workers queue for it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import orjson

from execution_engine.definition.program import END
from execution_engine.moves import Count
from execution_engine.run import Run
from execution_engine.store.sql import statement

_ADD = statement("add_counts")
_FOLD = statement("fold_counts")
_READ = """SELECT version, step_id, sum(entered)::bigint AS entered, sum(done)::bigint AS done,
    sum(failed)::bigint AS failed, sum(waiting)::bigint AS waiting
FROM (SELECT * FROM step_count WHERE account_id = $1 AND workflow_id = $2
      UNION ALL
      SELECT account_id, workflow_id, version, s.key, (s.value ->> 0)::integer, (s.value ->> 1)::integer,
          (s.value ->> 2)::integer, (s.value ->> 3)::integer
      FROM step_delta CROSS JOIN LATERAL jsonb_each(deltas) AS s
      WHERE account_id = $1 AND workflow_id = $2) AS c
WHERE $3 = 0 OR version = $3 GROUP BY version, step_id ORDER BY version, step_id"""
_PLACE = ((0, 1), (1, 1), (2, 1), (3, 1), (3, -1), (2, -1))
"""Which of a step's four sums each Count changes, and by how much."""

Version = tuple[int, UUID, int]
"""Account, workflow, version; its deltas are by step id, "" for the version as a whole."""


@dataclass(frozen=True, slots=True)
class StepCount:
    """The counters of one step of one version, or (step id "") of the version as a whole."""

    version: int
    step_id: str
    entered: int
    done: int
    failed: int
    waiting: int


class Tally:
    """Deltas gathered for one statement: a row per version."""

    def __init__(self) -> None:
        self.versions: dict[Version, dict[str, list[int]]] = {}

    def add(self, version: Version, counted: Iterable[tuple[str, Count]]) -> None:
        """Counts what happened at steps of a version."""
        deltas = self.versions.get(version)
        if deltas is None:
            deltas = self.versions[version] = {}
        for step_id, what in counted:
            sums = deltas.get(step_id)
            if sums is None:
                sums = deltas[step_id] = [0, 0, 0, 0]
            place, by = _PLACE[what]
            sums[place] += by

    async def write(self, connection: asyncpg.Connection) -> None:
        """Appends them, in the caller's transaction."""
        rows = [(version, deltas) for version, deltas in self.versions.items() if deltas]
        if rows:
            await connection.execute(
                _ADD,
                [version[0] for version, _ in rows],
                [version[1] for version, _ in rows],
                [version[2] for version, _ in rows],
                [orjson.dumps(deltas).decode() for _, deltas in rows],
            )


def deltas_of(run: Run, counted: Iterable[tuple[int, Count]]) -> dict[str, list[int]]:
    """What one run's move changes of its version's sums, by step id."""
    tally = Tally()
    tally.add(_version(run), _named(run, counted))
    return tally.versions[_version(run)]


def _version(run: Run) -> Version:
    return run.account_id, run.workflow_id, run.version


def _named(run: Run, counted: Iterable[tuple[int, Count]]) -> list[tuple[str, Count]]:
    assert run.program is not None
    steps = run.program.steps
    return [(steps[position].id if position != END else "", what) for position, what in counted]


async def add(
    connection: asyncpg.Connection, moved: Iterable[tuple[Run, Sequence[tuple[int, Count]]]]
) -> None:
    """Counts what moves did."""
    tally = Tally()
    for run, counted in moved:
        if counted:
            tally.add(_version(run), _named(run, counted))
    await tally.write(connection)


async def fold(connection: asyncpg.Connection) -> int:
    """Folds up to 5,000 deltas; how many sums were touched."""
    return int((await connection.execute(_FOLD)).rpartition(" ")[2])


async def read(
    connection: asyncpg.Connection, account_id: int, workflow_id: UUID, version: int
) -> list[StepCount]:
    """The counters of one version (0: of all), exact to the last commit."""
    rows = await connection.fetch(_READ, account_id, workflow_id, version)
    return [StepCount(**dict(row)) for row in rows]
