"""Finds the API and calls it; every command enters `connect()`. Errors become `Refused`, for people."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import grpc
from google.rpc import error_details_pb2, status_pb2
from wayfarer.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from wayfarer.crm.v1.consent_service_pb2_grpc import ConsentServiceStub
from wayfarer.crm.v1.contact_service_pb2_grpc import ContactServiceStub
from wayfarer.event.v1.event_service_pb2_grpc import EventServiceStub
from wayfarer.execution.v1.bulk_service_pb2_grpc import BulkServiceStub
from wayfarer.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from wayfarer.execution.v1.overview_service_pb2_grpc import OverviewServiceStub
from wayfarer.execution.v1.wait_service_pb2_grpc import WaitServiceStub
from wayfarer.execution.v1.workflow_service_pb2_grpc import WorkflowServiceStub

TIMEOUT_S = 15.0
_MESSAGE_BYTES = 16 * 1024 * 1024
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Refused(Exception):
    """The API refused or could not be reached; `lines` say why, first the message.

    `reason` is the API's own, if it gave one; `passing` if the same call may well be answered the next time.
    """

    def __init__(self, lines: list[str], *, reason: str = "", passing: bool = False) -> None:
        super().__init__(lines[0])
        self.lines = lines
        self.reason = reason
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Api:
    """The services, and the credential to send with each call."""

    executions: ExecutionServiceStub
    workflows: WorkflowServiceStub
    contacts: ContactServiceStub
    events: EventServiceStub
    bulk: BulkServiceStub
    consents: ConsentServiceStub
    overview: OverviewServiceStub
    waits: WaitServiceStub
    admin: AdminServiceStub
    metadata: tuple[tuple[str, str], ...]

    def call(self, method: Any, request: Any, timeout_s: float = TIMEOUT_S) -> Any:
        """One call. Raises Refused."""
        try:
            return method(request, timeout=timeout_s, metadata=self.metadata)
        except grpc.RpcError as error:
            raise refused(error) from error

    def stream(self, method: Any, request: Any, timeout_s: float) -> Iterator[Any]:
        """A server stream, message by message. Raises Refused."""
        try:
            yield from method(request, timeout=timeout_s, metadata=self.metadata)
        except grpc.RpcError as error:
            raise refused(error) from error


def where() -> tuple[str, str]:
    """Address and API key: from the environment, else from the running local stack's own file."""
    address, key = os.environ.get("WAYFARER_ADDRESS", ""), os.environ.get("WAYFARER_API_KEY", "")
    if not (address and key):
        from services.local.stack import LOCAL_FILE, default_state_dir

        try:
            local = json.loads((default_state_dir() / LOCAL_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            local = {}
        address = address or local.get("address") or "127.0.0.1:7700"
        key = key or local.get("api_key", "")
    if not key:
        raise Refused(["no API key: set WAYFARER_API_KEY, or start the local stack with `wayfarer up`"])
    return address, key


@contextmanager
def connect(address: str = "", key: str = "") -> Iterator[Api]:
    """The API at `address`; both default to what `where` finds. Raises Refused."""
    if not (address and key):
        address, key = where()
    options = [("grpc.max_receive_message_length", _MESSAGE_BYTES), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(address, options=options) as channel:
        # The stubs are typed for grpc.aio; a command is a plain caller.
        plain = cast(Any, channel)
        yield Api(
            ExecutionServiceStub(plain),
            WorkflowServiceStub(plain),
            ContactServiceStub(plain),
            EventServiceStub(plain),
            BulkServiceStub(plain),
            ConsentServiceStub(plain),
            OverviewServiceStub(plain),
            WaitServiceStub(plain),
            AdminServiceStub(plain),
            (("authorization", f"Bearer {key}"),),
        )


def refused(error: Any) -> Refused:
    """What an error says, with its reason and each field at fault."""
    code = error.code()
    message = error.details() or code.name
    trailers = dict(error.trailing_metadata() or ())
    raw = bytes(trailers.get("grpc-status-details-bin", b""))
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status_pb2.Status.FromString(raw).details:
        detail.Unpack(info)
        detail.Unpack(request)
    if code is grpc.StatusCode.UNAVAILABLE and not info.reason:
        return Refused(
            [f"the API cannot be reached ({message})", "start the local stack with `wayfarer up`"],
            passing=True,
        )
    lines = [f"{message} [{info.reason or code.name}]"]
    for fault in request.field_violations:
        lines.append(
            f"  {fault.field}: {fault.description.removeprefix(f'{fault.field}: ')} ({fault.reason})"
        )
    if omitted := info.metadata.get("violations_omitted"):
        lines.append(f"  … and {omitted} more")
    return Refused(lines, reason=info.reason, passing=code in _PASSING)
