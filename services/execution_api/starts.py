"""Starts in natural batches; execution_servicer calls it.

All callers share transactions (joint_starts.py); what is left over, refusals above all, goes by its account.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import asyncpg
from wayfarer.execution.v1 import execution_pb2 as execution_pb
from wayfarer.execution.v1 import execution_service_pb2 as pb

from dispatcher.flights import Flights
from execution_engine import ports
from execution_engine.errors import NotFound, RequestIdReused, WayfarerError
from execution_engine.model import ExecutionView
from execution_engine.store import executions, requests, workflows
from execution_engine.store.accounts import account_transaction
from execution_engine.store.enrollment import Duplicate, Enrolled, Start, enroll
from execution_engine.store.hints import HintSender
from execution_engine.store.joint import Named
from execution_engine.store.requests import RequestKey
from execution_engine.store.workflows import Outlines
from services.execution_api import convert
from services.execution_api.joint_starts import JointStarts

Answer = pb.StartExecutionResponse | Exception

_DUPLICATE = "duplicate trigger ignored"
_MOST_ACCOUNTS = 1_000


class Starts:
    """Flights of starts: joint ones, and one line per account for what they leave."""

    def __init__(self, pool: asyncpg.Pool, vault: ports.Vault, outlines: Outlines, due: HintSender) -> None:
        self._pool = pool
        self._vault = vault
        self._outlines = outlines
        self._due = due
        self._joint = JointStarts(pool, vault, outlines, due)
        self._lines: OrderedDict[int, Flights[Named, pb.StartExecutionResponse]] = OrderedDict()

    async def start(self, asked: Named) -> pb.StartExecutionResponse:
        """Starts one execution. Raises the engine's errors; when it returns, the start is durable."""
        started = await self._joint.start(asked)
        return started if started is not None else await self._line(asked.account_id).submit(asked)

    def _line(self, account_id: int) -> Flights[Named, pb.StartExecutionResponse]:
        line = self._lines.get(account_id)
        if line is None:
            line = self._lines[account_id] = Flights(
                lambda batch: self._fly(account_id, batch), cap=500, flights=2, name=f"starts:{account_id}"
            )
            if len(self._lines) > _MOST_ACCOUNTS:
                self._lines.popitem(last=False)
        return line

    async def _fly(self, account_id: int, batch: list[Named]) -> Sequence[Answer]:
        flight = _Flight(self._vault, self._outlines, account_id, batch)
        async with account_transaction(self._pool, account_id) as connection:
            await flight.run(connection)
        self._due.tell(account_id)
        return [answer or RuntimeError("a start got no answer") for answer in flight.answers]


class _Flight:
    """One batch of starts of one account, in one transaction."""

    def __init__(self, vault: ports.Vault, outlines: Outlines, account_id: int, batch: list[Named]) -> None:
        self._vault = vault
        self._outlines = outlines
        self._account_id = account_id
        self._batch = batch
        self._keys: dict[UUID, str] = {}
        self.answers: list[Answer | None] = [None] * len(batch)

    async def run(self, connection: asyncpg.Connection) -> None:
        """Recalls, starts, remembers."""
        twins = await self._recall(connection)
        open_ones = [
            (place, asked)
            for place, asked in enumerate(self._batch)
            if self.answers[place] is None and place not in twins
        ]
        found = await workflows.named(
            connection, self._account_id, {asked.workflow for _, asked in open_ones}
        )
        self._keys = dict(found.values())
        starts: list[tuple[int, Start]] = []
        for place, asked in open_ones:
            if asked.workflow in found:
                workflow_id, _ = found[asked.workflow]
                starts.append((place, replace(asked.start, workflow_id=workflow_id)))
            else:
                self.answers[place] = NotFound("workflow", asked.workflow)
        results = await enroll(connection, self._vault, self._account_id, [start for _, start in starts])
        for (place, _), result in zip(starts, results, strict=True):
            self.answers[place] = await self._answer(connection, result)
        await self._remember(connection)
        for place, first in twins.items():
            self.answers[place] = self.answers[first]

    async def _recall(self, connection: asyncpg.Connection) -> dict[int, int]:
        """Fills in what was answered before; returns repeats within the batch by the place they repeat.

        Ids are claimed in order, so that two batches cannot wait for each other.
        """
        keyed = [(asked.key, place) for place, asked in enumerate(self._batch) if asked.key is not None]
        first: dict[UUID, int] = {}
        twins: dict[int, int] = {}
        self._claimed: list[tuple[RequestKey, int]] = []
        for key, place in sorted(keyed, key=lambda pair: (pair[0].request_id, pair[1])):
            if key.request_id in first:
                original = self._batch[first[key.request_id]].key
                if original == key:
                    twins[place] = first[key.request_id]
                else:
                    self.answers[place] = RequestIdReused(str(key.request_id))
                continue
            first[key.request_id] = place
            try:
                known = await requests.recall(connection, self._vault, self._account_id, key)
            except RequestIdReused as error:
                self.answers[place] = error
                continue
            if known is not None:
                self.answers[place] = pb.StartExecutionResponse.FromString(known)
            else:
                self._claimed.append((key, place))
        return twins

    async def _answer(
        self, connection: asyncpg.Connection, result: Enrolled | Duplicate | WayfarerError
    ) -> Answer:
        if isinstance(result, WayfarerError):
            return result
        if isinstance(result, Duplicate):
            view = await executions.get(connection, self._account_id, result.execution_id)
            shown = await self._show(connection, view)
            return pb.StartExecutionResponse(execution=shown, deduplicated=True, message=_DUPLICATE)
        return pb.StartExecutionResponse(execution=await self._show(connection, result.view))

    async def _show(self, connection: asyncpg.Connection, view: ExecutionView) -> execution_pb.Execution:
        outline = await self._outlines.of(connection, self._account_id, view.workflow_id, view.version)
        return convert.execution(view, outline, self._keys[view.workflow_id])

    async def _remember(self, connection: asyncpg.Connection) -> None:
        for key, place in self._claimed:
            answer = self.answers[place]
            if isinstance(answer, pb.StartExecutionResponse):
                text = answer.SerializeToString()
                await requests.remember(connection, self._vault, self._account_id, key, text)
            else:
                await requests.forget(connection, self._account_id, key)
