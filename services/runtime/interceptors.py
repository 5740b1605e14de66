"""The interceptors of our gRPC servers; each process that serves puts them in this order:

    [TelemetryInterceptor(...), ErrorInterceptor(translate), <authentication>, ValidationInterceptor()]

Outermost first: telemetry sees the final code, errors turn whatever is raised inside into a rich status, and
nothing is validated for a caller who is not known. Methods of `/grpc.` (health, reflection) pass untouched.
"""

from __future__ import annotations  # gRPC classes are generic in their stubs only

import asyncio
import inspect
import time
import uuid
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, Final, TypeAlias

import grpc
import structlog
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.trace import SpanKind
from opentelemetry.trace import Status as SpanStatus
from opentelemetry.trace import StatusCode as SpanStatusCode

from services.runtime import telemetry
from services.runtime.errors import Violation, abort, bad_request, code_name, status
from services.runtime.metrics import RpcDurations
from services.runtime.validation import RequestChecks

__all__ = [
    "AroundInterceptor",
    "ErrorInterceptor",
    "TelemetryInterceptor",
    "ValidationInterceptor",
    "Violation",
    "abort",
    "bad_request",
    "status",
]

log = structlog.get_logger(__name__)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_OURS_TO_FAULT: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)


class AroundInterceptor(grpc.aio.ServerInterceptor):
    """Runs `around` about every unary-unary and unary-stream rpc; subclasses say what it does."""

    def __init__(self) -> None:
        self._wrapped: dict[str, Handler] = {}  # bounded: only methods that are served have a handler

    @abstractmethod
    def around(self, method: str, request: Message, context: Context) -> AbstractAsyncContextManager[None]:
        """Give the context the rpc runs in; `method` is "/package.Service/Method"."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler once per method."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None or method.startswith("/grpc.") or handler.request_streaming:
                return handler
            wrapped = self._wrapped[method] = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: Handler) -> Handler:
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(method, handler.unary_unary),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _unary(self, method: str, inner: Any) -> Any:
        async def unary(request: Message, context: Context) -> Message:
            async with self.around(method, request, context):
                result: Message = await inner(request, context)
                return result

        return unary

    def _stream(self, method: str, inner: Any) -> Any:
        async def generator(request: Message, context: Context) -> AsyncIterator[Message]:
            async with self.around(method, request, context), aclosing(inner(request, context)) as responses:
                async for response in responses:
                    yield response

        async def writer(request: Message, context: Context) -> None:  # one that calls context.write itself
            async with self.around(method, request, context):
                await inner(request, context)

        return generator if inspect.isasyncgenfunction(inner) else writer


class ErrorInterceptor(AroundInterceptor):
    """Answers what a servicer raises with what `translate` gives, or INTERNAL if it gives None.

    An unknown exception is logged with an incident id; the caller is told that id and nothing else.
    """

    def __init__(self, translate: Callable[[BaseException], Status | None] = lambda error: None) -> None:
        super().__init__()
        self._translate = translate

    @asynccontextmanager
    async def around(self, method: str, request: Message, context: Context) -> AsyncIterator[None]:
        """Turn exceptions into statuses; aborts and cancellation pass (CancelledError is no Exception)."""
        try:
            yield
        except grpc.aio.BaseError:
            raise
        except Exception as error:
            await abort(context, self._translate(error) or _incident(method, error))


class ValidationInterceptor(AroundInterceptor):
    """Refuses requests that break a rule of their proto, hold NUL in a text, or an unbounded Struct."""

    def __init__(self) -> None:
        super().__init__()
        self._checks = RequestChecks()

    @asynccontextmanager
    async def around(self, method: str, request: Message, context: Context) -> AsyncIterator[None]:
        """Check before the servicer sees the request."""
        violations = self._checks.violations(request)
        if violations:
            first = violations[0]
            message = f"{first.field or 'request'}: {first.description}"
            if len(violations) > 1:
                message += f" (and {len(violations) - 1} more)"
            await abort(context, bad_request("REQUEST_INVALID", message, violations))
        yield


class TelemetryInterceptor(AroundInterceptor):
    """Times every rpc and traces those that come with a sampled traceparent.

    With `start_traces` an rpc that comes without one may start a trace (by the sampling ratio); that is for
    the public API. An executor leaves it off: the caller has decided.
    """

    def __init__(self, durations: RpcDurations, *, start_traces: bool = False) -> None:
        super().__init__()
        self._durations = durations
        self._start_traces = start_traces

    @asynccontextmanager
    async def around(self, method: str, request: Message, context: Context) -> AsyncIterator[None]:
        """Open a SERVER span and observe the duration under the final code."""
        traceparent = _traceparent(context)
        if not traceparent and not self._start_traces:
            async with self._timed(method, context):
                yield
            return
        attributes = telemetry.rpc_attributes(method)
        with telemetry.open_span(
            method[1:], SpanKind.SERVER, traceparent, attributes=attributes, mark_errors=False
        ) as span:
            try:
                async with self._timed(method, context):
                    yield
            finally:
                if span is not None:
                    number = _code(context)
                    span.set_attribute("rpc.grpc.status_code", number)
                    if code_name(number) in _OURS_TO_FAULT:
                        span.set_status(SpanStatus(SpanStatusCode.ERROR, code_name(number)))

    @asynccontextmanager
    async def _timed(self, method: str, context: Context) -> AsyncIterator[None]:
        started = time.perf_counter()
        cancelled = False
        try:
            yield
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            code = "CANCELLED" if cancelled else code_name(_code(context))
            self._durations.observe(method, code, time.perf_counter() - started)


def _incident(method: str, error: BaseException) -> Status:
    incident = uuid.uuid4().hex
    log.error("rpc_failed", method=method, incident=incident, exc_info=error)
    return status(
        grpc.StatusCode.INTERNAL,
        "INTERNAL",
        f"internal error, incident {incident}",
        {"incident_id": incident},
    )


def _traceparent(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent":
            return value if isinstance(value, str) else value.decode(errors="replace")
    return ""


def _code(context: Context) -> int:
    code: object = context.code()  # an int here, a StatusCode by its type stub
    return code if isinstance(code, int) else code.value[0] if isinstance(code, grpc.StatusCode) else 0
