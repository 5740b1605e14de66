"""docs/actions.md says all that the executors' types say of themselves, each field in a row of its own.

R-ACT: what people may write is on one page, and the page is what the code says.
"""

import json

from tools.actions_page import PAGE, families, page
from tools.schema_words import Field, fields


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make actions-page`"


def test_every_type_and_every_field_of_its_config_has_its_row() -> None:
    text = page()
    for types in families().values():
        for one in types:
            _, _, section = text.partition(f"\n### {one.name}\n")
            table = section.partition("\n```yaml\n")[0]
            for name in json.loads(one.config_schema)["properties"]:
                assert f"\n| `{name}` |" in table, f"{one.name}: {name}"


def test_a_schema_is_said_in_words() -> None:
    """Limits with their units, what may be left out, parts of objects, and choices by a kind."""
    kinds = {
        "None": {"properties": {"kind": {"const": "none"}}},
        "Basic": {
            "properties": {"kind": {"const": "basic"}, "user": {"type": "string"}},
            "required": ["user"],
        },
    }
    schema = {
        "$defs": {"Due": {"type": "object", "properties": {"days": {"type": "integer", "minimum": 1}}}}
        | kinds,
        "required": ["title"],
        "properties": {
            "title": {"type": "string", "minLength": 1, "maxLength": 1000, "description": "Its name."},
            "tags": {
                "type": "array",
                "items": {"type": "string", "maxLength": 9},
                "maxItems": 5,
                "default": [],
            },
            "due": {"anyOf": [{"$ref": "#/$defs/Due"}, {"type": "null"}], "default": None},
            "size": {"enum": ["s", "m"], "default": "m"},
            "auth": {
                "oneOf": [{"$ref": "#/$defs/None"}, {"$ref": "#/$defs/Basic"}],
                "discriminator": {"propertyName": "kind"},
            },
        },
    }
    assert list(fields(schema)) == [
        Field("title", "text", "1 to 1,000 characters", "needed", "Its name."),
        Field("tags", "list of text", "at most 5 items; each at most 9 characters", "", ""),
        Field("due", "object", "", "", ""),
        Field("due.days", "whole number", "at least 1", "", ""),
        Field("size", "`s`, `m`", "", "`m`", ""),
        Field("auth", "object, by `kind`", "", "", ""),
        Field("auth[basic].user", "text", "", "needed", ""),
    ]
