"""The API as one signed-in person may use it; every page of the console gets one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from wayfarer.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from wayfarer.crm.v1 import contact_pb2
from wayfarer.crm.v1 import contact_service_pb2 as contact_pb
from wayfarer.crm.v1.consent_service_pb2_grpc import ConsentServiceStub
from wayfarer.crm.v1.contact_service_pb2_grpc import ContactServiceStub
from wayfarer.event.v1.event_service_pb2_grpc import EventServiceStub
from wayfarer.execution.v1.bulk_service_pb2_grpc import BulkServiceStub
from wayfarer.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from wayfarer.execution.v1.overview_service_pb2_grpc import OverviewServiceStub
from wayfarer.execution.v1.wait_service_pb2_grpc import WaitServiceStub
from wayfarer.execution.v1.workflow_pb2 import Workflow
from wayfarer.execution.v1.workflow_service_pb2 import ListWorkflowsRequest
from wayfarer.execution.v1.workflow_service_pb2_grpc import WorkflowServiceStub

T = TypeVar("T")
TIMEOUT_S: Final = 10.0
MOST_WORKFLOWS: Final = 1_000


class Stubs:
    """The API's services on one channel; shared by everybody who is signed in."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.admin = AdminServiceStub(channel)
        self.bulk = BulkServiceStub(channel)
        self.consents = ConsentServiceStub(channel)
        self.contacts = ContactServiceStub(channel)
        self.events = EventServiceStub(channel)
        self.executions = ExecutionServiceStub(channel)
        self.overview = OverviewServiceStub(channel)
        self.waits = WaitServiceStub(channel)
        self.workflows = WorkflowServiceStub(channel)


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error of the API, for a person: its code, sentence, stable reason, and each field at fault."""

    code: grpc.StatusCode
    message: str
    reason: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> "Trouble":
        """What an error's trailers say."""
        raw = next((v for k, v in error.trailing_metadata() or () if k == "grpc-status-details-bin"), b"")
        info, bad = ErrorInfo(), BadRequest()
        for detail in Status.FromString(bytes(raw) if isinstance(raw, bytes) else b"").details:
            detail.Unpack(info)
            detail.Unpack(bad)
        fields = tuple((v.field, v.description) for v in bad.field_violations)
        return cls(error.code(), error.details() or error.code().name, info.reason, fields)


class Api:
    """The API's services, with the caller's key on each call. Calls raise grpc.aio.AioRpcError."""

    def __init__(self, stubs: Stubs, key: str) -> None:
        self.stubs = stubs
        self._metadata = (("authorization", f"Bearer {key}"),)

    async def call(self, method: Callable[..., Awaitable[T]], request: Any) -> T:
        """One unary call."""
        return await method(request, timeout=TIMEOUT_S, metadata=self._metadata)

    async def contacts(self, ids: Iterable[str]) -> dict[str, contact_pb2.Contact]:
        """Those of the contacts that exist, by id."""
        wanted = sorted({one for one in ids if one})[:1000]
        if not wanted:
            return {}
        request = contact_pb.BatchGetContactsRequest(ids=wanted)
        answer = await self.call(self.stubs.contacts.BatchGetContacts, request)
        return {contact.id: contact for contact in answer.contacts}

    async def workflows(self) -> dict[str, Workflow]:
        """The account's workflows by id, newest first, without documents."""
        request = ListWorkflowsRequest(page_size=MOST_WORKFLOWS)
        answer = await self.call(self.stubs.workflows.ListWorkflows, request)
        return {workflow.id: workflow for workflow in answer.workflows}


async def together(*calls: Awaitable[Any]) -> list[Any]:
    """The answers of calls made at once; the first error is raised when all have ended."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


async def permitted(call: Awaitable[T], *others: grpc.StatusCode) -> T | None:
    """The answer, or None where the caller's role does not allow the question, or for one of the others."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        if error.code() in (grpc.StatusCode.PERMISSION_DENIED, *others):
            return None
        raise
