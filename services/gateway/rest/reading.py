"""Fills a request message from JSON, a path and a query, and finds every fault in them; `api` uses it.

Only what the proto's rules cannot say is judged here: what is not known, and what has the wrong type.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.rest import naming
from services.runtime.errors import Violation
from services.runtime.validation import MAX_STRUCT_DEPTH

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_DURATION: Final = re.compile(r"-?\d{1,12}(\.\d{1,9})?s")
_INTEGER: Final = re.compile(r"-?\d{1,20}")

_RANGES: Final[Mapping[int, tuple[int, int]]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_FLOATS: Final = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})


class _Wrong(Exception):
    """A value that its field cannot take."""

    def __init__(self, rule: str, description: str) -> None:
        super().__init__(description)
        self.rule = rule
        self.description = description


class Reader:
    """Knows the fields of each type met so far by their names in JSON."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, FieldDescriptor]] = {}

    def fill(
        self, message: Message, data: Mapping[str, Any], faults: list[Violation], path: str = ""
    ) -> None:
        """Sets what `data`, a JSON object, gives; adds what is wrong, with its path, to `faults`."""
        known = self._fields(naming.kind(message))
        for name, value in data.items():
            place = f"{path}{name}"
            field = known.get(name)
            if field is None:
                faults.append(Violation(place, "is not known here", "unknown"))
            elif value is not None or field.containing_oneof is not None:
                self._set(message, field, value, faults, place)

    def fill_text(
        self,
        message: Message,
        field: FieldDescriptor,
        texts: list[str],
        faults: list[Violation],
        name: str = "",
    ) -> None:
        """Sets what a path, query or header gives for a field: one text, or several if it is repeated."""
        name = name or naming.shown(field)
        if len(texts) > 1 and not field.is_repeated:
            faults.append(Violation(name, "is given more than once", "repeated"))
            return
        if texts == [""] and naming.may_be_empty(field):
            # A caller whose variable is empty would else get the list without the filter.
            faults.append(Violation(name, "must not be empty; leave it out instead", "empty"))
            return
        try:
            values = [_of_text(field, text) for text in texts]
        except _Wrong as wrong:
            faults.append(Violation(name, wrong.description, wrong.rule))
            return
        if field.name in naming.POSITIVE and values[0] < 1:
            faults.append(Violation(name, "must be 1 or more", "int32.gte"))
            return
        self._set(message, field, values if field.is_repeated else values[0], faults, name)

    def _fields(self, descriptor: Descriptor) -> dict[str, FieldDescriptor]:
        known = self._known.get(descriptor.full_name)
        if known is None:
            known = {
                naming.shown(field): field for field in descriptor.fields if field.name != naming.REQUEST_ID
            }
            self._known[descriptor.full_name] = known
        return known

    def _set(
        self, message: Message, field: FieldDescriptor, value: Any, faults: list[Violation], place: str
    ) -> None:
        oneof = field.containing_oneof
        if oneof is not None and message.WhichOneof(oneof.name) is not None:
            others = ", ".join(naming.shown(one) for one in oneof.fields)
            faults.append(Violation(place, f"only one of these may be given: {others}", "oneof"))
            return
        try:
            if naming.is_map(field):
                self._set_map(message, field, _object(value), faults, place)
            elif field.is_repeated:
                self._set_list(getattr(message, field.name), field, value, faults, place)
            elif field.message_type is not None:
                self._set_message(getattr(message, field.name), value, faults, place)
            else:
                setattr(message, field.name, _scalar(field, value))
        except _Wrong as wrong:
            faults.append(Violation(place, wrong.description, wrong.rule))

    def _set_message(self, message: Message, value: Any, faults: list[Violation], place: str) -> None:
        message.SetInParent()
        special = _SPECIAL.get(message.DESCRIPTOR.full_name)
        if special is not None:
            special(message, value)
        else:
            self.fill(message, _object(value), faults, f"{place}.")

    def _set_list(
        self, target: Any, field: FieldDescriptor, value: Any, faults: list[Violation], place: str
    ) -> None:
        if not isinstance(value, list):
            raise _Wrong("type", "must be a list")
        for index, item in enumerate(value):
            at = f"{place}[{index}]"
            try:
                if field.message_type is not None:
                    self._set_message(target.add(), item, faults, at)
                else:
                    target.append(_scalar(field, item))
            except _Wrong as wrong:
                faults.append(Violation(at, wrong.description, wrong.rule))

    def _set_map(
        self,
        message: Message,
        field: FieldDescriptor,
        value: Mapping[str, Any],
        faults: list[Violation],
        place: str,
    ) -> None:
        target, inner = getattr(message, field.name), naming.inner(field).fields_by_name["value"]
        for key, item in value.items():
            at = f'{place}["{key}"]'
            try:
                if inner.message_type is not None:
                    self._set_message(target[key], item, faults, at)
                else:
                    target[key] = _scalar(inner, item)
            except _Wrong as wrong:
                faults.append(Violation(at, wrong.description, wrong.rule))


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong("type", "must be an object")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong("type", "must be a text")
    return value


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return _text(value)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        if not isinstance(value, bool):
            raise _Wrong("type", "must be true or false")
        return value
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return _enum(field, value)
    if kind in _FLOATS:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _Wrong("type", "must be a number")
        return float(value)
    return _integer(field, value)


