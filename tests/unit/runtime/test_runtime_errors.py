"""Errors: the one shape of a status, and that it fits into what clients accept."""

from typing import TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from services.runtime.errors import (
    MAX_MESSAGE_BYTES,
    MAX_STATUS_BYTES,
    Violation,
    bad_request,
    code_name,
    status,
)

M = TypeVar("M", bound=Message)


def detail(built: Status, kind: type[M]) -> M | None:
    found = kind()
    return found if any(packed.Unpack(found) for packed in built.details) else None


def test_carries_reason_metadata_fields_and_delay() -> None:
    built = status(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY",
        "Slow down",
        {"limit": "100"},
        [Violation("a.b[2]", "too long", "string.max_len")],
        retry_after_s=1.5,
    )
    assert (built.code, built.message) == (8, "Slow down")
    info = detail(built, ErrorInfo)
    assert info is not None
    assert (info.reason, info.domain, dict(info.metadata)) == ("TOO_MANY", "wayfarer", {"limit": "100"})
    fields = detail(built, BadRequest)
    assert fields is not None
    field = fields.field_violations[0]
    assert (field.field, field.description, field.reason) == ("a.b[2]", "too long", "string.max_len")
    retry = detail(built, RetryInfo)
    assert retry is not None
    assert retry.retry_delay.ToMilliseconds() == 1500


def test_leaves_out_details_that_do_not_apply() -> None:
    built = status(grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND", "No such workflow")
    assert [packed.TypeName() for packed in built.details] == ["google.rpc.ErrorInfo"]


def test_bounds_its_size_and_says_what_it_left_out() -> None:
    built = bad_request("BAD", "é" * 1000, (Violation(f"f{n}", "d" * 90, "rule") for n in range(200)))
    assert len(built.message.encode()) <= MAX_MESSAGE_BYTES
    assert built.ByteSize() <= MAX_STATUS_BYTES + MAX_MESSAGE_BYTES + 200
    fields, info = detail(built, BadRequest), detail(built, ErrorInfo)
    assert fields is not None
    assert info is not None
    assert len(fields.field_violations) + int(info.metadata["violations_omitted"]) == 200
    assert len(fields.field_violations) > 30


def test_names_codes() -> None:
    assert (code_name(0), code_name(3), code_name(99)) == ("OK", "INVALID_ARGUMENT", "UNKNOWN")
