"""Writes services/gateway/rest/openapi.json from the protos; `make proto` runs it, `make check` compares."""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

from services.gateway.rest import naming, paging, streaming
from services.gateway.rest.asking import LAST_EVENT_ID, LAST_POSITION
from services.gateway.rest.bindings import Binding, bindings
from services.gateway.rest.problems import MEDIA_TYPE
from services.gateway.rest.surface import SERVED
from tools.openapi_schemas import Schema, Schemas
from tools.proto_comments import comments

PAGE: Final = Path(__file__).resolve().parent.parent / "services" / "gateway" / "rest" / "openapi.json"
_JSON: Final = "application/json"
_INTRODUCTION: Final = """Durable execution of customer-journey workflows.

Every operation needs an API key as `Authorization: Bearer KEY`; the account comes from the key. Errors are
problem details (RFC 9457): `reason` is stable and made for programs, `detail` for people, `errors` names
the fields at fault. With `Idempotency-Key`, a UUID of the caller's, the same request answers the same for
24 hours. 429 and 503 say in `Retry-After` when to try again. Moments are RFC 3339 in UTC, durations seconds
such as `90s`; what has no value yet is left out. Lists are read by `limit` and `page_token`, some also by
`page`."""
_WORDS: Final = re.compile(r"(?<!^)(?=[A-Z])")
_PROBLEM: Final[Schema] = {
    "type": "object",
    "description": "What could not be served, and why.",
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "A URN made of the reason."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, for a person."},
        "reason": {"type": "string", "description": "What happened, for a program: stable."},
        "errors": {
            "type": "array",
            "description": "The fields at fault, by where they stand in the request.",
            "items": {"$ref": "#/components/schemas/Violation"},
        },
        "metadata": {"$ref": "#/components/schemas/StringMap"},
    },
    "required": ["type", "title", "status", "detail", "reason"],
}
_VIOLATION: Final[Schema] = {
    "type": "object",
    "description": "A field at fault.",
    "properties": {
        "field": {"type": "string", "description": "Where it stands in the request."},
        "message": {"type": "string", "description": "What is wrong, for a person."},
        "rule": {"type": "string", "description": "The rule that it breaks, for a program."},
    },
    "required": ["field", "message", "rule"],
}
_UUID: Final = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document of everything that is served."""
    texts = comments()
    schemas = Schemas(texts)
    paths: dict[str, Any] = {}
    for service in SERVED:
        for binding in bindings(service):
            operations = paths.setdefault(_path(binding), {})
            operations[binding.verb.lower()] = _operation(binding, schemas, texts)
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    own = {"Problem": _PROBLEM, "Violation": _VIOLATION}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Wayfarer",
            "version": "v1",
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "tags": [{"name": _tag(s.name), "description": texts[s.full_name]} for s in SERVED],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "responses": {"Problem": {"description": "It could not be served.", "content": problem}},
            "schemas": dict(sorted((schemas.components | own).items())),
        },
    }


def _operation(binding: Binding, schemas: Schemas, texts: Mapping[str, str]) -> dict[str, Any]:
    text = texts[binding.rpc.full_name]
    made: dict[str, Any] = {
        "operationId": _operation_id(binding),
        "tags": [_tag(binding.rpc.containing_service.name)],
        "summary": _summary(binding.rpc.name, text),
        "description": text,
    }
    parameters = [
        *(_path_parameter(binding, path, schemas) for path in binding.variables),
        *(_query_parameter(binding, field, schemas) for field in binding.query_fields),
        *_headers(binding),
    ]
    if parameters:
        made["parameters"] = parameters
    if binding.body:
        made["requestBody"] = _body(binding, schemas)
    answers = {str(status): _answer(binding, schemas, status) for status in binding.statuses}
    problem = {"$ref": "#/components/responses/Problem"}
    made["responses"] = answers | {"401": problem, "422": problem, "default": problem}
    return made


def _body(binding: Binding, schemas: Schemas) -> dict[str, Any]:
    of = binding.rpc.input_type
    if binding.body != "*":
        of = naming.inner(of.fields_by_name[binding.body])
    body = schemas.object(of, binding.body_fields, "in")
    # An update's mask is what the body has, unless it is given.
    required = [name for name in body.pop("required", ()) if name != "update_mask"]
    if required:
        body["required"] = required
    needed = bool(required) or binding.body in schemas.needed(binding.rpc.input_type)
    content = {_JSON: {"schema": schemas.named(f"{binding.rpc.name}Body", body)}}
    return {"required": needed, "content": content}


def _answer(binding: Binding, schemas: Schemas, status: int) -> dict[str, Any]:
    answer = binding.rpc.output_type
    described = {200: "Done.", 201: "Made.", 204: "Done; there is nothing to tell."}[status]
    if status == 204:
        return {"description": described}
    if binding.rpc.server_streaming:
        told = "Events: `change`, `end` after the last, `error` with a Problem."
        event = _event(schemas.reference(answer, "out"))
        schema = schemas.named(f"{binding.rpc.name}Event", event)
        return {"description": told, "content": {streaming.MEDIA_TYPE: {"schema": schema}}}
    if binding.response_body:
        schema = schemas.of(answer.fields_by_name[binding.response_body], "out")
    else:
        schema = schemas.reference(answer, "out")
        _page(binding, schemas.components[answer.name])
    return {"description": described, "content": {_JSON: {"schema": schema}}}


def _event(change: Schema) -> Schema:
    """Each event of a stream, as clients that read such streams expect it to be described."""
    told = [change, {"$ref": "#/components/schemas/Problem"}, {"type": "object", "maxProperties": 0}]
    data = {"type": "string", "contentMediaType": _JSON, "contentSchema": {"anyOf": told}}
    names = {"type": "string", "enum": ["change", "end", "error"]}
    return {
        "type": "object",
        "description": "An event of the stream.",
        "properties": {
            "event": {"description": "What it tells.", **names},
            "id": {"description": "Where the stream stands.", "type": "string"},
            "data": {"description": "What has changed, as JSON; for `error` a Problem.", **data},
        },
    }


def _page(binding: Binding, answer: Schema) -> None:
    """Adds what a list says of its page."""
    request = binding.rpc.input_type
    if not paging.is_paged(request) or "limit" in answer["properties"]:
        return
    counted = {"type": "integer", "minimum": 1}
    answer["properties"]["limit"] = {"description": "How many a page has at most.", **counted}
    answer["required"].append("limit")
    if paging.is_numbered(request):
        answer["properties"]["page"] = {"description": "Which page this is; not by token.", **counted}
        pages = {"description": "How many pages there are.", "type": "integer", "minimum": 0}
        answer["properties"]["total_pages"] = pages
        if "total" in answer["required"]:
            answer["required"].append("total_pages")


def _path_parameter(binding: Binding, path: str, schemas: Schemas) -> dict[str, Any]:
    field = binding.variable(path)
    schema = schemas.described(field, "in")
    text = schema.pop("description", "")
    return {"name": field.name, "in": "path", "required": True, "description": text, "schema": schema}


def _query_parameter(binding: Binding, field: FieldDescriptor, schemas: Schemas) -> dict[str, Any]:
    schema = schemas.described(field, "in")
    made = {"name": naming.shown(field), "in": "query", "description": schema.pop("description", "")}
    of = binding.rpc.input_type
    # An update's mask is what the body has, unless it is given.
    if field.name in schemas.needed(of) and field.name != "update_mask":
        made["required"] = True
    if field.name == "page_size":
        schema["default"] = paging.DEFAULT_LIMIT
        made["description"] = "How many to give at most."
    return {**made, "schema": schema}


def _headers(binding: Binding) -> list[dict[str, Any]]:
    made = []
    if binding.idempotent_by_key:
        text = "A UUID of the caller's: the same one answers the same for 24 hours."
        # By its pattern: clients made of the document pass a header on as it is given, and it must be a text.
        schema: Schema = {"type": "string", "pattern": _UUID}
        made.append({"name": naming.IDEMPOTENCY_KEY, "in": "header", "description": text, "schema": schema})
    if binding.rpc.full_name in streaming.POSITIONS:
        text = "The id of the last event seen: the stream goes on after it."
        schema = {"type": "integer", "minimum": 0, "maximum": LAST_POSITION}
        made.append({"name": LAST_EVENT_ID, "in": "header", "description": text, "schema": schema})
    return made


def _path(binding: Binding) -> str:
    return re.sub(r"\{[a-z_]+\.([a-z_]+)\}", r"{\1}", binding.path)


def _operation_id(binding: Binding) -> str:
    """The rpc's name; for its other bindings by what, or how, it is called. Clients call their methods so."""
    name = binding.rpc.name
    if binding.main:
        return name
    verb, subject = _WORDS.split(name, maxsplit=1)
    if binding.path.endswith("/lookup"):
        return f"Lookup{subject}"
    if binding.variables and binding.verb == "GET":
        return verb + "".join(one.title().replace("_", "") for one in binding.variables) + subject
    return binding.verb.title() + subject


def _tag(service: str) -> str:
    return _WORDS.sub(" ", service.removesuffix("Service"))


def _summary(rpc: str, text: str) -> str:
    """The comment's first sentence without its subject."""
    first = re.split(r"(?<=[.;:]) ", text.removeprefix(rpc).strip(), maxsplit=1)[0].rstrip(".;:")
    return first[:1].upper() + first[1:]


def main() -> None:
    """Writes the document, or with --check exits 1 if it is not what it would write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    text = json.dumps(document(), indent=1, ensure_ascii=False) + "\n"
    if not parser.parse_args().check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{PAGE.name} is not current (run `make proto`)")


if __name__ == "__main__":
    main()
