"""Serves gRPC; the API and every executor enter `serve` on their stack.

On the way out: health says NOT_SERVING, no new rpc is taken, those under way have the grace to end.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.runtime.config import HostPort, host_port
from services.runtime.grpc_options import (
    PING_TOLERATED_MS,
    PUBLIC_MAX_MESSAGE_BYTES,
    Options,
    keepalive,
    message_limits,
)

log = structlog.get_logger(__name__)

Profile = Literal["local", "production"]
AddServicer = Callable[[grpc.aio.Server], None]

GRACE_S: Final = 5.0
_MAX_CONNECTION_AGE_MS: Final = 600_000  # clients reconnect, and so find servers that came later
_MAX_CONNECTION_AGE_GRACE_MS: Final = 60_000
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class ListenError(Exception):
    """The server cannot listen where it was told to."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that takes calls: where, and the health service that speaks for it."""

    address: HostPort
    server: grpc.aio.Server
    health: health.aio.HealthServicer


@asynccontextmanager
async def serve(
    listen: HostPort | str,
    add: Sequence[AddServicer],
    services: Sequence[str],
    *,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    profile: Profile = "production",
    max_concurrent: int | None = 1000,
    max_message_bytes: int = PUBLIC_MAX_MESSAGE_BYTES,
    grace_s: float = GRACE_S,
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncIterator[Serving]:
    """Serve at `listen` (port 0: any free one) until the context ends.

    `add` are calls such as `lambda server: add_XServicer_to_server(x, server)`; `services` the full names
    that health, and in the local profile reflection, speak for. More than `max_concurrent` rpcs at a time
    are answered RESOURCE_EXHAUSTED. Without `credentials` only the local profile, or a loopback address,
    may be served. Raises ListenError.
    """
    wanted = host_port(listen) if isinstance(listen, str) else listen
    if credentials is None and profile != "local" and wanted.host not in _LOOPBACK:
        raise ListenError(f"plaintext gRPC at {wanted} is for the local profile or a loopback address only")
    server = grpc.aio.server(
        interceptors=list(interceptors),
        options=_options(max_message_bytes),
        maximum_concurrent_rpcs=max_concurrent,
    )
    for add_servicer in add:
        add_servicer(server)
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if profile == "local":
        _add_reflection(server, services)
    address = _bind(server, wanted, credentials)
    for service in ("", *services):
        await servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    await server.start()
    log.info("serving", address=str(address), services=list(services))
    try:
        yield Serving(address, server, servicer)
    finally:
        await servicer.enter_graceful_shutdown()
        await server.stop(grace_s)


def _options(max_message_bytes: int) -> Options:
    return (
        *message_limits(max_message_bytes),
        *keepalive(),
        ("grpc.http2.min_ping_interval_without_data_ms", PING_TOLERATED_MS),
        ("grpc.max_connection_age_ms", _MAX_CONNECTION_AGE_MS),
        ("grpc.max_connection_age_grace_ms", _MAX_CONNECTION_AGE_GRACE_MS),
        ("grpc.so_reuseport", 0),  # with it a second process would share the port in silence
    )


def _bind(server: grpc.aio.Server, wanted: HostPort, credentials: grpc.ServerCredentials | None) -> HostPort:
    try:
        if credentials is None:
            port = server.add_insecure_port(str(wanted))
        else:
            port = server.add_secure_port(str(wanted), credentials)
    except RuntimeError as error:
        raise ListenError(
            f"cannot listen at {wanted}: the port is taken or the address is not ours"
        ) from error
    return HostPort(wanted.host, port)


def _add_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    from grpc_reflection.v1alpha import reflection  # the local profile's alone

    names = (*services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
