"""Opens channels to our gRPC servers; whoever dials one enters `open_channel` on its stack.

A call without `timeout=` is refused: deadlines are the one thing nobody else can add later (timeouts in a
service config end calls after milliseconds in this gRPC, and the server never learns of them). Retries are
off here too; they belong to the caller, in one layer.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import grpc
from opentelemetry.trace import SpanKind, Status, StatusCode

from services.runtime import telemetry
from services.runtime.config import HostPort
from services.runtime.grpc_options import (
    INTERNAL_MAX_MESSAGE_BYTES,
    MAX_METADATA_BYTES,
    Options,
    keepalive,
    message_limits,
)
from services.runtime.metrics import RpcDurations

_BACKOFF_MIN_MS: Final = 100
_BACKOFF_MAX_MS: Final = 2_000
_ROUND_ROBIN: Final = '{"loadBalancingConfig":[{"round_robin":{}}]}'


class DeadlineRequiredError(Exception):
    """A call was made without `timeout=`; a fault of the calling code."""


@asynccontextmanager
async def open_channel(
    target: HostPort | str,
    *,
    max_message_bytes: int = INTERNAL_MAX_MESSAGE_BYTES,
    durations: RpcDurations | None = None,
    credentials: grpc.ChannelCredentials | None = None,
) -> AsyncIterator[grpc.aio.Channel]:
    """Give a channel to `target` ("host:port" or "dns:///name:port", spread over all its addresses).

    It connects at the first call and reconnects by itself, after 0.1 s at first and 2 s at most.
    """
    interceptors: list[grpc.aio.ClientInterceptor] = [_UnaryDeadline(), _UnaryTelemetry(durations)]
    options = _options(max_message_bytes)
    if credentials is None:
        channel = grpc.aio.insecure_channel(str(target), options, interceptors=interceptors)
    else:
        channel = grpc.aio.secure_channel(str(target), credentials, options, interceptors=interceptors)
    async with channel:
        yield _Channel(channel, durations)


def _options(max_message_bytes: int) -> Options:
    return (
        *message_limits(max_message_bytes),
        *keepalive(),
        ("grpc.initial_reconnect_backoff_ms", _BACKOFF_MIN_MS),
        ("grpc.min_reconnect_backoff_ms", _BACKOFF_MIN_MS),
        ("grpc.max_reconnect_backoff_ms", _BACKOFF_MAX_MS),
        ("grpc.enable_retries", 0),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.service_config", _ROUND_ROBIN),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    )


class _UnaryDeadline(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        _require_deadline(client_call_details.timeout, _text(client_call_details.method))
        return await continuation(client_call_details, request)


class _UnaryTelemetry(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, durations: RpcDurations | None) -> None:
        self._durations = durations

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        method = _text(client_call_details.method)
        if not telemetry.current_traceparent():
            return await self._timed(method, continuation, client_call_details, request)
        with telemetry.open_span(
            method[1:], SpanKind.CLIENT, attributes=telemetry.rpc_attributes(method)
        ) as span:
            details = client_call_details
            traced = grpc.aio.ClientCallDetails(
                details.method,
                details.timeout,
                _with_traceparent(details.metadata),
                details.credentials,
                details.wait_for_ready,
            )
            call = await self._timed(method, continuation, traced, request)
            if span is not None:
                code = await call.code()
                span.set_attribute("rpc.grpc.status_code", code.value[0])
                if code is not grpc.StatusCode.OK:
                    span.set_status(Status(StatusCode.ERROR, code.name))
            return call

    async def _timed(
        self,
        method: str,
        continuation: Callable[..., Awaitable[Any]],
        details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        started = time.perf_counter()
        call = await continuation(details, request)
        code = await call.code()  # returns when the call has ended, and never raises for a failed one
        if self._durations is not None:
            self._durations.observe(method, code.name, time.perf_counter() - started)
        return call


class _Channel(grpc.aio.Channel):
    """A channel whose streams do what interceptors do for other calls; those for streams cost half a call."""

    def __init__(self, channel: grpc.aio.Channel, durations: RpcDurations | None) -> None:
        self._channel = channel
        self._durations = durations

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    def unary_unary(self, *given: Any, **named: Any) -> Any:
        return self._channel.unary_unary(*given, **named)

    def unary_stream(self, method: str, *given: Any, **named: Any) -> Any:
        return _Streams(self._channel.unary_stream(method, *given, **named), method, self._durations)

    def stream_unary(self, *given: Any, **named: Any) -> Any:
        return self._channel.stream_unary(*given, **named)

    def stream_stream(self, *given: Any, **named: Any) -> Any:
        return self._channel.stream_stream(*given, **named)


class _Streams:
    """One method's streams: each with a deadline, its traceparent sent on, and timed to its end."""

    def __init__(self, begin: Any, method: str, durations: RpcDurations | None) -> None:
        self._begin = begin
        self._method = method
        self._durations = durations
        self._observations: set[asyncio.Task[None]] = set()  # the loop itself holds tasks weakly

    def __call__(
        self, request: Any, *, timeout: float | None = None, metadata: Any = None, **named: Any
    ) -> grpc.aio.UnaryStreamCall[Any, Any]:
        _require_deadline(timeout, self._method)
        started = time.perf_counter()
        call: grpc.aio.UnaryStreamCall[Any, Any] = self._begin(
            request, timeout=timeout, metadata=_with_traceparent(metadata), **named
        )
        if self._durations is not None:
            task = asyncio.create_task(self._observe(self._durations, call, started))
            self._observations.add(task)
            task.add_done_callback(self._observations.discard)
        return call

    async def _observe(self, durations: RpcDurations, call: grpc.aio.Call, started: float) -> None:
        code = await call.code()
        durations.observe(self._method, code.name, time.perf_counter() - started)


def _require_deadline(timeout: float | None, method: str) -> None:
    if timeout is None:
        raise DeadlineRequiredError(f"{method} was called without timeout=")


def _with_traceparent(metadata: Any) -> Any:
    traceparent = telemetry.current_traceparent()
    if not traceparent:
        return metadata
    added = grpc.aio.Metadata(*(metadata or ()))
    added.add("traceparent", traceparent)
    return added


def _text(method: str | bytes) -> str:
    return (
        method.decode() if isinstance(method, bytes) else method
    )  # the stub says str, the library gives bytes
