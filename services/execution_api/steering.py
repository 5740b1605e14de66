"""The rpcs of ExecutionService that steer one execution; its servicer is made of these and the rest."""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import asyncpg
from google.protobuf.message import Message
from wayfarer.execution.v1 import execution_service_pb2 as pb

from execution_engine.store import cancel, executions, explain, steering
from execution_engine.store.accounts import Caller, account_transaction
from execution_engine.store.hints import HintSender
from services.execution_api import convert
from services.execution_api.answers import answered, key_of
from services.execution_api.auth import caller
from services.execution_api.providers import Providers
from services.execution_api.showing import Engine, shown
from services.runtime.interceptors import Context

M = TypeVar("M", bound=Message)
Act = Callable[[asyncpg.Connection, Caller, UUID], Awaitable[object]]


class Steering:
    """What operators do to one execution; the proto says what each does."""

    def __init__(self, engine: Engine, due: HintSender, providers: Providers) -> None:
        self._engine = engine
        self._due = due
        self._providers = providers

    async def CancelExecution(
        self, request: pb.CancelExecutionRequest, context: Context
    ) -> pb.CancelExecutionResponse:
        engine = self._engine

        async def act(connection: asyncpg.Connection, who: Caller, execution_id: UUID) -> None:
            await cancel.cancel(
                connection,
                engine.vault,
                engine.outlines,
                who.account_id,
                execution_id,
                who.actor,
                request.reason,
            )

        return await self._done("CancelExecution", request, pb.CancelExecutionResponse, act)

    async def PauseExecution(
        self, request: pb.PauseExecutionRequest, context: Context
    ) -> pb.PauseExecutionResponse:
        engine = self._engine

        async def act(connection: asyncpg.Connection, who: Caller, execution_id: UUID) -> None:
            await steering.pause(
                connection,
                engine.vault,
                engine.outlines,
                who.account_id,
                execution_id,
                who.actor,
                request.reason,
            )

        return await self._done("PauseExecution", request, pb.PauseExecutionResponse, act)

    async def ResumeExecution(
        self, request: pb.ResumeExecutionRequest, context: Context
    ) -> pb.ResumeExecutionResponse:
        engine = self._engine

        async def act(connection: asyncpg.Connection, who: Caller, execution_id: UUID) -> None:
            await steering.resume(
                connection,
                engine.vault,
                engine.outlines,
                who.account_id,
                execution_id,
                who.actor,
                request.reason,
            )

        return await self._done("ResumeExecution", request, pb.ResumeExecutionResponse, act)

    async def RetryExecution(
        self, request: pb.RetryExecutionRequest, context: Context
    ) -> pb.RetryExecutionResponse:
        engine = self._engine

        async def act(connection: asyncpg.Connection, who: Caller, execution_id: UUID) -> None:
            await steering.retry(
                connection,
                engine.vault,
                engine.outlines,
                who.account_id,
                execution_id,
                who.actor,
                request.reason,
                request.from_step,
                request.skip_failed,
            )

        return await self._done("RetryExecution", request, pb.RetryExecutionResponse, act)

    async def ExplainExecution(
        self, request: pb.ExplainExecutionRequest, context: Context
    ) -> pb.ExplainExecutionResponse:
        account_id, engine = caller().account_id, self._engine
        async with account_transaction(engine.pool, account_id) as connection:
            view = await executions.get(connection, account_id, UUID(request.id))
            outline = await engine.outlines.of(connection, account_id, view.workflow_id, view.version)
            blockers = await explain.explain(
                connection, engine.vault, account_id, view.execution_id, engine.families(), outline
            )
            execution = await shown(engine, connection, view)
        provider = explain.provider_at_fault(view)
        if provider:
            refusals = await self._providers.refusals(account_id, provider)
            blockers = explain.with_refusals(blockers, refusals)
        return pb.ExplainExecutionResponse(
            execution=execution, blockers=[convert.blocker(one) for one in blockers]
        )

    async def _done(self, method: str, request: Message, kind: type[M], act: Act) -> M:
        """Acts once per request id, and answers with the execution as it then is."""
        who, engine = caller(), self._engine
        execution_id = UUID(request.id)  # type: ignore[attr-defined]

        async def work(connection: asyncpg.Connection) -> M:
            await act(connection, who, execution_id)
            view = await executions.get(connection, who.account_id, execution_id)
            return kind(execution=await shown(engine, connection, view))

        answer = await answered(
            engine.pool, engine.vault, who.account_id, key_of(method, request), kind, work
        )
        self._due.tell(who.account_id)
        return answer
