"""The console's forms, pure: what is typed, fields of a JSON Schema and back, saved views."""

import base64
import json

import grpc
import pytest
from starlette.requests import Request

from services.executors.communication.send_email import ACTION as SEND_EMAIL
from services.executors.crm.add_tag import ACTION as ADD_TAG
from services.executors.integrations.webhook_call import ACTION as WEBHOOK_CALL
from services.gateway.console import step_forms
from services.gateway.console.api import Trouble
from services.gateway.console.document_pages import faults_of
from services.gateway.console.forms import Form, parsed
from services.gateway.console.saved_views import COOKIE, views_of


def sent(**values: str) -> Form:
    return Form({name: [value] for name, value in values.items()}, sent=True)


def request_with(cookie: str) -> Request:
    return Request({"type": "http", "headers": [(b"cookie", f"{COOKIE}={cookie}".encode())]})


@pytest.mark.parametrize("action", [SEND_EMAIL, ADD_TAG, WEBHOOK_CALL], ids=lambda action: action.name)
def test_a_config_survives_its_form(action: object) -> None:
    """What a form shows of a config, sent back unchanged, is the same config."""
    schema = action.config.model_json_schema()  # type: ignore[attr-defined]
    config = dict(action.sample)  # type: ignore[attr-defined]
    form = sent(**step_forms.texts_of(schema, config))
    assert step_forms.config_of(schema, form) == config
    assert form.faults == {}


def test_every_kind_of_property_goes_there_and_back() -> None:
    schema = {
        "properties": {
            "text": {"type": "string"},
            "number": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
            "kind": {"enum": ["a", "b"], "default": "a"},
            "on": {"type": "boolean", "default": True},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
            "object": {"type": "object"},
        },
        "$defs": {"Line": {"type": "string"}},
        "required": ["text"],
    }
    config = {"text": "x", "number": 7, "kind": "b", "on": False, "lines": ["p", "q"], "object": {"k": [1]}}
    kinds = {field.name: field.kind for field in step_forms.fields_of(schema, config)}
    assert kinds == {
        "config.text": "text",
        "config.number": "number",
        "config.kind": "select",
        "config.on": "check",
        "config.lines": "area",
        "config.object": "code",
    }
    assert step_forms.config_of(schema, sent(**step_forms.texts_of(schema, config))) == config


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "config.text"),
        ({"config.text": "x", "config.number": "many"}, "config.number"),
        ({"config.text": "x", "config.object": "{"}, "config.object"),
    ],
)
def test_what_cannot_be_read_is_told_beside_its_field(values: dict[str, str], field: str) -> None:
    schema = {
        "properties": {
            "text": {"type": "string"}, "number": {"type": "number"}, "object": {"type": "object"},
        },
        "required": ["text"],
    }  # fmt: skip
    form = sent(**values)
    step_forms.config_of(schema, form)
    assert list(form.faults) == [field]


def test_a_merge_field_may_stand_for_a_number_and_a_box() -> None:
    schema = {"properties": {"amount": {"type": "integer"}, "on": {"type": "boolean"}}}
    config = {"amount": "{{ trigger.amount }}", "on": "{{ trigger.on }}"}
    assert {field.kind for field in step_forms.fields_of(schema, config)} == {"number", "text"}
    assert step_forms.config_of(schema, sent(**step_forms.texts_of(schema, config))) == config


def test_a_form_tells_the_first_fault_of_a_field() -> None:
    form = sent(age="x", data="[1]")
    form.whole("age", 1, 9)
    form.refuse("age", "later")
    assert form.json_object("data") == {}
    assert form.faults == {
        "age": "A whole number from 1 to 9.",
        "data": 'A JSON object, such as {"plan": "pro"}.',
    }
    assert not form.sound


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "line 1"), ("[" * 61 + "]" * 61, "nested deeper than 60"), ("[" * 5000, "Not JSON")],
)
def test_json_that_cannot_be_is_said(text: str, told: str) -> None:
    form = sent(data=text)
    assert form.json_object("data") == {}
    assert told in form.faults["data"]


def test_a_number_of_many_digits_is_no_number() -> None:
    form = sent(age="9" * 5000)
    assert form.whole("age", 1, 9) == 0
    assert "age" in form.faults


def test_a_form_with_too_many_fields_is_refused() -> None:
    assert parsed(b"&".join(b"a=1" for _ in range(2_000))) is None
    assert parsed(b"a=1&a=2&b=") == {"a": ["1", "2"], "b": [""]}


def test_faults_of_a_document_have_their_place() -> None:
    trouble = Trouble(
        grpc.StatusCode.INVALID_ARGUMENT, "", "", (("steps[0].type", "no such type (line 4, column 11)"), ("key", "is needed"))
    )  # fmt: skip
    first, second = faults_of(trouble)
    assert (first.path, first.text, first.line, first.column) == ("steps[0].type", "no such type", 4, 11)
    assert (second.text, second.line) == ("is needed", 0)


@pytest.mark.parametrize("cookie", ["", "%%%", "bm90IGpzb24=", base64.b64encode(b"[1,2]").decode(), "W10="])
def test_a_cookie_that_cannot_be_read_holds_no_views(cookie: str) -> None:
    assert views_of(request_with(cookie)) == []


def test_a_view_holds_filters_and_nothing_else() -> None:
    told = json.dumps({"Mine": {"status": "failed", "next": "https://elsewhere.example"}}).encode()
    (view,) = views_of(request_with(base64.urlsafe_b64encode(told).decode()))
    assert (view.name, view.href) == ("Mine", "/console/executions?status=failed")
