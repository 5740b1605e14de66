"""Checks a request message against its proto's rules and ours; called by the ValidationInterceptor.

protovalidate does the rules written in the .proto. Ours are those it cannot say once for all: no NUL in any
text (PostgreSQL stores none), and bounds on the depth and size of google.protobuf.Struct.
"""

from collections.abc import Callable, Iterator
from typing import Final, cast

import protovalidate
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from services.runtime.errors import Violation

MAX_STRUCT_DEPTH: Final = 16
MAX_STRUCT_BYTES: Final = 64 * 1024

Check = Callable[[Message, str], Iterator[Violation]]


class RequestChecks:
    """The checks of every message type met so far; bounded by the request types a server serves."""

    def __init__(self) -> None:
        self._validator = protovalidate.Validator()
        self._plans: dict[str, tuple[tuple[FieldDescriptor, str], ...]] = {}

    def violations(self, request: Message) -> list[Violation]:
        """Give everything wrong with a request, in field order; empty if nothing is."""
        found = [
            Violation(_dotted(violation.proto.field), violation.proto.message, violation.proto.rule_id)
            for violation in self._validator.collect_violations(request)
        ]
        return found + list(self._walk(request, ""))

    def _walk(self, message: Message, prefix: str) -> Iterator[Violation]:
        for field, kind in self._plan(cast(Descriptor, message.DESCRIPTOR)):
            value = getattr(message, field.name)
            path = prefix + field.name
            match kind:
                case "text":
                    yield from _no_nul(value, path)
                case "texts":
                    for index, text in enumerate(value):
                        yield from _no_nul(text, f"{path}[{index}]")
                case "message" if message.HasField(field.name):
                    yield from self._one(value, path)
                case "messages":
                    for index, item in enumerate(value):
                        yield from self._one(item, f"{path}[{index}]")
                case "map":
                    yield from self._map(value, path)

    def _one(self, value: Message, path: str) -> Iterator[Violation]:
        if value.DESCRIPTOR.full_name in _JSON_TYPES:
            yield from _json_like(value, path)
        else:
            yield from self._walk(value, path + ".")

    def _map(self, entries: dict[object, object], path: str) -> Iterator[Violation]:
        for key, value in entries.items():
            place = f'{path}["{key}"]'
            if isinstance(key, str):
                yield from _no_nul(key, path)
            if isinstance(value, str):
                yield from _no_nul(value, place)
            elif isinstance(value, Message):
                yield from self._one(value, place)

    def _plan(self, descriptor: Descriptor) -> tuple[tuple[FieldDescriptor, str], ...]:
        """The fields worth looking at: those with text somewhere in them."""
        plan = self._plans.get(descriptor.full_name)
        if plan is None:
            kinds = ((field, _kind(field)) for field in descriptor.fields)
            plan = self._plans[descriptor.full_name] = tuple((field, kind) for field, kind in kinds if kind)
        return plan


_JSON_TYPES: Final = frozenset(
    {"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"}
)


def _kind(field: FieldDescriptor) -> str:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return "map" if any(_kind(part) for part in field.message_type.fields) else ""
    if field.type == FieldDescriptor.TYPE_STRING:
        return "texts" if field.is_repeated else "text"
    if field.message_type is not None and _holds_text(field.message_type, frozenset()):
        return "messages" if field.is_repeated else "message"
    return ""


def _holds_text(descriptor: Descriptor, above: frozenset[str]) -> bool:
    if descriptor.full_name in above:
        return False  # a recursive type: decided by its other fields
    below = above | {descriptor.full_name}
    return any(
        field.type == FieldDescriptor.TYPE_STRING
        or (field.message_type is not None and _holds_text(field.message_type, below))
        for field in descriptor.fields
    )


def _no_nul(text: str, path: str) -> Iterator[Violation]:
    if "\0" in text:
        yield Violation(path, "must not hold the NUL character", "string.no_nul")


def _json_like(value: Message, path: str) -> Iterator[Violation]:
    size = value.ByteSize()
    if size > MAX_STRUCT_BYTES:
        # Not walked: an oversize one is refused whole, whatever is in it.
        yield Violation(path, f"must be at most {MAX_STRUCT_BYTES} bytes, has {size}", "struct.too_large")
        return
    assert isinstance(value, Struct | Value | ListValue)
    yield from _json_walk(value, path, 0)


def _json_walk(value: Struct | Value | ListValue, path: str, depth: int) -> Iterator[Violation]:
    if isinstance(value, Value):
        match value.WhichOneof("kind"):
            case "string_value":
                yield from _no_nul(value.string_value, path)
            case "struct_value":
                yield from _json_walk(value.struct_value, path, depth)
            case "list_value":
                yield from _json_walk(value.list_value, path, depth)
        return
    if depth == MAX_STRUCT_DEPTH:
        yield Violation(path, f"must not nest deeper than {MAX_STRUCT_DEPTH} levels", "struct.too_deep")
    elif isinstance(value, Struct):
        for key, item in value.fields.items():
            yield from _no_nul(key, path)
            yield from _json_walk(item, f"{path}.{key}", depth + 1)
    else:
        for index, item in enumerate(value.values):
            yield from _json_walk(item, f"{path}[{index}]", depth + 1)


def _dotted(field: "protovalidate.FieldPathPb | None") -> str:
    """Write protovalidate's path as `steps[2].config` or `headers["X"]`."""
    if field is None:
        return ""
    parts: list[str] = []
    for element in field.elements:
        parts.append(("." if parts else "") + element.field_name)
        if element.subscript is not None:
            key = element.subscript.value
            parts.append(f'["{key}"]' if isinstance(key, str) else f"[{key}]")
    return "".join(parts)
