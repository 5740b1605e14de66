"""Counters per workflow version and step: deltas in the commit of what they count, folded into sums later.

Appending never waits for another writer; a counter row would make all workers queue for it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

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
      SELECT account_id, workflow_id, version, step_id, entered, done, failed, waiting FROM step_delta
      WHERE account_id = $1 AND workflow_id = $2) AS c
WHERE $3 = 0 OR version = $3 GROUP BY version, step_id ORDER BY version, step_id"""
_PLACES = {Count.ENTERED: (0, 1), Count.DONE: (1, 1), Count.FAILED: (2, 1), Count.WAITING: (3, 1)}
_PLACE = {**_PLACES, Count.NOT_WAITING: (3, -1), Count.NOT_FAILED: (2, -1)}

Key = tuple[int, UUID, int, str]
"""Account, workflow, version, step id ("" for the version as a whole)."""


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
    """Deltas gathered for one statement."""

    def __init__(self) -> None:
        self._deltas: dict[Key, list[int]] = {}

    def add(self, key: Key, what: Count) -> None:
        """Counts one."""
        deltas = self._deltas.get(key)
        if deltas is None:
            deltas = self._deltas[key] = [0, 0, 0, 0]
        place, by = _PLACE[what]
        deltas[place] += by

    async def write(self, connection: asyncpg.Connection) -> None:
        """Appends them, in the caller's transaction."""
        if not self._deltas:
            return
        columns = list(zip(*self._deltas, strict=True))
        sums = list(zip(*self._deltas.values(), strict=True))
        await connection.execute(_ADD, *(list(column) for column in (*columns, *sums)))


async def add(
    connection: asyncpg.Connection, moved: Iterable[tuple[Run, Sequence[tuple[int, Count]]]]
) -> None:
    """Counts what moves did."""
    tally = Tally()
    for run, counted in moved:
        for position, what in counted:
            assert run.program is not None
            step_id = run.program.steps[position].id if position != END else ""
            tally.add((run.account_id, run.workflow_id, run.version, step_id), what)
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
