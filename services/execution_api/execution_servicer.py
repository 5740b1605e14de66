"""Serves ExecutionService: converts, calls the engine, converts; services/execution_api/__main__ adds it."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import asyncpg
import orjson
from wayfarer.execution.v1 import execution_service_pb2 as pb
from wayfarer.execution.v1 import execution_service_pb2_grpc

from execution_engine.errors import InvalidValue
from execution_engine.model import TERMINAL, ErrorClass, ExecutionView, LogRow, Priority, Status
from execution_engine.store import executions, logs, verify, workflows
from execution_engine.store.accounts import account_transaction
from execution_engine.store.enrollment import Start
from execution_engine.store.hints import HintSender
from execution_engine.store.joint import Named
from services.execution_api import convert, paging
from services.execution_api.answers import key_of
from services.execution_api.auth import caller
from services.execution_api.providers import Providers
from services.execution_api.showing import Engine, shown, shown_all
from services.execution_api.starts import Starts
from services.execution_api.steering import Steering
from services.execution_api.watching import Watching
from services.runtime.interceptors import Context
from services.runtime.keyring import KeyringError
from services.runtime.telemetry import current_traceparent

_LOG_PAGE = 100
_VERIFY_DEFAULT = 1_000
_NIL = UUID(int=0)


class ExecutionServicer(Steering, execution_service_pb2_grpc.ExecutionServiceServicer):
    """The rpcs of ExecutionService; the proto says what each does."""

    def __init__(
        self, engine: Engine, starts: Starts, watching: Watching, due: HintSender, providers: Providers
    ) -> None:
        super().__init__(engine, due, providers)
        self._starts = starts
        self._watching = watching

    async def StartExecution(
        self, request: pb.StartExecutionRequest, context: Context
    ) -> pb.StartExecutionResponse:
        trigger = (
            orjson.dumps(convert.plain(request.trigger, "trigger")) if request.HasField("trigger") else b""
        )
        start = Start(
            workflow_id=_NIL,
            contact_id=UUID(request.contact_id),
            priority=Priority(request.priority or Priority.NORMAL),
            trigger=trigger,
            traceparent=current_traceparent(),
            entry_key=request.entry_key,
        )
        key = key_of("StartExecution", request)
        return await self._starts.start(Named(caller().account_id, request.workflow, start, key))

    async def GetExecution(
        self, request: pb.GetExecutionRequest, context: Context
    ) -> pb.GetExecutionResponse:
        account_id = caller().account_id
        async with account_transaction(self._engine.pool, account_id) as connection:
            view = await executions.get(connection, account_id, UUID(request.id))
            execution = await shown(self._engine, connection, view)
            # One whose input cannot be opened any more is shown all the same.
            with suppress(KeyringError):
                execution.trace_id = await executions.trace_id(
                    connection, self._engine.vault, account_id, view.execution_id
                )
        return pb.GetExecutionResponse(execution=execution)

    async def ListExecutions(
        self, request: pb.ListExecutionsRequest, context: Context
    ) -> pb.ListExecutionsResponse:
        account_id, size = caller().account_id, paging.size_of(request.page_size)
        mark = paging.filter_mark(request)
        before = paging.decode_id(request.page_token, mark)
        passed = _passed(request, size)
        async with account_transaction(self._engine.pool, account_id) as connection:
            chosen = await self._chosen(connection, account_id, request, before)
            total = await executions.count(connection, account_id, chosen) if request.page else None
            if passed:
                before = await executions.at(connection, account_id, chosen, passed)
                chosen = replace(chosen, before=before)
            beyond = bool(passed) and before is None
            views = [] if beyond else await executions.page(connection, account_id, chosen, size + 1)
            listed = await shown_all(self._engine, connection, views[:size])
        more = paging.encode(views[size - 1].execution_id.bytes, mark) if len(views) > size else ""
        answer = pb.ListExecutionsResponse(executions=listed, next_page_token=more)
        if total is not None:
            answer.total_size, answer.total_is_minimum = total.number, total.at_least
        return answer

    async def _chosen(
        self,
        connection: asyncpg.Connection,
        account_id: int,
        request: pb.ListExecutionsRequest,
        before: UUID | None,
    ) -> executions.Filter:
        """What the request's filters mean. Raises NotFound, InvalidValue."""
        workflow_id, places = None, None
        if request.workflow:
            found = await workflows.find(connection, self._engine.vault, account_id, request.workflow)
            workflow_id = found.workflow_id
            if request.step_id:
                # By the outlines at hand: to find the versions that have executions reads them all.
                outlines = self._engine.outlines
                places = [
                    (version, place)
                    for version in range(1, found.published_version + 1)
                    for place, (step_id, _) in enumerate(
                        await outlines.of(connection, account_id, workflow_id, version)
                    )
                    if step_id == request.step_id
                ]
        elif request.step_id:
            raise InvalidValue("step_id", "required", "goes with the workflow whose step it is")
        elif request.version:
            raise InvalidValue("version", "required", "goes with the workflow whose version it is")
        return executions.Filter(
            workflow_id=workflow_id,
            contact_id=UUID(request.contact_id) if request.contact_id else None,
            status=Status(request.status) if request.status else None,
            created_from=convert.moment(request.create_time_from, "create_time_from")
            if request.HasField("create_time_from")
            else None,
            created_to=convert.moment(request.create_time_to, "create_time_to")
            if request.HasField("create_time_to")
            else None,
            before=before,
            reason=request.reason,
            error_class=ErrorClass(request.error_class) if request.error_class else None,
            places=places,
            version=request.version,
        )

    async def ListExecutionLogs(
        self, request: pb.ListExecutionLogsRequest, context: Context
    ) -> pb.ListExecutionLogsResponse:
        account_id, size = caller().account_id, paging.size_of(request.page_size, _LOG_PAGE)
        mark = paging.filter_mark(request)
        if request.page and request.page_token:
            raise InvalidValue("page", "exclusive", "cannot go with page_token")
        async with account_transaction(self._engine.pool, account_id) as connection:
            view = await executions.get(connection, account_id, UUID(request.execution_id))
            total = view.log_seq
            # Sequence numbers have no gaps, so that a page is a range of them, from either end.
            passed = paging.decode_seq(request.page_token, mark)
            if request.page:
                passed = min((request.page - 1) * size, total)
            first = passed if not request.newest_first else max(total - passed - size, 0)
            wanted = size if not request.newest_first else min(size, max(total - passed, 0))
            entries = (await self._entries(connection, view, first, wanted))[:wanted]
        if request.newest_first:
            entries.reverse()
        passed += len(entries)
        more = passed.to_bytes(4, "big") if passed < total and entries else b""
        return pb.ListExecutionLogsResponse(
            log_entries=[convert.log_entry(e, self._engine.sensitive()) for e in entries],
            next_page_token=paging.encode(more, mark) if more else "",
            total_size=total,
        )

    async def WatchExecution(
        self, request: pb.WatchExecutionRequest, context: Context
    ) -> AsyncIterator[pb.WatchExecutionResponse]:
        account_id, execution_id = caller().account_id, UUID(request.id)
        seen, last = request.after_seq, b""
        with self._watching.of(account_id) as changed:
            while True:
                changed.clear()
                async with account_transaction(self._engine.pool, account_id) as connection:
                    view = await executions.get(connection, account_id, execution_id)
                    execution = await shown(self._engine, connection, view)
                    entries = await self._entries(connection, view, seen, 1_000)
                state = execution.SerializeToString(deterministic=True)
                if entries or state != last:
                    told = [convert.log_entry(e, self._engine.sensitive()) for e in entries]
                    yield pb.WatchExecutionResponse(execution=execution, log_entries=told)
                    last = state
                    seen = max([seen, *(e.seq_end for e in entries)])
                if view.status in TERMINAL and seen >= view.log_seq:
                    return
                await self._watching.wait(changed)

    async def VerifyExecutions(
        self, request: pb.VerifyExecutionsRequest, context: Context
    ) -> pb.VerifyExecutionsResponse:
        account_id = caller().account_id
        left = request.max_executions or _VERIFY_DEFAULT
        in_logs = verify.LogChecks(self._engine.vault, self._engine.outlines)
        async with account_transaction(self._engine.pool, account_id) as connection:
            checks = await verify.counts(connection, account_id)
        before: UUID | None = None
        while left > 0:
            # A row and its log must be read as of one moment.
            async with account_transaction(self._engine.pool, account_id, snapshot=True) as connection:
                chosen = executions.Filter(before=before)
                views = await executions.page(connection, account_id, chosen, min(left, 200))
                for view in views:
                    await in_logs.check(connection, account_id, view.execution_id)
            if not views:
                break
            left -= len(views)
            before = views[-1].execution_id
        both = [*checks, in_logs.chained, in_logs.folded]
        in_order = sorted(both, key=lambda made: int(made.id[1:]))
        return pb.VerifyExecutionsResponse(
            checks=[convert.check(made) for made in in_order], executions_checked=in_logs.checked
        )

    async def _entries(
        self, connection: asyncpg.Connection, view: ExecutionView, after: int, size: int
    ) -> list[LogRow]:
        stored = await logs.rows(
            connection, self._engine.vault, view.account_id, view.execution_id, after, size + 1
        )
        outline = await self._outline(connection, view)
        return logs.entries(view, stored, outline, after)

    async def _outline(
        self, connection: asyncpg.Connection, view: ExecutionView
    ) -> tuple[tuple[str, str], ...]:
        return await self._engine.outlines.of(connection, view.account_id, view.workflow_id, view.version)


def _passed(request: pb.ListExecutionsRequest, size: int) -> int:
    """How many executions stand before the page that is asked for by its number. Raises InvalidValue."""
    if request.page and request.page_token:
        raise InvalidValue("page", "exclusive", "cannot go with page_token")
    passed = max(request.page - 1, 0) * size
    if passed >= executions.MOST_COUNTED:
        told = f"the first {executions.MOST_COUNTED:,} have pages with numbers: go on by next_page_token"
        raise InvalidValue("page", "too_far", told)
    return passed
