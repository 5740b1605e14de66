"""Serves NotificationService: converts, asks the inbox, converts; on the internal family's server."""

from __future__ import annotations  # gRPC classes are generic in their stubs only

from typing import Any, TypeAlias

import grpc
from asyncpg.pgproto.pgproto import UUID as FastUUID
from wayfarer.notification.v1 import notification_service_pb2 as wire
from wayfarer.notification.v1.notification_service_pb2_grpc import NotificationServiceServicer

from services.executors import paging
from services.executors.internal.inbox import Inbox, Shown
from services.runtime.errors import Violation, abort, bad_request

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_SEVERITIES = {
    "info": wire.SEVERITY_INFO,
    "warning": wire.SEVERITY_WARNING,
    "critical": wire.SEVERITY_CRITICAL,
}


class NotificationServicer(NotificationServiceServicer):
    """The rpcs of NotificationService; the proto says what each does."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def ListNotifications(
        self, request: wire.ListNotificationsRequest, context: Context
    ) -> wire.ListNotificationsResponse:
        mark, size = paging.mark_of(request), paging.size_of(request.page_size)
        try:
            before = paging.decode_id(request.page_token, mark)
        except paging.PageTokenInvalidError:
            fault = Violation("page_token", "is no token of this list", "page_token")
            text = f"{fault.field}: {fault.description}"
            await abort(context, bad_request("PAGE_TOKEN_INVALID", text, [fault]))
        page = await self._inbox.page(
            request.account_id, request.user_id, before, size + 1, unread_only=request.unread_only
        )
        more = len(page) > size
        return wire.ListNotificationsResponse(
            notifications=[_shown(one) for one in page[:size]],
            next_page_token=paging.encode(page[size - 1].notification_id.bytes, mark) if more else "",
        )

    async def MarkRead(self, request: wire.MarkReadRequest, context: Context) -> wire.MarkReadResponse:
        ids = [FastUUID(raw) for raw in request.notification_ids]
        count = await self._inbox.mark_read(request.account_id, request.user_id, ids)
        return wire.MarkReadResponse(marked=count)


def _shown(one: Shown) -> wire.Notification:
    shown = wire.Notification(
        notification_id=one.notification_id.bytes,
        title=one.title,
        body=one.body,
        severity=_SEVERITIES[one.severity],
    )
    shown.create_time.FromDatetime(one.created_at)
    if one.read_at is not None:
        shown.read_time.FromDatetime(one.read_at)
    return shown
