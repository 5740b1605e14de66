"""Rules for the parts of a request people write, and their making: headers, query, body; for webhook_call."""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlencode

import orjson
from pydantic import AfterValidator, JsonValue, StringConstraints
from yarl import URL

BodyFormat: TypeAlias = Literal["json", "form", "raw"]

CONTENT_TYPES: Final[Mapping[BodyFormat, str]] = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "raw": "text/plain; charset=utf-8",
}

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OURS: Final = frozenset(
    """
    host content-length transfer-encoding connection keep-alive te trailer upgrade expect idempotency-key
    webhook-id webhook-timestamp webhook-signature proxy-authorization proxy-connection
    """.split()  # noqa: SIM905 - a list of 15 literals reads worse
)
_CREDENTIALS: Final = frozenset({"authorization", "cookie"})
_MAX_HEADERS: Final = 50
_MAX_QUERY: Final = 100


def header_name(name: str) -> str:
    """Take the name of a header that is not Wayfarer's to set. Raises ValueError."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name[:40]!r} is not a header name")
    if name.lower() in _OURS:
        raise ValueError(f"{name} is set by Wayfarer")
    return name


def _headers(headers: dict[str, str]) -> dict[str, str]:
    if len(headers) > _MAX_HEADERS:
        raise ValueError(f"at most {_MAX_HEADERS} headers")
    for name in headers:
        if header_name(name).lower() in _CREDENTIALS:
            raise ValueError(f"{name} holds credentials; use auth and a secret of the account")
    return headers


def _query(query: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(query) > _MAX_QUERY:
        raise ValueError(f"at most {_MAX_QUERY} parameters")
    if not _is_flat(query):
        raise ValueError("must hold texts, numbers, or lists of them")
    return query


HeaderValue = Annotated[str, StringConstraints(max_length=8192, pattern=r"^[^\x00-\x08\x0a-\x1f\x7f]*$")]
Headers = Annotated[dict[str, HeaderValue], AfterValidator(_headers)]
Query = Annotated[dict[str, JsonValue], AfterValidator(_query)]


def check_body(body: JsonValue, body_format: BodyFormat) -> JsonValue:
    """Check that a body can be sent in a format. Raises ValueError."""
    if body_format == "raw" and not isinstance(body, str):
        raise ValueError("must be text, as body_format is raw")
    if body_format == "form" and not (isinstance(body, dict) and _is_flat(body)):
        raise ValueError("must be an object of texts, numbers, or lists of them, as body_format is form")
    return body


def encoded(body: JsonValue, body_format: BodyFormat) -> bytes:
    """Give the bytes of a body that passed check_body."""
    match body_format, body:
        case "raw", str():
            return body.encode()
        case "form", dict():
            return urlencode({name: _texts(value) for name, value in body.items()}, doseq=True).encode()
        case _:
            return orjson.dumps(body)


def with_query(url: URL, query: Mapping[str, JsonValue]) -> URL:
    """Add parameters to those the URL has."""
    if not query:
        return url
    return url.extend_query([(name, text) for name, value in query.items() for text in _texts(value)])


def _is_flat(named: Mapping[str, JsonValue]) -> bool:
    parts = [part for value in named.values() for part in (value if isinstance(value, list) else [value])]
    return not any(isinstance(part, dict | list) for part in parts)


def _texts(value: JsonValue) -> list[str]:
    return [_text(part) for part in (value if isinstance(value, list) else [value])]


def _text(value: JsonValue) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case _:
            return str(value)
