"""Serves ActionExecutor for one family: converts, calls, converts; family.py puts it on a server."""

from __future__ import annotations  # gRPC classes are generic in their stubs only

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import grpc
import orjson
from asyncpg.pgproto.pgproto import UUID
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1.action_executor_pb2_grpc import ActionExecutorServicer

from services.executors.action import Call, EffectKey, NotExaminedError
from services.executors.config_faults import as_written, config_faults
from services.executors.elsewhere import Elsewhere
from services.executors.intake import Answer, Batch, Intake, RefusedError
from services.executors.measure import ExecutorMetrics
from services.executors.outbound import Outbound
from services.executors.reconcile import Asked, Reconciler
from services.executors.registry import AnyDefinition, Registry
from services.executors.transactional import Transactional
from services.runtime.errors import Violation, abort, bad_request, status

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
T = TypeVar("T")

_MAX_ACTIONS: Final = 1000
_CHUNK: Final = 500


class Executor(ActionExecutorServicer):
    """One family's action types, behind their ledger."""

    def __init__(
        self,
        registry: Registry,
        transactional: Transactional,
        outbound: Outbound,
        reconciler: Reconciler,
        metrics: ExecutorMetrics,
        tools: object,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._registry = registry
        self._tools = tools
        self._intake = Intake(registry)
        self._transactional = transactional
        self._outbound = outbound
        self._reconciler = reconciler
        self._metrics = metrics
        self._elsewhere = elsewhere
        self._work: set[asyncio.Task[Any]] = set()  # strong references: a task nobody holds may vanish

    async def Describe(self, request: wire.DescribeRequest, context: Context) -> wire.DescribeResponse:
        """List the types served here."""
        return wire.DescribeResponse(family=self._registry.family, action_types=self._registry.describe())

    async def Validate(self, request: wire.ValidateRequest, context: Context) -> wire.ValidateResponse:
        """Name every fault of a config."""
        definition = await self._known(request.action_type, context)
        faults = config_faults(definition.config, request.config)
        if definition.examine is not None:
            try:
                found = await definition.examine(as_written(request.config), self._tools)
            except NotExaminedError as error:
                await abort(context, status(grpc.StatusCode.UNAVAILABLE, "NOT_EXAMINED", str(error)))
            faults += [wire.ConfigFault(**fault._asdict()) for fault in found]
        return wire.ValidateResponse(faults=faults)

    async def Execute(self, request: wire.ExecuteRequest, context: Context) -> wire.ExecuteResponse:
        """Make one attempt."""
        await self._known(request.action.action_type, context)
        async for answers in self._answers(self._intake.take([request.action])):
            return wire.ExecuteResponse(result=answers[0].result)
        raise AssertionError("an action was not answered")

    async def ExecuteBatch(
        self, request: wire.ExecuteBatchRequest, context: Context
    ) -> AsyncIterator[wire.ExecuteBatchResponse]:
        """Make many attempts and stream the results in the order they end."""
        if not 0 < len(request.actions) <= _MAX_ACTIONS:
            fault = Violation("actions", f"must be 1 to {_MAX_ACTIONS}", "repeated.items")
            await abort(context, bad_request("REQUEST_INVALID", "actions: wrong number", [fault]))
        async for answers in self._answers(self._intake.take(request.actions)):
            for start in range(0, len(answers), _CHUNK):
                yield _response(answers[start : start + _CHUNK])

    async def Reconcile(self, request: wire.ReconcileRequest, context: Context) -> wire.ReconcileResponse:
        """Say what became of effects, and close undone ones to lower fences."""
        asked = [
            Asked(_key(item.account_id, item.effect_key), item.fence, item.action_type)
            for item in request.items
        ]
        return wire.ReconcileResponse(findings=await self._shielded(self._reconciler.findings(asked)))

    async def Preview(self, request: wire.PreviewRequest, context: Context) -> wire.PreviewResponse:
        """Show what an action would do."""
        await self._known(request.action.action_type, context)
        try:
            call, definition = self._intake.read(request.action, asyncio.get_running_loop().time())
        except RefusedError as refused:
            failure = refused.result.failure
            await abort(context, status(grpc.StatusCode.INVALID_ARGUMENT, failure.code, failure.message))
        return wire.PreviewResponse(preview=orjson.dumps(_preview(call, definition)))

    async def Cancel(self, request: wire.CancelRequest, context: Context) -> wire.CancelResponse:
        """Stop an attempt that has not begun to send."""
        key = request.effect_key
        return wire.CancelResponse(
            was_in_flight=self._outbound.cancel((key.execution_id, key.step_id, key.visit))
        )

    async def _answers(self, batch: Batch) -> AsyncIterator[list[Answer]]:
        """Execute a batch and give the answers that become ready together."""
        if batch.refused:
            self._metrics.refused(batch.refused)
            yield batch.refused
        if self._elsewhere is not None and batch.transactional:
            batch = await self._elsewhere.divert(batch)
        if batch.transactional and not batch.outbound:  # the hot path: no queue, one answer
            yield await self._transact(batch)
            return
        if not batch.outbound:
            return
        ready: asyncio.Queue[list[Answer] | None] = asyncio.Queue()
        work: list[asyncio.Task[Any]] = [
            self._start(self._outbound.execute(batch.outbound, ready.put_nowait))
        ]
        if batch.transactional:
            work.append(self._start(self._transact(batch, ready)))
        whole = self._start(_finally(work, ready))
        async for answers in _drained(ready):
            self._metrics.answered(batch.outbound, answers)
            yield answers
        await whole

    async def _transact(
        self, batch: Batch, ready: asyncio.Queue[list[Answer] | None] | None = None
    ) -> list[Answer]:
        # Shielded: a caller that goes away must not break a transaction off before its outcome is known.
        answers = await self._shielded(self._transactional.execute(batch.transactional))
        self._metrics.answered(batch.transactional, answers)
        if ready is not None:
            ready.put_nowait(answers)
        return answers

    async def _known(self, action_type: str, context: Context) -> AnyDefinition:
        definition = self._registry.definitions.get(action_type)
        if definition is None:
            message = f"family {self._registry.family!r} does not serve this action type"
            await abort(context, status(grpc.StatusCode.NOT_FOUND, "UNKNOWN_ACTION_TYPE", message))
        return definition

    async def _shielded(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.shield(self._start(work))

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task


async def _finally(work: Sequence[asyncio.Task[Any]], ready: asyncio.Queue[list[Answer] | None]) -> None:
    try:
        await asyncio.gather(*work)
    finally:
        ready.put_nowait(None)


async def _drained(ready: asyncio.Queue[list[Answer] | None]) -> AsyncIterator[list[Answer]]:
    """Give what is ready, all of it at once, until the end mark."""
    ended = False
    while not ended:
        arrived = [await ready.get()]
        while not ready.empty():
            arrived.append(ready.get_nowait())
        ended = arrived[-1] is None
        answers = [answer for chunk in arrived if chunk is not None for answer in chunk]
        if answers:
            yield answers


def _response(answers: Sequence[Answer]) -> wire.ExecuteBatchResponse:
    indexed = wire.IndexedResult
    return wire.ExecuteBatchResponse(
        results=[indexed(index=index, result=result) for index, result in answers]
    )


def _preview(call: Call[Any], definition: AnyDefinition) -> dict[str, object]:
    if definition.preview is not None:
        return definition.preview(call)
    shown: dict[str, object] = call.config.model_dump(mode="json", exclude_none=True)
    return shown


def _key(account_id: int, key: action_pb2.EffectKey) -> EffectKey:
    return EffectKey(account_id, UUID(key.execution_id), key.step_id, key.visit)
