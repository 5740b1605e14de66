"""Says a config's JSON schema in words, a row per field; actions_page.py makes tables of them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

_WORDS: Final = {"string": "text", "boolean": "true or false", "integer": "whole number", "object": "object"}
_FORMATS: Final = {"email": "e-mail address", "uuid": "UUID", "date-time": "ISO 8601 time"}
_RANGES: Final = (
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " items"),
    ("minProperties", "maxProperties", " entries"),
    ("minimum", "maximum", ""),
)
_NO_CONTROL: Final = r"^[^\x00-\x1f\x7f"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a config; a part of an object has the path to it."""

    path: str
    type: str
    limits: str
    default: str
    description: str


def fields(schema: Schema, path: str = "", root: Schema | None = None) -> Iterator[Field]:
    """Every field of a schema in its order, those of objects within it after the object."""
    root = root if root is not None else schema
    needed = schema.get("required", ())
    for name, raw in schema.get("properties", {}).items():
        inner = _resolved(raw, root)
        choices = inner.get("oneOf")
        yield Field(
            f"{path}{name}",
            _type(inner, root),
            "; ".join(_limits(inner, root)),
            "needed" if name in needed else _default(inner),
            inner.get("description", ""),
        )
        if choices:
            key = inner["discriminator"]["propertyName"]
            for one in (_resolved(choice, root) for choice in choices):
                kind = one["properties"][key]["const"]
                rest = {k: v for k, v in one["properties"].items() if k != key}
                yield from fields({**one, "properties": rest}, f"{path}{name}[{kind}].", root)
        elif "properties" in inner:
            yield from fields(inner, f"{path}{name}.", root)


def _resolved(schema: Schema, root: Schema) -> Schema:
    """The schema with its reference followed and without null: a field that may be left out."""
    if "$ref" in schema:
        found = root["$defs"][schema["$ref"].rpartition("/")[2]]
        return {**found, **{k: v for k, v in schema.items() if k != "$ref"}}
    options = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if len(options) == 1:
        rest = {k: v for k, v in schema.items() if k != "anyOf"}
        return {**_resolved(options[0], root), **rest}
    return {**schema, "anyOf": options} if options else schema


def _type(schema: Schema, root: Schema) -> str:
    if "const" in schema:
        return _code(schema["const"])
    if "enum" in schema:
        return ", ".join(map(_code, schema["enum"]))
    if "oneOf" in schema:
        return f"object, by `{schema['discriminator']['propertyName']}`"
    if options := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_type(_resolved(one, root), root) for one in options))
    kind = schema.get("type", "any JSON")
    if kind == "array":
        return f"list of {_type(_resolved(schema.get('items', {}), root), root)}"
    if kind == "object" and "properties" not in schema and (value := _value(schema)) is not None:
        return f"object of {_type(_resolved(value, root), root)}"
    return _FORMATS.get(schema.get("format", "")) or _WORDS.get(kind, str(kind))


def _limits(schema: Schema, root: Schema) -> Iterator[str]:
    for low, high, unit in _RANGES:
        least, most = schema.get(low), schema.get(high)
        if unit and (least, most) == (1, None):
            yield "not empty"
        elif least is not None or most is not None:
            yield _range(least, most) + unit
    if "pattern" in schema:
        control = schema["pattern"].startswith(_NO_CONTROL)
        yield "no control characters" if control else _code(schema["pattern"])
    for part in (schema.get("items"), _value(schema)):
        if isinstance(part, Mapping) and "$ref" not in part:
            yield from (f"each {limit}" for limit in _limits(_resolved(part, root), root))
    for option in schema.get("anyOf", ()):
        yield from _limits(_resolved(option, root), root)


def _value(schema: Schema) -> Schema | None:
    """What an object's values are, whatever their names."""
    for values in (*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")):
        if isinstance(values, Mapping):
            return values
    return None


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return f"at most {most:,.15g}"
    return f"at least {least:,.15g}" if most is None else f"{least:,.15g} to {most:,.15g}"


def _default(schema: Schema) -> str:
    given = schema.get("default")
    return "" if given in (None, "", [], {}) else _code(given)


def _code(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"
