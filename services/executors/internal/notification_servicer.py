"""Serves NotificationService: converts, asks, converts; on the internal family's server."""

from __future__ import annotations  # gRPC classes are generic in their stubs only

from typing import Any, Never, TypeAlias

import grpc
from asyncpg.pgproto.pgproto import UUID as FastUUID
from wayfarer.notification.v1 import notification_service_pb2 as wire
from wayfarer.notification.v1.notification_service_pb2_grpc import NotificationServiceServicer

from services.executors import paging
from services.executors.internal.inbox import Inbox, Shown
from services.executors.internal.people import People, User
from services.runtime.errors import Violation, abort, bad_request

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_SEVERITIES = {
    "info": wire.SEVERITY_INFO,
    "warning": wire.SEVERITY_WARNING,
    "critical": wire.SEVERITY_CRITICAL,
}


class NotificationServicer(NotificationServiceServicer):
    """The rpcs of NotificationService; the proto says what each does."""

    def __init__(self, inbox: Inbox, people: People) -> None:
        self._inbox = inbox
        self._people = people

    async def ListNotifications(
        self, request: wire.ListNotificationsRequest, context: Context
    ) -> wire.ListNotificationsResponse:
        mark, size = paging.mark_of(request), paging.size_of(request.page_size)
        try:
            before = paging.decode_id(request.page_token, mark)
        except paging.PageTokenInvalidError:
            await _refuse_token(context)
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

    async def PutUser(self, request: wire.PutUserRequest, context: Context) -> wire.PutUserResponse:
        sent = request.user
        user = User(sent.user_id, sent.email, sent.phone, tuple(sent.roles))
        await self._people.put(request.account_id, user)
        return wire.PutUserResponse()

    async def DeleteUser(self, request: wire.DeleteUserRequest, context: Context) -> wire.DeleteUserResponse:
        await self._people.delete(request.account_id, request.user_id)
        return wire.DeleteUserResponse()

    async def ListUsers(self, request: wire.ListUsersRequest, context: Context) -> wire.ListUsersResponse:
        mark, size = paging.mark_of(request), paging.size_of(request.page_size)
        try:
            after = paging.decode_text(request.page_token, mark)
        except paging.PageTokenInvalidError:
            await _refuse_token(context)
        page = await self._people.page(request.account_id, after, size + 1)
        return wire.ListUsersResponse(
            users=[
                wire.User(user_id=one.user_id, email=one.email, phone=one.phone, roles=one.roles)
                for one in page[:size]
            ],
            next_page_token=paging.encode(page[size - 1].user_id.encode(), mark) if len(page) > size else "",
        )


async def _refuse_token(context: Context) -> Never:
    fault = Violation("page_token", "is no token of this list", "page_token")
    await abort(context, bad_request("PAGE_TOKEN_INVALID", "page_token: is no token of this list", [fault]))


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
