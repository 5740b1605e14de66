"""Serves WaitService: pending waits, and what people do to them; services/execution_api/__main__ adds it."""

from uuid import UUID

import asyncpg
from wayfarer.execution.v1 import wait_service_pb2 as pb
from wayfarer.execution.v1 import wait_service_pb2_grpc

from execution_engine.signals import SignalKind
from execution_engine.store import executions, waits
from execution_engine.store.accounts import account_transaction
from execution_engine.store.hints import HintSender
from execution_engine.store.waits import WaitView
from services.execution_api import convert, paging
from services.execution_api.answers import answered, key_of
from services.execution_api.auth import caller
from services.execution_api.showing import Engine, shown
from services.runtime.interceptors import Context


class WaitServicer(wait_service_pb2_grpc.WaitServiceServicer):
    """The rpcs of WaitService; the proto says what each does."""

    def __init__(self, engine: Engine, due: HintSender) -> None:
        self._engine = engine
        self._due = due

    async def CreateWait(self, request: pb.CreateWaitRequest, context: Context) -> pb.CreateWaitResponse:
        who, engine = caller(), self._engine
        until = convert.moment(request.until, "until")

        async def work(connection: asyncpg.Connection) -> pb.CreateWaitResponse:
            wait_id = await waits.create(
                connection,
                engine.vault,
                engine.outlines,
                who.account_id,
                UUID(request.execution_id),
                until,
                who.actor,
            )
            view = await waits.get(connection, engine.vault, who.account_id, wait_id)
            return pb.CreateWaitResponse(wait=await self._shown(connection, who.account_id, view))

        key = key_of("CreateWait", request)
        return await answered(engine.pool, engine.vault, who.account_id, key, pb.CreateWaitResponse, work)

    async def GetWait(self, request: pb.GetWaitRequest, context: Context) -> pb.GetWaitResponse:
        account_id = caller().account_id
        async with account_transaction(self._engine.pool, account_id) as connection:
            view = await waits.get(connection, self._engine.vault, account_id, request.id)
            return pb.GetWaitResponse(wait=await self._shown(connection, account_id, view))

    async def ListWaits(self, request: pb.ListWaitsRequest, context: Context) -> pb.ListWaitsResponse:
        account_id, size = caller().account_id, paging.size_of(request.page_size)
        mark = paging.filter_mark(request)
        before = paging.decode_id(request.page_token, mark)
        contact_id = UUID(request.contact_id) if request.contact_id else None
        async with account_transaction(self._engine.pool, account_id) as connection:
            views = await waits.page(connection, self._engine.vault, account_id, before, size + 1, contact_id)
            ids = list(dict.fromkeys(view.execution_id for view in views))
            kept = [view for view in views if view.execution_id in ids[:size]]
            listed = [await self._shown(connection, account_id, view) for view in kept]
        more = paging.encode(ids[size - 1].bytes, mark) if len(ids) > size else ""
        return pb.ListWaitsResponse(waits=listed, next_page_token=more)

    async def CancelWait(self, request: pb.CancelWaitRequest, context: Context) -> pb.CancelWaitResponse:
        engine, account_id = self._engine, caller().account_id
        actor = caller().actor

        async def work(connection: asyncpg.Connection) -> pb.CancelWaitResponse:
            execution_id = await waits.end(
                connection, engine.vault, engine.outlines, account_id, request.id, SignalKind.LIFT, actor
            )
            view = await executions.get(connection, account_id, execution_id)
            return pb.CancelWaitResponse(execution=await shown(engine, connection, view))

        key = key_of("CancelWait", request)
        answer = await answered(engine.pool, engine.vault, account_id, key, pb.CancelWaitResponse, work)
        self._due.tell(account_id)
        return answer

    async def ResumeWait(self, request: pb.ResumeWaitRequest, context: Context) -> pb.ResumeWaitResponse:
        engine, account_id = self._engine, caller().account_id
        actor = caller().actor

        async def work(connection: asyncpg.Connection) -> pb.ResumeWaitResponse:
            execution_id = await waits.end(
                connection, engine.vault, engine.outlines, account_id, request.id, SignalKind.RESUME, actor
            )
            view = await executions.get(connection, account_id, execution_id)
            return pb.ResumeWaitResponse(execution=await shown(engine, connection, view))

        key = key_of("ResumeWait", request)
        answer = await answered(engine.pool, engine.vault, account_id, key, pb.ResumeWaitResponse, work)
        self._due.tell(account_id)
        return answer

    async def _shown(self, connection: asyncpg.Connection, account_id: int, view: WaitView) -> pb.Wait:
        outline = await self._engine.outlines.of(connection, account_id, view.workflow_id, view.version)
        return pb.Wait(
            id=view.wait_id,
            execution_id=str(view.execution_id),
            workflow_id=str(view.workflow_id),
            contact_id=str(view.contact_id),
            step_id=outline[view.step][0] if view.step >= 0 else "",
            ad_hoc=view.ad_hoc,
            rule=view.rule,
            start_time=convert.timestamp(view.since),
            resume_time=convert.timestamp(view.until),
            event_types=view.types,
            paused=view.paused,
        )
