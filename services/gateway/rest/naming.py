"""How things are called in JSON, where that is not how the protos call them; every part of `rest` asks here.

Enum values lose their prefix (EXECUTION_STATUS_ACTIVE is ACTIVE) and the unspecified one is left out; moments
end in _at; pages have page, limit and total; a request's id is the header Idempotency-Key.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

RENAMED: Final[Mapping[str, str]] = {
    "create_time": "created_at",
    "update_time": "updated_at",
    "start_time": "started_at",
    "end_time": "ended_at",
    "wake_time": "wakes_at",
    "resume_time": "resumes_at",
    "occur_time": "occurred_at",
    "receive_time": "received_at",
    "set_aside_time": "set_aside_at",
    "last_time": "last_at",
    "expire_time": "expires_at",
    "revoke_time": "revoked_at",
    "expected_update_time": "expected_updated_at",
    "create_time_from": "from",
    "create_time_to": "to",
    "page_size": "limit",
    "total_size": "total",
}
"""The name in JSON and in queries, by the field's name."""

REQUEST_ID: Final = "request_id"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"

POSITIVE: Final = frozenset({"page_size", "page"})
"""Fields whose 0 means "not given" in the proto; in a query they are given as 1 or more, or not at all."""

JSON_TEXTS: Final = frozenset(
    {"wayfarer.action.v1.ActionType.config_schema", "wayfarer.action.v1.ActionType.sample_config"}
)
"""Texts that hold JSON: shown as what they hold."""

EXACT: Final = 2.0**53
"""Above this a double may stand for another integer than the one that was written."""

WELL_KNOWN: Final = "google.protobuf."

_SEGMENT: Final = re.compile(r"([^.\[]+)((?:\[[^\]]*\])*)\.?")


def shown(field: FieldDescriptor) -> str:
    """The field's name in JSON."""
    return RENAMED.get(field.name, field.name)


def values(enum: EnumDescriptor | None) -> dict[int, str]:
    """The enum's values as JSON has them, by number; the unspecified one is not among them."""
    assert enum is not None
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {
        number: value.name.removeprefix(prefix) for number, value in enum.values_by_number.items() if number
    }


def kind(message: Message) -> Descriptor:
    """The message's type."""
    return cast(Descriptor, message.DESCRIPTOR)


def inner(field: FieldDescriptor) -> Descriptor:
    """The type of a field that is a message, or of its items; for a map, of its entries."""
    assert field.message_type is not None, field.full_name
    return field.message_type


def rules(field: FieldDescriptor) -> Any:
    """The field's rules, a buf.validate.FieldRules."""
    return field.GetOptions().Extensions[validate_pb2.field]


def may_be_empty(field: FieldDescriptor) -> bool:
    """Whether its rules say nothing of an empty one, though they would forbid it."""
    return bool(rules(field).ignore == validate_pb2.IGNORE_IF_ZERO_VALUE)


def is_map(field: FieldDescriptor) -> bool:
    """Whether it is a map: an object in JSON."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def place(path: str, request: Descriptor, body: str) -> str:
    """Where in the HTTP request the field at `path` of the request message stands.

    `body` is what the binding says of the body: a field's name if the body is that field.
    """
    if path == REQUEST_ID:
        return IDEMPOTENCY_KEY
    if path == body:
        return "body"
    if body not in ("", "*") and path.startswith(f"{body}."):
        return place(path.removeprefix(f"{body}."), inner(request.fields_by_name[body]), "")
    parts, at, end = [], request, 0
    for found in _SEGMENT.finditer(path):
        field = at.fields_by_name.get(found[1])
        if field is None:
            break
        parts.append(shown(field) + found[2])
        end = found.end()
        if is_map(field) or field.message_type is None or field.message_type.full_name.startswith(WELL_KNOWN):
            break
        at = field.message_type
    rest = path[end:]
    return ".".join([*parts, rest] if rest else parts)
