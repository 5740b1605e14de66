"""Serves BulkService: operations on many, previewed, started, steered, read; __main__ adds it."""

import asyncio
from datetime import timedelta
from uuid import UUID

import asyncpg
import orjson
from google.protobuf.duration_pb2 import Duration
from wayfarer.execution.v1 import bulk_service_pb2 as pb
from wayfarer.execution.v1 import bulk_service_pb2_grpc

from execution_engine.bulk import BRISK, BulkKind, BulkState, Chosen, Pace, Params, Removed
from execution_engine.definition.conditions import CONTACT_ROOTS, Condition, ConditionInvalid
from execution_engine.errors import InvalidValue, WorkflowNotActive
from execution_engine.ids import uuid_of
from execution_engine.model import LIVE, ErrorClass, Priority, Status, WorkflowStatus
from execution_engine.store import bulk, migrating, previews, workflows
from execution_engine.store.accounts import account_transaction
from execution_engine.store.bulk import Operation
from services.execution_api import convert, paging
from services.execution_api.answers import answered, key_of
from services.execution_api.auth import caller
from services.execution_api.showing import Engine
from services.runtime.interceptors import Context

_SHORTEST, _LONGEST = timedelta(milliseconds=100), timedelta(days=7)


class BulkServicer(bulk_service_pb2_grpc.BulkServiceServicer):
    """The rpcs of BulkService; the proto says what each does. `due` is set when there is something to do."""

    def __init__(self, engine: Engine, due: asyncio.Event) -> None:
        self._engine = engine
        self._due = due

    async def PreviewBulkOperation(
        self, request: pb.PreviewBulkOperationRequest, context: Context
    ) -> pb.PreviewBulkOperationResponse:
        account_id, engine = caller().account_id, self._engine
        async with account_transaction(engine.pool, account_id) as connection:
            params = await self._params(connection, account_id, request.task, "")
            if params.kind is BulkKind.ENROLL:
                assert params.workflow_id is not None
                counts = await previews.enrollment(
                    connection, account_id, params.workflow_id, params.contacts
                )
                return pb.PreviewBulkOperationResponse(total=len(params.contacts), counts=counts)
            found = await bulk.count(connection, account_id, params.chosen)
            by_status: dict[str, int] = {}
            for _, _, status, number in found:
                by_status[status.name] = by_status.get(status.name, 0) + number
            moves = []
            if params.kind is BulkKind.MIGRATE:
                moves = await self._moves(connection, account_id, params, found)
        return pb.PreviewBulkOperationResponse(total=sum(by_status.values()), counts=by_status, moves=moves)

    async def _moves(
        self,
        connection: asyncpg.Connection,
        account_id: int,
        params: Params,
        found: list[tuple[int, int, Status, int]],
    ) -> list[pb.StepMove]:
        assert params.workflow_id is not None
        numbers: dict[tuple[int, int], int] = {}
        for version, step, _, number in found:
            if step >= 0 and version != params.to_version:
                numbers[version, step] = numbers.get((version, step), 0) + number
        moves = []
        for (version, step), number in sorted(numbers.items()):
            plan = await migrating.plan_of(
                connection,
                self._engine.vault,
                account_id,
                params.workflow_id,
                version,
                params.to_version,
                dict(params.step_map),
            )
            target = plan.targets[step]
            to_step = plan.ids[target] if target is not None else ""
            move = pb.StepMove(
                version=version, step_id=plan.steps[step], to_step_id=to_step, executions=number
            )
            moves.append(move)
        return moves

    async def StartBulkOperation(
        self, request: pb.StartBulkOperationRequest, context: Context
    ) -> pb.StartBulkOperationResponse:
        who, engine = caller(), self._engine
        pace = _pace(request)

        async def work(connection: asyncpg.Connection) -> pb.StartBulkOperationResponse:
            params = await self._params(connection, who.account_id, request.task, request.reason)
            operation_id = await bulk.create(
                connection, engine.vault, who.account_id, params, who.actor, pace
            )
            operation = await bulk.get(connection, engine.vault, who.account_id, operation_id)
            return pb.StartBulkOperationResponse(
                operation=await _shown(connection, who.account_id, operation)
            )

        key = key_of("StartBulkOperation", request)
        answer = await answered(
            engine.pool, engine.vault, who.account_id, key, pb.StartBulkOperationResponse, work
        )
        self._due.set()
        return answer

    async def GetBulkOperation(
        self, request: pb.GetBulkOperationRequest, context: Context
    ) -> pb.GetBulkOperationResponse:
        return pb.GetBulkOperationResponse(operation=await self._read(UUID(request.id)))

    async def ListBulkOperations(
        self, request: pb.ListBulkOperationsRequest, context: Context
    ) -> pb.ListBulkOperationsResponse:
        account_id, size = caller().account_id, paging.size_of(request.page_size)
        mark = paging.filter_mark(request)
        before = paging.decode_id(request.page_token, mark)
        async with account_transaction(self._engine.pool, account_id) as connection:
            found = await bulk.page(connection, self._engine.vault, account_id, before, size + 1)
            listed = [await _shown(connection, account_id, operation) for operation in found[:size]]
        more = paging.encode(found[size - 1].operation_id.bytes, mark) if len(found) > size else ""
        return pb.ListBulkOperationsResponse(operations=listed, next_page_token=more)

    async def ListBulkItems(
        self, request: pb.ListBulkItemsRequest, context: Context
    ) -> pb.ListBulkItemsResponse:
        account_id, size = caller().account_id, paging.size_of(request.page_size)
        mark = paging.filter_mark(request)
        after = paging.decode_seq(request.page_token, mark)
        operation_id = UUID(request.id)
        async with account_transaction(self._engine.pool, account_id) as connection:
            operation = await bulk.get(connection, self._engine.vault, account_id, operation_id)
            found = await bulk.items(connection, account_id, operation, after, request.outcome, size + 1)
        more = paging.encode(found[size - 1].item.to_bytes(4, "big"), mark) if len(found) > size else ""
        listed = [
            pb.BulkItem(
                item=one.item,
                subject_id=str(one.subject),
                outcome=one.outcome,
                execution_id=str(one.execution_id or ""),
            )
            for one in found[:size]
        ]
        return pb.ListBulkItemsResponse(items=listed, next_page_token=more)

    async def PauseBulkOperation(
        self, request: pb.PauseBulkOperationRequest, context: Context
    ) -> pb.PauseBulkOperationResponse:
        return pb.PauseBulkOperationResponse(operation=await self._steer(request.id, BulkState.PAUSED))

    async def ResumeBulkOperation(
        self, request: pb.ResumeBulkOperationRequest, context: Context
    ) -> pb.ResumeBulkOperationResponse:
        return pb.ResumeBulkOperationResponse(operation=await self._steer(request.id, BulkState.RUNNING))

    async def CancelBulkOperation(
        self, request: pb.CancelBulkOperationRequest, context: Context
    ) -> pb.CancelBulkOperationResponse:
        return pb.CancelBulkOperationResponse(operation=await self._steer(request.id, BulkState.CANCELLED))

    async def _steer(self, name: str, to: BulkState) -> pb.BulkOperation:
        account_id, engine = caller().account_id, self._engine
        async with account_transaction(engine.pool, account_id) as connection:
            await bulk.steer(connection, engine.vault, account_id, UUID(name), to)
        return await self._read(UUID(name))

    async def _read(self, operation_id: UUID) -> pb.BulkOperation:
        account_id = caller().account_id
        async with account_transaction(self._engine.pool, account_id) as connection:
            operation = await bulk.get(connection, self._engine.vault, account_id, operation_id)
            return await _shown(connection, account_id, operation)

    # From the task to what the engine keeps of it

    async def _params(
        self, connection: asyncpg.Connection, account_id: int, task: pb.BulkTask, words: str
    ) -> Params:
        """Raises NotFound, InvalidValue, WorkflowNotActive."""
        match task.WhichOneof("task"):
            case "retry":
                chosen = await self._chosen(connection, account_id, task.retry.filter, (Status.FAILED,))
                return Params(
                    BulkKind.RETRY,
                    words,
                    chosen,
                    from_step=task.retry.from_step,
                    skip_failed=task.retry.skip_failed,
                )
            case "cancel":
                chosen = await self._chosen(connection, account_id, task.cancel.filter, LIVE)
                return Params(BulkKind.CANCEL, words, chosen)
            case "enroll":
                return await self._enrollment(connection, account_id, task.enroll, words)
            case _:
                return await self._migration(connection, account_id, task.migrate, words)

    async def _chosen(
        self,
        connection: asyncpg.Connection,
        account_id: int,
        given: pb.ExecutionFilter,
        default: tuple[Status, ...],
    ) -> Chosen:
        workflow_id, places = None, None
        if given.workflow:
            found = await workflows.find(connection, self._engine.vault, account_id, given.workflow)
            workflow_id = found.workflow_id
        if given.step_id:
            places = await self._places(connection, account_id, workflow_id, given)
        since, until = given.create_time_from, given.create_time_to
        return Chosen(
            ids=tuple(UUID(name) for name in given.ids),
            workflow_id=workflow_id,
            version=given.version,
            statuses=tuple(Status(status) for status in given.statuses) or default,
            error_class=ErrorClass(given.error_class) if given.error_class else None,
            reason=given.reason,
            created_from=convert.moment(since, "create_time_from")
            if given.HasField("create_time_from")
            else None,
            created_to=convert.moment(until, "create_time_to") if given.HasField("create_time_to") else None,
            places=places,
        )

    async def _places(
        self,
        connection: asyncpg.Connection,
        account_id: int,
        workflow_id: UUID | None,
        given: pb.ExecutionFilter,
    ) -> tuple[tuple[int, int], ...]:
        """Where the filter's step stands. Raises InvalidValue."""
        if workflow_id is None:
            raise InvalidValue("filter.step_id", "required", "goes with the workflow whose step it is")
        vault, step_id = self._engine.vault, given.step_id
        found = await workflows.places_of(connection, vault, account_id, workflow_id, step_id, given.version)
        if not found:
            raise InvalidValue("filter.step_id", "unknown_step", f"no version has a step {step_id!r}")
        return tuple(found)

    async def _enrollment(
        self, connection: asyncpg.Connection, account_id: int, given: pb.EnrollMany, words: str
    ) -> Params:
        if bool(given.contact_ids) == bool(given.contact_filter):
            raise InvalidValue(
                "enroll.contact_ids", "required", "one of contact_ids and contact_filter is required"
            )
        if given.contact_filter:
            try:
                Condition.compile(given.contact_filter, CONTACT_ROOTS)
            except ConditionInvalid as error:
                raise InvalidValue("enroll.contact_filter", "expression", str(error)) from error
        view = await workflows.find(connection, self._engine.vault, account_id, given.workflow)
        if view.status is not WorkflowStatus.ACTIVE:
            raise WorkflowNotActive(given.workflow)
        trigger = convert.plain(given.trigger, "enroll.trigger") if given.HasField("trigger") else {}
        return Params(
            BulkKind.ENROLL,
            words,
            workflow_id=view.workflow_id,
            contacts=tuple(map(uuid_of, given.contact_ids)),
            contact_filter=given.contact_filter,
            trigger=orjson.dumps(trigger).decode() if trigger else "",
            priority=Priority(given.priority or Priority.LOW),
        )

    async def _migration(
        self, connection: asyncpg.Connection, account_id: int, given: pb.MigrateMany, words: str
    ) -> Params:
        vault = self._engine.vault
        view = await workflows.find(connection, vault, account_id, given.workflow)
        to_version = given.to_version or view.published_version
        document = await workflows.version_document(
            connection, vault, account_id, view.workflow_id, to_version
        )
        known = {step["id"] for step in orjson.loads(document)["steps"]}
        for old, new in sorted(given.step_map.items()):
            if new not in known:
                field = f"migrate.step_map[{old}]"
                raise InvalidValue(field, "unknown_step", f"version {to_version} has no step {new!r}")
        if given.from_version == to_version:
            raise InvalidValue("migrate.to_version", "other", "is the version they are on")
        statuses = (*LIVE, Status.FAILED)
        return Params(
            BulkKind.MIGRATE,
            words,
            Chosen(workflow_id=view.workflow_id, version=given.from_version, statuses=statuses),
            workflow_id=view.workflow_id,
            to_version=to_version,
            step_map=tuple(sorted(given.step_map.items())),
            removed=Removed(given.removed),
        )


def _pace(request: pb.StartBulkOperationRequest) -> Pace:
    if not request.per_tick and not request.HasField("tick"):
        return BRISK
    tick = request.tick.ToTimedelta()
    if not request.per_tick:
        raise InvalidValue("per_tick", "range", "must be from 1 to 20,000 with a tick")
    if not _SHORTEST <= tick <= _LONGEST:
        raise InvalidValue("tick", "range", "must be from 100 ms to a week")
    return Pace(request.per_tick, tick)


async def _shown(connection: asyncpg.Connection, account_id: int, operation: Operation) -> pb.BulkOperation:
    counts, left = await bulk.outcomes(connection, account_id, operation)
    tick = Duration()
    tick.FromTimedelta(operation.pace.tick)
    return pb.BulkOperation(
        id=str(operation.operation_id),
        kind=int(operation.kind),  # type: ignore[arg-type]
        state=int(operation.state),  # type: ignore[arg-type]
        actor=operation.actor,
        total=sum(counts.values()) + left,
        finished=sum(counts.values()),
        outcomes=counts,
        per_tick=operation.pace.per_tick,
        tick=tick,
        create_time=convert.timestamp(operation.created_at),
        end_time=convert.timestamp(operation.ended_at),
    )
