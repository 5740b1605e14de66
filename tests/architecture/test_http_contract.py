"""R-API-2: the HTTP API, its document and the protos are one contract; nothing public is left out of it."""

import importlib
import json
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
import wayfarer
from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor
from openapi_spec_validator import OpenAPIV31SpecValidator

from services.execution_api.__main__ import _SERVICES
from services.gateway.rest import naming
from services.gateway.rest.bindings import Binding, bindings
from services.gateway.rest.surface import NOT_SERVED, SERVED
from tools.openapi import PAGE

BINDINGS = [binding for service in SERVED for binding in bindings(service)]
DOCUMENT: dict[str, Any] = json.loads(PAGE.read_text(encoding="utf-8"))


def _services() -> Iterator[ServiceDescriptor]:
    for found in pkgutil.walk_packages(wayfarer.__path__, "wayfarer."):
        if found.name.endswith("_pb2"):
            yield from importlib.import_module(found.name).DESCRIPTOR.services_by_name.values()


def _reached(descriptor: Descriptor, seen: dict[str, Descriptor]) -> dict[str, Descriptor]:
    """The message types that it is made of, itself included, but for google's."""
    if descriptor.full_name not in seen and not descriptor.full_name.startswith(naming.WELL_KNOWN):
        seen[descriptor.full_name] = descriptor
        for field in descriptor.fields:
            if field.message_type is not None:
                _reached(field.message_type, seen)
    return seen


def _shown_types() -> list[Descriptor]:
    seen: dict[str, Descriptor] = {}
    for one in BINDINGS:
        _reached(one.rpc.input_type, seen)
        _reached(one.rpc.output_type, seen)
    return list(seen.values())


def test_every_service_is_served_or_says_why_not() -> None:
    """Each rpc of a served one has a path: `bindings` raises otherwise."""
    served = {service.full_name for service in SERVED}
    assert served == set(_SERVICES), "what the public API serves, HTTP serves"
    assert {service.full_name for service in _services()} == served | NOT_SERVED.keys()
    assert not served & NOT_SERVED.keys()
    assert all(len(reason) > 20 for reason in NOT_SERVED.values())


def test_the_document_is_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert DOCUMENT["openapi"] == "3.1.0"


def test_the_document_describes_what_is_served_and_nothing_else() -> None:
    described = {
        (verb.upper(), path, one["operationId"])
        for path, verbs in DOCUMENT["paths"].items()
        for verb, one in verbs.items()
    }
    assert len({identifier for _, _, identifier in described}) == len(described) == len(BINDINGS)
    assert {(verb, path) for verb, path, _ in described} == {
        (one.verb, one.path.replace("{contact.id}", "{id}")) for one in BINDINGS
    }


def test_everything_in_the_document_is_described() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema.get("description"), name
        for field, one in schema.get("properties", {}).items():
            assert one.get("description") or name == "Problem", (name, field)


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda one: f"{one.rpc.name}-{one.verb}")
def test_each_binding_is_fit_for_its_verb(binding: Binding) -> None:
    assert binding.path.startswith("/api/v1/")
    if binding.rpc.name.startswith(("Get", "List", "Explain", "Watch")):
        assert binding.verb == "GET", "what only reads is a GET"
    else:
        assert binding.verb != "GET", "what changes something is none"
    for field in binding.query_fields:
        nested = field.message_type is not None and not field.message_type.full_name.startswith(
            naming.WELL_KNOWN
        )
        assert not nested, f"{field.full_name} cannot be written in a query"
        chosen = {binding.variable(path).containing_oneof for path in binding.variables} - {None}
        assert field.containing_oneof not in chosen, f"{field.full_name}: the path has chosen"


def test_names_in_json_are_ours_and_never_meet() -> None:
    """Moments end in _at, no two fields of a message have one name, and every renaming is of use."""
    used = set()
    for message in _shown_types():
        shown = [naming.shown(field) for field in message.fields]
        assert len(set(shown)) == len(shown), message.full_name
        used |= {field.name for field in message.fields}
        for field in message.fields:
            if _is_moment(field):
                assert not naming.shown(field).endswith("_time"), f"{field.full_name} needs a name in JSON"
    assert naming.RENAMED.keys() <= used


def test_enums_are_short_and_whole() -> None:
    for message in _shown_types():
        for field in message.fields:
            if field.enum_type is not None:
                values = naming.values(field.enum_type)
                assert len(values) == len(field.enum_type.values) - 1, field.full_name
                for name in values.values():
                    assert not name.startswith(field.enum_type.name.upper()), field.full_name


def _is_moment(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp"
