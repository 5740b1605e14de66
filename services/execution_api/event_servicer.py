"""Serves EventService: events in, receipts out; services/execution_api/__main__ adds it."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

import asyncpg
import orjson
import structlog
from google.protobuf.message import Message
from wayfarer.event.v1 import event_pb2, event_service_pb2_grpc
from wayfarer.event.v1 import event_service_pb2 as pb

from dispatcher.intake import Intake
from execution_engine.errors import InvalidValue, NotFound, WayfarerError
from execution_engine.receipts import Consequence
from execution_engine.store import contacts, event_reads, inbox, refusals, replays, workflows
from execution_engine.store.accounts import account_transaction
from execution_engine.store.definitions import Definitions
from execution_engine.store.event_reads import EventView
from execution_engine.store.events import Answer, Arrival
from execution_engine.store.hints import HintSender
from execution_engine.store.inbox import SetAside
from services.execution_api import convert, paging
from services.execution_api.answers import answered, key_of
from services.execution_api.auth import caller
from services.execution_api.showing import Engine
from services.runtime.interceptors import Context

M = TypeVar("M", bound=Message)
log = structlog.get_logger(__name__)
_MOST_DATA = 65_536


class EventServicer(event_service_pb2_grpc.EventServiceServicer):
    """The rpcs of EventService; the proto says what each does."""

    def __init__(self, engine: Engine, intake: Intake, due: HintSender) -> None:
        self._engine = engine
        self._intake = intake
        self._due = due
        self._definitions = Definitions(engine.vault)

    async def PublishEvents(
        self, request: pb.PublishEventsRequest, context: Context
    ) -> pb.PublishEventsResponse:
        account_id = caller().account_id
        known = await self._named_outside(account_id, request.events)
        parsed: list[Arrival | WayfarerError] = []
        for event in request.events:
            try:
                parsed.append(_arrival(event, known))
            except WayfarerError as error:
                parsed.append(error)
        arrivals = [one for one in parsed if isinstance(one, Arrival)]
        answers = iter(await self._intake.publish(account_id, arrivals))
        told = [one if isinstance(one, WayfarerError) else next(answers) for one in parsed]
        receipts = [_receipt(event.id, answer) for event, answer in zip(request.events, told, strict=True)]
        return pb.PublishEventsResponse(receipts=receipts)

    async def GetEvent(self, request: pb.GetEventRequest, context: Context) -> pb.GetEventResponse:
        account_id = caller().account_id
        event_id = UUID(request.id) if request.WhichOneof("by") == "id" else None
        async with account_transaction(self._engine.pool, account_id) as connection:
            view = await event_reads.get(
                connection, self._engine.vault, account_id, event_id, request.source_id
            )
        return pb.GetEventResponse(event=_event(view))

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        account_id, size = caller().account_id, paging.size_of(request.page_size)
        mark = paging.filter_mark(request)
        before = paging.decode_id(request.page_token, mark)
        contact_id = UUID(request.contact_id) if request.contact_id else None
        async with account_transaction(self._engine.pool, account_id) as connection:
            views = await event_reads.page(
                connection, self._engine.vault, account_id, before, size + 1, contact_id, request.type
            )
        more = paging.encode(views[size - 1].event_id.bytes, mark) if len(views) > size else ""
        return pb.ListEventsResponse(events=[_event(v) for v in views[:size]], next_page_token=more)

    async def ListRefusals(
        self, request: pb.ListRefusalsRequest, context: Context
    ) -> pb.ListRefusalsResponse:
        account_id, size = caller().account_id, paging.size_of(request.page_size)
        mark = paging.filter_mark(request)
        before = paging.decode_id(request.page_token, mark)
        contact_id = UUID(request.contact_id) if request.contact_id else None
        async with account_transaction(self._engine.pool, account_id) as connection:
            workflow_id = None
            if request.workflow:
                found = await workflows.find(connection, self._engine.vault, account_id, request.workflow)
                workflow_id = found.workflow_id
            views = await refusals.page(
                connection, account_id, before, size + 1, contact_id, workflow_id, request.kind
            )
        more = paging.encode(views[size - 1].refusal_id.bytes, mark) if len(views) > size else ""
        listed = [
            event_pb2.Refusal(
                id=str(view.refusal_id),
                kind=view.kind,
                workflow_id=str(view.workflow_id),
                contact_id=str(view.contact_id),
                execution_id=str(view.execution_id or ""),
                event_id=str(view.event_id or ""),
                time=convert.timestamp(view.at),
            )
            for view in views[:size]
        ]
        return pb.ListRefusalsResponse(refusals=listed, next_page_token=more)

    async def ListSetAsideEvents(
        self, request: pb.ListSetAsideEventsRequest, context: Context
    ) -> pb.ListSetAsideEventsResponse:
        account_id, size = caller().account_id, paging.size_of(request.page_size)
        mark = paging.filter_mark(request)
        before = paging.decode_number(request.page_token, mark)
        contact_id = UUID(request.contact_id) if request.contact_id else None
        async with account_transaction(self._engine.pool, account_id) as connection:
            found = await inbox.page(connection, account_id, before, size + 1, contact_id)
        last = found[size - 1].inbox_id.to_bytes(8, "big") if len(found) > size else b""
        return pb.ListSetAsideEventsResponse(
            events=[_set_aside(one) for one in found[:size]],
            next_page_token=paging.encode(last, mark) if last else "",
        )

    async def ReplayEvent(self, request: pb.ReplayEventRequest, context: Context) -> pb.ReplayEventResponse:
        who, vault, event_id = caller(), self._engine.vault, UUID(request.id)

        async def again(connection: asyncpg.Connection) -> UUID:
            await replays.try_starts(connection, vault, who.account_id, event_id, who.actor)
            return event_id

        return await self._replayed(request, pb.ReplayEventResponse, again)

    async def ReplaySetAsideEvent(
        self, request: pb.ReplaySetAsideEventRequest, context: Context
    ) -> pb.ReplaySetAsideEventResponse:
        who, engine = caller(), self._engine

        async def again(connection: asyncpg.Connection) -> UUID:
            return await replays.take_in(
                connection,
                engine.vault,
                engine.outlines,
                self._definitions,
                who.account_id,
                request.inbox_id,
                who.actor,
            )

        return await self._replayed(request, pb.ReplaySetAsideEventResponse, again)

    async def _replayed(
        self, request: Message, kind: type[M], again: Callable[[asyncpg.Connection], Awaitable[UUID]]
    ) -> M:
        """Replays once per request id, and answers with the event as it then is."""
        who, engine = caller(), self._engine

        async def work(connection: asyncpg.Connection) -> M:
            event_id = await again(connection)
            view = await event_reads.get(connection, engine.vault, who.account_id, event_id, "")
            return kind(event=_event(view))

        method = kind.DESCRIPTOR.name.removesuffix("Response")
        key = key_of(method, request)
        answer = await answered(engine.pool, engine.vault, who.account_id, key, kind, work)
        log.info("event_replayed", rpc=method, account_id=who.account_id, actor=who.actor)
        self._due.tell(who.account_id)
        return answer

    async def _named_outside(self, account_id: int, events: Sequence[pb.NewEvent]) -> dict[str, UUID]:
        """Ids of contacts that are named by the caller's own ids."""
        names = {event.contact_external_id for event in events if event.contact_external_id}
        if not names:
            return {}
        async with account_transaction(self._engine.pool, account_id) as connection:
            return await contacts.ids_of(connection, account_id, sorted(names))


