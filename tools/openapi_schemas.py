"""JSON Schemas of the messages as HTTP shows and takes them; tools/openapi.py makes the document of them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

import protovalidate
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from services.gateway.rest import naming

Schema: TypeAlias = dict[str, Any]
Way: TypeAlias = Literal["in", "out"]

_INTEGERS: Final[Mapping[int, Schema]] = {
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    FieldDescriptor.CPPTYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
}
_OTHERS: Final[Mapping[int, Schema]] = {
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number"},
}
_SPECIAL: Final[Mapping[str, Schema]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d{1,12}(\.\d{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
}
_STRUCT: Final = "google.protobuf.Struct"
_JSON_OBJECT: Final[Schema] = {
    "type": "object",
    "description": "An object of any JSON.",
    "additionalProperties": True,
}
_RULES: Final[Mapping[str, Mapping[str, str]]] = {
    "string": {
        "min_len": "minLength",
        "max_len": "maxLength",
        "max_bytes": "maxLength",
        "pattern": "pattern",
    },
    "repeated": {"min_items": "minItems", "max_items": "maxItems", "unique": "uniqueItems"},
    "int32": {"gte": "minimum", "lte": "maximum"},
    "int64": {"gte": "minimum", "lte": "maximum"},
    "uint32": {"gte": "minimum", "lte": "maximum"},
}
"""buf.validate's rules that JSON Schema has a word for."""
_FORMATS: Final = ("uuid", "email")


class Schemas:
    """The components met so far; the names of those that come in end in Input."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        """`comments` describe, by full name."""
        self.components: dict[str, Schema] = {}
        self._comments = comments
        self._rules = protovalidate.Validator()

    def reference(self, descriptor: Descriptor, way: Way) -> Schema:
        """Refers to the message's component, made if need be."""
        name = descriptor.name + ("Input" if way == "in" else "")
        if name not in self.components:
            self.components[name] = {}  # a type may hold itself
            self.components[name] = self.object(descriptor, descriptor.fields, way)
        return {"$ref": f"#/components/schemas/{name}"}

    def named(self, name: str, schema: Schema) -> Schema:
        """Refers to the schema as a component of that name: clients made of the document call the type so."""
        known = self.components.setdefault(name, schema)
        assert known == schema, f"{name} would be two different things"
        return {"$ref": f"#/components/schemas/{name}"}

    def object(self, descriptor: Descriptor, fields: Iterable[FieldDescriptor], way: Way) -> Schema:
        """The object of some of a message's fields."""
        fields = [field for field in fields if field.name != naming.REQUEST_ID]
        made: Schema = {"type": "object"}
        if descriptor.full_name in self._comments:
            made["description"] = self._comments[descriptor.full_name]
        needed = self.needed(descriptor) if way == "in" else {f.name for f in fields if _always_shown(f)}
        made["properties"] = {
            naming.shown(field): _optional(field, self.described(field, way))
            if way == "in" and field.name not in needed
            else self.described(field, way)
            for field in fields
        }
        required = [naming.shown(field) for field in fields if field.name in needed]
        if required:
            made["required"] = required
        if way == "in":
            made["additionalProperties"] = False
            choices = [one for one in descriptor.oneofs if one.name in needed]
            if choices:
                made["oneOf"] = [{"required": [naming.shown(one)]} for one in choices[0].fields]
        return made

    def described(self, field: FieldDescriptor, way: Way) -> Schema:
        """The field's schema with its description."""
        made = self.of(field, way)
        text = self._comments.get(field.full_name)
        if text is None:
            return made
        return {"description": text, **made}

    def needed(self, descriptor: Descriptor) -> set[str]:
        """Names of fields and oneofs that a message must have: without them it breaks its rules."""
        empty = GetMessageClass(descriptor)()
        found = self._rules.collect_violations(empty)
        paths = [one.proto.field for one in found]
        return {path.elements[0].field_name for path in paths if path is not None and path.elements}

    def of(self, field: FieldDescriptor, way: Way) -> Schema:
        """The field's schema; what comes in is held to its rules."""
        rules = naming.rules(field) if way == "in" else None
        if naming.is_map(field):
            return self._map(self._one(naming.inner(field).fields_by_name["value"], way))
        made = dict(self._one(field, way))
        if field.is_repeated:
            items = made | (_constraints(rules.repeated.items) if rules is not None else {})
            made = {"type": "array", "items": items}
        if rules is not None:
            made |= _constraints(rules)
        if field.name in naming.POSITIVE:
            made["minimum"] = 1
        return made

    def _map(self, value: Schema) -> Schema:
        of = value["$ref"].rpartition("/")[2] if "$ref" in value else value["type"].title()
        made = {"type": "object", "description": f"{of} by name.", "additionalProperties": value}
        return self.named(f"{of}Map", made)

    def _one(self, field: FieldDescriptor, way: Way) -> Schema:
        if field.full_name in naming.JSON_TEXTS:
            return {}
        if field.message_type is not None:
            if field.message_type.full_name == _STRUCT:
                return self.named("JsonObject", _JSON_OBJECT)
            special = _SPECIAL.get(field.message_type.full_name)
            return special or self.reference(field.message_type, way)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        return _INTEGERS.get(field.cpp_type) or _OTHERS[field.cpp_type]

    def _enum(self, enum: EnumDescriptor) -> Schema:
        if enum.name not in self.components:
            shown = naming.values(enum)
            package = enum.full_name.rpartition(".")[0]
            lines = [self._comments.get(enum.full_name, "")]
            for number, name in shown.items():
                text = self._comments.get(f"{package}.{enum.name}.{enum.values_by_number[number].name}", "")
                lines.append(f"- `{name}`: {text}")
            self.components[enum.name] = {
                "type": "string",
                "enum": list(shown.values()),
                "description": "\n".join(lines),
            }
        return {"$ref": f"#/components/schemas/{enum.name}"}


def _optional(field: FieldDescriptor, schema: Schema) -> Schema:
    """In a body, null is as good as nothing, but not where one of several is chosen."""
    if field.containing_oneof is not None:
        return schema
    text = {"description": schema["description"]} if "description" in schema else {}
    rest = {name: value for name, value in schema.items() if name != "description"}
    if naming.may_be_empty(field):
        return {**text, "anyOf": [rest, {"type": ["string", "null"], "maxLength": 0}]}
    if "$ref" in rest:
        return {**text, "anyOf": [rest, {"type": "null"}]}
    return {**schema, "type": [rest["type"], "null"]}


def _constraints(rules: Any) -> Schema:
    kind = rules.WhichOneof("type")
    made: Schema = {}
    if kind is None:
        return made
    given = getattr(rules, kind)
    for rule, word in _RULES.get(kind, {}).items():
        if given.HasField(rule):
            made[word] = getattr(given, rule)
    if kind == "string":
        for rule in _FORMATS:
            if getattr(given, rule):
                made["format"] = rule
    return made


def _always_shown(field: FieldDescriptor) -> bool:
    return field.is_repeated or not (field.has_presence or field.enum_type is not None)
