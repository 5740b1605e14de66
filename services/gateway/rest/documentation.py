"""Serves the OpenAPI document at /openapi.json, and at /docs a page made of it; the gateway mounts both.

The page is HTML and CSS alone: it needs no script and nothing from elsewhere, and its policy allows neither.
"""

from collections.abc import Iterator, Mapping
from html import escape
from importlib import resources
from typing import Any, Final, TypeAlias

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Json: TypeAlias = Mapping[str, Any]

_POLICY: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def routes() -> list[Route]:
    """What is served; the page is made once, now."""
    folder = resources.files(__package__)
    raw = folder.joinpath("openapi.json").read_bytes()
    page = "".join(_page(orjson.loads(raw)))
    return [
        _fixed("/openapi.json", raw, "application/json"),
        _fixed("/docs", page, "text/html; charset=utf-8"),
        _fixed("/docs/style.css", folder.joinpath("docs.css").read_bytes(), "text/css; charset=utf-8"),
    ]


def _fixed(path: str, content: bytes | str, media_type: str) -> Route:
    async def answer(request: Request) -> Response:
        return Response(content, headers=_POLICY, media_type=media_type)

    return Route(path, answer, methods=["GET"])


def _page(document: Json) -> Iterator[str]:
    info, tags = document["info"], [tag["name"] for tag in document["tags"]]
    operations: dict[str, list[tuple[str, str, Json]]] = {tag: [] for tag in tags}
    for path, verbs in document["paths"].items():
        for verb, one in verbs.items():
            operations[one["tags"][0]].append((verb.upper(), path, one))
    title = f"{escape(info['title'])} API {escape(info['version'])}"
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<link rel="stylesheet" href="/docs/style.css"></head><body>'
    yield '<a class="skip" href="#top">To the content</a><nav aria-label="Operations">'
    yield '<a href="/openapi.json">openapi.json</a>'
    for tag in tags:
        yield f"<h2>{escape(tag)}</h2><ul>"
        for _, _, one in operations[tag]:
            yield f'<li><a href="#{one["operationId"]}">{one["operationId"]}</a></li>'
        yield "</ul>"
    yield f'</nav><main id="top"><h1>{title}</h1>'
    yield from (f"<p>{_prose(text)}</p>" for text in info["description"].split("\n\n"))
    for tag in document["tags"]:
        yield f'<h2>{escape(tag["name"])}</h2><p class="soft">{_prose(tag["description"])}</p>'
        for verb, path, one in operations[tag["name"]]:
            yield from _operation(verb, path, one, _body(one, document["components"]["schemas"]))
    yield "<h2>Types</h2>"
    for name, schema in document["components"]["schemas"].items():
        yield f'<details id="type-{name}"><summary><code>{name}</code></summary><div>'
        yield f"<p>{_prose(schema.get('description', ''))}</p>{_fields(schema)}</div></details>"
    yield "</main></body></html>"


def _body(one: Json, types: Json) -> Json | None:
    """The schema of what an operation takes; None if it takes no body."""
    if "requestBody" not in one:
        return None
    name: str = one["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema: Json = types[name.rpartition("/")[2]]
    return schema


def _operation(verb: str, path: str, one: Json, body: Json | None) -> Iterator[str]:
    yield f'<details id="{one["operationId"]}"><summary><span class="verb">{verb}</span> '
    yield f'<code>{escape(path)}</code><span class="soft">{_prose(one["summary"])}</span></summary><div>'
    yield f"<p>{_prose(one['description'])}</p>"
    if one.get("parameters"):
        rows = (
            (f"{p['name']}", f"{p['in']}, {_type(p['schema'])}", p.get("required", False), p["description"])
            for p in one["parameters"]
        )
        yield f"<h4>Parameters</h4>{_table(rows)}"
    if body is not None:
        yield f"<h4>Body</h4>{_fields(body)}"
    for status, answer in one["responses"].items():
        if not status.startswith("2"):
            continue
        schemas = [content["schema"] for content in answer.get("content", {}).values()]
        told = "".join(f" {_type(schema)}" for schema in schemas)
        yield f"<h4>{status}</h4><p>{_prose(answer['description'])}{told}</p>"
    yield f"<h4>With curl</h4><pre>{escape(_curl(verb, path, body))}</pre></div></details>"


def _curl(verb: str, path: str, body: Json | None) -> str:
    words = [f'curl -X {verb} "$URL{path}" -H "authorization: Bearer $KEY"']
    if body is not None:
        example = orjson.dumps(dict.fromkeys(body.get("required", ()), "…")).decode()
        words.append(f"-H 'content-type: application/json' -d '{example}'")
    return " \\\n  ".join(words)


def _fields(schema: Json) -> str:
    if "properties" not in schema:
        return ""
    required = schema.get("required", ())
    return _table(
        (name, _type(one), name in required, one.get("description", ""))
        for name, one in schema["properties"].items()
    )


def _table(rows: Any) -> str:
    """Rows of name, type (HTML), whether it is required, description."""
    made = (
        f"<tr><td><code>{escape(name)}</code></td><td>{kind}{', required' if required else ''}</td>"
        f"<td>{_prose(text)}</td></tr>"
        for name, kind, required, text in rows
    )
    return f'<div class="wide"><table>{"".join(made)}</table></div>'


def _type(schema: Json) -> str:
    """The type in a few words, as HTML."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#type-{name}">{name}</a>'
    if "anyOf" in schema:
        return _type(schema["anyOf"][0])
    if isinstance(schema.get("type"), list):
        return _type({**schema, "type": schema["type"][0]})
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map of {_type(schema['additionalProperties'])}"
    words = [str(schema.get("format") or schema.get("type") or "any")]
    words += [f"{name} {schema[name]}" for name in _BOUNDS if name in schema]
    return escape(", ".join(words))


_BOUNDS: Final = (
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "default",
)


def _prose(text: str) -> str:
    """Escaped, with `code` and lists marked up."""
    parts = escape(text).split("`")
    marked = "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))
    return marked.replace("\n- ", "<br>• ")