def _integer(field: FieldDescriptor, value: Any) -> int:
    if isinstance(value, float) and value.is_integer() and abs(value) <= naming.EXACT:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Wrong("type", "must be an integer")
    low, high = _RANGES[field.cpp_type]
    if not low <= value <= high:
        raise _Wrong("range", f"must be from {low} to {high}")
    return value


def _enum(field: FieldDescriptor, value: Any) -> int:
    values = naming.values(field.enum_type)
    number = next((number for number, name in values.items() if name == value), None)
    if number is None:
        raise _Wrong("enum", f"must be one of {', '.join(values.values())}")
    return number


def _of_text(field: FieldDescriptor, text: str) -> Any:
    """A text of a path or query as JSON would have it."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return {"true": True, "false": False}.get(text, text)
    if field.cpp_type in _RANGES:
        if not _INTEGER.fullmatch(text):
            raise _Wrong("type", "must be an integer")
        return int(text)
    if field.cpp_type in _FLOATS:
        try:
            return float(text)
        except ValueError as error:
            raise _Wrong("type", "must be a number") from error
    return text


def _set_moment(message: Message, value: Any) -> None:
    """RFC 3339; a bare date is its first moment in UTC."""
    assert isinstance(message, Timestamp)
    text = _text(value)
    if _DATE.fullmatch(text):
        text += "T00:00:00Z"
    if not _MOMENT.fullmatch(text):
        raise _Wrong("timestamp", "must be a moment such as 2026-01-31T09:00:00Z, or a date")
    try:
        message.FromJsonString(text.upper())
    except (ValueError, OverflowError) as error:
        raise _Wrong("timestamp", "there is no such moment") from error


def _set_duration(message: Message, value: Any) -> None:
    assert isinstance(message, Duration)
    text = _text(value)
    if not _DURATION.fullmatch(text):
        raise _Wrong("duration", "must be seconds such as 90s or 0.5s")
    try:
        message.FromJsonString(text)
    except (ValueError, OverflowError) as error:
        raise _Wrong("duration", "is too long") from error


def _set_mask(message: Message, value: Any) -> None:
    assert isinstance(message, FieldMask)
    paths = [path.strip() for path in _text(value).split(",") if path.strip()]
    if not paths:
        raise _Wrong("empty", "must name a field")
    message.paths.extend(paths)


def _set_struct(message: Message, value: Any) -> None:
    assert isinstance(message, Struct)
    data = _object(value)
    if _deeper(data, MAX_STRUCT_DEPTH):
        raise _Wrong("struct.too_deep", f"must not nest deeper than {MAX_STRUCT_DEPTH} levels")
    try:
        message.update(dict(data))
    except OverflowError as error:  # an integer that no double comes near
        raise _Wrong("range", "holds a number that is too large") from error


def _deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(one, levels - 1) for one in inner)


_SPECIAL: Final[Mapping[str, Callable[[Message, Any], None]]] = {
    "google.protobuf.Timestamp": _set_moment,
    "google.protobuf.Duration": _set_duration,
    "google.protobuf.FieldMask": _set_mask,
    "google.protobuf.Struct": _set_struct,
}
"""Types that are not objects of their fields in JSON."""
