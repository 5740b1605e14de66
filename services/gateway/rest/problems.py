"""Problem details (RFC 9457) and the one table from gRPC statuses to HTTP's; `api` and `streaming` use it.

A problem carries the error's stable `reason`; its `type` is that reason as a URN. `errors` names fields at
fault by where they stand in the HTTP request.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Final

import grpc
import orjson
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from starlette.responses import Response

from services.runtime.errors import DOMAIN, Violation

MEDIA_TYPE: Final = "application/problem+json"

_STATUS: Final[Mapping[grpc.StatusCode, int]] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,  # 422 when it names fields
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 503,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
"""Anything else is 500."""

_OF_THE_WIRE: Final[Mapping[grpc.StatusCode, str]] = {
    grpc.StatusCode.UNAVAILABLE: "the API cannot be reached",
    grpc.StatusCode.CANCELLED: "the API is shutting down",
    grpc.StatusCode.DEADLINE_EXCEEDED: "the API did not answer in time; whether it was done cannot be told",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "too many requests at a time, or an answer that is too large",
    grpc.StatusCode.UNIMPLEMENTED: "the API does not know this; it may be older than this gateway",
}
"""What is said of errors that are not the API's own; their texts name internal addresses."""

MOST_FAULTS: Final = 100
"""Faults told of one request."""

_FIELD_SHOWN: Final = 500
_REQUEST_INVALID: Final = "REQUEST_INVALID"
_RETRY_S: Final = 1.0
"""When to try again, where nothing else is said."""
_RETRIED: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Problem:
    """What cannot be served, and why."""

    status: int
    reason: str
    detail: str
    errors: tuple[Violation, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Its JSON."""
        result: dict[str, Any] = {
            "type": f"urn:wayfarer:problem:{self.reason}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
        }
        if self.errors:
            result["errors"] = [
                {"field": one.field, "message": one.description, "rule": one.rule} for one in self.errors
            ]
        if self.metadata:
            result["metadata"] = dict(self.metadata)
        return result

    def response(self) -> Response:
        """Its answer."""
        headers = {"cache-control": "no-store", **self.headers}
        if self.status == 401:
            headers["www-authenticate"] = 'Bearer realm="wayfarer"'
        if self.retry_after_s is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.retry_after_s)))
        return Response(orjson.dumps(self.plain()), self.status, headers, MEDIA_TYPE)


class ProblemError(Exception):
    """Ends a request with its problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class Faults(list[Violation]):
    """What is wrong with a request, as it is found; its problem is raised once nobody would read more.

    A body of a few megabytes could else cost minutes and gigabytes before anybody knows whose it is.
    """

    def append(self, fault: Violation) -> None:
        """Add one. Raises ProblemError."""
        if len(fault.field) > _FIELD_SHOWN:
            fault = replace(fault, field=f"{fault.field[:_FIELD_SHOWN]}…")
        super().append(fault)
        if len(self) >= MOST_FAULTS:
            raise ProblemError(of_request(self))


def of_request(violations: Sequence[Violation]) -> Problem:
    """What is wrong with a request's fields."""
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    detail = f"{first.field or 'request'}: {first.description}{more}"
    return Problem(422, _REQUEST_INVALID, detail, tuple(violations))


def of_rpc(error: grpc.aio.AioRpcError, place: Callable[[str], str]) -> Problem:
    """The problem of a failed rpc; `place` tells where a field of its request stands in the HTTP request."""
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in _details(error).details:
        _ = detail.Unpack(info) or detail.Unpack(bad) or detail.Unpack(retry)
    code, own = error.code(), info.domain == DOMAIN
    violations = tuple(
        Violation(place(one.field), one.description, one.reason) for one in bad.field_violations
    )
    if violations and info.reason == _REQUEST_INVALID:
        return of_request(violations)  # its text has the names of the proto
    status = _STATUS.get(code, 500)
    if violations and status == 400:
        status = 422
    retry_after_s = retry.retry_delay.ToTimedelta().total_seconds() or None
    if retry_after_s is None and status in _RETRIED:
        retry_after_s = _RETRY_S
    return Problem(
        status,
        info.reason if own else code.name,
        error.details() or "" if own else _OF_THE_WIRE.get(code, "the API failed"),
        violations,
        dict(info.metadata),
        retry_after_s,
    )


def _details(error: grpc.aio.AioRpcError) -> Status:
    metadata = error.trailing_metadata() or ()
    raw = next((value for key, value in metadata if key == "grpc-status-details-bin"), b"")
    return Status.FromString(raw if isinstance(raw, bytes) else raw.encode())
