"""Serves ConsentService: who may be written to; services/execution_api/__main__ adds it."""

from datetime import datetime
from uuid import UUID

import orjson
from wayfarer.crm.v1 import consent_service_pb2 as pb
from wayfarer.crm.v1 import consent_service_pb2_grpc

from execution_engine.errors import InvalidValue, NotFound, PageTokenInvalid
from execution_engine.sending.channels import Category, Channel, address_hash, normal
from execution_engine.sending.effects import Suppress
from execution_engine.store import consents
from execution_engine.store.accounts import account_transaction
from execution_engine.store.consents import ConsentView, MessageView, SuppressionView
from services.execution_api import convert, paging
from services.execution_api.auth import caller
from services.execution_api.showing import Engine
from services.runtime.interceptors import Context


class ConsentServicer(consent_service_pb2_grpc.ConsentServiceServicer):
    """The rpcs of ConsentService; the proto says what each does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def SetConsent(self, request: pb.SetConsentRequest, context: Context) -> pb.SetConsentResponse:
        who = caller()
        async with account_transaction(self._engine.pool, who.account_id) as connection:
            view = await consents.set_consent(
                connection,
                who.account_id,
                UUID(request.contact_id),
                Channel(request.channel),
                Category(request.category),
                request.source or who.actor,
                granted=request.granted,
            )
        return pb.SetConsentResponse(consent=_consent(view))

    async def GetConsents(self, request: pb.GetConsentsRequest, context: Context) -> pb.GetConsentsResponse:
        account_id = caller().account_id
        async with account_transaction(self._engine.pool, account_id) as connection:
            said, held = await consents.consents(connection, account_id, UUID(request.contact_id))
        return pb.GetConsentsResponse(
            consents=[_consent(view) for view in said], suppressions=[_suppression(view) for view in held]
        )

    async def SuppressAddress(
        self, request: pb.SuppressAddressRequest, context: Context
    ) -> pb.SuppressAddressResponse:
        who = caller()
        address = normal(Channel(request.channel), request.address)
        hashed = address_hash(self._engine.vault, who.account_id, address)
        async with account_transaction(self._engine.pool, who.account_id) as connection:
            seconds = None
            if request.HasField("until"):
                now: datetime = await connection.fetchval("SELECT wf_now()")
                seconds = (convert.moment(request.until, "until") - now).total_seconds()
                if seconds <= 0:
                    raise InvalidValue("until", "past", "must lie in the future")
            what = Suppress(
                Channel(request.channel), _category(request.category), request.reason or "MANUAL", seconds
            )
            view = await consents.suppress(connection, who.account_id, hashed, what, who.actor)
        return pb.SuppressAddressResponse(suppression=_suppression(view))

    async def LiftSuppression(
        self, request: pb.LiftSuppressionRequest, context: Context
    ) -> pb.LiftSuppressionResponse:
        account_id = caller().account_id
        address = normal(Channel(request.channel), request.address)
        hashed = address_hash(self._engine.vault, account_id, address)
        async with account_transaction(self._engine.pool, account_id) as connection:
            channel, category = Channel(request.channel), _category(request.category)
            if not await consents.lift(connection, account_id, hashed, channel, category):
                raise NotFound("suppression", channel.name.lower())
        return pb.LiftSuppressionResponse()

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: Context
    ) -> pb.ListMessagesResponse:
        account_id, size = caller().account_id, paging.size_of(request.page_size)
        mark = paging.filter_mark(request)
        raw = paging.decode(request.page_token, mark)
        after = _place(raw) if raw else None
        async with account_transaction(self._engine.pool, account_id) as connection:
            views = await consents.messages(connection, account_id, UUID(request.contact_id), after, size + 1)
        more = paging.encode(_mark(views[size - 1]), mark) if len(views) > size else ""
        return pb.ListMessagesResponse(messages=[_message(v) for v in views[:size]], next_page_token=more)


def _category(number: int) -> Category | None:
    return Category(number) if number else None


def _consent(view: ConsentView) -> pb.Consent:
    return pb.Consent(
        channel=int(view.channel),  # type: ignore[arg-type]
        category=int(view.category),  # type: ignore[arg-type]
        granted=view.granted,
        source=view.source,
        time=convert.timestamp(view.at),
    )


def _suppression(view: SuppressionView) -> pb.Suppression:
    return pb.Suppression(
        channel=int(view.channel),  # type: ignore[arg-type]
        category=view.category,  # type: ignore[arg-type]
        reason=view.reason,
        until=convert.timestamp(view.until),
        source=view.source,
        time=convert.timestamp(view.at),
    )


def _message(view: MessageView) -> pb.SentMessage:
    return pb.SentMessage(
        channel=int(view.channel),  # type: ignore[arg-type]
        category=int(view.category),  # type: ignore[arg-type]
        time=convert.timestamp(view.at),
        execution_id=str(view.execution_id),
        step_id=view.step_id,
        visit=view.visit,
    )


def _mark(view: MessageView) -> bytes:
    return orjson.dumps([view.at.isoformat(), str(view.execution_id), view.step_id, view.visit])


def _place(raw: bytes) -> MessageView:
    try:
        at, execution, step_id, visit = orjson.loads(raw)
        moment, execution_id = datetime.fromisoformat(at), UUID(execution)
        if not isinstance(step_id, str) or not isinstance(visit, int) or not 0 <= visit < 2**15:
            raise PageTokenInvalid
    except (ValueError, TypeError, AttributeError) as error:
        raise PageTokenInvalid from error
    return MessageView(Channel.EMAIL, Category.MARKETING, moment, execution_id, step_id, visit)
