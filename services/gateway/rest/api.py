"""Serves /api/v1: finds the rpc, reads the request, calls it on the caller's behalf, writes the answer.

The caller's Authorization goes on to the API untouched; this process knows no keys.
"""

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any, Final

import grpc
import orjson
import structlog
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.rest import naming, paging, streaming
from services.gateway.rest.asking import Asking
from services.gateway.rest.bindings import Binding, bindings
from services.gateway.rest.callers import Callers
from services.gateway.rest.problems import Problem, ProblemError, of_rpc
from services.gateway.rest.router import Missed, Router
from services.gateway.rest.surface import SERVED
from services.gateway.rest.writing import Writer
from services.runtime.telemetry import parse_traceparent

log = structlog.get_logger(__name__)

PREFIX: Final = "/api/v1"
_CALL_S: Final = 30.0
_STREAM_S: Final = 3600.0
"""After this a stream breaks off, and its client connects again."""
_HEARTBEAT_S: Final = 15.0
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class _Target:
    """A binding, ready to be called."""

    binding: Binding
    request: type[Message]
    call: Any
    position: streaming.Position | None


class Api:
    """The application under /api/v1."""

    def __init__(
        self, channel: grpc.aio.Channel, stop: asyncio.Event, *, heartbeat_s: float = _HEARTBEAT_S
    ) -> None:
        """`channel` leads to the API; when `stop` is set, streams break off. Raises BindingError."""
        self._asking = Asking()
        self._callers = Callers(channel)
        self._writer = Writer()
        self._stop = stop
        self._heartbeat_s = heartbeat_s
        self._router = Router(
            (one.verb, one.path, one.ids, _target(channel, one))
            for service in SERVED
            for one in bindings(service)
        )

    def routes(self) -> list[BaseRoute]:
        """What is served."""
        return [_Below(PREFIX, self)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ProblemError as error:
            response = error.problem.response()
        except ClientDisconnect:
            return
        except Exception:
            response = _incident(request).response()
        response.headers["x-content-type-options"] = "nosniff"
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        found = self._router.find(request.method, request.scope["path"])
        if isinstance(found, Missed):
            raise ProblemError(_missed(request.method, found))
        target = found.target
        metadata, message = _metadata(request), target.request()
        if target.binding.body and _has_body(request):
            await self._callers.check(metadata)
        await self._asking.read(request, target.binding, found.variables, message)
        try:
            if target.binding.rpc.server_streaming:
                return await self._stream(target, message, metadata)
            answer: Message = await target.call(message, timeout=_CALL_S, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            binding = target.binding
            raise ProblemError(
                of_rpc(error, lambda path: naming.place(path, binding.rpc.input_type, binding.body))
            ) from error
        return self._write(target.binding, message, answer)

    async def _stream(
        self, target: _Target, message: Message, metadata: tuple[tuple[str, str], ...]
    ) -> Response:
        call = target.call(message, timeout=_STREAM_S, metadata=metadata)
        events = streaming.Events(call, self._writer, target.position, self._stop, self._heartbeat_s)
        await events.begun()
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(events.told(), 200, headers, streaming.MEDIA_TYPE)

    def _write(self, binding: Binding, request: Message, answer: Message) -> Response:
        headers = {"cache-control": "no-store"}
        if not answer.DESCRIPTOR.fields:
            return Response(status_code=204, headers=headers)
        if binding.response_body:
            plain = self._writer.plain(getattr(answer, binding.response_body))
        else:
            plain = self._writer.plain(answer)
            paging.tell(request, plain)
        return Response(orjson.dumps(plain), _status(binding, answer), headers, _JSON)


class _Below(BaseRoute):
    """All paths below a prefix; a Mount's pattern leaves out those with a line break in them."""

    def __init__(self, prefix: str, app: ASGIApp) -> None:
        self._prefix = f"{prefix}/"
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the request is for this."""
        below = scope["type"] == "http" and scope["path"].startswith(self._prefix)
        return (Match.FULL if below else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes it on."""
        await self._app(scope, receive, send)


def _status(binding: Binding, answer: Message) -> int:
    was_there = not getattr(answer, "created", True) or getattr(answer, "deduplicated", False)
    return binding.statuses[-1 if was_there else 0]


def _target(channel: grpc.aio.Channel, binding: Binding) -> _Target:
    rpc = binding.rpc
    request, answer = GetMessageClass(rpc.input_type), GetMessageClass(rpc.output_type)
    make = channel.unary_stream if rpc.server_streaming else channel.unary_unary
    call = make(
        f"/{rpc.containing_service.full_name}/{rpc.name}",
        request_serializer=request.SerializeToString,
        response_deserializer=answer.FromString,
    )
    return _Target(binding, request, call, streaming.POSITIONS.get(rpc.full_name))


def _incident(request: Request) -> Problem:
    """A fault of ours: logged under an id, which is all the caller is told."""
    incident = uuid.uuid4().hex
    log.exception("http_request_failed", method=request.method, path=request.scope["path"], incident=incident)
    return Problem(
        500, "INTERNAL", f"internal error, incident {incident}", metadata={"incident_id": incident}
    )


def _missed(verb: str, missed: Missed) -> Problem:
    if not missed.allowed:
        return Problem(404, "NO_SUCH_PATH", "there is nothing at this path")
    allowed = ", ".join(missed.allowed)
    return Problem(
        405, "METHOD_NOT_ALLOWED", f"{verb} is not for this path, {allowed} is", headers={"allow": allowed}
    )


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def _metadata(request: Request) -> tuple[tuple[str, str], ...]:
    """What goes on to the API: the credential as it came, and the trace the caller is in."""
    authorization = request.headers.get("authorization", "")
    if not authorization:
        told = "send your API key as `Authorization: Bearer KEY`"
        raise ProblemError(Problem(401, "UNAUTHENTICATED", told))
    if not (authorization.isascii() and authorization.isprintable()):
        raise ProblemError(Problem(401, "UNAUTHENTICATED", "the API key is not known"))
    found = [("authorization", authorization)]
    traceparent = request.headers.get("traceparent", "")
    if parse_traceparent(traceparent):
        found.append(("traceparent", traceparent))
    return tuple(found)
