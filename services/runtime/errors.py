"""Builds the google.rpc.Status that every error of ours carries; used by the interceptors and the servicers.

The one shape of an error: a gRPC code, a sentence, ErrorInfo with a stable UPPER_SNAKE reason, and where they
apply BadRequest (fields at fault) and RetryInfo (when to try again).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Never

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

DOMAIN: Final = "wayfarer"
MAX_MESSAGE_BYTES: Final = 300
MAX_STATUS_BYTES: Final = 5000
"""Most clients refuse trailers above 8 KiB, and details travel as base64 beside the message."""

_DETAILS_KEY: Final = "grpc-status-details-bin"
_MAX_DESCRIPTION: Final = 500
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Violation:
    """One field at fault: its dotted path, what is wrong for a person, and the rule's stable name."""

    field: str
    description: str
    rule: str = ""


def status(
    code: grpc.StatusCode,
    reason: str,
    message: str,
    metadata: Mapping[str, str] | None = None,
    violations: Iterable[Violation] = (),
    retry_after_s: float | None = None,
) -> Status:
    """Build a Status. `message` goes to the caller: no personal data, no other account's ids.

    Violations that would not fit the trailers are left out, and ErrorInfo.metadata["violations_omitted"]
    counts them.
    """
    info = ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata or {})
    result = Status(code=code.value[0], message=_bounded(message))
    details: list[Message] = [info]
    if retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(retry_after_s * 1000))
        details.append(RetryInfo(retry_delay=delay))
    request, omitted = _fitting(violations, MAX_STATUS_BYTES - sum(detail.ByteSize() for detail in details))
    if omitted:
        info.metadata["violations_omitted"] = str(omitted)
    if request.field_violations:
        details.append(request)
    for detail in details:
        result.details.add().Pack(detail)
    return result


def bad_request(reason: str, message: str, violations: Iterable[Violation]) -> Status:
    """Build the INVALID_ARGUMENT that names the fields at fault."""
    return status(grpc.StatusCode.INVALID_ARGUMENT, reason, message, violations=violations)


async def abort(context: "grpc.aio.ServicerContext[object, object]", failure: Status) -> Never:
    """End the rpc with `failure`, its details in the trailers."""
    # Not abort_with_status: it hides the code from context.code(), and so from telemetry.
    kept = [(key, value) for key, value in context.trailing_metadata() or () if key != _DETAILS_KEY]
    await context.abort(
        _CODES[failure.code], failure.message, (*kept, (_DETAILS_KEY, failure.SerializeToString()))
    )


def violations_of(error: grpc.aio.AioRpcError) -> list[Violation]:
    """The violations another of our servers found; none if its error names no fields."""
    metadata = error.trailing_metadata() or ()
    raw = next((value for key, value in metadata if key == "grpc-status-details-bin"), b"")
    found = BadRequest()
    for detail in Status.FromString(raw if isinstance(raw, bytes) else raw.encode()).details:
        if detail.Unpack(found):
            return [Violation(one.field, one.description, one.reason) for one in found.field_violations]
    return []


def code_name(number: int) -> str:
    """Name a gRPC status code, e.g. 3 → "INVALID_ARGUMENT"."""
    code = _CODES.get(number)
    return code.name if code is not None else "UNKNOWN"


def _bounded(message: str) -> str:
    encoded = message.encode(errors="replace")
    if len(encoded) <= MAX_MESSAGE_BYTES:
        return message
    return encoded[: MAX_MESSAGE_BYTES - 3].decode(errors="ignore") + "…"


def _fitting(violations: Iterable[Violation], budget: int) -> tuple[BadRequest, int]:
    """Take violations while they fit into `budget` bytes; also give how many did not."""
    request = BadRequest()
    omitted = 0
    for violation in violations:
        added = request.field_violations.add(
            field=violation.field[:_MAX_DESCRIPTION],
            description=violation.description[:_MAX_DESCRIPTION],
            reason=violation.rule,
        )
        budget -= added.ByteSize() + 3
        if budget < 0:
            del request.field_violations[-1]
            omitted += 1
    return request, omitted
