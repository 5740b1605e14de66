"""Forms of steps: fields of a config's JSON Schema, and a config of what was filled in. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.gateway.console.forms import Field, Form, Option, read_json
from services.gateway.console.words import words

Schema = Mapping[str, Any]
_LONG: Final = 2_000
"""Texts that may be longer get room for several lines."""
WHOLE: Final = "config"
"""The field of a config that has no schema: all of it, as JSON."""


def _object(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


_STEP: Final = {"type": "string", "description": "A step's id, or end."}
CONTROLS: Final[Mapping[str, tuple[str, Schema]]] = {
    "if": (
        "Goes one way or the other.",
        _object(
            ("condition", "then"),
            condition={"type": "string", "description": "CEL, e.g. 'vip' in contact.tags"},
            then=_STEP,
            **{"else": _STEP},
        ),
    ),
    "wait_time": (
        "Waits for some length.",
        _object(
            ("amount", "unit"),
            amount={"type": "integer", "minimum": 1},
            unit={
                "type": "string",
                "enum": [
                    "seconds", "minutes", "hours", "days", "weeks",
                    "calendar_days", "business_hours", "business_days",
                ],
            },
            time_zone={"type": "string", "description": "contact, account, workflow or an IANA name."},
        ),
    ),
    "go_to": (
        "Goes to another step, so many times.",
        _object(("step",), step=_STEP, limit={"type": "integer", "minimum": 1}),
    ),
    "end": ("Ends the execution.", _object()),
    "switch": ("Takes the first of several ways whose condition holds.", {}),
    "split": ("Divides contacts by percentages, each always the same way.", {}),
    "goal": ("Is reached when something happens, wherever the execution is.", {}),
    "wait_until_date": ("Waits for a date, as a birthday.", {}),
    "wait_until_time": ("Waits for a time of day.", {}),
    "wait_for_event": ("Waits for something to happen, or for its timeout.", {}),
}  # fmt: skip
"""Steps that the engine does itself: what each does, and its config's schema; {} where JSON is written."""


@dataclass(frozen=True, slots=True)
class _Property:
    """One property of a schema, with references and "or null" taken away."""

    name: str
    schema: Schema
    default: Any
    required: bool

    @property
    def kind(self) -> str:
        """Which kind of field it is."""
        schema = self.schema
        if "enum" in schema:
            return "select"
        match schema.get("type"):
            case "boolean":
                return "check"
            case "integer" | "number":
                return "number"
            case "string":
                return "area" if schema.get("maxLength", 0) >= _LONG else "text"
            case "array" if schema.get("items", {}).get("type") == "string":
                return "area"
            case _:
                return "code"


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = root.get("$defs", {}).get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
    options = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if len(options) == 1:
        told = {name: value for name, value in schema.items() if name in ("description", "default")}
        schema = {**_resolved(options[0], root), **told}
    if "items" in schema:
        schema = {**schema, "items": _resolved(schema["items"], root)}
    return schema


def _properties(schema: Schema) -> list[_Property]:
    required = set(schema.get("required", ()))
    found = [
        _Property(name, _resolved(one, schema), one.get("default"), name in required)
        for name, one in schema.get("properties", {}).items()
    ]
    return sorted(found, key=lambda one: (not one.required, one.kind == "check"))


def field_name(name: str) -> str:
    """A property's field, named as the API names its faults."""
    return f"config.{name}"


def fields_of(schema: Schema, config: Mapping[str, Any]) -> list[Field]:
    """The fields of a config; those needed first."""
    if not schema:
        return [Field(WHOLE, "Config", "code", "As JSON; docs/workflows.md tells what it takes.", rows=12)]
    return [_field(one, config.get(one.name)) for one in _properties(schema)]


def _field(one: _Property, value: Any) -> Field:
    kind, hints = one.kind, [str(one.schema.get("description", ""))]
    options: list[Option] = []
    if kind == "select":
        options = [Option(str(value), words(str(value))) for value in one.schema["enum"]]
        if not one.required:
            options.insert(0, Option("", f"as usual ({one.default})" if one.default else "–"))
    if kind == "check" and isinstance(value, str):
        kind = "text"  # a merge field decides
    if kind == "area" and one.schema.get("type") == "array":
        hints.append("One per line.")
    if kind == "code":
        hints.append("As JSON.")
    return Field(
        field_name(one.name),
        words(one.name),
        kind,
        " ".join(hint for hint in hints if hint),
        options,
        one.required,
        rows=3 if one.schema.get("type") == "array" else 6 if kind == "area" else 4,
    )


def texts_of(schema: Schema, config: Mapping[str, Any]) -> dict[str, str]:
    """What the fields hold for a config."""
    if not schema:
        return {WHOLE: json.dumps(config, indent=2, ensure_ascii=False)}
    texts = {}
    for one in _properties(schema):
        value = config.get(one.name, one.default if one.kind == "check" else None)
        if value is None:
            text = ""
        elif one.kind == "check" and not isinstance(value, str):
            text = "on" if value else ""
        elif isinstance(value, str):
            text = value
        elif one.kind == "area" and isinstance(value, list):
            text = "\n".join(str(item) for item in value)
        elif one.kind in ("text", "number", "area", "select") and not isinstance(value, dict | list):
            text = str(value)
        else:
            text = json.dumps(value, indent=2, ensure_ascii=False)
        texts[field_name(one.name)] = text
    return texts


def config_of(schema: Schema, form: Form) -> dict[str, Any]:
    """The config that was filled in; what cannot be read is told beside its field."""
    if not schema:
        return form.json_object(WHOLE)
    config: dict[str, Any] = {}
    for one in _properties(schema):
        value = _value(one, form)
        if value is not None:
            config[one.name] = value
    return config


def _value(one: _Property, form: Form) -> Any:
    """A property's value; None to leave it out."""
    name = field_name(one.name)
    text = form.get(name)
    if one.kind == "check":
        if text in ("", "on"):
            given = text == "on"
            return given if given != bool(one.default) else None
        return text
    if not text:
        if one.required:
            form.refuse(name, "This is needed.")
        return None
    if "{{" in text or "{%" in text:
        return text if one.kind != "code" else _json(name, text, form)
    if one.kind == "number":
        return _number(name, text, form)
    if one.kind == "area" and one.schema.get("type") == "array":
        return [line.strip() for line in text.split("\n") if line.strip()]
    return _json(name, text, form) if one.kind == "code" else text


def _number(name: str, text: str, form: Form) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        form.refuse(name, "A number, or a merge field such as {{ trigger.amount }}.")
        return None


def _json(name: str, text: str, form: Form) -> Any:
    try:
        return read_json(text)
    except ValueError as error:
        form.refuse(name, f"Not JSON: {error}.")
        return None
