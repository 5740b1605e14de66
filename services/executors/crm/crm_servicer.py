"""Serves CrmService: converts, asks the desk, converts; on the crm family's server."""

from __future__ import annotations  # gRPC classes are generic in their stubs only

from collections.abc import Callable, Sequence
from typing import Any, Never, TypeAlias, TypeVar
from uuid import UUID

import grpc
from asyncpg.pgproto.pgproto import UUID as FastUUID
from wayfarer.crm.v1 import crm_service_pb2 as wire
from wayfarer.crm.v1.crm_service_pb2_grpc import CrmServiceServicer

from services.executors import paging
from services.executors.crm import crm_wire
from services.executors.crm.desk import Desk
from services.executors.crm.ids import ContactKey
from services.runtime.errors import Violation, abort, bad_request

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
OneT = TypeVar("OneT")


class CrmServicer(CrmServiceServicer):
    """The rpcs of CrmService; the proto says what each does."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def PutUser(self, request: wire.PutUserRequest, context: Context) -> wire.PutUserResponse:
        await self._desk.users.put(request.account_id, crm_wire.user_of(request.user))
        return wire.PutUserResponse()

    async def ListUsers(self, request: wire.ListUsersRequest, context: Context) -> wire.ListUsersResponse:
        after, size, mark = await _keyed(request, context)
        page = await self._desk.users.page(request.account_id, after, size + 1)
        token = _next(page, size, mark, lambda one: one.user_id.encode())
        users = [crm_wire.user(one) for one in page[:size]]
        return wire.ListUsersResponse(users=users, next_page_token=token)

    async def PutPipeline(
        self, request: wire.PutPipelineRequest, context: Context
    ) -> wire.PutPipelineResponse:
        await self._desk.pipelines.put(request.account_id, crm_wire.pipeline_of(request.pipeline))
        return wire.PutPipelineResponse()

    async def ListPipelines(
        self, request: wire.ListPipelinesRequest, context: Context
    ) -> wire.ListPipelinesResponse:
        after, size, mark = await _keyed(request, context)
        page = await self._desk.pipelines.page(request.account_id, after, size + 1)
        token = _next(page, size, mark, lambda one: one.key.encode())
        pipelines = [crm_wire.pipeline(one) for one in page[:size]]
        return wire.ListPipelinesResponse(pipelines=pipelines, next_page_token=token)

    async def PutCampaign(
        self, request: wire.PutCampaignRequest, context: Context
    ) -> wire.PutCampaignResponse:
        await self._desk.campaigns.put(request.account_id, crm_wire.campaign_of(request.campaign))
        return wire.PutCampaignResponse()

    async def ListCampaigns(
        self, request: wire.ListCampaignsRequest, context: Context
    ) -> wire.ListCampaignsResponse:
        after, size, mark = await _keyed(request, context)
        page = await self._desk.campaigns.page(request.account_id, after, size + 1)
        token = _next(page, size, mark, lambda one: one.key.encode())
        campaigns = [crm_wire.campaign(one) for one in page[:size]]
        return wire.ListCampaignsResponse(campaigns=campaigns, next_page_token=token)

    async def ListNotes(self, request: wire.ListNotesRequest, context: Context) -> wire.ListNotesResponse:
        before, size, mark = await _dated(request, context)
        page = await self._desk.notes.page(_contact(request), before, size + 1)
        token = _next(page, size, mark, lambda one: one.note_id.bytes)
        notes = [crm_wire.note(one) for one in page[:size]]
        return wire.ListNotesResponse(notes=notes, next_page_token=token)

    async def ListTasks(self, request: wire.ListTasksRequest, context: Context) -> wire.ListTasksResponse:
        before, size, mark = await _dated(request, context)
        page = await self._desk.tasks.page(_contact(request), before, size + 1)
        token = _next(page, size, mark, lambda one: one.task_id.bytes)
        tasks = [crm_wire.task(one) for one in page[:size]]
        return wire.ListTasksResponse(tasks=tasks, next_page_token=token)

    async def ListOpportunities(
        self, request: wire.ListOpportunitiesRequest, context: Context
    ) -> wire.ListOpportunitiesResponse:
        before, size, mark = await _dated(request, context)
        page = await self._desk.opportunities.page(_contact(request), before, size + 1)
        token = _next(page, size, mark, lambda one: one.opportunity_id.bytes)
        opportunities = [crm_wire.opportunity(one) for one in page[:size]]
        return wire.ListOpportunitiesResponse(opportunities=opportunities, next_page_token=token)

    async def ListEnrolments(
        self, request: wire.ListEnrolmentsRequest, context: Context
    ) -> wire.ListEnrolmentsResponse:
        before, size, mark = await _dated(request, context)
        page = await self._desk.campaigns.stays(_contact(request), before, size + 1)
        token = _next(page, size, mark, lambda one: one.enrolment_id.bytes)
        enrolments = [crm_wire.enrolment(one) for one in page[:size]]
        return wire.ListEnrolmentsResponse(enrolments=enrolments, next_page_token=token)


_OfAccount: TypeAlias = wire.ListUsersRequest | wire.ListPipelinesRequest | wire.ListCampaignsRequest
_OfContact: TypeAlias = (
    wire.ListNotesRequest | wire.ListTasksRequest | wire.ListOpportunitiesRequest | wire.ListEnrolmentsRequest
)


async def _keyed(request: _OfAccount, context: Context) -> tuple[str, int, bytes]:
    """Read a page of a list by key: after which one, how many, and the list's mark."""
    mark = paging.mark_of(request)
    try:
        return paging.decode_text(request.page_token, mark), paging.size_of(request.page_size), mark
    except paging.PageTokenInvalidError:
        await _refuse_token(context)


async def _dated(request: _OfContact, context: Context) -> tuple[UUID | None, int, bytes]:
    """Read a page of a list by time: before which id, how many, and the list's mark."""
    mark = paging.mark_of(request)
    try:
        return paging.decode_id(request.page_token, mark), paging.size_of(request.page_size), mark
    except paging.PageTokenInvalidError:
        await _refuse_token(context)


async def _refuse_token(context: Context) -> Never:
    fault = Violation("page_token", "is no token of this list", "page_token")
    await abort(context, bad_request("PAGE_TOKEN_INVALID", "page_token: is no token of this list", [fault]))


def _next(page: Sequence[OneT], size: int, mark: bytes, place: Callable[[OneT], bytes]) -> str:
    """Give the token after the page's last one, if one more than asked was read."""
    return paging.encode(place(page[size - 1]), mark) if len(page) > size else ""


def _contact(request: _OfContact) -> ContactKey:
    key: UUID = FastUUID(request.contact_id)
    return request.account_id, key
