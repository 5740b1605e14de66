"""Turns an answer's message into what is written as JSON; `api` and `streaming` use it.

Fields without a value of their own ("", 0, false, []) are written, so that an answer always has the same
shape; what is absent (a moment that has not come, an unspecified enum) is left out.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.rest import naming


class _Column(NamedTuple):
    field: str
    shown: str
    presence: bool
    """Left out when it is not there."""
    unspecified: bool
    """Left out when it is 0, an enum's unspecified value."""
    write: Callable[[Any], Any] | None
    """What makes JSON of the value; None if it is JSON already."""


class Writer:
    """Knows how each type met so far is written."""

    def __init__(self) -> None:
        self._plans: dict[str, tuple[_Column, ...]] = {}

    def plain(self, message: Message) -> dict[str, Any]:
        """The message as a JSON object."""
        result = {}
        for column in self._plan(naming.kind(message)):
            if column.presence and not message.HasField(column.field):
                continue
            value = getattr(message, column.field)
            if column.unspecified and not value:
                continue
            result[column.shown] = value if column.write is None else column.write(value)
        return result

    def _plan(self, descriptor: Descriptor) -> tuple[_Column, ...]:
        plan = self._plans.get(descriptor.full_name)
        if plan is None:
            plan = self._plans[descriptor.full_name] = tuple(map(self._column, descriptor.fields))
        return plan

    def _column(self, field: FieldDescriptor) -> _Column:
        single_enum = field.enum_type is not None and not field.is_repeated
        return _Column(field.name, naming.shown(field), field.has_presence, single_enum, self._write(field))

    def _write(self, field: FieldDescriptor) -> Callable[[Any], Any] | None:
        if naming.is_map(field):
            inner = self._write_one(naming.inner(field).fields_by_name["value"])
            return dict if inner is None else lambda given: {key: inner(given[key]) for key in given}
        one = self._write_one(field)
        if not field.is_repeated:
            return one
        return list if one is None else lambda given: [one(item) for item in given]

    def _write_one(self, field: FieldDescriptor) -> Callable[[Any], Any] | None:
        if field.full_name in naming.JSON_TEXTS:
            return _parsed
        if field.enum_type is not None:
            return _enum_writer(field.enum_type)
        if field.message_type is None:
            return None
        match field.message_type.full_name:
            case "google.protobuf.Timestamp":
                return _moment
            case "google.protobuf.Duration" | "google.protobuf.FieldMask":
                return _json_string
            case "google.protobuf.Struct":
                return _struct
        return self.plain


def _enum_writer(enum: EnumDescriptor) -> Callable[[int], Any]:
    values = naming.values(enum)
    # A number newer than this process is shown as it is.
    return lambda number: values.get(number, number)


def _parsed(text: str) -> Any:
    return orjson.loads(text) if text else None


def _moment(value: Timestamp) -> str:
    return value.ToJsonString()


def _json_string(value: Any) -> Any:
    return value.ToJsonString()


def _struct(value: Struct) -> dict[str, Any]:
    return {key: _json(item) for key, item in value.fields.items()}


def _json(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            # Beyond that a double is no exact integer, and JSON's writer takes none above 64 bits.
            return int(number) if abs(number) <= naming.EXACT and number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return _struct(value.struct_value)
        case "list_value":
            return _list(value.list_value)
    return None


def _list(value: ListValue) -> list[Any]:
    return [_json(item) for item in value.values]
