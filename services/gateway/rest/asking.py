"""Makes the request message of what came by HTTP: body, path, query and headers; `api` uses it.

Every fault is found at once, up to a hundred. What the proto's rules say is left to the API.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
from google.protobuf.message import Message
from starlette.requests import Request

from services.gateway.rest import naming, paging, streaming
from services.gateway.rest.bindings import Binding
from services.gateway.rest.problems import Faults, Problem, ProblemError, of_request
from services.gateway.rest.reading import Reader
from services.runtime.errors import Violation
from services.runtime.grpc_options import PUBLIC_MAX_MESSAGE_BYTES

MAX_BODY_BYTES: Final = PUBLIC_MAX_MESSAGE_BYTES
LAST_EVENT_ID: Final = "Last-Event-ID"
LAST_POSITION: Final = 2**31 - 1
"""How far a stream can have come."""
_BODY_S: Final = 30.0
_JSON: Final = "application/json"
_POSITION: Final = re.compile(r"[0-9]{1,10}")
_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")


class Asking:
    """Reads requests; keeps what it knows of the types it met."""

    def __init__(self) -> None:
        self._reader = Reader()

    async def read(
        self, request: Request, binding: Binding, variables: Mapping[str, str], message: Message
    ) -> None:
        """Fills `message`; `variables` are the path's, by field. Raises ProblemError with its faults."""
        faults = Faults()
        body = await _json_body(request) if binding.body else None
        given = _without_path(body or {}, variables, faults)
        if body is not None:
            inner = message if binding.body == "*" else getattr(message, binding.body)
            inner.SetInParent()
            self._reader.fill(inner, given, faults)
        for path, value in variables.items():
            self._set_variable(message, path, value, faults)
        self._fill_query(request, binding, message, faults)
        _name_fields(message, binding, given)
        key = request.headers.get(naming.IDEMPOTENCY_KEY)
        if key is not None and binding.idempotent_by_key:
            field = naming.kind(message).fields_by_name[naming.REQUEST_ID]
            self._reader.fill_text(message, field, [key], faults, naming.IDEMPOTENCY_KEY)
        position = streaming.POSITIONS.get(binding.rpc.full_name)
        if position is not None:
            _go_on(request, message, position, faults)
        if faults:
            raise ProblemError(of_request(faults))
        paging.ask(message)

    def _set_variable(self, message: Message, path: str, value: str, faults: list[Violation]) -> None:
        *above, name = path.split(".")
        for one in above:
            message = getattr(message, one)
        self._reader.fill_text(message, naming.kind(message).fields_by_name[name], [value], faults)

    def _fill_query(
        self, request: Request, binding: Binding, message: Message, faults: list[Violation]
    ) -> None:
        known = {naming.shown(field): field for field in binding.query_fields}
        for name in request.query_params:
            if name in known:
                texts = request.query_params.getlist(name)
                self._reader.fill_text(message, known[name], texts, faults)
            else:
                faults.append(Violation(name, "is not known here", "unknown"))


def _without_path(
    given: dict[str, Any], variables: Mapping[str, str], faults: list[Violation]
) -> dict[str, Any]:
    """The body without what the path gives already; it may say the same, not otherwise."""
    for path, value in variables.items():
        name = path.rpartition(".")[2]
        if given.pop(name, value) != value:
            faults.append(Violation(name, "is not what the path says", "path"))
    return given


async def _json_body(request: Request) -> dict[str, Any] | None:
    """The body's JSON object; None without a body. Raises ProblemError."""
    raw = await _body(request)
    if not raw:
        return None
    media = request.headers.get("content-type", _JSON).partition(";")[0].strip().lower()
    if media != _JSON and not (media.startswith("application/") and media.endswith("+json")):
        raise ProblemError(Problem(415, "NOT_JSON", f"the body must be {_JSON}"))
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ProblemError(Problem(400, "MALFORMED_JSON", f"the body is not JSON: {error}")) from error
    if not isinstance(data, dict):
        raise ProblemError(of_request([Violation("body", "must be an object", "type")]))
    return data


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise ProblemError(
                        _unread(413, "BODY_TOO_LARGE", f"a body has at most {MAX_BODY_BYTES} bytes")
                    )
    except TimeoutError as error:
        raise ProblemError(
            _unread(408, "BODY_TOO_SLOW", f"the body did not come within {_BODY_S:.0f} s")
        ) from error
    return bytes(body)


def _unread(status: int, reason: str, detail: str) -> Problem:
    """The rest of the body is not worth reading: the connection ends."""
    return Problem(status, reason, detail, headers={"connection": "close"})


def _name_fields(message: Message, binding: Binding, given: Mapping[str, Any]) -> None:
    """Which fields an update without a mask changes: those given, or all of them for PUT."""
    field = message.DESCRIPTOR.fields_by_name.get("update_mask")
    if field is None or message.HasField(field.name):
        return
    resource: Any = given
    if binding.body == "*":
        resource = given.get(_CAPITAL.sub("_", binding.rpc.name.removeprefix("Update")).lower())
    named = list(resource) if isinstance(resource, dict) else []  # else it is at fault already
    paths = ["*"] if binding.verb == "PUT" else named
    getattr(message, field.name).paths.extend(paths)


def _go_on(request: Request, message: Message, position: streaming.Position, faults: list[Violation]) -> None:
    """A client that connects again goes on where it was, not where it first began."""
    last = request.headers.get(LAST_EVENT_ID)
    if last is None:
        return
    if not _POSITION.fullmatch(last) or int(last) > LAST_POSITION:
        faults.append(Violation(LAST_EVENT_ID, "must be the id of an event of this stream", "type"))
        return
    setattr(message, position.after, max(int(last), getattr(message, position.after)))
