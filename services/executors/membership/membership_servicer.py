"""Serves MembershipService: converts, asks the courses, converts; on the membership family's server."""

from __future__ import annotations  # gRPC classes are generic in their stubs only

import uuid
from typing import Any, TypeAlias

import grpc
from wayfarer.membership.v1 import membership_service_pb2 as wire
from wayfarer.membership.v1.membership_service_pb2_grpc import MembershipServiceServicer

from services.executors import paging
from services.executors.membership.courses import Course, Courses, Enrollment
from services.runtime.errors import Violation, abort, bad_request, status

SERVICE = "wayfarer.membership.v1.MembershipService"

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class MembershipServicer(MembershipServiceServicer):
    """The rpcs of MembershipService; the proto says what each does."""

    def __init__(self, courses: Courses) -> None:
        self._courses = courses

    async def PutCourse(self, request: wire.PutCourseRequest, context: Context) -> wire.PutCourseResponse:
        course = Course(request.course.key, request.course.name, request.course.active)
        await self._courses.put(request.account_id, course)
        return wire.PutCourseResponse()

    async def ListCourses(
        self, request: wire.ListCoursesRequest, context: Context
    ) -> wire.ListCoursesResponse:
        after, size, mark = await _asked(request, context)
        page = await self._courses.page(request.account_id, after, size + 1)
        token = paging.encode(page[size - 1].key.encode(), mark) if len(page) > size else ""
        courses = [wire.Course(key=one.key, name=one.name, active=one.active) for one in page[:size]]
        return wire.ListCoursesResponse(courses=courses, next_page_token=token)

    async def ListAccess(self, request: wire.ListAccessRequest, context: Context) -> wire.ListAccessResponse:
        after, size, mark = await _asked(request, context)
        contact_id = uuid.UUID(bytes=request.contact_id)
        page = await self._courses.access(request.account_id, contact_id, after, size + 1)
        token = paging.encode(page[size - 1].course.encode(), mark) if len(page) > size else ""
        return wire.ListAccessResponse(access=[_access(one) for one in page[:size]], next_page_token=token)

    async def PutProgress(
        self, request: wire.PutProgressRequest, context: Context
    ) -> wire.PutProgressResponse:
        contact_id = uuid.UUID(bytes=request.contact_id)
        known = await self._courses.put_progress(
            request.account_id, contact_id, request.course, request.progress
        )
        if not known:
            text = "the contact never had access to this course"
            await abort(context, status(grpc.StatusCode.NOT_FOUND, "ACCESS_NOT_FOUND", text))
        return wire.PutProgressResponse()


async def _asked(
    request: wire.ListCoursesRequest | wire.ListAccessRequest, context: Context
) -> tuple[str, int, bytes]:
    """Read a page: after which key, how many, and the list's mark."""
    mark = paging.mark_of(request)
    try:
        return paging.decode_text(request.page_token, mark), paging.size_of(request.page_size), mark
    except paging.PageTokenInvalidError:
        text = "is no token of this list"
        fault = Violation("page_token", text, "page_token")
        await abort(context, bad_request("PAGE_TOKEN_INVALID", f"page_token: {text}", [fault]))


def _access(one: Enrollment) -> wire.Access:
    shown = wire.Access(
        enrollment_id=str(one.enrollment_id), course=one.course, progress=one.progress, lasts=one.lasts
    )
    shown.grant_time.FromDatetime(one.granted_at)
    if one.expires_at is not None:
        shown.expire_time.FromDatetime(one.expires_at)
    if one.revoked_at is not None:
        shown.revoke_time.FromDatetime(one.revoked_at)
    return shown
