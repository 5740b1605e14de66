"""Starts of many accounts' callers in one transaction, where nothing stands against them; starts.py tries it.

While one group commits the next gathers; nobody waits for company. A group that fails before its COMMIT is
sent has changed nothing: each of its starts then goes by its account, and a fault stays among that account's.
If the answer to COMMIT is lost, every caller of the group is told UNAVAILABLE, for what it asked may be
durable: with a request id it is safe to ask again.
"""

from collections.abc import Sequence

import asyncpg
import structlog
from wayfarer.execution.v1 import execution_service_pb2 as pb

from dispatcher.flights import Flights
from execution_engine import ports
from execution_engine.store import joint
from execution_engine.store.hints import HintSender
from execution_engine.store.joint import Entry, Named
from execution_engine.store.workflows import Outlines
from services.execution_api import convert

log = structlog.get_logger(__name__)

Started = pb.StartExecutionResponse | None


class JointStarts:
    """Flights of starts of any accounts. None for a start that is to go by its account."""

    def __init__(self, pool: asyncpg.Pool, vault: ports.Vault, outlines: Outlines, due: HintSender) -> None:
        self._pool = pool
        self._vault = vault
        self._outlines = outlines
        self._due = due
        self._flights: Flights[Named, Started] = Flights(self._fly, cap=500, flights=1, name="joint starts")

    async def start(self, named: Named) -> Started:
        """Starts one execution, durable when this returns it. Raises errors of the database."""
        return await self._flights.submit(named)

    async def _fly(self, batch: list[Named]) -> Sequence[Started | Exception]:
        answers: list[Started] = [None] * len(batch)
        committing = False
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                entered = await self._enter(connection, batch)
                committing = True
        except Exception as error:
            if committing:
                raise
            # The type only: messages of the database may quote what it was given.
            log.warning("joint_starts_apart", starts=len(batch), error=type(error).__name__)
            return answers
        for entry, answer in entered:
            answers[entry.candidate.place] = answer
        self._due.tell(*{entry.named.account_id for entry, _ in entered})
        return answers

    async def _enter(
        self, connection: asyncpg.Connection, batch: list[Named]
    ) -> list[tuple[Entry, pb.StartExecutionResponse]]:
        shown = []
        for entry in await joint.meet(connection, self._vault, batch):
            view = entry.view
            # A version not shown yet is read by its account's own transaction, once.
            outline = self._outlines.known(view.account_id, view.workflow_id, view.version)
            if outline is not None:
                answer = convert.execution(view, outline, entry.workflow_key)
                shown.append((entry, pb.StartExecutionResponse(execution=answer)))
        kept = [
            (entry, answer.SerializeToString() if entry.named.key is not None else b"")
            for entry, answer in shown
        ]
        await joint.enter(connection, self._vault, kept)
        return shown