def _set_aside(one: SetAside) -> event_pb2.SetAsideEvent:
    return event_pb2.SetAsideEvent(
        inbox_id=one.inbox_id,
        contact_id=str(one.contact_id),
        type=one.type,
        source_id=one.source_id,
        occur_time=convert.timestamp(one.occurred_at),
        set_aside_time=convert.timestamp(one.failed_at),
    )


def _arrival(event: pb.NewEvent, known: dict[str, UUID]) -> Arrival:
    """Raises NotFound, InvalidValue."""
    if bool(event.contact_id) == bool(event.contact_external_id):
        raise InvalidValue("contact_id", "required", "one of contact_id and contact_external_id is required")
    if event.contact_external_id and event.contact_external_id not in known:
        raise NotFound("contact", event.contact_external_id)
    data = convert.plain(event.data, "data") if event.HasField("data") else {}
    if len(orjson.dumps(data)) > _MOST_DATA:
        raise InvalidValue("data", "too_large", f"must be at most {_MOST_DATA} bytes as JSON")
    return Arrival(
        source_id=event.id,
        contact_id=UUID(event.contact_id) if event.contact_id else known[event.contact_external_id],
        type=event.type,
        occurred_at=convert.moment(event.occur_time, "occur_time") if event.HasField("occur_time") else None,
        data=data,
        payload_hash=hashlib.sha256(event.SerializeToString(deterministic=True)).digest(),
    )


def _receipt(source_id: str, answer: Answer) -> pb.Receipt:
    if isinstance(answer, WayfarerError):
        field = str(getattr(answer, "field", ""))
        error = pb.EventError(reason=answer.reason, field=field, message=answer.message)
        return pb.Receipt(source_id=source_id, error=error)
    return pb.Receipt(
        event_id=str(answer.event_id),
        source_id=source_id,
        duplicate=answer.duplicate,
        consequences=[_consequence(one) for one in answer.consequences],
    )


def _consequence(one: Consequence) -> event_pb2.Consequence:
    return event_pb2.Consequence(
        kind=int(one.kind),  # type: ignore[arg-type]
        workflow_id=one.workflow_id,
        execution_id=one.execution_id,
        reason=one.reason,
    )


def _event(view: EventView) -> event_pb2.Event:
    return event_pb2.Event(
        id=str(view.event_id),
        source_id=view.source_id,
        contact_id=str(view.contact_id),
        type=view.type,
        data=convert.struct(view.data),
        occur_time=convert.timestamp(view.occurred_at),
        receive_time=convert.timestamp(view.received_at),
        cause_execution_id=str(view.cause_execution or ""),
        consequences=[_consequence(one) for one in view.consequences],
    )
